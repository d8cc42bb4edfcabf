//! The ports whose link is there but whose APPL_DB row is not yet.
//!
//! Where the server tells of changes, each such port's key is listened to, and only those: orchagent writes to the other
//! rows all the time. Elsewhere the keys are looked for again and again, ever more seldom.

use std::collections::HashSet;
use std::time::Duration;

use tokio::time::Instant;

use crate::link::LinkName;

const FIRST: Duration = Duration::from_millis(50);
const LAST: Duration = Duration::from_secs(15);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Watch {
    awaited: HashSet<LinkName>,
    unchecked: HashSet<LinkName>,
    subscribed: HashSet<LinkName>,
    /// Subscribed, but no longer awaited.
    unwanted: Vec<LinkName>,
    /// When to look again without being told.
    again: Option<(Instant, Duration)>,
    polling: bool,
}

impl Watch {
    pub fn add(&mut self, name: LinkName) {
        self.awaited.insert(name);
        self.unchecked.insert(name);
        self.again = None;
    }

    pub fn forget(&mut self, name: &LinkName) {
        self.awaited.remove(name);
        self.unchecked.remove(name);
        if self.subscribed.remove(name) {
            self.unwanted.push(*name);
        }
    }

    /// The server told of a change of this port's key.
    pub fn heard(&mut self, name: LinkName) {
        if self.awaited.contains(&name) {
            self.unchecked.insert(name);
        }
    }

    pub fn is_due(&self, now: Instant) -> bool {
        !self.unchecked.is_empty() || !self.unwanted.is_empty() || self.again_at().is_some_and(|at| at <= now)
    }

    pub fn again_at(&self) -> Option<Instant> {
        self.again.filter(|_| self.polling && !self.awaited.is_empty()).map(|(at, _)| at)
    }

    /// What to look for now.
    pub fn take_unchecked(&mut self, now: Instant) -> Vec<LinkName> {
        if self.again_at().is_some_and(|at| at <= now) {
            self.unchecked.extend(&self.awaited);
        }
        self.unchecked.drain().collect()
    }

    /// Of these, what is still awaited and not listened to. The caller listens, then looks again.
    pub fn listen(&mut self, missing: &[LinkName]) -> Vec<LinkName> {
        let new: Vec<_> = missing
            .iter()
            .filter(|name| self.awaited.contains(name) && !self.subscribed.contains(name))
            .copied()
            .collect();
        self.subscribed.extend(&new);
        self.unchecked.extend(&new);
        new
    }

    /// What is listened to and no longer awaited. The caller stops listening, before it listens to anything new.
    pub fn unlisten(&mut self) -> Vec<LinkName> {
        std::mem::take(&mut self.unwanted)
    }

    /// The server tells nothing: look again later, at the latest after `most`.
    pub fn poll(&mut self, now: Instant, most: Duration) {
        let pause = self.again.map_or(FIRST, |(_, pause)| (pause * 2).min(most).min(LAST));
        self.polling = true;
        self.again = Some((now + pause, pause));
    }

    pub fn disconnected(&mut self) {
        self.subscribed.clear();
        self.unwanted.clear();
        self.unchecked.extend(&self.awaited);
        self.polling = false;
        self.again = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> LinkName {
        LinkName::new(text.as_bytes()).unwrap()
    }

    #[test]
    fn a_missing_row_is_listened_to_and_looked_for_once_more() {
        let (mut watch, now) = (Watch::default(), Instant::now());
        watch.add(name("Ethernet0"));
        assert_eq!(watch.take_unchecked(now), [name("Ethernet0")]);
        assert!(!watch.is_due(now));
        assert_eq!(watch.listen(&[name("Ethernet0")]), [name("Ethernet0")]);
        assert_eq!(watch.take_unchecked(now), [name("Ethernet0")], "it may have come before we listened");
        assert!(watch.listen(&[name("Ethernet0")]).is_empty());
        watch.heard(name("Ethernet0"));
        assert!(watch.is_due(now));
        watch.forget(&name("Ethernet0"));
        assert!(watch.is_due(now), "the subscription has to go");
        assert_eq!(watch.unlisten(), [name("Ethernet0")]);
        assert!(!watch.is_due(now));
        watch.heard(name("Ethernet0"));
        assert!(!watch.is_due(now));
    }

    #[test]
    fn polling_slows_down_and_starts_anew_with_a_new_port() {
        let (mut watch, now) = (Watch::default(), Instant::now());
        watch.add(name("Ethernet0"));
        watch.take_unchecked(now);
        let mut pauses = Vec::new();
        for _ in 0..12 {
            watch.poll(now, Duration::from_secs(1));
            pauses.push(watch.again_at().unwrap() - now);
        }
        assert!(pauses.is_sorted() && pauses[0] == FIRST && pauses[11] == Duration::from_secs(1), "{pauses:?}");
        watch.add(name("Ethernet4"));
        watch.poll(now, LAST);
        assert_eq!(watch.again_at(), Some(now + FIRST));
        assert_eq!(watch.take_unchecked(now + FIRST).len(), 2);
    }
}
