//! Values that one thread counts and others read at any time, without a lock on either side.
//!
//! A family has one cell for each combination of its labels' values, made once: counting allocates nothing.

use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// A label whose values are known beforehand.
pub trait Label: Copy {
    const NAME: &'static str;
    /// Its values, in the order of [`index`](Self::index).
    const VALUES: &'static [&'static str];
    /// Which of the values this is.
    fn index(self) -> usize;
    fn text(self) -> &'static str {
        Self::VALUES[self.index()]
    }
}

/// The labels of a family: none, one, or two.
pub trait Labels: Copy {
    /// How many combinations of values there are.
    const COUNT: usize;
    fn names() -> Vec<&'static str>;
    /// Which combination this is.
    fn index(self) -> usize;
    /// The values of a combination, in the order of the names.
    fn values(index: usize) -> Vec<&'static str>;
}

impl Labels for () {
    const COUNT: usize = 1;
    fn names() -> Vec<&'static str> {
        Vec::new()
    }
    fn index(self) -> usize {
        0
    }
    fn values(_: usize) -> Vec<&'static str> {
        Vec::new()
    }
}

impl<A: Label> Labels for A {
    const COUNT: usize = A::VALUES.len();
    fn names() -> Vec<&'static str> {
        vec![A::NAME]
    }
    fn index(self) -> usize {
        Label::index(self)
    }
    fn values(index: usize) -> Vec<&'static str> {
        vec![A::VALUES[index]]
    }
}

impl<A: Label, B: Label> Labels for (A, B) {
    const COUNT: usize = A::VALUES.len() * B::VALUES.len();
    fn names() -> Vec<&'static str> {
        vec![A::NAME, B::NAME]
    }
    fn index(self) -> usize {
        self.0.index() * B::VALUES.len() + self.1.index()
    }
    fn values(index: usize) -> Vec<&'static str> {
        vec![A::VALUES[index / B::VALUES.len()], B::VALUES[index % B::VALUES.len()]]
    }
}

/// Makes an enumeration a label.
macro_rules! label {
    ($(#[$about:meta])* $type:ident as $name:literal { $($(#[$meaning:meta])* $variant:ident = $value:literal,)* }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $type { $($(#[$meaning])* $variant,)* }

        impl $crate::telemetry::value::Label for $type {
            const NAME: &'static str = $name;
            const VALUES: &'static [&'static str] = &[$($value),*];
            fn index(self) -> usize {
                self as usize
            }
        }
    };
}
pub(crate) use label;

/// What a family says at one moment.
#[derive(Clone, Debug, PartialEq)]
pub enum Reading {
    /// A counter's or gauge's value; NaN: not known.
    Number(f64),
    Distribution(Box<Distribution>),
}

/// A family whose values can be read without knowing which it is.
pub trait Family {
    fn labels(&self) -> Vec<&'static str>;
    /// Each combination of labels with its value.
    fn read(&self, each: &mut dyn FnMut(&[&'static str], Reading));
    /// Adds what was counted before a restart. Only counters have that.
    fn restore(&self, _values: &[&str], _count: u64) -> bool {
        false
    }
}

#[derive(Debug)]
pub struct Counter<L = ()> {
    cells: Box<[AtomicU64]>,
    labels: PhantomData<fn(L)>,
}

impl<L: Labels> Default for Counter<L> {
    fn default() -> Self {
        Self { cells: cells(L::COUNT), labels: PhantomData }
    }
}

impl<L: Labels> Counter<L> {
    pub fn count(&self, labels: L) {
        self.add(labels, 1);
    }

    pub fn add(&self, labels: L, count: u64) {
        self.cells[labels.index()].fetch_add(count, Relaxed);
    }

    /// What was counted so far under these labels.
    pub fn of(&self, labels: L) -> u64 {
        self.cells[labels.index()].load(Relaxed)
    }

    /// What was counted so far under all labels.
    pub fn sum(&self) -> u64 {
        self.cells.iter().map(|cell| cell.load(Relaxed)).sum()
    }

    /// Each value of the labels with what was counted under it.
    pub fn each(&self) -> impl Iterator<Item = (Vec<&'static str>, u64)> + '_ {
        self.cells.iter().enumerate().map(|(index, cell)| (L::values(index), cell.load(Relaxed)))
    }
}

impl<L: Labels> Family for Counter<L> {
    fn labels(&self) -> Vec<&'static str> {
        L::names()
    }

    #[expect(clippy::cast_precision_loss, reason = "counts beyond 2^53 are not reached")]
    fn read(&self, each: &mut dyn FnMut(&[&'static str], Reading)) {
        for (values, count) in self.each() {
            each(&values, Reading::Number(count as f64));
        }
    }

    fn restore(&self, values: &[&str], count: u64) -> bool {
        let Some(index) = (0..L::COUNT).find(|index| L::values(*index) == values) else { return false };
        self.cells[index].fetch_add(count, Relaxed);
        true
    }
}

/// A gauge before it is set.
const UNKNOWN: f64 = f64::NAN;

/// Has no value before it is set, and none of its values before all are: they may be summed.
#[derive(Debug)]
pub struct Gauge<L = ()> {
    cells: Box<[AtomicU64]>,
    labels: PhantomData<fn(L)>,
}

impl<L: Labels> Default for Gauge<L> {
    fn default() -> Self {
        Self { cells: (0..L::COUNT).map(|_| AtomicU64::new(UNKNOWN.to_bits())).collect(), labels: PhantomData }
    }
}

impl<L: Labels> Gauge<L> {
    /// This is how it stands.
    pub fn set(&self, labels: L, value: f64) {
        self.cells[labels.index()].store(value.to_bits(), Relaxed);
    }

    #[expect(clippy::cast_precision_loss, reason = "numbers of rows and ports are far below 2^53")]
    pub fn set_count(&self, labels: L, count: usize) {
        self.set(labels, count as f64);
    }

    /// Its value; NaN before it is set.
    pub fn of(&self, labels: L) -> f64 {
        f64::from_bits(self.cells[labels.index()].load(Relaxed))
    }
}

impl<L: Labels> Family for Gauge<L> {
    fn labels(&self) -> Vec<&'static str> {
        L::names()
    }

    fn read(&self, each: &mut dyn FnMut(&[&'static str], Reading)) {
        let values: Vec<f64> = self.cells.iter().map(|cell| f64::from_bits(cell.load(Relaxed))).collect();
        let unknown = values.iter().any(|value| value.is_nan());
        for (index, value) in values.into_iter().enumerate() {
            each(&L::values(index), Reading::Number(if unknown { UNKNOWN } else { value }));
        }
    }
}

/// The upper bounds of a histogram's buckets in nanoseconds: 10 µs to 1 s, and beyond that one without a bound.
pub const BOUNDS: [u64; 16] = [
    10_000,
    20_000,
    50_000,
    100_000,
    200_000,
    500_000,
    1_000_000,
    2_000_000,
    5_000_000,
    10_000_000,
    20_000_000,
    50_000_000,
    100_000_000,
    200_000_000,
    500_000_000,
    1_000_000_000,
];

/// Sorts durations into buckets.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [AtomicU64; BOUNDS.len() + 1],
    nanos: AtomicU64,
}

impl Histogram {
    pub fn observe(&self, duration: Duration) {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let bucket = BOUNDS.partition_point(|bound| *bound < nanos);
        self.buckets[bucket].fetch_add(1, Relaxed);
        self.nanos.fetch_add(nanos, Relaxed);
    }

    #[expect(clippy::cast_precision_loss, reason = "nanoseconds of a sum of durations, rounded at 104 days")]
    pub fn distribution(&self) -> Distribution {
        let mut buckets = [0; BOUNDS.len() + 1];
        for (bucket, cell) in buckets.iter_mut().zip(&self.buckets) {
            *bucket = cell.load(Relaxed);
        }
        Distribution { buckets, seconds: self.nanos.load(Relaxed) as f64 / 1e9 }
    }
}

impl Family for Histogram {
    fn labels(&self) -> Vec<&'static str> {
        Vec::new()
    }

    fn read(&self, each: &mut dyn FnMut(&[&'static str], Reading)) {
        each(&[], Reading::Distribution(Box::new(self.distribution())));
    }
}

/// A histogram at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Distribution {
    /// How many durations fell into each bucket, those of smaller buckets not included.
    pub buckets: [u64; BOUNDS.len() + 1],
    pub seconds: f64,
}

impl Distribution {
    /// How many durations there were.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// What came since an earlier moment.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let mut buckets = self.buckets;
        for (bucket, before) in buckets.iter_mut().zip(earlier.buckets) {
            *bucket = bucket.saturating_sub(before);
        }
        Self { buckets, seconds: (self.seconds - earlier.seconds).max(0.0) }
    }

    /// The quantile in seconds, as Prometheus' `histogram_quantile` has it: evenly spread within a bucket, and the greatest
    /// bound for what lies beyond it. `None` if there were no durations.
    #[expect(clippy::cast_precision_loss, reason = "counts and bounds are far below 2^53")]
    pub fn quantile(&self, quantile: f64) -> Option<f64> {
        let count = self.count();
        if count == 0 {
            return None;
        }
        let rank = quantile * count as f64;
        let mut below = 0;
        for (index, bucket) in self.buckets.iter().enumerate() {
            let Some(bound) = BOUNDS.get(index) else { break };
            if (below + bucket) as f64 >= rank && *bucket > 0 {
                let lower = if index == 0 { 0 } else { BOUNDS[index - 1] };
                let part = (rank - below as f64) / *bucket as f64;
                return Some((lower as f64 + (bound - lower) as f64 * part) / 1e9);
            }
            below += bucket;
        }
        BOUNDS.last().map(|bound| *bound as f64 / 1e9)
    }
}

fn cells(count: usize) -> Box<[AtomicU64]> {
    (0..count).map(|_| AtomicU64::new(0)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    label! {
        Letter as "letter" {
            /// a
            A = "a",
            /// b
            B = "b",
        }
    }

    label! {
        Digit as "digit" {
            /// 1
            One = "1",
            /// 2
            Two = "2",
        }
    }

    #[test]
    fn each_combination_of_labels_has_its_count() {
        let counter = Counter::<(Letter, Digit)>::default();
        counter.add((Letter::B, Digit::One), 3);
        counter.count((Letter::A, Digit::Two));
        let mut seen = Vec::new();
        counter.read(&mut |values, reading| seen.push((values.join(" "), reading)));
        let wanted = [("a 1", 0.0), ("a 2", 1.0), ("b 1", 3.0), ("b 2", 0.0)];
        assert_eq!(seen, wanted.map(|(values, count)| (values.to_owned(), Reading::Number(count))));
        assert!(counter.restore(&["b", "2"], 5));
        assert!(!counter.restore(&["b", "3"], 5), "no such value");
        assert_eq!((counter.of((Letter::B, Digit::Two)), counter.sum()), (5, 9));
    }

    #[test]
    fn a_gauge_has_no_value_before_all_of_it_is_known() {
        let gauge = Gauge::<Letter>::default();
        let values = |gauge: &Gauge<Letter>| {
            let mut values = Vec::new();
            gauge.read(&mut |_, reading| values.push(matches!(reading, Reading::Number(value) if !value.is_nan())));
            values
        };
        assert_eq!(values(&gauge), [false; 2]);
        gauge.set(Letter::B, 1.0);
        assert_eq!(values(&gauge), [false; 2]);
        gauge.set(Letter::A, 0.0);
        assert_eq!(values(&gauge), [true; 2]);
    }

    #[test]
    fn a_duration_falls_into_the_bucket_whose_bound_it_does_not_exceed() {
        let histogram = Histogram::default();
        for micros in [1, 10, 11, 1_000_000, 1_000_001] {
            histogram.observe(Duration::from_micros(micros));
        }
        let distribution = histogram.distribution();
        assert_eq!((distribution.buckets[0], distribution.buckets[1]), (2, 1));
        assert_eq!((distribution.buckets[15], distribution.buckets[16]), (1, 1));
        assert!((distribution.seconds - 2.000_023).abs() < 1e-9);
    }

    #[test]
    fn quantiles_are_those_of_prometheus() {
        let histogram = Histogram::default();
        assert_eq!(histogram.distribution().quantile(0.5), None);
        for _ in 0..100 {
            histogram.observe(Duration::from_micros(150));
        }
        let earlier = histogram.distribution();
        // 100 in (100 µs, 200 µs]: the median is half-way.
        assert!((earlier.quantile(0.5).unwrap() - 150e-6).abs() < 1e-9);
        histogram.observe(Duration::from_secs(5));
        assert!((histogram.distribution().since(&earlier).quantile(0.99).unwrap() - 1.0).abs() < 1e-9);
    }
}
