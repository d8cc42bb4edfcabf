//! Alerts as a real Alertmanager takes, groups, resolves and forgets them. Needs Alertmanager:
//! `make test-alertmanager`.

mod receiver;
mod server;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use portsyncd::alert::notify::{ActiveAlerts, DeliveryOutcome, NotificationLog, Notifier, Surroundings};
use portsyncd::alert::rules::{Action, Severity};
use portsyncd::alert::{Alert, Notification};
use portsyncd::config::{RedisConfig, SinkConfig};
use portsyncd::lab::{netns, notifications, wait};
use receiver::Receiver;
use serde::Deserialize;
use server::Alertmanager;

/// How long anything may take. Far more than it does: the machine may be busy.
const LIMIT: Duration = Duration::from_secs(60);
/// What is told of an alert that nobody speaks of any longer ends after four times this.
const RESEND: &str = "resend_interval = \"1s\"";

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64()
}

fn fires(port: usize) -> Notification {
    let shown = notifications::fires(port);
    let alert = Alert { since: now() - 30.0, ..shown.alert };
    Notification { alert, actions: [Action::Sink("am".into())].into(), ..shown }
}

fn ends(firing: &Notification) -> Notification {
    Notification { ended: Some(now()), ..firing.clone() }
}

/// A notifier and what fires by what it was notified of.
struct Sinks {
    notifier: Notifier,
    log: Arc<NotificationLog>,
    active: RefCell<Vec<Notification>>,
}

impl Sinks {
    fn notify(&self, changes: &[Notification]) {
        let mut active = self.active.borrow_mut();
        active.retain(|one| changes.iter().all(|change| change.alert.fingerprint != one.alert.fingerprint));
        active.extend(changes.iter().filter(|change| change.ended.is_none()).cloned());
        self.notifier.reconcile(changes.to_vec(), ActiveAlerts { alerts: active.clone(), ..ActiveAlerts::default() });
    }
}

fn start(servers: &[&Alertmanager], more: &str) -> Sinks {
    #[derive(Deserialize)]
    struct File {
        sink: Vec<SinkConfig>,
    }
    let urls: Vec<String> = servers.iter().map(|server| format!("http://{}", server.address)).collect();
    let text = format!(
        "[[sink]]\nname = \"am\"\ntype = \"alertmanager\"\nurls = {urls:?}\ngroup_interval = \"50ms\"\n\
         backoff = \"100ms\"\nmax_backoff = \"500ms\"\n{more}\n"
    );
    let store = RedisConfig::default().store().unwrap();
    let surroundings = Surroundings { host: "leaf1", url: Some("http://leaf1:9477/"), store: &store };
    let log = Arc::<NotificationLog>::default();
    let notifier = Notifier::start(&toml::from_str::<File>(&text).unwrap().sink, surroundings, Arc::clone(&log));
    Sinks { notifier, log, active: RefCell::default() }
}

/// Runs in a network namespace of its own, where every port is free.
fn run(test: impl AsyncFnOnce()) {
    netns::enter_private().unwrap();
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test());
}

async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    wait::until_async(what, LIMIT, || std::future::ready(condition())).await.unwrap();
}

fn ports(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
#[ignore = "needs Alertmanager"]
fn alerts_are_taken_grouped_and_resolved() {
    run(async || {
        let receiver = Receiver::start();
        let server = Alertmanager::start(9093, receiver.address);
        let sinks = start(&[&server], "");
        let alerts = [0, 4].map(fires);
        sinks.notify(&alerts);
        until("both alerts", || server.active() == ports(&["Ethernet0", "Ethernet4"])).await;
        let alert = server.alerts().into_iter().find(|alert| alert["labels"]["port"] == "Ethernet0").unwrap();
        let labels = serde_json::json!({"alertname": "PortFlapping", "severity": "critical", "port": "Ethernet0",
            "instance": "leaf1", "team": "net"});
        assert_eq!(alert["labels"], labels);
        assert_eq!(alert["annotations"]["summary"], "Ethernet0 flaps");
        assert_eq!(alert["generatorURL"], "http://leaf1:9477/");
        let starts = humantime::parse_rfc3339_weak(alert["startsAt"].as_str().unwrap()).unwrap();
        let starts = starts.duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
        assert!((starts - alerts[0].alert.since).abs() < 0.01, "{starts}");
        until("the group", || receiver.statuses("firing") == ports(&["Ethernet0", "Ethernet4"])).await;
        sinks.notify(&[ends(&alerts[0])]);
        until("one less", || server.active() == ports(&["Ethernet4"])).await;
        until("its end", || receiver.statuses("resolved") == ports(&["Ethernet0"])).await;
        sinks.notify(&[ends(&alerts[1])]);
        until("the end of all", || server.active().is_empty()).await;
        until("the end of the group", || receiver.last_status().as_deref() == Some("resolved")).await;
    });
}

#[test]
#[ignore = "needs Alertmanager"]
fn a_sink_that_asks_for_every_rule_delivers_what_no_rule_sends_it() {
    run(async || {
        let receiver = Receiver::start();
        let server = Alertmanager::start(9093, receiver.address);
        let sinks = start(&[&server], "rules = [\"*\"]\nmin_severity = \"warning\"");
        let [mut critical, mut info] = [0, 4].map(fires);
        (critical.actions, info.actions) = ([Action::Log].into(), [Action::Log].into());
        info.alert.severity = Severity::Info;
        sinks.notify(&[critical.clone(), info]);
        until("the alert", || server.active() == ports(&["Ethernet0"])).await;
        sinks.notify(&[ends(&critical)]);
        until("its end", || server.active().is_empty()).await;
    });
}

#[test]
#[ignore = "needs Alertmanager"]
fn what_fires_stays_while_the_switch_speaks_and_goes_when_it_falls_silent() {
    run(async || {
        let receiver = Receiver::start();
        let server = Alertmanager::start(9093, receiver.address);
        let sinks = start(&[&server], RESEND);
        sinks.notify(&[fires(0)]);
        until("the alert", || server.active() == ports(&["Ethernet0"])).await;
        // Twice as long as it would last by itself.
        let told = Instant::now();
        until("eight seconds", || {
            assert_eq!(server.active(), ports(&["Ethernet0"]), "after {:?}", told.elapsed());
            told.elapsed() > Duration::from_secs(8)
        })
        .await;
        drop(sinks);
        until("its end", || server.active().is_empty()).await;
    });
}

#[test]
#[ignore = "needs Alertmanager"]
fn a_server_that_was_restarted_or_away_knows_again_what_fires() {
    run(async || {
        let receiver = Receiver::start();
        let [mut first, second] = [9093, 9193].map(|port| Alertmanager::start(port, receiver.address));
        let sinks = start(&[&first, &second], RESEND);
        let alerts = [0, 4].map(fires);
        sinks.notify(&alerts);
        for server in [&first, &second] {
            until("both alerts", || server.active() == ports(&["Ethernet0", "Ethernet4"])).await;
        }
        first.kill();
        sinks.notify(&[fires(8), ends(&alerts[0])]);
        until("the second's", || second.active() == ports(&["Ethernet4", "Ethernet8"])).await;
        first.launch();
        until("the first's", || first.active() == ports(&["Ethernet4", "Ethernet8"])).await;
        let count = |outcome| {
            let counts = sinks.log.metrics.counts();
            counts.iter().find(|(name, of, _)| &**name == "am" && *of == outcome).map_or(0, |(.., count)| *count)
        };
        // Counted when the answer was read, a moment after the server has them.
        until("eight to be counted", || count(DeliveryOutcome::Sent) == 8).await;
        assert_eq!(count(DeliveryOutcome::Dropped), 0);
    });
}

#[test]
#[ignore = "needs Alertmanager"]
fn a_storm_arrives_whole() {
    run(async || {
        let receiver = Receiver::start();
        let server = Alertmanager::start(9093, receiver.address);
        let sinks = start(&[&server], "");
        sinks.notify(&(0..3000).map(fires).collect::<Vec<_>>());
        until("all of them", || server.active().len() == 3000).await;
    });
}
