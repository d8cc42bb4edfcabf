//! What the laboratory and the tests share: a throwaway Redis, private network namespaces, fake ports on veth pairs.
//!
//! Nothing here is a mock: [`redis_server`] runs the real redis-server, [`netns`] and [`links`] use the real kernel,
//! [`consumer`] and [`producer`] speak the protocol of `SONiC`'s `ConsumerStateTable` and `ProducerStateTable`. [`orchagent`] and
//! [`intfmgrd`] say and do what those two make of the daemon's rows. The daemon uses none of it.

use std::io;
use std::time::Duration;

use crate::db::StoreError;

pub mod batch;
pub mod captured;
pub mod certificates;
pub mod consumer;
pub mod intfmgrd;
pub mod links;
pub mod messages;
pub mod netns;
pub mod notifications;
pub mod orchagent;
pub mod pipeline;
pub mod ports;
pub mod producer;
pub mod redis_server;
pub mod wait;

/// What can go wrong in the laboratory; every message says what was being done and, where possible, what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No network namespace could be made.
    #[error("cannot create a network namespace: {reason}; {hint}")]
    Namespace { reason: String, hint: &'static str },
    /// A program could not be started.
    #[error("cannot start {program}{hint}")]
    Spawn {
        /// The program as it was called.
        program: String,
        source: io::Error,
        /// The package that has it, if it is missing.
        hint: &'static str,
    },
    /// The Redis server ended, or never became ready.
    #[error("redis-server did not become ready: {reason}; its log ends with: {log}")]
    RedisNotReady {
        reason: String,
        /// The last lines of its log.
        log: String,
    },
    /// A condition did not come true in time.
    #[error("waited {limit:?} in vain for {what}")]
    Timeout { what: String, limit: Duration },
    /// The kernel refused a request about a link.
    #[error("cannot {operation}")]
    Link { operation: String, source: rtnetlink::Error },
    /// A port cannot be broken out.
    #[error("cannot break {port} out into {into}: {why}")]
    Breakout { port: String, into: usize, why: String },
    /// A Redis command failed.
    #[error(transparent)]
    Redis(#[from] redis::RedisError),
    /// An operation of the daemon's on a database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file, process or socket failed.
    #[error("cannot {operation}")]
    Io { operation: String, source: io::Error },
}

impl Error {
    /// An [`Error::Io`] made from whatever the system answered.
    pub(crate) fn io(operation: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let operation = operation.into();
        move |source| Self::Io { operation, source }
    }
}
