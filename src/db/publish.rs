//! What is published: ports to APPL_DB by the protocol of sonic-swss-common's `ProducerStateTable`, and the daemon's own rows.

use super::client::resp::{Reply, Request};
use super::error::{ServerError, ServerResult, StoreError, Trouble};
use super::queries::PortConfig;
use super::store::Client;
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
pub struct PublishOutcome {
    /// How many are to be tried again.
    pub refused: usize,
    /// What the server said of the first of them.
    pub reason: Option<ServerError>,
    /// Those that cannot be published: their temporary hash is of another type.
    pub wrong_type: Vec<usize>,
}

/// Publishes keys of `PORT_TABLE`.
pub async fn publish(appl: &Client, ports: &[PortConfig]) -> Result<PublishOutcome, StoreError> {
    // Redis forgets scripts when it restarts.
    let load = Request::new("SCRIPT").arg("LOAD").arg(SET);
    let name = appl.ask_one("cannot load the script for APPL_DB", load).await?.unwrap_or_default();
    let separator = appl.separator.as_bytes();
    let channel = format!("{PORT_TABLE}_CHANNEL@{}", appl.id);
    let key_set = format!("{PORT_TABLE}_KEY_SET");
    let request = |port: &PortConfig| {
        let fields = port.fields.count() / 2;
        let script = Request::new("EVALSHA").arg(&name).arg((fields + 2).to_string());
        let temporary = |request: Request, _| request.concat(&[b"_", PORT_TABLE.as_bytes(), separator, &port.name]);
        let request = (0..fields).fold(script.arg(&channel).arg(&key_set), temporary);
        request.arg("G").arg(&port.name).args(&port.fields)
    };
    let mut published = PublishOutcome::default();
    let take = |place: usize, reply: ServerResult<Reply<'_>>| {
        let Err(error) = reply else { return Ok(()) };
        match Trouble::of(&error) {
            Trouble::WrongType => published.wrong_type.push(place),
            Trouble::Lost => return Err(error),
            Trouble::NoScript | Trouble::Refused => {
                published.refused += 1;
                published.reason.get_or_insert(error);
            }
        }
        Ok(())
    };
    appl.pipeline("cannot publish ports to APPL_DB", ports.iter().map(request), take).await?;
    Ok(published)
}

/// Writes `restore_count`.
pub async fn write_restore_count(state: &Client, count: u64) -> Result<(), StoreError> {
    let key = tables::join("WARM_RESTART_TABLE", &state.separator, DAEMON.as_bytes());
    let request = Request::new("HSET").arg(key).arg("restore_count").arg(count.to_string());
    state.execute("cannot write restore_count to STATE_DB", request).await
}

/// Fills in what the daemon's row of `LOGGER` lacks, as every daemon of the switch does.
pub async fn complete_logger(config: &Client, missing: &[(&str, &str)]) -> Result<(), StoreError> {
    let key = tables::join("LOGGER", &config.separator, DAEMON.as_bytes());
    let set = |request: Request, (field, value): &(&str, &str)| request.arg(field).arg(value);
    let request = missing.iter().fold(Request::new("HSET").arg(key), set);
    config.execute("cannot create LOGGER|portsyncd in CONFIG_DB", request).await
}
