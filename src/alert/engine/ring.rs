//! The last samples of something, back to the longest window of the rules, and no more of them than a window needs.

use std::collections::VecDeque;

use crate::alert::Millis;
use crate::telemetry::value::Distribution;

/// Something of a time.
pub(in crate::alert) type At<T> = (Millis, T);

/// Samples in the order of their times. The last one is always that of the last evaluation; of those before it each is at
/// least a step after the one before.
#[derive(Debug)]
pub(in crate::alert) struct Ring<T> {
    step: Millis,
    longest: Millis,
    samples: VecDeque<(Millis, T)>,
    /// When the first sample of all came.
    begun: Option<Millis>,
}

/// A number for each port (or only one) at one moment; NaN: none.
#[derive(Debug, Default)]
pub(in crate::alert) struct Sample {
    pub values: Vec<f64>,
    full: bool,
    /// One of them is less than in the sample before.
    falls: bool,
}

impl<T> Ring<T> {
    /// How well it serves as the beginning of another: by how much of the window it has, then by how dense it is.
    pub fn serves(&self, longest: Millis) -> (Millis, std::cmp::Reverse<Millis>) {
        (self.longest.min(longest), std::cmp::Reverse(self.step))
    }
}

impl<T: Default> Ring<T> {
    pub fn new(step: Millis, longest: Millis) -> Self {
        Self { step, longest, samples: VecDeque::new(), begun: None }
    }

    /// Other rules want another window.
    pub fn resize(&mut self, longest: Millis) {
        self.longest = longest;
    }

    /// A ring with another step that goes on from this one's samples; `push` puts one into it.
    pub fn respaced(&self, step: Millis, longest: Millis, push: impl Fn(&mut Self, Millis, &T)) -> Self {
        let mut other = Self::new(step, longest);
        // Of a longer window only what is here is known.
        other.begun = self.begun.filter(|_| longest <= self.longest);
        for (at, sample) in &self.samples {
            push(&mut other, *at, sample);
        }
        other
    }

    /// As if nothing had come yet.
    pub fn clear(&mut self) {
        self.samples.clear();
        self.begun = None;
    }

    /// Whether a window that ends now is full of samples, if they came without a gap.
    pub fn is_filled(&self, window: Millis, now: Millis) -> bool {
        self.begun.is_some_and(|begun| now - begun >= window)
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.samples.iter_mut().map(|(_, sample)| sample)
    }

    /// Makes room for a sample of this time, and gives one to fill: that of before, where it is of no more use.
    fn begin(&mut self, at: Millis) -> T {
        self.begun = self.begun.or(Some(at));
        let mut used = None;
        while self.samples.front().is_some_and(|(time, _)| *time < at - self.longest) {
            used = self.samples.pop_front();
        }
        let last = self.samples.back().map(|(time, _)| *time);
        let before = self.samples.len().checked_sub(2).map(|before| self.samples[before].0);
        let same = last.is_some_and(|last| last >= at);
        let close = last.zip(before).is_some_and(|(last, before)| last - before < self.step);
        if same || close {
            used = self.samples.pop_back();
        }
        used.map(|(_, sample)| sample).unwrap_or_default()
    }

    /// Those of a window that ends now, its first moment included as in Prometheus before 3.0.
    pub fn since(&self, from: Millis) -> impl DoubleEndedIterator<Item = &(Millis, T)> + Clone {
        let first = self.samples.partition_point(|(time, _)| *time < from);
        self.samples.range(first..)
    }
}

impl Ring<Sample> {
    pub fn push(&mut self, at: Millis, values: &[f64]) {
        let mut sample = self.begin(at);
        sample.values.clear();
        sample.values.extend_from_slice(values);
        sample.full = !values.iter().any(|value| value.is_nan());
        let before = self.samples.back().map_or(&[][..], |(_, before)| &before.values);
        sample.falls = before.iter().zip(values).any(|(before, value)| value < before);
        self.samples.push_back((at, sample));
    }

    pub fn series(&self, slot: usize, from: Millis) -> impl DoubleEndedIterator<Item = (Millis, f64)> + Clone {
        let value = move |(time, sample): &(Millis, Sample)| Some((*time, *sample.values.get(slot)?));
        self.since(from).filter_map(value).filter(|(_, value)| !value.is_nan())
    }

    /// The first and the last sample of a window and how many there are, if none of them misses a value or falls.
    pub fn steady(&self, from: Millis, width: usize) -> Option<(&At<Sample>, &At<Sample>, usize)> {
        let samples = self.since(from);
        let (first, last) = (samples.clone().next()?, samples.clone().next_back()?);
        let full = samples.clone().all(|(_, sample)| sample.full && sample.values.len() == width);
        (full && samples.clone().skip(1).all(|(_, sample)| !sample.falls)).then(|| (first, last, samples.count()))
    }
}

impl Ring<Box<Distribution>> {
    pub fn push(&mut self, at: Millis, durations: &Distribution) {
        let mut sample = self.begin(at);
        sample.clone_from(&Box::new(durations.clone()));
        self.samples.push_back((at, sample));
    }

    /// What came within the window.
    pub fn within(&self, from: Millis) -> Option<Distribution> {
        let mut samples = self.since(from).map(|(_, durations)| &**durations);
        let mut before = samples.next()?;
        let mut sum = Distribution::default();
        for durations in samples {
            // Fewer than before: counting began anew.
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

    fn times(ring: &Ring<Sample>) -> Vec<Millis> {
        ring.since(Millis::MIN).map(|(time, _)| *time).collect()
    }

    #[test]
    fn every_sample_is_kept_within_the_longest_window() {
        let mut ring = Ring::<Sample>::new(500, 3000);
        for at in 0..6 {
            ring.push(at * 1000, &[0.0]);
        }
        assert_eq!(times(&ring), [2000, 3000, 4000, 5000], "the window's first moment belongs to it");
        assert_eq!(ring.since(4000).count(), 2);
    }

    #[test]
    fn a_long_window_keeps_samples_a_step_apart_and_the_last_one() {
        let mut ring = Ring::<Sample>::new(3000, 9000);
        for at in 0..=11 {
            ring.push(at * 1000, &[0.0]);
            assert_eq!(*times(&ring).last().unwrap(), at * 1000);
        }
        assert_eq!(times(&ring), [3000, 6000, 9000, 11_000]);
    }

    #[test]
    fn a_ring_of_another_step_goes_on_from_the_samples_of_before() {
        let mut ring = Ring::<Sample>::new(500, 9000);
        for at in 0..=10 {
            ring.push(at * 1000, &[0.0]);
        }
        let push = |ring: &mut Ring<Sample>, at, sample: &Sample| ring.push(at, &sample.values);
        let wide = ring.respaced(3000, 9000, push);
        assert_eq!(times(&wide), [1000, 4000, 7000, 10_000]);
        assert!(wide.is_filled(9000, 10_000), "it was before");
        let mut dense = wide.respaced(500, 9000, push);
        dense.push(11_000, &[0.0]);
        dense.push(12_000, &[0.0]);
        assert_eq!(times(&dense), [4000, 7000, 10_000, 11_000, 12_000]);
        let long = ring.respaced(500, 20_000, push);
        assert!(!long.is_filled(20_000, 20_500) && long.is_filled(20_000, 21_000), "known from the first sample on");
    }

    #[test]
    fn a_second_sample_of_the_same_time_replaces_the_first() {
        let mut ring = Ring::<Sample>::new(500, 3000);
        for value in [1.0, 2.0] {
            ring.push(1000, &[value]);
        }
        assert_eq!(ring.series(0, 0).collect::<Vec<_>>(), [(1000, 2.0)]);
    }

    #[test]
    fn what_is_steady_has_no_gap_and_never_falls() {
        let mut ring = Ring::<Sample>::new(1, 10_000);
        ring.push(0, &[1.0, f64::NAN]);
        for at in 1..4 {
            ring.push(at * 1000, &[1.0, 2.0]);
        }
        assert!(ring.steady(0, 2).is_none());
        assert_eq!(ring.steady(1000, 2).map(|(first, last, count)| (first.0, last.0, count)), Some((1000, 3000, 3)));
        assert!(ring.steady(1000, 3).is_none(), "a port came");
        ring.push(4000, &[1.0, 1.0]);
        assert!(ring.steady(1000, 2).is_none());
        assert!(ring.steady(4000, 2).is_some(), "it fell before");
    }

    #[test]
    fn durations_are_counted_anew_after_a_reset() {
        let durations = |count| {
            let mut durations = Distribution::default();
            durations.buckets[3] = count;
            durations
        };
        let mut ring = Ring::<Box<Distribution>>::new(1, 10_000);
        for (at, count) in [(0, 5), (1000, 9), (2000, 2), (3000, 3)] {
            ring.push(at, &durations(count));
        }
        assert_eq!(ring.within(0).unwrap().count(), 4 + 2 + 1);
        assert_eq!(ring.within(3000).unwrap().count(), 0);
        assert!(ring.within(4000).is_none());
    }
}
