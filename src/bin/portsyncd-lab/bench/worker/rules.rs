//! Alert rules of the measured executable, changed while it runs: the same process, Redis and links have another number of them.
//!
//! In: how many rules. Out, once they are in force and their windows full: how often rules had been evaluated before them, and for
//! how long.

use std::fmt::Write as _;
use std::fs;
use std::io::{ErrorKind, Read, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, bail};
use nix::sys::signal::Signal;
use portsyncd::alert::api::RuleList;
use portsyncd::lab::wait;

use super::super::protocol::Evaluations;
use super::measure::nanoseconds;
use super::scene::Scene;

/// Where the rules stand.
const FOLDER: &str = "/run/lab/rules";
const FILE: &str = "/run/lab/rules/bench.toml";
/// Between two evaluations: fifteen times as often as by default, so that each measurement has some.
const EVERY: Duration = Duration::from_secs(1);
/// Evaluations after which every window of [`CONDITIONS`] is full.
const SETTLED: u64 = 4;
const ADDRESS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9477);
const ANSWER_LIMIT: Duration = Duration::from_secs(5);
const LIMIT: Duration = Duration::from_secs(30);
/// Every metric that each port has.
const METRICS: [&str; 3] = ["port_flaps_total", "port_oper_up", "port_down"];
/// What is asked of them; N is a bound that differs from rule to rule and is never reached.
const CONDITIONS: [&str; 5] = [
    "{ above = N }",
    "{ rate_above = N, window = \"2s\" }",
    "{ trend = { above = N, horizon = \"1h\", window = \"2s\" } }",
    "{ anomaly = { z = 1.0, window = \"3s\", min_samples = 3 } }",
    "{ absent = \"5m\" }",
];

/// Words before the executable's, with which its rules are those of [`write()`] and no others.
pub fn wrapper() -> Vec<String> {
    vec![
        "env".to_owned(),
        format!("PORTSYNCD_ALERTS__RULES=[\"{FOLDER}/*.toml\"]"),
        "PORTSYNCD_ALERTS__DEFAULT_RULES=false".to_owned(),
        format!("PORTSYNCD_ALERTS__EVALUATION_INTERVAL={}s", EVERY.as_secs()),
    ]
}

/// So many rules for the next start, or the next time that it reads them.
pub fn write(count: usize) -> anyhow::Result<()> {
    fs::create_dir_all(FOLDER).with_context(|| format!("cannot make {FOLDER}"))?;
    fs::write(FILE, text(count)).with_context(|| format!("cannot write {FILE}"))
}

/// Rules for all ports, each of them with a bound of its own.
fn text(count: usize) -> String {
    let mut text = String::new();
    for number in 0..count {
        let condition = CONDITIONS[number % CONDITIONS.len()].replace('N', &(1_000_000 + number).to_string());
        let metric = METRICS[number / CONDITIONS.len() % METRICS.len()];
        // Writing into a string does not fail.
        let _ = write!(
            text,
            "[[rule]]\nname = \"Bench{number}\"\nmetric = \"{metric}\"\ncondition = {condition}\nfor = \"30s\"\n\
             severity = \"info\"\nannotations = {{ summary = \"{{{{ port }}}}: {{{{ value }}}}\" }}\n\n"
        );
    }
    text
}

/// With so many rules, or those that there are; none if the executable has no alert rules.
pub fn answer(scene: &mut Scene, count: Option<usize>) -> anyhow::Result<Option<Evaluations>> {
    // Its server may come later than its rows; an executable without one costs this wait.
    let answers = || !matches!(listed(), Ok(None));
    if wait::until("its HTTP server", ANSWER_LIMIT, answers).is_err() {
        return Ok(None);
    }
    count.map_or_else(evaluations, |count| put_in_force(scene, count)).map(Some)
}

/// Gives the evaluations that there were when they came into force; returns once their windows are full.
fn put_in_force(scene: &mut Scene, count: usize) -> anyhow::Result<Evaluations> {
    write(count)?;
    scene.program()?.signal(Signal::SIGHUP)?;
    let mut problem = None;
    let taken = wait::until(format!("{count} rules to be in force"), LIMIT, || {
        let Ok(Some(list)) = listed() else { return false };
        problem = list.problem;
        list.rules.iter().filter(|rule| rule.enabled).count() == count
    });
    if let Some(problem) = problem {
        bail!("the rules were refused: {problem}");
    }
    taken?;
    let began = evaluations()?;
    let settled = began.count + SETTLED;
    wait::until("windows to be full", LIMIT, || evaluations().is_ok_and(|now| now.count >= settled))?;
    Ok(began)
}

/// What the executable says of its rules; none if it has none to speak of.
fn listed() -> anyhow::Result<Option<RuleList>> {
    ask("/api/v1/rules")?
        .map(|body| serde_json::from_str(&body).context("/api/v1/rules is no list of rules"))
        .transpose()
}

/// How often the rules were evaluated so far, and for how long.
fn evaluations() -> anyhow::Result<Evaluations> {
    let text = ask("/metrics")?.context("there are no metrics")?;
    let value = |suffix: &str| {
        let name = format!("portsyncd_alert_evaluation_seconds_{suffix} ");
        text.lines().find_map(|line| line.strip_prefix(&name)).with_context(|| format!("there is no {name}"))
    };
    let took = Duration::try_from_secs_f64(value("sum")?.parse()?)?;
    Ok(Evaluations { count: value("count")?.parse()?, nanoseconds: nanoseconds(took) })
}

/// The body of what it answers in HTTP; none if it answers with an error, or there is nobody to answer.
fn ask(path: &str) -> anyhow::Result<Option<String>> {
    let mut stream = match TcpStream::connect_timeout(&ADDRESS, ANSWER_LIMIT) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => return Ok(None),
        stream => stream.context("cannot reach its HTTP server")?,
    };
    stream.set_read_timeout(Some(ANSWER_LIMIT))?;
    write!(stream, "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).with_context(|| format!("no answer to {path}"))?;
    let (head, body) =
        answer.split_once("\r\n\r\n").with_context(|| format!("the answer to {path} has no end of a head"))?;
    Ok(head.starts_with("HTTP/1.1 200 ").then(|| body.to_owned()))
}

#[cfg(test)]
mod tests {
    use portsyncd::alert::rules::Loader;

    use super::*;

    #[test]
    fn the_rules_are_valid_and_as_many_as_wanted() {
        for count in [0, 10, 50, 1000] {
            let mut loader = Loader::with_any_sink();
            loader.file(FILE, &text(count));
            assert!(loader.finish().is_ok());
            assert_eq!(text(count).matches("[[rule]]").count(), count);
        }
        let fifty = text(50);
        assert!(
            METRICS
                .iter()
                .chain(&["above =", "rate_above", "trend", "anomaly", "absent"])
                .all(|part| fifty.contains(part))
        );
    }
}
