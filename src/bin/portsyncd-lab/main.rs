//! The laboratory's command line.

mod conformance;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

const USAGE: u8 = 64;

#[derive(Parser)]
#[command(name = "portsyncd-lab", version, about = "Fake switches, measurements and checks for any portsyncd")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Conformance(conformance::Args),
    #[command(hide = true)]
    ConformanceOne(conformance::OneArgs),
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
    match arguments.command {
        Command::Conformance(args) => conformance::main(&args),
        Command::ConformanceOne(args) => conformance::one(&args),
    }
}
