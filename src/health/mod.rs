//! Whether the daemon is well: the score, and what a supervisor hears.

pub mod score;
pub mod supervisor;

pub use supervisor::{Supervisor, heartbeat, watchdog_interval};
