//! The last samples of something, back to the beginning of a window, and no more of them than it needs.

use std::cmp::Reverse;
use std::collections::VecDeque;

use crate::alert::Millis;
use crate::telemetry::value::Distribution;

/// Samples in the order of their times. The last one is always that of the last evaluation; of those before it there is one
/// for each step of time in which there was any, the first.
#[derive(Debug)]
pub(in crate::alert) struct Ring<T> {
    step: Millis,
    pub window: Millis,
    samples: VecDeque<(Millis, T)>,
    /// When the first sample of all came.
    begun: Option<Millis>,
}

impl<T: Clone> Ring<T> {
    pub fn new(step: Millis, window: Millis) -> Self {
        Self { step, window, samples: VecDeque::new(), begun: None }
    }

    /// Goes on from the samples of another ring.
    pub fn take_over(&mut self, other: &Self) {
        self.clear();
        // Of a longer window only what is here is known.
        self.begun = other.begun.filter(|_| self.window <= other.window);
        for (time, sample) in &other.samples {
            self.push(*time, sample.clone());
        }
    }

    /// Puts those of these that are older than all others before them.
    pub fn prepend(&mut self, older: impl Iterator<Item = (Millis, T)>) {
        let own = std::mem::take(&mut self.samples);
        let first = own.front().map(|(time, _)| *time);
        let begun = self.begun.take();
        for (time, sample) in older.filter(|(time, _)| first.is_none_or(|first| *time < first)).chain(own) {
            self.push(time, sample);
        }
        self.begun = self.begun.min(begun).or(self.begun).or(begun);
    }

    /// How well it serves as the beginning of a window: by how much of it it has, then by how dense it is.
    pub fn serves(&self, window: Millis) -> (Millis, Reverse<Millis>) {
        (self.window.min(window), Reverse(self.step))
    }

    /// As if nothing had come yet.
    pub fn clear(&mut self) {
        self.samples.clear();
        self.begun = None;
    }

    /// Whether the window is full of samples, if they came without a gap.
    pub fn is_filled(&self, now: Millis) -> bool {
        self.begun.is_some_and(|begun| now - begun >= self.window)
    }

    pub fn push(&mut self, at: Millis, sample: T) {
        self.begun = self.begun.or(Some(at));
        while self.samples.front().is_some_and(|(time, _)| *time < at - self.window) {
            self.samples.pop_front();
        }
        let mut times = self.samples.iter().rev().map(|(time, _)| *time);
        let (last, before) = (times.next(), times.next());
        let same = last.is_some_and(|last| last >= at);
        let step = |time: Millis| time.div_euclid(self.step.max(1));
        if same || last.zip(before).is_some_and(|(last, before)| step(last) == step(before)) {
            self.samples.pop_back();
        }
        self.samples.push_back((at, sample));
    }

    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &(Millis, T)> {
        self.samples.iter()
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.samples.iter_mut().map(|(_, sample)| sample)
    }

    /// Those of the window that ends now, its first moment included as in Prometheus before 3.0.
    fn current(&self, now: Millis) -> impl DoubleEndedIterator<Item = &(Millis, T)> + Clone {
        let first = self.samples.partition_point(|(time, _)| *time < now - self.window);
        self.samples.range(first..)
    }
}

/// A number for each port, or only one; NaN: none.
impl Ring<Vec<f64>> {
    /// The values of one port within the window that ends now.
    pub fn series(&self, index: usize, now: Millis) -> impl DoubleEndedIterator<Item = (Millis, f64)> + Clone {
        let value = move |(time, values): &(Millis, Vec<f64>)| Some((*time, *values.get(index)?));
        self.current(now).filter_map(value).filter(|(_, value)| !value.is_nan())
    }
}

impl Ring<Box<Distribution>> {
    /// What was observed within the window that ends now.
    pub fn increase(&self, now: Millis) -> Option<Distribution> {
        let mut samples = self.current(now).map(|(_, durations)| &**durations);
        let mut before = samples.next()?;
        let mut sum = Distribution::default();
        for durations in samples {
            // Fewer than before: the counter was reset.
            let added = if durations.count() < before.count() { durations.clone() } else { durations.since(before) };
            sum.buckets.iter_mut().zip(added.buckets).for_each(|(sum, added)| *sum += added);
            sum.seconds += added.seconds;
            before = durations;
        }
        Some(sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(ring: &Ring<Vec<f64>>) -> Vec<Millis> {
        ring.iter().map(|(time, _)| *time).collect()
    }

    #[test]
    fn every_sample_is_kept_within_the_window() {
        let mut ring = Ring::new(500, 3000);
        for at in 0..6 {
            ring.push(at * 1000, vec![0.0]);
        }
        assert_eq!(times(&ring), [2000, 3000, 4000, 5000], "the window's first moment belongs to it");
        assert_eq!(ring.current(7000).count(), 2);
    }

    #[test]
    fn a_long_window_keeps_samples_a_step_apart_and_the_last_one() {
        let mut ring = Ring::new(3000, 9000);
        for at in 0..=11 {
            ring.push(at * 1000, vec![0.0]);
            assert_eq!(*times(&ring).last().unwrap(), at * 1000);
        }
        assert_eq!(times(&ring), [3000, 6000, 9000, 11_000]);
    }

    #[test]
    fn a_ring_of_another_step_goes_on_from_the_samples_of_before() {
        let mut ring = Ring::new(500, 9000);
        for at in 0..=10 {
            ring.push(at * 1000, vec![0.0]);
        }
        let from = |other: &Ring<Vec<f64>>, step, window| {
            let mut ring = Ring::new(step, window);
            ring.take_over(other);
            ring
        };
        let wide = from(&ring, 3000, 9000);
        assert_eq!(times(&wide), [1000, 3000, 6000, 9000, 10_000]);
        assert!(wide.is_filled(10_000), "it was before");
        let mut dense = from(&wide, 500, 9000);
        dense.push(11_000, vec![0.0]);
        dense.push(12_000, vec![0.0]);
        assert_eq!(times(&dense), [3000, 6000, 9000, 10_000, 11_000, 12_000]);
        let long = from(&ring, 500, 20_000);
        assert!(!long.is_filled(20_500) && long.is_filled(21_000), "known from the first sample on");
    }

    #[test]
    fn a_second_sample_of_the_same_time_replaces_the_first() {
        let mut ring = Ring::new(500, 3000);
        for value in [1.0, 2.0] {
            ring.push(1000, vec![value]);
        }
        assert_eq!(ring.series(0, 3000).collect::<Vec<_>>(), [(1000, 2.0)]);
    }

    #[test]
    fn durations_are_counted_anew_after_a_reset() {
        let durations = |count| {
            let mut durations = Distribution::default();
            durations.buckets[3] = count;
            Box::new(durations)
        };
        let mut ring = Ring::new(1, 10_000);
        for (at, count) in [(0, 5), (1000, 9), (2000, 2), (3000, 3)] {
            ring.push(at, durations(count));
        }
        assert_eq!(ring.increase(10_000).unwrap().count(), 4 + 2 + 1);
        assert_eq!(ring.increase(13_000).unwrap().count(), 0);
        assert!(ring.increase(14_000).is_none());
    }
}
