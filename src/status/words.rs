//! How things stand, in words.

use std::sync::Arc;

use crate::api::{PortCounts, PortState, Readiness};
use crate::telemetry::Telemetry;
use crate::telemetry::ports::Cell;

/// One sentence for all of it.
pub(super) fn summary(readiness: &Readiness, ports: &PortCounts, refusal: Option<String>) -> String {
    let mut required = readiness.components.iter().filter(|component| component.required);
    let unready = required.find_map(|component| Some(format!("{}: {}", component.name, component.reason.as_ref()?)));
    unready.or(refusal).unwrap_or_else(|| {
        if ports.out_of_step > 0 {
            return format!("in service, {} of {} ports are being written", ports.out_of_step, ports.total);
        }
        let in_step = ports.total - ports.waiting - ports.ignored - ports.blocked - ports.awaited;
        let ports_are = if in_step == 1 { "port is" } else { "ports are" };
        format!("in service, {in_step} {ports_are} in step, {} of them up", ports.up)
    })
}

/// How many ports have a link and no row, and the first of them in words.
pub(super) fn unserved(telemetry: &Telemetry, cells: &[Arc<Cell>], named: usize) -> Option<(usize, String)> {
    let mut all = cells.iter().filter_map(|cell| Some((cell.name(), cell.unserved()?)));
    let first: Vec<String> = all
        .by_ref()
        .take(named)
        .map(|(name, port_state)| match port_state {
            PortState::Ignored => format!("{name} (ignored: its link is from before the cold start)"),
            PortState::Blocked => format!(
                "{name} (blocked: the key {} of STATE_DB holds another type than a hash, delete it)",
                telemetry.state_key(name)
            ),
            _ => format!("{name} (waiting: APPL_DB has no row for it)"),
        })
        .collect();
    let more = all.count();
    let (count, names) = (first.len() + more, first.join(", "));
    let ports = if count == 1 { "port is" } else { "ports are" };
    let etc = if more > 0 { ", …" } else { "" };
    (count > 0).then(|| (count, format!("{count} {ports} not in step: {names}{etc}")))
}
