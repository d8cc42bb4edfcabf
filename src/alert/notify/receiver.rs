//! One receiver's task: what waits is gathered, sent, and tried again.
//!
//! Each receiver has a queue and a task of its own, so that none waits for another; putting something in a queue never
//! waits for the task. Invariant: whatever ends this task, a batch is settled, or in flight by the queue, which puts it
//! back.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};
use tracing::warn;

use super::error::DeliveryError;
use super::integration::Integration;
use super::message::{AlertBatch, PER_MESSAGE};
use super::metrics::DeliveryOutcome;
use super::notification_log::NotificationLog;
use super::queue::{Queue, SharedQueue};
use super::retry::Retry;
use crate::api;
use crate::clock::{now_ms, seconds};
use crate::config::SinkConfig;
use crate::locks::lock;
use crate::panics::panic_message;

#[derive(Debug)]
pub(super) struct Receiver {
    host: Arc<str>,
    pub config: Arc<SinkConfig>,
    integration: Integration,
    log: Arc<NotificationLog>,
    pub queue: SharedQueue,
    changed: Notify,
    closing: AtomicBool,
    /// Since when deliveries fail (Unix time), and why the last one did.
    problem: Mutex<Option<(f64, String)>>,
}

/// A receiver and its task, which ends when nobody holds it any longer.
#[derive(Debug)]
pub(super) struct Running {
    pub receiver: Arc<Receiver>,
    pub task: JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Running {
    pub fn start(
        host: &Arc<str>,
        config: &Arc<SinkConfig>,
        integration: Integration,
        log: &Arc<NotificationLog>,
    ) -> Self {
        let (host, config) = (Arc::clone(host), Arc::clone(config));
        let resends = integration.resend_interval().is_some();
        let queue = log.queue(&config.name, integration.identity(), resends);
        let (log, changed, closing, problem) =
            (Arc::clone(log), Notify::new(), AtomicBool::new(false), Mutex::default());
        let receiver = Arc::new(Receiver { host, config, integration, log, queue, changed, closing, problem });
        // Of a task that panicked.
        receiver.put_back_in_flight();
        receiver.queue().set_capacity(receiver.config.delivery.queue);
        if let (Integration::StateDb(_), Some(active)) = (&receiver.integration, &mut receiver.queue().active) {
            // Rows of an earlier run may be there.
            active.resend_at_once();
        }
        let task = Arc::clone(&receiver);
        Self { receiver, task: tokio::spawn(async move { task.run().await }) }
    }

    /// Ends the task at once; what is in flight waits again.
    pub async fn stop(&mut self) {
        self.task.abort();
        if !self.task.is_finished() {
            let _ = (&mut self.task).await;
        }
        self.receiver.put_back_in_flight();
    }
}

impl Receiver {
    pub fn queue(&self) -> MutexGuard<'_, Queue> {
        lock(&self.queue)
    }

    pub fn shown(&self) -> &str {
        self.integration.shown()
    }

    /// How it stands.
    pub fn state(&self) -> api::ReceiverStatus {
        let (failing_since, problem) = lock(&self.problem).clone().unzip();
        let (sink, receiver) = (self.config.name.clone(), self.shown().to_owned());
        api::ReceiverStatus { sink, receiver, waiting: self.queue().len(), failing_since, problem }
    }

    pub fn notify(&self) {
        self.changed.notify_one();
    }

    /// Ends the task once nothing waits any longer, which is sent at once; when that fails it is not tried again.
    pub fn close(&self) {
        self.closing.store(true, Ordering::Relaxed);
        self.notify();
    }

    /// Drops what waits.
    pub fn give_up(&self) {
        let mut queue = self.queue();
        let dropped = queue.len();
        queue.set_capacity(0);
        if dropped > 0 {
            warn!(sink = self.config.name, receiver = self.shown(), dropped, "alerts were never delivered");
        }
    }

    fn put_back_in_flight(&self) {
        let mut queue = self.queue();
        let batch = queue.in_flight();
        queue.put_back(&batch, Instant::now(), self.config.delivery.retry_for);
    }

    async fn run(&self) {
        let mut attempts = FuturesUnordered::new();
        let mut retry = Retry::new(&self.config.name, self.shown(), &self.config.delivery);
        let mut failed_at_the_end = false;
        loop {
            let closing = self.closing.load(Ordering::Relaxed);
            if closing && attempts.is_empty() && (failed_at_the_end || self.queue().len() == 0) {
                return;
            }
            let gather = if closing { Duration::ZERO } else { self.config.delivery.group_interval };
            let has_place = attempts.len() < self.integration.max_in_flight() && !failed_at_the_end;
            let batch_due = if has_place { self.queue().due(gather) } else { None };
            let interval = self.integration.resend_interval().filter(|_| attempts.is_empty() && !closing);
            let resend_due = interval.and_then(|interval| self.queue().active.as_ref()?.due(interval));
            let not_before = if closing { Instant::now() } else { retry.not_before };
            let due = batch_due.into_iter().chain(resend_due).min().map(|due| due.max(not_before));
            tokio::select! {
                Some((batch, outcome)) = attempts.next(), if !attempts.is_empty() => {
                    let again = self.settle(&batch, outcome, &mut retry);
                    failed_at_the_end |= again && self.closing.load(Ordering::Relaxed);
                    self.log.write_ahead().await;
                }
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    // Whichever is due for longer, so that neither starves.
                    let resend = batch_due.is_none_or(|batch| resend_due.is_some_and(|resend| resend < batch));
                    let alerts = match &mut *self.queue() {
                        Queue { active: Some(active), .. } if resend => active.all(Instant::now()),
                        queue => queue.take(PER_MESSAGE),
                    };
                    // What was due may have been dropped meanwhile.
                    if resend || !alerts.is_empty() {
                        let (host, sink, now) = (&*self.host, &*self.config.name, seconds(now_ms()));
                        attempts.push(self.attempt(AlertBatch { host, sink, now, resend, alerts }));
                    }
                }
                () = self.changed.notified() => {}
            }
        }
    }

    async fn attempt<'a>(&self, batch: AlertBatch<'a>) -> (AlertBatch<'a>, Result<(), DeliveryError>) {
        let (delivery, limit) = (self.integration.send(&batch), self.config.delivery.timeout);
        // That it was told is on the disk before it can be.
        self.log.write_ahead().await;
        // A name cannot be looked up without a thread, which the system may not have just now: tokio panics then.
        let outcome = match AssertUnwindSafe(timeout(limit, delivery)).catch_unwind().await {
            Ok(outcome) => outcome.unwrap_or(Err(DeliveryError::Late(limit))),
            Err(panic) => Err(DeliveryError::Panic(panic_message(&*panic).to_owned())),
        };
        (batch, outcome)
    }

    /// True if it is to be tried again. What is sent once more is not counted.
    fn settle(&self, batch: &AlertBatch<'_>, outcome: Result<(), DeliveryError>, retry: &mut Retry<'_>) -> bool {
        let mut queue = self.queue();
        let (resend, alerts) = (batch.resend, if batch.resend { &[] } else { &*batch.alerts });
        let again = outcome.as_ref().is_err_and(DeliveryError::is_transient);
        if resend
            && !again
            && let Some(active) = &mut queue.active
        {
            active.resent(Instant::now());
        }
        let problem = outcome.err().map(|error| error.to_string());
        match &problem {
            None => {
                queue.settle(alerts, DeliveryOutcome::Sent);
                // It may have been started anew, and know of nothing.
                if retry.succeeded()
                    && !resend
                    && let Some(active) = &mut queue.active
                {
                    active.resend_at_once();
                }
            }
            Some(reason) if again => {
                queue.put_back(alerts, Instant::now(), self.config.delivery.retry_for);
                retry.failed(reason, queue.len());
            }
            Some(reason) => {
                queue.settle(alerts, DeliveryOutcome::Failed);
                retry.refused(reason, alerts.len());
            }
        }
        let mut known = lock(&self.problem);
        let since = known.take().map_or_else(|| seconds(now_ms()), |(since, _)| since);
        *known = problem.map(|problem| (since, problem));
        drop(known);
        again
    }
}
