//! What tests of the engine share: a switch whose metrics say what the test wants, and a clock.

use std::time::Duration;

use super::{Engine, Settings};
use crate::alert::model::{AlertState, Evaluation, Now};
use crate::alert::rules::load::{Loader, Rules};
use crate::link::LinkName;
use crate::telemetry::value::Reading;

pub(in crate::alert) type LabelPairs = Vec<(&'static str, String)>;

/// An engine, the time, and what the metrics say.
pub(in crate::alert) struct Fixture {
    pub engine: Engine,
    pub now: Now,
    pub values: Vec<(&'static str, LabelPairs, Reading)>,
}

pub(in crate::alert) fn rules(text: &str) -> Rules {
    let mut loader = Loader::with_any_sink();
    loader.file("rules.toml", text);
    loader.finish().unwrap()
}

/// A rule that fires when a port is down for 10 s, and 20 s longer.
pub(in crate::alert) const DOWN: &str = r#"
    [[rule]]
    name = "Down"
    metric = "port_oper_up"
    condition = { equals = 0 }
    for = "10s"
    keep_firing_for = "20s"
    severity = "warning"
    labels = { team = "net" }
    annotations = { summary = "{{ rule }} {{ port }} {{ value }}={{ threshold }} {{ severity }} {{ labels.team }} {{ since }}" }
    actions = ["log", "noc"]
"#;

pub(in crate::alert) fn plain(name: &str, metric: &str, condition: &str, more: &str) -> String {
    format!(
        "[[rule]]\nname = \"{name}\"\nmetric = \"{metric}\"\ncondition = {condition}\nseverity = \"info\"\n{more}\n"
    )
}

pub(in crate::alert) fn name(port: &str) -> Option<LinkName> {
    LinkName::new(port.as_bytes())
}

impl Fixture {
    pub fn new(text: &str) -> Self {
        let settings = Settings { evaluation_interval: Duration::from_secs(10), history: 1000 };
        let now = Now { monotonic: Duration::from_secs(50_000), wall: 1_000_000.0 };
        Self { engine: Engine::new(&rules(text), settings), now, values: Vec::new() }
    }

    pub fn set(&mut self, metric: &'static str, labels: &[(&'static str, &str)], value: f64) -> &mut Self {
        let labels: Vec<_> = labels.iter().map(|(label, value)| (*label, (*value).to_owned())).collect();
        self.values.retain(|known| known.0 != metric || known.1 != labels);
        self.values.push((metric, labels, Reading::Number(value)));
        self
    }

    pub fn port(&mut self, metric: &'static str, port: &str, value: f64) -> &mut Self {
        self.set(metric, &[("port", port)], value)
    }

    pub fn unset(&mut self, metric: &str) -> &mut Self {
        self.values.retain(|known| known.0 != metric);
        self
    }

    pub fn look(&mut self) -> Evaluation {
        let mut snapshot = self.engine.snapshot();
        for (metric, labels, reading) in &self.values {
            snapshot.put(metric, labels, reading);
        }
        self.engine.evaluate(&snapshot, self.now)
    }

    /// Looks after some seconds.
    pub fn after(&mut self, seconds: u64) -> Evaluation {
        self.now.monotonic += Duration::from_secs(seconds);
        self.now.wall += f64::from(u32::try_from(seconds).unwrap());
        self.look()
    }

    /// Looks every ten seconds for so long. What comes back is everything that happened.
    pub fn pass(&mut self, seconds: u64) -> Evaluation {
        let mut all = Evaluation::default();
        for _ in 0..seconds / 10 {
            let mut outcome = self.after(10);
            all.transitions.append(&mut outcome.transitions);
            all.notifications.append(&mut outcome.notifications);
            all.ended.append(&mut outcome.ended);
        }
        all
    }

    pub fn state(&self, rule: &str, port: Option<&str>) -> AlertState {
        self.engine.state_of(rule, port.and_then(name).as_ref()).0
    }

    /// Another engine with the same rules, which goes on from what this one saved, after so many seconds without either.
    pub fn restart(&mut self, text: &str, down: f64) {
        let saved = self.engine.save(self.now);
        let text_of_saved = serde_json::to_string(&saved).unwrap();
        let settings = self.engine.settings;
        self.engine = Engine::new(&rules(text), settings);
        self.now.wall += down;
        self.now.monotonic = Duration::from_secs(7);
        self.engine.restore(serde_json::from_str(&text_of_saved).unwrap(), self.now);
    }
}

pub(in crate::alert) fn steps(outcome: &Evaluation) -> Vec<(AlertState, AlertState)> {
    outcome.transitions.iter().map(|transition| (transition.from, transition.to)).collect()
}

pub(in crate::alert) fn told(outcome: &Evaluation) -> Vec<AlertState> {
    outcome.notifications.iter().map(|notification| notification.alert.state).collect()
}
