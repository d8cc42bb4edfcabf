//! Alerts: rules, what they say of the values of a moment, and who is to be told.
//!
//! [`rules`] reads rules, [`engine`] evaluates them, [`notify`] delivers what they find; [`model`] is what these three speak
//! of. [`evaluator`] evaluates the rules and answers people in the shapes of [`api`], [`service`] runs all of it beside the core, and
//! [`unit_test`] runs the tests of rules that users write. docs/alerts.md is what users read; what holds stands here.
//!
//! `rules` and `engine` do no input or output and read no clock: texts, samples and the time ([`Now`]) go in, transitions and
//! notifications come out.

pub mod api;
pub mod engine;
pub mod evaluator;
pub mod model;
pub mod notify;
pub mod rules;
pub mod service;
pub mod unit_test;

use std::time::Duration;

pub use engine::{Engine, Settings};
pub use model::{Alert, AlertState, Evaluation, Notification, Now, Transition};

/// Times of the engine in milliseconds, as Prometheus has them.
pub(crate) type Millis = i64;

fn millis(time: Duration) -> Millis {
    Millis::try_from(time.as_millis()).unwrap_or(Millis::MAX)
}

/// Milliseconds for people.
fn span(millis: u32) -> String {
    humantime::format_duration(Duration::from_millis(millis.into())).to_string()
}
