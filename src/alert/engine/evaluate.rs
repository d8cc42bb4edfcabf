//! An evaluation's second half: every rule is held against its column, then come notifications.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Engine;
use super::active::{AlertInstance, Phase};
use crate::alert::Millis;
use crate::alert::model::{
    Alert, AlertState, Evaluation, Fingerprint, Notification, Now, PRESENT, Suppression, Transition,
};
use crate::alert::rules::condition::Function;
use crate::alert::rules::rule::{RESOLVED_SUMMARY, Rule};
use crate::alert::rules::template::number;
use crate::link::LinkName;

impl Engine {
    /// Every alert of the rule goes to its next state; of those that end there are notifications.
    pub(in crate::alert) fn advance(&mut self, number: usize, now: Now, evaluation: &mut Evaluation) {
        let column = self.columns.of_rule(number);
        let test = self.rules[number].condition.test;
        let mut holding = test.first(column, 0);
        if self.active[number].is_empty() && holding.is_none() {
            return;
        }
        let rule = Arc::clone(&self.rules[number]);
        let (test_of_firing, time) = (rule.test_of_firing(), self.clock.time);
        let before = std::mem::take(&mut self.active[number]);
        let mut after = Vec::with_capacity(before.len());
        let mut before = before.into_iter().peekable();
        // Alerts and the column are both in the order of the indexes: one walk over both, from one alert or value that holds
        // to the next.
        loop {
            let next = before.peek().map(|active| active.index as usize).into_iter().chain(holding).min();
            let Some((at, index)) = next.and_then(|at| Some((at, u32::try_from(at).ok()?))) else { break };
            if holding == next {
                holding = test.first(column, at + 1);
            }
            let value = column.get(at).copied().unwrap_or(f64::NAN);
            let active = before.next_if(|active| active.index == index);
            let holds = match &active {
                Some(active) if active.phase.is_firing() => test_of_firing.holds(value),
                _ => test.holds(value) && self.matches_ports(&rule, index),
            };
            let restored = active.as_ref().and_then(|active| active.restored).filter(|_| !holds);
            if restored.is_some_and(|restored| self.is_held(number, value, restored)) {
                after.extend(active);
                continue;
            }
            let phase = active.as_ref().map(|active| active.phase);
            let next = Phase::next(phase, holds, time, rule.for_millis.into(), rule.keep_firing_for.into());
            let Some(mut active) = active.or_else(|| Some(AlertInstance::new(index, next?, now.wall))) else {
                continue;
            };
            // As Prometheus: what it does while it holds no longer is no reason for the alert.
            if holds {
                active.value = value;
                active.restored = None;
            }
            match next {
                Some(phase) => after.push(AlertInstance { phase, ..active }),
                None => self.resolve(number, &active, now, evaluation),
            }
        }
        after.shrink_to_fit();
        self.active[number] = after;
    }

    fn matches_ports(&self, rule: &Rule, index: u32) -> bool {
        rule.ports.is_none() || self.ports.name(index).is_some_and(|port| rule.is_for_port(&port))
    }

    pub(in crate::alert) fn resolve(
        &self,
        number: usize,
        active: &AlertInstance,
        now: Now,
        evaluation: &mut Evaluation,
    ) {
        let to = if active.phase.is_firing() { AlertState::Resolved } else { AlertState::Inactive };
        evaluation.transitions.push(self.transition(number, active, to, None, now));
        // Whoever was notified that it fires is notified that it ended, silence or not: else it would fire there for ever.
        if active.notified {
            let alert = Alert { state: to, suppressed: None, ..self.alert_with(number, active, true) };
            evaluation.notifications.push(self.notification(number, alert, Some(now.wall)));
        }
    }

    /// Whether an alert from before a restart is held, though its condition does not hold: while its windows are not filled
    /// again, and without a value for a minute from when values are known and it was restored.
    fn is_held(&self, number: usize, value: f64, restored: Millis) -> bool {
        let time = self.clock.time;
        let may_come = || self.values_known.is_none_or(|known| time - known.max(restored) < 60_000);
        !self.columns.is_filled(number, time) || (value.is_nan() && may_come())
    }

    /// Of what fires there are notifications, unless it is silenced or inhibited.
    pub(in crate::alert) fn notify(&mut self, number: usize, now: Now, evaluation: &mut Evaluation) {
        let mut all = std::mem::take(&mut self.active[number]);
        for active in &mut all {
            let firing = active.phase.is_firing();
            let suppressed = if firing { self.suppression(number, active, now.wall) } else { None };
            let state = match (firing, &suppressed) {
                (false, _) => AlertState::Pending,
                (true, None) => AlertState::Firing,
                (true, Some(_)) => AlertState::Suppressed,
            };
            if state != active.state {
                evaluation.transitions.push(self.transition(number, active, state, suppressed.clone(), now));
            }
            (active.state, active.suppressed) = (state, suppressed);
            if state == AlertState::Firing && !active.notified {
                active.notified = true;
                evaluation.notifications.push(self.notification(number, self.alert(number, active), None));
            }
        }
        self.active[number] = all;
    }

    fn notification(&self, number: usize, alert: Alert, ended: Option<f64>) -> Notification {
        Notification { alert, ended, actions: Arc::clone(&self.rules[number].actions) }
    }

    fn suppression(&self, number: usize, active: &AlertInstance, wall: f64) -> Option<Suppression> {
        let rule = &self.rules[number];
        if let Some(silence) = self.silences.of(number, self.port(number, active).as_ref(), wall) {
            return Some(Suppression::Silence(silence));
        }
        let inhibits = |name: &&Arc<str>| {
            let Some(other) = self.rule_number(name) else { return false };
            let same_port = rule.is_of_ports() && self.rules[other].is_of_ports();
            let mut firing = self.active[other].iter().filter(|other| other.phase.is_firing());
            firing.any(|other| !same_port || other.index == active.index)
        };
        rule.inhibited_by().iter().find(inhibits).map(|name| Suppression::Rule(Arc::clone(name)))
    }

    pub(in crate::alert) fn port(&self, number: usize, active: &AlertInstance) -> Option<LinkName> {
        self.rules[number].is_of_ports().then(|| self.ports.name(active.index)).flatten()
    }

    fn transition(
        &self,
        number: usize,
        active: &AlertInstance,
        to: AlertState,
        suppressed: Option<Suppression>,
        now: Now,
    ) -> Transition {
        let rule = &self.rules[number];
        Transition {
            rule: Arc::clone(&rule.name),
            port: self.port(number, active),
            severity: rule.severity,
            from: active.state,
            to,
            value: active.value,
            at: now.monotonic,
            time: now.wall,
            suppressed,
        }
    }

    /// The alert as others see it.
    pub(in crate::alert) fn alert(&self, number: usize, active: &AlertInstance) -> Alert {
        self.alert_with(number, active, false)
    }

    /// With the texts of one that ended, or of one that has not.
    fn alert_with(&self, number: usize, active: &AlertInstance, ended: bool) -> Alert {
        let rule = &self.rules[number];
        let port = self.port(number, active);
        Alert {
            fingerprint: Fingerprint::new(&rule.name, port.as_ref()),
            rule: Arc::clone(&rule.name),
            port,
            state: active.state,
            severity: rule.severity,
            labels: rule.labels().map(|(name, value)| (name.to_owned(), value)).collect(),
            annotations: self.annotations(number, active, ended),
            value: active.value,
            since: active.since,
            suppressed: active.suppressed.clone(),
            notified: active.notified,
        }
    }

    /// Its texts. Of one that ended those are left out that say how it stands, and the summary is another.
    fn annotations(&self, number: usize, active: &AlertInstance, ended: bool) -> BTreeMap<String, String> {
        let rule = &self.rules[number];
        let port = self.port(number, active);
        let variable = |name: &str| match name {
            "port" => port.map(|port| port.to_string()).unwrap_or_default(),
            "value" => value_text(rule, active.value),
            "threshold" => rule.condition.threshold(),
            "rule" => rule.name.to_string(),
            "severity" => rule.severity.name().to_owned(),
            "since" => time(active.since),
            _ => {
                let label = name.strip_prefix("labels.").unwrap_or_default();
                rule.labels().find(|(known, _)| *known == label).map(|(_, value)| value).unwrap_or_default()
            }
        };
        let texts = rule.annotations.iter().filter_map(|(name, text)| {
            let name = match &**name {
                RESOLVED_SUMMARY if ended => "summary",
                RESOLVED_SUMMARY => return None,
                name if ended && PRESENT.contains(&name) => return None,
                name => name,
            };
            Some((name.to_owned(), text.render(variable)))
        });
        texts.collect()
    }
}

/// A value for people: an absence is a time.
fn value_text(rule: &Rule, value: f64) -> String {
    match rule.condition.function {
        Function::Age { .. } if (0.0..1e9).contains(&value) => {
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
