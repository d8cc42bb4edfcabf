//! The commands that ask the running daemon, and how they end.
//!
//! In: what the command line says. Out: text for people on standard output, JSON for programs with `--json`, and an exit code.

mod alerts;
mod check_config;
mod healthcheck;
mod metrics;
mod observe;
mod ports;
mod rules;
mod status;
mod watch;

mod json;
mod silence;
mod table;
mod text;

use std::io::{self, ErrorKind, IsTerminal, Write};

use anyhow::Context;
use clap::Subcommand;
use portsyncd::config::{self, ConfigError, Flags};
use portsyncd::control::ControlError;
use portsyncd::observe::ObserveError;
use thiserror::Error;

/// Something went wrong that the other codes do not say.
pub const FAILURE: u8 = 1;
/// The command line is wrong.
pub const USAGE: u8 = 64;
/// There is no daemon that answers.
const UNAVAILABLE: u8 = 69;
/// The configuration is wrong.
const CONFIGURATION: u8 = 78;

/// Every command but the daemon itself.
#[derive(Clone, Subcommand)]
pub enum Command {
    /// Hold Redis against the kernel and tell what the daemon would write, without writing anything
    Observe(observe::ObserveOptions),
    /// Read everything that the daemon would read, and print what holds
    CheckConfig,
    /// Ask the running daemon how it stands; 0 if it answers, ready or not, 69 if it does not
    Status {
        /// The daemon's JSON
        #[arg(long)]
        json: bool,
    },
    /// Ask the running daemon whether it is alive; 0 if it is, 1 if it hangs, 69 if it does not answer
    Healthcheck {
        /// Whether it is in service, rather than alive
        #[arg(long)]
        ready: bool,
    },
    /// Ask the running daemon about its ports
    Ports {
        /// The daemon's JSON
        #[arg(long)]
        json: bool,
    },
    /// Ask the running daemon about its alerts, and silence some
    Alerts {
        #[command(subcommand)]
        action: Option<alerts::AlertsCommand>,
        /// The daemon's JSON
        #[arg(long, global = true)]
        json: bool,
    },
    /// Ask the running daemon about its rules, or test rules without it
    Rules {
        #[command(subcommand)]
        action: rules::RulesCommand,
    },
    /// Watch the running daemon and its ports, live in the terminal
    Watch,
    /// Print every metric that the daemon has; needs no daemon
    Metrics {
        /// As docs/metrics.md has it
        #[arg(long)]
        markdown: bool,
    },
}

impl Command {
    /// Whether all went well.
    pub fn run(self, flags: &Flags) -> anyhow::Result<bool> {
        let config = || config::load(flags);
        match self {
            Self::Observe(options) => observe::run(&config()?, &options),
            Self::CheckConfig => check_config::run(&config()?),
            Self::Status { json } => status::run(&config()?.control, json),
            Self::Healthcheck { ready } => healthcheck::run(&config()?.control, ready),
            Self::Ports { json } => ports::run(&config()?.control, json),
            Self::Alerts { action, json } => {
                alerts::run(&config()?.control, &action.unwrap_or(alerts::AlertsCommand::List), json)
            }
            Self::Rules { action: rules::RulesCommand::List { json } } => rules::list(&config()?.control, json),
            Self::Rules { action: rules::RulesCommand::Test { files } } => rules::test(&files),
            Self::Watch => watch::run(&config()?.control),
            Self::Metrics { markdown } => metrics::run(markdown),
        }
    }
}

/// A command that cannot do what it is for.
#[derive(Debug, Error)]
enum CommandError {
    #[error("`portsyncd watch` needs a terminal to draw on; for programs there is `portsyncd status --json`")]
    NoTerminal,
    #[error("{0} of tests cannot be used")]
    WrongTests(String),
}

/// The exit code for an error.
pub fn exit_code(error: &anyhow::Error) -> u8 {
    if error.is::<ConfigError>() {
        return CONFIGURATION;
    }
    match error.downcast_ref() {
        Some(ControlError::TurnedOff) => return CONFIGURATION,
        Some(error) if error.is_unreachable() => return UNAVAILABLE,
        _ => {}
    }
    if matches!(error.downcast_ref(), Some(ObserveError::Redis(_) | ObserveError::Connect { .. })) {
        return UNAVAILABLE;
    }
    match error.downcast_ref() {
        Some(CommandError::NoTerminal) => USAGE,
        Some(CommandError::WrongTests(_)) => CONFIGURATION,
        None => FAILURE,
    }
}

/// Runs to the end, on this thread. It may connect by TLS.
fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    // One provider of cryptography is compiled in; a second call would find it there.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start the runtime")?;
    runtime.block_on(work)
}

/// Writes to standard output. A reader that has seen enough, as `head` has, is no failure.
pub fn put(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error).context("cannot write to standard output"),
        _ => Ok(()),
    }
}

/// Whether the environment wants colours, as <https://no-color.org> has it.
fn wants_colour() -> bool {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    set("NO_COLOR").is_none() && set("TERM").is_none_or(|term| term != "dumb")
}

/// Whether standard output shows colours, and is wanted to.
fn shows_colour() -> bool {
    io::stdout().is_terminal() && wants_colour()
}

/// Unix time now. Daemon and command run on the same machine, hence by the same clock.
fn now() -> f64 {
    portsyncd::clock::seconds(portsyncd::clock::now_ms())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_error_has_its_exit_code() {
        let unreachable = ControlError::Unreachable { socket: "/x".into(), cause: ErrorKind::NotFound.into() };
        let wrong = ConfigError::Format("x".to_owned());
        for (error, code) in [
            (anyhow::Error::new(unreachable), 69),
            (anyhow::Error::new(ControlError::TurnedOff), 78),
            (anyhow::Error::new(wrong), 78),
            (anyhow::Error::new(CommandError::NoTerminal), 64),
            (anyhow::Error::new(CommandError::WrongTests("1 file".to_owned())), 78),
            (anyhow::Error::new(ControlError::Declined("no".to_owned())), 1),
            (anyhow::anyhow!("x"), 1),
            (anyhow::Error::new(ControlError::TooLong { socket: "/x".into(), path: "/y".to_owned() }), 1),
        ] {
            assert_eq!(exit_code(&error), code, "{error}");
        }
    }
}
