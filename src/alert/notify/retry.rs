//! A receiver that fails: when the next attempt may be, and how often that is logged.

use std::time::Duration;

use tokio::time::Instant;
use tracing::{debug, info, warn};

use crate::backoff::{Backoff, Pauses};
use crate::config::DeliveryConfig;

/// How often it is logged that it still fails.
const REPORTS: Backoff = Backoff { min: Duration::from_secs(600), max: Duration::from_secs(6 * 3600), jitter: 0.0 };

#[derive(Debug)]
pub(super) struct Retry<'a> {
    sink: &'a str,
    receiver: &'a str,
    backoff: Backoff,
    /// When the next attempt may be.
    pub not_before: Instant,
    failing: Option<Failing>,
    /// Why messages are refused, if the last one was.
    refusal: Option<String>,
}

#[derive(Debug)]
struct Failing {
    since: Instant,
    pauses: Pauses,
    report_at: Instant,
    report_pauses: Pauses,
}

impl<'a> Retry<'a> {
    pub fn new(sink: &'a str, receiver: &'a str, delivery: &DeliveryConfig) -> Self {
        let backoff = Backoff { min: delivery.backoff, max: delivery.max_backoff, jitter: 0.5 };
        Self { sink, receiver, backoff, not_before: Instant::now(), failing: None, refusal: None }
    }

    /// An attempt failed, and is worth another one.
    pub fn failed(&mut self, reason: &str, waiting: usize) {
        let now = Instant::now();
        let (sink, receiver) = (self.sink, self.receiver);
        let failing = self.failing.get_or_insert_with(|| {
            warn!(sink, receiver, reason, "alerts cannot be delivered, trying again until they can");
            let mut report_pauses = REPORTS.pauses();
            let report_at = now + report_pauses.next_pause();
            Failing { since: now, pauses: self.backoff.pauses(), report_at, report_pauses }
        });
        if now >= failing.report_at {
            let seconds = (now - failing.since).as_secs();
            warn!(sink, receiver, reason, seconds, waiting, "alerts still cannot be delivered");
            failing.report_at = now + failing.report_pauses.next_pause();
        } else {
            debug!(sink, receiver, reason, "an attempt to deliver alerts failed");
        }
        self.not_before = now + failing.pauses.next_pause();
    }

    /// The receiver refused a message for good. It is alive; what comes after is another message.
    pub fn refused(&mut self, reason: &str, alerts: usize) {
        let (sink, receiver) = (self.sink, self.receiver);
        if self.refusal.as_deref() == Some(reason) {
            debug!(sink, receiver, reason, alerts, "alerts were refused again");
        } else {
            warn!(sink, receiver, reason, alerts, "alerts were refused and are given up");
            self.refusal = Some(reason.to_owned());
        }
        self.not_before = Instant::now() + self.backoff.pauses().next_pause();
    }

    /// An attempt succeeded. True if the one before did not.
    pub fn succeeded(&mut self) -> bool {
        self.refusal = None;
        let Some(failing) = self.failing.take() else { return false };
        let seconds = failing.since.elapsed().as_secs();
        info!(sink = self.sink, receiver = self.receiver, seconds, "alerts are delivered again");
        self.not_before = Instant::now();
        true
    }
}
