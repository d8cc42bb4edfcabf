//! What a supervisor hears: systemd by its notification socket, supervisord by a heartbeat on standard output.
//!
//! Nothing is sent where no supervisor asked for it. The watchdog is fed by the core loop itself, on a timer of its own: a
//! loop that hangs stops feeding it, and an idle switch does not.

use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sd_notify::NotifyState;
use tracing::debug;

/// What supervisord's heartbeat listener in `SONiC` looks for.
const HEARTBEAT: &[u8] = b"<!--XSUPERVISOR:BEGIN-->heartbeat<!--XSUPERVISOR:END-->\n";

/// Speaks to the supervisor.
#[derive(Debug)]
pub struct Supervisor {
    ready: bool,
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
        Self { ready: false, line }
    }

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
