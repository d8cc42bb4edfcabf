//! A limit on how often one and the same message is logged.
//!
//! A message is told by the place in the source that logs it. Each place may log a burst, and then goes on at a low rate.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use tracing::callsite::Identifier;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use crate::locks::lock;

/// Lines that a place may log at once: every port of a large switch changing once is no repeat.
const BURST: f64 = 2000.0;
/// Lines a second after that.
const RATE: f64 = 10.0;

#[derive(Debug)]
struct Bucket {
    tokens: f64,
    filled: Instant,
}

/// Counts each place's lines.
#[derive(Debug, Default)]
pub struct Limit {
    buckets: Mutex<HashMap<Identifier, Bucket>>,
    left_out: AtomicU64,
}

impl Limit {
    fn allows(&self, place: Identifier, now: Instant) -> bool {
        let mut buckets = lock(&self.buckets);
        let bucket = buckets.entry(place).or_insert(Bucket { tokens: BURST, filled: now });
        let passed = now.saturating_duration_since(bucket.filled).as_secs_f64();
        bucket.filled = now;
        bucket.tokens = (bucket.tokens + passed * RATE).min(BURST);
        let allowed = bucket.tokens >= 1.0;
        if allowed {
            bucket.tokens -= 1.0;
        } else {
            self.left_out.fetch_add(1, Ordering::Relaxed);
        }
        allowed
    }

    pub(super) fn take_left_out(&self) -> u64 {
        self.left_out.swap(0, Ordering::Relaxed)
    }

    pub(super) fn has_left_out(&self) -> bool {
        self.left_out.load(Ordering::Relaxed) > 0
    }
}

/// Applies the limit to everything but what was asked for in detail (tracing's debug and trace).
#[derive(Debug)]
pub struct LimitLayer(pub std::sync::Arc<Limit>);

impl<S: Subscriber> Layer<S> for LimitLayer {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        *event.metadata().level() > Level::INFO || self.0.allows(event.metadata().callsite(), Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn place() -> Identifier {
        struct Here;
        static HERE: Here = Here;
        impl tracing::Callsite for Here {
            fn set_interest(&self, _: tracing::subscriber::Interest) {}
            fn metadata(&self) -> &tracing::Metadata<'_> {
                unreachable!("only its address matters")
            }
        }
        Identifier(&HERE)
    }

    #[test]
    fn a_burst_passes_then_the_rate_holds_and_the_rest_is_counted() {
        let (limit, start) = (Limit::default(), Instant::now());
        let allowed = |count: usize, now| (0..count).filter(|_| limit.allows(place(), now)).count();
        assert_eq!(allowed(3000, start), 2000);
        assert_eq!(allowed(100, start + Duration::from_secs(5)), 50);
        assert!(limit.has_left_out());
        assert_eq!(limit.take_left_out(), 1050);
        assert!(!limit.has_left_out());
    }
}
