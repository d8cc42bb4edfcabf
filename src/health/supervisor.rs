//! What a supervisor hears: systemd by its notification socket, supervisord by a heartbeat on standard output.
//!
//! Nothing is sent where no supervisor asked for it. The watchdog is fed by the core loop itself, on a timer of its own: a
//! loop that hangs stops feeding it, and an idle switch does not.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use sd_notify::NotifyState;
use tracing::debug;

use crate::nowait::Stream;

/// What supervisord's heartbeat listener in `SONiC` looks for.
const HEARTBEAT: &[u8] = b"<!--XSUPERVISOR:BEGIN-->heartbeat<!--XSUPERVISOR:END-->\n";

/// Speaks to the supervisor.
#[derive(Debug)]
pub struct Supervisor {
    ready: bool,
    /// There was no room yet for [`NotifyState::Ready`].
    unsaid: bool,
    line: Arc<StatusLine>,
}

/// The status that the supervisor shows: how things stand, and which alerts fire. Two write it, so that it is put together
/// here.
#[derive(Debug, Default)]
pub struct StatusLine {
    parts: Mutex<Parts>,
}

#[derive(Debug, Default)]
struct Parts {
    stands: String,
    alerts: Option<String>,
}

impl StatusLine {
    /// How things stand.
    fn stands(&self, stands: String) {
        self.say(|parts| parts.stands = stands);
    }

    /// Which alerts fire, if any do.
    pub fn alerts(&self, alerts: Option<String>) {
        self.say(|parts| parts.alerts = alerts);
    }

    fn say(&self, change: impl FnOnce(&mut Parts)) {
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        let before = parts.whole();
        change(&mut parts);
        let now = parts.whole();
        if now != before {
            notify(&[NotifyState::Status(&now)]);
        }
    }
}

impl Parts {
    fn whole(&self) -> String {
        match &self.alerts {
            Some(alerts) => format!("{}; {alerts}", self.stands),
            None => self.stands.clone(),
        }
    }
}

impl Supervisor {
    /// Shows this status.
    pub fn new(line: Arc<StatusLine>) -> Self {
        Self { ready: false, unsaid: false, line }
    }

    /// The daemon is in service. Said once.
    pub fn ready(&mut self) {
        if !self.ready {
            self.ready = true;
            self.unsaid = !notify(&[NotifyState::Ready]);
        }
    }

    /// Whether [`ready`](Self::ready) was said.
    pub fn is_ready(&self) -> bool {
        self.ready
    }

    /// One readable sentence on how things stand, sent when it differs from the last.
    pub fn status(&self, status: impl Into<String>) {
        self.line.stands(status.into());
    }

    /// The start takes longer: systemd is to wait this much more.
    pub fn still_starting(&self, more: Duration) {
        if !self.ready {
            notify(&[NotifyState::ExtendTimeoutUsec(u32::try_from(more.as_micros()).unwrap_or(u32::MAX))]);
        }
    }

    /// The configuration is being read again; follow it with [`reloaded`](Self::reloaded).
    pub fn reloading(&self) {
        if let Ok(now) = NotifyState::monotonic_usec_now() {
            notify(&[NotifyState::Reloading, now]);
        }
    }

    /// The configuration was read again.
    pub fn reloaded(&self) {
        if self.ready {
            notify(&[NotifyState::Ready]);
        }
    }

    /// The daemon ends.
    pub fn stopping(&mut self) {
        notify(&[NotifyState::Stopping]);
    }

    /// The core loop lives.
    pub fn watchdog(&mut self) {
        if self.unsaid {
            self.unsaid = !notify(&[NotifyState::Ready]);
        }
        notify(&[NotifyState::Watchdog]);
    }
}

/// How often the watchdog wants to be fed: half of what systemd allows, as its manual says.
pub fn watchdog_interval() -> Option<Duration> {
    sd_notify::watchdog_enabled().map(|limit| limit / 2)
}

/// Writes supervisord's heartbeat, if there is room for it.
pub fn heartbeat() {
    static OUT: LazyLock<Option<Stream>> = LazyLock::new(Stream::stdout);
    // Nobody listening is the listener's affair.
    let _ = OUT.as_ref().map(|out| out.write(HEARTBEAT));
}

/// Says it if the supervisor has room for it: one that does not read holds nothing up. False if it has no room.
fn notify(state: &[NotifyState<'_>]) -> bool {
    let Some(socket) = std::env::var_os("NOTIFY_SOCKET") else { return true };
    let message = state.iter().fold(String::new(), |message, state| format!("{message}{state}\n"));
    match send(&socket, message.as_bytes()) {
        Ok(()) => true,
        Err(error) => {
            debug!(error = %error, "cannot notify the supervisor");
            error.kind() != io::ErrorKind::WouldBlock
        }
    }
}

/// Sends a datagram without waiting. A path that begins with `@` is a name in the abstract namespace.
fn send(path: &OsStr, message: &[u8]) -> io::Result<()> {
    let address = match path.as_bytes().split_first() {
        Some((b'@', name)) => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(path)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.send_to_addr(message, &address).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_supervisor_that_does_not_read_holds_nothing_up() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let supervisor = UnixDatagram::bind(&path).unwrap();
        let mut sent = 0;
        let refusal = loop {
            match send(path.as_os_str(), b"WATCHDOG=1\n") {
                Ok(()) => sent += 1,
                Err(error) => break error,
            }
            assert!(sent < 100_000, "it has no end");
        };
        assert_eq!(refusal.kind(), io::ErrorKind::WouldBlock);
        let mut message = [0; 64];
        let length = supervisor.recv(&mut message).unwrap();
        assert_eq!(&message[..length], b"WATCHDOG=1\n");
        send(path.as_os_str(), b"READY=1\n").unwrap();
    }
}
