//! Prometheus' Alertmanager, by its API v2: what is new at once, what fires again and again.
//!
//! Alertmanager takes an alert that nobody speaks of any longer for resolved, so that what fires is sent anew in each
//! `resend_interval`, to be over four of them later; and it forgets everything when it restarts. As Prometheus does,
//! what ended is said for a quarter of an hour. Several servers are one cluster to Alertmanager, but each has to be
//! sent everything.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use hyper::header::{AUTHORIZATION, HeaderValue};
use serde::Serialize;

use super::error::DeliveryError;
use super::http_client::{Headers, HttpClient, read_secret};
use super::message::{AlertBatch, PER_MESSAGE};
use crate::alert::model::Notification;
use crate::config::sinks::AlertmanagerConfig;

const PATH: &str = "/api/v2/alerts";

#[derive(Debug)]
pub(super) struct Alertmanager {
    pub url: String,
    pub client: HttpClient,
    pub config: Arc<AlertmanagerConfig>,
    /// Where the daemon itself can be looked at.
    source: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Posted<'a> {
    labels: BTreeMap<&'a str, String>,
    annotations: &'a BTreeMap<String, String>,
    starts_at: String,
    ends_at: String,
    #[serde(rename = "generatorURL", skip_serializing_if = "Option::is_none")]
    generator_url: Option<&'a str>,
}

impl Alertmanager {
    pub fn new(url: &str, config: Arc<AlertmanagerConfig>, source: Option<&str>) -> Self {
        let client = HttpClient::new(url, PATH, &config.ca_file);
        Self { url: url.to_owned(), client, config, source: source.map(str::to_owned) }
    }

    pub async fn send(&self, batch: &AlertBatch<'_>) -> Result<(), DeliveryError> {
        let mut refused = Ok(());
        for part in batch.alerts.chunks(PER_MESSAGE) {
            match self.post(batch, part).await {
                // It took what it could, and the other parts are not at fault.
                Err(error) if !error.is_transient() => refused = Err(error),
                outcome => outcome?,
            }
        }
        refused
    }

    async fn post(&self, batch: &AlertBatch<'_>, alerts: &[Arc<Notification>]) -> Result<(), DeliveryError> {
        let body = self.encode(batch, alerts)?;
        let mut headers = Headers::new();
        let token_file = &self.config.bearer_token_file;
        if !token_file.as_os_str().is_empty() {
            let token = read_secret("bearer_token_file", token_file).await?;
            let value = HeaderValue::from_str(&format!("Bearer {}", token.expose()));
            let mut value = value.map_err(hyper::http::Error::from)?;
            value.set_sensitive(true);
            headers.push((AUTHORIZATION, value));
        }
        self.client.post(body, headers).await
    }

    fn encode(&self, batch: &AlertBatch<'_>, alerts: &[Arc<Notification>]) -> Result<Vec<u8>, serde_json::Error> {
        let until = batch.now + 4.0 * self.config.resend_interval.as_secs_f64();
        let posted = alerts.iter().map(|notification| {
            let alert = &notification.alert;
            let mut labels = BTreeMap::from([("instance", batch.host.to_owned())]);
            labels.extend(alert.labels.iter().map(|(name, value)| (name.as_str(), value.clone())));
            labels.insert("alertname", alert.rule.to_string());
            labels.insert("severity", alert.severity.name().to_owned());
            if let Some(port) = alert.port {
                labels.insert("port", port.to_string());
            }
            // By a clock that was set since then it may end before it began, or have begun in the future: it ends now.
            let ends =
                notification.ended.map(|ended| if ended < alert.since { batch.now } else { ended.min(batch.now) });
            let ends = ends.unwrap_or(until);
            Posted {
                labels,
                annotations: &alert.annotations,
                starts_at: time(alert.since.min(ends)),
                ends_at: time(ends),
                generator_url: self.source.as_deref(),
            }
        });
        serde_json::to_vec(&posted.collect::<Vec<_>>())
    }
}

/// Unix time as RFC 3339.
fn time(seconds: f64) -> String {
    let since = Duration::try_from_secs_f64(seconds).unwrap_or_default();
    let time = SystemTime::UNIX_EPOCH.checked_add(since).unwrap_or(SystemTime::UNIX_EPOCH);
    humantime::format_rfc3339_millis(time).to_string()
}
