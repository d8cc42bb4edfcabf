use std::time::Duration;

use super::super::load::Loader;
use super::super::report::{Notification, Suppression};
use super::*;
use crate::telemetry::value::{Distribution, Reading};

type Labels = Vec<(&'static str, String)>;

/// An engine, the time, and what the metrics say.
struct Scene {
    engine: Engine,
    now: Now,
    values: Vec<(&'static str, Labels, Reading)>,
}

fn rules(text: &str) -> Rules {
    let mut loader = Loader::with_any_sink();
    loader.file("rules.toml", text);
    loader.finish().unwrap()
}

/// A rule that fires when a port is down for 10 s, and 20 s longer.
const DOWN: &str = r#"
    [[rule]]
    name = "Down"
    metric = "port_oper_up"
    condition = { equals = 0 }
    for = "10s"
    keep_firing_for = "20s"
    severity = "warning"
    labels = { team = "net" }
    annotations = { summary = "{{ rule }} {{ port }} {{ value }}={{ threshold }} {{ severity }} {{ labels.team }} {{ since }}" }
    actions = ["log", "noc"]
"#;

fn plain(name: &str, metric: &str, condition: &str, more: &str) -> String {
    format!(
        "[[rule]]\nname = \"{name}\"\nmetric = \"{metric}\"\ncondition = {condition}\nseverity = \"info\"\n{more}\n"
    )
}

fn name(port: &str) -> Option<LinkName> {
    LinkName::new(port.as_bytes())
}

impl Scene {
    fn new(text: &str) -> Self {
        let settings = Settings { evaluation_interval: Duration::from_secs(10), history: 1000 };
        let now = Now { monotonic: Duration::from_secs(50_000), wall: 1_000_000.0 };
        Self { engine: Engine::new(&rules(text), settings), now, values: Vec::new() }
    }

    fn set(&mut self, metric: &'static str, labels: &[(&'static str, &str)], value: f64) -> &mut Self {
        let labels: Vec<_> = labels.iter().map(|(label, value)| (*label, (*value).to_owned())).collect();
        self.values.retain(|known| known.0 != metric || known.1 != labels);
        self.values.push((metric, labels, Reading::Number(value)));
        self
    }

    fn port(&mut self, metric: &'static str, port: &str, value: f64) -> &mut Self {
        self.set(metric, &[("port", port)], value)
    }

    fn unset(&mut self, metric: &str) -> &mut Self {
        self.values.retain(|known| known.0 != metric);
        self
    }

    /// Looks at once.
    fn look(&mut self) -> Outcome {
        let mut snapshot = self.engine.snapshot();
        for (metric, labels, reading) in &self.values {
            snapshot.put(metric, labels, reading);
        }
        self.engine.evaluate(snapshot, self.now)
    }

    /// Looks after some seconds.
    fn after(&mut self, seconds: u64) -> Outcome {
        self.now.monotonic += Duration::from_secs(seconds);
        self.now.wall += f64::from(u32::try_from(seconds).unwrap());
        self.look()
    }

    /// Looks every ten seconds for so long. What comes back is everything that happened.
    fn pass(&mut self, seconds: u64) -> Outcome {
        let mut all = Outcome::default();
        for _ in 0..seconds / 10 {
            let mut outcome = self.after(10);
            all.transitions.append(&mut outcome.transitions);
            all.notifications.append(&mut outcome.notifications);
            all.ended.append(&mut outcome.ended);
        }
        all
    }

    fn state(&self, rule: &str, port: Option<&str>) -> State {
        self.engine.state_of(rule, port.and_then(name).as_ref()).0
    }

    /// Another engine with the same rules, which goes on from what this one saved, after so many seconds without either.
    fn restart(&mut self, text: &str, down: f64) {
        let saved = self.engine.save(self.now);
        let text_of_saved = serde_json::to_string(&saved).unwrap();
        let settings = self.engine.settings;
        self.engine = Engine::new(&rules(text), settings);
        self.now.wall += down;
        self.now.monotonic = Duration::from_secs(7);
        self.engine.restore(serde_json::from_str(&text_of_saved).unwrap(), self.now);
    }
}

fn steps(outcome: &Outcome) -> Vec<(State, State)> {
    outcome.transitions.iter().map(|transition| (transition.from, transition.to)).collect()
}

fn told(outcome: &Outcome) -> Vec<State> {
    outcome.notifications.iter().map(|notification| notification.alert.state).collect()
}

use State::{Firing, Inactive, Pending, Resolved, Suppressed};

#[test]
fn an_alert_fires_after_its_time_and_is_told_once_each_way() {
    let mut scene = Scene::new(DOWN);
    scene.port("port_oper_up", "Ethernet0", 1.0).port("port_oper_up", "Ethernet4", 0.0);
    let first = scene.look();
    assert_eq!((steps(&first), told(&first)), (vec![(Inactive, Pending)], vec![]));
    let second = scene.after(10);
    assert_eq!((steps(&second), told(&second)), (vec![(Pending, Firing)], vec![Firing]));
    let Notification { alert, ended, actions } = &second.notifications[0];
    assert_eq!((alert.port, *ended, actions.len()), (name("Ethernet4"), None, 2));
    assert_eq!(alert.annotations["summary"], "Down Ethernet4 0=0 warning net 1970-01-12T13:46:40Z");
    assert_eq!((alert.labels["team"].as_str(), alert.since), ("net", 1_000_000.0));
    assert!(scene.pass(60).is_empty(), "nothing changed");
    scene.port("port_oper_up", "Ethernet4", 1.0);
    assert!(scene.pass(20).is_empty(), "it is kept firing");
    let last = scene.after(10);
    assert_eq!((steps(&last), told(&last)), (vec![(Firing, Resolved)], vec![Resolved]));
    assert_eq!(last.notifications[0].ended, Some(scene.now.wall));
    assert_eq!(last.notifications[0].alert.fingerprint, alert.fingerprint);
    assert!(scene.pass(60).is_empty());
    assert_eq!(scene.engine.history().count(), 3);
    assert_eq!(scene.state("Down", Some("Ethernet0")), Inactive);
}

#[test]
fn what_ends_before_its_time_is_not_told() {
    let mut scene = Scene::new(DOWN);
    scene.port("port_oper_up", "Ethernet0", 0.0).look();
    let outcome = scene.port("port_oper_up", "Ethernet0", 1.0).after(5);
    assert_eq!((steps(&outcome), told(&outcome)), (vec![(Pending, Inactive)], vec![]));
}

#[test]
fn a_rule_without_a_time_fires_at_once_and_for_the_ports_it_names() {
    let mut scene = Scene::new(&plain("Down", "port_oper_up", "{ below = 1 }", "ports = \"Ethernet*\""));
    for port in 0..200 {
        scene.port("port_oper_up", &format!("Ethernet{port}"), f64::from(port % 2));
    }
    let outcome = scene.port("port_oper_up", "PortChannel1", 0.0).look();
    assert_eq!(outcome.notifications.len(), 100);
    assert!(steps(&outcome).iter().all(|step| *step == (Inactive, Firing)));
    assert_eq!(scene.engine.counts()[0].alerts, 100);
    for port in 0..200 {
        scene.port("port_oper_up", &format!("Ethernet{port}"), f64::from(u8::from(port >= 6)));
    }
    let outcome = scene.look();
    assert_eq!(steps(&outcome).iter().filter(|step| **step == (Firing, Resolved)).count(), 97);
    assert_eq!(steps(&outcome).iter().filter(|step| **step == (Inactive, Firing)).count(), 3);
    assert_eq!(scene.engine.alerts().count(), 6);
}

#[test]
fn a_firing_alert_resolves_beyond_its_own_bound() {
    let mut scene = Scene::new(&plain("Rows", "pending_rows", "{ above = 10 }", "resolve = 5"));
    for (value, state) in
        [(8.0, Inactive), (11.0, Firing), (6.0, Firing), (5.0, Inactive), (8.0, Inactive), (11.0, Firing)]
    {
        scene.set("pending_rows", &[], value).after(10);
        assert_eq!(scene.state("Rows", None), state, "{value}");
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
    let mut scene = Scene::new(&text);
    for (db, value) in [("APPL_DB", 1.0), ("STATE_DB", 1.0), ("CONFIG_DB", 0.0)] {
        scene.set("redis_up", &[("db", db)], value);
    }
    let outcome = scene.look();
    let rules: Vec<&str> = outcome.notifications.iter().map(|notification| &*notification.alert.rule).collect();
    assert_eq!(rules, ["All", "One"]);
    assert_eq!(outcome.notifications[1].alert.labels["db"], "CONFIG_DB");
    assert_eq!(scene.engine.state_of("All", None).1, Some(2.0));
}

#[test]
fn what_is_silenced_is_told_when_the_silence_ends() {
    let mut scene = Scene::new(DOWN);
    let wall = scene.now.wall;
    let request = SilenceRequest { rule: "D*".into(), until: wall + 60.0, ..SilenceRequest::default() };
    let silence = scene.engine.silence(request, wall).unwrap();
    scene.port("port_oper_up", "Ethernet0", 0.0).look();
    let outcome = scene.pass(50);
    assert_eq!((steps(&outcome), told(&outcome)), (vec![(Pending, Suppressed)], vec![]));
    assert_eq!(outcome.transitions[0].suppressed, Some(Suppression::Silence(silence.id)));
    assert_eq!(scene.engine.alerts().next().unwrap().suppressed, Some(Suppression::Silence(1)));
    let outcome = scene.after(10);
    assert_eq!((steps(&outcome), told(&outcome)), (vec![(Suppressed, Firing)], vec![Firing]));
    assert_eq!(outcome.ended, [silence]);
}

#[test]
fn what_was_told_before_a_silence_is_not_told_again_but_its_end_is() {
    let mut scene = Scene::new(DOWN);
    scene.port("port_oper_up", "Ethernet0", 0.0).look();
    assert_eq!(told(&scene.after(10)), [Firing]);
    let (wall, port) = (scene.now.wall, Some("Ethernet?".to_owned()));
    let request = SilenceRequest { rule: "Down".into(), port, until: wall + 1e6, ..SilenceRequest::default() };
    let id = scene.engine.silence(request.clone(), wall).unwrap().id;
    let outcome = scene.after(10);
    assert_eq!((steps(&outcome), told(&outcome)), (vec![(Firing, Suppressed)], vec![]));
    assert!(scene.engine.unsilence(id).is_some() && scene.engine.unsilence(id).is_none());
    let outcome = scene.after(10);
    assert_eq!((steps(&outcome), told(&outcome)), (vec![(Suppressed, Firing)], vec![]));
    assert_eq!(scene.engine.silence(request, wall).unwrap().id, 2, "a number is used once");
    let outcome = scene.port("port_oper_up", "Ethernet0", 1.0).pass(40);
    assert_eq!((steps(&outcome), told(&outcome)), (vec![(Firing, Suppressed), (Suppressed, Resolved)], vec![Resolved]));
}

#[test]
fn what_ends_within_a_silence_is_never_told() {
    let mut scene = Scene::new(DOWN);
    let (wall, rule) = (scene.now.wall, "Down".to_owned());
    let request = SilenceRequest { rule, starts: Some(wall + 20.0), until: wall + 100.0, ..SilenceRequest::default() };
    scene.engine.silence(request, wall).unwrap();
    scene.port("port_oper_up", "Ethernet0", 0.0).after(10);
    let outcome = scene.after(10);
    assert_eq!((steps(&outcome), told(&outcome)), (vec![(Pending, Suppressed)], vec![]), "a maintenance window");
    let outcome = scene.port("port_oper_up", "Ethernet0", 1.0).pass(60);
    assert_eq!((steps(&outcome), told(&outcome)), (vec![(Suppressed, Resolved)], vec![]));
}

#[test]
fn a_silence_is_for_its_ports_only() {
    let mut scene = Scene::new(&[DOWN, &plain("Rows", "pending_rows", "{ above = 1 }", "")].concat());
    let port = Some("Ethernet0".to_owned());
    let request = SilenceRequest { rule: "*".into(), port, until: 2e6, ..SilenceRequest::default() };
    scene.engine.silence(request, scene.now.wall).unwrap();
    scene.port("port_oper_up", "Ethernet0", 0.0).port("port_oper_up", "Ethernet4", 0.0).set("pending_rows", &[], 5.0);
    scene.pass(20);
    assert_eq!(scene.state("Down", Some("Ethernet0")), Suppressed);
    assert_eq!(scene.state("Down", Some("Ethernet4")), Firing);
    assert_eq!(scene.state("Rows", None), Firing, "it has no port");
}

#[test]
fn silences_that_make_no_sense_are_refused() {
    let mut scene = Scene::new(DOWN);
    for (request, problem) in [
        (SilenceRequest { rule: "Up".into(), until: 2e6, ..SilenceRequest::default() }, "rule = \"Up\""),
        (SilenceRequest { rule: "Dwon".into(), until: 2e6, ..SilenceRequest::default() }, "did you mean \"Down\"?"),
        (SilenceRequest { rule: "[".into(), until: 2e6, ..SilenceRequest::default() }, "rule = \"[\""),
        (SilenceRequest { rule: "*".into(), until: 9e5, ..SilenceRequest::default() }, "until = 900000"),
        (SilenceRequest { rule: "*".into(), until: f64::NAN, ..SilenceRequest::default() }, "until = NaN"),
        (
            SilenceRequest { rule: "*".into(), port: Some("[".into()), until: 2e6, ..SilenceRequest::default() },
            "port = \"[\"",
        ),
        (
            SilenceRequest { rule: "*".into(), starts: Some(3e6), until: 2e6, ..SilenceRequest::default() },
            "until = 2000000",
        ),
    ] {
        let error = scene.engine.silence(request, scene.now.wall).unwrap_err().to_string();
        assert!(error.contains(problem), "{error}");
    }
}

#[test]
fn what_another_alert_explains_is_not_told() {
    let text = [
        plain("Flaps", "port_flaps_total", "{ above = 5 }", "inhibited_by = [\"Down\", \"Redis\"]"),
        DOWN.to_owned(),
        plain("Redis", "redis_up", "{ below = 1 }", ""),
    ]
    .concat();
    let mut scene = Scene::new(&text);
    scene
        .port("port_oper_up", "Ethernet0", 0.0)
        .port("port_oper_up", "Ethernet4", 1.0)
        .set("redis_up", &[], 1.0)
        .look();
    scene.port("port_flaps_total", "Ethernet0", 6.0).port("port_flaps_total", "Ethernet4", 6.0);
    let outcome = scene.after(10);
    assert_eq!(scene.state("Flaps", Some("Ethernet0")), Suppressed, "the same port is down");
    assert_eq!(scene.state("Flaps", Some("Ethernet4")), Firing);
    assert_eq!(outcome.transitions[0].suppressed, Some(Suppression::Rule("Down".to_owned())));
    assert_eq!(told(&outcome), [Firing, Firing]);
    let outcome = scene.set("redis_up", &[], 0.0).after(10);
    assert_eq!(scene.state("Flaps", Some("Ethernet4")), Suppressed, "a rule without ports explains all ports");
    assert_eq!(told(&outcome), [Firing], "Redis");
    let outcome = scene.set("redis_up", &[], 1.0).port("port_oper_up", "Ethernet0", 1.0).pass(40);
    let rules: Vec<_> = outcome.notifications.iter().map(|told| (&*told.alert.rule, told.alert.state)).collect();
    assert_eq!(rules, [("Redis", Resolved), ("Down", Resolved), ("Flaps", Firing)]);
}

#[test]
fn what_explains_does_so_while_it_is_silenced() {
    let text = [
        plain("Flaps", "port_flaps_total", "{ above = 5 }", "inhibited_by = [\"Redis\"]"),
        plain("Redis", "redis_up", "{ below = 1 }", ""),
    ]
    .concat();
    let mut scene = Scene::new(&text);
    let request = SilenceRequest { rule: "Redis".into(), until: 2e6, ..SilenceRequest::default() };
    scene.engine.silence(request, scene.now.wall).unwrap();
    assert_eq!(told(&scene.port("port_flaps_total", "Ethernet0", 6.0).set("redis_up", &[], 0.0).look()), []);
}

#[test]
fn a_port_that_vanishes_resolves_and_is_absent() {
    let absent =
        plain("Gone", "port_oper_up", "{ absent = \"1m\" }", "annotations = { summary = \"for {{ value }}\" }");
    let mut scene = Scene::new(&[DOWN, &absent].concat());
    scene.port("port_oper_up", "Ethernet0", 0.0).port("port_oper_up", "Ethernet4", 1.0).look();
    scene.after(10);
    assert_eq!(scene.state("Down", Some("Ethernet0")), Firing);
    scene.unset("port_oper_up").port("port_oper_up", "Ethernet4", 1.0);
    let outcome = scene.pass(30);
    assert_eq!(steps(&outcome), [(Firing, Resolved)]);
    assert!(scene.pass(30).is_empty(), "for longer than a minute");
    let outcome = scene.after(10);
    assert_eq!(told(&outcome), [Firing]);
    assert_eq!(outcome.notifications[0].alert.annotations["summary"], "for 1m 10s");
    let outcome = scene.port("port_oper_up", "Ethernet0", 1.0).after(10);
    assert_eq!(told(&outcome), [Resolved], "it is back");
    scene.unset("port_oper_up").port("port_oper_up", "Ethernet4", 1.0).pass(120);
    assert_eq!(scene.state("Gone", Some("Ethernet0")), Firing);
    scene.pass(24 * 3600);
    assert_eq!(scene.state("Gone", Some("Ethernet0")), Inactive, "forgotten after a day");
}

#[test]
fn a_metric_that_never_had_a_value_is_absent_from_the_start() {
    let mut scene = Scene::new(&plain("Gone", "pending_rows", "{ absent = \"1m\" }", ""));
    scene.look();
    assert!(scene.pass(60).is_empty());
    assert_eq!(told(&scene.after(10)), [Firing]);
    assert_eq!(told(&scene.set("pending_rows", &[], 0.0).after(10)), [Resolved]);
}

#[test]
fn a_counter_that_begins_anew_has_no_false_rate() {
    let rate = "{ rate_above = 0.5, window = \"1m\" }";
    let mut scene = Scene::new(&plain("Flaps", "port_flaps_total", rate, ""));
    for value in [1000.0, 1001.0, 1002.0, 0.0, 1.0, 2.0, 3.0] {
        assert!(scene.port("port_flaps_total", "Ethernet0", value).after(10).is_empty(), "{value}");
    }
    let (_, value) = scene.engine.state_of("Flaps", name("Ethernet0").as_ref());
    assert!((value.unwrap() - 5.0 / 60.0).abs() < 1e-9, "{value:?}");
}

#[test]
fn a_clock_that_goes_back_passes_no_time() {
    let mut scene = Scene::new(DOWN);
    scene.port("port_oper_up", "Ethernet0", 0.0).look();
    scene.now.monotonic -= Duration::from_secs(3600);
    assert!(scene.look().is_empty());
    assert!(scene.after(5).is_empty(), "5 s have passed");
    assert_eq!(told(&scene.after(5)), [Firing]);
}

#[test]
fn what_nobody_saw_for_long_does_not_count() {
    let gone = plain("Gone", "pending_rows", "{ absent = \"10m\" }", "");
    let rate = plain("Rate", "port_flaps_total", "{ rate_above = 0, window = \"10m\" }", "");
    let mut scene = Scene::new(&[DOWN, &gone, &rate].concat());
    scene.port("port_oper_up", "Ethernet0", 0.0).set("pending_rows", &[], 1.0).port(
        "port_flaps_total",
        "Ethernet0",
        0.0,
    );
    scene.pass(10);
    scene.unset("pending_rows").port("port_flaps_total", "Ethernet0", 1e6);
    assert_eq!(told(&scene.after(7200)), [], "pending begins anew, the window is empty, absence is not known");
    assert_eq!(scene.state("Down", Some("Ethernet0")), Pending);
    assert_eq!(told(&scene.after(10)), [Firing]);
    assert_eq!(told(&scene.pass(600)), [Firing], "absent for ten minutes");
    scene.now.monotonic += Duration::from_secs(7200);
    assert!(scene.look().is_empty(), "what fires goes on");
}

#[test]
fn durations_have_quantiles_over_a_window() {
    let text = plain("Slow", "event_latency_seconds", "{ above = 0.1, window = \"1m\" }", "quantile = 0.9");
    let mut scene = Scene::new(&text);
    let mut durations = Distribution::default();
    let look = |scene: &mut Scene, bucket: Option<usize>, durations: &mut Distribution| {
        if let Some(bucket) = bucket {
            durations.buckets[bucket] += 10;
        }
        scene.values = vec![("event_latency_seconds", vec![], Reading::Distribution(Box::new(durations.clone())))];
        scene.after(10)
    };
    assert!(look(&mut scene, Some(14), &mut durations).is_empty(), "what was there before is not of this window");
    assert_eq!(told(&look(&mut scene, Some(14), &mut durations)), [Firing]);
    for _ in 0..5 {
        assert!(look(&mut scene, Some(2), &mut durations).is_empty());
    }
    assert_eq!(told(&look(&mut scene, Some(2), &mut durations)), [Resolved]);
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
    let mut scene = Scene::new(&text);
    for look in 0..9 {
        assert!(scene.set("pending_rows", &[], f64::from(look % 2)).after(10).is_empty());
    }
    scene.set("pending_rows", &[], -20.0).after(10);
    assert_eq!((scene.state("Both", None), scene.state("Above", None)), (Firing, Inactive));
    scene.set("pending_rows", &[], 0.5).after(10);
    assert_eq!(scene.state("Both", None), Inactive);
}

#[test]
fn a_trend_crosses_its_bound_within_the_horizon() {
    let trend = "{ trend = { above = 100, horizon = \"1m\", window = \"1m\" } }";
    let mut scene = Scene::new(&plain("Grows", "pending_rows", trend, ""));
    for look in 0..7 {
        scene.set("pending_rows", &[], f64::from(look) * 10.0).after(10);
        let (_, value) = scene.engine.state_of("Grows", None);
        let wanted = if look == 0 { None } else { Some(f64::from(look) * 10.0 + 60.0) };
        assert!(value.zip(wanted).is_none_or(|(value, wanted)| (value - wanted).abs() < 1e-9), "{value:?} {wanted:?}");
        assert_eq!(scene.state("Grows", None) == Firing, look > 4, "{look}");
    }
}

#[test]
fn a_reload_keeps_the_alerts_of_rules_that_ask_the_same() {
    let mut scene = Scene::new(&[DOWN, &plain("Rows", "pending_rows", "{ above = 10 }", "")].concat());
    scene.port("port_oper_up", "Ethernet0", 0.0).set("pending_rows", &[], 20.0).pass(20);
    let stale = scene.engine.snapshot();
    let said_otherwise = DOWN.replace("{{ rule }}", "{{ rule }}!").replace("\"log\", ", "");
    let text = [plain("New", "pending_rows", "{ above = 15 }", ""), said_otherwise].concat();
    let outcome = scene.engine.reload(&rules(&text), scene.now);
    assert_eq!((steps(&outcome), told(&outcome)), (vec![(Firing, Resolved)], vec![Resolved]), "Rows is gone");
    assert!(scene.engine.evaluate(stale, scene.now).is_empty());
    let outcome = scene.after(10);
    assert_eq!(steps(&outcome), [(Inactive, Firing)], "New; Down went on");
    assert!(scene.engine.alerts().last().unwrap().annotations["summary"].starts_with("Down! Ethernet0"));
    let outcome = scene.engine.reload(&rules(&text.replace("above = 15", "above = 16")), scene.now);
    assert_eq!(steps(&outcome), [(Firing, Resolved)], "it asks something else");
    assert_eq!(scene.engine.history().count(), 6);
}

#[test]
fn a_reload_keeps_windows() {
    let text = plain("Flaps", "port_flaps_total", "{ rate_above = 0.5, window = \"1m\" }", "");
    let mut scene = Scene::new(&text);
    for value in 0..6_u8 {
        scene.port("port_flaps_total", "Ethernet0", f64::from(value)).after(10);
    }
    let more =
        [text, plain("More", "port_flaps_total", "{ rate_above = 0.05, window = \"50s\" }", "for = \"1s\"")].concat();
    scene.engine.reload(&rules(&more), scene.now);
    assert_eq!(steps(&scene.after(10)), [(Inactive, Pending)]);
}

#[test]
fn a_rule_that_is_off_is_not_looked_at() {
    let mut scene = Scene::new(&plain("Rows", "pending_rows", "{ above = 10 }", "enabled = false"));
    assert!(!scene.engine.snapshot().wants("pending_rows"));
    assert!(scene.set("pending_rows", &[], 20.0).look().is_empty());
    assert_eq!(scene.engine.state_of("Rows", None), (Inactive, None));
}

#[test]
fn after_a_restart_nobody_is_told_again() {
    let mut scene = Scene::new(DOWN);
    scene.port("port_oper_up", "Ethernet0", 0.0).look();
    assert_eq!(told(&scene.after(10)), [Firing]);
    scene.port("port_oper_up", "Ethernet4", 0.0).after(10);
    scene.now.wall += 5.0;
    scene.now.monotonic += Duration::from_secs(5);
    scene.restart(DOWN, 100.0);
    scene.values.clear();
    assert!(scene.look().is_empty(), "its ports are not there yet");
    scene.port("port_oper_up", "Ethernet4", 0.0);
    assert!(scene.after(2).is_empty());
    assert_eq!(
        told(&scene.port("port_oper_up", "Ethernet0", 0.0).after(3)),
        [Firing],
        "Ethernet4 has been down for 10 s"
    );
    assert_eq!(scene.state("Down", Some("Ethernet0")), Firing);
    scene.port("port_oper_up", "Ethernet0", 1.0).port("port_oper_up", "Ethernet4", 1.0);
    assert_eq!(told(&scene.pass(60)), [Resolved, Resolved]);
    assert_eq!(scene.engine.history().count(), 6);
}

#[test]
fn what_was_pending_before_a_long_absence_begins_anew() {
    let mut scene = Scene::new(DOWN);
    scene.port("port_oper_up", "Ethernet0", 0.0).look();
    scene.restart(DOWN, 3600.0);
    assert_eq!(steps(&scene.after(9)), [(Inactive, Pending)]);
}

#[test]
fn a_restored_alert_is_held_until_its_window_is_full() {
    let text = plain("Flaps", "port_flaps_total", "{ rate_above = 0.5, window = \"1m\" }", "");
    let mut scene = Scene::new(&text);
    for value in 0..7_u8 {
        scene.port("port_flaps_total", "Ethernet0", f64::from(value) * 10.0).after(10);
    }
    assert_eq!(scene.state("Flaps", Some("Ethernet0")), Firing);
    scene.restart(&text, 10.0);
    scene.look();
    assert!(scene.pass(50).is_empty());
    assert_eq!(told(&scene.after(10)), [Resolved], "no flap for a minute");
}

#[test]
fn a_restart_does_not_hide_what_it_counts() {
    let text = plain("Restarts", "live_restarts_total", "{ rate_above = 0.0005, window = \"1h\" }", "");
    let mut scene = Scene::new(&text);
    for run in 1..=6_u32 {
        scene.set("live_restarts_total", &[], f64::from(run)).look();
        scene.pass(60);
        assert_eq!(scene.state("Restarts", None) == Firing, run > 2, "run {run}");
        assert!(scene.engine.save(scene.now).samples[0].points.len() <= 2 * run as usize);
        scene.restart(&text, 30.0);
    }
}

#[test]
fn silences_and_their_numbers_survive() {
    let mut scene = Scene::new(DOWN);
    let request = SilenceRequest { rule: "Down".into(), until: 2e6, ..SilenceRequest::default() };
    let wall = scene.now.wall;
    let kept = scene.engine.silence(request.clone(), wall).unwrap();
    let gone = scene.engine.silence(request.clone(), wall).unwrap();
    scene.engine.unsilence(gone.id);
    scene.restart(DOWN, 1.0);
    assert_eq!(scene.engine.silences().cloned().collect::<Vec<_>>(), [kept]);
    assert_eq!(scene.engine.silence(request, wall).unwrap().id, 3);
}

#[test]
fn an_absence_goes_on_over_a_restart() {
    let text = plain("Gone", "port_oper_up", "{ absent = \"1m\" }", "");
    let mut scene = Scene::new(&text);
    scene.port("port_oper_up", "Ethernet0", 1.0).look();
    scene.unset("port_oper_up").pass(70);
    assert_eq!(scene.state("Gone", Some("Ethernet0")), Firing);
    scene.restart(&text, 30.0);
    assert!(scene.pass(100).is_empty());
    assert_eq!(scene.state("Gone", Some("Ethernet0")), Firing);
    assert_eq!(told(&scene.port("port_oper_up", "Ethernet0", 1.0).pass(10)), [Resolved]);
}

#[test]
fn history_is_bounded() {
    let mut scene = Scene::new(&plain("Rows", "pending_rows", "{ above = 10 }", ""));
    scene.engine.history = History::new(5);
    for look in 0..20_u8 {
        scene.set("pending_rows", &[], f64::from(look % 2) * 20.0).after(10);
    }
    assert_eq!(scene.engine.history().count(), 5);
    let last = scene.engine.history().next_back().unwrap();
    assert_eq!((last.to, last.value, last.at), (Firing, 20.0, scene.now.monotonic));
}

#[test]
fn places_of_ports_that_are_gone_are_used_again() {
    let rate = plain("Rate", "port_flaps_total", "{ rate_above = 0.05, window = \"1m\" }", "");
    let mut scene = Scene::new(&[DOWN, &rate].concat());
    for round in 0..20 {
        scene.values.clear();
        for port in 0..50 {
            let name = format!("Ethernet{}", round * 50 + port);
            scene.port("port_oper_up", &name, 0.0).port("port_flaps_total", &name, 0.0);
        }
        scene.port("port_flaps_total", "Ethernet5", f64::from(round)).port("port_oper_up", "Ethernet5", 0.0).after(10);
        assert!(scene.engine.slots.len() <= 2 * 51 + 64 + 51, "{}", scene.engine.slots.len());
    }
    assert_eq!((scene.state("Down", Some("Ethernet5")), scene.state("Rate", Some("Ethernet5"))), (Firing, Firing));
    assert_eq!(scene.state("Down", Some("Ethernet999")), Pending);
}
