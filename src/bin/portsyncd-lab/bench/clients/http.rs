//! Just as much of HTTP as the clients need: whether an answer is a good one, and whether all of it has come.
//!
//! In: bytes as they are read, in parts of any size. Out: whether the answer is complete; an error if it is not as it should be.
//! Bodies are looked at and not kept.

use anyhow::{Context, bail, ensure};

/// Longer than any head that the daemon sends.
const HEAD: usize = 4096;

/// The head of an answer.
#[derive(Debug, Default)]
pub struct Head {
    bytes: Vec<u8>,
}

/// How the end of a body is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Length {
    /// So many bytes.
    Known(usize),
    Chunked,
}

impl Head {
    /// Takes bytes. When the head is complete: how long the body is, and how many of these bytes belong to the head.
    pub fn take(&mut self, bytes: &[u8]) -> anyhow::Result<Option<(Length, usize)>> {
        let before = self.bytes.len();
        self.bytes.extend(&bytes[..bytes.len().min(HEAD - before)]);
        let Some(end) = self.bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
            ensure!(self.bytes.len() < HEAD, "a head of more than {HEAD} bytes");
            return Ok(None);
        };
        let head = std::str::from_utf8(&self.bytes[..end]).context("a head that is no text")?;
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap_or_default();
        ensure!(status.starts_with("HTTP/1.1 200 "), "the answer is {status:?}");
        let mut length = None;
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            if name.eq_ignore_ascii_case("content-length") {
                length = Some(Length::Known(value.trim().parse().context("a length that is no number")?));
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                length = Some(Length::Chunked);
            }
        }
        let length = length.context("an answer that does not say how long it is")?;
        Ok(Some((length, end + 4 - before)))
    }
}

/// An answer of known length.
#[derive(Debug)]
pub struct Answer {
    head: Head,
    /// Of the body; not known before the head is complete.
    left: Option<usize>,
    begun: bool,
    /// The bytes that its body has to begin and to end with.
    ends: (u8, u8),
}

impl Answer {
    /// One whose body begins and ends with these bytes.
    pub fn new(ends: (u8, u8)) -> Self {
        Self { head: Head::default(), left: None, begun: false, ends }
    }

    /// Takes bytes; true when they are the last ones.
    pub fn take(&mut self, mut bytes: &[u8]) -> anyhow::Result<bool> {
        let left = match self.left {
            Some(left) => left,
            None => match self.head.take(bytes)? {
                None => return Ok(false),
                Some((Length::Chunked, _)) => bail!("an answer in chunks where one of known length is due"),
                Some((Length::Known(length), used)) => {
                    ensure!(length > 0, "an answer without a body");
                    bytes = &bytes[used..];
                    length
                }
            },
        };
        ensure!(bytes.len() <= left, "{} bytes more than were announced", bytes.len() - left);
        let left = left - bytes.len();
        self.left = Some(left);
        let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else { return Ok(false) };
        ensure!(self.begun || *first == self.ends.0, "a body that begins with {:?}", char::from(*first));
        self.begun = true;
        ensure!(left > 0 || *last == self.ends.1, "a body that ends with {:?}", char::from(*last));
        Ok(left == 0)
    }
}

#[derive(Debug, Default)]
pub struct Chunks {
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// In the line with the size, which is this so far.
    Size(usize),
    /// So many bytes are left of the chunk.
    Data(usize),
    /// So many bytes are left of the end of the line behind the chunk.
    End(usize),
}

impl Default for State {
    fn default() -> Self {
        Self::Size(0)
    }
}

impl Chunks {
    /// Takes bytes, and hands on what the chunks hold. The daemon's stream does not end by itself: the last chunk is an error.
    pub fn take(&mut self, mut bytes: &[u8], mut each: impl FnMut(&[u8]) -> anyhow::Result<()>) -> anyhow::Result<()> {
        while let Some(byte) = bytes.first() {
            let used = match self.state {
                State::Size(size) => {
                    self.state = match byte {
                        b'\r' => State::Size(size),
                        b'\n' if size == 0 => bail!("the stream was ended"),
                        b'\n' => State::Data(size),
                        digit => match char::from(*digit).to_digit(16) {
                            Some(digit) if size < 1 << 40 => State::Size(size * 16 + digit as usize),
                            _ => bail!("{:?} in the size of a chunk", char::from(*digit)),
                        },
                    };
                    1
                }
                State::Data(left) => {
                    let used = left.min(bytes.len());
                    each(&bytes[..used])?;
                    self.state = if used == left { State::End(2) } else { State::Data(left - used) };
                    used
                }
                State::End(left) => {
                    self.state = if left == 1 { State::Size(0) } else { State::End(left - 1) };
                    1
                }
            };
            bytes = &bytes[used..];
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes it in parts of each size; what the last part says.
    fn answer(text: &str) -> anyhow::Result<bool> {
        let mut said = Vec::new();
        for size in 1..=text.len() {
            let mut answer = Answer::new((b'{', b'}'));
            let parts = text.as_bytes().chunks(size).map(|part| answer.take(part));
            said.push(parts.collect::<anyhow::Result<Vec<bool>>>().map(|parts| parts.last() == Some(&true)));
        }
        let whole = said.pop().unwrap();
        let agrees = |one: &anyhow::Result<bool>| one.as_ref().ok() == whole.as_ref().ok();
        assert!(said.iter().all(agrees), "{text:?}: {said:?}, {whole:?}");
        whole
    }

    #[test]
    fn a_good_answer_is_complete_and_a_bad_one_is_told() {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\ncontent-length: 4\r\n\r\n";
        assert!(answer(&format!("{head}{{  }}")).unwrap());
        assert!(!answer(&format!("{head}{{  ")).unwrap());
        assert!(!answer(head).unwrap());
        for bad in [
            format!("{head}[  }}"),
            format!("{head}{{   "),
            head.replace("200 OK", "503 Service Unavailable"),
            head.replace("content-length: 4", "content-length: 0"),
            head.replace("content-length: 4", "transfer-encoding: chunked"),
            head.replace("content-length: 4\r\n", ""),
        ] {
            assert!(answer(&bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn chunks_are_taken_apart_however_they_come() {
        let bytes = b"3\r\nabc\r\n1a\r\nabcdefghijklmnopqrstuvwxyz\r\n1\r\n!\r\n";
        for size in 1..=bytes.len() {
            let (mut chunks, mut held) = (Chunks::default(), Vec::<u8>::new());
            for part in bytes.chunks(size) {
                chunks
                    .take(part, |bytes| {
                        held.extend(bytes);
                        Ok(())
                    })
                    .unwrap();
            }
            assert_eq!(held, b"abcabcdefghijklmnopqrstuvwxyz!", "{size}");
        }
        assert!(Chunks::default().take(b"0\r\n\r\n", |_| Ok(())).is_err());
        assert!(Chunks::default().take(b"x\r\n", |_| Ok(())).is_err());
    }
}
