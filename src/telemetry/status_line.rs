//! The status that a supervisor shows, as `systemctl status` does.

use std::sync::Mutex;

use sd_notify::NotifyState;

use crate::locks::lock;
use crate::notify_socket::notify;

/// The status that the supervisor shows: how things stand, and which alerts fire. Two write it, so that it is put together
/// here.
#[derive(Debug, Default)]
pub struct StatusLine {
    parts: Mutex<StatusParts>,
}

#[derive(Debug, Default)]
struct StatusParts {
    service: String,
    alerts: Option<String>,
}

impl StatusLine {
    pub fn set_service(&self, service: String) {
        self.change_parts(|parts| parts.service = service);
    }

    /// Which alerts fire, if any do.
    pub fn set_alerts(&self, alerts: Option<String>) {
        self.change_parts(|parts| parts.alerts = alerts);
    }

    fn change_parts(&self, change: impl FnOnce(&mut StatusParts)) {
        let mut parts = lock(&self.parts);
        let before = parts.whole();
        change(&mut parts);
        let now = parts.whole();
        if now != before {
            notify(&[NotifyState::Status(&now)]);
        }
    }
}

impl StatusParts {
    fn whole(&self) -> String {
        match &self.alerts {
            Some(alerts) => format!("{}; {alerts}", self.service),
            None => self.service.clone(),
        }
    }
}
