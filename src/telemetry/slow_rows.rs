//! Ports whose rows were late last: what the latency's slow buckets are examples of.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Duration;

use crate::clock::now_ms;
use crate::link::LinkName;
use crate::locks::lock;

/// A row that takes less is nobody's concern, and costs no more than this comparison.
const SLOW: Duration = Duration::from_millis(10);
const KEPT: usize = 32;

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SlowRow {
    pub port: LinkName,
    /// From the message to Redis' acknowledgement.
    pub latency: Duration,
    /// When it was acknowledged, in milliseconds of Unix time.
    pub at_ms: u64,
}

#[derive(Debug, Default)]
pub struct SlowRows(Mutex<VecDeque<SlowRow>>);

impl SlowRows {
    /// A port's row took so long.
    pub fn note(&self, port: LinkName, latency: Duration) {
        if latency < SLOW {
            return;
        }
        let mut rows = lock(&self.0);
        rows.truncate(KEPT - 1);
        rows.push_front(SlowRow { port, latency, at_ms: now_ms() });
    }

    /// The last ones, the newest first.
    pub fn last(&self) -> Vec<SlowRow> {
        lock(&self.0).iter().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_slow_rows_are_kept_and_no_others() {
        let rows = SlowRows::default();
        for ms in 1..100 {
            rows.note(LinkName::new(b"Ethernet0").unwrap(), Duration::from_millis(ms));
        }
        let last = rows.last();
        assert_eq!(
            (last.len(), last[0].latency, last[KEPT - 1].latency.as_millis()),
            (KEPT, Duration::from_millis(99), 68)
        );
        let fast = SlowRows::default();
        fast.note(LinkName::new(b"Ethernet0").unwrap(), Duration::from_millis(9));
        assert_eq!(fast.last(), []);
    }
}
