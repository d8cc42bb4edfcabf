//! JSON that a person can read and that is small: a line for each section and for each entry of one.

use std::io;

use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};

/// Objects as deep as this have a line for each entry.
const LINES: usize = 2;

/// The value's text, with a newline at its end.
pub fn text(value: &impl Serialize) -> Result<Vec<u8>, serde_json::Error> {
    let mut text = Vec::new();
    value.serialize(&mut Serializer::with_formatter(&mut text, Lines::default()))?;
    text.push(b'\n');
    Ok(text)
}

#[derive(Default)]
struct Lines {
    depth: usize,
    filled: bool,
}

impl Lines {
    fn line<W: ?Sized + io::Write>(&self, writer: &mut W) -> io::Result<()> {
        write!(writer, "\n{:1$}", "", self.depth)
    }
}

impl Formatter for Lines {
    fn begin_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.depth += 1;
        self.filled = false;
        writer.write_all(b"{")
    }

    fn end_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.depth -= 1;
        if self.depth < LINES && self.filled {
            self.line(writer)?;
        }
        writer.write_all(b"}")
    }

    fn begin_object_key<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if !first {
            writer.write_all(b",")?;
        }
        if self.depth <= LINES { self.line(writer) } else { Ok(()) }
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(if self.depth <= LINES { b": " } else { b":" })
    }

    fn end_object_value<W: ?Sized + io::Write>(&mut self, _: &mut W) -> io::Result<()> {
        self.filled = true;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_line_for_each_entry() {
        let value =
            json!({"a": {}, "b": [], "c": {"x": {"n": 1, "h": [[1, true], [2, false]]}, "y": {"o": {}}}, "d": 1});
        let written = String::from_utf8(text(&value).unwrap()).unwrap();
        let wanted = "{\n \"a\": {},\n \"b\": [],\n \"c\": {\n  \"x\": {\"h\":[[1,true],[2,false]],\"n\":1},\n  \
                      \"y\": {\"o\":{}}\n },\n \"d\": 1\n}\n";
        assert_eq!(written, wanted);
        assert_eq!(serde_json::from_str::<Value>(&written).unwrap(), value);
    }
}
