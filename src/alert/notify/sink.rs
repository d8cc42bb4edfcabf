//! One sink: its receivers, what they are told, and how it ends.

use std::sync::Arc;

use tokio::task::JoinHandle;
use tokio::time::Instant;
use tracing::{info, warn};

use super::Surroundings;
use super::active_set::Book;
use super::alertmanager::Alertmanager;
use super::exec::Exec;
use super::integration::Destination;
use super::outcome::{Counts, Fate, Tally};
use super::queue::Line;
use super::receiver::Receiver;
use super::state_db::StateDb;
use super::webhook::Webhook;
use crate::alert::model::Notification;
use crate::alert::rules::Action;
use crate::config::{SinkConfig, SinkKind};

#[derive(Debug)]
pub(super) struct Sink {
    pub config: SinkConfig,
    pub action: Action,
    counts: Arc<Counts>,
    /// What fires, for receivers that hold the whole.
    pub book: Option<Arc<Book>>,
    pub receivers: Vec<(Arc<Receiver>, Task)>,
}

/// A task that ends when nobody holds it any longer.
#[derive(Debug)]
pub(super) struct Task(pub JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Sink {
    pub fn start(
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
            let of_old = lines.iter().position(|(identity, _)| identity == destination.identity());
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
    pub fn hears(&self, notification: &Notification) -> bool {
        notification.alert.severity >= self.config.delivery.min_severity
    }

    /// Whether a rule sends it here, or it is asked for.
    pub fn is_for(&self, notification: &Notification) -> bool {
        self.config.is_for(&notification.alert.rule, &notification.actions)
    }

    pub fn tell(&self, notification: &Notification, shared: &mut Option<Arc<Notification>>, now: Instant) {
        if !self.hears(notification) {
            self.counts.add(Fate::Filtered, self.receivers.len());
            return;
        }
        self.push(&share(notification, shared), now);
    }

    pub fn push(&self, notification: &Arc<Notification>, told: Instant) {
        if let Some(book) = &self.book {
            book.tell(notification, told);
        }
        for (receiver, _) in &self.receivers {
            receiver.push(Arc::clone(notification), told);
        }
    }

    pub fn ring(&self) {
        for (receiver, _) in &self.receivers {
            receiver.ring();
        }
    }

    /// Ends it at once. Gives what waits, by receiver, and what fires.
    pub async fn stop(mut self) -> (Vec<(String, Line)>, Option<Arc<Book>>) {
        let mut lines = Vec::new();
        for (receiver, task) in &mut self.receivers {
            receiver.stop();
            // It has not panicked, and if it has there is nothing else to do.
            let _ = (&mut task.0).await;
            lines.push((receiver.identity().to_owned(), receiver.take_line()));
        }
        (lines, self.book)
    }

    async fn halt(&mut self) {
        for (receiver, task) in &mut self.receivers {
            if !task.0.is_finished() {
                receiver.stop();
                let _ = (&mut task.0).await;
            }
        }
    }

    /// Ends it at once, and leaves what waits where it is.
    pub async fn leave(mut self) {
        self.halt().await;
        for (receiver, _) in &self.receivers {
            let waiting = receiver.waiting();
            if waiting > 0 {
                let (sink, receiver) = (&self.config.name, receiver.shown());
                info!(sink, receiver, waiting, "alerts could not be delivered any more, the next run does it");
            }
        }
    }

    /// Ends it at once, and what waits with it.
    pub async fn give_up(mut self) {
        self.halt().await;
        for (receiver, _) in &self.receivers {
            let dropped = receiver.give_up();
            if dropped > 0 {
                warn!(sink = %self.config.name, receiver = receiver.shown(), dropped, "alerts were never delivered");
            }
        }
    }
}

pub(super) fn share(notification: &Notification, shared: &mut Option<Arc<Notification>>) -> Arc<Notification> {
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
