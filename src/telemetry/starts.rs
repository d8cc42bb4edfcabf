//! This start, and how long those before it took.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::api::Durations;
use crate::locks::lock;
use crate::sync::start::StartKind;

/// Starts whose durations are kept.
const KEPT: usize = 100;

/// Written a few times in a daemon's life.
#[derive(Debug, Default)]
pub struct StartHistory {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    kind: Option<StartKind>,
    began: Instant,
    /// Since when `PortInitDone` is due; `None`: it was said.
    due: Option<Instant>,
    took: Option<Duration>,
    timed_out: bool,
    /// Awaited ports of names that no port's link has: they have no cell.
    odd: BTreeSet<Vec<u8>>,
    /// Whether it is known which ports are awaited.
    knows_awaited: bool,
    /// Seconds, oldest first, over restarts.
    durations: Vec<f64>,
}

impl Default for Inner {
    fn default() -> Self {
        let now = Instant::now();
        Self {
            kind: None,
            began: now,
            due: Some(now),
            took: None,
            timed_out: false,
            odd: BTreeSet::new(),
            knows_awaited: false,
            durations: Vec::new(),
        }
    }
}

/// This start at one moment.
#[derive(Clone, Debug, Default)]
pub struct Current {
    /// Its kind, once it is known.
    pub kind: Option<StartKind>,
    /// How long it took or takes.
    pub seconds: f64,
    /// How long `PortInitDone` has been due; 0 once it was said. It is due again when Redis has lost it.
    pub due_seconds: f64,
    /// Whether `PortInitDone` was said, and Redis has not lost it.
    pub done: bool,
    /// Whether it takes or took too long.
    pub timed_out: bool,
}

impl StartHistory {
    /// This start, which began with the daemon, turned out to be of this kind.
    pub fn is_of(&self, kind: StartKind) {
        lock(&self.inner).kind = Some(kind);
    }

    /// Redis has lost `PortInitDone`, or what comes before it.
    pub fn due_again(&self) {
        lock(&self.inner).due.get_or_insert_with(Instant::now);
    }

    /// `PortInitDone` was said. False if it was before: said again to a Redis that lost it.
    pub fn done(&self) -> bool {
        let mut inner = lock(&self.inner);
        inner.due = None;
        if inner.took.is_some() {
            return false;
        }
        let took = inner.began.elapsed();
        inner.took = Some(took);
        inner.durations.push(took.as_secs_f64());
        let surplus = inner.durations.len().saturating_sub(KEPT);
        inner.durations.drain(..surplus);
        true
    }

    /// It takes longer than it may. True if that is news.
    pub fn timed_out(&self) -> bool {
        let mut inner = lock(&self.inner);
        inner.took.is_none() && !std::mem::replace(&mut inner.timed_out, true)
    }

    /// These are awaited besides the ports that have cells.
    pub(super) fn awaits_odd(&self, names: BTreeSet<Vec<u8>>) {
        let mut inner = lock(&self.inner);
        (inner.odd, inner.knows_awaited) = (names, true);
    }

    /// Whether it is known which ports are awaited.
    pub fn knows_awaited(&self) -> bool {
        lock(&self.inner).knows_awaited
    }

    /// The row of one of these is there.
    pub(super) fn odd_arrived(&self, name: &[u8]) {
        lock(&self.inner).odd.remove(name);
    }

    /// Those of these that are awaited still, for people.
    pub(crate) fn odd(&self) -> Vec<String> {
        lock(&self.inner).odd.iter().map(|name| name.escape_ascii().to_string()).collect()
    }

    pub fn current(&self) -> Current {
        let inner = lock(&self.inner);
        Current {
            kind: inner.kind,
            seconds: inner.took.unwrap_or_else(|| inner.began.elapsed()).as_secs_f64(),
            due_seconds: inner.due.map_or(0.0, |since| since.elapsed().as_secs_f64()),
            done: inner.due.is_none(),
            timed_out: inner.timed_out,
        }
    }

    /// How long the last starts took in seconds, oldest first.
    pub fn kept(&self) -> Vec<f64> {
        lock(&self.inner).durations.clone()
    }

    /// Takes over what an earlier run kept.
    pub fn restore(&self, earlier: &[f64]) {
        let mut inner = lock(&self.inner);
        let mut all: Vec<f64> =
            earlier.iter().copied().filter(|seconds| seconds.is_finite() && *seconds >= 0.0).collect();
        all.append(&mut inner.durations);
        let surplus = all.len().saturating_sub(KEPT);
        all.drain(..surplus);
        inner.durations = all;
    }

    /// Statistics of the last starts' durations.
    #[expect(clippy::cast_precision_loss, reason = "at most a hundred")]
    pub fn durations(&self) -> Option<Durations> {
        let mut sorted = self.kept();
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let count = sorted.len();
        let at = |percent: usize| sorted[(count * percent).div_ceil(100).clamp(1, count) - 1];
        let avg = sorted.iter().sum::<f64>() / count as f64;
        Some(Durations { count, min, avg, max, p50: at(50), p90: at(90), p99: at(99) })
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "the same value twice")]
mod tests {
    use super::*;

    #[test]
    fn durations_are_kept_over_restarts_and_bounded() {
        let starts = StartHistory::default();
        starts.restore(&[1.0; 3]);
        assert!(!starts.current().done);
        assert!(starts.done());
        assert!(!starts.done(), "it ends once");
        starts.restore(&(0..200).map(f64::from).collect::<Vec<_>>());
        let durations = starts.durations().unwrap();
        assert_eq!(durations.count, KEPT);
        assert!((durations.max - 199.0).abs() < 1e-9);
        assert!(starts.kept()[KEPT - 1] < 1.0, "this start's own is the last");
    }

    #[test]
    fn statistics_of_durations() {
        let starts = StartHistory::default();
        assert_eq!(starts.durations(), None);
        starts.restore(&(1..=10).rev().map(f64::from).collect::<Vec<_>>());
        let durations = starts.durations().unwrap();
        assert_eq!((durations.min, durations.avg, durations.max), (1.0, 5.5, 10.0));
        assert_eq!((durations.p50, durations.p90, durations.p99), (5.0, 9.0, 10.0));
    }

    #[test]
    fn what_redis_lost_is_due_again_and_the_start_took_what_it_took() {
        let starts = StartHistory::default();
        assert!(!starts.current().done && starts.current().due_seconds >= 0.0);
        assert!(starts.done());
        let took = starts.current().seconds;
        assert!(starts.current().done && starts.current().due_seconds == 0.0);
        starts.due_again();
        assert!(!starts.current().done && starts.current().seconds == took);
        assert!(!starts.done(), "the start ended before");
        assert!(starts.current().done && starts.kept().len() == 1);
    }

    #[test]
    fn a_timeout_is_news_once() {
        let starts = StartHistory::default();
        starts.is_of(StartKind::Warm);
        assert!(starts.timed_out());
        assert!(!starts.timed_out());
        assert!(starts.current().timed_out);
    }
}
