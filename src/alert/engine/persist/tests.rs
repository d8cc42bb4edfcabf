use super::super::fixture::{DOWN, Fixture, plain, rules, steps, told};
use super::super::silence::SilenceRequest;
use super::*;
use crate::alert::model::AlertState::{Firing, Inactive, Pending, Resolved};

#[test]
fn a_reload_keeps_the_alerts_of_rules_that_ask_the_same() {
    let mut fixture = Fixture::new(&[DOWN, &plain("Rows", "pending_rows", "{ above = 10 }", "")].concat());
    fixture.port("port_oper_up", "Ethernet0", 0.0).set("pending_rows", &[], 20.0).pass(20);
    let stale = fixture.engine.snapshot();
    let said_otherwise = DOWN.replace("{{ rule }}", "{{ rule }}!").replace("\"log\", ", "");
    let text = [plain("New", "pending_rows", "{ above = 15 }", ""), said_otherwise].concat();
    let outcome = fixture.engine.reload(&rules(&text), fixture.now);
    assert_eq!((steps(&outcome), told(&outcome)), (vec![(Firing, Resolved)], vec![Resolved]), "Rows is gone");
    assert!(fixture.engine.evaluate(&stale, fixture.now).is_empty());
    let outcome = fixture.after(10);
    assert_eq!(steps(&outcome), [(Inactive, Firing)], "New; Down went on");
    assert!(fixture.engine.alerts().last().unwrap().annotations["summary"].starts_with("Down! Ethernet0"));
    let outcome = fixture.engine.reload(&rules(&text.replace("above = 15", "above = 16")), fixture.now);
    assert_eq!(steps(&outcome), [(Firing, Resolved)], "it asks something else");
    assert_eq!(fixture.engine.history().count(), 6);
}

#[test]
fn a_reload_keeps_windows() {
    let text = plain("Flaps", "port_flaps_total", "{ rate_above = 0.5, window = \"1m\" }", "");
    let mut fixture = Fixture::new(&text);
    for value in 0..6_u8 {
        fixture.port("port_flaps_total", "Ethernet0", f64::from(value)).after(10);
    }
    let more =
        [text, plain("More", "port_flaps_total", "{ rate_above = 0.05, window = \"50s\" }", "for = \"1s\"")].concat();
    fixture.engine.reload(&rules(&more), fixture.now);
    assert_eq!(steps(&fixture.after(10)), [(Inactive, Pending)]);
}

#[test]
fn a_window_over_ports_can_be_saved_before_there_is_a_port() {
    let text = plain("Flaps", "port_flaps_total", "{ rate_above = 0.5, window = \"1m\" }", "");
    let mut fixture = Fixture::new(&text);
    fixture.look();
    assert!(fixture.after(10).is_empty());
    fixture.restart(&text, 1.0);
}

#[test]
fn after_a_restart_nobody_is_told_again() {
    let mut fixture = Fixture::new(DOWN);
    fixture.port("port_oper_up", "Ethernet0", 0.0).look();
    assert_eq!(told(&fixture.after(10)), [Firing]);
    fixture.port("port_oper_up", "Ethernet4", 0.0).after(10);
    fixture.now.wall += 5.0;
    fixture.now.monotonic += Duration::from_secs(5);
    fixture.restart(DOWN, 100.0);
    fixture.values.clear();
    assert!(fixture.look().is_empty(), "its ports are not there yet");
    fixture.port("port_oper_up", "Ethernet4", 0.0);
    assert!(fixture.after(2).is_empty());
    assert_eq!(
        told(&fixture.port("port_oper_up", "Ethernet0", 0.0).after(3)),
        [Firing],
        "Ethernet4 has been down for 10 s"
    );
    assert_eq!(fixture.state("Down", Some("Ethernet0")), Firing);
    fixture.port("port_oper_up", "Ethernet0", 1.0).port("port_oper_up", "Ethernet4", 1.0);
    assert_eq!(told(&fixture.pass(60)), [Resolved, Resolved]);
    assert_eq!(fixture.engine.history().count(), 6);
}

#[test]
fn what_was_pending_before_a_long_absence_begins_anew() {
    let mut fixture = Fixture::new(DOWN);
    fixture.port("port_oper_up", "Ethernet0", 0.0).look();
    fixture.restart(DOWN, 3600.0);
    assert_eq!(steps(&fixture.after(9)), [(Inactive, Pending)]);
}

#[test]
fn a_restored_alert_is_held_until_its_window_is_full() {
    let text = plain("Flaps", "port_flaps_total", "{ rate_above = 0.5, window = \"1m\" }", "");
    let mut fixture = Fixture::new(&text);
    for value in 0..7_u8 {
        fixture.port("port_flaps_total", "Ethernet0", f64::from(value) * 10.0).after(10);
    }
    assert_eq!(fixture.state("Flaps", Some("Ethernet0")), Firing);
    fixture.restart(&text, 10.0);
    fixture.look();
    assert!(fixture.pass(50).is_empty());
    assert_eq!(told(&fixture.after(10)), [Resolved], "no flap for a minute");
}

#[test]
fn a_restart_does_not_hide_what_it_counts() {
    let text = plain("Restarts", "live_restarts_total", "{ rate_above = 0.0005, window = \"1h\" }", "");
    let mut fixture = Fixture::new(&text);
    for run in 1..=6_u32 {
        fixture.set("live_restarts_total", &[], f64::from(run)).look();
        fixture.pass(60);
        assert_eq!(fixture.state("Restarts", None) == Firing, run > 2, "run {run}");
        assert!(fixture.engine.save(fixture.now).samples[0].points.len() <= 2 * run as usize);
        fixture.restart(&text, 30.0);
    }
}

#[test]
fn silences_and_their_numbers_survive() {
    let mut fixture = Fixture::new(DOWN);
    let request = SilenceRequest { rule: "Down".into(), until: 2e6, ..SilenceRequest::default() };
    let wall = fixture.now.wall;
    let kept = fixture.engine.silence(request.clone(), wall).unwrap();
    let gone = fixture.engine.silence(request.clone(), wall).unwrap();
    fixture.engine.unsilence(gone.id);
    fixture.restart(DOWN, 1.0);
    assert_eq!(fixture.engine.silences().cloned().collect::<Vec<_>>(), [kept]);
    assert_eq!(fixture.engine.silence(request, wall).unwrap().id, 3);
}

#[test]
fn an_absence_goes_on_over_a_restart() {
    let text = plain("Gone", "port_oper_up", "{ absent = \"1m\" }", "");
    let mut fixture = Fixture::new(&text);
    fixture.port("port_oper_up", "Ethernet0", 1.0).look();
    fixture.unset("port_oper_up").pass(70);
    assert_eq!(fixture.state("Gone", Some("Ethernet0")), Firing);
    fixture.restart(&text, 30.0);
    assert!(fixture.pass(100).is_empty());
    assert_eq!(fixture.state("Gone", Some("Ethernet0")), Firing);
    assert_eq!(told(&fixture.port("port_oper_up", "Ethernet0", 1.0).pass(10)), [Resolved]);
}

#[test]
fn another_interval_keeps_alerts_timers_and_samples() {
    let rate = |window: &str| format!("{{ rate_above = 0.5, window = \"{window}\" }}");
    let flaps = |name: &str, window: &str| plain(name, "port_flaps_total", &rate(window), "for = \"1m\"");
    let text = [DOWN.replace("10s", "1m"), flaps("Short", "9s"), flaps("Long", "1m")].concat();
    let mut fixture = Fixture::new(&text);
    fixture.port("port_oper_up", "Ethernet0", 0.0).port("port_flaps_total", "Ethernet0", 0.0).pass(40);
    for value in [20.0, 40.0, 60.0] {
        fixture.port("port_flaps_total", "Ethernet0", value).after(10);
    }
    assert_eq!(fixture.state("Down", Some("Ethernet0")), Firing);
    assert_eq!(fixture.state("Short", Some("Ethernet0")), Inactive, "one sample in nine seconds has no rate");
    assert_eq!(fixture.state("Long", Some("Ethernet0")), Pending);
    let stale = fixture.engine.snapshot();
    let settings = Settings { evaluation_interval: Duration::from_secs(1), history: 3 };
    fixture.engine.reconfigure(settings);
    assert!(fixture.engine.evaluate(&stale, fixture.now).is_empty());
    assert_eq!(fixture.engine.history().count(), 3);
    for value in 61..70_u8 {
        let outcome = fixture.port("port_flaps_total", "Ethernet0", f64::from(value)).after(1);
        assert!(told(&outcome).is_empty(), "{outcome:?}");
    }
    let value_of = |fixture: &Fixture, rule: &str| {
        fixture.engine.state_of(rule, super::super::fixture::name("Ethernet0").as_ref())
    };
    let (state, value) = value_of(&fixture, "Short");
    assert_eq!(state, Pending, "a sample each second: {value:?}");
    assert!((value.unwrap() - 1.0).abs() < 0.2, "{value:?}");
    assert!(value_of(&fixture, "Long").1.unwrap() > 0.9, "the samples of before are in it");
    // It has been pending since before: 60 s from its beginning, not from the other interval's.
    let outcome = fixture.port("port_flaps_total", "Ethernet0", 110.0).after(41);
    assert_eq!(told(&outcome), [Firing], "{outcome:?}");
    assert_eq!(fixture.state("Long", Some("Ethernet0")), Firing);
}

/// A run that could read its state only after it had looked: `meanwhile` is what it saw.
fn late(fixture: &mut Fixture, text: &str, meanwhile: impl FnOnce(&mut Fixture)) {
    let saved = fixture.engine.save(fixture.now);
    let settings = fixture.engine.settings;
    fixture.engine = Engine::new(&rules(text), settings);
    fixture.now.wall += 5.0;
    fixture.now.monotonic = Duration::from_secs(7);
    meanwhile(fixture);
    let stale = fixture.engine.snapshot();
    fixture.engine.restore(saved, fixture.now);
    assert!(fixture.engine.evaluate(&stale, fixture.now).is_empty(), "filled before the counters were what they are");
}

#[test]
fn a_state_that_is_read_late_is_brought_together_with_what_was_seen() {
    let mut fixture = Fixture::new(DOWN);
    for port in ["Ethernet0", "Ethernet4", "Ethernet8"] {
        fixture.port("port_oper_up", port, 0.0);
    }
    let request =
        SilenceRequest { rule: "Down".into(), until: 2e6, port: Some("Ethernet12".into()), ..Default::default() };
    fixture.engine.silence(request.clone(), fixture.now.wall).unwrap();
    assert_eq!(told(&fixture.pass(20)), [Firing, Firing, Firing]);
    fixture.port("port_oper_up", "Ethernet16", 0.0).after(5);
    fixture.after(5);
    let since = fixture.engine.alerts().next().unwrap().since;
    late(&mut fixture, DOWN, |fixture| {
        fixture.port("port_oper_up", "Ethernet4", 1.0);
        let ports = std::mem::take(&mut fixture.values);
        assert!(fixture.look().is_empty(), "no port is known yet");
        fixture.values = ports;
        assert!(told(&fixture.after(1)).is_empty(), "Ethernet0 and Ethernet8 are pending anew");
        let mut wanted = request.clone();
        wanted.port = Some("Ethernet20".into());
        fixture.engine.silence(wanted, fixture.now.wall).unwrap();
        // It went while nobody knew of it.
        fixture.port("port_oper_up", "Ethernet8", 1.0).after(2);
    });
    let outcome = fixture.after(1);
    assert!(told(&outcome).is_empty(), "Ethernet0 was told before: {outcome:?}");
    assert_eq!(fixture.state("Down", Some("Ethernet0")), Firing);
    assert_eq!(fixture.engine.alerts().next().unwrap().since.to_bits(), since.to_bits());
    assert_eq!(fixture.state("Down", Some("Ethernet16")), Pending);
    assert_eq!(
        told(&fixture.after(2)),
        [Firing],
        "Ethernet16, held 5 s before and 6 s now, the time without ports included"
    );
    assert_eq!(told(&fixture.pass(30)), [Resolved, Resolved], "Ethernet4 and Ethernet8, after keep_firing_for");
    let silences: Vec<_> = fixture.engine.silences().map(|one| (one.id, one.port.as_ref().unwrap().as_str())).collect();
    assert_eq!(silences, [(1, "Ethernet20"), (2, "Ethernet12")]);
    let times: Vec<f64> = fixture.engine.history().map(|one| one.time).collect();
    assert!(times.is_sorted() && times.len() > 8, "{times:?}");
}

#[test]
fn counters_that_go_on_late_are_no_storm() {
    let text = [
        plain("Starts", "cold_starts_total", "{ rate_above = 0.01, window = \"5m\" }", ""),
        plain("Flaps", "port_flaps_total", "{ rate_above = 0.01, window = \"5m\" }", ""),
    ]
    .concat();
    let mut fixture = Fixture::new(&text);
    fixture.set("cold_starts_total", &[], 500.0).port("port_flaps_total", "Ethernet0", 700.0).pass(60);
    late(&mut fixture, &text, |fixture| {
        fixture.set("cold_starts_total", &[], 1.0).port("port_flaps_total", "Ethernet0", 1.0).pass(30);
    });
    fixture.set("cold_starts_total", &[], 501.0).port("port_flaps_total", "Ethernet0", 701.0);
    assert!(fixture.pass(60).is_empty());
    let outcome = fixture.set("cold_starts_total", &[], 600.0).port("port_flaps_total", "Ethernet0", 800.0).after(10);
    assert_eq!(told(&outcome), [Firing, Firing], "what is counted from then on is seen");
}
