//! New expectations from what happened.
//!
//! Only what a file already asks is answered anew: the rows and links it names, orchagent, its `writes`, exact counts and exit. Orders,
//! `never`, `commands`, `untouched` and `log` are intentions, not observations, and stay. In a file, everything from a step's
//! first `[step.expect` line to the next `[[step]]` is replaced; comments in there are lost.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::os::unix::process::ExitStatusExt;

use super::check::{Seen, canonical, state_of};
use super::expect::{Bounds, Exit, Expect, Group, Times};
use super::observe::Held;
use super::scenario::Row;
use super::text;

/// The fields of a state row, in the order that people know.
const OURS: [&str; 4] = ["state", "netdev_oper_status", "admin_status", "mtu"];

/// The `[step.expect]` sections for a step, as they would have to be.
pub fn expectations(expect: &Expect, seen: &Seen) -> String {
    let mut head = String::new();
    if expect.writes.is_some() {
        list(&mut head, "writes", &mut writes(expect, seen).into_iter());
    }
    if !expect.order.is_empty() {
        let places = expect.order.iter().map(|group| match group {
            Group::One(one) => quote(one),
            Group::Any(any) => format!("[{}]", any.iter().map(|p| quote(p)).collect::<Vec<_>>().join(", ")),
        });
        lines(&mut head, "order", &places.collect::<Vec<_>>());
    }
    let count = |done: &[Vec<String>], pattern: &str| done.iter().filter(|write| text::fits(pattern, write)).count();
    times(&mut head, "total", &expect.total, |pattern| count(&seen.total.writes, pattern));
    list_if(&mut head, "never", &expect.never);
    list_if(&mut head, "commands", &expect.commands);
    if let Some(published) = &expect.published {
        times(&mut head, "published", published, |message| {
            seen.step.published.iter().filter(|p| *p == message).count()
        });
    }
    if !expect.links.is_empty() {
        let links = expect
            .links
            .keys()
            .map(|name| format!("{} = \"{}\"", key(name), format!("{:?}", state_of(seen, name)).to_lowercase()));
        let _ = writeln!(head, "links = {{ {} }}", links.collect::<Vec<_>>().join(", "));
    }
    orchagent(&mut head, expect, seen);
    list_if(&mut head, "untouched", &expect.untouched);
    match (expect.exit, seen.exit) {
        (Some(Exit::Any(any)), _) => drop(writeln!(head, "exit = {{ any = {any} }}")),
        (Some(_), Some(status)) => {
            let how = status
                .code()
                .map_or_else(|| format!("signal = {}", status.signal().unwrap_or(0)), |code| format!("code = {code}"));
            let _ = writeln!(head, "exit = {{ {how} }}");
        }
        _ => {}
    }
    list_if(&mut head, "log", &expect.log);
    let mut out = if head.is_empty() { String::new() } else { format!("[step.expect]\n{head}") };
    for (database, rows) in &expect.rows {
        let _ = writeln!(out, "{}[step.expect.rows.{database}]", if out.is_empty() { "" } else { "\n" });
        for (name, row) in rows {
            let found = seen.rows.get(&(database.clone(), canonical(name)));
            let _ = writeln!(out, "{} = {}", quote(name), show(row, found));
        }
    }
    out
}

/// Puts new expectations into a file's text, one for each step.
pub fn splice(content: &str, steps: &[String]) -> String {
    let mut out: Vec<String> = Vec::new();
    let (mut number, mut skipping) = (None::<usize>, false);
    for line in content.lines().chain(["[[step]]"]) {
        if line.trim_start().starts_with("[[step]]") {
            if let Some(done) = number {
                while out.last().is_some_and(|last| last.trim().is_empty()) {
                    out.pop();
                }
                let new = steps.get(done).map_or("", |step| step.trim_end());
                if !new.is_empty() {
                    out.extend([String::new(), new.to_owned()]);
                }
                out.push(String::new());
            }
            number = Some(number.map_or(0, |n| n + 1));
            skipping = false;
        } else if line.trim_start().starts_with("[step.expect") {
            skipping = true;
        }
        if !skipping {
            out.push(line.to_owned());
        }
    }
    out.pop();
    out.join("\n").trim_end().to_owned() + "\n"
}

/// What is asked of links beyond their state, and of orchagent.
fn orchagent(head: &mut String, expect: &Expect, seen: &Seen) {
    let mut table = |name: &str, pairs: Vec<String>| {
        if !pairs.is_empty() {
            let _ = writeln!(head, "{name} = {{ {} }}", pairs.join(", "));
        }
    };
    let of = |name: &String| seen.links.get(name);
    let addressed = |name: &String| of(name).is_some_and(|link| link.addressed);
    table("addresses", expect.addresses.keys().map(|name| format!("{} = {}", key(name), addressed(name))).collect());
    // A link that is gone has no MTU: what was asked stays, and differs.
    let mtu = |(name, asked): (&String, &u32)| format!("{} = {}", key(name), of(name).map_or(*asked, |link| link.mtu));
    table("mtu", expect.mtu.iter().map(mtu).collect());
    let Some(asked) = &expect.orchagent else { return };
    let quoted = |all: &mut dyn Iterator<Item = &String>| all.map(|one| quote(one)).collect::<Vec<_>>().join(", ");
    let ports = asked.ports.as_ref().map(|_| format!("ports = [{}]", quoted(&mut seen.orchagent.ports.iter())));
    let count = asked.count.map(|asked| format!("count = {}", seen.orchagent.count.unwrap_or(asked)));
    let order = asked.order.as_ref().map(|_| format!("order = [{}]", quoted(&mut seen.orchagent.order.iter())));
    table("orchagent", [ports, count, order].into_iter().flatten().collect());
}

/// The effective writes: those that were expected stay as they are written, and first; a pattern is kept as a pattern.
fn writes(expect: &Expect, seen: &Seen) -> Vec<String> {
    let mut left = seen.effective.clone();
    let mut kept = Vec::new();
    for pattern in expect.writes.iter().flatten() {
        if let Some(at) = left.iter().position(|write| text::fits(pattern, write)) {
            left.remove(at);
            kept.push(pattern.clone());
        }
    }
    kept.extend(left.iter().map(|write| text::join(write)));
    kept
}

fn show(row: &Row, held: Option<&Held>) -> String {
    match (row, held) {
        (Row::There(true), Some(_)) => "true".to_owned(),
        (_, None) => "false".to_owned(),
        (_, Some(Held::Text(value))) => quote(value),
        (_, Some(Held::Set(members))) => {
            format!("[{}]", members.iter().map(|m| quote(m)).collect::<Vec<_>>().join(", "))
        }
        (row, Some(Held::Hash(found))) => {
            let named = match row {
                Row::Hash(named) if named.contains_key("..") => Some(named),
                _ => None,
            };
            let kept =
                found.iter().filter(|(f, _)| named.is_none_or(|named| named.keys().any(|n| canonical(n) == **f)));
            let mut kept: Vec<(&String, &String)> = kept.collect();
            kept.sort_by_key(|(field, _)| OURS.iter().position(|own| own == field).unwrap_or(OURS.len()));
            let mut pairs: Vec<String> = kept.iter().map(|(f, v)| format!("{} = {}", key(f), quote(v))).collect();
            if named.is_some() {
                pairs.push("\"..\" = \"\"".to_owned());
            }
            format!("{{ {} }}", pairs.join(", "))
        }
    }
}

fn list(out: &mut String, name: &str, items: &mut dyn Iterator<Item = String>) {
    lines(out, name, &items.map(|item| quote(&item)).collect::<Vec<_>>());
}

/// A list: on one line if it is short.
fn lines(out: &mut String, name: &str, items: &[String]) {
    let short = items.join(", ");
    let _ = if short.len() < 110 {
        writeln!(out, "{name} = [{short}]")
    } else {
        writeln!(out, "{name} = [\n  {},\n]", items.join(",\n  "))
    };
}

fn list_if(out: &mut String, name: &str, items: &[String]) {
    if !items.is_empty() {
        list(out, name, &mut items.iter().cloned());
    }
}

fn times(out: &mut String, name: &str, all: &BTreeMap<String, Times>, found: impl Fn(&str) -> usize) {
    let shown = all.iter().map(|(pattern, times)| match times {
        Times::Exactly(_) => format!("{} = {}", quote(pattern), found(pattern)),
        Times::Between(Bounds { at_least, at_most }) => {
            let most = at_most.map_or_else(String::new, |most| format!(", at-most = {most}"));
            format!("{} = {{ at-least = {at_least}{most} }}", quote(pattern))
        }
    });
    let shown: Vec<String> = shown.collect();
    if !shown.is_empty() {
        let _ = writeln!(out, "{name} = {{ {} }}", shown.join(", "));
    }
}

fn key(name: &str) -> String {
    let bare = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    if bare { name.to_owned() } else { quote(name) }
}

fn quote(value: &str) -> String {
    toml::Value::String(value.to_owned()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_and_orchagent_are_answered_anew() {
        let asked = "addresses = { Ethernet0 = true }\nmtu = { \"Ethernet0.10\" = 1 }\n\
                     orchagent = { ports = [], count = 0, order = [\"PortConfigDone\"] }";
        let link = super::super::check::Link { up: true, marks: (1, 1), mtu: 9100, addressed: false };
        let mut seen = Seen { links: [("Ethernet0.10".to_owned(), link)].into(), ..Seen::default() };
        seen.orchagent.ports.insert("Ethernet0".to_owned());
        seen.orchagent.count = Some(1);
        let wanted = "[step.expect]\naddresses = { Ethernet0 = false }\nmtu = { \"Ethernet0.10\" = 9100 }\n\
                      orchagent = { ports = [\"Ethernet0\"], count = 1, order = [] }\n";
        assert_eq!(expectations(&toml::from_str(asked).unwrap(), &seen), wanted);
    }

    #[test]
    fn only_expectations_are_replaced() {
        let file = "title = \"x\"\n\n[[step]]\nname = \"a\"\n\n[step.expect]\nwrites = []\n\n[[step]]\nname = \"b\"\n";
        let new = ["[step.expect]\nwrites = [\"y\"]\n".to_owned(), String::new()];
        let wanted =
            "title = \"x\"\n\n[[step]]\nname = \"a\"\n\n[step.expect]\nwrites = [\"y\"]\n\n[[step]]\nname = \"b\"\n";
        assert_eq!(splice(file, &new), wanted);
        assert_eq!(splice(wanted, &new), wanted);
    }
}
