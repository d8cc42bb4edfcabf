//! What was measured, round by round, in; rows out, and whether everything ended right.

mod load;
mod rules;

use super::plan::Measure;
use super::protocol::Cpu;
use super::row::{Cell, Row, Unit};
use super::runner::{COUNTED, Results, Series};
use super::stats::{float, median, percentile};

/// Of fewer ticks no share can be told.
const ENOUGH_TICKS: u64 = 10;

type Look<'a, T> = &'a dyn Fn(&T) -> Option<f64>;

/// The rows of all measurements, in the order in which they are shown.
pub fn rows(results: &Results) -> Vec<Row> {
    [
        latency(results),
        burst(results),
        start(results),
        restart(results),
        load::rows(results),
        rules::rows(results),
        memory(results),
        instructions(results),
    ]
    .concat()
}

/// What one target did wrong, in words; empty if it ended right everywhere.
pub fn wrongs(results: &Results, target: usize, name: &str) -> Vec<String> {
    let mut wrongs: Vec<String> = results
        .failures
        .iter()
        .filter(|failure| failure.target == name)
        .map(|failure| format!("{}: {}", failure.during, failure.reason))
        .collect();
    for series in &results.latency {
        let missed: usize = series.of(target).map(|latency| latency.missed).sum();
        if missed > 0 {
            wrongs.push(format!("latency, {} ports: {missed} changes were not seen in time", series.ports));
        }
    }
    for series in &results.burst {
        let (bad, rows) = ended_wrong(series.of(target).map(|burst| (burst.nanoseconds.is_some(), burst.wrong)));
        if bad > 0 {
            let what = format!("burst, {} ports, each {} times", series.ports, series.variant);
            wrongs.push(format!("{what}: ended wrong {bad} times, up to {rows} rows"));
        }
    }
    for series in &results.restart {
        let what = format!("{}, {} ports", kind(series.variant), series.ports);
        let (bad, rows) = ended_wrong(series.of(target).map(|restart| (restart.nanoseconds.is_some(), restart.wrong)));
        let touched = series.of(target).map(|restart| restart.touched).max().unwrap_or_default();
        if bad > 0 {
            wrongs.push(format!("{what}: ended wrong {bad} times, up to {rows} rows, {touched} links touched"));
        }
    }
    wrongs.extend(load::wrongs(results, target));
    wrongs.extend(rules::wrongs(results, target));
    wrongs
}

fn ended_wrong(ends: impl Iterator<Item = (bool, usize)>) -> (usize, usize) {
    ends.filter(|(right, _)| !right).fold((0, 0), |(bad, most), (_, wrong)| (bad + 1, most.max(wrong)))
}

fn kind(variant: usize) -> &'static str {
    if variant == 1 { "warm restart" } else { "live restart" }
}

/// A number of each round: the median, and the rounds to be paired.
fn by_round<T>(series: &Series<T>, look: Look<'_, T>) -> Vec<Cell> {
    let of = |rounds: &Vec<Option<T>>| {
        let rounds: Vec<Option<f64>> = rounds.iter().map(|round| look(round.as_ref()?)).collect();
        let there: Vec<f64> = rounds.iter().copied().flatten().collect();
        Cell { value: median(&there), rounds, text: None }
    };
    series.rounds.iter().map(of).collect()
}

/// Two numbers of each round: the one divided by the other over all rounds, and the rounds to be paired.
fn quotient<T>(series: &Series<T>, number: impl Fn(&T) -> u64, by: impl Fn(&T) -> u64) -> Vec<Cell> {
    let ratio = |a: u64, b: u64| (b > 0).then(|| float(a) / float(b));
    let of = |rounds: &Vec<Option<T>>| Cell {
        value: ratio(rounds.iter().flatten().map(&number).sum(), rounds.iter().flatten().map(&by).sum()),
        rounds: rounds.iter().map(|round| round.as_ref().and_then(|round| ratio(number(round), by(round)))).collect(),
        text: None,
    };
    series.rounds.iter().map(of).collect()
}

fn pooled<T>(series: &Series<T>, look: impl Fn(Vec<&T>) -> Option<f64>) -> Vec<Cell> {
    let of = |rounds: &Vec<Option<T>>| Cell { value: look(rounds.iter().flatten().collect()), ..Cell::default() };
    series.rounds.iter().map(of).collect()
}

fn texts<T>(series: &Series<T>, look: impl Fn(Vec<&T>) -> String) -> Vec<Cell> {
    let of = |rounds: &Vec<Option<T>>| {
        let there: Vec<&T> = rounds.iter().flatten().collect();
        Cell { text: (!there.is_empty()).then(|| look(there)), ..Cell::default() }
    };
    series.rounds.iter().map(of).collect()
}

fn user_share<'a>(cpus: impl Iterator<Item = &'a Cpu>) -> Option<f64> {
    let (user, system) = cpus.fold((0, 0), |sum, cpu| (sum.0 + cpu.user_ticks, sum.1 + cpu.system_ticks));
    (user + system >= ENOUGH_TICKS).then(|| 100.0 * float(user) / float(user + system))
}

fn latency(results: &Results) -> Vec<Row> {
    let mut rows = Vec::new();
    for series in &results.latency {
        let what = format!("{} ports", series.ports);
        let row = |quantity, unit, values| Row::new(Measure::Latency, &what, quantity, unit, values);
        let at = |values: &[u64], percent| {
            let mut sorted = values.to_vec();
            sorted.sort_unstable();
            (!sorted.is_empty()).then(|| float(percentile(&sorted, percent)))
        };
        let all = |percent| {
            pooled(series, |rounds| {
                at(&rounds.iter().flat_map(|round| round.nanoseconds.clone()).collect::<Vec<u64>>(), percent)
            })
        };
        let mut p50 = by_round(series, &|round| at(&round.nanoseconds, 50));
        for (value, whole) in p50.iter_mut().zip(all(50)) {
            value.value = whole.value;
        }
        let events = |round: &super::protocol::Latency| (round.nanoseconds.len() + round.missed) as u64;
        let user = pooled(series, |rounds| user_share(rounds.iter().map(|round| &round.cpu)));
        let outcome = texts(series, |rounds| {
            let missed: usize = rounds.iter().map(|round| round.missed).sum();
            let events: u64 = rounds.iter().map(|round| events(round)).sum();
            if missed == 0 { format!("all {events}") } else { format!("MISSED {missed} of {events}") }
        });
        rows.extend([
            row("p50", Unit::Nanoseconds, p50),
            row("p95", Unit::Nanoseconds, all(95)),
            row("p99", Unit::Nanoseconds, all(99)),
            row("max", Unit::Nanoseconds, all(100)),
            row("CPU per event", Unit::Nanoseconds, quotient(series, |round| round.cpu.daemon_ns, events)),
            row("user part of it", Unit::Percent, user).unrelated(),
            row("Redis CPU per event", Unit::Nanoseconds, quotient(series, |round| round.cpu.redis_ns, events)),
            row("events seen", Unit::Count, outcome),
        ]);
    }
    rows
}

fn burst(results: &Results) -> Vec<Row> {
    let mut rows = Vec::new();
    for series in &results.burst {
        let what = format!("{} x {}", series.ports, series.variant);
        let row = |quantity, unit, values| Row::new(Measure::Burst, &what, quantity, unit, values);
        let events = |round: &super::protocol::Burst| round.events as u64;
        let time = by_round(series, &|round| round.nanoseconds.map(float));
        let rate = by_round(series, &|round| Some(float(events(round)) * 1e9 / float(round.nanoseconds?)));
        let user = pooled(series, |rounds| user_share(rounds.iter().map(|round| &round.cpu)));
        let outcome = texts(series, |rounds| {
            let ends = rounds.iter().map(|round| (round.nanoseconds.is_some(), round.wrong));
            outcome(rounds.len(), ended_wrong(ends), 0)
        });
        rows.extend([
            row("until all right", Unit::Nanoseconds, time),
            row("events", Unit::PerSecond, rate).unrelated(),
            row("CPU per event", Unit::Nanoseconds, quotient(series, |round| round.cpu.daemon_ns, events)),
            row("user part of it", Unit::Percent, user).unrelated(),
            row("Redis CPU per event", Unit::Nanoseconds, quotient(series, |round| round.cpu.redis_ns, events)),
            row("ended", Unit::Count, outcome),
        ]);
    }
    rows
}

fn outcome(rounds: usize, (bad, rows): (usize, usize), touched: usize) -> String {
    match (bad, touched) {
        (0, _) => format!("right, {rounds} of {rounds}"),
        (_, 0) => format!("WRONG, {bad} of {rounds}, {rows} rows"),
        _ => format!("TOUCHED {touched} links, {bad} of {rounds}"),
    }
}

fn start(results: &Results) -> Vec<Row> {
    let mut rows = Vec::new();
    for series in &results.start {
        let what = format!("{} ports", series.ports);
        let row = |quantity, unit, values| Row::new(Measure::Start, &what, quantity, unit, values);
        rows.extend([
            row("to PortConfigDone", Unit::Nanoseconds, by_round(series, &|round| Some(float(round.nanoseconds)))),
            row(
                "in Redis round trips",
                Unit::Count,
                quotient(series, |round| round.nanoseconds, |round| round.ping_ns),
            )
            .unrelated(),
            row("CPU", Unit::Nanoseconds, by_round(series, &|round| Some(float(round.daemon_ns)))),
            row("Redis round trip", Unit::Nanoseconds, by_round(series, &|round| Some(float(round.ping_ns))))
                .unrelated(),
        ]);
    }
    rows
}

fn restart(results: &Results) -> Vec<Row> {
    let mut rows = Vec::new();
    for series in &results.restart {
        let what = format!("{}, {} ports", kind(series.variant), series.ports);
        let row = |quantity, unit, values| Row::new(Measure::Restart, &what, quantity, unit, values);
        let trips = by_round(series, &|round| Some(float(round.nanoseconds?) / float(round.ping_ns.max(1))));
        let outcome = texts(series, |rounds| {
            let touched = rounds.iter().map(|round| round.touched).max().unwrap_or_default();
            let ends = rounds.iter().map(|round| (round.nanoseconds.is_some(), round.wrong));
            outcome(rounds.len(), ended_wrong(ends), touched)
        });
        rows.extend([
            row("until all right", Unit::Nanoseconds, by_round(series, &|round| round.nanoseconds.map(float))),
            row("in Redis round trips", Unit::Count, trips).unrelated(),
            row("Redis round trip", Unit::Nanoseconds, by_round(series, &|round| Some(float(round.ping_ns))))
                .unrelated(),
            row("ended", Unit::Count, outcome),
        ]);
    }
    rows
}

fn memory(results: &Results) -> Vec<Row> {
    let mut rows = Vec::new();
    for series in &results.memory {
        let what = format!("{} ports", series.ports);
        let row = |quantity, unit, values| Row::new(Measure::Memory, &what, quantity, unit, values);
        rows.extend([
            row("peak RSS", Unit::Kibibytes, by_round(series, &|round| Some(float(round.peak_kib)))),
            row("PSS idle", Unit::Kibibytes, by_round(series, &|round| Some(float(round.pss_kib)))),
            row("threads", Unit::Count, by_round(series, &|round| Some(float(round.threads)))).unrelated(),
            row("wake-ups idle", Unit::PerSecond, by_round(series, &|round| Some(round.wakeups_per_second)))
                .unrelated(),
            row("size of the file", Unit::Kibibytes, by_round(series, &|round| Some(float(round.file_bytes) / 1024.0)))
                .unrelated(),
        ]);
    }
    rows
}

fn instructions(results: &Results) -> Vec<Row> {
    let per_event =
        |sum: &Option<u64>| Cell { value: sum.map(|sum| float(sum) / float(COUNTED as u64)), ..Cell::default() };
    let row = |(rules, counts): &(Option<usize>, Vec<Option<u64>>)| {
        let what = rules.map_or_else(String::new, |count| format!(", {count} alert rules"));
        let values = counts.iter().map(per_event).collect();
        let what = format!("under valgrind{what}");
        Row::new(Measure::Latency, &what, "user instructions per event", Unit::Count, values)
    };
    results.instructions.iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::super::protocol::{Burst, Latency, Restart};
    use super::super::runner::Failure;
    use super::*;

    fn burst_of(nanoseconds: Option<u64>, wrong: usize) -> Burst {
        Burst { events: 320, nanoseconds, wrong, cpu: Cpu::default() }
    }

    #[test]
    fn what_ended_wrong_is_said() {
        let restart = Restart { touched: 3, wrong: 3, ..Restart::default() };
        let results = Results {
            latency: vec![Series {
                ports: 32,
                variant: 0,
                rounds: vec![vec![Some(Latency { missed: 1, ..Latency::default() })], vec![None]],
            }],
            burst: vec![Series {
                ports: 32,
                variant: 10,
                rounds: vec![
                    vec![Some(burst_of(Some(1), 0)), Some(burst_of(None, 7))],
                    vec![Some(burst_of(Some(1), 0)), None],
                ],
            }],
            restart: vec![Series { ports: 512, variant: 1, rounds: vec![vec![Some(restart)], vec![None]] }],
            failures: vec![Failure { target: "b".to_owned(), during: "start".to_owned(), reason: "gone".to_owned() }],
            ..Results::default()
        };
        assert_eq!(wrongs(&results, 0, "a").len(), 3);
        assert_eq!(wrongs(&results, 1, "b"), ["start: gone"]);
        let rows = rows(&results);
        let ended = rows.iter().find(|row| row.measure == "burst" && row.quantity == "ended").unwrap();
        assert_eq!(ended.values[0].text.as_deref(), Some("WRONG, 1 of 2, 7 rows"));
        let ended = rows.iter().find(|row| row.measure == "restart" && row.quantity == "ended").unwrap();
        assert_eq!(ended.values[0].text.as_deref(), Some("TOUCHED 3 links, 1 of 1"));
    }

    #[test]
    fn latency_is_pooled_and_its_ratio_paired() {
        let slice = |nanoseconds: &[u64]| Some(Latency { nanoseconds: nanoseconds.to_vec(), ..Latency::default() });
        let series = Series {
            ports: 32,
            variant: 0,
            rounds: vec![vec![slice(&[20, 20, 20]), slice(&[200])], vec![slice(&[10, 10, 10]), slice(&[100])]],
        };
        let rows = rows(&Results { latency: vec![series], ..Results::default() });
        let p50 = &rows[0];
        assert_eq!((p50.quantity, p50.values[0].value, p50.ratios[0]), ("p50", Some(20.0), Some(2.0)));
        assert_eq!(rows.iter().find(|row| row.quantity == "max").unwrap().values[0].value, Some(200.0));
    }
}
