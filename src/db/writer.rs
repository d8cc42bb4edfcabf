//! The connection that rows are written over. In: a batch of writes. Out: one answer for each, in their order.
//!
//! Nothing is allocated once the buffers have grown. At most one batch is under way.

use std::collections::VecDeque;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::Instant;

use super::client::connection::Connection;
use super::client::encode::Encoder;
use super::client::resp::Reply;
use super::error::{ServerResult, StoreError};
use super::pending::Write;
use crate::sync::port_sync::RowKey;

/// Rows of one batch. Redis works some milliseconds at so many, and what changes meanwhile joins the next.
pub const BATCH: usize = 1024;
pub const OPERATION: &str = "cannot write ports to STATE_DB";

pub struct RowWriter {
    connection: Connection,
    encoder: Encoder,
    response_timeout: Duration,
    under_way: VecDeque<(RowKey, Write)>,
    /// The answer to the first of the two commands of a write.
    half: Option<ServerResult<()>>,
    /// When the batch began, or Redis last answered.
    since: Instant,
}

impl RowWriter {
    /// Writes over this connection.
    pub(super) fn new(connection: Connection, separator: &str, response_timeout: Duration) -> Self {
        let encoder = Encoder::new(separator);
        Self { connection, encoder, response_timeout, under_way: VecDeque::new(), half: None, since: Instant::now() }
    }

    /// Whether everything that was begun is answered.
    pub fn is_idle(&self) -> bool {
        self.under_way.is_empty()
    }

    /// Adds a write to the batch. Nothing is sent before [`send`](Self::send).
    pub fn push(&mut self, key: RowKey, write: Write, now: Instant) {
        if self.under_way.is_empty() {
            self.since = now;
        }
        if matches!(write, Write::Replace(_)) {
            self.encoder.encode(self.connection.begin(), key, Write::Remove);
        }
        self.encoder.encode(self.connection.begin(), key, write);
        self.under_way.push_back((key, write));
    }

    /// Sends as much as the socket takes at once. What it does not take, and failures, are
    /// [`poll_progress`](Self::poll_progress)'s.
    pub fn send(&mut self) {
        self.connection.send();
    }

    /// Ready when there may be replies; sends what is left to send meanwhile.
    pub fn poll_progress(&mut self, context: &mut Context<'_>) -> Poll<Result<(), StoreError>> {
        ready!(self.connection.poll(context)).map_err(StoreError::doing(OPERATION))?;
        self.since = Instant::now();
        Poll::Ready(Ok(()))
    }

    /// Which write Redis answered next, if the reply is there.
    pub fn next_reply(&mut self) -> Result<Option<(RowKey, ServerResult<()>)>, StoreError> {
        while let Some(raw) = self.connection.take().map_err(StoreError::doing(OPERATION))? {
            let answer = Reply::of(raw).map(|_| ());
            let Some((key, write)) = self.under_way.front().copied() else { continue };
            if matches!(write, Write::Replace(_)) && self.half.is_none() {
                self.half = Some(answer);
                continue;
            }
            self.under_way.pop_front();
            return Ok(Some((key, self.half.take().unwrap_or(Ok(())).and(answer))));
        }
        Ok(None)
    }

    /// When the answers are late, if any are owed.
    pub fn deadline(&self) -> Option<Instant> {
        (!self.under_way.is_empty()).then(|| self.since + self.response_timeout)
    }

    /// What is under way: it is not known whether Redis did it.
    pub fn give_up(&mut self) -> impl Iterator<Item = RowKey> + '_ {
        self.under_way.drain(..).map(|(key, _)| key)
    }
}
