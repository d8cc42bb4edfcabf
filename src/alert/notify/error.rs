//! Why a delivery failed, and whether it may work another time.

use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use thiserror::Error;

use crate::db::{ServerError, StoreError};

/// A delivery that failed.
#[derive(Debug, Error)]
pub(super) enum DeliveryError {
    #[error("no answer within timeout = \"{}\"", humantime::format_duration(*.0))]
    Late(Duration),
    #[error("cannot connect to {server}: {source}")]
    Connect { server: String, source: io::Error },
    #[error("{server} broke off: {source}")]
    Exchange { server: String, source: hyper::Error },
    #[error("{server} answered {code}{}{text}", if .text.is_empty() { "" } else { ": " })]
    Answer { server: String, code: u16, text: String },
    #[error("{key} = {:?} cannot be used: {source}", .path.display().to_string())]
    File { key: &'static str, path: PathBuf, source: io::Error },
    #[error("cannot make a request: {0}")]
    Request(#[from] hyper::http::Error),
    #[error("cannot make a message: {0}")]
    Message(#[from] serde_json::Error),
    #[error(transparent)]
    Redis(#[from] StoreError),
    #[error("STATE_DB does not take all rows: {0}")]
    Rows(ServerError),
    #[error("cannot start {:?}: {source}", .program.display().to_string())]
    Start { program: PathBuf, source: io::Error },
    #[error("panic: {0}")]
    Panic(String),
    #[error("the program ended with {status}{}{text}", if .text.is_empty() { "" } else { ": " })]
    Exit { status: ExitStatus, text: String },
}

/// What programs of sendmail's tradition say of input that will not get better (`EX_DATAERR` of sysexits.h).
const DATA_ERROR: i32 = 65;

impl DeliveryError {
    /// Whether another attempt makes sense. What the operator or the receiver's can mend does: only what says that this
    /// very message is at fault does not.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Answer { code, .. } => !matches!(code, 400 | 413 | 415 | 422),
            Self::Exit { status, .. } => status.code() != Some(DATA_ERROR),
            Self::Message(_) => false,
            _ => true,
        }
    }
}
