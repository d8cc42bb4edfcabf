use super::super::fixture::{DOWN, Fixture, name, plain, rules, steps, told};
use crate::alert::model::AlertState::{self, Firing, Inactive, Pending, Resolved};
use crate::alert::model::Evaluation;

const ROWS: &str =
    "[[rule]]\nname = \"Rows\"\nmetric = \"pending_rows\"\ncondition = { above = 10 }\nseverity = \"info\"\n";

/// After a restart only these rules are known; CONFIG_DB was not read yet.
fn restart(fixture: &mut Fixture, known: &str) {
    fixture.restart(known, 3.0);
    fixture.engine.await_rules();
}

/// Now there are all of them.
fn all_rules(fixture: &mut Fixture, text: &str) -> Evaluation {
    let outcome = fixture.engine.reload(&rules(text), fixture.now);
    fixture.engine.know_rules();
    outcome
}

/// Who was told, of which port.
fn ended(outcome: &Evaluation) -> Vec<(String, AlertState)> {
    let one = |port: Option<crate::link::LinkName>| port.map_or("-".to_owned(), |port| port.to_string());
    outcome.notifications.iter().map(|told| (one(told.alert.port), told.alert.state)).collect()
}

/// Two ports are down, the second for 5 s only.
fn down() -> Fixture {
    let mut fixture = Fixture::new(&[DOWN, ROWS].concat());
    fixture.port("port_oper_up", "Ethernet0", 0.0).look();
    assert_eq!(told(&fixture.after(10)), [Firing]);
    fixture.port("port_oper_up", "Ethernet4", 0.0).look();
    assert!(fixture.after(5).is_empty());
    fixture
}

#[test]
fn alerts_whose_rules_are_known_later_go_on() {
    let mut fixture = down();
    restart(&mut fixture, ROWS);
    assert!(fixture.after(1).is_empty() && fixture.after(1).is_empty());
    assert_eq!(fixture.engine.unclaimed().count(), 1, "what fires");
    // Once more, before CONFIG_DB was read at all.
    restart(&mut fixture, ROWS);
    assert!(fixture.after(1).is_empty());
    let text = [DOWN, ROWS].concat();
    assert!(all_rules(&mut fixture, &text).is_empty());
    assert_eq!(fixture.state("Down", Some("Ethernet0")), Firing);
    assert!(fixture.after(1).is_empty());
    assert_eq!(told(&fixture.after(4)), [Firing], "Ethernet4: 5 s before and 5 s now");
    let since = fixture.engine.alerts().next().unwrap().since;
    assert!((since - 1_000_000.0).abs() < 0.1, "{since}");
    fixture.port("port_oper_up", "Ethernet0", 1.0).port("port_oper_up", "Ethernet4", 1.0);
    assert_eq!(told(&fixture.pass(30)), [Resolved, Resolved]);
}

#[test]
fn what_ended_while_the_rule_was_not_known_ends_once_it_is() {
    let mut fixture = down();
    restart(&mut fixture, ROWS);
    fixture.port("port_oper_up", "Ethernet0", 1.0).port("port_oper_up", "Ethernet4", 1.0);
    assert!(fixture.pass(20).is_empty());
    all_rules(&mut fixture, &[DOWN, ROWS].concat());
    assert_eq!(ended(&fixture.pass(30)), [("Ethernet0".to_owned(), Resolved)]);
}

#[test]
fn windows_of_rules_that_are_known_later_go_on() {
    let text = plain("Restarts", "live_restarts_total", "{ rate_above = 0.0005, window = \"1h\" }", "");
    let short = plain("Short", "live_restarts_total", "{ rate_above = 5, window = \"2m\" }", "");
    let mut fixture = Fixture::new(&[text.as_str(), &short].concat());
    for run in 1..=4_u32 {
        fixture.set("live_restarts_total", &[], f64::from(run)).look();
        fixture.pass(60);
        assert_eq!(fixture.state("Restarts", None) == Firing, run > 2, "run {run}");
        restart(&mut fixture, &short);
        fixture.pass(20);
        all_rules(&mut fixture, &[text.as_str(), &short].concat());
    }
}

#[test]
fn an_absence_goes_on_under_a_rule_that_is_known_later() {
    let text = plain("Gone", "port_oper_up", "{ absent = \"1m\" }", "");
    let mut fixture = Fixture::new(&text);
    fixture.port("port_oper_up", "Ethernet0", 1.0).look();
    fixture.unset("port_oper_up").pass(70);
    assert_eq!(fixture.state("Gone", Some("Ethernet0")), Firing);
    restart(&mut fixture, ROWS);
    fixture.look();
    all_rules(&mut fixture, &text);
    assert!(fixture.pass(100).is_empty());
    assert_eq!(fixture.state("Gone", Some("Ethernet0")), Firing);
}

/// A rule that was removed, turned off, narrowed or changed while nobody looked, before CONFIG_DB was read or after it.
#[test]
fn alerts_end_whose_rule_is_no_more_or_asks_something_else() {
    let off = DOWN.replace("severity =", "enabled = false\nseverity =");
    let narrow = DOWN.replace("    for =", "    ports = \"Ethernet4*\"\n    for =");
    let other = DOWN.replace("equals = 0", "below = 1");
    let labels = DOWN.replace("team = \"net\"", "team = \"core\"");
    for text in [ROWS.to_owned(), off, narrow, other, labels] {
        for late in [false, true] {
            let mut fixture = down();
            if late {
                restart(&mut fixture, ROWS);
                assert!(fixture.after(1).is_empty());
                all_rules(&mut fixture, &text);
            } else {
                fixture.restart(&text, 3.0);
            }
            let outcome = fixture.after(1);
            assert_eq!(ended(&outcome), [("Ethernet0".to_owned(), Resolved)], "{text}");
            let one = &outcome.notifications[0];
            assert_eq!((one.alert.labels["team"].as_str(), one.actions.len()), ("net", 2));
            assert!(one.ended.is_some() && outcome.transitions.iter().any(|step| step.to == Resolved));
            assert_eq!(fixture.engine.unclaimed().count(), 0);
            assert!(!fixture.engine.save(fixture.now).rules.contains_key("Rows"));
        }
    }
}

#[test]
fn a_narrowed_rule_goes_on_for_the_ports_that_it_has() {
    let narrow = DOWN.replace("    for =", "    ports = \"Ethernet0\"\n    for =");
    let mut fixture = down();
    fixture.pass(10);
    let outcome = fixture.engine.reload(&rules(&narrow), fixture.now);
    assert_eq!(ended(&outcome), [("Ethernet4".to_owned(), Resolved)]);
    assert!(fixture.pass(20).is_empty());
    let mut fixture = down();
    fixture.restart(&narrow, 3.0);
    assert!(fixture.after(1).is_empty());
    assert_eq!(fixture.state("Down", Some("Ethernet0")), Firing);
}

#[test]
fn a_state_file_without_rules_goes_by_their_names() {
    let mut fixture = down();
    let mut saved = fixture.engine.save(fixture.now);
    saved.rules.clear();
    fixture.restart(ROWS, 1.0);
    fixture.engine = super::Engine::new(&rules(DOWN), fixture.engine.settings);
    fixture.engine.restore(saved, fixture.now);
    assert!(fixture.after(1).is_empty());
    assert_eq!(fixture.state("Down", Some("Ethernet0")), Firing);
}

#[test]
fn what_was_pending_is_not_known_to_have_held_for_long_without_a_rule() {
    let mut fixture = down();
    restart(&mut fixture, ROWS);
    fixture.pass(320);
    all_rules(&mut fixture, DOWN);
    assert_eq!(steps(&fixture.after(1)), [(Inactive, Pending)]);
}

/// A value that is not known yet is no end, however long that takes.
#[test]
fn alerts_are_held_until_values_are_known() {
    let mut fixture = down();
    fixture.restart(DOWN, 3.0);
    let look = |fixture: &mut Fixture, complete| {
        fixture.now.monotonic += std::time::Duration::from_secs(10);
        let mut snapshot = fixture.engine.snapshot();
        snapshot.set_complete(complete);
        fixture.engine.evaluate(&snapshot, fixture.now)
    };
    for _ in 0..30 {
        assert!(look(&mut fixture, false).is_empty());
    }
    let outcome: Vec<AlertState> = (0..10).flat_map(|_| told(&look(&mut fixture, true))).collect();
    assert_eq!(outcome, [Resolved], "a minute after they are known, and keep_firing_for");
    assert!(name("Ethernet0").is_some());
}
