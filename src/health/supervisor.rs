//! What a supervisor hears: systemd by its notification socket, supervisord by a heartbeat on standard output.
//!
//! Nothing is sent where no supervisor asked for it. The watchdog is fed by the core loop itself, on a timer of its own: a
//! loop that hangs stops feeding it, and an idle switch does not.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use sd_notify::NotifyState;

use crate::notify_socket::notify;
use crate::nowait::Stream;
use crate::telemetry::StatusLine;

/// What supervisord's heartbeat listener in `SONiC` looks for.
const HEARTBEAT: &[u8] = b"<!--XSUPERVISOR:BEGIN-->heartbeat<!--XSUPERVISOR:END-->\n";

/// Speaks to the supervisor.
#[derive(Debug)]
pub struct Supervisor {
    ready: bool,
    /// There was no room yet for [`NotifyState::Ready`].
    unsent: bool,
    line: Arc<StatusLine>,
}

impl Supervisor {
    pub fn new(line: Arc<StatusLine>) -> Self {
        Self { ready: false, unsent: false, line }
    }

    /// The daemon is in service. Said once.
    pub fn ready(&mut self) {
        if !self.ready {
            self.ready = true;
            self.unsent = !notify(&[NotifyState::Ready]);
        }
    }

    /// Whether [`ready`](Self::ready) was called.
    pub fn is_ready(&self) -> bool {
        self.ready
    }

    /// One readable sentence on how things stand, sent when it differs from the last.
    pub fn status(&self, status: impl Into<String>) {
        self.line.set_service(status.into());
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

    pub fn stopping(&mut self) {
        notify(&[NotifyState::Stopping]);
    }

    pub fn watchdog(&mut self) {
        if self.unsent {
            self.unsent = !notify(&[NotifyState::Ready]);
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
