//! The reader's side: everything as it stands at one moment, as [`api`](crate::api) has it and as single values.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use super::words::{summary, unserved};
use super::yielding::giving_way;
use crate::api::{
    EventStats, Health, Kernel, Latency, Port, PortCounts, PortList, PortState, Readiness, ReceiverStatus, Redis,
    Sample, Start, StateFile, Status,
};
use crate::clock::{now_ms, seconds};
use crate::config::HealthConfig;
use crate::health::score::{self, HealthFacts};
use crate::locks::lock;
use crate::sync::start::StartKind;
use crate::telemetry::Component;
use crate::telemetry::Telemetry;
use crate::telemetry::catalog::Computed;
use crate::telemetry::labels::{Db, Outcome};
use crate::telemetry::ports::Cell;
use crate::telemetry::value::{Distribution, Label};

/// A row that is out of step for longer is late.
const LATE: Duration = Duration::from_secs(1);
/// Awaited ports that are named, and ports that are not in step.
const NAMED: usize = 20;
/// What "recent" looks back to, at least.
const RECENT: Duration = Duration::from_secs(60);

/// Reads. There is one; what it computes from one look to the next (recent latencies, rates) it keeps itself.
#[derive(Debug)]
pub struct Reader {
    telemetry: Arc<Telemetry>,
    /// Ports that have series of their own.
    pub(super) per_port_limit: usize,
    health: Mutex<HealthConfig>,
    recent: Mutex<Recent>,
    state_file: Mutex<StateFile>,
    /// Whether configured ports were not in step at the last look, and since when (Unix time); 0 before that changed.
    unserved: Mutex<(bool, f64)>,
    host: String,
    pub(super) others: OnceLock<Others>,
    receivers: OnceLock<Receivers>,
}

/// Computes values of metrics that others look after.
type Compute = dyn Fn(&mut dyn FnMut(&Computed, &[&str], f64)) + Send + Sync;

pub(super) struct Others(pub(super) Box<Compute>);

impl fmt::Debug for Others {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Others")
    }
}

struct Receivers(Box<dyn Fn() -> Vec<ReceiverStatus> + Send + Sync>);

impl fmt::Debug for Receivers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Receivers")
    }
}

/// Two earlier readings of the latency: what came since the older one is recent.
#[derive(Debug)]
struct Recent {
    older: (Instant, Distribution),
    newer: (Instant, Distribution),
}

/// What the stream of samples began its interval with.
#[derive(Clone, Debug)]
pub struct Mark {
    at: Instant,
    events: u64,
    writes: u64,
    latency: Distribution,
}

impl Reader {
    pub fn new(telemetry: Arc<Telemetry>, per_port_limit: usize, health: HealthConfig) -> Self {
        let now = (Instant::now(), Distribution::default());
        Self {
            telemetry,
            per_port_limit,
            health: Mutex::new(health),
            recent: Mutex::new(Recent { older: now.clone(), newer: now }),
            state_file: Mutex::default(),
            unserved: Mutex::default(),
            host: nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
            others: OnceLock::new(),
            receivers: OnceLock::new(),
        }
    }

    /// From now on the values of these metrics belong to all; to be said once. They are computed without holding anything
    /// of the reader's.
    pub fn add_metrics(&self, compute: impl Fn(&mut dyn FnMut(&Computed, &[&str], f64)) + Send + Sync + 'static) {
        let _ = self.others.set(Others(Box::new(compute)));
    }

    /// From now on receivers of alerts stand as this says; to be said once.
    pub fn add_receivers(&self, receivers: impl Fn() -> Vec<ReceiverStatus> + Send + Sync + 'static) {
        let _ = self.receivers.set(Receivers(Box::new(receivers)));
    }

    pub fn host(&self) -> &str {
        &self.host
    }

    pub fn telemetry(&self) -> &Arc<Telemetry> {
        &self.telemetry
    }

    /// From now on health is judged by this.
    pub fn set_health_config(&self, health: HealthConfig) {
        *lock(&self.health) = health;
    }

    /// When the state file was written, and where it is.
    pub fn saved(&self, path: String, written: Option<f64>) {
        let mut file = lock(&self.state_file);
        file.path = path;
        file.written = written.or(file.written);
    }

    /// `/api/v1/ports`
    pub fn ports(&self) -> PortList {
        PortList { ports: giving_way(self.telemetry.ports.cells().iter()).filter_map(|cell| cell.port()).collect() }
    }

    /// `/readyz`
    pub fn readiness(&self) -> Readiness {
        self.readiness_of(&self.telemetry.ports.cells())
    }

    /// The core says that ports are awaited; which they are is seen here, and whether others are not in step.
    pub(super) fn readiness_of(&self, cells: &[Arc<Cell>]) -> Readiness {
        let mut readiness = self.telemetry.readiness.report();
        let rows = readiness.components.iter_mut().find(|component| component.name == Component::Rows.name());
        if let (Some(rows), Some((problem, since))) = (rows.filter(|rows| rows.ready), self.telemetry.rows.unready()) {
            (rows.ready, rows.since, rows.reason) = (false, since, Some(problem));
            readiness.ready = false;
        }
        let awaited = self.awaited(cells);
        let ports = readiness.components.iter_mut().find(|component| component.name == Component::Ports.name());
        let Some(ports) = ports else { return readiness };
        if let Some(reason) = ports.reason.as_mut().filter(|_| awaited.count > 0) {
            let Awaited { count, first } = awaited;
            let more = if count > NAMED { ", …" } else { "" };
            reason.push_str(&format!(": {count} awaited, {}{more}", first.join(", ")));
        }
        let unserved = unserved(&self.telemetry, cells, NAMED);
        let mut before = lock(&self.unserved);
        if before.0 != unserved.is_some() {
            *before = (unserved.is_some(), seconds(now_ms()));
        }
        if ports.ready {
            ports.since = if unserved.is_some() { before.1 } else { ports.since.max(before.1) };
        }
        if let Some((_, why)) = unserved {
            ports.ready = false;
            readiness.ready = false;
            ports.reason = Some(ports.reason.take().map_or(why.clone(), |reason| format!("{reason}; {why}")));
        }
        readiness
    }

    /// `/api/v1/status`
    pub fn status(&self) -> Status {
        let telemetry = &self.telemetry;
        let metrics = &telemetry.metrics;
        let cells = telemetry.ports.cells();
        let facts = self.facts(&cells);
        let readiness = self.readiness_of(&cells);
        let current = telemetry.starts.current();
        let awaited = self.awaited(&cells);
        let health = self.health(&facts);
        let written: u64 =
            [Db::Appl, Db::Config, Db::State].map(|db| metrics.redis_writes.of((db, Outcome::Ok))).iter().sum();
        let last_resync = telemetry.moments.resync_ms.load(Ordering::Relaxed);
        let mut state_file = lock(&self.state_file).clone();
        state_file.recoveries = metrics.state_file_recoveries.sum();
        state_file.corruptions = metrics.state_file_corruptions.sum();
        state_file.backups = metrics.state_file_backups.sum();
        Status {
            version: VERSION.to_owned(),
            commit: COMMIT.to_owned(),
            pid: std::process::id(),
            host: self.host.clone(),
            started: telemetry.started(),
            uptime: telemetry.uptime().as_secs_f64(),
            summary: summary(&readiness, &facts.ports, telemetry.rows.refusal()),
            ready: readiness.ready,
            components: readiness.components,
            health,
            ports: facts.ports,
            start: Start {
                kind: current.kind.map(|kind| kind_name(kind).to_owned()),
                done: current.done,
                seconds: current.seconds,
                timed_out: current.timed_out,
                awaited: awaited.count,
                awaited_first: awaited.first,
            },
            starts: crate::api::Starts {
                warm: metrics.warm_starts.sum(),
                cold: metrics.cold_starts.sum(),
                live: metrics.live_restarts.sum(),
                fallbacks: metrics.warm_start_fallbacks.sum(),
                completed: metrics.initial_syncs.sum(),
                timed_out: metrics.initial_sync_timeouts.sum(),
                durations: telemetry.starts.durations(),
            },
            events: EventStats {
                total: metrics.link_events.sum(),
                latency: latency(&metrics.event_latency.distribution()),
                recent_latency: facts.recent,
            },
            redis: Redis {
                up: by_database(|db| metrics.redis_up.of(db) > 0.0),
                notifies: by_database(|db| metrics.redis_notifications.of(db) > 0.0),
                pending_rows: count(metrics.pending_rows.of(())),
                reconnects: metrics.redis_reconnects.sum(),
                emptied: metrics.redis_emptied.sum(),
                written,
                refused: metrics.redis_writes.sum() - written,
                latency: latency(&metrics.redis_write.distribution()),
            },
            kernel: Kernel {
                receive_buffer: count(metrics.netlink_receive_buffer.of(())) as u64,
                overruns: metrics.netlink_overruns.sum(),
                resyncs: metrics.resyncs.each().map(|(cause, count)| (cause.join(""), count)).collect(),
                dump_retries: metrics.dump_retries.sum(),
                drift_found: metrics.drift_found.sum(),
                drift_repaired: metrics.drift_repairs.sum(),
                last_resync: (last_resync > 0).then(|| seconds(last_resync)),
            },
            receivers: self.receivers.get().map(|receivers| receivers.0()).unwrap_or_default(),
            state_file,
        }
    }

    /// Begins an interval of [`sample`](Self::sample).
    pub fn mark(&self) -> Mark {
        let metrics = &self.telemetry.metrics;
        Mark {
            at: Instant::now(),
            events: metrics.link_events.sum(),
            writes: metrics.redis_writes.sum(),
            latency: metrics.event_latency.distribution(),
        }
    }

    /// Rates and latencies since the mark, which begins anew.
    pub fn sample(&self, mark: &mut Mark) -> Sample {
        let now = self.mark();
        let before = std::mem::replace(mark, now);
        let passed = (mark.at - before.at).as_secs_f64().max(1e-3);
        #[expect(clippy::cast_precision_loss, reason = "counts of an interval")]
        let rate = |now: u64, before: u64| now.saturating_sub(before) as f64 / passed;
        let cells = self.telemetry.ports.cells();
        let health = self.health(&self.facts(&cells));
        Sample {
            at: seconds(now_ms()),
            events_per_second: rate(mark.events, before.events),
            writes_per_second: rate(mark.writes, before.writes),
            latency: latency(&mark.latency.since(&before.latency)),
            pending_rows: count(self.telemetry.metrics.pending_rows.of(())),
            health: health.score,
        }
    }

    pub(super) fn health(&self, facts: &HealthFacts) -> Health {
        score::score(&self.telemetry, facts, &lock(&self.health))
    }

    pub(super) fn facts(&self, cells: &[Arc<Cell>]) -> HealthFacts {
        let mut ports = PortCounts::default();
        let mut late = 0;
        for port in cells {
            let Some(port_state) = port.port_state() else { continue };
            ports.total += 1;
            match port_state {
                PortState::Awaited => ports.awaited += 1,
                PortState::Waiting => ports.waiting += 1,
                PortState::Ignored => ports.ignored += 1,
                PortState::Blocked => ports.blocked += 1,
                PortState::InStep | PortState::Pending => match port.up_down() {
                    Some((_, true)) => ports.up += 1,
                    Some((true, false)) => ports.down += 1,
                    Some((false, false)) => ports.admin_down += 1,
                    // It went just now.
                    None => {}
                },
            }
            if port_state == PortState::Pending {
                ports.out_of_step += 1;
                late += usize::from(port.behind().is_some_and(|behind| behind > LATE));
            }
        }
        HealthFacts {
            ports,
            awaited: self.awaited(cells).count,
            late,
            unserved: unserved(&self.telemetry, cells, 1),
            recent: self.recent(),
        }
    }

    fn awaited(&self, cells: &[Arc<Cell>]) -> Awaited {
        let awaited = || cells.iter().filter(|cell| cell.is_awaited());
        let odd = self.telemetry.starts.odd();
        let count = awaited().count() + odd.len();
        Awaited { count, first: awaited().map(|cell| cell.name().to_string()).chain(odd).take(NAMED).collect() }
    }

    fn recent(&self) -> Option<Latency> {
        let now = Instant::now();
        let distribution = self.telemetry.metrics.event_latency.distribution();
        let mut recent = lock(&self.recent);
        if now - recent.newer.0 >= RECENT {
            recent.older = std::mem::replace(&mut recent.newer, (now, distribution.clone()));
        }
        let since = distribution.since(&recent.older.1);
        (since.count() > 0).then(|| latency(&since))
    }
}

pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The commit that it was built from, where the build knew it.
pub const COMMIT: &str = match option_env!("PORTSYNCD_COMMIT") {
    Some(commit) => commit,
    None => "unknown",
};

/// The kind of start, for people and programs.
pub fn kind_name(kind: StartKind) -> &'static str {
    match kind {
        StartKind::Cold => "cold",
        StartKind::Dpu => "dpu",
        StartKind::Warm => "warm",
        StartKind::Live => "live",
    }
}

fn by_database(holds: impl Fn(Db) -> bool) -> BTreeMap<String, bool> {
    [Db::Appl, Db::Config, Db::State].map(|db| (Db::VALUES[db as usize].to_owned(), holds(db))).into()
}

/// The ports whose rows the start waits for.
struct Awaited {
    count: usize,
    first: Vec<String>,
}

fn latency(distribution: &Distribution) -> Latency {
    Latency {
        count: distribution.count(),
        p50: distribution.quantile(0.5),
        p90: distribution.quantile(0.9),
        p99: distribution.quantile(0.99),
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "gauges that count rows, ports or bytes")]
fn count(value: f64) -> usize {
    value.max(0.0) as usize
}

/// Ports that changed, apart by whether they are still there.
pub fn split(cells: &[Arc<Cell>]) -> (Vec<Port>, Vec<String>) {
    let mut removed = Vec::new();
    let ports = giving_way(cells.iter())
        .filter_map(|cell| {
            let port = cell.port();
            if port.is_none() {
                removed.push(cell.name().to_string());
            }
            port
        })
        .collect();
    (ports, removed)
}

#[cfg(test)]
mod tests;
