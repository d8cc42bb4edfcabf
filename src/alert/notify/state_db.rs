//! Rows of STATE_DB: `PORTSYNCD_ALERT_TABLE|<rule>|<port>`, there while the alert fires.
//!
//! The rows are made to be what fires whenever a connection was made, and whenever one is found missing. The connection
//! is the sink's own, so that the core's has nothing to do with it.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tracing::warn;

use super::error::DeliveryError;
use super::message::{AlertBatch, status};
use crate::alert::model::Notification;
use crate::db::client::Request;
use crate::db::store::{Client, Store};
use crate::db::{Trouble, tables};

const TABLE: &str = "PORTSYNCD_ALERT_TABLE";
/// How often is looked whether the rows are still there.
pub(super) const CHECK: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(super) struct StateDb {
    store: Store,
    /// `None`: to be made. Taken out while it is used, so that one that somebody gave up is not used again. With it
    /// stands whether all rows were put right since it was made.
    connection: Mutex<Option<(Client, bool)>>,
}

impl StateDb {
    pub fn new(store: Store) -> Self {
        Self { store, connection: Mutex::new(None) }
    }

    /// Writes and removes rows; those of all alerts only if one of them is not there.
    pub async fn send(&self, batch: &AlertBatch<'_>) -> Result<(), DeliveryError> {
        let mut slot = self.connection.lock().await;
        let (connection, put_right) = match slot.take() {
            Some(connection) => connection,
            None => (self.store.client(&self.store.topology.state).await?, false),
        };
        let mut requests = Vec::new();
        if batch.resend && !put_right {
            requests = others(&connection, &batch.alerts).await?;
        }
        if !(batch.resend && put_right && are_there(&connection, &batch.alerts).await?) {
            requests.extend(batch.alerts.iter().map(|notification| row(&connection, notification)));
        }
        let operation = if batch.resend {
            "cannot bring PORTSYNCD_ALERT_TABLE up to date in STATE_DB"
        } else {
            "cannot write PORTSYNCD_ALERT_TABLE to STATE_DB"
        };
        carry_out(&connection, operation, &requests).await?;
        *slot = Some((connection, put_right || batch.resend));
        Ok(())
    }
}

fn keys(connection: &Client, alerts: &[Arc<Notification>]) -> impl Iterator<Item = Vec<u8>> {
    alerts.iter().filter(|notification| notification.ended.is_none()).map(|notification| key(connection, notification))
}

async fn are_there(connection: &Client, alerts: &[Arc<Notification>]) -> Result<bool, DeliveryError> {
    let requests: Vec<Request> = keys(connection, alerts).map(|key| Request::new("EXISTS").arg(key)).collect();
    for answer in connection.ask("cannot look for rows in STATE_DB", &requests).await? {
        if answer.map_err(DeliveryError::Rows)?.as_deref() != Some(b"1") {
            return Ok(false);
        }
    }
    Ok(true)
}

/// What removes the rows of whatever does not fire.
async fn others(connection: &Client, alerts: &[Arc<Notification>]) -> Result<Vec<Request>, DeliveryError> {
    let wanted: HashSet<Vec<u8>> = keys(connection, alerts).collect();
    let prefix = tables::join(TABLE, &connection.separator, b"");
    let found = connection.keys(&prefix, "cannot list PORTSYNCD_ALERT_TABLE in STATE_DB").await?;
    Ok(found.into_iter().filter(|key| !wanted.contains(key)).map(|key| Request::new("DEL").arg(key)).collect())
}

fn key(connection: &Client, notification: &Notification) -> Vec<u8> {
    let alert = &notification.alert;
    let separator = connection.separator.as_bytes();
    let mut name = alert.rule.as_bytes().to_vec();
    if let Some(port) = alert.port {
        name.extend_from_slice(separator);
        name.extend_from_slice(port.as_bytes());
    }
    tables::join(TABLE, &connection.separator, &name)
}

/// What makes the row of an alert what it has to be.
fn row(connection: &Client, notification: &Notification) -> Request {
    let alert = &notification.alert;
    let key = key(connection, notification);
    if notification.ended.is_some() {
        return Request::new("DEL").arg(key);
    }
    let summary = alert.annotations.get("summary").map_or("", String::as_str);
    let (value, since) = (alert.value.to_string(), alert.since.to_string());
    let fields = [
        ("state", status(notification)),
        ("severity", alert.severity.name()),
        ("value", &value),
        ("since", &since),
        ("summary", summary),
    ];
    fields.into_iter().fold(Request::new("HSET").arg(key), |request, (field, value)| request.arg(field).arg(value))
}

async fn carry_out(connection: &Client, operation: &'static str, requests: &[Request]) -> Result<(), DeliveryError> {
    for error in connection.ask(operation, requests).await?.into_iter().filter_map(Result::err) {
        if Trouble::of(&error) == Trouble::WrongType {
            // Trying again helps nobody; the other rows are fine.
            warn!(table = TABLE, "a key of STATE_DB is no hash, its alert is not shown there; delete it to mend it");
        } else {
            return Err(DeliveryError::Rows(error));
        }
    }
    Ok(())
}
