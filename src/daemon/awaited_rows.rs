//! The ports whose link is there but whose APPL_DB row is not yet, and when to look for it.
//!
//! Where the server tells of changes, it is listened to while any port is awaited, and only then: orchagent writes to these
//! rows all the time. Elsewhere the rows are looked for again and again, ever more seldom.

use std::collections::HashSet;
use std::time::Duration;

use tokio::time::Instant;

use crate::backoff::{Backoff, Pauses};
use crate::link::LinkName;

/// Between looks without being told.
const LOOKS: Backoff = Backoff { min: Duration::from_millis(50), max: Duration::from_secs(15), jitter: 0.0 };

#[derive(Debug, Default)]
pub(super) struct AwaitedRows {
    awaited: HashSet<LinkName>,
    unchecked: HashSet<LinkName>,
    /// When to look again without being told, and how long to wait after that.
    again: Option<(Instant, Pauses)>,
}

impl AwaitedRows {
    /// Look for this port's row. A sub-interface's is looked for once, others' until they are there.
    pub fn add(&mut self, name: LinkName) {
        self.unchecked.insert(name);
        if !name.is_sub_interface() {
            self.awaited.insert(name);
            self.again = None;
        }
    }

    pub fn forget(&mut self, name: &LinkName) {
        self.awaited.remove(name);
        self.unchecked.remove(name);
    }

    /// The server told of a change of this port's row.
    pub fn heard(&mut self, name: LinkName) {
        if self.awaited.contains(&name) {
            self.unchecked.insert(name);
        }
    }

    /// Whether any row is awaited.
    pub fn any(&self) -> bool {
        !self.awaited.is_empty()
    }

    /// The ports whose rows are awaited.
    pub fn names(&self) -> Vec<LinkName> {
        self.awaited.iter().copied().collect()
    }

    pub fn is_due(&self, now: Instant) -> bool {
        !self.unchecked.is_empty() || self.again_at().is_some_and(|at| at <= now)
    }

    pub fn again_at(&self) -> Option<Instant> {
        self.again.as_ref().filter(|_| self.any()).map(|(at, _)| *at)
    }

    /// Look for all of them: nobody told of changes so far.
    pub fn check_all(&mut self) {
        self.unchecked.extend(&self.awaited);
        self.again = None;
    }

    pub fn take_unchecked(&mut self, now: Instant) -> Vec<LinkName> {
        if let Some((at, pauses)) = self.again.as_mut().filter(|(at, _)| *at <= now) {
            self.unchecked.extend(&self.awaited);
            // Not again before it is known what was found.
            *at = now + pauses.upcoming();
        }
        self.unchecked.drain().collect()
    }

    /// Nobody tells of changes: look again later, at the latest after `most`.
    pub fn check_later(&mut self, now: Instant, most: Duration) {
        let (at, pauses) = self.again.get_or_insert_with(|| (now, LOOKS.pauses()));
        *at = now + pauses.next_pause_within(most);
    }

    /// Somebody tells of changes.
    pub fn check_when_told(&mut self) {
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
    fn a_row_is_looked_for_when_its_port_is_new_and_when_told() {
        let (mut rows, now) = (AwaitedRows::default(), Instant::now());
        rows.add(name("Ethernet0"));
        assert_eq!(rows.take_unchecked(now), [name("Ethernet0")]);
        assert!(!rows.is_due(now) && rows.any());
        rows.heard(name("Ethernet0"));
        assert!(rows.is_due(now));
        rows.forget(&name("Ethernet0"));
        assert!(!rows.is_due(now) && !rows.any());
        rows.heard(name("Ethernet0"));
        assert!(!rows.is_due(now));
    }

    #[test]
    fn a_port_that_goes_and_comes_back_while_an_answer_is_outstanding_is_looked_for_again() {
        let (mut rows, now) = (AwaitedRows::default(), Instant::now());
        rows.add(name("Ethernet0"));
        rows.take_unchecked(now);
        rows.forget(&name("Ethernet0"));
        rows.add(name("Ethernet0"));
        assert!(rows.is_due(now));
    }

    #[test]
    fn a_sub_interface_is_looked_for_once() {
        let (mut rows, now) = (AwaitedRows::default(), Instant::now());
        rows.add(name("Ethernet0.10"));
        assert_eq!(rows.take_unchecked(now), [name("Ethernet0.10")]);
        rows.check_all();
        assert!(!rows.any() && !rows.is_due(now));
    }

    #[test]
    fn pauses_grow_have_bounds_and_start_anew_with_a_new_port() {
        let (mut rows, now) = (AwaitedRows::default(), Instant::now());
        rows.add(name("Ethernet0"));
        rows.take_unchecked(now);
        let mut pauses = Vec::new();
        for _ in 0..12 {
            rows.check_later(now, Duration::from_secs(1));
            pauses.push(rows.again_at().unwrap() - now);
        }
        assert!(pauses.is_sorted() && pauses[0] == LOOKS.min && pauses[11] == Duration::from_secs(1), "{pauses:?}");
        rows.check_later(now, Duration::from_secs(15));
        assert_eq!(rows.again_at(), Some(now + Duration::from_secs(2)), "they go on growing from where they were held");
        rows.check_later(now, Duration::ZERO);
        assert_eq!(rows.again_at(), Some(now + LOOKS.min), "never at once");
        rows.add(name("Ethernet4"));
        rows.check_later(now, Duration::from_secs(1));
        assert_eq!(rows.again_at(), Some(now + LOOKS.min));
        assert_eq!(rows.take_unchecked(now + LOOKS.min).len(), 2);
        assert!(!rows.is_due(now + LOOKS.min), "once for each pause");
    }
}
