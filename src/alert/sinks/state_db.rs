//! Rows of STATE_DB: `PORTSYNCD_ALERT_TABLE|<rule>|<port>`, there while the alert fires.
//!
//! The rows are made to be what fires whenever a connection was made, and whenever one is found missing; rows of an earlier
//! run go as soon as it is known what fires. The connection is the sink's own, so that the core's has nothing to do with it.

use std::collections::HashSet;
use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::Duration;

use redis::{Pipeline, Value, from_redis_value, pipe};
use tokio::sync::Mutex;
use tokio::time::Instant;
use tracing::warn;

use super::book::Book;
use super::error::DeliveryError;
use super::message::status;
use super::run::Batch;
use crate::alert::report::Notification;
use crate::db::store::{Connection, Store};
use crate::db::{Trouble, table};

const TABLE: &str = "PORTSYNCD_ALERT_TABLE";
/// How often is looked whether the rows are still there.
const CHECK: Duration = Duration::from_secs(5);
/// Commands sent at once.
const COMMANDS: usize = 1000;

#[derive(Debug)]
pub(super) struct StateDb {
    store: Store,
    book: Arc<Book>,
    /// `None`: to be made. Taken out while it is used, so that one that somebody gave up is not used again.
    connection: Mutex<Option<Connection>>,
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
        let mut commands = Commands::new(&connection, "cannot write PORTSYNCD_ALERT_TABLE to STATE_DB");
        for notification in batch.notifications() {
            commands.row(notification).await?;
        }
        commands.end().await?;
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

    async fn connect(&self) -> Result<Connection, DeliveryError> {
        let connection = self.store.open(&self.store.topology.state).await?;
        let generation = self.book.generation();
        self.reconcile(&connection).await?;
        self.note_checked(generation);
        Ok(connection)
    }

    async fn are_there(&self, connection: &Connection, firing: &[Arc<Notification>]) -> Result<bool, DeliveryError> {
        for part in firing.chunks(COMMANDS) {
            let mut pipeline = pipe();
            let exists = pipeline.cmd("EXISTS");
            for notification in part {
                exists.arg(key(connection, notification));
            }
            let answers = connection.pipeline(&mut pipeline, "cannot look for rows in STATE_DB").await?;
            let found = answers
                .into_iter()
                .next()
                .unwrap_or(Ok(Value::Nil))
                .and_then(|value| Ok(from_redis_value::<usize>(value)?));
            if found.map_err(DeliveryError::Rows)? < part.len() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Removes rows of what does not fire and writes those of what does.
    async fn reconcile(&self, connection: &Connection) -> Result<(), DeliveryError> {
        let (firing, _, known) = self.book.firing();
        let mut commands = Commands::new(connection, "cannot bring PORTSYNCD_ALERT_TABLE up to date in STATE_DB");
        if known {
            let wanted: HashSet<Vec<u8>> = firing.iter().map(|notification| key(connection, notification)).collect();
            let prefix = table::join(TABLE, &connection.separator, b"");
            let found = connection.keys(&prefix, "cannot list PORTSYNCD_ALERT_TABLE in STATE_DB").await?;
            for stale in found.into_iter().filter(|key| !wanted.contains(key)) {
                commands.pipeline.cmd("DEL").arg(stale);
                commands.send_if_many().await?;
            }
        }
        for notification in &firing {
            commands.row(notification).await?;
        }
        commands.end().await
    }
}

fn key(connection: &Connection, notification: &Notification) -> Vec<u8> {
    let alert = &notification.alert;
    let separator = connection.separator.as_bytes();
    let mut name = alert.rule.as_bytes().to_vec();
    if let Some(port) = alert.port {
        name.extend_from_slice(separator);
        name.extend_from_slice(port.as_bytes());
    }
    table::join(TABLE, &connection.separator, &name)
}

/// Commands that go out many at a time.
struct Commands<'a> {
    connection: &'a Connection,
    operation: &'static str,
    pipeline: Pipeline,
}

impl<'a> Commands<'a> {
    fn new(connection: &'a Connection, operation: &'static str) -> Self {
        Self { connection, operation, pipeline: pipe() }
    }

    async fn row(&mut self, notification: &Notification) -> Result<(), DeliveryError> {
        let alert = &notification.alert;
        let key = key(self.connection, notification);
        if notification.ended.is_some() {
            self.pipeline.cmd("DEL").arg(&key);
        } else {
            let summary = alert.annotations.get("summary").map_or("", String::as_str);
            let (value, since) = (alert.value.to_string(), alert.since.to_string());
            let hset = self.pipeline.cmd("HSET").arg(&key);
            for (field, value) in [
                ("state", status(notification)),
                ("severity", alert.severity.name()),
                ("value", &value),
                ("since", &since),
                ("summary", summary),
            ] {
                hset.arg(field).arg(value);
            }
        }
        self.send_if_many().await
    }

    async fn send_if_many(&mut self) -> Result<(), DeliveryError> {
        if self.pipeline.len() < COMMANDS { Ok(()) } else { self.send().await }
    }

    async fn send(&mut self) -> Result<(), DeliveryError> {
        let mut pipeline = std::mem::replace(&mut self.pipeline, pipe());
        if pipeline.is_empty() {
            return Ok(());
        }
        let answers = self.connection.pipeline(&mut pipeline, self.operation).await?;
        for error in answers.into_iter().filter_map(Result::err) {
            if Trouble::of(&error) == Trouble::WrongType {
                // Trying again helps nobody; the other rows are fine.
                warn!(
                    table = TABLE,
                    "a key of STATE_DB is no hash, its alert is not shown there; delete it to mend it"
                );
            } else {
                return Err(DeliveryError::Rows(error));
            }
        }
        Ok(())
    }

    async fn end(mut self) -> Result<(), DeliveryError> {
        self.send().await
    }
}
