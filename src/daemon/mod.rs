//! The daemon: the thin driver around the machine.
//!
//! One task owns all state. It waits for one thing at a time in `turn` (a link message, a database, a signal, a timer). What
//! takes longer (deciding on the start, publishing, comparing) is written as a plain sequence that runs `during` further
//! turns, so that the kernel's messages are read and rows are written whatever else goes on.
//!
//! What has to be done is kept as state, never as a place in a sequence: a sequence that is cut short, by a server that goes
//! away or a refusal, is due again, and `work` begins it anew once its databases are there. Told to end, the daemon
//! begins no start, writes what is pending, and ends as soon as nothing is, or at a deadline.

mod awaited_rows;
mod config_db;
pub mod core;
mod event_loop;
mod marks;
mod reconcile;
mod reconnect;
mod session;
mod startup;
mod timers;

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::config::{Config, ConfigError};
use crate::db::StoreError;
use crate::db::queries::{PortConfig, RuleRow};
use crate::health::{Supervisor, watchdog_interval};
use crate::link::dump::dump;
use crate::link::monitor::Monitor;
use crate::logging::Logging;
use crate::telemetry::Component;
use crate::telemetry::Telemetry;
use crate::telemetry::labels::{Cause, Db, Outcome};
use config_db::{Channels, Followed};
use core::Core;
pub use event_loop::Signals;
use marks::KnownMarks;
use session::Databases;
use startup::Start;
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

/// What others are told, or do for the daemon.
pub struct Hooks {
    /// Reads the configuration anew.
    pub read_config: Box<dyn Fn() -> Result<Config, ConfigError>>,
    /// Told of a configuration that was read again.
    pub reloaded: Box<dyn Fn(&Config)>,
    /// Told of the alert rules of CONFIG_DB.
    pub rules_found: Box<dyn Fn(Vec<RuleRow>)>,
}

pub struct Daemon {
    config: Config,
    telemetry: Arc<Telemetry>,
    hooks: Hooks,
    logging: Logging,
    supervisor: Supervisor,
    signals: Signals,
    monitor: Monitor,
    databases: Databases,
    channels: Channels,
    core: Core,
    timers: Timers,
    alarm: Alarm,
    start: Start,
    marks: KnownMarks,
    followed: Followed,
    /// The ports that CONFIG_DB had when it last had any.
    configured: Rc<[PortConfig]>,
    /// Link messages read since Redis last had nothing to do.
    burst: usize,
    /// Rows that Redis refused since the start.
    refusals: usize,
    /// Told to end, and until when what is pending may be written.
    ending: Option<Instant>,
}

impl Daemon {
    /// Subscribes to the kernel, and records the links that are there.
    pub async fn new(
        config: Config,
        hooks: Hooks,
        signals: Signals,
        logging: Logging,
        telemetry: Arc<Telemetry>,
    ) -> anyhow::Result<Self> {
        let store = config.redis.store()?;
        let wanted = config.netlink.receive_buffer;
        let monitor = Monitor::open(wanted).context("cannot watch the kernel's links")?;
        if monitor.granted() < wanted {
            warn!(
                wanted,
                granted = monitor.granted(),
                "netlink receive buffer is smaller than wanted, bursts may cost a resync; raise net.core.rmem_max or give CAP_NET_ADMIN"
            );
        } else {
            info!(bytes = monitor.granted(), "netlink receive buffer");
        }
        telemetry.metrics.netlink_receive_buffer.set_count((), monitor.granted());
        let mut core = Core::new(config.ports.names(), Arc::clone(&telemetry));
        core.begin_list();
        let links = dump().await.context("cannot list the kernel's links")?;
        core.resync(&links);
        core.machine.record_existing();
        telemetry.latches.ready(Component::Kernel);
        let limit = Instant::now() + config.health.initial_sync_timeout;
        let channels = Channels::new(&store.topology);
        Ok(Self {
            timers: Timers::new(watchdog_interval(), config.log.heartbeat, limit),
            alarm: Alarm::new().context("cannot make a timer")?,
            signals,
            supervisor: Supervisor::new(Arc::clone(&telemetry.status_line)),
            databases: Databases::new(store, channels.config_patterns()),
            channels,
            config,
            telemetry,
            hooks,
            logging,
            monitor,
            core,
            start: Start::Undecided,
            marks: KnownMarks::default(),
            followed: Followed::default(),
            configured: Rc::default(),
            burst: 0,
            refusals: 0,
            ending: None,
        })
    }

    /// Runs until it is told to end. The answer is whether everything was written.
    pub async fn run(mut self) -> anyhow::Result<bool> {
        match self.serve().await {
            Stop::Fatal(error) => return Err(error),
            Stop::End | Stop::Away => {}
        }
        self.core.tell();
        let left = if self.may_compare() { self.core.pending.unwritten() } else { 0 };
        if left > 0 {
            warn!(rows = left, "ended with rows that Redis did not take");
        } else {
            info!("ended, everything is written");
        }
        Ok(left == 0)
    }

    /// Does what there is to do, and waits for more.
    async fn serve(&mut self) -> Stop {
        let mut now = Instant::now();
        loop {
            let done = match self.work(now).await {
                Ok(false) => self.turn(now).await,
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
        let compare = self.core.compare_due(now).filter(|_| state && self.may_compare());
        if config && self.followed.logger {
            self.follow_logger().await?;
        } else if self.may_decide(now) {
            self.decide().await?;
        } else if self.may_begin(now) {
            self.carry_out().await?;
        } else if let Some(cause) = compare {
            self.compare(cause).await?;
        } else if self.may_carry_out(now) {
            self.carry_out().await?;
        } else if appl && self.may_compare() && self.awaited_rows_are_due(now) {
            self.check_awaited().await?;
        } else if self.is_init_done_due(now) {
            self.say_init_done().await?;
        } else if config && self.start.is_decided() && self.followed.ports.is_some_and(|at| at <= now) {
            self.follow_ports().await?;
        } else if self.is_count_due(now) {
            self.say_count().await?;
        } else if config && self.followed.rules {
            self.follow_rules().await?;
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    /// Whether rows may be compared: once it is known which links are ours, and on a cold start everything is published.
    fn may_compare(&self) -> bool {
        match &self.start {
            Start::Undecided => false,
            Start::Planned(plan) => plan.kind().is_at_work(),
            Start::Again | Start::Done(_) => true,
        }
    }

    /// Somebody wants the daemon to end.
    fn end(&mut self) -> Result<(), Stop> {
        if self.ending.is_some() {
            return Err(Stop::End);
        }
        info!(pending = self.core.pending.unwritten(), "told to end, writing what is pending");
        self.supervisor.stopping();
        self.ending = Some(Instant::now() + self.config.shutdown.grace);
        self.drain_links().map(|_| ()).map_err(Stop::Fatal)
    }

    /// Whether the daemon was told to end and nothing is left that it can write.
    fn is_over(&self) -> bool {
        self.ending.is_some_and(|deadline| {
            let now = Instant::now();
            let unwritten = self.may_compare() && self.core.pending.unwritten() > 0;
            deadline <= now || !(unwritten || self.is_init_done_due(now))
        })
    }

    /// A server can be asked from now on.
    fn connected(&mut self, server: usize) {
        let now = Instant::now();
        for db in self.databases.servers[server].databases.clone() {
            self.telemetry.metrics.redis_up.set(db, 1.0);
            match db {
                Db::Config => self.followed.everything(now),
                Db::Appl | Db::State => {
                    let first = !self.supervisor.is_ready();
                    self.core.rows_due.by(now, if first { Cause::Start } else { Cause::Reconnect });
                    self.core.awaited_rows.check_all();
                }
            }
        }
        if self.databases.are_up() {
            self.telemetry.latches.ready(Component::Redis);
        }
    }

    /// A server is away: gives its connections up, and tries again later. What was under way is pending again.
    fn lost(&mut self, server: usize, error: &StoreError) {
        let metrics = &self.telemetry.metrics;
        let databases = self.databases.servers[server].databases.clone();
        if !self.databases.is_up(databases[0]) {
            metrics.redis_connect_failures.count(());
        }
        let address = self.databases.address(server);
        let problem = format!("{error}: {}", error.source);
        let pause = self.databases.servers[server].outage.attempt_failed(&address, &problem);
        if let Some(mut writing) = self.databases.give_up(server, Instant::now() + pause) {
            for key in writing.writer.give_up() {
                metrics.redis_writes.count((Db::State, Outcome::Lost));
                self.core.pending.lost(key);
            }
            self.core.pending.forget_known();
            self.timers.write_again = None;
            self.telemetry.latches.unready(Component::Rows, "not compared since Redis was lost");
        }
        for db in databases {
            metrics.redis_up.set(db, 0.0);
        }
        // What was done of the plan may be lost with it.
        self.start.begin_anew();
        self.telemetry.latches.unready(Component::Redis, format!("{address}: {problem}"));
        self.supervisor.still_starting(Duration::from_secs(60));
        self.supervisor.status(format!("waiting for Redis, {} rows pending", self.core.pending.unwritten()));
    }

    /// Something was done with Redis: the time without a server, if there was one, is over. That of the one that takes rows is
    /// over only when it has taken them.
    fn prove(&mut self) {
        let written = self.core.pending.unwritten() == 0;
        let compared = self.databases.writing.as_ref().is_some_and(|writing| writing.compared);
        for at in 0..self.databases.servers.len() {
            let server = &mut self.databases.servers[at];
            let takes_rows = server.databases.contains(&Db::State);
            let proved = server.listening.is_some() && (!takes_rows || (written && compared));
            if proved && server.outage.over() && self.supervisor.is_ready() {
                info!(server = self.databases.address(at), "Redis is back, every row is compared");
            }
        }
    }

    /// This start came to its end.
    fn start_is_done(&self) {
        self.telemetry.latches.ready(Component::Ports);
        if self.telemetry.starts.done() {
            self.telemetry.metrics.initial_syncs.count(());
        }
    }
}
