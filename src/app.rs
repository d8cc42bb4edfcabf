//! The composition root: the core on the main thread, and beside it, on a thread of its own, whatever tells of it.
//!
//! The two share only [`Telemetry`], which the core writes to without waiting. Nothing beside the core can stop it: each part
//! there (HTTP, state, alerts) is started again whatever ends it, a panic included, which is said in the log and in health.

mod saver;
mod supervise;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use anyhow::Context;
use futures_util::future::{BoxFuture, FutureExt};
use nix::sys::signal::{SigSet, Signal};
use tokio::runtime::Runtime;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::sync::oneshot;
use tracing::{debug, error, warn};

use crate::alert::service::{Alerting, AlertingCommand, Work};
use crate::config::{Config, Flags};
use crate::daemon::{Daemon, Signals};
use crate::db::store::Store;
use crate::http::{self, Service};
use crate::logging::Logging;
use crate::panics::panic_message;
use crate::status::collector::Reader;
use crate::telemetry::Component;
use crate::telemetry::Telemetry;
use crate::telemetry::labels::Sidecar;
use saver::StateSaver;
use supervise::supervise;

/// How much more often the core is chosen than what runs beside it, where both want a processor.
const NICE: i32 = 10;
/// How long HTTP waits for the state of an earlier run: a scrape before it is there would see counters jump.
const FIRST_ANSWER: Duration = Duration::from_millis(500);
/// How long the first look at the rules waits for it. What is read later, alerts go on from later.
const FIRST_EVALUATION: Duration = Duration::from_secs(5);
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
    let telemetry = Arc::new(Telemetry::default());
    let logging = Logging::start(&config.log, Arc::clone(&telemetry)).context("cannot start the log")?;
    log_panics();
    let reader = Reader::new(Arc::clone(&telemetry), config.telemetry.per_port_limit, config.health.clone());
    let reader = Arc::new(reader);
    let store = config.redis.store()?;
    let (alerting, commands) = unbounded_channel();
    let runtime = core_runtime(&telemetry).context("cannot start the runtime")?;
    let signals = {
        let _within = runtime.enter();
        Signals::new().context("cannot listen to signals")?
    };
    // Before there is another thread, which would inherit what is held.
    self::signals().thread_unblock().context("cannot listen to signals")?;
    let sidecars = SidecarThread::start(config.clone(), store, reader, commands)
        .inspect_err(|error| report_no_sidecars(&telemetry, &format!("cannot start a thread: {error}")));
    let outcome = runtime.block_on(async {
        let daemon = Daemon::new(config, flags, alerting, signals, logging, telemetry).await?;
        daemon.run().await
    });
    // A name server that does not answer holds a thread of the runtime's; nobody waits for it.
    runtime.shutdown_background();
    if let Ok(sidecars) = sidecars {
        sidecars.end();
    }
    outcome
}

/// The core waits while its thread is parked, and only then: whatever else it does may hang.
fn core_runtime(telemetry: &Arc<Telemetry>) -> std::io::Result<Runtime> {
    let (waits, works) = (Arc::clone(telemetry), Arc::clone(telemetry));
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.on_thread_park(move || waits.core_waits()).on_thread_unpark(move || works.core_works());
    runtime.enable_all().build()
}

/// What runs beside the core.
struct SidecarThread {
    end: oneshot::Sender<()>,
    ended: mpsc::Receiver<()>,
}

impl SidecarThread {
    fn start(
        config: Config,
        store: Store,
        reader: Arc<Reader>,
        commands: UnboundedReceiver<AlertingCommand>,
    ) -> std::io::Result<Self> {
        let (end, told_to_end) = oneshot::channel();
        let (at_end, ended) = mpsc::channel();
        thread::Builder::new().name("beside".to_owned()).spawn(move || {
            // Linux counts niceness by thread, and hands it to the threads of this one. Without it the core is no worse off than
            // among other processes.
            if let Err(error) = rustix::process::setpriority_process(None, NICE) {
                debug!(error = %error, "cannot lower the priority of what runs beside the core");
            }
            let telemetry = Arc::clone(reader.telemetry());
            let all = || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                let work = Work { config, commands, end: told_to_end };
                runtime.block_on(run_sidecars(work, &store, reader));
                // A name server that does not answer holds a thread of the runtime's.
                runtime.shutdown_background();
                Ok(())
            };
            match catch_unwind(AssertUnwindSafe(all)) {
                Ok(Ok(())) => {}
                Ok(Err::<_, std::io::Error>(error)) => report_no_sidecars(&telemetry, &error.to_string()),
                Err(panic) => report_no_sidecars(&telemetry, panic_message(&*panic)),
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

/// The core goes on alone.
fn report_no_sidecars(telemetry: &Telemetry, reason: &str) {
    error!(
        reason,
        "nothing runs beside the core: no HTTP, no control socket, no state, no alerts; the ports do not need it"
    );
    for component in [Component::Http, Component::Control, Component::State] {
        telemetry.readiness.set_not_ready(component, reason);
    }
}

async fn run_sidecars(mut work: Work, store: &Store, reader: Arc<Reader>) {
    let config = work.config.clone();
    let telemetry = Arc::clone(reader.telemetry());
    let alerting = Arc::new(Alerting::new(&config.alerts, &reader));
    let saver = Arc::new(StateSaver::new(&config.state, Arc::clone(&reader), Arc::clone(&alerting)));
    let weak = Arc::downgrade(&saver);
    alerting.write_ahead(move || {
        let saver = weak.upgrade();
        async move {
            if let Some(saver) = saver {
                saver.note_notifications().await;
            }
        }
        .boxed()
    });
    let noting = Arc::clone(&saver);
    let exposed = move || -> BoxFuture<'static, ()> {
        let saver = Arc::clone(&noting);
        Box::pin(async move { saver.note_exposed().await })
    };
    let service = Service::new(reader, Arc::clone(&alerting.evaluator), Box::new(exposed));
    tokio::select! {
        () = supervise(Sidecar::State, &telemetry, async || saver.run().await) => {}
        () = supervise(Sidecar::Http, &telemetry, async || {
            saver.wait_until_read(FIRST_ANSWER).await;
            http::serve(Arc::clone(&service), &config.http, &config.control).await;
            Ok(())
        }) => {}
        () = supervise(Sidecar::Alerts, &telemetry, async || {
            saver.wait_until_read(FIRST_EVALUATION).await;
            alerting.run(&mut work, store).await;
            Ok(())
        }) => {}
    }
    // The core has ended: nothing more is counted.
    saver.save().await;
}

/// A panic is a line of the log. One of the core ends the process, as supervisors expect it to; any other ends what it
/// happened in.
fn log_panics() {
    let core = thread::current().id();
    std::panic::set_hook(Box::new(move |panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let thread = thread::current();
        error!(thread = thread.name(), place, reason = panic_message(panic.payload()), "panic");
        if thread.id() == core {
            std::process::abort();
        }
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_the_core_does_but_wait_is_work() {
        let telemetry = Arc::<Telemetry>::default();
        assert!(telemetry.core_is_at_work(), "it has not come to wait yet");
        let looking = Arc::clone(&telemetry);
        let (hangs, looked) = (mpsc::channel(), mpsc::channel());
        let (seen, wait_over) = oneshot::channel();
        let looks = thread::spawn(move || {
            while looking.core_is_at_work() {
                thread::yield_now();
            }
            let _ = seen.send(());
            // Woken by that, it hangs in a call that nobody marked.
            let () = hangs.1.recv().unwrap();
            looked.0.send(looking.core_is_at_work()).unwrap();
        });
        core_runtime(&telemetry).unwrap().block_on(async {
            wait_over.await.unwrap();
            hangs.0.send(()).unwrap();
            assert!(looked.1.recv().unwrap());
        });
        looks.join().unwrap();
    }
}
