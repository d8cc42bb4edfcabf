//! What outlives rules and runs: the state to save, and what of it goes on under other rules.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::active::Phase;
use super::columns::Windows;
use super::plan::{Plan, Source};
use super::silence::Silence;
use super::{Active, Engine, GAP, Muted, Settings};
use crate::alert::model::{Now, Outcome, State, Transition, port};
use crate::alert::notify::SavedSink;
use crate::alert::rules::load::Rules;
use crate::alert::rules::rule::{Match, Rule};
use crate::alert::{Millis, millis};
use crate::link::LinkName;

/// The engine's state for the disk. Times that have passed are durations, so that they go on by the next run's clock.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Saved {
    /// When, as Unix time in seconds.
    pub saved: f64,
    /// What is pending or firing.
    pub alerts: Vec<SavedAlert>,
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
    pub state: State,
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

/// Samples of a counter for the disk.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SavedSamples {
    /// The metric, without prefix.
    pub metric: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub matching: Vec<(String, Vec<String>)>,
    /// How many seconds ago, and the value; oldest first.
    pub points: Vec<(f64, f64)>,
}

impl Engine {
    pub fn save(&self, now: Now) -> Saved {
        let time = self.clock.at(now.monotonic);
        let ago = |then: Millis| Duration::from_millis(u64::try_from(time - then).unwrap_or_default());
        let alerts = self.active.iter().enumerate().flat_map(|(number, all)| {
            all.iter().map(move |active| SavedAlert {
                rule: self.rules[number].name.to_string(),
                port: self.port(number, active),
                state: active.shown,
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
        Saved {
            saved: now.wall,
            alerts: alerts.collect(),
            silences: self.silences.iter().cloned().collect(),
            last_silence: self.silences.last(),
            history: self.history.iter().cloned().collect(),
            samples: self.counters().filter_map(|source| self.saved_samples(source, time)).collect(),
            sinks: None,
        }
    }

    /// Goes on from the state of an earlier run, before the first evaluation if that can be. Later what this run saw for
    /// itself counts: it is told of no alert twice that fires still, and what fired before and does no longer ends.
    /// Snapshots that were filled before are passed over. Alerts of rules that are no more are dropped without a word: who
    /// was told of them is not known here.
    pub fn restore(&mut self, saved: Saved, now: Now) {
        let late = self.clock.runs();
        let time = self.clock.at(now.monotonic);
        let ago = Duration::try_from_secs_f64(now.wall - saved.saved).unwrap_or_default();
        // How alerts stood when it was saved goes on from this run's beginning, for time without a daemon does not count.
        let anchor = time.saturating_sub(millis(ago)).max(0);
        let unseen = millis(ago).saturating_sub(time);
        let then = |ago: Duration| anchor.saturating_sub(millis(ago));
        if late {
            self.count_anew();
        }
        for alert in &saved.alerts {
            let Some(number) = self.rules.iter().position(|rule| *rule.name == *alert.rule) else { continue };
            let rule = &self.rules[number];
            let firing = matches!(alert.state, State::Firing | State::Suppressed);
            // What was pending before a long absence is not known to have held all the while.
            let known = firing || (alert.state == State::Pending && unseen <= millis(GAP));
            if !rule.enabled || !known || rule.is_of_ports() != alert.port.is_some() {
                continue;
            }
            let slot = alert.port.map_or(0, |port| self.slots.place(port, time));
            let since = then(alert.held);
            let phase =
                if firing { Phase::Firing { since, ceased: alert.ceased.map(then) } } else { Phase::Pending { since } };
            if let crate::alert::rules::condition::Condition::Absent { .. } = rule.condition {
                let absent = Duration::try_from_secs_f64(alert.value).unwrap_or_default();
                self.windows.restore_age(&self.plan.checks[number], &self.plan, slot, then(absent));
            }
            let active = Active {
                slot,
                phase,
                shown: alert.state,
                muted: Muted::No,
                value: alert.value,
                since: alert.since,
                notified: alert.notified,
                restored: true,
            };
            let all = &mut self.active[number];
            match all.binary_search_by_key(&slot, |other| other.slot) {
                Ok(at) => {
                    let first = if alert.port.is_some() { self.slots.first(slot) } else { 0 };
                    all[at] = all[at].as_before(&active, first);
                }
                // That a pending condition holds no longer has been seen.
                Err(_) if late && !firing => {}
                Err(at) => all.insert(at, active),
            }
        }
        self.silences.restore(saved.silences, saved.last_silence, &self.rules);
        self.history.restore(&saved.history);
        let sources: Vec<Source> = self.counters().cloned().collect();
        for samples in &saved.samples {
            let Some(source) = sources.iter().find(|source| samples.is_of(source)) else { continue };
            let at = |then: f64| {
                let then = Duration::try_from_secs_f64(then).unwrap_or_default() + ago;
                time.saturating_sub(millis(then))
            };
            let points: Vec<(Millis, f64)> = samples.points.iter().map(|(then, value)| (at(*then), *value)).collect();
            self.windows.restore_samples(&self.plan, source, &points);
        }
    }

    /// Counters go on from other values than those that were seen in this run: their windows begin anew, and alerts are held
    /// until they can be judged again.
    fn count_anew(&mut self) {
        let jumps = |source: &Source| {
            let metric = source.input.metric;
            metric.is_counter() && (metric.metric().survives || metric.is_of_ports())
        };
        self.windows.forget(&self.plan, jumps);
        self.active.iter_mut().flatten().for_each(|active| active.restored = true);
        self.plan.inputs = Arc::new((*self.plan.inputs).clone());
    }

    /// Is evaluated at another interval from now on, or keeps another number of transitions. Alerts and their times go on, and
    /// windows keep the samples that they have.
    pub fn set(&mut self, settings: Settings) {
        if settings.evaluation_interval != self.settings.evaluation_interval {
            self.plan_anew(self.rules.clone(), settings.evaluation_interval);
        }
        self.history.resize(settings.history);
        self.settings = settings;
    }

    fn plan_anew(&mut self, rules: Vec<Arc<Rule>>, interval: Duration) {
        let plan = Plan::new(&rules, interval);
        let mut windows = Windows::new(&plan);
        windows.take_over(&plan, std::mem::take(&mut self.windows), &self.plan);
        (self.rules, self.plan, self.windows) = (rules, plan, windows);
        self.marks.forget();
    }

    /// Other rules hold from now on. Alerts go on under a rule that asks the same, whatever it says of them and to whom; the
    /// others end.
    pub fn reload(&mut self, rules: &Rules, now: Now) -> Outcome {
        let rules: Vec<Arc<Rule>> = rules.iter().cloned().collect();
        let mut outcome = Outcome::default();
        let mut kept: Vec<Vec<Active>> = rules.iter().map(|_| Vec::new()).collect();
        for (number, all) in std::mem::take(&mut self.active).into_iter().enumerate().filter(|(_, all)| !all.is_empty())
        {
            let old = &self.rules[number];
            match rules.iter().position(|rule| rule.continues(old)) {
                Some(new) => kept[new] = all,
                None => all.iter().for_each(|active| self.end(number, active, now, &mut outcome)),
            }
        }
        // Numbers of rules are others now. The next evaluation finds out anew who is explained by whom.
        kept.iter_mut().flatten().filter(|active| matches!(active.muted, Muted::Rule(_))).for_each(|active| {
            active.muted = Muted::No;
        });
        self.active = kept;
        self.plan_anew(rules, self.settings.evaluation_interval);
        self.silences.rebind(&self.rules);
        self.history.extend(&outcome.transitions);
        outcome
    }

    /// Sources of windows that go on counting after a restart.
    fn counters(&self) -> impl Iterator<Item = &Source> {
        let mut seen: Vec<&Source> = Vec::new();
        self.plan.rings.iter().map(|ring| &ring.key.source).filter(move |source| {
            let metric = source.input.metric;
            let counts = metric.is_counter() && metric.metric().survives && !metric.is_of_ports();
            let new = counts && !seen.contains(source);
            if new {
                seen.push(source);
            }
            new
        })
    }

    fn saved_samples(&self, source: &Source, time: Millis) -> Option<SavedSamples> {
        let samples = self.windows.samples(&self.plan, source);
        // Of samples that do not differ the first and the last say everything.
        let same = |at: usize| {
            let like =
                |other: usize| samples.get(other).is_some_and(|other| other.1.to_bits() == samples[at].1.to_bits());
            at > 0 && like(at - 1) && like(at + 1)
        };
        let points: Vec<(f64, f64)> = samples
            .iter()
            .enumerate()
            .filter(|(at, _)| !same(*at))
            .map(|(_, (then, value))| (super::functions::seconds(time - then), *value))
            .collect();
        let matching = source
            .input
            .matching
            .iter()
            .map(|(label, values)| (label.to_string(), values.iter().map(ToString::to_string).collect()));
        (!points.is_empty()).then(|| SavedSamples {
            metric: source.input.metric.name().to_owned(),
            matching: matching.collect(),
            points,
        })
    }
}

impl Active {
    /// The same alert, as an earlier run knew it, which this one has seen for itself. `first`: since when it looks at this
    /// port.
    fn as_before(&self, before: &Self, first: Millis) -> Self {
        let notified = self.notified || before.notified;
        match (self.phase, before.phase) {
            (Phase::Firing { since, ceased }, Phase::Firing { since: earlier, .. }) => {
                let phase = Phase::Firing { since: since.min(earlier), ceased };
                Self { phase, since: self.since.min(before.since), notified, ..*self }
            }
            (Phase::Pending { .. }, Phase::Firing { since, .. }) => {
                let phase = Phase::Firing { since, ceased: None };
                Self { phase, shown: before.shown, since: before.since, notified, ..*self }
            }
            // It has held since the first look, and so all the while.
            (Phase::Pending { since }, Phase::Pending { .. }) if since <= first => {
                Self { phase: before.phase, since: before.since, ..*self }
            }
            _ => *self,
        }
    }
}

impl SavedSamples {
    fn is_of(&self, source: &Source) -> bool {
        let same = |one: &Match, saved: &(String, Vec<String>)| {
            *one.0 == *saved.0 && one.1.iter().map(|value| &**value).eq(saved.1.iter().map(String::as_str))
        };
        let matching = &source.input.matching;
        source.input.metric.name() == self.metric
            && matching.len() == self.matching.len()
            && matching.iter().zip(&self.matching).all(|(one, saved)| same(one, saved))
    }
}

#[cfg(test)]
mod tests;
