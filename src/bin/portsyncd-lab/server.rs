//! Which Redis: the command line's options, turned into a client for each database.

use std::path::PathBuf;

use anyhow::{Context, bail};
use portsyncd::db::topology::{Address, Database, Topology};
use redis::{Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo};

/// Where `SONiC`'s databases are; without any of these, where a switch has them.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct ServerArgs {
    /// Unix socket of the Redis server
    #[arg(long, value_name = "PATH", conflicts_with = "redis_url")]
    redis_socket: Option<PathBuf>,
    /// The Redis server as a URL: `unix:///path` or `redis://[user:password@]host:port`
    #[arg(long, value_name = "URL")]
    redis_url: Option<String>,
    /// `database_config.json` of the switch: numbers, separators and instances
    #[arg(long, value_name = "FILE")]
    database_config: Option<PathBuf>,
}

/// The databases and how to reach them.
#[derive(Debug)]
pub struct Server {
    /// Numbers and separators.
    pub topology: Topology,
    /// One server for all databases, whatever the topology says.
    everywhere: Option<ConnectionInfo>,
}

impl ServerArgs {
    /// Reads the database configuration, if one is named.
    pub fn resolve(&self) -> anyhow::Result<Server> {
        let topology = match &self.database_config {
            Some(path) => Topology::load(path, "").context("--database-config")?,
            None => Topology::default(),
        };
        let everywhere = match (&self.redis_socket, &self.redis_url) {
            (Some(path), _) => Some(ConnectionAddr::Unix(path.clone()).into_connection_info()?),
            (None, Some(url)) => Some(
                url.as_str()
                    .into_connection_info()
                    .with_context(|| format!("--redis-url {url:?}: wanted is unix:///path or redis://host:port"))?,
            ),
            (None, None) => None,
        };
        Ok(Server { topology, everywhere })
    }
}

impl Server {
    /// A client for this database.
    pub fn client(&self, database: &Database) -> anyhow::Result<Client> {
        let info = match (&self.everywhere, &database.address) {
            (Some(info), _) => info.clone(),
            (None, Address::Unix(path)) => ConnectionAddr::Unix(path.clone()).into_connection_info()?,
            (None, Address::Tcp(host, port)) => ConnectionAddr::Tcp(host.clone(), *port).into_connection_info()?,
            (None, Address::Tls(..)) => {
                bail!("{}: the laboratory does not speak TLS", database.address)
            }
        };
        let settings = info.redis_settings().clone().set_db(database.id);
        Ok(Client::open(info.set_redis_settings(settings))?)
    }
}
