//! What each type of sink can be told, and what makes sense.

use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hyper::Uri;
use serde::{Deserialize, Serialize};

use crate::secret::{Secret, SecretUrl};

/// Programs that one sink may run at once.
const MOST_RUNNING: usize = 64;

pub(super) const HOUR: Duration = Duration::from_secs(60 * 60);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum SinkKind {
    Webhook(WebhookConfig),
    /// Prometheus' Alertmanager.
    Alertmanager(AlertmanagerConfig),
    StateDb,
    Exec(ExecConfig),
}

/// `type = "webhook"`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct WebhookConfig {
    /// Where to; empty: as `url_file` says.
    pub url: SecretUrl,
    /// File with the URL, for one that is a secret; empty: there is none.
    pub url_file: PathBuf,
    /// File with the secret that messages are signed with; empty: they are not.
    pub secret_file: PathBuf,
    /// File with the authorities in PEM that are trusted in place of the system's; empty: the system's.
    pub ca_file: PathBuf,
}

/// `type = "alertmanager"`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AlertmanagerConfig {
    /// The servers; each one is sent everything.
    pub urls: Vec<String>,
    /// How often what fires is sent again.
    #[serde(with = "super::duration")]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
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

impl SinkKind {
    /// One of each type, with the defaults.
    pub(super) fn of_each_type() -> [Self; 4] {
        [
            Self::Webhook(WebhookConfig::default()),
            Self::Alertmanager(AlertmanagerConfig::default()),
            Self::StateDb,
            Self::Exec(ExecConfig::default()),
        ]
    }

    pub(super) fn check(&self) -> Result<(), String> {
        match self {
            Self::Webhook(webhook) => webhook.check(),
            Self::Alertmanager(servers) => servers.check(),
            Self::StateDb => Ok(()),
            Self::Exec(exec) => exec.check(),
        }
    }

    /// Whether the files that it needs can be read, and hold what they have to.
    pub(super) fn check_files(&self) -> Result<(), String> {
        match self {
            Self::Webhook(webhook) => {
                check_file("url_file", &webhook.url_file, |_| webhook.read_url())?;
                check_file("secret_file", &webhook.secret_file, Secret::read)?;
                check_file("ca_file", &webhook.ca_file, |path| std::fs::File::open(path))
            }
            Self::Alertmanager(servers) => {
                check_file("bearer_token_file", &servers.bearer_token_file, Secret::read)?;
                check_file("ca_file", &servers.ca_file, |path| std::fs::File::open(path))
            }
            Self::StateDb => Ok(()),
            Self::Exec(exec) => check_file("program", &exec.program, |path| std::fs::File::open(path)),
        }
    }
}

impl WebhookConfig {
    fn check(&self) -> Result<(), String> {
        match (self.url.is_empty(), self.url_file.as_os_str().is_empty()) {
            (true, true) => Err(missing("url", "for example \"https://alerts.example/portsyncd\", or url_file")),
            (true, false) => Ok(()),
            (false, true) => check_url("url", &self.url),
            (false, false) => Err(wrong("url_file", quoted(&self.url_file), "either url or url_file, not both")),
        }
    }

    /// The URL, from its file if it has one. What is wrong is said without what stands in the file.
    pub fn read_url(&self) -> io::Result<SecretUrl> {
        if self.url_file.as_os_str().is_empty() {
            return Ok(self.url.clone());
        }
        let url = SecretUrl::from(Secret::read(&self.url_file)?.expose());
        check_url("url", &url).map(|()| url).map_err(|_| {
            io::Error::other("it has to hold a URL without a password, http:// or https://, and nothing else")
        })
    }
}

impl AlertmanagerConfig {
    fn check(&self) -> Result<(), String> {
        if self.urls.is_empty() {
            return Err(missing("urls", "at least one, for example [\"http://alertmanager.example:9093\"]"));
        }
        self.urls.iter().try_for_each(|url| check_url("urls", &url.as_str().into()))?;
        if let Some((_, twice)) = self.urls.iter().enumerate().find(|(at, url)| self.urls[..*at].contains(url)) {
            return Err(wrong("urls", format_args!("{twice:?}"), "each server once"));
        }
        check_time("resend_interval", self.resend_interval, Duration::from_secs(1), 24 * HOUR)
    }
}

impl ExecConfig {
    fn check(&self) -> Result<(), String> {
        if self.program.as_os_str().is_empty() {
            return Err(missing("program", "for example \"/usr/local/bin/page\""));
        }
        if !self.program.is_absolute() {
            let problem = "a path from the root, for example \"/usr/local/bin/page\"";
            return Err(wrong("program", quoted(&self.program), problem));
        }
        check_number("max_running", self.max_running, MOST_RUNNING)
    }
}

fn check_url(key: &str, url: &SecretUrl) -> Result<(), String> {
    let wrong = |problem: String| Err(wrong(key, format_args!("{url:?}"), problem));
    let right = "http://host:port/path or https://host:port/path";
    let uri: Uri = match url.expose().parse() {
        Ok(uri) => uri,
        Err(error) => return wrong(format!("{error}; right is {right}")),
    };
    if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return wrong("a URL is no place for a password: sign by secret_file, or use bearer_token_file".to_owned());
    }
    if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.host().unwrap_or_default().is_empty() {
        return wrong(right.to_owned());
    }
    Ok(())
}

pub(super) fn check_time(key: &str, time: Duration, least: Duration, most: Duration) -> Result<(), String> {
    let shown = |time| format!("{:?}", humantime::format_duration(time).to_string());
    if time < least {
        return Err(wrong(key, shown(time), format_args!("at least {}", shown(least))));
    }
    if time > most {
        return Err(wrong(key, shown(time), format_args!("at most {}", shown(most))));
    }
    Ok(())
}

pub(super) fn check_number(key: &str, number: usize, most: usize) -> Result<(), String> {
    if number == 0 || number > most {
        return Err(wrong(key, number, format_args!("from 1 to {most}")));
    }
    Ok(())
}

fn check_file<T>(key: &str, path: &Path, read: impl FnOnce(&Path) -> io::Result<T>) -> Result<(), String> {
    if path.as_os_str().is_empty() {
        return Ok(());
    }
    read(path).map(drop).map_err(|error| wrong(key, quoted(path), format_args!("cannot be read: {error}")))
}

pub(super) fn wrong(key: &str, value: impl Display, problem: impl Display) -> String {
    format!("{key} = {value}: {problem}")
}

fn missing(key: &str, problem: &str) -> String {
    format!("{key} is missing: {problem}")
}

fn quoted(path: &Path) -> String {
    format!("{:?}", path.display().to_string())
}
