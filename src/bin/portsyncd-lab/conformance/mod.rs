//! `conformance`: scenario files against any portsyncd executable.
//!
//! Each scenario runs in a process of its own, in fresh network and mount namespaces, with a fresh Redis at the place where
//! every portsyncd looks for it: `/var/run/redis/sonic-db/database_config.json`. The executable gets no option and is asked
//! nothing; only the kernel and Redis are looked at. docs/scenarios.md describes the files.

mod action;
mod expect;
mod run;
mod scenario;
mod stage;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, bail};
use scenario::Scenario;

const BAD_SCENARIO: u8 = 78;

/// Run scenario files against any portsyncd executable and show where it differs
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The executable
    #[arg(long, value_name = "PATH")]
    bin: PathBuf,
    /// Scenario files or folders of them
    #[arg(value_name = "FILE", default_value = "tests/scenarios")]
    files: Vec<PathBuf>,
    /// Leave out what only this project's daemon promises
    #[arg(long)]
    skip_beyond: bool,
    /// Run only scenarios whose file name contains this
    #[arg(long, value_name = "TEXT", default_value = "")]
    filter: String,
    /// Run the one file here and now: the namespaces are this process's own
    #[arg(long, hide = true)]
    inside: bool,
}

/// Runs the scenarios; success if the executable agrees with all of them.
#[expect(clippy::print_stdout, reason = "the command's output")]
pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    if args.inside {
        return inside(args);
    }
    if !args.bin.is_file() {
        bail!("--bin {}: there is no such file", args.bin.display());
    }
    let files = scenario_files(args)?;
    if files.is_empty() {
        bail!("no scenario files (*.toml) in {:?} with {:?} in their name", args.files, args.filter);
    }
    let scenarios: Vec<_> = files.iter().map(|file| Scenario::read(file).map(|scenario| (file, scenario))).collect();
    let (mut passed, mut failed, mut skipped, mut bad) = (0, 0, 0, 0);
    for scenario in scenarios {
        let (file, scenario) = match scenario {
            Ok(scenario) => scenario,
            Err(error) => {
                eprintln!("{error:#}");
                bad += 1;
                continue;
            }
        };
        if scenario.beyond && args.skip_beyond {
            skipped += 1;
            continue;
        }
        let output = Command::new(std::env::current_exe().context("cannot find this program")?)
            .args(["conformance", "--inside", "--bin"])
            .arg(args.bin.canonicalize().with_context(|| format!("--bin {}", args.bin.display()))?)
            .arg(file)
            .stdin(Stdio::null())
            .output()
            .context("cannot start a process for the scenario")?;
        if output.status.success() {
            passed += 1;
            println!("agrees   {}", scenario.title);
        } else {
            failed += 1;
            println!("DIFFERS  {} ({})", scenario.title, file.display());
            for line in String::from_utf8_lossy(&output.stdout).lines().chain(String::from_utf8_lossy(&output.stderr).lines()) {
                println!("         {line}");
            }
        }
    }
    println!("{passed} agree, {failed} differ, {skipped} left out");
    Ok(match (bad, failed) {
        (0, 0) => ExitCode::SUCCESS,
        (0, _) => ExitCode::FAILURE,
        _ => BAD_SCENARIO.into(),
    })
}

fn inside(args: &Args) -> anyhow::Result<ExitCode> {
    let [file] = args.files.as_slice() else { bail!("--inside takes one file") };
    let scenario = Scenario::read(file)?;
    let stage = stage::Stage::enter()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(run::Run::new(&scenario, stage, &args.bin)?.all())?;
    Ok(ExitCode::SUCCESS)
}

fn scenario_files(args: &Args) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for path in &args.files {
        if path.is_dir() {
            let entries = std::fs::read_dir(path).with_context(|| format!("cannot read {}", path.display()))?;
            found.extend(entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| has_scenario(path)));
        } else {
            found.push(path.clone());
        }
    }
    found.retain(|path| path.to_string_lossy().contains(&args.filter));
    found.sort();
    Ok(found)
}

fn has_scenario(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "toml")
}
