//! A sink as it stands in the file, one flat table, and back: which keys belong to which type, and what their values may be.

use std::path::PathBuf;
use std::time::Duration;

use hyper::Uri;
use serde::{Deserialize, Serialize};

use super::sinks::{AlertmanagerConfig, DeliveryConfig, ExecConfig, SinkConfig, SinkKind, WebhookConfig};
use crate::alert::Severity;

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
    min_severity: Severity,
    #[serde(with = "humantime_serde")]
    timeout: Duration,
    queue: usize,
    #[serde(with = "humantime_serde")]
    group_interval: Duration,
    #[serde(with = "humantime_serde")]
    retry_for: Duration,
    #[serde(with = "humantime_serde")]
    backoff: Duration,
    #[serde(with = "humantime_serde")]
    max_backoff: Duration,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    urls: Option<Vec<String>>,
    #[serde(with = "humantime_serde", skip_serializing_if = "Option::is_none")]
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
        Self::of(String::new(), None, DeliveryConfig::default())
    }
}

impl Written {
    fn of(name: String, kind: Option<Type>, delivery: DeliveryConfig) -> Self {
        let DeliveryConfig { min_severity, timeout, queue, group_interval, retry_for, backoff, max_backoff } = delivery;
        Self {
            name,
            kind,
            min_severity,
            timeout,
            queue,
            group_interval,
            retry_for,
            backoff,
            max_backoff,
            url: None,
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
    fn special(&self) -> [(&'static str, bool); 9] {
        [
            ("url", self.url.is_some()),
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
            Self::Webhook => &["url", "secret_file", "ca_file"],
            Self::Alertmanager => &["urls", "resend_interval", "ca_file", "bearer_token_file"],
            Self::StateDb => &[],
            Self::Exec => &["program", "arguments", "max_running"],
        }
    }
}

impl From<SinkConfig> for Written {
    fn from(config: SinkConfig) -> Self {
        let SinkConfig { name, delivery, kind } = config;
        let of = |kind| Self::of(name, Some(kind), delivery);
        match kind {
            SinkKind::Webhook(WebhookConfig { url, secret_file, ca_file }) => {
                let (url, secret_file, ca_file) = (Some(url), Some(secret_file), Some(ca_file));
                Self { url, secret_file, ca_file, ..of(Type::Webhook) }
            }
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
        let wrong = |key: &str, value: String, problem: &str| format!("sink {name:?}: {key} = {value}: {problem}");
        let missing = |key: &str, problem: &str| format!("sink {name:?}: {key} is missing: {problem}");
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
        if name.is_empty() || name.len() > 64 || !name.bytes().all(plain) || RESERVED.contains(&name.as_str()) {
            let problem =
                "1 to 64 letters, digits, \"_\", \"-\" or \".\", and not \"log\" or \"notify\", for example \"noc\"";
            return Err(wrong("name", format!("{name:?}"), problem));
        }
        let Some(kind) = written.kind else {
            return Err(missing("type", "\"webhook\", \"alertmanager\", \"state_db\" or \"exec\""));
        };
        if let Some((key, _)) = written.special().into_iter().find(|(key, set)| *set && !kind.keys().contains(key)) {
            let has = if kind.keys().is_empty() { "no keys of its own".to_owned() } else { kind.keys().join(", ") };
            return Err(format!("sink {name:?}: {key} is no key of type \"{}\", which has {has}", kind.name()));
        }
        let delivery = DeliveryConfig {
            min_severity: written.min_severity,
            timeout: written.timeout,
            queue: written.queue,
            group_interval: written.group_interval,
            retry_for: written.retry_for,
            backoff: written.backoff,
            max_backoff: written.max_backoff,
        };
        let hour = Duration::from_secs(60 * 60);
        let ms = Duration::from_millis(1);
        for (key, time, least, most) in [
            ("timeout", delivery.timeout, ms, hour),
            ("group_interval", delivery.group_interval, Duration::ZERO, hour),
            ("retry_for", delivery.retry_for, Duration::ZERO, Duration::MAX),
            ("backoff", delivery.backoff, ms, hour),
            ("max_backoff", delivery.max_backoff, delivery.backoff, 24 * hour),
            ("resend_interval", written.resend_interval.unwrap_or(hour), Duration::from_secs(1), 24 * hour),
        ] {
            if time < least || time > most {
                let shown = |time| humantime::format_duration(time).to_string();
                let bound = if time < least {
                    format!("at least \"{}\"", shown(least))
                } else {
                    format!("at most \"{}\"", shown(most))
                };
                return Err(wrong(key, format!("{:?}", shown(time)), &bound));
            }
        }
        for (key, number, most) in
            [("queue", written.queue, MOST_WAITING), ("max_running", written.max_running.unwrap_or(1), MOST_RUNNING)]
        {
            if number == 0 || number > most {
                return Err(wrong(key, number.to_string(), &format!("from 1 to {most}")));
            }
        }
        let check_url = |key: &str, url: &str| match check_url(url) {
            Ok(()) => Ok(()),
            Err((shown, problem)) => Err(wrong(key, format!("{shown:?}"), &problem)),
        };
        let kind = match kind {
            Type::Webhook => {
                let url =
                    written.url.ok_or_else(|| missing("url", "for example \"https://alerts.example/portsyncd\""))?;
                check_url("url", &url)?;
                SinkKind::Webhook(WebhookConfig {
                    url,
                    secret_file: written.secret_file.unwrap_or_default(),
                    ca_file: written.ca_file.unwrap_or_default(),
                })
            }
            Type::Alertmanager => {
                let urls = written.urls.unwrap_or_default();
                if urls.is_empty() {
                    return Err(missing("urls", "at least one, for example [\"http://alertmanager.example:9093\"]"));
                }
                urls.iter().try_for_each(|url| check_url("urls", url))?;
                if let Some((_, twice)) = urls.iter().enumerate().find(|(at, url)| urls[..*at].contains(url)) {
                    return Err(wrong("urls", format!("{twice:?}"), "each server once"));
                }
                let default = AlertmanagerConfig::default();
                SinkKind::Alertmanager(AlertmanagerConfig {
                    urls,
                    resend_interval: written.resend_interval.unwrap_or(default.resend_interval),
                    ca_file: written.ca_file.unwrap_or_default(),
                    bearer_token_file: written.bearer_token_file.unwrap_or_default(),
                })
            }
            Type::StateDb => SinkKind::StateDb,
            Type::Exec => {
                let program =
                    written.program.ok_or_else(|| missing("program", "for example \"/usr/local/bin/page\""))?;
                if !program.is_absolute() {
                    let shown = format!("{:?}", program.display().to_string());
                    return Err(wrong("program", shown, "a path from the root, for example \"/usr/local/bin/page\""));
                }
                let default = ExecConfig::default();
                SinkKind::Exec(ExecConfig {
                    program,
                    arguments: written.arguments.unwrap_or_default(),
                    max_running: written.max_running.unwrap_or(default.max_running),
                })
            }
        };
        Ok(Self { name, delivery, kind })
    }
}

/// What is wrong with a URL, and how it may be shown.
fn check_url(url: &str) -> Result<(), (String, String)> {
    let right = "http://host:port/path or https://host:port/path";
    let uri: Uri = url.parse().map_err(|error| (url.to_owned(), format!("{error}; right is {right}")))?;
    let authority = uri.authority().map(hyper::http::uri::Authority::as_str).unwrap_or_default();
    if authority.contains('@') {
        let (scheme, rest) = url.split_once("://").unwrap_or_default();
        let rest = rest.split_once('@').map_or("", |(_, rest)| rest);
        return Err((
            format!("{scheme}://<hidden>@{rest}"),
            "a URL is shown, so that it is no place for a password: sign by secret_file, or use bearer_token_file"
                .to_owned(),
        ));
    }
    if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.host().unwrap_or_default().is_empty() {
        return Err((url.to_owned(), right.to_owned()));
    }
    Ok(())
}
