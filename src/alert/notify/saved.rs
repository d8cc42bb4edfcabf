//! What of deliveries survives a restart: which alerts a sink acknowledged, and ends that it did not.
//!
//! That an alert fires is not saved as a message: it is sent again if it fires still, and was not acknowledged.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::alert::model::{Alert, Fingerprint};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SavedSink {
    /// Alerts that it acknowledged to fire, and not to have ended.
    #[serde(rename = "told")]
    pub acknowledged: Vec<Fingerprint>,
    /// Ends that it did not acknowledge yet, in their order.
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

impl SavedSink {
    pub(super) fn is_empty(&self) -> bool {
        self.acknowledged.is_empty() && self.ended.is_empty()
    }

    /// What another one knows as well.
    pub(crate) fn add(&mut self, other: Self) {
        if self.is_empty() {
            *self = other;
            return;
        }
        let is_new = |name: &Fingerprint| !self.acknowledged.contains(name);
        let new: Vec<Fingerprint> = other.acknowledged.into_iter().filter(is_new).collect();
        self.acknowledged.extend(new);
        let is_new = |end: &SavedEnd| self.ended.iter().all(|own| own.alert.fingerprint != end.alert.fingerprint);
        let new: Vec<SavedEnd> = other.ended.into_iter().filter(is_new).collect();
        self.ended.extend(new);
    }
}
