//! Keyspace notifications of some keys, over a blocking connection of its own.
//!
//! In: a database and a pattern, or keys. Out: names of keys, as they change. A wait that ends without a notification loses
//! nothing, so one can look after other things and go on.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use super::scene::SOCKET;

const LIMIT: Duration = Duration::from_secs(10);
/// The shortest time to wait that a socket takes.
const LEAST: Duration = Duration::from_micros(1);

/// A subscription; it ends on drop.
#[derive(Debug)]
pub struct Watch {
    stream: UnixStream,
    buffer: Vec<u8>,
    /// Bytes of the buffer that were dealt with.
    used: usize,
    prefix: String,
}

impl Watch {
    /// Subscribes to the keys of database `db` that match `pattern`.
    pub fn open(db: i64, pattern: &str) -> anyhow::Result<Self> {
        Self::subscribe(db, "PSUBSCRIBE", std::iter::once(pattern))
    }

    /// Subscribes to these keys of database `db`. Changes of others cost Redis no more than if nobody listened.
    pub fn open_keys<'a>(db: i64, keys: impl Iterator<Item = &'a str>) -> anyhow::Result<Self> {
        Self::subscribe(db, "SUBSCRIBE", keys)
    }

    fn subscribe<'a>(db: i64, command: &str, keys: impl Iterator<Item = &'a str>) -> anyhow::Result<Self> {
        let stream = UnixStream::connect(SOCKET).with_context(|| format!("cannot reach Redis at {SOCKET}"))?;
        let prefix = format!("__keyspace@{db}__:");
        let mut watch = Self { stream, buffer: Vec::new(), used: 0, prefix };
        let channels: Vec<String> = keys.map(|key| format!("{}{key}", watch.prefix)).collect();
        let words = std::iter::once(command).chain(channels.iter().map(String::as_str));
        let mut bytes = format!("*{}\r\n", channels.len() + 1);
        for word in words {
            bytes.push_str(&format!("${}\r\n{word}\r\n", word.len()));
        }
        watch.stream.write_all(bytes.as_bytes()).context("cannot subscribe to keyspace notifications")?;
        for _ in channels {
            match watch.message(Instant::now() + LIMIT)? {
                Some(words) if words.first().is_some_and(|word| word.eq_ignore_ascii_case(command.as_bytes())) => {}
                other => bail!("cannot subscribe to keyspace notifications: Redis answered {other:?}"),
            }
        }
        Ok(watch)
    }

    /// The next key that changed; none if the time is up.
    pub fn next(&mut self, until: Instant) -> anyhow::Result<Option<String>> {
        while let Some(words) = self.message(until)? {
            // A pattern's has the pattern before it.
            let at = if words.first().is_some_and(|word| word == b"pmessage") { 2 } else { 1 };
            let channel = words.get(at).map(|word| String::from_utf8_lossy(word).into_owned());
            if let Some(key) = channel.as_deref().and_then(|channel| channel.strip_prefix(&self.prefix)) {
                return Ok(Some(key.to_owned()));
            }
        }
        Ok(None)
    }

    fn message(&mut self, until: Instant) -> anyhow::Result<Option<Vec<Vec<u8>>>> {
        loop {
            if let Some((words, length)) = parse(&self.buffer[self.used..])? {
                self.used += length;
                if self.used == self.buffer.len() {
                    self.buffer.clear();
                    self.used = 0;
                }
                return Ok(Some(words));
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            self.stream.set_read_timeout(Some(left.max(LEAST)))?;
            let mut part = [0; 4096];
            match self.stream.read(&mut part) {
                Ok(0) => bail!("Redis closed the subscription"),
                Ok(length) => self.buffer.extend(&part[..length]),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
                Err(error) => return Err(error).context("cannot read the subscription"),
            }
        }
    }
}

/// An array of strings and numbers, and its length in bytes; none if it is not all there.
fn parse(bytes: &[u8]) -> anyhow::Result<Option<(Vec<Vec<u8>>, usize)>> {
    let line = |at: usize| {
        let rest = bytes.get(at..)?;
        let end = rest.windows(2).position(|pair| pair == b"\r\n")?;
        Some((*rest.first()?, std::str::from_utf8(&rest[1..end]).ok()?.parse::<usize>(), at + end + 2))
    };
    let Some((kind, count, mut at)) = line(0) else { return Ok(None) };
    let (b'*', Ok(count)) = (kind, count) else { bail!("Redis sent no notification: {}", bytes.escape_ascii()) };
    let mut words = Vec::new();
    for _ in 0..count {
        let Some((kind, number, next)) = line(at) else { return Ok(None) };
        match (kind, number) {
            (b':', Ok(_)) => {
                words.push(Vec::new());
                at = next;
            }
            (b'$', Ok(length)) => {
                let Some(word) = bytes.get(next..next + length).filter(|_| bytes.len() >= next + length + 2) else {
                    return Ok(None);
                };
                words.push(word.to_owned());
                at = next + length + 2;
            }
            _ => bail!("Redis sent no notification: {}", bytes.escape_ascii()),
        }
    }
    Ok(Some((words, at)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notification_is_taken_when_all_of_it_is_there() {
        let bytes = b"*3\r\n$8\r\npmessage\r\n$2\r\na\r\n$0\r\n\r\n";
        // The second word announces two bytes: what stands there is malformed, and found so.
        assert!(parse(bytes).is_err());
        let bytes = b"*3\r\n$8\r\npmessage\r\n$1\r\na\r\n:7\r\n";
        for length in 0..bytes.len() {
            assert_eq!(parse(&bytes[..length]).unwrap(), None, "{length}");
        }
        let (words, length) = parse(&[bytes.as_slice(), b"*1"].concat()).unwrap().unwrap();
        assert_eq!((words, length), (vec![b"pmessage".to_vec(), b"a".to_vec(), Vec::new()], bytes.len()));
    }
}
