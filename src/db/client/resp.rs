//! Redis' protocol (RESP2): requests out, replies in, in place and without allocating.

use crate::db::error::{ServerError, ServerResult};

/// Nothing that this daemon asks for is nested deeper.
const DEPTH: usize = 8;

/// One argument of a request, in parts.
pub(super) fn argument(out: &mut Vec<u8>, parts: &[&[u8]]) {
    head(out, b'$', parts.iter().map(|part| part.len()).sum());
    for part in parts {
        out.extend_from_slice(part);
    }
    out.extend_from_slice(b"\r\n");
}

fn head(out: &mut Vec<u8>, kind: u8, count: usize) {
    if let digit @ 0..=9 = count {
        out.extend_from_slice(&[kind, b'0' + u8::try_from(digit).unwrap_or_default(), b'\r', b'\n']);
        return;
    }
    out.push(kind);
    out.extend_from_slice(itoa::Buffer::new().format(count).as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// A request, or some of its arguments, which it counts itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    arguments: Vec<u8>,
    count: usize,
}

impl Request {
    /// A request for this command.
    pub fn new(command: &str) -> Self {
        // Most are no longer, so that one allocation is enough.
        Self { arguments: Vec::with_capacity(128), count: 0 }.arg(command)
    }

    #[must_use]
    pub fn arg(self, text: impl AsRef<[u8]>) -> Self {
        self.concat(&[text.as_ref()])
    }

    /// One argument, in parts.
    #[must_use]
    pub fn concat(mut self, parts: &[&[u8]]) -> Self {
        argument(&mut self.arguments, parts);
        self.count += 1;
        self
    }

    /// All arguments of the other.
    #[must_use]
    pub fn args(mut self, other: &Self) -> Self {
        self.arguments.extend_from_slice(&other.arguments);
        self.count += other.count;
        self
    }

    /// How many arguments it has, the command's name included.
    pub fn count(&self) -> usize {
        self.count
    }

    pub(in crate::db) fn encode(&self, out: &mut Vec<u8>) {
        head(out, b'*', self.count);
        out.extend_from_slice(&self.arguments);
    }
}

/// A reply. What is neither is an error: see [`Reply::of`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::db) enum Reply<'a> {
    /// `+OK`.
    Status,
    /// `:1`.
    Integer(i64),
    /// `$-1` or `*-1`.
    Nil,
    /// A string of bytes.
    Bulk(&'a [u8]),
    Array(Array<'a>),
}

impl<'a> Reply<'a> {
    /// Reads a whole reply, as [`length`] found it; an error of the server's is an error.
    pub(in crate::db) fn of(raw: &'a [u8]) -> ServerResult<Self> {
        let Some((line, rest)) = split_line(raw) else { return Err(malformed(raw)) };
        let (kind, text) = line.split_first().ok_or_else(|| malformed(raw))?;
        Ok(match (kind, number(text)) {
            (b'+', _) => Self::Status,
            (b':', Some(value)) => Self::Integer(value),
            (b'$' | b'*', Some(..0)) => Self::Nil,
            (b'$', Some(length)) => {
                let bytes = usize::try_from(length).ok().and_then(|length| rest.get(..length));
                Self::Bulk(bytes.ok_or_else(|| malformed(raw))?)
            }
            (b'*', Some(length)) => Self::Array(Array { rest, left: usize::try_from(length).unwrap_or_default() }),
            (b'-', _) => {
                return Err(ServerError::Answer(String::from_utf8_lossy(text).into_owned()));
            }
            _ => return Err(malformed(raw)),
        })
    }

    /// The string, if it is one.
    pub(in crate::db) fn bulk(self) -> Option<&'a [u8]> {
        match self {
            Self::Bulk(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The parts, none if it is no array.
    pub(in crate::db) fn parts(self) -> Array<'a> {
        match self {
            Self::Array(array) => array,
            _ => Array { rest: &[], left: 0 },
        }
    }
}

/// The parts of an array, one by one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::db) struct Array<'a> {
    rest: &'a [u8],
    left: usize,
}

impl<'a> Iterator for Array<'a> {
    type Item = ServerResult<Reply<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        Some(match length(self.rest) {
            Ok(Some(length)) => {
                let (raw, rest) = self.rest.split_at(length);
                self.rest = rest;
                Reply::of(raw)
            }
            Ok(None) => Err(malformed(self.rest)),
            Err(error) => Err(error),
        })
    }
}

/// How many bytes the first reply of `input` takes; `None` while it is not whole.
pub(in crate::db) fn length(input: &[u8]) -> ServerResult<Option<usize>> {
    measure(input, DEPTH)
}

fn measure(input: &[u8], depth: usize) -> ServerResult<Option<usize>> {
    let Some((line, rest)) = split_line(input) else { return Ok(None) };
    let head = input.len() - rest.len();
    let Some((kind, text)) = line.split_first().filter(|_| depth > 0) else { return Err(malformed(input)) };
    match (kind, number(text)) {
        (b'+' | b'-', _) | (b':' | b'$' | b'*', Some(..0)) | (b':', Some(_)) => Ok(Some(head)),
        (b'$', Some(length)) => {
            let end = usize::try_from(length).ok().and_then(|length| head.checked_add(length)?.checked_add(2));
            let end = end.ok_or_else(|| malformed(input))?;
            Ok((end <= input.len()).then_some(end))
        }
        (b'*', Some(count)) => {
            let mut end = head;
            for _ in 0..count {
                match measure(&input[end..], depth - 1)? {
                    Some(length) => end += length,
                    None => return Ok(None),
                }
            }
            Ok(Some(end))
        }
        _ => Err(malformed(input)),
    }
}

fn split_line(input: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = input.iter().position(|byte| *byte == b'\n')?;
    Some((input[..end].strip_suffix(b"\r").unwrap_or(&input[..end]), &input[end + 1..]))
}

/// A decimal number, as the protocol's lengths are.
fn number(text: &[u8]) -> Option<i64> {
    let (digits, sign) = text.strip_prefix(b"-").map_or((text, 1), |digits| (digits, -1));
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0i64, |value, digit| match digit {
        b'0'..=b'9' => value.checked_mul(10)?.checked_add(sign * i64::from(digit - b'0')),
        _ => None,
    })
}

fn malformed(input: &[u8]) -> ServerError {
    let shown = input[..input.len().min(32)].escape_ascii();
    std::io::Error::new(std::io::ErrorKind::InvalidData, format!("the server sent what is no reply: {shown}")).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::Trouble;
    use proptest::prelude::*;

    #[test]
    fn a_request_is_what_the_redis_crate_makes_of_it() {
        let mut out = Vec::new();
        let key = Request::default().concat(&[b"PORT_TABLE", b"|", b"Ethernet0"]);
        Request::new("HDEL").args(&key).concat(&[]).encode(&mut out);
        assert_eq!(out, redis::cmd("HDEL").arg("PORT_TABLE|Ethernet0").arg("").get_packed_command());
    }

    #[test]
    fn replies_are_measured_and_read() {
        let input = b":-4\r\n+OK\r\n$5\r\na\r\nbc\r\n*3\r\n$1\r\nx\r\n$-1\r\n*1\r\n:7\r\n-WRONGTYPE Operation against a key\r\n$-1\r\n:1";
        let mut rest = input.as_slice();
        let mut next = || {
            let (raw, after) = rest.split_at(length(rest).unwrap().unwrap());
            rest = after;
            Reply::of(raw)
        };
        assert_eq!(next().unwrap(), Reply::Integer(-4));
        assert_eq!(next().unwrap(), Reply::Status);
        assert_eq!(next().unwrap(), Reply::Bulk(b"a\r\nbc"));
        let parts: Vec<_> = next().unwrap().parts().map(Result::unwrap).collect();
        assert_eq!(parts[..2], [Reply::Bulk(b"x"), Reply::Nil]);
        assert_eq!(parts[2].clone().parts().next().unwrap().unwrap(), Reply::Integer(7));
        assert_eq!(Trouble::of(&next().unwrap_err()), Trouble::WrongType);
        assert_eq!(next().unwrap(), Reply::Nil);
        assert_eq!(length(rest).unwrap(), None);
    }

    #[test]
    fn what_is_no_reply_ends_the_connection() {
        for input in ["abc\r\n", "$x\r\n", "\r\n", "*99999999999999999999\r\n", ":\r\n", "!1\r\n"] {
            assert_eq!(Trouble::of(&length(input.as_bytes()).unwrap_err()), Trouble::Lost, "{input:?}");
        }
        let deep = "*1\r\n".repeat(2 * DEPTH);
        assert!(length(deep.as_bytes()).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_measured_without_panic(bytes in prop::collection::vec(prop::sample::select(&b"*$:+-019a\r\n"[..]), 0..64)) {
            if let Ok(Some(length)) = length(&bytes) {
                prop_assert!(length <= bytes.len());
                let _ = Reply::of(&bytes[..length]).map(|reply| reply.parts().count());
            }
        }

        #[test]
        fn a_reply_is_not_whole_before_its_last_byte(words in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 0..6)) {
            let mut out = Vec::new();
            words.iter().fold(Request::default(), Request::arg).encode(&mut out);
            for end in 0..out.len() {
                prop_assert!(length(&out[..end]).unwrap().is_none());
            }
            prop_assert_eq!(length(&out).unwrap(), Some(out.len()));
            let read: Vec<_> = Reply::of(&out).unwrap().parts().map(|part| part.unwrap().bulk().unwrap().to_vec()).collect();
            prop_assert_eq!(read, words);
        }
    }
}
