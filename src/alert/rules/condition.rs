//! What a rule asks of a value: each condition with its bounds, how it is written, and how it is judged.
//!
//! A condition is judged on one number: the metric's value, or what is derived from its last values (`Function`). So there
//! is one comparison (`Test`) for each rule and port, and what is derived is computed once for all rules that ask for it.

use std::fmt;
use std::time::Duration;

use super::error::RuleError;
use super::table::RuleTable;
use crate::alert::{Millis, span};
use crate::nearest::nearest;

/// Samples that an anomaly needs if the rule does not say.
pub const MIN_SAMPLES: u32 = 30;

/// Samples that a window keeps at least, if they come that often. Longer windows thin out what they keep to two more: for
/// growth from one to the next, and for the one that begins the window.
pub(in crate::alert) const SAMPLES: Millis = 120;

/// What has to hold. Times in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Condition {
    /// `above = 10`: greater than that.
    Above(f64),
    /// `below = 10`: less than that.
    Below(f64),
    /// `between = [a, b]`: neither less than a nor greater than b.
    Between(f64, f64),
    /// `outside = [a, b]`: less than a or greater than b.
    Outside(f64, f64),
    /// `equals = 0`: exactly that.
    Equals(f64),
    /// `rate_above = 0.1, window = "60s"`: it grew by more than that per second.
    RateAbove {
        /// Per second.
        bound: f64,
        /// Over the last so many milliseconds.
        window: u32,
    },
    /// `rate_below = 0.1, window = "60s"`: it grew by less than that per second.
    RateBelow {
        /// Per second.
        bound: f64,
        /// Over the last so many milliseconds.
        window: u32,
    },
    /// `absent = "5m"`: it has had no value for longer than that.
    Absent {
        /// In milliseconds.
        after: u32,
    },
    /// `anomaly = { z = 4.0, window = "1h", min_samples = 30, direction = "both" }`: it is more than z standard deviations away
    /// from the mean of the window.
    Anomaly {
        /// How many standard deviations.
        z: f64,
        /// Over the last so many milliseconds.
        window: u32,
        /// Not judged with fewer samples than this.
        min_samples: u32,
        /// On which side of the mean.
        direction: Direction,
    },
    /// `trend = { above = 90, horizon = "1h", window = "10m" }`: the line through the window is beyond the bound at the horizon.
    Trend {
        /// What the line crosses.
        bound: f64,
        /// Whether it is above that then; else below.
        above: bool,
        /// So many milliseconds from now.
        horizon: u32,
        /// Fitted to the last so many milliseconds.
        window: u32,
    },
}

/// On which side of the mean a value is an anomaly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    Both,
    Above,
    Below,
}

/// What is computed of a series before it is compared.
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
pub(in crate::alert) enum Test {
    Above(f64),
    Below(f64),
    Inside(f64, f64),
    Outside(f64, f64),
    Equals(f64),
    /// Further from zero than this, on either side.
    Beyond(f64),
}

impl Test {
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
    /// How its value comes from the series.
    pub(in crate::alert) fn function(self) -> Function {
        match self {
            Self::Above(_) | Self::Below(_) | Self::Between(..) | Self::Outside(..) | Self::Equals(_) => {
                Function::Value
            }
            Self::RateAbove { window, .. } | Self::RateBelow { window, .. } => Function::Rate { window },
            Self::Absent { after } => Function::Age { after },
            Self::Anomaly { window, min_samples, .. } => Function::Score { window, min_samples },
            Self::Trend { window, horizon, .. } => Function::Forecast { window, horizon },
        }
    }

    /// How its value is compared.
    pub(in crate::alert) fn test(self) -> Test {
        match self {
            Self::Above(bound) | Self::RateAbove { bound, .. } | Self::Trend { bound, above: true, .. } => {
                Test::Above(bound)
            }
            Self::Below(bound) | Self::RateBelow { bound, .. } | Self::Trend { bound, above: false, .. } => {
                Test::Below(bound)
            }
            Self::Between(low, high) => Test::Inside(low, high),
            Self::Outside(low, high) => Test::Outside(low, high),
            Self::Equals(bound) => Test::Equals(bound),
            Self::Absent { after } => Test::Above(f64::from(after) / 1e3),
            Self::Anomaly { z, direction, .. } => match direction {
                Direction::Both => Test::Beyond(z),
                Direction::Above => Test::Above(z),
                Direction::Below => Test::Below(-z),
            },
        }
    }

    /// How its value is compared once the alert fires: with the bound beyond which it resolves.
    pub(in crate::alert) fn test_of_firing(self, resolve: Option<f64>) -> Test {
        let Some(resolve) = resolve else { return self.test() };
        match self.test() {
            Test::Above(_) => Test::Above(resolve),
            Test::Below(_) if matches!(self, Self::Anomaly { .. }) => Test::Below(-resolve),
            Test::Below(_) => Test::Below(resolve),
            Test::Beyond(_) => Test::Beyond(resolve),
            other => other,
        }
    }

    /// Its bound for people, as `{{ threshold }}` has it.
    pub fn threshold(self) -> String {
        match self {
            Self::Above(bound)
            | Self::Below(bound)
            | Self::Equals(bound)
            | Self::RateAbove { bound, .. }
            | Self::RateBelow { bound, .. }
            | Self::Trend { bound, .. } => bound.to_string(),
            Self::Between(low, high) | Self::Outside(low, high) => format!("{low} to {high}"),
            Self::Absent { after } => span(after),
            Self::Anomaly { z, .. } => z.to_string(),
        }
    }

    /// Reads `condition`.
    pub(in crate::alert) fn read(table: &mut RuleTable) -> Result<(Self, Option<u32>), RuleError> {
        let Some(mut inner) = table.inner("condition")? else {
            return Err(table.missing("condition", format!("one of {}", KINDS.join(", "))));
        };
        let keys = inner.keys();
        let kinds: Vec<&'static str> = KINDS.into_iter().filter(|kind| inner.has(kind)).collect();
        let kind = match kinds.as_slice() {
            [kind] => *kind,
            [] => {
                let meant = keys.iter().map(|key| nearest(key, KINDS)).find(|meant| !meant.is_empty());
                let problem = format!("one of {}{}", KINDS.join(", "), meant.unwrap_or_default());
                return Err(table.place.wrong("condition", format!("{{ {} }}", keys.join(", ")), problem));
            }
            several => {
                let problem = "exactly one of them; a second condition is a second rule";
                return Err(table.place.wrong("condition", format!("{{ {} }}", several.join(", ")), problem));
            }
        };
        let window = inner.span("window")?.map(short);
        let condition = inner.condition(kind, window)?;
        inner.end()?;
        let uses_window = matches!(condition, Self::RateAbove { .. } | Self::RateBelow { .. });
        Ok((condition, window.filter(|_| !uses_window)))
    }

    /// Refuses a bound for resolving that would never or always hold.
    pub(in crate::alert) fn check_resolve(self, table: &RuleTable, resolve: f64) -> Result<(), RuleError> {
        let (bound, at_most) = match self {
            Self::Anomaly { z, .. } if resolve >= 0.0 => (z, true),
            Self::Anomaly { z, .. } => {
                return Err(table.wrong("resolve", resolve, format!("standard deviations, from 0 to {z}")));
            }
            _ => match self.test() {
                Test::Above(bound) if !matches!(self, Self::Absent { .. }) => (bound, true),
                Test::Below(bound) => (bound, false),
                _ => {
                    let problem = "only above, below, rate_above, rate_below, anomaly and trend can have it";
                    return Err(table.wrong("resolve", resolve, problem));
                }
            },
        };
        if at_most && resolve > bound {
            return Err(table.wrong("resolve", resolve, format!("at most {bound}, above which the alert fires")));
        }
        if !at_most && resolve < bound {
            return Err(table.wrong("resolve", resolve, format!("at least {bound}, below which the alert fires")));
        }
        Ok(())
    }
}

const KINDS: [&str; 10] =
    ["above", "below", "between", "outside", "equals", "rate_above", "rate_below", "absent", "anomaly", "trend"];

/// Milliseconds of a rule's time: at most thirty days.
pub(in crate::alert) fn short(time: Millis) -> u32 {
    u32::try_from(time).unwrap_or(u32::MAX)
}

impl RuleTable {
    fn condition(&mut self, kind: &'static str, window: Option<u32>) -> Result<Condition, RuleError> {
        Ok(match kind {
            "above" => Condition::Above(self.must(kind)?),
            "below" => Condition::Below(self.must(kind)?),
            "equals" => Condition::Equals(self.must(kind)?),
            "between" | "outside" => {
                let (low, high) = self.range(kind)?.unwrap_or_default();
                if kind == "between" { Condition::Between(low, high) } else { Condition::Outside(low, high) }
            }
            "rate_above" | "rate_below" => {
                let bound = self.must(kind)?;
                let Some(window) = window else {
                    return Err(self.missing("window", "over what time the rate is taken, for example \"60s\""));
                };
                if kind == "rate_above" {
                    Condition::RateAbove { bound, window }
                } else {
                    Condition::RateBelow { bound, window }
                }
            }
            "absent" => Condition::Absent { after: self.span(kind)?.map(short).unwrap_or_default() },
            "anomaly" => self.inner(kind)?.map_or_else(|| Err(self.missing(kind, "")), Self::anomaly)?,
            _ => self.inner(kind)?.map_or_else(|| Err(self.missing(kind, "")), Self::trend)?,
        })
    }

    fn must(&mut self, key: &'static str) -> Result<f64, RuleError> {
        self.number(key)?.ok_or_else(|| self.missing(key, "a number"))
    }

    fn must_span(&mut self, key: &'static str, example: &str) -> Result<u32, RuleError> {
        let time = self.span(key)?.ok_or_else(|| self.missing(key, format!("a time, for example \"{example}\"")))?;
        Ok(short(time))
    }

    fn anomaly(mut self) -> Result<Condition, RuleError> {
        let z = self.must("z")?;
        let window = self.must_span("window", "1h")?;
        let least = self.number("min_samples")?.unwrap_or(f64::from(MIN_SAMPLES));
        if !(3.0..=100_000.0).contains(&least) || least.fract() != 0.0 {
            return Err(self.wrong("min_samples", least, "a whole number from 3 to 100000"));
        }
        // Of n samples none is further from their mean than this many of their standard deviations.
        let furthest = (least - 1.0) / least.sqrt();
        if z <= 0.0 || z >= furthest {
            let problem = format!(
                "more than 0 and less than {furthest:.2}: of {least} samples (min_samples) none is further away than that"
            );
            return Err(self.wrong("z", z, problem));
        }
        let direction = match self.text("direction")?.as_deref() {
            None | Some("both") => Direction::Both,
            Some("above") => Direction::Above,
            Some("below") => Direction::Below,
            Some(other) => {
                return Err(self.wrong("direction", format!("{other:?}"), "\"both\", \"above\" or \"below\""));
            }
        };
        self.end()?;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a whole number from 3 to 100000")]
        let min_samples = least as u32;
        Ok(Condition::Anomaly { z, window, min_samples, direction })
    }

    fn trend(mut self) -> Result<Condition, RuleError> {
        let (bound, above) = match (self.number("above")?, self.number("below")?) {
            (Some(bound), None) => (bound, true),
            (None, Some(bound)) => (bound, false),
            (None, None) => return Err(self.missing("above", "or below: what the line crosses")),
            (Some(_), Some(below)) => return Err(self.wrong("below", below, "either above or below")),
        };
        let horizon = self.must_span("horizon", "1h")?;
        let window = self.must_span("window", "10m")?;
        self.end()?;
        Ok(Condition::Trend { bound, above, horizon, window })
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let threshold = self.threshold();
        match *self {
            Self::Above(_) => write!(f, "above {threshold}"),
            Self::Below(_) => write!(f, "below {threshold}"),
            Self::Between(..) => write!(f, "between {threshold}"),
            Self::Outside(..) => write!(f, "outside {threshold}"),
            Self::Equals(_) => write!(f, "equals {threshold}"),
            Self::RateAbove { window, .. } => write!(f, "rate over {} above {threshold}/s", span(window)),
            Self::RateBelow { window, .. } => write!(f, "rate over {} below {threshold}/s", span(window)),
            Self::Absent { .. } => write!(f, "absent for {threshold}"),
            Self::Anomaly { window, direction, .. } => {
                let side = match direction {
                    Direction::Both => "from",
                    Direction::Above => "above",
                    Direction::Below => "below",
                };
                write!(f, "more than {threshold} standard deviations {side} the mean of {}", span(window))
            }
            Self::Trend { above, horizon, window, .. } => {
                let side = if above { "above" } else { "below" };
                write!(f, "the trend of {} is {side} {threshold} in {}", span(window), span(horizon))
            }
        }
    }
}

/// Milliseconds as a duration.
pub(in crate::alert) fn duration(millis: u32) -> Duration {
    Duration::from_millis(millis.into())
}
