//! A throwaway Redis: the real redis-server on a unix socket in a temporary folder, without persistence, ended on drop.
//!
//! It can be killed, restarted and paused as a server in the field can be. `start` comes back once it answers.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use redis::{Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisConnectionInfo};
use tempfile::TempDir;

use super::{Error, wait};

/// How long a server may take to answer; loading is not expected to take any time.
const READY_LIMIT: Duration = Duration::from_secs(15);
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// `SONiC`'s databases: name, number, separator.
pub const DATABASES: &[(&str, i64, &str)] = &[
    ("APPL_DB", 0, ":"),
    ("ASIC_DB", 1, ":"),
    ("COUNTERS_DB", 2, ":"),
    ("LOGLEVEL_DB", 3, ":"),
    ("CONFIG_DB", 4, "|"),
    ("FLEX_COUNTER_DB", 5, ":"),
    ("PFC_WD_DB", 5, ":"),
    ("STATE_DB", 6, "|"),
    ("SNMP_OVERLAY_DB", 7, "|"),
];
/// Number of `APPL_DB`.
pub const APPL_DB: i64 = 0;
/// Number of `CONFIG_DB`.
pub const CONFIG_DB: i64 = 4;
/// Number of `STATE_DB`.
pub const STATE_DB: i64 = 6;

/// How the server is to be started.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// TCP port on 127.0.0.1; none: unix socket only.
    pub port: Option<u16>,
    /// Password that clients must give (`requirepass`).
    pub password: Option<String>,
    /// Further arguments; the later wins, so these override whatever is set here.
    pub args: Vec<String>,
    /// The program; none: `redis-server` from the path.
    pub program: Option<PathBuf>,
}

/// A running (or killed) redis-server with a folder of its own.
#[derive(Debug)]
pub struct RedisServer {
    child: Option<Child>,
    options: Options,
    dir: TempDir,
}

impl RedisServer {
    /// Starts a server that is reachable by its unix socket only.
    pub fn start() -> Result<Self, Error> {
        Self::start_with(Options::default())
    }

    /// Starts a server with these options.
    pub fn start_with(options: Options) -> Result<Self, Error> {
        let dir = tempfile::Builder::new()
            .prefix("portsyncd-lab-")
            .tempdir()
            .map_err(Error::io("create a temporary folder"))?;
        let mut server = Self { child: None, options, dir };
        server.launch()?;
        Ok(server)
    }

    /// Path of its unix socket.
    pub fn socket(&self) -> PathBuf {
        self.dir.path().join("redis.sock")
    }

    /// Its folder: socket, log (`redis.log`), dump, database configuration; removed on drop.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// TCP port, if it has one.
    pub fn port(&self) -> Option<u16> {
        self.options.port
    }

    /// The process, if it runs.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// `unix:///path` of the socket, as the daemon's `redis.url` takes it.
    pub fn url(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// How to reach database `db`, for clients of any kind.
    pub fn connection_info(&self, db: i64) -> Result<ConnectionInfo, Error> {
        let mut settings = RedisConnectionInfo::default().set_db(db);
        if let Some(password) = &self.options.password {
            settings = settings.set_password(password);
        }
        Ok(ConnectionAddr::Unix(self.socket()).into_connection_info()?.set_redis_settings(settings))
    }

    /// A blocking connection to database `db`.
    pub fn client(&self, db: i64) -> Result<redis::Connection, Error> {
        let client = Client::open(self.connection_info(db)?)?;
        Ok(client.get_connection_with_timeout(CONNECT_LIMIT)?)
    }

    /// Writes `sonic-db/database_config.json` as a switch has it, every database on this server; returns its path.
    pub fn write_database_config(&self) -> Result<PathBuf, Error> {
        let databases: serde_json::Map<String, serde_json::Value> = DATABASES
            .iter()
            .map(|(name, id, separator)| {
                let entry = serde_json::json!({"id": id, "separator": separator, "instance": "redis"});
                ((*name).to_owned(), entry)
            })
            .collect();
        let config = serde_json::json!({
            "INSTANCES": {"redis": {
                "hostname": "127.0.0.1",
                "port": self.options.port.unwrap_or(6379),
                "unix_socket_path": self.socket(),
                "persistence_for_warm_boot": "yes",
            }},
            "DATABASES": databases,
            "VERSION": "1.0",
        });
        let folder = self.dir().join("sonic-db");
        fs::create_dir_all(&folder).map_err(Error::io(format!("create {}", folder.display())))?;
        let path = folder.join("database_config.json");
        fs::write(&path, format!("{config:#}")).map_err(Error::io(format!("write {}", path.display())))?;
        Ok(path)
    }

    /// Kills it (SIGKILL) and waits for its end; what was not saved is lost. Nothing happens if it does not run.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // Both fail only if it has ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Kills it and starts it again on the same socket, empty.
    pub fn restart(&mut self) -> Result<(), Error> {
        self.kill();
        let _ = fs::remove_file(self.dir().join("dump.rdb"));
        self.launch()
    }

    /// Saves, kills, and starts it again with what was saved.
    pub fn save_and_restart(&mut self) -> Result<(), Error> {
        redis::cmd("SAVE").exec(&mut self.client(APPL_DB)?)?;
        self.kill();
        self.launch()
    }

    /// Stops the process (SIGSTOP): connections stay open and nothing answers. Comes back once it has stopped; the signal
    /// alone says that it will.
    pub fn pause(&self) -> Result<(), Error> {
        self.signal(Signal::SIGSTOP)?;
        wait::until("redis-server to stop", READY_LIMIT, || self.pid().is_none_or(is_stopped))
    }

    /// Lets a paused process go on.
    pub fn resume(&self) -> Result<(), Error> {
        self.signal(Signal::SIGCONT)
    }

    fn signal(&self, signal: Signal) -> Result<(), Error> {
        let operation = format!("send {signal} to redis-server");
        let Some(pid) = self.pid().and_then(|pid| i32::try_from(pid).ok()) else {
            return Err(Error::io(operation)(std::io::Error::other("it does not run")));
        };
        kill(Pid::from_raw(pid), signal).map_err(|errno| Error::io(operation)(errno.into()))
    }

    fn launch(&mut self) -> Result<(), Error> {
        // A socket left by a killed server would be found before the new one has made its own.
        let _ = fs::remove_file(self.socket());
        let program = self.options.program.clone().unwrap_or_else(|| PathBuf::from("redis-server"));
        let mut command = Command::new(&program);
        command
            .args(["--port", &self.options.port.unwrap_or(0).to_string()])
            .args(["--bind", "127.0.0.1", "--daemonize", "no"])
            .args(["--save", "", "--appendonly", "no"])
            .args(["--notify-keyspace-events", "AKE"])
            .arg("--dir")
            .arg(self.dir())
            .arg("--unixsocket")
            .arg(self.socket())
            .arg("--logfile")
            .arg(self.dir().join("redis.log"));
        if let Some(password) = &self.options.password {
            command.args(["--requirepass", password]);
        }
        let child = command
            .args(&self.options.args)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|source| Error::Spawn {
                program: program.display().to_string(),
                hint: if source.kind() == std::io::ErrorKind::NotFound {
                    "; install Redis (Debian: package redis-server, Nix: redis)"
                } else {
                    ""
                },
                source,
            })?;
        self.child = Some(child);
        self.wait_until_ready()
    }

    fn wait_until_ready(&mut self) -> Result<(), Error> {
        let mut ended = None;
        let waited = wait::until("redis-server to answer PING", READY_LIMIT, || {
            if let Some(Ok(Some(status))) = self.child.as_mut().map(Child::try_wait) {
                ended = Some(status);
                return true;
            }
            // Refused or absent at first, and LOADING while a dump is read.
            self.client(APPL_DB).is_ok_and(|mut c| redis::cmd("PING").exec(&mut c).is_ok())
        });
        let reason = match (ended, waited) {
            (None, Ok(())) => return Ok(()),
            (Some(status), _) => format!("it ended with {status}"),
            (None, Err(error)) => error.to_string(),
        };
        self.kill();
        let log = fs::read_to_string(self.dir().join("redis.log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        Err(Error::RedisNotReady { reason, log: lines[lines.len().saturating_sub(5)..].join(" / ") })
    }
}

/// Whether every thread of the process has stopped: `T` behind the program's name, which may hold anything.
pub fn is_stopped(pid: u32) -> bool {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return false };
    threads.flatten().all(|thread| {
        let stat = fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'))
    })
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
    }
}
