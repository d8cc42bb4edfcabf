//! Rules as people write them: read, checked, and bound to the catalogue of metrics.

pub mod condition;
pub mod error;
pub mod load;
pub mod metric_ref;
pub mod rule;
pub mod template;

mod samples;
mod table;

pub use error::{RuleError, RuleErrors};
pub use load::{Loader, Rules};
pub use metric_ref::MetricRef;
pub use rule::Rule;

pub use crate::config::{Action, Severity};

/// The rules that come with the daemon.
pub const DEFAULTS: &str = include_str!("defaults.toml");
/// How messages call their file.
pub const DEFAULTS_FILE: &str = "default rules";

#[cfg(test)]
mod tests;
