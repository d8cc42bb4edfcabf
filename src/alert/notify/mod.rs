//! Who is told: the log, and the sinks of the configuration. docs/alert-delivery.md is what users read.
//!
//! In: notifications ([`tell`](Sinks::tell)), what fires as a whole ([`firing`](Sinks::firing)). Out: messages, and counts of
//! what became of them ([`Tally`]). Telling never waits: each receiver has a bounded line and a task of its own, on the
//! runtime beside the core. What is not configured takes no memory.
//!
//! A notification goes through `line` (what waits, latest state wins) and `run` (gathering, attempts, pauses by `pace`) to a
//! `destination`. Where receivers hold the whole, a `book` knows what fires; of the others the line knows what they heard, which
//! survives a restart (`saved`). A sink takes what rules send it by their actions, and what it asks for by itself.

mod active_set;
mod alertmanager;
mod backoff;
mod error;
mod exec;
mod http_client;
mod integration;
mod log;
mod message;
mod notification_log;
mod outcome;
mod queue;
mod receiver;
mod service_status;
mod sink;
mod state_db;
mod webhook;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::time::{Instant, timeout_at};

use super::Alert;
use super::model::{Fingerprint, Notification, State};
use super::rules::Action;
use crate::config::{Config, SinkConfig, SinkKind};
use crate::db::store::Store;

pub use notification_log::{Ledger, SavedEnd, SavedSink};
pub use outcome::{Fate, Tally};
pub use service_status::status_line;

use outcome::Counts;
use receiver::Receiver;
use sink::{Sink, Task, share};

/// What sinks need besides their configuration.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings<'a> {
    pub host: &'a str,
    /// Where the daemon can be looked at ([`daemon_url`]).
    pub url: Option<&'a str>,
    pub store: &'a Store,
}

/// How a receiver stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReceiverState {
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
    ledger: Arc<Ledger>,
    log: Arc<Counts>,
    all: Vec<Sink>,
}

impl Sinks {
    /// Starts a task for each receiver; within a runtime.
    pub fn start(config: &[SinkConfig], surroundings: Surroundings<'_>) -> Self {
        let tally = Arc::new(Tally::default());
        let log = tally.of(Action::Log.name());
        let all = config.iter().map(|config| Sink::start(config, surroundings, &tally, Vec::new(), None)).collect();
        let sinks = Self { tally, ledger: Arc::default(), log, all };
        sinks.enter();
        sinks
    }

    /// Whose deliveries survive a restart: not rows of STATE_DB, which are made anew.
    fn enter(&self) {
        let kept = self.all.iter().filter(|sink| !matches!(sink.config.kind, SinkKind::StateDb));
        let of_sink = |sink: &Sink| {
            let name = sink.config.name.clone();
            sink.receivers.iter().map(|(receiver, _)| (name.clone(), Arc::clone(receiver))).collect::<Vec<_>>()
        };
        self.ledger.set(kept.flat_map(of_sink).collect());
    }

    /// What of deliveries survives a restart, to be saved by anybody at any time, after [`finish`](Self::finish) too.
    pub fn ledger(&self) -> Arc<Ledger> {
        Arc::clone(&self.ledger)
    }

    /// Goes on from what an earlier run saved `ago`; `told` is what fires and was told. Without anything saved every sink is
    /// taken to have heard all of it. To be called before what fires is said as a whole.
    pub fn go_on(&self, saved: Option<&BTreeMap<String, SavedSink>>, ago: Duration, told: &[Notification]) {
        let now = Instant::now();
        for sink in &self.all {
            let Some(saved) = saved else {
                let heard = told.iter().filter(|alert| sink.is_for(alert)).map(|alert| alert.alert.fingerprint);
                let heard: Vec<Fingerprint> = heard.collect();
                sink.receivers.iter().for_each(|(receiver, _)| receiver.has_heard(heard.iter().copied()));
                continue;
            };
            let Some(saved) = saved.get(&sink.config.name) else { continue };
            for (receiver, _) in &sink.receivers {
                receiver.has_heard(saved.told.iter().copied());
            }
            let fires: HashSet<Fingerprint> = told.iter().map(|alert| alert.alert.fingerprint).collect();
            for end in saved.ended.iter().filter(|end| !fires.contains(&end.alert.fingerprint)) {
                let actions = [sink.action.clone()].into();
                let end_of = |alert: &Alert| Notification { alert: alert.clone(), ended: Some(end.ended), actions };
                // A machine that has not run for so long cannot say when it was.
                let at = now.checked_sub(end.waited + ago).unwrap_or(now);
                sink.push(&Arc::new(end_of(&end.alert)), at);
            }
            sink.ring();
        }
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
            for sink in self.all.iter().filter(|sink| sink.is_for(notification)) {
                sink.tell(notification, &mut shared, now);
            }
        }
        self.all.iter().for_each(Sink::ring);
    }

    /// What fires and was told, silenced meanwhile or not, as a whole: at the start once, so that receivers that hold the
    /// whole know, and later as often as one likes, for values and texts as they are now. A receiver that did not hear of an
    /// alert, because it is new, or asks for more than before, or missed it at the end of an earlier run, is told of it now,
    /// unless it is silenced. Never waits.
    pub fn firing(&self, alerts: &[Notification]) {
        if self.all.is_empty() {
            return;
        }
        let alerts = || alerts.iter().filter(|alert| alert.ended.is_none() && alert.alert.notified);
        let told: HashSet<Fingerprint> = alerts().map(|alert| alert.alert.fingerprint).collect();
        let mut shared: Vec<Option<Arc<Notification>>> = vec![None; told.len()];
        let now = Instant::now();
        for sink in &self.all {
            let mine = alerts().zip(&mut shared).filter(|(alert, _)| sink.is_for(alert) && sink.hears(alert));
            let mine = mine.map(|(alert, shared)| share(alert, shared));
            if let Some(book) = &sink.book {
                if book.set_firing(mine) {
                    sink.ring();
                }
                continue;
            }
            let mine: Vec<Arc<Notification>> = mine.filter(|alert| alert.alert.state == State::Firing).collect();
            let is_news = |(receiver, _): &(Arc<Receiver>, Task)| receiver.catch_up(mine.iter(), &told, now);
            if sink.receivers.iter().filter(|one| is_news(one)).count() > 0 {
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
        self.enter();
        for sink in before {
            sink.give_up().await;
        }
    }

    /// Sends what waits, at most for so long, each message once. What is left stays in the [`Ledger`] if it is `saved`, and is
    /// dropped otherwise.
    pub async fn finish(self, limit: Duration, saved: bool) {
        let end = Instant::now() + limit;
        for (receiver, _) in self.all.iter().flat_map(|sink| &sink.receivers) {
            receiver.close();
        }
        for mut sink in self.all {
            for (_, task) in &mut sink.receivers {
                // Late or not, and however it ended: what still waits is given up.
                let _ = timeout_at(end, &mut task.0).await;
            }
            if saved {
                sink.leave().await;
            } else {
                sink.give_up().await;
            }
        }
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
