//! Giving way: what is done beside the core is long with thousands of ports, and Linux lets a thread finish its slice, some
//! milliseconds, before one that just woke up, whatever their priorities. A thread that yields now and then keeps nobody
//! waiting: neither the core nor Redis.

use std::io::{self, Write};
use std::thread::yield_now;

use serde::Serialize;

/// Elements between two occasions, some 30 µs of work.
const ELEMENTS: usize = 64;
/// Bytes that are written between two.
const BYTES: usize = 16 * 1024;

/// The same elements, giving way between them.
pub fn giving_way<T>(elements: impl Iterator<Item = T>) -> impl Iterator<Item = T> {
    elements.enumerate().map(|(at, element)| {
        if at % ELEMENTS == ELEMENTS - 1 {
            yield_now();
        }
        element
    })
}

/// Appends a value as JSON, giving way meanwhile. Our own shapes have no keys that JSON cannot have, and a vector takes everything.
pub fn append_json(text: &mut Vec<u8>, value: &impl Serialize) {
    let _ = serde_json::to_writer(Piecewise::new(text), value);
}

/// Writes on, giving way between pieces.
pub struct Piecewise<W> {
    to: W,
    since: usize,
}

impl<W: Write> Piecewise<W> {
    pub fn new(to: W) -> Self {
        Self { to, since: 0 }
    }
}

impl<W: Write> Write for Piecewise<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.to.write(&bytes[..bytes.len().min(BYTES)])?;
        self.since += written;
        if self.since >= BYTES {
            self.since = 0;
            yield_now();
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_the_same_in_pieces() {
        let value: Vec<String> = (0..10_000).map(|number| format!("Ethernet{number}")).collect();
        let mut text = b"data: ".to_vec();
        append_json(&mut text, &value);
        assert_eq!(text[6..], serde_json::to_vec(&value).unwrap());
        assert!(giving_way(value.iter()).eq(value.iter()));
    }
}
