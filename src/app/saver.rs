//! What survives a restart, read and saved on a thread of its own: the disk may take its time, or never answer.

use std::future::pending;
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use anyhow::{Context, anyhow};
use tokio::sync::oneshot::error::TryRecvError;
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
pub(super) struct StateSaver {
    reader: Arc<Reader>,
    alerting: Arc<Alerting>,
    config: StateConfig,
    /// Outlives the thread: what was read is given back once.
    keeper: Arc<Mutex<Keeper>>,
    /// To the thread, once it is there.
    jobs: Mutex<Option<mpsc::Sender<Job>>>,
    /// Of what was to be noted, if the disk did not answer in time.
    unnoted: Mutex<Option<oneshot::Receiver<()>>>,
    /// Whether it was tried to read the state.
    read: watch::Sender<bool>,
}

struct Job {
    task: Task,
    done: oneshot::Sender<()>,
}

/// What is done once what there is was read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Task {
    Read,
    Save,
    NoteExposed,
    NoteNotifications,
}

impl StateSaver {
    pub fn new(config: &StateConfig, reader: Arc<Reader>, alerting: Arc<Alerting>) -> Self {
        let keeper = Arc::new(Mutex::new(Keeper::open(config, Arc::clone(reader.telemetry()))));
        let config = config.clone();
        Self {
            reader,
            alerting,
            config,
            keeper,
            jobs: Mutex::default(),
            unnoted: Mutex::default(),
            read: watch::Sender::new(false),
        }
    }

    /// Reads what there is, then saves regularly. Comes back only because the thread cannot be made, or ended.
    pub async fn run(&self) -> anyhow::Result<()> {
        if self.is_off() {
            lock(&self.keeper).read();
            self.read.send_replace(true);
            return pending().await;
        }
        let outcome = self.ask(Task::Read).await;
        self.read.send_replace(true);
        outcome?;
        loop {
            sleep(self.config.save_interval).await;
            self.ask(Task::Save).await?;
        }
    }

    /// Waits until the state was looked for, but not for longer than this: what is found later is given back later.
    pub async fn wait_until_read(&self, limit: Duration) {
        let _ = timeout(limit, self.read.subscribe().wait_for(|read| *read)).await;
    }

    pub async fn save(&self) {
        if self.is_off() {
            return;
        }
        if let Err(error) = self.ask(Task::Save).await {
            warn!(
                reason = format!("{error:#}"),
                "the state could not be saved, what changed since the last time is lost"
            );
        }
    }

    /// Notes what is shown of the counters.
    pub async fn note_exposed(&self) {
        self.note(Task::NoteExposed).await;
    }

    /// Notes how alerts stand, and what receivers are about to be told.
    pub async fn note_notifications(&self) {
        self.note(Task::NoteNotifications).await;
    }

    /// A disk that takes longer than this keeps nobody waiting, and is not asked again before it has answered.
    async fn note(&self, task: Task) {
        const LIMIT: Duration = Duration::from_millis(500);
        if self.is_off()
            || lock(&self.unnoted).as_mut().is_some_and(|answer| answer.try_recv() == Err(TryRecvError::Empty))
        {
            return;
        }
        let (done, mut answer) = oneshot::channel();
        if self.send(Job { task, done }).is_ok() && timeout(LIMIT, &mut answer).await.is_err() {
            *lock(&self.unnoted) = Some(answer);
        }
    }

    fn is_off(&self) -> bool {
        self.config.dir.as_os_str().is_empty()
    }

    /// Reads what there is if that was not possible before, then saves if it is wanted. A save that nobody waits for any longer
    /// goes on by itself; the next one comes after it.
    async fn ask(&self, task: Task) -> anyhow::Result<()> {
        let (done, mut answer) = oneshot::channel();
        self.send(Job { task, done })?;
        let answered = match timeout(HANGS, &mut answer).await {
            Ok(answered) => answered,
            Err(_) => {
                let reason = format!("the disk has not answered for {} s", HANGS.as_secs());
                warn!(reason, "state can be neither read nor saved, waiting; the ports do not need it");
                self.reader.telemetry().readiness.set_not_ready(Component::State, reason);
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
    alerting.evaluator.restore(|| keeper.restore());
    match job.task {
        Task::Read => {}
        Task::Save => drop(keeper.save_if_changed(alerting.save())),
        Task::NoteExposed => keeper.note_exposed(),
        Task::NoteNotifications => keeper.note_notifications(alerting.save()),
    }
    keeper.show();
    if let Some(path) = keeper.path() {
        reader.saved(path.display().to_string(), keeper.written());
    }
    // Whoever asked may have stopped waiting.
    let _ = job.done.send(());
}
