//! How alerts stand, and what receivers are about to be told of them.
//!
//! It is noted before they are told, and when they have acknowledged it: in a file of its own, for the state file is written
//! seldom. The file is there while it is newer than the state file. Like that of what was exposed it is not brought to the
//! disk: the kernel keeps it when the process dies.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;

use tracing::debug;

use super::SavedState;
use super::beside::Beside;
use crate::alert::engine::SavedEngine;

const FILE: &str = "notifications.json";

#[derive(Debug)]
pub(super) struct Notifications {
    file: Beside,
    /// The fingerprint of what is on the disk, here or in the state file.
    last: Option<u64>,
}

impl Notifications {
    pub fn new(folder: &Path) -> Self {
        Self { file: Beside::new(folder, FILE), last: None }
    }

    /// Notes it, unless it is on the disk. Of what cannot be noted receivers may hear again after a crash, or not of its end.
    pub fn note(&mut self, alerts: SavedEngine) {
        let print = fingerprint(&alerts);
        if self.last == Some(print) {
            return;
        }
        // These two are long, and the state file's are good enough.
        let alerts = SavedEngine { history: Vec::new(), samples: Vec::new(), ..alerts };
        match self.file.write(&SavedState { alerts, ..SavedState::default() }) {
            Ok(()) => self.last = Some(print),
            Err(error) => debug!(error = %error, "what receivers of alerts are told cannot be noted"),
        }
    }

    /// The state file has it now.
    pub fn is_saved(&mut self, alerts: &SavedEngine) {
        self.last = Some(fingerprint(alerts));
        self.file.remove();
    }

    /// Brings what the state file says of alerts to what was noted after it. True if there was something.
    pub fn take_over(&self, saved: &mut SavedEngine) -> bool {
        let Some(SavedState { alerts: mut newer, .. }) = self.file.read() else { return false };
        newer.history = std::mem::take(&mut saved.history);
        newer.samples = std::mem::take(&mut saved.samples);
        let passed = (newer.saved - saved.saved).max(0.0);
        newer.samples.iter_mut().flat_map(|samples| &mut samples.points).for_each(|(ago, _)| *ago += passed);
        *saved = newer;
        true
    }
}

/// What tells one state of alerts from another. Times that only go on are no change.
pub(super) fn fingerprint(alerts: &SavedEngine) -> u64 {
    let mut hasher = DefaultHasher::new();
    for alert in &alerts.alerts {
        (&alert.rule, alert.port, alert.state, alert.notified, alert.ceased.is_some()).hash(&mut hasher);
        alert.since.to_bits().hash(&mut hasher);
    }
    for (name, rule) in &alerts.rules {
        (name, &rule.asks, rule.severity, &rule.labels, &rule.actions).hash(&mut hasher);
    }
    alerts.last_silence.hash(&mut hasher);
    for silence in &alerts.silences {
        silence.id.hash(&mut hasher);
    }
    for (sink, saved) in alerts.sinks.iter().flatten() {
        (sink, &saved.acknowledged).hash(&mut hasher);
        for end in &saved.ended {
            (end.alert.fingerprint, end.ended.to_bits()).hash(&mut hasher);
        }
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::engine::{SavedAlert, SavedSamples};
    use crate::alert::model::AlertState::Firing;

    fn alert(rule: &str) -> SavedAlert {
        let held = std::time::Duration::from_secs(5);
        let rule = rule.to_owned();
        SavedAlert { rule, port: None, state: Firing, held, ceased: None, value: 1.0, since: 990.0, notified: true }
    }

    #[test]
    fn what_was_noted_counts_until_the_state_file_has_it() {
        let folder = tempfile::tempdir().unwrap();
        let samples = SavedSamples { metric: "x_total".into(), matching: Box::default(), points: vec![(3.0, 1.0)] };
        let mut old =
            SavedEngine { saved: 1000.0, alerts: vec![alert("Old")], samples: vec![samples], ..SavedEngine::default() };
        let new = SavedEngine { saved: 1010.0, alerts: vec![alert("New")], ..SavedEngine::default() };
        let mut noted = Notifications::new(folder.path());
        assert!(!noted.take_over(&mut old), "there is none");
        noted.note(new.clone());
        let written = std::fs::metadata(folder.path().join(FILE)).unwrap().modified().unwrap();
        noted.note(SavedEngine { saved: 1011.0, ..new.clone() });
        assert_eq!(
            std::fs::metadata(folder.path().join(FILE)).unwrap().modified().unwrap(),
            written,
            "nothing changed"
        );
        let mut read = old.clone();
        assert!(Notifications::new(folder.path()).take_over(&mut read));
        assert_eq!((read.alerts[0].rule.as_str(), read.saved.to_bits()), ("New", 1010.0_f64.to_bits()));
        assert_eq!(read.samples[0].points, [(13.0, 1.0)], "ten seconds older by then");
        noted.is_saved(&new);
        assert!(!noted.take_over(&mut old) && !folder.path().join(FILE).exists());
        noted.note(new);
        assert!(!folder.path().join(FILE).exists(), "the state file has it");
    }
}
