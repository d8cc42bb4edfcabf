//! The connections: one for each database, so that none ever has another's database selected, and one for each server
//! that listens to keyspace notifications and notices at once when the server goes away.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::{BoxStream, SelectAll};
use redis::aio::{MultiplexedConnection, PubSubSink};
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ErrorKind, IntoConnectionInfo, Msg, Pipeline, RedisConnectionInfo,
    RedisError, RedisResult, Value,
};
use tokio::time::timeout;

use super::error::StoreError;
use super::stream::connect;
use super::topology::{Address, Database, Topology};
use super::writer::Writer;

const CONNECT: &str = "cannot connect to Redis";

/// What is needed to connect.
#[derive(Clone, Debug)]
pub struct Store {
    /// Where the databases are.
    pub topology: Topology,
    /// Who we are, for servers of Redis 6 and later with users; empty: the default user.
    pub username: String,
    /// The password, if the server wants one.
    pub password: Option<String>,
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// How long an answer may take.
    pub response_timeout: Duration,
}

/// A connection to one database.
#[derive(Clone)]
pub struct Connection {
    redis: MultiplexedConnection,
    /// The database's number.
    pub id: i64,
    /// What stands between the parts of its keys.
    pub separator: String,
}

/// What a server told a listener.
#[derive(Debug)]
pub enum Heard {
    /// Something happened on this channel.
    Channel(Vec<u8>),
    /// The server has gone.
    Gone,
}

/// One connection for each database, as long as they last.
pub struct Session {
    /// APPL_DB.
    pub appl: Connection,
    /// CONFIG_DB.
    pub config: Connection,
    /// STATE_DB.
    pub state: Connection,
}

/// What listens to the servers.
pub struct Listeners {
    /// Subscribes on APPL_DB's server.
    pub appl: PubSubSink,
    /// Subscribes on CONFIG_DB's server.
    pub config: PubSubSink,
    /// What the servers tell.
    pub heard: SelectAll<BoxStream<'static, Heard>>,
}

impl Store {
    /// Connects to all databases.
    pub async fn connect(&self) -> Result<(Session, Listeners, Writer), StoreError> {
        let topology = &self.topology;
        let (appl_listener, appl_heard) = self.listen(&topology.appl).await?;
        let (config_listener, config_heard) = self.listen(&topology.config).await?;
        let mut heard = SelectAll::new();
        heard.push(appl_heard);
        heard.push(config_heard);
        if topology.state.address != topology.appl.address && topology.state.address != topology.config.address {
            let (state_listener, state_heard) = self.listen(&topology.state).await?;
            // Its subscriptions are none, but its end tells of the server's.
            heard.push(
                state_heard
                    .map(move |heard| {
                        let _ = &state_listener;
                        heard
                    })
                    .boxed(),
            );
        }
        let session = Session {
            appl: self.open(&topology.appl).await?,
            config: self.open(&topology.config).await?,
            state: self.open(&topology.state).await?,
        };
        let writer = self.writer().await?;
        Ok((session, Listeners { appl: appl_listener, config: config_listener, heard }, writer))
    }

    /// Opens a connection to write STATE_DB's rows over.
    pub async fn writer(&self) -> Result<Writer, StoreError> {
        let database = &self.topology.state;
        let open = async {
            let stream = connect(&database.address).await.map_err(|error| StoreError::doing(CONNECT)(error.into()))?;
            Writer::open(stream, database, &self.username, self.password.as_deref(), self.response_timeout).await
        };
        timeout(self.connect_timeout, open).await.unwrap_or_else(|_| Err(StoreError::doing(CONNECT)(late())))
    }

    fn client(&self, database: &Database) -> Result<Client, StoreError> {
        let address = match &database.address {
            Address::Unix(path) => ConnectionAddr::Unix(path.clone()),
            Address::Tcp(host, port) => ConnectionAddr::Tcp(host.clone(), *port),
            Address::Tls(host, port) => {
                ConnectionAddr::TcpTls { host: host.clone(), port: *port, insecure: false, tls_params: None }
            }
        };
        let mut settings = RedisConnectionInfo::default().set_db(database.id).set_skip_set_lib_name();
        if let Some(password) = &self.password {
            settings = settings.set_password(password);
            if !self.username.is_empty() {
                settings = settings.set_username(&self.username);
            }
        }
        let doing = StoreError::doing("cannot prepare the connection to Redis");
        let info = address.into_connection_info().map_err(doing)?.set_redis_settings(settings);
        Client::open(info).map_err(doing)
    }

    async fn open(&self, database: &Database) -> Result<Connection, StoreError> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.connect_timeout))
            .set_response_timeout(Some(self.response_timeout));
        let redis = self
            .client(database)?
            .get_multiplexed_async_connection_with_config(&config)
            .await
            .map_err(StoreError::doing(CONNECT))?;
        Ok(Connection { redis, id: database.id, separator: database.separator.clone() })
    }

    async fn listen(&self, database: &Database) -> Result<(PubSubSink, BoxStream<'static, Heard>), StoreError> {
        let doing = StoreError::doing(CONNECT);
        let client = self.client(database)?;
        let pubsub = timeout(self.connect_timeout, client.get_async_pubsub()).await;
        let (sink, stream) = pubsub.unwrap_or_else(|_| Err(late())).map_err(doing)?.split();
        let channel = |message: Msg| Heard::Channel(message.get_channel_name().as_bytes().to_vec());
        let heard = stream.map(channel).chain(futures_util::stream::once(async { Heard::Gone }));
        Ok((sink, heard.boxed()))
    }
}

impl Connection {
    /// Sends all commands in one write; gives each one's answer.
    pub async fn pipeline(
        &self,
        pipeline: &mut Pipeline,
        operation: &'static str,
    ) -> Result<Vec<RedisResult<Value>>, StoreError> {
        if pipeline.is_empty() {
            return Ok(Vec::new());
        }
        let mut redis = self.redis.clone();
        pipeline.ignore_errors().query_async(&mut redis).await.map_err(StoreError::doing(operation))
    }

    /// All keys that begin with `prefix`, each once.
    pub async fn keys(&self, prefix: &[u8], operation: &'static str) -> Result<Vec<Vec<u8>>, StoreError> {
        let mut redis = self.redis.clone();
        let pattern = [&escape_glob(prefix), b"*".as_slice()].concat();
        let mut found = std::collections::BTreeSet::new();
        let mut cursor = 0u64;
        loop {
            let mut scan = redis::cmd("SCAN");
            scan.arg(cursor).arg("MATCH").arg(&pattern).arg("COUNT").arg(1000);
            let (next, keys): (u64, Vec<Vec<u8>>) =
                scan.query_async(&mut redis).await.map_err(StoreError::doing(operation))?;
            found.extend(keys);
            cursor = next;
            if cursor == 0 {
                return Ok(found.into_iter().collect());
            }
        }
    }

    /// The channel on which the server tells of changes of a key of this database.
    pub fn keyspace_channel(&self, key: &[u8]) -> Vec<u8> {
        [format!("__keyspace@{}__:", self.id).as_bytes(), key].concat()
    }

    /// Whether the server tells of changes of hashes, as far as it lets itself be asked.
    pub async fn notifies(&self) -> bool {
        let mut redis = self.redis.clone();
        let answer: RedisResult<Vec<String>> =
            redis::cmd("CONFIG").arg("GET").arg("notify-keyspace-events").query_async(&mut redis).await;
        let flags = answer.ok().and_then(|answer| answer.into_iter().nth(1)).unwrap_or_default();
        flags.contains('K') && flags.contains(['A', 'h'])
    }
}

/// Subscribes to channels, or ends it; nothing is sent for none.
pub async fn subscribe(mut sink: PubSubSink, channels: Vec<Vec<u8>>) -> Result<(), StoreError> {
    if channels.is_empty() {
        return Ok(());
    }
    sink.subscribe(channels).await.map_err(StoreError::doing("cannot subscribe to keyspace notifications"))
}

/// See [`subscribe`].
pub async fn unsubscribe(mut sink: PubSubSink, channels: Vec<Vec<u8>>) -> Result<(), StoreError> {
    if channels.is_empty() {
        return Ok(());
    }
    sink.unsubscribe(channels).await.map_err(StoreError::doing("cannot unsubscribe from keyspace notifications"))
}

/// Subscribes to all channels of a pattern.
pub async fn subscribe_pattern(mut sink: PubSubSink, pattern: Vec<u8>) -> Result<(), StoreError> {
    sink.psubscribe(pattern).await.map_err(StoreError::doing("cannot subscribe to keyspace notifications"))
}

fn late() -> RedisError {
    (ErrorKind::Io, "no answer within redis.connect_timeout").into()
}

fn escape_glob(text: &[u8]) -> Vec<u8> {
    let special = |byte: &u8| b"*?[]\\^".contains(byte);
    text.iter().flat_map(|byte| special(byte).then_some(b'\\').into_iter().chain([*byte])).collect()
}
