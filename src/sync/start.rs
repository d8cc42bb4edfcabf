//! What kind of start this is, from what stands in the databases.
//!
//! The rules are those of `SONiC`'s warm restart (`WarmStart::checkWarmStart` in sonic-swss-common), with the live restart
//! added: `SONiC`'s scripts empty APPL_DB before a cold start, so that a `PortConfigDone` that stands there tells of a switch at
//! work, where setting links down would cut traffic. Rows of ports tell nothing: others write them too.

/// What the decision rests on.
#[derive(Clone, Debug, Default)]
pub struct StartFacts {
    /// STATE_DB `WARM_RESTART_ENABLE_TABLE|system` or `|swss` has `enable` = `true`.
    pub warm_flag: bool,
    /// STATE_DB `WARM_RESTART_TABLE|portsyncd`, field `restore_count`.
    pub restore_count: Option<Vec<u8>>,
    /// CONFIG_DB `DEVICE_METADATA|localhost` has `switch_type` = `dpu`.
    pub dpu: bool,
    /// APPL_DB knows `PortConfigDone`: as a row, or among what no consumer has taken yet.
    pub config_done: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartKind {
    /// From nothing: publish every port; existing links are old.
    Cold,
    /// As [`StartKind::Cold`] on a DPU, whose links are its own: none is old.
    Dpu,
    /// Announced by the warm restart flag: publish nothing, wait for every port.
    Warm,
    /// The switch is at work: publish everything again, touch no link.
    Live,
}

impl StartKind {
    /// Whether ports and `PortConfigDone` are published.
    pub fn publishes(self) -> bool {
        self != Self::Warm
    }

    /// Whether the switch is at work already: then its rows come before anything is published.
    pub fn is_at_work(self) -> bool {
        matches!(self, Self::Warm | Self::Live)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    pub kind: StartKind,
    /// What to write as `restore_count`.
    pub restore_count: u64,
    /// Why a start that the flag announced is not warm.
    pub warning: Option<&'static str>,
}

pub fn decide(facts: &StartFacts) -> Decision {
    let (count, warning) = match facts.restore_count.as_deref().map(number) {
        _ if !facts.warm_flag => (None, None),
        Some(Some(count)) => (Some(count), None),
        Some(None) => (None, Some("restore_count is no number, no warm start in spite of the flag")),
        None => (None, Some("no restore_count, no warm start in spite of the flag")),
    };
    let kind = match count {
        Some(_) => StartKind::Warm,
        None if facts.config_done => StartKind::Live,
        None if facts.dpu => StartKind::Dpu,
        None => StartKind::Cold,
    };
    Decision { kind, restore_count: count.map_or(0, |count| count.saturating_add(1)), warning }
}

fn number(text: &[u8]) -> Option<u64> {
    let digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(text).ok().filter(|_| digits)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Flag, `restore_count`, DPU, `PortConfigDone`: each combination, against the rules spelled out.
    #[test]
    fn every_combination_of_facts() {
        for bits in 0..8u8 {
            for count in [None, Some("0"), Some("7"), Some("abc"), Some(""), Some("-1"), Some("4294967295")] {
                let facts = StartFacts {
                    warm_flag: bits & 1 != 0,
                    restore_count: count.map(|text| text.as_bytes().to_vec()),
                    dpu: bits & 2 != 0,
                    config_done: bits & 4 != 0,
                };
                let cold = if facts.dpu { StartKind::Dpu } else { StartKind::Cold };
                let want = match (facts.warm_flag, count) {
                    (true, Some("0")) => (StartKind::Warm, 1),
                    (true, Some("7")) => (StartKind::Warm, 8),
                    (true, Some("4294967295")) => (StartKind::Warm, 4_294_967_296),
                    _ if facts.config_done => (StartKind::Live, 0),
                    _ => (cold, 0),
                };
                let got = decide(&facts);
                assert_eq!((got.kind, got.restore_count), want, "{facts:?}");
                assert_eq!(got.warning.is_some(), facts.warm_flag && got.kind != StartKind::Warm, "{facts:?}");
            }
        }
    }
}
