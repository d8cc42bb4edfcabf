//! Alerting at work, on the runtime beside the core: rules are evaluated regularly, and receivers notified.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::engine::SavedEngine;
use super::evaluator::Evaluator;
use super::model::Notification;
use super::notify::{NotificationLog, Notifier, Surroundings, daemon_url, status_line};
use super::rules::Action;
use crate::config::{AlertsConfig, Config};
use crate::db::queries::RuleRow;
use crate::db::store::Store;
use crate::locks::lock;
use crate::status::collector::Reader;

/// How long sinks may go on sending what waits once the daemon ends, if `shutdown.grace` is not less.
const LAST_DELIVERIES: Duration = Duration::from_secs(1);

pub struct Alerting {
    reader: Arc<Reader>,
    /// The rules and how they stand.
    pub evaluator: Arc<Evaluator>,
    notification_log: Arc<NotificationLog>,
    /// Held while an alert changes and receivers are to know of it: what is saved has both, or neither.
    whole: Mutex<()>,
}

/// What a run of alerting works on, so that another can go on where it ended.
pub struct Work {
    /// The configuration that holds now.
    pub config: Config,
    pub commands: mpsc::UnboundedReceiver<AlertingCommand>,
    pub end: oneshot::Receiver<()>,
}

/// What alerting gets from the core.
pub enum AlertingCommand {
    /// A configuration that was read again.
    Reload(Box<Config>),
    /// The alert rules of CONFIG_DB; `None`: they cannot be read.
    Rules(Option<Vec<RuleRow>>),
}

impl Alerting {
    /// Rules of this configuration, looking at what this reads.
    pub fn new(config: &AlertsConfig, reader: &Arc<Reader>) -> Self {
        let (evaluator, notification_log) = (Evaluator::new(config), Arc::<NotificationLog>::default());
        let (states, deliveries) = (Arc::clone(&evaluator), Arc::clone(&notification_log));
        reader.add_metrics(move |visit| {
            states.values(visit);
            deliveries.metrics.values(visit);
        });
        let deliveries = Arc::clone(&notification_log);
        reader.add_receivers(move || deliveries.receivers());
        Self { reader: Arc::clone(reader), evaluator, notification_log, whole: Mutex::default() }
    }

    /// From now on this is called, and waited for, before receivers are told something and after they acknowledged it: it
    /// brings what [`save`](Self::save) says to the disk. To be said once.
    pub fn write_ahead(&self, write: impl Fn() -> BoxFuture<'static, ()> + Send + Sync + 'static) {
        self.notification_log.set_write_ahead(Box::new(write));
    }

    pub fn save(&self) -> SavedEngine {
        let _whole = lock(&self.whole);
        let mut saved = self.evaluator.save();
        if let Some(sinks) = &mut saved.sinks {
            for (name, sink) in self.notification_log.save() {
                sinks.entry(name).or_default().add(sink);
            }
        }
        saved
    }

    /// Evaluates and notifies until the end; then sends what waits. Run again after it failed, it goes on by the
    /// notification log.
    pub async fn run(&self, work: &mut Work, store: &Store) {
        let Work { config, commands, end } = work;
        if end.is_terminated() {
            return;
        }
        let host = self.reader.host().to_owned();
        let url = daemon_url(config, &host);
        let surroundings = Surroundings { host: &host, url: url.as_deref(), store };
        let mut notifier = Notifier::start(&config.alerts.sink, surroundings, Arc::clone(&self.notification_log));
        let mut ticks = ticks(&config.alerts);
        self.step(&notifier, Vec::new);
        loop {
            tokio::select! {
                _ = ticks.tick() => self.step(&notifier, || self.evaluator.evaluate(&self.reader)),
                command = commands.recv() => match command {
                    Some(AlertingCommand::Rules(rows)) => self.step(&notifier, || self.evaluator.follow(rows)),
                    Some(AlertingCommand::Reload(new)) => {
                        let same = new.alerts.evaluation_interval == config.alerts.evaluation_interval;
                        *config = *new;
                        if !same {
                            ticks = self::ticks(&config.alerts);
                        }
                        self.reader.set_health_config(config.health.clone());
                        notifier.reload(&config.alerts.sink, surroundings).await;
                        self.step(&notifier, || self.evaluator.reconfigure(&config.alerts));
                    }
                    None => break,
                },
                _ = &mut *end => break,
            }
        }
        let saved = !config.state.dir.as_os_str().is_empty();
        notifier.finish(LAST_DELIVERIES.min(config.shutdown.grace), saved).await;
    }

    /// Lets something happen to alerts, and receivers know of it: at once, for what is saved.
    fn step(&self, notifier: &Notifier, happens: impl FnOnce() -> Vec<Notification>) {
        let _whole = lock(&self.whole);
        let changes = happens();
        let (active, before) = self.evaluator.active();
        if let Some(before) = before {
            self.notification_log.restore(before.sinks.as_ref(), before.ago, &active);
        }
        let shown = active.alerts.iter().filter(|one| one.actions.contains(&Action::Notify)).map(|one| &one.alert);
        self.reader.telemetry().status_line.set_alerts(status_line(shown));
        notifier.reconcile(changes, active);
    }
}

fn ticks(config: &AlertsConfig) -> Interval {
    let mut ticks = interval(config.evaluation_interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}
