//! `/api/v1/events`: what changes, as server-sent events, made once for all who listen.
//!
//! Changes are gathered before they are told, a large number of them for longer, so that any number of events costs a few
//! messages a second. While nobody listens nothing is gathered. A client that does not keep up is told the whole again.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::unfold;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Bytes, Frame};
use serde::Serialize;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{Notify, broadcast};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::route::{Body, json};
use crate::telemetry::api::PortChanges;
use crate::telemetry::read::{Reader, split};

/// How long changes are gathered.
const GATHER: Duration = Duration::from_millis(100);
/// How long they are after a message that told of many.
const GATHER_MANY: Duration = Duration::from_secs(1);
const MANY: usize = 250;
/// How often rates are told.
const SAMPLE: Duration = Duration::from_secs(1);
/// How often the status is told though nothing changed; proxies and clients see by it that the connection lives.
const QUIET: Duration = Duration::from_secs(10);
/// Messages that a client may lag behind.
const BEHIND: usize = 16;

/// See the module.
#[derive(Debug)]
pub(super) struct Stream {
    reader: Arc<Reader>,
    messages: broadcast::Sender<Bytes>,
    /// Somebody began to listen.
    listener: Notify,
}

impl Stream {
    pub fn new(reader: Arc<Reader>) -> Self {
        Self { reader, messages: broadcast::Sender::new(BEHIND), listener: Notify::new() }
    }

    /// The whole, then what changes.
    pub fn subscribe(&self) -> Body {
        // Listens first: what changes while the whole is put together is told after it.
        let messages = self.messages.subscribe();
        self.listener.notify_one();
        let reader = Arc::clone(&self.reader);
        let first = whole(&reader);
        let frames = unfold((messages, reader, first), |(mut messages, reader, mut first)| async move {
            let message = match first.pop_front() {
                Some(message) => message,
                None => match messages.recv().await {
                    Ok(message) => message,
                    Err(RecvError::Lagged(_)) => {
                        messages = messages.resubscribe();
                        first = whole(&reader);
                        first.pop_front()?
                    }
                    Err(RecvError::Closed) => return None,
                },
            };
            Some((Ok::<_, Infallible>(Frame::data(message)), (messages, reader, first)))
        });
        StreamBody::new(frames).boxed_unsync()
    }

    /// Gathers and tells, for as long as anybody listens, again and again.
    pub async fn run(&self) {
        loop {
            self.listener.notified().await;
            let ports = &self.reader.telemetry().ports;
            ports.watch(true);
            // Whatever changed since the listener was told the whole, while nobody watched.
            ports.changed.notify_one();
            self.tell().await;
            ports.watch(false);
        }
    }

    async fn tell(&self) {
        let ports = &self.reader.telemetry().ports;
        let mut samples = interval(SAMPLE);
        samples.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut mark = self.reader.mark();
        let (mut told, mut changed) = (Instant::now(), true);
        let mut cells = ports.cells();
        while self.messages.receiver_count() > 0 {
            let pause = tokio::select! {
                () = ports.changed.notified() => {
                    if ports.count() != cells.len() {
                        cells = ports.cells();
                    }
                    let (ports, removed) = split(&ports.take_changed(&cells));
                    let count = ports.len() + removed.len();
                    if count > 0 {
                        self.send("change", &PortChanges { ports, removed });
                        changed = true;
                    }
                    if count > MANY { GATHER_MANY } else { GATHER }
                }
                _ = samples.tick() => {
                    let sample = self.reader.sample(&mut mark);
                    changed |= sample.events_per_second > 0.0 || sample.writes_per_second > 0.0;
                    self.send("sample", &sample);
                    if std::mem::take(&mut changed) || told.elapsed() >= QUIET {
                        told = Instant::now();
                        self.send("status", &self.reader.status());
                    }
                    Duration::ZERO
                }
            };
            sleep(pause).await;
        }
    }

    fn send(&self, event: &str, value: &impl Serialize) {
        // Fails only if the last listener has just gone.
        let _ = self.messages.send(message(event, value));
    }
}

fn whole(reader: &Reader) -> VecDeque<Bytes> {
    [message("status", &reader.status()), message("ports", &reader.ports())].into()
}

fn message(event: &str, value: &impl Serialize) -> Bytes {
    [b"event: ", event.as_bytes(), b"\ndata: ", &json(value), b"\n\n"].concat().into()
}
