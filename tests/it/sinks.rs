//! Sinks against real receivers: servers that listen, hang and break off, programs, Redis.

mod alertmanager;
mod exec;
mod server;
mod state_db;
mod webhook;

use std::collections::{BTreeMap, HashSet};
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use portsyncd::alert::model::{AlertState, Fingerprint, Notification};
use portsyncd::alert::notify::{ActiveAlerts, DeliveryOutcome, NotificationLog, Notifier, SavedSink, Surroundings};
use portsyncd::alert::rules::{Action, Severity};
use portsyncd::config::{RedisConfig, SinkConfig};
use portsyncd::db::store::Store;
use portsyncd::lab::notifications::{fires, resolved};
use portsyncd::lab::wait;
use portsyncd::locks::lock;

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
/// How long anything may take. Far more than it does.
const LIMIT: Duration = Duration::from_secs(20);

/// Just these fire.
fn fire(alerts: impl IntoIterator<Item = Notification>) -> ActiveAlerts {
    ActiveAlerts { alerts: alerts.into_iter().collect(), ..ActiveAlerts::default() }
}

/// A notifier and what fires by what it was notified of.
struct Sinks {
    notifier: Notifier,
    log: Arc<NotificationLog>,
    active: Mutex<BTreeMap<Fingerprint, Notification>>,
}

impl Sinks {
    fn start(config: &[SinkConfig], surroundings: Surroundings<'_>) -> Self {
        let log = Arc::<NotificationLog>::default();
        Self { notifier: Notifier::start(config, surroundings, Arc::clone(&log)), log, active: Mutex::default() }
    }

    /// These began to fire, or ended.
    fn notify(&self, changes: &[Notification]) {
        let mut active = lock(&self.active);
        for change in changes {
            match change.ended {
                None => active.insert(change.alert.fingerprint, change.clone()),
                Some(_) => active.remove(&change.alert.fingerprint),
            };
        }
        self.notifier.reconcile(changes.to_vec(), fire(active.values().cloned()));
    }

    /// Just these fire.
    fn set_active(&self, active: &[Notification]) {
        *lock(&self.active) = active.iter().map(|one| (one.alert.fingerprint, one.clone())).collect();
        self.notifier.reconcile(Vec::new(), fire(active.iter().cloned()));
    }

    fn counts(&self) -> Vec<(Arc<str>, DeliveryOutcome, u64)> {
        self.log.metrics.counts()
    }

    async fn finish(self, limit: Duration, saved: bool) {
        self.notifier.finish(limit, saved).await;
    }
}

impl Deref for Sinks {
    type Target = Notifier;

    fn deref(&self) -> &Notifier {
        &self.notifier
    }
}

impl DerefMut for Sinks {
    fn deref_mut(&mut self) -> &mut Notifier {
        &mut self.notifier
    }
}

/// Sinks as they stand in a configuration, quick ones unless they say otherwise.
fn sinks(text: &str) -> Sinks {
    Sinks::start(&config(text), surroundings(&nowhere()))
}

fn config(text: &str) -> Vec<SinkConfig> {
    #[derive(serde::Deserialize)]
    struct File {
        sink: Vec<SinkConfig>,
    }
    let text = text.replace("type = ", "group_interval = \"5ms\"\nbackoff = \"5ms\"\nmax_backoff = \"20ms\"\ntype = ");
    toml::from_str::<File>(&text).unwrap().sink
}

fn surroundings(store: &Store) -> Surroundings<'_> {
    Surroundings { host: "leaf1", url: Some("http://127.0.0.1:9477/"), store }
}

fn nowhere() -> Store {
    store("unix:///nonexistent/redis.sock")
}

fn store(url: &str) -> Store {
    let mut config = RedisConfig { url: url.into(), ..Default::default() };
    config.database_config = "/nonexistent".into();
    config.store().unwrap()
}

fn count(sinks: &Sinks, sink: &str, outcome: DeliveryOutcome) -> u64 {
    let counts = sinks.counts();
    counts.iter().find(|(name, of, _)| &**name == sink && *of == outcome).map_or(0, |(_, _, count)| *count)
}

async fn until_counted(sinks: &Sinks, sink: &str, outcome: DeliveryOutcome, least: u64) {
    let counted = || std::future::ready(count(sinks, sink, outcome) >= least);
    if let Err(error) = wait::until_async(format!("{least} {}", outcome.name()), LIMIT, counted).await {
        panic!("{error}: {:?} {:?}", sinks.counts(), sinks.states());
    }
}

#[test]
fn nothing_is_told_to_sinks_that_a_rule_does_not_name_and_a_runtime_is_not_needed_without_sinks() {
    let sinks = Sinks::start(&[], surroundings(&nowhere()));
    sinks.notify(&(0..150).map(fires).collect::<Vec<_>>());
    assert_eq!(
        (count(&sinks, "log", DeliveryOutcome::Sent), count(&sinks, "log", DeliveryOutcome::Dropped)),
        (100, 50)
    );
    sinks.set_active(&[fires(0)]);
}

#[tokio::test]
async fn what_is_sent_is_noted_before_and_after() {
    let server = Arc::new(server::Server::start(&[server::Answer::Bytes(OK.to_owned())]).await);
    let text = format!("[[sink]]\nname = \"noc\"\ntype = \"webhook\"\nurl = \"http://{}/\"\n", server.address);
    let sinks = sinks(&text);
    let noted = Arc::<Mutex<Vec<(usize, usize, usize)>>>::default();
    let (log, requests, notes) = (Arc::downgrade(&sinks.log), Arc::clone(&server), Arc::clone(&noted));
    sinks.log.set_write_ahead(Box::new(move || {
        let saved = log.upgrade().unwrap().save().remove("noc").unwrap_or_default();
        lock(&notes).push((requests.requests().len(), saved.acknowledged.len(), saved.ended.len()));
        Box::pin(std::future::ready(()))
    }));
    sinks.notify(&[fires(0)]);
    until_counted(&sinks, "noc", DeliveryOutcome::Sent, 1).await;
    sinks.notify(&[resolved(0)]);
    until_counted(&sinks, "noc", DeliveryOutcome::Sent, 2).await;
    let all = || std::future::ready(lock(&noted).len() == 4);
    wait::until_async("notes", LIMIT, all).await.unwrap();
    // How much was sent by then; alerts that are known to fire there; ends that are owed.
    assert_eq!(*lock(&noted), [(0, 0, 0), (1, 1, 0), (1, 1, 1), (2, 0, 0)]);
}

#[tokio::test]
async fn an_end_is_for_whoever_knows_that_the_alert_fires() {
    let server = server::Server::start(&[server::Answer::Bytes(OK.to_owned())]).await;
    let text = format!("[[sink]]\nname = \"noc\"\ntype = \"webhook\"\nurl = \"http://{}/\"\n", server.address);
    let sinks = sinks(&text);
    sinks.notify(&[fires(0)]);
    until_counted(&sinks, "noc", DeliveryOutcome::Sent, 1).await;
    // The rule names another sink by now, and its severity is another.
    let unnamed = |mut notification: Notification| {
        notification.actions = [].into();
        notification
    };
    sinks.set_active(&[unnamed(fires(0)), unnamed(fires(4))]);
    sinks.notify(&[unnamed(resolved(0)), unnamed(resolved(4))]);
    until_counted(&sinks, "noc", DeliveryOutcome::Sent, 2).await;
    sinks.notify(&[fires(8)]);
    until_counted(&sinks, "noc", DeliveryOutcome::Sent, 3).await;
    let bodies = server.requests().iter().map(|request| request.json()["alerts"].clone()).collect::<Vec<_>>();
    let told: Vec<_> = bodies.iter().map(|alerts| (&alerts[0]["status"], &alerts[0]["port"], &alerts[1])).collect();
    let null = &serde_json::Value::Null;
    let expected = [("firing", "Ethernet0"), ("resolved", "Ethernet0"), ("firing", "Ethernet8")];
    let expected = expected.map(|(status, port)| (serde_json::json!(status), serde_json::json!(port)));
    assert_eq!(told, expected.iter().map(|(status, port)| (status, port, null)).collect::<Vec<_>>());
}

/// What fires in an earlier run, and whose rule is not known yet, stays known.
#[tokio::test]
async fn what_a_receiver_knows_of_an_earlier_run_stays_while_rules_are_not_known() {
    let server = server::Server::start(&[server::Answer::Bytes(OK.to_owned())]).await;
    let text = format!("[[sink]]\nname = \"noc\"\ntype = \"webhook\"\nurl = \"http://{}/\"\n", server.address);
    let sinks = sinks(&text);
    let unclaimed = HashSet::from([fires(0).alert.fingerprint]);
    let active = ActiveAlerts { alerts: Vec::new(), unclaimed };
    let saved = SavedSink { acknowledged: active.unclaimed.iter().copied().collect(), ended: Vec::new() };
    let saved = BTreeMap::from([("noc".to_owned(), saved)]);
    sinks.log.restore(Some(&saved), Duration::ZERO, &active);
    sinks.reconcile(Vec::new(), active.clone());
    assert_eq!(sinks.log.save(), saved);
    sinks.set_active(&[fires(0), fires(4)]);
    until_counted(&sinks, "noc", DeliveryOutcome::Sent, 1).await;
    assert_eq!(server.requests()[0].json()["alerts"][0]["port"], "Ethernet4");
    sinks.notify(&[resolved(0)]);
    until_counted(&sinks, "noc", DeliveryOutcome::Sent, 2).await;
}
