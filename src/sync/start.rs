//! What kind of start this is, from what stands in the databases and in the kernel.
//!
//! The rules are those of `SONiC`'s warm restart (`WarmStart::checkWarmStart` in sonic-swss-common), with the live restart
//! added: the daemon alone was restarted on a running switch, where setting links down would cut traffic.

/// What the decision rests on.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// STATE_DB `WARM_RESTART_ENABLE_TABLE|system` or `|swss` has `enable` = `true`.
    pub warm_flag: bool,
    /// STATE_DB `WARM_RESTART_TABLE|portsyncd`, field `restore_count`.
    pub restore_count: Option<Vec<u8>>,
    /// CONFIG_DB `DEVICE_METADATA|localhost` has `switch_type` = `dpu`.
    pub dpu: bool,
    /// APPL_DB has `PortInitDone`.
    pub init_done: bool,
    /// The kernel has a configured port from before our start.
    pub kernel_has_ports: bool,
}

/// The kind of start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// From nothing: publish every port; existing links are old.
    Cold,
    /// As [`Kind::Cold`] on a DPU, whose links are its own: none is old.
    Dpu,
    /// Announced by the warm restart flag: publish nothing, wait for every port.
    Warm,
    /// The daemon alone was restarted: publish nothing, touch nothing.
    Live,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The kind of start.
    pub kind: Kind,
    /// What to write as `restore_count`.
    pub restore_count: u64,
    /// Something an operator should hear about.
    pub warning: Option<&'static str>,
}

/// Decides.
pub fn decide(facts: &Facts) -> Decision {
    let cold = if facts.dpu { Kind::Dpu } else { Kind::Cold };
    let decision = |kind, restore_count, warning| Decision { kind, restore_count, warning };
    if facts.warm_flag {
        return match facts.restore_count.as_deref().map(number) {
            Some(Some(count)) => decision(Kind::Warm, count.saturating_add(1), None),
            Some(None) => {
                decision(cold, 0, Some("restore_count is no number, starting cold in spite of the warm restart flag"))
            }
            None => decision(cold, 0, Some("no restore_count, starting cold in spite of the warm restart flag")),
        };
    }
    if facts.init_done && facts.kernel_has_ports {
        return decision(Kind::Live, 0, None);
    }
    decision(cold, 0, None)
}

fn number(text: &[u8]) -> Option<u64> {
    let digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(text).ok().filter(|_| digits)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Flag, `restore_count`, DPU, `PortInitDone`, ports in the kernel: each combination, against the rules spelled out.
    #[test]
    fn every_combination_of_facts() {
        for bits in 0..16u8 {
            for count in [None, Some("0"), Some("7"), Some("abc"), Some(""), Some("-1"), Some("4294967295")] {
                let facts = Facts {
                    warm_flag: bits & 1 != 0,
                    restore_count: count.map(|text| text.as_bytes().to_vec()),
                    dpu: bits & 2 != 0,
                    init_done: bits & 4 != 0,
                    kernel_has_ports: bits & 8 != 0,
                };
                let cold = if facts.dpu { Kind::Dpu } else { Kind::Cold };
                let want = match (facts.warm_flag, count) {
                    (true, Some("0")) => (Kind::Warm, 1),
                    (true, Some("7")) => (Kind::Warm, 8),
                    (true, Some("4294967295")) => (Kind::Warm, 4_294_967_296),
                    (true, _) => (cold, 0),
                    (false, _) if bits & 0b1100 == 0b1100 => (Kind::Live, 0),
                    (false, _) => (cold, 0),
                };
                let got = decide(&facts);
                assert_eq!((got.kind, got.restore_count), want, "{facts:?}");
                assert_eq!(got.warning.is_some(), facts.warm_flag && got.kind == cold, "{facts:?}");
            }
        }
    }
}
