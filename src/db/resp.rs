//! Redis' protocol (RESP2) as far as rows are written in it: commands out, one-line replies in, without allocating.
//!
//! Whatever is read goes by the redis crate. The commands that write rows are answered with one line each (`:1`, `+OK`,
//! `-ERR …`), so that a reply is a line and nothing else.

use redis::{RedisError, Value, parse_redis_value};

/// Begins a command of `words` words.
pub(super) fn command(out: &mut Vec<u8>, words: usize) {
    head(out, b'*', words);
}

/// The next word of a command, in parts.
pub(super) fn word(out: &mut Vec<u8>, parts: &[&[u8]]) {
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

/// The first reply of `input`: how many bytes it takes, and what it says. `None` while it is not whole.
pub(super) fn reply(input: &[u8]) -> Option<(usize, Result<(), RedisError>)> {
    let length = input.iter().position(|byte| *byte == b'\n')? + 1;
    let line = &input[..length];
    let outcome = match line[0] {
        b':' | b'+' => Ok(()),
        b'-' => parse_redis_value(line).and_then(Value::extract_error).map(|_| ()),
        other => Err(std::io::Error::new(
            std::io::ErrorKind::InvalidData,
            format!("the server answered a write with a reply of type {:?}", char::from(other)),
        )
        .into()),
    };
    Some((length, outcome))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::Trouble;

    #[test]
    fn a_command_is_what_the_redis_crate_makes_of_it() {
        let mut out = Vec::new();
        command(&mut out, 3);
        word(&mut out, &[b"HDEL"]);
        word(&mut out, &[b"PORT_TABLE", b"|", b"Ethernet0"]);
        word(&mut out, &[]);
        assert_eq!(out, redis::cmd("HDEL").arg("PORT_TABLE|Ethernet0").arg("").get_packed_command());
    }

    #[test]
    fn replies_are_taken_one_by_one_and_only_when_whole() {
        let input = b":4\r\n+OK\r\n-WRONGTYPE Operation against a key\r\n:1";
        let (first, outcome) = reply(input).unwrap();
        assert!(first == 4 && outcome.is_ok());
        let (second, outcome) = reply(&input[4..]).unwrap();
        assert!(second == 5 && outcome.is_ok());
        let (_, outcome) = reply(&input[9..]).unwrap();
        assert_eq!(Trouble::of(&outcome.unwrap_err()), Trouble::WrongType);
        assert!(reply(b":1").is_none() && reply(b"").is_none());
    }

    #[test]
    fn a_reply_of_another_kind_ends_the_connection() {
        let (_, outcome) = reply(b"$3\r\nabc\r\n").unwrap();
        assert_eq!(Trouble::of(&outcome.unwrap_err()), Trouble::Lost);
    }
}
