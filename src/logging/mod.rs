//! The log: `SONiC`'s levels, its destinations, and a limit on repeats.
//!
//! In: tracing's events. Out: lines on standard error or in syslog. Level and destination change at run time, as CONFIG_DB's
//! `LOGGER|portsyncd` says. rsyslog takes 20000 lines in 300 s from a whole container, so a message that repeats is cut off
//! at a rate well below it; how much was left out is said. Whoever logs never waits: a line that nobody takes at once is dropped,
//! and counted (`outlet`).

mod limit;
mod line;
mod outlet;

use std::io::IsTerminal;
use std::path::Path;
use std::sync::Arc;

use tracing::level_filters::LevelFilter;
use tracing::{info, warn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{Layer, Registry, fmt, reload};

use crate::config::{LogConfig, LogFormat, LogLevel};
use crate::nowait::Stream;
use crate::telemetry::Telemetry;
use limit::{Limit, LimitLayer};
use line::Style;
use outlet::{Dropped, Outlet, SYSLOG, Syslog, To};

type Output = Box<dyn Layer<Registry> + Send + Sync>;

/// The running log. Changes of level and destination go through it.
pub struct Logging {
    config: LogConfig,
    limit: Arc<Limit>,
    dropped: Arc<Dropped>,
    set_level: Box<dyn Fn(LevelFilter)>,
    set_output: Box<dyn Fn(Output)>,
    /// Level and output, as CONFIG_DB said when it was last read.
    applied: Option<(String, String)>,
}

impl Logging {
    /// Starts the log of this process. What is dropped is counted here.
    pub fn start(config: &LogConfig, telemetry: Arc<Telemetry>) -> Result<Self, TryInitError> {
        let dropped = Dropped::new(telemetry);
        let (output, output_handle) = reload::Layer::new(output(config.format, "", &dropped));
        let (filter, filter_handle) = reload::Layer::new(filter(config.level.unwrap_or(LogLevel::Notice)));
        let limit = Arc::new(Limit::default());
        let limit_layer = LimitLayer(Arc::clone(&limit));
        tracing_subscriber::registry().with(output).with(limit_layer).with(filter).try_init()?;
        Ok(Self {
            config: config.clone(),
            limit,
            dropped,
            set_level: Box::new(move |level| drop(filter_handle.reload(level))),
            set_output: Box::new(move |output| drop(output_handle.reload(output))),
            applied: None,
        })
    }

    /// Applies CONFIG_DB's row. What the operator configured holds until that row changes at run time.
    pub fn apply(&mut self, wanted: &str, destination: &str) {
        let before = self.applied.replace((wanted.to_owned(), destination.to_owned()));
        let at_run_time = before.is_some();
        let (level_before, destination_before) = before.unwrap_or_default();
        if level_before != wanted && (at_run_time || self.config.level.is_none()) {
            match level(wanted) {
                Some(level) => {
                    (self.set_level)(filter(level));
                    if at_run_time {
                        info!(level = wanted, "log level follows CONFIG_DB");
                    }
                }
                None => warn!(
                    value = wanted,
                    "LOGGER|portsyncd LOGLEVEL is no level, keeping the one before; right is EMERG, ALERT, CRIT, ERROR, WARN, NOTICE, INFO or DEBUG"
                ),
            }
        }
        if destination_before != destination && self.config.format == LogFormat::Auto {
            (self.set_output)(output(LogFormat::Auto, destination, &self.dropped));
        }
    }

    /// Takes a configuration that was read again.
    pub fn reconfigure(&mut self, config: &LogConfig) {
        if config.level != self.config.level {
            let applied = self.applied.as_ref().and_then(|(wanted, _)| level(wanted));
            (self.set_level)(filter(config.level.or(applied).unwrap_or(LogLevel::Notice)));
        }
        if config.format != self.config.format {
            let applied = self.applied.as_ref().map_or("", |(_, destination)| destination);
            (self.set_output)(output(config.format, applied, &self.dropped));
        }
        self.config = config.clone();
    }

    /// Says how many lines were left out since the last time, if any were.
    pub fn report_left_out(&self) {
        let left_out = self.limit.take_left_out();
        if left_out > 0 {
            warn!(left_out, "log messages left out, they repeated too often");
        }
    }

    /// Whether [`report_left_out`](Self::report_left_out) has something to say.
    pub fn has_left_out(&self) -> bool {
        self.limit.has_left_out()
    }
}

/// `SONiC` has a level between tracing's warn and info, and none below debug: NOTICE is tracing's info, INFO its debug,
/// DEBUG its trace. Lines and syslog have the names of `SONiC` again.
fn filter(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Notice => LevelFilter::INFO,
        LogLevel::Info => LevelFilter::DEBUG,
        LogLevel::Debug => LevelFilter::TRACE,
    }
}

fn level(name: &str) -> Option<LogLevel> {
    Some(match name {
        "EMERG" | "ALERT" | "CRIT" | "ERROR" => LogLevel::Error,
        "WARN" => LogLevel::Warn,
        "NOTICE" => LogLevel::Notice,
        "INFO" => LogLevel::Info,
        "DEBUG" => LogLevel::Debug,
        _ => return None,
    })
}

/// `wanted` is CONFIG_DB's `LOGOUTPUT`, which decides where the format is left open.
fn output(format: LogFormat, wanted: &str, dropped: &Arc<Dropped>) -> Output {
    let terminal = std::io::stderr().is_terminal();
    let text = || (To::Stream(Stream::stderr()), Style::Text { colour: terminal });
    let (to, style) = match (format, wanted) {
        (LogFormat::Json, _) => (To::Stream(Stream::stderr()), Style::Json),
        (LogFormat::Auto, "STDOUT") => (To::Stream(Stream::stdout()), Style::Text { colour: false }),
        (LogFormat::Text, _) | (LogFormat::Auto, "STDERR") => text(),
        (LogFormat::Auto, _) if terminal || !Path::new(SYSLOG).exists() => text(),
        (LogFormat::Auto | LogFormat::Syslog, _) => (To::Syslog(Syslog::at(SYSLOG)), Style::Bare),
    };
    fmt::layer().event_format(style).with_writer(Outlet::new(to, style, Arc::clone(dropped))).boxed()
}
