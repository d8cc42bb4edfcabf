//! What Redis answered when it did not answer well, sorted by what has to be done about it.

use std::io;

use thiserror::Error;

use crate::printable::Printable;

/// A failed operation on a database: what was to be done, and why it was not.
#[derive(Debug, Error)]
#[error("{operation}: {reason}")]
pub struct StoreError {
    pub operation: &'static str,
    pub reason: ServerError,
}

/// What a server answered, or what became of the connection.
#[derive(Debug, Error)]
pub enum ServerError {
    #[error("{}", in_words(.0))]
    Connection(#[from] io::Error),
    /// Nothing came within this setting's time.
    #[error("no answer within {0}")]
    Late(&'static str),
    /// The server's own words: a code, and what it means.
    #[error("{}", Printable(.0))]
    Answer(String),
}

pub type ServerResult<T> = Result<T, ServerError>;

impl StoreError {
    /// The server was asked, and did not answer in time.
    pub fn no_answer(operation: &'static str) -> Self {
        Self { operation, reason: ServerError::Late("redis.response_timeout") }
    }

    /// For `map_err`: names the operation.
    pub fn doing(operation: &'static str) -> impl Fn(ServerError) -> Self + Copy {
        move |reason| Self { operation, reason }
    }

    /// What has to be done about it.
    pub fn trouble(&self) -> Trouble {
        Trouble::of(&self.reason)
    }
}

impl ServerError {
    /// The user may not do this (ACL). That is no fault of the server's, nor does it pass.
    pub fn is_denied(&self) -> bool {
        matches!(self, Self::Answer(line) if line.starts_with("NOPERM"))
    }
}

/// Without the number that the standard library adds.
fn in_words(error: &io::Error) -> String {
    let text = error.to_string();
    match (error.kind(), text.find(" (os error")) {
        (io::ErrorKind::UnexpectedEof, _) => "the server ended the connection".to_owned(),
        (_, Some(end)) => text[..end].to_owned(),
        (_, None) => text,
    }
}

/// What has to be done about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The connection is of no further use: connect again, compare, write what differs.
    Lost,
    /// The server does not know our script: load it, then try again.
    NoScript,
    /// The key holds another type. Trying again helps nobody; the other keys are fine.
    WrongType,
    /// The server refuses for now (`OOM`, `READONLY`, `LOADING`, `BUSY`, `MISCONF`, …): try again later.
    Refused,
}

/// Nothing for a key of another type.
pub(super) fn unless_wrong_type<T>(reply: ServerResult<T>) -> ServerResult<Option<T>> {
    match reply {
        Err(error) if Trouble::of(&error) == Trouble::WrongType => Ok(None),
        reply => reply.map(Some),
    }
}

impl Trouble {
    pub fn of(error: &ServerError) -> Self {
        match error {
            ServerError::Connection(_) | ServerError::Late(_) => Self::Lost,
            // A script hands the answer of its own command on within its own error, in a form that differs by version.
            ServerError::Answer(line) if line.contains("WRONGTYPE") => Self::WrongType,
            ServerError::Answer(line) if line.starts_with("NOSCRIPT") => Self::NoScript,
            ServerError::Answer(_) => Self::Refused,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_sorted_by_what_helps() {
        let script = "ERR Error running script (call to f_1): @user_script:3: WRONGTYPE Operation against a key";
        for (line, want) in [
            ("WRONGTYPE Operation against a key holding the wrong kind of value", Trouble::WrongType),
            (script, Trouble::WrongType),
            ("NOSCRIPT No matching script. Please use EVAL.", Trouble::NoScript),
            ("OOM command not allowed when used memory > 'maxmemory'.", Trouble::Refused),
            ("READONLY You can't write against a read only replica.", Trouble::Refused),
            ("LOADING Redis is loading the dataset in memory", Trouble::Refused),
            ("BUSY Redis is busy running a script.", Trouble::Refused),
            ("MISCONF Redis is configured to save RDB snapshots", Trouble::Refused),
            ("NOAUTH Authentication required.", Trouble::Refused),
            ("ERR unknown", Trouble::Refused),
        ] {
            assert_eq!(Trouble::of(&ServerError::Answer(line.to_owned())), want, "{line}");
        }
        assert_eq!(Trouble::of(&io::Error::from(io::ErrorKind::BrokenPipe).into()), Trouble::Lost);
    }

    #[test]
    fn errors_are_said_once_in_plain_words() {
        let refused = io::Error::from_raw_os_error(nix::errno::Errno::ECONNREFUSED as i32);
        let text = StoreError::doing("cannot connect to Redis")(refused.into()).to_string();
        assert_eq!(text, "cannot connect to Redis: Connection refused");
        let oom = "OOM command not allowed when used memory > 'maxmemory'.";
        assert_eq!(ServerError::Answer(oom.to_owned()).to_string(), oom);
        assert_eq!(ServerError::Answer("ERR \u{1b}[31m".to_owned()).to_string(), "ERR \\u{1b}[31m");
        assert_eq!(
            StoreError::no_answer("cannot ask").to_string(),
            "cannot ask: no answer within redis.response_timeout"
        );
    }
}
