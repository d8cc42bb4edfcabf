use super::super::model::Notification;
use super::fixture::{DOWN, Fixture, name, plain, steps, told};
use super::*;
use crate::telemetry::value::{Distribution, Reading};
use AlertState::{Firing, Inactive, Pending, Resolved};

#[test]
fn an_alert_fires_after_its_time_and_is_told_once_each_way() {
    let mut fixture = Fixture::new(DOWN);
    fixture.port("port_oper_up", "Ethernet0", 1.0).port("port_oper_up", "Ethernet4", 0.0);
    let first = fixture.look();
    assert_eq!((steps(&first), told(&first)), (vec![(Inactive, Pending)], vec![]));
    let second = fixture.after(10);
    assert_eq!((steps(&second), told(&second)), (vec![(Pending, Firing)], vec![Firing]));
    let Notification { alert, ended, actions } = &second.notifications[0];
    assert_eq!((alert.port, *ended, actions.len()), (name("Ethernet4"), None, 2));
    assert_eq!(alert.annotations["summary"], "Down Ethernet4 0=0 warning net 1970-01-12T13:46:40Z");
    assert_eq!((alert.labels["team"].as_str(), alert.since), ("net", 1_000_000.0));
    assert!(fixture.pass(60).is_empty(), "nothing changed");
    fixture.port("port_oper_up", "Ethernet4", 1.0);
    assert!(fixture.pass(20).is_empty(), "it is kept firing");
    let kept = fixture.engine.alerts().next().unwrap();
    assert_eq!((kept.value, &kept.annotations), (0.0, &alert.annotations), "with the value that last held it");
    let last = fixture.after(10);
    let last_alert = &last.notifications[0].alert;
    assert_eq!((last_alert.value, last_alert.annotations.len()), (0.0, 0), "the summary says how it stands");
    assert_eq!((steps(&last), told(&last)), (vec![(Firing, Resolved)], vec![Resolved]));
    assert_eq!(last.notifications[0].ended, Some(fixture.now.wall));
    assert_eq!(last.notifications[0].alert.fingerprint, alert.fingerprint);
    assert!(fixture.pass(60).is_empty());
    assert_eq!(fixture.engine.history().count(), 3);
    assert_eq!(fixture.state("Down", Some("Ethernet0")), Inactive);
}

#[test]
fn what_ends_before_its_time_is_not_told() {
    let mut fixture = Fixture::new(DOWN);
    fixture.port("port_oper_up", "Ethernet0", 0.0).look();
    let outcome = fixture.port("port_oper_up", "Ethernet0", 1.0).after(5);
    assert_eq!((steps(&outcome), told(&outcome)), (vec![(Pending, Inactive)], vec![]));
}

#[test]
fn a_rule_without_a_time_fires_at_once_and_for_the_ports_it_names() {
    let mut fixture = Fixture::new(&plain("Down", "port_oper_up", "{ below = 1 }", "ports = \"Ethernet*\""));
    for port in 0..200 {
        fixture.port("port_oper_up", &format!("Ethernet{port}"), f64::from(port % 2));
    }
    let outcome = fixture.port("port_oper_up", "PortChannel1", 0.0).look();
    assert_eq!(outcome.notifications.len(), 100);
    assert!(steps(&outcome).iter().all(|step| *step == (Inactive, Firing)));
    assert_eq!(fixture.engine.counts()[0].alerts, 100);
    for port in 0..200 {
        fixture.port("port_oper_up", &format!("Ethernet{port}"), f64::from(u8::from(port >= 6)));
    }
    let outcome = fixture.look();
    assert_eq!(steps(&outcome).iter().filter(|step| **step == (Firing, Resolved)).count(), 97);
    assert_eq!(steps(&outcome).iter().filter(|step| **step == (Inactive, Firing)).count(), 3);
    assert_eq!(fixture.engine.alerts().count(), 6);
}

#[test]
fn a_firing_alert_resolves_beyond_its_own_bound() {
    let mut fixture = Fixture::new(&plain("Rows", "pending_rows", "{ above = 10 }", "resolve = 5"));
    for (value, state) in
        [(8.0, Inactive), (11.0, Firing), (6.0, Firing), (5.0, Inactive), (8.0, Inactive), (11.0, Firing)]
    {
        fixture.set("pending_rows", &[], value).after(10);
        assert_eq!(fixture.state("Rows", None), state, "{value}");
    }
}

#[test]
fn series_are_chosen_by_label_and_summed() {
    let text = [
        plain("All", "redis_up", "{ below = 3 }", ""),
        plain("Two", "redis_up", "{ below = 2 }", "match = { db = [\"APPL_DB\", \"STATE_DB\"] }"),
        plain("One", "redis_up", "{ equals = 0 }", "match = { db = \"CONFIG_DB\" }"),
    ]
    .concat();
    let mut fixture = Fixture::new(&text);
    for (db, value) in [("APPL_DB", 1.0), ("STATE_DB", 1.0), ("CONFIG_DB", 0.0)] {
        fixture.set("redis_up", &[("db", db)], value);
    }
    let outcome = fixture.look();
    let rules: Vec<&str> = outcome.notifications.iter().map(|notification| &*notification.alert.rule).collect();
    assert_eq!(rules, ["All", "One"]);
    assert_eq!(outcome.notifications[1].alert.labels["db"], "CONFIG_DB");
    assert_eq!(fixture.engine.state_of("All", None).1, Some(2.0));
}

#[test]
fn a_port_that_vanishes_resolves_and_is_absent() {
    let absent =
        plain("Gone", "port_oper_up", "{ absent = \"1m\" }", "annotations = { summary = \"for {{ value }}\" }");
    let mut fixture = Fixture::new(&[DOWN, &absent].concat());
    fixture.port("port_oper_up", "Ethernet0", 0.0).port("port_oper_up", "Ethernet4", 1.0).look();
    fixture.after(10);
    assert_eq!(fixture.state("Down", Some("Ethernet0")), Firing);
    fixture.unset("port_oper_up").port("port_oper_up", "Ethernet4", 1.0);
    let outcome = fixture.pass(30);
    assert_eq!(steps(&outcome), [(Firing, Resolved)]);
    assert!(fixture.pass(30).is_empty(), "for longer than a minute");
    let outcome = fixture.after(10);
    assert_eq!(told(&outcome), [Firing]);
    assert_eq!(outcome.notifications[0].alert.annotations["summary"], "for 1m 10s");
    let outcome = fixture.port("port_oper_up", "Ethernet0", 1.0).after(10);
    assert_eq!(told(&outcome), [Resolved], "it is back");
    fixture.unset("port_oper_up").port("port_oper_up", "Ethernet4", 1.0).pass(120);
    assert_eq!(fixture.state("Gone", Some("Ethernet0")), Firing);
    fixture.pass(24 * 3600);
    assert_eq!(fixture.state("Gone", Some("Ethernet0")), Inactive, "forgotten after a day");
}

#[test]
fn a_metric_that_never_had_a_value_is_absent_from_the_start() {
    let mut fixture = Fixture::new(&plain("Gone", "pending_rows", "{ absent = \"1m\" }", ""));
    fixture.look();
    assert!(fixture.pass(60).is_empty());
    assert_eq!(told(&fixture.after(10)), [Firing]);
    assert_eq!(told(&fixture.set("pending_rows", &[], 0.0).after(10)), [Resolved]);
}

#[test]
fn a_counter_that_begins_anew_has_no_false_rate() {
    let rate = "{ rate_above = 0.5, window = \"1m\" }";
    let mut fixture = Fixture::new(&plain("Flaps", "port_flaps_total", rate, ""));
    for value in [1000.0, 1001.0, 1002.0, 0.0, 1.0, 2.0, 3.0] {
        assert!(fixture.port("port_flaps_total", "Ethernet0", value).after(10).is_empty(), "{value}");
    }
    let (_, value) = fixture.engine.state_of("Flaps", name("Ethernet0").as_ref());
    assert!((value.unwrap() - 5.0 / 60.0).abs() < 1e-9, "{value:?}");
}

#[test]
fn a_clock_that_goes_back_passes_no_time() {
    let mut fixture = Fixture::new(DOWN);
    fixture.port("port_oper_up", "Ethernet0", 0.0).look();
    fixture.now.monotonic -= Duration::from_secs(3600);
    assert!(fixture.look().is_empty());
    assert!(fixture.after(5).is_empty(), "5 s have passed");
    assert_eq!(told(&fixture.after(5)), [Firing]);
}

#[test]
fn what_nobody_saw_for_long_does_not_count() {
    let gone = plain("Gone", "pending_rows", "{ absent = \"10m\" }", "");
    let rate = plain("Rate", "port_flaps_total", "{ rate_above = 0, window = \"10m\" }", "");
    let mut fixture = Fixture::new(&[DOWN, &gone, &rate].concat());
    fixture.port("port_oper_up", "Ethernet0", 0.0).set("pending_rows", &[], 1.0).port(
        "port_flaps_total",
        "Ethernet0",
        0.0,
    );
    fixture.pass(10);
    fixture.unset("pending_rows").port("port_flaps_total", "Ethernet0", 1e6);
    assert_eq!(told(&fixture.after(7200)), [], "pending begins anew, the window is empty, absence is not known");
    assert_eq!(fixture.state("Down", Some("Ethernet0")), Pending);
    assert_eq!(told(&fixture.after(10)), [Firing]);
    assert_eq!(told(&fixture.pass(600)), [Firing], "absent for ten minutes");
    fixture.now.monotonic += Duration::from_secs(7200);
    assert!(fixture.look().is_empty(), "what fires goes on");
}

#[test]
fn durations_have_quantiles_over_a_window() {
    let text = plain("Slow", "event_latency_seconds", "{ above = 0.1, window = \"1m\" }", "quantile = 0.9");
    let mut fixture = Fixture::new(&text);
    let mut durations = Distribution::default();
    let look = |fixture: &mut Fixture, bucket: Option<usize>, durations: &mut Distribution| {
        if let Some(bucket) = bucket {
            durations.buckets[bucket] += 10;
        }
        fixture.values = vec![("event_latency_seconds", vec![], Reading::Distribution(Box::new(durations.clone())))];
        fixture.after(10)
    };
    assert!(look(&mut fixture, Some(14), &mut durations).is_empty(), "what was there before is not of this window");
    assert_eq!(told(&look(&mut fixture, Some(14), &mut durations)), [Firing]);
    for _ in 0..5 {
        assert!(look(&mut fixture, Some(2), &mut durations).is_empty());
    }
    assert_eq!(told(&look(&mut fixture, Some(2), &mut durations)), [Resolved]);
}

#[test]
fn an_anomaly_is_far_from_the_mean_of_its_window() {
    let text = [
        plain("Both", "pending_rows", "{ anomaly = { z = 2.5, window = \"5m\", min_samples = 10 } }", "resolve = 1"),
        plain(
            "Above",
            "pending_rows",
            "{ anomaly = { z = 2.5, window = \"5m\", min_samples = 10, direction = \"above\" } }",
            "",
        ),
    ]
    .concat();
    let mut fixture = Fixture::new(&text);
    for look in 0..9 {
        assert!(fixture.set("pending_rows", &[], f64::from(look % 2)).after(10).is_empty());
    }
    fixture.set("pending_rows", &[], -20.0).after(10);
    assert_eq!((fixture.state("Both", None), fixture.state("Above", None)), (Firing, Inactive));
    fixture.set("pending_rows", &[], 0.5).after(10);
    assert_eq!(fixture.state("Both", None), Inactive);
}

#[test]
fn a_trend_crosses_its_bound_within_the_horizon() {
    let trend = "{ trend = { above = 100, horizon = \"1m\", window = \"1m\" } }";
    let mut fixture = Fixture::new(&plain("Grows", "pending_rows", trend, ""));
    for look in 0..7 {
        fixture.set("pending_rows", &[], f64::from(look) * 10.0).after(10);
        let (_, value) = fixture.engine.state_of("Grows", None);
        let wanted = if look == 0 { None } else { Some(f64::from(look) * 10.0 + 60.0) };
        assert!(value.zip(wanted).is_none_or(|(value, wanted)| (value - wanted).abs() < 1e-9), "{value:?} {wanted:?}");
        assert_eq!(fixture.state("Grows", None) == Firing, look > 4, "{look}");
    }
}

#[test]
fn a_rule_that_is_off_is_not_looked_at() {
    let mut fixture = Fixture::new(&plain("Rows", "pending_rows", "{ above = 10 }", "enabled = false"));
    assert!(!fixture.engine.snapshot().wants("pending_rows"));
    assert!(fixture.set("pending_rows", &[], 20.0).look().is_empty());
    assert_eq!(fixture.engine.state_of("Rows", None), (Inactive, None));
}

#[test]
fn history_is_bounded() {
    let mut fixture = Fixture::new(&plain("Rows", "pending_rows", "{ above = 10 }", ""));
    fixture.engine.history = TransitionHistory::new(5);
    for look in 0..20_u8 {
        fixture.set("pending_rows", &[], f64::from(look % 2) * 20.0).after(10);
    }
    assert_eq!(fixture.engine.history().count(), 5);
    let last = fixture.engine.history().next_back().unwrap();
    assert_eq!((last.to, last.value, last.at), (Firing, 20.0, fixture.now.monotonic));
}

#[test]
fn places_of_ports_that_are_gone_are_used_again() {
    let rate = plain("Rate", "port_flaps_total", "{ rate_above = 0.05, window = \"1m\" }", "");
    let mut fixture = Fixture::new(&[DOWN, &rate].concat());
    for round in 0..20 {
        fixture.values.clear();
        for port in 0..50 {
            let name = format!("Ethernet{}", round * 50 + port);
            fixture.port("port_oper_up", &name, 0.0).port("port_flaps_total", &name, 0.0);
        }
        fixture
            .port("port_flaps_total", "Ethernet5", f64::from(round))
            .port("port_oper_up", "Ethernet5", 0.0)
            .after(10);
        assert!(fixture.engine.ports.len() <= 8 * 51, "{}: those of the window", fixture.engine.ports.len());
    }
    assert_eq!((fixture.state("Down", Some("Ethernet5")), fixture.state("Rate", Some("Ethernet5"))), (Firing, Firing));
    assert_eq!(fixture.state("Down", Some("Ethernet999")), Pending);
}

/// A restart of syncd removes all ports and makes them again.
#[test]
fn ports_that_vanish_take_no_rates_with_them() {
    let text = plain("Flaps", "port_flaps_total", "{ rate_above = 0.5, window = \"5m\" }", "");
    let mut fixture = Fixture::new(&text);
    let names: Vec<String> = (0..200).map(|number| format!("Ethernet{number}")).collect();
    let flaps = |fixture: &mut Fixture, names: &[String], value: f64| {
        fixture.unset("port_flaps_total");
        for name in names {
            fixture.port("port_flaps_total", name, value);
        }
        fixture.after(10)
    };
    for value in [0.0, 1.0, 2.0] {
        assert!(flaps(&mut fixture, &names, value).is_empty());
    }
    flaps(&mut fixture, &[], 0.0);
    flaps(&mut fixture, &names[..1], 2.0);
    let outcome = flaps(&mut fixture, &names, 250.0);
    assert_eq!(told(&outcome).len(), 200, "248 flaps within five minutes");
    let long = format!("{text}{}", plain("Long", "port_flaps_total", "{ rate_above = 0.5, window = \"1h\" }", ""));
    let mut fixture = Fixture::new(&long);
    flaps(&mut fixture, &names, 1.0);
    flaps(&mut fixture, &[], 1.0);
    fixture.pass(4000);
    assert_eq!(fixture.state("Flaps", Some("Ethernet3")), AlertState::Inactive);
}

#[test]
fn a_window_of_more_evaluations_than_it_keeps_samples_of_keeps_enough() {
    for (window, seconds) in [("1210s", 1210), ("1h", 3600), ("7777s", 7777)] {
        let condition = format!("{{ anomaly = {{ z = 4, window = \"{window}\", min_samples = 120 }} }}");
        let mut fixture = Fixture::new(&plain("Odd", "pending_rows", &condition, ""));
        for look in 0..seconds / 10 + 20 {
            fixture.set("pending_rows", &[], f64::from(u8::from(look % 2 == 0))).after(10);
        }
        for _ in 0..50 {
            fixture.after(10);
            let (_, value) = fixture.engine.state_of("Odd", None);
            assert!(value.is_some(), "{window}: 120 samples");
        }
        assert_eq!(told(&fixture.set("pending_rows", &[], 100.0).after(10)), [Firing], "{window}");
    }
}

#[test]
fn what_ended_is_told_in_the_past_or_without_a_summary() {
    let texts = "annotations = { summary = \"is {{ value }}\", description = \"now\", runbook_url = \"http://x\" }";
    let past = texts.replace("summary =", "resolved_summary = \"was {{ value }}\", summary =");
    for (texts, wanted) in [(texts.to_owned(), None), (past, Some("was 20"))] {
        let mut fixture = Fixture::new(&plain("Rows", "pending_rows", "{ above = 10 }", &texts));
        let annotations = |outcome: &Evaluation| outcome.notifications[0].alert.annotations.clone();
        let firing = annotations(&fixture.set("pending_rows", &[], 20.0).after(10));
        assert_eq!((firing["summary"].as_str(), firing.len()), ("is 20", 3), "{firing:?}");
        let ended = annotations(&fixture.set("pending_rows", &[], 5.0).after(10));
        assert_eq!(ended.get("summary").map(String::as_str), wanted);
        assert_eq!((ended["runbook_url"].as_str(), ended.get("description")), ("http://x", None));
    }
}
