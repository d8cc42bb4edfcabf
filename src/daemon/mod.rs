//! The daemon: the thin driver around the machine.
//!
//! One task owns all state. It waits for one thing at a time in `turn` (a link message, an answer, a signal, a timer), and
//! everything longer (connecting, publishing, comparing) is written as a plain sequence that runs `during` further turns, so
//! that the kernel's messages are read and rows are written whatever else goes on. What ends such a sequence early is a
//! `Stop`, handed up by `?`.

pub mod core;
mod follow;
mod outage;
mod reconcile;
mod startup;
mod timers;
mod turn;
mod watch;

use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::time::Instant;
use tracing::{info, warn};

use self::core::Core;
use crate::config::{Config, ConfigError};
use crate::db::StoreError;
use crate::db::read::{PortConfig, RuleRow};
use crate::db::store::{Listeners, Session, Store};
use crate::db::writer::Writer;
use crate::health::{Component, Supervisor, watchdog_interval};
use crate::link::dump::dump;
use crate::link::monitor::Monitor;
use crate::logging::Logging;
use crate::sync::start::Kind;
use crate::telemetry::Telemetry;
use crate::telemetry::labels::{Cause, Db, Outcome};
use outage::Outage;
use startup::Plan;
use timers::{Alarm, Timers};
use turn::Signals;

/// Why a sequence ended early.
#[derive(Debug)]
enum Stop {
    /// Somebody wants the daemon to end.
    Signal,
    /// Told to end, and nothing is left to write.
    Drained,
    /// An operation on Redis failed: connect again.
    Failed(StoreError),
    /// The connection ended by itself.
    Gone,
    /// Redis lost everything: publish from the start.
    Emptied,
    /// The kernel cannot be read any longer.
    Fatal(anyhow::Error),
}

/// What lasts as long as the connections do.
struct Live {
    session: Rc<Session>,
    listeners: Listeners,
    writer: Writer,
    /// Whether the server tells of changes in APPL_DB.
    notifies: bool,
    /// Compared with what stands there, so that rows may be written.
    writing: bool,
    /// When the batch under way was sent.
    sent: Option<Instant>,
}

/// See the module.
pub struct Daemon {
    config: Config,
    telemetry: Arc<Telemetry>,
    /// Told of a configuration that was read again.
    reloaded: Box<dyn Fn(&Config)>,
    /// Told of the alert rules of CONFIG_DB.
    rules_found: Box<dyn Fn(Vec<RuleRow>)>,
    read_config: Box<dyn Fn() -> Result<Config, ConfigError>>,
    logging: Logging,
    supervisor: Supervisor,
    signals: Signals,
    monitor: Monitor,
    store: Store,
    live: Option<Live>,
    core: Core,
    timers: Timers,
    alarm: Alarm,
    outage: Outage,
    plan: Option<Plan>,
    /// A plan was made before: the next one is for a Redis that came back empty.
    planned: bool,
    /// The ports that CONFIG_DB had when it last had any.
    configured: Rc<[PortConfig]>,
    /// APPL_DB had a start's end when we last looked, so its absence means that Redis lost it.
    published: bool,
    /// Link messages read since Redis last had nothing to do.
    burst: usize,
    /// Rows that Redis refused since the start.
    refusals: usize,
    logger_changed: bool,
    rules_changed: bool,
    config_changed: BTreeSet<Vec<u8>>,
    /// Told to end, and until when what is pending may be written.
    ending: Option<Instant>,
}

impl Daemon {
    /// Subscribes to the kernel, and records the links that are there. `read_config` reads the configuration anew, and
    /// `reloaded` is told of it; `rules_found` is told of the alert rules that CONFIG_DB has.
    pub async fn new(
        config: Config,
        read_config: Box<dyn Fn() -> Result<Config, ConfigError>>,
        reloaded: Box<dyn Fn(&Config)>,
        rules_found: Box<dyn Fn(Vec<RuleRow>)>,
        logging: Logging,
        telemetry: Arc<Telemetry>,
    ) -> anyhow::Result<Self> {
        // First of all: a signal that comes during the start ends the daemon as one that comes later does.
        let signals = Signals::new().context("cannot listen to signals")?;
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
        let links = dump().await.context("cannot list the kernel's links")?;
        core.resync(&links);
        core.machine.record_existing();
        telemetry.latches.ready(Component::Kernel);
        let limit = Instant::now() + config.health.initial_sync_timeout;
        Ok(Self {
            timers: Timers::new(watchdog_interval(), config.log.heartbeat, limit),
            alarm: Alarm::new().context("cannot make a timer")?,
            signals,
            supervisor: Supervisor::new(Arc::clone(&telemetry.status_line)),
            outage: Outage::default(),
            config,
            telemetry,
            reloaded,
            rules_found,
            read_config,
            logging,
            monitor,
            store,
            core,
            live: None,
            plan: None,
            planned: false,
            configured: Rc::default(),
            published: false,
            burst: 0,
            refusals: 0,
            logger_changed: false,
            rules_changed: false,
            config_changed: BTreeSet::new(),
            ending: None,
        })
    }

    /// Runs until it is told to end. The answer is whether everything was written.
    pub async fn run(mut self) -> anyhow::Result<bool> {
        loop {
            let stop = match self.ending {
                // Looked at first: an attempt that fails at once would always be earlier than any timeout.
                Some(deadline) if deadline <= Instant::now() => Stop::Signal,
                Some(deadline) => tokio::time::timeout_at(deadline, self.session()).await.unwrap_or(Stop::Signal),
                None => self.session().await,
            };
            match stop {
                Stop::Signal if self.ending.is_none() => {
                    info!(pending = self.core.pending.len(), "told to end, writing what is pending");
                    self.supervisor.stopping();
                    self.ending = Some(Instant::now() + self.config.shutdown.grace);
                    self.drain_links()?;
                }
                Stop::Signal | Stop::Drained => break,
                Stop::Fatal(error) => return Err(error),
                Stop::Emptied => {
                    warn!("Redis has lost its contents, publishing everything again");
                    self.telemetry.metrics.redis_emptied.count(());
                    self.plan = None;
                    self.disconnect();
                }
                Stop::Failed(_) | Stop::Gone if self.is_drained() => break,
                Stop::Failed(error) => self.lost(Some(&error)).await,
                Stop::Gone => self.lost(None).await,
            }
        }
        self.disconnect();
        self.core.tell();
        let left = self.core.pending.len();
        if left > 0 {
            warn!(rows = left, "ended with rows that Redis did not take");
        } else {
            info!("ended, everything is written");
        }
        Ok(left == 0)
    }

    /// One session with Redis: from connecting to whatever ends it.
    async fn session(&mut self) -> Stop {
        let run = async {
            if self.live.is_none() {
                self.connect().await?;
            }
            self.serve().await
        };
        match run.await {
            Err(stop) => stop,
            Ok(never) => match never {},
        }
    }

    async fn connect(&mut self) -> Result<(), Stop> {
        let store = self.store.clone();
        let connecting = Box::pin(async move { store.connect().await });
        let (session, listeners, writer) = self.during(connecting).await?.map_err(Stop::Failed)?;
        let session = Rc::new(session);
        let shared = Rc::clone(&session);
        let notifies = self.during(async move { shared.appl.notifies().await }).await?.map_err(Stop::Failed)?;
        self.live = Some(Live { session, listeners, writer, notifies, writing: false, sent: None });
        self.redis_is_up(true);
        self.subscribe_config().await?;
        self.start().await?;
        self.reconcile(if self.supervisor.is_ready() { Cause::Reconnect } else { Cause::Start }).await?;
        if self.outage.over() {
            info!("Redis is back, every row is compared");
            self.telemetry.metrics.redis_reconnects.count(());
            // A server that was only slow may still carry out what the old connection had sent: look once more.
            self.core.resync_in(Duration::from_secs(1), Cause::Reconnect);
        }
        self.supervisor.ready();
        if self.plan.as_ref().is_some_and(|plan| plan.kind() == Kind::Live) {
            self.start_is_done();
        }
        self.supervisor.status(match self.core.init.awaited().len() {
            0 => "in service, every configured port is in step".to_owned(),
            count => format!("in service, waiting for {count} configured ports"),
        });
        let session = self.session_handle()?;
        self.remember_ports(&session).await
    }

    /// Serves until something ends the session.
    async fn serve(&mut self) -> Result<std::convert::Infallible, Stop> {
        loop {
            let now = Instant::now();
            if self.ending.is_some() && self.is_drained() {
                return Err(Stop::Drained);
            }
            if self.core.init.is_due() && self.timers.publish_again.is_none_or(|at| at <= now) {
                self.say_init_done().await?;
            } else if let Some(cause) = self.core.resync_due(now) {
                self.reconcile(cause).await?;
            } else if self.timers.audit.is_some_and(|at| at <= now) {
                self.reconcile(Cause::Audit).await?;
            } else if self.core.watch.is_due(now) {
                self.check_awaited().await?;
            } else if std::mem::take(&mut self.logger_changed) {
                self.follow_logger().await?;
            } else if std::mem::take(&mut self.rules_changed) {
                self.follow_rules().await?;
            } else if self.has_config_changes() {
                self.follow_ports().await?;
            } else {
                self.turn().await?;
            }
        }
    }

    fn is_drained(&self) -> bool {
        let writing = self.live.as_ref().is_some_and(|live| !live.writer.is_idle());
        self.ending.is_some() && !writing && self.core.pending.is_empty() && !self.core.init.is_due()
    }

    /// Gives the connections up. What was under way is pending again.
    fn disconnect(&mut self) {
        if let Some(mut live) = self.live.take() {
            let metrics = &self.telemetry.metrics;
            for key in live.writer.give_up() {
                metrics.redis_writes.count((Db::State, Outcome::Lost));
                self.core.pending.failed(key);
            }
        }
        self.telemetry.latches.unready(Component::Rows, "not compared since Redis was lost");
        self.core.pending.forget_known();
        self.core.watch.disconnected();
        self.timers.write_again = None;
    }

    fn redis_is_up(&self, up: bool) {
        for db in [Db::Appl, Db::Config, Db::State] {
            self.telemetry.metrics.redis_up.set(db, f64::from(u8::from(up)));
        }
        if up {
            self.telemetry.latches.ready(Component::Redis);
        }
    }

    /// This start came to its end.
    fn start_is_done(&self) {
        self.telemetry.metrics.port_init_done.set((), 1.0);
        self.telemetry.latches.ready(Component::Ports);
        if self.telemetry.starts.done() {
            self.telemetry.metrics.initial_syncs.count(());
        }
    }

    /// Redis is gone: says so, at growing intervals, and waits before the next attempt.
    async fn lost(&mut self, error: Option<&StoreError>) {
        if self.live.is_none() {
            self.telemetry.metrics.redis_connect_failures.count(());
        }
        self.disconnect();
        self.redis_is_up(false);
        let problem =
            error.map_or_else(|| "the connection ended".to_owned(), |error| format!("{error}: {}", error.source));
        self.telemetry.latches.unready(Component::Redis, problem);
        let pause = self.outage.attempt_failed(error);
        self.supervisor.still_starting(Duration::from_secs(60));
        self.supervisor.status(format!("waiting for Redis, {} rows pending", self.core.pending.len()));
        let until = Instant::now() + pause;
        let until = self.ending.map_or(until, |deadline| deadline.min(until));
        match self.during(tokio::time::sleep_until(until)).await {
            // Nothing but a signal or the kernel can stop a pause; both come back at the next turn.
            Ok(()) => {}
            Err(stop) => self.signals.keep(matches!(stop, Stop::Signal)),
        }
    }

    fn session_handle(&self) -> Result<Rc<Session>, Stop> {
        self.live.as_ref().map(|live| Rc::clone(&live.session)).ok_or(Stop::Gone)
    }
}
