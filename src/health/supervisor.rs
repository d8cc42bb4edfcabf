//! What a supervisor hears: systemd by its notification socket, supervisord by a heartbeat on standard output.
//!
//! Nothing is sent where no supervisor asked for it. The watchdog is fed by the core loop itself, on a timer of its own: a
//! loop that hangs stops feeding it, and an idle switch does not.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use sd_notify::NotifyState;

use crate::notify_socket::notify;
use crate::nowait::Stream;
use crate::telemetry::Telemetry;
use crate::telemetry::ready_notice::ReadyPart;

/// What supervisord's heartbeat listener in `SONiC` looks for.
const HEARTBEAT: &[u8] = b"<!--XSUPERVISOR:BEGIN-->heartbeat<!--XSUPERVISOR:END-->\n";

/// Speaks to the supervisor.
#[derive(Debug)]
pub struct Supervisor {
    in_service: bool,
    telemetry: Arc<Telemetry>,
}

impl Supervisor {
    pub fn new(telemetry: Arc<Telemetry>) -> Self {
        Self { in_service: false, telemetry }
    }

    /// The core is in service. The supervisor hears of it once what runs beside it has spoken too.
    pub fn ready(&mut self) {
        if !self.in_service {
            self.in_service = true;
            self.telemetry.readiness.notice.done(ReadyPart::Core);
        }
    }

    /// Whether [`ready`](Self::ready) was called.
    pub fn is_ready(&self) -> bool {
        self.in_service
    }

    /// One readable sentence on how things stand, sent when it differs from the last.
    pub fn status(&self, status: impl Into<String>) {
        self.telemetry.status_line.set_service(status.into());
    }

    /// The start takes longer: systemd is to wait this much more. False once it has heard that the daemon is ready.
    pub fn still_starting(&self, more: Duration) -> bool {
        let notice = &self.telemetry.readiness.notice;
        if notice.is_due() {
            return notice.retry();
        }
        notify(&[NotifyState::ExtendTimeoutUsec(u32::try_from(more.as_micros()).unwrap_or(u32::MAX))]);
        true
    }

    /// The configuration is being read again; follow it with [`reloaded`](Self::reloaded).
    pub fn reloading(&self) {
        if let Ok(now) = NotifyState::monotonic_usec_now() {
            notify(&[NotifyState::Reloading, now]);
        }
    }

    /// The configuration was read again.
    pub fn reloaded(&self) {
        if self.telemetry.readiness.notice.is_due() {
            self.telemetry.readiness.notice.say();
        }
    }

    pub fn stopping(&mut self) {
        notify(&[NotifyState::Stopping]);
    }

    pub fn watchdog(&mut self) {
        self.telemetry.readiness.notice.retry();
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
