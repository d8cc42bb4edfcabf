//! One line of what a run says: a quantity of every target, and the first target's ratio to each other.

use serde::Serialize;

use super::plan::Measure;
use super::stats::paired_ratio;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Nanoseconds.
    Nanoseconds,
    /// So many each second.
    PerSecond,
    /// Hundredths of a whole.
    Percent,
    /// KiB.
    Kibibytes,
    /// Anything that is counted.
    Count,
}

/// A quantity of one target.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Cell {
    pub value: Option<f64>,
    /// Round by round, where rounds can be paired.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rounds: Vec<Option<f64>>,
    /// What is shown in place of a number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    pub measure: &'static str,
    /// With what: number of ports, kind of restart.
    pub what: String,
    pub quantity: &'static str,
    pub unit: Unit,
    /// In the order of the targets.
    pub values: Vec<Cell>,
    /// The first target's value divided by that of each other target.
    pub ratios: Vec<Option<f64>>,
}

impl Row {
    /// Computes the ratios: pair by pair where there are rounds, else from the values.
    pub fn new(measure: Measure, what: &str, quantity: &'static str, unit: Unit, values: Vec<Cell>) -> Self {
        let ratio = |(a, b): (&Cell, &Cell)| {
            if a.rounds.is_empty() || b.rounds.is_empty() {
                Some(a.value? / b.value.filter(|b| *b > 0.0)?)
            } else {
                paired_ratio(&a.rounds, &b.rounds)
            }
        };
        let ratios = values.iter().skip(1).map(|other| ratio((&values[0], other))).collect();
        Self { measure: name(measure), what: what.to_owned(), quantity, unit, values, ratios }
    }

    /// Without ratios, where they would say nothing.
    pub fn unrelated(mut self) -> Self {
        self.ratios.fill(None);
        self
    }
}

/// How a measurement is called.
pub fn name(measure: Measure) -> &'static str {
    match measure {
        Measure::Latency => "latency",
        Measure::Burst => "burst",
        Measure::Start => "start",
        Measure::Restart => "restart",
        Measure::Load => "load",
        Measure::Rules => "rules",
        Measure::Memory => "memory",
        Measure::Generated => "generated",
    }
}

impl Cell {
    pub fn show(&self, unit: Unit) -> String {
        match (&self.text, self.value) {
            (Some(text), _) => text.clone(),
            (None, Some(value)) => show(value, unit),
            (None, None) => "-".to_owned(),
        }
    }
}

/// A number as a table shows it.
pub fn show(value: f64, unit: Unit) -> String {
    match unit {
        Unit::Nanoseconds if value < 1e6 => format!("{} µs", digits(value / 1e3)),
        Unit::Nanoseconds if value < 1e9 => format!("{} ms", digits(value / 1e6)),
        Unit::Nanoseconds => format!("{} s", digits(value / 1e9)),
        Unit::PerSecond => format!("{}/s", digits(value)),
        Unit::Percent => format!("{value:.0} %"),
        Unit::Kibibytes if value >= 1e4 => format!("{} MiB", digits(value / 1024.0)),
        Unit::Kibibytes => format!("{value:.0} KiB"),
        Unit::Count => digits(value),
    }
}

/// Three digits at least, none after the point where there are three before.
fn digits(value: f64) -> String {
    match value.abs() {
        size if size.fract() == 0.0 || size >= 99.95 => format!("{value:.0}"),
        size if size >= 9.995 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let cases = [
            (61_234.0, Unit::Nanoseconds, "61.2 µs"),
            (4_310_000.0, Unit::Nanoseconds, "4.31 ms"),
            (1.2e9, Unit::Nanoseconds, "1.20 s"),
            (123_456.7, Unit::PerSecond, "123457/s"),
            (0.2, Unit::PerSecond, "0.20/s"),
            (4444.0, Unit::Kibibytes, "4444 KiB"),
            (20_480.0, Unit::Kibibytes, "20 MiB"),
            (1.0, Unit::Count, "1"),
        ];
        for (value, unit, want) in cases {
            assert_eq!(show(value, unit), want);
        }
        assert_eq!(Cell::default().show(Unit::Count), "-");
    }

    #[test]
    fn ratios_are_paired_where_there_are_rounds() {
        let value = |value, rounds: &[f64]| Cell {
            value: Some(value),
            rounds: rounds.iter().map(|round| Some(*round)).collect(),
            text: None,
        };
        let values = vec![value(3.0, &[3.0, 30.0]), value(1.0, &[1.0, 10.0]), value(2.0, &[]), Cell::default()];
        let row = Row::new(Measure::Latency, "32 ports", "p50", Unit::Nanoseconds, values);
        assert_eq!(row.ratios, [Some(3.0), Some(1.5), None]);
        assert_eq!(row.unrelated().ratios, [None, None, None]);
    }
}
