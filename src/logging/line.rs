//! A line of the log. Text is tracing-subscriber's own but for the names of the levels, without its machinery for colours, which
//! costs more than everything else that an event does; so is JSON. Levels have `SONiC`'s names.

use std::cell::RefCell;
use std::fmt::{self, Debug, Write};
use std::time::{SystemTime, UNIX_EPOCH};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// What a line looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// Time, level, message, fields.
    Text {
        /// The level has its colour, for a terminal.
        colour: bool,
    },
    /// Message and fields: syslog has time and level of its own.
    Bare,
    Json,
}

impl<S, N> FormatEvent<S, N> for Style
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        self.begin(&mut writer, *event.metadata().level())?;
        let outcome = if *self == Self::Json {
            let mut fields = JsonFields { writer: &mut writer, first: true, outcome: Ok(()) };
            event.record(&mut fields);
            fields.outcome
        } else {
            let mut fields = Fields { writer: &mut writer, first: true, outcome: Ok(()) };
            event.record(&mut fields);
            fields.outcome
        };
        outcome?;
        self.end(&mut writer)
    }
}

impl Style {
    /// The line that says how many were dropped.
    pub fn dropped(self, writer: &mut impl Write, count: u64) -> fmt::Result {
        const MESSAGE: &str = "log lines dropped, nobody took them";
        self.begin(writer, Level::WARN)?;
        match self {
            Self::Json => write!(writer, "\"message\":\"{MESSAGE}\",\"dropped\":{count}")?,
            Self::Text { .. } | Self::Bare => write!(writer, "{MESSAGE} dropped={count}")?,
        }
        self.end(writer)
    }

    fn begin(self, writer: &mut impl Write, level: Level) -> fmt::Result {
        let name = level_name(level);
        match self {
            Self::Bare => Ok(()),
            // What every change of a port passes: in pieces, without the machinery of padding.
            Self::Text { colour: false } => {
                write_time(writer, SystemTime::now())?;
                writer.write_str(&PADDING[name.len()..])?;
                writer.write_str(name)?;
                writer.write_char(' ')
            }
            Self::Text { colour: true } => {
                writer.write_str("\x1b[2m")?;
                write_time(writer, SystemTime::now())?;
                write!(writer, "\x1b[0m \x1b[{}m{name:>6}\x1b[0m ", colour(level))
            }
            Self::Json => {
                writer.write_str("{\"timestamp\":\"")?;
                write_time(writer, SystemTime::now())?;
                write!(writer, "\",\"level\":\"{name}\",\"fields\":{{")
            }
        }
    }

    fn end(self, writer: &mut impl Write) -> fmt::Result {
        writer.write_str(if self == Self::Json { "}}\n" } else { "\n" })
    }
}

/// As RFC 3339 has it, to the microsecond. Date and time of a second are made once: a line is often of the same second as the
/// one before it.
fn write_time(writer: &mut impl Write, time: SystemTime) -> fmt::Result {
    thread_local!(static SECOND: RefCell<(u64, String)> = const { RefCell::new((0, String::new())) });
    let since_epoch = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    SECOND.with_borrow_mut(|(second, text)| {
        if *second != since_epoch.as_secs() || text.is_empty() {
            *second = since_epoch.as_secs();
            text.clear();
            write!(text, "{}", humantime::format_rfc3339_seconds(time.max(UNIX_EPOCH)))?;
            text.truncate(text.len() - "Z".len());
        }
        writer.write_str(text)
    })?;
    // With its leading zeros, behind a digit that gives way to the point.
    let mut micros = itoa::Buffer::new();
    let micros = micros.format(1_000_000 + since_epoch.subsec_micros());
    writer.write_str(".")?;
    writer.write_str(&micros[1..])?;
    writer.write_str("Z")
}

/// As far as the longest name of a level is long, and a space.
const PADDING: &str = "       ";

/// What `SONiC` calls it.
fn level_name(level: Level) -> &'static str {
    match level {
        Level::ERROR => "ERROR",
        Level::WARN => "WARN",
        Level::INFO => "NOTICE",
        Level::DEBUG => "INFO",
        Level::TRACE => "DEBUG",
    }
}

/// As tracing-subscriber has it.
fn colour(level: Level) -> u8 {
    match level {
        Level::ERROR => 31,
        Level::WARN => 33,
        Level::INFO => 32,
        Level::DEBUG => 34,
        Level::TRACE => 35,
    }
}

/// Writes the message as it is, and each field as `name=value`.
struct Fields<'a, 'w> {
    writer: &'a mut Writer<'w>,
    first: bool,
    outcome: fmt::Result,
}

impl Fields<'_, '_> {
    fn write(&mut self, field: &Field, value: impl FnOnce(&mut Writer<'_>) -> fmt::Result) {
        let name = field.name();
        let parts = || {
            if !std::mem::take(&mut self.first) {
                self.writer.write_char(' ')?;
            }
            if name != "message" {
                self.writer.write_str(name)?;
                self.writer.write_char('=')?;
            }
            value(self.writer)
        };
        if self.outcome.is_ok() {
            self.outcome = parts();
        }
    }
}

impl Visit for Fields<'_, '_> {
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.write(field, |writer| writer.write_str(itoa::Buffer::new().format(value)));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let plain = value.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\');
        self.write(field, |writer| match (field.name(), plain) {
            ("message", _) => writer.write_str(value),
            (_, true) => {
                writer.write_char('"')?;
                writer.write_str(value)?;
                writer.write_char('"')
            }
            (_, false) => write!(writer, "{value:?}"),
        });
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.write(field, |writer| write!(writer, "{value:?}"));
    }
}

/// Writes message and fields as members of an object.
struct JsonFields<'a, 'w> {
    writer: &'a mut Writer<'w>,
    first: bool,
    outcome: fmt::Result,
}

impl JsonFields<'_, '_> {
    fn write(&mut self, field: &Field, value: impl FnOnce(&mut Writer<'_>) -> fmt::Result) {
        let parts = || {
            if !std::mem::take(&mut self.first) {
                self.writer.write_char(',')?;
            }
            write!(self.writer, "\"{}\":", field.name())?;
            value(self.writer)
        };
        if self.outcome.is_ok() {
            self.outcome = parts();
        }
    }
}

impl Visit for JsonFields<'_, '_> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.write(
            field,
            |writer| if value.is_finite() { write!(writer, "{value:?}") } else { writer.write_str("null") },
        );
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.write(field, |writer| writer.write_str(itoa::Buffer::new().format(value)));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.write(field, |writer| writer.write_str(itoa::Buffer::new().format(value)));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.write(field, |writer| write!(writer, "{value}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.write(field, |writer| {
            writer.write_char('"')?;
            write!(Escaped(writer), "{value:?}")?;
            writer.write_char('"')
        });
    }
}

/// Text within a string of JSON.
struct Escaped<'a, 'w>(&'a mut Writer<'w>);

impl Write for Escaped<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let odd = |byte: u8| byte < b' ' || byte == b'"' || byte == b'\\';
        let mut rest = text;
        while let Some(at) = rest.bytes().position(odd) {
            self.0.write_str(&rest[..at])?;
            match rest.as_bytes()[at] {
                b'\n' => self.0.write_str("\\n")?,
                byte @ (b'"' | b'\\') => write!(self.0, "\\{}", char::from(byte))?,
                byte => write!(self.0, "\\u{byte:04x}")?,
            }
            rest = &rest[at + 1..];
        }
        self.0.write_str(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::captured::Captured;
    use std::io;
    use tracing::{info, warn};
    use tracing_subscriber::layer::SubscriberExt;

    /// Times differ, so the text after them is compared.
    fn logged(layer: impl FnOnce(Captured) -> BoxedLayer) -> String {
        raw(layer).split("\n20").map(|line| line.split_once('Z').unwrap().1).collect::<Vec<_>>().join("\n")
    }

    type BoxedLayer = Box<dyn tracing_subscriber::Layer<tracing_subscriber::Registry> + Send + Sync>;

    fn raw(layer: impl FnOnce(Captured) -> BoxedLayer) -> String {
        let captured = Captured::default();
        let subscriber = tracing_subscriber::registry().with(layer(captured.clone()));
        tracing::subscriber::with_default(subscriber, || {
            let problem = io::Error::other("no\nroom");
            info!(port = %"Ethernet0", admin = "up", mtu = 9100, ifindex = 7u32, "port changed");
            warn!(quoted = "a\"b\\c\u{1b}", count = -3, ratio = 0.5, yes = true, problem = %problem, some = ?Some(1), "odd {}", 1);
        });
        captured.text()
    }

    #[test]
    fn a_line_reads_as_the_librarys_own_but_for_the_levels() {
        use tracing_subscriber::Layer;
        let theirs = logged(|captured| {
            tracing_subscriber::fmt::layer().with_target(false).with_ansi(false).with_writer(captured).boxed()
        });
        let text = Style::Text { colour: false };
        let ours = logged(|captured| tracing_subscriber::fmt::layer().event_format(text).with_writer(captured).boxed());
        assert_eq!(ours, theirs.replace("  INFO ", " NOTICE ").replace("  WARN ", "   WARN "));
        assert!(ours.contains(" NOTICE port changed port=Ethernet0 admin=\"up\" mtu=9100 ifindex=7"), "{ours}");
        let colour = Style::Text { colour: true };
        let coloured =
            logged(|captured| tracing_subscriber::fmt::layer().event_format(colour).with_writer(captured).boxed());
        assert!(coloured.contains("\x1b[32mNOTICE\x1b[0m port changed port=Ethernet0"), "{coloured:?}");
    }

    #[test]
    fn times_are_as_the_library_writes_them() {
        let start = UNIX_EPOCH + std::time::Duration::from_secs(1_764_302_400);
        for micros in [0, 1, 999_999, 1_000_000, 1_000_001, 999_998, 86_400_000_007] {
            let time = start + std::time::Duration::from_micros(micros);
            let mut text = String::new();
            write_time(&mut text, time).unwrap();
            assert_eq!(text, humantime::format_rfc3339_micros(time).to_string());
        }
    }

    #[test]
    fn json_is_the_librarys_own_but_for_the_levels() {
        use tracing_subscriber::Layer;
        let parsed = |text: &str| -> Vec<serde_json::Value> {
            let mut lines: Vec<_> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            let times = lines.iter_mut().map(|line: &mut serde_json::Value| line["timestamp"].take());
            assert!(times.filter(serde_json::Value::is_string).count() == 2, "{text}");
            lines
        };
        let theirs =
            raw(|captured| tracing_subscriber::fmt::layer().json().with_target(false).with_writer(captured).boxed());
        let ours =
            raw(|captured| tracing_subscriber::fmt::layer().event_format(Style::Json).with_writer(captured).boxed());
        assert_eq!(parsed(&ours), parsed(&theirs.replace("\"INFO\"", "\"NOTICE\"")));
    }

    #[test]
    fn what_says_how_many_lines_were_dropped_is_a_line_like_others() {
        let dropped = |style: Style| {
            let mut text = String::new();
            style.dropped(&mut text, 7).unwrap();
            text
        };
        assert_eq!(dropped(Style::Bare), "log lines dropped, nobody took them dropped=7\n");
        assert!(
            dropped(Style::Text { colour: false })
                .ends_with("Z   WARN log lines dropped, nobody took them dropped=7\n")
        );
        let json: serde_json::Value = serde_json::from_str(&dropped(Style::Json)).unwrap();
        assert_eq!((&json["level"], &json["fields"]["dropped"]), (&"WARN".into(), &7.into()));
    }
}
