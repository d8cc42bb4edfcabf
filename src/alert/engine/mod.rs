//! The engine: rules and the samples of a moment in, transitions and notifications out.
//!
//! It is evaluated column by column (`columns`): what a rule costs for a port is one comparison while the condition does
//! not hold and no alert is active. Only alerts that are pending or firing take memory of their own.
//!
//! Invariants: of one alert there are never two notifications in a row that it fires, nor that it ended, nor one that it ended
//! without one that it fires before; over restarts too, if the state is saved. The times of alerts are of the monotonic clock;
//! where that goes back no time has passed, and where nothing was evaluated for long ([`GAP`]) what is pending begins anew.

pub mod silence;
pub mod snapshot;

mod active;
mod columns;
mod evaluate;
#[cfg(test)]
mod fixture;
mod functions;
mod history;
mod persist;
mod port_index;
mod restore;
mod ring;
mod selector;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::model::{Alert, AlertCount, AlertState, Evaluation, Now, Transition};
use super::rules::load::Rules;
use super::rules::rule::Rule;
use super::{Millis, millis};
use crate::link::LinkName;
use active::{AlertInstance, Phase};
use columns::Columns;
use history::TransitionHistory;
use port_index::PortIndex;
use restore::Unclaimed;
use silence::{SilenceError, Silences};

pub use persist::{SavedAlert, SavedEngine, SavedSamples};
pub use silence::{Silence, SilenceRequest};
pub use snapshot::Snapshot;

/// Nothing was evaluated for so long: what happened meanwhile is unknown.
pub const GAP: Duration = Duration::from_secs(300);

/// What is not in the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How often it is evaluated.
    pub evaluation_interval: Duration,
    /// Transitions that are kept.
    pub history: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { evaluation_interval: Duration::from_secs(1), history: 1000 }
    }
}

#[derive(Debug)]
pub struct Engine {
    settings: Settings,
    rules: Vec<Arc<Rule>>,
    /// Of each rule's name.
    numbers: HashMap<Arc<str>, usize>,
    columns: Columns,
    ports: PortIndex,
    /// For each rule its alerts, in the order of the ports' indexes.
    active: Vec<Vec<AlertInstance>>,
    silences: Silences,
    history: TransitionHistory,
    clock: EngineClock,
    unclaimed: Option<Unclaimed>,
    /// Whether there are no rules but these.
    rules_known: bool,
    /// Since when a value that is not there is not still to come.
    values_known: Option<Millis>,
}

/// The engine's own time.
#[derive(Clone, Copy, Debug, Default)]
struct EngineClock {
    last: Option<Duration>,
    time: Millis,
}

impl EngineClock {
    /// The engine's time at a moment after the last evaluation.
    fn at(&self, now: Duration) -> Millis {
        self.time.saturating_add(millis(self.last.map_or(Duration::ZERO, |last| now.saturating_sub(last))))
    }

    /// Whether anything was evaluated yet.
    fn runs(&self) -> bool {
        self.last.is_some()
    }

    /// Goes on. Returns how long nothing was evaluated, if that is too long.
    fn advance(&mut self, now: Duration, gap: Duration) -> Option<Millis> {
        // Going back counts as no time; from there it goes on.
        let passed = now.saturating_sub(self.last.replace(now).unwrap_or(now));
        self.time = self.time.saturating_add(millis(passed));
        (passed > gap).then(|| millis(passed))
    }
}

impl Engine {
    /// An engine that has seen nothing yet.
    pub fn new(rules: &Rules, settings: Settings) -> Self {
        let rules: Vec<Arc<Rule>> = rules.iter().cloned().collect();
        Self {
            columns: Columns::new(&rules, settings.evaluation_interval),
            active: rules.iter().map(|_| Vec::new()).collect(),
            ports: PortIndex::default(),
            silences: Silences::default(),
            history: TransitionHistory::new(settings.history),
            clock: EngineClock::default(),
            unclaimed: None,
            rules_known: true,
            values_known: None,
            settings,
            numbers: numbers(&rules),
            rules,
        }
    }

    /// An empty snapshot to fill and to [`evaluate`](Self::evaluate).
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::new(Arc::clone(&self.columns.selectors))
    }

    /// Evaluates all rules. A snapshot made before the rules were others says nothing about these, and is passed over.
    pub fn evaluate(&mut self, snapshot: &Snapshot, now: Now) -> Evaluation {
        let mut evaluation = Evaluation::default();
        if !Arc::ptr_eq(&snapshot.selectors, &self.columns.selectors) {
            return evaluation;
        }
        let gap = GAP.max(3 * self.settings.evaluation_interval);
        if let Some(gap) = self.clock.advance(now.monotonic, gap) {
            self.reset_after_gap(gap, now.wall);
        }
        if snapshot.complete {
            self.values_known.get_or_insert(self.clock.time);
        }
        self.end_unclaimed(now, &mut evaluation);
        self.columns.update(snapshot, &mut self.ports, self.clock.time);
        evaluation.ended = self.silences.expire(now.wall);
        // Which alerts fire has to be known of all rules before one can inhibit another.
        (0..self.rules.len()).for_each(|number| self.advance(number, now, &mut evaluation));
        (0..self.rules.len()).for_each(|number| self.notify(number, now, &mut evaluation));
        self.forget_ports();
        self.history.extend(&evaluation.transitions);
        evaluation
    }

    /// That something held, or was absent, all the while is not known.
    fn reset_after_gap(&mut self, gap: Millis, wall: f64) {
        for active in self.active.iter_mut().flatten() {
            if let Phase::Pending { since } = &mut active.phase {
                *since = self.clock.time;
                active.since = wall;
            }
        }
        self.columns.skip(gap);
    }

    /// Gives up the indexes of ports that are gone for good.
    fn forget_ports(&mut self) {
        if !self.ports.is_sparse() {
            return;
        }
        let mut keep = self.columns.known(self.ports.len(), self.clock.time);
        let of_ports = self.rules.iter().zip(&mut self.active).filter(|(rule, _)| rule.is_of_ports());
        let mut active: Vec<&mut AlertInstance> = of_ports.flat_map(|(_, all)| all).collect();
        for active in &active {
            keep[active.index as usize] = true;
        }
        let before = self.ports.len();
        let kept = self.ports.compact(keep, self.clock.time - self.columns.longest_window());
        if kept.len() == before {
            return;
        }
        for active in &mut active {
            active.index = kept.binary_search(&active.index).map_or(0, |new| u32::try_from(new).unwrap_or_default());
        }
        self.columns.reindex(&kept);
    }

    fn rule_number(&self, name: &str) -> Option<usize> {
        self.numbers.get(name).copied()
    }

    /// The rules, those that are off included.
    pub fn rules(&self) -> impl ExactSizeIterator<Item = &Arc<Rule>> {
        self.rules.iter()
    }

    /// Every alert that is pending, firing or suppressed, in the order of the rules.
    pub fn alerts(&self) -> impl Iterator<Item = Alert> {
        let all = self.active.iter().enumerate();
        all.flat_map(move |(number, all)| all.iter().map(move |active| self.alert(number, active)))
    }

    /// The state of a rule's alert, and its value; `None` without a value.
    pub fn state_of(&self, rule: &str, port: Option<&LinkName>) -> (AlertState, Option<f64>) {
        let find = || {
            let number = self.rule_number(rule).filter(|number| self.rules[*number].is_of_ports() == port.is_some())?;
            Some((number, port.map_or(Some(0), |port| self.ports.find(port))?))
        };
        let Some((number, index)) = find() else { return (AlertState::Inactive, None) };
        let active = self.active[number].iter().find(|active| active.index == index);
        let value = self.columns.of_rule(number).get(index as usize).copied().filter(|value| !value.is_nan());
        (active.map_or(AlertState::Inactive, |active| active.state), value)
    }

    /// How many alerts of each rule stand how; nothing for rules without alerts.
    pub fn counts(&self) -> Vec<AlertCount> {
        let mut counts = Vec::new();
        for (rule, all) in self.rules.iter().zip(&self.active).filter(|(_, all)| !all.is_empty()) {
            for state in [AlertState::Pending, AlertState::Firing, AlertState::Suppressed] {
                let alerts = all.iter().filter(|active| active.state == state).count();
                if alerts > 0 {
                    counts.push(AlertCount { rule: Arc::clone(&rule.name), severity: rule.severity, state, alerts });
                }
            }
        }
        counts
    }

    /// The last transitions, oldest first.
    pub fn history(&self) -> impl DoubleEndedIterator<Item = &Transition> {
        self.history.iter()
    }

    /// The silences that are not over.
    pub fn silences(&self) -> impl Iterator<Item = &Silence> {
        self.silences.iter()
    }

    /// Adds a silence, which holds from the next evaluation. `wall`: Unix time in seconds.
    pub fn silence(&mut self, request: SilenceRequest, wall: f64) -> Result<Silence, SilenceError> {
        self.silences.add(request, wall, &self.rules)
    }

    /// Removes the silence of this number, if it is there.
    pub fn unsilence(&mut self, id: u32) -> Option<Silence> {
        self.silences.remove(id)
    }
}

fn numbers(rules: &[Arc<Rule>]) -> HashMap<Arc<str>, usize> {
    rules.iter().enumerate().map(|(number, rule)| (Arc::clone(&rule.name), number)).collect()
}

#[cfg(test)]
mod tests;
