//! Another portsyncd that writes the same rows, on this host or another: it is known by the name of its connection.
//!
//! The server forgets a name when its connection ends, so that nothing has to be given back. Where the list of connections
//! may not be asked for, nobody is seen.

use std::time::Duration;

use tokio::time::Instant;
use tracing::{info, warn};

use super::{Daemon, Stop};
use crate::clock::now_ms;
use crate::db::queries;
use crate::telemetry::labels::Db;

/// One that has just ended may still be listed.
const SURE: Duration = Duration::from_secs(1);
/// While there is another one.
const AGAIN: Duration = Duration::from_secs(5);

pub(super) struct Peers {
    /// The name of our own connection.
    pub name: String,
    /// When to look for others.
    pub look_at: Option<Instant>,
    /// Somebody was there at the last look.
    seen: bool,
}

impl Peers {
    pub fn new() -> Self {
        let host = nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        // Names of connections have no spaces, and the parts of ours no slash.
        let host = host.replace(|character: char| !character.is_ascii_graphic() || character == '/', "_");
        let name = format!("{}{host}/{}/{}", queries::PEER, std::process::id(), now_ms());
        Self { name, look_at: None, seen: false }
    }
}

impl Daemon {
    pub(super) fn is_look_for_peers_due(&self, now: Instant) -> bool {
        self.databases.peers.look_at.is_some_and(|at| at <= now)
    }

    /// Looks whether another portsyncd is connected to STATE_DB. Neither is then ready.
    pub(super) async fn look_for_peers(&mut self) -> Result<(), Stop> {
        self.databases.peers.look_at = None;
        let own = self.databases.peers.name.clone();
        let others = self.ask(Db::State, async |state| queries::peers(&state, &own).await).await?;
        let peers = &mut self.databases.peers;
        let was_seen = std::mem::replace(&mut peers.seen, !others.is_empty());
        let rows = &self.telemetry.rows;
        if others.is_empty() {
            if rows.set_rival(None) {
                info!("no other portsyncd writes the same rows any longer");
            }
            return Ok(());
        }
        peers.look_at = Some(Instant::now() + if was_seen { AGAIN } else { SURE });
        if was_seen {
            let others = others.join(", ");
            let problem = format!("another portsyncd writes the same rows: {others}; stop all but one");
            if rows.set_rival(Some(problem)) {
                warn!(others, "another portsyncd writes the same rows; stop all but one");
            }
        }
        Ok(())
    }
}
