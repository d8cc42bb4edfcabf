//! The shapes in which alerts, silences and rules are answered.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::engine::Silence;
use super::model::{Alert, Transition};

/// `/api/v1/alerts`
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct AlertList {
    /// What is pending, fires or is suppressed, in the order of the rules.
    pub alerts: Vec<AlertView>,
}

/// An alert with the text that people read first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AlertView {
    /// The annotation of this name.
    pub summary: String,
    #[serde(flatten)]
    pub alert: Alert,
}

/// `/api/v1/alerts/history`
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct History {
    /// The last transitions, oldest first.
    pub transitions: Vec<Transition>,
}

/// `/api/v1/silences`
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct SilenceList {
    /// Those that are in force or begin later.
    pub silences: Vec<Silence>,
}

/// `/api/v1/rules`
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct RuleList {
    /// When they were last evaluated, as Unix time.
    pub last_evaluation: Option<f64>,
    /// How long that took in seconds.
    pub evaluation_seconds: f64,
    /// Why the rules in force are not the ones that stand in the files and CONFIG_DB now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// Every rule, those that are off included.
    pub rules: Vec<RuleView>,
}

/// A rule and how it stands.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RuleView {
    pub name: String,
    /// The file that it stands in, or its key in CONFIG_DB.
    pub origin: String,
    pub metric: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ports: Option<String>,
    pub condition: String,
    /// For how long, in seconds.
    pub r#for: f64,
    /// How long it goes on firing, in seconds.
    pub keep_firing_for: f64,
    pub severity: String,
    /// Whether it is looked at.
    pub enabled: bool,
    pub actions: Vec<String>,
    /// How many alerts of it stand how.
    pub alerts: BTreeMap<String, usize>,
}
