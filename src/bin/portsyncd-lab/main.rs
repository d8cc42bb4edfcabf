//! The laboratory: a fake switch for portsyncd, and a demonstration that needs no set-up.

mod baseline;
mod bench;
mod conformance;
mod demo;
mod flap;
mod sandbox;
mod server;
mod switch;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// A switch for portsyncd in private network namespaces: real kernel links, a real Redis, no hardware.
#[derive(Debug, Parser)]
#[command(name = "portsyncd-lab", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Bench(bench::Args),
    /// One measured executable, in namespaces of its own; what `bench` starts
    #[command(hide = true)]
    BenchWorker(bench::worker::Args),
    /// Clients of a daemon's HTTP; what the worker starts
    #[command(hide = true)]
    BenchClients(bench::clients::Args),
    /// The daemon's parts with messages that are made up, in a process of their own; what `bench` starts
    #[command(hide = true)]
    BenchGenerated(bench::generated::Args),
    Conformance(conformance::Args),
    /// One scenario, in namespaces of its own; what `conformance` starts
    #[command(hide = true)]
    ConformanceOne(conformance::OneArgs),
    Demo(demo::Args),
    /// The least that can be between the kernel and Redis; what `bench` compares with
    #[command(hide = true)]
    Floor,
    Switch(switch::Args),
}

fn main() -> ExitCode {
    let cli = Cli::try_parse().unwrap_or_else(|error| {
        let _ = error.print();
        // 64: usage, as the daemon has it; help and version are no error.
        std::process::exit(if error.use_stderr() { 64 } else { 0 });
    });
    let outcome = match cli.command {
        Command::Bench(args) => bench::main(&args),
        Command::BenchWorker(args) => return bench::worker::main(&args),
        Command::BenchClients(args) => bench::clients::main(&args),
        Command::BenchGenerated(args) => bench::generated::main(&args),
        Command::Conformance(args) => return conformance::main(&args),
        Command::ConformanceOne(args) => return conformance::one(&args),
        Command::Floor => baseline::run(),
        Command::Demo(args) => demo::run(&args),
        Command::Switch(args) => switch::run(&args),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("portsyncd-lab: {error:#}");
        ExitCode::FAILURE
    })
}

#[cfg(test)]
#[path = "../../packaged_tests.rs"]
mod packaged;

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn packaged_man_pages_and_completions_are_those_of_the_command_line() {
        super::packaged::expect(super::Cli::command(), "");
    }
}
