//! Reading the configuration, and checking what no type can.

use std::path::{Path, PathBuf};
use std::time::Duration;

use figment::providers::{Env, Serialized};
use figment::value::{Dict, Map};
use figment::{Figment, Metadata, Profile, Provider};
use redis::{ConnectionAddr, IntoConnectionInfo};
use thiserror::Error;

use super::{Config, DATABASE_CONFIG, DEFAULT_FILE, LogLevel, RedisConfig, alerts, keys, toml_text};
use crate::db::store::Store;
use crate::db::topology::{Address, Topology, TopologyError};
use crate::printable::Printable;
use crate::secret::Secret;

pub(super) const ENVIRONMENT: &str = "PORTSYNCD_";
/// The path of a socket has at most 107 bytes; some are needed while it is made.
const SOCKET_PATH: usize = 90;

/// What the command line says.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    /// `--config`
    pub file: Option<PathBuf>,
    /// `--log-level`
    pub log_level: Option<LogLevel>,
}

/// A configuration that cannot be used.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("configuration file {}: cannot be read", .path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// Wrong syntax, an unknown key, or a value of the wrong type.
    #[error("{}", Printable(.0))]
    Format(String),
    /// A value that makes no sense.
    #[error("{}", Printable(format_args!("{key} = {value}: {problem}")))]
    Value { key: &'static str, value: String, problem: String },
    /// The databases' own files.
    #[error(transparent)]
    Topology(#[from] TopologyError),
    /// What others read of it: the alert rules, the certificates.
    #[error(transparent)]
    Content(Box<dyn std::error::Error + Send + Sync>),
}

/// Reads everything. A default file that is not there is fine; one that was named has to be.
pub fn load(flags: &Flags) -> Result<Config, ConfigError> {
    let path = flags.file.clone().unwrap_or_else(|| DEFAULT_FILE.into());
    let known = keys::known();
    let mut figment = Figment::from(Serialized::defaults(Config::default()));
    match std::fs::read_to_string(&path) {
        Ok(text) => {
            let sections = known.values().filter_map(|value| value.as_dict());
            let names: Vec<&str> = sections.flat_map(Dict::keys).chain(known.keys()).map(String::as_str).collect();
            let table = toml_text::parse(&text, &names);
            let wrong = |problem| ConfigError::Format(format!("configuration file {}: {problem}", path.display()));
            figment = figment.merge(ConfigFile { table: table.map_err(wrong)?, path });
        }
        Err(source) if flags.file.is_none() && source.kind() == std::io::ErrorKind::NotFound => {}
        Err(source) => return Err(ConfigError::Read { path, source }),
    }
    let environment = Env::prefixed(ENVIRONMENT).filter(|name| !is_of_others(name.as_str())).split("__");
    figment = figment.merge(environment);
    if let Some(level) = flags.log_level {
        figment = figment.merge(Serialized::default("log.level", level));
    }
    let problems = keys::problems(&figment, &known);
    if !problems.is_empty() {
        return Err(ConfigError::Format(problems.join("; ")));
    }
    let config: Config = figment.extract().map_err(|errors| ConfigError::Format(describe(errors)))?;
    check(&config)?;
    Ok(config)
}

struct ConfigFile {
    path: PathBuf,
    table: toml::Table,
}

impl Provider for ConfigFile {
    fn metadata(&self) -> Metadata {
        Metadata::from("TOML file", self.path.as_path())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Serialized::defaults(&self.table).data()
    }
}

/// Whether a variable, without its prefix, is set by others: by Kubernetes or Docker for a service or a container whose name begins
/// with `portsyncd`, or by the daemon for a sink's program.
fn is_of_others(name: &str) -> bool {
    let value = || std::env::var(format!("{ENVIRONMENT}{name}")).unwrap_or_default();
    let words: Vec<&str> = name.split('_').collect();
    let is_port = |words: &[&str]| matches!(words, ["PORT", number, "TCP" | "UDP" | "SCTP"] if number.bytes().all(|byte| byte.is_ascii_digit()));
    name == "SINK"
        || (name == "NAME" && value().starts_with('/'))
        || name.starts_with("ENV_")
        || words.windows(2).any(|words| matches!(words, ["SERVICE", "HOST" | "PORT"]))
        || words.windows(3).any(is_port)
        || (words.last() == Some(&"PORT") && value().contains("://"))
}

fn describe(errors: figment::Error) -> String {
    let one = |error: figment::Error| {
        let key = error.path.join(".");
        let key = if key.is_empty() { String::new() } else { format!("{key}: ") };
        format!("{}: {key}{}", keys::origin(error.metadata.as_ref()), error.kind)
    };
    errors.into_iter().map(one).collect::<Vec<_>>().join("; ")
}

fn check(config: &Config) -> Result<(), ConfigError> {
    let wrong = |key, value: String, problem: &str| Err(ConfigError::Value { key, value, problem: problem.to_owned() });
    for (key, time) in [
        ("redis.connect_timeout", config.redis.connect_timeout),
        ("redis.response_timeout", config.redis.response_timeout),
    ] {
        if time.is_zero() {
            return wrong(key, "0s".to_owned(), "has to be longer than nothing, for example \"5s\"");
        }
    }
    let audit = config.netlink.audit_interval;
    if !audit.is_zero() && audit < Duration::from_millis(100) {
        return wrong(
            "netlink.audit_interval",
            format!("{audit:?}"),
            "at least \"100ms\", or \"0s\" to turn the audit off",
        );
    }
    if config.netlink.receive_buffer == 0 || i32::try_from(config.netlink.receive_buffer).is_err() {
        let value = config.netlink.receive_buffer.to_string();
        return wrong("netlink.receive_buffer", value, "bytes, from 1 to 2147483647; SONiC uses 16777216");
    }
    if config.ports.prefixes.is_empty() {
        return wrong("ports.prefixes", "[]".to_owned(), "at least one, for example [\"Ethernet\"]");
    }
    for (key, prefixes) in
        [("ports.prefixes", &config.ports.prefixes), ("ports.lag_prefixes", &config.ports.lag_prefixes)]
    {
        if let Some(prefix) = prefixes.iter().find(|prefix| prefix.is_empty() || prefix.len() > 15) {
            return wrong(key, format!("{prefix:?}"), "a prefix has 1 to 15 bytes, as the names of links have");
        }
    }
    let http = &config.http;
    if !http.listen.is_empty() && http.listen.parse::<std::net::SocketAddr>().is_err() {
        let value = format!("{:?}", http.listen);
        return wrong(
            "http.listen",
            value,
            "an address and a port, for example \"127.0.0.1:9477\" or \"[::]:9477\", or \"\" to turn it off",
        );
    }
    for (key, file, needs, other) in [
        ("http.tls_cert", &http.tls_cert, "http.tls_key", &http.tls_key),
        ("http.tls_key", &http.tls_key, "http.tls_cert", &http.tls_cert),
        ("http.client_ca", &http.client_ca, "http.tls_cert", &http.tls_cert),
    ] {
        if !file.as_os_str().is_empty() && other.as_os_str().is_empty() {
            return wrong(key, format!("{:?}", file.display().to_string()), &format!("needs {needs} as well"));
        }
    }
    if http.max_connections == 0 || http.max_connections > 10_000 {
        return wrong("http.max_connections", http.max_connections.to_string(), "from 1 to 10000");
    }
    for (key, url) in
        [("http.external_url", &http.external_url), ("alerts.runbook_base_url", &config.alerts.runbook_base_url)]
    {
        let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
        let is_plain = |rest: &str| {
            !rest.starts_with('/')
                && !rest.is_empty()
                && rest.chars().all(|c| c.is_ascii_graphic() && !"@?#\"<>{}".contains(c))
        };
        if !url.is_empty() && !rest.is_some_and(is_plain) {
            let right = "http://host/path or https://host/path, without user, password, query and fragment";
            return wrong(key, format!("{url:?}"), right);
        }
    }
    let control = config.control.socket.as_os_str();
    if control.len() > SOCKET_PATH {
        let value = format!("{:?}", config.control.socket.display().to_string());
        return wrong("control.socket", value, "at most 90 bytes, more than 100 no socket's path can have");
    }
    for (key, time, least) in [
        ("state.save_interval", config.state.save_interval, Duration::from_secs(1)),
        ("health.initial_sync_timeout", config.health.initial_sync_timeout, Duration::from_millis(1)),
        ("health.window", config.health.window, Duration::from_secs(1)),
        ("health.latency_p99", config.health.latency_p99, Duration::from_micros(1)),
    ] {
        if time < least {
            return wrong(key, format!("{time:?}"), &format!("at least \"{}\"", humantime::format_duration(least)));
        }
    }
    if !config.redis.username.is_empty() && config.redis.password_file.as_os_str().is_empty() {
        return wrong("redis.username", format!("{:?}", config.redis.username), "needs redis.password_file as well");
    }
    alerts::check(&config.alerts)
}

impl RedisConfig {
    /// Finds the databases and reads the password.
    pub fn store(&self) -> Result<Store, ConfigError> {
        let mut username = self.username.clone();
        let mut password = None;
        let mut topology = self.topology()?;
        if !self.url.is_empty() {
            let (address, user, secret) = self.parse_url()?;
            topology = topology.at(&address);
            password = secret;
            if username.is_empty() {
                username = user;
            }
        }
        if !self.password_file.as_os_str().is_empty() {
            let path = &self.password_file;
            let secret = Secret::read(path).map_err(|source| ConfigError::Value {
                key: "redis.password_file",
                value: path.display().to_string(),
                problem: format!("cannot be read: {source}"),
            })?;
            password = Some(secret);
        }
        Ok(Store {
            topology,
            username,
            password,
            connect_timeout: self.connect_timeout,
            response_timeout: self.response_timeout,
        })
    }

    fn topology(&self) -> Result<Topology, ConfigError> {
        // SONiC's own libraries fall back to built-in addresses where the usual file is absent. A file somebody named,
        // or a namespace, has to be there.
        let usual = self.database_config == Path::new(DATABASE_CONFIG) && self.namespace.is_empty();
        let optional = usual || (!self.url.is_empty() && self.namespace.is_empty());
        if optional && !self.database_config.exists() {
            return Ok(Topology::default());
        }
        Ok(Topology::load(&self.database_config, &self.namespace)?)
    }

    fn parse_url(&self) -> Result<(Address, String, Option<Secret>), ConfigError> {
        let wrong = |problem: String| ConfigError::Value { key: "redis.url", value: self.url.to_string(), problem };
        let right = "unix:///path, redis://host:port or rediss://host:port";
        let info =
            self.url.expose().into_connection_info().map_err(|_| wrong(format!("is no such URL; right is {right}")))?;
        if info.redis_settings().db() != 0 {
            return Err(wrong("names a database; their numbers come from redis.database_config".to_owned()));
        }
        let address = match info.addr() {
            ConnectionAddr::Unix(path) => Address::Unix(path.clone()),
            ConnectionAddr::Tcp(host, port) => Address::Tcp(host.clone(), *port),
            ConnectionAddr::TcpTls { host, port, insecure: false, .. } => Address::Tls(host.clone(), *port),
            _ => return Err(wrong(format!("is not supported; right is {right}"))),
        };
        let user = info.redis_settings().username().unwrap_or_default().to_owned();
        Ok((address, user, info.redis_settings().password().map(Secret::from)))
    }
}

impl Config {
    /// The configuration as TOML, secrets hidden.
    pub fn shown(&self) -> String {
        toml::to_string(self).unwrap_or_else(|error| format!("# cannot be shown: {error}\n"))
    }
}

#[cfg(test)]
mod tests;
