//! Where a scenario plays: namespaces of this process's own, with Redis where every portsyncd looks for it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use anyhow::Context;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use portsyncd::lab::netns;

/// `/var/run` is a link to `/run`; the whole folder is covered, so that nothing of the machine's own is reached.
const RUN: &str = "/run";

/// Proof that this process is in its own namespaces.
#[derive(Debug)]
pub(super) struct Stage(());

impl Stage {
    /// Moves this process into fresh namespaces.
    pub fn enter() -> anyhow::Result<Self> {
        netns::enter_private()?;
        unshare(CloneFlags::CLONE_NEWNS).context("cannot create a mount namespace")?;
        let none: Option<&Path> = None;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).context("cannot make mounts private")?;
        mount(Some("tmpfs"), RUN, Some("tmpfs"), MsFlags::empty(), none).context("cannot cover /run")?;
        Ok(Self(()))
    }

    /// Puts the server's socket and the list of databases where `SONiC` has them.
    #[expect(clippy::unused_self, reason = "only a process on the stage may do it")]
    pub fn install(&self, socket: &Path, database_config: &Path) -> anyhow::Result<()> {
        let folder = Path::new(RUN).join("redis/sonic-db");
        fs::create_dir_all(&folder).context("cannot create /run/redis/sonic-db")?;
        symlink(socket, Path::new(RUN).join("redis/redis.sock")).context("cannot place redis.sock")?;
        fs::copy(database_config, folder.join("database_config.json")).context("cannot place database_config.json")?;
        Ok(())
    }
}
