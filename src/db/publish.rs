//! What is published: ports to APPL_DB by the protocol of sonic-swss-common's `ProducerStateTable`, and the daemon's own rows.

use redis::{Pipeline, RedisError, RedisResult, Script, Value, pipe};

use super::error::{StoreError, Trouble};
use super::read::PortConfig;
use super::store::{Connection, Session};
use super::table::{self, CONFIG_PORT, DAEMON, PORT_TABLE};

/// The protocol's own script: the key joins the set of changed keys, its fields go into a temporary hash, and the consumer
/// is woken if the key was not in the set yet.
const SET: &str = "\
local added = redis.call('SADD', KEYS[2], ARGV[2])
for i = 0, #KEYS - 3 do
    redis.call('HSET', KEYS[3 + i], ARGV[3 + i * 2], ARGV[4 + i * 2])
end
if added > 0 then
    redis.call('PUBLISH', KEYS[1], ARGV[1])
end
";

/// What came of publishing several keys.
#[derive(Debug, Default)]
pub struct Published {
    /// Those to try again, by their place, with what the server said of the first.
    pub refused: Vec<usize>,
    /// What the server said of the first of them.
    pub reason: Option<RedisError>,
    /// Those that cannot be published: their temporary hash is of another type.
    pub broken: Vec<usize>,
}

impl Session {
    /// Makes sure that the server knows the script. Redis forgets scripts when it restarts.
    pub async fn load_script(&self) -> Result<(), StoreError> {
        let mut pipeline = pipe();
        pipeline.cmd("SCRIPT").arg("LOAD").arg(SET);
        let answers = self.appl.pipeline(&mut pipeline, "cannot load the script for APPL_DB").await?;
        first(answers, "cannot load the script for APPL_DB").map(|_| ())
    }

    /// Publishes keys of `PORT_TABLE`, all in one pipeline.
    pub async fn publish(&self, ports: &[PortConfig]) -> Result<Published, StoreError> {
        let script = Script::new(SET);
        let mut pipeline = pipe();
        for port in ports {
            add_set(&mut pipeline, &self.appl, script.get_hash(), port);
        }
        let answers = self.appl.pipeline(&mut pipeline, "cannot publish ports to APPL_DB").await?;
        let mut published = Published::default();
        for (at, answer) in answers.into_iter().enumerate() {
            let Err(error) = answer else { continue };
            match Trouble::of(&error) {
                Trouble::WrongType => published.broken.push(at),
                Trouble::Lost => {
                    return Err(StoreError { operation: "cannot publish ports to APPL_DB", source: error });
                }
                Trouble::NoScript | Trouble::Refused => {
                    published.refused.push(at);
                    published.reason.get_or_insert(error);
                }
            }
        }
        Ok(published)
    }

    /// Writes `restore_count`.
    pub async fn write_restore_count(&self, count: u64) -> Result<(), StoreError> {
        let key = table::join("WARM_RESTART_TABLE", &self.state.separator, DAEMON.as_bytes());
        let mut pipeline = pipe();
        pipeline.cmd("HSET").arg(key).arg("restore_count").arg(count);
        let operation = "cannot write restore_count to STATE_DB";
        first(self.state.pipeline(&mut pipeline, operation).await?, operation).map(|_| ())
    }

    /// Creates the daemon's row of `LOGGER`, as every daemon of the switch does.
    pub async fn create_logger(&self) -> Result<(), StoreError> {
        let key = table::join("LOGGER", &self.config.separator, DAEMON.as_bytes());
        let mut pipeline = pipe();
        pipeline.cmd("HSET").arg(key).arg("LOGLEVEL").arg("NOTICE").arg("LOGOUTPUT").arg("SYSLOG");
        let operation = "cannot create LOGGER|portsyncd in CONFIG_DB";
        first(self.config.pipeline(&mut pipeline, operation).await?, operation).map(|_| ())
    }
}

impl PortConfig {
    /// A key of `PORT_TABLE` that is no port: `PortConfigDone`, `PortInitDone`.
    pub fn mark(name: &str, field: &str, value: impl Into<Vec<u8>>) -> Self {
        Self { name: name.as_bytes().to_vec(), fields: vec![(field.as_bytes().to_vec(), value.into())] }
    }

    /// Its key in CONFIG_DB, for messages.
    pub fn config_key(&self) -> String {
        format!("{CONFIG_PORT}|{}", self.name.escape_ascii())
    }
}

fn add_set(pipeline: &mut Pipeline, appl: &Connection, script: &str, port: &PortConfig) {
    let temporary = table::join(&format!("_{PORT_TABLE}"), &appl.separator, &port.name);
    let command = pipeline.cmd("EVALSHA").arg(script).arg(port.fields.len() + 2);
    command.arg(format!("{PORT_TABLE}_CHANNEL@{}", appl.id)).arg(format!("{PORT_TABLE}_KEY_SET"));
    for _ in &port.fields {
        command.arg(&temporary);
    }
    command.arg("G").arg(&port.name);
    for (field, value) in &port.fields {
        command.arg(field).arg(value);
    }
}

fn first(answers: Vec<RedisResult<Value>>, operation: &'static str) -> Result<Value, StoreError> {
    answers.into_iter().next().unwrap_or(Ok(Value::Nil)).map_err(StoreError::doing(operation))
}
