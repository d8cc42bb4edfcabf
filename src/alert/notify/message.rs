//! The JSON that webhooks and programs get. docs/alert-delivery.md is what receivers are written by: keys are added,
//! not renamed, or the version counts up.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use crate::alert::model::{Fingerprint, Notification};
use crate::alert::rules::Severity;

/// Alerts in one message. Receivers have limits too; what is more goes in further messages at once.
pub(super) const PER_MESSAGE: usize = 1000;
const VERSION: u32 = 1;

#[derive(Debug)]
pub(super) struct AlertBatch<'a> {
    pub host: &'a str,
    pub sink: &'a str,
    /// Unix time in seconds.
    pub now: f64,
    /// Everything once more, though nothing is new.
    pub resend: bool,
    pub alerts: Vec<Arc<Notification>>,
}

#[derive(Serialize)]
struct WebhookMessage<'a> {
    version: u32,
    host: &'a str,
    sink: &'a str,
    sent: f64,
    alerts: Vec<MessageAlert<'a>>,
}

#[derive(Serialize)]
struct MessageAlert<'a> {
    status: &'static str,
    rule: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<String>,
    severity: Severity,
    labels: &'a BTreeMap<String, String>,
    annotations: &'a BTreeMap<String, String>,
    value: f64,
    since: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended: Option<f64>,
    fingerprint: Fingerprint,
}

/// The word for how it stands.
pub(super) fn status(notification: &Notification) -> &'static str {
    if notification.ended.is_none() { "firing" } else { "resolved" }
}

impl AlertBatch<'_> {
    pub fn json(&self) -> Result<Vec<u8>, serde_json::Error> {
        let alerts = self.alerts.iter().map(|notification| {
            let alert = &notification.alert;
            MessageAlert {
                status: status(notification),
                rule: &alert.rule,
                port: alert.port.map(|port| port.to_string()),
                severity: alert.severity,
                labels: &alert.labels,
                annotations: &alert.annotations,
                value: alert.value,
                since: alert.since,
                ended: notification.ended,
                fingerprint: alert.fingerprint,
            }
        });
        let alerts = alerts.collect();
        serde_json::to_vec(&WebhookMessage {
            version: VERSION,
            host: self.host,
            sink: self.sink,
            sent: self.now,
            alerts,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::notifications::{fires, resolved};

    /// As docs/alert-delivery.md shows it.
    #[test]
    fn the_message_has_the_documented_shape() {
        let (firing, mut ended) = (fires(0), resolved(4));
        ended.alert.port = None;
        ended.alert.annotations.insert("summary".to_owned(), "Ethernet4 flapped".to_owned());
        let alerts = [firing.clone(), ended.clone()].map(Arc::new).to_vec();
        let batch = AlertBatch { host: "leaf1", sink: "noc", now: 1_795_549_012.5, resend: false, alerts };
        let bytes = batch.json().unwrap();
        let expected = serde_json::json!({
            "version": 1, "host": "leaf1", "sink": "noc", "sent": 1_795_549_012.5,
            "alerts": [
                {"status": "firing", "rule": "PortFlapping", "port": "Ethernet0", "severity": "critical",
                 "labels": {"team": "net"}, "annotations": {"summary": "Ethernet0 flaps"}, "value": 7.0,
                 "since": 1_795_549_000.25, "fingerprint": firing.alert.fingerprint.to_string()},
                {"status": "resolved", "rule": "PortFlapping", "severity": "critical",
                 "labels": {"team": "net"}, "annotations": {"summary": "Ethernet4 flapped"}, "value": 7.0,
                 "since": 1_795_549_000.25, "ended": 1_795_549_060.0,
                 "fingerprint": ended.alert.fingerprint.to_string()},
            ],
        });
        assert_eq!(serde_json::from_slice::<serde_json::Value>(&bytes).unwrap(), expected);
    }

    #[test]
    fn a_value_that_is_no_number_is_null() {
        let mut notification = fires(0);
        notification.alert.value = f64::INFINITY;
        let batch = AlertBatch { host: "h", sink: "s", now: 0.0, resend: false, alerts: vec![notification.into()] };
        let bytes = batch.json().unwrap();
        assert!(String::from_utf8(bytes).unwrap().contains("\"value\":null"));
    }
}
