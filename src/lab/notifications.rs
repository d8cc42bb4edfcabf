//! Notifications of one rule, as the engine makes them: for the sinks `noc` and `other`, and the log.

use std::collections::BTreeMap;

use crate::alert::model::{Alert, AlertState, Fingerprint, Notification};
use crate::alert::rules::{Action, Severity};
use crate::link::LinkName;

/// An alert of the port of this number that began to fire.
///
/// # Panics
/// If the number is longer than a link's name can be.
pub fn fires(port: usize) -> Notification {
    let port = LinkName::new(format!("Ethernet{port}").as_bytes()).expect("a short name");
    let alert = Alert {
        fingerprint: Fingerprint::new("PortFlapping", Some(&port)),
        rule: "PortFlapping".into(),
        port: Some(port),
        state: AlertState::Firing,
        severity: Severity::Critical,
        labels: BTreeMap::from([("team".to_owned(), "net".to_owned())]),
        annotations: BTreeMap::from([("summary".to_owned(), format!("{port} flaps"))]),
        value: 7.0,
        since: 1_795_549_000.25,
        suppressed: None,
        notified: true,
    };
    let sinks = ["noc", "other"].map(|name| Action::Sink(name.into()));
    Notification { alert, ended: None, actions: sinks.into_iter().chain([Action::Log]).collect::<Vec<_>>().into() }
}

/// The same alert a minute later, when it ended.
pub fn resolved(port: usize) -> Notification {
    let mut notification = fires(port);
    notification.alert.state = AlertState::Resolved;
    notification.ended = Some(1_795_549_060.0);
    notification
}
