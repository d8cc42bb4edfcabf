//! `/api/v1/events`: what changes, as server-sent events, made once for all who listen.
//!
//! Changes are gathered before they are told, a large number of them for longer, so that any number of events costs a few
//! messages a second. While nobody listens nothing is gathered. A client that does not keep up is told the whole again.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::unfold;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Bytes, Frame};
use serde::Serialize;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{Notify, OwnedSemaphorePermit, broadcast};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::answers::CachedAnswer;
use super::route::Body;
use crate::alert::evaluator::Evaluator;
use crate::api::PortChanges;
use crate::status::collector::{Reader, split};
use crate::status::yielding::append_json;

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

#[derive(Debug)]
pub(super) struct ChangeStream {
    reader: Arc<Reader>,
    evaluator: Arc<Evaluator>,
    /// What a client is told first: made once for all who come, or fall behind, before anything else is told.
    whole: Arc<CachedAnswer>,
    messages: broadcast::Sender<Bytes>,
    /// Somebody began to listen.
    listener: Notify,
}

impl ChangeStream {
    pub fn new(reader: Arc<Reader>, evaluator: Arc<Evaluator>) -> Self {
        let messages = broadcast::Sender::new(BEHIND);
        Self { reader, evaluator, whole: Arc::default(), messages, listener: Notify::new() }
    }

    /// The whole, then what changes. Holds `place` meanwhile.
    pub fn subscribe(&self, place: OwnedSemaphorePermit) -> Body {
        // Listens first: what changed after the whole was put together is told after it.
        let messages = self.messages.subscribe();
        self.listener.notify_one();
        let (reader, evaluator, kept) =
            (Arc::clone(&self.reader), Arc::clone(&self.evaluator), Arc::clone(&self.whole));
        let whole = move || kept.get(|| whole(&reader, &evaluator)).plain();
        let first = Some(whole());
        let frames = unfold((messages, whole, first, place), |(mut messages, whole, first, place)| async move {
            let message = match first {
                Some(message) => message,
                None => match messages.recv().await {
                    Ok(message) => message,
                    Err(RecvError::Lagged(_)) => {
                        messages = messages.resubscribe();
                        whole()
                    }
                    Err(RecvError::Closed) => return None,
                },
            };
            Some((Ok::<_, Infallible>(Frame::data(message)), (messages, whole, None, place)))
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
            self.send_changes().await;
            ports.watch(false);
            self.whole.forget();
        }
    }

    async fn send_changes(&self) {
        let ports = &self.reader.telemetry().ports;
        let mut samples = interval(SAMPLE);
        samples.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut mark = self.reader.mark();
        let (mut told, mut changed) = (Instant::now(), true);
        let mut alerts = self.evaluator.version();
        while self.messages.receiver_count() > 0 {
            let pause = tokio::select! {
                () = ports.changed.notified() => {
                    let (ports, removed) = split(&ports.take_changed(&ports.cells()));
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
                    let now = self.evaluator.version();
                    if std::mem::replace(&mut alerts, now) != now {
                        self.send("alerts", &self.evaluator.alerts().alerts);
                    }
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
        // Whoever comes after this is not told it, so that the whole has to have it.
        self.whole.forget();
        // Fails only if the last listener has just gone.
        let _ = self.messages.send(message(event, value).into());
    }
}

/// How the daemon stands, every alert and every port.
fn whole(reader: &Reader, evaluator: &Evaluator) -> Bytes {
    let mut messages = message("status", &reader.status());
    messages.append(&mut message("alerts", &evaluator.alerts().alerts));
    messages.append(&mut message("ports", &reader.ports()));
    messages.into()
}

fn message(event: &str, value: &impl Serialize) -> Vec<u8> {
    let mut message = format!("event: {event}\ndata: ").into_bytes();
    append_json(&mut message, value);
    message.extend_from_slice(b"\n\n");
    message
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{AlertsConfig, HealthConfig};
    use crate::telemetry::Telemetry;

    #[tokio::test]
    async fn the_whole_is_shared_until_something_is_told() {
        let reader = Reader::new(Arc::new(Telemetry::default()), 1, HealthConfig::default());
        let stream = ChangeStream::new(Arc::new(reader), Evaluator::new(&AlertsConfig::default()));
        let places = Arc::new(tokio::sync::Semaphore::new(8));
        let place = || Arc::clone(&places).try_acquire_owned().unwrap();
        let first = async || stream.subscribe(place()).frame().await.unwrap().unwrap().into_data().unwrap();
        let (a, b) = (first().await, first().await);
        assert_eq!(a.as_ptr(), b.as_ptr());
        assert!(
            a.starts_with(b"event: status\ndata: {")
                && a.ends_with(b"\n\nevent: alerts\ndata: []\n\nevent: ports\ndata: {\"ports\":[]}\n\n")
        );
        stream.send("change", &PortChanges::default());
        let c = first().await;
        assert_ne!(a.as_ptr(), c.as_ptr(), "it does not have what was just told");
    }
}
