//! The commands about alerts and rules, against the real daemon.

use std::fs;

use crate::fixture::Rig;
use crate::fixture::terminal::Terminal;
use portsyncd::alert::AlertState;
use portsyncd::alert::api::{AlertList, AlertView, History, RuleList, SilenceList};

const RULES: &str = r#"
    [[rule]]
    name = "OperDown"
    metric = "port_oper_up"
    condition = { equals = 0 }
    severity = "critical"
    actions = ["log"]
    [rule.annotations]
    summary = "{{ port }} has no link"

    [[rule]]
    name = "OffToday"
    metric = "ports"
    match = { state = "up" }
    condition = { above = 1000 }
    severity = "info"
    enabled = false
"#;

/// A switch at work with these rules and no others.
fn rig(ports: usize) -> Rig {
    let mut rig = Rig::with_rules(ports, RULES, false);
    rig.set("SUDO_USER", "nora");
    let rig = rig.set_to_work();
    rig.until("the socket", || rig.control_socket().exists());
    rig
}

fn json<T: serde::de::DeserializeOwned>(rig: &Rig, arguments: &[&str]) -> T {
    serde_json::from_str(&rig.printed(&[arguments, &["--json"]].concat())).unwrap()
}

fn alert_of(rig: &Rig, port: &str) -> Option<AlertView> {
    let list: AlertList = json(rig, &["alerts"]);
    list.alerts.into_iter().find(|view| view.alert.port.is_some_and(|name| name.to_string() == port))
}

fn expect(rig: &Rig, port: &str, state: AlertState) {
    rig.until(&format!("{port} to be {state}"), || alert_of(rig, port).is_some_and(|view| view.alert.state == state));
}

#[test]
fn an_alert_is_listed_silenced_and_remembered() {
    let rig = rig(3);
    rig.run(rig.links.set_admin_many(&rig.ports, true));
    rig.expect_in_step(3);
    rig.until("no alerts", || rig.printed(&["alerts"]).starts_with("no alerts"));
    assert!(!rig.printed(&["status"]).contains("\nalerts "));

    rig.run(rig.links.set_carrier("Ethernet4", false));
    rig.run(rig.links.set_carrier("Ethernet8", false));
    expect(&rig, "Ethernet4", AlertState::Firing);
    expect(&rig, "Ethernet8", AlertState::Firing);
    let table = rig.printed(&["alerts"]);
    let line: Vec<&str> = table.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!(line[..4], ["critical", "firing", "OperDown", "Ethernet4"], "{table}");
    assert!(table.contains("Ethernet4 has no link\n") && !table.contains('\x1b'), "{table}");
    // Both tell for how long it is so.
    rig.until("the same table", || rig.printed(&["alerts"]) == rig.printed(&["alerts", "list"]));
    rig.until("it in the status", || rig.printed(&["status"]).contains("\nalerts      2 critical firing\n"));
    rig.until("it in the rules", || rig.printed(&["rules", "list"]).contains("2 firing"));

    let made = rig.printed(&["alerts", "silence", "Oper*", "--port", "Ethernet4", "--for", "2h", "--comment", "cable"]);
    assert_eq!(made, "silence 1: Oper* on Ethernet4, from now, for 2h; `portsyncd alerts unsilence 1` ends it\n");
    expect(&rig, "Ethernet4", AlertState::Suppressed);
    expect(&rig, "Ethernet8", AlertState::Firing);
    let table = rig.printed(&["alerts"]);
    let alerts: Vec<&str> = table.lines().skip(1).take(2).collect();
    assert!(alerts[0].contains("Ethernet8") && alerts[1].ends_with("Ethernet4 has no link (silence 1)"), "{table}");
    let silences = table.split_once("\n\n").unwrap().1;
    rig.until("the same silences", || {
        let table = rig.printed(&["alerts"]);
        table.split_once("\n\n").is_some_and(|(_, silences)| silences == rig.printed(&["alerts", "silences"]))
    });
    let line: Vec<&str> = silences.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!(line[..3], ["1", "Oper*", "Ethernet4"]);
    assert_eq!(line[line.len() - 2..], ["nora", "cable"], "{silences}");

    assert_eq!(rig.printed(&["alerts", "unsilence", "1"]), "silence 1 has ended: Oper* on Ethernet4\n");
    expect(&rig, "Ethernet4", AlertState::Firing);
    assert_eq!(rig.printed(&["alerts", "silences"]), "no silences\n");
    rig.run(rig.links.set_carrier("Ethernet4", true));
    rig.until("its end", || alert_of(&rig, "Ethernet4").is_none());
    let history: History = json(&rig, &["alerts", "history"]);
    let to: Vec<AlertState> = history
        .transitions
        .iter()
        .filter(|one| one.port.is_some_and(|port| port.to_string() == "Ethernet4"))
        .map(|one| one.to)
        .collect();
    assert!(
        to.ends_with(&[AlertState::Firing, AlertState::Suppressed, AlertState::Firing, AlertState::Resolved]),
        "{to:?}"
    );
    let table = rig.printed(&["alerts", "history"]);
    assert!(table.contains("suppressed (silence 1)") && table.lines().count() == history.transitions.len() + 1);
    let last = rig.printed(&["alerts", "history", "--last", "2"]);
    assert_eq!(last.lines().count(), 3, "{last}");
    assert!(last.lines().last().unwrap().contains("resolved"), "the newest: {last}");
    let History { transitions } = json(&rig, &["alerts", "history", "--last", "2"]);
    assert_eq!(transitions, history.transitions[history.transitions.len() - 2..]);
    assert_eq!(rig.printed(&["alerts", "history", "--last", "999"]).lines().count(), table.lines().count());
}

#[test]
fn a_maintenance_window_begins_later() {
    let rig = rig(1);
    expect(&rig, "Ethernet0", AlertState::Firing);
    let window = ["--for", "30m", "--starts", "1h", "--comment", "new optics", "--author", "ada"];
    let made = rig.printed(&[&["alerts", "silence", "*"], &window[..]].concat());
    assert!(made.starts_with("silence 1: *, begins in ") && made.contains(", for 30m; "), "{made}");
    let SilenceList { silences } = json(&rig, &["alerts", "silences"]);
    let silence = &silences[0];
    assert!((silence.starts - silence.created - 3600.0).abs() < 30.0, "{silence:?}");
    assert!((silence.until - silence.starts - 1800.0).abs() < 1e-3, "{silence:?}");
    assert_eq!((silence.author.as_str(), silence.comment.as_str(), &silence.port), ("ada", "new optics", &None));
    expect(&rig, "Ethernet0", AlertState::Firing);
    let silence: portsyncd::alert::engine::Silence = json(&rig, &["alerts", "unsilence", "1"]);
    assert_eq!(silence.id, 1);
}

#[test]
fn what_makes_no_sense_is_said_by_whoever_knows() {
    let rig = rig(1);
    let silence =
        |rule: &str, more: &[&str]| rig.complained(&[&["alerts", "silence", rule, "--comment", "x"], more].concat());
    let (code, message) = silence("OperDwn", &["--for", "2h"]);
    assert_eq!(code, 1);
    assert_eq!(
        message,
        "portsyncd: silence: rule = \"OperDwn\": the name of a rule, or a pattern of some, did you mean \"OperDown\"?\n"
    );
    let (code, message) = silence("OperDown", &["--for", "2h", "--port", "Ethernet["]);
    assert!(code == 1 && message.starts_with("portsyncd: silence: port = \"Ethernet[\": "), "{code} {message}");
    let (code, message) = rig.complained(&["alerts", "unsilence", "7"]);
    assert_eq!((code, message.as_str()), (1, "portsyncd: no silence has the number 7\n"));
    for (more, wanted) in [
        (&["--for", "2x"][..], "a duration like 30m, 2h"),
        (&["--for", "0s"], "it would be over at once"),
        (&["--for", "1h", "--starts=-5m"], "--starts"),
        (&[], "--for <DURATION>"),
        (&["--for", "1h", "--comment", ""], "--comment"),
    ] {
        let (code, message) = silence("OperDown", more);
        assert!(code == 64 && message.contains(wanted), "{more:?}: {code} {message}");
    }
    assert_eq!(rig.complained(&["alerts", "unsilence", "one"]).0, 64);
    assert_eq!(rig.complained(&["alerts", "nothing"]).0, 64);
    assert_eq!(rig.printed(&["alerts", "silences"]), "no silences\n");
}

#[test]
fn rules_are_listed_as_they_stand() {
    let mut rig = rig(1);
    expect(&rig, "Ethernet0", AlertState::Firing);
    let list: RuleList = json(&rig, &["rules", "list"]);
    assert_eq!(list.rules.iter().map(|rule| rule.name.as_str()).collect::<Vec<_>>(), ["OperDown", "OffToday"]);
    let table = rig.printed(&["rules", "list"]);
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines[1].contains("1 firing") && lines[1].contains("port_oper_up equals 0"), "{table}");
    assert!(lines[2].contains(" off ") && lines[2].ends_with("switch.toml"), "{table}");
    assert!(lines[4].starts_with("2 rules, looked at "), "{table}");
    fs::write(rig.dir().join("rules/wrong.toml"), "[[rule]]\nname = \"X\"\n").unwrap();
    rig.signal(nix::sys::signal::Signal::SIGHUP);
    rig.until("the problem", || rig.printed(&["rules", "list"]).contains("wrong.toml"));
    assert!(rig.printed(&["rules", "list"]).contains("OperDown"), "what was in force still is");
    rig.crash();
    for arguments in [&["alerts"][..], &["alerts", "history"], &["alerts", "unsilence", "1"], &["rules", "list"]] {
        assert_eq!(rig.complained(arguments).0, 69, "{arguments:?}");
    }
}

#[test]
fn rules_are_tested_without_a_daemon() {
    let mut rig = Rig::new(0);
    rig.argument("--config");
    rig.argument("/nonexistent.toml");
    let file = |name: &str, text: &str| {
        let path = rig.dir().join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    file("rules.toml", RULES);
    let test = |state: &str| {
        let series = "[[series]]\nmetric = \"port_oper_up\"\nport = \"Ethernet0\"\nvalues = \"1 0x5\"\n";
        let expect =
            format!("[[expect]]\nat = \"10s\"\nrule = \"OperDown\"\nport = \"Ethernet0\"\nstate = \"{state}\"\n");
        format!("rules = [\"rules.toml\"]\ninterval = \"10s\"\n{series}{expect}")
    };
    let (good, bad) = (file("good.toml", &test("firing")), file("bad.toml", &test("pending")));
    let wrong = file("wrong.toml", &test("on fire"));
    let run = |files: &[&str]| {
        let output = rig.ask(&[&["rules", "test"], files].concat());
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    };
    assert_eq!(run(&[&good]), (0, format!("ok      {good}: 1 expectations\n"), String::new()));
    let (code, out, error) = run(&[&bad, &good]);
    assert_eq!((code, error.as_str()), (1, ""));
    assert!(out.starts_with(&format!("FAILED  {bad}\n  at 10s: OperDown Ethernet0: state\n")), "{out}");
    assert!(out.contains("wanted: pending\n") && out.contains("found:  firing") && out.contains("\nok      "), "{out}");
    let (code, out, error) = run(&[&wrong, &good, "/nonexistent/test.toml"]);
    assert_eq!((code, error.as_str()), (78, "portsyncd: 2 files of tests cannot be used\n"));
    assert!(out.contains(&format!("WRONG   {wrong}\n")) && out.contains("on fire") && out.contains("\nok "), "{out}");
    assert_eq!(run(&[]).0, 64);
}

#[test]
fn watch_shows_alerts_as_they_come_and_go() {
    let rig = rig(2);
    rig.run(rig.links.set_admin_many(&rig.ports, true));
    rig.expect_in_step(2);
    let mut command = rig.command();
    let mut terminal = Terminal::run(command.arg("watch"), (100, 30));
    terminal.expect_line(&["READY"]);
    rig.run(rig.links.set_carrier("Ethernet4", false));
    terminal.expect_line(&["critical firing OperDown Ethernet4: Ethernet4 has no link"]);
    rig.printed(&["alerts", "silence", "OperDown", "--for", "1h", "--comment", "x"]);
    terminal.expect_line(&["critical suppressed OperDown Ethernet4 (silence 1): "]);
    rig.run(rig.links.set_carrier("Ethernet4", true));
    terminal.expect("no alerts", |screen| !screen.contents().contains("OperDown"));
    terminal.keys("q");
    assert_eq!(terminal.expect_end().code(), Some(0));
}
