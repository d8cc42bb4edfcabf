//! The measured executable as a process: started with nothing but what a switch gives it, looked at from outside, ended.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use nix::sys::signal::{Signal, kill};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;
use portsyncd::lab::wait;

use super::super::protocol::Memory;

/// Where its output goes.
const OUTPUT: &str = "/run/lab/output.log";
/// Lines of its output that an error shows.
const SHOWN: usize = 3;
const END_LIMIT: Duration = Duration::from_secs(10);
/// Variables that it gets from us.
const KEPT: [&str; 3] = ["PATH", "LD_LIBRARY_PATH", "RUST_BACKTRACE"];

#[derive(Debug, Clone)]
pub enum Target {
    /// An executable that is started without arguments.
    Bin(PathBuf),
    /// Our own least process, `portsyncd-lab floor`.
    Floor,
}

impl Target {
    /// The command that runs it, after the words of `wrapper`.
    fn command(&self, wrapper: &[String]) -> Command {
        let own = Path::new("/proc/self/exe");
        let (path, argument) = match self {
            Self::Bin(path) => (path.as_path(), None),
            Self::Floor => (own, Some("floor")),
        };
        // In a wrapper /proc/self is the wrapper.
        let path = if wrapper.is_empty() { path.to_owned() } else { fs::canonicalize(path).unwrap_or(path.to_owned()) };
        let mut command = match wrapper {
            [] => Command::new(path),
            [program, arguments @ ..] => {
                let mut command = Command::new(program);
                command.args(arguments).arg(path);
                command
            }
        };
        command.args(argument);
        command
    }

    pub fn file_bytes(&self) -> u64 {
        let path = match self {
            Self::Bin(path) => path.as_path(),
            Self::Floor => Path::new("/proc/self/exe"),
        };
        fs::metadata(path).map(|data| data.len()).unwrap_or_default()
    }
}

/// It runs, or has ended by itself.
#[derive(Debug)]
pub struct Program {
    child: Child,
    pid: Pid,
    clock: ClockId,
}

impl Program {
    /// Starts it; its output begins anew.
    pub fn start(target: &Target, wrapper: &[String]) -> anyhow::Result<Self> {
        let output = File::create(OUTPUT).with_context(|| format!("cannot write {OUTPUT}"))?;
        let mut command = target.command(wrapper);
        let child = command
            .env_clear()
            .envs(KEPT.iter().filter_map(|name| Some((*name, std::env::var_os(name)?))))
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("cannot start {}", command.get_program().display()))?;
        let pid = Pid::from_raw(i32::try_from(child.id())?);
        let clock = ClockId::pid_cpu_clock_id(pid).context("cannot read its CPU clock")?;
        Ok(Self { child, pid, clock })
    }

    /// An error if it does not run any more.
    pub fn check(&mut self) -> anyhow::Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("it ended by itself with {status}; its output ends with: {}", last_lines()),
        }
    }

    /// CPU time so far in nanoseconds; 0 once it has ended.
    pub fn cpu_ns(&self) -> u64 {
        clock_ns(self.clock)
    }

    /// User and system time so far, in ticks.
    pub fn ticks(&self) -> (u64, u64) {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid)).unwrap_or_default();
        ticks(&stat)
    }

    pub fn signal(&mut self, signal: Signal) -> anyhow::Result<()> {
        self.check()?;
        kill(self.pid, signal).with_context(|| format!("cannot send it {signal}"))
    }

    /// SIGTERM, and SIGKILL if that does not end it.
    pub fn end(mut self) {
        // Both fail only if it has ended already.
        let _ = kill(self.pid, Signal::SIGTERM);
        let _ = wait::until("its end", END_LIMIT, || !matches!(self.child.try_wait(), Ok(None)));
    }

    /// What it takes, while `window` passes in which it has nothing to do.
    pub fn memory(&mut self, target: &Target, window: Duration) -> anyhow::Result<Memory> {
        let process = format!("/proc/{}", self.pid);
        let before = self.switches();
        std::thread::sleep(window);
        self.check()?;
        let woken = self.switches().saturating_sub(before);
        let status = fs::read_to_string(format!("{process}/status")).context("cannot read its status")?;
        let rollup = fs::read_to_string(format!("{process}/smaps_rollup")).context("cannot read its smaps_rollup")?;
        Ok(Memory {
            peak_kib: field(&status, "VmHWM"),
            pss_kib: field(&rollup, "Pss"),
            threads: field(&status, "Threads"),
            wakeups_per_second: f64::from(u32::try_from(woken)?) / window.as_secs_f64(),
            file_bytes: target.file_bytes(),
        })
    }

    /// The most memory that it ever had.
    pub fn peak_kib(&self) -> anyhow::Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).context("cannot read its status")?;
        Ok(field(&status, "VmHWM"))
    }

    /// Voluntary context switches of all its threads.
    pub fn switches(&self) -> u64 {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.pid)).into_iter().flatten().flatten();
        tasks
            .filter_map(|task| fs::read_to_string(task.path().join("status")).ok())
            .map(|status| field(&status, "voluntary_ctxt_switches"))
            .sum()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// CPU time of a process by its clock.
pub fn clock_ns(clock: ClockId) -> u64 {
    let Ok(time) = clock_gettime(clock) else { return 0 };
    u64::try_from(Duration::from(time).as_nanos()).unwrap_or_default()
}

pub fn output() -> String {
    String::from_utf8_lossy(&fs::read(OUTPUT).unwrap_or_default()).into_owned()
}

/// The last lines of its output.
pub fn last_lines() -> String {
    let text = output();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(SHOWN)..].join(" / ")
}

/// The number after `name:`.
fn field(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or_default()
}

/// User and system ticks of a `/proc/<pid>/stat`.
fn ticks(stat: &str) -> (u64, u64) {
    // The name, in brackets, may hold anything.
    let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let mut fields = rest.split_whitespace().skip(11).map(|field| field.parse().unwrap_or_default());
    (fields.next().unwrap_or_default(), fields.next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_proc() {
        let status =
            "Name:\tx\nVmHWM:\t    4444 kB\nThreads:\t3\nvoluntary_ctxt_switches:\t7\nnonvoluntary_ctxt_switches:\t9\n";
        assert_eq!(field(status, "VmHWM"), 4444);
        assert_eq!(field(status, "voluntary_ctxt_switches"), 7);
        assert_eq!(field(status, "Pss"), 0);
        let stat = "12 (a ) b) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14";
        assert_eq!(ticks(stat), (11, 12));
    }
}
