//! `portsyncd-lab bench`: how fast any portsyncd executables are, beside each other and beside the least that there can be.
//!
//! In: executables. Each has namespaces, Redis and links of its own ([`worker`]); all are there at the same time and are asked
//! in turns ([`runner`]). Out: tables with the ratio pair by pair ([`summary`], [`table`]) or JSON; 0 if the executable of `--bin`
//! ended right everywhere, 1 if not, 64 usage. Times never make it fail.

pub mod clients;
pub mod generated;
mod machine;
mod plan;
mod protocol;
mod row;
mod runner;
mod stats;
mod summary;
mod table;
mod target;
pub mod worker;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, bail};

use generated::Generated;
use machine::Machine;
use plan::{Measure, Plan};
use table::Style;
use target::Target;

const USAGE: u8 = 64;
/// More ports than any switch has; the kernel needs some 45 KiB and half a millisecond for each.
const MOST_PORTS: usize = 100_000;
const FEW_PORTS: usize = 32;

/// Measure any portsyncd executables: latency, bursts, starts, restarts, steady load, alert rules, memory
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The executable to measure
    #[arg(long, value_name = "PROGRAM")]
    bin: PathBuf,
    /// Another one to compare it with: the C++ daemon, an older build; can be repeated
    #[arg(long, value_name = "PROGRAM")]
    against: Vec<PathBuf>,
    /// Write everything as JSON to this file; - writes it to standard output in place of the tables
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Small numbers, to see that everything works: says nothing about speed
    #[arg(long)]
    short: bool,
    /// Only these measurements
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_enum)]
    only: Vec<Measure>,
    /// Numbers of ports, for every measurement
    #[arg(long, value_name = "N,N", value_delimiter = ',')]
    ports: Vec<usize>,
    /// Events of each latency measurement
    #[arg(long, value_name = "N")]
    events: Option<usize>,
    /// Turns that each executable has: slices of a latency measurement, repetitions of the others
    #[arg(long, value_name = "N")]
    rounds: Option<usize>,
    /// Count user instructions for each event too, by valgrind
    #[arg(long)]
    instructions: bool,
    /// Print tables in Markdown
    #[arg(long)]
    markdown: bool,
}

/// Everything that is known at the end.
#[derive(Debug, serde::Serialize)]
struct Report<'a> {
    machine: Machine,
    plan: &'a Plan,
    targets: &'a [Target],
    /// The first target ended right everywhere, and so did what this laboratory was built with.
    right: bool,
    /// What ended wrong, in the order of the targets.
    wrong: Vec<Vec<String>>,
    rows: Vec<row::Row>,
    /// Messages that are made up, through the parts of the daemon that this laboratory was built with.
    generated: &'a [Generated],
    /// What was wrong there.
    generated_wrong: Vec<String>,
}

/// Measures and prints.
pub fn main(args: &Args) -> anyhow::Result<ExitCode> {
    let (targets, plan) = match args.targets().and_then(|targets| Ok((targets, args.plan()?))) {
        Ok(both) => both,
        Err(error) => {
            eprintln!("portsyncd-lab: {error:#}");
            return Ok(USAGE.into());
        }
    };
    if args.instructions {
        let valgrind = Command::new("valgrind").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        if !valgrind.is_ok_and(|status| status.success()) {
            bail!("--instructions needs valgrind; install it (Debian and Nix: package valgrind)");
        }
    }
    let results = runner::run(&targets, &plan);
    let wrong: Vec<Vec<String>> =
        targets.iter().enumerate().map(|(at, target)| summary::wrongs(&results, at, &target.name)).collect();
    let generated_wrong: Vec<String> =
        results.not_generated.iter().cloned().chain(results.generated.iter().flat_map(Generated::wrongs)).collect();
    let report = Report {
        machine: Machine::look(),
        plan: &plan,
        targets: &targets,
        right: wrong[0].is_empty() && generated_wrong.is_empty(),
        wrong,
        rows: summary::rows(&results),
        generated: &results.generated,
        generated_wrong,
    };
    args.print(&report)?;
    Ok(if report.right { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Args {
    fn targets(&self) -> anyhow::Result<Vec<Target>> {
        Target::all(&self.bin, &self.against)
    }

    fn plan(&self) -> anyhow::Result<Plan> {
        let mut plan = if self.short { Plan::short() } else { Plan::full() };
        if let Some(ports) = self.ports.iter().find(|ports| !(1..=MOST_PORTS).contains(*ports)) {
            bail!("--ports {ports}: wanted are numbers from 1 to {MOST_PORTS}");
        }
        if self.events == Some(0) || self.rounds == Some(0) {
            bail!("--events and --rounds are 1 at least");
        }
        if !self.ports.is_empty() {
            plan = plan.with_ports(&self.ports);
        }
        if !self.only.is_empty() {
            plan = plan.only(&self.only);
        }
        if let Some(rounds) = self.rounds {
            (plan.slices, plan.repetitions, plan.repetitions_of_many) = (rounds, rounds, rounds);
            (plan.load.rounds, plan.rules.rounds) = (rounds, rounds);
        }
        plan.events = self.events.unwrap_or(plan.events);
        plan.instructions = self.instructions.then(|| self.ports.first().copied().unwrap_or(FEW_PORTS));
        Ok(plan)
    }

    #[expect(clippy::print_stdout, reason = "this is what the command is for")]
    fn print(&self, report: &Report<'_>) -> anyhow::Result<()> {
        if let Some(path) = &self.json {
            let json = serde_json::to_string_pretty(report)?;
            if path == Path::new("-") {
                println!("{json}");
                return Ok(());
            }
            std::fs::write(path, json + "\n").with_context(|| format!("cannot write {}", path.display()))?;
        }
        let style = if self.markdown { Style::Markdown } else { Style::Plain };
        println!("{}\n", report.machine.line());
        print!("{}", table::tables(&report.rows, report.targets, style));
        print!("{}", table::generated(report.generated, style));
        for what in &report.generated_wrong {
            println!("{what}");
        }
        for (target, wrong) in report.targets.iter().zip(&report.wrong) {
            for what in wrong {
                println!("{}: {what}", target.name);
            }
        }
        Ok(())
    }
}
