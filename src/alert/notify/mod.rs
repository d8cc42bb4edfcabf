//! Delivery: the log, and the sinks of the configuration. docs/alert-delivery.md is what users read.
//!
//! In: what fires and what ended ([`reconcile`](Notifier::reconcile)). Out: messages, and counts of what became of them
//! ([`DeliveryMetrics`]). What a receiver has to know is held against what it acknowledged ([`NotificationLog`]), and
//! what differs is sent. So a receiver that is new, was away, or asks for more than before needs no care of its own,
//! nor does a restart, over which the log is saved. Nobody waits for a receiver: each has a bounded `queue` and a task
//! of its own (`receiver`), on the runtime beside the core, which gathers, sends and tries again (`retry`) by its
//! `integration`.

mod active_set;
mod alertmanager;
mod error;
mod exec;
mod http_client;
mod integration;
mod log;
mod message;
mod metrics;
mod notification_log;
mod queue;
mod receiver;
mod retry;
mod saved;
mod service_status;
mod state_db;
mod webhook;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};
use tracing::info;

use super::model::{Fingerprint, Notification};
use super::rules::Action;
use crate::api;
use crate::config::{Config, SinkConfig};

pub use integration::Surroundings;
pub use metrics::{DeliveryMetrics, DeliveryOutcome};
pub use notification_log::NotificationLog;
pub use saved::{SavedEnd, SavedSink};
pub use service_status::status_line;

use integration::Integration;
use receiver::Running;

/// What fires.
#[derive(Clone, Debug, Default)]
pub struct ActiveAlerts {
    /// What fires and somebody was notified of, silenced meanwhile or not, with values and texts as they are now.
    pub alerts: Vec<Notification>,
    /// What fired in an earlier run, and whose rules may not be known yet.
    pub unclaimed: HashSet<Fingerprint>,
}

/// All receivers. Ended without a word when dropped; see [`finish`](Self::finish).
#[derive(Debug)]
pub struct Notifier {
    log: Arc<NotificationLog>,
    all: Vec<Running>,
}

impl Notifier {
    /// Starts a task for each receiver; within a runtime.
    pub fn start(config: &[SinkConfig], surroundings: Surroundings<'_>, log: Arc<NotificationLog>) -> Self {
        log.metrics.of(Action::Log.name());
        let mut notifier = Self { log, all: Vec::new() };
        for sink in config {
            notifier.start_sink(sink, surroundings);
        }
        notifier.register();
        notifier
    }

    fn start_sink(&mut self, config: &SinkConfig, surroundings: Surroundings<'_>) {
        let (host, config) = (surroundings.host.into(), Arc::new(config.clone()));
        let start = |integration| Running::start(&host, &config, integration, &self.log);
        self.all.extend(Integration::all_of(&config, surroundings).into_iter().map(start));
    }

    /// How each receiver stands.
    pub fn states(&self) -> Vec<api::ReceiverStatus> {
        self.log.receivers()
    }

    fn register(&self) {
        self.log.register(self.all.iter().map(|running| Arc::downgrade(&running.receiver)).collect());
    }

    /// From now on receivers are to know of all of it: `changes` are alerts that began to fire or ended since the last
    /// time. An end is for whoever knows that the alert fires, whatever the rule says by now. Never waits.
    pub fn reconcile(&self, changes: Vec<Notification>, active: ActiveAlerts) {
        log::write(&changes, &self.log.metrics.of(Action::Log.name()));
        let shared = |alerts: Vec<Notification>| alerts.into_iter().map(Arc::new).collect::<Vec<_>>();
        let ActiveAlerts { alerts, unclaimed } = active;
        let (changes, mut active) = (shared(changes), shared(alerts));
        active.retain(|alert| alert.alert.notified);
        let firing: HashSet<Fingerprint> = active.iter().map(|alert| alert.alert.fingerprint).collect();
        let now = Instant::now();
        for Running { receiver, .. } in &self.all {
            let config = &receiver.config;
            let is_for = |alert: &Arc<Notification>| config.is_for(&alert.alert.rule, &alert.actions);
            let is_severe = |alert: &Arc<Notification>| alert.alert.severity >= config.delivery.min_severity;
            let filtered = changes.iter().filter(|alert| is_for(alert) && !is_severe(alert)).count();
            self.log.metrics.of(&config.name).add(DeliveryOutcome::Filtered, filtered);
            let mut queue = receiver.queue();
            let ends = |alert: &Arc<Notification>| alert.ended.is_some() && queue.knows(alert.alert.fingerprint);
            let wanted =
                changes.iter().chain(&active).filter(|alert| (is_for(alert) && is_severe(alert)) || ends(alert));
            let wanted: Vec<_> = wanted.cloned().collect();
            queue.reconcile(&wanted, &firing, &unclaimed, now);
            drop(queue);
            receiver.notify();
        }
    }

    /// Goes on with another configuration. Sinks that are the same are left alone; what waits for one that has changed
    /// goes on by the new configuration; what waits for one that is no more is dropped.
    pub async fn reload(&mut self, config: &[SinkConfig], surroundings: Surroundings<'_>) {
        let (mut same, mut changed): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.all).into_iter().partition(|running| config.contains(&running.receiver.config));
        for running in &mut changed {
            running.stop().await;
        }
        for sink in config {
            let before = self.all.len();
            self.all.extend(same.extract_if(.., |running| *running.receiver.config == *sink));
            if self.all.len() == before {
                self.start_sink(sink, surroundings);
            }
        }
        for Running { receiver, .. } in &changed {
            if !self.all.iter().any(|running| Arc::ptr_eq(&running.receiver.queue, &receiver.queue)) {
                self.log.remove(&receiver.queue);
                receiver.give_up();
            }
        }
        self.register();
    }

    /// Sends what waits, at most for so long, each message once. What is left stays in the [`NotificationLog`] if it is
    /// `saved`, and is dropped otherwise.
    pub async fn finish(self, limit: Duration, saved: bool) {
        let end = Instant::now() + limit;
        self.all.iter().for_each(|running| running.receiver.close());
        for mut running in self.all {
            // Late or not, and however it ended: what still waits is given up.
            let _ = timeout_at(end, &mut running.task).await;
            running.stop().await;
            let (sink, receiver) = (&running.receiver.config.name, running.receiver.shown());
            let waiting = running.receiver.queue().len();
            if !saved {
                running.receiver.give_up();
            } else if waiting > 0 {
                info!(sink, receiver, waiting, "alerts could not be delivered any more, the next run does it");
            }
        }
    }
}

/// Where the daemon's HTTP server is reached, as far as it can know: by the address it listens on, or the switch's name
/// if that is any address, unless the configuration says it. `None`: it does not listen.
pub fn daemon_url(config: &Config, host: &str) -> Option<String> {
    if !config.http.external_url.is_empty() {
        return Some(config.http.external_url.clone());
    }
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
