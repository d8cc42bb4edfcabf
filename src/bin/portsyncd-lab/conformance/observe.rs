//! From the daemon's commands to the writes that matter.
//!
//! In: commands as MONITOR shows them and the rows as they stood before. Out: writes as lines of words. The commands of one
//! `ProducerStateTable` write become one word list `APPL_DB PRODUCE key field value…` (fields sorted: their order means
//! nothing to a consumer), or `APPL_DB PRODUCE-DEL key`. A daemon may write a row as often as it likes, so [`effective`] keeps
//! the last write of each row, and only if it changed something; what is produced is kept each time: each one is a message.

use std::collections::{BTreeMap, BTreeSet};

use super::monitor::Command;
use super::scenario::Database;
use super::text;

/// What a key of Redis holds, as text (see [`text::show`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Held {
    Hash(BTreeMap<String, String>),
    Set(BTreeSet<String>),
    /// A plain value, or the name of another type.
    Text(String),
}

/// All rows by (database name, key).
pub type Snapshot = BTreeMap<RowName, Held>;

/// Database name and key.
pub type RowName = (String, String);

/// The port that the runner itself uses to see that the daemon follows; nothing of it is ever compared.
pub const SENTINEL: &str = "EthernetZZ";

/// Rows that are no part of the protocol: the sentinel's, and what a daemon says of itself.
pub fn is_hidden(word: &str) -> bool {
    word.contains(SENTINEL) || word.starts_with("PORTSYNCD_")
}

/// What the daemon did, in Redis' order.
#[derive(Clone, Debug, Default)]
pub struct Done {
    pub writes: Vec<Vec<String>>,
    /// `channel message` of each message.
    pub published: Vec<String>,
    /// Commands as sent, reads too, without those inside scripts.
    pub commands: Vec<Vec<String>>,
}

const READS: &[&str] = &[
    "AUTH",
    "CLIENT",
    "COMMAND",
    "CONFIG",
    "ECHO",
    "EVAL",
    "EVALSHA",
    "EXEC",
    "EXISTS",
    "GET",
    "HELLO",
    "HEXISTS",
    "HGET",
    "HGETALL",
    "HKEYS",
    "HLEN",
    "HMGET",
    "HSCAN",
    "INFO",
    "KEYS",
    "MGET",
    "MULTI",
    "PING",
    "PSUBSCRIBE",
    "PUNSUBSCRIBE",
    "READONLY",
    "SCAN",
    "SCARD",
    "SCRIPT",
    "SELECT",
    "SISMEMBER",
    "SMEMBERS",
    "SUBSCRIBE",
    "TIME",
    "TTL",
    "TYPE",
    "UNSUBSCRIBE",
    "UNWATCH",
    "WATCH",
    "EVAL_RO",
    "EVALSHA_RO",
    "FUNCTION",
    "ROLE",
    "DBSIZE",
    "MONITOR",
    "HRANDFIELD",
    "SSCAN",
    "QUIT",
    "RESET",
];

/// Sorts the daemon's commands.
pub fn sort(commands: &[Command], databases: &BTreeMap<String, Database>) -> Done {
    let mut done = Done::default();
    for command in commands {
        let name = databases
            .iter()
            .find(|(_, d)| d.id == command.db)
            .map_or_else(|| command.db.to_string(), |(n, _)| n.clone());
        let separator = databases.get(&name).map_or(":", |d| d.separator.as_str());
        let mut words: Vec<String> = command.args.iter().map(|arg| text::show(arg)).collect();
        words[0].make_ascii_uppercase();
        if words.iter().any(|word| is_hidden(word) || is_hidden_row(word, separator)) {
            continue;
        }
        if !command.lua {
            done.commands.push(words.clone());
        }
        if READS.contains(&words[0].as_str()) {
            continue;
        }
        if words[0] == "PUBLISH" {
            done.published.push(words[1..].join(" "));
        } else if name != "APPL_DB" || !produce(&mut done.writes, &words, separator) {
            words.insert(0, name);
            done.writes.push(words);
        }
    }
    for write in &mut done.writes {
        if write[1] == "PRODUCE" {
            let mut pairs: Vec<Vec<String>> = write[3..].chunks(2).map(<[String]>::to_vec).collect();
            pairs.sort();
            write.truncate(3);
            write.extend(pairs.into_iter().flatten());
        }
    }
    done
}

fn is_hidden_row(word: &str, separator: &str) -> bool {
    word.split_once(separator).is_some_and(|(table, _)| table.starts_with("PORTSYNCD_"))
}

/// Takes a command that is part of a `ProducerStateTable` write; false if it is something else.
fn produce(writes: &mut Vec<Vec<String>>, words: &[String], separator: &str) -> bool {
    let word = |at: usize| words.get(at).map_or("", String::as_str);
    let temporary = word(1).strip_prefix("_PORT_TABLE").and_then(|rest| rest.strip_prefix(separator));
    let open = |key: &str, writes: &Vec<Vec<String>>| {
        writes.iter().rposition(|w| w[0] == "APPL_DB" && w[1].starts_with("PRODUCE") && w[2] == key)
    };
    match (word(0), word(1), temporary) {
        ("SADD", "PORT_TABLE_KEY_SET", _) => {
            writes.push(vec!["APPL_DB".to_owned(), "PRODUCE".to_owned(), word(2).to_owned()]);
        }
        ("SADD", "PORT_TABLE_DEL_SET", _) => match open(word(2), writes) {
            Some(at) => "PRODUCE-DEL".clone_into(&mut writes[at][1]),
            None => return false,
        },
        ("HSET" | "HMSET", _, Some(key)) => match open(key, writes) {
            Some(at) => writes[at].extend_from_slice(&words[2..]),
            None => return false,
        },
        ("DEL" | "UNLINK", _, Some(key)) => return open(key, writes).is_some_and(|at| writes[at][1] == "PRODUCE-DEL"),
        _ => return false,
    }
    true
}

/// The writes that changed something: see the module's comment. `dirty` rows were changed by the step itself, so that what
/// stood in them before says nothing.
pub fn effective(
    writes: &[Vec<String>],
    before: &Snapshot,
    dirty: &BTreeSet<RowName>,
    all_dirty: bool,
) -> Vec<Vec<String>> {
    let mut kept = Vec::new();
    let (mut rows, mut last) = (Snapshot::new(), BTreeMap::<RowName, &Vec<String>>::new());
    for write in writes {
        if write[1].starts_with("PRODUCE") || write.len() < 3 {
            kept.push(write.clone());
            continue;
        }
        let row = (write[0].clone(), write[2].clone());
        let held =
            if last.insert(row.clone(), write).is_some() { rows.remove(&row) } else { before.get(&row).cloned() };
        rows.extend(apply(held, write).map(|held| (row, held)));
    }
    for (row, write) in last {
        if all_dirty || dirty.contains(&row) || rows.get(&row) != before.get(&row) {
            kept.push(write.clone());
        }
    }
    kept
}

fn apply(held: Option<Held>, write: &[String]) -> Option<Held> {
    match (write[1].as_str(), held) {
        ("DEL" | "UNLINK", _) => None,
        ("HSET" | "HMSET", held @ (None | Some(Held::Hash(_)))) => {
            let mut fields = match held {
                Some(Held::Hash(fields)) => fields,
                _ => BTreeMap::new(),
            };
            fields.extend(write[3..].chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())));
            Some(Held::Hash(fields))
        }
        ("HDEL", Some(Held::Hash(mut fields))) => {
            fields.retain(|name, _| !write[3..].contains(name));
            (!fields.is_empty()).then_some(Held::Hash(fields))
        }
        // Fails with WRONGTYPE and changes nothing.
        ("HSET" | "HMSET" | "HDEL", held) => held,
        (_, _) => Some(Held::Text(text::join(write))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(db: u8, lua: bool, line: &str) -> Command {
        Command { db, lua, args: text::split(line).iter().map(|w| text::bytes(w)).collect() }
    }

    fn databases() -> BTreeMap<String, Database> {
        [("APPL_DB", 0, ":"), ("STATE_DB", 6, "|")]
            .map(|(n, id, s)| (n.to_owned(), Database { id, separator: s.to_owned() }))
            .into()
    }

    #[test]
    fn one_producer_write_is_one_line() {
        let done = sort(
            &[
                command(0, false, "EVALSHA abc 3 x"),
                command(0, true, "SADD PORT_TABLE_KEY_SET Ethernet0"),
                command(0, true, "HSET _PORT_TABLE:Ethernet0 lanes 0"),
                command(0, true, "HSET _PORT_TABLE:Ethernet0 alias etp1"),
                command(0, true, "PUBLISH PORT_TABLE_CHANNEL@0 G"),
            ],
            &databases(),
        );
        assert_eq!(done.writes, [text::split("APPL_DB PRODUCE Ethernet0 alias etp1 lanes 0")]);
        assert_eq!(done.published, ["PORT_TABLE_CHANNEL@0 G"]);
        assert_eq!(done.commands.len(), 1);
    }

    #[test]
    fn a_write_of_what_is_there_does_not_count() {
        let row = ("STATE_DB".to_owned(), "PORT_TABLE|Ethernet0".to_owned());
        let held = Held::Hash([("mtu".to_owned(), "1500".to_owned())].into());
        let before: Snapshot = [(row.clone(), held)].into();
        let same = [
            text::split("STATE_DB HSET PORT_TABLE|Ethernet0 mtu 1500"),
            text::split("STATE_DB DEL PORT_TABLE|Ethernet4"),
        ];
        assert!(effective(&same, &before, &BTreeSet::new(), false).is_empty());
        let there_and_back = [
            text::split("STATE_DB HSET PORT_TABLE|Ethernet0 mtu 9100"),
            text::split("STATE_DB HSET PORT_TABLE|Ethernet0 mtu 1500"),
        ];
        assert!(effective(&there_and_back, &before, &BTreeSet::new(), false).is_empty());
        assert_eq!(effective(&same[..1], &before, &[row].into(), false).len(), 1);
    }
}
