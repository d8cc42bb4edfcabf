//! What `/api/v1` and the control socket answer: shapes that programs rely on, written by the daemon and read by its own
//! commands. Times are Unix time in seconds, durations are seconds, both with fractions.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// `/api/v1/status`: how the daemon stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Version of the daemon.
    pub version: String,
    /// The commit that it was built from, or `unknown`.
    pub commit: String,
    pub pid: u32,
    pub host: String,
    pub started: f64,
    pub uptime: f64,
    pub summary: String,
    /// Whether every component that readiness asks for is ready.
    pub ready: bool,
    pub components: Vec<ComponentStatus>,
    /// The health score and its parts.
    pub health: Health,
    /// How many ports stand how.
    pub ports: PortCounts,
    pub start: Start,
    /// All starts, over restarts.
    pub starts: Starts,
    /// Link messages and rows.
    pub events: EventStats,
    pub redis: Redis,
    pub kernel: Kernel,
    /// What survives a restart.
    /// Where alerts are delivered to, besides the log.
    #[serde(default)]
    pub receivers: Vec<ReceiverStatus>,
    pub state_file: StateFile,
}

/// A component of the daemon.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ComponentStatus {
    /// `kernel`, `redis`, `rows`, `ports`, `state`, `http` or `control`.
    pub name: String,
    pub ready: bool,
    /// Whether `/readyz` asks for it.
    pub required: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Since when it stands like this.
    pub since: f64,
}

/// `/readyz`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Readiness {
    /// Whether every required component is ready.
    pub ready: bool,
    pub components: Vec<ComponentStatus>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Health {
    /// 0 to 100: the sum of the parts' points.
    pub score: u8,
    pub parts: Vec<Part>,
}

/// A part of the health score.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Part {
    pub name: String,
    /// The most points that it can give.
    pub weight: u8,
    /// The points that it gives now.
    pub points: f64,
    /// Why it does not give all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// How many ports stand how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortCounts {
    pub total: usize,
    pub up: usize,
    /// Wanted up, and not up.
    pub down: usize,
    pub admin_down: usize,
    /// The link is there, its row in `APPL_DB` is not.
    pub waiting: usize,
    /// The link is from before a cold start, and ignored until it goes.
    pub ignored: usize,
    /// Its key in `STATE_DB` holds another type than a hash, so that nothing can be written.
    #[serde(default)]
    pub blocked: usize,
    /// Configured, and not there yet.
    pub awaited: usize,
    /// Rows that do not say yet what the kernel says.
    pub out_of_step: usize,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Start {
    /// `cold`, `dpu`, `warm` or `live`; not known before Redis was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Whether `PortInitDone` was said, and Redis has not lost it.
    pub done: bool,
    /// How long it took, or takes.
    pub seconds: f64,
    /// Whether it took longer than `health.initial_sync_timeout`.
    pub timed_out: bool,
    /// How many ports' rows are still to come before `PortInitDone`, with a link or without.
    pub awaited: usize,
    pub awaited_first: Vec<String>,
}

/// All starts, over restarts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Starts {
    pub warm: u64,
    /// Cold starts, those on DPUs included.
    pub cold: u64,
    /// Restarts of the daemon alone.
    pub live: u64,
    /// Warm starts that had to be cold ones.
    pub fallbacks: u64,
    /// Starts that came to `PortInitDone`.
    pub completed: u64,
    /// Starts that did not within `health.initial_sync_timeout`.
    pub timed_out: u64,
    /// How long the last of them took, at most 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub durations: Option<Durations>,
}

/// Statistics of durations.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Durations {
    pub count: usize,
    pub min: f64,
    pub avg: f64,
    pub max: f64,
    pub p50: f64,
    /// Nine of ten were shorter.
    pub p90: f64,
    /// 99 of 100 were shorter.
    pub p99: f64,
}

/// Link messages and rows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EventStats {
    /// Link messages since the start.
    pub total: u64,
    /// From a message to Redis' acknowledgement of its row, since the start.
    pub latency: Latency,
    /// The same over the last minute or so; absent if nothing changed in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recent_latency: Option<Latency>,
}

/// A distribution of latencies. The quantiles are those of a histogram: as exact as its buckets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    pub count: u64,
    /// The median; absent if there were none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p50: Option<f64>,
    /// Nine of ten were shorter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p90: Option<f64>,
    /// 99 of 100 were shorter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p99: Option<f64>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Redis {
    /// Whether each database can be reached.
    pub up: BTreeMap<String, bool>,
    /// Whether each database's server tells of changes; otherwise they are seen at the next audit.
    #[serde(default)]
    pub notifies: BTreeMap<String, bool>,
    /// Rows that wait to be written.
    pub pending_rows: usize,
    /// Times the connections were made anew.
    pub reconnects: u64,
    /// Times Redis was found without its contents.
    pub emptied: u64,
    /// Rows that it took since the start.
    pub written: u64,
    /// Rows that it refused since the start; each was tried again or reported.
    pub refused: u64,
    /// From sending rows to their acknowledgement, since the start.
    pub latency: Latency,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Kernel {
    /// Size of the netlink receive buffer in bytes.
    pub receive_buffer: u64,
    /// Times it was too small.
    pub overruns: u64,
    /// Times everything was compared, by cause.
    pub resyncs: BTreeMap<String, u64>,
    /// Times a list of all links was asked for again.
    pub dump_retries: u64,
    /// Rows that an audit found to differ.
    pub drift_found: u64,
    /// Rows of these that were mended.
    pub drift_repaired: u64,
    /// When everything was last compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_resync: Option<f64>,
}

/// How a receiver of alerts stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ReceiverStatus {
    /// The sink of the configuration.
    pub sink: String,
    /// Which of its receivers; nothing secret.
    pub receiver: String,
    /// How many notifications wait.
    pub waiting: usize,
    /// Since when deliveries fail; absent if the last one did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failing_since: Option<f64>,
    /// Why the last delivery failed, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// What survives a restart.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StateFile {
    /// The file; empty if it is turned off.
    pub path: String,
    /// When it was last written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub written: Option<f64>,
    /// Damaged files for which an older generation was found, over restarts.
    pub recoveries: u64,
    /// Damaged files, over restarts.
    pub corruptions: u64,
    /// Generations set aside, over restarts.
    pub backups: u64,
}

/// `/api/v1/ports`: every port that has a link or is awaited.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PortList {
    /// In the order of their names, numbers as numbers.
    pub ports: Vec<Port>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Port {
    /// Its name; bytes that are no plain ASCII are escaped.
    pub name: String,
    /// `up` or `down`: whether somebody wants it up. Absent while there is no row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admin: Option<String>,
    /// `up` or `down`: whether it carries packets. Absent while there is no row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oper: Option<String>,
    /// In bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u64>,
    /// The kernel's number of the link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ifindex: Option<u32>,
    /// Changes of the operational state, over restarts.
    pub flaps: u64,
    /// When the row last changed since the daemon started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_change: Option<f64>,
    pub state: PortState,
    /// Whether `STATE_DB` says what the kernel says.
    pub in_step: bool,
    /// The last changes of the operational state, oldest first, at most 8, over restarts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<Change>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PortState {
    /// `STATE_DB` says what the kernel says.
    InStep,
    /// Its row is being written.
    Pending,
    /// The link is there, its row in `APPL_DB` is not.
    Waiting,
    /// The link is from before a cold start, and ignored until it goes.
    Ignored,
    /// Its key in `STATE_DB` holds another type than a hash: nothing can be written until somebody deletes it.
    Blocked,
    /// Configured, and not there yet.
    Awaited,
}

/// A change of the operational state.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    pub at: f64,
    pub up: bool,
}

/// `/api/v1/events`, event `change`: what changed since the last one. Event `ports` is a [`PortList`], event `status` a
/// [`Status`], event `sample` a [`Sample`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PortChanges {
    /// Ports that changed or came.
    pub ports: Vec<Port>,
    /// Names of ports that went.
    pub removed: Vec<String>,
}

/// `/api/v1/events`, event `sample`: rates and latencies since the last one, about a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    pub at: f64,
    /// Link messages a second.
    pub events_per_second: f64,
    /// Rows written a second.
    pub writes_per_second: f64,
    /// From message to acknowledgement.
    pub latency: Latency,
    /// Rows that wait to be written.
    pub pending_rows: usize,
    pub health: u8,
}
