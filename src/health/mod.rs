//! Whether the daemon is well: its components' readiness, the score, and what a supervisor hears.

pub mod latch;
pub mod score;
pub mod supervisor;

pub use latch::{Component, Latches};
pub use supervisor::{StatusLine, Supervisor, heartbeat, watchdog_interval};
