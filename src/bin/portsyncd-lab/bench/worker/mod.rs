//! The measured side of `bench`: one executable in namespaces of its own, with its own Redis and links.
//!
//! In: [`Request`]s on standard input. Out: [`Answer`]s on standard output. It ends when its standard input is closed, whatever
//! it is doing then, and everything that it started ends with it.

mod http_load;
mod load;
mod measure;
mod program;
mod rules;
mod scene;
mod watch;

use std::io::{BufRead, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::mpsc;
use std::time::Duration;

use super::protocol::{Answer, Request};
use crate::sandbox;
use program::Target;
use scene::Scene;

/// One measured executable, in namespaces of its own
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
pub struct Args {
    #[arg(long)]
    bin: Option<PathBuf>,
    #[arg(long)]
    floor: bool,
}

/// Answers requests until there are no more.
pub fn main(args: &Args) -> ExitCode {
    if std::env::var_os(sandbox::INSIDE).is_none() {
        return sandbox::enter().unwrap_or_else(|message| {
            say(&Answer::Failed(message));
            ExitCode::FAILURE
        });
    }
    let target = args.bin.clone().map_or(Target::Floor, Target::Bin);
    let scene = sandbox::prepare().map_err(anyhow::Error::msg).and_then(|()| Scene::new(target));
    let requests = requests();
    let mut scene = match scene {
        Ok(scene) => scene,
        Err(error) => {
            say(&Answer::Failed(format!("{error:#}")));
            return ExitCode::FAILURE;
        }
    };
    let mut past = Past::default();
    while let Ok(line) = requests.recv() {
        let answer = serde_json::from_str(&line)
            .map_err(anyhow::Error::from)
            .and_then(|request| answer(&mut scene, &request, &mut past));
        say(&answer.unwrap_or_else(|error| Answer::Failed(format!("{error:#}"))));
    }
    ExitCode::SUCCESS
}

/// The lines of standard input; this program ends with it.
fn requests() -> mpsc::Receiver<String> {
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if tell.send(line).is_err() {
                break;
            }
        }
        std::process::exit(0);
    });
    told
}

fn say(answer: &Answer) {
    let line = serde_json::to_string(answer).unwrap_or_default();
    let mut out = std::io::stdout().lock();
    // It fails only if nobody listens any more, and then standard input is closed as well.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// What there was so far.
#[derive(Debug, Default)]
struct Past {
    /// Events of latency measurements: each begins with the port behind the last one.
    events: usize,
    /// Measurements under load: in every other one the clients come first.
    loads: usize,
}

fn answer(scene: &mut Scene, request: &Request, past: &mut Past) -> anyhow::Result<Answer> {
    Ok(match *request {
        Request::SetUp { ports, rules } => {
            if rules {
                rules::write(0)?;
            }
            scene.set_up(ports, &if rules { rules::wrapper() } else { Vec::new() })?;
            Answer::Done
        }
        Request::Latency { events } => {
            let from = past.events;
            past.events += events;
            Answer::Latency(measure::latency(scene, from, events)?)
        }
        Request::Burst { times } => Answer::Burst(measure::burst(scene, times)?),
        Request::Rules { count } => Answer::Rules(rules::answer(scene, count)?),
        Request::Start { ports } => Answer::Start(measure::start(scene, ports)?),
        Request::Restart { warm } => Answer::Restart(measure::restart(scene, warm)?),
        Request::Load { per_second, milliseconds, clients } => {
            past.loads += 1;
            let crowd_first = past.loads.is_multiple_of(2);
            let window = Duration::from_millis(milliseconds);
            Answer::Load(Box::new(load::load(scene, per_second, window, clients, crowd_first)?))
        }
        Request::Memory { milliseconds } => {
            Answer::Memory(measure::memory(scene, Duration::from_millis(milliseconds))?)
        }
        Request::Instructions { ports, events, rules } => {
            let wrapper = match rules {
                None => Vec::new(),
                Some(count) => {
                    rules::write(count)?;
                    rules::wrapper()
                }
            };
            Answer::Instructions(measure::instructions(scene, ports, events, wrapper)?)
        }
        Request::TakeDown => {
            scene.take_down()?;
            Answer::Done
        }
    })
}
