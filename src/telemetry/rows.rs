//! What keeps rows from being right though they are compared: Redis refuses them, or another portsyncd writes them too.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::clock::{now_ms, seconds};
use crate::locks::lock;

/// A refusal that lasts so long is more than a pause.
const LASTS: Duration = Duration::from_secs(10);

#[derive(Debug, Default)]
pub struct RowTrouble {
    refusal: Mutex<Option<Problem>>,
    rival: Mutex<Option<Problem>>,
}

#[derive(Clone, Debug)]
struct Problem {
    text: String,
    since: Instant,
    since_ms: u64,
}

impl RowTrouble {
    /// Redis refuses rows, and says this.
    pub fn refused(&self, reason: &str) {
        note(&self.refusal, Some(format!("Redis refuses rows: {reason}")));
    }

    /// Redis takes rows, as far as is known.
    pub fn accepted(&self) {
        note(&self.refusal, None);
    }

    /// Another daemon writes the same rows, or none does. True if that is news.
    pub fn set_rival(&self, rival: Option<String>) -> bool {
        note(&self.rival, rival)
    }

    /// What Redis says, as long as it refuses rows.
    pub fn refusal(&self) -> Option<String> {
        lock(&self.refusal).as_ref().map(|problem| problem.text.clone())
    }

    /// Why the daemon is not ready for this, and since when (Unix time).
    pub fn unready(&self) -> Option<(String, f64)> {
        let lasting = lock(&self.refusal).clone().filter(|problem| problem.since.elapsed() >= LASTS);
        let problem = lock(&self.rival).clone().or(lasting)?;
        Some((problem.text, seconds(problem.since_ms)))
    }
}

/// True if it was not said before in these words.
fn note(place: &Mutex<Option<Problem>>, text: Option<String>) -> bool {
    let mut problem = lock(place);
    let is_news = problem.as_ref().map(|known| &known.text) != text.as_ref();
    match (&mut *problem, text) {
        (Some(known), Some(text)) => known.text = text,
        (place, text) => {
            *place = text.map(|text| Problem { text, since: Instant::now(), since_ms: now_ms() });
        }
    }
    is_news
}

#[cfg(test)]
impl RowTrouble {
    /// Redis has refused rows for longer than is tolerated.
    pub fn refused_for_long(&self, reason: &str) {
        self.refused(reason);
        if let Some(problem) = lock(&self.refusal).as_mut() {
            problem.since = Instant::now().checked_sub(LASTS).unwrap_or(problem.since);
        }
    }
}
