//! `portsyncd status`: how the daemon stands, on one screen.

use std::fmt::Write as _;

use portsyncd::alert::api::AlertList;
use portsyncd::api::{
    ComponentStatus, Health, Kernel, Latency, PortCounts, ReceiverStatus, Redis, Start, Starts, StateFile, Status,
};
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
    page.receivers(&status.receivers, now);
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

    fn readiness(&mut self, ready: bool, components: &[ComponentStatus], now: f64) {
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
            odd(ports.blocked, "blocked (their keys in STATE_DB hold another type)"),
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
        let is_silent = |(name, _): &(&String, &bool)| redis.up.get(*name) == Some(&true);
        let silent = redis.notifies.iter().filter(|(_, notifies)| !**notifies).filter(is_silent);
        let silent: Vec<String> = silent.map(|(name, _)| plain(name)).collect();
        if !silent.is_empty() {
            let what = format!("of {} not told, seen at the next audit (notify-keyspace-events)", silent.join(", "));
            self.line("  changes", &self.paint.fair(&what));
        }
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

    /// Where alerts go. Those that fail have lines of their own.
    fn receivers(&mut self, receivers: &[ReceiverStatus], now: f64) {
        if receivers.is_empty() {
            return;
        }
        let failing = receivers.iter().filter(|receiver| receiver.failing_since.is_some()).count();
        let text = format!("{} of alerts", plural(receivers.len() as u64, "receiver"));
        let value = match failing {
            0 => text,
            failing => format!("{text}, {}", self.paint.bad(&format!("{failing} of them failing"))),
        };
        self.line("receivers", &value);
        for receiver in receivers {
            let Some(since) = receiver.failing_since else { continue };
            let (name, why) =
                (plain(&receiver.receiver), plain(receiver.problem.as_deref().unwrap_or("no reason given")));
            let since = span(now - since);
            self.line(
                &format!("  {}", plain(&receiver.sink)),
                &format!("failing for {since}, {} waiting: {name}: {why}", receiver.waiting),
            );
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
pub(super) mod tests;
