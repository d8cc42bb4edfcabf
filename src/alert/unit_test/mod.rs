//! Tests of rules: series of values in, states of alerts out, as files that people write. docs/alerts.md describes them.
//!
//! What is tested is the engine itself, on a clock that the file sets. It is the one part here that reads files.

mod series;

use std::fmt;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;

use super::engine::Snapshot;
use super::engine::silence::SilenceRequest;
use super::engine::{Engine, Settings};
use super::model::{AlertState, Now};
use super::rules::MetricRef;
use super::rules::load::{Loader, Rules};
use super::rules::template::number;
use crate::link::LinkName;
use crate::telemetry::value::{Histogram, Reading};
use series::expand;

/// What the rules that come with the daemon are called in `rules`.
const DEFAULTS: &str = "defaults";
/// Looks that a test may take: more is a slip.
const MOST: u128 = 1_000_000;

/// What came of a file of tests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestReport {
    pub file: String,
    /// How many expectations it has; none of them was looked at if the file is wrong.
    pub checked: usize,
    /// Whether the file, or one of rules, cannot be used.
    pub wrong: bool,
    /// What is not as expected, or what is wrong with the file.
    pub problems: Vec<String>,
}

impl TestReport {
    /// Whether all is as expected.
    pub fn is_ok(&self) -> bool {
        self.problems.is_empty()
    }
}

impl fmt::Display for TestReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, checked, wrong, problems } = self;
        if problems.is_empty() {
            return write!(f, "ok      {file}: {checked} expectations");
        }
        write!(f, "{}  {file}", if *wrong { "WRONG " } else { "FAILED" })?;
        for problem in problems {
            write!(f, "\n  {}", problem.replace('\n', "\n    "))?;
        }
        Ok(())
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Test {
    /// Files of rules, from this file's folder, or `defaults`.
    rules: Vec<String>,
    /// How often is looked, and how far the values of series are apart.
    #[serde(with = "crate::config::duration")]
    interval: Duration,
    #[serde(default)]
    series: Vec<Series>,
    #[serde(default)]
    silence: Vec<Silenced>,
    #[serde(default)]
    expect: Vec<Expectation>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Series {
    metric: String,
    port: Option<String>,
    #[serde(default)]
    labels: std::collections::BTreeMap<String, String>,
    values: String,
    /// For histograms: how many durations of each value's seconds; one unless it is said.
    observations: Option<u32>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Silenced {
    rule: String,
    port: Option<String>,
    #[serde(default, with = "crate::config::duration")]
    from: Duration,
    #[serde(with = "crate::config::duration")]
    until: Duration,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expectation {
    #[serde(with = "crate::config::duration")]
    at: Duration,
    rule: String,
    port: Option<String>,
    #[serde(with = "Expected")]
    state: AlertState,
    value: Option<f64>,
    summary: Option<String>,
    #[serde(default)]
    annotations: std::collections::BTreeMap<String, String>,
}

/// What a state may be expected to be.
#[derive(Deserialize)]
#[serde(remote = "AlertState", rename_all = "lowercase")]
enum Expected {
    Inactive,
    Pending,
    Firing,
    Suppressed,
}

/// Runs the tests of a file.
pub fn run(path: &Path) -> TestReport {
    let file = path.display().to_string();
    match prepare(path).and_then(|mut run| Ok((run.test.expect.len(), run.play()?))) {
        Ok((checked, problems)) => TestReport { file, checked, wrong: false, problems },
        Err(problem) => TestReport { file, checked: 0, wrong: true, problems: vec![problem] },
    }
}

/// A test with its rules, ready to be played.
struct TestRun {
    test: Test,
    rules: Rules,
    series: Vec<Played>,
}

/// A series while it is played.
struct Played {
    metric: MetricRef,
    labels: Vec<(&'static str, String)>,
    values: Vec<Option<f64>>,
    /// What was observed so far, for a histogram.
    durations: Option<(Histogram, u32)>,
}

fn prepare(path: &Path) -> Result<TestRun, String> {
    let text = read(path)?;
    let test: Test = toml::from_str(&text).map_err(|error| error.to_string().trim_end().to_owned())?;
    if test.interval < Duration::from_millis(1) {
        return Err("interval: at least \"1ms\", for example \"10s\"".to_owned());
    }
    let mut loader = Loader::with_any_sink();
    for file in &test.rules {
        if file == DEFAULTS {
            loader.defaults();
        } else {
            let file = path.parent().unwrap_or(Path::new("")).join(file);
            loader.file(&file.display().to_string(), &read(&file)?);
        }
    }
    let rules = loader.finish().map_err(|errors| errors.to_string())?;
    let series = test.series.iter().map(Series::play).collect::<Result<_, _>>()?;
    for expectation in &test.expect {
        expectation.check(&rules, test.interval)?;
    }
    Ok(TestRun { test, rules, series })
}

fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| format!("{} cannot be read: {error}", path.display()))
}

impl Series {
    fn play(&self) -> Result<Played, String> {
        let wrong = |problem: String| format!("series of {}: {problem}", self.metric);
        let metric = MetricRef::find(&self.metric)
            .map_err(|problem| format!("series: metric = {:?}: {problem}", self.metric))?;
        let mut labels = Vec::new();
        for name in &metric.metric().labels {
            let value = if *name == "port" { self.port.as_ref() } else { self.labels.get(*name) };
            let Some(value) = value else {
                let key = if *name == "port" { "port".to_owned() } else { format!("labels.{name}") };
                return Err(wrong(format!("{key} is missing: the metric has it")));
            };
            if let Some(known) = metric.values(name).filter(|known| !known.contains(&value.as_str())) {
                return Err(wrong(format!("labels.{name} = {value:?}: one of {}", known.join(", "))));
            }
            labels.push((*name, value.clone()));
        }
        if let Some(port) = self.port.as_ref().filter(|_| !metric.is_of_ports()) {
            return Err(wrong(format!("port = {port:?}: it is not a metric of ports")));
        }
        if let Some(port) = self.port.as_ref().filter(|port| LinkName::new(port.as_bytes()).is_none()) {
            return Err(wrong(format!("port = {port:?}: 1 to 15 bytes, as the names of links have")));
        }
        if let Some(name) = self.labels.keys().find(|name| !metric.metric().labels.contains(&name.as_str())) {
            return Err(wrong(format!("labels.{name}: the metric has no such label")));
        }
        let values = expand(&self.values).map_err(|problem| wrong(format!("values: {problem}")))?;
        let durations = metric.is_histogram().then(|| (Histogram::default(), self.observations.unwrap_or(1)));
        if durations.is_some() && values.iter().flatten().any(|value| *value < 0.0) {
            return Err(wrong("values: a histogram takes durations in seconds, which are not negative".to_owned()));
        }
        Ok(Played { metric, labels, values, durations })
    }
}

impl Played {
    fn put(&mut self, look: usize, snapshot: &mut Snapshot) {
        let value = self.values.get(look).copied().flatten();
        let reading = match (&self.durations, value) {
            (None, None) => return,
            (None, Some(value)) => Reading::Number(value),
            (Some((histogram, observations)), value) => {
                if let Some(duration) = value.and_then(|value| Duration::try_from_secs_f64(value).ok()) {
                    (0..*observations).for_each(|_| histogram.observe(duration));
                }
                Reading::Distribution(Box::new(histogram.distribution()))
            }
        };
        snapshot.put(self.metric.name(), &self.labels, &reading);
    }
}

impl Expectation {
    fn title(&self) -> String {
        let port = self.port.as_ref().map(|port| format!(" {port}")).unwrap_or_default();
        format!("at {}: {}{port}", humantime::format_duration(self.at), self.rule)
    }

    /// Something that is never checked, because a name is mistyped, is no test.
    fn check(&self, rules: &Rules, interval: Duration) -> Result<(), String> {
        let wrong = |problem: String| Err(format!("{}: {problem}", self.title()));
        let Some(rule) = rules.get(&self.rule) else {
            let meant = crate::nearest::nearest(&self.rule, rules.iter().map(|rule| &*rule.name));
            return wrong(format!("there is no such rule{meant}"));
        };
        if rule.is_of_ports() != self.port.is_some() {
            return wrong(if rule.is_of_ports() {
                "port is missing: the rule has an alert for each port".to_owned()
            } else {
                "the rule is not one of ports: leave port out".to_owned()
            });
        }
        if self.at.as_nanos() / interval.as_nanos() > MOST {
            return wrong(format!("more than {MOST} times the interval"));
        }
        Ok(())
    }

    fn compare(&self, engine: &Engine) -> Vec<String> {
        let port = self.port.as_ref().and_then(|port| LinkName::new(port.as_bytes()));
        let (state, value) = engine.state_of(&self.rule, port.as_ref());
        let mut problems = Vec::new();
        let mut differs = |what: &str, wanted: String, found: String| {
            problems.push(format!("{}: {what}\nwanted: {wanted}\nfound:  {found}", self.title()));
        };
        let shown = |value: Option<f64>| value.map_or("none".to_owned(), number);
        if state != self.state {
            differs("state", self.state.to_string(), format!("{state}, value {}", shown(value)));
        }
        if let Some(wanted) = self.value
            && value.is_none_or(|value| (value - wanted).abs() > wanted.abs() * 1e-6 + 1e-12)
        {
            differs("value", wanted.to_string(), value.map_or("none".to_owned(), |value| value.to_string()));
        }
        let texts = self.summary.iter().map(|text| ("summary", text));
        let texts: Vec<_> = texts.chain(self.annotations.iter().map(|(name, text)| (name.as_str(), text))).collect();
        if !texts.is_empty() {
            let alert = engine.alerts().find(|alert| *alert.rule == *self.rule && alert.port == port);
            for (name, wanted) in texts {
                let found = alert.as_ref().and_then(|alert| alert.annotations.get(name));
                if found != Some(wanted) {
                    differs(name, format!("{wanted:?}"), found.map_or("none".to_owned(), |found| format!("{found:?}")));
                }
            }
        }
        problems
    }
}

impl TestRun {
    /// Looks once each interval from the beginning to the last expectation.
    fn play(&mut self) -> Result<Vec<String>, String> {
        let interval = self.test.interval;
        let mut engine = Engine::new(&self.rules, Settings { evaluation_interval: interval, history: 0 });
        for silence in &self.test.silence {
            let request = SilenceRequest {
                rule: silence.rule.clone(),
                port: silence.port.clone(),
                starts: Some(silence.from.as_secs_f64()),
                until: silence.until.as_secs_f64(),
                ..SilenceRequest::default()
            };
            engine.silence(request, 0.0).map_err(|error| error.to_string())?;
        }
        let mut expectations: Vec<&Expectation> = self.test.expect.iter().collect();
        expectations.sort_by_key(|expectation| expectation.at);
        let mut problems = Vec::new();
        let mut left = expectations.into_iter().peekable();
        for look in 0.. {
            let Some(_) = left.peek() else { break };
            let monotonic = interval * look;
            let mut snapshot = engine.snapshot();
            for series in &mut self.series {
                series.put(look as usize, &mut snapshot);
            }
            engine.evaluate(&snapshot, Now { monotonic, wall: monotonic.as_secs_f64() });
            while let Some(expectation) = left.next_if(|expectation| expectation.at < monotonic + interval) {
                problems.extend(expectation.compare(&engine));
            }
        }
        Ok(problems)
    }
}

#[cfg(test)]
mod tests;
