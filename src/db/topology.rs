//! Where the databases are: `database_config.json`, and `database_global.json` beside it for switches of several ASICs.
//!
//! Ids, separators and instances are the file's; nothing is assumed where it speaks. Without a file `SONiC`'s own
//! defaults hold. Source of the format: sonic-swss-common, `common/dbconnector.cpp`.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use thiserror::Error;

const GLOBAL: &str = "database_global.json";
const DEFAULT_SOCKET: &str = "/var/run/redis/redis.sock";

/// How a server is reached.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    Unix(PathBuf),
    /// Plain TCP: host and port.
    Tcp(String, u16),
    /// TLS over TCP: host and port.
    Tls(String, u16),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp(host, port) => write!(f, "redis://{host}:{port}"),
            Self::Tls(host, port) => write!(f, "rediss://{host}:{port}"),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Database {
    /// `APPL_DB`, `CONFIG_DB` or `STATE_DB`.
    pub name: &'static str,
    /// Its number on the server.
    pub id: i64,
    /// What stands between the parts of a key.
    pub separator: String,
    pub address: Address,
}

/// The three databases that the daemon uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topology {
    pub appl: Database,
    /// What the operator configured.
    pub config: Database,
    pub state: Database,
}

/// A file of databases that cannot be used.
#[derive(Debug, Error)]
pub enum TopologyError {
    #[error("cannot read {}", .path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{} is no database configuration", .path.display())]
    Format { path: PathBuf, source: serde_json::Error },
    /// Of the format, but something is missing or wrong.
    #[error("{}: {key}: {problem}", .path.display())]
    Content { path: PathBuf, key: String, problem: String },
}

#[derive(Deserialize)]
struct File {
    #[serde(rename = "INSTANCES")]
    instances: HashMap<String, Instance>,
    #[serde(rename = "DATABASES")]
    databases: HashMap<String, DatabaseEntry>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Instance {
    hostname: String,
    port: u16,
    unix_socket_path: String,
}

#[derive(Deserialize)]
struct DatabaseEntry {
    id: i64,
    separator: String,
    instance: String,
}

#[derive(Deserialize)]
struct Global {
    #[serde(rename = "INCLUDES")]
    includes: Vec<Include>,
}

#[derive(Deserialize)]
struct Include {
    #[serde(rename = "include")]
    path: PathBuf,
    #[serde(default)]
    namespace: String,
    #[serde(default)]
    container_name: String,
}

impl Default for Topology {
    fn default() -> Self {
        let database = |name, id, separator: &str| Database {
            name,
            id,
            separator: separator.to_owned(),
            address: Address::Unix(PathBuf::from(DEFAULT_SOCKET)),
        };
        Self {
            appl: database("APPL_DB", 0, ":"),
            config: database("CONFIG_DB", 4, "|"),
            state: database("STATE_DB", 6, "|"),
        }
    }
}

impl Topology {
    /// Reads the file, or for a `namespace` the one that `database_global.json` beside it names.
    pub fn load(path: &Path, namespace: &str) -> Result<Self, TopologyError> {
        if namespace.is_empty() {
            return Self::read(path);
        }
        let global_path = path.with_file_name(GLOBAL);
        let global: Global = read_json(&global_path)?;
        let names = |include: &Include| [include.namespace.clone(), include.container_name.clone()];
        if let Some(include) =
            global.includes.iter().find(|include| names(include).iter().any(|name| name == namespace))
        {
            return Self::read(&global_path.with_file_name("").join(&include.path));
        }
        let known: Vec<String> = global.includes.iter().flat_map(names).filter(|name| !name.is_empty()).collect();
        let problem = format!("no namespace {namespace:?}; there are {known:?}");
        Err(TopologyError::Content { path: global_path, key: "INCLUDES".to_owned(), problem })
    }

    /// The same databases on another server.
    #[must_use]
    pub fn at(mut self, address: &Address) -> Self {
        for database in [&mut self.appl, &mut self.config, &mut self.state] {
            database.address = address.clone();
        }
        self
    }

    fn read(path: &Path) -> Result<Self, TopologyError> {
        let file: File = read_json(path)?;
        let find = |name: &'static str| {
            let wrong = |key: String, problem: String| TopologyError::Content { path: path.to_owned(), key, problem };
            let entry = file.databases.get(name).ok_or_else(|| {
                wrong("DATABASES".to_owned(), format!("{name} is missing; it needs id, separator and instance"))
            })?;
            let instance = file.instances.get(&entry.instance).ok_or_else(|| {
                let problem = format!("no instance {:?}; there are {:?}", entry.instance, file.instances.keys());
                wrong(format!("DATABASES.{name}.instance"), problem)
            })?;
            if entry.id < 0 {
                let problem = format!("{} is no database, 0 or more is", entry.id);
                return Err(wrong(format!("DATABASES.{name}.id"), problem));
            }
            let address = if !instance.unix_socket_path.is_empty() {
                Address::Unix(PathBuf::from(&instance.unix_socket_path))
            } else if !instance.hostname.is_empty() && instance.port != 0 {
                Address::Tcp(instance.hostname.clone(), instance.port)
            } else {
                let problem = "neither unix_socket_path nor hostname and port are set";
                return Err(wrong(format!("INSTANCES.{}", entry.instance), problem.to_owned()));
            };
            Ok(Database { name, id: entry.id, separator: entry.separator.clone(), address })
        };
        Ok(Self { appl: find("APPL_DB")?, config: find("CONFIG_DB")?, state: find("STATE_DB")? })
    }
}

fn read_json<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<T, TopologyError> {
    let text = std::fs::read(path).map_err(|source| TopologyError::Read { path: path.to_owned(), source })?;
    serde_json::from_slice(&text).map_err(|source| TopologyError::Format { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MULTI: &str = r#"{
        "INSTANCES": {
            "redis": {"hostname": "127.0.0.1", "port": 6379, "unix_socket_path": "/run/redis/redis.sock", "persistence_for_warm_boot": "yes"},
            "redis1": {"hostname": "10.0.0.9", "port": 6380, "unix_socket_path": ""}
        },
        "DATABASES": {
            "APPL_DB": {"id": 0, "separator": ":", "instance": "redis1"},
            "CONFIG_DB": {"id": 4, "separator": "|", "instance": "redis"},
            "STATE_DB": {"id": 16, "separator": "/", "instance": "redis"}
        },
        "VERSION": "1.0"
    }"#;

    fn error(text: &str) -> String {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("database_config.json");
        std::fs::write(&path, text).unwrap();
        Topology::load(&path, "").unwrap_err().to_string()
    }

    #[test]
    fn the_files_ids_separators_and_instances_hold() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("database_config.json");
        std::fs::write(&path, MULTI).unwrap();
        let topology = Topology::load(&path, "").unwrap();
        assert_eq!(topology.appl.address, Address::Tcp("10.0.0.9".to_owned(), 6380));
        assert_eq!(topology.config.address, Address::Unix("/run/redis/redis.sock".into()));
        assert_eq!((topology.state.id, topology.state.separator.as_str()), (16, "/"));
    }

    #[test]
    fn a_namespace_is_found_by_the_global_file_relative_to_itself() {
        let dir = tempfile::tempdir().unwrap();
        let sub = dir.path().join("redis0/sonic-db");
        std::fs::create_dir_all(&sub).unwrap();
        std::fs::write(sub.join("database_config.json"), MULTI).unwrap();
        let home = dir.path().join("redis/sonic-db");
        std::fs::create_dir_all(&home).unwrap();
        let global = r#"{"INCLUDES": [{"include": "database_config.json"},
            {"namespace": "asic0", "include": "../../redis0/sonic-db/database_config.json"}], "VERSION": "1.0"}"#;
        std::fs::write(home.join(GLOBAL), global).unwrap();
        let path = home.join("database_config.json");
        assert_eq!(Topology::load(&path, "asic0").unwrap().state.id, 16);
        let message = Topology::load(&path, "asic7").unwrap_err().to_string();
        assert!(message.contains("asic7") && message.contains("asic0"), "{message}");
    }

    #[test]
    fn errors_name_file_and_key() {
        assert!(error("{").contains("no database configuration"));
        assert!(error(r#"{"INSTANCES": {}, "DATABASES": {}}"#).contains("APPL_DB is missing"));
        assert!(
            error(&MULTI.replace("\"instance\": \"redis1\"", "\"instance\": \"x\""))
                .contains("DATABASES.APPL_DB.instance")
        );
        assert!(error(&MULTI.replace("6380", "0")).contains("INSTANCES.redis1"));
        assert!(error(&MULTI.replace("16", "-1")).contains("DATABASES.STATE_DB.id"));
    }
}
