//! The loop: wait for one thing to happen, and deal with it at once.

use std::future::{Future, pending};
use std::io;
use std::time::Duration;

use anyhow::Context;
use futures_util::StreamExt;
use futures_util::stream::{BoxStream, SelectAll, poll_fn, select_all};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;
use tracing::{error, info, warn};

use super::config_db::ConfigDb;
use super::session::RowConnection;
use super::startup::named;
use super::timers::earlier;
use super::{Daemon, Stop};
use crate::alert::service::AlertingCommand;
use crate::clock::{now_ms, seconds};
use crate::config;
use crate::db::listener::Heard;
use crate::db::pending::Origin;
use crate::db::tables::redis_key;
use crate::db::writer::{self, BATCH};
use crate::db::{ServerError, StoreError, Trouble};
use crate::link::LinkEvent;
use crate::telemetry::labels::{Cause, Db, LinkKind, Refusal};

/// So many link messages while Redis is busy without a pause make a burst.
const BURST: usize = 32;
/// How long messages of a burst may come together: about as long as Redis takes to answer.
const COALESCE: Duration = Duration::from_micros(50);

/// The signals that the daemon listens to. Each is looked at only when it woke us.
pub struct Signals(SelectAll<BoxStream<'static, Signal>>);

#[derive(Clone, Copy)]
pub(super) enum Signal {
    End,
    Reload,
}

/// What the loop wakes up for.
pub(super) enum Wakeup {
    Signal(Signal),
    Links,
    Timer,
    /// A server can be asked from now on.
    Connected(usize),
    /// A server cannot be reached, or its connection ended.
    Lost(usize, StoreError),
    Heard(Heard),
    /// There may be replies to rows.
    Replies,
}

impl Signals {
    /// From now on a signal is listened to; before, it ends the process. Within a runtime.
    pub fn new() -> io::Result<Self> {
        let listen = |kind, meaning| -> io::Result<_> {
            let mut signal = signal(kind)?;
            Ok(poll_fn(move |context| signal.poll_recv(context).map(|heard| heard.map(|()| meaning))).boxed())
        };
        Ok(Self(select_all([
            listen(SignalKind::terminate(), Signal::End)?,
            listen(SignalKind::interrupt(), Signal::End)?,
            listen(SignalKind::hangup(), Signal::Reload)?,
        ])))
    }

    /// Cancel safe, as tokio's signals are.
    async fn next(&mut self) -> Signal {
        match self.0.next().await {
            Some(signal) => signal,
            None => pending().await,
        }
    }
}

impl Daemon {
    /// Keeps the loop running while `work` goes on.
    pub(super) async fn run_while<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Stop> {
        tokio::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return Ok(done),
                ran = self.run_once_until(None, Instant::now()) => drop(ran?),
            }
        }
    }

    /// Waits for one thing and deals with it, or until there is work to begin. Says when the wait was over.
    pub(super) async fn run_once(&mut self, now: Instant) -> Result<Instant, Stop> {
        let [links, rows, awaited_rows] = self.core.deadlines();
        let ConfigDb { read_ports_at, retry_at, .. } = self.config_db;
        let mut work = None;
        let peers = self.databases.peers.look_at;
        for at in [links, rows, awaited_rows, read_ports_at, self.timers.publish_again, retry_at, self.look_at(), peers]
        {
            // What is due already waits for something else, a database perhaps: its time alone wakes nobody.
            work = earlier(work, at.filter(|at| *at > now));
        }
        self.run_once_until(work, now).await
    }

    /// Waits for one thing and deals with it; it is `now`. Says when the wait was over. Cancel safe: nothing is taken before
    /// that, and what follows does not wait.
    pub(super) async fn run_once_until(&mut self, work: Option<Instant>, now: Instant) -> Result<Instant, Stop> {
        self.databases.connect_due();
        self.send_batch(now);
        if self.is_over() {
            return Err(Stop::End);
        }
        self.telemetry.metrics.pending_rows.set_count((), self.core.pending().unwritten());
        self.timers.left_out_since(self.logging.has_left_out());
        let deadline =
            earlier(earlier(work, self.shutdown), earlier(self.databases.deadline(), self.timers.next_service()));
        let event = tokio::select! {
            signal = self.signals.next() => Wakeup::Signal(signal),
            readable = self.monitor.readable() => {
                readable.context("cannot watch the kernel's links").map_err(Stop::Fatal)?;
                Wakeup::Links
            }
            event = self.databases.next() => event,
            due = self.alarm.at(deadline, now) => {
                due.context("cannot wait for a timer").map_err(Stop::Fatal)?;
                Wakeup::Timer
            }
        };
        let links = matches!(event, Wakeup::Links);
        let now = Instant::now();
        // An event that needs no wait is new work all the same.
        self.telemetry.core_works_since(now.into_std());
        match event {
            Wakeup::Signal(Signal::End) => self.end()?,
            Wakeup::Signal(Signal::Reload) => self.reload(),
            Wakeup::Links => {
                self.read_links(now).map_err(Stop::Fatal)?;
            }
            Wakeup::Timer => self.tick(now),
            Wakeup::Connected(server) => self.connected(server),
            Wakeup::Lost(server, error) => self.lost(server, &error),
            Wakeup::Replies => self.handle_replies(now),
            Wakeup::Heard(Heard::Channel(channel)) => self.heard(&channel),
            Wakeup::Heard(Heard::Answer(Err(refusal))) => {
                warn!(reason = %refusal, "Redis refuses to tell of changes in APPL_DB, rows are looked for from time to time");
                if let Some(listening) = self.databases.listening(Db::Appl) {
                    (listening.notifies, listening.to_ports) = (false, false);
                }
                self.core.awaited_rows_mut().check_all();
            }
            Wakeup::Heard(Heard::Answer(Ok(()))) => {}
        }
        self.send_batch(now);
        if links {
            self.coalesce();
        }
        Ok(now)
    }

    /// Reads what the kernel has to say until nothing is left. Messages that were queued before others were lost are older
    /// than a dump, so that none of them may be read after it. False if the kernel sends faster than they are read.
    pub(super) fn drain_links(&mut self) -> anyhow::Result<bool> {
        /// Far more than fit into the largest receive buffer.
        const BATCHES: usize = 10_000;
        for _ in 0..BATCHES {
            if !self.read_links(Instant::now())? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Reads a batch of what the kernel has to say. True if there may be more.
    fn read_links(&mut self, now: Instant) -> anyhow::Result<bool> {
        let core = &mut self.core;
        let mut gone = 0;
        core.because(Origin::Message(now));
        let batch = self.monitor.read(|event| {
            gone += u64::from(matches!(event, LinkEvent::Del(_)));
            core.event(&event);
        });
        core.because(Origin::Other);
        let batch = batch.context("cannot watch the kernel's links")?;
        let metrics = &self.telemetry.metrics;
        metrics.link_events.add(LinkKind::Del, gone);
        metrics.link_events.add(LinkKind::New, batch.events as u64 - gone);
        metrics.netlink_refused.add(Refusal::Foreign, batch.foreign.into());
        metrics.netlink_refused.add(Refusal::Malformed, batch.malformed.into());
        self.burst = self.burst.saturating_add(batch.events);
        if batch.lost {
            if batch.malformed == 0 && batch.truncated == 0 {
                warn!("the kernel had to drop link messages, asking it for all links");
                metrics.netlink_overruns.count(());
                self.telemetry.mark(&self.telemetry.moments.overrun);
            }
            self.core.list_links_in(Duration::ZERO, Cause::Overrun);
        }
        Ok(batch.more)
    }

    /// Sends what is pending, unless a batch is under way or Redis is not to be bothered; then logs what changed. The row
    /// comes first: whoever waits for it does not wait for the log.
    fn send_batch(&mut self, now: Instant) {
        if let Some(RowConnection { writer, compared: true, sent }) = &mut self.databases.writing
            && !self.core.pending().is_empty()
            && writer.is_idle()
            && self.timers.write_again.is_none()
        {
            *sent = Some(now);
            self.core.take_batch(BATCH, |key, write| writer.push(key, write, now));
            writer.send();
        }
        self.core.log_changes();
    }

    /// In a burst, lets more messages come together before they are read: nothing could be sent anyway before Redis answers,
    /// and waking up for each message costs several times what the message itself does. A change on a quiet switch never
    /// comes here, nor do the few messages that the kernel sends for one.
    fn coalesce(&self) {
        let busy = self.databases.writing.as_ref().is_some_and(|writing| !writing.writer.is_idle());
        if busy && self.burst >= BURST {
            std::thread::sleep(COALESCE);
        }
    }

    /// Takes the replies that are there.
    fn handle_replies(&mut self, now: Instant) {
        let Some(RowConnection { writer, sent, .. }) = &mut self.databases.writing else { return };
        let (mut refused, mut reason) = (0, None);
        let lost = loop {
            let (key, reply) = match writer.next_reply() {
                Ok(Some(reply)) => reply,
                Ok(None) => break None,
                Err(error) => break Some(error),
            };
            let Err(error) = reply else {
                self.core.acknowledged(key, now);
                continue;
            };
            let trouble = Trouble::of(&error);
            let is_new = self.core.failed(key, trouble);
            match trouble {
                Trouble::WrongType if is_new => error!(
                    key = %redis_key(key, &self.databases.store.topology.state.separator).escape_ascii(),
                    "key of STATE_DB holds another type than a hash, its port cannot be shown; delete the key to mend it"
                ),
                Trouble::WrongType => {}
                Trouble::NoScript | Trouble::Refused => {
                    refused += 1;
                    reason.get_or_insert(error);
                }
                Trouble::Lost => break Some(StoreError { operation: writer::OPERATION, reason: error }),
            }
        };
        let idle = writer.is_idle();
        if idle && let Some(sent) = sent.take() {
            self.telemetry.metrics.redis_write.observe(now - sent);
        }
        if let Some(error) = lost {
            return self.lost(self.databases.server_of(Db::State), &error);
        }
        let all_written = idle && self.core.pending().is_empty();
        if all_written {
            self.burst = 0;
        }
        if let Some(error) = reason {
            let is_first = !self.timers.is_refused();
            self.timers.write_again = Some(self.refused(refused, &error));
            if is_first {
                let total = self.timers.refusals();
                warn!(rows = refused, total, reason = %error, "Redis refuses rows, trying again until it takes them");
            }
        } else if idle && self.timers.write_again.is_none() {
            self.accepted(now);
            if all_written {
                self.note_success();
            }
        }
    }

    /// Redis refused so many rows, or ports: when to try again.
    pub(super) fn refused(&mut self, count: usize, reason: &ServerError) -> Instant {
        self.telemetry.rows.refused(&reason.to_string());
        self.timers.refused(count)
    }

    /// Redis takes what it is sent, unless something else that it refused is held back.
    pub(super) fn accepted(&mut self, now: Instant) {
        if !self.timers.is_held_back(now) && self.timers.accepted() {
            info!(total = self.timers.refusals(), "Redis takes rows again");
            self.telemetry.rows.accepted();
        }
    }

    /// Does what is due and takes no time.
    fn tick(&mut self, now: Instant) {
        if let Some((server, error)) = self.databases.late(now) {
            self.lost(server, &error);
        }
        if self.timers.watchdog.as_mut().is_some_and(|watchdog| watchdog.is_due(now)) {
            self.supervisor.watchdog();
        }
        if self.timers.starting.as_mut().is_some_and(|starting| starting.is_due(now))
            && !self.supervisor.still_starting(Duration::from_secs(60))
        {
            self.timers.starting = None;
        }
        if self.timers.heartbeat.as_mut().is_some_and(|heartbeat| heartbeat.is_due(now)) {
            crate::health::heartbeat();
        }
        if self.timers.write_again.take_if(|at| *at <= now).is_some() && self.core.pending().is_empty() {
            // Nothing is left that it could refuse.
            self.accepted(now);
        }
        if self.timers.left_out.take_if(|at| *at <= now).is_some() {
            self.logging.report_left_out();
        }
        if self.timers.sync_limit.take_if(|at| *at <= now).is_some() && self.telemetry.starts.timed_out() {
            self.telemetry.metrics.initial_sync_timeouts.count(());
            warn!(
                seconds = self.config.health.initial_sync_timeout.as_secs(),
                awaited = self.core.init().awaited().len(),
                "the start takes longer than health.initial_sync_timeout, going on"
            );
        }
        if self.core.init().is_published() {
            self.timers.awaited = None;
        } else if let Some(awaited_for) = self.timers.awaited_due(now) {
            self.report_awaited(awaited_for.as_secs());
        }
    }

    fn report_awaited(&mut self, seconds: u64) {
        let names = || self.core.init().awaited().map(|name| name.escape_ascii().to_string());
        let Some(first) = names().next() else { return };
        let count = names().len();
        info!(ports = named(names()), count, seconds, "still waiting for ports before PortInitDone");
        self.supervisor.status(format!("waiting for {count} ports since {seconds} s, the first is {first}"));
    }

    /// The configuration was read, and can be used or not.
    pub(super) fn note_configuration(&self, usable: bool) {
        let metrics = &self.telemetry.metrics;
        metrics.config_last_reload_successful.set((), f64::from(u8::from(usable)));
        if usable {
            metrics.config_last_reload_success_timestamp.set((), seconds(now_ms()));
        }
    }

    fn reload(&mut self) {
        self.supervisor.reloading();
        match config::load(&self.flags) {
            Ok(config) => {
                self.logging.reconfigure(&config.log);
                if config.log.heartbeat != self.config.log.heartbeat {
                    self.timers.set_heartbeat(config.log.heartbeat);
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
                self.send_to_alerting(AlertingCommand::Reload(Box::new(config.clone())));
                (self.config.log, self.config.shutdown, self.config.health) =
                    (config.log, config.shutdown, config.health);
                if config.netlink.audit_interval != self.config.netlink.audit_interval {
                    self.config.netlink.audit_interval = config.netlink.audit_interval;
                    self.core.drop_audit();
                    self.audit_later();
                }
                self.note_configuration(true);
                info!("configuration read again");
            }
            Err(problem) => {
                self.note_configuration(false);
                error!(problem = %problem, "configuration is wrong, keeping the one before");
            }
        }
        self.supervisor.reloaded();
    }
}
