//! What rules and sinks have in common: how bad an alert is, and who is told of it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Good to know.
    Info,
    /// Somebody should look.
    Warning,
    /// Somebody has to act.
    Critical,
}

impl Severity {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// Who is told.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// The log.
    Log,
    /// The service's status, as systemd and supervisors show it.
    Notify,
    /// A sink of the configuration.
    Sink(Arc<str>),
}

impl Action {
    /// Its name in a rule.
    pub fn name(&self) -> &str {
        match self {
            Self::Log => "log",
            Self::Notify => "notify",
            Self::Sink(name) => name,
        }
    }
}
