//! Answers that cost something, made once for all who ask at about the same time.

use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use hyper::body::Bytes;
use tokio::sync::OnceCell;

use super::{ExpositionHook, gzip};
use crate::locks::lock;

/// How old an answer may be. Short enough that nobody notices, long enough that a hundred clients cost little more than one.
const FRESH: Duration = Duration::from_millis(250);

#[derive(Debug, Default)]
pub(super) struct Answers {
    /// `/metrics`.
    pub metrics: CachedAnswer,
    /// The same in `OpenMetrics`' format.
    pub openmetrics: CachedAnswer,
    /// `/api/v1/status`.
    pub status: CachedAnswer,
    /// `/api/v1/ports`.
    pub ports: CachedAnswer,
}

#[derive(Debug, Default)]
pub(super) struct CachedAnswer {
    last: Mutex<Option<(Instant, Made)>>,
}

/// An answer as it is and, once somebody wanted it so, compressed.
#[derive(Clone, Debug)]
pub(super) struct Made {
    plain: Bytes,
    packed: Arc<OnceLock<Bytes>>,
    noted: Arc<OnceCell<()>>,
}

impl CachedAnswer {
    /// The last one if it is fresh, else a new one.
    pub fn get(&self, make: impl FnOnce() -> Bytes) -> Made {
        let mut last = lock(&self.last);
        if let Some((_, made)) = last.as_ref().filter(|(at, _)| at.elapsed() < FRESH) {
            return made.clone();
        }
        let made = Made::from(make());
        *last = Some((Instant::now(), made.clone()));
        made
    }

    /// The next one is a new one.
    pub fn forget(&self) {
        *lock(&self.last) = None;
    }
}

impl From<Bytes> for Made {
    fn from(plain: Bytes) -> Self {
        Self { plain, packed: Arc::default(), noted: Arc::default() }
    }
}

impl Made {
    pub fn is_large(&self) -> bool {
        self.plain.len() >= gzip::WORTH_IT
    }

    pub fn plain(&self) -> Bytes {
        self.plain.clone()
    }

    /// To be called before it is shown: the first caller notes what it shows, and whoever comes meanwhile waits for that.
    pub async fn note(&self, exposed: &ExpositionHook) {
        self.noted.get_or_init(exposed).await;
    }

    pub fn packed(&self) -> Bytes {
        self.packed.get_or_init(|| gzip::compress(&self.plain)).clone()
    }
}
