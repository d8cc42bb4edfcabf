//! `portsyncd status`: how the daemon stands, on one screen.

use std::fmt::Write as _;

use portsyncd::alert::api::AlertList;
use portsyncd::api::{Component, Health, Kernel, Latency, PortCounts, Redis, Start, Starts, StateFile, Status};
use portsyncd::config::ControlConfig;
use portsyncd::control::{Control, ControlError};

use super::text::{Paint, ago, bytes, count, duration, latency, plain, plural, span};
use super::{alerts, block_on, json, now, put, shows_colour};

const PATH: &str = "/api/v1/status";
const INDENT: usize = 12;

/// Asks and prints. A daemon that answers is success, ready or not.
pub fn run(config: &ControlConfig, as_json: bool) -> anyhow::Result<bool> {
    let control = Control::new(config)?;
    let text = block_on(async {
        if as_json {
            return Ok(json::pretty(&control.fetch(PATH).await?)?);
        }
        let status: Status = control.get(PATH).await?;
        let paint = Paint { on: shows_colour() };
        let alerts = alerts_line(control.get(alerts::PATH).await, paint);
        Ok(told(&status, alerts, now(), paint))
    })?;
    put(&text)?;
    Ok(true)
}

/// What there is to say of alerts. A daemon whose alerts cannot be read has a status as well.
fn alerts_line(alerts: Result<AlertList, ControlError>, paint: Paint) -> Option<String> {
    match alerts {
        Ok(alerts) => alerts::firing(&alerts.alerts, paint),
        Err(error) => Some(paint.bad(&plain(&format!("cannot be read: {error}")))),
    }
}

/// Lines that begin with a name, and go on below their value.
struct Page {
    text: String,
    paint: Paint,
}

impl Page {
    fn line(&mut self, name: &str, value: &str) {
        let _ = writeln!(self.text, "{name:<INDENT$}{value}");
    }

    /// Several values; those that are empty are left out.
    fn list(&mut self, name: &str, values: impl IntoIterator<Item = String>) {
        let values: Vec<String> = values.into_iter().filter(|value| !value.is_empty()).collect();
        self.line(name, &values.join(", "));
    }
}

/// `alerts`: what there is to say of them.
fn told(status: &Status, alerts: Option<String>, now: f64, paint: Paint) -> String {
    let mut page = Page { text: String::new(), paint };
    let name = paint.strong(&format!("portsyncd {}", plain(&status.version)));
    let commit = if status.commit == "unknown" { String::new() } else { format!(" ({})", plain(&status.commit)) };
    let _ = writeln!(
        page.text,
        "{name}{commit} on {}, process {}, up {}",
        plain(&status.host),
        status.pid,
        span(status.uptime)
    );
    let summary = plain(&status.summary);
    let _ = writeln!(page.text, "{}\n", if status.ready { paint.good(&summary) } else { paint.bad(&summary) });
    page.readiness(status.ready, &status.components, now);
    page.health(&status.health);
    if let Some(alerts) = alerts {
        page.line("alerts", &alerts);
    }
    page.ports(&status.ports);
    page.start(&status.start, &status.starts);
    page.line("events", &plural(status.events.total, "link message"));
    page.quantiles("latency", &status.events.latency, ", from a message to Redis' acknowledgement");
    if let Some(recent) = &status.events.recent_latency {
        page.quantiles("of late", recent, "");
    }
    page.redis(&status.redis);
    page.kernel(&status.kernel, now);
    page.state_file(&status.state_file, now);
    page.text
}

impl Page {
    fn quantiles(&mut self, name: &str, of: &Latency, more: &str) {
        if of.count > 0 {
            let [p50, p90, p99] = [of.p50, of.p90, of.p99].map(latency);
            self.line(&format!("  {name}"), &format!("p50 {p50}, p90 {p90}, p99 {p99}{more}"));
        }
    }

    fn readiness(&mut self, ready: bool, components: &[Component], now: f64) {
        self.line("ready", &if ready { self.paint.good("yes") } else { self.paint.bad("no") });
        for component in components {
            let for_how_long = span(now - component.since);
            let value = match (&component.reason, component.required) {
                _ if component.ready => format!("ready for {for_how_long}"),
                (reason, required) => {
                    let word = if required { self.paint.bad("not ready") } else { self.paint.fair("not ready") };
                    let rest = if required { "" } else { " (the ports do not need it)" };
                    let reason = plain(reason.as_deref().unwrap_or("no reason given"));
                    format!("{word} for {for_how_long}: {reason}{rest}")
                }
            };
            self.line(&format!("  {}", plain(&component.name)), &value);
        }
    }

    fn health(&mut self, health: &Health) {
        let score = format!("{} of 100", health.score);
        let score = match health.score {
            90.. => self.paint.good(&score),
            60.. => self.paint.fair(&score),
            _ => self.paint.bad(&score),
        };
        self.line("health", &score);
        for part in health.parts.iter().filter(|part| part.points < f64::from(part.weight)) {
            let reason = plain(part.reason.as_deref().unwrap_or("no reason given"));
            self.line(&format!("  {}", plain(&part.name)), &format!("{} of {}: {reason}", part.points, part.weight));
        }
    }

    fn ports(&mut self, ports: &PortCounts) {
        let marked = |number: usize, word: &str, paint: fn(Paint, &str) -> String| {
            let text = format!("{} {word}", count(number as u64));
            if number == 0 { text } else { paint(self.paint, &text) }
        };
        let odd = |number, word| if number == 0 { String::new() } else { marked(number, word, Paint::fair) };
        let values = [
            marked(ports.up, "up", Paint::good),
            marked(ports.down, "down", Paint::bad),
            format!("{} admin down", count(ports.admin_down as u64)),
            odd(ports.waiting, "waiting for APPL_DB"),
            odd(ports.ignored, "ignored (their links are from before the cold start)"),
            odd(ports.awaited, "without a link yet"),
            odd(ports.out_of_step, "out of step"),
        ];
        self.list("ports", [format!("{} in all", count(ports.total as u64))].into_iter().chain(values));
    }

    fn start(&mut self, start: &Start, starts: &Starts) {
        let kind = start.kind.as_deref().map_or_else(|| "of a kind not known yet".to_owned(), plain);
        let took = duration(start.seconds);
        let state = if start.done {
            format!("PortInitDone after {took}")
        } else {
            self.paint.fair(&format!("PortInitDone is due for {took}"))
        };
        let timed_out = if start.timed_out { self.paint.bad("timed out") } else { String::new() };
        let shown: Vec<String> = start.awaited_first.iter().map(|name| plain(name)).collect();
        let more = if start.awaited > shown.len() { " …" } else { "" };
        let awaited = match start.awaited {
            0 => String::new(),
            awaited => format!("{} awaited ({}{more})", count(awaited as u64), shown.join(" ")),
        };
        self.list("start", [kind, state, timed_out, awaited]);
        let timed_out = format!("{} timed out", count(starts.timed_out));
        let values = [
            format!("{} cold", count(starts.cold)),
            format!("{} warm", count(starts.warm)),
            format!("{} live", count(starts.live)),
            format!("{} completed", count(starts.completed)),
            if starts.timed_out > 0 { self.paint.fair(&timed_out) } else { timed_out },
            some(starts.fallbacks, |times| format!("{times} warm that had to be cold")),
        ];
        self.list("starts", values);
        if let Some(took) = &starts.durations {
            let [min, max, p50] = [took.min, took.max, took.p50].map(duration);
            self.line("  took", &format!("{min} to {max}, half of them up to {p50}"));
        }
    }

    fn redis(&mut self, redis: &Redis) {
        let up = redis.up.iter().map(|(name, up)| {
            let name = plain(name);
            if *up { format!("{name} {}", self.paint.good("up")) } else { format!("{name} {}", self.paint.bad("down")) }
        });
        let up: Vec<String> = up.collect();
        self.list(
            "redis",
            [
                up.join(", "),
                format!("{} pending", plural(redis.pending_rows as u64, "row")),
                format!("{} written", count(redis.written)),
                some(redis.refused, |rows| format!("{rows} refused")),
                some(redis.reconnects, |_| plural(redis.reconnects, "reconnect")),
                some(redis.emptied, |_| format!("found empty {}", plural(redis.emptied, "time"))),
            ],
        );
        self.quantiles("a batch", &redis.latency, ", from sending rows to their acknowledgement");
    }

    fn kernel(&mut self, kernel: &Kernel, now: f64) {
        let causes = kernel.resyncs.iter().filter(|(_, times)| **times > 0);
        let causes: Vec<String> = causes.map(|(cause, times)| format!("{} {}", plain(cause), count(*times))).collect();
        let overruns = plural(kernel.overruns, "overrun");
        self.list(
            "kernel",
            [
                format!("receive buffer {}", bytes(kernel.receive_buffer)),
                if kernel.overruns > 0 { self.paint.fair(&overruns) } else { overruns },
                some(kernel.dump_retries, |_| format!("links listed again {}", plural(kernel.dump_retries, "time"))),
                kernel.last_resync.map_or_else(String::new, |at| format!("compared with Redis {}", ago(now, at))),
            ],
        );
        if !causes.is_empty() {
            self.line("  compared", &causes.join(", "));
        }
        if kernel.drift_found > 0 {
            let found = plural(kernel.drift_found, "row");
            self.line("  drift", &format!("{found} found to differ, {} mended", count(kernel.drift_repaired)));
        }
    }

    fn state_file(&mut self, file: &StateFile, now: f64) {
        if file.path.is_empty() {
            self.line("state file", "turned off");
            return;
        }
        let corruptions = some(file.corruptions, |_| format!("found damaged {}", plural(file.corruptions, "time")));
        let values = [
            plain(&file.path),
            file.written.map_or_else(|| "not written yet".to_owned(), |at| format!("written {}", ago(now, at))),
            if corruptions.is_empty() { corruptions } else { self.paint.fair(&corruptions) },
            some(file.recoveries, |_| format!("recovered {}", plural(file.recoveries, "time"))),
            some(file.backups, |_| format!("{} set aside", plural(file.backups, "backup"))),
        ];
        self.list("state file", values);
    }
}

/// What is said of a number; nothing of none.
fn some(number: u64, told: impl FnOnce(String) -> String) -> String {
    if number == 0 { String::new() } else { told(count(number)) }
}

#[cfg(test)]
pub(super) mod tests {
    use portsyncd::api::{Durations, Events, Part};

    use super::*;

    /// A switch at work at time 10,000.
    pub fn well() -> Status {
        let component = |name: &str, required| Component {
            name: name.to_owned(),
            ready: true,
            required,
            reason: None,
            since: 2000.0,
        };
        let part = |name: &str, weight: u8| Part { name: name.to_owned(), weight, points: weight.into(), reason: None };
        Status {
            version: "0.1.0".to_owned(),
            commit: "unknown".to_owned(),
            pid: 4711,
            host: "switch1".to_owned(),
            started: 2001.0,
            uptime: 7999.0,
            summary: "in service, 32 ports are in step, 30 of them up".to_owned(),
            ready: true,
            components: [("kernel", true), ("redis", true), ("rows", true), ("ports", true), ("http", false)]
                .map(|(name, required)| component(name, required))
                .into(),
            health: Health {
                score: 100,
                parts: [
                    ("redis", 30),
                    ("rows", 20),
                    ("start", 20),
                    ("kernel", 15),
                    ("drift", 5),
                    ("latency", 5),
                    ("services", 5),
                ]
                .map(|(name, weight)| part(name, weight))
                .into(),
            },
            ports: PortCounts { total: 32, up: 30, down: 1, admin_down: 1, ..PortCounts::default() },
            start: Start { kind: Some("cold".to_owned()), done: true, seconds: 1.24, ..Start::default() },
            starts: Starts {
                cold: 3,
                warm: 1,
                live: 12,
                completed: 16,
                durations: Some(Durations { count: 16, min: 0.1, avg: 0.5, max: 3.2, p50: 0.4, p90: 2.0, p99: 3.2 }),
                ..Starts::default()
            },
            events: Events {
                total: 1234,
                latency: Latency { count: 1200, p50: Some(61e-6), p90: Some(120e-6), p99: Some(1.2e-3) },
                recent_latency: None,
            },
            redis: Redis {
                up: ["APPL_DB", "CONFIG_DB", "STATE_DB"].map(|name| (name.to_owned(), true)).into(),
                written: 1266,
                latency: Latency { count: 900, p50: Some(40e-6), p90: Some(80e-6), p99: Some(1.0) },
                ..Redis::default()
            },
            kernel: Kernel {
                receive_buffer: 33_554_432,
                resyncs: [("audit", 133), ("overrun", 0), ("start", 1)]
                    .map(|(cause, times)| (cause.to_owned(), times))
                    .into(),
                last_resync: Some(9988.0),
                ..Kernel::default()
            },
            state_file: StateFile {
                path: "/var/lib/portsyncd/state".to_owned(),
                written: Some(9808.0),
                ..StateFile::default()
            },
        }
    }

    #[test]
    fn a_switch_at_work_reads_like_this() {
        let text = told(&well(), None, 10_000.0, Paint { on: false });
        assert_eq!(
            text,
            "\
portsyncd 0.1.0 on switch1, process 4711, up 2h 13m
in service, 32 ports are in step, 30 of them up

ready       yes
  kernel    ready for 2h 13m
  redis     ready for 2h 13m
  rows      ready for 2h 13m
  ports     ready for 2h 13m
  http      ready for 2h 13m
health      100 of 100
ports       32 in all, 30 up, 1 down, 1 admin down
start       cold, PortInitDone after 1.2 s
starts      3 cold, 1 warm, 12 live, 16 completed, 0 timed out
  took      100 ms to 3.2 s, half of them up to 400 ms
events      1,234 link messages
  latency   p50 61 µs, p90 120 µs, p99 1.2 ms, from a message to Redis' acknowledgement
redis       APPL_DB up, CONFIG_DB up, STATE_DB up, 0 rows pending, 1,266 written
  a batch   p50 40 µs, p90 80 µs, p99 ≥ 1 s, from sending rows to their acknowledgement
kernel      receive buffer 32 MiB, 0 overruns, compared with Redis 12s ago
  compared  audit 133, start 1
state file  /var/lib/portsyncd/state, written 3m 12s ago
"
        );
    }

    #[test]
    fn what_is_wrong_is_told_with_its_reason() {
        let mut status = well();
        status.ready = false;
        status.summary = "redis: connection refused\x1b[2J".to_owned();
        let reason = "cannot connect to Redis: connection refused".to_owned();
        status.components[1].ready = false;
        status.components[1].reason = Some(reason.clone());
        status.components[4].ready = false;
        status.components[4].reason = Some("the port is taken".to_owned());
        status.health.score = 70;
        status.health.parts[0].points = 0.0;
        status.health.parts[0].reason = Some(reason);
        status.redis.up.insert("STATE_DB".to_owned(), false);
        status.start.done = false;
        status.start.awaited = 3;
        status.start.awaited_first = vec!["Ethernet0".to_owned(), "Ethernet4".to_owned()];
        status.start.timed_out = true;
        status.kernel.drift_found = 1;
        status.state_file.corruptions = 2;
        status.redis.reconnects = 1;
        status.ports.out_of_step = 2;
        let text = told(&status, Some("1 critical firing".to_owned()), 10_000.0, Paint { on: false });
        for line in [
            "ready       no\n",
            "  redis     not ready for 2h 13m: cannot connect to Redis: connection refused\n",
            "  http      not ready for 2h 13m: the port is taken (the ports do not need it)\n",
            "health      70 of 100\n  redis     0 of 30: cannot connect to Redis: connection refused\nalerts      1 critical firing\nports",
            "STATE_DB down",
            "start       cold, PortInitDone is due for 1.2 s, timed out, 3 awaited (Ethernet0 Ethernet4 …)\n",
            "  drift     1 row found to differ, 0 mended\n",
            "found damaged 2 times",
            " 1 reconnect\n",
            "1 admin down, 2 out of step\n",
            "refused?[2J\n",
        ] {
            assert!(text.contains(line), "{text} lacks {line:?}");
        }
        let colours = told(&status, None, 10_000.0, Paint { on: true });
        assert!(colours.contains("\x1b[31mno\x1b[0m") && colours.contains("\x1b[33m70 of 100\x1b[0m"), "{colours}");
    }

    #[test]
    fn alerts_that_cannot_be_read_are_said_and_hide_nothing_else() {
        let paint = Paint { on: false };
        assert_eq!(alerts_line(Ok(AlertList::default()), paint), None);
        let line = alerts_line(Err(ControlError::Declined("evaluation\nhangs".to_owned())), paint);
        let text = told(&well(), line, 10_000.0, paint);
        assert!(text.contains("\nalerts      cannot be read: evaluation?hangs\nports "), "{text}");
    }
}
