//! What was last shown to whoever collects metrics.
//!
//! A counter that goes back looks like one that began anew, and Prometheus adds all of it to what it knows. A daemon that is
//! killed has shown more than the state file has. So what is shown is noted here first, in a small file of its own that is not
//! brought to the disk: the kernel keeps it when the process dies. After a loss of power the state file alone holds.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tracing::debug;

use super::form;
use super::{PortState, State};

const FILE: &str = "exposed.json";
const NEW: &str = "exposed.json.new";

#[derive(Debug)]
pub(super) struct Exposed {
    folder: PathBuf,
    last: Vec<u8>,
}

impl Exposed {
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), last: Vec::new() }
    }

    /// Notes the counters of this state. One that cannot be noted may go back after a crash, and nothing else.
    pub fn note(&mut self, state: &State) {
        let counted = State { counters: state.counters.clone(), ports: state.ports.clone(), ..State::default() };
        let counted = State { boot_id: state.boot_id.clone(), ..counted };
        match counted.to_json() {
            Ok(content) if content != self.last => match self.write(&content) {
                Ok(()) => self.last = content,
                Err(error) => debug!(error = %error, "what was shown of counters cannot be noted"),
            },
            Ok(_) => {}
            Err(error) => debug!(error = %error, "what was shown of counters cannot be expressed"),
        }
    }

    fn write(&self, content: &[u8]) -> io::Result<()> {
        let new = self.folder.join(NEW);
        fs::write(&new, form::seal(content))?;
        fs::rename(new, self.folder.join(FILE))
    }

    /// Raises what the state file says to what was shown after it.
    pub fn raise(&self, state: &mut State) {
        let read = super::file::read_file(&self.folder.join(FILE));
        let Ok(Some(Ok(bytes))) = read else { return };
        let Some(shown) = form::open(&bytes).ok().and_then(|content| State::from_json(content).ok()) else {
            debug!("what was shown of counters cannot be read");
            return;
        };
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
            *saved = if is_of_this_boot { port } else { PortState { ifindex: None, carrier_changes: None, ..port } };
        }
    }
}
