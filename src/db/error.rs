//! What Redis answered when it did not answer well, sorted by what has to be done about it.

use redis::{ErrorKind, RedisError, RedisResult};
use thiserror::Error;

/// A failed operation on a database.
#[derive(Debug, Error)]
#[error("{operation}")]
pub struct StoreError {
    pub operation: &'static str,
    /// What Redis or the connection said.
    #[source]
    pub source: RedisError,
}

impl StoreError {
    /// The server was asked, and did not answer in time.
    pub fn no_answer(operation: &'static str) -> Self {
        Self { operation, source: late("redis.response_timeout") }
    }

    /// For `map_err`: names the operation.
    pub fn doing(operation: &'static str) -> impl Fn(RedisError) -> Self + Copy {
        move |source| Self { operation, source }
    }

    /// What has to be done about it.
    pub fn trouble(&self) -> Trouble {
        Trouble::of(&self.source)
    }
}

/// Nothing came within this setting's time.
pub(super) fn late(setting: &str) -> RedisError {
    (ErrorKind::Io, "no answer in time", format!("within {setting}")).into()
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
pub(super) fn unless_wrong_type<T>(reply: RedisResult<T>) -> RedisResult<Option<T>> {
    match reply {
        Err(error) if Trouble::of(&error) == Trouble::WrongType => Ok(None),
        reply => reply.map(Some),
    }
}

impl Trouble {
    pub fn of(error: &RedisError) -> Self {
        let says = |what: &str| error.detail().is_some_and(|detail| detail.contains(what));
        match (error.code(), error.kind()) {
            (Some("WRONGTYPE"), _) => Self::WrongType,
            (Some("NOSCRIPT"), _) => Self::NoScript,
            // A script hands the answer of its own command on within its own error, in a form that differs by version.
            (Some(_), ErrorKind::Server(_) | ErrorKind::Extension) if says("WRONGTYPE") => Self::WrongType,
            (Some(_), ErrorKind::Server(_) | ErrorKind::Extension) => Self::Refused,
            _ => Self::Lost,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use redis::{FromRedisValue, Value, parse_redis_value};

    fn answer(line: &str) -> RedisError {
        let value = parse_redis_value(format!("-{line}\r\n").as_bytes()).unwrap();
        <Result<Value, RedisError>>::from_redis_value(value).unwrap().unwrap_err()
    }

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
            assert_eq!(Trouble::of(&answer(line)), want, "{line}");
        }
        assert_eq!(Trouble::of(&std::io::Error::from(std::io::ErrorKind::BrokenPipe).into()), Trouble::Lost);
    }
}
