//! Everything as single values of the catalogue's metrics.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::collector::{COMMIT, Others, Reader, VERSION};
use super::yielding::giving_way;
use crate::api::{Durations, PortCounts};
use crate::clock::seconds;
use crate::link::LinkName;
use crate::telemetry::catalog::{self, Computed, Metric};
use crate::telemetry::ports::Cell;
use crate::telemetry::value::Reading;

/// One value of one metric.
#[derive(Clone, Debug, PartialEq)]
pub struct Value {
    /// Its labels, in the order of the catalogue.
    pub labels: Vec<(&'static str, String)>,
    pub reading: Reading,
}

impl Reader {
    /// Every value that is exposed, but the process's own: of single ports those of the first `telemetry.per_port_limit`.
    pub fn values(&self, each: &mut dyn FnMut(&Metric, Value)) {
        self.values_of_all(each);
        let cells = self.telemetry().ports.cells();
        let listed = cells.iter().filter(|cell| cell.port_state().is_some()).take(self.per_port_limit);
        values_of_ports(listed, &mut |computed, port, number| {
            let metric = computed.metric();
            let labels = metric.labels.iter().map(|label| (*label, port.to_string())).collect();
            each(&metric, Value { labels, reading: Reading::Number(number) });
        });
    }

    /// Whether kernel and Redis were compared, and which ports are awaited: before that it is not known how ports stand.
    pub fn knows_ports(&self) -> bool {
        self.telemetry().moments.resync_ms.load(Ordering::Relaxed) > 0 && self.telemetry().starts.knows_awaited()
    }

    /// Every value of the metrics of single ports, of all ports.
    pub fn values_of_ports(&self, each: &mut dyn FnMut(&Computed, &LinkName, f64)) {
        let cells = self.telemetry().ports.cells();
        values_of_ports(cells.iter().filter(|cell| cell.port_state().is_some()), each);
    }

    /// Every value of every other metric but the process's own.
    #[expect(clippy::cast_precision_loss, reason = "numbers of ports and flaps")]
    pub fn values_of_all(&self, each: &mut dyn FnMut(&Metric, Value)) {
        let telemetry = self.telemetry();
        telemetry.metrics.each(&mut |metric, family| {
            family.read(&mut |labels, reading| {
                if matches!(reading, Reading::Number(value) if value.is_nan()) {
                    return;
                }
                let labels =
                    metric.labels.iter().copied().zip(labels.iter().map(|value| (*value).to_owned())).collect();
                each(&metric, Value { labels, reading });
            });
        });
        let mut gauge = |computed: &Computed, values: &[&str], number: f64| {
            let metric = computed.metric();
            let labels = metric.labels.iter().copied().zip(values.iter().map(|value| (*value).to_owned())).collect();
            each(&metric, Value { labels, reading: Reading::Number(number) });
        };
        let cells = telemetry.ports.cells();
        let facts = self.facts(&cells);
        let counts = facts.ports;
        let PortCounts { up, down, admin_down, waiting, ignored, blocked, awaited, .. } = counts;
        let by_state = [up, down, admin_down, waiting, ignored, blocked, awaited];
        if self.knows_ports() {
            for (state, ports) in catalog::PORT_STATES.into_iter().zip(by_state) {
                gauge(&catalog::PORTS, &[state], ports as f64);
            }
            gauge(&catalog::PORTS_OUT_OF_STEP, &[], counts.out_of_step as f64);
        }
        let unlisted: Vec<&Arc<Cell>> =
            cells.iter().filter(|cell| cell.port_state().is_some()).skip(self.per_port_limit).collect();
        gauge(&catalog::PORTS_UNLISTED, &[], unlisted.len() as f64);
        gauge(&catalog::PORT_FLAPS_UNLISTED, &[], unlisted.iter().map(|cell| cell.flaps()).sum::<u64>() as f64);
        let start = telemetry.starts.current();
        gauge(&catalog::PORT_INIT_DONE, &[], f64::from(u8::from(start.done)));
        if telemetry.starts.knows_awaited() {
            gauge(&catalog::PORTS_AWAITED, &[], facts.awaited as f64);
        }
        gauge(&catalog::INITIAL_SYNC, &[], start.seconds);
        gauge(&catalog::INITIAL_SYNC_DUE, &[], start.due_seconds);
        if let Some(Durations { min, avg, max, p50, p90, p99, .. }) = telemetry.starts.durations() {
            for (stat, value) in catalog::START_STATS.into_iter().zip([min, avg, max, p50, p90, p99]) {
                gauge(&catalog::INITIAL_SYNC_HISTORY, &[stat], value);
            }
        }
        let (recoveries, damaged) =
            (telemetry.metrics.state_file_recoveries.sum(), telemetry.metrics.state_file_corruptions.sum());
        gauge(
            &catalog::STATE_FILE_RECOVERY,
            &[],
            if damaged == 0 { 1.0 } else { (recoveries as f64 / damaged as f64).min(1.0) },
        );
        let compared = telemetry.moments.resync_ms.load(Ordering::Relaxed);
        if compared > 0 {
            gauge(&catalog::LAST_AUDIT, &[], seconds(compared));
        }
        for component in self.readiness_of(&cells).components {
            gauge(&catalog::COMPONENT_READY, &[&component.name], f64::from(u8::from(component.ready)));
        }
        gauge(&catalog::HEALTH_SCORE, &[], f64::from(self.health(&facts).score));
        if let Some(Others(compute)) = self.others.get() {
            compute(&mut gauge);
        }
        gauge(&catalog::BUILD_INFO, &[VERSION, COMMIT], 1.0);
    }
}

/// The values of the metrics of single ports.
#[expect(clippy::cast_precision_loss, reason = "numbers of flaps")]
fn values_of_ports<'a>(cells: impl Iterator<Item = &'a Arc<Cell>>, each: &mut dyn FnMut(&Computed, &LinkName, f64)) {
    for cell in giving_way(cells) {
        if let Some((wanted, up)) = cell.up_down() {
            each(&catalog::PORT_OPER_UP, cell.name(), f64::from(u8::from(up)));
            each(&catalog::PORT_DOWN, cell.name(), f64::from(u8::from(wanted && !up)));
        }
        each(&catalog::PORT_FLAPS, cell.name(), cell.flaps() as f64);
    }
}
