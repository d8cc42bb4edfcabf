//! What `portsyncd observe` does: the daemon's rows, computed from the kernel and held against Redis, without a write.
//!
//! In: all links at one moment, and what the databases have. Out: [`Report`]s of where they differ. Each comparison stands
//! for itself, with a fresh machine: nothing that was seen before can make it wrong. Only commands that read are sent, by
//! which a replica or a user without rights to write will do.

mod difference;

use std::collections::{BTreeSet, HashMap, HashSet};

use futures_util::try_join;
use thiserror::Error;

use crate::config::Config;
use crate::db::StoreError;
use crate::db::pending::Found;
use crate::db::queries::{self, state_rows};
use crate::db::store::{Client, Store};
use crate::db::tables::{self, PORT_CONFIG_DONE, PORT_INIT_DONE, PORT_TABLE};
use crate::db::topology::{Database, Topology};
use crate::link::dump::dump;
use crate::link::monitor::Monitor;
use crate::link::{LinkName, SocketError};
use crate::sync::port_sync::{Names, PortSync, RowKey};
pub use difference::{Difference, FieldDifference, What};

/// Why nothing could be compared.
#[derive(Debug, Error)]
pub enum ObserveError {
    /// Redis did not answer, or not well.
    #[error(transparent)]
    Redis(#[from] StoreError),
    #[error("{address}: {reason}")]
    Connect { address: String, reason: StoreError },
    #[error("cannot read the kernel's links")]
    Kernel(#[from] SocketError),
}

#[derive(Debug, Default)]
pub struct Report {
    /// Ports that `CONFIG_DB` has.
    pub configured: usize,
    /// Links that are ports or groups of them, and management ports where they are wanted.
    pub links: usize,
    /// Ports are configured, and not one of them has a link here: this may be another network namespace than the switch's.
    pub nothing_here: bool,
    /// Rows that have to be in `STATE_DB`.
    pub rows: usize,
    /// Links whose port has no row in `APPL_DB`, so that none is due in `STATE_DB`.
    pub waiting: usize,
    /// Where Redis has something else than the daemon would have written.
    pub differences: BTreeSet<Difference>,
}

/// A connection to each database.
struct Session {
    appl: Client,
    config: Client,
    state: Client,
}

/// Compares. See the module.
pub struct Observer {
    store: Store,
    names: Names,
    monitor: Monitor,
    session: Option<Session>,
}

impl Observer {
    /// Watches the kernel; Redis is connected to when it is needed.
    pub fn new(config: &Config, store: Store) -> Result<Self, SocketError> {
        let monitor = Monitor::open(config.netlink.receive_buffer)?;
        Ok(Self { store, names: config.ports.names(), monitor, session: None })
    }

    /// Waits until the kernel tells of links. Cancel safe: what is read is only that something was said.
    pub async fn changed(&mut self) -> Result<(), SocketError> {
        self.monitor.readable().await?;
        while self.monitor.read(|_| ())?.more {}
        Ok(())
    }

    /// Compares now. After an error the next comparison connects again.
    pub async fn compare(&mut self) -> Result<Report, ObserveError> {
        let session = match self.session.take() {
            Some(session) => session,
            None => {
                let Topology { appl, config, state } = &self.store.topology;
                let open = async |database: &Database| {
                    let address = || database.address.to_string();
                    self.store
                        .client(database)
                        .await
                        .map_err(|reason| ObserveError::Connect { address: address(), reason })
                };
                let (appl, config, state) = try_join!(open(appl), open(config), open(state))?;
                Session { appl, config, state }
            }
        };
        let report = compare(&session, self.names.clone()).await?;
        self.session = Some(session);
        Ok(report)
    }
}

async fn compare(session: &Session, names: Names) -> Result<Report, ObserveError> {
    let dump = dump().await?;
    let mut machine = PortSync::new(names);
    // What is to be done is asked of `desired`.
    let mut actions = Vec::new();
    machine.resync(&dump.links, true, &mut actions);
    let configured = queries::config_names(&session.config).await?;
    let ports: Vec<LinkName> = machine.port_names().collect();
    let present = queries::published(&session.appl, &ports).await?;
    let waiting = ports.iter().zip(&present).filter(|(name, present)| !**present && !name.is_sub_interface()).count();
    for (name, present) in ports.iter().zip(present) {
        machine.published(*name, present, &mut actions);
    }
    let desired: Vec<_> = machine.desired().collect();
    let wanted: HashSet<RowKey> = desired.iter().map(|(key, ..)| *key).collect();
    let rows = state_rows(&session.state, &wanted).await?;
    let held = machine.held_names();

    let mut differences = BTreeSet::new();
    let state_key = |key: RowKey| text(&tables::redis_key(key, &session.state.separator));
    for key in &rows.wrong_type {
        differences.insert(Difference::state(state_key(*key), What::WrongType));
    }
    let found: HashMap<RowKey, Found> = rows.found.iter().copied().collect();
    let differing: Vec<_> =
        desired.iter().filter(|(key, row, _)| found.get(key).is_some_and(|found| *found != Found::Row(*row))).collect();
    let keys: Vec<RowKey> = differing.iter().map(|(key, ..)| *key).collect();
    for ((key, row, _), values) in differing.iter().zip(session.state.fields(&keys).await?) {
        if let Some(what) = What::of(key.table, *row, &values) {
            differences.insert(Difference::state(state_key(*key), what));
        }
    }
    // A dump that links kept changing proves no link's absence.
    if dump.complete {
        differences.extend(machine.stale(&rows.others).map(|key| Difference::state(state_key(*key), What::NoLink)));
    }
    let seen: HashSet<&[u8]> = desired.iter().map(|(key, ..)| key.name.as_bytes()).collect();
    differences.extend(unpublished(session, &configured, &seen).await?);
    let links = held.iter().filter(|name| !name.is_sub_interface()).count();
    let names: HashSet<&[u8]> = held.iter().map(LinkName::as_bytes).collect();
    let nothing_here = !configured.is_empty() && !configured.iter().any(|name| names.contains(name.as_slice()));
    Ok(Report { configured: configured.len(), links, nothing_here, rows: desired.len(), waiting, differences })
}

/// What `APPL_DB` lacks: rows of configured ports, and the two ends of a start; the second is due once every configured
/// port was `seen`.
async fn unpublished(
    session: &Session,
    configured: &[Vec<u8>],
    seen: &HashSet<&[u8]>,
) -> Result<Vec<Difference>, StoreError> {
    let key = |name: &[u8]| text(&tables::join(PORT_TABLE, &session.appl.separator, name));
    let mut missing = Vec::new();
    for (name, present) in configured.iter().zip(queries::published_or_queued(&session.appl, configured).await?) {
        if !present {
            missing.push(Difference::appl(key(name), What::NotPublished));
        }
    }
    let marks = queries::marks(&session.appl).await?;
    let init_due = missing.is_empty() && configured.iter().all(|name| seen.contains(name.as_slice()));
    for (mark, lacks) in [(PORT_CONFIG_DONE, !marks.config_done), (PORT_INIT_DONE, init_due && !marks.init_done)] {
        if lacks {
            missing.push(Difference::appl(key(mark.as_bytes()), What::NotPublished));
        }
    }
    Ok(missing)
}

fn text(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}
