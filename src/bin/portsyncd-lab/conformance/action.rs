//! What can happen in a scenario: one line of words each.

use anyhow::{Context, bail};

use super::scenario::number;

/// Every kind of action, for messages.
const FORMS: &str = "\
start | stop SIGNAL | consume | redis kill|restart|pause|resume|flush | row DB KEY FIELD=VALUE… | \
delete DB KEY | unset DB KEY FIELD… | string DB KEY VALUE | veth|bridge|ifb NAME | macvlan NAME LOWER | remove NAME | \
up|down NAME | mtu NAME N | rename NAME NEW | master NAME BRIDGE | nomaster NAME | plug|unplug NAME | away NAME";

/// Something that happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Action {
    /// The executable starts.
    Start,
    /// The executable gets a signal, and ends.
    Stop(String),
    /// orchagent pops what was published.
    Consume,
    /// The server: kill, restart, pause, resume, flush.
    Redis(String),
    /// Fields of a hash are set.
    Row(i64, Vec<u8>, Vec<(Vec<u8>, Vec<u8>)>),
    /// A key is deleted.
    Delete(i64, Vec<u8>),
    /// Fields of a hash are deleted.
    Unset(i64, Vec<u8>, Vec<Vec<u8>>),
    /// A key becomes a string.
    Text(i64, Vec<u8>, Vec<u8>),
    /// Something about a link, with its further words.
    Link(String, String, Option<String>),
}

impl Action {
    /// Reads a line. Words are divided by blanks; `\x00`, `\s` (a blank), `\n`, `\\` stand for bytes.
    pub fn parse(line: &str) -> anyhow::Result<Self> {
        Self::read(line).with_context(|| format!("action {line:?}; right is one of: {FORMS}"))
    }

    fn read(line: &str) -> anyhow::Result<Self> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let bytes = |word: &&str| unescape(word);
        Ok(match words.as_slice() {
            ["start"] => Self::Start,
            ["stop", signal @ ("TERM" | "INT" | "KILL")] => Self::Stop((*signal).to_owned()),
            ["consume"] => Self::Consume,
            ["redis", what @ ("kill" | "restart" | "pause" | "resume" | "flush")] => Self::Redis((*what).to_owned()),
            ["row", db, key, fields @ ..] if !fields.is_empty() => {
                let pair = |field: &&str| {
                    let (field, value) = field.split_once('=').with_context(|| format!("{field:?} has no ="))?;
                    anyhow::Ok((unescape(field)?, unescape(value)?))
                };
                Self::Row(number(db)?, unescape(key)?, fields.iter().map(pair).collect::<Result<_, _>>()?)
            }
            ["delete", db, key] => Self::Delete(number(db)?, unescape(key)?),
            ["unset", db, key, fields @ ..] if !fields.is_empty() => {
                Self::Unset(number(db)?, unescape(key)?, fields.iter().map(bytes).collect::<Result<_, _>>()?)
            }
            ["string", db, key, value] => Self::Text(number(db)?, unescape(key)?, unescape(value)?),
            [
                what @ ("veth" | "bridge" | "ifb" | "remove" | "up" | "down" | "nomaster" | "plug" | "unplug" | "away"),
                name,
            ] => Self::Link((*what).to_owned(), (*name).to_owned(), None),
            ["mtu", name, mtu] => {
                mtu.parse::<u32>().with_context(|| format!("{mtu:?} is no number"))?;
                Self::Link("mtu".to_owned(), (*name).to_owned(), Some((*mtu).to_owned()))
            }
            [what @ ("macvlan" | "rename" | "master"), name, other] => {
                Self::Link((*what).to_owned(), (*name).to_owned(), Some((*other).to_owned()))
            }
            _ => bail!("not understood"),
        })
    }
}

fn unescape(word: &str) -> anyhow::Result<Vec<u8>> {
    let (mut out, mut rest) = (Vec::new(), word.as_bytes());
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        if *byte != b'\\' {
            out.push(*byte);
            continue;
        }
        let (kind, after) = rest.split_first().context("a backslash at the end")?;
        rest = after;
        match kind {
            b's' => out.push(b' '),
            b'n' => out.push(b'\n'),
            b'\\' => out.push(b'\\'),
            b'x' => {
                let digits = rest.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
                out.push(digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()).context("\\x needs two digits")?);
                rest = &rest[2..];
            }
            _ => bail!("\\{} means nothing; \\x00, \\s, \\n and \\\\ do", char::from(*kind)),
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_byte_by_byte() {
        let row = Action::parse(r"row CONFIG_DB PORT|Eth\s0 a=b=c \xff=\\").unwrap();
        let fields = vec![(b"a".to_vec(), b"b=c".to_vec()), (vec![0xff], b"\\".to_vec())];
        assert_eq!(row, Action::Row(4, b"PORT|Eth 0".to_vec(), fields));
    }

    #[test]
    fn a_wrong_line_is_told_with_what_would_be_right() {
        for line in ["veht Ethernet0", "row NO_DB k a=b", "row APPL_DB k", r"delete APPL_DB \q", "mtu Ethernet0 many"] {
            let message = format!("{:#}", Action::parse(line).unwrap_err());
            assert!(message.contains(line.split(' ').next().unwrap()) && message.contains("veth|bridge|ifb NAME"), "{message}");
        }
    }
}
