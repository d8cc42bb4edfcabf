//! Every metric, once: a row here is its definition, its description, the name that alert rules use, and its line in
//! docs/metrics.md. The first table holds what is counted as it happens, the second what is computed when it is read.

use super::labels::{Cause, CodeClass, Db, DumpOutcome, LinkKind, Outcome, Refusal, SaveOutcome, Sidecar};
use super::value::{Counter, Family, Gauge, Histogram};

/// What stands before every name in Prometheus.
pub const PREFIX: &str = "portsyncd_";

/// What kind of values a metric has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// It only grows while the daemon runs.
    Counter,
    /// It goes up and down.
    Gauge,
    /// Durations in buckets.
    Histogram,
}

impl MetricKind {
    /// Prometheus' word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// A row of the catalogue.
#[derive(Clone, Debug)]
pub struct Metric {
    /// The name, without [`PREFIX`] unless it is one that every process has.
    pub name: &'static str,
    /// What kind of values it has.
    pub kind: MetricKind,
    /// Its labels.
    pub labels: Vec<&'static str>,
    /// What it says.
    pub help: &'static str,
    /// Whether it goes on after a restart.
    pub survives: bool,
}

impl Metric {
    /// The name in Prometheus.
    pub fn full_name(&self) -> String {
        if self.name.starts_with("process_") { self.name.to_owned() } else { format!("{PREFIX}{}", self.name) }
    }

    /// The unit of its values.
    pub fn unit(&self) -> &'static str {
        let name = self.name.trim_end_matches("_total");
        ["seconds", "bytes"].into_iter().find(|unit| name.ends_with(unit)).unwrap_or("")
    }
}

macro_rules! counted {
    ($($(#[doc = $help:literal])+ $field:ident: $type:ident $(<$labels:ty>)? = $name:literal $($survives:ident)?;)*) => {
        /// What is counted as it happens.
        #[derive(Debug, Default)]
        #[expect(clippy::doc_markdown, reason = "the descriptions are those of the metrics, which are plain text")]
        pub struct Metrics {
            $($(#[doc = $help])+ pub $field: $type $(<$labels>)?,)*
        }

        impl Metrics {
            /// Each metric with its values, in the catalogue's order.
            pub fn each<'a>(&'a self, visit: &mut dyn FnMut(Metric, &'a dyn Family)) {
                $({
                    let metric = Metric {
                        name: $name,
                        kind: MetricKind::$type,
                        labels: self.$field.labels(),
                        help: concat!($($help),+).trim_ascii(),
                        survives: counted!(@survives $($survives)?),
                    };
                    visit(metric, &self.$field);
                })*
            }
        }
    };
    (@survives survives) => { true };
    (@survives) => { false };
}

counted! {
    /// Link messages taken from the kernel.
    link_events: Counter<LinkKind> = "link_events_total";
    /// Netlink messages that were not taken: not from the kernel, or not understood (which costs a resync).
    netlink_refused: Counter<Refusal> = "netlink_refused_total";
    /// Times the kernel dropped link messages because the receive buffer was full; each costs a resync.
    netlink_overruns: Counter = "netlink_overruns_total" survives;
    /// Size of the netlink receive buffer that the kernel granted.
    netlink_receive_buffer: Gauge = "netlink_receive_buffer_bytes";
    /// Lists of all links that were asked of the kernel, by how they ended.
    dumps: Counter<DumpOutcome> = "dumps_total";
    /// Times a list of all links was asked for again because links changed while it was made.
    dump_retries: Counter = "dump_retries_total" survives;
    /// Times kernel and Redis were compared, by what caused it.
    resyncs: Counter<Cause> = "resyncs_total";
    /// How long comparing kernel and Redis took.
    resync_duration: Histogram = "resync_seconds";
    /// Rows that an audit found to differ from the kernel though nothing had told of a change.
    drift_found: Counter = "drift_rows_total" survives;
    /// Rows that an audit found to differ and that Redis has taken right since.
    drift_repairs: Counter = "drift_repairs_total" survives;
    /// From the receipt of a link message to Redis' acknowledgement of the row that it changed.
    event_latency: Histogram = "event_latency_seconds";
    /// From sending rows to Redis' last acknowledgement of these, for each batch.
    redis_write: Histogram = "redis_write_seconds";
    /// Rows written, by database and outcome.
    redis_writes: Counter<(Db, Outcome)> = "redis_writes_total";
    /// Rows that were not written because Redis holds them already.
    redis_writes_spared: Counter = "redis_writes_spared_total";
    /// Whether the database can be reached (1) or not (0); no value before each was tried.
    redis_up: Gauge<Db> = "redis_up";
    /// Whether the database's server tells of changes (1) or not (0): then they are seen at the next audit.
    redis_notifications: Gauge<Db> = "redis_notifications";
    /// Times the connections to Redis were made anew.
    redis_reconnects: Counter = "redis_reconnects_total" survives;
    /// Attempts to connect to Redis that failed.
    redis_connect_failures: Counter = "redis_connect_failures_total";
    /// Times Redis was found without its contents and everything was published again.
    redis_emptied: Counter = "redis_emptied_total" survives;
    /// Rows that wait to be written, those under way included.
    pending_rows: Gauge = "pending_rows";
    /// Whether the configuration could be used when it was last read (1) or not (0): then the one before holds.
    config_last_reload_successful: Gauge = "config_last_reload_successful";
    /// When a configuration that could be used was last read, as Unix time.
    config_last_reload_success_timestamp: Gauge = "config_last_reload_success_timestamp_seconds";
    /// Warm starts.
    warm_starts: Counter = "warm_starts_total" survives;
    /// Cold starts.
    cold_starts: Counter = "cold_starts_total" survives;
    /// Restarts of the daemon alone on a live switch.
    live_restarts: Counter = "live_restarts_total" survives;
    /// Warm restarts announced by the flag that had to be cold ones, for want of a usable restore_count.
    warm_start_fallbacks: Counter = "warm_start_fallbacks_total" survives;
    /// Starts that came to PortInitDone.
    initial_syncs: Counter = "initial_syncs_total" survives;
    /// Starts that did not come to PortInitDone within health.initial_sync_timeout.
    initial_sync_timeouts: Counter = "initial_sync_timeouts_total" survives;
    /// Damaged state files for which an older generation was found.
    state_file_recoveries: Counter = "state_file_recoveries_total" survives;
    /// State files that were found damaged.
    state_file_corruptions: Counter = "state_file_corruptions_total" survives;
    /// Generations of the state file that were set aside as backups.
    state_file_backups: Counter = "state_file_backups_total" survives;
    /// Writes of the state file that found no generation before them to set aside as a backup, though there had been one.
    state_file_backups_missed: Counter = "state_file_backups_missed_total" survives;
    /// Whether this run began without what earlier ones knew (1) because no state file could be read, or not (0).
    state_file_lost: Gauge = "state_file_lost";
    /// Writes of the state file, by how they ended.
    state_file_writes: Counter<SaveOutcome> = "state_file_writes_total";
    /// Lines of the log that were dropped because whoever is to take them, syslog or the reader of a pipe, had no room for them.
    log_lines_dropped: Counter = "log_lines_dropped_total";
    /// Times a part of what runs beside the core failed and was started again: http (with the control socket), state, alerts.
    sidecar_restarts: Counter<Sidecar> = "sidecar_restarts_total";
    /// How long evaluating all alert rules once took, reading the values included.
    alert_evaluation: Histogram = "alert_evaluation_seconds";
    /// Requests over HTTP and the control socket, by class of status code.
    http_requests: Counter<CodeClass> = "http_requests_total";
    /// Connections that were closed for newer ones because http.max_connections were open.
    http_connections_refused: Counter = "http_connections_refused_total";
    /// Open connections over HTTP, the control socket not included.
    http_connections: Gauge = "http_connections";
}

/// What is computed when it is read, see the constants.
const fn gauge(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Computed {
    Computed { name, kind: MetricKind::Gauge, labels, help, survives: false }
}

/// A metric that is computed when it is read.
#[derive(Debug)]
pub struct Computed {
    /// See [`Metric`].
    pub name: &'static str,
    kind: MetricKind,
    labels: &'static [&'static str],
    help: &'static str,
    survives: bool,
}

macro_rules! computed {
    ($($(#[doc = $about:literal])+ $constant:ident = $metric:expr;)*) => {
        $($(#[doc = $about])+ pub const $constant: Computed = $metric;)*
        /// All of them, in the catalogue's order.
        const COMPUTED: &[Computed] = &[$($constant),*];
    };
}

/// The states of [`PORTS`].
pub const PORT_STATES: [&str; 7] = ["up", "down", "admin_down", "waiting", "ignored", "blocked", "awaited"];
/// The statistics of [`INITIAL_SYNC_HISTORY`].
pub const START_STATS: [&str; 6] = ["min", "avg", "max", "p50", "p90", "p99"];

computed! {
    /// Ports by state.
    PORTS = gauge("ports", &["state"], "Ports by state, from the first comparison of kernel and Redis on: up; down (wanted up, no carrier); admin_down; waiting (the link is there, its row in APPL_DB is not); ignored (the link is from before a cold start); blocked (its key in STATE_DB holds another type); awaited (configured, no link yet)");
    /// Rows out of step.
    PORTS_OUT_OF_STEP = gauge("ports_out_of_step", &[], "Ports whose row in STATE_DB does not say yet what the kernel says");
    /// Operational state of a port.
    PORT_OPER_UP = gauge("port_oper_up", &["port"], "Whether the port's link is up (1) or not (0); of the first telemetry.per_port_limit ports");
    /// A port that ought to be up.
    PORT_DOWN = gauge("port_down", &["port"], "Whether the port is wanted up and is not (1), or not (0); of the first telemetry.per_port_limit ports");
    /// Flaps of a port.
    PORT_FLAPS = Computed {
        name: "port_flaps_total",
        kind: MetricKind::Counter,
        labels: &["port"],
        help: "Changes of the port's operational state, up or down, each counted once as orchagent's flap_count does, also those whose messages were lost or that came while the daemon was away; of the first telemetry.per_port_limit ports",
        survives: true,
    };
    /// Ports beyond the limit.
    PORTS_UNLISTED = gauge("ports_unlisted", &[], "Ports beyond telemetry.per_port_limit: they have no series of their own");
    /// Flaps of the ports beyond the limit.
    PORT_FLAPS_UNLISTED = Computed {
        name: "port_flaps_unlisted_total",
        kind: MetricKind::Counter,
        labels: &[],
        help: "Changes of the operational state of all ports beyond telemetry.per_port_limit, summed",
        survives: true,
    };
    /// Whether the start came to its end.
    PORT_INIT_DONE = gauge("port_init_done", &[], "Whether PortInitDone was said (1) or is due (0): still, or again because Redis lost it");
    /// What it waits for.
    PORTS_AWAITED = gauge("ports_awaited", &[], "Configured ports whose row is still to come before PortInitDone");
    /// How long the start takes.
    INITIAL_SYNC = gauge("initial_sync_seconds", &[], "From the start to the first PortInitDone; before that, the time since the start");
    /// How long the start is still going on.
    INITIAL_SYNC_DUE = gauge("initial_sync_due_seconds", &[], "Time for which PortInitDone has been due: since the start, or since Redis lost it; 0 once it was said");
    /// Statistics of starts.
    INITIAL_SYNC_HISTORY = gauge("initial_sync_history_seconds", &["stat"], "How long the last 100 starts took, over restarts: min, avg, max, p50, p90, p99");
    /// How many damaged state files could be replaced.
    STATE_FILE_RECOVERY = gauge("state_file_recovery_ratio", &[], "Damaged state files for which an older generation was found, as a share of all damaged ones; 1 while none was damaged");
    /// When the last comparison ended.
    LAST_AUDIT = gauge("last_resync_timestamp_seconds", &[], "When kernel and Redis were last compared, as Unix time; no value before the first time");
    /// Readiness of the components.
    COMPONENT_READY = gauge("component_ready", &["component"], "Whether the component is ready (1) or not (0); /readyz says why not");
    /// Alerts by rule and state.
    ALERTS = gauge("alerts", &["rule", "severity", "state"], "Alerts by rule: firing of every rule that is on; pending and suppressed where there are any");
    /// Rules that cannot be used.
    RULES_WRONG = gauge("rules_wrong", &[], "Rules that are wrong, by the last reading of files and CONFIG_DB; while there are any, the rules of before hold");
    /// Notifications by sink.
    NOTIFICATIONS = Computed { kind: MetricKind::Counter, ..gauge("notifications_total", &["sink", "outcome"], "Notifications by sink and what became of them: sent, retried, failed, dropped, filtered, or replaced by a newer one") };
    /// The health score.
    HEALTH_SCORE = gauge("health_score", &[], "Health from 0 to 100; /api/v1/status shows its parts");
    /// What runs.
    BUILD_INFO = gauge("build_info", &["version", "commit"], "Always 1; the labels say what runs");
    /// See the name.
    PROCESS_CPU = Computed { kind: MetricKind::Counter, ..gauge("process_cpu_seconds_total", &[], "Total user and system CPU time spent in seconds.") };
    /// See the name.
    PROCESS_OPEN_FDS = gauge("process_open_fds", &[], "Number of open file descriptors.");
    /// See the name.
    PROCESS_MAX_FDS = gauge("process_max_fds", &[], "Maximum number of open file descriptors.");
    /// See the name.
    PROCESS_VIRTUAL = gauge("process_virtual_memory_bytes", &[], "Virtual memory size in bytes.");
    /// See the name.
    PROCESS_VIRTUAL_MAX = gauge("process_virtual_memory_max_bytes", &[], "Maximum amount of virtual memory available in bytes.");
    /// See the name.
    PROCESS_RESIDENT = gauge("process_resident_memory_bytes", &[], "Resident memory size in bytes.");
    /// See the name.
    PROCESS_START = gauge("process_start_time_seconds", &[], "Start time of the process since unix epoch in seconds.");
    /// See the name.
    PROCESS_THREADS = gauge("process_threads", &[], "Number of OS threads in the process.");
}

impl Computed {
    /// The row.
    pub fn metric(&self) -> Metric {
        Metric {
            name: self.name,
            kind: self.kind,
            labels: self.labels.to_vec(),
            help: self.help,
            survives: self.survives,
        }
    }
}

/// The whole catalogue.
pub fn catalog() -> Vec<Metric> {
    let mut all = Vec::new();
    Metrics::default().each(&mut |metric, _| all.push(metric));
    all.extend(COMPUTED.iter().map(Computed::metric));
    all
}

/// The catalogue for people: a table in Markdown.
pub fn markdown() -> String {
    let mut text = String::from(
        "# Metrics\n\n\
         Made by `portsyncd metrics --markdown` from the catalogue in `src/telemetry/catalog.rs`; CI compares the two.\n\n\
         `/metrics` exposes them under these names. Alert rules use the names without `portsyncd_`. Histograms have buckets from\n\
         10 µs to 1 s. Those that survive go on counting after a restart of the daemon; the others begin at 0.\n\n\
         | metric | kind | unit | labels | survives | meaning |\n|---|---|---|---|---|---|\n",
    );
    for metric in catalog() {
        let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        let survives = if metric.survives { "yes" } else { "" };
        text.push_str(&format!(
            "| `{}` | {} | {} | {} | {survives} | {} |\n",
            metric.full_name(),
            metric.kind.name(),
            metric.unit(),
            labels.join(", "),
            metric.help.trim_end_matches('.')
        ));
    }
    text
}

/// The catalogue as plain text for a terminal.
pub fn text() -> String {
    let all = catalog();
    let width = all.iter().map(|metric| named(metric).len()).max().unwrap_or_default();
    let kind = 9;
    let mut text = String::new();
    for metric in &all {
        text.push_str(&format!("{:width$}  {:kind$}  {}\n", named(metric), metric.kind.name(), metric.help));
    }
    text
}

fn named(metric: &Metric) -> String {
    let name = metric.full_name();
    if metric.labels.is_empty() { name } else { format!("{name}{{{}}}", metric.labels.join(",")) }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_follow_prometheus_rules_and_stand_once() {
        let mut seen = HashSet::new();
        for metric in catalog() {
            let name = metric.full_name();
            assert!(seen.insert(name.clone()), "{name} stands twice");
            assert!(
                name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_'),
                "{name}"
            );
            assert_eq!(name.ends_with("_total"), metric.kind == MetricKind::Counter, "{name}: _total is for counters");
            assert!(!metric.help.is_empty() && !metric.help.contains(['|', '\n']), "{name}: {}", metric.help);
            assert!(metric.kind != MetricKind::Histogram || metric.unit() == "seconds", "{name}");
        }
    }

    #[test]
    fn the_documentation_is_what_the_catalogue_says() {
        let written = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md")).unwrap();
        assert_eq!(written, markdown(), "make it anew: portsyncd metrics --markdown > docs/metrics.md");
    }

    #[test]
    fn what_users_rely_on_is_there() {
        let all = catalog();
        let names: HashSet<&str> = all.iter().map(|metric| metric.name).collect();
        for name in [
            "link_events_total",
            "event_latency_seconds",
            "redis_write_seconds",
            "redis_writes_total",
            "redis_up",
            "redis_reconnects_total",
            "pending_rows",
            "netlink_overruns_total",
            "resyncs_total",
            "drift_repairs_total",
            "ports",
            "port_oper_up",
            "port_flaps_total",
            "port_init_done",
            "ports_awaited",
            "warm_starts_total",
            "cold_starts_total",
            "live_restarts_total",
            "initial_sync_seconds",
            "initial_sync_timeouts_total",
            "state_file_recoveries_total",
            "state_file_corruptions_total",
            "state_file_backups_total",
            "health_score",
            "build_info",
        ] {
            assert!(names.contains(name), "{name}");
        }
    }
}
