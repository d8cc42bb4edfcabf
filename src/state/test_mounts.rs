//! For tests: file systems that are full or read-only, which not even root can write to.

use std::path::Path;
use std::thread;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

/// Runs on a thread that has a file system of its own, which goes with it.
pub fn mounted(options: &str, test: impl FnOnce(&Path) + Send) {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path();
    let run = || {
        // Needs root, or root of a user namespace: `make test` sees to that.
        unshare(CloneFlags::CLONE_NEWNS).unwrap();
        let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
        mount(None::<&str>, "/", None::<&str>, private, None::<&str>).unwrap();
        mount(Some("tmpfs"), folder, Some("tmpfs"), MsFlags::empty(), Some(options)).unwrap();
        test(folder);
    };
    thread::scope(|scope| {
        if let Err(panic) = scope.spawn(run).join() {
            std::panic::resume_unwind(panic);
        }
    });
}

/// From now on nobody can write there.
pub fn read_only(folder: &Path) {
    remount(folder, MsFlags::MS_RDONLY);
}

/// It can be written to again.
pub fn writable(folder: &Path) {
    remount(folder, MsFlags::empty());
}

fn remount(folder: &Path, flags: MsFlags) {
    mount(None::<&str>, folder, None::<&str>, MsFlags::MS_REMOUNT | MsFlags::MS_BIND | flags, None::<&str>).unwrap();
}
