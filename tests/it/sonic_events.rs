//! What docs/sonic has for SONiC's event framework, held against the daemon: the lines that it logs, and its default rules.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use portsyncd::alert::model::Fingerprint;
use portsyncd::alert::notify::{ActiveAlerts, Notifier, Surroundings};
use portsyncd::alert::rules::{Action, Loader, Rule, Severity};
use portsyncd::alert::{Alert, AlertState, Notification};
use portsyncd::config::RedisConfig;
use portsyncd::lab::captured::Captured;
use portsyncd::link::LinkName;
use regex::Regex;
use serde::Deserialize;
use tracing::info;

/// The text of a rule's summary, with what a text may have in it.
const SUMMARY: &str = "Ethernet4 flaps: 0.15 changes a \"second\", value=1 port=Ethernet8";

/// Leaves of sonic-events-common's grouping sonic-events-cmn, revision 2022-12-01.
const COMMON: [&str; 5] = ["timestamp", "type-id", "resource", "text", "action"];

/// What `rsyslog_plugin` puts before each expression, with three groups of its own.
const TIMESTAMP: &str = r"^([a-zA-Z]{3})?\s*([0-9]{1,2})?\s*([0-9]{2}:[0-9]{2}:[0-9]{2}.[0-9]{0,6})?\s*";

/// An entry of the list that `rsyslog_plugin` reads.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    tag: String,
    regex: String,
    params: Vec<String>,
}

/// What `rsyslog_plugin` publishes.
#[derive(Debug, PartialEq)]
struct Event {
    tag: String,
    params: BTreeMap<String, String>,
}

impl Event {
    fn new(tag: &str, params: &[(&str, &str)]) -> Self {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Self { tag: tag.to_owned(), params: params.iter().map(own).collect() }
    }
}

/// What `eventdb` knows of an event.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Profiled {
    name: String,
    severity: String,
    enable: String,
    message: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Profile {
    events: Vec<Profiled>,
}

fn read(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/sonic").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn entries() -> Vec<Entry> {
    serde_json::from_str(&read("portsyncd_regex.json")).unwrap()
}

/// A parameter's name, and the value that its Lua code gives; ours has nothing but constants.
fn param(text: &str) -> (&str, Option<&str>) {
    let Some((name, code)) = text.split_once(':') else { return (text, None) };
    let value = code.strip_prefix("ret=\"").and_then(|rest| rest.strip_suffix('"'));
    (name, Some(value.unwrap_or_else(|| panic!("{text}: Lua code that this test does not know"))))
}

/// Does what `rsyslog_plugin` does: the first expression that matches gives the event; a group that takes no part is empty.
fn publish(line: &str) -> Option<Event> {
    entries().into_iter().find_map(|entry| {
        let found = Regex::new(&format!("{TIMESTAMP}{}", entry.regex)).unwrap();
        assert_eq!(found.captures_len() - 4, entry.params.len(), "{}: rsyslog_plugin skips such an entry", entry.regex);
        let captures = found.captures(line)?;
        let groups = captures.iter().skip(4).map(|group| group.map_or("", |group| group.as_str()));
        let params = entry.params.iter().zip(groups).map(|(text, group)| {
            let (name, constant) = param(text);
            (name.to_owned(), constant.unwrap_or(group).to_owned())
        });
        Some(Event { tag: entry.tag, params: params.collect() })
    })
}

/// The lines as they go to syslog, without time and level. A test of `logging::line` holds that they read as the library's.
fn logged(log: impl FnOnce()) -> Vec<String> {
    let captured = Captured::default();
    let format = tracing_subscriber::fmt().with_target(false).with_ansi(false).with_level(false).without_time();
    tracing::subscriber::with_default(format.with_writer(captured.clone()).finish(), log);
    captured.lines()
}

/// What the log sink says of notifications.
fn told(notifications: &[Notification]) -> Vec<String> {
    let config = RedisConfig {
        url: "unix:///nonexistent/redis.sock".into(),
        database_config: "/nonexistent".into(),
        ..RedisConfig::default()
    };
    let store = config.store().unwrap();
    let surroundings = Surroundings { host: "leaf1", url: None, store: &store };
    let notifier = Notifier::start(&[], surroundings, Arc::default());
    let lines = logged(|| notifier.reconcile(notifications.to_vec(), ActiveAlerts::default()));
    assert_eq!(lines.len(), notifications.len(), "{lines:?}");
    lines
}

fn default_rules() -> Vec<Arc<Rule>> {
    let mut loader = Loader::with_any_sink();
    loader.defaults();
    loader.finish().unwrap().iter().cloned().collect()
}

fn notification(rule: &str, port: Option<&str>, severity: Severity, ended: bool) -> Notification {
    let port = port.map(|name| LinkName::new(name.as_bytes()).unwrap());
    let alert = Alert {
        fingerprint: Fingerprint::new(rule, port.as_ref()),
        rule: rule.into(),
        port,
        state: if ended { AlertState::Resolved } else { AlertState::Firing },
        severity,
        labels: BTreeMap::new(),
        annotations: BTreeMap::from([("summary".to_owned(), SUMMARY.to_owned())]),
        value: 0.15,
        since: 1_795_549_000.25,
        suppressed: None,
        notified: true,
    };
    Notification { alert, ended: ended.then_some(1_795_549_060.0), actions: [Action::Log].into() }
}

/// The events that the log of an alert becomes: when it fires, and when it ends.
fn events(rule: &str, port: Option<&str>, severity: Severity) -> [Option<Event>; 2] {
    [false, true].map(|ended| publish(&told(&[notification(rule, port, severity, ended)])[0]))
}

#[test]
fn every_default_rule_raises_and_clears() {
    // The log sink quotes texts as Rust does, and so does SONiC see them.
    let text = format!("{SUMMARY:?}");
    let text = text.trim_matches('"');
    for rule in default_rules() {
        let port = rule.is_of_ports().then_some("Ethernet4");
        let common =
            [("type-id", &*rule.name), ("resource", port.unwrap_or_default()), ("value", "0.15"), ("text", text)];
        let alert = |action| {
            let more = [("severity", rule.severity.name()), ("action", action)];
            Some(Event::new("alert", &[&common[..], &more].concat()))
        };
        let expected = match rule.severity {
            Severity::Info => [Some(Event::new("notice", &common)), None],
            Severity::Warning | Severity::Critical => [alert("RAISE"), alert("CLEAR")],
        };
        assert_eq!(events(&rule.name, port, rule.severity), expected, "{}", rule.name);
    }
}

#[test]
fn an_alert_without_summary_and_with_an_odd_value_is_an_event() {
    let mut odd = notification("A.b-c_1", Some("Etherné4"), Severity::Critical, false);
    odd.alert.annotations.clear();
    odd.alert.value = f64::INFINITY;
    let params =
        [("action", "RAISE"), ("type-id", "A.b-c_1"), ("severity", "critical"), ("value", "inf"), ("text", "")];
    let resource = [("resource", r"Ethern\xc3\xa94")];
    assert_eq!(publish(&told(&[odd])[0]), Some(Event::new("alert", &[&params[..], &resource].concat())));
}

#[test]
fn the_space_and_the_time_that_rsyslog_puts_before_a_line_do_not_matter() {
    let line = &told(&[notification("PortDown", Some("Ethernet4"), Severity::Warning, true)])[0];
    let event = publish(line);
    assert!(event.is_some());
    for before in [" ", "Nov 24 09:36:24.503424 "] {
        assert_eq!(publish(&format!("{before}{line}")), event);
    }
}

#[test]
fn what_orchagent_tells_is_not_told_again() {
    let lines =
        logged(|| info!(port = "Ethernet0", admin = "up", oper = "down", mtu = 9100, ifindex = 7, "port changed"));
    assert_eq!(publish(&lines[0]), None);
    let summary = logged(|| info!(firing = 50, resolved = 0, "more alerts than are logged one by one"));
    assert_eq!(publish(&summary[0]), None);
}

/// The plugin's expressions are C++'s `std::regex`, which is ECMAScript's: what is used here means the same in both.
#[test]
fn the_expressions_mean_the_same_in_other_languages() {
    for entry in entries() {
        assert!(!entry.regex.contains('\\'), "{}", entry.regex);
        assert!(!entry.regex.replace("(?:", "(").contains("(?"), "{}", entry.regex);
    }
}

/// The text between the braces that open after this.
fn block<'a>(yang: &'a str, head: &str) -> &'a str {
    let start = yang.find(&format!("{head} {{")).unwrap_or_else(|| panic!("no {head}")) + head.len() + 2;
    let mut depth = 1;
    let end = yang[start..].find(|letter| {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        depth == 0
    });
    &yang[start..start + end.unwrap()]
}

/// Names of leaves, those of groupings included.
fn leaves<'a>(yang: &'a str, head: &str) -> BTreeSet<&'a str> {
    let mut found = BTreeSet::new();
    for line in block(yang, head).lines().map(str::trim) {
        if let Some(name) = line.strip_prefix("leaf ") {
            found.insert(name.trim_end_matches(" {"));
        } else if line == "uses evtcmn:sonic-events-cmn;" {
            found.extend(COMMON);
        } else if let Some(name) = line.strip_prefix("uses ") {
            found.extend(leaves(yang, &format!("grouping {}", name.trim_end_matches(';'))));
        }
    }
    found
}

#[test]
fn every_parameter_is_a_leaf_of_its_event() {
    let yang = read("sonic-events-portsyncd.yang");
    for entry in entries() {
        let leaves = leaves(&yang, &format!("container {}", entry.tag));
        for (name, _) in entry.params.iter().map(|text| param(text)) {
            assert!(leaves.contains(name), "{} has no leaf {name}", entry.tag);
        }
    }
    let module = read("portsyncd_events.conf");
    assert!(module.contains("-r /etc/rsyslog.d/portsyncd_regex.json -m sonic-events-portsyncd\""));
    assert!(yang.starts_with("module sonic-events-portsyncd {"));
}

#[test]
fn every_default_rule_is_profiled_with_its_severity() {
    let profile: Profile = serde_json::from_str(&read("evprofile-portsyncd.json")).unwrap();
    let profiled: Vec<(&str, &str)> =
        profile.events.iter().map(|event| (event.name.as_str(), event.severity.as_str())).collect();
    let rules = default_rules();
    let expected = rules.iter().map(|rule| {
        let severity = match rule.severity {
            Severity::Critical => "CRITICAL",
            Severity::Warning => "MINOR",
            Severity::Info => "INFORMATIONAL",
        };
        (&*rule.name, severity)
    });
    assert_eq!(profiled, expected.collect::<Vec<_>>());
    for event in &profile.events {
        assert_eq!(event.enable, "true", "{}", event.name);
        assert!(!event.message.is_empty(), "{}", event.name);
    }
}

/// Words of a command, without a shell's single quotes.
fn words(command: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (at, part) in command.split('\'').enumerate() {
        if at % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_whitespace().map(str::to_owned));
        }
    }
    words
}

#[test]
fn the_rules_of_the_text_hold() {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/sonic.md")).unwrap();
    let text = text.replace("\\\n", "");
    let mut loader = Loader::new(Vec::new());
    loader.defaults();
    for command in text.lines().filter_map(|line| line.trim().strip_prefix("sonic-db-cli CONFIG_DB HSET ")) {
        let words = words(command);
        let name = words[0].strip_prefix("PORTSYNCD_ALERT_RULE|").unwrap();
        let fields = words[1..].chunks(2).map(|pair| (pair[0].as_str(), pair[1].as_str()));
        loader.fields(name, fields);
    }
    let rules = loader.finish().unwrap();
    let uplink = rules.get("UplinkDown").unwrap();
    assert_eq!((uplink.severity, uplink.for_millis, uplink.is_of_ports()), (Severity::Critical, 30_000, true));
    assert!(!rules.get("NetlinkOverruns").unwrap().enabled);
}
