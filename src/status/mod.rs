//! Reading the telemetry, for people and programs: everything as JSON or values ([`collector`]), `/metrics` ([`exposition`]).

pub mod collector;
pub mod exposition;
pub mod openmetrics;
pub mod yielding;
