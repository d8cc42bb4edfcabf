//! Answers that cost something, made once for all who ask at about the same time.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use hyper::body::Bytes;

/// How old an answer may be. Short enough that nobody notices, long enough that a hundred clients cost little more than one.
const FRESH: Duration = Duration::from_millis(250);

#[derive(Debug, Default)]
pub(super) struct Answers {
    /// `/metrics`.
    pub metrics: Answer,
    /// `/api/v1/status`.
    pub status: Answer,
    /// `/api/v1/ports`.
    pub ports: Answer,
}

#[derive(Debug, Default)]
pub(super) struct Answer {
    last: Mutex<Option<(Instant, Bytes)>>,
}

impl Answer {
    /// The last one if it is fresh, else a new one.
    pub fn get(&self, make: impl FnOnce() -> Bytes) -> Bytes {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, body)) = last.as_ref().filter(|(at, _)| at.elapsed() < FRESH) {
            return body.clone();
        }
        let body = make();
        *last = Some((Instant::now(), body.clone()));
        body
    }

    /// The next one is a new one.
    pub fn forget(&self) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}
