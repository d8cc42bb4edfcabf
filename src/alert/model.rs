//! What the engine says: transitions, notifications, alerts as they stand.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::engine::silence::Silence;
use crate::config::{Action, Severity};
use crate::link::LinkName;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AlertState {
    Inactive,
    /// The condition holds, but not for long enough.
    Pending,
    Firing,
    /// It fires, and a silence or another alert keeps it from being told.
    Suppressed,
    /// It fired, and does no longer. Only transitions lead here: from then on it is inactive.
    Resolved,
}

impl AlertState {
    pub fn name(self) -> &'static str {
        match self {
            Self::Inactive => "inactive",
            Self::Pending => "pending",
            Self::Firing => "firing",
            Self::Suppressed => "suppressed",
            Self::Resolved => "resolved",
        }
    }
}

impl fmt::Display for AlertState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why there is no notification of an alert that fires.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Suppression {
    /// The silence of this number.
    Silence(u32),
    /// An alert of this rule inhibits it.
    Rule(#[serde(with = "shared")] Arc<str>),
}

/// What names an alert over restarts: a hash of rule and port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint(pub u64);

impl Fingerprint {
    /// FNV-1a, which stays what it is over versions.
    pub fn new(rule: &str, port: Option<&LinkName>) -> Self {
        let bytes = rule.bytes().chain([0xff]).chain(port.into_iter().flat_map(|port| port.as_bytes().iter().copied()));
        Self(bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl Serialize for Fingerprint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Fingerprint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        u64::from_str_radix(&text, 16).map(Self).map_err(serde::de::Error::custom)
    }
}

/// What time it is: of the clock that only goes on, which everything is timed by, and Unix time in seconds, which people read
/// and silences end by.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Now {
    /// Since any moment, always the same one.
    pub monotonic: Duration,
    /// Unix time in seconds.
    pub wall: f64,
}

/// An alert went from one state to another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Transition {
    #[serde(with = "shared")]
    pub rule: Arc<str>,
    #[serde(default, with = "port", skip_serializing_if = "Option::is_none")]
    pub port: Option<LinkName>,
    pub severity: Severity,
    pub from: AlertState,
    pub to: AlertState,
    /// The condition's value then, or the last one if there was none.
    pub value: f64,
    /// When, by the clock that only goes on, of the run that it happened in.
    pub at: Duration,
    /// When, as Unix time in seconds.
    pub time: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suppressed: Option<Suppression>,
}

/// Somebody is to be told.
#[derive(Clone, Debug, PartialEq)]
pub struct Notification {
    /// The alert, also one that ends by the same name.
    pub alert: Alert,
    /// When it ended, as Unix time in seconds; `None`: it fires.
    pub ended: Option<f64>,
    pub actions: Arc<[Action]>,
}

/// An alert as it stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    pub fingerprint: Fingerprint,
    #[serde(with = "shared")]
    pub rule: Arc<str>,
    #[serde(default, with = "port", skip_serializing_if = "Option::is_none")]
    pub port: Option<LinkName>,
    pub state: AlertState,
    pub severity: Severity,
    /// Labels besides rule, port and severity.
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
    /// The condition's value, or the last one if there is none.
    pub value: f64,
    /// Since when the condition holds, as Unix time in seconds.
    pub since: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suppressed: Option<Suppression>,
    /// Whether somebody was told that it fires.
    pub notified: bool,
}

/// The annotations that say how an alert stands while it fires.
pub const PRESENT: [&str; 2] = ["summary", "description"];

impl Notification {
    /// That it ended then.
    #[must_use]
    pub fn end(&self, at: f64) -> Self {
        let mut end = Self { ended: Some(at), ..self.clone() };
        end.alert.annotations.retain(|name, _| !PRESENT.contains(&name.as_str()));
        end
    }
}

/// What came of an evaluation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Evaluation {
    /// What changed, in the order of the rules and then of the ports' indexes.
    pub transitions: Vec<Transition>,
    pub notifications: Vec<Notification>,
    /// Silences that are over.
    pub ended: Vec<Silence>,
}

impl Evaluation {
    /// Whether anything happened.
    pub fn is_empty(&self) -> bool {
        self.transitions.is_empty() && self.notifications.is_empty() && self.ended.is_empty()
    }
}

/// How many alerts of a rule stand how: for the metric of alerts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertCount {
    pub rule: Arc<str>,
    pub severity: Severity,
    /// Pending, firing or suppressed.
    pub state: AlertState,
    pub alerts: usize,
}

mod shared {
    use std::sync::Arc;

    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(text: &Arc<str>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(text)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<str>, D::Error> {
        String::deserialize(deserializer).map(Arc::from)
    }
}

/// Ports as text; one that is no name of a link is none.
pub(super) mod port {
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::link::LinkName;

    #[expect(clippy::ref_option, reason = "serde calls it so")]
    pub fn serialize<S: Serializer>(port: &Option<LinkName>, serializer: S) -> Result<S::Ok, S::Error> {
        match port {
            Some(port) => serializer.collect_str(port),
            None => serializer.serialize_none(),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<LinkName>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        Ok(text.and_then(|text| LinkName::new(text.as_bytes())))
    }
}
