//! The demonstration: one command, no set-up, works as an ordinary user.
//!
//! In a network namespace of its own it runs a private Redis, the fake switch and the real daemon, makes links go up and
//! down, and shows what the kernel says beside what `STATE_DB` says. Every wait is bounded; every child is ended by its
//! handle, on errors and Ctrl-C too.

mod alerts;
mod compare;
mod process;
mod screen;
mod stage;
mod steps;
mod window;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use portsyncd::lab::netns;
use tokio::signal::unix::{SignalKind, signal};

use stage::Stage;
use window::Window;

/// One command and no set-up: a fake switch, a real Redis, the real daemon, links going up and down, shown live
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Ports of the switch
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(2..=4096))]
    ports: u16,
    /// The most that all steps together may take
    #[arg(long, default_value_t = 60, value_name = "N")]
    seconds: u64,
    /// The daemon [default: portsyncd beside this program]
    #[arg(long, value_name = "PATH")]
    bin: Option<PathBuf>,
    /// Seed of the flaps
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Keep everything running after the steps, to play with, until Ctrl-C
    #[arg(long)]
    hold: bool,
}

/// Runs the demonstration; success only if every step ended with kernel and STATE_DB in step.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let daemon = daemon(args)?;
    let outside = fs::read_link("/proc/self/ns/user").ok();
    let window = Window::open().context("cannot open a window into the demonstration's network")?;
    let address = window.address()?;
    netns::enter_private()?;
    let own_user_namespace = fs::read_link("/proc/self/ns/user").ok() != outside;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let window = tokio::spawn(window.serve());
        let mut stage = Stage::set_up(args, daemon, format!("http://{address}/"))?;
        // Cut off by a signal, the stage falls, and with it its children.
        tokio::select! {
            () = steps::all(&mut stage) => {}
            _ = interrupt.recv() => return Ok(ExitCode::from(130)),
            _ = terminate.recv() => return Ok(ExitCode::from(143)),
        }
        if args.hold {
            stage.invite(own_user_namespace)?;
            tokio::select! {
                () = stage.hold() => {}
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        }
        tokio::select! {
            () = steps::end(&mut stage) => {}
            _ = interrupt.recv() => return Ok(ExitCode::from(130)),
            _ = terminate.recv() => return Ok(ExitCode::from(143)),
        }
        window.abort();
        Ok(if stage.finish().await { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    })
}

fn daemon(args: &Args) -> anyhow::Result<PathBuf> {
    let path = match &args.bin {
        Some(path) => path.clone(),
        None => std::env::current_exe().context("cannot find out where this program is")?.with_file_name("portsyncd"),
    };
    path.canonicalize()
        .with_context(|| format!("no daemon at {}: build it (cargo build) or name it with --bin", path.display()))
}
