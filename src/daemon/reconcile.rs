//! Comparing: the kernel, APPL_DB and STATE_DB, each as it is now, and writing what differs.
//!
//! Start, overrun, interrupted dump, reconnect and audit are this one path.

use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;
use tracing::{debug, warn};

use super::{Daemon, Stop};
use crate::clock::now_ms;
use crate::db::queries::{self, state_rows};
use crate::link::LinkName;
use crate::link::dump::dump;
use crate::sync::port_sync::{RowKey, Table};
use crate::telemetry::Component;
use crate::telemetry::labels::{Cause, Db, DumpOutcome};
use crate::telemetry::value::Label;

impl Daemon {
    /// Compares everything, and writes what differs. Whatever cuts it short, it is due again.
    pub(super) async fn compare(&mut self, cause: Cause) -> Result<(), Stop> {
        let began = Instant::now();
        self.core.compare_begins(began);
        let compared = self.compare_all(cause).await;
        match compared {
            Ok(()) => {
                self.telemetry.metrics.resyncs.count(cause);
                self.telemetry.metrics.resync_duration.observe(began.elapsed());
                self.telemetry.moments.resync_ms.store(now_ms(), Ordering::Relaxed);
                debug!(cause = cause.text(), micros = micros(began), "compared with the kernel");
            }
            Err(_) => self.core.compare_at(began, cause),
        }
        compared
    }

    async fn compare_all(&mut self, cause: Cause) -> Result<(), Stop> {
        // The links were listed when the daemon started, and nothing was lost since then.
        if cause != Cause::Start || self.core.must_list_links() {
            self.list_links(cause).await?;
        }
        let reading = self.core.begin_reading();
        let names: Vec<LinkName> = self.core.machine().port_names().collect();
        let mut present = Vec::new();
        if self.databases.is_up(Db::Appl) {
            let marks = self.ask(Db::Appl, async |appl| queries::marks(&appl).await).await?;
            present = self.ask(Db::Appl, async |appl| queries::published(&appl, &names).await).await?;
            if self.found_marks(&marks, present.contains(&true)) {
                return Ok(());
            }
        }
        let wanted: HashSet<RowKey> = names
            .iter()
            .map(|name| RowKey { table: Table::Port, name: *name })
            .chain(self.core.machine().desired().map(|(key, ..)| key))
            .collect();
        let rows = self.ask(Db::State, async |state| state_rows(&state, &wanted).await).await?;
        let differing = self.core.compare(cause, &rows, reading, names.into_iter().zip(present));
        if differing > 0 && cause == Cause::Audit {
            self.telemetry.metrics.drift_found.add((), differing as u64);
            self.telemetry.mark(&self.telemetry.moments.drift);
            warn!(rows = differing, "audit found rows that differed from the kernel, mending them");
        }
        self.telemetry.readiness.set_ready(Component::Rows);
        self.rows_are_compared();
        self.note_success();
        self.look_at_the_rest(cause).await
    }

    /// Rows may be written now.
    fn rows_are_compared(&mut self) {
        let Some(writing) = self.databases.writing.as_mut().filter(|writing| !writing.compared) else { return };
        writing.compared = true;
        if self.supervisor.is_ready() {
            self.telemetry.metrics.redis_reconnects.count(());
            // A server that was only slow may still carry out what the old connection had sent: look once more.
            self.core.compare_at(Instant::now() + Duration::from_secs(1), Cause::Reconnect);
        }
        self.supervisor.ready();
        self.supervisor.status(match self.core.init().awaited().len() {
            0 => "in service, every configured port is in step".to_owned(),
            count => format!("in service, waiting for {count} configured ports"),
        });
    }

    /// What is looked at whenever everything is: what a server that tells of no changes does not tell.
    async fn look_at_the_rest(&mut self, cause: Cause) -> Result<(), Stop> {
        self.audit_later();
        self.databases.peers.look_at.get_or_insert_with(Instant::now);
        if cause == Cause::Audit {
            for server in 0..self.databases.servers.len() {
                let db = self.databases.servers[server].databases[0];
                if self.databases.is_up(db) {
                    let notifies = self.ask(db, async |client| client.notifies().await).await?;
                    if let Some(listening) = self.databases.listening(db) {
                        listening.notifies = notifies;
                        listening.listener().ping();
                    }
                    self.note_notifications(server);
                }
            }
            self.config_db.read_all(Instant::now());
            // Whether it is listened to them may have to change; what the comparison asked is known otherwise.
            self.core.awaited_rows_mut().check_all();
        }
        Ok(())
    }

    pub(super) fn audit_later(&mut self) {
        let interval = self.config.netlink.audit_interval;
        if !interval.is_zero() {
            self.core.compare_at(Instant::now() + interval, Cause::Audit);
        }
    }

    /// Asks the kernel for all links, while its messages are read on.
    async fn list_links(&mut self, cause: Cause) -> Result<(), Stop> {
        let drained = self.drain_links().map_err(Stop::Fatal)?;
        self.core.begin_list();
        let listed = self.run_while(dump()).await.inspect_err(|_| {
            // Whatever ended it comes first, but the reason to ask, a loss perhaps, is still there.
            self.core.list_links_in(Duration::ZERO, cause);
        })?;
        match listed {
            Ok(links) => {
                self.core.resync(&links);
                if !drained {
                    self.core.list_links_in(Duration::from_secs(1), cause);
                }
            }
            Err(problem) => {
                self.telemetry.metrics.dumps.count(DumpOutcome::Failed);
                warn!(problem = %problem, "cannot list the kernel's links, trying again");
                self.core.list_links_in(Duration::from_secs(1), cause);
            }
        }
        Ok(())
    }

    /// Looks for the APPL_DB rows that links wait for, and listens while there are any.
    pub(super) async fn check_awaited(&mut self) -> Result<(), Stop> {
        self.listen_to_ports().await?;
        loop {
            let names = self.core.awaited_rows_mut().take_unchecked(Instant::now());
            if names.is_empty() {
                break;
            }
            let asked = self.ask(Db::Appl, async |appl| queries::published(&appl, &names).await).await;
            let present = asked.inspect_err(|_| self.core.awaited_rows_mut().check_all())?;
            for (name, present) in names.into_iter().zip(present) {
                self.core.published(name, present);
            }
        }
        if self.databases.listens_to_ports() {
            self.core.awaited_rows_mut().check_when_told();
        } else {
            // The longest pause is short while the whole switch waits.
            let most = Duration::from_secs(if self.core.init().awaited().len() > 0 { 1 } else { 15 });
            self.core.awaited_rows_mut().check_later(Instant::now(), most);
        }
        Ok(())
    }

    /// Whether rows are to be looked for, or it is listened to them though none is awaited.
    pub(super) fn awaited_rows_are_due(&self, now: Instant) -> bool {
        let rows = self.core.awaited_rows();
        rows.is_due(now) || (!rows.any() && self.databases.listens_to_ports())
    }

    /// Listens to APPL_DB's rows of ports while one is awaited: first listened to, then looked for, none is missed.
    async fn listen_to_ports(&mut self) -> Result<(), Stop> {
        let wanted = self.core.awaited_rows().any();
        let pattern = self.databases.channels.ports_pattern();
        let Some(listening) = self.databases.listening(Db::Appl) else { return Err(Stop::Away) };
        if wanted && listening.notifies && !listening.to_ports {
            listening.to_ports = true;
            listening.listener().subscribe(&pattern);
            while self.databases.listening(Db::Appl).is_some_and(|listening| !listening.listener().is_answered()) {
                self.run_once_until(None, Instant::now()).await?;
            }
            self.core.awaited_rows_mut().check_all();
        } else if listening.to_ports && (!wanted || !listening.notifies) {
            listening.to_ports = false;
            listening.listener().unsubscribe(&pattern);
        }
        Ok(())
    }
}

fn micros(began: Instant) -> u64 {
    u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX)
}
