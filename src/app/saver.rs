//! What survives a restart, read and saved on a thread of its own: the disk may take its time, or never answer.

use std::future::pending;
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use anyhow::{Context, anyhow};
use tokio::sync::{oneshot, watch};
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use crate::alert::service::Alerting;
use crate::config::StateConfig;
use crate::locks::lock;
use crate::state::Keeper;
use crate::status::collector::Reader;
use crate::telemetry::Component;

/// A disk that takes longer than this is said to hang.
const HANGS: Duration = Duration::from_secs(10);

/// See the module. The thread ends when this is dropped, or never if the disk never answers.
pub(super) struct Saver {
    reader: Arc<Reader>,
    alerting: Arc<Alerting>,
    config: StateConfig,
    /// Outlives the thread: what was read is given back once.
    keeper: Arc<Mutex<Keeper>>,
    /// To the thread, once it is there.
    jobs: Mutex<Option<mpsc::Sender<Job>>>,
    /// Whether the state was looked for, with or without success.
    looked: watch::Sender<bool>,
}

struct Job {
    save: bool,
    done: oneshot::Sender<()>,
}

impl Saver {
    pub fn new(config: &StateConfig, reader: Arc<Reader>, alerting: Arc<Alerting>) -> Self {
        let keeper = Arc::new(Mutex::new(Keeper::open(config, Arc::clone(reader.telemetry()))));
        let config = config.clone();
        Self { reader, alerting, config, keeper, jobs: Mutex::default(), looked: watch::Sender::new(false) }
    }

    /// Reads what there is, then saves regularly. Comes back only because the thread cannot be made, or ended.
    pub async fn run(&self) -> anyhow::Result<()> {
        if self.is_off() {
            lock(&self.keeper).read();
            self.looked.send_replace(true);
            return pending().await;
        }
        let looked = self.ask(false).await;
        self.looked.send_replace(true);
        looked?;
        loop {
            sleep(self.config.save_interval).await;
            self.ask(true).await?;
        }
    }

    /// Waits until the state was looked for, but not for longer than this: what is found later is given back later.
    pub async fn looked(&self, limit: Duration) {
        let _ = timeout(limit, self.looked.subscribe().wait_for(|looked| *looked)).await;
    }

    pub async fn save(&self) {
        if self.is_off() {
            return;
        }
        if let Err(error) = self.ask(true).await {
            warn!(
                reason = format!("{error:#}"),
                "the state could not be saved, what changed since the last time is lost"
            );
        }
    }

    fn is_off(&self) -> bool {
        self.config.dir.as_os_str().is_empty()
    }

    /// Reads what there is if that was not possible before, then saves if it is wanted. A save that nobody waits for any longer
    /// goes on by itself; the next one comes after it.
    async fn ask(&self, save: bool) -> anyhow::Result<()> {
        let (done, mut answer) = oneshot::channel();
        self.send(Job { save, done })?;
        let answered = match timeout(HANGS, &mut answer).await {
            Ok(answered) => answered,
            Err(_) => {
                let reason = format!("the disk has not answered for {} s", HANGS.as_secs());
                warn!(reason, "state can be neither read nor saved, waiting; the ports do not need it");
                self.reader.telemetry().latches.unready(Component::State, reason);
                let answered = answer.await;
                info!("the disk of the state file answers again");
                answered
            }
        };
        answered.map_err(|_| {
            *lock(&self.jobs) = None;
            anyhow!("the thread of the state file ended")
        })
    }

    fn send(&self, job: Job) -> anyhow::Result<()> {
        let mut jobs = lock(&self.jobs);
        let sender = match jobs.take() {
            Some(sender) => sender,
            None => self.start_thread().context("cannot start a thread for the state file")?,
        };
        sender.send(job).map_err(|_| anyhow!("the thread of the state file ended"))?;
        *jobs = Some(sender);
        Ok(())
    }

    fn start_thread(&self) -> std::io::Result<mpsc::Sender<Job>> {
        let (sender, jobs) = mpsc::channel();
        let (keeper, alerting, reader) =
            (Arc::clone(&self.keeper), Arc::clone(&self.alerting), Arc::clone(&self.reader));
        thread::Builder::new().name("state".to_owned()).spawn(move || {
            for job in jobs {
                work(&keeper, &alerting, &reader, job);
            }
        })?;
        Ok(sender)
    }
}

fn work(keeper: &Mutex<Keeper>, alerting: &Alerting, reader: &Reader, job: Job) {
    let mut keeper = lock(keeper);
    keeper.read();
    alerting.evaluator.go_on(|| keeper.restore());
    if job.save {
        keeper.save_if_changed(alerting.save());
    }
    keeper.show();
    if let Some(path) = keeper.path() {
        reader.saved(path.display().to_string(), keeper.written());
    }
    // Whoever asked may have stopped waiting.
    let _ = job.done.send(());
}
