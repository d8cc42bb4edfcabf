//! `[alerts]` and `[[alerts.sink]]`: which rules there are, and where alerts are delivered to.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::glob::Glob;
use super::sinks::{HOUR, SinkKind, check_number, check_time, wrong};
use super::{Action, ConfigError, Severity};

/// Names that rules give to what is no sink of the configuration.
const RESERVED: [&str; 2] = ["log", "notify"];
/// Alerts that may wait for one sink. Each takes about half a kilobyte.
const MOST_WAITING: usize = 100_000;

/// `[alerts]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AlertsConfig {
    /// How often the rules are evaluated.
    #[serde(with = "super::duration")]
    pub evaluation_interval: Duration,
    /// Patterns of the files with rules.
    pub rules: Vec<String>,
    /// How many transitions are kept.
    pub history: usize,
    /// Whether the rules that come with the daemon hold.
    pub default_rules: bool,
    /// Where the pages of docs/runbooks are published, for links to them; empty: there are no links.
    pub runbook_base_url: String,
    /// Where alerts are delivered to, besides the log and the service's status.
    pub sink: Vec<SinkConfig>,
}

impl Default for AlertsConfig {
    fn default() -> Self {
        Self {
            evaluation_interval: Duration::from_secs(15),
            rules: vec!["/etc/sonic/portsyncd/rules.d/*.toml".to_owned()],
            history: 1000,
            default_rules: true,
            runbook_base_url: String::new(),
            sink: Vec::new(),
        }
    }
}

/// `[[alerts.sink]]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SinkConfig {
    #[serde(default)]
    pub name: String,
    #[serde(flatten)]
    pub kind: SinkKind,
    /// Patterns of rules whose alerts are delivered here, whatever their actions are.
    #[serde(default)]
    pub rules: Vec<Glob>,
    #[serde(flatten)]
    pub delivery: DeliveryConfig,
}

impl SinkConfig {
    /// One of each type, with the defaults.
    pub(super) fn of_each_type() -> Vec<Self> {
        let of_type = |kind| Self { name: String::new(), kind, rules: Vec::new(), delivery: DeliveryConfig::default() };
        SinkKind::of_each_type().map(of_type).into()
    }

    pub(super) fn check(&self) -> Result<(), String> {
        let name = self.name.as_str();
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
        if name.is_empty() || name.len() > 64 || !name.bytes().all(plain) || RESERVED.contains(&name) {
            let problem =
                "1 to 64 letters, digits, \"_\", \"-\" or \".\", and not \"log\" or \"notify\", for example \"noc\"";
            return Err(wrong("name", format_args!("{name:?}"), problem));
        }
        self.delivery.check()?;
        self.kind.check()
    }

    /// Whether it is told of a rule that has these actions.
    pub fn is_for(&self, rule: &str, actions: &[Action]) -> bool {
        actions.iter().any(|action| matches!(action, Action::Sink(name) if **name == *self.name))
            || self.rules.iter().any(|glob| glob.matches(rule))
    }
}

/// How patiently is delivered: the keys that every sink has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DeliveryConfig {
    /// Less severe alerts are not delivered.
    pub min_severity: Severity,
    /// How long one attempt may take.
    #[serde(with = "super::duration")]
    pub timeout: Duration,
    /// How many alerts may wait.
    pub queue: usize,
    /// For how long alerts gather before they go in one message.
    #[serde(with = "super::duration")]
    pub group_interval: Duration,
    /// How long a notification is worth another attempt.
    #[serde(with = "super::duration")]
    pub retry_for: Duration,
    /// The pause after the first failed attempt; doubled after each further one.
    #[serde(with = "super::duration")]
    pub backoff: Duration,
    #[serde(with = "super::duration")]
    pub max_backoff: Duration,
}

impl Default for DeliveryConfig {
    fn default() -> Self {
        Self {
            min_severity: Severity::Info,
            timeout: Duration::from_secs(10),
            queue: 10_000,
            group_interval: Duration::from_secs(1),
            retry_for: Duration::from_secs(24 * 60 * 60),
            backoff: Duration::from_secs(1),
            max_backoff: Duration::from_secs(60),
        }
    }
}

impl DeliveryConfig {
    fn check(&self) -> Result<(), String> {
        let ms = Duration::from_millis(1);
        check_time("timeout", self.timeout, ms, HOUR)?;
        check_time("group_interval", self.group_interval, Duration::ZERO, HOUR)?;
        check_time("backoff", self.backoff, ms, HOUR)?;
        check_time("max_backoff", self.max_backoff, self.backoff, 24 * HOUR)?;
        check_number("queue", self.queue, MOST_WAITING)
    }
}

/// What only holds for all sinks together, and the other keys of `[alerts]`.
pub(super) fn check(alerts: &AlertsConfig) -> Result<(), ConfigError> {
    let wrong = |key, value, problem: &str| Err(ConfigError::Value { key, value, problem: problem.to_owned() });
    let interval = alerts.evaluation_interval;
    if interval < Duration::from_millis(100) || interval > Duration::from_secs(3600) {
        return wrong("alerts.evaluation_interval", format!("{interval:?}"), "from \"100ms\" to \"1h\"");
    }
    if alerts.history > 100_000 {
        return wrong("alerts.history", alerts.history.to_string(), "at most 100000");
    }
    if alerts.rules.iter().any(String::is_empty) {
        return wrong("alerts.rules", "\"\"".to_owned(), "a pattern of files, for example \"/etc/sonic/rules/*.toml\"");
    }
    let twice = |(at, sink): &(usize, &SinkConfig)| alerts.sink[..*at].iter().any(|other| other.name == sink.name);
    if let Some((_, sink)) = alerts.sink.iter().enumerate().find(twice) {
        return wrong("alerts.sink.name", format!("{:?}", sink.name), "each sink has a name of its own");
    }
    Ok(())
}

impl AlertsConfig {
    /// Whether the files that sinks need can be read: for whoever checks a configuration. The daemon itself reads them at
    /// each delivery, and tries again until it can.
    pub fn check_files(&self) -> Result<(), ConfigError> {
        let check = |sink: &SinkConfig| sink.kind.check_files().map_err(|problem| (sink.name.clone(), problem));
        let checked = self.sink.iter().try_for_each(check);
        checked.map_err(|(name, problem)| ConfigError::Format(format!("sink {name:?}: {problem}")))
    }
}

#[cfg(test)]
mod tests;
