//! What was expected against what was seen.
//!
//! In: a step's [`Expect`] and a [`Seen`]. Out: the differences, each with both sides as text; none if all agrees.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use portsyncd::lab::orchagent::Orchagent;
use serde::{Deserialize, Serialize};

use super::expect::{Exit, Expect, LinkState};
use super::observe::{Done, Held, Snapshot};
use super::scenario::Row;
use super::text;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Difference {
    pub step: String,
    pub what: String,
    pub expected: String,
    pub found: String,
}

/// A link as the kernel has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// `IFF_UP`.
    pub up: bool,
    /// Interface index and number of changes of its carrier: the same before and after means untouched.
    pub marks: (u32, u32),
    pub mtu: u32,
    /// It has a link-local address.
    pub addressed: bool,
}

impl Link {
    /// What nobody changes without touching the link's state.
    fn touch(&self) -> (bool, (u32, u32)) {
        (self.up, self.marks)
    }
}

/// Everything that can be expected, as it was seen.
#[derive(Debug, Default)]
pub struct Seen {
    pub rows: Snapshot,
    /// What the daemon did during the step.
    pub step: Done,
    /// Its effective writes during the step.
    pub effective: Vec<Vec<String>>,
    /// What it did since the scenario began.
    pub total: Done,
    /// Links before the step.
    pub links_before: BTreeMap<String, Link>,
    pub links: BTreeMap<String, Link>,
    /// What orchagent was handed.
    pub orchagent: Orchagent,
    pub exit: Option<ExitStatus>,
    /// It was told to start and runs, or ended by itself.
    pub started: bool,
    pub log: String,
}

pub fn check(expect: &Expect, seen: &Seen) -> Vec<Difference> {
    let mut found = Findings::default();
    found.rows(expect, seen);
    found.writes(expect, seen);
    found.links(expect, seen);
    found.orchagent(expect, seen);
    found.process(expect, seen);
    found.0
}

#[derive(Default)]
struct Findings(Vec<Difference>);

impl Findings {
    fn add(&mut self, what: impl Into<String>, expected: impl Into<String>, found: impl Into<String>) {
        self.0.push(Difference {
            step: String::new(),
            what: what.into(),
            expected: expected.into(),
            found: found.into(),
        });
    }

    fn rows(&mut self, expect: &Expect, seen: &Seen) {
        for (database, rows) in &expect.rows {
            for (key, row) in rows {
                let key = canonical(key);
                let held = seen.rows.get(&(database.clone(), key.clone()));
                if !agrees(row, held) {
                    self.add(format!("row {database} {key}"), show_row(row), show_held(held));
                }
            }
        }
    }

    fn writes(&mut self, expect: &Expect, seen: &Seen) {
        if let Some(wanted) = &expect.writes {
            let mut left = seen.effective.clone();
            for pattern in wanted {
                match left.iter().position(|write| text::fits(pattern, write)) {
                    Some(at) => drop(left.remove(at)),
                    None => self.add("writes", pattern, format!("no such write{}", nearest(pattern, &left))),
                }
            }
            for write in left {
                self.add("writes", "no further write", text::join(&write));
            }
        }
        self.order(expect, &seen.step.writes);
        for pattern in &expect.never {
            if let Some(write) = seen.step.writes.iter().find(|write| text::fits(pattern, write)) {
                self.add("never", pattern, text::join(write));
            }
        }
        for (pattern, times) in &expect.total {
            let count = seen.total.writes.iter().filter(|write| text::fits(pattern, write)).count();
            if !times.allows(count) {
                self.add(format!("total of {pattern}"), format!("{times:?}"), count.to_string());
            }
        }
        for pattern in &expect.commands {
            if !seen.step.commands.iter().any(|command| text::fits(pattern, command)) {
                self.add("commands", pattern, format!("no such command{}", nearest(pattern, &seen.step.commands)));
            }
        }
        for (message, times) in expect.published.iter().flatten() {
            let count = seen.step.published.iter().filter(|published| *published == message).count();
            if !times.allows(count) {
                self.add(format!("published {message}"), format!("{times:?}"), count.to_string());
            }
        }
    }

    fn order(&mut self, expect: &Expect, writes: &[Vec<String>]) {
        let mut after = None;
        for group in &expect.order {
            let mut last = after;
            for pattern in group.patterns() {
                match writes.iter().position(|write| text::fits(pattern, write)) {
                    None => self.add("order", pattern, format!("no such write{}", nearest(pattern, writes))),
                    Some(at) if after.is_some_and(|after| at < after) => {
                        self.add(
                            "order",
                            format!("{pattern}  after what stands before it"),
                            format!("it was write {} of {}", at + 1, writes.len()),
                        );
                    }
                    Some(at) => last = last.max(Some(at)),
                }
            }
            after = last;
        }
    }

    fn links(&mut self, expect: &Expect, seen: &Seen) {
        for (name, wanted) in &expect.links {
            let state = state_of(seen, name);
            if state != *wanted {
                self.add(format!("link {name}"), format!("{wanted:?}"), format!("{state:?}"));
            }
        }
        for (name, wanted) in &expect.addresses {
            let found = seen.links.get(name).is_some_and(|link| link.addressed);
            if found != *wanted {
                let shown = |there| if there { "it has one" } else { "it has none" };
                self.add(format!("link-local address of {name}"), shown(*wanted), shown(found));
            }
        }
        for (name, wanted) in &expect.mtu {
            let found = seen.links.get(name).map(|link| link.mtu);
            if found != Some(*wanted) {
                let shown = found.map_or_else(|| "no such link".to_owned(), |mtu| mtu.to_string());
                self.add(format!("MTU of {name}"), wanted.to_string(), shown);
            }
        }
        for name in &expect.untouched {
            let (before, now) = (seen.links_before.get(name), seen.links.get(name));
            if before.is_none() || before.map(Link::touch) != now.map(Link::touch) {
                self.add(format!("link {name}"), "untouched during the step", format!("{before:?}, then {now:?}"));
            }
        }
    }

    fn orchagent(&mut self, expect: &Expect, seen: &Seen) {
        let (Some(wanted), found) = (&expect.orchagent, &seen.orchagent) else { return };
        if let Some(ports) = wanted.ports.as_ref().filter(|ports| **ports != found.ports) {
            self.add("orchagent's ports", format!("{ports:?}"), format!("{:?}", found.ports));
        }
        if wanted.count.is_some() && wanted.count != found.count {
            self.add("orchagent's count of ports", format!("{:?}", wanted.count), format!("{:?}", found.count));
        }
        if let Some(order) = wanted.order.as_ref().filter(|order| **order != found.order) {
            self.add("orchagent's marks", format!("{order:?}"), format!("{:?}", found.order));
        }
    }

    fn process(&mut self, expect: &Expect, seen: &Seen) {
        let wrong = match (expect.exit, seen.exit) {
            (None, Some(_)) => seen.started,
            (Some(_), None) => true,
            (Some(Exit::Code(code)), Some(status)) => status.code() != Some(code),
            (Some(Exit::Signal(signal)), Some(status)) => status.signal() != Some(signal),
            _ => false,
        };
        if wrong {
            let expected = expect.exit.map_or_else(|| "runs on".to_owned(), |exit| format!("{exit:?}"));
            let found = seen.exit.map_or_else(|| "it runs".to_owned(), |status| status.to_string());
            self.add("the daemon's end", expected, found);
        }
        for line in &expect.log {
            if !seen.log.contains(line.as_str()) {
                self.add("log", line, "no line with it");
            }
        }
    }
}

pub fn state_of(seen: &Seen, name: &str) -> LinkState {
    match seen.links.get(name) {
        Some(link) if link.up => LinkState::Up,
        Some(_) => LinkState::Down,
        None => LinkState::Absent,
    }
}

/// A text of the file in the one form that observations have.
pub fn canonical(written: &str) -> String {
    text::show(&text::bytes(written))
}

fn agrees(row: &Row, held: Option<&Held>) -> bool {
    match (row, held) {
        (Row::There(there), held) => *there == held.is_some(),
        (Row::Text(wanted), Some(Held::Text(found))) => canonical(wanted) == *found,
        (Row::Members(wanted), Some(Held::Set(found))) => {
            wanted.iter().map(|m| canonical(m)).collect::<BTreeSet<_>>() == *found
        }
        (Row::Hash(wanted), Some(Held::Hash(found))) => {
            let open = wanted.contains_key("..");
            let fields: BTreeMap<String, String> =
                wanted.iter().filter(|(f, _)| *f != "..").map(|(f, v)| (canonical(f), canonical(v))).collect();
            fields.iter().all(|(f, v)| found.get(f) == Some(v)) && (open || fields.len() == found.len())
        }
        _ => false,
    }
}

fn show_row(row: &Row) -> String {
    match row {
        Row::There(true) => "some row".to_owned(),
        Row::There(false) => "no such row".to_owned(),
        Row::Text(value) => value.clone(),
        Row::Members(members) => members.join(", "),
        Row::Hash(fields) => show_fields(fields),
    }
}

fn show_held(held: Option<&Held>) -> String {
    match held {
        None => "no such row".to_owned(),
        Some(Held::Text(value)) => value.clone(),
        Some(Held::Set(members)) => members.iter().cloned().collect::<Vec<_>>().join(", "),
        Some(Held::Hash(fields)) => show_fields(fields),
    }
}

fn show_fields(fields: &BTreeMap<String, String>) -> String {
    fields.iter().map(|(f, v)| format!("{f}={v}")).collect::<Vec<_>>().join("  ")
}

/// What comes closest, for the reader: a write of the same row.
fn nearest(pattern: &str, writes: &[Vec<String>]) -> String {
    let wanted = text::split(pattern);
    let same = writes.iter().rfind(|write| write.iter().zip(&wanted).take(3).all(|(a, b)| a == b));
    same.map_or_else(String::new, |write| format!("; there was: {}", text::join(write)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expect(content: &str) -> Expect {
        toml::from_str(content).unwrap()
    }

    fn seen(lines: &[&str]) -> Seen {
        let writes: Vec<_> = lines.iter().map(|line| text::split(line)).collect();
        let done = Done { writes: writes.clone(), ..Done::default() };
        Seen { step: done.clone(), total: done, effective: writes, ..Seen::default() }
    }

    #[test]
    fn order_is_by_first_matches() {
        let order = expect(
            r#"order = [["APPL_DB PRODUCE Ethernet0 ...", "APPL_DB PRODUCE Ethernet4 ..."], "APPL_DB PRODUCE PortConfigDone count 2"]"#,
        );
        let good = [
            "APPL_DB PRODUCE Ethernet4 a b",
            "APPL_DB PRODUCE Ethernet0 a b",
            "APPL_DB PRODUCE PortConfigDone count 2",
        ];
        assert!(check(&order, &seen(&good)).is_empty());
        assert_eq!(check(&order, &seen(&[good[1], good[2], good[0]])).len(), 1);
        assert_eq!(check(&order, &seen(&good[..2])).len(), 1);
    }

    #[test]
    fn writes_are_exactly_these() {
        let writes = expect(r#"writes = ["STATE_DB DEL a", "STATE_DB HSET b ..."]"#);
        assert!(check(&writes, &seen(&["STATE_DB HSET b f v", "STATE_DB DEL a"])).is_empty());
        assert_eq!(check(&writes, &seen(&["STATE_DB DEL a"])).len(), 1);
        assert_eq!(check(&writes, &seen(&["STATE_DB DEL a", "STATE_DB HSET b f v", "STATE_DB DEL c"])).len(), 1);
    }

    #[test]
    fn links_and_orchagent_are_compared_as_far_as_they_are_named() {
        let all = expect(
            r#"addresses = { Ethernet0 = true }
            mtu = { Ethernet0 = 9100 }
            orchagent = { ports = ["Ethernet0"], count = 1, order = ["PortConfigDone", "PortInitDone"] }"#,
        );
        let link = Link { up: true, marks: (7, 1), mtu: 9100, addressed: true };
        let orchagent = Orchagent {
            ports: ["Ethernet0".to_owned()].into(),
            count: Some(1),
            order: ["PortConfigDone", "PortInitDone"].map(str::to_owned).to_vec(),
        };
        let good = Seen { links: [("Ethernet0".to_owned(), link)].into(), orchagent, ..Seen::default() };
        assert!(check(&all, &good).is_empty());
        assert_eq!(check(&all, &Seen::default()).len(), 5);
        assert!(check(&expect("orchagent = {}"), &good).is_empty());
        assert_eq!(check(&expect("mtu = { Ethernet0 = 1500 }"), &good)[0].found, "9100");
    }

    #[test]
    fn an_address_or_another_mtu_is_no_touch() {
        let before = Link { up: true, marks: (7, 1), mtu: 9100, addressed: false };
        let now = Link { mtu: 1500, addressed: true, ..before };
        let seen = |now| Seen {
            links_before: [("Ethernet0".to_owned(), before)].into(),
            links: [("Ethernet0".to_owned(), now)].into(),
            ..Seen::default()
        };
        let untouched = expect(r#"untouched = ["Ethernet0"]"#);
        assert!(check(&untouched, &seen(now)).is_empty());
        assert_eq!(check(&untouched, &seen(Link { marks: (7, 2), ..now })).len(), 1);
    }

    #[test]
    fn a_row_may_allow_others_fields() {
        let held = Held::Hash([("state".to_owned(), "ok".to_owned()), ("speed".to_owned(), "1".to_owned())].into());
        let exact: Row = Row::Hash([("state".to_owned(), "ok".to_owned())].into());
        let open: Row = Row::Hash([("state".to_owned(), "ok".to_owned()), ("..".to_owned(), String::new())].into());
        assert!(!agrees(&exact, Some(&held)));
        assert!(agrees(&open, Some(&held)));
    }
}
