//! Changes with some numbers of alert rules: the same quantities for each, and what they are to those of the first, round by round.

use super::super::plan::Measure;
use super::super::protocol::{Burst, Ruled};
use super::super::row::{Cell, Row, Unit};
use super::super::runner::{Results, Series};
use super::super::stats::{float, median, median_bounds, percentile, ratios};
use super::{by_round, ended_wrong, outcome, pooled, quotient, texts};

/// A quantity, and what it is called when it is compared.
type Quantity = (&'static str, &'static str, fn(&Series<Ruled>) -> Vec<Cell>);

const COMPARED: [Quantity; 5] = [
    ("p50", "p50 / none", |series| at(series, 50)),
    ("p99", "p99 / none", |series| at(series, 99)),
    ("CPU per event", "CPU per event / none", |series| {
        quotient(
            series,
            |ruled| ruled.latency.cpu.daemon_ns,
            |ruled| (ruled.latency.nanoseconds.len() + ruled.latency.missed) as u64,
        )
    }),
    ("burst until all right", "burst until all right / none", |series| by_round(series, &burst_time)),
    ("burst CPU per event", "burst CPU per event / none", |series| {
        quotient(
            series,
            |ruled| sum(ruled, |burst| burst.cpu.daemon_ns),
            |ruled| sum(ruled, |burst| burst.events as u64),
        )
    }),
];

pub fn rows(results: &Results) -> Vec<Row> {
    results
        .rules
        .chunk_by(|a, b| a.ports == b.ports)
        .flat_map(|group| group.iter().flat_map(|series| of(&group[0], series)))
        .collect()
}

fn of(none: &Series<Ruled>, series: &Series<Ruled>) -> Vec<Row> {
    let what = format!("{} ports, {} rules", series.ports, series.variant);
    let row = |quantity, unit, values| Row::new(Measure::Rules, &what, quantity, unit, values);
    let mut rows: Vec<Row> =
        COMPARED.iter().map(|(name, _, look)| row(*name, Unit::Nanoseconds, look(series))).collect();
    if series.variant != none.variant {
        rows.extend(
            COMPARED
                .iter()
                .map(|(_, name, look)| row(*name, Unit::Count, compared(&look(series), &look(none))).unrelated()),
        );
    }
    let ended = texts(series, |rounds| {
        let bursts: Vec<&Burst> = rounds.iter().flat_map(|ruled| &ruled.bursts).collect();
        outcome(bursts.len(), ended_wrong(bursts.iter().map(|burst| (burst.nanoseconds.is_some(), burst.wrong))), 0)
    });
    rows.extend([
        row(
            "evaluations",
            Unit::Count,
            pooled(series, |rounds| {
                (!rounds.is_empty()).then(|| float(rounds.iter().map(|ruled| ruled.evaluations.count).sum()))
            }),
        )
        .unrelated(),
        row(
            "each of them took",
            Unit::Nanoseconds,
            quotient(series, |ruled| ruled.evaluations.nanoseconds, |ruled| ruled.evaluations.count),
        ),
        row("ended", Unit::Count, ended),
    ]);
    rows
}

fn sum(ruled: &Ruled, number: impl Fn(&Burst) -> u64) -> u64 {
    ruled.bursts.iter().map(number).sum()
}

/// The median of a round's bursts.
fn burst_time(ruled: &Ruled) -> Option<f64> {
    median(&ruled.bursts.iter().filter_map(|burst| burst.nanoseconds.map(float)).collect::<Vec<f64>>())
}

/// A percentile of each round; their median is shown, so that a single bad round does not make it.
fn at(series: &Series<Ruled>, percent: u8) -> Vec<Cell> {
    by_round(series, &|ruled| {
        let mut sorted = ruled.latency.nanoseconds.clone();
        sorted.sort_unstable();
        (!sorted.is_empty()).then(|| float(percentile(&sorted, percent)))
    })
}

/// Of each target by itself: the ratio in each round, their median, and the bounds within which that is sure to lie.
fn compared(with: &[Cell], without: &[Cell]) -> Vec<Cell> {
    let one = |(with, without): (&Cell, &Cell)| {
        let rounds = ratios(&with.rounds, &without.rounds);
        let value = median(&rounds);
        let text =
            value.zip(median_bounds(&rounds)).map(|(value, (low, high))| format!("{value:.3} ({low:.3} to {high:.3})"));
        Cell { value, rounds: rounds.into_iter().map(Some).collect(), text }
    };
    with.iter().zip(without).map(one).collect()
}

/// What one target did wrong, in words.
pub fn wrongs(results: &Results, target: usize) -> Vec<String> {
    let mut wrongs = Vec::new();
    for series in &results.rules {
        let mut wrong = |text: String| wrongs.push(format!("{} rules, {} ports: {text}", series.variant, series.ports));
        let ends = series.of(target).flat_map(|ruled| &ruled.bursts);
        let (bad, rows) = ended_wrong(ends.map(|burst| (burst.nanoseconds.is_some(), burst.wrong)));
        if bad > 0 {
            wrong(format!("ended wrong {bad} times, up to {rows} rows"));
        }
        let missed: usize = series.of(target).map(|ruled| ruled.latency.missed).sum();
        if missed > 0 {
            wrong(format!("{missed} changes were not seen in time"));
        }
    }
    wrongs
}

#[cfg(test)]
mod tests {
    use super::super::super::protocol::{Evaluations, Latency};
    use super::*;

    fn series(variant: usize, times: &[u64], right: bool) -> Series<Ruled> {
        let ruled = |time: &u64| Ruled {
            latency: Latency { nanoseconds: vec![*time], missed: usize::from(!right), ..Latency::default() },
            bursts: vec![Burst {
                events: 1,
                nanoseconds: right.then_some(*time),
                wrong: usize::from(!right),
                ..Burst::default()
            }],
            evaluations: Evaluations { count: 2, nanoseconds: 10 },
        };
        Series { ports: 32, variant, rounds: vec![times.iter().map(|time| Some(ruled(time))).collect()] }
    }

    fn cell(rows: &[Row], what: &str, quantity: &str) -> Cell {
        rows.iter().find(|row| row.what == what && row.quantity == quantity).unwrap().values[0].clone()
    }

    #[test]
    fn each_number_of_rules_is_compared_with_none_round_by_round() {
        let rules = vec![series(0, &[10, 100, 10], true), series(50, &[11, 120, 10], true)];
        let results = Results { rules, ..Results::default() };
        let rows = rows(&results);
        let p50 = cell(&rows, "32 ports, 50 rules", "p50 / none");
        assert_eq!(p50.text.as_deref(), Some("1.100 (1.000 to 1.200)"));
        assert_eq!(p50.rounds.len(), 3);
        assert_eq!(cell(&rows, "32 ports, 50 rules", "p50").value, Some(11.0));
        assert_eq!(cell(&rows, "32 ports, 50 rules", "evaluations").value, Some(6.0));
        assert_eq!(cell(&rows, "32 ports, 50 rules", "each of them took").value, Some(5.0));
        assert!(rows.iter().all(|row| row.what != "32 ports, 0 rules" || !row.quantity.ends_with("/ none")));
        assert_eq!(wrongs(&results, 0), [""; 0]);
    }

    #[test]
    fn what_goes_wrong_is_told_and_who_has_no_rules_is_not_wrong() {
        let results = Results { rules: vec![series(0, &[1], true), series(50, &[1, 1], false)], ..Results::default() };
        assert_eq!(cell(&rows(&results), "32 ports, 50 rules", "ended").text.as_deref(), Some("WRONG, 2 of 2, 1 rows"));
        let wrongs_of = |results: &Results| wrongs(results, 0);
        assert_eq!(
            wrongs_of(&results),
            [
                "50 rules, 32 ports: ended wrong 2 times, up to 1 rows",
                "50 rules, 32 ports: 2 changes were not seen in time"
            ]
        );
        let nobody = Series { ports: 32, variant: 50, rounds: vec![vec![None]] };
        let results = Results { rules: vec![nobody], ..Results::default() };
        assert_eq!(wrongs_of(&results), [""; 0]);
        assert!(rows(&results).iter().all(|row| row.values[0].value.is_none() && row.values[0].text.is_none()));
    }
}
