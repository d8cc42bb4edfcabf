//! One receiver's task: what waits is gathered, sent, and tried again.
//!
//! Each receiver has a line and a task of its own, so that none waits for another; putting something in a line never waits
//! for the task. Invariant: whatever ends this task, a batch is settled, counted, or back in the line.

use std::collections::{HashMap, HashSet};
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout};

use super::backoff::Pace;
use super::error::DeliveryError;
use super::integration::Destination;
use super::notification_log::SavedSink;
use super::outcome::{Counts, Fate};
use super::queue::{Line, Lost, Waiting};
use crate::alert::model::{Fingerprint, Notification};
use crate::config::DeliveryConfig;
use crate::panics::panic_message;

/// Alerts in one message. Receivers have limits too; what is more goes in further messages at once.
pub(super) const PER_MESSAGE: usize = 1000;

/// What goes in one message.
#[derive(Debug)]
pub(super) struct Batch<'a> {
    pub host: &'a str,
    pub sink: &'a str,
    /// Unix time in seconds.
    pub now: f64,
    alerts: &'a [Waiting],
}

impl<'a> Batch<'a> {
    pub fn notifications(&self) -> impl Iterator<Item = &'a Notification> + use<'a> {
        self.alerts.iter().map(|waiting| &*waiting.notification)
    }
}

#[derive(Debug)]
pub(super) struct Receiver {
    host: Arc<str>,
    sink: Arc<str>,
    delivery: DeliveryConfig,
    destination: Destination,
    line: Mutex<Line>,
    bell: Notify,
    counts: Arc<Counts>,
    stopped: AtomicBool,
    closing: AtomicBool,
    problem: Mutex<Option<String>>,
}

/// What an attempt was about.
enum Job {
    Batch(u64),
    Upkeep,
}

impl Receiver {
    pub fn new(
        (host, sink): (Arc<str>, Arc<str>),
        delivery: DeliveryConfig,
        destination: Destination,
        counts: Arc<Counts>,
        line: Option<Line>,
    ) -> Self {
        let mut line = line.unwrap_or_else(|| Line::new(delivery.queue));
        line.note_heard(!destination.is_told_the_whole());
        count_lost(&counts, line.bound(delivery.queue));
        Self {
            host,
            sink,
            delivery,
            destination,
            line: Mutex::new(line),
            bell: Notify::new(),
            counts,
            stopped: AtomicBool::new(false),
            closing: AtomicBool::new(false),
            problem: Mutex::new(None),
        }
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn shown(&self) -> &str {
        self.destination.shown()
    }

    /// What tells it from the sink's other receivers.
    pub fn identity(&self) -> &str {
        self.destination.identity()
    }

    /// Why deliveries fail, while they do.
    pub fn problem(&self) -> Option<String> {
        self.problem.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many notifications wait, those under way left out.
    pub fn waiting(&self) -> usize {
        self.line().len()
    }

    /// Lets a notification wait.
    pub fn push(&self, notification: Arc<Notification>, now: Instant) {
        count_lost(&self.counts, self.line().push(notification, now));
    }

    /// See [`Line::catch_up`]. True if something waits now that did not.
    pub fn catch_up<'a>(
        &self,
        firing: impl Iterator<Item = &'a Arc<Notification>>,
        told: &HashSet<Fingerprint>,
        now: Instant,
    ) -> bool {
        let (added, lost) = self.line().catch_up(firing, told, now);
        count_lost(&self.counts, lost);
        added > 0
    }

    pub fn save(&self) -> SavedSink {
        self.line().save(Instant::now())
    }

    /// It heard these fire, in an earlier run.
    pub fn has_heard(&self, names: impl IntoIterator<Item = Fingerprint>) {
        self.line().has_heard(names);
    }

    pub fn ring(&self) {
        self.bell.notify_one();
    }

    /// Ends the task once nothing waits any longer, which is sent at once; when that fails it is not tried again.
    pub fn close(&self) {
        self.closing.store(true, Ordering::Relaxed);
        self.ring();
    }

    /// Ends the task; what is under way goes back into the line.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
        self.ring();
    }

    /// What waits, taken out for another receiver.
    pub fn take_line(&self) -> Line {
        std::mem::replace(&mut *self.line(), Line::new(0))
    }

    pub fn give_up(&self) -> usize {
        let count = self.take_line().len();
        self.counts.add(Fate::Dropped, count);
        count
    }

    /// Delivers until it is told to end.
    pub async fn run(&self) {
        let mut attempts = FuturesUnordered::new();
        let mut batches: HashMap<u64, Arc<[Waiting]>> = HashMap::new();
        let mut number = 0_u64;
        let mut pace = Pace::new(&self.sink, self.shown(), &self.delivery);
        let mut failed_at_the_end = false;
        loop {
            let closing = self.closing.load(Ordering::Relaxed);
            let done = closing && attempts.is_empty() && (failed_at_the_end || self.waiting() == 0);
            if done || self.stopped.load(Ordering::Relaxed) {
                break;
            }
            let gather = if closing { Duration::ZERO } else { self.delivery.group_interval };
            let has_place = attempts.len() < self.destination.at_once() && !failed_at_the_end;
            let batch_due = if has_place { self.line().due(gather) } else { None };
            let upkeep_due = if attempts.is_empty() && !closing { self.destination.upkeep_due() } else { None };
            let not_before = if closing { Instant::now() } else { pace.not_before() };
            let due = batch_due.into_iter().chain(upkeep_due).min().map(|due| due.max(not_before));
            tokio::select! {
                Some((job, outcome)) = attempts.next(), if !attempts.is_empty() => {
                    let batch = match job {
                        Job::Batch(number) => batches.remove(&number),
                        Job::Upkeep => None,
                    };
                    let again = self.settle(batch.as_deref().unwrap_or_default(), outcome, &mut pace);
                    failed_at_the_end |= again && self.closing.load(Ordering::Relaxed);
                }
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    // Whichever is due for longer, so that neither starves.
                    let batch = if batch_due.is_some_and(|due| upkeep_due.is_none_or(|upkeep| due <= upkeep)) {
                        self.line().take(PER_MESSAGE)
                    } else {
                        Vec::new()
                    };
                    let batch: Arc<[Waiting]> = batch.into();
                    let job = if batch.is_empty() { Job::Upkeep } else { Job::Batch(number) };
                    if !batch.is_empty() {
                        batches.insert(number, Arc::clone(&batch));
                        number += 1;
                    }
                    attempts.push(async move { (job, self.attempt(&batch).await) });
                }
                () = self.bell.notified() => {}
            }
        }
        for batch in batches.into_values() {
            self.put_back(&batch);
        }
    }

    /// One attempt at a batch; without one, at what the destination has to do by itself.
    async fn attempt(&self, alerts: &[Waiting]) -> Result<(), DeliveryError> {
        let batch = Batch { host: &self.host, sink: &self.sink, now: unix_time(), alerts };
        let delivery = async {
            if alerts.is_empty() { self.destination.upkeep(&batch).await } else { self.destination.send(&batch).await }
        };
        let limit = self.delivery.timeout;
        // A name cannot be looked up without a thread, which the system may not have just now: tokio panics then.
        match AssertUnwindSafe(timeout(limit, delivery)).catch_unwind().await {
            Ok(outcome) => outcome.unwrap_or(Err(DeliveryError::Late(limit))),
            Err(panic) => Err(DeliveryError::Panic(panic_message(&*panic).to_owned())),
        }
    }

    /// True if it is to be tried again.
    fn settle(&self, batch: &[Waiting], outcome: Result<(), DeliveryError>, pace: &mut Pace<'_>) -> bool {
        let Err(error) = outcome else {
            self.line().settle(batch);
            self.counts.add(Fate::Sent, batch.len());
            if pace.succeeded() {
                self.destination.returned();
            }
            *self.problem.lock().unwrap_or_else(PoisonError::into_inner) = None;
            return false;
        };
        let (reason, again) = (error.to_string(), error.is_transient());
        if again {
            self.put_back(batch);
            pace.failed(&reason, self.waiting());
        } else {
            self.line().settle(batch);
            self.counts.add(Fate::Failed, batch.len());
            pace.refused(&reason, batch.len());
        }
        *self.problem.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason);
        again
    }

    fn put_back(&self, batch: &[Waiting]) {
        let (back, lost) = self.line().put_back(batch.to_vec(), Instant::now(), self.delivery.retry_for);
        self.counts.add(Fate::Retried, back);
        count_lost(&self.counts, lost);
    }
}

fn count_lost(counts: &Counts, lost: Lost) {
    counts.add(Fate::Replaced, lost.replaced);
    counts.add(Fate::Dropped, lost.dropped);
}

fn unix_time() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}
