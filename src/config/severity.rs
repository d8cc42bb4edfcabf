//! What rules and sinks have in common: how bad an alert is, and who is told of it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    Info,
    Warning,
    Critical,
}

impl Severity {
    pub fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    Log,
    /// The service's status, as systemd and supervisors show it.
    Notify,
    /// A sink of the configuration.
    Sink(Arc<str>),
}

impl Action {
    pub fn name(&self) -> &str {
        match self {
            Self::Log => "log",
            Self::Notify => "notify",
            Self::Sink(name) => name,
        }
    }
}

impl From<&str> for Action {
    fn from(name: &str) -> Self {
        match name {
            "log" => Self::Log,
            "notify" => Self::Notify,
            sink => Self::Sink(sink.into()),
        }
    }
}
