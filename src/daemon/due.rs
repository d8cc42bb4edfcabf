//! Something that has to be done at a time, for a cause.

use tokio::time::Instant;

use crate::telemetry::labels::Cause;

/// When something has to be done, and why; the earliest of several.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Due(pub(super) Option<(Instant, Cause)>);

impl Due {
    pub fn by(&mut self, at: Instant, cause: Cause) {
        if self.0.is_none_or(|(before, _)| at < before) {
            self.0 = Some((at, cause));
        }
    }

    /// Why it has to be done now, if it has.
    pub fn now(&self, now: Instant) -> Option<Cause> {
        self.0.filter(|(at, _)| *at <= now).map(|(_, cause)| cause)
    }

    /// It is being done now; what is due only later stays.
    pub fn take(&mut self, now: Instant) -> Option<Cause> {
        self.0.take_if(|(at, _)| *at <= now).map(|(_, cause)| cause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn what_is_due_later_is_not_done_by_what_is_due_now() {
        let now = Instant::now();
        let mut due = Due::default();
        due.by(now + Duration::from_secs(1), Cause::Reconnect);
        assert_eq!(due.take(now), None);
        due.by(now + Duration::from_secs(60), Cause::Audit);
        assert_eq!(due.take(now + Duration::from_secs(1)), Some(Cause::Reconnect));
        assert_eq!(due.now(now + Duration::from_secs(60)), None);
    }
}
