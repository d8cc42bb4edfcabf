//! Reaching a server of Redis again: how long to wait between attempts, and how often to speak of it.

use std::time::{Duration, Instant};

use tracing::{debug, warn};

use crate::backoff::{Backoff, Pauses};
use crate::db::{ServerError, StoreError};

/// Between attempts; with jitter, so that the daemons of a switch do not all come at once.
const ATTEMPTS: Backoff = Backoff { min: Duration::from_millis(50), max: Duration::from_secs(2), jitter: 0.5 };
const REPORTS: Backoff = Backoff { min: Duration::from_secs(10), max: Duration::from_secs(600), jitter: 0.0 };

/// `None` while the server does what it is asked.
#[derive(Debug, Default)]
pub(super) struct Reconnect(Option<Attempts>);

#[derive(Debug)]
struct Attempts {
    since: Instant,
    pauses: Pauses,
    report_at: Instant,
    reports: Pauses,
}

impl Reconnect {
    /// An attempt failed, or the connection ended. Says how long to wait: longer each time.
    pub fn attempt_failed(&mut self, server: &str, error: &StoreError) -> Duration {
        let problem = error.to_string();
        let refused = matches!(error.reason, ServerError::Answer(_));
        let now = Instant::now();
        let attempts = self.0.get_or_insert_with(|| {
            if refused {
                warn!(server, problem, "Redis refuses what rows need, trying again; nothing is forgotten meanwhile");
            } else {
                warn!(
                    server,
                    problem, "Redis is not reachable, trying again until it is; nothing is forgotten meanwhile"
                );
            }
            let mut reports = REPORTS.pauses();
            Attempts { since: now, pauses: ATTEMPTS.pauses(), report_at: now + reports.next_pause(), reports }
        });
        if now >= attempts.report_at {
            warn!(server, problem, seconds = (now - attempts.since).as_secs(), "Redis is still not to be used");
            attempts.report_at = now + attempts.reports.next_pause();
        } else {
            debug!(server, problem, "attempt to reach Redis failed");
        }
        attempts.pauses.next_pause()
    }

    /// It does what it is asked. True if it did not before. Only that ends the growing of pauses: one that takes connections and
    /// dies at each request is away.
    pub fn succeeded(&mut self) -> bool {
        self.0.take().is_some()
    }
}
