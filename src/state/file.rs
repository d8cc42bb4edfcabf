//! The folder of the state file: the newest content and the two generations before it, each written whole or not at all.
//!
//! Nothing here knows what the content is. All of it blocks.
//!
//! - `state.json` is the newest generation, `state.json.1` and `state.json.2` are those before it.
//! - `state.json.new` is being written. Whoever finds one looks at a write that did not come to its end.
//! - `state.json.damaged-<unix seconds>` and `state.json.version-<n>` could not be used and were set aside.
//! - `state.lock` is locked (flock) by the daemon that uses the folder and holds its process id.
//!
//! A crash at any point leaves `state.json` or, where the file system has no hard links, at least `state.json.1` whole.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag};
use thiserror::Error;

use super::form::{self, Unusable};

/// Generations that are kept, the newest included.
pub const GENERATIONS: usize = 3;
/// Damaged files that are kept.
pub const DAMAGED_KEPT: usize = 5;

const FILE: &str = "state.json";
const NEW: &str = "state.json.new";
const DAMAGED: &str = "state.json.damaged-";
const VERSION: &str = "state.json.version-";
const LOCK: &str = "state.lock";
const NO_FILE: &str = "something else than a regular file is in its place, remove it";

/// Why the folder cannot be used. The system's answer is the source.
#[derive(Debug, Error)]
pub enum DirError {
    /// Another daemon uses it.
    #[error("{folder} is in use by {holder}; stop that one, or give this one a folder of its own (state.dir)")]
    Taken { folder: PathBuf, holder: String },
    /// A file or the folder itself failed.
    #[error("cannot {doing} {path}{}", hint(source))]
    Io { doing: &'static str, path: PathBuf, source: io::Error },
}

impl DirError {
    /// For `map_err`: names what was being done, and to what.
    fn doing(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { doing, path: path.to_owned(), source }
    }

    /// All of it in one line: what, where, what would be right, what the system said.
    pub fn in_full(&self) -> String {
        match self {
            Self::Taken { .. } => self.to_string(),
            Self::Io { source, .. } => format!("{self}: {source}"),
        }
    }
}

fn hint(error: &io::Error) -> &'static str {
    // Of a symbolic link where none is followed.
    if error.raw_os_error() == Some(Errno::ELOOP as i32) {
        return " (it has to be a regular file, remove the symbolic link)";
    }
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => " (make room there, or set state.dir to another folder)",
        ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied => {
            " (let the daemon write there, or set state.dir to another folder)"
        }
        ErrorKind::NotADirectory | ErrorKind::AlreadyExists => " (state.dir has to name a folder)",
        ErrorKind::IsADirectory => " (a folder is in the way, remove it)",
        _ => "",
    }
}

/// A write that is on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// Whether there was a generation before it, now kept as a backup.
    pub backup: bool,
}

#[derive(Debug)]
pub struct Loaded<T> {
    /// The content of the newest generation that can be used.
    pub content: Option<T>,
    /// What could not be used, newest generation first.
    pub aside: Vec<Aside>,
}

/// A file that could not be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aside {
    pub path: PathBuf,
    /// Where it is now; `None` if it could not be moved.
    pub kept_as: Option<PathBuf>,
    /// What is wrong with it.
    pub why: Unusable,
}

impl<T> Loaded<T> {
    /// How many files were damaged.
    pub fn damaged(&self) -> u64 {
        self.aside.iter().map(|one| u64::from(matches!(one.why, Unusable::Damaged(_)))).sum()
    }

    /// Whether an older generation had to stand in for a damaged one.
    pub fn recovered(&self) -> bool {
        self.content.is_some() && self.damaged() > 0
    }
}

#[derive(Debug)]
pub struct StateDir {
    folder: PathBuf,
    lock: Option<Flock<File>>,
}

impl StateDir {
    /// A folder, which is not touched before it is used.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into(), lock: None }
    }

    /// The file of the newest generation.
    pub fn path(&self) -> PathBuf {
        self.generation(0)
    }

    /// Whether a write would keep a backup of what is there.
    pub fn has_file(&self) -> bool {
        self.path().is_file()
    }

    /// Writes the content as the newest generation; it is on the disk when this returns. After an error the generations
    /// are as they were, or one step further in becoming older.
    pub fn save(&mut self, content: &[u8]) -> Result<Written, DirError> {
        self.take()?;
        self.write_new(&form::seal(content)).inspect_err(|_| {
            // It may fill the disk, and nobody reads it.
            let _ = fs::remove_file(self.file(NEW));
        })?;
        let backup = self.has_file();
        if backup {
            self.age_older()?;
            self.age_newest()?;
        }
        self.put_in_place()?;
        self.sync()?;
        Ok(Written { backup })
    }

    /// The newest generation that is whole and that `read` understands. Those that are not are set aside.
    pub fn load<T>(&mut self, read: impl Fn(&[u8]) -> Result<T, String>) -> Result<Loaded<T>, DirError> {
        match self.take() {
            // Nobody can write there, so that no lock is needed to read.
            Err(DirError::Io { source, .. })
                if source.kind() == ErrorKind::ReadOnlyFilesystem && self.folder.is_dir() => {}
            taken => taken?,
        }
        let mut loaded = Loaded { content: None, aside: Vec::new() };
        for path in (0..GENERATIONS).map(|generation| self.generation(generation)) {
            // Absent is no damage: a crash can leave the newest out where there are no hard links.
            let Some(file) = read_file(&path).map_err(DirError::doing("read", &path))? else { continue };
            let content = file.and_then(|bytes| read(form::open(&bytes)?).map_err(Unusable::Damaged));
            match content {
                Ok(content) => {
                    loaded.content = Some(content);
                    break;
                }
                Err(why) => {
                    let kept_as = self.set_aside(&path, &why);
                    loaded.aside.push(Aside { path, kept_as, why });
                }
            }
        }
        if !loaded.aside.is_empty() {
            self.remove_surplus(&loaded.aside);
            // Fails only where nothing could be set aside; what was found counts nevertheless.
            let _ = self.sync();
        }
        Ok(loaded)
    }

    /// Makes the folder if there is none and locks it for as long as this lives.
    fn take(&mut self) -> Result<(), DirError> {
        let path = self.file(LOCK);
        let same = |lock: &Flock<File>| {
            let there = fs::metadata(&path)?;
            let ours = lock.metadata()?;
            Ok::<_, io::Error>((there.dev(), there.ino()) == (ours.dev(), ours.ino()))
        };
        // Somebody may have removed the folder meanwhile: the lock would then be one that nobody else sees.
        if self.lock.as_ref().is_some_and(|lock| same(lock).unwrap_or(false)) {
            return Ok(());
        }
        self.lock = None;
        DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(&self.folder)
            .map_err(DirError::doing("make the folder", &self.folder))?;
        // Held open for reading only: the file system can be made read-only meanwhile. A pipe must not stop the daemon, nor a
        // symbolic link lead it to somebody else's file.
        let plain = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
        let file = OpenOptions::new()
            .read(true)
            .custom_flags((plain | OFlag::O_CREAT).bits())
            .mode(0o600)
            .open(&path)
            .map_err(DirError::doing("open", &path))?;
        if !file.metadata().map_err(DirError::doing("look at", &path))?.is_file() {
            return Err(DirError::doing("lock", &path)(io::Error::other(NO_FILE)));
        }
        let lock = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => lock,
            Err((file, Errno::EWOULDBLOCK)) => {
                return Err(DirError::Taken { folder: self.folder.clone(), holder: holder(file) });
            }
            Err((_, errno)) => return Err(DirError::doing("lock", &path)(errno.into())),
        };
        // For the other's error message only, so that a full disk does not matter. Into the file that is locked, whatever stands
        // in its place by now.
        let _ = OpenOptions::new()
            .write(true)
            .truncate(true)
            .open(format!("/proc/self/fd/{}", lock.as_raw_fd()))
            .and_then(|mut file| file.write_all(std::process::id().to_string().as_bytes()));
        self.lock = Some(lock);
        Ok(())
    }

    fn write_new(&self, file: &[u8]) -> Result<(), DirError> {
        let path = self.file(NEW);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(DirError::doing("replace", &path)(error));
            }
            _ => {}
        }
        let write = || {
            let mut new = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
            new.write_all(file)?;
            new.sync_all()
        };
        write().map_err(DirError::doing("write", &path))
    }

    /// The older generations become one older each; the oldest goes.
    fn age_older(&self) -> Result<(), DirError> {
        for generation in (1..GENERATIONS - 1).rev() {
            let (from, to) = (self.generation(generation), self.generation(generation + 1));
            match fs::rename(&from, &to) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(DirError::doing("keep as an older generation", &from)(error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The newest generation gets a second name, so that it is there at each moment until the new one takes its place.
    fn age_newest(&self) -> Result<(), DirError> {
        let (newest, older) = (self.path(), self.generation(1));
        // Not every file system has links.
        fs::hard_link(&newest, &older)
            .or_else(|_| fs::rename(&newest, &older))
            .map_err(DirError::doing("keep as an older generation", &newest))
    }

    fn put_in_place(&self) -> Result<(), DirError> {
        let path = self.path();
        fs::rename(self.file(NEW), &path).map_err(DirError::doing("replace", &path))
    }

    /// Renames are on the disk once their folder is.
    fn sync(&self) -> Result<(), DirError> {
        match File::open(&self.folder).and_then(|folder| folder.sync_all()) {
            // Some file systems do not know this of folders.
            Err(error) if error.kind() == ErrorKind::InvalidInput => Ok(()),
            result => result.map_err(DirError::doing("sync the folder", &self.folder)),
        }
    }

    fn set_aside(&self, path: &Path, why: &Unusable) -> Option<PathBuf> {
        let kept_as = match why {
            Unusable::Damaged(_) => self.free_name()?,
            Unusable::Newer(version) => self.file(&format!("{VERSION}{version}")),
        };
        // The newest file of a newer version is the one to go back to; those before it stay and become older in their turn.
        if path != self.path() && kept_as.symlink_metadata().is_ok() {
            return None;
        }
        fs::rename(path, &kept_as).ok().map(|()| kept_as)
    }

    /// A name for a damaged file: two may be found in the same second.
    fn free_name(&self) -> Option<PathBuf> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        (now..now + 1000)
            .map(|second| self.file(&format!("{DAMAGED}{second}")))
            .find(|path| path.symlink_metadata().is_err())
    }

    /// Removes the oldest damaged files beyond those that are kept. Those just found stay, whatever the clock says.
    fn remove_surplus(&self, found: &[Aside]) {
        let Ok(entries) = fs::read_dir(&self.folder) else { return };
        let just_found = |path: &PathBuf| found.iter().any(|one| one.kept_as.as_ref() == Some(path));
        let mut damaged: Vec<(u64, PathBuf)> = entries
            .flatten()
            .filter_map(|entry| Some((entry.file_name().to_str()?.strip_prefix(DAMAGED)?.parse().ok()?, entry.path())))
            .collect();
        damaged.sort_by_key(|(second, path)| (just_found(path), *second));
        let surplus = damaged.len().saturating_sub(DAMAGED_KEPT);
        for (_, path) in &damaged[..surplus] {
            // A folder that stood in place of the file goes if it is empty; what somebody put there is not ours to remove.
            let _ = fs::remove_file(path).or_else(|_| fs::remove_dir(path));
        }
    }

    fn generation(&self, generation: usize) -> PathBuf {
        if generation == 0 { self.file(FILE) } else { self.file(&format!("{FILE}.{generation}")) }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

/// The bytes of a file, `None` if there is none. An error is one that may pass: the file is not judged by it.
pub(super) fn read_file(path: &Path) -> io::Result<Option<Result<Vec<u8>, Unusable>>> {
    let damaged = |reason: &str| Ok(Some(Err(Unusable::Damaged(reason.to_owned()))));
    // A pipe in place of the file must not stop the daemon.
    let file = match OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    if !file.metadata()?.is_file() {
        return damaged("something else than a file is in its place");
    }
    let mut bytes = Vec::new();
    match file.take(form::LIMIT as u64 + 1).read_to_end(&mut bytes) {
        Ok(_) => Ok(Some(Ok(bytes))),
        Err(error) if error.raw_os_error() == Some(Errno::EIO as i32) => damaged("the disk cannot read it back"),
        Err(error) => Err(error),
    }
}

fn holder(lock: File) -> String {
    let mut text = String::new();
    // Its content may be missing, but not be much.
    let _ = lock.take(16).read_to_string(&mut text);
    match text.parse::<u32>() {
        Ok(pid) => format!("another portsyncd (process {pid})"),
        Err(_) => "another process".to_owned(),
    }
}

#[cfg(test)]
mod tests;
