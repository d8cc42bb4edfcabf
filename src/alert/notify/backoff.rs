//! A receiver that fails: how long to wait between attempts, and how often to speak of it.

use std::time::Duration;

use tokio::time::Instant;
use tracing::{debug, info, warn};

use crate::config::DeliveryConfig;

const FIRST_REPORT: Duration = Duration::from_secs(600);
const LAST_REPORT: Duration = Duration::from_secs(6 * 3600);

#[derive(Debug)]
pub(super) struct Pace<'a> {
    sink: &'a str,
    receiver: &'a str,
    first: Duration,
    most: Duration,
    not_before: Instant,
    failing: Option<Failing>,
    /// Why messages are refused, if the last one was.
    refusal: Option<String>,
}

#[derive(Debug)]
struct Failing {
    since: Instant,
    pause: Duration,
    report_at: Instant,
    report_pause: Duration,
}

impl<'a> Pace<'a> {
    pub fn new(sink: &'a str, receiver: &'a str, delivery: &DeliveryConfig) -> Self {
        let (first, most) = (delivery.backoff, delivery.max_backoff);
        Self { sink, receiver, first, most, not_before: Instant::now(), failing: None, refusal: None }
    }

    /// When the next attempt may be.
    pub fn not_before(&self) -> Instant {
        self.not_before
    }

    /// An attempt failed, and is worth another one: later each time, with jitter so that the switches of a network do not all
    /// come at once when their receiver returns.
    pub fn failed(&mut self, reason: &str, waiting: usize) {
        let now = Instant::now();
        let (sink, receiver) = (self.sink, self.receiver);
        let failing = self.failing.get_or_insert_with(|| {
            warn!(sink, receiver, reason, "alerts cannot be delivered, trying again until they can");
            let (report_at, report_pause) = (now + FIRST_REPORT, FIRST_REPORT * 2);
            Failing { since: now, pause: self.first, report_at, report_pause }
        });
        if now >= failing.report_at {
            let seconds = (now - failing.since).as_secs();
            warn!(sink, receiver, reason, seconds, waiting, "alerts still cannot be delivered");
            failing.report_at = now + failing.report_pause;
            failing.report_pause = (failing.report_pause * 2).min(LAST_REPORT);
        } else {
            debug!(sink, receiver, reason, "an attempt to deliver alerts failed");
        }
        self.not_before = now + failing.pause.mul_f64(0.5 + fastrand::f64() / 2.0);
        failing.pause = (failing.pause * 2).min(self.most);
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
        self.not_before = Instant::now() + self.first.mul_f64(0.5 + fastrand::f64() / 2.0);
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
