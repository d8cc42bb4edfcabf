//! What fires, and what ended not long ago: for receivers that are sent all of it again and again.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::alert::model::{Fingerprint, Notification};
use crate::clock::{now_ms, seconds};

/// For how long an end is sent again, as Prometheus does: a receiver may have missed it.
const ENDED_FOR: Duration = Duration::from_secs(15 * 60);

#[derive(Debug, Default)]
pub(super) struct ActiveSet {
    alerts: BTreeMap<Fingerprint, (Arc<Notification>, Instant)>,
    /// When all of it was sent, or when there was something to send at first.
    resent: Option<Instant>,
    /// The receiver may know nothing, or what does not hold.
    overdue: bool,
    /// Whether it was said what fires.
    known: bool,
}

impl ActiveSet {
    /// `capacity`: as many are kept for ends to be kept too.
    pub fn insert(&mut self, alert: &Arc<Notification>, capacity: usize, now: Instant) {
        if self.alerts.is_empty() {
            self.resent = Some(now);
        }
        if alert.ended.is_some() && self.alerts.len() > capacity {
            self.alerts.remove(&alert.alert.fingerprint);
        } else {
            self.alerts.insert(alert.alert.fingerprint, (Arc::clone(alert), now));
        }
    }

    /// Ends of what fires and is not wanted any longer. `all`: nothing else fires.
    pub fn ends_of_others(&mut self, wanted: &[Arc<Notification>], all: bool) -> Vec<Arc<Notification>> {
        self.known |= all;
        let wanted: HashSet<Fingerprint> = wanted.iter().map(|alert| alert.alert.fingerprint).collect();
        let others = self.alerts.iter().filter(|(name, (alert, _))| alert.ended.is_none() && !wanted.contains(name));
        let now = seconds(now_ms());
        others.map(|(_, (alert, _))| Arc::new(alert.end(now))).collect()
    }

    pub fn all(&mut self, now: Instant) -> Vec<Arc<Notification>> {
        self.alerts
            .retain(|_, (alert, since)| alert.ended.is_none() || now.saturating_duration_since(*since) < ENDED_FOR);
        self.alerts.values().map(|(alert, _)| Arc::clone(alert)).collect()
    }

    pub fn resend_at_once(&mut self) {
        self.overdue = true;
    }

    pub fn resent(&mut self, now: Instant) {
        (self.resent, self.overdue) = (Some(now), false);
    }

    /// When all of it is to be sent again; `None`: there is nothing.
    pub fn due(&self, resend_interval: Duration) -> Option<Instant> {
        if self.overdue {
            return self.known.then(Instant::now);
        }
        let resent = self.resent.filter(|_| !self.alerts.is_empty())?;
        Some(resent + resend_interval)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::notifications::{fires, resolved};

    #[test]
    fn an_end_is_sent_for_a_while_and_not_beside_a_new_beginning() {
        let (mut active, now) = (ActiveSet::default(), Instant::now());
        active.insert(&Arc::new(fires(0)), 10, now);
        active.insert(&Arc::new(resolved(0)), 10, now);
        assert!(active.all(now).iter().all(|alert| alert.ended.is_some()));
        assert_eq!(active.all(now + ENDED_FOR / 2).len(), 1);
        active.insert(&Arc::new(fires(0)), 10, now);
        assert_eq!(active.all(now).iter().filter(|alert| alert.ended.is_none()).count(), 1);
        active.insert(&Arc::new(resolved(0)), 10, now);
        assert!(active.all(now + ENDED_FOR).is_empty());
        assert_eq!(active.due(ENDED_FOR), None);
    }

    #[test]
    fn what_others_left_there_stays_until_it_is_known_what_fires() {
        let mut active = ActiveSet::default();
        active.resend_at_once();
        active.ends_of_others(&[], false);
        assert_eq!(active.due(ENDED_FOR), None, "rules are not known yet");
        active.ends_of_others(&[], true);
        assert!(active.due(ENDED_FOR).is_some());
    }

    #[test]
    fn what_is_wanted_no_longer_ends() {
        let (mut active, now) = (ActiveSet::default(), Instant::now());
        let [first, second, third] = [fires(0), fires(4), resolved(8)].map(Arc::new);
        for alert in [&first, &second, &third] {
            active.insert(alert, 10, now);
        }
        let ends = active.ends_of_others(&[second], true);
        assert_eq!(ends.iter().map(|end| end.alert.fingerprint).collect::<Vec<_>>(), [first.alert.fingerprint]);
        assert!(ends[0].ended.is_some() && ends[0].alert.annotations.is_empty(), "it flaps no longer");
    }
}
