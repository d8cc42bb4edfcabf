//! Numbers that are computed of the last values of a series. docs/alerts.md has the formulas.

use super::ring::{Ring, Sample};
use crate::alert::Millis;

/// Growth per second over the window, as Prometheus' `rate()` computes it (for a gauge `delta()` divided by the window):
/// extrapolated to the window's ends where samples come close to them, and never below zero for a counter.
pub(in crate::alert) fn rates(out: &mut [f64], ring: &Ring<Sample>, now: Millis, window: Millis, counter: bool) {
    let from = now - window;
    if let Some((first, last, count)) = ring.steady(from, out.len()) {
        let range = Range { from, now, first: first.0, last: last.0, count };
        for ((out, first), last) in out.iter_mut().zip(&first.1.values).zip(&last.1.values) {
            *out = range.rate(*first, last - first, counter);
        }
        return;
    }
    for (slot, out) in out.iter_mut().enumerate() {
        *out = rate(ring.series(slot, from), from, now, counter);
    }
}

fn rate(mut series: impl Iterator<Item = (Millis, f64)>, from: Millis, now: Millis, counter: bool) -> f64 {
    let Some((first, first_value)) = series.next() else { return f64::NAN };
    let (mut last, mut last_value, mut count, mut lost) = (first, first_value, 1, 0.0);
    for (time, value) in series {
        // Counting began anew: what was reached before is not lost.
        if counter && value < last_value {
            lost += last_value;
        }
        (last, last_value, count) = (time, value, count + 1);
    }
    Range { from, now, first, last, count }.rate(first_value, last_value - first_value + lost, counter)
}

/// Where a series lies within a window.
struct Range {
    from: Millis,
    now: Millis,
    first: Millis,
    last: Millis,
    count: usize,
}

impl Range {
    /// See `extrapolatedRate` in Prometheus' promql/functions.go, version 2.42.
    #[inline]
    #[expect(clippy::cast_precision_loss, reason = "a window has few samples")]
    fn rate(&self, first_value: f64, growth: f64, counter: bool) -> f64 {
        if self.count < 2 || self.last <= self.first {
            return f64::NAN;
        }
        let sampled = seconds(self.last - self.first);
        let apart = sampled / (self.count - 1) as f64;
        let mut to_start = seconds(self.first - self.from);
        let to_end = seconds(self.now - self.last);
        if counter && growth > 0.0 && first_value >= 0.0 {
            // A counter cannot have been below zero.
            to_start = to_start.min(sampled * (first_value / growth));
        }
        let near = apart * 1.1;
        let reach = |distance: f64| if distance < near { distance } else { apart / 2.0 };
        let covered = sampled + reach(to_start) + reach(to_end);
        growth * (covered / sampled) / seconds(self.now - self.from)
    }
}

/// How many standard deviations the last value is above the mean of the window, itself included, as
/// `(m - avg_over_time(m[w])) / stddev_over_time(m[w])` has it. For a counter: of the growth per second from one sample to the
/// next. NaN if nothing ever changes.
pub(in crate::alert) fn scores(
    out: &mut [f64],
    ring: &Ring<Sample>,
    now: Millis,
    window: Millis,
    min_samples: u32,
    counter: bool,
) {
    for (slot, out) in out.iter_mut().enumerate() {
        let series = ring.series(slot, now - window);
        *out = match series.clone().next_back() {
            // No value now: nothing that could be an anomaly.
            Some((last, _)) if last != now => f64::NAN,
            Some(_) if counter => score(growths(series), min_samples),
            Some(_) => score(series.map(|(_, value)| value), min_samples),
            None => f64::NAN,
        };
    }
}

/// Growth per second from one sample to the next.
fn growths(series: impl Iterator<Item = (Millis, f64)>) -> impl Iterator<Item = f64> {
    let growth = |before: &mut Option<(Millis, f64)>, (time, value): (Millis, f64)| {
        let since = before.replace((time, value));
        Some(since.map(|(then, old)| if value < old { value } else { value - old } / seconds(time - then)))
    };
    series.scan(None, growth).flatten()
}

fn score(mut values: impl Iterator<Item = f64>, min_samples: u32) -> f64 {
    let Some(first) = values.next() else { return f64::NAN };
    // Relative to the first value, so that sums of squares keep their digits.
    let (mut count, mut sum, mut squares, mut last) = (1_u32, 0.0, 0.0, 0.0);
    for value in values {
        last = value - first;
        count += 1;
        sum += last;
        squares += last * last;
    }
    let mean = sum / f64::from(count);
    let variance = squares / f64::from(count) - mean * mean;
    if count < min_samples || variance <= 0.0 { f64::NAN } else { (last - mean) / variance.sqrt() }
}

/// Where the line through the window will be at the horizon, as Prometheus' `predict_linear()` has it.
pub(in crate::alert) fn forecasts(out: &mut [f64], ring: &Ring<Sample>, now: Millis, window: Millis, horizon: Millis) {
    for (slot, out) in out.iter_mut().enumerate() {
        *out = forecast(ring.series(slot, now - window), now, horizon);
    }
}

fn forecast(mut series: impl Iterator<Item = (Millis, f64)>, now: Millis, horizon: Millis) -> f64 {
    let Some((first, base)) = series.next() else { return f64::NAN };
    // Values relative to the first, times to now: sums keep their digits, and what never changes has no slope at all.
    let x = seconds(first - now);
    let (mut count, mut sum_x, mut sum_y, mut sum_xy, mut sum_xx) = (1.0, x, 0.0, 0.0, x * x);
    for (time, value) in series {
        let (x, y) = (seconds(time - now), value - base);
        count += 1.0;
        sum_x += x;
        sum_y += y;
        sum_xy += x * y;
        sum_xx += x * x;
    }
    if count < 2.0 {
        return f64::NAN;
    }
    let slope = (sum_xy - sum_x * sum_y / count) / (sum_xx - sum_x * sum_x / count);
    base + sum_y / count - slope * sum_x / count + slope * seconds(horizon)
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds of a process's life stay below 2^53")]
pub(in crate::alert) fn seconds(time: Millis) -> f64 {
    time as f64 / 1e3
}
