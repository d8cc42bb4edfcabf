//! A connection that listens to keyspace notifications. In: patterns of channels. Out: the channels on which something
//! happened. Its requests have the response timeout as all others: see [`Listener::deadline`].

use std::future::poll_fn;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::client::connection::Connection;
use super::client::resp::{Reply, Request};
use super::error::{ServerError, ServerResult, StoreError};

pub const OPERATION: &str = "cannot listen to keyspace notifications";

/// What a server told a listener.
#[derive(Debug)]
pub enum Heard {
    /// Something happened on this channel.
    Channel(Vec<u8>),
    /// A request was answered.
    Answer(ServerResult<()>),
}

pub struct Listener {
    connection: Connection,
    response_timeout: Duration,
    /// When the server last answered, or was asked while nothing was owed.
    since: Instant,
}

impl Listener {
    pub(super) fn new(connection: Connection, response_timeout: Duration) -> Self {
        Self { connection, response_timeout, since: Instant::now() }
    }

    /// Listens to the channels of a pattern once the request is answered.
    pub fn subscribe(&mut self, pattern: &[u8]) {
        self.request(&Request::new("PSUBSCRIBE").arg(pattern));
    }

    /// Listens to them no longer.
    pub fn unsubscribe(&mut self, pattern: &[u8]) {
        self.request(&Request::new("PUNSUBSCRIBE").arg(pattern));
    }

    /// Asks whether the server is there.
    pub fn ping(&mut self) {
        self.request(&Request::new("PING"));
    }

    fn request(&mut self, request: &Request) {
        if self.is_answered() {
            self.since = Instant::now();
        }
        self.connection.push(request);
        self.connection.send();
    }

    /// Waits until every request is answered; gives the server's first refusal. What is heard meanwhile is not handed on.
    pub async fn settle(&mut self) -> Result<Option<ServerError>, StoreError> {
        let mut refusal = None;
        while let Some(deadline) = self.deadline() {
            let heard = timeout_at(deadline, poll_fn(|context| self.poll_next(context))).await;
            if let Heard::Answer(Err(error)) = heard.unwrap_or_else(|_| Err(StoreError::no_answer(OPERATION)))? {
                refusal.get_or_insert(error);
            }
        }
        Ok(refusal)
    }

    /// Whether every request is answered.
    pub fn is_answered(&self) -> bool {
        self.connection.owed() == 0
    }

    /// When answers are late, if any are owed.
    pub fn deadline(&self) -> Option<Instant> {
        (!self.is_answered()).then(|| self.since + self.response_timeout)
    }

    /// Sends what is to be sent, and hands on what was heard. The connection's end is an error.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<Heard, StoreError>> {
        let doing = StoreError::doing(OPERATION);
        loop {
            if let Some(raw) = self.connection.next().map_err(doing)? {
                let heard = heard(raw).map_err(doing)?;
                if matches!(heard, Heard::Answer(_)) {
                    self.connection.answered().map_err(doing)?;
                    self.since = Instant::now();
                }
                return Poll::Ready(Ok(heard));
            }
            ready!(self.connection.poll(context)).map_err(doing)?;
        }
    }
}

/// A message is `pmessage`, pattern, channel, payload; all else answers a request.
fn heard(raw: &[u8]) -> ServerResult<Heard> {
    let mut parts = match Reply::of(raw) {
        Ok(reply) => reply.parts(),
        Err(error) => return Ok(Heard::Answer(Err(error))),
    };
    if parts.next().transpose()?.and_then(Reply::bulk) != Some(b"pmessage") {
        return Ok(Heard::Answer(Ok(())));
    }
    let channel = parts.nth(1).transpose()?.and_then(Reply::bulk).unwrap_or_default();
    Ok(Heard::Channel(channel.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_answers_and_refusals_are_told_apart() {
        let message = b"*4\r\n$8\r\npmessage\r\n$2\r\na*\r\n$2\r\nab\r\n$4\r\nhset\r\n";
        assert!(matches!(heard(message), Ok(Heard::Channel(channel)) if channel == b"ab"));
        for answer in ["*3\r\n$10\r\npsubscribe\r\n$2\r\na*\r\n:1\r\n", "*2\r\n$4\r\npong\r\n$0\r\n\r\n", "+PONG\r\n"] {
            assert!(matches!(heard(answer.as_bytes()), Ok(Heard::Answer(Ok(())))), "{answer}");
        }
        assert!(matches!(heard(b"-NOPERM no\r\n"), Ok(Heard::Answer(Err(_)))));
    }
}
