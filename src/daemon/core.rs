//! The machine with what stands around it: links go in, pending rows come out, and what becomes of them is logged.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::{debug, info, trace};

use super::awaited_rows::AwaitedRows;
use super::change_log::LoggedChange;
use super::due::Due;
use crate::db::Trouble;
use crate::db::pending::{Origin, Pending, Write};
use crate::db::queries::StateRows;
use crate::link::dump::Dump;
use crate::link::{IfIndex, LinkEvent, LinkName};
use crate::sync::init::Init;
use crate::sync::port_sync::{Names, PortSync, Row, RowKey, Source, SyncAction, Table};
use crate::telemetry::Telemetry;
use crate::telemetry::labels::{Cause, Db, DumpOutcome, Outcome};
use crate::telemetry::observe::PortObserver;

/// The least time between two lists of all links: messages that are lost while one follows the other make one more enough.
const LIST_PAUSE: Duration = Duration::from_millis(100);

pub struct Core {
    machine: PortSync,
    pending: Pending,
    /// Knows when the start is done.
    init: Init,
    awaited_rows: AwaitedRows,
    observer: PortObserver,
    /// When everything has to be compared next, for what happened to links, and to rows.
    links_due: Due,
    rows_due: Due,
    actions: Vec<SyncAction>,
    unlogged: Vec<LoggedChange>,
    listed: Option<Instant>,
    /// The last list of all links lacked none: only then is a link absent that is not in it.
    complete: bool,
}

impl Core {
    pub fn new(names: Names, telemetry: Arc<Telemetry>) -> Self {
        Self {
            observer: PortObserver::new(telemetry),
            machine: PortSync::new(names),
            pending: Pending::default(),
            init: Init::default(),
            awaited_rows: AwaitedRows::default(),
            links_due: Due::default(),
            rows_due: Due::default(),
            actions: Vec::new(),
            unlogged: Vec::new(),
            listed: None,
            complete: false,
        }
    }

    /// What is to be written.
    pub fn pending(&self) -> &Pending {
        &self.pending
    }

    /// Which row each link deserves.
    pub(super) fn machine(&self) -> &PortSync {
        &self.machine
    }

    /// What the start waits for.
    pub(super) fn init(&self) -> &Init {
        &self.init
    }

    pub(super) fn init_mut(&mut self) -> &mut Init {
        &mut self.init
    }

    /// The rows of APPL_DB that links wait for.
    pub(super) fn awaited_rows(&self) -> &AwaitedRows {
        &self.awaited_rows
    }

    pub(super) fn awaited_rows_mut(&mut self) -> &mut AwaitedRows {
        &mut self.awaited_rows
    }

    pub fn event(&mut self, event: &LinkEvent) {
        trace!(?event, "link message");
        self.machine.event(event, &mut self.actions);
        // Of a link that waits nothing is written.
        if let LinkEvent::New(link) = event
            && self.actions.is_empty()
            && self.awaited_rows.any()
        {
            self.observe_waiting(link.name);
        }
        self.settle();
    }

    /// Why rows are wanted from now on.
    pub fn because(&mut self, origin: Origin) {
        self.pending.because(origin);
    }

    /// All links are being asked for: messages that are lost from now on are a reason to ask again.
    pub(super) fn begin_list(&mut self) {
        self.links_due = Due::default();
        self.machine.begin_dump();
    }

    /// Takes a list of all links. What was lost before the asking began is in it; what was lost since needs another.
    pub fn resync(&mut self, dump: &Dump) {
        self.listed = Some(Instant::now());
        self.complete = dump.complete;
        let metrics = &self.observer.telemetry().metrics;
        metrics.dumps.count(if dump.complete { DumpOutcome::Complete } else { DumpOutcome::Interrupted });
        metrics.dump_retries.add((), u64::from(dump.retries));
        self.machine.resync(&dump.links, dump.complete, &mut self.actions);
        for name in self.awaited_rows.names() {
            self.observe_waiting(name);
        }
        self.settle();
        self.observer.forget_gone();
        if !dump.complete {
            info!(retries = dump.retries, "every list of links lacked some, asking again later");
            self.list_links_in(Duration::from_secs(1), Cause::InterruptedDump);
        }
    }

    /// Notes what the kernel says of a port, if it waits for its row in APPL_DB.
    fn observe_waiting(&mut self, name: LinkName) {
        if let Some(up_down) = self.machine.up_down(&name) {
            self.observer.link(name, up_down);
        }
    }

    /// Says whether APPL_DB has a port's row.
    pub fn published(&mut self, name: LinkName, present: bool) {
        self.machine.published(name, present, &mut self.actions);
        self.settle();
    }

    /// APPL_DB has lost all rows of ports: what was written tells nothing of a start that begins again.
    pub(super) fn forget_published(&mut self) {
        self.init = Init::default();
        for name in self.machine.port_names().collect::<Vec<_>>() {
            self.published(name, false);
        }
    }

    /// The links of now are those that were there before the daemon.
    pub(super) fn record_existing(&mut self) {
        self.machine.record_existing();
    }

    /// On a cold start the recorded links are old: gives those that are ports. On any other none is.
    pub(super) fn judge_existing(&mut self, cold: bool) -> Vec<(IfIndex, LinkName)> {
        if !cold {
            self.machine.keep_existing();
        }
        let retired = self.machine.retire_existing(&mut self.actions);
        self.settle();
        retired
    }

    /// CONFIG_DB has these ports.
    pub(super) fn configured<'a>(&mut self, names: impl Iterator<Item = &'a [u8]>) {
        self.observer.configured(names);
    }

    /// The row changed: it is written, also if Redis is known to hold it already.
    fn write(&mut self, key: RowKey, row: Row, source: Source) {
        let there = self.pending.set(key, row);
        self.want(key, row, source, there);
        if !there {
            self.unlogged.push(LoggedChange { name: key.name, now: Some((row, source)) });
        }
    }

    /// The row has to be there: written if it is not. True if it was not.
    fn ensure(&mut self, key: RowKey, row: Row, source: Source) -> bool {
        let differs = self.pending.ensure(key, row);
        let written = !self.pending.is_unwritten(key);
        if differs {
            self.unlogged.push(LoggedChange { name: key.name, now: Some((row, source)) });
        } else if written {
            self.observer.telemetry().metrics.redis_writes_spared.count(());
            self.row_written(key);
        }
        self.want(key, row, source, written);
        differs
    }

    fn want(&mut self, key: RowKey, row: Row, source: Source, there: bool) {
        if let Row::Port { admin_up, oper_up, mtu } = row {
            self.observer.wanted(key.name, (admin_up, oper_up, mtu), source, there);
        }
    }

    /// Call before rows are read from Redis, and hand the result to [`compare`](Self::compare).
    pub(super) fn begin_reading(&mut self) -> u64 {
        self.pending.begin_reading()
    }

    /// What was found of STATE_DB's rows, and of the ports in APPL_DB if that was read: rows that differ are to be written,
    /// and stale ones to go. Says how many these are.
    pub(super) fn compare(
        &mut self,
        cause: Cause,
        rows: &StateRows,
        reading: u64,
        published: impl Iterator<Item = (LinkName, bool)>,
    ) -> usize {
        for (key, found) in &rows.found {
            self.pending.learn(*key, *found, reading);
        }
        for (name, present) in published {
            self.published(name, present);
        }
        self.because(if cause == Cause::Audit { Origin::Audit } else { Origin::Other });
        let (blocked, desired): (Vec<_>, Vec<_>) =
            self.machine.desired().partition(|(key, ..)| rows.wrong_type.contains(key));
        // Keys of another type take no row.
        for (key, row, source) in blocked {
            self.want(key, row, source, false);
            self.blocked(key);
        }
        let differing = desired.into_iter().filter(|(key, row, source)| self.ensure(*key, *row, *source)).count();
        let stale = self.remove_stale(&rows.others);
        self.because(Origin::Other);
        differing + stale
    }

    /// Stale rows go as a whole, as if their link had been seen to go.
    fn remove_stale(&mut self, others: &[RowKey]) -> usize {
        let stale = self.machine.stale(others).filter(|_| self.complete);
        let stale: Vec<RowKey> = stale.filter(|key| !self.pending.is_unwritten(**key)).copied().collect();
        for key in &stale {
            info!(port = %key.name, "row without a link is removed");
            self.pending.remove(*key);
        }
        stale.len()
    }

    /// Hands on what is to be written next.
    pub fn take_batch(&mut self, most: usize, each: impl FnMut(RowKey, Write)) {
        self.pending.take(most, each);
    }

    /// Redis has done what was under way for this row.
    pub fn acknowledged(&mut self, key: RowKey, now: Instant) {
        let Some(done) = self.pending.acknowledge(key) else { return };
        let metrics = &self.observer.telemetry().metrics;
        metrics.redis_writes.count((Db::State, Outcome::Ok));
        match done.origin {
            Origin::Message(received) => {
                metrics.event_latency.observe(now - received);
                self.observer.telemetry().slow_rows.note(key.name, now - received);
            }
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

    /// Redis has not done it. True if nobody knew yet that the key is of another type.
    pub(super) fn failed(&mut self, key: RowKey, trouble: Trouble) -> bool {
        let mut is_new = false;
        let outcome = match trouble {
            Trouble::WrongType => {
                is_new = self.pending.wrong_type(key);
                self.blocked(key);
                Outcome::WrongType
            }
            Trouble::NoScript | Trouble::Refused => {
                self.pending.failed(key);
                Outcome::Refused
            }
            Trouble::Lost => {
                self.pending.lost(key);
                Outcome::Lost
            }
        };
        self.observer.telemetry().metrics.redis_writes.count((Db::State, outcome));
        is_new
    }

    /// The key is of another type.
    fn blocked(&mut self, key: RowKey) {
        if key.table == Table::Port {
            self.observer.blocked(key.name);
        }
    }

    /// The connection that these rows were written over is lost.
    pub(super) fn connection_lost(&mut self, under_way: impl Iterator<Item = RowKey>) {
        for key in under_way {
            self.failed(key, Trouble::Lost);
        }
        self.pending.forget_known();
    }

    fn row_written(&mut self, key: RowKey) {
        let name = key.name.as_bytes();
        if self.init.row_written(name) {
            self.observer.arrived(name);
        }
    }

    /// The start waits for these ports' rows.
    pub(super) fn await_ports<'a>(&mut self, ports: impl Iterator<Item = &'a [u8]>) {
        self.init.wait_for(ports);
        self.observer.telemetry().starts.due_again();
        self.observer.awaited(self.init.awaited());
    }

    /// Logs what changed since the last time.
    pub fn log_changes(&mut self) {
        self.unlogged.drain(..).for_each(LoggedChange::log);
    }

    /// All links have to be asked for, not before this time has passed, nor too soon after the last time.
    pub(super) fn list_links_in(&mut self, pause: Duration, cause: Cause) {
        let now = Instant::now();
        let earliest = self.listed.map_or(now, |last| last + LIST_PAUSE);
        self.links_due.by((now + pause).max(earliest), cause);
    }

    /// Whether all links have to be asked for.
    pub(super) fn must_list_links(&self) -> bool {
        self.links_due.0.is_some()
    }

    /// Everything has to be compared at this time.
    pub(super) fn compare_at(&mut self, at: Instant, cause: Cause) {
        self.rows_due.by(at, cause);
    }

    /// Everything is being compared now.
    pub(super) fn compare_begins(&mut self, now: Instant) {
        self.rows_due.take(now);
    }

    /// No audit is due.
    pub(super) fn drop_audit(&mut self) {
        self.rows_due.0.take_if(|(_, cause)| *cause == Cause::Audit);
    }

    /// Why everything has to be compared now, if it has.
    pub(super) fn compare_due(&self, now: Instant) -> Option<Cause> {
        self.links_due.now(now).or(self.rows_due.now(now))
    }

    /// When something has to be done next, for links and for rows.
    pub(super) fn deadlines(&self) -> [Option<Instant>; 3] {
        let at = |due: Due| due.0.map(|(at, _)| at);
        [at(self.links_due), at(self.rows_due), self.awaited_rows.again_at()]
    }

    fn settle(&mut self) {
        let mut actions = std::mem::take(&mut self.actions);
        for action in actions.drain(..) {
            match action {
                SyncAction::Write(key, row, source) => self.write(key, row, source),
                SyncAction::Remove(key) => {
                    self.pending.remove(key);
                    if key.table == Table::Port {
                        self.observer.removed(key.name);
                    }
                    self.unlogged.push(LoggedChange { name: key.name, now: None });
                }
                SyncAction::Await(name) => {
                    debug!(port = %name, "link waits for its row in APPL_DB");
                    self.pending.withdraw(RowKey { table: Table::Port, name });
                    self.observer.waiting(name);
                    self.observe_waiting(name);
                    self.awaited_rows.add(name);
                }
                SyncAction::Forget(name) => self.awaited_rows.forget(&name),
                SyncAction::Old(name, old) => {
                    if old {
                        self.observer.removed(name);
                    }
                    self.observer.ignored(name, old);
                }
            }
        }
        self.actions = actions;
    }
}
