//! What an earlier run knew. In: what it saved, and from when on every rule is known. Out: alerts and windows of rules that
//! ask what they asked then, and ends of alerts whose rules are no more.
//!
//! Rules of CONFIG_DB are known later than those of files. What belongs to none that is known is kept until then.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::active::{AlertInstance, Phase};
use super::functions::seconds;
use super::persist::{SavedAlert, SavedEngine, SavedRule, SavedSamples};
use super::{Engine, GAP};
use crate::alert::model::{Alert, AlertState, Evaluation, Fingerprint, Notification, Now, Transition};
use crate::alert::rules::condition::Function;
use crate::alert::rules::rule::Rule;
use crate::alert::{Millis, millis};
use crate::config::Severity;

/// What of an earlier run no rule has taken over yet.
#[derive(Debug)]
pub(in crate::alert) struct Unclaimed {
    /// When it was saved, by the clock of this engine; less than 0: before there was this one.
    saved_at: Millis,
    alerts: Vec<SavedAlert>,
    /// What the rules of these alerts were.
    rules: BTreeMap<String, SavedRule>,
    samples: Vec<SavedSamples>,
}

impl Engine {
    /// From now on rules are not all known, until [`know_rules`](Self::know_rules).
    pub fn await_rules(&mut self) {
        self.rules_known = false;
    }

    /// Every rule that there is is known. With the next evaluation alerts of an earlier run end that no rule has.
    pub fn know_rules(&mut self) {
        self.rules_known = true;
    }

    /// Alerts of an earlier run that fire as far as is known: their rules may come yet.
    pub fn unclaimed(&self) -> impl Iterator<Item = Fingerprint> {
        let alerts = self.unclaimed.iter().flat_map(|unclaimed| &unclaimed.alerts);
        alerts.filter(|alert| alert.is_firing()).map(|alert| Fingerprint::new(&alert.rule, alert.port.as_ref()))
    }

    /// Goes on from the state of an earlier run, before the first evaluation if that can be. Later what this run saw for
    /// itself counts: of no alert that fires still there is a second notification, and what fired before and does no longer
    /// ends. Snapshots that were filled before are passed over. Alerts of rules that are no more, or ask something else, end.
    pub fn restore(&mut self, saved: SavedEngine, now: Now) {
        let late = self.clock.runs();
        let ago = Duration::try_from_secs_f64(now.wall - saved.saved).unwrap_or_default();
        if late {
            self.reset_counters();
        }
        self.silences.restore(saved.silences, saved.last_silence, &self.rules);
        self.history.restore(&saved.history);
        let saved_at = self.clock.at(now.monotonic).saturating_sub(millis(ago));
        let SavedEngine { alerts, rules, samples, .. } = saved;
        self.unclaimed = Some(Unclaimed { saved_at, alerts, rules, samples });
        self.claim(now, late);
    }

    /// Rules that are known now take over what was theirs. `late`: they were evaluated before.
    pub(super) fn claim(&mut self, now: Now, late: bool) {
        let Some(mut unclaimed) = self.unclaimed.take() else { return };
        let time = self.clock.at(now.monotonic);
        // Time in which nobody looked does not count. Where this run has looked, alerts go on from its beginning.
        let anchor = if late { unclaimed.saved_at.max(0) } else { time };
        let gap = anchor.saturating_sub(unclaimed.saved_at);
        let Unclaimed { saved_at, alerts, rules, samples } = &mut unclaimed;
        alerts.retain(|alert| {
            let Some(number) = self.rule_of(alert, rules.get(&alert.rule)) else { return true };
            // What was pending before a long absence is not known to have held all the while.
            if alert.is_firing() || (alert.state == AlertState::Pending && gap <= millis(GAP)) {
                self.put_back(number, alert, anchor, late);
            }
            false
        });
        for samples in samples {
            let at = |ago: f64| saved_at.saturating_sub(millis(Duration::try_from_secs_f64(ago).unwrap_or_default()));
            let points: Vec<(Millis, f64)> = samples.points.iter().map(|(ago, value)| (at(*ago), *value)).collect();
            self.columns.restore_samples(|source| samples.is_of(source), &points);
        }
        self.unclaimed = Some(unclaimed);
    }

    /// The rule that an alert goes on under: it asks what its rule asked when it was saved.
    fn rule_of(&self, alert: &SavedAlert, saved: Option<&SavedRule>) -> Option<usize> {
        let number = self.rule_number(&alert.rule)?;
        let rule = &self.rules[number];
        let same = saved.is_none_or(|saved| saved.is_of(rule)) && rule.is_of_ports() == alert.port.is_some();
        (rule.enabled && same && alert.port.is_none_or(|port| rule.is_for_port(&port))).then_some(number)
    }

    fn put_back(&mut self, number: usize, saved: &SavedAlert, anchor: Millis, late: bool) {
        let then = |ago: Duration| anchor.saturating_sub(millis(ago));
        let index = saved.port.map_or(0, |port| self.ports.index(port, anchor));
        let since = then(saved.held);
        if let Function::Age { .. } = self.rules[number].condition.function {
            let absent = Duration::try_from_secs_f64(saved.value).unwrap_or_default();
            self.columns.restore_age(number, index, then(absent));
        }
        let firing = saved.is_firing();
        let phase =
            if firing { Phase::Firing { since, ceased: saved.ceased.map(then) } } else { Phase::Pending { since } };
        let active = AlertInstance {
            state: saved.state,
            value: saved.value,
            notified: saved.notified,
            restored: Some(anchor),
            ..AlertInstance::new(index, phase, saved.since)
        };
        let all = &mut self.active[number];
        match all.binary_search_by_key(&index, |other| other.index) {
            Ok(at) => all[at].merge(&active, if saved.port.is_some() { self.ports.first(index) } else { 0 }),
            // That a pending condition holds no longer has been seen.
            Err(_) if late && !firing => {}
            Err(at) => all.insert(at, active),
        }
    }

    /// Once every rule is known, what none has taken over ends, and whoever was notified of it is notified.
    pub(super) fn end_unclaimed(&mut self, now: Now, evaluation: &mut Evaluation) {
        let Some(unclaimed) = self.unclaimed.take_if(|_| self.rules_known) else { return };
        for saved in unclaimed.alerts.iter().filter(|alert| alert.is_firing()) {
            let rule = unclaimed.rules.get(&saved.rule);
            let severity = rule.map_or(Severity::Warning, |rule| rule.severity);
            evaluation.transitions.push(Transition {
                rule: saved.rule.as_str().into(),
                port: saved.port,
                severity,
                from: saved.state,
                to: AlertState::Resolved,
                value: saved.value,
                at: now.monotonic,
                time: now.wall,
                suppressed: None,
            });
            if !saved.notified {
                continue;
            }
            let alert = Alert {
                fingerprint: Fingerprint::new(&saved.rule, saved.port.as_ref()),
                rule: saved.rule.as_str().into(),
                port: saved.port,
                state: AlertState::Resolved,
                severity,
                labels: rule.map(|rule| rule.labels.clone()).unwrap_or_default(),
                annotations: BTreeMap::new(),
                value: saved.value,
                since: saved.since,
                suppressed: None,
                notified: true,
            };
            let actions = rule.map(|rule| rule.actions.iter().map(|name| name.as_str().into()).collect());
            let actions = actions.unwrap_or_else(|| [].into());
            evaluation.notifications.push(Notification { alert, ended: Some(now.wall), actions });
        }
    }

    /// Counters go on from other values than those that were seen in this run: their windows begin anew, and alerts are held
    /// until they can be evaluated again.
    fn reset_counters(&mut self) {
        self.columns.forget(|source| {
            let metric = source.selector.metric;
            metric.is_counter() && (metric.metric().survives || metric.is_of_ports())
        });
        let time = self.clock.time;
        self.active.iter_mut().flatten().for_each(|active| active.restored = Some(time));
        self.columns.selectors = Arc::new((*self.columns.selectors).clone());
    }
}

impl Unclaimed {
    /// What is to be saved of it as of now, besides what the rules have.
    pub fn save_into(&self, saved: &mut SavedEngine, time: Millis) {
        let passed = time.saturating_sub(self.saved_at);
        let worth = |alert: &&SavedAlert| alert.is_firing() || passed <= millis(GAP);
        saved.alerts.extend(self.alerts.iter().filter(worth).cloned());
        for (name, rule) in &self.rules {
            if self.alerts.iter().any(|alert| alert.rule == *name) {
                saved.rules.insert(name.clone(), rule.clone());
            }
        }
        for samples in &self.samples {
            if saved.samples.iter().all(|own| own.metric != samples.metric || own.matching != samples.matching) {
                let points = samples.points.iter().map(|(ago, value)| (ago + seconds(passed), *value)).collect();
                saved.samples.push(SavedSamples { points, ..samples.clone() });
            }
        }
    }
}

impl SavedAlert {
    fn is_firing(&self) -> bool {
        matches!(self.state, AlertState::Firing | AlertState::Suppressed)
    }
}

impl SavedRule {
    pub(super) fn new(rule: &Rule) -> Self {
        Self {
            asks: rule.asks(),
            severity: rule.severity,
            labels: rule.labels().map(|(name, value)| (name.to_owned(), value)).collect(),
            actions: rule.actions.iter().map(|action| action.name().to_owned()).collect(),
        }
    }

    /// Whether alerts go on under this rule.
    fn is_of(&self, rule: &Rule) -> bool {
        let now = Self::new(rule);
        (&self.asks, self.severity, &self.labels) == (&now.asks, now.severity, &now.labels)
    }
}

#[cfg(test)]
mod tests;
