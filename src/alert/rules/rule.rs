//! A rule: what it looks at, what has to hold and for how long, and what is said then.

use std::sync::Arc;

use toml::Table;

use super::condition::{Condition, Test, short};
use super::error::RuleError;
use super::metric_ref::MetricRef;
use super::table::{Place, RuleTable};
use super::template::Template;
use crate::config::glob::Glob;
use crate::config::{Action, Severity};
use crate::link::LinkName;
use crate::nearest::nearest;

/// The annotation that is the summary of an alert that ended.
pub(in crate::alert) const RESOLVED_SUMMARY: &str = "resolved_summary";

/// Texts for people, by name.
pub type Annotations = Arc<[(Box<str>, Template)]>;

/// Labels with their values.
pub type Labels = Box<[(Box<str>, Box<str>)]>;

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
    /// What most rules do not have.
    pub(in crate::alert) refined: Option<Box<Refined>>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::alert) struct Refined {
    pub matchers: LabelMatchers,
    pub labels: Labels,
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
        let refined = self.refined.as_deref();
        let fixed = refined.map_or(&[][..], |refined| &refined.labels).iter();
        let selecting = refined.map_or(&[][..], |refined| &refined.matchers).iter();
        let selecting = selecting.filter(move |(name, _)| !fixed_has(refined, name));
        fixed
            .map(|(name, value)| (&**name, value.to_string()))
            .chain(selecting.map(|(name, values)| (&**name, values.join("|"))))
    }

    pub(in crate::alert) fn matchers(&self) -> &[LabelMatcher] {
        self.refined.as_deref().map_or(&[], |refined| &refined.matchers)
    }

    /// Which quantile of a histogram it looks at.
    pub fn quantile(&self) -> Option<Quantile> {
        self.refined.as_deref()?.quantile
    }

    /// The bound beyond which a firing alert resolves, if it is another one.
    pub fn resolve(&self) -> Option<f64> {
        self.refined.as_deref()?.resolve
    }

    /// The rules that explain this one.
    pub fn inhibited_by(&self) -> &[Arc<str>] {
        self.refined.as_deref().map_or(&[], |refined| &refined.inhibited_by)
    }

    pub(in crate::alert) fn test_of_firing(&self) -> Test {
        self.condition.test_of_firing(self.resolve())
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
        let labels = |rule: &Self| rule.refined.as_ref().map(|refined| refined.labels.clone()).unwrap_or_default();
        self.name == other.name
            && self.metric == other.metric
            && self.condition == other.condition
            && self.severity == other.severity
            && self.enabled == other.enabled
            && self.matchers() == other.matchers()
            && self.quantile() == other.quantile()
            && labels(self) == labels(other)
    }

    /// Reads a rule. `sinks`: the names that `actions` may have besides `log` and `notify`; `None`: any.
    pub(in crate::alert) fn read(place: Place, table: Table, sinks: Option<&[String]>) -> Result<Self, RuleError> {
        let mut table = RuleTable::new(place, table);
        let name = table.text("name")?.ok_or_else(|| table.missing("name", "for example \"PortFlapping\""))?;
        check_name(&table, "name", &name)?;
        let enabled = table.flag("enabled")?.unwrap_or(true);
        let metric = table.text("metric")?.ok_or_else(|| {
            table.missing("metric", "a name that `portsyncd metrics` lists, for example \"port_flaps_total\"")
        })?;
        let metric =
            MetricRef::find(&metric).map_err(|problem| table.wrong("metric", format!("{metric:?}"), problem))?;
        let ports = table.ports(metric)?;
        let matchers = table.matchers(metric)?;
        let (condition, window) = Condition::read(&mut table)?;
        let quantile = table.quantile(metric, condition, window)?;
        let resolve = table.number("resolve")?;
        if let Some(resolve) = resolve {
            condition.check_resolve(&table, resolve)?;
        }
        let for_millis = table.duration("for", std::time::Duration::ZERO)?.map_or(0, short);
        let keep_firing_for = table.duration("keep_firing_for", std::time::Duration::ZERO)?.map_or(0, short);
        let severity = table.severity()?;
        let labels = table.labels()?;
        let actions = table.actions(sinks)?;
        let inhibited_by = table.list("inhibited_by")?;
        if inhibited_by.contains(&name) {
            return Err(table.wrong("inhibited_by", format!("{name:?}"), "another rule: none explains itself"));
        }
        let known: Vec<&str> =
            labels.iter().map(|(name, _)| &**name).chain(matchers.iter().map(|(name, _)| &**name)).collect();
        let annotations = table.annotations(&known, metric)?;
        let origin = Arc::from(table.place.file.as_str());
        table.end()?;
        let refined = Refined {
            matchers,
            labels,
            quantile,
            resolve,
            inhibited_by: inhibited_by.into_iter().map(Arc::from).collect(),
        };
        let refined = (refined != Refined::default()).then(|| Box::new(refined));
        Ok(Self {
            name: name.into(),
            origin,
            metric,
            ports,
            condition,
            for_millis,
            keep_firing_for,
            severity,
            enabled,
            annotations,
            actions,
            refined,
        })
    }
}

fn fixed_has(refined: Option<&Refined>, name: &str) -> bool {
    refined.is_some_and(|refined| refined.labels.iter().any(|(fixed, _)| &**fixed == name))
}

fn check_name(table: &RuleTable, key: &str, name: &str) -> Result<(), RuleError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_:-".contains(&byte);
    if name.is_empty() || name.len() > 64 || !name.bytes().all(plain) {
        let problem = "1 to 64 letters, digits, \"_\", \":\" or \"-\", for example \"PortFlapping\"";
        return Err(table.wrong(key, format!("{name:?}"), problem));
    }
    Ok(())
}

impl RuleTable {
    fn ports(&mut self, metric: MetricRef) -> Result<Option<Arc<Glob>>, RuleError> {
        let Some(text) = self.text("ports")? else { return Ok(None) };
        if !metric.is_of_ports() {
            let problem =
                format!("{} is not a metric of ports: leave ports out, or take one with a label `port`", metric.name());
            return Err(self.wrong("ports", format!("{text:?}"), problem));
        }
        match Glob::new(&text) {
            Ok(glob) => Ok(Some(Arc::new(glob))),
            Err(problem) => Err(self.wrong("ports", format!("{text:?}"), problem)),
        }
    }

    fn matchers(&mut self, metric: MetricRef) -> Result<LabelMatchers, RuleError> {
        let mut matchers = Vec::new();
        let labels: Vec<&str> = metric.metric().labels.iter().copied().filter(|label| *label != "port").collect();
        for (label, values) in self.lists("match")? {
            let key = format!("match.{label}");
            if label == "port" && metric.is_of_ports() {
                return Err(self.wrong(&key, values.join(", "), "ports are chosen by the key `ports`"));
            }
            if !labels.contains(&&*label) {
                let problem = if labels.is_empty() {
                    format!("{} has no labels to choose by", metric.name())
                } else {
                    format!(
                        "{} has the labels {}{}",
                        metric.name(),
                        labels.join(", "),
                        nearest(&label, labels.iter().copied())
                    )
                };
                return Err(self.wrong(&key, values.join(", "), problem));
            }
            if values.is_empty() {
                return Err(self.wrong(&key, "[]", "at least one value"));
            }
            if let Some(known) = metric.values(&label)
                && let Some(value) = values.iter().find(|value| !known.contains(&value.as_str()))
            {
                let meant = nearest(value, known.iter().copied());
                return Err(self.wrong(&key, format!("{value:?}"), format!("one of {}{meant}", known.join(", "))));
            }
            matchers.push((label.into(), values.into_iter().map(Box::from).collect()));
        }
        Ok(matchers.into())
    }

    fn quantile(
        &mut self,
        metric: MetricRef,
        condition: Condition,
        window: Option<u32>,
    ) -> Result<Option<Quantile>, RuleError> {
        let quantile = self.number("quantile")?;
        match (metric.is_histogram(), quantile) {
            (false, Some(quantile)) => {
                Err(self.wrong("quantile", quantile, format!("{} is not a histogram: leave it out", metric.name())))
            }
            (true, None) => {
                let problem = format!("{} is a histogram; for example quantile = 0.99", metric.name());
                Err(self.missing("quantile", problem))
            }
            (false, None) if window.is_some() => {
                let problem =
                    "this condition looks at the last value only: leave window out, or use rate_above or rate_below";
                Err(self.wrong("condition.window", crate::alert::span(window.unwrap_or_default()), problem))
            }
            (false, None) => Ok(None),
            (true, Some(quantile)) if quantile <= 0.0 || quantile >= 1.0 => {
                Err(self.wrong("quantile", quantile, "more than 0 and less than 1, for example 0.99"))
            }
            (true, Some(quantile)) => {
                if matches!(condition, Condition::RateAbove { .. } | Condition::RateBelow { .. }) {
                    let problem = "a quantile of durations has no rate: use above, below, anomaly or trend";
                    return Err(self.wrong("condition", condition, problem));
                }
                let Some(window) = window else {
                    let problem = "over what time the quantile is taken, for example \"5m\"";
                    return Err(self.missing("condition.window", problem));
                };
                Ok(Some(Quantile { quantile, window }))
            }
        }
    }

    fn severity(&mut self) -> Result<Severity, RuleError> {
        let Some(text) = self.text("severity")? else {
            return Err(self.missing("severity", "\"critical\", \"warning\" or \"info\""));
        };
        [Severity::Critical, Severity::Warning, Severity::Info]
            .into_iter()
            .find(|severity| severity.name() == text)
            .ok_or_else(|| self.wrong("severity", format!("{text:?}"), "\"critical\", \"warning\" or \"info\""))
    }

    fn labels(&mut self) -> Result<Labels, RuleError> {
        let labels = self.texts("labels")?;
        for (name, value) in &labels {
            self.check_label_name("labels", name, value)?;
            if value.contains("{{") {
                let problem =
                    "a text without variables: labels name an alert, and port and severity are among them already";
                return Err(self.wrong(&format!("labels.{name}"), format!("{value:?}"), problem));
            }
            if ["rule", "port", "severity", "alertname"].contains(&name.as_str()) {
                return Err(self.wrong(
                    &format!("labels.{name}"),
                    format!("{value:?}"),
                    "every alert has this one already",
                ));
            }
        }
        Ok(labels.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }

    fn actions(&mut self, sinks: Option<&[String]>) -> Result<Arc<[Action]>, RuleError> {
        let mut actions = Vec::new();
        let said = self.has("actions");
        let names = self.list("actions")?;
        let names = if said { names } else { vec!["log".to_owned()] };
        for name in names {
            let action = match name.as_str() {
                "log" => Action::Log,
                "notify" => Action::Notify,
                _ if sinks.is_none_or(|sinks| sinks.contains(&name)) => Action::Sink(name.as_str().into()),
                _ => {
                    let sinks = sinks.unwrap_or_default();
                    let all: Vec<&str> =
                        ["log", "notify"].into_iter().chain(sinks.iter().map(String::as_str)).collect();
                    let meant = nearest(&name, all.iter().copied());
                    let problem = format!("{}{meant}; a sink has to stand in [[alerts.sink]]", all.join(", "));
                    return Err(self.wrong("actions", format!("{name:?}"), problem));
                }
            };
            if actions.contains(&action) {
                return Err(self.wrong("actions", format!("{name:?}"), "once"));
            }
            actions.push(action);
        }
        Ok(actions.into())
    }

    fn annotations(&mut self, labels: &[&str], metric: MetricRef) -> Result<Annotations, RuleError> {
        let texts = self.texts("annotations")?;
        let one = |(name, text): (String, String)| {
            self.check_label_name("annotations", &name, &text)?;
            match Template::new(&text, labels, metric.is_of_ports()) {
                Ok(template) => Ok((name.into(), template)),
                Err(problem) => Err(self.wrong(&format!("annotations.{name}"), format!("{text:?}"), problem)),
            }
        };
        texts.into_iter().map(one).collect()
    }

    /// Prometheus and Alertmanager take no other names, of annotations either.
    fn check_label_name(&self, table: &str, name: &str, value: &str) -> Result<(), RuleError> {
        let starts = |byte: &u8| byte.is_ascii_alphabetic() || *byte == b'_';
        let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if plain && name.as_bytes().first().is_some_and(starts) {
            return Ok(());
        }
        let problem = format!("a name in {table} has letters, digits and \"_\", and no digit first");
        Err(self.wrong(&format!("{table}.{name}"), format!("{value:?}"), problem))
    }
}
