//! The ground of every integration test: a private network namespace on the test's own thread, a Redis server on a socket
//! of its own, a seeded `CONFIG_DB`, and the real daemon, whose log is shown when a test fails.
#![allow(clippy::unused_self, reason = "what is done to the rig's links reads as the rig's own")]

pub mod browser;
mod commands;
pub mod http;
pub mod orchagent;
pub mod terminal;
pub mod watcher;
pub mod wreck;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use portsyncd::lab::links::{LinkState, Links};
use portsyncd::lab::producer::Producer;
use portsyncd::lab::redis_server::{APPL_DB, CONFIG_DB, Options, RedisServer, STATE_DB};
use portsyncd::lab::{Error, netns, ports, wait};
use redis::Commands;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use orchagent::Orchagent;

/// How long anything may take. Far more than it does: the machine may be busy.
pub const LIMIT: Duration = Duration::from_secs(30);

pub type Fields = BTreeMap<String, String>;

/// See the module. Fields are dropped in this order: the daemon ends before its Redis.
pub struct Rig {
    daemon: Option<Child>,
    orchagent: Option<Orchagent>,
    pub server: RedisServer,
    pub links: Links,
    runtime: Runtime,
    environment: Vec<(String, String)>,
    arguments: Vec<String>,
    /// A program and its arguments that runs the daemon.
    runner: Vec<String>,
    /// Its standard output and error at the next start, if not the usual ones.
    output: Option<(Stdio, Stdio)>,
    pub ports: Vec<String>,
    starts: usize,
    dir: TempDir,
}

impl Rig {
    /// A namespace without links, a Redis with so many ports in `CONFIG_DB`, no daemon yet.
    pub fn new(ports: usize) -> Self {
        Self::with_server(ports, Options::default())
    }

    pub fn with_server(count: usize, options: Options) -> Self {
        netns::enter_private().unwrap();
        let server = RedisServer::start_with(options).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let links = {
            let _inside = runtime.enter();
            Links::open().unwrap()
        };
        let mut rig = Self {
            daemon: None,
            orchagent: None,
            environment: Vec::new(),
            arguments: Vec::new(),
            runner: Vec::new(),
            output: None,
            ports: Vec::new(),
            starts: 0,
            dir: TempDir::new().unwrap(),
            server,
            links,
            runtime,
        };
        rig.seed(count);
        let database_config = rig.server.write_database_config().unwrap();
        rig.set("PORTSYNCD_REDIS__DATABASE_CONFIG", database_config.to_str().unwrap());
        rig.set("PORTSYNCD_LOG__FORMAT", "text");
        rig.set("PORTSYNCD_CONTROL__SOCKET", rig.control_socket().to_str().unwrap());
        rig.set("PORTSYNCD_STATE__DIR", rig.state_dir().to_str().unwrap());
        rig
    }

    /// A switch at work: daemon and orchagent run, every port has its link, `PortInitDone` was said.
    pub fn at_work(ports: usize) -> Self {
        Self::new(ports).set_to_work()
    }

    /// See [`Self::at_work`], with what was set before.
    pub fn set_to_work(mut self) -> Self {
        self.start();
        self.run_orchagent();
        self.expect_config_done();
        self.add_ports();
        self.expect_init_done();
        // What was popped but not yet told would be popped again from a server that comes back as it was saved.
        self.until("orchagent to have PortInitDone", || self.orchagent().count("PortInitDone") == 1);
        self
    }

    /// Fills `CONFIG_DB` for so many ports.
    pub fn seed(&mut self, count: usize) {
        let rows = ports::rows(count);
        ports::seed(&mut self.db(CONFIG_DB), "|", &rows, true).unwrap();
        self.ports = rows.into_iter().map(|row| row.name).collect();
    }

    /// Sets a variable of the daemon's environment for its next start.
    pub fn set(&mut self, name: &str, value: &str) {
        self.environment.retain(|(other, _)| other != name);
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// Leaves a variable out again.
    pub fn unset(&mut self, name: &str) {
        self.environment.retain(|(other, _)| other != name);
    }

    /// Adds an argument of the daemon.
    pub fn argument(&mut self, argument: &str) {
        self.arguments.push(argument.to_owned());
    }

    /// Has the daemon run by this program, which becomes the daemon.
    pub fn run_by(&mut self, runner: &[&str]) {
        self.runner = runner.iter().map(|part| (*part).to_owned()).collect();
    }

    /// Where standard output and error of the daemon go when it is started next; its log cannot be looked at then.
    pub fn output(&mut self, output: Stdio, error: Stdio) {
        self.output = Some((output, error));
    }

    /// Lets any user use what the daemon needs.
    pub fn open_to_everybody(&self) {
        for path in [self.dir.path(), self.server.dir(), &self.server.socket()] {
            fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
        }
    }

    /// Where the daemon serves HTTP, in this thread's namespace.
    pub fn http(&self) -> SocketAddr {
        "127.0.0.1:9477".parse().unwrap()
    }

    /// The daemon's control socket.
    pub fn control_socket(&self) -> PathBuf {
        self.dir.path().join("control.sock")
    }

    /// Where the daemon keeps what survives it.
    pub fn state_dir(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    /// What the daemon answers on this path, as JSON. Waits for it to listen.
    pub fn api<T: serde::de::DeserializeOwned>(&self, path: &str) -> T {
        let answer = wait::until_some(path, LIMIT, || http::get(self.http(), path).ok()).unwrap();
        serde_json::from_str(&answer.body).unwrap_or_else(|error| panic!("{path}: {error}: {}", answer.body))
    }

    /// The value of a series of `/metrics`, written as there.
    pub fn metric(&self, series: &str) -> Option<f64> {
        let text = http::get(self.http(), "/metrics").ok()?.body;
        text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
    }

    /// Waits for a series to have a value like this.
    pub fn expect_metric(&self, series: &str, wanted: impl Fn(f64) -> bool) {
        let mut seen = None;
        let waited = wait::until(series, LIMIT, || {
            seen = self.metric(series);
            seen.is_some_and(&wanted)
        });
        waited.unwrap_or_else(|_| panic!("{series} is {seen:?}"));
    }

    /// A folder for files of the test.
    pub fn dir(&self) -> PathBuf {
        self.dir.path().to_owned()
    }

    /// The daemon's program with its environment, not started.
    pub fn command(&self) -> Command {
        let program = env!("CARGO_BIN_EXE_portsyncd");
        let mut command = match self.runner.split_first() {
            None => Command::new(program),
            Some((runner, arguments)) => {
                let mut command = Command::new(runner);
                command.args(arguments).arg(program);
                command
            }
        };
        // The last one is for tests/it/page.rs; the daemon would refuse it as a setting that it does not know.
        for name in ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "PORTSYNCD_SCREENSHOT"] {
            command.env_remove(name);
        }
        command.envs(self.environment.iter().cloned()).args(&self.arguments).stdin(Stdio::null()).stdout(Stdio::null());
        command
    }

    /// Starts the daemon, in this thread's namespace.
    pub fn start(&mut self) {
        assert!(self.daemon.is_none(), "the daemon runs already");
        self.starts += 1;
        let log = File::create(self.log_path()).unwrap();
        let (output, error) = self.output.take().unwrap_or_else(|| (Stdio::null(), log.into()));
        self.daemon = Some(self.command().stdout(output).stderr(error).spawn().unwrap());
    }

    pub fn pid(&self) -> u32 {
        self.daemon.as_ref().unwrap().id()
    }

    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.pid().try_into().unwrap());
        kill(pid, signal).unwrap();
    }

    /// Waits for the daemon's end.
    pub fn exit_status(&mut self) -> ExitStatus {
        let child = self.daemon.as_mut().unwrap();
        let status = wait::until_some("the daemon's end", LIMIT, || child.try_wait().unwrap());
        let status = status.unwrap();
        self.daemon = None;
        status
    }

    /// How the daemon ended, if it has.
    pub fn try_exit(&mut self) -> Option<ExitStatus> {
        let status = self.daemon.as_mut()?.try_wait().unwrap()?;
        self.daemon = None;
        Some(status)
    }

    /// Ends the daemon as a supervisor does; gives its exit code.
    pub fn term(&mut self) -> Option<i32> {
        self.signal(Signal::SIGTERM);
        self.exit_status().code()
    }

    /// Ends the daemon as a crash does.
    pub fn crash(&mut self) {
        let mut child = self.daemon.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    pub fn is_running(&mut self) -> bool {
        self.daemon.as_mut().is_some_and(|child| child.try_wait().unwrap().is_none())
    }

    fn log_path(&self) -> PathBuf {
        self.dir.path().join(format!("daemon{}.log", self.starts))
    }

    /// What the daemon has logged since its start.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// How many lines of the log have this.
    pub fn log_count(&self, text: &str) -> usize {
        self.log().lines().filter(|line| line.contains(text)).count()
    }

    pub fn expect_log(&self, text: &str) {
        self.until(&format!("the log line {text:?}"), || self.log_count(text) > 0);
    }

    /// Waits for a condition.
    pub fn until(&self, what: &str, condition: impl FnMut() -> bool) {
        wait::until(what, LIMIT, condition).unwrap();
    }

    /// Runs something about links to its end.
    pub fn run<T>(&self, work: impl Future<Output = Result<T, Error>>) -> T {
        self.runtime.block_on(work).unwrap()
    }

    /// Plays orchagent from now on, as far as rows go.
    pub fn run_orchagent(&mut self) {
        self.orchagent = Some(Orchagent::start(self.server.connection_info(APPL_DB).unwrap()));
    }

    /// An orchagent that pops one key at a time.
    pub fn run_slow_orchagent(&mut self) {
        self.orchagent = Some(Orchagent::start_with(self.server.connection_info(APPL_DB).unwrap(), 1));
    }

    pub fn stop_orchagent(&mut self) {
        self.orchagent = None;
    }

    pub fn orchagent(&self) -> &Orchagent {
        self.orchagent.as_ref().unwrap()
    }

    /// Makes a veth for each configured port, cables plugged, ports down.
    pub fn add_ports(&self) {
        self.run(self.links.add_veths(&self.ports));
        self.run(self.links.set_carrier_many(&self.ports, true));
    }

    pub fn up(&self, name: &str) {
        self.run(self.links.set_up(name));
    }

    pub fn down(&self, name: &str) {
        self.run(self.links.set_down(name));
    }

    pub fn link(&self, name: &str) -> LinkState {
        self.run(self.links.find(name)).unwrap()
    }

    /// A connection to a database.
    pub fn db(&self, number: i64) -> redis::Connection {
        self.server.client(number).unwrap()
    }

    /// A row of `STATE_DB`'s `PORT_TABLE`, empty if there is none. Empty too while Redis does not answer.
    pub fn row(&self, port: &str) -> Fields {
        self.hash(STATE_DB, &format!("PORT_TABLE|{port}"))
    }

    pub fn hash(&self, db: i64, key: &str) -> Fields {
        let found = self.server.client(db).map(|mut db| db.hgetall(key));
        found.ok().and_then(Result::ok).unwrap_or_default()
    }

    pub fn exists(&self, db: i64, key: &str) -> bool {
        self.server.client(db).is_ok_and(|mut db| db.exists(key).unwrap_or(false))
    }

    /// Waits for a port's row to say just this in our fields.
    pub fn expect_row(&self, port: &str, admin: &str, oper: &str, mtu: u32) {
        let wanted = row_of(admin, oper, mtu);
        let mut seen = Fields::new();
        let waited = wait::until("the row", LIMIT, || {
            seen = ours(&self.row(port));
            seen == wanted
        });
        waited.unwrap_or_else(|_| panic!("row of {port}: {seen:?}, wanted {wanted:?}"));
    }

    pub fn expect_no_row(&self, port: &str) {
        self.until(&format!("the end of the row of {port}"), || self.redis_answers() && self.row(port).is_empty());
    }

    pub fn redis_answers(&self) -> bool {
        self.server.client(STATE_DB).is_ok_and(|mut db| redis::cmd("PING").exec(&mut db).is_ok())
    }

    /// Publishes a port's `APPL_DB` row as orchagent's table has it, without orchagent.
    pub fn put_appl_row(&self, port: &str) {
        let () = self.db(APPL_DB).hset(format!("PORT_TABLE:{port}"), "mtu", "9100").unwrap();
    }

    pub fn producer(&self) -> Producer {
        Producer::new(APPL_DB, ":")
    }

    /// Waits for `PortConfigDone`, consumed or not; gives its count.
    pub fn expect_config_done(&self) -> String {
        self.expect_mark("PortConfigDone").remove("count").unwrap()
    }

    /// Waits for `PortInitDone`, consumed or not.
    pub fn expect_init_done(&self) {
        assert_eq!(self.expect_mark("PortInitDone").get("lanes").unwrap(), "0");
    }

    fn expect_mark(&self, key: &str) -> Fields {
        wait::until_some(key, LIMIT, || Some(self.mark(key)).filter(|row| !row.is_empty())).unwrap()
    }

    /// A key of `APPL_DB`'s `PORT_TABLE`, consumed or not.
    pub fn mark(&self, key: &str) -> Fields {
        let consumed = self.hash(APPL_DB, &format!("PORT_TABLE:{key}"));
        if consumed.is_empty() { self.hash(APPL_DB, &format!("_PORT_TABLE:{key}")) } else { consumed }
    }

    /// What the rows should say: every link of ours that `APPL_DB` has a row for.
    pub fn kernel_rows(&self) -> BTreeMap<String, Fields> {
        let published = self.published();
        let up_down = |up| if up { "up" } else { "down" };
        self.run(self.links.list())
            .into_iter()
            .filter(|link| published.contains(&link.name))
            .map(|link| {
                let row = row_of(up_down(link.admin_up), up_down(link.running), link.mtu);
                (link.name, row)
            })
            .collect()
    }

    fn published(&self) -> BTreeSet<String> {
        let keys: Vec<String> =
            self.server.client(APPL_DB).and_then(|mut db| Ok(db.keys("PORT_TABLE:*")?)).unwrap_or_default();
        keys.iter().map(|key| key["PORT_TABLE:".len()..].to_owned()).collect()
    }

    /// Our fields of every row of `STATE_DB`'s `PORT_TABLE`.
    pub fn state_rows(&self) -> Result<BTreeMap<String, Fields>, Error> {
        let mut db = self.server.client(STATE_DB)?;
        let keys: Vec<String> = db.keys("PORT_TABLE|*")?;
        let mut pipeline = redis::pipe();
        for key in &keys {
            pipeline.hgetall(key);
        }
        let rows: Vec<Fields> = pipeline.query(&mut db)?;
        let names = keys.iter().map(|key| key["PORT_TABLE|".len()..].to_owned());
        Ok(names.zip(rows.iter().map(ours)).filter(|(_, row)| !row.is_empty()).collect())
    }

    /// Waits until `STATE_DB` equals the kernel for all ports, of which there have to be so many.
    pub fn expect_in_step(&self, ports: usize) {
        let mut differing = String::new();
        let waited = wait::until("Redis to equal the kernel", LIMIT * 2, || {
            let kernel = self.kernel_rows();
            match self.state_rows() {
                Ok(state) if state == kernel && kernel.len() == ports => true,
                Ok(state) => {
                    let wrong = kernel.iter().filter(|(name, row)| state.get(*name) != Some(row));
                    let stale = state.keys().filter(|name| !kernel.contains_key(*name));
                    differing = format!(
                        "{} links, {} rows; wrong {:?}, stale {:?}",
                        kernel.len(),
                        state.len(),
                        wrong.take(5).collect::<Vec<_>>(),
                        stale.take(5).collect::<Vec<_>>()
                    );
                    false
                }
                Err(error) => {
                    differing = error.to_string();
                    false
                }
            }
        });
        waited.unwrap_or_else(|error| panic!("{error}: {differing}"));
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        if let Some(mut child) = self.daemon.take() {
            // Both fail only if it has ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            // The last ones are what a test with many starts failed at.
            for start in self.starts.saturating_sub(5).max(1)..=self.starts {
                let path = self.dir.path().join(format!("daemon{start}.log"));
                let log = fs::read_to_string(path).unwrap_or_default();
                let lines: Vec<&str> = log.lines().collect();
                let skip = lines.len().saturating_sub(60);
                eprintln!("--- the daemon's log, start {start} ({} lines)", lines.len());
                eprintln!("{}", lines[skip..].join("\n"));
            }
        }
    }
}

fn row_of(admin: &str, oper: &str, mtu: u32) -> Fields {
    let mtu = mtu.to_string();
    [("state", "ok"), ("netdev_oper_status", oper), ("admin_status", admin), ("mtu", &mtu)]
        .map(|(field, value)| (field.to_owned(), value.to_owned()))
        .into()
}

/// The fields that are the daemon's.
pub fn ours(row: &Fields) -> Fields {
    row.iter()
        .filter(|(field, _)| ["state", "netdev_oper_status", "admin_status", "mtu"].contains(&field.as_str()))
        .map(|(field, value)| (field.clone(), value.clone()))
        .collect()
}
