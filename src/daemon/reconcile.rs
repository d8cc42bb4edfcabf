//! Comparing: the kernel, APPL_DB and STATE_DB, each as it is now, and writing what differs.
//!
//! Start, overrun, interrupted dump, reconnect and audit are this one path.

use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::{Daemon, Stop};
use crate::db::pending::{Origin, Standing};
use crate::db::read::state_rows;
use crate::db::store::{subscribe, unsubscribe};
use crate::health::Component;
use crate::link::LinkName;
use crate::link::dump::dump;
use crate::sync::port_sync::{RowKey, Table};
use crate::telemetry::labels::{Cause, DumpOutcome};
use crate::telemetry::ports::now_ms;
use crate::telemetry::value::Label;

impl Daemon {
    /// Compares everything, and writes what differs.
    pub(super) async fn reconcile(&mut self, cause: Cause) -> Result<(), Stop> {
        let began = Instant::now();
        let session = self.session_handle()?;
        // The links were listed when the daemon started, and nothing was lost since then.
        let listed = cause == Cause::Start && self.core.resync_at().is_none();
        if !listed {
            self.list_links(cause).await?;
        }
        if cause == Cause::Overrun {
            // Only the kernel's side was in doubt.
            self.check_awaited().await?;
            self.compared(cause, began);
            info!(cause = cause.text(), micros = micros(began), "links compared");
            return Ok(());
        }
        let reading = self.core.pending.begin_reading();
        let marks = self.ask(&session, |session| async move { session.marks().await }).await?;
        let names: Vec<LinkName> = self.core.machine.port_names().collect();
        let asked = names.clone();
        let present = self.ask(&session, |session| async move { session.published(&asked).await }).await?;
        let emptied = self.published && !marks.config_done && !marks.init_done && !present.contains(&true);
        if emptied {
            for name in names {
                self.core.published(name, false);
            }
            return Err(Stop::Emptied);
        }
        if self.core.init.is_said() && marks.config_done && !marks.init_done {
            warn!("Redis has lost PortInitDone, publishing it again");
            self.core.init.lost();
        }
        let wanted: HashSet<RowKey> = names
            .iter()
            .map(|name| RowKey { table: Table::Port, name: *name })
            .chain(self.core.machine.desired().map(|(key, ..)| key))
            .collect();
        let rows = self.ask(&session, |session| async move { state_rows(&session.state, &wanted).await }).await?;
        for (key, found) in &rows.found {
            self.core.pending.learn(*key, *found, reading);
        }
        for (name, present) in names.into_iter().zip(present) {
            self.core.published(name, present);
        }
        self.core.pending.because(if cause == Cause::Audit { Origin::Audit } else { Origin::Other });
        let differing = self.write_differing(&rows.broken) + self.strip_stale(&rows.others);
        self.core.pending.because(Origin::Other);
        if let Some(live) = &mut self.live {
            live.writing = true;
        }
        self.check_awaited().await?;
        // Changes of LOGGER are told by the server where it tells any; where it does not, this is when they are seen.
        self.logger_changed = true;
        self.rules_changed |= self.live.as_ref().is_some_and(|live| !live.notifies);
        self.timers.set_audit(self.config.netlink.audit_interval);
        self.compared(cause, began);
        self.telemetry.latches.ready(Component::Rows);
        if differing > 0 && cause == Cause::Audit {
            self.telemetry.metrics.drift_found.add((), differing as u64);
            self.telemetry.mark(&self.telemetry.moments.drift);
            warn!(rows = differing, "audit found rows that differed from the kernel, mending them");
        }
        debug!(cause = cause.text(), differing, micros = micros(began), "compared with the kernel");
        Ok(())
    }

    fn compared(&self, cause: Cause, began: Instant) {
        self.telemetry.metrics.resyncs.count(cause);
        self.telemetry.metrics.resync_duration.observe(began.elapsed());
        self.telemetry.moments.resync_ms.store(now_ms(), Ordering::Relaxed);
    }

    /// Asks the kernel for all links, while its messages are read on.
    async fn list_links(&mut self, cause: Cause) -> Result<(), Stop> {
        let drained = self.drain_links().map_err(Stop::Fatal)?;
        self.core.begin_dump();
        let listed = self.during(dump()).await.inspect_err(|_| {
            // Whatever ended it comes first, but the reason to ask, a loss perhaps, is still there.
            self.core.resync_in(Duration::ZERO, cause);
        })?;
        match listed {
            Ok(links) => {
                self.core.resync(&links);
                if !drained {
                    self.core.resync_in(Duration::from_secs(1), cause);
                }
            }
            Err(problem) => {
                self.telemetry.metrics.dumps.count(DumpOutcome::Failed);
                warn!(problem = %problem, "cannot list the kernel's links, trying again");
                self.core.resync_in(Duration::from_secs(1), cause);
            }
        }
        Ok(())
    }

    /// `broken` are keys of another type, known not to take a row.
    fn write_differing(&mut self, broken: &[RowKey]) -> usize {
        let desired: Vec<_> = self.core.machine.desired().filter(|(key, ..)| !broken.contains(key)).collect();
        desired
            .into_iter()
            .filter(|(key, row, source)| self.core.want(*key, *row, *source) == Standing::Changed)
            .count()
    }

    /// Rows that claim to be ours though no link has their name. Those of sub-interfaces are intfmgrd's.
    fn strip_stale(&mut self, others: &[RowKey]) -> usize {
        let held = self.core.machine.held_names();
        let stale = others.iter().filter(|key| {
            self.core.machine.names().is_port(&key.name) && !key.name.is_sub_interface() && !held.contains(&key.name)
        });
        let mut count = 0;
        for key in stale {
            info!(port = %key.name, "row without a link is removed");
            self.core.pending.strip(*key);
            count += 1;
        }
        count
    }

    /// Looks for the APPL_DB rows that links wait for, and listens for those that are still missing.
    pub(super) async fn check_awaited(&mut self) -> Result<(), Stop> {
        let session = self.session_handle()?;
        let unwanted = self.core.watch.unlisten();
        self.listen(&unwanted, false).await?;
        loop {
            let names = self.core.watch.take_unchecked(Instant::now());
            if names.is_empty() {
                break;
            }
            let asked = names.clone();
            let present = self.ask(&session, |session| async move { session.published(&asked).await }).await?;
            let mut missing = Vec::new();
            for (name, present) in names.into_iter().zip(present) {
                self.core.published(name, present);
                if !present {
                    missing.push(name);
                }
            }
            if self.live.as_ref().is_some_and(|live| live.notifies) {
                let new = self.core.watch.listen(&missing);
                self.listen(&new, true).await?;
            } else {
                let awaited = self.core.init.awaited().len() > 0;
                let most = if awaited { Duration::from_secs(1) } else { self.config.netlink.audit_interval };
                self.core.watch.poll(Instant::now(), most);
                break;
            }
        }
        Ok(())
    }

    async fn listen(&mut self, names: &[LinkName], begin: bool) -> Result<(), Stop> {
        let Some(live) = self.live.as_ref().filter(|_| !names.is_empty()) else { return Ok(()) };
        let sink = live.listeners.appl.clone();
        let channels = names.iter().map(|name| super::follow::port_channel(&live.session.appl, name)).collect();
        let done = if begin {
            self.during(subscribe(sink, channels)).await?
        } else {
            self.during(unsubscribe(sink, channels)).await?
        };
        done.map_err(Stop::Failed)
    }
}

fn micros(began: Instant) -> u64 {
    u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX)
}
