//! A sink as it stands in the file, one flat table, and back: which keys belong to which type, and what their values may be.

use std::fmt::Display;
use std::path::PathBuf;
use std::time::Duration;

use hyper::Uri;
use serde::{Deserialize, Serialize};

use super::Severity;
use super::alerts::{AlertmanagerConfig, DeliveryConfig, ExecConfig, SinkConfig, SinkKind, WebhookConfig};
use super::glob::Glob;

/// Names that rules give to what is no sink of the configuration.
const RESERVED: [&str; 2] = ["log", "notify"];
/// Alerts that may wait for one sink. Each takes about half a kilobyte.
const MOST_WAITING: usize = 100_000;
/// Programs that one sink may run at once.
const MOST_RUNNING: usize = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Type {
    Webhook,
    Alertmanager,
    StateDb,
    Exec,
}

/// A sink as it stands in the file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Written {
    name: String,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<Type>,
    rules: Vec<String>,
    min_severity: Severity,
    #[serde(with = "super::duration")]
    timeout: Duration,
    queue: usize,
    #[serde(with = "super::duration")]
    group_interval: Duration,
    #[serde(with = "super::duration")]
    retry_for: Duration,
    #[serde(with = "super::duration")]
    backoff: Duration,
    #[serde(with = "super::duration")]
    max_backoff: Duration,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    url_file: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    urls: Option<Vec<String>>,
    #[serde(with = "super::duration", skip_serializing_if = "Option::is_none")]
    resend_interval: Option<Duration>,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret_file: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bearer_token_file: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ca_file: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    program: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    arguments: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_running: Option<usize>,
}

impl Default for Written {
    fn default() -> Self {
        Self::of(String::new(), None, Vec::new(), DeliveryConfig::default())
    }
}

impl Written {
    fn of(name: String, kind: Option<Type>, rules: Vec<String>, delivery: DeliveryConfig) -> Self {
        let DeliveryConfig { min_severity, timeout, queue, group_interval, retry_for, backoff, max_backoff } = delivery;
        Self {
            name,
            kind,
            rules,
            min_severity,
            timeout,
            queue,
            group_interval,
            retry_for,
            backoff,
            max_backoff,
            url: None,
            url_file: None,
            urls: None,
            resend_interval: None,
            secret_file: None,
            bearer_token_file: None,
            ca_file: None,
            program: None,
            arguments: None,
            max_running: None,
        }
    }

    /// Which keys were written that not every sink has.
    fn special(&self) -> [(&'static str, bool); 10] {
        [
            ("url", self.url.is_some()),
            ("url_file", self.url_file.is_some()),
            ("secret_file", self.secret_file.is_some()),
            ("urls", self.urls.is_some()),
            ("resend_interval", self.resend_interval.is_some()),
            ("bearer_token_file", self.bearer_token_file.is_some()),
            ("ca_file", self.ca_file.is_some()),
            ("program", self.program.is_some()),
            ("arguments", self.arguments.is_some()),
            ("max_running", self.max_running.is_some()),
        ]
    }
}

impl Type {
    fn name(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::Alertmanager => "alertmanager",
            Self::StateDb => "state_db",
            Self::Exec => "exec",
        }
    }

    fn keys(self) -> &'static [&'static str] {
        match self {
            Self::Webhook => &["url", "url_file", "secret_file", "ca_file"],
            Self::Alertmanager => &["urls", "resend_interval", "ca_file", "bearer_token_file"],
            Self::StateDb => &[],
            Self::Exec => &["program", "arguments", "max_running"],
        }
    }
}

impl From<SinkConfig> for Written {
    fn from(config: SinkConfig) -> Self {
        let SinkConfig { name, rules, delivery, kind } = config;
        let rules = rules.into_iter().map(String::from).collect();
        let of = |kind| Self::of(name, Some(kind), rules, delivery);
        match kind {
            SinkKind::Webhook(WebhookConfig { url, url_file, secret_file, ca_file }) => Self {
                url: Some(url).filter(|url| !url.is_empty()),
                url_file: Some(url_file),
                secret_file: Some(secret_file),
                ca_file: Some(ca_file),
                ..of(Type::Webhook)
            },
            SinkKind::Alertmanager(AlertmanagerConfig { urls, resend_interval, ca_file, bearer_token_file }) => Self {
                urls: Some(urls),
                resend_interval: Some(resend_interval),
                ca_file: Some(ca_file),
                bearer_token_file: Some(bearer_token_file),
                ..of(Type::Alertmanager)
            },
            SinkKind::StateDb => of(Type::StateDb),
            SinkKind::Exec(ExecConfig { program, arguments, max_running }) => {
                let (program, arguments, max_running) = (Some(program), Some(arguments), Some(max_running));
                Self { program, arguments, max_running, ..of(Type::Exec) }
            }
        }
    }
}

impl TryFrom<Written> for SinkConfig {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let name = written.name.clone();
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
        if name.is_empty() || name.len() > 64 || !name.bytes().all(plain) || RESERVED.contains(&name.as_str()) {
            let problem =
                "1 to 64 letters, digits, \"_\", \"-\" or \".\", and not \"log\" or \"notify\", for example \"noc\"";
            return Err(written.wrong("name", format!("{name:?}"), problem));
        }
        let Some(kind) = written.kind else {
            return Err(written.missing("type", "\"webhook\", \"alertmanager\", \"state_db\" or \"exec\""));
        };
        if let Some((key, _)) = written.special().into_iter().find(|(key, set)| *set && !kind.keys().contains(key)) {
            let has = if kind.keys().is_empty() { "no keys of its own".to_owned() } else { kind.keys().join(", ") };
            return Err(format!("sink {name:?}: {key} is no key of type \"{}\", which has {has}", kind.name()));
        }
        let delivery = written.delivery()?;
        let rules = written.rules.iter().map(|text| {
            let glob = Glob::new(text).map_err(|problem| (text, problem));
            glob.map_err(|(text, problem)| written.wrong("rules", format!("{text:?}"), problem))
        });
        let rules = rules.collect::<Result<_, _>>()?;
        let kind = match kind {
            Type::Webhook => SinkKind::Webhook(written.webhook()?),
            Type::Alertmanager => SinkKind::Alertmanager(written.alertmanager()?),
            Type::StateDb => SinkKind::StateDb,
            Type::Exec => SinkKind::Exec(written.exec()?),
        };
        Ok(Self { name, rules, delivery, kind })
    }
}

impl Written {
    fn wrong(&self, key: &str, value: impl Display, problem: impl Display) -> String {
        format!("sink {:?}: {key} = {value}: {problem}", self.name)
    }

    fn missing(&self, key: &str, problem: &str) -> String {
        format!("sink {:?}: {key} is missing: {problem}", self.name)
    }

    fn delivery(&self) -> Result<DeliveryConfig, String> {
        let hour = Duration::from_secs(60 * 60);
        let ms = Duration::from_millis(1);
        for (key, time, least, most) in [
            ("timeout", self.timeout, ms, hour),
            ("group_interval", self.group_interval, Duration::ZERO, hour),
            ("retry_for", self.retry_for, Duration::ZERO, Duration::MAX),
            ("backoff", self.backoff, ms, hour),
            ("max_backoff", self.max_backoff, self.backoff, 24 * hour),
            ("resend_interval", self.resend_interval.unwrap_or(hour), Duration::from_secs(1), 24 * hour),
        ] {
            let shown = |time| humantime::format_duration(time).to_string();
            let value = format!("{:?}", shown(time));
            if time < least {
                return Err(self.wrong(key, value, format_args!("at least {:?}", shown(least))));
            }
            if time > most {
                return Err(self.wrong(key, value, format_args!("at most {:?}", shown(most))));
            }
        }
        for (key, number, most) in
            [("queue", self.queue, MOST_WAITING), ("max_running", self.max_running.unwrap_or(1), MOST_RUNNING)]
        {
            if number == 0 || number > most {
                return Err(self.wrong(key, number, format_args!("from 1 to {most}")));
            }
        }
        Ok(DeliveryConfig {
            min_severity: self.min_severity,
            timeout: self.timeout,
            queue: self.queue,
            group_interval: self.group_interval,
            retry_for: self.retry_for,
            backoff: self.backoff,
            max_backoff: self.max_backoff,
        })
    }

    fn check_url(&self, key: &str, url: &str) -> Result<(), String> {
        check_url(url).map_err(|(shown, problem)| self.wrong(key, format_args!("{shown:?}"), problem))
    }

    fn webhook(self) -> Result<WebhookConfig, String> {
        let url_file = self.url_file.clone().unwrap_or_default();
        let url = match (self.url.clone(), url_file.as_os_str().is_empty()) {
            (Some(url), true) => {
                self.check_url("url", &url)?;
                url
            }
            (None, false) => String::new(),
            (None, true) => {
                return Err(self.missing("url", "for example \"https://alerts.example/portsyncd\", or url_file"));
            }
            (Some(_), false) => {
                let shown = format!("{:?}", url_file.display().to_string());
                return Err(self.wrong("url_file", shown, "either url or url_file, not both"));
            }
        };
        let (secret_file, ca_file) = (self.secret_file.unwrap_or_default(), self.ca_file.unwrap_or_default());
        Ok(WebhookConfig { url, url_file, secret_file, ca_file })
    }

    fn alertmanager(self) -> Result<AlertmanagerConfig, String> {
        let urls = self.urls.clone().unwrap_or_default();
        if urls.is_empty() {
            return Err(self.missing("urls", "at least one, for example [\"http://alertmanager.example:9093\"]"));
        }
        urls.iter().try_for_each(|url| self.check_url("urls", url))?;
        if let Some((_, twice)) = urls.iter().enumerate().find(|(at, url)| urls[..*at].contains(url)) {
            return Err(self.wrong("urls", format_args!("{twice:?}"), "each server once"));
        }
        let default = AlertmanagerConfig::default();
        Ok(AlertmanagerConfig {
            urls,
            resend_interval: self.resend_interval.unwrap_or(default.resend_interval),
            ca_file: self.ca_file.unwrap_or_default(),
            bearer_token_file: self.bearer_token_file.unwrap_or_default(),
        })
    }

    fn exec(self) -> Result<ExecConfig, String> {
        let Some(program) = self.program.clone() else {
            return Err(self.missing("program", "for example \"/usr/local/bin/page\""));
        };
        if !program.is_absolute() {
            let shown = format!("{:?}", program.display().to_string());
            return Err(self.wrong("program", shown, "a path from the root, for example \"/usr/local/bin/page\""));
        }
        let default = ExecConfig::default();
        Ok(ExecConfig {
            program,
            arguments: self.arguments.unwrap_or_default(),
            max_running: self.max_running.unwrap_or(default.max_running),
        })
    }
}

/// What is wrong with a URL, and how it may be shown.
pub(super) fn check_url(url: &str) -> Result<(), (String, String)> {
    let right = "http://host:port/path or https://host:port/path";
    let wrong = |problem: String| Err((shown(url), problem));
    let uri: Uri = match url.parse() {
        Ok(uri) => uri,
        Err(error) => return wrong(format!("{error}; right is {right}")),
    };
    if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        let problem = "a URL is no place for a password: sign by secret_file, or use bearer_token_file";
        return wrong(problem.to_owned());
    }
    if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.host().unwrap_or_default().is_empty() {
        return wrong(right.to_owned());
    }
    Ok(())
}

/// The URL without what may be a password.
fn shown(url: &str) -> String {
    match (url.find("://"), url.rfind('@')) {
        (Some(scheme), Some(at)) if at > scheme => format!("{}://<hidden>{}", &url[..scheme], &url[at..]),
        _ => url.to_owned(),
    }
}
