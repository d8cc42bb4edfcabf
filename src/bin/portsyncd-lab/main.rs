//! The laboratory: a fake switch for portsyncd, and a demonstration that needs no set-up.

mod demo;
mod flap;
mod server;
mod switch;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// A switch for portsyncd in private network namespaces: real kernel links, a real Redis, no hardware.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::Args),
    Switch(switch::Args),
}

fn main() -> ExitCode {
    let cli = Cli::try_parse().unwrap_or_else(|error| {
        let _ = error.print();
        // 64: usage, as the daemon has it; help and version are no error.
        std::process::exit(if error.use_stderr() { 64 } else { 0 });
    });
    let outcome = match cli.command {
        Command::Demo(args) => demo::run(&args),
        Command::Switch(args) => switch::run(&args),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("portsyncd-lab: {error:#}");
        ExitCode::FAILURE
    })
}
