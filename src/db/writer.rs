//! The connection that rows are written over: what costs most often.
//!
//! In: a batch of writes. Out: one answer for each, in their order. A batch is encoded straight into one buffer and sent by
//! one system call; nothing is allocated once the buffers have grown. The redis crate would make a future, a channel and
//! several buffers of each batch, which is why this connection alone goes without it.
//!
//! Invariants: commands are answered in the order in which they were sent; at most one batch is under way.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use redis::RedisError;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::encode::Encoder;
use super::error::StoreError;
use super::pending::Write;
use super::resp::{command, reply, word};
use super::stream::Stream;
use super::topology::Database;
use crate::sync::port_sync::RowKey;

const OPERATION: &str = "cannot write ports to STATE_DB";
const INPUT: usize = 16 * 1024;

/// What Redis said of one write.
pub type Answer = (RowKey, Write, Result<(), RedisError>);

/// See the module.
pub struct Writer {
    stream: Stream,
    encoder: Encoder,
    response_timeout: Duration,
    output: Vec<u8>,
    sent: usize,
    input: Box<[u8]>,
    /// What of `input` is still to be looked at.
    unread: std::ops::Range<usize>,
    under_way: VecDeque<(RowKey, Write)>,
    /// The answer to the first of the two commands of a write.
    half: Option<Result<(), RedisError>>,
    /// When the batch began, or Redis last answered.
    since: Instant,
}

impl Writer {
    /// Writes to `database` over a connection that is made; says who we are and selects the database.
    pub(super) async fn open(
        stream: Stream,
        database: &Database,
        user: &str,
        password: Option<&str>,
        response_timeout: Duration,
    ) -> Result<Self, StoreError> {
        let mut writer = Self {
            stream,
            encoder: Encoder::new(&database.separator),
            response_timeout,
            output: Vec::new(),
            sent: 0,
            input: vec![0; INPUT].into_boxed_slice(),
            unread: 0..0,
            under_way: VecDeque::new(),
            half: None,
            since: Instant::now(),
        };
        let mut replies = 1;
        if let Some(password) = password {
            let words = [b"AUTH", user.as_bytes(), password.as_bytes()];
            let words = words.into_iter().filter(|word| !word.is_empty());
            command(&mut writer.output, words.clone().count());
            words.for_each(|part| word(&mut writer.output, &[part]));
            replies += 1;
        }
        command(&mut writer.output, 2);
        word(&mut writer.output, &[b"SELECT"]);
        word(&mut writer.output, &[database.id.to_string().as_bytes()]);
        let doing = StoreError::doing("cannot connect to Redis");
        while replies > 0 {
            std::future::poll_fn(|context| writer.poll(context)).await.map_err(doing)?;
            while let Some(outcome) = writer.reply() {
                outcome.map_err(doing)?;
                replies -= 1;
            }
        }
        Ok(writer)
    }

    /// Whether everything that was begun is answered.
    pub fn is_idle(&self) -> bool {
        self.under_way.is_empty()
    }

    /// Adds a write to the batch. Nothing is sent before [`send`](Self::send).
    pub fn push(&mut self, key: RowKey, write: Write) {
        if self.under_way.is_empty() {
            self.since = Instant::now();
        }
        self.encoder.encode(&mut self.output, key, write);
        self.under_way.push_back((key, write));
    }

    /// Sends as much as the socket takes at once. What it does not take, and failures, are [`progress`](Self::progress)'s.
    pub async fn send(&mut self) {
        std::future::poll_fn(|context| {
            let _ = self.poll_send(context);
            Poll::Ready(())
        })
        .await;
    }

    /// Comes back when there may be answers; sends what is left to send meanwhile. Cancel safe.
    pub async fn progress(&mut self) -> Result<(), StoreError> {
        std::future::poll_fn(|context| self.poll(context)).await.map_err(StoreError::doing(OPERATION))
    }

    /// The next answer, if it is there.
    pub fn answer(&mut self) -> Result<Option<Answer>, StoreError> {
        let Some((key, write)) = self.under_way.front().copied() else {
            return if self.unread.is_empty() { Ok(None) } else { Err(unasked()) };
        };
        while let Some(outcome) = self.reply() {
            if matches!(write, Write::Replace(_)) && self.half.is_none() {
                self.half = Some(outcome);
                continue;
            }
            self.under_way.pop_front();
            let first = self.half.take().unwrap_or(Ok(()));
            return Ok(Some((key, write, first.and(outcome))));
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

    fn reply(&mut self) -> Option<Result<(), RedisError>> {
        let (length, outcome) = reply(&self.input[self.unread.clone()])?;
        self.unread.start += length;
        Some(outcome)
    }

    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.sent < self.output.len() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(context, &self.output[self.sent..]))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.sent += written;
        }
        if self.sent > 0 {
            // Nothing to do but for TLS.
            ready!(Pin::new(&mut self.stream).poll_flush(context))?;
            self.output.clear();
            self.sent = 0;
        }
        Poll::Ready(Ok(()))
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<(), RedisError>> {
        if let Poll::Ready(Err(error)) = self.poll_send(context) {
            return Poll::Ready(Err(error.into()));
        }
        self.input.copy_within(self.unread.clone(), 0);
        self.unread = 0..self.unread.len();
        let mut free = ReadBuf::new(&mut self.input[self.unread.end..]);
        ready!(Pin::new(&mut self.stream).poll_read(context, &mut free))?;
        let read = free.filled().len();
        if read == 0 {
            // The end, or a line that does not fit: neither can be gone on from.
            return Poll::Ready(Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()));
        }
        self.unread.end += read;
        self.since = Instant::now();
        Poll::Ready(Ok(()))
    }
}

fn unasked() -> StoreError {
    let source = io::Error::new(io::ErrorKind::InvalidData, "the server answered what it was not asked");
    StoreError { operation: OPERATION, source: source.into() }
}
