//! Silences: alerts of which nobody is told for a while. A maintenance window is one that begins later.
//!
//! They begin and end by the wall clock, for people say when.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::alert::rules::rule::Rule;
use crate::config::glob::Glob;
use crate::link::LinkName;

/// A silence. Times are Unix time in seconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Silence {
    /// Its number, never used again.
    pub id: u32,
    pub rule: Glob,
    /// Which ports; absent: all, and alerts without a port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<Glob>,
    pub starts: f64,
    pub until: f64,
    pub created: f64,
    #[serde(default)]
    pub author: String,
    #[serde(default)]
    pub comment: String,
}

/// What somebody wants silenced.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SilenceRequest {
    /// A pattern of rules' names.
    pub rule: String,
    /// A pattern of ports' names; absent: all, and alerts without a port.
    #[serde(default)]
    pub port: Option<String>,
    /// From when; absent: now. Later than now: a maintenance window.
    #[serde(default)]
    pub starts: Option<f64>,
    pub until: f64,
    #[serde(default)]
    pub author: String,
    #[serde(default)]
    pub comment: String,
}

/// A silence that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SilenceError {
    /// A value that makes no sense.
    #[error("silence: {key} = {value}: {problem}")]
    Value { key: &'static str, value: String, problem: String },
    /// There are as many as there may be.
    #[error("silence: {0} silences are the most there may be: remove one, or make one with a wider pattern")]
    Many(usize),
}

/// Silences that there may be at once: each costs a look for every firing alert.
const MOST: usize = 1000;

#[derive(Debug, Default)]
pub(in crate::alert) struct Silences {
    all: Vec<(Silence, Vec<bool>)>,
    last: u32,
}

impl Silences {
    pub fn add(
        &mut self,
        request: SilenceRequest,
        now: f64,
        rules: &[std::sync::Arc<Rule>],
    ) -> Result<Silence, SilenceError> {
        let wrong = |key, value: String, problem: String| Err(SilenceError::Value { key, value, problem });
        let rule = match Glob::new(&request.rule) {
            Ok(glob) => glob,
            Err(problem) => return wrong("rule", format!("{:?}", request.rule), problem),
        };
        if !rules.iter().any(|known| rule.matches(&known.name)) {
            let meant = crate::nearest::nearest(&request.rule, rules.iter().map(|rule| &*rule.name));
            return wrong(
                "rule",
                format!("{:?}", request.rule),
                format!("the name of a rule, or a pattern of some{meant}"),
            );
        }
        let port = match request.port.as_deref().map(Glob::new).transpose() {
            Ok(port) => port,
            Err(problem) => return wrong("port", format!("{:?}", request.port.unwrap_or_default()), problem),
        };
        let starts = request.starts.unwrap_or(now);
        if !starts.is_finite() {
            return wrong("starts", starts.to_string(), "a time as Unix time in seconds".to_owned());
        }
        if !request.until.is_finite() || request.until <= starts.max(now) {
            return wrong("until", request.until.to_string(), "a time after now, and after it starts".to_owned());
        }
        if self.all.len() >= MOST {
            return Err(SilenceError::Many(MOST));
        }
        self.last += 1;
        let SilenceRequest { until, author, comment, .. } = request;
        let silence = Silence { id: self.last, rule, port, starts, until, created: now, author, comment };
        self.insert(silence.clone(), rules);
        Ok(silence)
    }

    pub fn insert(&mut self, silence: Silence, rules: &[std::sync::Arc<Rule>]) {
        self.last = self.last.max(silence.id);
        let of_rules = rules.iter().map(|rule| silence.rule.matches(&rule.name)).collect();
        self.all.push((silence, of_rules));
    }

    /// Adds those of an earlier run, of which this was the last number; where a number is in use already it gets another.
    pub fn restore(&mut self, saved: Vec<Silence>, last: u32, rules: &[std::sync::Arc<Rule>]) {
        let mine: Vec<u32> = self.iter().map(|silence| silence.id).collect();
        self.last = self.last.max(last);
        for mut silence in saved {
            if mine.contains(&silence.id) {
                silence.id = self.last + 1;
            }
            self.insert(silence, rules);
        }
    }

    pub fn remove(&mut self, id: u32) -> Option<Silence> {
        let at = self.all.iter().position(|(silence, _)| silence.id == id)?;
        Some(self.all.remove(at).0)
    }

    /// The rules are others now.
    pub fn rebind(&mut self, rules: &[std::sync::Arc<Rule>]) {
        for (silence, of_rules) in &mut self.all {
            *of_rules = rules.iter().map(|rule| silence.rule.matches(&rule.name)).collect();
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = &Silence> {
        self.all.iter().map(|(silence, _)| silence)
    }

    /// Takes out those that are over.
    pub fn expire(&mut self, now: f64) -> Vec<Silence> {
        if self.all.iter().all(|(silence, _)| silence.until > now) {
            return Vec::new();
        }
        self.all.extract_if(.., |(silence, _)| silence.until <= now).map(|(silence, _)| silence).collect()
    }

    /// The silence that an alert falls under.
    pub fn of(&self, rule: usize, port: Option<&LinkName>, now: f64) -> Option<u32> {
        let matches = |(silence, of_rules): &&(Silence, Vec<bool>)| {
            silence.starts <= now
                && of_rules.get(rule).is_some_and(|matches| *matches)
                && silence.port.as_ref().is_none_or(|glob| port.is_some_and(|port| glob.matches_port(port)))
        };
        self.all.iter().find(matches).map(|(silence, _)| silence.id)
    }

    pub fn last(&self) -> u32 {
        self.last
    }
}

#[cfg(test)]
mod tests;
