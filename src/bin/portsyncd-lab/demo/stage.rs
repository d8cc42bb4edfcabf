//! Everything that stands on the stage: Redis, switch, daemon, the links, and what they are meant to be.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail, ensure};
use portsyncd::config::ControlConfig;
use portsyncd::control::Control;
use portsyncd::lab::links::{LinkState, Links};
use portsyncd::lab::ports::{self, PortConfigRow};
use portsyncd::lab::producer::Producer;
use portsyncd::lab::redis_server::{APPL_DB, CONFIG_DB, RedisServer};
use tempfile::TempDir;
use tokio::time::sleep;

use super::compare::{self, Line, Port};
use super::process::Process;
use super::screen::{Report, Screen};
use super::{Args, alerts};
use crate::flap::Wanted;

/// The most that one wait may take. Far more than it does: the machine may be busy.
const STEP_LIMIT: Duration = Duration::from_secs(30);
const END_LIMIT: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(10);
/// How long a change stays on a terminal.
const LINGER: Duration = Duration::from_millis(600);
const LOG_LINES: usize = 12;
/// Keys that keep the daemon off the host's folders. An executable that does not know a key refuses it, so each is tried.
const OPTIONAL_KEYS: &[(&str, &str)] = &[("PORTSYNCD_STATE__DIR", "state"), (CONTROL, "control.sock")];
const RULES: &str = "PORTSYNCD_ALERTS__RULES";
const INTERVAL: &str = "PORTSYNCD_ALERTS__EVALUATION_INTERVAL";
const CONTROL: &str = "PORTSYNCD_CONTROL__SOCKET";

/// The stage; when it falls, so do the children.
pub struct Stage {
    /// The daemon, while it runs.
    pub daemon: Option<Process>,
    switch: Option<Process>,
    pub server: RedisServer,
    pub links: Links,
    /// What the ports are meant to be.
    pub wanted: BTreeMap<String, Port>,
    pub rows: Vec<PortConfigRow>,
    /// Writes to APPL_DB as another daemon would.
    pub producer: Producer,
    pub seed: u64,
    /// Where the status page is.
    page: String,
    /// The folder of logs; kept if a step fails.
    dir: TempDir,
    screen: Screen,
    deadline: Instant,
    binary: PathBuf,
    environment: Vec<(String, PathBuf)>,
    failed: bool,
}

impl Stage {
    /// Starts Redis; switch and daemon come with the first step.
    pub fn set_up(args: &Args, binary: PathBuf, page: String) -> anyhow::Result<Self> {
        let server = RedisServer::start()?;
        let dir = tempfile::Builder::new().prefix("portsyncd-demo-").tempdir()?;
        let mut environment = vec![("PORTSYNCD_REDIS__DATABASE_CONFIG".to_owned(), server.write_database_config()?)];
        std::fs::write(dir.path().join("rules.toml"), alerts::RULES)?;
        let rules = format!("[{:?}]", dir.path().join("rules.toml").display().to_string());
        let own = OPTIONAL_KEYS.iter().map(|(key, file)| (*key, dir.path().join(file)));
        // The rules' windows are right for this interval only.
        let alerting = [(INTERVAL, alerts::INTERVAL.to_owned()), (RULES, rules)];
        for (key, value) in own.chain(alerting.map(|(key, value)| (key, value.into()))) {
            let known = environment.iter().map(|(key, value)| (key, value));
            let probe = bare(&binary).arg("check-config").envs(known).env(key, &value).output();
            if probe.context("cannot run the daemon's check-config")?.status.success() {
                environment.push((key.to_owned(), value));
            }
        }
        let rows = ports::rows(usize::from(args.ports));
        Ok(Self {
            daemon: None,
            switch: None,
            server,
            links: Links::open()?,
            wanted: rows.iter().map(|row| (row.name.clone(), up())).collect(),
            rows,
            producer: Producer::new(APPL_DB, ":"),
            seed: args.seed,
            dir,
            screen: Screen::new(format!("status page while this runs: {page}")),
            page,
            deadline: Instant::now() + Duration::from_secs(args.seconds),
            binary,
            environment,
            failed: false,
        })
    }

    /// Fills CONFIG_DB, as a switch's start does before its daemons run.
    pub fn configure(&self) -> anyhow::Result<()> {
        ports::seed(&mut self.server.client(CONFIG_DB)?, "|", &self.rows, false)?;
        Ok(())
    }

    /// Starts the fake switch: this program again.
    pub fn start_switch(&mut self) -> anyhow::Result<()> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("switch").arg("--database-config").arg(self.server.write_database_config()?);
        command.args(["--ports", &self.rows.len().to_string()]);
        self.switch = Some(Process::start(&mut command, &self.dir.path().join("switch.log"))?);
        Ok(())
    }

    pub fn start_daemon(&mut self) -> anyhow::Result<()> {
        let mut command = bare(&self.binary);
        command.env("PORTSYNCD_LOG__FORMAT", "text").envs(self.environment.iter().map(|(key, value)| (key, value)));
        self.daemon = Some(Process::start(&mut command, &self.dir.path().join("daemon.log"))?);
        Ok(())
    }

    /// The daemon's control socket, if it is one that has it.
    pub fn control(&self) -> Option<Control> {
        let (_, socket) = self.environment.iter().find(|(key, _)| key == CONTROL)?;
        Control::new(&ControlConfig { socket: socket.clone() }).ok()
    }

    /// Ends the daemon by SIGTERM, which must be an end without complaint.
    pub async fn end_daemon(&mut self) -> anyhow::Result<()> {
        let mut daemon = self.daemon.take().ok_or_else(|| anyhow!("the daemon does not run"))?;
        // Not of the budget: it must end however late it is.
        let status = daemon.terminate(END_LIMIT).await;
        let ended_well = matches!(&status, Ok(status) if status.success());
        if !ended_well {
            self.daemon = Some(daemon);
        }
        match status? {
            status if status.success() => Ok(()),
            status => bail!("the daemon ended with {status} after SIGTERM"),
        }
    }

    /// Runs a step and reports it. A failed step does not keep the next from being tried.
    pub async fn step(&mut self, title: &'static str, action: impl AsyncFnOnce(&mut Self) -> anyhow::Result<String>) {
        let start = Instant::now();
        let outcome = match action(self).await {
            Ok(detail) => Ok(detail),
            Err(error) => {
                self.failed = true;
                Err(format!("{error:#}"))
            }
        };
        let log = match (&outcome, &self.daemon) {
            (Err(_), Some(daemon)) => daemon.last_lines(LOG_LINES),
            _ => Vec::new(),
        };
        self.screen.report(Report { title, outcome, took: start.elapsed(), log });
    }

    /// Waits until the kernel is as wanted and `STATE_DB` says the same; returns by how much `STATE_DB` came after the kernel,
    /// to the accuracy of the looks.
    pub async fn agree(&mut self, doing: &str) -> anyhow::Result<Duration> {
        let limit = Instant::now() + self.limit()?;
        let mut kernel_since = None;
        loop {
            let (kernel, lines) = match self.look().await {
                Ok(seen) => seen,
                // Links that change while they are listed can spoil the list.
                Err(_) if Instant::now() < limit => {
                    sleep(LOOK).await;
                    continue;
                }
                Err(error) => return Err(error),
            };
            self.screen.draw(doing, &lines);
            if compare::kernel_is(&kernel, &self.wanted) {
                let since = *kernel_since.get_or_insert_with(Instant::now);
                if lines.iter().all(Line::in_step) {
                    let lag = since.elapsed();
                    self.screen.print(doing, &lines);
                    self.linger(doing).await?;
                    return Ok(lag);
                }
            } else {
                kernel_since = None;
            }
            self.alive()?;
            if Instant::now() >= limit {
                self.screen.print(doing, &lines);
                bail!("{doing}: {}", complaint(&lines, kernel_since.is_some()));
            }
            sleep(LOOK).await;
        }
    }

    /// Waits until this comes to something, and as long as the children run; what it says in the end is why it did not.
    pub async fn until<T>(
        &mut self,
        doing: &str,
        mut look: impl AsyncFnMut(&Self) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let limit = Instant::now() + self.limit()?;
        loop {
            match look(self).await {
                Ok(found) => return Ok(found),
                Err(error) if Instant::now() >= limit => return Err(error.context(doing.to_owned())),
                Err(_) => {}
            }
            self.alive()?;
            if let Ok((_, lines)) = self.look().await {
                self.screen.draw(doing, &lines);
            }
            sleep(LOOK).await;
        }
    }

    /// Waits until the kernel is as wanted, whatever `STATE_DB` says.
    pub async fn kernel_follows(&mut self) -> anyhow::Result<Vec<LinkState>> {
        self.until("waiting for the kernel", async |stage| {
            let links = stage.links.list().await?;
            ensure!(compare::kernel_is(&links, &stage.wanted), "the links are not as they were asked to be");
            Ok(links)
        })
        .await
    }

    /// Waits until a key stands in `APPL_DB`'s `PORT_TABLE`, as the switch has consumed it.
    pub async fn consumed(&mut self, key: &str) -> anyhow::Result<()> {
        self.until(&format!("waiting for {key}"), async |stage| {
            let mut db = stage.server.client(APPL_DB)?;
            let there: bool = redis::cmd("EXISTS").arg(format!("PORT_TABLE:{key}")).query(&mut db)?;
            ensure!(there, "no {key} in APPL_DB");
            Ok(())
        })
        .await
    }

    /// Waits until `APPL_DB` has every port as CONFIG_DB has it: the switch pops keys in any order.
    pub async fn published(&mut self) -> anyhow::Result<()> {
        self.until("waiting for the ports in APPL_DB", async |stage| stage.is_published()).await
    }

    fn is_published(&self) -> anyhow::Result<()> {
        let mut db = self.server.client(APPL_DB)?;
        for row in &self.rows {
            let published: HashMap<String, String> =
                redis::cmd("HGETALL").arg(format!("PORT_TABLE:{}", row.name)).query(&mut db)?;
            for (field, value) in &row.fields {
                let found = published.get(field);
                ensure!(found == Some(value), "APPL_DB {}: {field} is {found:?}, in CONFIG_DB {value:?}", row.name);
            }
        }
        Ok(())
    }

    /// Leaves what is on the screen there for a moment, for people to see; links may still move.
    async fn linger(&mut self, doing: &str) -> anyhow::Result<()> {
        let end = Instant::now() + LINGER;
        while self.screen.is_live() && Instant::now() < end.min(self.deadline) {
            if let Ok((_, lines)) = self.look().await {
                self.screen.draw(doing, &lines);
            }
            sleep(LOOK * 4).await;
        }
        Ok(())
    }

    /// The kernel's links and both sides of every port.
    pub async fn look(&self) -> anyhow::Result<(Vec<LinkState>, Vec<Line>)> {
        let links = self.links.list().await?;
        let both = compare::lines(&links, &self.server);
        Ok((links, both))
    }

    /// Says how to play with what runs.
    pub fn invite(&self, own_user_namespace: bool) -> anyhow::Result<()> {
        let user = if own_user_namespace { " --user --preserve-credentials" } else { "" };
        let enter = self.dir.path().join("enter");
        std::fs::write(&enter, self.shell()).context("cannot write what the shell starts with")?;
        Screen::say(&format!(
            "\neverything keeps running until Ctrl-C. This, in another terminal, is a shell on the switch:\n\n  \
             nsenter --target {}{user} --net bash --rcfile {}\n\n\
             and there, for example:\n  \
             portsyncd status; portsyncd ports; portsyncd watch; portsyncd observe --once\n  \
             ip link set cable0 down; ip link set Ethernet0 mtu 1500\n  \
             redis-cli -s {} -n 6 hgetall 'PORT_TABLE|Ethernet0'\n\
             status page: {}\nlogs: {}",
            std::process::id(),
            enter.display(),
            self.server.socket().display(),
            self.page,
            self.dir.path().display(),
        ));
        Ok(())
    }

    /// What a shell on the switch starts with: the daemon's environment, and its commands in the path.
    fn shell(&self) -> String {
        let quoted = |text: &str| format!("'{}'", text.replace('\'', "'\\''"));
        let folder = self.binary.parent().unwrap_or(&self.binary);
        let mut text = format!("PATH={}:$PATH\nPS1='switch# '\n", quoted(&folder.display().to_string()));
        for (key, value) in &self.environment {
            text.push_str(&format!("export {key}={}\n", quoted(&value.display().to_string())));
        }
        text
    }

    /// Keeps everything running until the daemon ends; cancelled by Ctrl-C.
    pub async fn hold(&mut self) {
        while self.alive().is_ok() {
            sleep(Duration::from_millis(200)).await;
        }
    }

    /// The summary; true if every step went well.
    pub async fn finish(self) -> bool {
        let lines = self.look().await.map(|(_, lines)| lines).unwrap_or_default();
        let well = self.screen.summary(&lines);
        if self.failed {
            let kept = self.dir.keep();
            Screen::say(&format!("logs of daemon and switch: {}", kept.display()));
        }
        well
    }

    /// What a step may still wait.
    pub fn limit(&self) -> anyhow::Result<Duration> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            bail!("out of time (--seconds)");
        }
        Ok(left.min(STEP_LIMIT))
    }

    /// Whether the children that should run do.
    fn alive(&mut self) -> anyhow::Result<()> {
        let children = [("daemon", &mut self.daemon), ("switch", &mut self.switch)];
        for (name, child) in children {
            if let Some(status) = child.as_mut().and_then(Process::ended) {
                let last = child.as_ref().map(|child| child.last_lines(3).join(" / ")).unwrap_or_default();
                bail!("the {name} ended by itself with {status}: {last}");
            }
        }
        Ok(())
    }
}

/// A port that is set up and plugged.
pub fn up() -> Port {
    Port { wanted: Wanted { admin: true, plugged: true }, mtu: 9100 }
}

/// The daemon without whatever of its environment the caller happens to have.
fn bare(binary: &PathBuf) -> Command {
    let mut command = Command::new(binary);
    for (key, _) in std::env::vars_os().filter(|(key, _)| key.to_string_lossy().starts_with("PORTSYNCD_")) {
        command.env_remove(key);
    }
    command
}

fn complaint(lines: &[Line], kernel_is_as_wanted: bool) -> String {
    let out: Vec<String> = lines
        .iter()
        .filter(|line| !line.in_step())
        .map(|line| format!("{} (kernel {:?}, STATE_DB {:?})", line.port, line.kernel, line.state))
        .collect();
    if out.is_empty() && !kernel_is_as_wanted {
        return "the links never came to what was asked of them".to_owned();
    }
    let shown = out[..out.len().min(3)].join("; ");
    format!("{} of {} ports out of step: {shown}", out.len(), lines.len())
}
