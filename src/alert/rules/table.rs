//! A table of a rule, read key by key: what is asked for and not there, of the wrong type, or there and not asked for is told
//! with file, rule, key and value.

use std::time::Duration;

use toml::{Table, Value};

use super::error::RuleError;
use crate::alert::Millis;
use crate::nearest::nearest;

/// No duration of a rule is longer: thirty days in milliseconds still fit 32 bits.
const LONGEST: Duration = Duration::from_secs(30 * 24 * 3600);

/// Which rule of which file.
#[derive(Clone, Debug)]
pub(in crate::alert) struct Place {
    pub file: String,
    pub rule: String,
}

#[expect(clippy::needless_pass_by_value, reason = "values are shown, be they owned or not")]
impl Place {
    pub fn wrong(&self, key: &str, value: impl ToString, problem: impl Into<String>) -> RuleError {
        RuleError::Value {
            file: self.file.clone(),
            rule: self.rule.clone(),
            key: key.to_owned(),
            value: value.to_string(),
            problem: problem.into(),
        }
    }

    pub fn missing(&self, key: &str, problem: impl Into<String>) -> RuleError {
        RuleError::Missing {
            file: self.file.clone(),
            rule: self.rule.clone(),
            key: key.to_owned(),
            problem: problem.into(),
        }
    }
}

pub(in crate::alert) struct RuleTable {
    pub place: Place,
    /// What stands before the keys in messages: `condition.`, or nothing.
    prefix: String,
    table: Table,
    /// The keys that were asked for.
    known: Vec<&'static str>,
}

impl RuleTable {
    pub fn new(place: Place, table: Table) -> Self {
        Self { place, prefix: String::new(), table, known: Vec::new() }
    }

    pub fn take(&mut self, key: &'static str) -> Option<Value> {
        self.known.push(key);
        self.table.remove(key)
    }

    pub fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    pub fn keys(&self) -> Vec<String> {
        self.table.keys().cloned().collect()
    }

    pub fn key(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }

    pub fn wrong(&self, key: &str, value: impl ToString, problem: impl Into<String>) -> RuleError {
        self.place.wrong(&self.key(key), value, problem)
    }

    pub fn missing(&self, key: &str, problem: impl Into<String>) -> RuleError {
        self.place.missing(&self.key(key), problem)
    }

    pub fn text(&mut self, key: &'static str) -> Result<Option<String>, RuleError> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(self.wrong(key, other, "a text in quotes")),
        }
    }

    pub fn flag(&mut self, key: &'static str) -> Result<Option<bool>, RuleError> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::Boolean(flag)) => Ok(Some(flag)),
            Some(other) => Err(self.wrong(key, other, "true or false")),
        }
    }

    pub fn number(&mut self, key: &'static str) -> Result<Option<f64>, RuleError> {
        self.take(key).map(|value| self.as_number(key, &value)).transpose()
    }

    fn as_number(&self, key: &str, value: &Value) -> Result<f64, RuleError> {
        let number = match value {
            #[expect(
                clippy::cast_precision_loss,
                reason = "bounds beyond 2^53 are compared with values that are as coarse"
            )]
            Value::Integer(number) => *number as f64,
            Value::Float(number) => *number,
            _ => return Err(self.wrong(key, value, "a number, for example 10 or 0.5")),
        };
        if number.is_finite() { Ok(number) } else { Err(self.wrong(key, number, "a finite number")) }
    }

    /// `[a, b]` with a ≤ b.
    pub fn range(&mut self, key: &'static str) -> Result<Option<(f64, f64)>, RuleError> {
        let Some(value) = self.take(key) else { return Ok(None) };
        let Some([low, high]) = value.as_array().map(Vec::as_slice) else {
            return Err(self.wrong(key, value, "two numbers, for example [10, 20]"));
        };
        let (low, high) = (self.as_number(key, low)?, self.as_number(key, high)?);
        if low > high {
            return Err(self.wrong(key, value, format!("the smaller number first: [{high}, {low}]")));
        }
        Ok(Some((low, high)))
    }

    /// A time in humantime's words; `least` is what it may not fall below.
    pub fn duration(&mut self, key: &'static str, least: Duration) -> Result<Option<Millis>, RuleError> {
        let Some(value) = self.take(key) else { return Ok(None) };
        let Some(text) = value.as_str() else {
            return Err(self.wrong(
                key,
                value,
                "a time in quotes with its unit, for example \"30s\", \"5m\" or \"1h\"",
            ));
        };
        let time = humantime::parse_duration(text).map_err(|error| {
            self.wrong(key, &value, format!("{error}; a time with its unit, for example \"30s\", \"5m\" or \"1h\""))
        })?;
        if time < least {
            let least = humantime::format_duration(least);
            return Err(self.wrong(key, &value, format!("at least \"{least}\"")));
        }
        if time > LONGEST {
            return Err(self.wrong(key, &value, "at most \"30days\""));
        }
        Ok(Some(crate::alert::millis(time)))
    }

    /// A time that has to be longer than nothing.
    pub fn span(&mut self, key: &'static str) -> Result<Option<Millis>, RuleError> {
        self.duration(key, Duration::from_millis(1))
    }

    /// A list of texts, or a single one.
    pub fn list(&mut self, key: &'static str) -> Result<Vec<String>, RuleError> {
        self.take(key).map_or(Ok(Vec::new()), |value| self.as_list(key, value))
    }

    fn as_list(&self, key: &str, value: Value) -> Result<Vec<String>, RuleError> {
        match value {
            Value::String(text) => Ok(vec![text]),
            Value::Array(values) => values
                .into_iter()
                .map(|value| match value {
                    Value::String(text) => Ok(text),
                    other => Err(self.wrong(key, other, "texts in quotes")),
                })
                .collect(),
            other => Err(self.wrong(key, other, "a list of texts, for example [\"log\"]")),
        }
    }

    /// A table whose keys are free, with one text each.
    pub fn texts(&mut self, key: &'static str) -> Result<Vec<(String, String)>, RuleError> {
        let table = self.inner(key)?;
        let lists = table.map_or(Ok(Vec::new()), |table| table.free(false))?;
        Ok(lists.into_iter().map(|(name, values)| (name, values.concat())).collect())
    }

    /// A table whose keys are free, with a list of texts each.
    pub fn lists(&mut self, key: &'static str) -> Result<Vec<(String, Vec<String>)>, RuleError> {
        let table = self.inner(key)?;
        table.map_or(Ok(Vec::new()), |table| table.free(true))
    }

    fn free(self, lists: bool) -> Result<Vec<(String, Vec<String>)>, RuleError> {
        let one = |(name, value): (&String, &Value)| match value {
            Value::String(text) => Ok((name.clone(), vec![text.clone()])),
            value if lists => Ok((name.clone(), self.as_list(name, value.clone())?)),
            value => Err(self.wrong(name, value, "a text in quotes")),
        };
        self.table.iter().map(one).collect()
    }

    /// A table within the table.
    pub fn inner(&mut self, key: &'static str) -> Result<Option<Self>, RuleError> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::Table(table)) => {
                let prefix = format!("{}.", self.key(key));
                Ok(Some(Self { place: self.place.clone(), prefix, table, known: Vec::new() }))
            }
            Some(other) => Err(self.wrong(key, other, "a table, for example { above = 10 }")),
        }
    }

    /// Nothing else may be there.
    pub fn end(self) -> Result<(), RuleError> {
        let Some((key, value)) = self.table.iter().next() else { return Ok(()) };
        let meant = nearest(key, self.known.iter().copied());
        Err(self.wrong(key, value, format!("no such key{meant}; there are {}", self.known.join(", "))))
    }
}
