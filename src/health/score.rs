//! The health score: 0 to 100, the sum of parts that each say why they do not give all their points. docs/health.md describes
//! them; the table below is what holds.

use std::time::Duration;

use crate::api::{Health, Latency, Part, PortCounts};
use crate::config::HealthConfig;
use crate::telemetry::Telemetry;
use crate::telemetry::readiness::Component;

/// What the score rests on besides what [`Telemetry`] holds.
#[derive(Clone, Debug, Default)]
pub struct HealthFacts {
    /// How many ports stand how.
    pub ports: PortCounts,
    /// Ports whose row is still to come before `PortInitDone`.
    pub awaited: usize,
    /// Ports whose row has been out of step for more than a second.
    pub late: usize,
    /// Configured ports that have a link and no row, if there are any, and the first of them in words.
    pub unserved: Option<(usize, String)>,
    /// Latency over the last minute or so.
    pub recent: Option<Latency>,
}

pub fn score(telemetry: &Telemetry, facts: &HealthFacts, config: &HealthConfig) -> Health {
    let parts = vec![
        redis(telemetry),
        rows(telemetry, facts),
        start(telemetry, facts),
        kernel(telemetry, config),
        drift(telemetry, config),
        latency(facts, config),
        services(telemetry),
    ];
    let sum: f64 = parts.iter().map(|part| part.points).sum();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a sum of points from 0 to 100")]
    let score = sum.round().clamp(0.0, 100.0) as u8;
    Health { score, parts }
}

/// `share` of the points, of 0 to 1, with a reason unless it is all of them.
fn part(name: &str, weight: u8, share: f64, reason: impl FnOnce() -> String) -> Part {
    let points = (f64::from(weight) * share * 10.0).round() / 10.0;
    Part { name: name.to_owned(), weight, points, reason: (share < 1.0).then(reason) }
}

fn redis(telemetry: &Telemetry) -> Part {
    let reason = telemetry.readiness.reason(Component::Redis);
    part("redis", 30, if reason.is_none() { 1.0 } else { 0.0 }, || reason.unwrap_or_default())
}

fn rows(telemetry: &Telemetry, facts: &HealthFacts) -> Part {
    if let Some(reason) = telemetry.readiness.reason(Component::Rows) {
        return part("rows", 20, 0.0, || reason);
    }
    if let Some(problem) = telemetry.rows.unready().map(|(problem, _)| problem).or(telemetry.rows.refusal()) {
        return part("rows", 20, 0.0, || problem);
    }
    let late = (facts.late > 0)
        .then(|| format!("{} of {} ports are out of step for more than a second", facts.late, facts.ports.total));
    let unserved = facts.unserved.as_ref();
    let share = 1.0 - ratio(facts.late + unserved.map_or(0, |(count, _)| *count), facts.ports.total);
    // However many other ports there are, one that nobody serves shows in the score.
    let share = if unserved.is_some() { share.min(0.9) } else { share };
    part("rows", 20, share, || {
        late.into_iter().chain(unserved.map(|(_, why)| why.clone())).collect::<Vec<_>>().join("; ")
    })
}

fn start(telemetry: &Telemetry, facts: &HealthFacts) -> Part {
    let current = telemetry.starts.current();
    if current.done {
        return part("start", 20, 1.0, String::new);
    }
    // Before Redis was asked nothing is known of them.
    let awaited = match facts.awaited {
        0 => String::new(),
        1 => ", 1 port is awaited".to_owned(),
        count => format!(", {count} ports are awaited"),
    };
    if current.timed_out {
        return part("start", 20, 0.0, || format!("PortInitDone is due for {:.0} s{awaited}", current.due_seconds));
    }
    let share = (1.0 - ratio(facts.awaited, facts.ports.total)).min(0.9);
    part("start", 20, share, || format!("PortInitDone is still due{awaited}"))
}

fn kernel(telemetry: &Telemetry, config: &HealthConfig) -> Part {
    if let Some(reason) = telemetry.readiness.reason(Component::Kernel) {
        return part("kernel", 15, 0.0, || reason);
    }
    let recent = telemetry.since(&telemetry.moments.overrun).filter(|ago| *ago < config.window);
    part("kernel", 15, if recent.is_some() { 0.5 } else { 1.0 }, || {
        format!("link messages were lost {} s ago, all links were asked for again", seconds(recent))
    })
}

fn drift(telemetry: &Telemetry, config: &HealthConfig) -> Part {
    let recent = telemetry.since(&telemetry.moments.drift).filter(|ago| *ago < config.window);
    part("drift", 5, if recent.is_some() { 0.0 } else { 1.0 }, || {
        format!("an audit {} s ago found rows that differed from the kernel", seconds(recent))
    })
}

fn latency(facts: &HealthFacts, config: &HealthConfig) -> Part {
    let limit = config.latency_p99.as_secs_f64();
    let p99 = facts.recent.and_then(|recent| recent.p99).unwrap_or_default();
    let share = if p99 <= limit { 1.0 } else { (limit / p99).clamp(0.0, 0.9) };
    part("latency", 5, share, || {
        format!("99 of 100 rows took up to {:.1} ms, the limit is {:.1} ms", p99 * 1e3, limit * 1e3)
    })
}

fn services(telemetry: &Telemetry) -> Part {
    let reasons: Vec<String> = [Component::State, Component::Http, Component::Control]
        .into_iter()
        .filter_map(|component| Some(format!("{}: {}", component.name(), telemetry.readiness.reason(component)?)))
        .collect();
    part("services", 5, 1.0 - ratio(reasons.len(), 3), || reasons.join("; "))
}

#[expect(clippy::cast_precision_loss, reason = "numbers of ports")]
fn ratio(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { part.min(whole) as f64 / whole as f64 }
}

fn seconds(ago: Option<Duration>) -> u64 {
    ago.unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::readiness::COMPONENTS;

    fn well() -> (Telemetry, HealthFacts, HealthConfig) {
        let telemetry = Telemetry::default();
        for component in COMPONENTS {
            telemetry.readiness.set_ready(component);
        }
        telemetry.starts.done();
        let facts =
            HealthFacts { ports: PortCounts { total: 32, up: 32, ..PortCounts::default() }, ..HealthFacts::default() };
        (telemetry, facts, HealthConfig::default())
    }

    fn points(health: &Health, name: &str) -> f64 {
        let part = health.parts.iter().find(|part| part.name == name).unwrap();
        assert_eq!(part.reason.is_some(), part.points < f64::from(part.weight), "{part:?}");
        part.points
    }

    #[test]
    fn all_is_well_gives_100_and_the_weights_are_100() {
        let (telemetry, facts, config) = well();
        let health = score(&telemetry, &facts, &config);
        assert_eq!(health.score, 100, "{health:?}");
        assert_eq!(health.parts.iter().map(|part| u32::from(part.weight)).sum::<u32>(), 100);
    }

    #[test]
    fn each_part_costs_its_points() {
        let (telemetry, mut facts, config) = well();
        telemetry.readiness.set_not_ready(Component::Redis, "connection refused");
        telemetry.readiness.set_not_ready(Component::Http, "the port is taken");
        telemetry.mark(&telemetry.moments.overrun);
        telemetry.mark(&telemetry.moments.drift);
        facts.late = 8;
        facts.recent =
            Some(Latency { count: 1, p99: Some(config.latency_p99.as_secs_f64() * 2.0), ..Latency::default() });
        let health = score(&telemetry, &facts, &config);
        for (name, wanted) in [
            ("redis", 0.0),
            ("rows", 15.0),
            ("start", 20.0),
            ("kernel", 7.5),
            ("drift", 0.0),
            ("latency", 2.5),
            ("services", 3.3),
        ] {
            assert!((points(&health, name) - wanted).abs() < 1e-9, "{name}: {health:?}");
        }
        assert_eq!(health.score, 48);
    }

    #[test]
    fn one_port_that_is_not_served_costs_points_among_any_number() {
        let (telemetry, mut facts, config) = well();
        facts.unserved = Some((1, "1 port is not in step: Ethernet0 (ignored)".to_owned()));
        for (total, wanted) in [(1, 0.0), (4, 15.0), (10_000, 18.0)] {
            facts.ports.total = total;
            let health = score(&telemetry, &facts, &config);
            assert!((points(&health, "rows") - wanted).abs() < 1e-9, "{health:?}");
            assert!(health.score < 100);
        }
        facts.late = 1;
        let health = score(&telemetry, &facts, &config);
        let reason = health.parts[1].reason.as_deref().unwrap();
        assert!(
            reason.starts_with("1 of 10000 ports") && reason.ends_with("; 1 port is not in step: Ethernet0 (ignored)")
        );
    }

    #[test]
    fn a_start_gives_what_share_of_ports_is_there_and_nothing_once_it_takes_too_long() {
        let (_, mut facts, config) = well();
        let telemetry = Telemetry::default();
        facts.awaited = 16;
        assert!((points(&score(&telemetry, &facts, &config), "start") - 10.0).abs() < 1e-9);
        telemetry.starts.timed_out();
        assert!(points(&score(&telemetry, &facts, &config), "start").abs() < 1e-9);
    }
}
