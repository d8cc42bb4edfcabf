//! What survives a restart of the daemon: counters that operators compare over restarts, the flaps of the ports, how long
//! starts took.
//!
//! [`SavedState`] is the content: collected from the telemetry, given back to it. [`file`](mod@file) puts any content on the disk
//! so that a crash cannot damage it, and finds an older generation where something else did. [`Keeper`] brings the two
//! together, and sees to it that no trouble with the disk ever reaches the daemon. docs/state.md is for operators.

mod beside;
mod exposed;
pub mod file;
pub mod form;
mod json;
mod keeper;
mod name;
mod notifications;
#[cfg(test)]
mod test_mounts;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tracing::debug;

use crate::alert::engine::SavedEngine;
use crate::telemetry::Telemetry;
use crate::telemetry::flaps::Carrier;
use crate::telemetry::ports::Cell;
use crate::telemetry::value::{Family, Reading};

pub use keeper::Keeper;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SavedState {
    /// When, as Unix time.
    pub saved: f64,
    /// The kernel's id of this boot: numbers of links, and its counts, hold while it stays the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub boot_id: Option<String>,
    /// The counters that survive, by name and labels as in `x_total{a="b"}`; those at 0 are left out.
    pub counters: BTreeMap<String, u64>,
    /// The ports that flapped or have a link, by name. Bytes of a name that are no printable ASCII, and `%`, are written `%XX`.
    pub ports: BTreeMap<String, SavedPort>,
    /// How long the last starts took in seconds, oldest first.
    pub starts: Vec<f64>,
    /// What alerting goes on from.
    #[serde(skip_serializing_if = "is_empty")]
    pub alerts: SavedEngine,
    /// Sections that this version does not know. They are written as they were read.
    #[serde(flatten)]
    pub other: BTreeMap<String, Value>,
}

/// What is saved of a port.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SavedPort {
    /// Changes of the operational state.
    pub flaps: u64,
    /// The last of them, oldest first: Unix time in milliseconds, and whether the port came up.
    pub history: Vec<(u64, bool)>,
    /// The kernel's number of its link.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ifindex: Option<u32>,
    /// How often that link's carrier had changed by the kernel's count; what it does from here on until the next start is
    /// added then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub carrier_changes: Option<u32>,
}

impl SavedPort {
    fn of(cell: &Cell) -> Option<Self> {
        // Before the total, which otherwise could lack what this says is counted already.
        let carrier = cell.carrier();
        let port = Self {
            flaps: cell.flaps(),
            history: cell.history(),
            ifindex: carrier.map(|carrier| carrier.ifindex),
            carrier_changes: carrier.map(|carrier| carrier.changes),
        };
        (port.flaps > 0 || carrier.is_some()).then_some(port)
    }

    fn carrier(&self) -> Option<Carrier> {
        let ifindex = self.ifindex.filter(|ifindex| *ifindex > 0)?;
        Some(Carrier { ifindex, changes: self.carrier_changes? })
    }
}

impl SavedState {
    /// What the telemetry holds. The time and other versions' sections are the caller's to fill in.
    pub fn of(telemetry: &Telemetry) -> Self {
        let mut counters = BTreeMap::new();
        each_counter(telemetry, &mut |key, _, _, count| {
            if count > 0 {
                counters.insert(key, count);
            }
        });
        let cells = telemetry.ports.cells();
        let ports = cells.iter().filter_map(|cell| Some((name::encode(cell.name()), SavedPort::of(cell)?)));
        // Whole microseconds come back from their decimal form as they were, so that nothing seems changed.
        let starts = telemetry.starts.kept().into_iter().map(|seconds| (seconds * 1e6).round() / 1e6);
        let boot_id = boot_id().map(str::to_owned);
        Self { boot_id, ports: ports.collect(), starts: starts.collect(), counters, ..Self::default() }
    }

    /// Gives back what was saved. What was counted since the start of the daemon began at 0, so that this adds to it.
    ///
    /// Counters that this version does not have are left out, as are ports whose name no link can have.
    pub fn restore(&self, telemetry: &Telemetry) {
        let mut unknown: BTreeSet<&str> = self.counters.keys().map(String::as_str).collect();
        each_counter(telemetry, &mut |key, family, values, _| {
            if let Some(count) = self.counters.get(&key) {
                unknown.remove(key.as_str());
                family.restore(values, *count);
            }
        });
        if !unknown.is_empty() {
            debug!(counters = ?unknown, "the state file has counters that this version does not have, leaving them out");
        }
        let same_boot = self.boot_id.is_some() && self.boot_id.as_deref() == boot_id();
        for (key, port) in &self.ports {
            match name::decode(key) {
                Some(name) => {
                    let carrier = port.carrier().filter(|_| same_boot);
                    telemetry.ports.restore(name, port.flaps, &port.history, carrier);
                }
                None => debug!(port = ?key, "the state file has a port with an impossible name, leaving it out"),
            }
        }
        telemetry.starts.restore(&self.starts);
    }

    fn from_json(text: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(text).map_err(|error| format!("the content is not that of a state file: {error}"))
    }

    fn to_json(&self) -> Result<Vec<u8>, serde_json::Error> {
        json::text(self)
    }
}

/// The kernel's id of this boot, where it has one.
fn boot_id() -> Option<&'static str> {
    static ID: LazyLock<Option<String>> = LazyLock::new(|| {
        let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        Some(id.trim().to_owned()).filter(|id| !id.is_empty())
    });
    ID.as_deref()
}

/// Whether there is nothing to go on from, whenever that was.
fn is_empty(alerts: &SavedEngine) -> bool {
    let sinks = alerts.sinks.clone().filter(std::collections::BTreeMap::is_empty);
    *alerts == SavedEngine { saved: alerts.saved, sinks, ..SavedEngine::default() }
}

type Visit<'a> = dyn FnMut(String, &dyn Family, &[&'static str], u64) + 'a;

/// Each counter that survives: its key, where it is counted, its labels' values, and how it stands.
fn each_counter(telemetry: &Telemetry, visit: &mut Visit<'_>) {
    telemetry.metrics.each(&mut |metric, family| {
        if !metric.survives {
            return;
        }
        family.read(&mut |values, reading| {
            if let Reading::Number(count) = reading {
                visit(key(metric.name, &metric.labels, values), family, values, whole(count));
            }
        });
    });
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the value of a counter, below 2^53")]
fn whole(count: f64) -> u64 {
    count as u64
}

fn key(name: &str, labels: &[&str], values: &[&str]) -> String {
    if labels.is_empty() {
        return name.to_owned();
    }
    let pairs: Vec<String> = labels.iter().zip(values).map(|(label, value)| format!("{label}=\"{value}\"")).collect();
    format!("{name}{{{}}}", pairs.join(","))
}

#[cfg(test)]
mod tests;
