//! The alert engine against the plainest evaluator there can be: it keeps every sample, and computes everything anew from
//! the definitions in docs/alerts.md each time.

#![expect(clippy::cast_precision_loss, reason = "small numbers")]

use std::time::Duration;

use portsyncd::alert::engine::SilenceRequest;
use portsyncd::alert::rules::{Loader, Rules};
use portsyncd::alert::{AlertState, Engine, Now, Settings};
use portsyncd::link::LinkName;
use portsyncd::telemetry::value::Reading;
use proptest::prelude::*;

const PORTS: usize = 3;

/// A condition in both languages: the rule's, and what the model computes.
#[derive(Clone, Debug)]
enum Condition {
    Above(f64),
    Below(f64),
    Between(f64, f64),
    Outside(f64, f64),
    Equals(f64),
    RateAbove(f64, u64),
    RateBelow(f64, u64),
    Absent(u64),
    Anomaly { z: f64, window: u64, least: usize, side: i8 },
    Trend { bound: f64, above: bool, horizon: u64, window: u64 },
}

#[derive(Clone, Debug)]
struct Rule {
    condition: Condition,
    /// Of the four metrics: counter or gauge, of ports or not.
    counter: bool,
    of_ports: bool,
    hold: u64,
    keep: u64,
    resolve: Option<f64>,
}

impl Rule {
    fn metric(&self) -> &'static str {
        match (self.counter, self.of_ports) {
            (true, true) => "port_flaps_total",
            (false, true) => "port_oper_up",
            (true, false) => "live_restarts_total",
            (false, false) => "pending_rows",
        }
    }

    fn text(&self, number: usize) -> String {
        let condition = match &self.condition {
            Condition::Above(bound) => format!("above = {bound:?}"),
            Condition::Below(bound) => format!("below = {bound:?}"),
            Condition::Between(low, high) => format!("between = [{low:?}, {high:?}]"),
            Condition::Outside(low, high) => format!("outside = [{low:?}, {high:?}]"),
            Condition::Equals(bound) => format!("equals = {bound:?}"),
            Condition::RateAbove(bound, window) => format!("rate_above = {bound:?}, window = \"{window}s\""),
            Condition::RateBelow(bound, window) => format!("rate_below = {bound:?}, window = \"{window}s\""),
            Condition::Absent(after) => format!("absent = \"{after}s\""),
            Condition::Anomaly { z, window, least, side } => {
                let side = ["below", "both", "above"][usize::try_from(side + 1).unwrap()];
                format!(
                    "anomaly = {{ z = {z:?}, window = \"{window}s\", min_samples = {least}, direction = \"{side}\" }}"
                )
            }
            Condition::Trend { bound, above, horizon, window } => {
                let side = if *above { "above" } else { "below" };
                format!("trend = {{ {side} = {bound:?}, horizon = \"{horizon}s\", window = \"{window}s\" }}")
            }
        };
        let resolve = self.resolve.map(|resolve| format!("resolve = {resolve:?}\n")).unwrap_or_default();
        format!(
            "[[rule]]\nname = \"R{number}\"\nmetric = \"{}\"\ncondition = {{ {condition} }}\nseverity = \"info\"\n\
             for = \"{}s\"\nkeep_firing_for = \"{}s\"\n{resolve}\n",
            self.metric(),
            self.hold,
            self.keep
        )
    }
}

/// One look: how many seconds after the last, and the value of the whole and of each port.
#[derive(Clone, Debug)]
struct Look {
    after: u64,
    values: [Option<f64>; PORTS + 1],
}

/// What is computed of all samples of one series up to the last look, at the times of the looks.
fn value(rule: &Rule, samples: &[(f64, Option<f64>)]) -> Option<f64> {
    let now = samples.last()?.0;
    let within = |window: u64| -> Vec<(f64, f64)> {
        let from = now - window as f64;
        samples.iter().filter(|(time, _)| *time >= from).filter_map(|(time, value)| Some((*time, (*value)?))).collect()
    };
    let current = samples.last()?.1;
    match &rule.condition {
        Condition::RateAbove(_, window) | Condition::RateBelow(_, window) => {
            extrapolated(&within(*window), now, *window as f64, rule.counter)
        }
        Condition::Absent(_) => {
            let seen = samples.iter().rev().find(|(_, value)| value.is_some()).map(|(time, _)| *time);
            // Of ports only those that were there are known; the whole counts from the first look.
            Some(now - seen.or(if rule.of_ports { None } else { Some(samples[0].0) })?)
        }
        Condition::Anomaly { window, least, .. } => {
            current?;
            let samples = within(*window);
            let values: Vec<f64> = if rule.counter {
                let growth = |pair: &[(f64, f64)]| {
                    let grown = if pair[1].1 < pair[0].1 { pair[1].1 } else { pair[1].1 - pair[0].1 };
                    grown / (pair[1].0 - pair[0].0)
                };
                samples.windows(2).map(growth).collect()
            } else {
                samples.iter().map(|(_, value)| *value).collect()
            };
            let count = values.len() as f64;
            let mean = values.iter().sum::<f64>() / count;
            let deviation = (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count).sqrt();
            (values.len() >= *least && deviation > 1e-9).then(|| (values[values.len() - 1] - mean) / deviation)
        }
        Condition::Trend { horizon, window, .. } => {
            let samples = within(*window);
            if samples.len() < 2 {
                return None;
            }
            let count = samples.len() as f64;
            let mean_x = samples.iter().map(|(time, _)| time).sum::<f64>() / count;
            let mean_y = samples.iter().map(|(_, value)| value).sum::<f64>() / count;
            let covariance: f64 = samples.iter().map(|(time, value)| (time - mean_x) * (value - mean_y)).sum();
            let variance: f64 = samples.iter().map(|(time, _)| (time - mean_x).powi(2)).sum();
            Some(mean_y + covariance / variance * (now + *horizon as f64 - mean_x))
        }
        _ => current,
    }
}

/// Prometheus' `rate()`, and `delta()` divided by the window, in its own words.
fn extrapolated(samples: &[(f64, f64)], now: f64, window: f64, counter: bool) -> Option<f64> {
    let (first, last) = (samples.first()?, samples.last()?);
    if samples.len() < 2 {
        return None;
    }
    let mut result = last.1 - first.1;
    if counter {
        for pair in samples.windows(2) {
            if pair[1].1 < pair[0].1 {
                result += pair[0].1;
            }
        }
    }
    let mut duration_to_start = first.0 - (now - window);
    let duration_to_end = now - last.0;
    let sampled_interval = last.0 - first.0;
    let average = sampled_interval / (samples.len() - 1) as f64;
    if counter && result > 0.0 && first.1 >= 0.0 {
        let duration_to_zero = sampled_interval * (first.1 / result);
        if duration_to_zero < duration_to_start {
            duration_to_start = duration_to_zero;
        }
    }
    let threshold = average * 1.1;
    let mut interval = sampled_interval;
    interval += if duration_to_start < threshold { duration_to_start } else { average / 2.0 };
    interval += if duration_to_end < threshold { duration_to_end } else { average / 2.0 };
    Some(result * (interval / sampled_interval) / window)
}

/// Whether the condition holds; near its bound rounding decides, and the model does not say.
fn holds(rule: &Rule, value: Option<f64>, firing: bool) -> Option<bool> {
    let Some(value) = value else { return Some(false) };
    let resolve = rule.resolve.filter(|_| firing);
    let computed = !matches!(
        rule.condition,
        Condition::Above(_)
            | Condition::Below(_)
            | Condition::Between(..)
            | Condition::Outside(..)
            | Condition::Equals(_)
    );
    let near = |bound: f64| computed && (value - bound).abs() < 1e-7 * (1.0 + bound.abs());
    let above = |bound: f64| if near(bound) { None } else { Some(value > bound) };
    let below = |bound: f64| if near(bound) { None } else { Some(value < bound) };
    match rule.condition {
        Condition::Above(bound) | Condition::RateAbove(bound, _) | Condition::Trend { bound, above: true, .. } => {
            above(resolve.unwrap_or(bound))
        }
        Condition::Below(bound) | Condition::RateBelow(bound, _) | Condition::Trend { bound, above: false, .. } => {
            below(resolve.unwrap_or(bound))
        }
        Condition::Between(low, high) => Some(low <= value && value <= high),
        Condition::Outside(low, high) => Some(value < low || high < value),
        Condition::Equals(bound) => Some(value.to_bits() == bound.to_bits()),
        Condition::Absent(after) => Some(value > after as f64),
        Condition::Anomaly { z, side, .. } => {
            let bound = resolve.unwrap_or(z);
            match side {
                0 if near(bound) || near(-bound) => None,
                0 => Some(value.abs() > bound),
                1 => above(bound),
                _ => below(-bound),
            }
        }
    }
}

/// How the alert stands after all looks; `None` if rounding decides.
fn state(rule: &Rule, samples: &[(f64, Option<f64>)]) -> Option<AlertState> {
    let (mut pending, mut firing, mut ceased): (Option<f64>, bool, Option<f64>) = (None, false, None);
    for look in 1..=samples.len() {
        let now = samples[look - 1].0;
        if holds(rule, value(rule, &samples[..look]), firing)? {
            ceased = None;
            let since = *pending.get_or_insert(now);
            firing |= now - since >= rule.hold as f64;
        } else if firing && now - *ceased.get_or_insert(now) < rule.keep as f64 {
            // It is kept firing.
        } else {
            (pending, firing, ceased) = (None, false, None);
        }
    }
    Some(match (firing, pending) {
        (true, _) => AlertState::Firing,
        (false, Some(_)) => AlertState::Pending,
        (false, None) => AlertState::Inactive,
    })
}

fn load(rules: &[Rule]) -> Rules {
    let mut loader = Loader::with_any_sink();
    loader.file("model.toml", &rules.iter().enumerate().map(|(number, rule)| rule.text(number)).collect::<String>());
    loader.finish().expect("valid rules")
}

fn port(number: usize) -> LinkName {
    LinkName::new(format!("Ethernet{number}").as_bytes()).expect("short")
}

fn now(seconds: u64) -> Now {
    Now { monotonic: Duration::from_secs(seconds), wall: 1e9 + seconds as f64 }
}

fn look_at(engine: &mut Engine, look: &Look, at: u64) -> portsyncd::alert::Evaluation {
    let mut snapshot = engine.snapshot();
    for metric in ["live_restarts_total", "pending_rows"] {
        if let Some(value) = look.values[0] {
            snapshot.put(metric, &[], &Reading::Number(value));
        }
    }
    for (number, value) in look.values[1..].iter().enumerate() {
        for metric in ["port_flaps_total", "port_oper_up"] {
            if let Some(value) = value {
                snapshot.put_port(metric, port(number), *value);
            }
        }
    }
    engine.evaluate(&snapshot, now(at))
}

fn bound() -> impl Strategy<Value = f64> {
    prop_oneof![(0..6u8).prop_map(f64::from), 0.01..5.0f64]
}

fn window() -> impl Strategy<Value = u64> {
    1..100u64
}

fn condition() -> impl Strategy<Value = Condition> {
    prop_oneof![
        bound().prop_map(Condition::Above),
        bound().prop_map(Condition::Below),
        (bound(), 0.0..3.0f64).prop_map(|(low, more)| Condition::Between(low, low + more)),
        (bound(), 0.0..3.0f64).prop_map(|(low, more)| Condition::Outside(low, low + more)),
        (0..6u8).prop_map(|bound| Condition::Equals(bound.into())),
        (0.0..1.0f64, window()).prop_map(|(bound, window)| Condition::RateAbove(bound, window)),
        (0.0..1.0f64, window()).prop_map(|(bound, window)| Condition::RateBelow(bound, window)),
        window().prop_map(Condition::Absent),
        (1..11u8, window(), 3..8usize, -1..=1i8).prop_map(|(z, window, least, side)| {
            Condition::Anomaly { z: f64::from(z) / 10.0, window, least, side }
        }),
        (bound(), any::<bool>(), window(), window()).prop_map(|(bound, above, horizon, window)| Condition::Trend {
            bound,
            above,
            horizon,
            window
        }),
    ]
}

fn rule() -> impl Strategy<Value = Rule> {
    let times = (prop_oneof![Just(0), 1..40u64], prop_oneof![Just(0), 1..40u64]);
    (condition(), any::<bool>(), any::<bool>(), times, prop::option::of(0.0..1.0f64)).prop_map(
        |(condition, counter, of_ports, (hold, keep), share)| {
            let resolve = match condition {
                Condition::Above(bound)
                | Condition::RateAbove(bound, _)
                | Condition::Trend { bound, above: true, .. } => share.map(|share| bound * share),
                Condition::Anomaly { z, .. } => share.map(|share| z * share),
                Condition::Below(bound)
                | Condition::RateBelow(bound, _)
                | Condition::Trend { bound, above: false, .. } => share.map(|share| bound + share),
                _ => None,
            };
            Rule { condition, counter, of_ports, hold, keep, resolve }
        },
    )
}

fn looks(present: f64) -> impl Strategy<Value = Vec<Look>> {
    let one = prop::option::weighted(present, prop_oneof![3 => (0..6u8).prop_map(f64::from), 1 => 0.0..6.0f64]);
    let look = (prop_oneof![3 => Just(5), 1 => 1..30u64], prop::array::uniform4(one));
    prop::collection::vec(look.prop_map(|(after, values)| Look { after, values }), 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_engine_says_what_the_definitions_say(rules in prop::collection::vec(rule(), 1..8), looks in looks(0.85)) {
        let mut engine = Engine::new(&load(&rules), Settings::default());
        let mut samples: Vec<Vec<(f64, Option<f64>)>> = vec![Vec::new(); PORTS + 1];
        let mut at = 0;
        for look in &looks {
            at += look.after;
            look_at(&mut engine, look, at);
            for (samples, value) in samples.iter_mut().zip(look.values) {
                samples.push((at as f64, value));
            }
            for (number, rule) in rules.iter().enumerate() {
                let series = if rule.of_ports { 1..PORTS + 1 } else { 0..1 };
                for series in series {
                    let port = rule.of_ports.then(|| port(series - 1));
                    let (found, found_value) = engine.state_of(&format!("R{number}"), port.as_ref());
                    if let Some(wanted) = state(rule, &samples[series]) {
                        prop_assert_eq!(
                            found, wanted,
                            "{}\nat {} of {:?}: value {:?}, model {:?}",
                            rule.text(number), at, &samples[series], found_value, value(rule, &samples[series])
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn each_alert_is_told_in_turns_and_never_while_silenced(
        rules in prop::collection::vec(rule(), 1..6),
        looks in looks(0.9),
        silenced in prop::collection::vec((0..6usize, 0..200u64, 1..100u64), 0..4),
    ) {
        let mut engine = Engine::new(&load(&rules), Settings::default());
        for (rule, from, long) in &silenced {
            let name = format!("R{}", rule % rules.len());
            let (starts, until) = (now(*from).wall, now(from + long).wall);
            engine.silence(SilenceRequest { rule: name, starts: Some(starts), until, ..Default::default() }, 1e9).unwrap();
        }
        let (mut at, mut told) = (0, std::collections::HashMap::new());
        for look in &looks {
            at += look.after;
            let outcome = look_at(&mut engine, look, at);
            for notification in outcome.notifications {
                let alert = notification.alert;
                let firing = notification.ended.is_none();
                let before = told.insert((alert.rule.clone(), alert.port), firing).unwrap_or(false);
                prop_assert_eq!(before, !firing, "{:?}", alert);
                let rule: usize = alert.rule[1..].parse().unwrap();
                let muted = silenced.iter().any(|(other, from, long)| {
                    other % rules.len() == rule && (*from..from + long).contains(&at)
                });
                prop_assert!(!(firing && muted), "told within a silence: {:?}", alert);
            }
            for alert in engine.alerts() {
                let is_told = told.get(&(alert.rule.clone(), alert.port)).copied().unwrap_or(false);
                prop_assert_eq!(is_told, alert.notified);
                prop_assert!(alert.state != AlertState::Firing || is_told, "{:?}", alert);
            }
            // What is told to fire and does not is told to have ended.
            let firing = told.iter().filter(|(_, firing)| **firing).count();
            prop_assert_eq!(firing, engine.alerts().filter(|alert| alert.notified).count());
        }
    }

    #[test]
    fn a_restart_in_no_time_changes_nothing(
        rules in prop::collection::vec(
            rule().prop_filter("needs no window", |rule| {
                matches!(rule.condition, Condition::Above(_) | Condition::Below(_) | Condition::Equals(_))
            }),
            1..6,
        ),
        mut looks in looks(0.9),
        restarts in prop::collection::vec(any::<bool>(), 40),
    ) {
        // Without a value an alert of before is held for a while.
        looks.iter_mut().flat_map(|look| &mut look.values).for_each(|value| *value = Some(value.unwrap_or(1.0)));
        let mut engine = Engine::new(&load(&rules), Settings::default());
        let mut restarted = Engine::new(&load(&rules), Settings::default());
        let mut at = 0;
        for (look, restart) in looks.iter().zip(restarts) {
            at += look.after;
            if restart {
                // The next run's clock begins anywhere; here it goes on, which is one of these.
                let saved = serde_json::to_string(&restarted.save(now(at))).unwrap();
                restarted = Engine::new(&load(&rules), Settings::default());
                restarted.restore(serde_json::from_str(&saved).unwrap(), now(at));
            }
            let (wanted, found) = (look_at(&mut engine, look, at), look_at(&mut restarted, look, at));
            let key = |outcome: &portsyncd::alert::Evaluation| {
                let mut keys: Vec<_> = outcome.notifications.iter()
                    .map(|told| (told.alert.rule.clone(), told.alert.port, told.alert.state)).collect();
                keys.sort();
                keys
            };
            prop_assert_eq!(key(&wanted), key(&found));
            let state = |engine: &Engine| {
                let mut all: Vec<_> = engine.alerts().map(|alert| (alert.rule, alert.port, alert.state)).collect();
                all.sort();
                all
            };
            prop_assert_eq!(state(&engine), state(&restarted));
        }
    }
}
