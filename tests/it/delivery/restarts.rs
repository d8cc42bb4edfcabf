//! What receivers hear over ends and starts: with rules of CONFIG_DB, rules that change meanwhile, and after SIGKILL.

use std::fs;

use nix::sys::signal::Signal;
use portsyncd::alert::AlertState;
use portsyncd::alert::api::{History, RuleList};
use portsyncd::lab::redis_server::CONFIG_DB;
use redis::Commands;

use super::webhook::Webhook;
use super::{
    QUICK, ROWS, RULES, alert, at_work, at_work_gathering, configure, expect_heard, expect_state, expect_told_once,
    hook, row,
};
use crate::fixture::Rig;

const FIRING: &str = "firing Down Ethernet0";
const RESOLVED: &str = "resolved Down Ethernet0";

fn down_rule(rig: &Rig) {
    let fields = [
        ("metric", "port_oper_up"),
        ("condition.equals", "0"),
        ("severity", "critical"),
        ("annotations.summary", "{{ port }} is down"),
        ("actions", "hook,rows"),
    ];
    let () = rig.db(CONFIG_DB).hset_multiple("PORTSYNCD_ALERT_RULE|Down", &fields).unwrap();
}

/// As [`at_work`], with the rules in CONFIG_DB.
fn with_rules_in_config_db(ports: usize) -> (Rig, Webhook) {
    let (rig, webhook) = at_work(ports);
    fs::write(rig.dir().join("rules/switch.toml"), "").unwrap();
    rig.signal(Signal::SIGHUP);
    rig.until("no rules", || rig.api::<RuleList>("/api/v1/rules").rules.is_empty());
    down_rule(&rig);
    let fields = [("metric", "port_oper_up"), ("condition.equals", "0"), ("for", "1h"), ("severity", "info")];
    let () = rig.db(CONFIG_DB).hset_multiple("PORTSYNCD_ALERT_RULE|Long", &fields).unwrap();
    rig.until("the rules", || rig.api::<RuleList>("/api/v1/rules").rules.len() == 2);
    (rig, webhook)
}

fn counts(webhook: &Webhook) -> (usize, usize) {
    (webhook.count(FIRING), webhook.count(RESOLVED))
}

#[test]
fn alerts_of_rules_in_config_db_are_told_once_over_restarts() {
    let (mut rig, webhook) = with_rules_in_config_db(2);
    rig.down("Ethernet0");
    expect_heard(&rig, &webhook, FIRING, 1);
    expect_state(&rig, "Long", "Ethernet0", AlertState::Pending);
    let since = alert(&rig, "Long", "Ethernet0").unwrap().alert.since;
    for crashes in [false, true, false] {
        if crashes {
            settled(&rig, |newest| newest.contains("\"pending\""));
            rig.crash();
        } else {
            assert_eq!(rig.term(), Some(0));
        }
        rig.start();
        expect_state(&rig, "Down", "Ethernet0", AlertState::Firing);
        expect_told_once(&rig, &webhook, "Ethernet4");
        assert_eq!(counts(&webhook), (1, 0), "{:?}", webhook.heard());
        let pending = alert(&rig, "Long", "Ethernet0").unwrap().alert;
        assert!((pending.since - since).abs() < 0.01, "{since} {pending:?}");
        rig.until("the row", || !row(&rig, "Ethernet0").is_empty());
    }
    // It ends while the daemon is away.
    assert_eq!(rig.term(), Some(0));
    rig.up("Ethernet0");
    rig.start();
    expect_heard(&rig, &webhook, RESOLVED, 1);
    rig.until("the end of the row", || row(&rig, "Ethernet0").is_empty());
    assert_eq!(counts(&webhook), (1, 1), "{:?}", webhook.heard());
}

#[test]
fn a_rule_that_goes_while_the_daemon_is_away_ends_its_alerts() {
    let (mut rig, webhook) = with_rules_in_config_db(2);
    let restart = |rig: &mut Rig, meanwhile: &dyn Fn(&Rig)| {
        assert_eq!(rig.term(), Some(0));
        meanwhile(rig);
        rig.start();
    };
    rig.down("Ethernet0");
    for time in 1..=3 {
        expect_heard(&rig, &webhook, FIRING, time);
        rig.until("the row", || !row(&rig, "Ethernet0").is_empty());
        restart(&mut rig, &|rig| {
            let mut config = rig.db(CONFIG_DB);
            let key = "PORTSYNCD_ALERT_RULE|Down";
            let () = match time {
                1 => config.del(key).unwrap(),
                2 => config.hset(key, "enabled", "false").unwrap(),
                _ => config.hset(key, "ports", "Ethernet4").unwrap(),
            };
        });
        expect_heard(&rig, &webhook, RESOLVED, time);
        rig.until("the end of the row", || row(&rig, "Ethernet0").is_empty());
        let () = rig.db(CONFIG_DB).del("PORTSYNCD_ALERT_RULE|Down").unwrap();
        down_rule(&rig);
    }
    expect_heard(&rig, &webhook, FIRING, 4);
}

#[test]
fn a_file_of_rules_that_is_wrong_at_the_start_ends_its_alerts_until_it_is_mended() {
    let (mut rig, webhook) = at_work(2);
    rig.down("Ethernet0");
    expect_heard(&rig, &webhook, FIRING, 1);
    assert_eq!(rig.term(), Some(0));
    let file = rig.dir().join("rules/switch.toml");
    fs::write(&file, RULES.replace("equals = 0", "equals = \"none\"")).unwrap();
    rig.start();
    expect_heard(&rig, &webhook, RESOLVED, 1);
    rig.until("the end of the row", || row(&rig, "Ethernet0").is_empty());
    fs::write(&file, RULES).unwrap();
    rig.signal(Signal::SIGHUP);
    expect_heard(&rig, &webhook, FIRING, 2);
    assert_eq!(counts(&webhook), (2, 1), "{:?}", webhook.heard());
}

/// The state file is written at the end only: what receivers were told since is known all the same.
#[test]
fn after_a_kill_every_receiver_hears_the_truth() {
    let (mut rig, webhook) = at_work(2);
    configure_with(&rig, &webhook, "1h");
    assert_eq!(rig.term(), Some(0));
    rig.start();
    rig.until("the rules", || rig.api::<RuleList>("/api/v1/rules").last_evaluation.is_some());
    rig.down("Ethernet0");
    expect_heard(&rig, &webhook, FIRING, 1);
    rig.until("the row", || !row(&rig, "Ethernet0").is_empty());
    settled(&rig, |newest| newest.contains("\"Down\"") && newest.contains("\"told\":[\""));
    rig.crash();
    rig.start();
    expect_state(&rig, "Down", "Ethernet0", AlertState::Firing);
    expect_told_once(&rig, &webhook, "Ethernet4");
    assert_eq!(counts(&webhook), (1, 0), "{:?}", webhook.heard());

    // It ends while nobody looks.
    settled(&rig, |newest| newest.contains("\"told\":[\""));
    rig.crash();
    rig.up("Ethernet0");
    rig.start();
    expect_heard(&rig, &webhook, RESOLVED, 1);
    rig.until("the end of the row", || row(&rig, "Ethernet0").is_empty());

    // It ends, and fires again while nobody looks.
    settled(&rig, |newest| !newest.contains("\"told\":[\""));
    rig.crash();
    rig.down("Ethernet0");
    rig.start();
    expect_heard(&rig, &webhook, FIRING, 2);
    rig.until("the row", || !row(&rig, "Ethernet0").is_empty());

    // A receiver that was about to be told is told.
    webhook.refuse(true);
    rig.up("Ethernet0");
    rig.until("an attempt", || webhook.refused() > 0);
    rig.crash();
    webhook.refuse(false);
    rig.start();
    expect_heard(&rig, &webhook, RESOLVED, 2);
    expect_told_once(&rig, &webhook, "Ethernet4");
    assert_eq!(counts(&webhook), (2, 2), "{:?}", webhook.heard());
    assert_eq!(rig.term(), Some(0));
    assert!(!rig.state_dir().join("notifications.json").exists(), "the state file has it all");
}

fn configure_with(rig: &Rig, webhook: &Webhook, save_interval: &str) {
    configure(rig, &[QUICK, &hook("hook", webhook, ""), ROWS].concat());
    let file = rig.dir().join("portsyncd.toml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("save_interval = \"1s\"", &format!("save_interval = {save_interval:?}"))).unwrap();
}

/// Every answer is noted: what a kill from now on leaves is this.
fn settled(rig: &Rig, wanted: impl Fn(&str) -> bool) {
    let read = |name: &str| fs::read_to_string(rig.state_dir().join(name)).ok();
    rig.until("answers to be noted", || {
        let newest = read("notifications.json").or_else(|| read("state.json")).unwrap_or_default();
        wanted(&newest) && !newest.contains("\"waited\"")
    });
}

/// How a port stands is what the kernel says, whatever Redis has, and nothing before it said that.
#[test]
fn a_start_is_no_false_alarm() {
    let (mut rig, webhook) = at_work(2);
    for _ in 0..3 {
        assert_eq!(rig.term(), Some(0));
        rig.start();
        expect_told_once(&rig, &webhook, "Ethernet4");
    }
    assert!(!webhook.heard().iter().any(|heard| heard.contains("Ethernet0")), "{:?}", webhook.heard());
    assert_eq!(rig.term(), Some(0));
    rig.server.kill();
    rig.start();
    rig.expect_log("Redis is not reachable");
    let look = || rig.api::<RuleList>("/api/v1/rules").last_evaluation;
    rig.until("a look", || look().is_some());
    let first = look();
    rig.until("several looks", || look() > first.map(|at| at + 0.5));
    rig.expect_metric("portsyncd_port_oper_up{port=\"Ethernet0\"}", |up| up > 0.5);
    let history: History = rig.api("/api/v1/alerts/history");
    let of_it = |one: &&portsyncd::alert::Transition| one.port.is_some_and(|name| name.to_string() == "Ethernet0");
    assert_eq!(history.transitions.iter().filter(of_it).count(), 0, "{history:?}");
}

/// What fires and ends within `group_interval` is told once, by its end.
#[test]
fn an_alert_that_ends_before_it_is_told_is_told_with_its_end() {
    let (rig, webhook) = at_work_gathering(2, "3s");
    rig.down("Ethernet0");
    expect_state(&rig, "Down", "Ethernet0", AlertState::Firing);
    rig.up("Ethernet0");
    expect_heard(&rig, &webhook, RESOLVED, 1);
    expect_told_once(&rig, &webhook, "Ethernet4");
    assert_eq!(counts(&webhook), (0, 1), "{:?}", webhook.heard());
}
