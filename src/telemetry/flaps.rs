//! How often a port's link came up or went down, counted so that nothing is missed: neither while messages were lost, nor
//! while the daemon was away.
//!
//! In: what a message says of the link (its number and the kernel's count of carrier changes), whether its operational
//! state changed, and once what an earlier run saved. Out: a number that only grows.
//!
//! For each link it counts the larger of two numbers: by how much the kernel's count has grown since the link was first
//! seen, and how many changes of the operational state were seen since. The first knows of changes whose messages nobody
//! read. The second is for links whose state changes without their carrier. Since a change is in both, the two steps in
//! which the kernel may tell of one count once.
//!
//! One thread counts, the core's. What an earlier run saved is given back beside it, before or after the link is first
//! seen: both lay down what they know, and whoever comes second adds what happened in between.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::link::IfIndex;
use crate::sync::port_sync::Source;

/// A link, and how often its carrier changed by the kernel's count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Carrier {
    /// The kernel's number of the link, never 0.
    pub ifindex: IfIndex,
    /// How often its carrier changed, modulo 2^32.
    pub changes: u32,
}

impl Carrier {
    /// As one word that is never 0.
    fn word(self) -> u64 {
        u64::from(self.ifindex) << 32 | u64::from(self.changes)
    }

    #[expect(clippy::cast_possible_truncation, reason = "the lower half of the word")]
    fn of(word: u64) -> Option<Self> {
        (word != 0).then_some(Self { ifindex: (word >> 32) as u32, changes: word as u32 })
    }
}

#[derive(Debug, Default)]
pub(super) struct Flaps {
    total: AtomicU64,
    /// The present link, 0 for none.
    ifindex: AtomicU32,
    /// The present link and its latest count; 0 while that is not known.
    latest: AtomicU64,
    /// The present link's count when it was first known.
    baseline: AtomicU32,
    /// Changes of the operational state that were seen since.
    seen: AtomicU32,
    /// What of the total the present link has added since.
    added: AtomicU32,
    /// The first link of this run whose count was known, with that count.
    first: AtomicU64,
    /// What an earlier run saved, until it was held against `first`.
    saved: AtomicU64,
}

impl Flaps {
    pub(super) fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    /// The link that the port has now.
    pub(super) fn ifindex(&self) -> IfIndex {
        self.ifindex.load(Ordering::Relaxed)
    }

    /// What a later run can go on from: the present link, or that of an earlier run as long as none was seen.
    pub(super) fn carrier(&self) -> Option<Carrier> {
        Carrier::of(self.latest.load(Ordering::Relaxed)).or_else(|| Carrier::of(self.saved.load(Ordering::Relaxed)))
    }

    /// A message about the link. True if that is news: another link, or more changes. Only the core calls this.
    pub(super) fn count(&self, source: Source, changed: bool) -> bool {
        let another = self.ifindex() != source.ifindex;
        if another {
            self.begin(source.ifindex);
        }
        let mut by_kernel = 0;
        if let Some(changes) = source.carrier_changes {
            let carrier = Carrier { ifindex: source.ifindex, changes };
            if self.latest.load(Ordering::Relaxed) == 0 {
                self.know(carrier);
            }
            by_kernel = changes.wrapping_sub(self.baseline.load(Ordering::Relaxed));
            if by_kernel > u32::MAX / 2 {
                // Less than at first: the number was given to another link, and nobody read that the first one went.
                self.begin(source.ifindex);
                self.know(carrier);
                by_kernel = 0;
            }
            let latest = Carrier::of(self.latest.load(Ordering::Relaxed)).map_or(changes, |latest| latest.changes);
            if changes.wrapping_sub(latest) <= u32::MAX / 2 {
                self.latest.store(carrier.word(), Ordering::Relaxed);
            }
        }
        if changed {
            self.seen.fetch_add(1, Ordering::Relaxed);
        }
        let added = self.added.load(Ordering::Relaxed);
        // A message may be older than a list of all links that was read before it; then nothing is taken back.
        let more = by_kernel.max(self.seen.load(Ordering::Relaxed)).saturating_sub(added);
        if more > 0 {
            self.added.store(added + more, Ordering::Relaxed);
            self.total.fetch_add(more.into(), Ordering::Relaxed);
        }
        another || more > 0
    }

    /// The port has no link any more: the next one is another, whatever its number. Only the core calls this.
    pub(super) fn gone(&self) {
        self.begin(0);
    }

    /// What was counted stays, and counting begins anew.
    fn begin(&self, ifindex: IfIndex) {
        self.ifindex.store(ifindex, Ordering::Relaxed);
        self.latest.store(0, Ordering::Relaxed);
        self.anew();
    }

    fn anew(&self) {
        self.seen.store(0, Ordering::Relaxed);
        self.added.store(0, Ordering::Relaxed);
    }

    /// The kernel's count of the present link is known from here on.
    fn know(&self, carrier: Carrier) {
        self.baseline.store(carrier.changes, Ordering::Relaxed);
        self.latest.store(carrier.word(), Ordering::Relaxed);
        self.anew();
        if self.first.load(Ordering::Relaxed) == 0 {
            self.first.store(carrier.word(), Ordering::SeqCst);
            self.settle();
        }
    }

    /// Adds what an earlier run counted, and what its last link did since if it is still the one that this run found.
    pub(super) fn restore(&self, total: u64, carrier: Option<Carrier>) {
        self.total.fetch_add(total, Ordering::Relaxed);
        if let Some(carrier) = carrier {
            self.saved.store(carrier.word(), Ordering::SeqCst);
            self.settle();
        }
    }

    /// Once both the first link of this run and the last of an earlier one are known, whichever came first.
    fn settle(&self) {
        // Each side stores its own before it looks for the other's, so that one of them sees both; taking the word out
        // leaves it to one alone.
        let Some(first) = Carrier::of(self.first.load(Ordering::SeqCst)) else { return };
        let Some(saved) = Carrier::of(self.saved.swap(0, Ordering::SeqCst)) else { return };
        if first.ifindex == saved.ifindex && first.changes >= saved.changes {
            self.total.fetch_add((first.changes - saved.changes).into(), Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn source(ifindex: IfIndex, changes: u32) -> Source {
        Source { ifindex, carrier_changes: Some(changes) }
    }

    #[test]
    fn changes_that_nobody_saw_are_counted() {
        let flaps = Flaps::default();
        assert!(flaps.count(source(7, 40), false), "a link is news");
        assert_eq!(flaps.total(), 0, "what was before is not ours");
        assert!(flaps.count(source(7, 46), false), "a loss hid six changes");
        assert_eq!(flaps.total(), 6);
        assert!(!flaps.count(source(7, 46), false));
        assert!(flaps.count(source(7, 47), true));
        assert_eq!((flaps.total(), flaps.carrier()), (7, Some(Carrier { ifindex: 7, changes: 47 })));
    }

    #[test]
    fn a_change_told_in_two_steps_is_one() {
        let flaps = Flaps::default();
        flaps.count(source(7, 2), false);
        flaps.count(source(7, 3), false);
        flaps.count(source(7, 3), true);
        assert_eq!(flaps.total(), 1);
        // The first message came between the two steps.
        let flaps = Flaps::default();
        flaps.count(source(7, 3), false);
        flaps.count(source(7, 3), true);
        flaps.count(source(7, 4), true);
        assert_eq!(flaps.total(), 2);
    }

    #[test]
    fn a_link_whose_carrier_never_changes_counts_by_what_is_seen() {
        let flaps = Flaps::default();
        for carrier_changes in [Some(0), None] {
            let before = flaps.total();
            let link = Source { ifindex: 7, carrier_changes };
            for changed in [false, true, true, false, true] {
                flaps.count(link, changed);
            }
            assert_eq!(flaps.total() - before, 3);
        }
    }

    #[test]
    fn another_link_begins_anew_and_the_total_stays() {
        let flaps = Flaps::default();
        flaps.count(source(7, 10), false);
        flaps.count(source(7, 15), false);
        flaps.count(source(8, 2), false);
        assert_eq!(flaps.total(), 5);
        flaps.count(source(8, 3), false);
        assert_eq!(flaps.total(), 6);
        flaps.gone();
        flaps.count(source(8, 9), false);
        assert_eq!(flaps.total(), 6, "the number was given to another link");
        flaps.count(source(8, 1), false);
        flaps.count(source(8, 2), true);
        assert_eq!(flaps.total(), 7, "and again, of which no message was read");
    }

    #[test]
    fn the_kernels_count_may_wrap_and_a_late_message_takes_nothing_back() {
        let flaps = Flaps::default();
        flaps.count(source(7, u32::MAX - 1), false);
        flaps.count(source(7, 3), false);
        assert_eq!(flaps.total(), 5);
        assert!(!flaps.count(source(7, 1), false));
        assert_eq!((flaps.total(), flaps.carrier().unwrap().changes), (5, 3));
        flaps.count(source(7, 4), false);
        assert_eq!(flaps.total(), 6);
        for _ in 0..9 {
            flaps.count(source(7, 4), true);
        }
        flaps.count(source(7, 5), false);
        assert_eq!((flaps.total(), flaps.carrier().unwrap().changes), (9, 5), "also where more was seen");
    }

    #[test]
    fn a_count_that_is_known_late_begins_there() {
        let flaps = Flaps::default();
        flaps.count(7.into(), false);
        flaps.count(7.into(), true);
        flaps.count(source(7, 12), true);
        flaps.count(source(7, 13), true);
        assert_eq!(flaps.total(), 3);
        flaps.count(7.into(), false);
        assert_eq!((flaps.total(), flaps.carrier().unwrap().changes), (3, 13));
    }

    /// What a run counts that goes on from another, whichever comes first: what that saved, or the link.
    fn resumed(saved: Option<Carrier>, links: &[Source]) -> u64 {
        let totals: Vec<u64> = (0..=links.len())
            .map(|at| {
                let flaps = Flaps::default();
                for link in &links[..at] {
                    flaps.count(*link, false);
                }
                flaps.restore(10, saved);
                for link in &links[at..] {
                    flaps.count(*link, false);
                }
                flaps.total()
            })
            .collect();
        assert!(totals.iter().all(|total| *total == totals[0]), "{totals:?}");
        totals[0]
    }

    #[test]
    fn what_happened_while_the_daemon_was_away_is_added() {
        let saved = Some(Carrier { ifindex: 7, changes: 20 });
        assert_eq!(resumed(saved, &[source(7, 26), source(7, 27)]), 17);
        assert_eq!(resumed(saved, &[source(7, 20)]), 10);
        assert_eq!(resumed(saved, &[source(7, 19)]), 10, "less than before: another link");
        assert_eq!(resumed(saved, &[source(8, 26)]), 10, "another link");
        assert_eq!(resumed(saved, &[source(8, 26), source(7, 30), source(7, 31)]), 11);
        assert_eq!(resumed(saved, &[source(7, 22), source(8, 30), source(8, 31)]), 13);
        assert_eq!(resumed(saved, &[7.into(), source(7, 22)]), 12);
        assert_eq!(resumed(None, &[source(7, 26), source(7, 27)]), 11);
    }

    #[test]
    fn what_was_saved_is_saved_again_as_long_as_no_link_was_seen() {
        let flaps = Flaps::default();
        let saved = Carrier { ifindex: 7, changes: 20 };
        flaps.restore(1, Some(saved));
        assert_eq!(flaps.carrier(), Some(saved));
        flaps.count(source(8, 3), false);
        flaps.gone();
        assert_eq!(flaps.carrier(), None);
    }

    #[test]
    fn core_and_restoring_at_once_add_once() {
        for _ in 0..2000 {
            let flaps = Flaps::default();
            std::thread::scope(|scope| {
                scope.spawn(|| flaps.restore(10, Some(Carrier { ifindex: 7, changes: 20 })));
                flaps.count(source(7, 25), false);
            });
            assert_eq!(flaps.total(), 15);
        }
    }

    proptest! {
        #[test]
        fn the_total_never_goes_back(messages in prop::collection::vec((1u32..4, any::<Option<u32>>(), any::<bool>()), 0..50)) {
            let flaps = Flaps::default();
            let mut before = 0;
            for (ifindex, carrier_changes, changed) in messages {
                flaps.count(Source { ifindex, carrier_changes }, changed);
                prop_assert!(flaps.total() >= before);
                before = flaps.total();
            }
        }

        /// Whatever is lost of a link's changes, the last message makes the number right.
        #[test]
        fn no_loss_makes_it_wrong(start: u32, heard in prop::collection::vec(any::<bool>(), 1..60)) {
            let flaps = Flaps::default();
            flaps.count(source(7, start), false);
            let (mut known, mut now) = (false, start);
            for (at, heard) in heard.iter().enumerate() {
                now = now.wrapping_add(1);
                let up = at % 2 == 0;
                if *heard {
                    flaps.count(source(7, now), up != known);
                    known = up;
                }
            }
            flaps.count(source(7, now), false);
            prop_assert_eq!(flaps.total(), heard.len() as u64);
        }
    }
}
