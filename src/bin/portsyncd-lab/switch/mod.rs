//! The fake switch: takes `APPL_DB`'s ports as orchagent does and makes veth pairs of them.
//!
//! It runs in whatever network namespace it is started in, ends on SIGTERM or SIGINT, and connects again when Redis goes. On
//! SIGUSR1 another orchagent begins: what was popped before is forgotten, `APPL_DB` stays as it is.

mod commands;
mod ports;

use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use portsyncd::backoff::Backoff;
use portsyncd::db::topology::Database;
use portsyncd::lab::consumer::{Consumer, Entry, Op, patient};
use portsyncd::lab::intfmgrd::{Intfmgrd, Place};
use portsyncd::lab::links::Links;
use portsyncd::lab::orchagent::Orchagent;
use portsyncd::lab::ports as scheme;
use portsyncd::lab::producer::Producer;
use redis::AsyncCommands;
use redis::aio::MultiplexedConnection;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::sleep;
use tracing::{info, warn};
use tracing_subscriber::EnvFilter;

use crate::flap::{FlapClock, Flapper, Kind};
use crate::server::{Server, ServerArgs};
use commands::Command;
use ports::Ports;

const RETRY: Backoff = Backoff { min: Duration::from_millis(50), max: Duration::from_secs(2), jitter: 0.0 };

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
    /// Play intfmgrd too: each write of a port's row in STATE_DB gives the port its link-local address if it is up, and its MTU
    /// to its sub-interfaces (CONFIG_DB's `VLAN_SUB_INTERFACE`)
    #[arg(long, conflicts_with = "seed_only")]
    intfmgrd: bool,
    /// Take commands from standard input, a line each, and answer by lines of JSON: orchagent (what it was handed),
    /// orchagent-restart (another one begins; so does SIGUSR1), breakout PORT NUMBER
    #[arg(long, conflicts_with = "seed_only")]
    commands: bool,
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
        if args.intfmgrd {
            let place = |database: &Database| -> anyhow::Result<Place> {
                Ok(Place { client: server.client(database)?, separator: database.separator.clone() })
            };
            tokio::spawn(play_intfmgrd(place(&server.topology.state)?, place(&server.topology.config)?));
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
    let mut pauses = RETRY.pauses();
    loop {
        match seed(args, server) {
            Err(error) if of_redis(&error) => {
                let retry = pauses.next_pause();
                warn!(%error, ?retry, "Redis is not there, connecting again");
                sleep(retry).await;
            }
            result => return result,
        }
    }
}

/// Never comes back; connects again when Redis goes.
async fn play_intfmgrd(state: Place, config: Place) {
    let mut pauses = RETRY.pauses();
    loop {
        let ended = match Intfmgrd::open(&state, &config).await {
            Ok(mut intfmgrd) => {
                pauses.reset();
                intfmgrd.serve().await
            }
            Err(error) => Err(error),
        };
        let retry = pauses.next_pause();
        if let Err(error) = ended {
            warn!(%error, ?retry, "intfmgrd: Redis is not there, connecting again");
        }
        sleep(retry).await;
    }
}

struct Switch<'a> {
    args: &'a Args,
    server: Server,
    links: Links,
    ports: Ports,
    flapper: Flapper,
    orchagent: Orchagent,
    restarts: Signal,
    commands: Option<UnboundedReceiver<Command>>,
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
        Ok(Self {
            args,
            server,
            links: Links::open()?,
            ports: Ports::new(args.intfmgrd),
            flapper,
            orchagent: Orchagent::default(),
            restarts: signal(SignalKind::user_defined1())?,
            commands: args.commands.then(commands::read),
        })
    }

    /// Never comes back but with an error that is not Redis'.
    async fn serve(&mut self) -> anyhow::Result<()> {
        let mut pauses = RETRY.pauses();
        loop {
            let error = match self.connect().await {
                Ok(mut session) => {
                    pauses.reset();
                    self.follow(&mut session).await
                }
                Err(error) => Err(error),
            };
            let Err(error) = error else { continue };
            if !of_redis(&error) {
                return Err(error);
            }
            let retry = pauses.next_pause();
            warn!(%error, ?retry, "Redis is not there, connecting again");
            self.flap_for(retry).await?;
        }
    }

    async fn connect(&mut self) -> anyhow::Result<Session> {
        let topology = &self.server.topology;
        let consumer = Consumer::open(&self.server.client(&topology.appl)?, &topology.appl.separator).await?;
        if !self.args.no_seed {
            seed(self.args, &self.server)?;
        }
        let connection = async |database: &Database| -> anyhow::Result<MultiplexedConnection> {
            Ok(self.server.client(database)?.get_multiplexed_async_connection_with_config(&patient()).await?)
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
                _ = self.restarts.recv() => self.restart_orchagent(),
                command = next(&mut self.commands) => self.obey(session, command).await?,
            }
        }
    }

    fn restart_orchagent(&mut self) {
        info!(was = %self.told(), "another orchagent begins, with nothing but what it pops from now on");
        self.orchagent.restart();
        self.ports.forget();
    }

    fn told(&self) -> serde_json::Value {
        serde_json::json!(self.orchagent)
    }

    async fn obey(&mut self, session: &mut Session, command: Command) -> anyhow::Result<()> {
        match command {
            Command::Orchagent => commands::answer(&self.told()),
            Command::OrchagentRestart => {
                self.restart_orchagent();
                commands::answer(&self.told());
            }
            Command::Breakout(port, into) => match self.break_out(session, &port, into).await {
                Ok(added) => commands::answer(&serde_json::json!({ "removed": port, "added": added })),
                Err(error) if of_redis(&error) => return Err(error),
                Err(error) => {
                    warn!(port, error = format!("{error:#}"), "no breakout");
                    commands::answer(&serde_json::json!({ "error": format!("{error:#}") }));
                }
            },
        }
        Ok(())
    }

    /// As `config interface breakout` and portmgrd do it: the port goes from both databases, and once its link is gone the new
    /// ones come, of which links are made when they are popped.
    async fn break_out(&mut self, session: &mut Session, port: &str, into: usize) -> anyhow::Result<Vec<String>> {
        let topology = &self.server.topology;
        let producer = Producer::new(topology.appl.id, &topology.appl.separator);
        let mut config = self.server.client(&topology.config)?.get_connection()?;
        let mut appl = self.server.client(&topology.appl)?.get_connection()?;
        let separator = topology.config.separator.clone();
        let key = format!("PORT{separator}{port}");
        let fields: Vec<(String, String)> = redis::Commands::hgetall(&mut config, &key)?;
        if fields.is_empty() {
            bail!("CONFIG_DB has no {key}");
        }
        let rows = scheme::breakout(&scheme::PortConfigRow { name: port.to_owned(), fields }, into)?;
        let () = redis::Commands::del(&mut config, &key)?;
        producer.del(&mut appl, port)?;
        // This is orchagent too: it takes the removal, and whatever else is there, before anything new is told.
        let mut gone = false;
        while !gone {
            let entries = session.consumer.pop().await?;
            gone = entries.is_empty() || entries.iter().any(|entry| entry.key == port && entry.op == Op::Del);
            self.take(session, entries).await?;
        }
        scheme::seed(&mut config, &separator, &rows, true)?;
        for row in &rows {
            producer.set(&mut appl, &row.name, &row.fields)?;
        }
        Ok(rows.into_iter().map(|row| row.name).collect())
    }

    async fn take(&mut self, session: &mut Session, entries: Vec<Entry>) -> anyhow::Result<()> {
        self.orchagent.take(&entries);
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

/// The next command; never, if there are none. Cancel safe.
async fn next(commands: &mut Option<UnboundedReceiver<Command>>) -> Command {
    if let Some(told) = commands {
        if let Some(command) = told.recv().await {
            return command;
        }
        *commands = None;
    }
    std::future::pending().await
}

/// Whether an error is Redis' (try again) or ours or the kernel's (give up).
fn of_redis(error: &anyhow::Error) -> bool {
    error.is::<redis::RedisError>() || matches!(error.downcast_ref(), Some(portsyncd::lab::Error::Redis(_)))
}
