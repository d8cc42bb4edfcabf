//! This start, and how long those before it took.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::api::Durations;
use crate::sync::start::Kind;

/// Starts whose durations are kept.
const KEPT: usize = 100;

/// Written a few times in a daemon's life.
#[derive(Debug, Default)]
pub struct Starts {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    kind: Option<Kind>,
    began: Instant,
    took: Option<Duration>,
    timed_out: bool,
    /// Seconds, oldest first, over restarts.
    durations: Vec<f64>,
}

impl Default for Inner {
    fn default() -> Self {
        Self { kind: None, began: Instant::now(), took: None, timed_out: false, durations: Vec::new() }
    }
}

/// This start at one moment.
#[derive(Clone, Debug, Default)]
pub struct Current {
    /// Its kind, once it is known.
    pub kind: Option<Kind>,
    /// How long it took or takes.
    pub seconds: f64,
    /// Whether it came to its end.
    pub done: bool,
    /// Whether it takes or took too long.
    pub timed_out: bool,
}

impl Starts {
    /// This start, which began with the daemon, turned out to be of this kind.
    pub fn is_of(&self, kind: Kind) {
        self.lock().kind = Some(kind);
    }

    /// It came to its end. False if it had before: said again to a Redis that lost it.
    pub fn done(&self) -> bool {
        let mut inner = self.lock();
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
        !std::mem::replace(&mut self.lock().timed_out, true)
    }

    /// How it stands.
    pub fn current(&self) -> Current {
        let inner = self.lock();
        Current {
            kind: inner.kind,
            seconds: inner.took.unwrap_or_else(|| inner.began.elapsed()).as_secs_f64(),
            done: inner.took.is_some(),
            timed_out: inner.timed_out,
        }
    }

    /// How long the last starts took in seconds, oldest first.
    pub fn kept(&self) -> Vec<f64> {
        self.lock().durations.clone()
    }

    /// Takes over what an earlier run kept.
    pub fn restore(&self, earlier: &[f64]) {
        let mut inner = self.lock();
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

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_kept_over_restarts_and_bounded() {
        let starts = Starts::default();
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
        let starts = Starts::default();
        assert_eq!(starts.durations(), None);
        starts.restore(&(1..=10).rev().map(f64::from).collect::<Vec<_>>());
        let durations = starts.durations().unwrap();
        assert_eq!((durations.min, durations.avg, durations.max), (1.0, 5.5, 10.0));
        assert_eq!((durations.p50, durations.p90, durations.p99), (5.0, 9.0, 10.0));
    }

    #[test]
    fn a_timeout_is_news_once() {
        let starts = Starts::default();
        starts.is_of(Kind::Warm);
        assert!(starts.timed_out());
        assert!(!starts.timed_out());
        assert!(starts.current().timed_out);
    }
}
