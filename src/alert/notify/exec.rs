//! A program that is given the message on its standard input.
//!
//! It is bounded in time and in number, has a process group of its own, so that what it started ends with it when it
//! takes too long, and gets nothing of the daemon's environment.

use std::convert::Infallible;
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStderr, Command};
use tokio::time::timeout;

use super::error::DeliveryError;
use super::message::AlertBatch;
use crate::config::sinks::ExecConfig;

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// How much of what it says on standard error is kept.
const TEXT: usize = 512;
/// For the rest of it, once it has ended: something that it started may hold standard error open.
const LAST_WORDS: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(super) struct Exec {
    config: ExecConfig,
    pub shown: String,
}

impl Exec {
    pub fn new(config: ExecConfig) -> Self {
        Self { shown: config.program.display().to_string(), config }
    }

    pub fn max_running(&self) -> usize {
        self.config.max_running
    }

    pub async fn send(&self, batch: &AlertBatch<'_>) -> Result<(), DeliveryError> {
        let body = batch.json()?;
        let start = |source| DeliveryError::Start { program: self.config.program.clone(), source };
        let mut child = Command::new(&self.config.program)
            .args(&self.config.arguments)
            .env_clear()
            .env("PATH", PATH)
            .env("PORTSYNCD_SINK", batch.sink)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(start)?;
        let mut group = Group::of(&child);
        let (stdin, stderr) = (child.stdin.take(), child.stderr.take());
        let mut text = Vec::new();
        let feed = async {
            if let Some(mut stdin) = stdin {
                // A program need not read it all, or at all.
                let _ = stdin.write_all(&body).await;
            }
        };
        let mut stderr = stderr;
        let talk = async {
            futures_util::join!(feed, listen(stderr.as_mut(), &mut text));
            std::future::pending::<Infallible>().await
        };
        let status = tokio::select! {
            status = child.wait() => status.map_err(start)?,
            never = talk => match never {},
        };
        group.has_ended();
        if status.success() {
            return Ok(());
        }
        let _ = timeout(LAST_WORDS, listen(stderr.as_mut(), &mut text)).await;
        let text = String::from_utf8_lossy(&text).trim().escape_debug().to_string();
        Err(DeliveryError::Exit { status, text })
    }
}

/// Reads to the end and keeps the beginning.
async fn listen(stderr: Option<&mut ChildStderr>, text: &mut Vec<u8>) {
    let Some(stderr) = stderr else { return };
    let mut part = [0; TEXT];
    while let Ok(length @ 1..) = stderr.read(&mut part).await {
        text.extend_from_slice(&part[..length.min(TEXT - text.len())]);
    }
}

/// The program's process group: killed when it is dropped before the program has ended.
#[derive(Debug)]
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        Self(child.id().and_then(|pid| i32::try_from(pid).ok()).map(Pid::from_raw))
    }

    /// From now on the number may be another's.
    fn has_ended(&mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // Fails only if all of it has ended already.
            let _ = killpg(group, Signal::SIGKILL);
        }
    }
}
