//! What is going on, for whoever asks: counted by the core, read beside it.
//!
//! The core writes to atomics and never waits for a reader, allocates nothing for an event, and knows nothing of who reads.
//! Readers (HTTP, the control socket, the state file, alerting) run on a thread of their own.

pub mod catalog;
pub mod flaps;
pub mod labels;
pub mod observe;
pub mod ports;
pub mod readiness;
pub mod ready_notice;
pub mod rows;
pub mod slow_rows;
pub mod starts;
pub mod status_line;
pub mod value;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use crate::link::LinkName;
use catalog::Metrics;
use ports::Ports;
use rows::RowTrouble;
use slow_rows::SlowRows;
use starts::StartHistory;

pub use readiness::{Component, ComponentReadiness};
pub use status_line::StatusLine;

/// See the module. One for each daemon.
#[derive(Debug)]
pub struct Telemetry {
    pub metrics: Metrics,
    pub ports: Ports,
    /// The components, ready or not.
    pub readiness: ComponentReadiness,
    /// What keeps rows from being right.
    pub rows: RowTrouble,
    /// Which rows were late last.
    pub slow_rows: SlowRows,
    /// This start and those before it.
    pub starts: StartHistory,
    /// What the supervisor shows.
    pub status_line: Arc<StatusLine>,
    /// When things happened that health looks back at.
    pub moments: Moments,
    /// What stands between the parts of STATE_DB's keys, once that is known.
    pub separator: OnceLock<String>,
    began: Instant,
    began_ms: u64,
    /// Since when the core has been at work without waiting, in milliseconds since the start and one more; 0 while it waits.
    busy: AtomicU64,
}

/// When things last happened, in milliseconds since the start and one more; 0: never.
#[derive(Debug, Default)]
pub struct Moments {
    /// The kernel dropped link messages.
    pub overrun: AtomicU64,
    /// An audit found rows that differed.
    pub drift: AtomicU64,
    /// Everything was compared, as milliseconds of Unix time.
    pub resync_ms: AtomicU64,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self {
            metrics: Metrics::default(),
            ports: Ports::default(),
            readiness: ComponentReadiness::default(),
            rows: RowTrouble::default(),
            slow_rows: SlowRows::default(),
            starts: StartHistory::default(),
            status_line: Arc::default(),
            moments: Moments::default(),
            separator: OnceLock::new(),
            began: Instant::now(),
            began_ms: crate::clock::now_ms(),
            busy: AtomicU64::new(1),
        }
    }
}

impl Telemetry {
    /// The key of a port's row in STATE_DB.
    pub fn state_key(&self, name: &LinkName) -> String {
        format!("PORT_TABLE{}{name}", self.separator.get().map_or("|", String::as_str))
    }

    /// How long the daemon runs.
    pub fn uptime(&self) -> Duration {
        self.began.elapsed()
    }

    /// When the daemon started, as Unix time.
    pub fn started(&self) -> f64 {
        crate::clock::seconds(self.began_ms)
    }

    fn moment(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.began).as_millis()).unwrap_or(u64::MAX).saturating_add(1)
    }

    pub fn mark(&self, moment: &AtomicU64) {
        moment.store(self.moment(Instant::now()), Ordering::Relaxed);
    }

    /// How long ago it happened, if it did.
    pub fn since(&self, moment: &AtomicU64) -> Option<Duration> {
        let at = moment.load(Ordering::Relaxed);
        (at > 0).then(|| Duration::from_millis(self.moment(Instant::now()).saturating_sub(at)))
    }

    /// The core begins to work on something. Until it first waits it works on its start.
    pub fn core_works(&self) {
        self.core_works_since(Instant::now());
    }

    /// It began to at this time.
    pub fn core_works_since(&self, at: Instant) {
        self.busy.store(self.moment(at), Ordering::Relaxed);
    }

    /// The core waits for something to happen.
    pub fn core_waits(&self) {
        self.busy.store(0, Ordering::Relaxed);
    }

    /// How long the core has been at work without waiting; zero while it waits.
    pub fn core_busy(&self) -> Duration {
        self.since(&self.busy).unwrap_or_default()
    }
}

#[cfg(test)]
impl Telemetry {
    /// A daemon that started so long ago.
    pub fn began_ago(ago: Duration) -> Self {
        Self { began: Instant::now().checked_sub(ago).unwrap_or_else(Instant::now), ..Self::default() }
    }

    /// Whether its core does not wait.
    pub fn core_is_at_work(&self) -> bool {
        self.busy.load(Ordering::Relaxed) > 0
    }
}
