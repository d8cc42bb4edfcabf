//! The configuration: defaults, then the file, then the environment, then the command line; the later wins.
//!
//! Each key and its default stands once, here; docs/configuration.md lists them, and a test compares the two. Unknown keys
//! are refused (`keys`). What is wrong is told with where it came from, the key, the value, and what would be right.

mod alerts;
pub mod duration;
pub mod glob;
mod keys;
mod load;
mod severity;
pub mod sinks;
pub mod toml_text;

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::secret::SecretUrl;
use crate::sync::port_sync::Names;

pub use alerts::{AlertsConfig, DeliveryConfig, SinkConfig};
pub use load::{ConfigError, Flags, load};
pub use severity::{Action, Severity};

/// The configuration file that is read when none is named.
pub const DEFAULT_FILE: &str = "/etc/sonic/portsyncd.toml";
/// Where `SONiC` keeps its databases' addresses.
pub const DATABASE_CONFIG: &str = "/var/run/redis/sonic-db/database_config.json";

/// The whole configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    pub redis: RedisConfig,
    pub netlink: NetlinkConfig,
    pub ports: PortsConfig,
    /// What is logged, and where.
    pub log: LogConfig,
    pub shutdown: ShutdownConfig,
    pub telemetry: TelemetryConfig,
    pub http: HttpConfig,
    pub control: ControlConfig,
    /// What survives a restart.
    pub state: StateConfig,
    pub health: HealthConfig,
    /// Rules, and who is told.
    pub alerts: AlertsConfig,
}

/// `[redis]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RedisConfig {
    /// Where `SONiC`'s `database_config.json` is.
    pub database_config: PathBuf,
    /// One server for all databases: wins over `database_config` in everything but ids and separators.
    pub url: SecretUrl,
    /// The namespace of a multi-ASIC switch, or a container's name, as in `database_global.json`.
    pub namespace: String,
    /// The user, for servers that have users.
    pub username: String,
    /// A file with the password; its last newline does not count.
    pub password_file: PathBuf,
    /// How long connecting to a server may take.
    #[serde(with = "duration")]
    pub connect_timeout: Duration,
    /// How long a server may take to answer before its connection is given up.
    #[serde(with = "duration")]
    pub response_timeout: Duration,
}

/// `[netlink]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NetlinkConfig {
    /// Size of the socket's receive buffer in bytes.
    pub receive_buffer: usize,
    /// How often kernel and STATE_DB are compared; `0s` turns it off.
    #[serde(with = "duration")]
    pub audit_interval: Duration,
}

/// `[ports]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PortsConfig {
    /// What the names of front panel ports begin with.
    pub prefixes: Vec<String>,
    /// What the names of link aggregation groups begin with.
    pub lag_prefixes: Vec<String>,
    /// Whether changes of CONFIG_DB's `PORT` at run time go on to APPL_DB (releases 202012 to 202111).
    pub follow_config_db: bool,
    /// Whether `MGMT_PORT_TABLE` is written for links whose names begin with `eth` (releases 202012 to 202411).
    pub management: bool,
}

impl PortsConfig {
    /// Which links concern us.
    pub fn names(&self) -> Names {
        let management = if self.management { vec!["eth".to_owned()] } else { Vec::new() };
        Names { ports: self.prefixes.clone(), lags: self.lag_prefixes.clone(), management }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// syslog where `/dev/log` is there and standard error is no terminal, else text.
    #[default]
    Auto,
    /// Readable lines on standard error.
    Text,
    /// One JSON object a line on standard error.
    Json,
    Syslog,
}

/// How much is logged, in `SONiC`'s words; those of other programs are taken as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    #[serde(
        alias = "emerg",
        alias = "alert",
        alias = "crit",
        alias = "EMERG",
        alias = "ALERT",
        alias = "CRIT",
        alias = "ERROR"
    )]
    Error,
    /// What may need somebody.
    #[serde(alias = "warning", alias = "WARN")]
    Warn,
    /// What happens: starts, ends, each port's changes.
    #[serde(alias = "NOTICE")]
    Notice,
    /// What the daemon does about it.
    #[serde(alias = "INFO")]
    Info,
    #[serde(alias = "trace", alias = "DEBUG")]
    Debug,
}

/// `[log]`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LogConfig {
    /// Where the log goes, and in which form.
    pub format: LogFormat,
    /// How much; if unset, what CONFIG_DB `LOGGER|portsyncd` says.
    pub level: Option<LogLevel>,
    /// How often supervisord's heartbeat is written to standard output; `0s` turns it off.
    #[serde(with = "duration")]
    pub heartbeat: Duration,
}

/// `[shutdown]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ShutdownConfig {
    /// How long the daemon may go on writing what is pending once it was told to end.
    #[serde(with = "duration")]
    pub grace: Duration,
}

/// `[telemetry]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TelemetryConfig {
    /// How many ports have series of their own; the rest is summed.
    pub per_port_limit: usize,
}

/// `[http]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HttpConfig {
    /// Address and port; empty turns the server off.
    pub listen: String,
    /// File with the server's certificate chain in PEM; with it the server speaks TLS only.
    pub tls_cert: PathBuf,
    /// File with the certificate's key in PEM.
    pub tls_key: PathBuf,
    /// File with the authorities of client certificates in PEM; with it clients have to have one.
    pub client_ca: PathBuf,
    /// Connections that may be open at once.
    pub max_connections: usize,
    /// Names besides the switch's own under which clients may ask, as their `Host` has them.
    pub hosts: Vec<String>,
    /// Where people reach the server, for links to it; empty: by the address that it listens on.
    pub external_url: String,
    /// File with the password that clients have to give by basic authentication; its last newline does not count.
    pub password_file: PathBuf,
}

/// `[control]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ControlConfig {
    /// Path of the control socket; empty turns it off.
    pub socket: PathBuf,
}

/// `[state]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct StateConfig {
    /// Folder of the state file; empty turns it off.
    pub dir: PathBuf,
    /// How long after a change it is written at the latest.
    #[serde(with = "duration")]
    pub save_interval: Duration,
}

/// `[health]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HealthConfig {
    /// How long a start may take to `PortInitDone` before it counts as timed out.
    #[serde(with = "duration")]
    pub initial_sync_timeout: Duration,
    /// How long a loss of messages or a drift that was found counts.
    #[serde(with = "duration")]
    pub window: Duration,
    /// What 99 of 100 rows should not exceed, from message to acknowledgement.
    #[serde(with = "duration")]
    pub latency_p99: Duration,
}

impl Default for RedisConfig {
    fn default() -> Self {
        Self {
            database_config: DATABASE_CONFIG.into(),
            url: SecretUrl::default(),
            namespace: String::new(),
            username: String::new(),
            password_file: PathBuf::new(),
            connect_timeout: Duration::from_secs(5),
            response_timeout: Duration::from_secs(5),
        }
    }
}

impl Default for NetlinkConfig {
    fn default() -> Self {
        Self { receive_buffer: 16 * 1024 * 1024, audit_interval: Duration::from_secs(60) }
    }
}

impl Default for PortsConfig {
    fn default() -> Self {
        Self {
            prefixes: vec!["Ethernet".to_owned()],
            lag_prefixes: vec!["PortChannel".to_owned()],
            follow_config_db: false,
            management: false,
        }
    }
}

impl Default for ShutdownConfig {
    fn default() -> Self {
        Self { grace: Duration::from_secs(5) }
    }
}

impl Default for TelemetryConfig {
    fn default() -> Self {
        Self { per_port_limit: 1024 }
    }
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:9477".to_owned(),
            tls_cert: PathBuf::new(),
            tls_key: PathBuf::new(),
            client_ca: PathBuf::new(),
            max_connections: 128,
            external_url: String::new(),
            hosts: Vec::new(),
            password_file: PathBuf::new(),
        }
    }
}

impl Default for ControlConfig {
    fn default() -> Self {
        Self { socket: "/run/portsyncd/control.sock".into() }
    }
}

impl Default for StateConfig {
    fn default() -> Self {
        Self { dir: "/var/lib/portsyncd".into(), save_interval: Duration::from_secs(30) }
    }
}

impl Default for HealthConfig {
    fn default() -> Self {
        Self {
            initial_sync_timeout: Duration::from_secs(300),
            window: Duration::from_secs(300),
            latency_p99: Duration::from_millis(100),
        }
    }
}
