//! What is published: ports to APPL_DB by the protocol of sonic-swss-common's `ProducerStateTable`, and the daemon's own rows.

use redis::{RedisError, RedisResult, Script};

use super::client::resp::{Reply, Request, command, word, words};
use super::error::{StoreError, Trouble};
use super::queries::PortConfig;
use super::store::Connection;
use super::tables::{self, DAEMON, PORT_TABLE};

/// The protocol's script: the key joins the set of changed keys, its fields go into a temporary hash, and the consumer is
/// woken if the key was not in the set yet. Every key from the third on names that hash, once for each field. Calls are what
/// a script costs, so the fields go in by one; Lua's `unpack` takes some thousands.
const SET: &str = "\
local added = redis.call('SADD', KEYS[2], ARGV[2])
for i = 3, #ARGV, 1000 do
    redis.call('HSET', KEYS[3], unpack(ARGV, i, math.min(i + 999, #ARGV)))
end
if added > 0 then
    redis.call('PUBLISH', KEYS[1], ARGV[1])
end
";

/// What came of publishing several keys.
#[derive(Debug, Default)]
pub struct Published {
    /// How many are to be tried again.
    pub refused: usize,
    /// What the server said of the first of them.
    pub reason: Option<RedisError>,
    /// Those that cannot be published: their temporary hash is of another type.
    pub broken: Vec<usize>,
}

/// Makes sure that the server knows the script. Redis forgets scripts when it restarts.
pub async fn load_script(appl: &Connection) -> Result<(), StoreError> {
    appl.tell("cannot load the script for APPL_DB", Request::new("SCRIPT").arg("LOAD").arg(SET)).await
}

/// Publishes keys of `PORT_TABLE`.
pub async fn publish(appl: &Connection, ports: &[PortConfig]) -> Result<Published, StoreError> {
    let script = Script::new(SET);
    let separator = appl.separator.as_bytes();
    let channel = format!("{PORT_TABLE}_CHANNEL@{}", appl.id);
    let key_set = format!("{PORT_TABLE}_KEY_SET");
    let call = |out: &mut Vec<u8>, port: &PortConfig| {
        command(out, 7 + 3 * port.fields);
        let keys = itoa::Buffer::new().format(port.fields + 2).to_owned();
        words(out, &["EVALSHA", script.get_hash(), &keys, &channel, &key_set]);
        for _ in 0..port.fields {
            word(out, &[b"_", PORT_TABLE.as_bytes(), separator, &port.name]);
        }
        words(out, &[b"G", port.name.as_slice()]);
        out.extend_from_slice(&port.words);
    };
    let mut published = Published::default();
    let mut places = 0..;
    let take = |_: &PortConfig, reply: RedisResult<Reply<'_>>| {
        let place = places.next().unwrap_or_default();
        let Err(error) = reply else { return Ok(()) };
        match Trouble::of(&error) {
            Trouble::WrongType => published.broken.push(place),
            Trouble::Lost => return Err(error),
            Trouble::NoScript | Trouble::Refused => {
                published.refused += 1;
                published.reason.get_or_insert(error);
            }
        }
        Ok(())
    };
    appl.each("cannot publish ports to APPL_DB", ports, call, take).await?;
    Ok(published)
}

/// Writes `restore_count`.
pub async fn write_restore_count(state: &Connection, count: u64) -> Result<(), StoreError> {
    let key = tables::join("WARM_RESTART_TABLE", &state.separator, DAEMON.as_bytes());
    let request = Request::new("HSET").arg(key).arg("restore_count").arg(count.to_string());
    state.tell("cannot write restore_count to STATE_DB", request).await
}

/// Fills in what the daemon's row of `LOGGER` lacks, as every daemon of the switch does.
pub async fn complete_logger(config: &Connection, missing: &[(&str, &str)]) -> Result<(), StoreError> {
    let key = tables::join("LOGGER", &config.separator, DAEMON.as_bytes());
    let set = |request: Request, (field, value): &(&str, &str)| request.arg(field).arg(value);
    let request = missing.iter().fold(Request::new("HSET").arg(key), set);
    config.tell("cannot create LOGGER|portsyncd in CONFIG_DB", request).await
}
