//! Server-sent events: whether they are what the daemon's stream has, and how many there were.
//!
//! In: the stream's bytes, in parts of any size. Out: counts; an error if a line is neither of the two that an event has. What
//! an event says is not kept: its data begins and ends as a JSON object or list does, and that has to do.

use anyhow::ensure;

/// Longer than a line's beginning has to be to tell what it is.
const BEGINNING: usize = 32;
const NAME: &[u8] = b"event: ";
const DATA: &[u8] = b"data: ";

#[derive(Debug, Default)]
pub struct Events {
    /// The beginning of the line that is being read, and its last byte.
    line: Vec<u8>,
    last: u8,
    /// Lines of the event that is being read.
    lines: usize,
    /// It tells of all ports.
    whole: bool,
    /// Events that are complete.
    pub complete: u64,
    /// Those that told of all ports.
    pub wholes: u64,
}

impl Events {
    /// Takes bytes.
    pub fn take(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, ended) = part.strip_suffix(b"\n").map_or((part, false), |text| (text, true));
            self.line.extend(&text[..text.len().min(BEGINNING - self.line.len())]);
            self.last = text.last().copied().unwrap_or(self.last);
            if ended {
                self.ended()?;
                self.line.clear();
            }
        }
        Ok(())
    }

    fn ended(&mut self) -> anyhow::Result<()> {
        let good = match self.lines {
            0 => self.line.len() > NAME.len() && self.line.starts_with(NAME),
            1 => matches!(
                (self.line.strip_prefix(DATA).and_then(<[u8]>::first), self.last),
                (Some(b'{'), b'}') | (Some(b'['), b']')
            ),
            _ => self.line.is_empty(),
        };
        ensure!(good, "a line of the stream that does not belong there: {}", self.line.escape_ascii());
        if self.lines == 0 {
            self.whole = self.line == b"event: ports";
        }
        self.lines += 1;
        if self.lines == 3 {
            self.lines = 0;
            self.complete += 1;
            self.wholes += u64::from(self.whole);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_counted_however_they_come() {
        let text = "event: ports\ndata: {\"ports\":[]}\n\nevent: alerts\ndata: []\n\nevent: sam";
        for size in 1..=text.len() {
            let mut events = Events::default();
            for part in text.as_bytes().chunks(size) {
                events.take(part).unwrap();
            }
            assert_eq!((events.complete, events.wholes), (2, 1), "{size}");
        }
    }

    #[test]
    fn what_is_no_event_is_told() {
        for bad in [
            "\n",
            "data: {}\n",
            "event: a\n\n",
            "event: a\ndata: [}\n",
            "event: a\ndata: {\n",
            "event: a\ndata: {}\nid\n",
        ] {
            assert!(Events::default().take(bad.as_bytes()).is_err(), "{bad:?}");
        }
    }
}
