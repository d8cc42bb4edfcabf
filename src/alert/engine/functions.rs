//! Numbers that are computed of the values of a series within a window. docs/alerts.md has the formulas.

use crate::alert::Millis;

/// Growth per second over the window, as Prometheus' `rate()` computes it (for a gauge `delta()` divided by the window):
/// extrapolated to the window's ends where samples come close to them, and never below zero for a counter.
///
/// See `extrapolatedRate` in Prometheus' promql/functions.go, version 2.42.
pub(in crate::alert) fn rate(
    mut series: impl Iterator<Item = (Millis, f64)>,
    now: Millis,
    window: Millis,
    counter: bool,
) -> f64 {
    let Some((first, first_value)) = series.next() else { return f64::NAN };
    let (mut last, mut last_value, mut intervals, mut lost) = (first, first_value, 0.0, 0.0);
    for (time, value) in series {
        // The counter was reset: what it reached before is not lost.
        if counter && value < last_value {
            lost += last_value;
        }
        (last, last_value, intervals) = (time, value, intervals + 1.0);
    }
    if last <= first {
        return f64::NAN;
    }
    let growth = last_value - first_value + lost;
    let sampled = seconds(last - first);
    let apart = sampled / intervals;
    let mut to_start = seconds(first - (now - window));
    if counter && growth > 0.0 && first_value >= 0.0 {
        // A counter cannot have been below zero.
        to_start = to_start.min(sampled * (first_value / growth));
    }
    let near = apart * 1.1;
    let reach = |distance: f64| if distance < near { distance } else { apart / 2.0 };
    let covered = sampled + reach(to_start) + reach(seconds(now - last));
    growth * (covered / sampled) / seconds(window)
}

/// How many standard deviations the value now is above the mean of the window, itself included, as
/// `(m - avg_over_time(m[w])) / stddev_over_time(m[w])` has it. For a counter: of the growth per second from one sample to the
/// next. NaN if there is no value now, or nothing ever changes.
pub(in crate::alert) fn score(
    series: impl DoubleEndedIterator<Item = (Millis, f64)> + Clone,
    now: Millis,
    min_samples: u32,
    counter: bool,
) -> f64 {
    match series.clone().next_back() {
        Some((last, _)) if last != now => f64::NAN,
        _ if counter => deviation(growths(series), min_samples),
        _ => deviation(series.map(|(_, value)| value), min_samples),
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

fn deviation(mut values: impl Iterator<Item = f64>, min_samples: u32) -> f64 {
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
pub(in crate::alert) fn forecast(mut series: impl Iterator<Item = (Millis, f64)>, now: Millis, horizon: Millis) -> f64 {
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
