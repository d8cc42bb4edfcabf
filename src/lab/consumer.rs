//! The reading side of `APPL_DB`'s `PORT_TABLE`, as orchagent has it: `SONiC`'s `ConsumerStateTable`.
//!
//! A producer leaves the names of changed keys in `PORT_TABLE_KEY_SET`, their fields in `_PORT_TABLE:<key>`, and says so on
//! a channel. The consumer pops names in random order, merges the fields into `PORT_TABLE:<key>` and removes the temporary
//! hash, all in one script; only then do other daemons see the row. Keys that are popped while nobody listened are found at
//! once: [`Consumer::next`] looks before it waits.

use std::time::Duration;

use futures_util::StreamExt;
use redis::aio::{MultiplexedConnection, PubSub};
use redis::{AsyncConnectionConfig, Client, ConnectionLike, Script};

use super::Error;

/// The most keys popped at once, as orchagent does.
pub const BATCH: usize = 1024;

/// KEYS: key set, table with separator, set of removals. ARGV: batch size, prefix of temporary hashes.
/// A removal followed by a set gives two entries, the removal first.
const POPS: &str = "
local result = {}
local keys = redis.call('SPOP', KEYS[1], ARGV[1])
for _, key in ipairs(keys) do
  local row = KEYS[2] .. key
  local temporary = ARGV[2] .. row
  local removed = redis.call('SREM', KEYS[3], key)
  if removed == 1 then redis.call('DEL', row) end
  local fields = redis.call('HGETALL', temporary)
  if removed == 1 and #fields > 0 then table.insert(result, {key, {}}) end
  table.insert(result, {key, fields})
  for i = 1, #fields, 2 do redis.call('HSET', row, fields[i], fields[i + 1]) end
  redis.call('DEL', temporary)
end
return result";

/// What happened to a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    Set,
    Del,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The key, such as `Ethernet4` or `PortConfigDone`.
    pub key: String,
    pub op: Op,
    /// The fields that were set, in Redis' order; empty for a removal.
    pub fields: Vec<(String, String)>,
}

impl Entry {
    /// The value of `field`, if it was set.
    pub fn get(&self, field: &str) -> Option<&str> {
        let (_, value) = self.fields.iter().find(|(name, _)| name == field)?;
        Some(value)
    }
}

/// Popped keys as the script gives them: key and its fields, flat.
type Popped = Vec<(Vec<u8>, Vec<Vec<u8>>)>;

fn entries(popped: Popped) -> Vec<Entry> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    popped
        .into_iter()
        .map(|(key, flat)| Entry {
            key: text(&key),
            op: if flat.is_empty() { Op::Del } else { Op::Set },
            fields: flat.chunks_exact(2).map(|pair| (text(&pair[0]), text(&pair[1]))).collect(),
        })
        .collect()
}

/// Pops what is there, at most `batch` keys, over a blocking connection.
pub fn pop_now(appl_db: &mut impl ConnectionLike, separator: &str, batch: usize) -> Result<Vec<Entry>, Error> {
    let script = Script::new(POPS);
    let popped: Popped = invocation(&script, separator, batch).invoke(appl_db)?;
    Ok(entries(popped))
}

fn invocation<'a>(script: &'a Script, separator: &str, batch: usize) -> redis::ScriptInvocation<'a> {
    let mut call = script.key("PORT_TABLE_KEY_SET");
    call.key(format!("PORT_TABLE{separator}")).key("PORT_TABLE_DEL_SET").arg(batch).arg("_");
    call
}

/// A consumer that is woken by the channel. It ends with the connection: an error means open another.
pub struct Consumer {
    connection: MultiplexedConnection,
    wakes: PubSub,
    script: Script,
    separator: String,
}

impl Consumer {
    /// Connects and subscribes. `client` must name `APPL_DB`'s number, which is also part of the channel's name.
    pub async fn open(client: &Client, separator: &str) -> Result<Self, Error> {
        let db = client.get_connection_info().redis_settings().db();
        let mut wakes = client.get_async_pubsub().await?;
        wakes.subscribe(format!("PORT_TABLE_CHANNEL@{db}")).await?;
        Ok(Self {
            connection: client.get_multiplexed_async_connection_with_config(&patient()).await?,
            wakes,
            script: Script::new(POPS),
            separator: separator.to_owned(),
        })
    }

    /// Pops what is there, at most [`BATCH`] keys.
    pub async fn pop(&mut self) -> Result<Vec<Entry>, Error> {
        let popped: Popped =
            invocation(&self.script, &self.separator, BATCH).invoke_async(&mut self.connection).await?;
        Ok(entries(popped))
    }

    /// Pops what is there, or waits until something is. Cancel safe but for a pop under way, whose keys are then in
    /// `PORT_TABLE` unseen; so drop it only to end.
    pub async fn next(&mut self) -> Result<Vec<Entry>, Error> {
        loop {
            let popped = self.pop().await?;
            if !popped.is_empty() {
                return Ok(popped);
            }
            self.wake().await?;
        }
    }

    /// Waits until the producer says that there is something; cancel safe, so [`Self::pop`] can follow in a `select!`.
    pub async fn wake(&mut self) -> Result<(), Error> {
        match self.wakes.on_message().next().await {
            Some(_) => Ok(()),
            None => Err(closed().into()),
        }
    }
}

/// A busy machine may take seconds for an answer, and keys of a pop whose answer is given up are lost.
pub fn patient() -> AsyncConnectionConfig {
    let limit = Some(Duration::from_secs(30));
    AsyncConnectionConfig::new().set_connection_timeout(limit).set_response_timeout(limit)
}

pub(super) fn closed() -> redis::RedisError {
    std::io::Error::new(std::io::ErrorKind::BrokenPipe, "the server closed the subscription").into()
}
