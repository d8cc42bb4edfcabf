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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use redis::Commands;

    use super::super::producer::Producer;
    use super::super::redis_server::{APPL_DB, RedisServer};
    use super::*;

    #[test]
    fn merges_fields_and_removes_the_temporary_hash() {
        let server = RedisServer::start().unwrap();
        let mut db = server.client(APPL_DB).unwrap();
        let producer = Producer::new(APPL_DB, ":");
        let () = db.hset("PORT_TABLE:Ethernet0", "oper_status", "up").unwrap();
        producer.set(&mut db, "Ethernet0", &[("mtu", "9100"), ("lanes", "1,2")]).unwrap();
        let popped = pop_now(&mut db, ":", BATCH).unwrap();
        assert_eq!(popped.len(), 1);
        assert_eq!((popped[0].op, popped[0].get("lanes")), (Op::Set, Some("1,2")));
        let row: BTreeMap<String, String> = db.hgetall("PORT_TABLE:Ethernet0").unwrap();
        assert_eq!(row.len(), 3);
        let keys: Vec<String> = db.keys("*").unwrap();
        assert_eq!(keys, ["PORT_TABLE:Ethernet0"]);
        assert_eq!(pop_now(&mut db, ":", BATCH).unwrap(), []);
    }

    #[test]
    fn a_removal_followed_by_a_set_is_both() {
        let server = RedisServer::start().unwrap();
        let mut db = server.client(APPL_DB).unwrap();
        let producer = Producer::new(APPL_DB, ":");
        let () = db.hset("PORT_TABLE:Ethernet0", "old", "1").unwrap();
        producer.del(&mut db, "Ethernet0").unwrap();
        producer.set(&mut db, "Ethernet0", &[("mtu", "1500")]).unwrap();
        let ops: Vec<Op> = pop_now(&mut db, ":", BATCH).unwrap().iter().map(|e| e.op).collect();
        assert_eq!(ops, [Op::Del, Op::Set]);
        let row: BTreeMap<String, String> = db.hgetall("PORT_TABLE:Ethernet0").unwrap();
        assert_eq!(row, BTreeMap::from([("mtu".to_owned(), "1500".to_owned())]));
    }

    #[test]
    fn pops_no_more_than_the_batch_and_uses_the_separator() {
        let server = RedisServer::start().unwrap();
        let mut db = server.client(APPL_DB).unwrap();
        let producer = Producer::new(APPL_DB, "|");
        for n in 0..5 {
            producer.set(&mut db, &format!("Ethernet{n}"), &[("mtu", "1")]).unwrap();
        }
        assert_eq!(pop_now(&mut db, "|", 3).unwrap().len(), 3);
        assert_eq!(pop_now(&mut db, "|", 3).unwrap().len(), 2);
        let there: bool = db.exists("PORT_TABLE|Ethernet4").unwrap();
        assert!(there);
    }

    #[tokio::test]
    async fn is_woken_by_the_channel_and_fails_when_the_server_goes() {
        let mut server = RedisServer::start().unwrap();
        let client = Client::open(server.connection_info(APPL_DB).unwrap()).unwrap();
        let mut consumer = Consumer::open(&client, ":").await.unwrap();
        assert_eq!(consumer.pop().await.unwrap(), []);
        let mut db = server.client(APPL_DB).unwrap();
        let producer = Producer::new(APPL_DB, ":");
        let publish = async { producer.set(&mut db, "PortConfigDone", &[("count", "8")]) };
        let limit = Duration::from_secs(10);
        let both = async { tokio::join!(consumer.next(), publish) };
        let (popped, published) = tokio::time::timeout(limit, both).await.unwrap();
        published.unwrap();
        assert_eq!(popped.unwrap()[0].get("count"), Some("8"));
        server.kill();
        let end = tokio::time::timeout(limit, consumer.next()).await.unwrap();
        assert!(end.is_err());
    }
}
