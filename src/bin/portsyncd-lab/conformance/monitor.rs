//! What Redis is told, read from MONITOR.
//!
//! In: MONITOR's lines, on a connection of its own. Out: commands by sender, in Redis' order. The runner connects through
//! 127.0.0.1, the daemon never does (it gets the socket, or another address): that tells their commands apart. Commands of a
//! Lua script follow the command that called it and belong to the same sender.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use portsyncd::locks::lock;

#[derive(Clone, Debug)]
pub struct Command {
    /// The database's number.
    pub db: u8,
    pub lua: bool,
    pub args: Vec<Vec<u8>>,
}

#[derive(Default)]
struct Log {
    commands: Vec<Command>,
    marker: Vec<u8>,
    last: Option<Instant>,
}

/// All commands of the daemon since the scenario began, over all lives of Redis.
#[derive(Clone, Default)]
pub struct Monitor {
    shared: Arc<(Mutex<Log>, Condvar)>,
}

impl Monitor {
    /// Begins to read; returns when Redis has confirmed.
    pub fn attach(&self, port: u16) -> std::io::Result<()> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        (&stream).write_all(b"MONITOR\r\n")?;
        let mut lines = BufReader::new(stream);
        let mut first = Vec::new();
        lines.read_until(b'\n', &mut first)?;
        let own = self.clone();
        std::thread::spawn(move || own.read(lines));
        Ok(())
    }

    /// How many commands there are so far.
    pub fn len(&self) -> usize {
        self.lock().commands.len()
    }

    /// The commands from number `from` on.
    pub fn since(&self, from: usize) -> Vec<Command> {
        self.lock().commands[from..].to_vec()
    }

    /// Waits until the marker, sent as `ECHO marker` through 127.0.0.1, has come by; false if it does not within `within`.
    pub fn await_marker(&self, marker: &[u8], within: Duration) -> bool {
        let (_, changed) = &*self.shared;
        let waited = changed.wait_timeout_while(self.lock(), within, |log| log.marker != marker);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    /// How long the daemon has been silent.
    pub fn quiet_for(&self) -> Duration {
        self.lock().last.map_or(Duration::MAX, |at| at.elapsed())
    }

    fn read(&self, mut lines: impl BufRead) {
        let (mut line, mut foreign) = (Vec::new(), false);
        while lines.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
            if let Some((command, sender)) = parse(&line) {
                if sender != b"lua" {
                    foreign = sender.starts_with(b"127.0.0.1:");
                }
                let mut log = self.lock();
                if !foreign {
                    log.commands.push(command);
                    log.last = Some(Instant::now());
                } else if command.args[0].eq_ignore_ascii_case(b"ECHO") {
                    log.marker = command.args.get(1).cloned().unwrap_or_default();
                    self.shared.1.notify_all();
                }
            }
            line.clear();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Log> {
        lock(&self.shared.0)
    }
}

/// Reads `+1700000000.123456 [4 unix:/path] "HSET" "key" …`: the command and its sender.
fn parse(line: &[u8]) -> Option<(Command, &[u8])> {
    let open = line.iter().position(|b| *b == b'[')?;
    let close = open + line[open..].iter().position(|b| *b == b']')?;
    let mut inner = line[open + 1..close].splitn(2, |b| *b == b' ');
    let db = std::str::from_utf8(inner.next()?).ok()?.parse().ok()?;
    let sender = inner.next()?;
    let args = arguments(&line[close + 1..]);
    (!args.is_empty()).then(|| (Command { db, lua: sender == b"lua", args }, sender))
}

/// The quoted arguments, with Redis' escapes (`\xff`, `\n`, `\"`, …) undone.
fn arguments(mut rest: &[u8]) -> Vec<Vec<u8>> {
    let mut args = Vec::new();
    while let Some(start) = rest.iter().position(|b| *b == b'"') {
        rest = &rest[start + 1..];
        let mut arg = Vec::new();
        loop {
            match rest {
                [b'"', tail @ ..] => {
                    rest = tail;
                    break;
                }
                [b'\\', b'x', high, low, tail @ ..] => {
                    let digits = [*high, *low];
                    arg.extend(std::str::from_utf8(&digits).ok().and_then(|d| u8::from_str_radix(d, 16).ok()));
                    rest = tail;
                }
                [b'\\', escaped, tail @ ..] => {
                    arg.push(match escaped {
                        b'n' => b'\n',
                        b'r' => b'\r',
                        b't' => b'\t',
                        b'a' => 7,
                        b'b' => 8,
                        other => *other,
                    });
                    rest = tail;
                }
                [byte, tail @ ..] => {
                    arg.push(*byte);
                    rest = tail;
                }
                [] => break,
            }
        }
        args.push(arg);
    }
    args
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_undone() {
        let line = br#"+1.2 [6 unix:/run/redis.sock] "HSET" "a|b" "\x00\xff" "say \"x\"\n" "" "\\""#;
        let (command, sender) = parse(line).unwrap();
        assert_eq!((command.db, sender), (6, &b"unix:/run/redis.sock"[..]));
        let wanted: [&[u8]; 6] = [b"HSET", b"a|b", b"\0\xff", b"say \"x\"\n", b"", b"\\"];
        assert_eq!(command.args, wanted);
    }
}
