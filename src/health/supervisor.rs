//! What a supervisor hears: systemd by its notification socket, supervisord by a heartbeat on standard output.
//!
//! Nothing is sent where no supervisor asked for it. The watchdog is fed by the core loop itself, on a timer of its own: a
//! loop that hangs stops feeding it, and an idle switch does not.

use std::io::Write;
use std::time::Duration;

use sd_notify::NotifyState;
use tracing::debug;

/// What supervisord's heartbeat listener in `SONiC` looks for.
const HEARTBEAT: &[u8] = b"<!--XSUPERVISOR:BEGIN-->heartbeat<!--XSUPERVISOR:END-->\n";

/// Speaks to the supervisor.
#[derive(Debug, Default)]
pub struct Supervisor {
    ready: bool,
    status: String,
}

impl Supervisor {
    /// The daemon is in service. Said once.
    pub fn ready(&mut self) {
        if !self.ready {
            self.ready = true;
            notify(&[NotifyState::Ready]);
        }
    }

    /// Whether [`ready`](Self::ready) was said.
    pub fn is_ready(&self) -> bool {
        self.ready
    }

    /// One readable sentence on how things stand, sent when it differs from the last.
    pub fn status(&mut self, status: impl Into<String>) {
        let status = status.into();
        if status != self.status {
            notify(&[NotifyState::Status(&status)]);
            self.status = status;
        }
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
    pub fn watchdog(&self) {
        notify(&[NotifyState::Watchdog]);
    }
}

/// How often the watchdog wants to be fed: half of what systemd allows, as its manual says.
pub fn watchdog_interval() -> Option<Duration> {
    sd_notify::watchdog_enabled().map(|limit| limit / 2)
}

/// Writes supervisord's heartbeat.
pub fn heartbeat() {
    let mut out = std::io::stdout().lock();
    // Nobody listening is the listener's affair.
    let _ = out.write_all(HEARTBEAT).and_then(|()| out.flush());
}

fn notify(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        debug!(error = %error, "cannot notify the supervisor");
    }
}
