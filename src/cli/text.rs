//! Values in words: units that people read, and colours.

use std::time::Duration;

/// A latency of the daemon's histograms, of which the last bucket ends at a second.
pub fn latency(seconds: Option<f64>) -> String {
    match seconds {
        None => "-".to_owned(),
        Some(seconds) if seconds >= 1.0 => "≥ 1 s".to_owned(),
        // Anything that would be rounded to 1000 µs is a millisecond.
        Some(seconds) if seconds >= 999.5e-6 => format!("{} ms", digits(seconds * 1e3)),
        Some(seconds) => format!("{} µs", digits(seconds * 1e6)),
    }
}

/// Two digits that say something: 1, 1.2, 12, 123.
fn digits(value: f64) -> String {
    let text = if value >= 9.95 { format!("{value:.0}") } else { format!("{value:.1}") };
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

/// How long something took.
pub fn duration(seconds: f64) -> String {
    match seconds {
        ..0.9995 => format!("{:.0} ms", seconds.max(0.0) * 1e3),
        ..59.5 => format!("{} s", digits(seconds)),
        _ => span(seconds),
    }
}

/// How long something lasts, in its two largest units.
pub fn span(seconds: f64) -> String {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "times since 1970 and shorter ones")]
    let seconds = seconds.max(0.0) as u64;
    let units = [("d", 86400), ("h", 3600), ("m", 60), ("s", 1)];
    let Some(first) = units.iter().position(|(_, length)| seconds >= *length) else { return "0s".to_owned() };
    let parts: Vec<String> = units[first..]
        .iter()
        .take(2)
        .scan(seconds, |rest, (unit, length)| {
            let count = *rest / length;
            *rest %= length;
            Some(format!("{count}{unit}"))
        })
        .collect();
    parts.join(" ")
}

/// How long something lasts that somebody has set: all its units, to the second.
pub fn exact(seconds: f64) -> String {
    let seconds = Duration::try_from_secs_f64(seconds.round()).unwrap_or_default();
    humantime::format_duration(seconds).to_string()
}

/// A moment, as seen from now.
pub fn ago(now: f64, at: f64) -> String {
    format!("{} ago", span(now - at))
}

/// A number with its thousands apart.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number of things: `1 port`, `2 ports`.
pub fn plural(number: u64, one: &str) -> String {
    format!("{} {one}{}", count(number), if number == 1 { "" } else { "s" })
}

/// A number, short: 0.4, 12, 1234, 12k.
pub fn rate(number: f64) -> String {
    match number {
        ..9.95 => digits(number),
        ..9999.5 => format!("{number:.0}"),
        ..999_500.0 => format!("{:.0}k", number / 1e3),
        _ => format!("{:.1}M", number / 1e6),
    }
}

/// Bytes.
pub fn bytes(number: u64) -> String {
    match number {
        0..1024 => format!("{number} B"),
        1024..1_048_576 => format!("{} KiB", number / 1024),
        _ => format!("{} MiB", number / 1_048_576),
    }
}

/// Text of the daemon, without what a terminal would obey.
pub fn plain(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { '?' } else { character }).collect()
}

/// Marks text by colour, or does not.
#[derive(Clone, Copy, Debug)]
pub struct Paint {
    pub on: bool,
}

impl Paint {
    pub fn good(self, text: &str) -> String {
        self.with("32", text)
    }

    pub fn fair(self, text: &str) -> String {
        self.with("33", text)
    }

    pub fn bad(self, text: &str) -> String {
        self.with("31", text)
    }

    pub fn strong(self, text: &str) -> String {
        self.with("1", text)
    }

    fn with(self, code: &str, text: &str) -> String {
        if self.on { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_have_the_unit_that_fits() {
        for (seconds, text) in [
            (None, "-"),
            (Some(0.000_000_4), "0.4 µs"),
            (Some(0.000_061), "61 µs"),
            (Some(0.000_999_6), "1 ms"),
            (Some(0.001_24), "1.2 ms"),
            (Some(0.25), "250 ms"),
            (Some(1.0), "≥ 1 s"),
        ] {
            assert_eq!(latency(seconds), text, "{seconds:?}");
        }
    }

    #[test]
    fn durations_and_spans_have_their_two_largest_units() {
        for (seconds, text) in [(0.0, "0 ms"), (0.34, "340 ms"), (1.24, "1.2 s"), (12.3, "12 s"), (72.0, "1m 12s")] {
            assert_eq!(duration(seconds), text);
        }
        for (seconds, text) in [
            (-3.0, "0s"),
            (0.9, "0s"),
            (59.9, "59s"),
            (192.0, "3m 12s"),
            (3600.0, "1h 0m"),
            (7_999.0, "2h 13m"),
            (273_600.0, "3d 4h"),
        ] {
            assert_eq!(span(seconds), text);
        }
        assert_eq!(ago(1000.0, 808.0), "3m 12s ago");
        assert_eq!([0.0, 299.9996, 7200.0, 5_430.0, -1.0].map(exact), ["0s", "5m", "2h", "1h 30m 30s", "0s"]);
    }

    #[test]
    fn numbers_are_readable() {
        assert_eq!([0, 999, 1000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([plural(1, "port"), plural(1200, "port")], ["1 port", "1,200 ports"]);
        assert_eq!([0.0, 0.42, 12.4, 1234.0, 45_600.0, 2e6].map(rate), ["0", "0.4", "12", "1234", "46k", "2.0M"]);
        assert_eq!([512, 212_992, 33_554_432].map(bytes), ["512 B", "208 KiB", "32 MiB"]);
    }

    #[test]
    fn a_terminal_is_told_nothing_but_text() {
        assert_eq!(plain("a\x1b[2Jb\u{9b}c"), "a?[2Jb?c");
        assert_eq!(Paint { on: false }.bad("down"), "down");
        assert_eq!(Paint { on: true }.bad("down"), "\x1b[31mdown\x1b[0m");
    }
}
