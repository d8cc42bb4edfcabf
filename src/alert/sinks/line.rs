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

use super::saved::{SavedEnd, SavedSink};
use crate::alert::report::{Fingerprint, Notification};

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

/// See the module.
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

    /// For the disk.
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
mod tests {
    use super::super::tests::{fires, resolved};
    use super::*;
    use proptest::prelude::*;

    const EVER: Duration = Duration::from_secs(3600);

    fn line(most: usize, ports: &[usize]) -> (Line, Instant) {
        let (mut line, now) = (Line::new(most), Instant::now());
        for port in ports {
            line.push(Arc::new(fires(*port)), now);
        }
        (line, now)
    }

    fn ports(batch: &[Waiting]) -> Vec<(String, bool)> {
        batch
            .iter()
            .map(|waiting| {
                let notification = &waiting.notification;
                (notification.alert.port.unwrap().to_string(), notification.ended.is_none())
            })
            .collect()
    }

    #[test]
    fn of_each_alert_the_last_state_is_sent_where_it_stood() {
        let (mut line, now) = line(10, &[1, 2, 3]);
        assert_eq!(line.push(Arc::new(resolved(1)), now), Lost { replaced: 1, dropped: 0 });
        let batch = line.take(2);
        assert_eq!(ports(&batch), [("Ethernet1".to_owned(), false), ("Ethernet2".to_owned(), true)]);
        assert_eq!(line.len(), 1);
    }

    #[test]
    fn without_room_the_oldest_are_dropped() {
        let (mut line, now) = line(2, &[1, 2]);
        assert_eq!(line.push(Arc::new(fires(3)), now), Lost { replaced: 0, dropped: 1 });
        assert_eq!(line.push(Arc::new(fires(1)), now), Lost { replaced: 0, dropped: 1 });
        assert_eq!(ports(&line.take(9)), [("Ethernet3".to_owned(), true), ("Ethernet1".to_owned(), true)]);
    }

    #[test]
    fn what_failed_is_tried_again_first_unless_there_is_something_newer() {
        let (mut line, now) = line(10, &[1, 2, 3]);
        let batch = line.take(2);
        line.push(Arc::new(resolved(2)), now);
        assert_eq!(line.put_back(batch, now, EVER), (1, Lost { replaced: 1, dropped: 0 }));
        let batch = line.take(9);
        let expected = [("Ethernet1", true), ("Ethernet3", true), ("Ethernet2", false)];
        assert_eq!(ports(&batch), expected.map(|(port, fires)| (port.to_owned(), fires)));
    }

    #[test]
    fn what_has_waited_for_too_long_is_dropped() {
        let (mut line, now) = line(10, &[1]);
        line.push(Arc::new(fires(2)), now + EVER / 2);
        let batch = line.take(9);
        assert_eq!(line.put_back(batch, now + EVER, EVER), (1, Lost { replaced: 0, dropped: 1 }));
        assert_eq!(line.len(), 1);
    }

    #[test]
    fn an_alert_under_way_is_not_overtaken() {
        let (mut line, now) = line(10, &[1]);
        let batch = line.take(9);
        line.push(Arc::new(resolved(1)), now);
        assert_eq!(line.due(Duration::ZERO), None);
        assert!(line.take(9).is_empty());
        line.settle(&batch);
        assert_eq!(line.due(EVER), Some(now + EVER));
        assert_eq!(ports(&line.take(9)), [("Ethernet1".to_owned(), false)]);
    }

    #[test]
    fn gathering_begins_with_the_first() {
        let (mut line, now) = line(10, &[1]);
        line.push(Arc::new(fires(2)), now + EVER / 2);
        line.push(Arc::new(resolved(1)), now + EVER / 2);
        assert_eq!(line.due(EVER), Some(now + EVER));
    }

    proptest! {
        /// Over any number of restarts, with or without an end that is under way, a receiver hears of each time that an
        /// alert fires at most once, and in the end how every alert stands.
        #[test]
        fn over_restarts_everything_is_heard_once(steps in prop::collection::vec((0..6_u8, 0..3_usize), 0..80)) {
            let now = Instant::now();
            let fresh = || {
                let mut line = Line::new(100);
                line.note_heard(true);
                line
            };
            let (mut line, mut times) = (fresh(), 0);
            let mut under_way: Vec<Vec<Waiting>> = Vec::new();
            let mut firing: BTreeMap<usize, Arc<Notification>> = BTreeMap::new();
            let mut heard: Vec<(Fingerprint, bool, u64)> = Vec::new();
            let told = |firing: &BTreeMap<usize, Arc<Notification>>| -> HashSet<Fingerprint> {
                firing.values().map(|one| one.alert.fingerprint).collect()
            };
            let hear = |heard: &mut Vec<(Fingerprint, bool, u64)>, batch: &[Waiting]| {
                heard.extend(batch.iter().map(|waiting| {
                    let Notification { alert, ended, .. } = &*waiting.notification;
                    (alert.fingerprint, ended.is_none(), alert.since.to_bits())
                }));
            };
            for (step, number) in steps {
                match (step, firing.remove(&number)) {
                    (0, None) => {
                        times += 1;
                        let mut fires = fires(number);
                        fires.alert.since = f64::from(times);
                        line.push(Arc::new(fires.clone()), now);
                        firing.insert(number, Arc::new(fires));
                    }
                    (0, Some(before)) => {
                        line.push(Arc::new(Notification { ended: Some(1e9), ..(*before).clone() }), now);
                    }
                    (_, before) => {
                        firing.extend(before.map(|before| (number, before)));
                    }
                }
                match step {
                    1 => under_way.push(line.take(number)),
                    2 if !under_way.is_empty() => {
                        let batch = under_way.swap_remove(number % under_way.len());
                        hear(&mut heard, &batch);
                        line.settle(&batch);
                    }
                    3 if !under_way.is_empty() => {
                        let batch = under_way.swap_remove(number % under_way.len());
                        line.put_back(batch, now, EVER);
                    }
                    4 => {
                        line.catch_up(firing.values(), &told(&firing), now);
                    }
                    5 => {
                        // A restart; what was under way did not arrive.
                        under_way.clear();
                        let saved = line.save(now);
                        line = fresh();
                        line.has_heard(saved.told);
                        for end in saved.ended {
                            let actions: Arc<[_]> = Vec::new().into();
                            line.push(Arc::new(Notification { alert: end.alert, ended: Some(end.ended), actions }), now);
                        }
                        line.catch_up(firing.values(), &told(&firing), now);
                    }
                    _ => {}
                }
            }
            for batch in under_way {
                line.put_back(batch, now, EVER);
            }
            line.catch_up(firing.values(), &told(&firing), now);
            let batch = line.take(100);
            hear(&mut heard, &batch);
            let times: Vec<_> = heard.iter().filter(|(_, fires, _)| *fires).collect();
            prop_assert_eq!(times.iter().collect::<HashSet<_>>().len(), times.len(), "{:?}", heard);
            for number in 0..3 {
                let name = fires(number).alert.fingerprint;
                let last = heard.iter().rev().find(|(heard, _, _)| *heard == name);
                match firing.get(&number) {
                    Some(one) => prop_assert_eq!(last, Some(&(name, true, one.alert.since.to_bits()))),
                    None => prop_assert!(last.is_none_or(|(_, fires, _)| !fires), "{:?}", heard),
                }
            }
        }

        /// Whatever happens, nothing is lost without being counted, the bound holds, and states keep their order.
        #[test]
        fn nothing_is_lost_uncounted(steps in prop::collection::vec((0..4_u8, 0..6_usize), 0..80)) {
            let (mut line, now) = line(4, &[]);
            let mut under_way: Vec<Vec<Waiting>> = Vec::new();
            let (mut told, mut sent, mut lost) = (0_usize, 0, 0);
            let mut heard: HashMap<Fingerprint, f64> = HashMap::new();
            for (step, number) in steps {
                match step {
                    0 => {
                        told += 1;
                        let mut notification = fires(number);
                        notification.alert.value = f64::from(u32::try_from(told).unwrap());
                        let Lost { replaced, dropped } = line.push(Arc::new(notification), now);
                        lost += replaced + dropped;
                    }
                    1 => under_way.push(line.take(number)),
                    2 if !under_way.is_empty() => {
                        let batch = under_way.swap_remove(number % under_way.len());
                        for waiting in &batch {
                            let alert = &waiting.notification.alert;
                            let before = heard.insert(alert.fingerprint, alert.value);
                            prop_assert!(before.is_none_or(|before| before < alert.value));
                        }
                        sent += batch.len();
                        line.settle(&batch);
                    }
                    3 if !under_way.is_empty() => {
                        let batch = under_way.swap_remove(number % under_way.len());
                        let (_, Lost { replaced, dropped }) = line.put_back(batch, now, EVER);
                        lost += replaced + dropped;
                    }
                    _ => {}
                }
                prop_assert!(line.len() <= 4);
                prop_assert_eq!(line.places.len(), line.waiting.len());
            }
            let still: usize = under_way.iter().map(Vec::len).sum();
            prop_assert_eq!(told, sent + lost + still + line.len());
        }
    }
}
