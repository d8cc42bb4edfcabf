//! What was seen against what a step expects.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use redis::Connection;

use super::scenario::{Row, Step, database};

/// The executable's writes, as the server's MONITOR tells them: `DB COMMAND ARGUMENT…`.
#[derive(Debug, Clone)]
pub(super) struct Writes(Arc<Mutex<Vec<String>>>);

impl Writes {
    /// Watches from now on, until the server ends.
    pub fn watch(socket: &Path) -> anyhow::Result<Self> {
        let mut stream = UnixStream::connect(socket).context("cannot watch Redis")?;
        stream.write_all(b"MONITOR\r\n").context("cannot watch Redis")?;
        let mut reader = BufReader::new(stream);
        let mut line = Vec::new();
        reader.read_until(b'\n', &mut line).context("cannot watch Redis")?;
        let writes = Self(Arc::default());
        let shared = writes.clone();
        std::thread::spawn(move || {
            line.clear();
            while reader.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
                if let Some(write) = write_of(&String::from_utf8_lossy(&line)) {
                    shared.0.lock().unwrap_or_else(PoisonError::into_inner).push(write);
                }
                line.clear();
            }
        });
        Ok(writes)
    }

    /// All of them so far.
    pub fn all(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// `+1.2 [6 unix:/path] "HSET" "k" "f" "v"` → `STATE_DB HSET k f v`. The scenario's own commands come by TCP and are left
/// out, and so is what the consumer's script does.
fn write_of(line: &str) -> Option<String> {
    const WRITES: [&str; 9] = ["HSET", "HMSET", "HDEL", "DEL", "SADD", "SREM", "PUBLISH", "SET", "UNLINK"];
    let (from, rest) = line.split_once('[')?.1.split_once("] ")?;
    let (db, client) = from.split_once(' ')?;
    let words = words(rest);
    let command = words.first()?.to_uppercase();
    let theirs = client.starts_with("unix:") || client == "lua";
    let consumers = client == "lua" && (command == "SREM" || command == "DEL" || words.get(1)?.starts_with("PORT_TABLE:"));
    if !theirs || consumers || !WRITES.contains(&command.as_str()) {
        return None;
    }
    let db = match db {
        "0" => "APPL_DB",
        "4" => "CONFIG_DB",
        "6" => "STATE_DB",
        other => other,
    };
    Some(format!("{db} {command} {}", words[1..].join(" ")))
}

/// The quoted words of a MONITOR line; escapes stay as they are.
fn words(text: &str) -> Vec<String> {
    let (mut words, mut word, mut inside, mut escaped) = (Vec::new(), String::new(), false, false);
    for letter in text.trim_end().chars() {
        match letter {
            '"' if !escaped => {
                if inside {
                    words.push(std::mem::take(&mut word));
                }
                inside = !inside;
            }
            _ if inside => {
                if escaped && letter == '"' {
                    word.pop();
                }
                word.push(letter);
            }
            _ => {}
        }
        escaped = letter == '\\' && !escaped;
    }
    words
}

/// Where rows and writes differ from what has to hold in the end.
pub(super) fn differences(step: &Step, redis: &mut Connection, writes: &[String]) -> anyhow::Result<Vec<String>> {
    let mut found = Vec::new();
    for (at, row) in &step.rows {
        let got = fields(redis, at)?;
        match row {
            Row::Word(_) if got.is_empty() => {}
            Row::Word(_) => found.push(format!("{at} has to be absent, and is {got:?}")),
            Row::Fields(want) if *want == got => {}
            Row::Fields(want) => found.push(format!("{at} has to be {want:?}, and is {got:?}")),
        }
    }
    for (at, want) in &step.includes {
        let got = fields(redis, at)?;
        if want.iter().any(|(field, value)| got.get(field) != Some(value)) {
            found.push(format!("{at} has to include {want:?}, and is {got:?}"));
        }
    }
    let mut from = 0;
    for want in &step.order {
        match writes[from..].iter().position(|write| begins(write, want)) {
            Some(at) => from += at + 1,
            None => {
                found.push(format!("write {want:?} has to come (in the order given), writes were {writes:#?}"));
                break;
            }
        }
    }
    for want in &step.once {
        let count = writes.iter().filter(|write| begins(write, want)).count();
        if count != 1 {
            found.push(format!("write {want:?} has to come once, and came {count} times"));
        }
    }
    Ok(found)
}

/// Writes that must not come, and came.
pub(super) fn forbidden(step: &Step, writes: &[String]) -> Vec<String> {
    let is_forbidden = |write: &&String| step.never.iter().any(|never| begins(write, never));
    writes.iter().filter(is_forbidden).map(|write| format!("write {write:?} must not come")).collect()
}

/// Whole words only: `Ethernet1` does not begin `Ethernet10`.
fn begins(write: &str, want: &str) -> bool {
    write.strip_prefix(want).is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '|', ':']) || want.ends_with(['|', ':', '_']))
}

fn fields(redis: &mut Connection, at: &str) -> anyhow::Result<BTreeMap<String, String>> {
    let (db, key) = database(at)?;
    let pairs: Vec<(Vec<u8>, Vec<u8>)> = redis::pipe()
        .cmd("SELECT").arg(db).ignore()
        .cmd("HGETALL").arg(key)
        .query::<(Vec<(Vec<u8>, Vec<u8>)>,)>(redis)
        .with_context(|| format!("cannot read {at}"))?
        .0;
    Ok(pairs.into_iter().map(|(field, value)| (shown(&field), shown(&value))).collect())
}

/// UTF-8 as it is, other bytes as `\xff`.
fn shown(bytes: &[u8]) -> String {
    bytes.utf8_chunks().map(|chunk| format!("{}{}", chunk.valid(), chunk.invalid().escape_ascii())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_executables_writes_are_told_from_the_others() {
        let read = |line: &str| write_of(&format!("+17.5 {line}\r\n"));
        assert_eq!(read(r#"[6 unix:/r.sock] "HSET" "PORT_TABLE|E0" "state" "ok""#).as_deref(), Some("STATE_DB HSET PORT_TABLE|E0 state ok"));
        assert_eq!(read(r#"[0 lua] "SADD" "PORT_TABLE_KEY_SET" "a \"b\"""#).as_deref(), Some(r#"APPL_DB SADD PORT_TABLE_KEY_SET a "b""#));
        assert_eq!(read(r#"[0 lua] "HSET" "PORT_TABLE:E0" "a" "b""#), None, "the consumer's");
        assert_eq!(read(r#"[0 127.0.0.1:5] "HSET" "k" "a" "b""#), None, "the scenario's");
        assert_eq!(read(r#"[6 unix:/r.sock] "HGETALL" "k""#), None);
    }

    #[test]
    fn only_whole_words_begin() {
        assert!(begins("STATE_DB HSET PORT_TABLE|Ethernet1 state", "STATE_DB HSET PORT_TABLE|Ethernet1"));
        assert!(!begins("STATE_DB HSET PORT_TABLE|Ethernet10 state", "STATE_DB HSET PORT_TABLE|Ethernet1"));
        assert!(begins("STATE_DB HSET PORT_TABLE|Ethernet10 state", "STATE_DB HSET PORT_TABLE"));
    }
}
