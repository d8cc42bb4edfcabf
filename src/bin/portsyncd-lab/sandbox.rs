//! A sandbox for one scenario or one measured executable: user, mount, network and process namespaces.
//!
//! [`enter`] starts this program again inside; the inner program finds an empty `/run` (so that Redis' socket and
//! `database_config.json` stand where every portsyncd looks for them, and no syslog), a network with nothing but `lo`, and is
//! the first process of its process namespace: when it ends, whatever it started ends too. It is to end when its standard input
//! is closed ([`end_with_input`], unless it reads that itself), so nothing survives the runner.

use std::io::Read;
use std::path::Path;
use std::process::{Command, ExitCode};

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{getgid, getuid};
use portsyncd::lab::netns;

/// Set for the inner program.
pub const INSIDE: &str = "PORTSYNCD_LAB_INSIDE";

/// Runs this program again, with the same arguments, in namespaces of its own. Needs a single-threaded caller.
pub fn enter() -> Result<ExitCode, String> {
    let spaces = CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWPID;
    match unshare(spaces) {
        Ok(()) => {}
        Err(Errno::EPERM) => {
            let (uid, gid) = (getuid(), getgid());
            unshare(spaces | CloneFlags::CLONE_NEWUSER).map_err(|e| {
                format!("cannot make namespaces: {e}; run as root, or allow unprivileged user namespaces (user.max_user_namespaces)")
            })?;
            for (file, line) in
                [("setgroups", "deny".to_owned()), ("uid_map", format!("0 {uid} 1")), ("gid_map", format!("0 {gid} 1"))]
            {
                std::fs::write(format!("/proc/self/{file}"), line)
                    .map_err(|e| format!("cannot write /proc/self/{file}: {e}"))?;
            }
        }
        Err(e) => return Err(format!("cannot make namespaces: {e}")),
    }
    let status = Command::new("/proc/self/exe")
        .args(std::env::args_os().skip(1))
        .env(INSIDE, "1")
        .status()
        .map_err(|e| format!("cannot start this program again: {e}"))?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Prepares the sandbox; called by the inner program before anything else.
pub fn prepare() -> Result<(), String> {
    bound(None, "/", None, MsFlags::MS_REC | MsFlags::MS_PRIVATE)?;
    let usual = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    bound(Some("proc"), "/proc", Some("proc"), usual)?;
    bound(Some("sysfs"), "/sys", Some("sysfs"), usual)?;
    bound(Some("tmpfs"), "/run", Some("tmpfs"), MsFlags::empty())?;
    if !Path::new("/var/run").is_symlink() {
        bound(Some("/run"), "/var/run", None, MsFlags::MS_BIND)?;
    }
    for own in ["/var/lib", "/etc/sonic"] {
        if Path::new(own).is_dir() {
            bound(Some("tmpfs"), own, Some("tmpfs"), MsFlags::empty())?;
        }
    }
    netns::loopback_up().map_err(|e| e.to_string())
}

/// Ends this program when its standard input is closed.
pub fn end_with_input() {
    std::thread::spawn(|| {
        let mut nothing = [0];
        while std::io::stdin().read(&mut nothing).is_ok_and(|n| n > 0) {}
        std::process::exit(1);
    });
}

fn bound(source: Option<&str>, target: &str, kind: Option<&str>, flags: MsFlags) -> Result<(), String> {
    mount(source, target, kind, flags, None::<&str>)
        .map_err(|e| format!("cannot mount {} on {target}: {e}", kind.unwrap_or("anything")))
}
