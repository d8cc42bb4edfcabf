//! Server-sent events out of bytes, as these come: in pieces that end anywhere.

/// One event.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Message {
    /// What kind.
    pub event: String,
    /// Its text.
    pub data: Vec<u8>,
}

/// An event beyond the bound.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLong;

/// Holds what came of the event that is not complete yet, at most `longest` bytes and the last piece.
#[derive(Debug)]
pub(super) struct Parser {
    longest: usize,
    buffer: Vec<u8>,
    /// Where the line begins that is read next.
    start: usize,
    /// There is no end of a line before this.
    scanned: usize,
    event: String,
    data: Vec<u8>,
}

impl Parser {
    pub fn new(longest: usize) -> Self {
        Self { longest, buffer: Vec::new(), start: 0, scanned: 0, event: String::new(), data: Vec::new() }
    }

    /// Takes a piece.
    pub fn push(&mut self, piece: &[u8]) {
        self.buffer.extend_from_slice(piece);
    }

    /// The next complete event; `None` if more has to come first.
    pub fn next(&mut self) -> Result<Option<Message>, TooLong> {
        while let Some(length) = self.buffer[self.scanned..].iter().position(|byte| *byte == b'\n') {
            let (start, end) = (self.start, self.scanned + length);
            self.start = end + 1;
            self.scanned = self.start;
            let line = &self.buffer[start..end];
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if let Some(message) = Self::line(line, &mut self.event, &mut self.data) {
                return Ok(Some(message));
            }
            if self.data.len() > self.longest {
                return Err(TooLong);
            }
        }
        self.buffer.drain(..self.start);
        self.start = 0;
        self.scanned = self.buffer.len();
        if self.data.len() + self.buffer.len() > self.longest { Err(TooLong) } else { Ok(None) }
    }

    fn line(line: &[u8], event: &mut String, data: &mut Vec<u8>) -> Option<Message> {
        if line.is_empty() {
            let event = std::mem::take(event);
            let mut data = std::mem::take(data);
            // One without data is none, as browsers have it.
            data.pop()?;
            return Some(Message { event, data });
        }
        let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        let value = line.get(colon + 1..).unwrap_or_default();
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match &line[..colon] {
            b"event" => *event = String::from_utf8_lossy(value).into_owned(),
            b"data" => {
                data.extend_from_slice(value);
                data.push(b'\n');
            }
            // Comments have no name; ids and times to wait are of no use on a socket of the same machine.
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str = ": hello\n\nevent: status\ndata: {\"a\":1}\n\nevent:ports\r\ndata:one\r\ndata: two\r\n\r\nid: 7\n\ndata: x\n\nevent: change\ndata";

    fn messages(piece: usize) -> Vec<(String, String)> {
        let mut parser = Parser::new(64);
        let mut found = Vec::new();
        for piece in STREAM.as_bytes().chunks(piece) {
            parser.push(piece);
            while let Some(message) = parser.next().unwrap() {
                found.push((message.event, String::from_utf8(message.data).unwrap()));
            }
        }
        found
    }

    #[test]
    fn events_are_found_wherever_the_pieces_end() {
        let wanted = [("status", "{\"a\":1}"), ("ports", "one\ntwo"), ("", "x")];
        let wanted = wanted.map(|(event, data)| (event.to_owned(), data.to_owned()));
        for piece in 1..=STREAM.len() {
            assert_eq!(messages(piece), wanted, "pieces of {piece} bytes");
        }
    }

    #[test]
    fn an_event_without_end_is_refused_before_it_is_kept() {
        for endless in [&b"data: aaaaaaaa"[..], b"data: aaaaaaaa\n"] {
            let mut parser = Parser::new(64);
            let mut pushed = 0;
            let outcome = loop {
                parser.push(endless);
                pushed += endless.len();
                match parser.next() {
                    Ok(None) if pushed < 1000 => {}
                    outcome => break outcome,
                }
            };
            assert_eq!(outcome, Err(TooLong));
            let kept = parser.data.len() + parser.buffer.len();
            assert!(kept <= 64 + 2 * endless.len(), "{kept} bytes are kept");
        }
    }
}
