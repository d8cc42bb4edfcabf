//! A line of the log where no terminal shows it: the same text as tracing-subscriber's own format, without the machinery for
//! colours, which costs more than everything else that an event does.

use std::fmt::{self, Debug};
use std::time::SystemTime;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// See the module.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    /// Begin with time and level; syslog has its own.
    pub stamped: bool,
}

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        if self.stamped {
            write!(writer, "{}", humantime::format_rfc3339_micros(SystemTime::now()))?;
            writer.write_str(level(*event.metadata().level()))?;
        }
        let mut fields = Fields { writer: &mut writer, first: true, outcome: Ok(()) };
        event.record(&mut fields);
        fields.outcome?;
        writer.write_char('\n')
    }
}

fn level(level: Level) -> &'static str {
    match level {
        Level::ERROR => " ERROR ",
        Level::WARN => "  WARN ",
        Level::INFO => "  INFO ",
        Level::DEBUG => " DEBUG ",
        Level::TRACE => " TRACE ",
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;
    use std::sync::{Arc, Mutex};
    use tracing::{info, warn};
    use tracing_subscriber::fmt::MakeWriter;
    use tracing_subscriber::layer::SubscriberExt;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl MakeWriter<'_> for Kept {
        type Writer = Self;
        fn make_writer(&self) -> Self {
            self.clone()
        }
    }

    /// Times differ, so the text after them is compared.
    fn logged(
        layer: impl FnOnce(Kept) -> Box<dyn tracing_subscriber::Layer<tracing_subscriber::Registry> + Send + Sync>,
    ) -> String {
        let kept = Kept::default();
        let subscriber = tracing_subscriber::registry().with(layer(kept.clone()));
        tracing::subscriber::with_default(subscriber, || {
            let problem = io::Error::other("no\nroom");
            info!(port = %"Ethernet0", admin = "up", mtu = 9100, ifindex = 7u32, "port changed");
            warn!(quoted = "a\"b\\c\u{1b}", count = -3, ratio = 0.5, yes = true, problem = %problem, some = ?Some(1), "odd {}", 1);
        });
        let text = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
        text.split("\n20").map(|line| line.split_once('Z').unwrap().1).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn a_line_reads_as_the_librarys_own() {
        use tracing_subscriber::Layer;
        let theirs = logged(|kept| {
            tracing_subscriber::fmt::layer().with_target(false).with_ansi(false).with_writer(kept).boxed()
        });
        let ours = logged(|kept| {
            tracing_subscriber::fmt::layer().event_format(Line { stamped: true }).with_writer(kept).boxed()
        });
        assert_eq!(ours, theirs);
        assert!(ours.contains("  INFO port changed port=Ethernet0 admin=\"up\" mtu=9100 ifindex=7"), "{ours}");
    }
}
