//! Alerts: rules, what they say of the values of a moment, and who is to be told.
//!
//! Everything here but [`sinks`] is a machine without I/O: it knows no clock, no file, no task and no metric of its own. In: rules
//! ([`load`]), samples ([`snapshot`]), and what time it is ([`Now`]). Out: transitions and notifications ([`report`]), for
//! others to log, send ([`sinks`]) and save. docs/alerts.md is what users read; what holds stands here.
//!
//! [`rule`] and [`condition`] say what is asked, `plan` what has to be computed for all rules together, [`engine`] evaluates,
//! [`mod@unit`] runs the tests of rules that users write.

pub mod condition;
pub mod engine;
pub mod error;
pub mod evaluator;
pub mod glob;
pub mod keep;
pub mod load;
pub mod report;
pub mod rule;
pub mod service;
pub mod silence;
pub mod sinks;
pub mod snapshot;
pub mod template;
pub mod unit;

mod active;
mod bind;
mod derive;
mod history;
mod judge;
mod notation;
mod plan;
mod ring;
mod section;
mod slots;
mod windows;

use std::time::Duration;

pub use bind::MetricId;
pub use engine::{Engine, Settings};
pub use error::{RuleError, RuleErrors};
pub use keep::Saved;
pub use load::{Loader, Rules};
pub use report::{Alert, Notification, Now, Outcome, State, Transition};
pub use rule::{Action, Rule, Severity};
pub use silence::{Silence, SilenceRequest};
pub use snapshot::Snapshot;

/// The rules that come with the daemon.
pub const DEFAULTS: &str = include_str!("defaults.toml");
/// How messages call their file.
pub const DEFAULTS_FILE: &str = "default rules";

/// Times of the engine in milliseconds, as Prometheus has them.
pub(crate) type Millis = i64;

fn millis(time: Duration) -> Millis {
    Millis::try_from(time.as_millis()).unwrap_or(Millis::MAX)
}

/// Milliseconds for people.
fn span(millis: u32) -> String {
    humantime::format_duration(condition::duration(millis)).to_string()
}

#[cfg(test)]
mod defaults_tests;
#[cfg(test)]
mod docs_tests;
#[cfg(test)]
mod scene;
