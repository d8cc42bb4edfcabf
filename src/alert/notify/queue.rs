//! What waits for a receiver: of each alert only the last state, in the order in which alerts were told, bounded.
//!
//! A machine without I/O: notifications and what time it is in, batches out. A batch that failed is put back to where it
//! stood, but what is newer wins. An alert that is under way is not taken again before that ended, so that no receiver ever
//! hears an alert's states in another order than they had.
//!
//! Which alerts the receiver heard fire is known here as well, so that after a restart, or when a sink is new, it is told of
//! those that it did not, and of no other. What was given up counts as heard.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::notification_log::{SavedEnd, SavedSink};
use crate::alert::model::{Fingerprint, Notification};

/// A notification that waits, or is under way.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    place: u64,
    pub notification: Arc<Notification>,
    /// Since when something about this alert is to be said.
    first: Instant,
    /// When its last state was told.
    told: Instant,
}

/// What became of notifications by putting others in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Lost {
    pub replaced: usize,
    pub dropped: usize,
}

#[derive(Debug)]
pub(super) struct Line {
    most: usize,
    next: u64,
    waiting: BTreeMap<u64, Waiting>,
    places: HashMap<Fingerprint, u64>,
    under_way: HashMap<Fingerprint, Waiting>,
    /// What the receiver heard fire, and not end yet; `None` for receivers that are told the whole anyway.
    heard: Option<HashSet<Fingerprint>>,
}

impl Line {
    pub fn new(most: usize) -> Self {
        let (waiting, places, under_way) = (BTreeMap::new(), HashMap::new(), HashMap::new());
        Self { most, next: 0, waiting, places, under_way, heard: None }
    }

    /// Whether it is noted what the receiver heard.
    pub fn note_heard(&mut self, notes: bool) {
        if notes != self.heard.is_some() {
            self.heard = notes.then(HashSet::new);
        }
    }

    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// The bound is another one now.
    pub fn bound(&mut self, most: usize) -> Lost {
        self.most = most;
        Lost { dropped: self.trim(), replaced: 0 }
    }

    pub fn push(&mut self, notification: Arc<Notification>, now: Instant) -> Lost {
        let name = notification.alert.fingerprint;
        if let Some(waiting) = self.places.get(&name).and_then(|place| self.waiting.get_mut(place)) {
            waiting.notification = notification;
            waiting.told = now;
            return Lost { replaced: 1, dropped: 0 };
        }
        let place = self.next;
        self.next += 1;
        self.places.insert(name, place);
        self.waiting.insert(place, Waiting { place, notification, first: now, told: now });
        Lost { replaced: 0, dropped: self.trim() }
    }

    /// When the next batch is to be taken, if alerts gather for so long.
    pub fn due(&self, gather: Duration) -> Option<Instant> {
        self.free().next().map(|waiting| waiting.first + gather)
    }

    fn free(&self) -> impl Iterator<Item = &Waiting> {
        self.waiting.values().filter(|waiting| !self.under_way.contains_key(&waiting.notification.alert.fingerprint))
    }

    /// The oldest ones, at most so many. They are under way until they are settled.
    pub fn take(&mut self, most: usize) -> Vec<Waiting> {
        let places: Vec<u64> = self.free().take(most).map(|waiting| waiting.place).collect();
        let batch: Vec<Waiting> = places.iter().filter_map(|place| self.waiting.remove(place)).collect();
        for waiting in &batch {
            let name = waiting.notification.alert.fingerprint;
            self.places.remove(&name);
            self.under_way.insert(name, waiting.clone());
        }
        batch
    }

    /// The batch is done with.
    pub fn settle(&mut self, batch: &[Waiting]) {
        for waiting in batch {
            self.done(&waiting.notification);
        }
        self.release(batch);
    }

    /// Nobody speaks of this to the receiver any longer.
    fn done(&mut self, notification: &Notification) {
        let Some(heard) = &mut self.heard else { return };
        let name = notification.alert.fingerprint;
        if notification.ended.is_none() {
            heard.insert(name);
        } else {
            heard.remove(&name);
        }
    }

    fn release(&mut self, batch: &[Waiting]) {
        for waiting in batch {
            self.under_way.remove(&waiting.notification.alert.fingerprint);
        }
        if self.waiting.is_empty() && self.under_way.is_empty() {
            // A storm's memory goes with the storm.
            (self.places, self.under_way) = (HashMap::new(), HashMap::new());
        }
    }

    /// The batch is to be tried again, but for what was told longer ago than it is worth. Says how many are.
    pub fn put_back(&mut self, batch: Vec<Waiting>, now: Instant, worth: Duration) -> (usize, Lost) {
        self.release(&batch);
        let (mut back, mut lost) = (0, Lost::default());
        for waiting in batch {
            match self.places.entry(waiting.notification.alert.fingerprint) {
                Entry::Occupied(_) => lost.replaced += 1,
                Entry::Vacant(_) if now.saturating_duration_since(waiting.told) >= worth => {
                    lost.dropped += 1;
                    self.done(&waiting.notification);
                }
                Entry::Vacant(free) => {
                    free.insert(waiting.place);
                    self.waiting.insert(waiting.place, waiting);
                    back += 1;
                }
            }
        }
        lost.dropped += self.trim();
        (back, lost)
    }

    /// Drops the oldest until there is room.
    fn trim(&mut self) -> usize {
        let mut dropped = 0;
        while self.waiting.len() > self.most {
            let Some((_, oldest)) = self.waiting.pop_first() else { break };
            self.places.remove(&oldest.notification.alert.fingerprint);
            self.done(&oldest.notification);
            dropped += 1;
        }
        dropped
    }

    /// These alerts fire, and the receiver is to know of each: what it did not hear of, and does not wait, does from now on.
    /// `told`: every alert that was told and did not end. Of others nothing has to be known.
    pub fn catch_up<'a>(
        &mut self,
        firing: impl Iterator<Item = &'a Arc<Notification>>,
        told: &HashSet<Fingerprint>,
        now: Instant,
    ) -> (usize, Lost) {
        let (mut added, mut lost) = (0, Lost::default());
        let Some(heard) = &mut self.heard else { return (added, lost) };
        let (places, under_way) = (&self.places, &self.under_way);
        heard.retain(|name| told.contains(name) || places.contains_key(name) || under_way.contains_key(name));
        let is_known = |line: &Self, name| {
            let heard = line.heard.as_ref().is_some_and(|heard| heard.contains(name));
            heard || line.places.contains_key(name) || line.under_way.contains_key(name)
        };
        for notification in firing {
            if !is_known(self, &notification.alert.fingerprint) {
                lost.dropped += self.push(Arc::clone(notification), now).dropped;
                added += 1;
            }
        }
        (added, lost)
    }

    pub fn save(&self, now: Instant) -> SavedSink {
        // Of one that fired again since only the first time was heard.
        let all = self.waiting.values().chain(self.under_way.values()).map(|waiting| &waiting.notification);
        let owed: HashSet<Fingerprint> =
            all.filter(|one| one.ended.is_none()).map(|one| one.alert.fingerprint).collect();
        let mut told: Vec<Fingerprint> =
            self.heard.iter().flatten().filter(|name| !owed.contains(name)).copied().collect();
        told.sort_unstable();
        let is_last = |name: &Fingerprint| !self.places.contains_key(name);
        let under_way = self.under_way.iter().filter(|(name, _)| is_last(name)).map(|(_, waiting)| waiting);
        let end = |waiting: &Waiting| {
            let ended = waiting.notification.ended?;
            let waited = now.saturating_duration_since(waiting.told);
            Some((waiting.place, SavedEnd::new(&waiting.notification.alert, ended, waited)))
        };
        let mut ended: Vec<(u64, SavedEnd)> = self.waiting.values().chain(under_way).filter_map(end).collect();
        ended.sort_unstable_by_key(|(place, _)| *place);
        SavedSink { told, ended: ended.into_iter().map(|(_, end)| end).collect() }
    }

    /// The receiver heard these fire, in an earlier run.
    pub fn has_heard(&mut self, names: impl IntoIterator<Item = Fingerprint>) {
        if let Some(heard) = &mut self.heard {
            heard.extend(names);
        }
    }
}

#[cfg(test)]
mod tests;
