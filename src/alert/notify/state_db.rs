//! Rows of STATE_DB: `PORTSYNCD_ALERT_TABLE|<rule>|<port>`, there while the alert fires.
//!
//! The rows are made to be what fires whenever a connection was made, and whenever one is found missing; rows of an earlier
//! run go as soon as it is known what fires. The connection is the sink's own, so that the core's has nothing to do with it.

use std::collections::HashSet;
use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;
use tracing::warn;

use super::active_set::Book;
use super::error::DeliveryError;
use super::message::status;
use super::receiver::Batch;
use crate::alert::model::Notification;
use crate::db::client::Request;
use crate::db::store::{Client, Store};
use crate::db::{Trouble, tables};

const TABLE: &str = "PORTSYNCD_ALERT_TABLE";
/// How often is looked whether the rows are still there.
const CHECK: Duration = Duration::from_secs(5);
#[derive(Debug)]
pub(super) struct StateDb {
    store: Store,
    book: Arc<Book>,
    /// `None`: to be made. Taken out while it is used, so that one that somebody gave up is not used again.
    connection: Mutex<Option<Client>>,
    checked: StdMutex<(Instant, u64)>,
}

impl StateDb {
    pub fn new(store: Store, book: Arc<Book>) -> Self {
        let checked = StdMutex::new((Instant::now(), book.generation()));
        Self { store, book, connection: Mutex::new(None), checked }
    }

    /// Writes and removes what was told.
    pub async fn send(&self, batch: &Batch<'_>) -> Result<(), DeliveryError> {
        let mut slot = self.connection.lock().await;
        let connection = match slot.take() {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        let rows: Vec<Request> = batch.notifications().map(|notification| row(&connection, notification)).collect();
        carry_out(&connection, "cannot write PORTSYNCD_ALERT_TABLE to STATE_DB", &rows).await?;
        *slot = Some(connection);
        Ok(())
    }

    /// When the rows are to be looked at.
    pub fn check_due(&self) -> Option<Instant> {
        let (at, generation) = *self.checked.lock().unwrap_or_else(PoisonError::into_inner);
        if generation != self.book.generation() {
            return Some(Instant::now());
        }
        self.book.fires().then_some(at + CHECK)
    }

    /// Makes the rows what they have to be, if they are not.
    pub async fn check(&self) -> Result<(), DeliveryError> {
        let mut slot = self.connection.lock().await;
        let Some(connection) = slot.take() else {
            *slot = Some(self.connect().await?);
            return Ok(());
        };
        let (firing, generation, _) = self.book.firing();
        let same = self.checked.lock().unwrap_or_else(PoisonError::into_inner).1 == generation;
        if !same || !self.are_there(&connection, &firing).await? {
            self.reconcile(&connection).await?;
        }
        self.note_checked(generation);
        *slot = Some(connection);
        Ok(())
    }

    fn note_checked(&self, generation: u64) {
        *self.checked.lock().unwrap_or_else(PoisonError::into_inner) = (Instant::now(), generation);
    }

    async fn connect(&self) -> Result<Client, DeliveryError> {
        let connection = self.store.client(&self.store.topology.state).await?;
        let generation = self.book.generation();
        self.reconcile(&connection).await?;
        self.note_checked(generation);
        Ok(connection)
    }

    async fn are_there(&self, connection: &Client, firing: &[Arc<Notification>]) -> Result<bool, DeliveryError> {
        let exists = |notification: &Arc<Notification>| Request::new("EXISTS").arg(key(connection, notification));
        let requests: Vec<Request> = firing.iter().map(exists).collect();
        for answer in connection.ask("cannot look for rows in STATE_DB", &requests).await? {
            if answer.map_err(DeliveryError::Rows)?.as_deref() != Some(b"1") {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Removes rows of what does not fire and writes those of what does.
    async fn reconcile(&self, connection: &Client) -> Result<(), DeliveryError> {
        let (firing, _, known) = self.book.firing();
        let mut requests = Vec::new();
        if known {
            let wanted: HashSet<Vec<u8>> = firing.iter().map(|notification| key(connection, notification)).collect();
            let prefix = tables::join(TABLE, &connection.separator, b"");
            let found = connection.keys(&prefix, "cannot list PORTSYNCD_ALERT_TABLE in STATE_DB").await?;
            let stale = found.into_iter().filter(|key| !wanted.contains(key));
            requests.extend(stale.map(|key| Request::new("DEL").arg(key)));
        }
        requests.extend(firing.iter().map(|notification| row(connection, notification)));
        carry_out(connection, "cannot bring PORTSYNCD_ALERT_TABLE up to date in STATE_DB", &requests).await
    }
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
