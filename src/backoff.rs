//! How long to wait before something that failed is tried again.

use std::time::Duration;

/// Pauses that double from `min` to `max`. Each is longer by up to `jitter` of itself, at random and never beyond `max`, so
/// that those who failed together do not all come back together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Backoff {
    pub min: Duration,
    pub max: Duration,
    /// A share, 0 to 1.
    pub jitter: f64,
}

/// The pauses of a [`Backoff`]. They have no end.
#[derive(Clone, Debug)]
pub struct Pauses {
    backoff: Backoff,
    next: Duration,
}

impl Backoff {
    /// Begins with the first pause.
    pub fn pauses(self) -> Pauses {
        Pauses { backoff: self, next: self.min.min(self.max) }
    }
}

impl Pauses {
    pub fn next_pause(&mut self) -> Duration {
        self.next_pause_within(self.backoff.max)
    }

    /// As long as `most` holds in place of `max`, if that is less, pauses do not grow beyond it.
    pub fn next_pause_within(&mut self, most: Duration) -> Duration {
        let Backoff { min, max, jitter } = self.backoff;
        let most = most.max(min).min(max);
        let pause = self.next.min(most);
        self.next = pause.saturating_mul(2).min(max);
        (pause + pause.mul_f64(jitter * fastrand::f64())).min(most)
    }

    /// The pause that comes next, if nothing shortens it.
    pub fn upcoming(&self) -> Duration {
        self.next
    }

    /// It worked: the next pause is the first again.
    pub fn reset(&mut self) {
        *self = self.backoff.pauses();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn pauses_double_up_to_the_longest_and_begin_anew_after_success() {
        let mut pauses = Backoff { min: SECOND, max: SECOND * 5, jitter: 0.0 }.pauses();
        let four: Vec<Duration> = (0..4).map(|_| pauses.next_pause()).collect();
        assert_eq!(four, [SECOND, SECOND * 2, SECOND * 4, SECOND * 5]);
        pauses.reset();
        assert_eq!(pauses.next_pause(), SECOND);
    }

    #[test]
    fn jitter_lengthens_within_its_share_and_never_beyond_the_longest() {
        for _ in 0..100 {
            let mut pauses = Backoff { min: SECOND, max: SECOND * 2, jitter: 0.5 }.pauses();
            let (first, second) = (pauses.next_pause(), pauses.next_pause());
            assert!((SECOND..=SECOND.mul_f64(1.5)).contains(&first), "{first:?}");
            assert_eq!(second, SECOND * 2);
        }
    }
}
