//! A time without a server of Redis: how long to wait between attempts, and how often to speak of it.

use std::time::{Duration, Instant};

use tracing::{debug, warn};

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LAST_PAUSE: Duration = Duration::from_secs(2);
const FIRST_REPORT: Duration = Duration::from_secs(10);
const LAST_REPORT: Duration = Duration::from_secs(600);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Outage {
    current: Option<Current>,
}

#[derive(Debug)]
struct Current {
    since: Instant,
    pause: Duration,
    report_at: Instant,
    report_pause: Duration,
}

impl Outage {
    /// An attempt failed, or the connection ended. Says how long to wait: longer each time, with jitter so that the
    /// daemons of a switch do not all come at once.
    pub fn attempt_failed(&mut self, server: &str, problem: &str) -> Duration {
        let now = Instant::now();
        let current = self.current.get_or_insert_with(|| {
            warn!(server, problem, "Redis is not reachable, trying again until it is; nothing is forgotten meanwhile");
            Current { since: now, pause: FIRST_PAUSE, report_at: now + FIRST_REPORT, report_pause: FIRST_REPORT * 2 }
        });
        if now >= current.report_at {
            warn!(server, problem, seconds = (now - current.since).as_secs(), "Redis is still not reachable");
            current.report_at = now + current.report_pause;
            current.report_pause = (current.report_pause * 2).min(LAST_REPORT);
        } else {
            debug!(server, problem, "attempt to reach Redis failed");
        }
        let pause = current.pause;
        current.pause = (pause * 2).min(LAST_PAUSE);
        pause.mul_f64(0.5 + fastrand::f64() / 2.0)
    }

    /// It does what it is asked. True if it did not before. Only that ends the growing of pauses: one that takes connections and
    /// dies at each request is away.
    pub fn over(&mut self) -> bool {
        self.current.take().is_some()
    }
}
