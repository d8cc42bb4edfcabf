//! Steady changes: the same quantities without clients and with them, their ratios round by round, and what the clients saw.

use super::super::clients::Report;
use super::super::plan::Measure;
use super::super::protocol::{Load, Loaded};
use super::super::row::{Cell, Row, Unit};
use super::super::runner::{Results, Series};
use super::super::stats::{float, paired_ratio, percentile};
use super::{by_round, ended_wrong, outcome, pooled, quotient, texts};

/// What a target without HTTP has in place of what the clients saw.
const NO_HTTP: &str = "no HTTP";

pub fn rows(results: &Results) -> Vec<Row> {
    results.load.iter().flat_map(of).collect()
}

fn of(series: &Series<Load>) -> Vec<Row> {
    let what = format!("{} ports", series.ports);
    let row = |quantity, unit, values| Row::new(Measure::Load, &what, quantity, unit, values);
    let alone = half(series, |load| Some(&load.alone));
    let crowded = half(series, |load| load.crowded.as_ref().map(|(loaded, _)| loaded));
    let reports = half(series, |load| load.crowded.as_ref().map(|(_, report)| report));
    let (p50, p99) = (at(&alone, 50), at(&alone, 99));
    let (crowded_p50, crowded_p99) = (at(&crowded, 50), at(&crowded, 99));
    let ratios = [ratio(&crowded_p50, &p50), ratio(&crowded_p99, &p99)];
    let [ratio_p50, ratio_p99] = ratios.map(|ratio| or_no_http(series, ratio));
    let events = |round: &&Loaded| round.events;
    let per_event = |half: &Series<&Loaded>| quotient(half, |round| round.cpu.daemon_ns, events);
    let per_second = |half: &Series<&Loaded>| {
        by_round(half, &|round| Some(float(round.events) * 1e9 / float(round.nanoseconds.max(1))))
    };
    let answers = |path: fn(&Report) -> &[u64]| {
        pooled(&reports, move |reports| percentile_of(reports.iter().flat_map(|report| path(report)), 99))
    };
    let sent =
        by_round(&reports, &|report| Some(float(report.bytes) / 1024.0 * 1e9 / float(report.nanoseconds.max(1))));
    let share = |ns: u64, of: u64| Some(100.0 * float(ns) / float(of.max(1)));
    let ended = texts(series, |rounds| {
        let halves: Vec<&Loaded> = rounds.iter().flat_map(|load| halves(load)).collect();
        outcome(halves.len(), ended_wrong(halves.iter().map(|half| (half.right, half.wrong))), 0)
    });
    vec![
        row("p50", Unit::Nanoseconds, p50),
        row("p99", Unit::Nanoseconds, p99),
        row("p50 with clients", Unit::Nanoseconds, or_no_http(series, crowded_p50)),
        row("p99 with clients", Unit::Nanoseconds, or_no_http(series, crowded_p99)),
        row("p50 with / without", Unit::Count, ratio_p50).unrelated(),
        row("p99 with / without", Unit::Count, ratio_p99).unrelated(),
        row("events", Unit::PerSecond, per_second(&alone)).unrelated(),
        row("events with clients", Unit::PerSecond, or_no_http(series, per_second(&crowded))).unrelated(),
        row("CPU per event", Unit::Nanoseconds, per_event(&alone)),
        row("CPU per event with clients", Unit::Nanoseconds, or_no_http(series, per_event(&crowded))),
        row("who changes links", Unit::Percent, by_round(&alone, &|half| share(half.lab_ns, half.nanoseconds)))
            .unrelated(),
        row("the clients", Unit::Percent, {
            or_no_http(series, by_round(&reports, &|report| share(report.cpu_ns, report.nanoseconds)))
        })
        .unrelated(),
        row("p99 of /metrics", Unit::Nanoseconds, or_no_http(series, answers(|report| &report.metrics_ns))),
        row("p99 of /api/v1/ports", Unit::Nanoseconds, or_no_http(series, answers(|report| &report.ports_ns))),
        row("sent each second", Unit::Kibibytes, or_no_http(series, sent)).unrelated(),
        row("clients", Unit::Count, or_no_http(series, texts(&reports, |reports| saw(&reports)))),
        row("peak RSS", Unit::Kibibytes, by_round(series, &|load| Some(float(load.peak_kib)))),
        row("ended", Unit::Count, ended),
    ]
}

/// A part of each round, where there is one.
fn half<'a, T>(series: &'a Series<Load>, part: impl Fn(&'a Load) -> Option<&'a T>) -> Series<&'a T> {
    let rounds = series.rounds.iter();
    let rounds = rounds.map(|rounds| rounds.iter().map(|round| part(round.as_ref()?)).collect()).collect();
    Series { ports: series.ports, variant: series.variant, rounds }
}

fn halves(load: &Load) -> impl Iterator<Item = &Loaded> {
    std::iter::once(&load.alone).chain(load.crowded.as_ref().map(|(loaded, _)| loaded))
}

fn percentile_of<'a>(values: impl Iterator<Item = &'a u64>, percent: u8) -> Option<f64> {
    let mut sorted: Vec<u64> = values.copied().collect();
    sorted.sort_unstable();
    (!sorted.is_empty()).then(|| float(percentile(&sorted, percent)))
}

/// A percentile of all rounds together, and of each round to be paired.
fn at(half: &Series<&Loaded>, percent: u8) -> Vec<Cell> {
    let mut cells = by_round(half, &|round| percentile_of(round.sampled.iter(), percent));
    let all = pooled(half, |rounds| percentile_of(rounds.iter().flat_map(|round| &round.sampled), percent));
    for (cell, all) in cells.iter_mut().zip(all) {
        cell.value = all.value;
    }
    cells
}

/// Of each target by itself: the median of the rounds' ratios.
fn ratio(with: &[Cell], without: &[Cell]) -> Vec<Cell> {
    let pairs = with.iter().zip(without);
    pairs
        .map(|(with, without)| Cell { value: paired_ratio(&with.rounds, &without.rounds), ..Cell::default() })
        .collect()
}

fn or_no_http(series: &Series<Load>, mut cells: Vec<Cell>) -> Vec<Cell> {
    for (target, cell) in cells.iter_mut().enumerate() {
        if series.of(target).next().is_some() && series.of(target).all(|load| load.crowded.is_none()) {
            cell.text = Some(NO_HTTP.to_owned());
        }
    }
    cells
}

fn saw(reports: &[&&Report]) -> String {
    let sum = |number: fn(&Report) -> u64| reports.iter().map(|report| number(report)).sum::<u64>();
    let answers = sum(|report| (report.metrics_ns.len() + report.ports_ns.len()) as u64);
    let (events, wholes) = (sum(|report| report.events), sum(|report| report.wholes));
    let (errors, silent) = (sum(|report| report.errors), sum(|report| report.silent as u64));
    let behind = if wholes > 0 { format!(", {wholes} told anew") } else { String::new() };
    match errors + silent {
        0 => format!("{answers} answers, {events} events{behind}"),
        _ => format!("WRONG, {errors} errors, {silent} unanswered"),
    }
}

/// What one target did wrong, in words.
pub fn wrongs(results: &Results, target: usize) -> Vec<String> {
    let mut wrongs = Vec::new();
    for series in &results.load {
        let mut wrong = |text: String| wrongs.push(format!("load, {} ports: {text}", series.ports));
        let halves: Vec<&Loaded> = series.of(target).flat_map(halves).collect();
        let (bad, rows) = ended_wrong(halves.iter().map(|half| (half.right, half.wrong)));
        if bad > 0 {
            wrong(format!("ended wrong {bad} times, up to {rows} rows"));
        }
        let missed: usize = halves.iter().map(|half| half.missed).sum();
        if missed > 0 {
            wrong(format!("{missed} changes were not seen in time"));
        }
        let reports: Vec<&Report> = series.of(target).filter_map(|load| Some(&load.crowded.as_ref()?.1)).collect();
        let errors: u64 = reports.iter().map(|report| report.errors).sum();
        if let Some(first) = reports.iter().find_map(|report| report.first_error.as_ref()) {
            wrong(format!("{errors} times a client got something wrong, the first time: {first}"));
        }
        let silent = reports.iter().map(|report| report.silent).max().unwrap_or_default();
        if silent > 0 {
            wrong(format!("up to {silent} clients of {} were never answered", series.variant));
        }
    }
    wrongs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loaded(sampled: &[u64], right: bool) -> Loaded {
        Loaded { sampled: sampled.to_vec(), right, wrong: usize::from(!right), ..Loaded::default() }
    }

    fn results(loads: Vec<Load>) -> Results {
        let rounds = vec![loads.into_iter().map(Some).collect()];
        Results { load: vec![Series { ports: 32, variant: 3, rounds }], ..Results::default() }
    }

    fn cell(results: &Results, quantity: &str) -> Cell {
        rows(results).iter().find(|row| row.quantity == quantity).unwrap().values[0].clone()
    }

    #[test]
    fn clients_are_compared_with_their_absence_round_by_round() {
        let round = |alone: u64, crowded: u64| Load {
            alone: loaded(&[alone], true),
            crowded: Some((loaded(&[crowded], true), Report { events: 2, ..Report::default() })),
            ..Load::default()
        };
        let results = results(vec![round(10, 11), round(100, 120), round(10, 30)]);
        assert_eq!(cell(&results, "p99 with / without").value, Some(1.2));
        assert_eq!(cell(&results, "p99").value, Some(100.0));
        assert_eq!(cell(&results, "clients").text.as_deref(), Some("0 answers, 6 events"));
        assert_eq!(cell(&results, "ended").text.as_deref(), Some("right, 6 of 6"));
        assert_eq!(wrongs(&results, 0), [""; 0]);
    }

    #[test]
    fn without_http_there_are_no_clients_and_nothing_is_wrong() {
        let results = results(vec![Load { alone: loaded(&[10], true), ..Load::default() }]);
        assert_eq!(cell(&results, "p99 with / without").text.as_deref(), Some(NO_HTTP));
        assert_eq!(cell(&results, "clients").text.as_deref(), Some(NO_HTTP));
        assert_eq!(wrongs(&results, 0), [""; 0]);
    }

    #[test]
    fn what_goes_wrong_is_told() {
        let report = Report { errors: 2, first_error: Some("no".to_owned()), silent: 1, ..Report::default() };
        let crowded = Some((Loaded { missed: 4, ..loaded(&[], false) }, report));
        let results = results(vec![Load { alone: loaded(&[10], true), crowded, ..Load::default() }]);
        let wrongs = wrongs(&results, 0);
        for part in ["ended wrong 1 times", "4 changes", "2 times a client", "the first time: no", "1 clients of 3"] {
            assert!(wrongs.iter().any(|wrong| wrong.contains(part)), "{part}: {wrongs:?}");
        }
        assert_eq!(cell(&results, "clients").text.as_deref(), Some("WRONG, 2 errors, 1 unanswered"));
    }
}
