//! The command line: `portsyncd` is the daemon; the other commands ask a running one, or look at what it would read.

mod cli;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
use portsyncd::app;
use portsyncd::config::{self, Flags, LogLevel};
use portsyncd::nowait::Stream;

#[derive(Parser)]
#[command(name = "portsyncd", version, about = "Turns the kernel's link events into rows of SONiC's Redis databases")]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// Configuration file [default: /etc/sonic/portsyncd.toml, which may be absent]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// How much is logged, whatever file and CONFIG_DB say at the start
    #[arg(long, global = true, value_name = "LEVEL", value_enum)]
    log_level: Option<Level>,
}

#[derive(Clone, Subcommand)]
enum Command {
    /// Run the daemon in the foreground; so does no command at all
    Run,
    /// Hold Redis against the kernel and tell what the daemon would write, without writing anything
    Observe(cli::observe::Options),
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
        action: Option<cli::alerts::Action>,
        /// The daemon's JSON
        #[arg(long, global = true)]
        json: bool,
    },
    /// Ask the running daemon about its rules, or test rules without it
    Rules {
        #[command(subcommand)]
        action: cli::rules::Action,
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

#[derive(Clone, Copy, ValueEnum)]
enum Level {
    Error,
    Warn,
    Notice,
    Info,
    Debug,
}

impl From<Level> for LogLevel {
    fn from(level: Level) -> Self {
        match level {
            Level::Error => Self::Error,
            Level::Warn => Self::Warn,
            Level::Notice => Self::Notice,
            Level::Info => Self::Info,
            Level::Debug => Self::Debug,
        }
    }
}

fn main() -> ExitCode {
    // A signal that comes while the daemon starts waits until it is listened to; by default it would end the process.
    let signals = app::signals();
    let held = signals.thread_block();
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Nothing can be done about a closed terminal.
            let _ = error.print();
            return if error.use_stderr() { cli::USAGE.into() } else { ExitCode::SUCCESS };
        }
    };
    if !matches!(arguments.command, None | Some(Command::Run)) && held.is_ok() {
        let _ = signals.thread_unblock();
    }
    match run(arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => cli::FAILURE.into(),
        Err(error) => {
            // The end of the daemon waits for nobody who does not read.
            let _ = Stream::stderr().map(|stderr| stderr.write(format!("portsyncd: {error:#}\n").as_bytes()));
            cli::exit_code(&error).into()
        }
    }
}

/// Whether all went well.
fn run(arguments: Arguments) -> anyhow::Result<bool> {
    let flags = Flags { file: arguments.config, log_level: arguments.log_level.map(LogLevel::from) };
    let config = || config::load(&flags);
    match arguments.command.unwrap_or(Command::Run) {
        Command::Run => app::run(config()?, flags),
        Command::Observe(options) => cli::observe::run(&config()?, &options),
        Command::CheckConfig => cli::check_config::run(&config()?),
        Command::Status { json } => cli::status::run(&config()?.control, json),
        Command::Healthcheck { ready } => cli::healthcheck::run(&config()?.control, ready),
        Command::Ports { json } => cli::ports::run(&config()?.control, json),
        Command::Alerts { action, json } => {
            cli::alerts::run(&config()?.control, &action.unwrap_or(cli::alerts::Action::List), json)
        }
        Command::Rules { action: cli::rules::Action::List { json } } => cli::rules::list(&config()?.control, json),
        Command::Rules { action: cli::rules::Action::Test { files } } => cli::rules::test(&files),
        Command::Watch => cli::watch::run(&config()?.control),
        Command::Metrics { markdown } => cli::metrics::run(markdown),
    }
}

#[cfg(test)]
#[path = "packaged_tests.rs"]
mod packaged;

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    /// What the man page says besides the command line.
    const MORE: &str = include_str!("../container/deb/portsyncd.8.more");

    #[test]
    fn packaged_man_pages_and_completions_are_those_of_the_command_line() {
        super::packaged::expect(super::Arguments::command(), MORE);
    }
}
