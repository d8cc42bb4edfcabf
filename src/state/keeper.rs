//! Brings the state back at the start and saves it when it has changed.
//!
//! Nothing here fails: what goes wrong is counted, logged once, and said by the latch of [`Component::State`], which the
//! daemon's readiness does not ask for. What failed is tried again at the next call.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value;
use tracing::{debug, info, warn};

use super::SavedState;
use super::exposed::Exposed;
use super::file::{DirError, Loaded, StateDir, Written};
use super::form::Unusable;
use super::notifications::{self, Notifications};

use crate::alert::engine;
use crate::clock::{now_ms, seconds};
use crate::config::StateConfig;
use crate::telemetry::Component;
use crate::telemetry::Telemetry;
use crate::telemetry::labels::SaveOutcome;

const BACKUPS: &str = "state_file_backups_total";

/// See the module. All of it blocks on the disk, so that it belongs on a thread of its own. Whoever saves last must have
/// stopped counting before.
#[derive(Debug)]
pub struct Keeper {
    telemetry: Arc<Telemetry>,
    /// `None` if it is turned off.
    dir: Option<StateDir>,
    exposed: Option<Exposed>,
    notifications: Option<Notifications>,
    /// Nothing is written before what is there was read: it would become older and go.
    loaded: bool,
    other: BTreeMap<String, Value>,
    /// What was read and is not given back yet.
    found: Option<Loaded<SavedState>>,
    /// The fingerprint of what is on the disk: all of it would be megabytes of memory on a switch of many ports.
    last: Option<u64>,
    written: Option<f64>,
    /// Why it did not work the last time.
    problem: Option<String>,
}

impl Keeper {
    /// Keeps what the telemetry holds in the folder of the configuration. Touches nothing yet.
    pub fn open(config: &StateConfig, telemetry: Arc<Telemetry>) -> Self {
        let dir = (!config.dir.as_os_str().is_empty()).then(|| StateDir::new(&config.dir));
        let exposed = dir.is_some().then(|| Exposed::new(&config.dir));
        let notifications = dir.is_some().then(|| Notifications::new(&config.dir));
        Self {
            telemetry,
            dir,
            exposed,
            notifications,
            loaded: false,
            other: BTreeMap::new(),
            found: None,
            last: None,
            written: None,
            problem: None,
        }
    }

    /// The state file; `None` if it is turned off.
    pub fn path(&self) -> Option<PathBuf> {
        self.dir.as_ref().map(StateDir::path)
    }

    /// When what is on the disk was written, as Unix time.
    pub fn written(&self) -> Option<f64> {
        self.written
    }

    /// Reads what an earlier run saved, once; to be called before each save, for nothing is written before it worked.
    /// [`restore`](Self::restore) gives it back.
    pub fn read(&mut self) {
        let Some(dir) = &mut self.dir else { return self.show() };
        if self.loaded || self.found.is_some() {
            return;
        }
        match dir.load(SavedState::from_json) {
            Ok(loaded) => {
                self.found = Some(loaded);
                self.works("the state file can be read again");
            }
            Err(error) => self.fails(&error, "the state file cannot be read, trying again; counters go on from 0"),
        }
    }

    /// Gives back to the counters what was read, and to the caller what alerting is to go on from, once. Does not wait.
    pub fn restore(&mut self) -> Option<engine::SavedEngine> {
        let found = self.found.take()?;
        self.loaded = true;
        self.take(found)
    }

    /// Notes what is shown of the counters, so that they never go back.
    pub fn note_exposed(&mut self) {
        if let Some(exposed) = self.exposed.as_mut().filter(|_| self.loaded) {
            exposed.note(&SavedState::of(&self.telemetry));
        }
    }

    /// Notes how alerts stand and what receivers are about to be told, so that after a crash they are told what is true.
    pub fn note_notifications(&mut self, alerts: engine::SavedEngine) {
        if let Some(notifications) = self.notifications.as_mut().filter(|_| self.loaded) {
            notifications.note(alerts);
        }
    }

    /// Writes the state if it is not what is on the disk already. True if it was written.
    pub fn save_if_changed(&mut self, alerts: engine::SavedEngine) -> bool {
        let Some(dir) = &mut self.dir else { return false };
        let metrics = &self.telemetry.metrics;
        if !self.loaded {
            metrics.state_file_writes.count(SaveOutcome::Failed);
            return false;
        }
        let mut state = SavedState::of(&self.telemetry);
        state.other.clone_from(&self.other);
        state.alerts = alerts;
        let print = fingerprint(&state);
        if self.last == Some(print) {
            return false;
        }
        // The backup that this write makes is counted in what is written; else each write would be a reason for the next.
        if dir.has_file() {
            *state.counters.entry(BACKUPS.to_owned()).or_default() += 1;
        }
        state.saved = seconds(now_ms());
        match write(dir, &state) {
            Ok(Written { backup }) => {
                metrics.state_file_writes.count(SaveOutcome::Ok);
                metrics.state_file_backups.add((), u64::from(backup));
                // There was a file, and somebody removed it: there is nothing older should this one be damaged.
                metrics.state_file_backups_missed.add((), u64::from(!backup && self.written.is_some()));
                self.written = Some(state.saved);
                self.last = Some(fingerprint(&state));
                if let Some(notifications) = &mut self.notifications {
                    notifications.is_saved(&state.alerts);
                }
                self.works("the state file can be written again");
                true
            }
            Err(error) => {
                metrics.state_file_writes.count(SaveOutcome::Failed);
                self.fails(&error, "the state file cannot be written, trying again; a restart would lose what changed");
                false
            }
        }
    }

    /// Shows in health how things stand, whatever else was said there meanwhile.
    pub fn show(&self) {
        match &self.problem {
            None => self.telemetry.readiness.set_ready(Component::State),
            Some(problem) => self.telemetry.readiness.set_not_ready(Component::State, problem.as_str()),
        }
    }

    fn take(&mut self, loaded: Loaded<SavedState>) -> Option<engine::SavedEngine> {
        let metrics = &self.telemetry.metrics;
        metrics.state_file_corruptions.add((), loaded.damaged());
        metrics.state_file_recoveries.add((), u64::from(loaded.recovered()));
        for file in &loaded.aside {
            let path = file.path.display();
            let kept_as = file.kept_as.as_ref().unwrap_or(&file.path).display();
            match &file.why {
                Unusable::Damaged(reason) => {
                    warn!(%path, %kept_as, reason, "state file is damaged, looking for an older one");
                }
                Unusable::Newer(_) => {
                    warn!(%path, %kept_as, reason = %file.why, "state file cannot be used, looking for an older one");
                }
            }
        }
        let is_there = loaded.content.is_some();
        let is_lost = !is_there && !loaded.aside.is_empty();
        metrics.state_file_lost.set((), f64::from(u8::from(is_lost)));
        if !is_there && loaded.aside.is_empty() {
            info!("there is no state file yet, counters begin at 0");
        } else if is_lost {
            warn!("no state file can be used, counters begin at 0");
        }
        let mut state = loaded.content.unwrap_or_default();
        let last = fingerprint(&state);
        if let Some(exposed) = &self.exposed {
            exposed.raise(&mut state);
        }
        state.restore(&self.telemetry);
        let is_noted = self.notifications.as_ref().is_some_and(|noted| noted.take_over(&mut state.alerts));
        if !is_there {
            return is_noted.then_some(state.alerts);
        }
        debug!(saved = state.saved, counters = state.counters.len(), ports = state.ports.len(), "state file was read");
        // After damage this is what the older file says, and differs from what was counted: it is written anew.
        self.last = Some(last);
        self.written = Some(state.saved);
        self.other = state.other;
        Some(state.alerts)
    }

    fn works(&mut self, message: &'static str) {
        if self.problem.take().is_some() {
            info!("{message}");
        }
        self.show();
    }

    fn fails(&mut self, error: &DirError, message: &'static str) {
        let problem = error.in_full();
        if self.problem.as_ref() != Some(&problem) {
            warn!(problem, "{message}");
            self.problem = Some(problem);
        }
        self.show();
    }
}

fn write(dir: &mut StateDir, state: &SavedState) -> Result<Written, DirError> {
    let content = state.to_json().map_err(|error| DirError::Io {
        doing: "express the state for",
        path: dir.path(),
        source: error.into(),
    })?;
    dir.save(&content)
}

/// What tells one content from another, whenever it was saved.
fn fingerprint(state: &SavedState) -> u64 {
    let mut hasher = DefaultHasher::new();
    for (key, count) in &state.counters {
        (key, count).hash(&mut hasher);
    }
    state.boot_id.hash(&mut hasher);
    for (name, port) in &state.ports {
        (name, port.flaps, &port.history, port.ifindex, port.carrier_changes).hash(&mut hasher);
    }
    for seconds in &state.starts {
        seconds.to_bits().hash(&mut hasher);
    }
    (notifications::fingerprint(&state.alerts), state.alerts.history.len()).hash(&mut hasher);
    if let Some(transition) = state.alerts.history.last() {
        transition.time.to_bits().hash(&mut hasher);
    }
    for (section, value) in &state.other {
        (section, value.to_string()).hash(&mut hasher);
    }
    hasher.finish()
}

#[cfg(test)]
mod tests;
