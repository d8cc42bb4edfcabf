//! The fake switch: takes `APPL_DB`'s ports as orchagent does and makes veth pairs of them.
//!
//! It runs in whatever network namespace it is started in, ends on SIGTERM or SIGINT, and connects again when Redis goes.

mod ports;

use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use portsyncd::db::topology::Database;
use portsyncd::lab::consumer::{Consumer, Entry, Op};
use portsyncd::lab::links::Links;
use portsyncd::lab::ports as scheme;
use redis::AsyncCommands;
use redis::aio::MultiplexedConnection;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use tracing::{info, warn};
use tracing_subscriber::EnvFilter;

use crate::flap::{Flapper, Kind};
use crate::server::{Server, ServerArgs};
use ports::Ports;

const FIRST_RETRY: Duration = Duration::from_millis(50);
const LAST_RETRY: Duration = Duration::from_secs(2);
/// How often flaps that are due are done.
const FLAP_STEP: Duration = Duration::from_millis(5);
/// The most flaps in one step; what is more than the kernel takes is not saved up.
const FLAP_BURST: usize = 1000;

/// The fake switch: ports of APPL_DB become veth pairs, as orchagent would make them
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    server: ServerArgs,
    /// Ports that CONFIG_DB is given
    #[arg(long, default_value_t = 32)]
    ports: usize,
    /// Leave CONFIG_DB alone
    #[arg(long, conflicts_with = "reseed")]
    no_seed: bool,
    /// Replace rows that are in CONFIG_DB
    #[arg(long)]
    reseed: bool,
    /// End once CONFIG_DB has the ports: as on a switch, where it is filled before portsyncd starts
    #[arg(long, conflicts_with = "no_seed")]
    seed_only: bool,
    /// Flaps per second over all ports
    #[arg(long, default_value_t = 0.0, value_name = "RATE")]
    flap_rate: f64,
    /// What flaps
    #[arg(long, value_enum, default_value = "both")]
    flap: Kind,
    /// Seed of the flaps: the same gives the same flaps
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Leave the links at the end
    #[arg(long)]
    keep: bool,
}

/// Runs until told to end.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let subscriber =
        tracing_subscriber::fmt().with_env_filter(filter).with_target(false).with_ansi(std::io::stderr().is_terminal());
    subscriber.with_writer(std::io::stderr).init();
    let server = args.server.resolve()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        if args.seed_only {
            return tokio::select! {
                seeded = seed_once(args, &server) => seeded.map(|()| ExitCode::SUCCESS),
                _ = terminate.recv() => Ok(ExitCode::FAILURE),
                _ = interrupt.recv() => Ok(ExitCode::FAILURE),
            };
        }
        let mut switch = Switch::new(args, server)?;
        // A signal may come while a port is being made; ports are noted before they are made, so none is forgotten.
        tokio::select! {
            never = switch.serve() => never?,
            _ = terminate.recv() => info!("SIGTERM: ending"),
            _ = interrupt.recv() => info!("SIGINT: ending"),
        }
        if !args.keep {
            switch.ports.remove_all(&switch.links).await?;
        }
        Ok(ExitCode::SUCCESS)
    })
}

/// Writes the ports to `CONFIG_DB`.
fn seed(args: &Args, server: &Server) -> anyhow::Result<()> {
    let database = &server.topology.config;
    let rows = scheme::rows(args.ports);
    let mut config = server.client(database)?.get_connection()?;
    let written = scheme::seed(&mut config, &database.separator, &rows, args.reseed)?;
    info!(written, of = rows.len(), "seeded CONFIG_DB");
    Ok(())
}

/// Seeds as soon as Redis is there.
async fn seed_once(args: &Args, server: &Server) -> anyhow::Result<()> {
    let mut retry = FIRST_RETRY;
    loop {
        match seed(args, server) {
            Err(error) if of_redis(&error) => {
                warn!(%error, ?retry, "Redis is not there, connecting again");
                sleep(retry).await;
                retry = (retry * 2).min(LAST_RETRY);
            }
            result => return result,
        }
    }
}

struct Switch<'a> {
    args: &'a Args,
    server: Server,
    links: Links,
    ports: Ports,
    flapper: Flapper,
}

/// One connected Redis.
struct Session {
    consumer: Consumer,
    appl: MultiplexedConnection,
    state: MultiplexedConnection,
}

impl<'a> Switch<'a> {
    fn new(args: &'a Args, server: Server) -> anyhow::Result<Self> {
        let flapper = Flapper::new(args.seed, args.flap, std::collections::BTreeMap::new());
        Ok(Self { args, server, links: Links::open()?, ports: Ports::default(), flapper })
    }

    /// Never comes back but with an error that is not Redis'.
    async fn serve(&mut self) -> anyhow::Result<()> {
        let mut retry = FIRST_RETRY;
        loop {
            let error = match self.connect().await {
                Ok(mut session) => {
                    retry = FIRST_RETRY;
                    self.follow(&mut session).await
                }
                Err(error) => Err(error),
            };
            let Err(error) = error else { continue };
            if !of_redis(&error) {
                return Err(error);
            }
            warn!(%error, ?retry, "Redis is not there, connecting again");
            self.flap_for(retry).await?;
            retry = (retry * 2).min(LAST_RETRY);
        }
    }

    async fn connect(&mut self) -> anyhow::Result<Session> {
        let topology = &self.server.topology;
        let consumer = Consumer::open(&self.server.client(&topology.appl)?, &topology.appl.separator).await?;
        if !self.args.no_seed {
            seed(self.args, &self.server)?;
        }
        let connection = async |database: &Database| -> anyhow::Result<MultiplexedConnection> {
            Ok(self.server.client(database)?.get_multiplexed_async_connection().await?)
        };
        let mut session =
            Session { consumer, appl: connection(&topology.appl).await?, state: connection(&topology.state).await? };
        self.take_over(&mut session).await?;
        Ok(session)
    }

    /// Rows that were consumed before: orchagent reads them when it starts on a table that is complete.
    async fn take_over(&mut self, session: &mut Session) -> anyhow::Result<()> {
        let prefix = format!("PORT_TABLE{}", self.server.topology.appl.separator);
        let complete: bool = session.appl.exists(format!("{prefix}PortConfigDone")).await?;
        if !complete {
            return Ok(());
        }
        let keys: Vec<String> = session.appl.keys(format!("{prefix}*")).await?;
        let mut entries = Vec::new();
        for key in keys {
            let fields: Vec<(String, String)> = session.appl.hgetall(&key).await?;
            let key = key[prefix.len()..].to_owned();
            entries.push(Entry { key, op: Op::Set, fields });
        }
        self.take(session, entries).await
    }

    /// Consumes and flaps until Redis goes.
    async fn follow(&mut self, session: &mut Session) -> anyhow::Result<()> {
        let mut clock = FlapClock::new(self.args.flap_rate);
        loop {
            let entries = session.consumer.pop().await?;
            if !entries.is_empty() {
                self.take(session, entries).await?;
                continue;
            }
            // Nothing is there: now waiting can be given up at any time without losing a key.
            tokio::select! {
                woken = session.consumer.wake() => woken?,
                due = clock.due() => self.flapper.apply(&self.links, due).await?,
            }
        }
    }

    async fn take(&mut self, session: &mut Session, entries: Vec<Entry>) -> anyhow::Result<()> {
        let changed = self.ports.apply(&self.links, entries).await.context("the kernel refused")?;
        self.flapper.set_ports(self.ports.wanted());
        // What orchagent writes once a port is made; portsyncd must leave these fields alone.
        let (appl, state) = (&self.server.topology.appl, &self.server.topology.state);
        let (mut to_appl, mut to_state) = (redis::pipe(), redis::pipe());
        for (name, admin) in changed.created {
            to_appl.hset(format!("PORT_TABLE{}{name}", appl.separator), "oper_status", "down");
            let ready = if admin { "true" } else { "false" };
            to_state.hset(format!("PORT_TABLE{}{name}", state.separator), "host_tx_ready", ready);
        }
        for name in changed.removed {
            to_state.hdel(format!("PORT_TABLE{}{name}", state.separator), "host_tx_ready");
        }
        if !to_appl.is_empty() {
            to_appl.exec_async(&mut session.appl).await?;
        }
        if !to_state.is_empty() {
            to_state.exec_async(&mut session.state).await?;
        }
        Ok(())
    }

    /// Waits; links flap whether Redis is there or not.
    async fn flap_for(&mut self, wait: Duration) -> anyhow::Result<()> {
        let mut clock = FlapClock::new(self.args.flap_rate);
        let end = sleep(wait);
        tokio::pin!(end);
        loop {
            tokio::select! {
                () = &mut end => return Ok(()),
                due = clock.due() => self.flapper.apply(&self.links, due).await?,
            }
        }
    }
}

/// Whether an error is Redis' (try again) or ours or the kernel's (give up).
fn of_redis(error: &anyhow::Error) -> bool {
    error.is::<redis::RedisError>() || matches!(error.downcast_ref(), Some(portsyncd::lab::Error::Redis(_)))
}

/// Says how many flaps are due.
struct FlapClock {
    rate: f64,
    owed: f64,
    last: Instant,
    ticks: tokio::time::Interval,
}

impl FlapClock {
    fn new(rate: f64) -> Self {
        let mut ticks = interval(FLAP_STEP);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { rate, owed: 0.0, last: Instant::now(), ticks }
    }

    /// Waits until one flap at least is due; for ever without a rate. Cancel safe.
    async fn due(&mut self) -> usize {
        if self.rate <= 0.0 {
            std::future::pending::<()>().await;
        }
        loop {
            let now = self.ticks.tick().await;
            self.owed += now.saturating_duration_since(self.last).as_secs_f64() * self.rate;
            self.last = now;
            if self.owed >= 1.0 {
                #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
                let due = self.owed as usize;
                self.owed = self.owed.fract();
                return due.min(FLAP_BURST);
            }
        }
    }
}
