//! Delivery by the whole daemon, real links and a real Redis: each alert is told once, whatever is restarted meanwhile.

mod restarts;
mod webhook;

use std::fs::{self, File};
use std::process::Stdio;

use crate::fixture::{Fields, Rig};
use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::Signal;
use portsyncd::alert::AlertState;
use portsyncd::alert::api::{AlertList, AlertView, RuleList, SilenceList};
use portsyncd::lab::redis_server::STATE_DB;
use redis::Commands;
use webhook::Webhook;

/// A port without link fires at once; one that is down for an hour is pending.
const RULES: &str = r#"
[[rule]]
name = "Down"
metric = "port_oper_up"
condition = { equals = 0 }
severity = "critical"
annotations = { summary = "{{ port }} is down" }
actions = ["hook", "rows"]

[[rule]]
name = "Long"
metric = "port_oper_up"
condition = { equals = 0 }
for = "1h"
severity = "info"
actions = ["hook", "rows"]
"#;

/// A daemon that is configured by a file, not started.
fn rig(ports: usize, rules: &str) -> Rig {
    let mut rig = Rig::new(ports);
    fs::create_dir(rig.dir().join("rules")).unwrap();
    fs::write(rig.dir().join("rules/switch.toml"), rules).unwrap();
    rig.argument("--config");
    let file = rig.dir().join("portsyncd.toml").display().to_string();
    rig.argument(&file);
    rig
}

/// Writes the configuration; `more` is what stands in `[alerts]` and behind it.
fn configure(rig: &Rig, more: &str) {
    let rules = rig.dir().join("rules/*.toml").display().to_string();
    let text = format!(
        "[netlink]\naudit_interval = \"200ms\"\n[state]\nsave_interval = \"1s\"\n[alerts]\nrules = [{rules:?}]\n{more}"
    );
    fs::write(rig.dir().join("portsyncd.toml"), text).unwrap();
}

const QUICK: &str = "evaluation_interval = \"100ms\"\ndefault_rules = false\n";

fn hook(name: &str, webhook: &Webhook, more: &str) -> String {
    format!(
        "[[alerts.sink]]\nname = {name:?}\ntype = \"webhook\"\nurl = {:?}\ngroup_interval = \"10ms\"\n\
         backoff = \"50ms\"\nmax_backoff = \"100ms\"\n{more}\n",
        webhook.url()
    )
}

const ROWS: &str = "[[alerts.sink]]\nname = \"rows\"\ntype = \"state_db\"\ngroup_interval = \"10ms\"\n";

/// At work with a webhook and rows, every port with a link, before anything was told.
fn at_work(ports: usize) -> (Rig, Webhook) {
    at_work_gathering(ports, "10ms")
}

/// The same with a webhook whose alerts are gathered for so long.
fn at_work_gathering(ports: usize, group_interval: &str) -> (Rig, Webhook) {
    let rig = rig(ports, "");
    let webhook = Webhook::start();
    let hook = hook("hook", &webhook, "").replace("\"10ms\"", &format!("{group_interval:?}"));
    configure(&rig, &[QUICK, &hook, ROWS].concat());
    let rig = rig.set_to_work();
    rig.until("the control socket", || rig.control_socket().exists());
    for port in &rig.ports {
        rig.up(port);
        rig.expect_row(port, "up", "up", 1500);
    }
    fs::write(rig.dir().join("rules/switch.toml"), RULES).unwrap();
    rig.signal(Signal::SIGHUP);
    rig.until("the rules", || rig.api::<RuleList>("/api/v1/rules").rules.len() == 2);
    (rig, webhook)
}

fn alert(rig: &Rig, rule: &str, port: &str) -> Option<AlertView> {
    let list: AlertList = rig.api("/api/v1/alerts");
    let is = |view: &AlertView| view.alert.port.is_some_and(|name| name.to_string() == port);
    list.alerts.into_iter().find(|view| &*view.alert.rule == rule && is(view))
}

fn expect_state(rig: &Rig, rule: &str, port: &str, state: AlertState) {
    rig.until(&format!("{rule} of {port} to be {state}"), || {
        alert(rig, rule, port).is_some_and(|view| view.alert.state == state)
    });
}

fn row(rig: &Rig, port: &str) -> Fields {
    rig.hash(STATE_DB, &format!("PORTSYNCD_ALERT_TABLE|Down|{port}"))
}

fn expect_heard(rig: &Rig, webhook: &Webhook, what: &str, times: usize) {
    let heard = || webhook.heard();
    rig.until(&format!("{what:?} {times} times"), || webhook.count(what) >= times);
    assert_eq!(webhook.count(what), times, "{:?}", heard());
}

/// What is told later arrives later: whatever was to come of `Ethernet0` has come once another port was told.
fn expect_told_once(rig: &Rig, webhook: &Webhook, marker: &str) {
    let [firing, resolved] = ["firing", "resolved"].map(|status| format!("{status} Down {marker}"));
    let [fired, ended] = [&firing, &resolved].map(|what| webhook.count(what));
    rig.down(marker);
    expect_heard(rig, webhook, &firing, fired + 1);
    rig.up(marker);
    expect_heard(rig, webhook, &resolved, ended + 1);
}

fn run(rig: &Rig, arguments: &[&str]) -> String {
    let output = rig.command().args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_receiver_that_fails_is_named_since_when_and_why() {
    let (rig, webhook) = at_work(1);
    let receiver = || {
        let status: portsyncd::api::Status = rig.api("/api/v1/status");
        status.receivers.into_iter().find(|receiver| receiver.sink == "hook").unwrap()
    };
    assert_eq!(receiver().failing_since, None);
    webhook.refuse(true);
    rig.down("Ethernet0");
    rig.until("the failure", || receiver().problem.is_some_and(|problem| problem.contains("503")));
    let since = receiver().failing_since.unwrap();
    assert!(rig.printed(&["status"]).contains("receivers of alerts, 1 of them failing"));
    rig.until("another attempt", || webhook.refused() > 2);
    assert!((receiver().failing_since.unwrap() - since).abs() < 1e-6, "since the first of them");
    webhook.refuse(false);
    rig.until("the delivery", || receiver().failing_since.is_none());
}

#[test]
fn a_webhook_and_rows_hear_of_an_alert_and_of_its_end() {
    let (rig, webhook) = at_work(2);
    let (firing, resolved) = ("firing Down Ethernet0", "resolved Down Ethernet0");
    assert!(row(&rig, "Ethernet0").is_empty());
    rig.down("Ethernet0");
    expect_heard(&rig, &webhook, firing, 1);
    rig.until("the row", || row(&rig, "Ethernet0").get("summary").is_some_and(|text| text == "Ethernet0 is down"));
    assert_eq!(
        (row(&rig, "Ethernet0")["state"].as_str(), row(&rig, "Ethernet0")["severity"].as_str()),
        ("firing", "critical")
    );
    rig.up("Ethernet0");
    expect_heard(&rig, &webhook, resolved, 1);
    rig.until("the end of the row", || row(&rig, "Ethernet0").is_empty());
    expect_told_once(&rig, &webhook, "Ethernet4");
    assert_eq!((webhook.count(firing), webhook.count(resolved)), (1, 1));
}

#[test]
fn an_alert_is_told_once_over_restarts_and_a_loss_of_redis() {
    let (mut rig, webhook) = at_work(3);
    let (firing, resolved) = ("firing Down Ethernet0", "resolved Down Ethernet0");
    run(&rig, &["alerts", "silence", "Down", "--port", "Ethernet8", "--for", "1h", "--comment", "test"]);
    rig.down("Ethernet0");
    rig.down("Ethernet8");
    expect_heard(&rig, &webhook, firing, 1);
    rig.until("the row", || !row(&rig, "Ethernet0").is_empty());
    expect_state(&rig, "Long", "Ethernet0", AlertState::Pending);
    let since = alert(&rig, "Long", "Ethernet0").unwrap().alert.since;
    let check = |rig: &Rig, after: &str| {
        expect_told_once(rig, &webhook, "Ethernet4");
        let heard = webhook.heard();
        assert_eq!((webhook.count(firing), webhook.count(resolved)), (1, 0), "{after}: {heard:?}");
        assert_eq!(webhook.count("firing Down Ethernet8"), 0, "{after}: {heard:?}");
        expect_state(rig, "Down", "Ethernet0", AlertState::Firing);
        expect_state(rig, "Down", "Ethernet8", AlertState::Suppressed);
        expect_state(rig, "Long", "Ethernet0", AlertState::Pending);
        let pending = alert(rig, "Long", "Ethernet0").unwrap().alert;
        assert!((pending.since - since).abs() < 0.01, "{after}: {pending:?}");
        rig.until("the row", || !row(rig, "Ethernet0").is_empty());
        assert_eq!(rig.api::<SilenceList>("/api/v1/silences").silences.len(), 1);
    };

    rig.server.kill();
    rig.expect_log("Redis is not reachable");
    rig.server.restart().unwrap();
    rig.expect_log("Redis is back");
    check(&rig, "after Redis came back empty");
    // Without ports in CONFIG_DB the next start would be a cold one, which sets links down.
    rig.seed(3);

    assert_eq!(rig.term(), Some(0));
    let () = rig.db(STATE_DB).del("PORTSYNCD_ALERT_TABLE|Down|Ethernet0").unwrap();
    rig.start();
    rig.expect_log("start kind=Live");
    check(&rig, "after a restart of the daemon alone, its row gone");

    let () = rig.db(STATE_DB).hset("WARM_RESTART_ENABLE_TABLE|system", "enable", "true").unwrap();
    let () = rig.db(STATE_DB).hset("WARM_RESTART_TABLE|portsyncd", "restore_count", "0").unwrap();
    assert_eq!(rig.term(), Some(0));
    rig.start();
    rig.expect_log("start kind=Warm");
    check(&rig, "after a warm restart");

    let saved = || fs::read_to_string(rig.state_dir().join("state.json")).unwrap_or_default();
    let id = alert(&rig, "Down", "Ethernet0").unwrap().alert.fingerprint.to_string();
    rig.until("the state to be saved", || saved().contains(&format!("\"told\":[\"{id}\"]")));
    rig.crash();
    rig.start();
    rig.expect_log("start kind=Warm");
    check(&rig, "after a crash");

    // Redis is gone while the daemon starts, and comes back empty.
    assert_eq!(rig.term(), Some(0));
    rig.server.kill();
    rig.start();
    rig.expect_log("Redis is not reachable");
    expect_state(&rig, "Down", "Ethernet0", AlertState::Firing);
    rig.server.restart().unwrap();
    rig.until("the row", || !row(&rig, "Ethernet0").is_empty());
    assert_eq!((webhook.count(firing), webhook.count(resolved)), (1, 0), "{:?}", webhook.heard());
}

#[test]
fn what_the_last_run_could_not_deliver_the_next_one_does() {
    let (mut rig, webhook) = at_work(2);
    rig.down("Ethernet4");
    expect_heard(&rig, &webhook, "firing Down Ethernet4", 1);
    let counts = || ["firing Down Ethernet0", "resolved Down Ethernet4"].map(|what| webhook.count(what));
    webhook.refuse(true);
    rig.down("Ethernet0");
    rig.up("Ethernet4");
    rig.until("attempts", || webhook.refused() > 1);
    rig.until("both to wait", || {
        let ended = alert(&rig, "Down", "Ethernet4").is_none();
        ended && alert(&rig, "Down", "Ethernet0").is_some_and(|view| view.alert.notified)
    });
    assert_eq!(rig.term(), Some(0));
    rig.expect_log("alerts could not be delivered any more, the next run does it");
    let refused = webhook.refused();
    rig.start();
    rig.until("further attempts", || webhook.refused() > refused);
    assert_eq!(counts(), [0, 0]);
    // A second restart, with nothing delivered in between.
    assert_eq!(rig.term(), Some(0));
    webhook.refuse(false);
    rig.start();
    rig.until("both", || counts().iter().all(|count| *count > 0));
    expect_told_once(&rig, &webhook, "Ethernet4");
    assert_eq!(counts(), [1, 2], "{:?}", webhook.heard());
    assert_eq!(rig.term(), Some(0));
    let state = fs::read_to_string(rig.state_dir().join("state.json")).unwrap();
    assert!(!state.contains("\"waited\""), "nothing waits: {state}");
}

#[test]
fn a_sink_that_asks_for_every_rule_hears_of_the_default_rules_also_after_a_reload() {
    let rig = rig(1, "");
    let [every, named, late] = &[Webhook::start(), Webhook::start(), Webhook::start()];
    let all = "rules = [\"*\"]\nmin_severity = \"warning\"";
    let quick = "evaluation_interval = \"100ms\"\n";
    let before = [quick, &hook("every", every, all), &hook("named", named, "")].concat();
    configure(&rig, &before);
    let shown = run(&rig, &["check-config"]);
    for part in ["sink \"every\" is told of 22 of these", "sink \"named\" is told of 0 of these", "/<hidden>"] {
        assert!(shown.contains(part), "{part:?} is not in {shown}");
    }
    let mut rig = rig.set_to_work();
    rig.up("Ethernet0");
    rig.expect_row("Ethernet0", "up", "up", 1500);
    let firing = "firing DriftFound -";
    // What was counted before the first look is no growth.
    rig.until("a look", || rig.api::<RuleList>("/api/v1/rules").last_evaluation.is_some());
    let () = rig.db(STATE_DB).hset("PORT_TABLE|Ethernet0", "mtu", "1").unwrap();
    expect_heard(&rig, every, firing, 1);
    // Another sink that asks for the same, from now on: it is told what fires already, the others are not told again.
    configure(&rig, &format!("{before}{}", hook("late", late, "rules = [\"Drift*\"]")));
    rig.signal(Signal::SIGHUP);
    expect_heard(&rig, late, firing, 1);
    assert_eq!(rig.term(), Some(0));
    rig.start();
    rig.until("the alert", || rig.api::<AlertList>("/api/v1/alerts").alerts.iter().any(|view| view.alert.notified));
    // The rule is turned off: everybody who was told is told that it ended.
    fs::write(rig.dir().join("rules/switch.toml"), "[[rule]]\nname = \"DriftFound\"\nenabled = false\n").unwrap();
    rig.signal(Signal::SIGHUP);
    for webhook in [every, late] {
        expect_heard(&rig, webhook, "resolved DriftFound -", 1);
        assert_eq!(webhook.count(firing), 1, "{:?}", webhook.heard());
    }
    assert_eq!(named.heard(), Vec::<String>::new(), "no rule names it, and it asks for none");
}

#[test]
fn a_state_that_can_be_read_only_later_is_gone_on_from() {
    let (mut rig, _webhook) = at_work(1);
    rig.down("Ethernet0");
    run(&rig, &["alerts", "silence", "Down", "--for", "1h", "--comment", "before"]);
    expect_state(&rig, "Down", "Ethernet0", AlertState::Suppressed);
    expect_state(&rig, "Long", "Ethernet0", AlertState::Pending);
    let since = alert(&rig, "Long", "Ethernet0").unwrap().alert.since;
    assert_eq!(rig.term(), Some(0));
    // As if the daemon before still lived.
    let lock = File::options().write(true).open(rig.state_dir().join("state.lock")).unwrap();
    let lock = Flock::lock(lock, FlockArg::LockExclusiveNonblock).unwrap();
    rig.start();
    rig.expect_log("the state file cannot be read, trying again");
    expect_state(&rig, "Down", "Ethernet0", AlertState::Firing);
    assert!(rig.api::<SilenceList>("/api/v1/silences").silences.is_empty());
    drop(lock);
    expect_state(&rig, "Down", "Ethernet0", AlertState::Suppressed);
    rig.expect_log("the state file can be read again");
    rig.until("the time since when it is pending", || {
        alert(&rig, "Long", "Ethernet0")
            .is_some_and(|view| view.alert.state == AlertState::Pending && (view.alert.since - since).abs() < 0.01)
    });
    assert_eq!(rig.api::<SilenceList>("/api/v1/silences").silences[0].comment, "before");
}

#[test]
fn another_evaluation_interval_holds_from_a_reload_on() {
    let rig = rig(1, "");
    let webhook = Webhook::start();
    let sinks = format!("{}{ROWS}", hook("hook", &webhook, ""));
    configure(&rig, &format!("evaluation_interval = \"1h\"\ndefault_rules = false\n{sinks}"));
    let rig = rig.set_to_work();
    rig.up("Ethernet0");
    rig.expect_row("Ethernet0", "up", "up", 1500);
    fs::write(rig.dir().join("rules/switch.toml"), RULES).unwrap();
    configure(&rig, &format!("{QUICK}{sinks}"));
    rig.signal(Signal::SIGHUP);
    rig.until("the rules", || rig.api::<RuleList>("/api/v1/rules").rules.len() == 2);
    expect_told_once(&rig, &webhook, "Ethernet0");
}
