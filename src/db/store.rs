//! What is needed to connect, and a client of one database, so that none ever has another's database selected.

use std::borrow::Borrow;
use std::fmt;
use std::future::poll_fn;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::timeout;

use super::client::connection::{Connection, LARGEST_REPLY, endless};
use super::client::resp::{Reply, Request};
use super::error::{ServerError, ServerResult, StoreError};
use super::listener::Listener;
use super::topology::{Database, Topology};
use super::writer::RowWriter;
use crate::secret::Secret;

/// Commands of one connection under way at once.
const WINDOW: usize = 512;
/// What all replies together may have for each command, beside what a single one may.
const EACH: usize = 64 * 1024;
/// More keys than any table has.
const MOST_KEYS: usize = 1 << 20;
const CONNECT: &str = "cannot connect to Redis";

/// What is needed to connect.
#[derive(Clone, Debug)]
pub struct Store {
    /// Where the databases are.
    pub topology: Topology,
    /// Who we are, for servers of Redis 6 and later with users; empty: the default user.
    pub username: String,
    /// The password, if the server wants one.
    pub password: Option<Secret>,
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// How long an answer may take.
    pub response_timeout: Duration,
}

/// Asks one database.
pub struct Client {
    connection: Mutex<Connection>,
    response_timeout: Duration,
    /// The database's number.
    pub id: i64,
    /// What stands between the parts of its keys.
    pub separator: String,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Store {
    /// Opens a connection to write STATE_DB's rows over.
    pub async fn writer(&self) -> Result<RowWriter, StoreError> {
        let state = &self.topology.state;
        Ok(RowWriter::new(self.connect(state).await?, &state.separator, self.response_timeout))
    }

    /// Opens a connection that listens to this database's server.
    pub async fn listener(&self, database: &Database) -> Result<Listener, StoreError> {
        Ok(Listener::new(self.connect(database).await?, self.response_timeout))
    }

    async fn connect(&self, database: &Database) -> Result<Connection, StoreError> {
        let open = Connection::open(database, &self.username, self.password.as_ref().map(Secret::expose));
        timeout(self.connect_timeout, open)
            .await
            .unwrap_or_else(|_| Err(ServerError::Late("redis.connect_timeout")))
            .map_err(StoreError::doing(CONNECT))
    }

    /// Opens a connection to a database.
    pub async fn client(&self, database: &Database) -> Result<Client, StoreError> {
        Ok(Client {
            connection: Mutex::new(self.connect(database).await?),
            response_timeout: self.response_timeout,
            id: database.id,
            separator: database.separator.clone(),
        })
    }
}

impl Client {
    /// Sends all requests; gives each one's answer: bytes, a number as its digits, or nothing.
    pub async fn ask(
        &self,
        operation: &'static str,
        requests: &[Request],
    ) -> Result<Vec<ServerResult<Option<Vec<u8>>>>, StoreError> {
        let mut answers = Vec::with_capacity(requests.len());
        let take = |_: usize, reply: ServerResult<Reply<'_>>| {
            answers.push(reply.map(|reply| match reply {
                Reply::Integer(number) => Some(number.to_string().into_bytes()),
                reply => reply.bulk().map(<[u8]>::to_vec),
            }));
            Ok(())
        };
        self.pipeline(operation, requests, take).await?;
        Ok(answers)
    }

    /// Sends one request; gives its answer.
    pub async fn ask_one(&self, operation: &'static str, request: Request) -> Result<Option<Vec<u8>>, StoreError> {
        let answer = self.ask(operation, &[request]).await?.into_iter().next();
        answer.unwrap_or(Ok(None)).map_err(StoreError::doing(operation))
    }

    /// Sends a request whose answer says nothing but that it was done.
    pub async fn execute(&self, operation: &'static str, request: Request) -> Result<(), StoreError> {
        self.ask_one(operation, request).await.map(|_| ())
    }

    /// Sends all requests and hands on each one's place and reply, in order. However many there are, only so many are under
    /// way at once that neither side has to hold more than a few.
    pub(super) async fn pipeline(
        &self,
        operation: &'static str,
        requests: impl IntoIterator<Item: Borrow<Request>>,
        mut take: impl FnMut(usize, ServerResult<Reply<'_>>) -> ServerResult<()>,
    ) -> Result<(), StoreError> {
        let doing = StoreError::doing(operation);
        let mut connection = self.connection.lock().await;
        // Replies to a request that was given up half-way.
        let mut stale = connection.owed();
        let (mut requests, mut sent, mut answered) = (requests.into_iter().fuse(), 0, 0);
        let mut received = 0;
        loop {
            for request in requests.by_ref().take(WINDOW - (sent - answered)) {
                connection.push(request.borrow());
                sent += 1;
            }
            if sent == answered {
                return Ok(());
            }
            timeout(self.response_timeout, poll_fn(|context| connection.poll(context)))
                .await
                .unwrap_or(Err(ServerError::Late("redis.response_timeout")))
                .map_err(doing)?;
            while let Some(raw) = connection.take().map_err(doing)? {
                if stale > 0 {
                    stale -= 1;
                    continue;
                }
                received += raw.len();
                if received > LARGEST_REPLY + EACH * sent {
                    return Err(doing(endless()));
                }
                take(answered, Reply::of(raw)).map_err(doing)?;
                answered += 1;
            }
        }
    }

    /// All keys that begin with `prefix`, each once.
    pub async fn keys(&self, prefix: &[u8], operation: &'static str) -> Result<Vec<Vec<u8>>, StoreError> {
        let pattern = [&escape_glob(prefix), b"*".as_slice()].concat();
        let mut found = Vec::new();
        let mut cursor = b"0".to_vec();
        loop {
            let scan = Request::new("SCAN").arg(&cursor).arg("MATCH").arg(&pattern).arg("COUNT").arg("2000");
            let take = |_: usize, reply: ServerResult<Reply<'_>>| {
                let mut parts = reply?.parts();
                cursor = parts.next().transpose()?.and_then(Reply::bulk).unwrap_or_default().to_vec();
                for key in parts.next().transpose()?.map(Reply::parts).into_iter().flatten() {
                    found.extend(key?.bulk().map(<[u8]>::to_vec));
                }
                Ok(())
            };
            self.pipeline(operation, [scan], take).await?;
            if found.len() > MOST_KEYS {
                return Err(StoreError::doing(operation)(endless()));
            }
            if matches!(cursor.as_slice(), b"0" | b"") {
                found.sort_unstable();
                found.dedup();
                return Ok(found);
            }
        }
    }

    /// Gives the connection a name, if the server lets it.
    pub async fn set_name(&self, name: &str) -> Result<(), StoreError> {
        let request = Request::new("CLIENT").arg("SETNAME").arg(name);
        self.ask("cannot name a connection to Redis", &[request]).await.map(|_| ())
    }

    /// Whether the server tells of changes of hashes, as far as it lets itself be asked.
    pub async fn notifies(&self) -> Result<bool, StoreError> {
        let request = Request::new("CONFIG").arg("GET").arg("notify-keyspace-events");
        let mut notifies = false;
        let take = |_: usize, reply: ServerResult<Reply<'_>>| {
            // A user who may not ask is as good as a server that tells nothing.
            let flags = reply.ok().and_then(|reply| reply.parts().nth(1)).transpose()?.and_then(Reply::bulk);
            let has = |flag| flags.is_some_and(|flags| flags.contains(&flag));
            notifies = has(b'K') && (has(b'A') || has(b'h'));
            Ok(())
        };
        self.pipeline("cannot ask Redis for its notifications", [request], take).await?;
        Ok(notifies)
    }
}

/// A pattern that only this text matches.
pub fn escape_glob(text: &[u8]) -> Vec<u8> {
    let special = |byte: &u8| b"*?[]\\^".contains(byte);
    text.iter().flat_map(|byte| special(byte).then_some(b'\\').into_iter().chain([*byte])).collect()
}
