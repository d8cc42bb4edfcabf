//! A time without a server of Redis: how long to wait between attempts, and how often to speak of it.

use std::time::{Duration, Instant};

use tracing::{debug, warn};

use crate::backoff::{Backoff, Pauses};

/// Between attempts; with jitter, so that the daemons of a switch do not all come at once.
const ATTEMPTS: Backoff = Backoff { min: Duration::from_millis(50), max: Duration::from_secs(2), jitter: 0.5 };
const REPORTS: Backoff = Backoff { min: Duration::from_secs(10), max: Duration::from_secs(600), jitter: 0.0 };

#[derive(Debug, Default)]
pub(super) struct Outage {
    current: Option<Current>,
}

#[derive(Debug)]
struct Current {
    since: Instant,
    attempts: Pauses,
    report_at: Instant,
    reports: Pauses,
}

impl Outage {
    /// An attempt failed, or the connection ended. Says how long to wait: longer each time.
    pub fn attempt_failed(&mut self, server: &str, problem: &str) -> Duration {
        let now = Instant::now();
        let current = self.current.get_or_insert_with(|| {
            warn!(server, problem, "Redis is not reachable, trying again until it is; nothing is forgotten meanwhile");
            let mut reports = REPORTS.pauses();
            Current { since: now, attempts: ATTEMPTS.pauses(), report_at: now + reports.next_pause(), reports }
        });
        if now >= current.report_at {
            warn!(server, problem, seconds = (now - current.since).as_secs(), "Redis is still not reachable");
            current.report_at = now + current.reports.next_pause();
        } else {
            debug!(server, problem, "attempt to reach Redis failed");
        }
        current.attempts.next_pause()
    }

    /// It does what it is asked. True if it did not before. Only that ends the growing of pauses: one that takes connections and
    /// dies at each request is away.
    pub fn over(&mut self) -> bool {
        self.current.take().is_some()
    }
}
