//! What outlives rules and runs: the state to save, and what goes on under other rules.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::active::{AlertInstance, Phase};
use super::columns::Columns;
use super::functions::seconds;
use super::ring::Ring;
use super::selector::SeriesSource;
use super::silence::Silence;
use super::{Engine, Settings, numbers};
use crate::alert::Millis;
use crate::alert::model::{AlertState, Evaluation, Now, Transition, port};
use crate::alert::notify::SavedSink;
use crate::alert::rules::load::Rules;
use crate::alert::rules::rule::{LabelMatchers, Rule};
use crate::config::Severity;
use crate::link::LinkName;

/// The engine's state for the disk. Times that have passed are durations, so that they go on by the next run's clock.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SavedEngine {
    /// When, as Unix time in seconds.
    pub saved: f64,
    /// What is pending or firing.
    pub alerts: Vec<SavedAlert>,
    /// The rules of these, by their names.
    pub rules: BTreeMap<String, SavedRule>,
    pub silences: Vec<Silence>,
    /// The number of the last silence that there was.
    pub last_silence: u32,
    /// The last transitions, oldest first.
    pub history: Vec<Transition>,
    /// The last samples of counters that survive a restart, so that a restart does not hide what it counts.
    pub samples: Vec<SavedSamples>,
    /// What each sink was told, which is not the engine's to know. `None`: it was not noted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sinks: Option<BTreeMap<String, SavedSink>>,
}

/// An alert for the disk.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SavedAlert {
    pub rule: String,
    #[serde(default, with = "port", skip_serializing_if = "Option::is_none")]
    pub port: Option<LinkName>,
    /// Pending, firing or suppressed.
    pub state: AlertState,
    /// For how long the condition has held.
    pub held: Duration,
    /// For how long it has ceased to, while `keep_firing_for` runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ceased: Option<Duration>,
    pub value: f64,
    /// Since when, as Unix time in seconds.
    pub since: f64,
    /// Whether somebody was told that it fires.
    pub notified: bool,
}

/// What alerts are of, so that they go on under a rule that asks the same, and can end without one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SavedRule {
    pub asks: String,
    pub severity: Severity,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The names of its actions.
    #[serde(default)]
    pub actions: Vec<String>,
}

/// Samples of a counter for the disk.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SavedSamples {
    /// The metric, without prefix.
    pub metric: String,
    #[serde(default, skip_serializing_if = "<[_]>::is_empty")]
    pub matching: LabelMatchers,
    /// How many seconds ago, and the value; oldest first.
    pub points: Vec<(f64, f64)>,
}

impl Engine {
    pub fn save(&self, now: Now) -> SavedEngine {
        let time = self.clock.at(now.monotonic);
        let ago = |then: Millis| Duration::from_millis(u64::try_from(time - then).unwrap_or_default());
        let alerts = self.active.iter().enumerate().flat_map(|(number, all)| {
            all.iter().map(move |active| SavedAlert {
                rule: self.rules[number].name.to_string(),
                port: self.port(number, active),
                state: active.state,
                held: ago(active.phase.since()),
                ceased: match active.phase {
                    Phase::Firing { ceased, .. } => ceased.map(ago),
                    Phase::Pending { .. } => None,
                },
                value: active.value,
                since: active.since,
                notified: active.notified,
            })
        });
        let with_alerts = self.rules.iter().zip(&self.active).filter(|(_, all)| !all.is_empty());
        let mut saved = SavedEngine {
            saved: now.wall,
            alerts: alerts.collect(),
            rules: with_alerts.map(|(rule, _)| (rule.name.to_string(), SavedRule::new(rule))).collect(),
            silences: self.silences.iter().cloned().collect(),
            last_silence: self.silences.last(),
            history: self.history.iter().cloned().collect(),
            samples: self
                .columns
                .windows()
                .filter_map(|(source, ring)| SavedSamples::new(source, ring, time))
                .collect(),
            sinks: None,
        };
        if let Some(unclaimed) = &self.unclaimed {
            unclaimed.save_into(&mut saved, time);
        }
        saved
    }

    /// Is evaluated at another interval from now on, or keeps another number of transitions. Alerts and their times go on, and
    /// windows keep the samples that they have.
    pub fn reconfigure(&mut self, settings: Settings) {
        if settings.evaluation_interval != self.settings.evaluation_interval {
            self.replace_rules(self.rules.clone(), settings.evaluation_interval);
        }
        self.history.resize(settings.history);
        self.settings = settings;
    }

    fn replace_rules(&mut self, rules: Vec<Arc<Rule>>, interval: Duration) {
        let mut columns = Columns::new(&rules, interval);
        columns.take_over(&self.columns);
        self.numbers = numbers(&rules);
        (self.rules, self.columns) = (rules, columns);
    }

    /// Other rules hold from now on. Alerts go on under a rule that asks the same of their ports, whatever it says of them and
    /// to whom; the others end.
    pub fn reload(&mut self, rules: &Rules, now: Now) -> Evaluation {
        let rules: Vec<Arc<Rule>> = rules.iter().cloned().collect();
        let mut evaluation = Evaluation::default();
        let mut kept: Vec<Vec<AlertInstance>> = rules.iter().map(|_| Vec::new()).collect();
        for (number, all) in std::mem::take(&mut self.active).into_iter().enumerate().filter(|(_, all)| !all.is_empty())
        {
            let new = rules.iter().position(|rule| rule.continues(&self.rules[number]));
            for active in all {
                let port = self.port(number, &active);
                match new.filter(|new| port.is_none_or(|port| rules[*new].is_for_port(&port))) {
                    Some(new) => kept[new].push(active),
                    None => self.resolve(number, &active, now, &mut evaluation),
                }
            }
        }
        self.active = kept;
        self.replace_rules(rules, self.settings.evaluation_interval);
        self.claim(now, false);
        self.silences.rebind(&self.rules);
        self.history.extend(&evaluation.transitions);
        evaluation
    }
}

impl SavedSamples {
    /// `None`: it is no counter that goes on counting after a restart, or there is no sample.
    fn new(source: &SeriesSource, ring: &Ring<Vec<f64>>, time: Millis) -> Option<Self> {
        let metric = source.selector.metric;
        if !Self::survives(source) {
            return None;
        }
        let samples = ring.iter().filter_map(|(then, values)| Some((*then, *values.first()?)));
        let samples: Vec<_> = samples.filter(|(_, value)| !value.is_nan()).collect();
        // Of samples that do not differ the first and the last say everything.
        let same = |at: usize| {
            let like =
                |other: usize| samples.get(other).is_some_and(|other| other.1.to_bits() == samples[at].1.to_bits());
            at > 0 && like(at - 1) && like(at + 1)
        };
        let kept = samples.iter().enumerate().filter(|(at, _)| !same(*at));
        let points: Vec<(f64, f64)> = kept.map(|(_, (then, value))| (seconds(time - then), *value)).collect();
        let matching = source.selector.matchers.clone();
        (!points.is_empty()).then(|| Self { metric: metric.name().to_owned(), matching, points })
    }

    fn survives(source: &SeriesSource) -> bool {
        let metric = source.selector.metric;
        metric.is_counter() && metric.metric().survives && !metric.is_of_ports()
    }

    pub(super) fn is_of(&self, source: &SeriesSource) -> bool {
        let selector = &source.selector;
        Self::survives(source) && selector.metric.name() == self.metric && selector.matchers == self.matching
    }
}

#[cfg(test)]
mod tests;
