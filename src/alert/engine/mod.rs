//! The machine: rules and the samples of a moment in, transitions and notifications out.
//!
//! It is evaluated column by column (`plan`): what a rule costs for a port is one comparison while the condition does
//! not hold and no alert is active. Only alerts that are pending or firing take memory of their own.
//!
//! Invariants: of one alert nobody is told twice that it fires, nor that it ended, nor that it ended without having been told
//! that it fires; over restarts too, if the state is saved. The times of alerts are of the monotonic clock; where that goes
//! back no time has passed, and where nobody looked for long ([`GAP`]) what is pending begins anew.

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
mod plan;
mod port_index;
mod ring;

use std::sync::Arc;
use std::time::Duration;

use super::model::{Alert, Count, Now, Outcome, State, Transition};
use super::rules::load::Rules;
use super::rules::rule::Rule;
use super::{Millis, millis};
use crate::link::LinkName;
use active::Phase;
use columns::Windows;
use evaluate::Marks;
use history::History;
use plan::Plan;
use port_index::Slots;
use silence::{SilenceError, Silences};

pub use persist::Saved;
pub use silence::{Silence, SilenceRequest};
pub use snapshot::Snapshot;

/// Nobody looked for so long: what happened meanwhile is unknown.
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
    pub(in crate::alert) settings: Settings,
    pub(in crate::alert) rules: Vec<Arc<Rule>>,
    pub(in crate::alert) plan: Plan,
    pub(in crate::alert) windows: Windows,
    pub(in crate::alert) slots: Slots,
    /// For each rule its alerts, in the order of the ports' places.
    pub(in crate::alert) active: Vec<Vec<Active>>,
    pub(in crate::alert) silences: Silences,
    pub(in crate::alert) history: History,
    pub(in crate::alert) clock: Clock,
    pub(in crate::alert) marks: Marks,
    spare: Snapshot,
}

/// An alert that is pending or firing.
#[derive(Clone, Copy, Debug)]
pub(in crate::alert) struct Active {
    pub slot: u32,
    pub phase: Phase,
    /// What was last said of it.
    pub shown: State,
    pub muted: Muted,
    /// The last value there was.
    pub value: f64,
    /// Since when, as Unix time.
    pub since: f64,
    /// Somebody was told that it fires.
    pub notified: bool,
    /// It is from before a restart, and is held until it can be judged.
    pub restored: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::alert) enum Muted {
    No,
    Silence(u32),
    Rule(u32),
}

/// The engine's own time.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::alert) struct Clock {
    last: Option<Duration>,
    pub time: Millis,
}

impl Clock {
    /// The engine's time at a moment after the last look.
    pub fn at(&self, now: Duration) -> Millis {
        self.time.saturating_add(millis(self.last.map_or(Duration::ZERO, |last| now.saturating_sub(last))))
    }

    /// Whether anybody has looked yet.
    pub fn runs(&self) -> bool {
        self.last.is_some()
    }

    /// Goes on. What comes back is how long nobody looked, if that is too long.
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
        let plan = Plan::new(&rules, settings.evaluation_interval);
        Self {
            windows: Windows::new(&plan),
            active: rules.iter().map(|_| Vec::new()).collect(),
            spare: Snapshot::new(Arc::clone(&plan.inputs)),
            slots: Slots::default(),
            silences: Silences::default(),
            history: History::new(settings.history),
            clock: Clock::default(),
            marks: Marks::default(),
            settings,
            rules,
            plan,
        }
    }

    /// An empty snapshot to fill and to [`evaluate`](Self::evaluate). Its memory is that of the last one.
    pub fn snapshot(&mut self) -> Snapshot {
        let mut snapshot = std::mem::take(&mut self.spare);
        if Arc::ptr_eq(&snapshot.inputs, &self.plan.inputs) {
            snapshot.clear();
            return snapshot;
        }
        Snapshot::new(Arc::clone(&self.plan.inputs))
    }

    /// Looks at what there is now. A snapshot made before the rules were others says nothing about these, and is passed over.
    pub fn evaluate(&mut self, snapshot: Snapshot, now: Now) -> Outcome {
        let mut outcome = Outcome::default();
        if !Arc::ptr_eq(&snapshot.inputs, &self.plan.inputs) {
            return outcome;
        }
        let gap = GAP.max(3 * self.settings.evaluation_interval);
        if let Some(unseen) = self.clock.advance(now.monotonic, gap) {
            self.begin_anew(unseen, now.wall);
        }
        self.windows.take(&self.plan, &snapshot, &mut self.slots, self.clock.time);
        self.spare = snapshot;
        outcome.ended = self.silences.expire(now.wall);
        self.judge(now, &mut outcome);
        self.tell(now, &mut outcome);
        self.forget_ports();
        self.history.extend(&outcome.transitions);
        outcome
    }

    /// Nobody looked for long: that something held, or was absent, all the while is not known.
    fn begin_anew(&mut self, unseen: Millis, wall: f64) {
        let now = self.clock.time;
        for active in self.active.iter_mut().flatten() {
            if let Phase::Pending { since } = &mut active.phase {
                *since = now;
                active.since = wall;
            }
        }
        self.windows.unseen(unseen);
    }

    /// Gives up the places of ports that are gone for good.
    fn forget_ports(&mut self) {
        if !self.slots.is_sparse() {
            return;
        }
        let mut keep = self.windows.known(&self.plan, self.slots.len(), self.clock.time);
        for active in
            self.rules.iter().zip(&self.active).filter(|(rule, _)| rule.is_of_ports()).flat_map(|(_, all)| all)
        {
            keep[active.slot as usize] = true;
        }
        let kept = self.slots.compact(keep);
        self.windows.compact(&self.plan, &kept);
        for (_, all) in self.rules.iter().zip(&mut self.active).filter(|(rule, _)| rule.is_of_ports()) {
            for active in all {
                active.slot = kept.binary_search(&active.slot).map_or(0, |new| u32::try_from(new).unwrap_or_default());
            }
        }
        self.marks.forget();
    }

    /// The rules, those that are off included.
    pub fn rules(&self) -> impl ExactSizeIterator<Item = &Arc<Rule>> {
        self.rules.iter()
    }

    /// Every alert that is pending, firing or suppressed, in the order of the rules.
    pub fn alerts(&self) -> impl Iterator<Item = Alert> {
        self.active
            .iter()
            .enumerate()
            .flat_map(move |(rule, all)| all.iter().map(move |active| self.alert(rule, active)))
    }

    /// How an alert of this rule stands, and its value; `None` without a value.
    pub fn state_of(&self, rule: &str, port: Option<&LinkName>) -> (State, Option<f64>) {
        let Some(number) = self.rules.iter().position(|known| &*known.name == rule) else {
            return (State::Inactive, None);
        };
        let slot = match port {
            None => Some(0),
            Some(port) => self.slots.find(port),
        };
        let Some(slot) = slot.filter(|_| self.rules[number].is_of_ports() == port.is_some()) else {
            return (State::Inactive, None);
        };
        let active = self.active[number].iter().find(|active| active.slot == slot);
        let check = &self.plan.checks[number];
        let value =
            self.windows.column(check).get(slot as usize).copied().filter(|value| check.enabled && !value.is_nan());
        (active.map_or(State::Inactive, |active| active.shown), value)
    }

    /// How many alerts of each rule stand how; nothing for rules without alerts.
    pub fn counts(&self) -> Vec<Count> {
        let mut counts = Vec::new();
        for (rule, all) in self.rules.iter().zip(&self.active).filter(|(_, all)| !all.is_empty()) {
            for state in [State::Pending, State::Firing, State::Suppressed] {
                let alerts = all.iter().filter(|active| active.shown == state).count();
                if alerts > 0 {
                    counts.push(Count { rule: Arc::clone(&rule.name), severity: rule.severity, state, alerts });
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

#[cfg(test)]
mod tests;
