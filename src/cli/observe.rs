//! `portsyncd observe`: holds Redis against the kernel without a write, once or until it is told to end.
//!
//! What differs may only be under way: it is told when it still stands after the time to settle.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use anyhow::Context;
use clap::Args;
use portsyncd::config::Config;
use portsyncd::observe::{Difference, ObserveError, Observer, Report};
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{sleep, timeout};

use super::{block_on, put};

/// A switch of several ASICs has a namespace for each, a container may have one, and so has the laboratory.
const NOTHING_HERE: &str = "no configured port has a link here: is this the switch's network namespace? `ip netns` lists those \
    that have names; enter one by `ip netns exec NAME`, that of a process by `nsenter --target PID --net`";
/// How long to wait for a Redis that cannot be asked.
const PAUSE: Duration = Duration::from_secs(1);

/// How to observe.
#[derive(Args, Clone)]
pub struct ObserveOptions {
    /// Compare once and end: with 0 if nothing differs, with 1 if something does
    #[arg(long)]
    once: bool,
    /// How long a difference may stand before it is told: whoever writes Redis needs some time
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = portsyncd::config::duration::parse)]
    settle: Duration,
    /// A line of JSON whenever something changes
    #[arg(long)]
    json: bool,
}

/// Whether nothing differed at the end.
pub fn run(config: &Config, options: &ObserveOptions) -> anyhow::Result<bool> {
    let store = config.redis.store()?;
    block_on(async {
        let observer = Observer::new(config, store).map_err(ObserveError::from)?;
        let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen to signals")?;
        let mut terminate = signal(SignalKind::terminate()).context("cannot listen to signals")?;
        let mut told = ToldDifferences::new(options);
        tokio::select! {
            outcome = observe(observer, config.netlink.audit_interval, options, &mut told) => outcome?,
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        Ok(told.lasting.is_empty())
    })
}

async fn observe(
    mut observer: Observer,
    interval: Duration,
    options: &ObserveOptions,
    told: &mut ToldDifferences<'_>,
) -> anyhow::Result<()> {
    let mut failing = false;
    loop {
        let report = match observer.compare().await {
            Ok(report) => report,
            Err(error) if options.once => return Err(error.into()),
            Err(error) => {
                if !failing {
                    eprintln!("portsyncd: {:#}; trying again", anyhow::Error::new(error));
                }
                failing = true;
                sleep(PAUSE).await;
                continue;
            }
        };
        failing = false;
        if !told.take(report)? {
            sleep(options.settle).await;
        } else if options.once {
            return Ok(());
        } else if let Ok(changed) = timeout(interval, observer.changed()).await {
            changed.map_err(ObserveError::from)?;
            sleep(options.settle).await;
        }
    }
}

/// What was told.
struct ToldDifferences<'a> {
    options: &'a ObserveOptions,
    /// What differs, and was told.
    lasting: BTreeSet<Difference>,
    /// What the last comparison found.
    found: BTreeSet<Difference>,
    compared: bool,
}

/// A line of `--json`.
#[derive(Serialize)]
struct Line<'a> {
    time: String,
    configured: usize,
    links: usize,
    rows: usize,
    waiting: usize,
    differences: &'a BTreeSet<Difference>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'static str>,
}

impl<'a> ToldDifferences<'a> {
    fn new(options: &'a ObserveOptions) -> Self {
        Self { options, lasting: BTreeSet::new(), found: BTreeSet::new(), compared: false }
    }

    /// Tells what is new of it. Whether there is nothing about which another look has to decide.
    fn take(&mut self, report: Report) -> anyhow::Result<bool> {
        let lasting: BTreeSet<Difference> = report
            .differences
            .iter()
            .filter(|difference| self.lasting.contains(difference) || self.found.contains(difference))
            .cloned()
            .collect();
        let settled = lasting == report.differences;
        let first = settled && !self.compared;
        if first || lasting != self.lasting {
            let text = if self.options.json { json(&report, &lasting)? } else { self.text(&report, &lasting, first) };
            put(&text)?;
            self.compared |= settled;
        }
        self.lasting = lasting;
        self.found = report.differences;
        Ok(settled)
    }

    fn text(&self, report: &Report, lasting: &BTreeSet<Difference>, first: bool) -> String {
        let time = if self.options.once { String::new() } else { now() + " " };
        let mut text = String::new();
        for difference in lasting.difference(&self.lasting) {
            text.push_str(&format!("{time}{difference}\n"));
        }
        for Difference { database, key, .. } in self.lasting.difference(lasting) {
            if !lasting.iter().any(|other| (other.database, &other.key) == (*database, key)) {
                text.push_str(&format!("{time}{database} {key}: as it would be\n"));
            }
        }
        if first || lasting.is_empty() != self.lasting.is_empty() {
            let Report { configured, links, rows, waiting, .. } = report;
            let verdict = match lasting.len() {
                0 => "all as portsyncd would have it".to_owned(),
                1 => "1 key differs".to_owned(),
                count => format!("{count} keys differ"),
            };
            let counts = format!(
                "{configured} ports in CONFIG_DB, {links} links, {rows} rows due, {waiting} links not in APPL_DB"
            );
            text.push_str(&format!("{time}{verdict}: {counts}\n"));
            if report.nothing_here {
                text.push_str(&format!("{time}{NOTHING_HERE}\n"));
            }
        }
        text
    }
}

fn json(report: &Report, lasting: &BTreeSet<Difference>) -> anyhow::Result<String> {
    let Report { configured, links, rows, waiting, .. } = *report;
    let hint = report.nothing_here.then_some(NOTHING_HERE);
    let line = Line { time: now(), configured, links, rows, waiting, differences: lasting, hint };
    Ok(serde_json::to_string(&line)? + "\n")
}

fn now() -> String {
    humantime::format_rfc3339_seconds(SystemTime::now()).to_string()
}

#[cfg(test)]
mod tests {
    use portsyncd::observe::What;

    use super::*;

    fn report(keys: &[&str]) -> Report {
        let missing = |key: &&str| Difference { database: "STATE_DB", key: (*key).to_owned(), what: What::Missing };
        Report { differences: keys.iter().map(missing).collect(), ..Report::default() }
    }

    #[test]
    fn a_difference_is_told_when_it_still_stands() {
        let options = ObserveOptions { once: true, settle: Duration::ZERO, json: false };
        let mut told = ToldDifferences::new(&options);
        assert!(!told.take(report(&["a", "b"])).unwrap());
        assert!(told.lasting.is_empty());
        assert!(!told.take(report(&["b", "c"])).unwrap());
        assert_eq!(told.lasting, report(&["b"]).differences);
        assert!(told.take(report(&["b"])).unwrap());
        assert!(told.take(report(&[])).unwrap());
        assert!(told.lasting.is_empty());
    }
}
