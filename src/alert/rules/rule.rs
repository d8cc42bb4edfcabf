//! A rule: what it looks at, what has to hold and for how long, and what is said then.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;
use toml::Table;

use super::condition::{Comparison, Condition, Function};
use super::error::{RuleError, RulePlace};
use super::metric_ref::MetricRef;
use super::table::{Number, OneOrMany, RuleDuration, RuleTable, right};
use super::template::Template;
use crate::alert::span;
use crate::config::glob::Glob;
use crate::config::{Action, Severity};
use crate::link::LinkName;
use crate::nearest::nearest;

/// The annotation that is the summary of an alert that ended.
pub(in crate::alert) const RESOLVED_SUMMARY: &str = "resolved_summary";

/// Texts for people, by name.
pub type Annotations = Arc<[(Box<str>, Template)]>;

/// Labels with their values.
pub type LabelSet = Box<[(Box<str>, Box<str>)]>;

/// A rule as it was read and checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    pub name: Arc<str>,
    /// The file that it stands in, or its key in CONFIG_DB.
    pub origin: Arc<str>,
    pub metric: MetricRef,
    /// Which ports; `None`: all.
    pub ports: Option<Arc<Glob>>,
    pub condition: Condition,
    /// For so many milliseconds before it fires.
    pub for_millis: u32,
    /// So many milliseconds it goes on firing when the condition holds no longer.
    pub keep_firing_for: u32,
    pub severity: Severity,
    /// Whether it is looked at.
    pub enabled: bool,
    /// Texts for people, by name.
    pub annotations: Annotations,
    pub actions: Arc<[Action]>,
    /// What most rules do not have, and then have in common.
    pub(in crate::alert) refined: Arc<Refined>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::alert) struct Refined {
    pub matchers: LabelMatchers,
    pub labels: LabelSet,
    pub quantile: Option<Quantile>,
    pub resolve: Option<f64>,
    pub inhibited_by: Box<[Arc<str>]>,
}

/// For each label the values of which one has to be there.
pub(in crate::alert) type LabelMatchers = Box<[LabelMatcher]>;
/// A label, and the values of which it has to have one.
pub(in crate::alert) type LabelMatcher = (Box<str>, Box<[Box<str>]>);

/// Which quantile of a histogram, over the last so many milliseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quantile {
    /// Between 0 and 1.
    pub quantile: f64,
    /// Over the last so many milliseconds.
    pub window: u32,
}

impl Rule {
    /// Whether each port has its own alert.
    pub fn is_of_ports(&self) -> bool {
        self.metric.is_of_ports()
    }

    /// Labels that its alerts have besides rule, port and severity: those that the rule names, and those that it selects by.
    pub fn labels(&self) -> impl Iterator<Item = (&str, String)> {
        let Refined { matchers, labels, .. } = &*self.refined;
        let selecting = matchers.iter().filter(|(name, _)| labels.iter().all(|(fixed, _)| fixed != name));
        let fixed = labels.iter().map(|(name, value)| (&**name, value.to_string()));
        fixed.chain(selecting.map(|(name, values)| (&**name, values.join("|"))))
    }

    pub(in crate::alert) fn matchers(&self) -> &[LabelMatcher] {
        &self.refined.matchers
    }

    /// Which quantile of a histogram it looks at.
    pub fn quantile(&self) -> Option<Quantile> {
        self.refined.quantile
    }

    /// The bound beyond which a firing alert resolves, if it is another one.
    pub fn resolve(&self) -> Option<f64> {
        self.refined.resolve
    }

    /// The rules that explain this one.
    pub fn inhibited_by(&self) -> &[Arc<str>] {
        &self.refined.inhibited_by
    }

    pub(in crate::alert) fn test_of_firing(&self) -> Comparison {
        self.condition.test_of_firing(self.resolve())
    }

    /// Links to the page about it.
    pub(super) fn add_runbook(&mut self, folder: &str) {
        let url = format!("{folder}/{}.md", self.name);
        // A URL of the configuration has no braces, so that it is a text as it is.
        let Ok(url) = Template::new(&url, &[], self.is_of_ports()) else { return };
        self.annotations = self.annotations.iter().cloned().chain([("runbook_url".into(), url)]).collect();
    }

    /// Whether its alerts can be of this port.
    pub fn is_for_port(&self, port: &LinkName) -> bool {
        self.ports.as_ref().is_none_or(|ports| ports.matches_port(port))
    }

    /// What its alerts are about, besides labels and severity: as text, for it is compared over versions.
    pub(in crate::alert) fn asks(&self) -> String {
        let mut text = self.metric.name().to_owned();
        for (label, values) in self.matchers() {
            text.push_str(&format!(" {label}={}", values.join("|")));
        }
        if let Some(Quantile { quantile, window }) = self.quantile() {
            text.push_str(&format!(" quantile {quantile} of {window} ms"));
        }
        format!("{text}: {}", self.condition)
    }

    /// Whether an alert of the other rule goes on as one of this: all is the same but the ports, what is said, to whom, and for
    /// how long it takes.
    pub(in crate::alert) fn continues(&self, other: &Self) -> bool {
        self.name == other.name
            && self.metric == other.metric
            && self.condition == other.condition
            && self.severity == other.severity
            && self.enabled == other.enabled
            && self.matchers() == other.matchers()
            && self.quantile() == other.quantile()
            && self.labels().eq(other.labels())
    }

    /// Reads a rule. `sinks`: the names that `actions` may have besides `log` and `notify`; `None`: any.
    pub(super) fn read(place: RulePlace, table: Table, sinks: Option<&[String]>) -> Result<Self, RuleError> {
        let rule = RuleTable { place, table };
        let keys: Keys = rule.read(&[], &rule.table)?;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_:-".contains(&byte);
        if keys.name.is_empty() || keys.name.len() > 64 || !keys.name.bytes().all(plain) {
            let problem = "1 to 64 letters, digits, \"_\", \":\" or \"-\", for example \"PortFlapping\"";
            return Err(rule.wrong("name", problem));
        }
        let metric = MetricRef::find(&keys.metric).map_err(|problem| rule.wrong("metric", problem))?;
        let ports = keys.ports.map(|text| rule.ports(metric, &text)).transpose()?;
        let matchers = rule.matchers(metric, keys.r#match.unwrap_or_default())?;
        let condition = keys.condition.ok_or_else(|| rule.place.missing("condition", right(&["condition"])))?;
        let (condition, window) = Condition::read(&rule, condition)?;
        let quantile = rule.quantile(metric, condition, keys.quantile, window)?;
        let resolve = keys.resolve.map(|Number(resolve)| resolve);
        resolve
            .map_or(Ok(()), |bound| condition.check_resolve(bound))
            .map_err(|problem| rule.wrong("resolve", problem))?;
        let severity = keys.severity.ok_or_else(|| rule.place.missing("severity", right(&["severity"])))?;
        let severity = rule.read(&["severity"], &severity)?;
        let labels = rule.labels(keys.labels.unwrap_or_default())?;
        let actions = keys.actions.map_or_else(|| vec![Action::Log.name().to_owned()], Vec::from);
        let actions = rule.actions(actions, sinks)?;
        let inhibited_by = keys.inhibited_by.map_or_else(Vec::new, Vec::from);
        if inhibited_by.contains(&keys.name) {
            let problem = "another rule: none explains itself";
            return Err(rule.place.wrong("inhibited_by", format!("{:?}", keys.name), problem));
        }
        let known = labels.iter().map(|(name, _)| &**name).chain(matchers.iter().map(|(name, _)| &**name));
        let annotations = keys.annotations.unwrap_or_default();
        let annotations = rule.annotations(annotations, &known.collect::<Vec<_>>(), metric)?;
        let inhibited_by = inhibited_by.into_iter().map(Arc::from).collect();
        let refined = Refined { matchers, labels, quantile, resolve, inhibited_by };
        Ok(Self {
            name: keys.name.into(),
            origin: rule.place.file.into(),
            metric,
            ports,
            condition,
            for_millis: keys.r#for.unwrap_or_default().0,
            keep_firing_for: keys.keep_firing_for.unwrap_or_default().0,
            severity,
            enabled: keys.enabled.unwrap_or(true),
            annotations,
            actions,
            refined: Arc::new(refined),
        })
    }
}

/// The keys of a rule.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    name: String,
    enabled: Option<bool>,
    metric: String,
    ports: Option<String>,
    r#match: Option<BTreeMap<String, OneOrMany>>,
    condition: Option<Table>,
    quantile: Option<Number>,
    resolve: Option<Number>,
    r#for: Option<RuleDuration>,
    keep_firing_for: Option<RuleDuration>,
    severity: Option<String>,
    labels: Option<BTreeMap<String, String>>,
    actions: Option<OneOrMany>,
    inhibited_by: Option<OneOrMany>,
    annotations: Option<BTreeMap<String, String>>,
}

impl RuleTable {
    fn ports(&self, metric: MetricRef, text: &str) -> Result<Arc<Glob>, RuleError> {
        if !metric.is_of_ports() {
            let name = metric.name();
            let problem = format!("{name} is not a metric of ports: leave ports out, or take one with a label `port`");
            return Err(self.wrong("ports", problem));
        }
        Glob::new(text).map(Arc::new).map_err(|problem| self.wrong("ports", problem))
    }

    fn matchers(&self, metric: MetricRef, matchers: BTreeMap<String, OneOrMany>) -> Result<LabelMatchers, RuleError> {
        let labels: Vec<&str> = metric.metric().labels.iter().copied().filter(|label| *label != "port").collect();
        let one = |(label, values): (String, OneOrMany)| {
            let values: Vec<String> = values.into();
            let wrong = |value, problem: String| Err(self.place.wrong(&format!("match.{label}"), value, problem));
            let all = values.join(", ");
            if label == "port" && metric.is_of_ports() {
                return wrong(all, "ports are chosen by the key `ports`".to_owned());
            }
            if labels.is_empty() {
                return wrong(all, format!("{} has no labels to choose by", metric.name()));
            }
            if !labels.contains(&&*label) {
                let meant = nearest(&label, labels.iter().copied());
                return wrong(all, format!("{} has the labels {}{meant}", metric.name(), labels.join(", ")));
            }
            if values.is_empty() {
                return wrong("[]".to_owned(), "at least one value".to_owned());
            }
            if let Some(known) = metric.values(&label)
                && let Some(value) = values.iter().find(|value| !known.contains(&value.as_str()))
            {
                let meant = nearest(value, known.iter().copied());
                return wrong(format!("{value:?}"), format!("one of {}{meant}", known.join(", ")));
            }
            Ok((label.into(), values.into_iter().map(Box::from).collect()))
        };
        matchers.into_iter().map(one).collect()
    }

    fn quantile(
        &self,
        metric: MetricRef,
        condition: Condition,
        quantile: Option<Number>,
        window: Option<u32>,
    ) -> Result<Option<Quantile>, RuleError> {
        let name = metric.name();
        match (metric.is_histogram(), quantile, window) {
            (false, None, None) => Ok(None),
            (false, Some(_), _) => Err(self.wrong("quantile", format!("{name} is not a histogram: leave it out"))),
            (false, None, Some(window)) => {
                let problem =
                    "this condition looks at the last value only: leave window out, or use rate_above or rate_below";
                Err(self.place.wrong("condition.window", span(window), problem))
            }
            (true, None, _) => {
                Err(self.place.missing("quantile", format!("{name} is a histogram; for example quantile = 0.99")))
            }
            (true, Some(Number(quantile)), _) if quantile <= 0.0 || quantile >= 1.0 => {
                Err(self.wrong("quantile", "more than 0 and less than 1, for example 0.99"))
            }
            (true, Some(_), _) if matches!(condition.function, Function::Rate { .. }) => {
                let problem = "a quantile of durations has no rate: use above, below, anomaly or trend";
                Err(self.place.wrong("condition", condition, problem))
            }
            (true, Some(_), None) => {
                let problem = "over what time the quantile is taken, for example \"5m\"";
                Err(self.place.missing("condition.window", problem))
            }
            (true, Some(Number(quantile)), Some(window)) => Ok(Some(Quantile { quantile, window })),
        }
    }

    fn labels(&self, labels: BTreeMap<String, String>) -> Result<LabelSet, RuleError> {
        let one = |(name, value): (String, String)| {
            self.check_label_name("labels", &name)?;
            if value.contains("{{") {
                let problem =
                    "a text without variables: labels name an alert, and port and severity are among them already";
                return Err(self.wrong_at(&["labels", &name], problem));
            }
            if ["rule", "port", "severity", "alertname"].contains(&name.as_str()) {
                return Err(self.wrong_at(&["labels", &name], "every alert has this one already"));
            }
            Ok((name.into(), value.into()))
        };
        labels.into_iter().map(one).collect()
    }

    fn actions(&self, names: Vec<String>, sinks: Option<&[String]>) -> Result<Arc<[Action]>, RuleError> {
        let mut actions = Vec::new();
        for name in names {
            let wrong = |problem| Err(self.place.wrong("actions", format!("{name:?}"), problem));
            let action = match name.as_str() {
                "log" => Action::Log,
                "notify" => Action::Notify,
                _ if sinks.is_none_or(|sinks| sinks.contains(&name)) => Action::Sink(name.as_str().into()),
                _ => {
                    let sinks = sinks.unwrap_or_default().iter().map(String::as_str);
                    let all: Vec<&str> = ["log", "notify"].into_iter().chain(sinks).collect();
                    let meant = nearest(&name, all.iter().copied());
                    return wrong(format!("{}{meant}; a sink has to stand in [[alerts.sink]]", all.join(", ")));
                }
            };
            if actions.contains(&action) {
                return wrong("once".to_owned());
            }
            actions.push(action);
        }
        Ok(actions.into())
    }

    fn annotations(
        &self,
        annotations: BTreeMap<String, String>,
        labels: &[&str],
        metric: MetricRef,
    ) -> Result<Annotations, RuleError> {
        let one = |(name, text): (String, String)| {
            self.check_label_name("annotations", &name)?;
            let template = Template::new(&text, labels, metric.is_of_ports());
            let template = template.map_err(|problem| self.wrong_at(&["annotations", &name], problem))?;
            Ok((name.into(), template))
        };
        annotations.into_iter().map(one).collect()
    }

    /// Prometheus and Alertmanager take no other names, of annotations either.
    fn check_label_name(&self, table: &str, name: &str) -> Result<(), RuleError> {
        let starts = |byte: &u8| byte.is_ascii_alphabetic() || *byte == b'_';
        let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if plain && name.as_bytes().first().is_some_and(starts) {
            return Ok(());
        }
        let problem = format!("a name in {table} has letters, digits and \"_\", and no digit first");
        Err(self.wrong_at(&[table, name], problem))
    }
}
