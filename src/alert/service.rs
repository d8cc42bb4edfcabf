//! Alerting at work, on the runtime beside the core: rules are looked at regularly, and whoever is to be told is told.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::engine::Saved;
use super::evaluator::Evaluator;
use super::notify::{Ledger, SavedSink, Sinks, Surroundings, Tally, daemon_url, status_line};
use super::rules::Action;
use crate::config::{AlertsConfig, Config};
use crate::db::queries::RuleRow;
use crate::db::store::Store;
use crate::status::collector::Reader;

/// How long sinks may go on sending what waits once the daemon ends, if `shutdown.grace` is not less.
const LAST_DELIVERIES: Duration = Duration::from_secs(1);

/// Rules looked at regularly, and who is told.
pub struct Alerting {
    reader: Arc<Reader>,
    /// The rules and how they stand.
    pub evaluator: Arc<Evaluator>,
    tally: Arc<Mutex<Option<Arc<Tally>>>>,
    ledger: Mutex<Option<Arc<Ledger>>>,
}

/// What a run of alerting works on, so that another can go on where it ended.
pub struct Work {
    /// The configuration that holds now.
    pub config: Config,
    pub told: mpsc::UnboundedReceiver<Told>,
    pub end: oneshot::Receiver<()>,
}

/// What the core tells alerting.
pub enum Told {
    /// A configuration that was read again.
    Config(Box<Config>),
    /// The alert rules of CONFIG_DB.
    Rules(Vec<RuleRow>),
}

impl Alerting {
    /// Rules of this configuration, looking at what this reads.
    pub fn new(config: &AlertsConfig, reader: &Arc<Reader>) -> Self {
        let evaluator = Evaluator::new(config);
        let tally = Arc::new(Mutex::new(None::<Arc<Tally>>));
        let (counted, delivered) = (Arc::clone(&evaluator), Arc::clone(&tally));
        reader.also(move |tell| {
            counted.values(tell);
            let tally = lock(&delivered).clone();
            if let Some(tally) = tally {
                tally.values(tell);
            }
        });
        Self { reader: Arc::clone(reader), evaluator, tally, ledger: Mutex::default() }
    }

    pub fn save(&self) -> Saved {
        let mut saved = self.evaluator.save();
        // After the alerts: what is told between the two is told again after a crash, and not lost.
        if let (Some(sinks), Some(ledger)) = (&mut saved.sinks, &*lock(&self.ledger)) {
            for (name, sink) in ledger.save() {
                sinks.entry(name).or_default().add(&sink);
            }
        }
        saved
    }

    /// Looks and tells, until it is told to end; then sends what waits. Run again after it failed, it goes on: what receivers
    /// heard is known still.
    pub async fn run(&self, work: &mut Work, store: &Store) {
        let Work { config, told, end } = work;
        if end.is_terminated() {
            return;
        }
        let host = self.reader.host().to_owned();
        let url = daemon_url(config, &host);
        let surroundings = Surroundings { host: &host, url: url.as_deref(), store };
        let mut sinks = Sinks::start(&config.alerts.sink, surroundings);
        *lock(&self.tally) = Some(sinks.tally());
        let failed = lock(&self.ledger).replace(sinks.ledger());
        self.say_what_fires(&sinks, failed.map(|ledger| ledger.save()).as_ref());
        let mut looks = looks(&config.alerts);
        loop {
            let notifications = tokio::select! {
                _ = looks.tick() => self.evaluator.evaluate(&self.reader),
                told = told.recv() => match told {
                    Some(Told::Rules(rows)) => self.evaluator.follow(rows),
                    Some(Told::Config(new)) => {
                        let same = new.alerts.evaluation_interval == config.alerts.evaluation_interval;
                        *config = *new;
                        if !same {
                            looks = self::looks(&config.alerts);
                        }
                        self.reader.judge_by(config.health.clone());
                        sinks.reload(&config.alerts.sink, surroundings).await;
                        self.evaluator.reconfigure(&config.alerts)
                    }
                    None => break,
                },
                _ = &mut *end => break,
            };
            sinks.tell(&notifications);
            self.say_what_fires(&sinks, None);
        }
        let saved = !config.state.dir.as_os_str().is_empty();
        sinks.finish(LAST_DELIVERIES.min(config.shutdown.grace), saved).await;
    }

    /// `heard` is what sinks of a run that failed knew.
    fn say_what_fires(&self, sinks: &Sinks, heard: Option<&BTreeMap<String, SavedSink>>) {
        let (told, before) = self.evaluator.told();
        if heard.is_some() {
            sinks.go_on(heard, Duration::ZERO, &told);
        }
        if let Some(before) = before {
            sinks.go_on(before.sinks.as_ref(), before.ago, &told);
        }
        sinks.firing(&told);
        let notified = told.iter().filter(|one| one.actions.contains(&Action::Notify)).map(|one| &one.alert);
        self.reader.telemetry().status_line.alerts(status_line(notified));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn looks(config: &AlertsConfig) -> Interval {
    let mut looks = interval(config.evaluation_interval);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    looks
}
