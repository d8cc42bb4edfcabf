//! The writing side of `APPL_DB`'s `PORT_TABLE`, as `SONiC`'s `ProducerStateTable` does it: for tests, and for playing the part
//! of another daemon (a port removed at run time, a changed MTU).

use redis::ConnectionLike;

use super::Error;

/// KEYS: channel, key set, temporary hash. ARGV: channel message, key, field, value, …
const SET: &str = "
local added = redis.call('SADD', KEYS[2], ARGV[2])
for i = 3, #ARGV, 2 do redis.call('HSET', KEYS[3], ARGV[i], ARGV[i + 1]) end
if added > 0 then redis.call('PUBLISH', KEYS[1], ARGV[1]) end";

/// KEYS: channel, key set, temporary hash, set of removals. ARGV: channel message, key.
const DEL: &str = "
local added = redis.call('SADD', KEYS[2], ARGV[2])
redis.call('SADD', KEYS[4], ARGV[2])
redis.call('DEL', KEYS[3])
if added > 0 then redis.call('PUBLISH', KEYS[1], ARGV[1]) end";

/// `PORT_TABLE` of one `APPL_DB`.
#[derive(Debug, Clone)]
pub struct Producer {
    channel: String,
    separator: String,
}

impl Producer {
    /// For database number `db` with this separator (0 and `:` on most switches).
    pub fn new(db: i64, separator: &str) -> Self {
        Self { channel: format!("PORT_TABLE_CHANNEL@{db}"), separator: separator.to_owned() }
    }

    /// Publishes fields of `key`; there must be one at least.
    pub fn set(
        &self,
        appl_db: &mut impl ConnectionLike,
        key: &str,
        fields: &[(impl AsRef<str>, impl AsRef<str>)],
    ) -> Result<(), Error> {
        let script = redis::Script::new(SET);
        let mut call = script.key(&self.channel);
        call.key("PORT_TABLE_KEY_SET").key(self.temporary(key));
        call.arg("G").arg(key);
        for (field, value) in fields {
            call.arg(field.as_ref()).arg(value.as_ref());
        }
        Ok(call.invoke(appl_db)?)
    }

    /// Publishes the removal of `key`.
    pub fn del(&self, appl_db: &mut impl ConnectionLike, key: &str) -> Result<(), Error> {
        let script = redis::Script::new(DEL);
        let mut call = script.key(&self.channel);
        call.key("PORT_TABLE_KEY_SET").key(self.temporary(key));
        call.key("PORT_TABLE_DEL_SET").arg("G").arg(key);
        Ok(call.invoke(appl_db)?)
    }

    fn temporary(&self, key: &str) -> String {
        format!("_PORT_TABLE{}{key}", self.separator)
    }
}
