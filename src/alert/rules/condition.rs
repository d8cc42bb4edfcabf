//! What a rule asks of a value: how it is written, what is computed of the series for it, and what has to hold of that.
//!
//! A condition is a comparison of one number: the metric's value, or what is derived from its last values. So there is one
//! `Comparison` for each rule and port, and what is derived (`Function`) is computed once for all rules that ask for it.

use std::fmt;

use serde::Deserialize;
use toml::Table;

use super::error::RuleError;
use super::table::{A_NUMBER, A_TIME, Number, Range, RuleTable, Span};
use crate::alert::{Millis, span};
use crate::nearest::nearest;

/// Samples that a window keeps at least, if they come that often. Longer windows thin out what they keep to two more: for
/// growth from one to the next, and for the one that begins the window.
pub(in crate::alert) const SAMPLES: Millis = 120;

/// A comparison of what is computed of a series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Condition {
    pub(in crate::alert) function: Function,
    pub(in crate::alert) test: Comparison,
}

/// What is computed of a series before it is compared. Times in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::alert) enum Function {
    Value,
    /// Growth per second.
    Rate {
        window: u32,
    },
    /// Distance from the mean in standard deviations.
    Score {
        window: u32,
        min_samples: u32,
    },
    /// Where the line through the window will be.
    Forecast {
        window: u32,
        horizon: u32,
    },
    /// Seconds since it last had a value.
    Age {
        after: u32,
    },
}

/// A comparison. No value (NaN) never passes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::alert) enum Comparison {
    Above(f64),
    Below(f64),
    Inside(f64, f64),
    Outside(f64, f64),
    Equals(f64),
    /// Further from zero than this, on either side.
    Beyond(f64),
}

impl Comparison {
    #[inline]
    #[expect(clippy::float_cmp, reason = "`equals` means exactly that, as Prometheus' == does")]
    pub fn holds(self, value: f64) -> bool {
        match self {
            Self::Above(bound) => value > bound,
            Self::Below(bound) => value < bound,
            Self::Inside(low, high) => low <= value && value <= high,
            Self::Outside(low, high) => value < low || value > high,
            Self::Equals(bound) => value == bound,
            Self::Beyond(bound) => value.abs() > bound,
        }
    }

    /// The place of the first value for which it holds, from this place on. The comparison is chosen once for all of them.
    pub fn first(self, values: &[f64], from: usize) -> Option<usize> {
        let rest = values.get(from..)?;
        let found = match self {
            Self::Above(bound) => rest.iter().position(|value| *value > bound),
            Self::Below(bound) => rest.iter().position(|value| *value < bound),
            other => rest.iter().position(|value| other.holds(*value)),
        };
        found.map(|ahead| from + ahead)
    }
}

impl Condition {
    /// How its value is compared once the alert fires: with the bound beyond which it resolves.
    pub(in crate::alert) fn test_of_firing(self, resolve: Option<f64>) -> Comparison {
        match (self.function, self.test, resolve) {
            (_, Comparison::Above(_), Some(resolve)) => Comparison::Above(resolve),
            (Function::Score { .. }, Comparison::Below(_), Some(resolve)) => Comparison::Below(-resolve),
            (_, Comparison::Below(_), Some(resolve)) => Comparison::Below(resolve),
            (_, Comparison::Beyond(_), Some(resolve)) => Comparison::Beyond(resolve),
            (_, test, _) => test,
        }
    }

    /// Its bound for people, as `{{ threshold }}` has it.
    pub fn threshold(self) -> String {
        match (self.function, self.test) {
            (Function::Age { after }, _) => span(after),
            // Below the mean is a negative number of deviations.
            (Function::Score { .. }, Comparison::Below(bound)) => (-bound).to_string(),
            (_, Comparison::Inside(low, high) | Comparison::Outside(low, high)) => format!("{low} to {high}"),
            (
                _,
                Comparison::Above(bound)
                | Comparison::Below(bound)
                | Comparison::Equals(bound)
                | Comparison::Beyond(bound),
            ) => bound.to_string(),
        }
    }

    /// Refuses a bound for resolving that would never or always hold.
    pub(super) fn check_resolve(self, resolve: f64) -> Result<(), String> {
        let (is_right, right) = match (self.function, self.test) {
            (Function::Age { .. }, _)
            | (_, Comparison::Inside(..) | Comparison::Outside(..) | Comparison::Equals(_)) => {
                (false, "only above, below, rate_above, rate_below, anomaly and trend can have it".to_owned())
            }
            (Function::Score { .. }, Comparison::Above(z) | Comparison::Below(z) | Comparison::Beyond(z)) => {
                let z = z.abs();
                ((0.0..=z).contains(&resolve), format!("standard deviations, from 0 to {z}"))
            }
            (_, Comparison::Above(bound) | Comparison::Beyond(bound)) => {
                (resolve <= bound, format!("at most {bound}, above which the alert fires"))
            }
            (_, Comparison::Below(bound)) => {
                (resolve >= bound, format!("at least {bound}, below which the alert fires"))
            }
        };
        if is_right { Ok(()) } else { Err(right) }
    }

    /// Reads `condition`; the window is that of a quantile.
    pub(super) fn read(rule: &RuleTable, mut written: Table) -> Result<(Self, Option<u32>), RuleError> {
        let keys: Vec<String> = written.keys().cloned().collect();
        let window = written.remove("window").map(|window| rule.read::<Span>(&["condition", "window"], &window));
        let window = window.transpose()?.map(|Span(window)| window);
        let kinds: Vec<&str> = keys.iter().map(String::as_str).filter(|key| KINDS.contains(key)).collect();
        let [kind] = kinds[..] else {
            let meant = keys.iter().map(|key| nearest(key, KINDS)).find(|meant| !meant.is_empty()).unwrap_or_default();
            let none = format!("one of {}{meant}", KINDS.join(", "));
            let several = "exactly one of them; a second condition is a second rule".to_owned();
            let problem = if kinds.is_empty() { none } else { several };
            return Err(rule.place.wrong("condition", format!("{{ {} }}", keys.join(", ")), problem));
        };
        if let Some(key) = written.keys().find(|key| *key != kind) {
            return Err(rule.unknown(&["condition", key], key, &[kind, "window"]));
        }
        let rate = || {
            let missing = "over what time the rate is taken, for example \"60s\"";
            let window = window.ok_or_else(|| rule.place.missing("condition.window", missing))?;
            Ok(Function::Rate { window })
        };
        let (function, test) = match rule.read(&["condition"], &written)? {
            Kind::Above(Number(bound)) => (Function::Value, Comparison::Above(bound)),
            Kind::Below(Number(bound)) => (Function::Value, Comparison::Below(bound)),
            Kind::Between(Range(low, high)) => (Function::Value, Comparison::Inside(low, high)),
            Kind::Outside(Range(low, high)) => (Function::Value, Comparison::Outside(low, high)),
            Kind::Equals(Number(bound)) => (Function::Value, Comparison::Equals(bound)),
            Kind::RateAbove(Number(bound)) => (rate()?, Comparison::Above(bound)),
            Kind::RateBelow(Number(bound)) => (rate()?, Comparison::Below(bound)),
            Kind::Absent(Span(after)) => (Function::Age { after }, Comparison::Above(f64::from(after) / 1e3)),
            Kind::Anomaly(anomaly) => anomaly.check(rule)?,
            Kind::Trend(trend) => trend.check(rule)?,
        };
        Ok((Self { function, test }, window.filter(|_| !matches!(function, Function::Rate { .. }))))
    }
}

const KINDS: [&str; 10] =
    ["above", "below", "between", "outside", "equals", "rate_above", "rate_below", "absent", "anomaly", "trend"];

/// What has to stand at a path of keys within a condition.
pub(super) fn right(path: &[&str]) -> &'static str {
    match path {
        [] => {
            "a table with one of above, below, between, outside, equals, rate_above, rate_below, absent, anomaly, trend"
        }
        ["anomaly" | "trend"] => "a table",
        ["between" | "outside"] => "two numbers, for example [10, 20]",
        [.., "direction"] => "a text in quotes",
        [.., "window" | "horizon" | "absent"] => A_TIME,
        _ => A_NUMBER,
    }
}

/// The one key that says what a condition is; `window` may stand beside it.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Above(Number),
    Below(Number),
    Between(Range),
    Outside(Range),
    Equals(Number),
    RateAbove(Number),
    RateBelow(Number),
    Absent(Span),
    Anomaly(Anomaly),
    Trend(Trend),
}

/// More than `z` standard deviations away from the mean of the window.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Anomaly {
    z: Number,
    window: Span,
    /// Not evaluated with fewer; 30 unless it is said.
    min_samples: Option<Number>,
    direction: Option<String>,
}

impl Anomaly {
    fn check(self, rule: &RuleTable) -> Result<(Function, Comparison), RuleError> {
        let wrong = |key, problem: &str| Err(rule.wrong_at(&["condition", "anomaly", key], problem));
        let (Number(z), Span(window), Number(least)) = (self.z, self.window, self.min_samples.unwrap_or(Number(30.0)));
        if !(3.0..=100_000.0).contains(&least) || least.fract() != 0.0 {
            return wrong("min_samples", "a whole number from 3 to 100000");
        }
        // Of n samples none is further from their mean than this many of their standard deviations.
        let furthest = (least - 1.0) / least.sqrt();
        if z <= 0.0 || z >= furthest {
            let why = format!("of {least} samples (min_samples) none is further away than that");
            return wrong("z", &format!("more than 0 and less than {furthest:.2}: {why}"));
        }
        let test = match self.direction.as_deref() {
            None | Some("both") => Comparison::Beyond(z),
            Some("above") => Comparison::Above(z),
            Some("below") => Comparison::Below(-z),
            Some(_) => return wrong("direction", "\"both\", \"above\" or \"below\""),
        };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a whole number from 3 to 100000")]
        let min_samples = least as u32;
        Ok((Function::Score { window, min_samples }, test))
    }
}

/// The line through the window is beyond the bound at the horizon.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Trend {
    above: Option<Number>,
    below: Option<Number>,
    horizon: Option<Span>,
    window: Option<Span>,
}

impl Trend {
    fn check(self, rule: &RuleTable) -> Result<(Function, Comparison), RuleError> {
        let missing = |key: &str, problem| rule.place.missing(&format!("condition.trend.{key}"), problem);
        let test = match (self.above, self.below) {
            (Some(Number(bound)), None) => Comparison::Above(bound),
            (None, Some(Number(bound))) => Comparison::Below(bound),
            (None, None) => return Err(missing("above", "or below: what the line crosses")),
            (Some(_), Some(_)) => {
                return Err(rule.wrong_at(&["condition", "trend", "below"], "either above or below"));
            }
        };
        let Span(horizon) = self.horizon.ok_or_else(|| missing("horizon", A_TIME))?;
        let Span(window) = self.window.ok_or_else(|| missing("window", A_TIME))?;
        Ok((Function::Forecast { window, horizon }, test))
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let threshold = self.threshold();
        let side = match self.test {
            Comparison::Above(_) => "above",
            Comparison::Below(_) => "below",
            Comparison::Inside(..) => "between",
            Comparison::Outside(..) => "outside",
            Comparison::Equals(_) => "equals",
            Comparison::Beyond(_) => "from",
        };
        match self.function {
            Function::Value => write!(f, "{side} {threshold}"),
            Function::Rate { window } => write!(f, "rate over {} {side} {threshold}/s", span(window)),
            Function::Age { .. } => write!(f, "absent for {threshold}"),
            Function::Score { window, .. } => {
                write!(f, "more than {threshold} standard deviations {side} the mean of {}", span(window))
            }
            Function::Forecast { window, horizon } => {
                write!(f, "the trend of {} is {side} {threshold} in {}", span(window), span(horizon))
            }
        }
    }
}
