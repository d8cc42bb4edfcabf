//! The composition root: the core on the main thread, and beside it, on a thread of its own, whatever tells of it.
//!
//! The two share only [`Telemetry`], which the core writes to without waiting. Nothing beside the core can stop it: what
//! fails there is said in the log and in health, and tried again.

use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use anyhow::Context;
use nix::sys::signal::{SigSet, Signal};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::sync::oneshot;
use tracing::{debug, warn};

use crate::alert::service::{Alerting, Told};
use crate::config::{self, Config, Flags};
use crate::daemon::{Daemon, Hooks, Signals};
use crate::db::store::Store;
use crate::http::{self, Service};
use crate::logging::Logging;
use crate::state::Keeper;
use crate::telemetry::Telemetry;
use crate::telemetry::read::Reader;

/// How much more often the core is chosen than what runs beside it, where both want a processor.
const NICE: i32 = 10;
/// How long the end of what runs beside the core may take.
const FAREWELL: Duration = Duration::from_secs(2);

/// The signals that the daemon listens to.
pub fn signals() -> SigSet {
    SigSet::from_iter([Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP])
}

/// Runs the daemon until it is told to end. The answer is whether everything was written.
pub fn run(config: Config, flags: Flags) -> anyhow::Result<bool> {
    // One provider of cryptography is compiled in; a second call would find it there.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let logging = Logging::start(&config.log).context("cannot start the log")?;
    let telemetry = Arc::new(Telemetry::default());
    let reader = Reader::new(Arc::clone(&telemetry), config.telemetry.per_port_limit, config.health.clone());
    let reader = Arc::new(reader);
    let store = config.redis.store()?;
    let (tell, told) = unbounded_channel();
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start the runtime")?;
    let signals = {
        let _within = runtime.enter();
        Signals::new().context("cannot listen to signals")?
    };
    // Before there is another thread, which would inherit what is held.
    self::signals().thread_unblock().context("cannot listen to signals")?;
    let beside = Beside::start(config.clone(), store, reader, told).context("cannot start a thread")?;
    // Nobody listens any longer only if the thread could not go on, which it has said.
    let found = tell.clone();
    let hooks = Hooks {
        read_config: Box::new(move || config::load(&flags)),
        reloaded: Box::new(move |config: &Config| drop(tell.send(Told::Config(Box::new(config.clone()))))),
        rules_found: Box::new(move |rows| drop(found.send(Told::Rules(rows)))),
    };
    let outcome = runtime.block_on(async {
        let daemon = Daemon::new(config, hooks, signals, logging, telemetry).await?;
        daemon.run().await
    });
    // A name server that does not answer holds a thread of the runtime's; nobody waits for it.
    runtime.shutdown_background();
    beside.end();
    outcome
}

/// What runs beside the core.
struct Beside {
    end: oneshot::Sender<()>,
    ended: mpsc::Receiver<()>,
}

impl Beside {
    fn start(
        config: Config,
        store: Store,
        reader: Arc<Reader>,
        told: UnboundedReceiver<Told>,
    ) -> std::io::Result<Self> {
        let (end, told_to_end) = oneshot::channel();
        let (at_end, ended) = mpsc::channel();
        thread::Builder::new().name("beside".to_owned()).spawn(move || {
            // Linux counts niceness by thread. Without it the core is no worse off than among other processes.
            if let Err(error) = rustix::process::setpriority_process(None, NICE) {
                debug!(error = %error, "cannot lower the priority of what runs beside the core");
            }
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            match runtime {
                Ok(runtime) => runtime.block_on(beside(config, &store, reader, told, told_to_end)),
                Err(error) => {
                    warn!(error = %error, "cannot start the runtime beside the core, going on without HTTP and state");
                }
            }
            // The receiver is gone if this took too long.
            let _ = at_end.send(());
        })?;
        Ok(Self { end, ended })
    }

    fn end(self) {
        let _ = self.end.send(());
        if self.ended.recv_timeout(FAREWELL).is_err() {
            warn!("what runs beside the core did not end in time");
        }
    }
}

async fn beside(
    config: Config,
    store: &Store,
    reader: Arc<Reader>,
    told: UnboundedReceiver<Told>,
    told_to_end: oneshot::Receiver<()>,
) {
    let alerting = Arc::new(Alerting::new(&config.alerts, &reader));
    let mut kept = Kept::load(&config, Arc::clone(&reader), Arc::clone(&alerting)).await;
    let service = Service::new(reader, Arc::clone(&alerting.evaluator));
    tokio::select! {
        () = http::serve(service, &config.http, &config.control) => {}
        () = kept.save_regularly() => {}
        () = alerting.run(config.clone(), store, told, told_to_end) => {}
    }
    // The core has ended: nothing more is counted.
    kept.save().await;
}

/// What survives a restart. The disk may take its time, so that it has a thread of its own whenever it is needed.
struct Kept {
    reader: Arc<Reader>,
    alerting: Arc<Alerting>,
    interval: Duration,
    keeper: Arc<Mutex<Keeper>>,
}

impl Kept {
    async fn load(config: &Config, reader: Arc<Reader>, alerting: Arc<Alerting>) -> Self {
        let keeper = Keeper::open(&config.state, Arc::clone(reader.telemetry()));
        let interval = config.state.save_interval;
        let mut kept = Self { reader, alerting, interval, keeper: Arc::new(Mutex::new(keeper)) };
        kept.with(|_, _| {}).await;
        kept
    }

    /// Never comes back.
    async fn save_regularly(&mut self) {
        loop {
            tokio::time::sleep(self.interval).await;
            self.save().await;
        }
    }

    async fn save(&mut self) {
        self.with(|keeper, alerting| {
            keeper.save_if_changed(alerting.save());
        })
        .await;
    }

    /// Reads what there is if that was not possible before, then does the work. A save that nobody waits for any longer goes
    /// on by itself; the next one waits for it.
    async fn with(&mut self, work: impl FnOnce(&mut Keeper, &Alerting) + Send + 'static) {
        let (keeper, alerting) = (Arc::clone(&self.keeper), Arc::clone(&self.alerting));
        let done = tokio::task::spawn_blocking(move || {
            let mut keeper = keeper.lock().unwrap_or_else(PoisonError::into_inner);
            keeper.read();
            alerting.evaluator.go_on(|| keeper.restore());
            work(&mut keeper, &alerting);
            (keeper.path(), keeper.written())
        });
        if let Ok((Some(path), written)) = done.await {
            self.reader.saved(path.display().to_string(), written);
        }
    }
}
