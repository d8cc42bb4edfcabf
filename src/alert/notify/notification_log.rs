//! What of deliveries survives a restart: whom a sink was told of, and ends that it was not.
//!
//! That an alert fires is not saved as a message: it is told again if it fires still, and was not heard.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::receiver::Receiver;
use crate::alert::model::{Alert, Fingerprint};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SavedSink {
    /// Alerts that it heard fire, and not end.
    pub told: Vec<Fingerprint>,
    /// Ends that it was not told yet, in their order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ended: Vec<SavedEnd>,
}

/// An alert that ended, for the disk.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SavedEnd {
    pub alert: Alert,
    /// When it ended, as Unix time in seconds.
    pub ended: f64,
    /// For how long that has waited.
    pub waited: Duration,
}

impl SavedEnd {
    /// JSON has no infinite numbers.
    pub(super) fn new(alert: &Alert, ended: f64, waited: Duration) -> Self {
        let value = if alert.value.is_finite() { alert.value } else { 0.0 };
        Self { alert: Alert { value, ..alert.clone() }, ended, waited }
    }
}

impl SavedSink {
    fn is_empty(&self) -> bool {
        self.told.is_empty() && self.ended.is_empty()
    }

    /// What another one knows as well.
    pub(crate) fn add(&mut self, other: &Self) {
        if self.is_empty() {
            self.clone_from(other);
            return;
        }
        self.told.extend(other.told.iter().copied().filter(|name| !self.told.contains(name)).collect::<Vec<_>>());
        let is_new = |end: &&SavedEnd| self.ended.iter().all(|own| own.alert.fingerprint != end.alert.fingerprint);
        self.ended.extend(other.ended.iter().filter(is_new).cloned().collect::<Vec<_>>());
    }
}

/// Every receiver whose deliveries survive a restart, to be asked by whoever saves, at any time.
#[derive(Debug, Default)]
pub struct Ledger(Mutex<Vec<(String, Arc<Receiver>)>>);

impl Ledger {
    pub(super) fn set(&self, receivers: Vec<(String, Arc<Receiver>)>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = receivers;
    }

    /// For the disk, by sink; nothing of sinks of which there is nothing to know.
    pub fn save(&self) -> BTreeMap<String, SavedSink> {
        let mut saved = BTreeMap::<String, SavedSink>::new();
        for (sink, receiver) in &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            let of_receiver = receiver.save();
            if !of_receiver.is_empty() {
                saved.entry(sink.clone()).or_default().add(&of_receiver);
            }
        }
        saved
    }
}
