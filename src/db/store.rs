//! What is needed to connect, and a connection to one database, so that none ever has another's database selected.

use std::fmt;
use std::future::poll_fn;
use std::time::Duration;

use redis::{Pipeline, RedisResult, Value, from_redis_value, parse_redis_value};
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::error::{StoreError, late};
use super::listener::Listener;
use super::resp::{Reply, command, words};
use super::topology::{Database, Topology};
use super::wire::Wire;
use super::writer::Writer;

/// Commands of one connection under way at once.
const WINDOW: usize = 512;
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
pub struct Connection {
    wire: Mutex<Wire>,
    response_timeout: Duration,
    /// The database's number.
    pub id: i64,
    /// What stands between the parts of its keys.
    pub separator: String,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Store {
    /// Opens a connection to write STATE_DB's rows over.
    pub async fn writer(&self) -> Result<Writer, StoreError> {
        let state = &self.topology.state;
        Ok(Writer::new(self.wire(state).await?, &state.separator, self.response_timeout))
    }

    /// Opens a connection that listens to this database's server.
    pub async fn listener(&self, database: &Database) -> Result<Listener, StoreError> {
        Ok(Listener::new(self.wire(database).await?, self.response_timeout))
    }

    async fn wire(&self, database: &Database) -> Result<Wire, StoreError> {
        let open = Wire::open(database, &self.username, self.password.as_deref());
        timeout(self.connect_timeout, open)
            .await
            .unwrap_or_else(|_| Err(late("redis.connect_timeout")))
            .map_err(StoreError::doing(CONNECT))
    }

    /// Opens a connection to a database.
    pub async fn open(&self, database: &Database) -> Result<Connection, StoreError> {
        Ok(Connection {
            wire: Mutex::new(self.wire(database).await?),
            response_timeout: self.response_timeout,
            id: database.id,
            separator: database.separator.clone(),
        })
    }
}

impl Connection {
    /// Sends all commands in one write; gives each one's answer.
    pub async fn pipeline(
        &self,
        pipeline: &mut Pipeline,
        operation: &'static str,
    ) -> Result<Vec<RedisResult<Value>>, StoreError> {
        let count = pipeline.len();
        let mut answers = Vec::with_capacity(count);
        let packed = pipeline.get_packed_pipeline();
        let mut once = Some(packed);
        self.exchange(
            operation,
            count,
            |wire, _| {
                if let Some(packed) = once.take() {
                    wire.begin_many(count).extend_from_slice(&packed);
                }
                count
            },
            |_, raw| {
                answers.push(parse_redis_value(raw).and_then(Value::extract_error));
                Ok(())
            },
        )
        .await?;
        Ok(answers)
    }

    /// Sends a command for each of `items` and hands its reply on, in order. However many there are, only so many are under
    /// way at once that neither side has to hold more than a few.
    pub(super) async fn each<K>(
        &self,
        operation: &'static str,
        items: &[K],
        mut encode: impl FnMut(&mut Vec<u8>, &K),
        mut take: impl FnMut(&K, RedisResult<Reply<'_>>) -> RedisResult<()>,
    ) -> Result<(), StoreError> {
        self.exchange(
            operation,
            items.len(),
            |wire, at| {
                encode(wire.begin(), &items[at]);
                1
            },
            |at, raw| take(&items[at], Reply::of(raw)),
        )
        .await
    }

    /// `begin` appends the commands from the one of this number on, and says how many.
    async fn exchange(
        &self,
        operation: &'static str,
        count: usize,
        mut begin: impl FnMut(&mut Wire, usize) -> usize,
        mut take: impl FnMut(usize, &[u8]) -> RedisResult<()>,
    ) -> Result<(), StoreError> {
        let doing = StoreError::doing(operation);
        let mut wire = self.wire.lock().await;
        // Replies to a request that was given up half-way.
        let mut stale = wire.owed();
        let (mut begun, mut done) = (0, 0);
        while done < count {
            while begun < count && begun - done < WINDOW {
                begun += begin(&mut wire, begun);
            }
            timeout(self.response_timeout, poll_fn(|context| wire.poll(context)))
                .await
                .unwrap_or_else(|_| Err(late("redis.response_timeout")))
                .map_err(doing)?;
            while let Some(raw) = wire.take().map_err(doing)? {
                if stale > 0 {
                    stale -= 1;
                    continue;
                }
                take(done, raw).map_err(doing)?;
                done += 1;
            }
        }
        Ok(())
    }

    /// All keys that begin with `prefix`, each once.
    pub async fn keys(&self, prefix: &[u8], operation: &'static str) -> Result<Vec<Vec<u8>>, StoreError> {
        let pattern = [&escape_glob(prefix), b"*".as_slice()].concat();
        let mut found = Vec::new();
        let mut cursor = b"0".to_vec();
        loop {
            let mut next = Vec::new();
            let scan = |out: &mut Vec<u8>, cursor: &Vec<u8>| {
                let scan: [&[u8]; 6] = [b"SCAN", cursor, b"MATCH", &pattern, b"COUNT", b"2000"];
                command(out, scan.len());
                words(out, &scan);
            };
            self.each(operation, &[cursor], scan, |_, reply| {
                let mut parts = reply?.parts();
                next = parts.next().transpose()?.and_then(Reply::bulk).unwrap_or_default().to_vec();
                for key in parts.next().transpose()?.map(Reply::parts).into_iter().flatten() {
                    found.extend(key?.bulk().map(<[u8]>::to_vec));
                }
                Ok(())
            })
            .await?;
            if matches!(next.as_slice(), b"0" | b"") {
                found.sort_unstable();
                found.dedup();
                return Ok(found);
            }
            cursor = next;
        }
    }

    /// Whether the server tells of changes of hashes, as far as it lets itself be asked.
    pub async fn notifies(&self) -> Result<bool, StoreError> {
        let operation = "cannot ask Redis for its notifications";
        let mut pipeline = redis::pipe();
        pipeline.cmd("CONFIG").arg("GET").arg("notify-keyspace-events");
        let answer = self.pipeline(&mut pipeline, operation).await?.into_iter().next();
        let answer = answer.and_then(Result::ok).and_then(|value| from_redis_value::<Vec<String>>(value).ok());
        let flags = answer.unwrap_or_default().into_iter().nth(1).unwrap_or_default();
        Ok(flags.contains('K') && flags.contains(['A', 'h']))
    }
}

/// A pattern that only this text matches.
pub fn escape_glob(text: &[u8]) -> Vec<u8> {
    let special = |byte: &u8| b"*?[]\\^".contains(byte);
    text.iter().flat_map(|byte| special(byte).then_some(b'\\').into_iter().chain([*byte])).collect()
}
