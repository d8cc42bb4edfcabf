//! What becomes of notifications, counted by sink.
//!
//! Each notification that a sink is told ends in exactly one of sent, failed, dropped, filtered and replaced, or still waits;
//! `retried` counts further attempts besides. A sink of several servers counts for each of them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::telemetry::catalog::{self, Computed};

/// What became of a notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Fate {
    Sent,
    Failed,
    /// Put back for another attempt.
    Retried,
    /// Given up: there was no room, or it had waited too long.
    Dropped,
    /// Not severe enough for this sink.
    Filtered,
    /// The same alert went on before it was delivered: only its last state is.
    Replaced,
}

impl Fate {
    pub const ALL: [Self; 6] = [Self::Sent, Self::Failed, Self::Retried, Self::Dropped, Self::Filtered, Self::Replaced];

    pub fn name(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Failed => "failed",
            Self::Retried => "retried",
            Self::Dropped => "dropped",
            Self::Filtered => "filtered",
            Self::Replaced => "replaced",
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Counts([AtomicU64; Fate::ALL.len()]);

impl Counts {
    pub fn add(&self, fate: Fate, count: usize) {
        if count > 0 {
            self.0[fate as usize].fetch_add(count as u64, Ordering::Relaxed);
        }
    }

    pub fn get(&self, fate: Fate) -> u64 {
        self.0[fate as usize].load(Ordering::Relaxed)
    }
}

/// The counts of all sinks. Those of a sink that a reload removed stay: counters do not vanish.
#[derive(Debug, Default)]
pub struct Tally(Mutex<BTreeMap<Arc<str>, Arc<Counts>>>);

impl Tally {
    /// Every sink, fate and number.
    pub fn counts(&self) -> Vec<(Arc<str>, Fate, u64)> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_sink = |(name, counts): (&Arc<str>, &Arc<Counts>)| {
            Fate::ALL.map(|fate| (Arc::clone(name), fate, counts.get(fate)))
        };
        all.iter().flat_map(of_sink).collect()
    }

    /// The values of the metric of notifications.
    #[expect(clippy::cast_precision_loss, reason = "numbers of notifications")]
    pub fn values(&self, tell: &mut dyn FnMut(&Computed, &[&str], f64)) {
        for (sink, fate, count) in self.counts() {
            tell(&catalog::NOTIFICATIONS, &[&sink, fate.name()], count as f64);
        }
    }

    /// The counts of the sink of this name, from now on among all.
    pub(super) fn of(&self, name: &str) -> Arc<Counts> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(all.entry(name.into()).or_default())
    }
}
