//! The daemon: the thin driver around the machine.
//!
//! One task owns all state. It waits for one thing at a time in `run_once` (a link message, a database, a signal, a timer).
//! What takes longer (deciding on the start, publishing, comparing) is written as a plain sequence that the loop is
//! `run_while` it waits, so that the kernel's messages are read and rows are written whatever else goes on.
//!
//! What has to be done is kept as state, never as a place in a sequence: a sequence that is cut short, by a server that goes
//! away or a refusal, is due again, and `work` begins it anew once its databases are there. Told to end, the daemon
//! begins no start, writes what is pending, and ends as soon as nothing is, or at a deadline.

mod awaited_rows;
mod change_log;
mod config_db;
pub mod core;
mod due;
mod event_loop;
mod marks;
mod peers;
mod reconcile;
mod reconnect;
mod session;
mod startup;
mod timers;

use std::sync::Arc;

use anyhow::Context;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::alert::service::AlertingCommand;
use crate::config::{Config, Flags};
use crate::db::StoreError;
use crate::health::{Supervisor, watchdog_interval};
use crate::link::dump::dump;
use crate::link::monitor::Monitor;
use crate::logging::Logging;
use crate::telemetry::Component;
use crate::telemetry::Telemetry;
use crate::telemetry::labels::{Cause, Db};
use config_db::ConfigDb;
use core::Core;
pub use event_loop::Signals;
use session::{DatabaseServer, Databases};
use startup::Startup;
use timers::{Alarm, Timers};

/// Why a sequence ended early.
#[derive(Debug)]
enum Stop {
    /// The daemon was told to end, and there is nothing left to do or no time to do it.
    End,
    /// A database cannot be reached, or was lost: what was to be done is due again when it is there.
    Away,
    /// The kernel cannot be read any longer.
    Fatal(anyhow::Error),
}

pub struct Daemon {
    config: Config,
    /// What the configuration is read with again.
    flags: Flags,
    telemetry: Arc<Telemetry>,
    logging: Logging,
    supervisor: Supervisor,
    alerting: UnboundedSender<AlertingCommand>,
    signals: Signals,
    alarm: Alarm,
    timers: Timers,
    monitor: Monitor,
    /// Link messages read since Redis last had nothing to do.
    burst: usize,
    core: Core,
    databases: Databases,
    startup: Startup,
    config_db: ConfigDb,
    /// Told to end: until when what is pending may be written.
    shutdown: Option<Instant>,
}

impl Daemon {
    /// Subscribes to the kernel, and records the links that are there.
    pub async fn new(
        config: Config,
        flags: Flags,
        alerting: UnboundedSender<AlertingCommand>,
        signals: Signals,
        logging: Logging,
        telemetry: Arc<Telemetry>,
    ) -> anyhow::Result<Self> {
        let wanted = config.netlink.receive_buffer;
        let monitor = Monitor::open(wanted).context("cannot watch the kernel's links")?;
        let granted = monitor.granted();
        if granted < wanted {
            warn!(
                wanted,
                granted,
                "netlink receive buffer is smaller than wanted, bursts may cost a resync; raise net.core.rmem_max or give CAP_NET_ADMIN"
            );
        } else {
            info!(bytes = granted, "netlink receive buffer");
        }
        telemetry.metrics.netlink_receive_buffer.set_count((), granted);
        let mut core = Core::new(config.ports.names(), Arc::clone(&telemetry));
        core.begin_list();
        core.resync(&dump().await.context("cannot list the kernel's links")?);
        core.record_existing();
        telemetry.readiness.set_ready(Component::Kernel);
        let store = config.redis.store()?;
        let _ = telemetry.separator.set(store.topology.state.separator.clone());
        Ok(Self {
            timers: Timers::new(watchdog_interval(), config.log.heartbeat, config.health.initial_sync_timeout),
            alarm: Alarm::new().context("cannot make a timer")?,
            supervisor: Supervisor::new(Arc::clone(&telemetry)),
            databases: Databases::new(store),
            config,
            flags,
            telemetry,
            logging,
            alerting,
            signals,
            monitor,
            burst: 0,
            core,
            startup: Startup::default(),
            config_db: ConfigDb::default(),
            shutdown: None,
        })
    }

    /// Runs until it is told to end. The answer is whether everything was written.
    pub async fn run(mut self) -> anyhow::Result<bool> {
        if let Stop::Fatal(error) = self.serve().await {
            return Err(error);
        }
        self.core.log_changes();
        let left = if self.startup.may_compare() { self.core.pending().unwritten() } else { 0 };
        if left > 0 {
            warn!(rows = left, "ended with rows that Redis did not take");
        } else {
            info!("ended, everything is written");
        }
        Ok(left == 0)
    }

    /// Does what there is to do, and waits for more.
    async fn serve(&mut self) -> Stop {
        self.note_configuration(true);
        let mut now = Instant::now();
        loop {
            let done = match self.work(now).await {
                Ok(false) => self.run_once(now).await,
                done => done.map(|_| Instant::now()),
            };
            now = match done {
                Ok(at) => at,
                Err(Stop::Away) => Instant::now(),
                Err(stop) => return stop,
            };
        }
    }

    /// Does the first of what is due and can be done with the databases that are there. False if nothing is.
    async fn work(&mut self, now: Instant) -> Result<bool, Stop> {
        let [appl, config, state] = [Db::Appl, Db::Config, Db::State].map(|db| self.databases.is_up(db));
        let may_compare = self.startup.may_compare();
        let compare = self.core.compare_due(now).filter(|_| state && may_compare);
        if config && self.config_db.read_logger {
            self.read_logger().await?;
        } else if self.may_decide(now) {
            self.decide().await?;
        } else if self.may_begin(now) {
            self.carry_out().await?;
        } else if let Some(cause) = compare {
            self.compare(cause).await?;
        } else if self.may_carry_out(now) {
            self.carry_out().await?;
        } else if appl && may_compare && self.awaited_rows_are_due(now) {
            self.check_awaited().await?;
        } else if self.is_init_done_due(now) {
            self.publish_init_done().await?;
        } else if config && self.startup.is_decided() && self.config_db.read_ports_at.is_some_and(|at| at <= now) {
            self.update_ports().await?;
        } else if self.is_count_due(now) {
            self.publish_count(self.config_db.ports.len()).await?;
        } else if config && self.config_db.read_rules {
            self.read_rules().await?;
        } else if state && self.is_look_for_peers_due(now) {
            self.look_for_peers().await?;
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    /// Somebody wants the daemon to end.
    fn end(&mut self) -> Result<(), Stop> {
        if self.shutdown.is_some() {
            return Err(Stop::End);
        }
        info!(pending = self.core.pending().unwritten(), "told to end, writing what is pending");
        self.supervisor.stopping();
        self.shutdown = Some(Instant::now() + self.config.shutdown.grace);
        self.drain_links().map(|_| ()).map_err(Stop::Fatal)
    }

    /// Whether the daemon was told to end and nothing is left that it can write.
    fn is_over(&self) -> bool {
        self.shutdown.is_some_and(|deadline| {
            let now = Instant::now();
            let unwritten = self.startup.may_compare() && self.core.pending().unwritten() > 0;
            deadline <= now || !(unwritten || self.is_init_done_due(now))
        })
    }

    /// A server can be asked from now on.
    fn connected(&mut self, server: usize) {
        let now = Instant::now();
        for db in &self.databases.servers[server].databases {
            self.telemetry.metrics.redis_up.set(*db, 1.0);
            if *db == Db::Config {
                self.config_db.read_all(now);
            } else {
                let cause = if self.supervisor.is_ready() { Cause::Reconnect } else { Cause::Start };
                self.core.compare_at(now, cause);
                self.core.awaited_rows_mut().check_all();
            }
        }
        self.note_notifications(server);
        if self.databases.are_up() {
            self.telemetry.readiness.set_ready(Component::Redis);
        }
    }

    /// Whether a server tells of changes is shown, and said when it is news.
    fn note_notifications(&mut self, server: usize) {
        let DatabaseServer { databases, listening, said_silent, .. } = &mut self.databases.servers[server];
        let Some(listening) = listening else { return };
        for db in databases {
            let tells = listening.notifies && (*db != Db::Config || listening.to_config);
            self.telemetry.metrics.redis_notifications.set(*db, f64::from(u8::from(tells)));
        }
        if std::mem::replace(said_silent, !listening.notifies) != listening.notifies {
            return;
        }
        let (notifies, server) = (listening.notifies, self.databases.address(server));
        if notifies {
            info!(server, "Redis tells of changes");
        } else {
            warn!(
                server,
                "Redis does not tell of changes, they are seen at the next audit (netlink.audit_interval); \
                 set its notify-keyspace-events to KEA, or allow CONFIG GET of it"
            );
        }
    }

    /// A server is away: gives its connections up, and tries again later. What was under way is pending again.
    fn lost(&mut self, server: usize, error: &StoreError) {
        let metrics = &self.telemetry.metrics;
        let databases = &self.databases.servers[server].databases;
        if !self.databases.is_up(databases[0]) {
            metrics.redis_connect_failures.count(());
        }
        for db in databases {
            metrics.redis_up.set(*db, 0.0);
        }
        let address = self.databases.address(server);
        if let Some(mut writing) = self.databases.give_up(server, &address, error) {
            self.core.connection_lost(writing.writer.give_up());
            self.timers.write_again = None;
            self.timers.accepted();
            self.telemetry.rows.accepted();
            self.telemetry.readiness.set_not_ready(Component::Rows, "not compared since Redis was lost");
        }
        // What was done of the plan may be lost with it.
        self.startup.begin_anew();
        self.telemetry.readiness.set_not_ready(Component::Redis, format!("{address}: {error}"));
        self.supervisor.status(format!("waiting for Redis, {} rows pending", self.core.pending().unwritten()));
    }

    /// Something was done with Redis: the time without a server, if there was one, is over. That of the one that takes rows is
    /// over only when it has taken them.
    fn note_success(&mut self) {
        let in_step = self.core.pending().unwritten() == 0 && self.databases.is_compared();
        for at in 0..self.databases.servers.len() {
            let server = &mut self.databases.servers[at];
            let back = server.listening.is_some() && (in_step || !server.databases.contains(&Db::State));
            if back && server.reconnect.succeeded() && self.supervisor.is_ready() {
                info!(server = self.databases.address(at), "Redis is back, every row is compared");
            }
        }
    }
}
