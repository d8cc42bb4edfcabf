//! What fires, and what ended not long ago, of one sink: for receivers that hold the whole and not only what is new.
//!
//! It follows what is told, and is set right by [`set_firing`](Book::set_firing), since after a restart nobody is told again.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::alert::model::{Fingerprint, Notification};

/// For how long an end is told again, as Prometheus does: a receiver may have missed it.
const ENDED_FOR: Duration = Duration::from_secs(15 * 60);

#[derive(Debug)]
pub(super) struct Book {
    most: usize,
    pages: Mutex<Pages>,
}

#[derive(Debug)]
struct Pages {
    /// What fires was said as a whole, so that anything else does not.
    known: bool,
    generation: u64,
    firing: BTreeMap<Fingerprint, Arc<Notification>>,
    ended: HashMap<Fingerprint, (Arc<Notification>, Instant)>,
    /// Since when there is anything.
    began: Instant,
}

impl Book {
    /// `most`: how many ends are kept.
    pub fn new(most: usize) -> Self {
        let pages = Pages {
            known: false,
            generation: 0,
            firing: BTreeMap::new(),
            ended: HashMap::new(),
            began: Instant::now(),
        };
        Self { most, pages: Mutex::new(pages) }
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An alert fires, or ended.
    pub fn tell(&self, notification: &Arc<Notification>, now: Instant) {
        let mut pages = self.pages();
        let name = notification.alert.fingerprint;
        if pages.firing.is_empty() && pages.ended.is_empty() {
            pages.began = now;
        }
        if notification.ended.is_none() {
            pages.ended.remove(&name);
            pages.firing.insert(name, Arc::clone(notification));
        } else {
            pages.firing.remove(&name);
            if pages.ended.len() < self.most {
                pages.ended.insert(name, (Arc::clone(notification), now));
            }
        }
    }

    /// Just these fire. True if others did before.
    pub fn set_firing(&self, alerts: impl Iterator<Item = Arc<Notification>>) -> bool {
        let firing: BTreeMap<_, _> = alerts.map(|alert| (alert.alert.fingerprint, alert)).collect();
        let mut pages = self.pages();
        let changed = !pages.known || !firing.keys().eq(pages.firing.keys());
        pages.ended.retain(|name, _| !firing.contains_key(name));
        (pages.firing, pages.known) = (firing, true);
        pages.generation += u64::from(changed);
        changed
    }

    /// What fires, in which generation, and whether that is all.
    pub fn firing(&self) -> (Vec<Arc<Notification>>, u64, bool) {
        let pages = self.pages();
        (pages.firing.values().cloned().collect(), pages.generation, pages.known)
    }

    /// What fires and what ended not long ago, and in which generation.
    pub fn all(&self, now: Instant) -> (Vec<Arc<Notification>>, u64) {
        let mut pages = self.pages();
        pages.ended.retain(|_, (_, at)| now.saturating_duration_since(*at) < ENDED_FOR);
        if pages.ended.is_empty() {
            pages.ended = HashMap::new();
        }
        let ended = pages.ended.values().map(|(notification, _)| notification);
        (pages.firing.values().chain(ended).cloned().collect(), pages.generation)
    }

    /// Counts up when [`set_firing`](Self::set_firing) said something new.
    pub fn generation(&self) -> u64 {
        self.pages().generation
    }

    /// Since when there is something to say; `None`: there is nothing.
    pub fn began(&self) -> Option<Instant> {
        let pages = self.pages();
        (!pages.firing.is_empty() || !pages.ended.is_empty()).then_some(pages.began)
    }

    /// Whether anything fires.
    pub fn fires(&self) -> bool {
        !self.pages().firing.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{fires, resolved};
    use super::*;

    #[test]
    fn an_end_is_said_for_a_while_and_not_beside_a_new_beginning() {
        let (book, now) = (Book::new(10), Instant::now());
        book.tell(&Arc::new(fires(0)), now);
        book.tell(&Arc::new(resolved(0)), now);
        assert!(!book.fires());
        assert_eq!(book.all(now + ENDED_FOR / 2).0.len(), 1);
        book.tell(&Arc::new(fires(0)), now);
        assert_eq!(book.all(now).0.iter().filter(|alert| alert.ended.is_none()).count(), 1);
        book.tell(&Arc::new(resolved(0)), now);
        assert!(book.all(now + ENDED_FOR).0.is_empty());
        assert_eq!(book.began(), None);
    }

    #[test]
    fn only_what_is_new_changes_the_generation() {
        let (book, now) = (Book::new(10), Instant::now());
        assert!(book.set_firing([].into_iter()), "that nothing fires is news at first");
        assert!(book.set_firing([Arc::new(fires(0))].into_iter()));
        book.tell(&Arc::new(fires(4)), now);
        assert!(!book.set_firing([Arc::new(fires(0)), Arc::new(fires(4))].into_iter()));
        assert!(book.set_firing([Arc::new(fires(4))].into_iter()));
        assert_eq!(book.generation(), 3);
    }
}
