//! An evaluation's second half: every rule is held against its column, then who is to be told.

use std::sync::Arc;

use super::active::Phase;
use super::columns::Windows;
use super::plan::Plan;
use super::port_index::Slots;
use super::{Active, Engine, Muted};
use crate::alert::model::{Alert, Fingerprint, Notification, Now, Outcome, State, Suppression, Transition};
use crate::alert::rules::condition::Test;
use crate::alert::rules::rule::Rule;
use crate::alert::rules::template::number;
use crate::link::LinkName;

/// Memory that is used again by each evaluation.
#[derive(Debug, Default)]
pub(in crate::alert) struct Marks {
    /// For which places the condition holds, as bits.
    bits: Vec<u64>,
    next: Vec<Active>,
    /// For each filter of ports the places that it lets through, and for how many ports that was found out.
    filters: Vec<Vec<u64>>,
    ports: usize,
}

impl Marks {
    /// The places, or the filters, are others now.
    pub fn forget(&mut self) {
        self.filters.clear();
    }

    fn refresh(&mut self, plan: &Plan, slots: &Slots) {
        if self.filters.len() != plan.filters.len() || self.ports != slots.len() {
            self.ports = slots.len();
            self.filters = plan.filters.iter().map(|glob| Windows::filter(glob, slots.names())).collect();
        }
    }

    /// Sets the bits of the places for which the test holds. False: there are none.
    fn set(&mut self, test: Test, column: &[f64], filter: Option<u16>) -> bool {
        match test {
            Test::Above(bound) => self.set_if(column, |value| value > bound),
            Test::Below(bound) => self.set_if(column, |value| value < bound),
            Test::Inside(low, high) => self.set_if(column, |value| low <= value && value <= high),
            Test::Outside(low, high) => self.set_if(column, |value| value < low || value > high),
            Test::Equals(_) => self.set_if(column, |value| test.holds(value)),
            Test::Beyond(bound) => self.set_if(column, |value| value.abs() > bound),
        }
        if let Some(filter) = filter {
            let filter = self.filters.get(usize::from(filter)).map_or(&[][..], Vec::as_slice);
            self.bits.iter_mut().zip(filter).for_each(|(bits, filter)| *bits &= filter);
        }
        self.bits.iter().any(|bits| *bits != 0)
    }

    #[inline]
    fn set_if(&mut self, column: &[f64], holds: impl Fn(f64) -> bool) {
        self.bits.clear();
        for part in column.chunks(64) {
            // That one holds at all is found out eight at a time; which ones only where it is worth it.
            let any = part.chunks(8).any(|few| few.iter().fold(false, |any, value| any | holds(*value)));
            let bits =
                if any { part.iter().rev().fold(0_u64, |bits, value| bits << 1 | u64::from(holds(*value))) } else { 0 };
            self.bits.push(bits);
        }
    }
}

impl Engine {
    /// Every alert goes to its next state; those that end are told.
    pub(in crate::alert) fn judge(&mut self, now: Now, outcome: &mut Outcome) {
        let mut marks = std::mem::take(&mut self.marks);
        marks.refresh(&self.plan, &self.slots);
        for number in 0..self.rules.len() {
            let check = &self.plan.checks[number];
            let column = self.windows.column(check);
            let holds = check.enabled && marks.set(check.test, column, check.filter);
            if holds || !self.active[number].is_empty() {
                self.step(number, &mut marks, now, outcome);
            }
        }
        self.marks = marks;
    }

    fn step(&mut self, number: usize, marks: &mut Marks, now: Now, outcome: &mut Outcome) {
        let rule = Arc::clone(&self.rules[number]);
        let check = &self.plan.checks[number];
        let (column, of_firing) = (self.windows.column(check), rule.test_of_firing());
        let time = self.clock.time;
        let all = std::mem::take(&mut self.active[number]);
        let mut ended = Vec::new();
        marks.next.clear();
        let mut before = all.iter().peekable();
        let step = |slot: u32, before: Option<&Active>, holds: bool| -> Option<Result<Active, Active>> {
            let value = column.get(slot as usize).copied().unwrap_or(f64::NAN);
            let holds = match before {
                Some(active) if active.phase.is_firing() => of_firing.holds(value),
                _ => holds,
            };
            if let Some(active) = before.filter(|active| active.restored && !holds && self.is_held(number, value)) {
                return Some(Ok(*active));
            }
            let phase = before.map(|active| active.phase);
            let next = Phase::next(phase, holds, time, rule.hold.into(), rule.keep_firing_for.into());
            let value = if value.is_nan() { before.map_or(0.0, |active| active.value) } else { value };
            match (before, next) {
                (None, None) => None,
                (Some(active), None) => Some(Err(Active { value, ..*active })),
                (Some(active), Some(phase)) => {
                    Some(Ok(Active { phase, value, restored: active.restored && !holds, ..*active }))
                }
                (None, Some(phase)) => Some(Ok(Active {
                    slot,
                    phase,
                    shown: State::Inactive,
                    muted: Muted::No,
                    value,
                    since: now.wall,
                    notified: false,
                    restored: false,
                })),
            }
        };
        // Alerts and bits are both in the order of the places: one walk over both.
        let mut take = |result: Option<Result<Active, Active>>| match result {
            Some(Ok(active)) => marks.next.push(active),
            Some(Err(active)) => ended.push(active),
            None => {}
        };
        for (word, bits) in marks.bits.iter().enumerate() {
            let mut bits = *bits;
            while bits != 0 {
                let slot = u32::try_from(word * 64).unwrap_or_default() + bits.trailing_zeros();
                bits &= bits - 1;
                while let Some(active) = before.next_if(|active| active.slot < slot) {
                    take(step(active.slot, Some(active), false));
                }
                take(step(slot, before.next_if(|active| active.slot == slot), true));
            }
        }
        for active in before {
            take(step(active.slot, Some(active), false));
        }
        let mut all = all;
        all.clear();
        all.extend_from_slice(&marks.next);
        if all.is_empty() {
            all = Vec::new();
        }
        self.active[number] = all;
        for active in ended {
            self.end(number, &active, now, outcome);
        }
    }

    pub(in crate::alert) fn end(&self, number: usize, active: &Active, now: Now, outcome: &mut Outcome) {
        let to = if active.phase.is_firing() { State::Resolved } else { State::Inactive };
        outcome.transitions.push(self.transition(number, active, to, Muted::No, now));
        // Whoever was told that it fires is told that it ended, silence or not: else it would fire there for ever.
        if active.notified {
            let alert = Alert { state: to, suppressed: None, ..self.alert(number, active) };
            let actions = Arc::clone(&self.rules[number].actions);
            outcome.notifications.push(Notification { alert, ended: Some(now.wall), actions });
        }
    }

    /// Whether an alert from before a restart is held, though its condition does not hold: while its windows are not filled
    /// again, and for a minute without a value.
    fn is_held(&self, number: usize, value: f64) -> bool {
        let time = self.clock.time;
        !self.windows.is_filled(&self.plan.checks[number], &self.plan, time) || (value.is_nan() && time < 60_000)
    }

    /// What is firing is told, unless it is silenced or explained.
    pub(in crate::alert) fn tell(&mut self, now: Now, outcome: &mut Outcome) {
        for number in 0..self.rules.len() {
            if self.active[number].is_empty() {
                continue;
            }
            let mut all = std::mem::take(&mut self.active[number]);
            for active in &mut all {
                let muted = if active.phase.is_firing() { self.muted(number, active, now.wall) } else { Muted::No };
                let shown = match (active.phase, muted) {
                    (Phase::Pending { .. }, _) => State::Pending,
                    (Phase::Firing { .. }, Muted::No) => State::Firing,
                    (Phase::Firing { .. }, _) => State::Suppressed,
                };
                if shown != active.shown {
                    outcome.transitions.push(self.transition(number, active, shown, muted, now));
                }
                (active.shown, active.muted) = (shown, muted);
                if shown == State::Firing && !active.notified {
                    active.notified = true;
                    let actions = Arc::clone(&self.rules[number].actions);
                    outcome.notifications.push(Notification {
                        alert: self.alert(number, active),
                        ended: None,
                        actions,
                    });
                }
            }
            self.active[number] = all;
        }
    }

    fn muted(&self, number: usize, active: &Active, wall: f64) -> Muted {
        let port = self.port(number, active);
        if let Some(silence) = self.silences.of(number, port.as_ref(), wall) {
            return Muted::Silence(silence);
        }
        let Some(by) = u32::try_from(number).ok().and_then(|number| self.plan.explained.get(&number)) else {
            return Muted::No;
        };
        let fires = |other: &&u32| {
            let all = &self.active[**other as usize];
            if self.rules[**other as usize].is_of_ports() && self.rules[number].is_of_ports() {
                let same = all.binary_search_by_key(&active.slot, |other| other.slot);
                same.is_ok_and(|at| all[at].phase.is_firing())
            } else {
                all.iter().any(|other| other.phase.is_firing())
            }
        };
        by.iter().find(fires).map_or(Muted::No, |other| Muted::Rule(*other))
    }

    pub(in crate::alert) fn port(&self, number: usize, active: &Active) -> Option<LinkName> {
        if self.rules[number].is_of_ports() { self.slots.name(active.slot) } else { None }
    }

    fn transition(&self, number: usize, active: &Active, to: State, muted: Muted, now: Now) -> Transition {
        let rule = &self.rules[number];
        Transition {
            rule: Arc::clone(&rule.name),
            port: self.port(number, active),
            severity: rule.severity,
            from: active.shown,
            to,
            value: active.value,
            at: now.monotonic,
            time: now.wall,
            suppressed: self.suppression(muted),
        }
    }

    fn suppression(&self, muted: Muted) -> Option<Suppression> {
        match muted {
            Muted::No => None,
            Muted::Silence(id) => Some(Suppression::Silence(id)),
            Muted::Rule(number) => Some(Suppression::Rule(self.rules[number as usize].name.to_string())),
        }
    }

    /// The alert for whoever looks or is told.
    pub(in crate::alert) fn alert(&self, number: usize, active: &Active) -> Alert {
        let rule = &self.rules[number];
        let port = self.port(number, active);
        let variable = |name: &str| match name {
            "port" => port.map(|port| port.to_string()).unwrap_or_default(),
            "value" => number_text(rule, active.value),
            "threshold" => rule.condition.threshold(),
            "rule" => rule.name.to_string(),
            "severity" => rule.severity.name().to_owned(),
            "since" => time(active.since),
            _ => {
                let label = name.strip_prefix("labels.").unwrap_or_default();
                rule.labels().find(|(known, _)| *known == label).map(|(_, value)| value).unwrap_or_default()
            }
        };
        Alert {
            fingerprint: Fingerprint::new(&rule.name, port.as_ref()),
            rule: Arc::clone(&rule.name),
            port,
            state: active.shown,
            severity: rule.severity,
            labels: rule.labels().map(|(name, value)| (name.to_owned(), value)).collect(),
            annotations: rule
                .annotations
                .iter()
                .map(|(name, text)| (name.to_string(), text.render(variable)))
                .collect(),
            value: active.value,
            since: active.since,
            suppressed: self.suppression(active.muted),
            notified: active.notified,
        }
    }
}

/// A value for people: an absence is a time.
fn number_text(rule: &Rule, value: f64) -> String {
    match rule.condition {
        crate::alert::rules::condition::Condition::Absent { .. } if (0.0..1e9).contains(&value) => {
            humantime::format_duration(std::time::Duration::from_secs_f64(value.round())).to_string()
        }
        _ => number(value),
    }
}

/// Unix time for people.
fn time(seconds: f64) -> String {
    let since = std::time::Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or_default();
    let time = std::time::SystemTime::UNIX_EPOCH.checked_add(since).unwrap_or(std::time::SystemTime::UNIX_EPOCH);
    humantime::format_rfc3339_seconds(time).to_string()
}
