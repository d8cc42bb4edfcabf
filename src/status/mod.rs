//! Reading the telemetry, for people and programs: everything as JSON ([`collector`]) or single values ([`values`]),
//! `/metrics` ([`exposition`]).

pub mod collector;
pub mod exposition;
pub mod openmetrics;
pub mod values;
mod words;
pub mod yielding;
