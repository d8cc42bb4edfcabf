//! What each receiver has to know and acknowledged, as Alertmanager's notification log: it outlives tasks, reloads and,
//! by what is saved of it, runs.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::time::Instant;

use super::ActiveAlerts;
use super::metrics::DeliveryMetrics;
use super::queue::{Queue, SharedQueue};
use super::receiver::Receiver;
use super::saved::SavedSink;
use crate::alert::model::Fingerprint;
use crate::api;
use crate::locks::lock;

#[derive(Default)]
pub struct NotificationLog {
    pub metrics: DeliveryMetrics,
    queues: Mutex<BTreeMap<ReceiverKey, SharedQueue>>,
    receivers: Mutex<Vec<Weak<Receiver>>>,
    write_ahead: OnceLock<Box<WriteAhead>>,
}

/// Brings the log to the disk.
pub type WriteAhead = dyn Fn() -> BoxFuture<'static, ()> + Send + Sync;

/// A sink, and what tells its receivers apart.
type ReceiverKey = (String, String);

impl fmt::Debug for NotificationLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NotificationLog").field("queues", &self.queues).finish_non_exhaustive()
    }
}

impl NotificationLog {
    /// How the log comes to the disk; to be said once. Without it nothing is written ahead.
    pub fn set_write_ahead(&self, write: Box<WriteAhead>) {
        let _ = self.write_ahead.set(write);
    }

    /// What is in flight, or was acknowledged, is on the disk once this is over.
    pub(super) async fn write_ahead(&self) {
        if let Some(write) = self.write_ahead.get() {
            write().await;
        }
    }

    /// These receivers are at work.
    pub(super) fn register(&self, receivers: Vec<Weak<Receiver>>) {
        *lock(&self.receivers) = receivers;
    }

    /// How each receiver stands.
    pub fn receivers(&self) -> Vec<api::ReceiverStatus> {
        let receivers = lock(&self.receivers).clone();
        receivers.iter().filter_map(Weak::upgrade).map(|receiver| receiver.state()).collect()
    }

    /// That of the receiver, which may go on from an earlier task.
    pub(super) fn queue(&self, sink: &str, identity: &str, resends: bool) -> SharedQueue {
        let new = || Arc::new(Mutex::new(Queue::new(self.metrics.of(sink), resends)));
        Arc::clone(lock(&self.queues).entry((sink.to_owned(), identity.to_owned())).or_insert_with(new))
    }

    pub(super) fn remove(&self, queue: &SharedQueue) {
        lock(&self.queues).retain(|_, other| !Arc::ptr_eq(queue, other));
    }

    /// For the disk, by sink, at any time; nothing of sinks of which there is nothing to know.
    pub fn save(&self) -> BTreeMap<String, SavedSink> {
        let mut saved = BTreeMap::<String, SavedSink>::new();
        for ((sink, _), queue) in &*lock(&self.queues) {
            let of_receiver = lock(queue).save(Instant::now());
            if !of_receiver.is_empty() {
                saved.entry(sink.clone()).or_default().add(of_receiver);
            }
        }
        saved
    }

    /// Goes on from what an earlier run saved `ago`; `active` is what fires. Without anything saved every receiver is
    /// taken to know all of it.
    pub fn restore(&self, saved: Option<&BTreeMap<String, SavedSink>>, ago: Duration, active: &ActiveAlerts) {
        let names = active.alerts.iter().map(|alert| alert.alert.fingerprint);
        let firing: HashSet<Fingerprint> = names.chain(active.unclaimed.iter().copied()).collect();
        let everything = SavedSink { acknowledged: firing.iter().copied().collect(), ended: Vec::new() };
        for ((sink, _), queue) in &*lock(&self.queues) {
            if let Some(saved) = saved.map_or(Some(&everything), |saved| saved.get(sink)) {
                lock(queue).restore(saved, ago, &firing);
            }
        }
    }
}
