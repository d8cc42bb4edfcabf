//! What happened to the ports of late.

use std::collections::HashSet;

use portsyncd::api::{Port, PortState};

const KEPT: usize = 200;

/// Something that happened to a port.
#[derive(Clone, Debug, PartialEq)]
pub struct LogEntry {
    /// When, as Unix time.
    pub at: f64,
    pub port: String,
    pub what: EventKind,
}

/// What can happen to a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventKind {
    Up,
    Down,
    AdminUp,
    /// Nobody wants it up any longer.
    AdminDown,
    /// Its MTU is another one.
    Mtu(u64),
    Came,
    /// Its link is there, its row in `APPL_DB` is not.
    Waits,
    Gone,
}

/// The last of them, newest first.
#[derive(Debug, Default)]
pub struct EventLog(Vec<LogEntry>);

impl EventLog {
    pub fn iter(&self) -> std::slice::Iter<'_, LogEntry> {
        self.0.iter()
    }

    /// Learns the past from what each port keeps of it. What is known already stays and does not stand twice.
    pub fn remember(&mut self, ports: &[Port]) {
        self.0.extend(ports.iter().flat_map(|port| history(port, usize::MAX)));
        self.settle();
    }

    /// Adds what became of a port.
    pub fn compare(&mut self, before: Option<&Port>, after: Option<&Port>, now: f64) {
        let Some(after) = after else {
            if let Some(before) = before.filter(|port| port.state != PortState::Awaited) {
                self.0.push(LogEntry { at: now, port: before.name.clone(), what: EventKind::Gone });
            }
            return;
        };
        let at = after.last_change.unwrap_or(now);
        let mut add = |what| self.0.push(LogEntry { at, port: after.name.clone(), what });
        let is_there = |port: &Port| matches!(port.state, PortState::InStep | PortState::Pending | PortState::Blocked);
        match (before.filter(|port| is_there(port)), is_there(after)) {
            (None, true) => add(EventKind::Came),
            (Some(before), true) => {
                if before.admin != after.admin {
                    add(if after.admin.as_deref() == Some("up") { EventKind::AdminUp } else { EventKind::AdminDown });
                }
                if let Some(mtu) = after.mtu.filter(|mtu| before.mtu != Some(*mtu)) {
                    add(EventKind::Mtu(mtu));
                }
            }
            _ => {}
        }
        if after.state == PortState::Waiting && before.is_none_or(|before| before.state != PortState::Waiting) {
            // A link without a row has no change of its own.
            self.0.push(LogEntry { at: now, port: after.name.clone(), what: EventKind::Waits });
        }
        let news = before.map_or(u64::MAX, |before| after.flaps.saturating_sub(before.flaps));
        self.0.extend(history(after, usize::try_from(news).unwrap_or(usize::MAX)));
    }

    /// The newest first, and no more than are kept. To be called after one or several additions.
    pub fn settle(&mut self) {
        self.0.sort_by(|one, other| other.at.total_cmp(&one.at).then_with(|| one.port.cmp(&other.port)));
        // Not only neighbours: what is learned anew of a moment in which a port flapped stands behind all of that moment.
        let mut seen = HashSet::new();
        self.0.retain(|one| seen.insert((one.at.to_bits(), one.port.clone(), one.what)));
        self.0.truncate(KEPT);
    }
}

/// The last changes of the operational state, so many at most, newest first.
fn history(port: &Port, most: usize) -> impl Iterator<Item = LogEntry> {
    port.history.iter().rev().take(most).map(|change| LogEntry {
        at: change.at,
        port: port.name.clone(),
        what: if change.up { EventKind::Up } else { EventKind::Down },
    })
}
