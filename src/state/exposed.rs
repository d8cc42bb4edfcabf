//! What was last shown to whoever collects metrics.
//!
//! A counter that goes back looks like one that began anew, and Prometheus adds all of it to what it knows. A daemon that is
//! killed has shown more than the state file has. So what is shown is noted here first, in a small file of its own that is not
//! brought to the disk: the kernel keeps it when the process dies. After a loss of power the state file alone holds.

use std::path::Path;

use tracing::debug;

use super::beside::Beside;
use super::{SavedPort, SavedState};

const FILE: &str = "exposed.json";

#[derive(Debug)]
pub(super) struct Exposed {
    file: Beside,
    last: SavedState,
}

impl Exposed {
    pub fn new(folder: &Path) -> Self {
        Self { file: Beside::new(folder, FILE), last: SavedState::default() }
    }

    /// Notes the counters of this state. One that cannot be noted may go back after a crash, and nothing else.
    pub fn note(&mut self, state: &SavedState) {
        let counted =
            SavedState { counters: state.counters.clone(), ports: state.ports.clone(), ..SavedState::default() };
        let counted = SavedState { boot_id: state.boot_id.clone(), ..counted };
        if counted == self.last {
            return;
        }
        match self.file.write(&counted) {
            Ok(()) => self.last = counted,
            Err(error) => debug!(error = %error, "what was shown of counters cannot be noted"),
        }
    }

    /// Raises what the state file says to what was shown after it.
    pub fn raise(&self, state: &mut SavedState) {
        let Some(shown) = self.file.read() else { return };
        for (key, count) in shown.counters {
            let saved = state.counters.entry(key).or_default();
            *saved = count.max(*saved);
        }
        let now = super::boot_id();
        let is_of_this_boot = shown.boot_id.is_some() && shown.boot_id.as_deref() == now;
        if is_of_this_boot && state.boot_id.as_deref() != now {
            // What the kernel of another boot counted says nothing here.
            state.ports.values_mut().for_each(|port| (port.ifindex, port.carrier_changes) = (None, None));
            state.boot_id = shown.boot_id;
        }
        for (name, port) in shown.ports {
            let saved = state.ports.entry(name).or_default();
            if port.flaps < saved.flaps {
                continue;
            }
            // The kernel's count belongs to the flaps that were counted by it.
            *saved = if is_of_this_boot { port } else { SavedPort { ifindex: None, carrier_changes: None, ..port } };
        }
    }
}
