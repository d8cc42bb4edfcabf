//! The machine with what stands around it: links go in, pending rows come out, and what becomes of them is told.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::{debug, info, trace};

use super::watch::Watch;
use crate::db::pending::{Origin, Pending, Standing};
use crate::link::dump::Dump;
use crate::link::{IfIndex, LinkEvent, LinkName};
use crate::sync::init::Init;
use crate::sync::port_sync::{Action, Names, PortSync, Row, RowKey, Source, Table};
use crate::telemetry::Telemetry;
use crate::telemetry::labels::{Cause, Db, DumpOutcome, Outcome};
use crate::telemetry::observe::Observer;

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
    pub(super) observer: Observer,
    actions: Vec<Action>,
    /// Changes that are not logged yet.
    untold: Vec<Change>,
    resync: Option<(Instant, Cause)>,
    last_resync: Option<Instant>,
}

/// What became of a port, for the log: what it is now, known from which link, or that it is gone.
struct Change {
    name: LinkName,
    now: Option<(Row, Source)>,
}

impl Core {
    /// Has seen nothing yet.
    pub fn new(names: Names, telemetry: Arc<Telemetry>) -> Self {
        Self {
            observer: Observer::new(telemetry),
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
        let metrics = &self.observer.telemetry().metrics;
        metrics.dumps.count(if dump.complete { DumpOutcome::Complete } else { DumpOutcome::Interrupted });
        metrics.dump_retries.add((), u64::from(dump.retries));
        self.machine.resync(&dump.links, dump.complete, &mut self.actions);
        self.settle();
        if !dump.complete {
            info!(retries = dump.retries, "links changed during every dump, asking again later");
            self.resync_in(Duration::from_secs(1), Cause::InterruptedDump);
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
    pub fn want(&mut self, key: RowKey, row: Row, source: Source) -> Standing {
        let standing = self.pending.set(key, row);
        if let Row::Port { admin_up, oper_up, mtu } = row {
            self.observer.wanted(key.name, (admin_up, oper_up, mtu), source, standing == Standing::There);
        }
        match standing {
            Standing::There => {
                if self.pending.is_for_message() {
                    self.observer.telemetry().metrics.redis_writes_spared.count(());
                }
                self.row_written(key);
            }
            Standing::Waiting => {}
            Standing::Changed => self.untold.push(Change { name: key.name, now: Some((row, source)) }),
        }
        standing
    }

    /// Redis has done what was under way for this row.
    pub fn acknowledged(&mut self, key: RowKey, now: Instant) {
        let Some(done) = self.pending.acknowledge(key) else { return };
        let metrics = &self.observer.telemetry().metrics;
        metrics.redis_writes.count((Db::State, Outcome::Ok));
        match done.origin {
            Origin::Message(received) => metrics.event_latency.observe(now - received),
            Origin::Audit => metrics.drift_repairs.count(()),
            Origin::Other => {}
        }
        if done.row.is_some() {
            if done.settled && key.table == Table::Port {
                self.observer.settled(key.name);
            }
            self.row_written(key);
        }
    }

    fn row_written(&mut self, key: RowKey) {
        self.init.row_written(key.name.as_bytes());
        self.observer.telemetry().metrics.ports_awaited.set_count((), self.init.awaited().len());
    }

    /// A start begins that waits for what [`init`](Self::init) says.
    pub(super) fn awaits(&mut self, init: Init) {
        self.init = init;
        self.observer.awaited(self.init.awaited());
        self.observer.telemetry().metrics.ports_awaited.set_count((), self.init.awaited().len());
    }

    /// Logs what changed since the last time.
    pub fn tell(&mut self) {
        for Change { name, now } in self.untold.drain(..) {
            match now {
                Some((Row::Port { admin_up, oper_up, mtu }, source)) => info!(
                    port = %name, admin = up_down(admin_up), oper = up_down(oper_up), mtu,
                    ifindex = source.ifindex, "port changed"
                ),
                Some((Row::Management { oper_up }, source)) => {
                    info!(port = %name, oper = up_down(oper_up), ifindex = source.ifindex, "management port changed");
                }
                None => info!(port = %name, "port removed"),
            }
        }
    }

    /// All links have to be asked for, not before this time has passed, nor too soon after the last time.
    pub fn resync_in(&mut self, pause: Duration, cause: Cause) {
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
    pub fn resync_due(&self, now: Instant) -> Option<Cause> {
        self.resync.filter(|(at, _)| *at <= now).map(|(_, cause)| cause)
    }

    fn settle(&mut self) {
        let mut actions = std::mem::take(&mut self.actions);
        for action in actions.drain(..) {
            match action {
                Action::Write(key, row, source) => {
                    self.want(key, row, source);
                }
                Action::Remove(key) => {
                    self.pending.remove(key);
                    if key.table == Table::Port {
                        self.observer.removed(key.name);
                    }
                    self.untold.push(Change { name: key.name, now: None });
                }
                Action::Await(name) => {
                    debug!(port = %name, "link waits for its row in APPL_DB");
                    self.pending.withdraw(RowKey { table: Table::Port, name });
                    self.observer.waiting(name);
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
        let mut core = Core::new(names, Arc::default());
        core.resync_in(Duration::ZERO, Cause::Overrun);
        core.begin_dump();
        core.resync(&dump);
        assert_eq!(core.resync_at(), None);
        core.begin_dump();
        core.resync_in(Duration::ZERO, Cause::Overrun);
        core.resync(&dump);
        assert!(core.resync_at().is_some());
    }
}
