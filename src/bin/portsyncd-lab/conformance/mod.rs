//! `portsyncd-lab conformance`: holds any portsyncd executable against scenario files.
//!
//! In: an executable and files. Each file is run by a child process in namespaces of its own ([`sandbox`], [`run`]) with a real
//! Redis and real links. Out: the differences ([`report`]); 0 if there are none, 1 if there are, 64 usage, 78 for a bad file.

mod check;
mod expect;
mod forge;
mod ip;
mod monitor;
mod neighbours;
mod observe;
mod report;
mod rewrite;
mod run;
mod scenario;
mod text;
mod world;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use portsyncd::locks::lock;
use report::Report;
use run::Outcome;
use scenario::Scenario;

use crate::sandbox;

const DIFFERENT: u8 = 1;
const USAGE: u8 = 64;
const BAD_FILE: u8 = 78;
/// No scenario takes nearly as long.
const LIMIT: Duration = Duration::from_secs(120);
const REWRITE: &str = "PORTSYNCD_REWRITE";

/// Run scenario files against any portsyncd executable and compare what it does to Redis and the links
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The executable: this daemon, the C++ one, any other
    #[arg(long, value_name = "PROGRAM")]
    bin: PathBuf,
    /// Scenario files, or folders with them
    #[arg(default_value = "tests/scenarios")]
    files: Vec<PathBuf>,
    /// Only scenarios whose file name or title contains this
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
    /// Leave out what goes beyond the C++ daemon
    #[arg(long)]
    skip_beyond: bool,
    /// Write what happens into the files as their expectations (or set `PORTSYNCD_REWRITE=1`)
    #[arg(long)]
    rewrite: bool,
    /// Print one JSON object instead of text
    #[arg(long)]
    json: bool,
    /// Scenarios at once [default: one for each processor]
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
}

/// Runs one scenario and prints its outcome as JSON; what `conformance` starts for each file
#[derive(Debug, clap::Args)]
pub struct OneArgs {
    #[arg(long)]
    bin: PathBuf,
    #[arg(long)]
    rewrite: bool,
    file: PathBuf,
}

/// A file that is to be run.
struct Job {
    file: PathBuf,
    scenario: Scenario,
}

/// `portsyncd-lab conformance`.
pub fn main(args: &Args) -> ExitCode {
    let jobs = match args.jobs() {
        Ok(jobs) => jobs,
        Err((code, message)) => {
            eprintln!("portsyncd-lab: {message}");
            return code.into();
        }
    };
    let reports = run_all(args, &jobs);
    report::print(&reports, args.json);
    if reports.iter().all(Report::agrees) { ExitCode::SUCCESS } else { DIFFERENT.into() }
}

/// The child's part.
pub fn one(args: &OneArgs) -> ExitCode {
    if std::env::var_os(sandbox::INSIDE).is_none() {
        return sandbox::enter().unwrap_or_else(|message| broken(&message));
    }
    let outcome = sandbox::prepare().and_then(|()| {
        sandbox::end_with_input();
        Ok(run::run(&Scenario::load(&args.file)?, &args.bin, args.rewrite))
    });
    match outcome {
        Ok(outcome) => say(&outcome),
        Err(message) => broken(&message),
    }
}

fn broken(message: &str) -> ExitCode {
    say(&Outcome { broken: Some(message.to_owned()), ..Outcome::default() })
}

#[expect(clippy::print_stdout, reason = "the way to the parent")]
fn say(outcome: &Outcome) -> ExitCode {
    match serde_json::to_string(outcome) {
        Ok(line) => println!("{line}"),
        Err(error) => eprintln!("{error}"),
    }
    ExitCode::SUCCESS
}

impl Args {
    fn rewrites(&self) -> bool {
        self.rewrite || std::env::var_os(REWRITE).is_some_and(|value| value != "0" && !value.is_empty())
    }

    fn jobs(&self) -> Result<Vec<Job>, (u8, String)> {
        if !self.bin.is_file() {
            return Err((USAGE, format!("--bin {}: no such file; name a portsyncd executable", self.bin.display())));
        }
        let mut files = Vec::new();
        for path in &self.files {
            if path.is_dir() {
                let entries =
                    std::fs::read_dir(path).map_err(|e| (USAGE, format!("{}: cannot be read: {e}", path.display())))?;
                let mut found: Vec<PathBuf> = entries
                    .flatten()
                    .map(|entry| entry.path())
                    .filter(|p| p.extension().is_some_and(|e| e == "toml"))
                    .collect();
                found.sort();
                files.append(&mut found);
            } else if path.is_file() {
                files.push(path.clone());
            } else {
                return Err((
                    USAGE,
                    format!("{}: no such file; name scenario files or a folder with them", path.display()),
                ));
            }
        }
        let mut jobs = Vec::new();
        for file in files {
            let scenario = Scenario::load(&file).map_err(|message| (BAD_FILE, message))?;
            let matches = |text: &String| {
                scenario.title.contains(text.as_str()) || file.to_string_lossy().contains(text.as_str())
            };
            if self.filter.as_ref().is_none_or(matches) && !(self.skip_beyond && scenario.beyond) {
                jobs.push(Job { file, scenario });
            }
        }
        if jobs.is_empty() {
            return Err((USAGE, "no scenario is left to run; look at FILES, --filter and --skip-beyond".to_owned()));
        }
        Ok(jobs)
    }
}

fn run_all(args: &Args, jobs: &[Job]) -> Vec<Report> {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..args.jobs.unwrap_or(processors).clamp(1, jobs.len()) {
            scope.spawn(|| {
                while let Some((number, job)) =
                    Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|n| Some((n, jobs.get(n)?)))
                {
                    let report = run_one(args, job);
                    report::progress(&report, args.json);
                    lock(&done).push((number, report));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    done.sort_by_key(|(number, _)| *number);
    done.into_iter().map(|(_, report)| report).collect()
}

fn run_one(args: &Args, job: &Job) -> Report {
    let started = Instant::now();
    let mut outcome =
        child(args, &job.file).unwrap_or_else(|message| Outcome { broken: Some(message), ..Outcome::default() });
    if args.rewrites() && outcome.broken.is_none() {
        let rewritten = std::fs::read_to_string(&job.file)
            .and_then(|content| std::fs::write(&job.file, rewrite::splice(&content, &outcome.rewritten)));
        match rewritten {
            Ok(()) => outcome.differences.clear(),
            Err(error) => outcome.broken = Some(format!("{}: cannot be rewritten: {error}", job.file.display())),
        }
    }
    let scenario = &job.scenario;
    Report {
        file: job.file.clone(),
        title: scenario.title.clone(),
        beyond: scenario.beyond,
        seconds: started.elapsed().as_secs_f64(),
        outcome,
    }
}

fn child(args: &Args, file: &Path) -> Result<Outcome, String> {
    let absolute = |path: &Path| path.canonicalize().map_err(|e| format!("{}: {e}", path.display()));
    let mut command = Command::new("/proc/self/exe");
    command.arg("conformance-one").arg("--bin").arg(absolute(&args.bin)?).arg(absolute(file)?);
    if args.rewrites() {
        command.arg("--rewrite");
    }
    // The child ends when its standard input is closed: at the latest when this program ends.
    let spawned = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn();
    let child = spawned.map_err(|e| format!("cannot start this program again: {e}"))?;
    let output = finish(child)?;
    serde_json::from_slice(&output).map_err(|e| format!("the scenario's process said no outcome: {e}"))
}

/// Collects the child's output; takes its standard input away when it takes too long.
fn finish(mut child: Child) -> Result<Vec<u8>, String> {
    let lifeline = child.stdin.take();
    let (tell, told) = std::sync::mpsc::channel::<()>();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let _ = told.recv_timeout(LIMIT);
            drop(lifeline);
        });
        let output = child.wait_with_output().map_err(|e| e.to_string());
        let _ = tell.send(());
        let output = output?;
        if output.stdout.is_empty() {
            Err(format!("took longer than {LIMIT:?} or ended badly ({})", output.status))
        } else {
            Ok(output.stdout)
        }
    })
}
