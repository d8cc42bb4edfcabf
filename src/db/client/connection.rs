//! A connection to one database: commands go out as bytes, replies come in as bytes, in order.
//!
//! The redis crate's connection makes a future, a channel and several buffers of each request, and a value of each word of a
//! reply. What is done for every port, or for every event, costs many times less here: one buffer each way, used again.
//!
//! Invariant: replies come in the order of the commands. `owed` counts those that are to come, so that replies to a request
//! that nobody waits for any longer are known for what they are.

use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::resp::{Reply, Request, length};
use super::transport::{Transport, connect};
use crate::db::error::{ServerError, ServerResult};
use crate::db::topology::Database;

/// Room for replies: grows when one is longer.
const INPUT: usize = 16 * 1024;
/// Nothing that is asked for is answered by more.
pub(in crate::db) const LARGEST_REPLY: usize = 8 << 20;
/// Buffers that grew beyond this are given back when they are empty.
const KEPT: usize = 256 * 1024;

pub(in crate::db) struct Connection {
    stream: Transport,
    output: Vec<u8>,
    sent: usize,
    input: Vec<u8>,
    /// What of `input` is still to be looked at.
    unread: Range<usize>,
    owed: usize,
}

impl Connection {
    /// Connects, says who we are and selects the database.
    pub(in crate::db) async fn open(database: &Database, user: &str, password: Option<&str>) -> ServerResult<Self> {
        let stream = connect(&database.address).await?;
        let mut connection = Self { stream, output: Vec::new(), sent: 0, input: vec![0; INPUT], unread: 0..0, owed: 0 };
        if let Some(password) = password {
            let auth = Request::new("AUTH");
            let auth = if user.is_empty() { auth } else { auth.arg(user) };
            connection.push(&auth.arg(password));
        }
        connection.push(&Request::new("SELECT").arg(database.id.to_string()));
        while connection.owed > 0 {
            std::future::poll_fn(|context| connection.poll(context)).await?;
            while let Some(raw) = connection.take()? {
                Reply::of(raw)?;
            }
        }
        Ok(connection)
    }

    /// Appends a request.
    pub(in crate::db) fn push(&mut self, request: &Request) {
        request.encode(self.begin());
    }

    /// Where to append one request; its reply is owed.
    pub(in crate::db) fn begin(&mut self) -> &mut Vec<u8> {
        self.owed += 1;
        &mut self.output
    }

    /// Replies that are to come.
    pub(in crate::db) fn owed(&self) -> usize {
        self.owed
    }

    /// The next reply, if it is whole.
    pub(in crate::db) fn take(&mut self) -> ServerResult<Option<&[u8]>> {
        let Some(reply) = self.find()? else { return Ok(None) };
        self.answered()?;
        Ok(Some(&self.input[reply]))
    }

    /// The next reply or message, if it is whole. Who takes a reply so says [`answered`](Self::answered).
    pub(in crate::db) fn next(&mut self) -> ServerResult<Option<&[u8]>> {
        Ok(self.find()?.map(|place| &self.input[place]))
    }

    fn find(&mut self) -> ServerResult<Option<Range<usize>>> {
        let Some(length) = length(&self.input[self.unread.clone()])? else {
            return if self.unread.len() < LARGEST_REPLY { Ok(None) } else { Err(endless()) };
        };
        let start = self.unread.start;
        self.unread.start += length;
        Ok(Some(start..start + length))
    }

    /// One reply that was owed has come.
    pub(in crate::db) fn answered(&mut self) -> ServerResult<()> {
        let problem = || io::Error::new(io::ErrorKind::InvalidData, "the server answered what it was not asked");
        self.owed = self.owed.checked_sub(1).ok_or_else(problem)?;
        Ok(())
    }

    /// Sends as much as the socket takes at once. What it does not take, and failures, are [`poll`](Self::poll)'s.
    pub(in crate::db) fn send(&mut self) {
        let _ = self.poll_send(&mut Context::from_waker(Waker::noop()));
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
            self.output.shrink_to(KEPT);
            self.sent = 0;
        }
        Poll::Ready(Ok(()))
    }

    /// Sends as much as the socket takes, and reads; ready once something was read.
    pub(in crate::db) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<(), ServerError>> {
        if let Poll::Ready(Err(error)) = self.poll_send(context) {
            return Poll::Ready(Err(error.into()));
        }
        self.make_room();
        let mut free = ReadBuf::new(&mut self.input[self.unread.end..]);
        ready!(Pin::new(&mut self.stream).poll_read(context, &mut free))?;
        let read = free.filled().len();
        if read == 0 {
            return Poll::Ready(Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()));
        }
        self.unread.end += read;
        Poll::Ready(Ok(()))
    }

    fn make_room(&mut self) {
        let left = self.unread.len();
        if self.unread.start > 0 {
            self.input.copy_within(self.unread.clone(), 0);
            self.unread = 0..left;
        }
        if left == self.input.len() {
            self.input.resize(left * 2, 0);
        } else if left == 0 && self.input.len() > KEPT {
            self.input = vec![0; INPUT];
        }
    }
}

/// The server sends more than it was asked for.
pub(in crate::db) fn endless() -> ServerError {
    io::Error::new(io::ErrorKind::InvalidData, "the server answers more than it was asked for").into()
}
