//! What becomes of notifications, counted by sink.
//!
//! Each notification for a sink ends in exactly one of sent, failed, dropped, filtered and replaced, or still waits;
//! `retried` counts further attempts besides. A sink of several servers counts for each of them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use crate::locks::lock;
use crate::telemetry::catalog::{self, Computed};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DeliveryOutcome {
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

impl DeliveryOutcome {
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
pub(super) struct SinkCounters([AtomicU64; DeliveryOutcome::ALL.len()]);

impl SinkCounters {
    pub fn add(&self, outcome: DeliveryOutcome, count: usize) {
        self.0[outcome as usize].fetch_add(count as u64, Ordering::Relaxed);
    }

    pub fn get(&self, outcome: DeliveryOutcome) -> u64 {
        self.0[outcome as usize].load(Ordering::Relaxed)
    }
}

/// The counters of all sinks. Those of a sink that a reload removed stay: counters do not vanish.
#[derive(Debug, Default)]
pub struct DeliveryMetrics(Mutex<BTreeMap<Arc<str>, Arc<SinkCounters>>>);

impl DeliveryMetrics {
    /// Every sink, outcome and number; `log` is among them.
    pub fn counts(&self) -> Vec<(Arc<str>, DeliveryOutcome, u64)> {
        let of_sink = |(name, counters): (&Arc<str>, &Arc<SinkCounters>)| {
            DeliveryOutcome::ALL.map(|outcome| (Arc::clone(name), outcome, counters.get(outcome)))
        };
        lock(&self.0).iter().flat_map(of_sink).collect()
    }

    /// The values of the metric of notifications.
    #[expect(clippy::cast_precision_loss, reason = "numbers of notifications")]
    pub fn values(&self, visit: &mut dyn FnMut(&Computed, &[&str], f64)) {
        for (sink, outcome, count) in self.counts() {
            visit(&catalog::NOTIFICATIONS, &[&sink, outcome.name()], count as f64);
        }
    }

    /// The counters of the sink of this name, from now on among all.
    pub(super) fn of(&self, name: &str) -> Arc<SinkCounters> {
        Arc::clone(lock(&self.0).entry(name.into()).or_default())
    }
}
