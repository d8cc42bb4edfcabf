//! The command line: `portsyncd` (the daemon) and `portsyncd check-config`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
use portsyncd::config::{self, Config, ConfigError, Flags, LogLevel};
use portsyncd::{app, http};

const FAILURE: u8 = 1;
const USAGE: u8 = 64;
const CONFIGURATION: u8 = 78;

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

#[derive(Clone, Copy, Subcommand)]
enum Command {
    /// Run the daemon in the foreground; so does no command at all
    Run,
    /// Read everything that the daemon would read, and print what holds
    CheckConfig,
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
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Nothing can be done about a closed terminal.
            let _ = error.print();
            return if error.use_stderr() { USAGE.into() } else { ExitCode::SUCCESS };
        }
    };
    let flags = Flags { file: arguments.config, log_level: arguments.log_level.map(LogLevel::from) };
    let config = match config::load(&flags) {
        Ok(config) => config,
        Err(error) => return refuse(&error),
    };
    let outcome = match arguments.command.unwrap_or(Command::Run) {
        Command::CheckConfig => check_config(&config),
        Command::Run => app::run(config, flags),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => FAILURE.into(),
        Err(error) => match error.downcast_ref::<ConfigError>() {
            Some(error) => refuse(error),
            None => {
                eprintln!("portsyncd: {error:#}");
                FAILURE.into()
            }
        },
    }
}

#[expect(clippy::print_stdout, reason = "the command's output")]
fn check_config(config: &Config) -> anyhow::Result<bool> {
    let store = config.redis.store()?;
    http::tls::acceptor(&config.http).map_err(ConfigError::from)?;
    print!("{}", config.shown());
    println!();
    let password = if store.password.is_some() { "<hidden>" } else { "none" };
    println!("# effective: user {:?}, password {password}", store.username);
    for database in [&store.topology.appl, &store.topology.config, &store.topology.state] {
        println!(
            "# effective: {} is database {} with separator {:?} at {}",
            database.name, database.id, database.separator, database.address
        );
    }
    Ok(true)
}

fn refuse(error: &ConfigError) -> ExitCode {
    let mut message = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        message.push_str(&format!(": {error}"));
        cause = error.source();
    }
    eprintln!("portsyncd: {message}");
    CONFIGURATION.into()
}
