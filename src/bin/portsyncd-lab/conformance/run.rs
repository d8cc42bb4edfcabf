//! One scenario from its first action to its last expectation.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use portsyncd::lab::consumer::pop_now;
use portsyncd::lab::links::Links;
use portsyncd::lab::netns::Holder;
use portsyncd::lab::ports::cable;
use portsyncd::lab::redis_server::{Options, RedisServer};
use redis::{Client, Connection};

use super::action::Action;
use super::expect::{Writes, differences, forbidden};
use super::scenario::{Scenario, Step};
use super::stage::Stage;

/// How long a step may take to become as expected.
const LIMIT: Duration = Duration::from_secs(15);
/// How long nothing may be written before a step counts as over.
const QUIET: Duration = Duration::from_millis(300);
const LOOK_AGAIN: Duration = Duration::from_millis(5);
const PORT: u16 = 6379;

/// A scenario that runs.
pub(super) struct Run<'a> {
    scenario: &'a Scenario,
    bin: &'a Path,
    server: RedisServer,
    writes: Writes,
    /// Where in `writes` the step began.
    step_began: usize,
    links: Option<Links>,
    away: Option<Holder>,
    daemon: Option<Child>,
    exit: Option<i32>,
    log: PathBuf,
}

impl<'a> Run<'a> {
    /// Starts Redis on the stage.
    pub fn new(scenario: &'a Scenario, stage: Stage, bin: &'a Path) -> anyhow::Result<Self> {
        let options = Options {
            port: Some(PORT),
            args: vec!["--notify-keyspace-events".to_owned(), scenario.notifications.clone()],
            ..Options::default()
        };
        let server = RedisServer::start_with(options)?;
        stage.install(&server.socket(), &server.write_database_config()?)?;
        let writes = Writes::watch(&server.socket())?;
        let log = server.dir().join("daemon.log");
        Ok(Self { scenario, bin, server, writes, step_began: 0, links: None, away: None, daemon: None, exit: None, log })
    }

    /// Plays everything; an error says where it differed, and what the executable logged.
    pub async fn all(mut self) -> anyhow::Result<()> {
        let outcome = self.play().await;
        if let Some(mut daemon) = self.daemon.take() {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
        outcome.inspect_err(|_| {
            let text = std::fs::read_to_string(&self.log).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            for line in &lines[lines.len().saturating_sub(30)..] {
                eprintln!("log: {line}");
            }
        })
    }

    async fn play(&mut self) -> anyhow::Result<()> {
        self.links = Some(Links::open()?);
        for line in &self.scenario.setup {
            self.act(line).await.with_context(|| format!("setup, {line:?}"))?;
        }
        for (at, step) in self.scenario.steps.iter().enumerate() {
            self.step(step).await.with_context(|| format!("step {} ({})", at + 1, step.name))?;
        }
        Ok(())
    }

    async fn step(&mut self, step: &Step) -> anyhow::Result<()> {
        self.step_began = self.writes.all().len();
        for line in &step.actions {
            self.act(line).await.with_context(|| format!("{line:?}"))?;
        }
        let deadline = Instant::now() + LIMIT;
        loop {
            let found = self.look(step).await?;
            if found.is_empty() {
                break;
            }
            if Instant::now() >= deadline {
                bail!("{}", found.join("\n"));
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        self.settle(deadline).await?;
        let writes = self.writes.all();
        let mut found = forbidden(step, writes.get(self.step_began..).unwrap_or_default());
        found.extend(self.look(step).await?);
        if found.is_empty() { Ok(()) } else { bail!("{}", found.join("\n")) }
    }

    /// Waits until nothing was written for a while: proof enough that what must not come does not.
    async fn settle(&mut self, deadline: Instant) -> anyhow::Result<()> {
        let (mut count, mut since) = (self.writes.all().len(), Instant::now());
        while since.elapsed() < QUIET {
            if Instant::now() >= deadline {
                bail!("the executable does not stop writing");
            }
            tokio::time::sleep(LOOK_AGAIN).await;
            let now = self.writes.all().len();
            if now != count {
                (count, since) = (now, Instant::now());
            }
        }
        Ok(())
    }

    async fn look(&mut self, step: &Step) -> anyhow::Result<Vec<String>> {
        let writes = self.writes.all();
        let mut found = Vec::new();
        if self.server.pid().is_some() {
            found = differences(step, &mut self.redis()?, writes.get(self.step_began..).unwrap_or_default())?;
        }
        for (name, want) in &step.links {
            let link = self.links()?.find(name).await?.with_context(|| format!("there is no link {name}"))?;
            if link.admin_up != (want == "up") {
                found.push(format!("link {name} has to be {want}"));
            }
        }
        if let Some(daemon) = &mut self.daemon {
            if let Some(status) = daemon.try_wait().context("cannot look after the executable")? {
                self.exit = status.code().or(Some(-1));
                self.daemon = None;
            }
        }
        match (step.exit, self.exit, &self.daemon) {
            (Some(want), got, _) if got != Some(want) => found.push(format!("it has to end with {want}, and ended with {got:?}")),
            (None, Some(code), None) => bail!("it ended by itself with {code}"),
            _ => {}
        }
        Ok(found)
    }

    async fn act(&mut self, line: &str) -> anyhow::Result<()> {
        match Action::parse(line)? {
            Action::Start => {
                let log = File::options().create(true).append(true).open(&self.log).context("cannot write the log")?;
                let mut command = Command::new(self.bin);
                command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).envs(&self.scenario.env);
                self.daemon = Some(command.spawn().with_context(|| format!("cannot start {}", self.bin.display()))?);
                self.exit = None;
            }
            Action::Stop(signal) => {
                let mut daemon = self.daemon.take().context("the executable does not run")?;
                let signal: Signal = format!("SIG{signal}").parse()?;
                kill(Pid::from_raw(i32::try_from(daemon.id())?), signal)?;
                let deadline = Instant::now() + LIMIT;
                self.exit = loop {
                    if let Some(status) = daemon.try_wait()? {
                        break status.code().or(Some(-1));
                    }
                    if Instant::now() >= deadline {
                        let _ = daemon.kill();
                        bail!("it did not end within {LIMIT:?}");
                    }
                    tokio::time::sleep(LOOK_AGAIN).await;
                };
            }
            Action::Consume => {
                let mut redis = self.redis()?;
                while !pop_now(&mut redis, ":", 128)?.is_empty() {}
            }
            Action::Redis(what) => self.redis_fault(&what)?,
            Action::Row(db, key, fields) => self.command(db, redis::cmd("HSET").arg(key).arg(fields.as_slice()))?,
            Action::Delete(db, key) => self.command(db, redis::cmd("DEL").arg(key))?,
            Action::Unset(db, key, fields) => self.command(db, redis::cmd("HDEL").arg(key).arg(fields))?,
            Action::Text(db, key, value) => self.command(db, redis::cmd("SET").arg(key).arg(value))?,
            Action::Link(what, name, other) => self.link(&what, &name, other.as_deref().unwrap_or_default()).await?,
        }
        Ok(())
    }

    fn redis_fault(&mut self, what: &str) -> anyhow::Result<()> {
        match what {
            "kill" => self.server.kill(),
            "pause" => self.server.pause()?,
            "resume" => self.server.resume()?,
            "flush" => self.command(0, &redis::cmd("FLUSHALL"))?,
            _ => {
                self.server.restart()?;
                self.writes = Writes::watch(&self.server.socket())?;
                self.step_began = 0;
            }
        }
        Ok(())
    }

    async fn link(&mut self, what: &str, name: &str, other: &str) -> anyhow::Result<()> {
        if what == "away" && self.away.is_none() {
            self.away = Some(Holder::start()?);
        }
        let links = self.links()?;
        match what {
            "veth" => {
                links.add_veth(name, &cable(name)).await?;
                links.set_up(&cable(name)).await?;
            }
            "bridge" => links.add_bridge(name).await?,
            "ifb" => links.add_ifb(name).await?,
            "macvlan" => links.add_macvlan(name, other).await?,
            "remove" => links.delete(name).await?,
            "up" | "down" => links.set_admin(name, what == "up").await?,
            "mtu" => links.set_mtu(name, other.parse()?).await?,
            "rename" => links.rename(name, other).await?,
            "master" => links.set_master(name, other).await?,
            "nomaster" => links.no_master(name).await?,
            "plug" | "unplug" => links.set_carrier(name, what == "plug").await?,
            "away" => links.move_to_netns_of(name, self.away.as_ref().map_or(0, Holder::pid)).await?,
            _ => bail!("{what:?} is nothing that happens to a link"),
        }
        Ok(())
    }

    fn links(&self) -> anyhow::Result<&Links> {
        self.links.as_ref().context("the kernel is not open yet")
    }

    /// By TCP, so that MONITOR tells the scenario's commands from the executable's.
    fn redis(&self) -> anyhow::Result<Connection> {
        let client = Client::open(format!("redis://127.0.0.1:{PORT}"))?;
        Ok(client.get_connection_with_timeout(Duration::from_secs(5))?)
    }

    fn command(&self, db: i64, command: &redis::Cmd) -> anyhow::Result<()> {
        let mut redis = self.redis()?;
        redis::cmd("SELECT").arg(db).exec(&mut redis)?;
        command.exec(&mut redis)?;
        Ok(())
    }
}
