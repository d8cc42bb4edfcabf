//! The status that a supervisor shows, as `systemctl status` does.

use std::sync::{Mutex, PoisonError};

use sd_notify::NotifyState;

use crate::notify_socket::notify;

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
    pub fn stands(&self, stands: String) {
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
