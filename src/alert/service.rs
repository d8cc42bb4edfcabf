//! Alerting at work, on the runtime beside the core: rules are looked at regularly, and whoever is to be told is told.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::evaluator::Evaluator;
use super::sinks::{Ledger, Sinks, Surroundings, Tally, daemon_url, status_line};
use super::{Action, Saved};
use crate::config::{AlertsConfig, Config};
use crate::db::read::RuleRow;
use crate::db::store::Store;
use crate::telemetry::read::Reader;

/// How long sinks may go on sending what waits once the daemon ends, if `shutdown.grace` is not less.
const LAST_DELIVERIES: Duration = Duration::from_secs(1);

/// Rules looked at regularly, and who is told.
pub struct Alerting {
    reader: Arc<Reader>,
    /// The rules and how they stand.
    pub evaluator: Arc<Evaluator>,
    tally: Arc<OnceLock<Arc<Tally>>>,
    ledger: OnceLock<Arc<Ledger>>,
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
        let tally = Arc::new(OnceLock::<Arc<Tally>>::new());
        let (counted, delivered) = (Arc::clone(&evaluator), Arc::clone(&tally));
        reader.also(move |tell| {
            counted.values(tell);
            if let Some(tally) = delivered.get() {
                tally.values(tell);
            }
        });
        Self { reader: Arc::clone(reader), evaluator, tally, ledger: OnceLock::new() }
    }

    /// For the disk.
    pub fn save(&self) -> Saved {
        let mut saved = self.evaluator.save();
        // After the alerts: what is told between the two is told again after a crash, and not lost.
        if let (Some(sinks), Some(ledger)) = (&mut saved.sinks, self.ledger.get()) {
            for (name, sink) in ledger.save() {
                sinks.entry(name).or_default().add(&sink);
            }
        }
        saved
    }

    /// Looks and tells, until it is told to end; then sends what waits.
    pub async fn run(
        &self,
        mut config: Config,
        store: &Store,
        mut told: mpsc::UnboundedReceiver<Told>,
        mut end: oneshot::Receiver<()>,
    ) {
        let host = self.reader.host().to_owned();
        let url = daemon_url(&config, &host);
        let surroundings = Surroundings { host: &host, url: url.as_deref(), store };
        let mut sinks = Sinks::start(&config.alerts.sink, surroundings);
        let _ = self.tally.set(sinks.tally());
        let _ = self.ledger.set(sinks.ledger());
        self.say_what_fires(&sinks);
        let mut looks = looks(&config.alerts);
        loop {
            let notifications = tokio::select! {
                _ = looks.tick() => self.evaluator.evaluate(&self.reader),
                told = told.recv() => match told {
                    Some(Told::Rules(rows)) => self.evaluator.follow(rows),
                    Some(Told::Config(new)) => {
                        let same = new.alerts.evaluation_interval == config.alerts.evaluation_interval;
                        config = *new;
                        if !same {
                            looks = self::looks(&config.alerts);
                        }
                        self.reader.judge_by(config.health.clone());
                        sinks.reload(&config.alerts.sink, surroundings).await;
                        self.evaluator.reconfigure(&config.alerts)
                    }
                    None => break,
                },
                _ = &mut end => break,
            };
            sinks.tell(&notifications);
            self.say_what_fires(&sinks);
        }
        let saved = !config.state.dir.as_os_str().is_empty();
        sinks.finish(LAST_DELIVERIES.min(config.shutdown.grace), saved).await;
    }

    fn say_what_fires(&self, sinks: &Sinks) {
        let (told, before) = self.evaluator.told();
        if let Some(before) = before {
            sinks.go_on(before.sinks.as_ref(), before.ago, &told);
        }
        sinks.firing(&told);
        let notified = told.iter().filter(|one| one.actions.contains(&Action::Notify)).map(|one| &one.alert);
        self.reader.telemetry().status_line.alerts(status_line(notified));
    }
}

fn looks(config: &AlertsConfig) -> Interval {
    let mut looks = interval(config.evaluation_interval);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    looks
}
