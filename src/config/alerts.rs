//! `[alerts]` and `[[alerts.sink]]`: which rules there are, and where alerts are delivered to.
//!
//! A sink stands in the file as one flat table. Which keys belong to which type no derived reader can say together with
//! `deny_unknown_fields`, so it is read as [`Written`], which has them all, checked, and taken apart.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::ConfigError;
use super::glob::Glob;
use super::written::{Written, check_url};
use super::{Action, Severity};

/// `[alerts]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
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
            sink: Vec::new(),
        }
    }
}

/// `[[alerts.sink]]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct SinkConfig {
    pub name: String,
    /// Patterns of rules whose alerts are delivered here, whatever their actions are.
    pub rules: Vec<Glob>,
    pub delivery: DeliveryConfig,
    pub kind: SinkKind,
}

impl SinkConfig {
    /// Whether it is told of a rule that has these actions.
    pub fn is_for(&self, rule: &str, actions: &[Action]) -> bool {
        actions.iter().any(|action| matches!(action, Action::Sink(name) if **name == *self.name))
            || self.rules.iter().any(|glob| glob.matches(rule))
    }
}

/// How patiently is delivered: the keys that every sink has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeliveryConfig {
    /// Less severe alerts are not delivered.
    pub min_severity: Severity,
    /// How long one attempt may take.
    pub timeout: Duration,
    /// How many alerts may wait.
    pub queue: usize,
    /// For how long alerts gather before they go in one message.
    pub group_interval: Duration,
    /// How long a notification is worth another attempt.
    pub retry_for: Duration,
    /// The pause after the first failed attempt; doubled after each further one.
    pub backoff: Duration,
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

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SinkKind {
    Webhook(WebhookConfig),
    /// Prometheus' Alertmanager.
    Alertmanager(AlertmanagerConfig),
    StateDb,
    Exec(ExecConfig),
}

/// `type = "webhook"`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WebhookConfig {
    /// Where to; empty: as `url_file` says.
    pub url: String,
    /// File with the URL, for one that is a secret; empty: there is none.
    pub url_file: PathBuf,
    /// File with the secret that messages are signed with; empty: they are not.
    pub secret_file: PathBuf,
    /// File with the authorities in PEM that are trusted in place of the system's; empty: the system's.
    pub ca_file: PathBuf,
}

/// `type = "alertmanager"`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertmanagerConfig {
    /// The servers; each one is sent everything.
    pub urls: Vec<String>,
    /// How often what fires is sent again.
    pub resend_interval: Duration,
    /// See [`WebhookConfig::ca_file`].
    pub ca_file: PathBuf,
    /// File with the token to show; empty: none.
    pub bearer_token_file: PathBuf,
}

impl Default for AlertmanagerConfig {
    fn default() -> Self {
        Self {
            urls: Vec::new(),
            resend_interval: Duration::from_secs(60),
            ca_file: PathBuf::new(),
            bearer_token_file: PathBuf::new(),
        }
    }
}

/// `type = "exec"`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecConfig {
    pub program: PathBuf,
    /// What it is called with.
    pub arguments: Vec<String>,
    /// How many may run at once.
    pub max_running: usize,
}

impl Default for ExecConfig {
    fn default() -> Self {
        Self { program: PathBuf::new(), arguments: Vec::new(), max_running: 1 }
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
        for sink in &self.sink {
            let files: &[(&str, &Path)] = match &sink.kind {
                SinkKind::Webhook(webhook) => &[
                    ("url_file", &webhook.url_file),
                    ("secret_file", &webhook.secret_file),
                    ("ca_file", &webhook.ca_file),
                ],
                SinkKind::Alertmanager(servers) => {
                    &[("bearer_token_file", &servers.bearer_token_file), ("ca_file", &servers.ca_file)]
                }
                SinkKind::StateDb => &[],
                SinkKind::Exec(exec) => &[("program", &exec.program)],
            };
            for (key, path) in files.iter().filter(|(_, path)| !path.as_os_str().is_empty()) {
                if let Err(source) = std::fs::File::open(path) {
                    return Err(ConfigError::Format(format!(
                        "sink {:?}: {key} = {:?}: cannot be read: {source}",
                        sink.name,
                        path.display().to_string()
                    )));
                }
            }
            if let SinkKind::Webhook(webhook) = &sink.kind
                && !webhook.url_file.as_os_str().is_empty()
            {
                let wrong = |problem: io::Error| {
                    let (name, path) = (&sink.name, webhook.url_file.display().to_string());
                    ConfigError::Format(format!("sink {name:?}: url_file = {path:?}: {problem}"))
                };
                webhook.read_url().map_err(wrong)?;
            }
        }
        Ok(())
    }

    /// For whoever reads it: the paths of webhooks' URLs may be secrets.
    pub(super) fn hide_secrets(&mut self) {
        for sink in &mut self.sink {
            if let SinkKind::Webhook(webhook) = &mut sink.kind {
                webhook.url = without_path(&webhook.url);
            }
        }
    }
}

impl WebhookConfig {
    /// The URL, from its file if it has one. What is wrong is said without what stands in the file.
    pub fn read_url(&self) -> io::Result<String> {
        if self.url_file.as_os_str().is_empty() {
            return Ok(self.url.clone());
        }
        let text = std::fs::read_to_string(&self.url_file)?;
        let url = text.strip_suffix('\n').unwrap_or(&text);
        match check_url(url) {
            Ok(()) => Ok(url.to_owned()),
            Err(_) => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "it has to hold a URL without a password, http:// or https://, and nothing else",
            )),
        }
    }
}

/// Scheme and server of a URL, and whether there is more.
fn without_path(url: &str) -> String {
    let server = url.find("://").map_or(0, |at| at + 3);
    match url[server..].find(['/', '?']) {
        Some(at) if &url[server + at..] != "/" => format!("{}/<hidden>", &url[..server + at]),
        _ => url.to_owned(),
    }
}

#[cfg(test)]
mod tests;
