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
    command: Option<MainCommand>,
    /// Configuration file [default: /etc/sonic/portsyncd.toml, which may be absent]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// How much is logged, whatever file and CONFIG_DB say at the start
    #[arg(long, global = true, value_name = "LEVEL", value_enum)]
    log_level: Option<Level>,
}

#[derive(Clone, Subcommand)]
enum MainCommand {
    /// Run the daemon in the foreground; so does no command at all
    Run,
    #[command(flatten)]
    Other(cli::Command),
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
    if !matches!(arguments.command, None | Some(MainCommand::Run)) && held.is_ok() {
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
    match arguments.command.unwrap_or(MainCommand::Run) {
        MainCommand::Run => app::run(config::load(&flags)?, flags),
        MainCommand::Other(command) => command.run(&flags),
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
