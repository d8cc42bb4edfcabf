//! A small file beside the state file: what was newer than that when the process died.
//!
//! It has the form of a state file, one generation, and is put in place by renaming.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use tracing::debug;

use super::SavedState;
use super::file::read_file;
use super::form;

#[derive(Debug)]
pub(super) struct Beside {
    path: PathBuf,
    new: PathBuf,
}

impl Beside {
    pub fn new(folder: &Path, name: &str) -> Self {
        Self { path: folder.join(name), new: folder.join(format!("{name}.new")) }
    }

    pub fn write(&self, state: &SavedState) -> io::Result<()> {
        let content = form::seal(&state.to_json()?);
        // Neither a pipe nor a symbolic link in its place leads elsewhere.
        let flags = (OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits();
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600).custom_flags(flags);
        options.open(&self.new)?.write_all(&content)?;
        fs::rename(&self.new, &self.path)
    }

    /// What is there, if it is whole.
    pub fn read(&self) -> Option<SavedState> {
        let bytes = match read_file(&self.path) {
            Ok(None) => return None,
            Ok(Some(Ok(bytes))) => Some(bytes),
            _ => None,
        };
        let content = bytes.as_deref().and_then(|bytes| form::open(bytes).ok());
        let state = content.and_then(|content| SavedState::from_json(content).ok());
        if state.is_none() {
            debug!(path = %self.path.display(), "what was noted beside the state file cannot be read");
        }
        state
    }

    pub fn remove(&self) {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                debug!(path = %self.path.display(), error = %error, "what is in the state file by now cannot be removed");
            }
            _ => {}
        }
    }
}
