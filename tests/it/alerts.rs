//! Alerts of the real daemon: rules from files and from CONFIG_DB, silences, restarts.

use std::fs;

use crate::fixture::Rig;
use crate::fixture::http::{ask, get, over_socket};
use nix::sys::signal::Signal;
use portsyncd::alert::AlertState;
use portsyncd::alert::api::{AlertList, AlertView, History, RuleList, SilenceList};
use redis::Commands;

const DOWN: &str = r#"
[[rule]]
name = "Down"
metric = "port_oper_up"
ports = "Ethernet*"
condition = { equals = 0 }
severity = "warning"
annotations = { summary = "{{ port }} is down" }
actions = ["log"]
"#;

/// A switch at work with this file of rules, its ports up; the default rules are off.
fn with_rules(ports: usize, text: &str) -> Rig {
    let rig = Rig::with_rules(ports, text, false);
    let rig = rig.set_to_work();
    // It comes beside the core, and may be later.
    rig.until("the control socket", || rig.control_socket().exists());
    for port in &rig.ports {
        rig.up(port);
    }
    rig
}

fn alert(rig: &Rig, rule: &str, port: Option<&str>) -> Option<AlertView> {
    let list: AlertList = rig.api("/api/v1/alerts");
    let of_port = |view: &AlertView| view.alert.port.map(|port| port.to_string()).as_deref() == port;
    list.alerts.into_iter().find(|view| &*view.alert.rule == rule && of_port(view))
}

fn expect_state(rig: &Rig, rule: &str, port: Option<&str>, state: Option<AlertState>) {
    rig.until(&format!("{rule} of {port:?} to be {state:?}"), || {
        alert(rig, rule, port).map(|view| view.alert.state) == state
    });
}

fn silence(rig: &Rig, body: &str) -> (u16, String) {
    let length = body.len();
    let request = format!(
        "POST /api/v1/silences HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    );
    let answer = over_socket(&rig.control_socket(), &request).unwrap();
    (answer.code, answer.body)
}

fn tomorrow() -> f64 {
    portsyncd::clock::seconds(portsyncd::clock::now_ms()) + 86_400.0
}

#[test]
fn a_port_that_goes_down_fires_and_resolves_when_it_is_back() {
    let rig = with_rules(2, DOWN);
    expect_state(&rig, "Down", Some("Ethernet0"), None);
    rig.down("Ethernet0");
    expect_state(&rig, "Down", Some("Ethernet0"), Some(AlertState::Firing));
    assert_eq!(alert(&rig, "Down", Some("Ethernet0")).unwrap().summary, "Ethernet0 is down");
    rig.expect_metric("portsyncd_alerts{rule=\"Down\",severity=\"warning\",state=\"firing\"}", |alerts| alerts > 0.5);
    expect_state(&rig, "Down", Some("Ethernet4"), None);
    rig.up("Ethernet0");
    expect_state(&rig, "Down", Some("Ethernet0"), None);
    rig.until("both in the history", || {
        let history: History = rig.api("/api/v1/alerts/history");
        let all = history.transitions.iter().filter(|one| one.port.is_some_and(|name| name.to_string() == "Ethernet0"));
        all.map(|one| one.to).collect::<Vec<_>>().ends_with(&[AlertState::Firing, AlertState::Resolved])
    });
}

#[test]
fn silences_are_made_over_the_control_socket_only() {
    let rig = with_rules(1, DOWN);
    rig.down("Ethernet0");
    expect_state(&rig, "Down", Some("Ethernet0"), Some(AlertState::Firing));
    let body = format!("{{\"rule\":\"Down\",\"port\":\"Ethernet*\",\"until\":{},\"comment\":\"a test\"}}", tomorrow());
    let length = body.len();
    let request = format!(
        "POST /api/v1/silences HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    );
    assert_eq!(ask(rig.http(), &request).unwrap().code, 405);
    assert_eq!(silence(&rig, &body).0, 201);
    expect_state(&rig, "Down", Some("Ethernet0"), Some(AlertState::Suppressed));
    let silences: SilenceList = rig.api("/api/v1/silences");
    let id = silences.silences[0].id;
    let request = format!("DELETE /api/v1/silences/{id} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    assert_eq!(over_socket(&rig.control_socket(), &request).unwrap().code, 200);
    assert_eq!(over_socket(&rig.control_socket(), &request).unwrap().code, 404, "it is gone");
    expect_state(&rig, "Down", Some("Ethernet0"), Some(AlertState::Firing));
    for (body, part) in [
        ("{\"rule\":\"Up\",\"until\":9e12}".to_owned(), "the name of a rule"),
        (format!("{{\"rule\":\"Down\",\"until\":{}}}", 1), "until"),
        ("{\"rul\":\"Down\"}".to_owned(), "rul"),
        ("no json".to_owned(), "no silence"),
    ] {
        let (code, message) = silence(&rig, &body);
        assert!(code == 400 && message.contains(part), "{body}: {code} {message}");
    }
    assert_eq!(silence(&rig, &"x".repeat(20_000)).0, 400);
}

#[test]
fn alerts_and_silences_survive_a_restart() {
    let mut rig = with_rules(2, DOWN);
    rig.down("Ethernet0");
    rig.down("Ethernet4");
    expect_state(&rig, "Down", Some("Ethernet0"), Some(AlertState::Firing));
    assert_eq!(silence(&rig, &format!("{{\"rule\":\"Down\",\"port\":\"Ethernet4\",\"until\":{}}}", tomorrow())).0, 201);
    expect_state(&rig, "Down", Some("Ethernet4"), Some(AlertState::Suppressed));
    rig.until("it to be told", || alert(&rig, "Down", Some("Ethernet0")).is_some_and(|view| view.alert.notified));
    let before = alert(&rig, "Down", Some("Ethernet0")).unwrap();
    assert_eq!(rig.term(), Some(0));
    rig.start();
    expect_state(&rig, "Down", Some("Ethernet0"), Some(AlertState::Firing));
    expect_state(&rig, "Down", Some("Ethernet4"), Some(AlertState::Suppressed));
    let after = alert(&rig, "Down", Some("Ethernet0")).unwrap();
    assert!((after.alert.since - before.alert.since).abs() < 0.1 && after.alert.notified, "{before:?} {after:?}");
    let rules: RuleList = rig.api("/api/v1/rules");
    assert!(rules.last_evaluation.is_some() && rules.problem.is_none(), "{rules:?}");
    rig.up("Ethernet0");
    expect_state(&rig, "Down", Some("Ethernet0"), None);
}

#[test]
fn rules_of_config_db_are_followed() {
    let rig = with_rules(1, DOWN);
    let key = "PORTSYNCD_ALERT_RULE|FromDb";
    let fields =
        [("metric", "ports"), ("match", "{ state = \"up\" }"), ("condition", "{ above = 0 }"), ("severity", "info")];
    let () = rig.db(4).hset_multiple(key, &fields).unwrap();
    expect_state(&rig, "FromDb", None, Some(AlertState::Firing));
    let () = rig.db(4).del(key).unwrap();
    expect_state(&rig, "FromDb", None, None);
    let rules: RuleList = rig.api("/api/v1/rules");
    assert!(rules.rules.iter().all(|rule| rule.name != "FromDb"), "{rules:?}");
    let () = rig.db(4).hset(key, "metric", "no_such_metric").unwrap();
    rig.until("the problem", || {
        let rules: RuleList = rig.api("/api/v1/rules");
        rules.problem.is_some_and(|problem| problem.contains(key) && problem.contains("no_such_metric"))
    });
    rig.expect_metric("portsyncd_rules_wrong", |wrong| wrong > 0.5);
    rig.down("Ethernet0");
    expect_state(&rig, "Down", Some("Ethernet0"), Some(AlertState::Firing));
}

#[test]
fn files_are_read_again_and_wrong_ones_leave_the_rules_before_in_force() {
    let rig = with_rules(1, DOWN);
    let file = rig.dir().join("rules/switch.toml");
    fs::write(&file, DOWN.replace("equals = 0", "equals = \"zero\"")).unwrap();
    let output = rig.command().arg("check-config").output().unwrap();
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.code() == Some(78) && message.contains("switch.toml") && message.contains("Down"),
        "{message}"
    );
    rig.signal(Signal::SIGHUP);
    rig.expect_log("alert rules cannot be used, keeping the ones before");
    rig.down("Ethernet0");
    expect_state(&rig, "Down", Some("Ethernet0"), Some(AlertState::Firing));
    fs::write(&file, DOWN.replace("\"Down\"", "\"Off\"")).unwrap();
    rig.signal(Signal::SIGHUP);
    expect_state(&rig, "Off", Some("Ethernet0"), Some(AlertState::Firing));
    expect_state(&rig, "Down", Some("Ethernet0"), None);
}

#[test]
fn the_default_rules_tell_of_a_redis_that_is_gone() {
    let mut rig = Rig::new(1);
    rig.set("PORTSYNCD_ALERTS__EVALUATION_INTERVAL", "100ms");
    let mut rig = rig.set_to_work();
    rig.until("the default rules", || {
        let rules: RuleList = rig.api("/api/v1/rules");
        rules.rules.len() > 15
    });
    rig.server.kill();
    rig.until("RedisDown", || alert(&rig, "RedisDown", None).is_some());
    assert_eq!(get(rig.http(), "/api/v1/alerts").unwrap().code, 200);
}
