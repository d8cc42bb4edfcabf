//! The engine at work: what it looks at, when, and what people ask of it.
//!
//! Beside the core: the values are read as everybody else reads them, and nothing here is waited for. In: the rules of the
//! configuration, of its files and of CONFIG_DB, and what people silence. Out: notifications, for the sinks.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tracing::{info, warn};

use super::api::{AlertList, AlertView, History, RuleList, RuleView, SilenceList};
use super::engine::silence::SilenceError;
use super::engine::{SavedEngine, Silence, SilenceRequest};
use super::model::{AlertCount, Evaluation};
use super::notify::{ActiveAlerts, SavedSink};
use super::rules::{Action, Loader, Rules};
use super::{Alert, AlertState, Engine, Notification, Now, Settings};
use crate::clock::{now_ms, seconds};
use crate::config::{AlertsConfig, ConfigError};
use crate::db::queries::RuleRow;
use crate::locks::lock;
use crate::regular_file;
use crate::status::collector::Reader;
use crate::telemetry::catalog::{self, Computed};

/// Of rules, in bytes.
const LARGEST_FILE: usize = 4 * 1024 * 1024;

#[derive(Debug)]
pub struct Evaluator {
    engine: Mutex<Engine>,
    sources: Mutex<Sources>,
    /// What sinks have to know of an earlier run, until they do.
    before: Mutex<Option<Before>>,
    began: Instant,
    looked: Mutex<Looked>,
    version: AtomicU64,
}

/// What sinks go on from.
#[derive(Clone, Debug, PartialEq)]
pub struct Before {
    /// What each was told; `None`: it was not noted.
    pub sinks: Option<BTreeMap<String, SavedSink>>,
    /// How long ago that was.
    pub ago: Duration,
}

/// Where rules come from.
#[derive(Debug)]
struct Sources {
    config: AlertsConfig,
    /// Of CONFIG_DB, once they were read.
    rows: Option<Vec<RuleRow>>,
    /// Why the rules in force are not the ones that stand there now, a line for each that is wrong.
    problem: Option<String>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Looked {
    at: Option<f64>,
    took: f64,
}

impl Evaluator {
    /// Reads the rules. Wrong ones are said, and leave the default rules in force: what is wrong there never stops the daemon.
    pub fn new(config: &AlertsConfig) -> Arc<Self> {
        let (rules, problem) = match load(config, &[]) {
            Ok(rules) => (rules, None),
            Err(error) => {
                warn!(problem = %error, "alert rules cannot be used, going on with the default rules");
                (fallback(config), Some(error.to_string()))
            }
        };
        let mut engine = Engine::new(&rules, settings(config));
        engine.await_rules();
        Arc::new(Self {
            engine: Mutex::new(engine),
            sources: Mutex::new(Sources { config: config.clone(), rows: None, problem }),
            before: Mutex::default(),
            began: Instant::now(),
            looked: Mutex::default(),
            version: AtomicU64::new(0),
        })
    }

    /// What time it is for the engine.
    fn now(&self) -> Now {
        Now { monotonic: self.began.elapsed(), wall: seconds(now_ms()) }
    }

    /// Looks at everything, once; returns who is to be told.
    pub fn evaluate(&self, reader: &Reader) -> Vec<Notification> {
        let began = Instant::now();
        // The values are read without holding the engine: some of them are about it.
        let mut snapshot = lock(&self.engine).snapshot();
        snapshot.set_complete(reader.knows_ports());
        reader.values_of_all(&mut |metric, value| {
            if snapshot.wants(metric.name) {
                snapshot.take(metric, &value);
            }
        });
        // Of every port: that /metrics may list some of them only is no reason to look at those alone.
        reader.values_of_ports(&mut |computed, port, number| snapshot.put_port(computed.name, *port, number));
        let now = self.now();
        let evaluation = lock(&self.engine).evaluate(&snapshot, now);
        let took = began.elapsed();
        reader.telemetry().metrics.alert_evaluation.observe(took);
        *lock(&self.looked) = Looked { at: Some(now.wall), took: took.as_secs_f64() };
        self.note(&evaluation);
        evaluation.notifications
    }

    fn note(&self, evaluation: &Evaluation) {
        if !evaluation.is_empty() {
            self.version.fetch_add(1, Ordering::Release);
        }
        for silence in &evaluation.ended {
            info!(id = silence.id, rule = silence.rule.as_str(), "silence is over");
        }
    }

    /// A number that is another one whenever an alert or a silence has changed.
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// The configuration was read again: so are the rules. Returns who is to be told of alerts whose rules are no more.
    pub fn reconfigure(&self, config: &AlertsConfig) -> Vec<Notification> {
        lock(&self.sources).config = config.clone();
        lock(&self.engine).reconfigure(settings(config));
        self.reload()
    }

    /// CONFIG_DB has these rules now; `None`: they cannot be read.
    pub fn follow(&self, rows: Option<Vec<RuleRow>>) -> Vec<Notification> {
        let changed = {
            let mut sources = lock(&self.sources);
            let changed = rows.as_deref().is_some_and(|rows| rows != sources.rows.as_deref().unwrap_or_default());
            sources.rows = rows.or(sources.rows.take());
            changed
        };
        let changes = if changed { self.reload() } else { Vec::new() };
        lock(&self.engine).know_rules();
        changes
    }

    fn reload(&self) -> Vec<Notification> {
        let mut sources = lock(&self.sources);
        match load(&sources.config, sources.rows.as_deref().unwrap_or_default()) {
            Ok(rules) => {
                sources.problem = None;
                drop(sources);
                let evaluation = lock(&self.engine).reload(&rules, self.now());
                info!(rules = rules.iter().len(), "alert rules read");
                self.note(&evaluation);
                evaluation.notifications
            }
            Err(error) => {
                warn!(problem = %error, "alert rules cannot be used, keeping the ones before");
                sources.problem = Some(error.to_string());
                Vec::new()
            }
        }
    }

    /// `/api/v1/alerts`
    pub fn alerts(&self) -> AlertList {
        let engine = lock(&self.engine);
        let summary = |alert: &Alert| alert.annotations.get("summary").cloned().unwrap_or_default();
        AlertList { alerts: engine.alerts().map(|alert| AlertView { summary: summary(&alert), alert }).collect() }
    }

    /// What fires and was told, as far as it is known; and what sinks have to know before they hear of it, once.
    pub fn active(&self) -> (ActiveAlerts, Option<Before>) {
        let engine = lock(&self.engine);
        let actions: BTreeMap<&str, &Arc<[Action]>> = engine.rules().map(|rule| (&*rule.name, &rule.actions)).collect();
        let told = engine.alerts().filter(|alert| alert.notified);
        let alerts = told.filter_map(|alert| {
            let actions = Arc::clone(actions.get(&*alert.rule)?);
            Some(Notification { alert, ended: None, actions })
        });
        let active = ActiveAlerts { alerts: alerts.collect(), unclaimed: engine.unclaimed().collect() };
        (active, lock(&self.before).take())
    }

    /// How many alerts stand how, by rule.
    pub fn counts(&self) -> Vec<AlertCount> {
        lock(&self.engine).counts()
    }

    /// The values of the metrics about alerts.
    #[expect(clippy::cast_precision_loss, reason = "numbers of alerts")]
    pub fn values(&self, visit: &mut dyn FnMut(&Computed, &[&str], f64)) {
        let wrong = lock(&self.sources).problem.as_ref().map_or(0, |problem| problem.lines().count());
        visit(&catalog::RULES_WRONG, &[], wrong as f64);
        let engine = lock(&self.engine);
        let counts = engine.counts();
        for rule in engine.rules().filter(|rule| rule.enabled) {
            let mut firing = 0;
            for count in counts.iter().filter(|count| count.rule == rule.name) {
                if count.state == AlertState::Firing {
                    firing = count.alerts;
                } else {
                    let labels = [&*rule.name, rule.severity.name(), count.state.name()];
                    visit(&catalog::ALERTS, &labels, count.alerts as f64);
                }
            }
            visit(&catalog::ALERTS, &[&*rule.name, rule.severity.name(), AlertState::Firing.name()], firing as f64);
        }
    }

    /// `/api/v1/alerts/history`
    pub fn history(&self) -> History {
        History { transitions: lock(&self.engine).history().cloned().collect() }
    }

    /// `/api/v1/silences`
    pub fn silences(&self) -> SilenceList {
        SilenceList { silences: lock(&self.engine).silences().cloned().collect() }
    }

    /// `/api/v1/rules`
    pub fn rules(&self) -> RuleList {
        let Looked { at, took } = *lock(&self.looked);
        let problem = lock(&self.sources).problem.clone();
        let engine = lock(&self.engine);
        let mut counts: BTreeMap<Arc<str>, BTreeMap<String, usize>> = BTreeMap::new();
        for count in engine.counts() {
            counts.entry(count.rule).or_default().insert(count.state.name().to_owned(), count.alerts);
        }
        let rules = engine
            .rules()
            .map(|rule| RuleView {
                name: rule.name.to_string(),
                origin: rule.origin.to_string(),
                metric: rule.metric.name().to_owned(),
                ports: rule.ports.as_ref().map(|glob| glob.as_str().to_owned()),
                condition: rule.condition.to_string(),
                r#for: f64::from(rule.for_millis) / 1e3,
                keep_firing_for: f64::from(rule.keep_firing_for) / 1e3,
                severity: rule.severity.name().to_owned(),
                enabled: rule.enabled,
                actions: rule.actions.iter().map(|action| action.name().to_owned()).collect(),
                alerts: counts.remove(&rule.name).unwrap_or_default(),
            })
            .collect();
        RuleList { last_evaluation: at, evaluation_seconds: took, problem, rules }
    }

    pub fn silence(&self, request: SilenceRequest) -> Result<Silence, SilenceError> {
        let silence = lock(&self.engine).silence(request, self.now().wall)?;
        self.version.fetch_add(1, Ordering::Release);
        info!(
            id = silence.id,
            rule = silence.rule.as_str(),
            author = silence.author,
            comment = silence.comment,
            "silenced"
        );
        Ok(silence)
    }

    /// Ends a silence. `None` if there is none of this number.
    pub fn unsilence(&self, id: u32) -> Option<Silence> {
        let silence = lock(&self.engine).unsilence(id)?;
        self.version.fetch_add(1, Ordering::Release);
        info!(id, rule = silence.rule.as_str(), "silence ended");
        Some(silence)
    }

    /// For the disk. What sinks were told is only here until they know it themselves.
    pub fn save(&self) -> SavedEngine {
        let engine = lock(&self.engine);
        let sinks = match &*lock(&self.before) {
            Some(before) => before.sinks.clone(),
            None => Some(BTreeMap::new()),
        };
        SavedEngine { sinks, ..engine.save(self.now()) }
    }

    /// Goes on from an earlier run, if `restore`, which gives the counters back what they were, has something of it. Nothing
    /// is evaluated meanwhile, so that no counter is seen to jump.
    pub fn restore(&self, restore: impl FnOnce() -> Option<SavedEngine>) {
        let mut engine = lock(&self.engine);
        let Some(mut saved) = restore() else { return };
        let now = self.now();
        let ago = Duration::try_from_secs_f64(now.wall - saved.saved).unwrap_or_default();
        *lock(&self.before) = Some(Before { sinks: saved.sinks.take(), ago });
        engine.restore(saved, now);
        self.version.fetch_add(1, Ordering::Release);
    }
}

/// The rules of the configuration: the default ones, files, and rows of CONFIG_DB.
pub fn load(config: &AlertsConfig, rows: &[RuleRow]) -> Result<Rules, ConfigError> {
    let sinks = config.sink.iter().map(|sink| sink.name.clone()).collect();
    let mut loader =
        Loader::new(sinks).evaluated_every(config.evaluation_interval).runbooks_at(&config.runbook_base_url);
    if config.default_rules {
        loader.defaults();
    }
    for pattern in &config.rules {
        let wrong =
            |problem: String| ConfigError::Value { key: "alerts.rules", value: format!("{pattern:?}"), problem };
        let found = glob::glob(pattern).map_err(|error| wrong(format!("is no pattern of files: {error}")))?;
        // In the order of their names, as glob has them.
        for path in found {
            let path = path.map_err(|error| wrong(format!("cannot be looked through: {error}")))?;
            let text = regular_file::read(&path, LARGEST_FILE)
                .map_err(|error| wrong(format!("{} cannot be read: {error}", path.display())))?;
            loader.file(&path.display().to_string(), &text);
        }
    }
    for (name, fields) in rows {
        loader.fields(name, fields.iter().map(|(field, value)| (field.as_str(), value.as_str())));
    }
    loader.finish().map_err(|errors| ConfigError::Content(Box::new(errors)))
}

fn settings(config: &AlertsConfig) -> Settings {
    Settings { evaluation_interval: config.evaluation_interval, history: config.history }
}

fn fallback(config: &AlertsConfig) -> Rules {
    load(&AlertsConfig { rules: Vec::new(), ..config.clone() }, &[]).unwrap_or_default()
}

#[cfg(test)]
mod tests;
