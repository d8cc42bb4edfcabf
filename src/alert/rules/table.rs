//! A rule as it stands in its file, read by serde. Whatever is wrong is told with file, rule, key, value and what would be right.

use std::time::Duration;

use figment::error::Kind;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use super::condition;
use super::error::{RuleError, RulePlace};
use crate::nearest::nearest;

/// No duration of a rule is longer: thirty days in milliseconds still fit 32 bits.
const LONGEST: Duration = Duration::from_secs(30 * 24 * 3600);

/// A rule's table, and where it stands.
pub(super) struct RuleTable {
    pub place: RulePlace,
    pub table: Table,
}

impl RuleTable {
    /// Reads a value that stands at a path of keys; none: the whole rule.
    #[expect(clippy::result_large_err, reason = "figment's own, held only here")]
    pub fn read<T: DeserializeOwned>(&self, at: &[&str], value: &impl Serialize) -> Result<T, RuleError> {
        let read = figment::value::Value::serialize(value).and_then(|value| value.deserialize());
        read.map_err(|error| {
            let inner = error.path.iter().map(String::as_str).filter(|key| key.parse::<usize>().is_err());
            let mut path: Vec<&str> = at.iter().copied().chain(inner).collect();
            match &error.kind {
                Kind::MissingField(key) => {
                    path.push(key);
                    self.place.missing(&path.join("."), right(&path))
                }
                Kind::UnknownField(key, known) => self.unknown(&path, key, known),
                Kind::Message(problem) => self.wrong_at(&path, problem.as_str()),
                _ => self.wrong_at(&path, right(&path)),
            }
        })
    }

    /// The value of a key makes no sense.
    pub fn wrong(&self, key: &str, problem: impl Into<String>) -> RuleError {
        self.wrong_at(&[key], problem)
    }

    /// The value at a path of keys makes no sense.
    pub fn wrong_at(&self, path: &[&str], problem: impl Into<String>) -> RuleError {
        let (first, rest) = path.split_first().unwrap_or((&"", &[]));
        let value = match rest.iter().try_fold(self.table.get(*first), |value, key| Some(value?.get(*key))).flatten() {
            Some(Value::String(text)) => format!("{text:?}"),
            Some(Value::Float(number)) => number.to_string(),
            value => value.map(Value::to_string).unwrap_or_default(),
        };
        self.place.wrong(&path.join("."), value, problem)
    }

    pub fn unknown(&self, path: &[&str], key: &str, known: &[&str]) -> RuleError {
        let meant = nearest(key, known.iter().copied());
        self.wrong_at(path, format!("no such key{meant}; there are {}", known.join(", ")))
    }
}

pub(super) const A_NUMBER: &str = "a number, for example 10 or 0.5";
pub(super) const A_TIME: &str = "a time in quotes with its unit, for example \"30s\", \"5m\" or \"1h\"";

/// What has to stand at a path of keys.
pub(super) fn right(path: &[&str]) -> &'static str {
    match path {
        ["name"] => "a text in quotes, for example \"PortFlapping\"",
        ["metric"] => "a text in quotes, a name that `portsyncd metrics` lists, for example \"port_flaps_total\"",
        ["severity"] => "\"critical\", \"warning\" or \"info\"",
        ["enabled"] => "true or false",
        ["actions" | "inhibited_by"] | ["match", _] => "a list of texts in quotes, for example [\"log\"]",
        ["ports"] | ["labels" | "annotations", _] => "a text in quotes",
        ["condition", inner @ ..] => condition::right(inner),
        ["labels" | "annotations" | "match"] => "a table",
        ["for" | "keep_firing_for"] => A_TIME,
        _ => A_NUMBER,
    }
}

/// A finite number.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "f64")]
pub(super) struct Number(pub f64);

impl TryFrom<f64> for Number {
    type Error = &'static str;

    fn try_from(number: f64) -> Result<Self, Self::Error> {
        if number.is_finite() { Ok(Self(number)) } else { Err("a finite number") }
    }
}

/// `[a, b]` with a ≤ b.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "Vec<Number>")]
pub(super) struct Range(pub f64, pub f64);

impl TryFrom<Vec<Number>> for Range {
    type Error = String;

    fn try_from(numbers: Vec<Number>) -> Result<Self, String> {
        match numbers[..] {
            [Number(low), Number(high)] if low <= high => Ok(Self(low, high)),
            [Number(low), Number(high)] => Err(format!("the smaller number first: [{high}, {low}]")),
            _ => Err("two numbers, for example [10, 20]".to_owned()),
        }
    }
}

/// Milliseconds, written in humantime's words.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct RuleDuration(pub u32);

impl TryFrom<String> for RuleDuration {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let time = humantime::parse_duration(&text)
            .map_err(|error| format!("{error}; a time with its unit, for example \"30s\", \"5m\" or \"1h\""))?;
        let millis = u32::try_from(time.as_millis()).ok().filter(|_| time <= LONGEST);
        millis.map(Self).ok_or_else(|| "at most \"30days\"".to_owned())
    }
}

/// A time that is longer than nothing.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "RuleDuration")]
pub(super) struct Span(pub u32);

impl TryFrom<RuleDuration> for Span {
    type Error = &'static str;

    fn try_from(RuleDuration(millis): RuleDuration) -> Result<Self, Self::Error> {
        if millis > 0 { Ok(Self(millis)) } else { Err("at least \"1ms\"") }
    }
}

/// A list of texts, or a single one.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "a list of texts in quotes, for example [\"log\"]")]
pub(super) enum OneOrMany {
    One(String),
    Several(Vec<String>),
}

impl From<OneOrMany> for Vec<String> {
    fn from(list: OneOrMany) -> Self {
        match list {
            OneOrMany::One(text) => vec![text],
            OneOrMany::Several(texts) => texts,
        }
    }
}
