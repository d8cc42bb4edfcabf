//! One turn of the loop: wait for one thing to happen, and deal with it at once.

use std::future::{Future, pending};
use std::io;
use std::time::Duration;

use anyhow::Context;
use futures_util::StreamExt;
use futures_util::stream::{BoxStream, SelectAll, poll_fn, select_all};
use redis::ErrorKind;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;
use tracing::{debug, error, info, warn};

use super::{Daemon, Live, Stop};
use crate::db::pending::Origin;
use crate::db::store::Heard;
use crate::db::table::redis_key;
use crate::db::writer::BATCH;
use crate::db::{StoreError, Trouble};
use crate::link::LinkEvent;
use crate::telemetry::labels::{Cause, Db, LinkKind, Outcome, Refusal};

/// So many link messages while Redis is busy without a pause make a burst.
const BURST: usize = 32;
/// How long messages of a burst may come together: about as long as Redis takes to answer.
const GATHER: Duration = Duration::from_micros(50);

/// The signals that the daemon listens to. Each is looked at only when it woke us.
pub(super) struct Signals {
    heard: SelectAll<BoxStream<'static, Told>>,
    kept: bool,
}

/// What a signal tells.
#[derive(Clone, Copy)]
enum Told {
    End,
    Reload,
}

enum Event {
    Told(Told),
    Links,
    Written(Result<(), StoreError>),
    Heard(Heard),
    Timer,
}

impl Signals {
    pub fn new() -> io::Result<Self> {
        let told = |kind, told| -> io::Result<_> {
            let mut signal = signal(kind)?;
            Ok(poll_fn(move |context| signal.poll_recv(context).map(|heard| heard.map(|()| told))).boxed())
        };
        let heard = select_all([
            told(SignalKind::terminate(), Told::End)?,
            told(SignalKind::interrupt(), Told::End)?,
            told(SignalKind::hangup(), Told::Reload)?,
        ]);
        Ok(Self { heard, kept: false })
    }

    /// A signal that came where nothing could be done about it: it comes again.
    pub fn keep(&mut self, kept: bool) {
        self.kept |= kept;
    }

    /// Cancel safe, as tokio's signals are.
    async fn next(&mut self) -> Told {
        if std::mem::take(&mut self.kept) {
            return Told::End;
        }
        match self.heard.next().await {
            Some(told) => told,
            None => pending().await,
        }
    }
}

impl Daemon {
    /// Goes on turning until `work` is done.
    pub(super) async fn during<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Stop> {
        tokio::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return Ok(done),
                turned = self.turn_until(None) => turned?,
            }
        }
    }

    /// A turn that ends at the latest when there is work to begin.
    pub(super) async fn turn(&mut self) -> Result<(), Stop> {
        self.turn_until(self.timers.next_work([self.core.resync_at(), self.core.watch.again_at()])).await
    }

    /// Waits for one thing and deals with it. Cancel safe: nothing is taken before the wait is over, and what follows
    /// does not wait.
    async fn turn_until(&mut self, work: Option<Instant>) -> Result<(), Stop> {
        self.launch().await;
        self.telemetry.metrics.pending_rows.set_count((), self.core.pending.unwritten());
        self.telemetry.core_waits();
        self.timers.left_out_since(self.logging.has_left_out());
        let late = self.live.as_ref().and_then(|live| live.writer.deadline());
        let deadline = self.timers.next_service().into_iter().chain(work).chain(late).min();
        let (written, heard) = match &mut self.live {
            Some(Live { writer, listeners, .. }) => (Some(writer), Some(&mut listeners.heard)),
            None => (None, None),
        };
        let written = async {
            match written {
                Some(writer) => writer.progress().await,
                None => pending().await,
            }
        };
        let heard = async {
            match heard {
                Some(heard) => heard.next().await.unwrap_or(Heard::Gone),
                None => pending().await,
            }
        };
        let event = tokio::select! {
            told = self.signals.next() => Event::Told(told),
            readable = self.monitor.readable() => {
                readable.context("cannot watch the kernel's links").map_err(Stop::Fatal)?;
                Event::Links
            }
            outcome = written => Event::Written(outcome),
            heard = heard => Event::Heard(heard),
            due = self.alarm.at(deadline) => {
                due.context("cannot wait for a timer").map_err(Stop::Fatal)?;
                Event::Timer
            }
        };
        self.telemetry.core_works();
        let links = matches!(event, Event::Links);
        match event {
            Event::Told(Told::End) => return Err(Stop::Signal),
            Event::Told(Told::Reload) => self.reload(),
            Event::Links => {
                self.read_links().map_err(Stop::Fatal)?;
            }
            Event::Written(outcome) => {
                outcome.map_err(Stop::Failed)?;
                self.written()?;
            }
            Event::Heard(Heard::Gone) => return Err(Stop::Gone),
            Event::Heard(Heard::Channel(channel)) => self.heard(&channel),
            Event::Timer => self.tick()?,
        }
        self.launch().await;
        if links {
            self.gather();
        }
        Ok(())
    }

    /// Reads what the kernel has to say until nothing is left. Messages that were queued before others were lost are older
    /// than a dump, so that none of them may be read after it. False if the kernel sends faster than they are read.
    pub(super) fn drain_links(&mut self) -> anyhow::Result<bool> {
        /// Far more than fit into the largest receive buffer.
        const BATCHES: usize = 10_000;
        for _ in 0..BATCHES {
            if !self.read_links()? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Reads a batch of what the kernel has to say. True if there may be more.
    pub(super) fn read_links(&mut self) -> anyhow::Result<bool> {
        let core = &mut self.core;
        let mut gone = 0;
        core.pending.because(Origin::Message(Instant::now()));
        let batch = self.monitor.read(|event| {
            gone += u64::from(matches!(event, LinkEvent::Del(_)));
            core.event(&event);
        });
        core.pending.because(Origin::Other);
        let batch = batch.context("cannot watch the kernel's links")?;
        let metrics = &self.telemetry.metrics;
        metrics.link_events.add(LinkKind::Del, gone);
        metrics.link_events.add(LinkKind::New, batch.events as u64 - gone);
        metrics.netlink_refused.add(Refusal::Foreign, batch.foreign.into());
        metrics.netlink_refused.add(Refusal::Malformed, batch.malformed.into());
        self.burst = self.burst.saturating_add(batch.events);
        if batch.lost {
            warn!("the kernel had to drop link messages, asking it for all links");
            if batch.malformed == 0 {
                metrics.netlink_overruns.count(());
                self.telemetry.mark(&self.telemetry.moments.overrun);
            }
            self.core.resync_in(Duration::ZERO, Cause::Overrun);
        }
        Ok(batch.more)
    }

    /// Sends what is pending, unless a batch is under way or Redis is not to be bothered; then says what changed. The row
    /// comes first: whoever waits for it does not wait for the log.
    async fn launch(&mut self) {
        if let Some(Live { writer, writing: true, sent, .. }) = &mut self.live
            && !self.core.pending.is_empty()
            && writer.is_idle()
            && self.timers.write_again.is_none()
        {
            *sent = Some(Instant::now());
            self.core.pending.take(BATCH, |key, write| writer.push(key, write));
            writer.send().await;
        }
        self.core.tell();
    }

    /// In a burst, lets more messages come together before they are read: nothing could be sent anyway before Redis answers,
    /// and waking up for each message costs several times what the message itself does. A change on a quiet switch never
    /// comes here, nor do the few messages that the kernel sends for one.
    fn gather(&self) {
        let busy = self.live.as_ref().is_some_and(|live| !live.writer.is_idle());
        if busy && self.burst >= BURST {
            std::thread::sleep(GATHER);
        }
    }

    /// Takes the answers that are there.
    fn written(&mut self) -> Result<(), Stop> {
        let Some(live) = &mut self.live else { return Ok(()) };
        let (mut refused, mut reason) = (0, None);
        let now = Instant::now();
        let metrics = &self.telemetry.metrics;
        while let Some((key, _, answer)) = live.writer.answer().map_err(Stop::Failed)? {
            match answer {
                Ok(()) => self.core.acknowledged(key, now),
                Err(error) => match Trouble::of(&error) {
                    Trouble::WrongType => {
                        metrics.redis_writes.count((Db::State, Outcome::WrongType));
                        if self.core.pending.broken(key) {
                            error!(
                                key = %redis_key(key, &self.store.topology.state.separator).escape_ascii(),
                                "key of STATE_DB holds another type than a hash, its port cannot be shown; delete the key to mend it"
                            );
                        }
                    }
                    Trouble::NoScript | Trouble::Refused => {
                        refused += 1;
                        metrics.redis_writes.count((Db::State, Outcome::Refused));
                        self.core.pending.failed(key);
                        reason.get_or_insert(error);
                    }
                    Trouble::Lost => {
                        metrics.redis_writes.count((Db::State, Outcome::Lost));
                        self.core.pending.failed(key);
                        return Err(Stop::Failed(StoreError {
                            operation: "cannot write ports to STATE_DB",
                            source: error,
                        }));
                    }
                },
            }
        }
        if live.writer.is_idle()
            && let Some(sent) = live.sent.take()
        {
            metrics.redis_write.observe(now - sent);
        }
        if live.writer.is_idle() && self.core.pending.is_empty() {
            self.burst = 0;
        }
        if let Some(error) = reason {
            self.refusals += refused;
            if !self.timers.is_refused() {
                warn!(rows = refused, total = self.refusals, reason = %error, "Redis refuses rows, trying again until it takes them");
            }
            self.timers.write_again = Some(self.timers.refused());
        } else if live.writer.is_idle() && self.timers.write_again.is_none() && self.timers.accepted() {
            info!(total = self.refusals, "Redis takes rows again");
        }
        Ok(())
    }

    /// Does what is due and takes no time.
    fn tick(&mut self) -> Result<(), Stop> {
        let now = Instant::now();
        if self.live.as_ref().and_then(|live| live.writer.deadline()).is_some_and(|at| at <= now) {
            return Err(Stop::Failed(StoreError {
                operation: "cannot write ports to STATE_DB",
                source: (ErrorKind::Io, "no answer within redis.response_timeout").into(),
            }));
        }
        if let Some((at, every)) = self.timers.watchdog.as_mut().filter(|(at, _)| *at <= now) {
            *at = now + *every;
            self.supervisor.watchdog();
        }
        if let Some((at, every)) = self.timers.heartbeat.as_mut().filter(|(at, _)| *at <= now) {
            *at = now + *every;
            crate::health::heartbeat();
        }
        if self.timers.write_again.is_some_and(|at| at <= now) {
            self.timers.write_again = None;
        }
        if self.timers.left_out.is_some_and(|at| at <= now) {
            self.timers.left_out = None;
            self.logging.report_left_out();
        }
        if self.timers.sync_limit.is_some_and(|at| at <= now) {
            self.timers.sync_limit = None;
            self.start_takes_too_long();
        }
        if self.core.init.is_said() {
            self.timers.awaited = None;
        } else if let Some(awaited_for) = self.timers.awaited_due(now) {
            self.report_awaited(awaited_for);
        }
        Ok(())
    }

    fn start_takes_too_long(&self) {
        if !self.telemetry.starts.current().done && self.telemetry.starts.timed_out() {
            self.telemetry.metrics.initial_sync_timeouts.count(());
            warn!(
                seconds = self.config.health.initial_sync_timeout.as_secs(),
                awaited = self.core.init.awaited().len(),
                "the start takes longer than health.initial_sync_timeout, going on"
            );
        }
    }

    fn report_awaited(&mut self, awaited_for: Duration) {
        const NAMED: usize = 20;
        let awaited = self.core.init.awaited();
        let count = awaited.len();
        if count == 0 {
            return;
        }
        let mut ports: Vec<String> = awaited.take(NAMED).map(|name| name.escape_ascii().to_string()).collect();
        if count > NAMED {
            ports.push(format!("and {} more", count - NAMED));
        }
        let seconds = awaited_for.as_secs();
        info!(ports = ports.join(" "), count, seconds, "still waiting for ports before PortInitDone");
        self.supervisor.status(format!("waiting for {count} ports since {seconds} s, the first is {}", ports[0]));
    }

    fn reload(&mut self) {
        self.supervisor.reloading();
        match (self.read_config)() {
            Ok(config) => {
                self.logging.reconfigure(&config.log);
                if config.log.heartbeat != self.config.log.heartbeat {
                    self.timers.set_heartbeat(config.log.heartbeat);
                }
                if config.netlink.audit_interval != self.config.netlink.audit_interval && self.timers.audit.is_some() {
                    self.timers.set_audit(config.netlink.audit_interval);
                }
                if config.redis != self.config.redis
                    || config.ports != self.config.ports
                    || config.netlink.receive_buffer != self.config.netlink.receive_buffer
                    || config.telemetry != self.config.telemetry
                    || config.http != self.config.http
                    || config.control != self.config.control
                    || config.state != self.config.state
                {
                    warn!(
                        "[redis], [ports], netlink.receive_buffer, [telemetry], [http], [control] and [state] hold from the next start on; restart the daemon for them"
                    );
                }
                (self.reloaded)(&config);
                self.config.log = config.log;
                self.config.shutdown = config.shutdown;
                self.config.health = config.health;
                self.config.netlink.audit_interval = config.netlink.audit_interval;
                info!("configuration read again");
            }
            Err(problem) => error!(problem = %problem, "configuration is wrong, keeping the one before"),
        }
        self.supervisor.reloaded();
    }

    fn heard(&mut self, channel: &[u8]) {
        debug!(channel = %channel.escape_ascii(), "keyspace notification");
        let Some(live) = &self.live else { return };
        let (appl, config) = (&live.session.appl, &live.session.config);
        if let Some(name) = super::follow::awaited_port(appl, channel) {
            self.core.watch.heard(name);
        } else if channel == super::follow::logger_channel(config) {
            self.logger_changed = true;
        } else if super::follow::is_alert_rule(config, channel) {
            self.rules_changed = true;
        } else if let Some(name) = super::follow::config_port(config, channel) {
            self.config_changed.insert(name);
        }
    }
}
