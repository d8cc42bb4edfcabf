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
    /// Its process.
    pub pid: u32,
    /// The host's name.
    pub host: String,
    /// When it started.
    pub started: f64,
    /// How long it runs.
    pub uptime: f64,
    /// One sentence.
    pub summary: String,
    /// Whether every component that readiness asks for is ready.
    pub ready: bool,
    /// Each component.
    pub components: Vec<Component>,
    /// The health score and its parts.
    pub health: Health,
    /// How many ports stand how.
    pub ports: PortCounts,
    /// This start.
    pub start: Start,
    /// All starts, over restarts.
    pub starts: Starts,
    /// Link messages and rows.
    pub events: Events,
    /// Redis.
    pub redis: Redis,
    /// The kernel.
    pub kernel: Kernel,
    /// What survives a restart.
    pub state_file: StateFile,
}

/// A component of the daemon.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Component {
    /// `kernel`, `redis`, `rows`, `ports`, `state`, `http` or `control`.
    pub name: String,
    /// Whether it is ready.
    pub ready: bool,
    /// Whether `/readyz` asks for it.
    pub required: bool,
    /// Why it is not ready.
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
    /// Each component.
    pub components: Vec<Component>,
}

/// The health score.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Health {
    /// 0 to 100: the sum of the parts' points.
    pub score: u8,
    /// What it is made of.
    pub parts: Vec<Part>,
}

/// A part of the health score.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// Its name.
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
    /// All.
    pub total: usize,
    /// Up.
    pub up: usize,
    /// Wanted up, and not up.
    pub down: usize,
    /// Not wanted up.
    pub admin_down: usize,
    /// The link is there, its row in `APPL_DB` is not.
    pub waiting: usize,
    /// The link is from before a cold start, and ignored until it goes.
    pub ignored: usize,
    /// Configured, and not there yet.
    pub awaited: usize,
    /// Rows that do not say yet what the kernel says.
    pub out_of_step: usize,
}

/// This start.
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
    /// The first of these.
    pub awaited_first: Vec<String>,
}

/// All starts, over restarts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Starts {
    /// Warm starts.
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
    /// How many.
    pub count: usize,
    /// The shortest.
    pub min: f64,
    /// The mean.
    pub avg: f64,
    /// The longest.
    pub max: f64,
    /// The median.
    pub p50: f64,
    /// Nine of ten were shorter.
    pub p90: f64,
    /// 99 of 100 were shorter.
    pub p99: f64,
}

/// Link messages and rows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Events {
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
    /// How many.
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

/// Redis.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Redis {
    /// Whether each database can be reached.
    pub up: BTreeMap<String, bool>,
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

/// The kernel.
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

/// A port.
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
    /// How it stands.
    pub state: Standing,
    /// Whether `STATE_DB` says what the kernel says.
    pub in_step: bool,
    /// The last changes of the operational state, oldest first, at most 8, over restarts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<Change>,
}

/// How a port stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// `STATE_DB` says what the kernel says.
    InStep,
    /// Its row is being written.
    Pending,
    /// The link is there, its row in `APPL_DB` is not.
    Waiting,
    /// The link is from before a cold start, and ignored until it goes.
    Ignored,
    /// Configured, and not there yet.
    Awaited,
}

/// A change of the operational state.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// When.
    pub at: f64,
    /// Whether it came up.
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
    /// When.
    pub at: f64,
    /// Link messages a second.
    pub events_per_second: f64,
    /// Rows written a second.
    pub writes_per_second: f64,
    /// From message to acknowledgement.
    pub latency: Latency,
    /// Rows that wait to be written.
    pub pending_rows: usize,
    /// The health score.
    pub health: u8,
}
