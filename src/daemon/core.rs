//! The machine with what stands around it: links go in, pending rows come out.

use std::time::Duration;

use tokio::time::Instant;
use tracing::{debug, info, trace};

use super::watch::Watch;
use crate::db::pending::{Pending, Standing};
use crate::link::dump::Dump;
use crate::link::{IfIndex, LinkEvent, LinkName};
use crate::sync::init::Init;
use crate::sync::port_sync::{Action, Names, PortSync, Row, RowKey, Table};

/// The least time between two resyncs: messages that are lost while one resync follows the other make one more enough.
const RESYNC_PAUSE: Duration = Duration::from_millis(100);

/// See the module.
pub struct Core {
    /// Decides which row a link deserves.
    pub machine: PortSync,
    /// What is to be written.
    pub pending: Pending,
    /// Knows when the start is done.
    pub init: Init,
    pub(super) watch: Watch,
    actions: Vec<Action>,
    /// Changes that are not logged yet.
    untold: Vec<Change>,
    resync: Option<(Instant, &'static str)>,
    last_resync: Option<Instant>,
}

/// What became of a port, for the log: what it is now, known from which link, or that it is gone.
struct Change {
    name: LinkName,
    now: Option<(Row, IfIndex)>,
}

impl Core {
    /// Has seen nothing yet.
    pub fn new(names: Names) -> Self {
        Self {
            machine: PortSync::new(names),
            pending: Pending::default(),
            init: Init::default(),
            watch: Watch::default(),
            actions: Vec::new(),
            untold: Vec::new(),
            resync: None,
            last_resync: None,
        }
    }

    /// Takes a link message.
    pub fn event(&mut self, event: &LinkEvent) {
        trace!(?event, "link message");
        self.machine.event(event, &mut self.actions);
        self.settle();
    }

    /// All links are being asked for: messages that are lost from now on are a reason to ask again.
    pub fn begin_dump(&mut self) {
        self.resync = None;
        self.machine.begin_dump();
    }

    /// Takes a dump.
    pub fn resync(&mut self, dump: &Dump) {
        self.last_resync = Some(Instant::now());
        self.machine.resync(&dump.links, dump.complete, &mut self.actions);
        self.settle();
        if !dump.complete {
            info!(retries = dump.retries, "links changed during every dump, asking again later");
            self.resync_in(Duration::from_secs(1), "interrupted dump");
        }
    }

    /// Says whether APPL_DB has a port's row.
    pub fn published(&mut self, name: LinkName, present: bool) {
        self.machine.published(name, present, &mut self.actions);
        self.settle();
    }

    /// A cold start: what was there before is old.
    pub fn retire_existing(&mut self) -> Vec<(IfIndex, LinkName)> {
        let retired = self.machine.retire_existing(&mut self.actions);
        self.settle();
        retired
    }

    /// A row that has to be there: written if it is not.
    pub fn want(&mut self, key: RowKey, row: Row, ifindex: IfIndex) -> Standing {
        let standing = self.pending.set(key, row);
        match standing {
            Standing::There => self.init.row_written(key.name.as_bytes()),
            Standing::Waiting => {}
            Standing::Changed => self.untold.push(Change { name: key.name, now: Some((row, ifindex)) }),
        }
        standing
    }

    /// Logs what changed since the last time.
    pub fn tell(&mut self) {
        for Change { name, now } in self.untold.drain(..) {
            match now {
                Some((Row::Port { admin_up, oper_up, mtu }, ifindex)) => info!(
                    port = %name, admin = up_down(admin_up), oper = up_down(oper_up), mtu, ifindex, "port changed"
                ),
                Some((Row::Management { oper_up }, ifindex)) => {
                    info!(port = %name, oper = up_down(oper_up), ifindex, "management port changed");
                }
                None => info!(port = %name, "port removed"),
            }
        }
    }

    /// All links have to be asked for, not before this time has passed, nor too soon after the last time.
    pub fn resync_in(&mut self, pause: Duration, cause: &'static str) {
        let now = Instant::now();
        let earliest = self.last_resync.map_or(now, |last| last + RESYNC_PAUSE);
        let at = (now + pause).max(earliest);
        if self.resync.is_none_or(|(before, _)| at < before) {
            self.resync = Some((at, cause));
        }
    }

    /// When all links have to be asked for, if they have.
    pub fn resync_at(&self) -> Option<Instant> {
        self.resync.map(|(at, _)| at)
    }

    /// Why all links have to be asked for now, if they have.
    pub fn resync_due(&self, now: Instant) -> Option<&'static str> {
        self.resync.filter(|(at, _)| *at <= now).map(|(_, cause)| cause)
    }

    fn settle(&mut self) {
        let mut actions = std::mem::take(&mut self.actions);
        for action in actions.drain(..) {
            match action {
                Action::Write(key, row, ifindex) => {
                    self.want(key, row, ifindex);
                }
                Action::Remove(key) => {
                    self.pending.remove(key);
                    self.untold.push(Change { name: key.name, now: None });
                }
                Action::Await(name) => {
                    debug!(port = %name, "link waits for its row in APPL_DB");
                    self.pending.withdraw(RowKey { table: Table::Port, name });
                    self.watch.add(name);
                }
                Action::Forget(name) => self.watch.forget(&name),
            }
        }
        self.actions = actions;
    }
}

fn up_down(up: bool) -> &'static str {
    if up { "up" } else { "down" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_during_a_dump_is_a_reason_for_another_and_one_before_it_is_not() {
        let names = Names { ports: vec!["Ethernet".to_owned()], lags: Vec::new(), management: Vec::new() };
        let dump = Dump { links: Vec::new(), complete: true, retries: 0 };
        let mut core = Core::new(names);
        core.resync_in(Duration::ZERO, "overrun");
        core.begin_dump();
        core.resync(&dump);
        assert_eq!(core.resync_at(), None);
        core.begin_dump();
        core.resync_in(Duration::ZERO, "overrun");
        core.resync(&dump);
        assert!(core.resync_at().is_some());
    }
}
