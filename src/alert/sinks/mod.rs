//! Who is told: the log, and the sinks of the configuration. docs/alert-delivery.md is what users read.
//!
//! In: notifications ([`tell`](Sinks::tell)), what fires as a whole ([`firing`](Sinks::firing)). Out: messages, and counts of
//! what became of them ([`Tally`]). Telling never waits: each receiver has a bounded line and a task of its own, on the
//! runtime beside the core. What is not configured takes no memory.
//!
//! A notification goes through `line` (what waits, latest state wins) and `run` (gathering, attempts, pauses by `pace`) to a
//! `destination`. Where receivers hold the whole, a `book` knows what fires.

mod alertmanager;
mod book;
mod count;
mod destination;
mod error;
mod exec;
mod line;
mod log;
mod message;
mod notify;
mod pace;
mod post;
mod run;
mod state_db;
mod webhook;

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};
use tracing::warn;

use crate::alert::Action;
use crate::alert::report::Notification;
use crate::config::{Config, SinkConfig, SinkKind};
use crate::db::store::Store;

pub use count::{Fate, Tally};
pub use notify::status_line;

use alertmanager::Alertmanager;
use book::Book;
use count::Counts;
use destination::Destination;
use exec::Exec;
use line::Line;
use run::Receiver;
use state_db::StateDb;
use webhook::Webhook;

/// What sinks need besides their configuration.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings<'a> {
    /// The switch's name.
    pub host: &'a str,
    /// Where the daemon can be looked at ([`daemon_url`]).
    pub url: Option<&'a str>,
    /// The databases.
    pub store: &'a Store,
}

/// How a receiver stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReceiverState {
    /// The sink.
    pub sink: String,
    /// Which of its receivers; nothing secret.
    pub receiver: String,
    /// How many notifications wait.
    pub waiting: usize,
    /// Why the last attempt failed, if it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// All sinks. Ended without a word when dropped; see [`finish`](Self::finish).
#[derive(Debug)]
pub struct Sinks {
    tally: Arc<Tally>,
    log: Arc<Counts>,
    all: Vec<Sink>,
}

#[derive(Debug)]
struct Sink {
    config: SinkConfig,
    action: Action,
    counts: Arc<Counts>,
    book: Option<Arc<Book>>,
    receivers: Vec<(Arc<Receiver>, Task)>,
}

/// A task that ends when nobody holds it any longer.
#[derive(Debug)]
struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Sinks {
    /// Starts a task for each receiver; within a runtime.
    pub fn start(config: &[SinkConfig], surroundings: Surroundings<'_>) -> Self {
        let tally = Arc::new(Tally::default());
        let log = tally.of(Action::Log.name());
        let all = config.iter().map(|config| Sink::start(config, surroundings, &tally, Vec::new(), None)).collect();
        Self { tally, log, all }
    }

    /// What became of notifications, to be read by anybody at any time.
    pub fn tally(&self) -> Arc<Tally> {
        Arc::clone(&self.tally)
    }

    /// Every sink, fate and number; `log` is among them.
    pub fn counts(&self) -> Vec<(Arc<str>, Fate, u64)> {
        self.tally.counts()
    }

    /// How each receiver stands.
    pub fn states(&self) -> Vec<ReceiverState> {
        let of_sink = |sink: &Sink| {
            let state = |(receiver, _): &(Arc<Receiver>, Task)| ReceiverState {
                sink: sink.config.name.clone(),
                receiver: receiver.shown().to_owned(),
                waiting: receiver.waiting(),
                problem: receiver.problem(),
            };
            sink.receivers.iter().map(state).collect::<Vec<_>>()
        };
        self.all.iter().flat_map(of_sink).collect()
    }

    /// Tells everybody who is to be told. Never waits.
    pub fn tell(&self, notifications: &[Notification]) {
        if notifications.is_empty() {
            return;
        }
        log::tell(notifications, &self.log);
        if self.all.is_empty() {
            return;
        }
        let now = Instant::now();
        for notification in notifications {
            // One copy for all sinks, and none if there is no sink for it.
            let mut shared = None;
            for sink in self.all.iter().filter(|sink| notification.actions.contains(&sink.action)) {
                sink.tell(notification, &mut shared, now);
            }
        }
        self.all.iter().for_each(Sink::ring);
    }

    /// Whether [`firing`](Self::firing) is of use to anybody.
    pub fn wants_firing(&self) -> bool {
        self.all.iter().any(|sink| sink.book.is_some())
    }

    /// What fires and was told, as a whole: after a restart once, so that receivers that hold the whole know, and later as
    /// often as one likes, for values and texts as they are now. Never waits.
    pub fn firing(&self, alerts: &[Notification]) {
        let mut shared: Vec<Option<Arc<Notification>>> = vec![None; if self.wants_firing() { alerts.len() } else { 0 }];
        for sink in &self.all {
            let Some(book) = &sink.book else { continue };
            let mine = alerts.iter().zip(&mut shared).filter(|(alert, _)| {
                alert.ended.is_none()
                    && alert.alert.notified
                    && sink.hears(alert)
                    && alert.actions.contains(&sink.action)
            });
            if book.set_firing(mine.map(|(alert, shared)| share(alert, shared))) {
                sink.ring();
            }
        }
    }

    /// Goes on with another configuration. Sinks that are the same are left alone; what waits for one that has changed goes
    /// on by the new configuration; what waits for one that is no more is dropped.
    pub async fn reload(&mut self, config: &[SinkConfig], surroundings: Surroundings<'_>) {
        let mut before = std::mem::take(&mut self.all);
        for config in config {
            let old = before.iter().position(|sink| sink.config.name == config.name).map(|at| before.swap_remove(at));
            self.all.push(match old {
                Some(old) if old.config == *config => old,
                Some(old) => {
                    let (lines, book) = old.stop().await;
                    Sink::start(config, surroundings, &self.tally, lines, book)
                }
                None => Sink::start(config, surroundings, &self.tally, Vec::new(), None),
            });
        }
        for sink in before {
            sink.give_up().await;
        }
    }

    /// Sends what waits, at most for so long; the rest is dropped.
    pub async fn finish(self, limit: Duration) {
        let end = Instant::now() + limit;
        for (receiver, _) in self.all.iter().flat_map(|sink| &sink.receivers) {
            receiver.close();
        }
        for mut sink in self.all {
            for (_, task) in &mut sink.receivers {
                // Late or not, and however it ended: what still waits is given up.
                let _ = timeout_at(end, &mut task.0).await;
            }
            sink.give_up().await;
        }
    }
}

impl Sink {
    fn start(
        config: &SinkConfig,
        surroundings: Surroundings<'_>,
        tally: &Tally,
        lines: Vec<(String, Line)>,
        book: Option<Arc<Book>>,
    ) -> Self {
        let name: Arc<str> = config.name.as_str().into();
        let counts = tally.of(&name);
        let holds_all = matches!(config.kind, SinkKind::Alertmanager(_) | SinkKind::StateDb);
        let book = holds_all.then(|| book.unwrap_or_else(|| Arc::new(Book::new(config.delivery.queue))));
        let host: Arc<str> = surroundings.host.into();
        let mut lines = lines;
        let receivers = destinations(config, surroundings, book.as_ref()).into_iter().map(|destination| {
            let of_old = lines.iter().position(|(shown, _)| shown == destination.shown());
            let line = of_old.map(|at| lines.swap_remove(at).1);
            let whose = (Arc::clone(&host), Arc::clone(&name));
            let receiver = Arc::new(Receiver::new(whose, config.delivery, destination, Arc::clone(&counts), line));
            let task = Arc::clone(&receiver);
            (receiver, Task(tokio::spawn(async move { task.run().await })))
        });
        let receivers = receivers.collect();
        let gone = lines.iter().map(|(_, line)| line.len()).sum();
        counts.add(Fate::Dropped, gone);
        Self { config: config.clone(), action: Action::Sink(name), counts, book, receivers }
    }

    /// Whether an alert is severe enough.
    fn hears(&self, notification: &Notification) -> bool {
        notification.alert.severity >= self.config.delivery.min_severity
    }

    fn tell(&self, notification: &Notification, shared: &mut Option<Arc<Notification>>, now: Instant) {
        if !self.hears(notification) {
            self.counts.add(Fate::Filtered, self.receivers.len());
            return;
        }
        let notification = share(notification, shared);
        if let Some(book) = &self.book {
            book.tell(&notification, now);
        }
        for (receiver, _) in &self.receivers {
            receiver.push(Arc::clone(&notification), now);
        }
    }

    fn ring(&self) {
        for (receiver, _) in &self.receivers {
            receiver.ring();
        }
    }

    /// Ends it at once. Gives what waits, by receiver, and what fires.
    async fn stop(mut self) -> (Vec<(String, Line)>, Option<Arc<Book>>) {
        let mut lines = Vec::new();
        for (receiver, task) in &mut self.receivers {
            receiver.stop();
            // It has not panicked, and if it has there is nothing else to do.
            let _ = (&mut task.0).await;
            lines.push((receiver.shown().to_owned(), receiver.take_line()));
        }
        (lines, self.book)
    }

    /// Ends it at once, and what waits with it.
    async fn give_up(mut self) {
        for (receiver, task) in &mut self.receivers {
            if !task.0.is_finished() {
                receiver.stop();
                let _ = (&mut task.0).await;
            }
            let dropped = receiver.give_up();
            if dropped > 0 {
                warn!(sink = %self.config.name, receiver = receiver.shown(), dropped, "alerts were never delivered");
            }
        }
    }
}

fn share(notification: &Notification, shared: &mut Option<Arc<Notification>>) -> Arc<Notification> {
    Arc::clone(shared.get_or_insert_with(|| Arc::new(notification.clone())))
}

fn destinations(config: &SinkConfig, surroundings: Surroundings<'_>, book: Option<&Arc<Book>>) -> Vec<Destination> {
    match (&config.kind, book) {
        (SinkKind::Alertmanager(servers), Some(book)) => {
            let shared = Arc::new(servers.clone());
            let source: Option<Arc<str>> = surroundings.url.map(Arc::from);
            let server = |url: &String| Alertmanager::new(url, Arc::clone(&shared), source.clone(), Arc::clone(book));
            servers.urls.iter().map(|url| Destination::Alertmanager(server(url))).collect()
        }
        (SinkKind::StateDb, Some(book)) => {
            vec![Destination::StateDb(Box::new(StateDb::new(surroundings.store.clone(), Arc::clone(book))))]
        }
        (SinkKind::Webhook(webhook), _) => vec![Destination::Webhook(Webhook::new(webhook.clone()))],
        (SinkKind::Exec(exec), _) => vec![Destination::Exec(Exec::new(exec.clone()))],
        (SinkKind::Alertmanager(_) | SinkKind::StateDb, None) => Vec::new(),
    }
}

/// Where the daemon's HTTP server is reached, as far as it can know: by the address it listens on, or the switch's name if
/// that is any address. `None`: it does not listen.
pub fn daemon_url(config: &Config, host: &str) -> Option<String> {
    let address: std::net::SocketAddr = config.http.listen.parse().ok()?;
    let scheme = if config.http.tls_cert.as_os_str().is_empty() { "http" } else { "https" };
    if address.ip().is_unspecified() {
        Some(format!("{scheme}://{host}:{}/", address.port()))
    } else {
        Some(format!("{scheme}://{address}/"))
    }
}

#[cfg(test)]
mod tests;
