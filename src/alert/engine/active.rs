//! One alert of one rule, for one port or for the whole: inactive, pending, firing, and over again.
//!
//! The states and their times are those of Prometheus' alerting rules, so that a rule can be compared with its counterpart
//! there.

use crate::alert::Millis;
use crate::alert::model::{AlertState, Suppression};

/// An alert that is pending or firing.
#[derive(Clone, Debug)]
pub(in crate::alert) struct AlertInstance {
    /// The port's index; 0 for the whole.
    pub index: u32,
    pub phase: Phase,
    /// The state that was last published.
    pub state: AlertState,
    pub suppressed: Option<Suppression>,
    /// The last value for which the condition held.
    pub value: f64,
    /// Since when, as Unix time.
    pub since: f64,
    /// A notification that it fires went out.
    pub notified: bool,
    /// It is from before a restart, gone on with since then, and is held until its condition can be evaluated.
    pub restored: Option<Millis>,
}

impl AlertInstance {
    pub fn new(index: u32, phase: Phase, since: f64) -> Self {
        let state = AlertState::Inactive;
        Self { index, phase, state, suppressed: None, value: 0.0, since, notified: false, restored: None }
    }

    /// Takes over what an earlier run knew of the same alert, which this one has seen for itself. `first`: since when it
    /// looks at this port.
    pub fn merge(&mut self, before: &Self, first: Millis) {
        match (self.phase, before.phase) {
            (Phase::Firing { since, ceased }, Phase::Firing { since: earlier, .. }) => {
                self.phase = Phase::Firing { since: since.min(earlier), ceased };
                self.since = self.since.min(before.since);
            }
            (Phase::Pending { .. }, Phase::Firing { since, .. }) => {
                self.phase = Phase::Firing { since, ceased: None };
                (self.state, self.since) = (before.state, before.since);
            }
            // It has held since the first look, and so all the while.
            (Phase::Pending { since }, Phase::Pending { .. }) if since <= first => {
                (self.phase, self.since) = (before.phase, before.since);
                return;
            }
            _ => return,
        }
        self.notified |= before.notified;
    }
}
/// Where an alert that is not inactive stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::alert) enum Phase {
    /// The condition holds since then, but not for long enough.
    Pending { since: Millis },
    /// It held for long enough. `ceased`: since when it holds no longer.
    Firing { since: Millis, ceased: Option<Millis> },
}

impl Phase {
    pub fn is_firing(self) -> bool {
        matches!(self, Self::Firing { .. })
    }

    pub fn since(self) -> Millis {
        match self {
            Self::Pending { since } | Self::Firing { since, .. } => since,
        }
    }

    /// The next state; `None`: inactive. A state that comes by time is reached when the time has passed, not after it.
    pub fn next(
        before: Option<Self>,
        holds: bool,
        now: Millis,
        for_millis: Millis,
        keep_firing_for: Millis,
    ) -> Option<Self> {
        match (before, holds) {
            (None | Some(Self::Pending { .. }), false) => None,
            (None, true) if for_millis == 0 => Some(Self::Firing { since: now, ceased: None }),
            (None, true) => Some(Self::Pending { since: now }),
            (Some(Self::Pending { since }), true) if now - since >= for_millis => {
                Some(Self::Firing { since, ceased: None })
            }
            (Some(Self::Pending { since }), true) => Some(Self::Pending { since }),
            (Some(Self::Firing { since, .. }), true) => Some(Self::Firing { since, ceased: None }),
            (Some(Self::Firing { since, ceased }), false) => {
                let ceased = ceased.unwrap_or(now);
                (now - ceased < keep_firing_for).then_some(Self::Firing { since, ceased: Some(ceased) })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOLD: Millis = 30;
    const KEEP: Millis = 60;
    const NOW: Millis = 1000;

    fn pending(ago: Millis) -> Phase {
        Phase::Pending { since: NOW - ago }
    }

    fn firing(ago: Millis, ceased: Option<Millis>) -> Phase {
        Phase::Firing { since: NOW - ago, ceased: ceased.map(|ago| NOW - ago) }
    }

    /// Every state, condition and time: with and without `for` and `keep_firing_for`.
    #[test]
    fn every_transition() {
        for (before, holds, hold, keep, after) in [
            (None, false, HOLD, KEEP, None),
            (None, false, 0, 0, None),
            (None, true, HOLD, KEEP, Some(pending(0))),
            (None, true, HOLD, 0, Some(pending(0))),
            (None, true, 0, KEEP, Some(firing(0, None))),
            (None, true, 0, 0, Some(firing(0, None))),
            (Some(pending(29)), false, HOLD, KEEP, None),
            (Some(pending(30)), false, HOLD, KEEP, None),
            (Some(pending(29)), true, HOLD, KEEP, Some(pending(29))),
            (Some(pending(30)), true, HOLD, KEEP, Some(firing(30, None))),
            (Some(pending(99)), true, HOLD, KEEP, Some(firing(99, None))),
            (Some(pending(0)), true, HOLD, KEEP, Some(pending(0))),
            // `for` became shorter by a reload.
            (Some(pending(1)), true, 0, KEEP, Some(firing(1, None))),
            (Some(firing(99, None)), true, HOLD, KEEP, Some(firing(99, None))),
            (Some(firing(99, None)), false, HOLD, KEEP, Some(firing(99, Some(0)))),
            (Some(firing(99, None)), false, HOLD, 0, None),
            (Some(firing(99, Some(59))), false, HOLD, KEEP, Some(firing(99, Some(59)))),
            (Some(firing(99, Some(60))), false, HOLD, KEEP, None),
            (Some(firing(99, Some(70))), false, HOLD, KEEP, None),
            (Some(firing(99, Some(59))), true, HOLD, KEEP, Some(firing(99, None))),
            (Some(firing(99, Some(70))), true, HOLD, KEEP, Some(firing(99, None))),
        ] {
            assert_eq!(
                Phase::next(before, holds, NOW, hold, keep),
                after,
                "{before:?}, {holds}, for {hold}, keep firing for {keep}"
            );
        }
    }
}
