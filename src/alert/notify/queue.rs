//! One receiver's alerts: what it has to know, held against what it acknowledged. What differs waits to be sent, of
//! each alert only the last state, in the order in which alerts changed, bounded.
//!
//! A machine without I/O: alerts and what time it is in, batches out. A batch that failed is put back to where it
//! stood, but what is newer wins. An alert that is in flight is not taken again before that ended, so that no receiver
//! ever sees an alert's states in another order than they had. What was given up counts as acknowledged.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;

use super::active_set::ActiveSet;
use super::metrics::{DeliveryOutcome, SinkCounters};
use super::saved::{SavedEnd, SavedSink};
use crate::alert::model::{Alert, AlertState, Fingerprint, Notification};

pub(super) type SharedQueue = Arc<Mutex<Queue>>;

#[derive(Debug)]
pub(super) struct Queue {
    capacity: usize,
    counters: Arc<SinkCounters>,
    next_place: u64,
    /// What waits, oldest first.
    waiting: BTreeMap<u64, Fingerprint>,
    deliveries: BTreeMap<Fingerprint, Delivery>,
    /// For receivers that are sent everything again and again.
    pub active: Option<ActiveSet>,
}

#[derive(Debug, Default)]
struct Delivery {
    /// It is known there that the alert fires.
    acknowledged: bool,
    waiting: Option<Unsent>,
    in_flight: Option<Unsent>,
}

#[derive(Clone, Debug)]
struct Unsent {
    place: u64,
    alert: Arc<Notification>,
    /// Since when something about this alert is to be sent.
    first: Instant,
    /// Since when it is this.
    since: Instant,
}

impl Delivery {
    fn last(&self) -> Option<&Unsent> {
        self.waiting.as_ref().or(self.in_flight.as_ref())
    }

    /// Whether it is, or will be, known there that the alert fires.
    fn fires(&self) -> bool {
        self.last().map_or(self.acknowledged, |last| last.alert.ended.is_none())
    }
}

impl Queue {
    pub fn new(counters: Arc<SinkCounters>, resends: bool) -> Self {
        let (waiting, deliveries) = (BTreeMap::new(), BTreeMap::new());
        Self { capacity: 0, counters, next_place: 0, waiting, deliveries, active: resends.then(ActiveSet::default) }
    }

    /// How many wait, those in flight left out.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Drops the oldest if there is no room for all that waits.
    pub fn set_capacity(&mut self, capacity: usize) {
        self.capacity = capacity;
        while self.waiting.len() > capacity
            && let Some((_, name)) = self.waiting.pop_first()
        {
            if let Some(delivery) = self.deliveries.get_mut(&name)
                && let Some(oldest) = delivery.waiting.take()
            {
                delivery.acknowledged = oldest.alert.ended.is_none();
                self.counters.add(DeliveryOutcome::Dropped, 1);
            }
        }
    }

    /// Whether it is, or will be, known there that the alert fires.
    pub fn knows(&self, name: Fingerprint) -> bool {
        self.deliveries.get(&name).is_some_and(Delivery::fires)
    }

    /// From now on the receiver is to know of `wanted`, alerts that fire and alerts that ended. `firing`: whatever
    /// fires, for this receiver or not; `unclaimed`: what may fire as before.
    pub fn reconcile(
        &mut self,
        wanted: &[Arc<Notification>],
        firing: &HashSet<Fingerprint>,
        unclaimed: &HashSet<Fingerprint>,
        now: Instant,
    ) {
        let ends_of_others = |active: &mut ActiveSet| active.ends_of_others(wanted, unclaimed.is_empty());
        let others = self.active.as_mut().map(ends_of_others).unwrap_or_default();
        for alert in others.iter().chain(wanted) {
            self.want(alert, now);
        }
        let fires = |name: &Fingerprint| firing.contains(name) || unclaimed.contains(name);
        self.deliveries.retain(|name, delivery| delivery.last().is_some() || (delivery.acknowledged && fires(name)));
    }

    fn want(&mut self, alert: &Arc<Notification>, now: Instant) {
        let name = alert.alert.fingerprint;
        if let Some(active) = &mut self.active {
            active.insert(alert, self.capacity, now);
        }
        let delivery = self.deliveries.entry(name).or_default();
        // What is silenced need not be known; but who is sent everything again and again may know of it already.
        let to_be_known = self.active.is_some() || alert.alert.state == AlertState::Firing;
        if alert.ended.is_none() && (delivery.fires() || !to_be_known) {
            return;
        }
        if let Some(waiting) = &mut delivery.waiting {
            (waiting.alert, waiting.since) = (Arc::clone(alert), now);
            self.counters.add(DeliveryOutcome::Replaced, 1);
            return;
        }
        delivery.waiting = Some(Unsent { place: self.next_place, alert: Arc::clone(alert), first: now, since: now });
        self.waiting.insert(self.next_place, name);
        self.next_place += 1;
        self.set_capacity(self.capacity);
    }

    /// When the next batch is to be taken, if alerts gather for so long.
    pub fn due(&self, group_interval: Duration) -> Option<Instant> {
        self.free().next().map(|unsent| unsent.first + group_interval)
    }

    fn free(&self) -> impl Iterator<Item = &Unsent> {
        let free = |name| self.deliveries.get(name).filter(|delivery| delivery.in_flight.is_none())?.waiting.as_ref();
        self.waiting.values().filter_map(free)
    }

    /// The oldest ones, at most so many. They are in flight until they are settled or put back.
    pub fn take(&mut self, most: usize) -> Vec<Arc<Notification>> {
        let batch: Vec<Unsent> = self.free().take(most).cloned().collect();
        let take = |unsent: Unsent| {
            self.waiting.remove(&unsent.place);
            let (delivery, alert) =
                (self.deliveries.entry(unsent.alert.alert.fingerprint).or_default(), Arc::clone(&unsent.alert));
            (delivery.waiting, delivery.in_flight) = (None, Some(unsent));
            alert
        };
        batch.into_iter().map(take).collect()
    }

    /// The batch was sent, or is given up.
    pub fn settle(&mut self, batch: &[Arc<Notification>], outcome: DeliveryOutcome) {
        for alert in batch {
            let delivery = self.deliveries.entry(alert.alert.fingerprint).or_default();
            (delivery.in_flight, delivery.acknowledged) = (None, alert.ended.is_none());
        }
        self.counters.add(outcome, batch.len());
    }

    pub fn in_flight(&self) -> Vec<Arc<Notification>> {
        self.deliveries
            .values()
            .filter_map(|delivery| delivery.in_flight.as_ref())
            .map(|unsent| Arc::clone(&unsent.alert))
            .collect()
    }

    /// The batch is to be sent again, but for what is older than it is worth.
    pub fn put_back(&mut self, batch: &[Arc<Notification>], now: Instant, retry_for: Duration) {
        for alert in batch {
            let name = alert.alert.fingerprint;
            let delivery = self.deliveries.entry(name).or_default();
            let Some(unsent) = delivery.in_flight.take() else { continue };
            let outcome = if delivery.waiting.is_some() {
                DeliveryOutcome::Replaced
            } else if now.saturating_duration_since(unsent.since) >= retry_for {
                delivery.acknowledged = alert.ended.is_none();
                DeliveryOutcome::Dropped
            } else {
                self.waiting.insert(unsent.place, name);
                delivery.waiting = Some(unsent);
                DeliveryOutcome::Retried
            };
            self.counters.add(outcome, 1);
        }
        self.set_capacity(self.capacity);
    }

    pub fn save(&self, now: Instant) -> SavedSink {
        // Of one that fired again since only the first time is known; who is sent everything again needs none of it.
        let is_known = |delivery: &Delivery| {
            let owed = [&delivery.waiting, &delivery.in_flight]
                .into_iter()
                .flatten()
                .any(|unsent| unsent.alert.ended.is_none());
            delivery.acknowledged && !owed && self.active.is_none()
        };
        let acknowledged =
            self.deliveries.iter().filter(|(_, delivery)| is_known(delivery)).map(|(name, _)| *name).collect();
        let mut ended: Vec<&Unsent> = self.deliveries.values().filter_map(Delivery::last).collect();
        ended.sort_unstable_by_key(|unsent| unsent.place);
        let end = |unsent: &Unsent| {
            let (alert, waited) = (&unsent.alert.alert, now.saturating_duration_since(unsent.since));
            // JSON has no infinite numbers.
            let value = if alert.value.is_finite() { alert.value } else { 0.0 };
            Some(SavedEnd { alert: Alert { value, ..alert.clone() }, ended: unsent.alert.ended?, waited })
        };
        SavedSink { acknowledged, ended: ended.into_iter().filter_map(end).collect() }
    }

    /// Goes on from what an earlier run saved `ago`, but for ends of what fires.
    pub fn restore(&mut self, saved: &SavedSink, ago: Duration, firing: &HashSet<Fingerprint>) {
        let now = Instant::now();
        for name in saved.acknowledged.iter().filter(|_| self.active.is_none()) {
            self.deliveries.entry(*name).or_default().acknowledged = true;
        }
        for end in saved.ended.iter().filter(|end| !firing.contains(&end.alert.fingerprint)) {
            let notification = Notification { alert: end.alert.clone(), ended: Some(end.ended), actions: [].into() };
            // A machine that has not run for so long cannot say when it was.
            self.want(&Arc::new(notification), now.checked_sub(end.waited + ago).unwrap_or(now));
        }
    }
}

#[cfg(test)]
mod tests;
