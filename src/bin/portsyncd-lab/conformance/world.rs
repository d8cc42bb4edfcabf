//! What a scenario acts on: the Redis server, its rows, the daemon under test.
//!
//! The runner itself connects through 127.0.0.1 only, see [`super::monitor`]. The daemon finds Redis by
//! `/var/run/redis/sonic-db/database_config.json` alone; the socket named there appears once the server is being watched, so
//! no command is missed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use portsyncd::lab::links::with_link_local;
use portsyncd::lab::redis_server::{Options, RedisServer, is_stopped};
use portsyncd::lab::wait;
use redis::Connection;

use super::check::Link;
use super::monitor::Monitor;
use super::neighbours::Neighbours;
use super::observe::{Held, SENTINEL, Snapshot, is_hidden};
use super::scenario::{Database, Row, Rows, Scenario};
use super::{ip, text};

/// Redis' own, where everybody looks for it.
pub const PORT: u16 = 6379;
/// An address of the switch for daemons that are told to use TCP; anything but 127.0.0.1, see [`super::monitor`].
const ADDRESS: &str = "10.213.0.1";
const SOCKET: &str = "/run/redis/redis.sock";
const OUTPUT: &str = "/run/lab/daemon.log";
/// Far more than it takes: the machine may be busy.
const END_LIMIT: Duration = Duration::from_secs(20);

/// Everything outside the runner.
pub struct World {
    /// The databases by name.
    pub databases: BTreeMap<String, Database>,
    pub monitor: Monitor,
    /// Redis is stopped by a signal.
    pub redis_paused: bool,
    /// The daemon is stopped by a signal.
    pub paused: bool,
    /// How the daemon ended, if it was started and has ended.
    pub exit: Option<ExitStatus>,
    redis: Option<RedisServer>,
    connections: BTreeMap<u8, Connection>,
    options: Vec<String>,
    /// Others on the switch that read what the daemon writes.
    pub neighbours: Neighbours,
    daemon: Option<Child>,
    env: BTreeMap<String, String>,
}

impl World {
    /// Prepares the files; nothing runs yet.
    pub fn new(scenario: &Scenario) -> Result<Self, String> {
        let databases = scenario.databases();
        let shown: serde_json::Map<String, serde_json::Value> = databases
            .iter()
            .map(|(name, d)| {
                (name.clone(), serde_json::json!({"id": d.id, "separator": d.separator, "instance": "redis"}))
            })
            .collect();
        let (host, socket) = if scenario.redis.tcp { (ADDRESS, "") } else { ("127.0.0.1", SOCKET) };
        let config = serde_json::json!({
            "INSTANCES": {"redis": {"hostname": host, "port": PORT, "unix_socket_path": socket, "persistence_for_warm_boot": "yes"}},
            "DATABASES": shown, "VERSION": "1.0",
        });
        for folder in ["/run/lab", "/run/redis/sonic-db"] {
            fs::create_dir_all(folder).map_err(|e| format!("cannot make {folder}: {e}"))?;
        }
        fs::write("/run/redis/sonic-db/database_config.json", config.to_string())
            .map_err(|e| format!("cannot write database_config.json: {e}"))?;
        ip::run(None, &format!("address add {ADDRESS}/32 dev lo"))?;
        let mut options: Vec<String> = ["--bind", "0.0.0.0", "--protected-mode", "no"].map(str::to_owned).to_vec();
        for (name, value) in &scenario.redis.options {
            options.extend([format!("--{name}"), value.clone()]);
        }
        Ok(Self {
            databases,
            monitor: Monitor::default(),
            redis_paused: false,
            paused: false,
            exit: None,
            redis: None,
            connections: BTreeMap::new(),
            options,
            neighbours: Neighbours::new(scenario),
            daemon: None,
            env: scenario.env.clone(),
        })
    }

    /// Starts Redis, empty or with `rows`, before the daemon can reach it.
    pub fn start_redis(&mut self, rows: &Rows) -> Result<(), String> {
        let _ = fs::remove_file(SOCKET);
        self.connections.clear();
        match &mut self.redis {
            Some(server) => server.restart().map_err(|e| e.to_string())?,
            none => {
                let options = Options { port: Some(PORT), args: self.options.clone(), ..Options::default() };
                *none = Some(RedisServer::start_with(options).map_err(|e| e.to_string())?);
            }
        }
        self.redis_paused = false;
        self.monitor.attach(PORT).map_err(|e| format!("cannot watch Redis: {e}"))?;
        self.write(rows)?;
        self.neighbours.start(&self.databases)?;
        let server = self.redis.as_ref().map(RedisServer::socket).unwrap_or_default();
        std::os::unix::fs::symlink(server, SOCKET).map_err(|e| format!("cannot link {SOCKET}: {e}"))
    }

    pub fn kill_redis(&mut self) {
        self.connections.clear();
        if let Some(server) = &mut self.redis {
            server.kill();
        }
    }

    /// Stops or continues Redis.
    pub fn pause_redis(&mut self, pause: bool) -> Result<(), String> {
        let server = self.redis.as_ref().ok_or("Redis does not run")?;
        let done = if pause { server.pause() } else { server.resume() };
        self.redis_paused = pause;
        done.map_err(|e| e.to_string())
    }

    /// Redis runs and answers.
    pub fn redis_answers(&self) -> bool {
        !self.redis_paused && self.redis.as_ref().is_some_and(|server| server.pid().is_some())
    }

    /// A connection to a database.
    pub fn db(&mut self, name: &str) -> Result<&mut Connection, String> {
        let id = self.databases.get(name).ok_or_else(|| format!("{name}: no such database"))?.id;
        if let std::collections::btree_map::Entry::Vacant(place) = self.connections.entry(id) {
            place.insert(connect(id)?);
        }
        self.connections.get_mut(&id).ok_or_else(|| "no connection".to_owned())
    }

    pub fn send(&mut self, database: &str, words: &[&[u8]]) -> Result<redis::Value, String> {
        let mut command = redis::Cmd::new();
        for word in words {
            command.arg(*word);
        }
        let shown = || words.iter().map(|w| text::show(w)).collect::<Vec<_>>().join(" ");
        command.query(self.db(database)?).map_err(|e| format!("redis: {}: {e}", shown()))
    }

    /// Writes rows; returns their names.
    pub fn write(&mut self, rows: &Rows) -> Result<Vec<(String, String)>, String> {
        let mut written = Vec::new();
        for (database, rows) in rows {
            for (key, row) in rows {
                let key = text::bytes(key);
                let words: Vec<Vec<u8>> = match row {
                    Row::Hash(fields) => {
                        let pairs = fields.iter().flat_map(|(f, v)| [text::bytes(f), text::bytes(v)]);
                        [b"HSET".to_vec(), key.clone()].into_iter().chain(pairs).collect()
                    }
                    Row::Members(members) => [b"SADD".to_vec(), key.clone()]
                        .into_iter()
                        .chain(members.iter().map(|m| text::bytes(m)))
                        .collect(),
                    Row::Text(value) => vec![b"SET".to_vec(), key.clone(), text::bytes(value)],
                    Row::There(_) => vec![b"DEL".to_vec(), key.clone()],
                };
                self.send(database, &words.iter().map(Vec::as_slice).collect::<Vec<_>>())?;
                written.push((database.clone(), text::show(&key)));
            }
        }
        Ok(written)
    }

    /// All rows of all databases; none if Redis does not answer.
    pub fn snapshot(&mut self) -> Result<Snapshot, String> {
        let mut all = Snapshot::new();
        if !self.redis_answers() {
            return Ok(all);
        }
        for name in self.databases.keys().cloned().collect::<Vec<_>>() {
            let db = self.db(&name)?;
            let keys: Vec<Vec<u8>> = redis::cmd("KEYS").arg("*").query(db).map_err(|e| format!("redis: {e}"))?;
            for key in keys {
                let shown = text::show(&key);
                if !is_hidden(&shown)
                    && let Some(held) = read(db, &key).map_err(|e| format!("redis: {shown}: {e}"))?
                {
                    all.insert((name.clone(), shown), held);
                }
            }
        }
        Ok(all)
    }

    pub fn consume(&mut self) -> Result<(), String> {
        let separator = self.databases["APPL_DB"].separator.clone();
        let orchagent = self.neighbours.orchagent.clone();
        orchagent.pop(self.db("APPL_DB")?, &separator)
    }

    pub fn start(&mut self, program: &std::path::Path) -> Result<(), String> {
        let output = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(OUTPUT)
            .map_err(|e| format!("cannot write {OUTPUT}: {e}"))?;
        let again = output.try_clone().map_err(|e| e.to_string())?;
        let kept = ["PATH", "LD_LIBRARY_PATH", "RUST_BACKTRACE"]
            .iter()
            .filter_map(|name| Some((*name, std::env::var_os(name)?)));
        let child = Command::new(program)
            .env_clear()
            .envs(kept)
            .envs(&self.env)
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(again)
            .spawn()
            .map_err(|e| format!("cannot start {}: {e}", program.display()))?;
        self.daemon = Some(child);
        self.exit = None;
        self.paused = false;
        Ok(())
    }

    /// Sends the daemon a signal.
    pub fn signal(&mut self, signal: Signal) -> Result<(), String> {
        let child = self.daemon.as_ref().ok_or("the daemon does not run")?;
        let pid = i32::try_from(child.id()).map_err(|e| e.to_string())?;
        kill(Pid::from_raw(pid), signal).map_err(|e| format!("cannot send {signal} to the daemon: {e}"))
    }

    /// Stops the daemon; comes back once it has stopped.
    pub fn pause(&mut self) -> Result<(), String> {
        self.signal(Signal::SIGSTOP)?;
        self.paused = true;
        let pid = self.daemon.as_ref().map(Child::id);
        wait::until("the daemon to stop", END_LIMIT, || pid.is_none_or(is_stopped)).map_err(|e| e.to_string())
    }

    /// Waits a bounded time for the daemon's end.
    pub fn await_end(&mut self) {
        // If it does not end, the step's expectations say so.
        let _ = wait::until("the daemon's end", END_LIMIT, || !self.runs());
    }

    /// Whether the daemon runs; notes how it ended.
    pub fn runs(&mut self) -> bool {
        if let Some(child) = &mut self.daemon
            && let Ok(Some(status)) = child.try_wait()
        {
            self.exit = Some(status);
            self.daemon = None;
        }
        self.daemon.is_some()
    }

    /// The daemon's output so far.
    pub fn output() -> String {
        fs::read(OUTPUT).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }
}

impl Drop for World {
    /// The daemon goes first, so that it does not see Redis go.
    fn drop(&mut self) {
        if let Some(mut child) = self.daemon.take() {
            // Both fail only if it has ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The kernel's links, by name.
pub fn links() -> BTreeMap<String, Link> {
    let number = |name: &str, file: &str| {
        let content = fs::read_to_string(format!("/sys/class/net/{name}/{file}")).ok()?;
        let content = content.trim();
        content.strip_prefix("0x").map_or_else(|| content.parse().ok(), |hex| u32::from_str_radix(hex, 16).ok())
    };
    let names = fs::read_dir("/sys/class/net")
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned());
    let addressed = with_link_local().unwrap_or_default();
    let link = |name: String| {
        let up = number(&name, "flags")? & 1 == 1;
        let marks = (number(&name, "ifindex")?, number(&name, "carrier_changes")?);
        let link = Link { up, marks, mtu: number(&name, "mtu")?, addressed: addressed.contains(&name) };
        Some((name, link))
    };
    names.filter_map(link).collect()
}

/// Whether the kernel has told of every change of carrier. It does so from a work queue, on a busy machine seconds later:
/// until then a port with a plugged cable is not running, and no daemon is to blame.
pub fn at_rest() -> bool {
    let names = fs::read_dir("/sys/class/net").into_iter().flatten().flatten();
    names.map(|entry| entry.path()).all(|link| {
        let content = |file| fs::read_to_string(link.join(file)).unwrap_or_default();
        // The carrier of a link that is down cannot be read.
        match (content("carrier").trim(), content("operstate").trim()) {
            ("1", state) => !matches!(state, "down" | "lowerlayerdown"),
            ("0", state) => state != "up",
            _ => true,
        }
    })
}

/// A connection by 127.0.0.1, see [`super::monitor`].
pub fn connect(id: u8) -> Result<Connection, String> {
    let client = redis::Client::open(format!("redis://127.0.0.1:{PORT}/{id}")).map_err(|e| e.to_string())?;
    let connection = client.get_connection_with_timeout(END_LIMIT).map_err(|e| format!("cannot reach Redis: {e}"))?;
    connection.set_read_timeout(Some(END_LIMIT)).map_err(|e| e.to_string())?;
    Ok(connection)
}

fn read(db: &mut Connection, key: &[u8]) -> redis::RedisResult<Option<Held>> {
    let kind: String = redis::cmd("TYPE").arg(key).query(db)?;
    Ok(match kind.as_str() {
        "none" => None,
        "hash" => {
            let fields: Vec<(Vec<u8>, Vec<u8>)> = redis::cmd("HGETALL").arg(key).query(db)?;
            Some(Held::Hash(fields.iter().map(|(f, v)| (text::show(f), text::show(v))).collect()))
        }
        "set" => {
            let members: Vec<Vec<u8>> = redis::cmd("SMEMBERS").arg(key).query(db)?;
            let shown: BTreeSet<String> =
                members.iter().map(|m| text::show(m)).filter(|m| !m.contains(SENTINEL)).collect();
            (!shown.is_empty()).then_some(Held::Set(shown))
        }
        "string" => {
            let value: Option<Vec<u8>> = redis::cmd("GET").arg(key).query(db)?;
            value.map(|value| Held::Text(text::show(&value)))
        }
        other => Some(Held::Text(format!("a {other}"))),
    })
}
