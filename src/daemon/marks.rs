//! What is published to APPL_DB, and the two marks that the whole switch waits for: that they are published when they are due,
//! in their order, with the right count, and again if Redis loses them.

use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::{error, info, warn};

use super::startup::{INIT_DUE, StartState};
use super::{Daemon, Stop};
use crate::backoff::{Backoff, Pauses};
use crate::db::publish::{self, PublishOutcome};
use crate::db::queries::{self, PortConfig};
use crate::db::tables::{PORT_CONFIG_DONE, PORT_INIT_DONE};
use crate::sync::start::StartKind;
use crate::telemetry::Component;
use crate::telemetry::labels::{Db, Outcome};

/// How long `PortInitDone` waits for `PortConfigDone` to be taken, and between looks whether it was.
const TAKEN_LIMIT: Duration = Duration::from_secs(1);
const TAKEN_LOOKS: Backoff = Backoff { min: Duration::from_millis(2), max: TAKEN_LIMIT, jitter: 0.0 };

/// What is known of the marks in APPL_DB.
#[derive(Default)]
pub(super) struct KnownMarks {
    /// `PortConfigDone` stood there or was published: if it is gone, Redis lost it.
    config_done: bool,
    /// Its `count`.
    count: Option<usize>,
    /// `PortInitDone` waits until `PortConfigDone` is taken.
    taken: Option<UntilTaken>,
}

struct UntilTaken {
    limit: Instant,
    look_at: Instant,
    looks: Pauses,
}

impl KnownMarks {
    /// What stands there at the start.
    pub fn found(marks: &queries::StartMarks) -> Self {
        Self { config_done: marks.config_done, count: count(marks), taken: None }
    }

    /// `PortConfigDone` was published just now, with links there already.
    pub fn await_taken(&mut self) {
        let now = Instant::now();
        self.taken = Some(UntilTaken { limit: now + TAKEN_LIMIT, look_at: now, looks: TAKEN_LOOKS.pauses() });
    }
}

fn count(marks: &queries::StartMarks) -> Option<usize> {
    std::str::from_utf8(marks.count.as_deref()?).ok()?.parse().ok()
}

impl Daemon {
    /// Publishes all of them; those whose key is of another type are reported and left out. False if Redis refused some: then all of
    /// them are published again later.
    pub(super) async fn publish(&mut self, ports: &Rc<[PortConfig]>) -> Result<bool, Stop> {
        let sent = Rc::clone(ports);
        let PublishOutcome { refused, reason, wrong_type } =
            self.ask(Db::Appl, async move |appl| publish::publish(&appl, &sent).await).await?;
        let writes = &self.telemetry.metrics.redis_writes;
        writes.add((Db::Appl, Outcome::Ok), (ports.len() - refused - wrong_type.len()) as u64);
        writes.add((Db::Appl, Outcome::Refused), refused as u64);
        writes.add((Db::Appl, Outcome::WrongType), wrong_type.len() as u64);
        for place in wrong_type {
            error!(
                port = %ports[place].config_key(),
                "port cannot be published, its key in APPL_DB holds another type than a hash; delete the key and restart"
            );
        }
        let Some(reason) = reason else {
            self.timers.publish_again = None;
            self.accepted(Instant::now());
            return Ok(true);
        };
        self.timers.publish_again = Some(self.refused(refused, &reason));
        let total = self.timers.refusals();
        warn!(ports = refused, total, reason = %reason, "Redis refuses ports, trying again until it takes them");
        Ok(false)
    }

    /// `PortConfigDone`, with the number of ports that CONFIG_DB has. False if Redis refused it.
    pub(super) async fn publish_count(&mut self, count: usize) -> Result<bool, Stop> {
        let mark = PortConfig::mark(PORT_CONFIG_DONE, "count", &count.to_string());
        let taken = self.publish(&Rc::from([mark])).await?;
        if taken {
            self.startup.marks.config_done = true;
            self.startup.marks.count = Some(count);
            info!(count, "PortConfigDone published");
        }
        Ok(taken)
    }

    /// Whether CONFIG_DB has another number of ports than `PortConfigDone` says. orchagent compares the two at a warm start;
    /// until that is over, nothing is published that it does not expect.
    pub(super) fn is_count_due(&self, now: Instant) -> bool {
        let may = match self.startup.start {
            StartState::Done(StartKind::Warm) => self.core.init().is_published(),
            StartState::Done(_) => true,
            _ => false,
        };
        let (marks, count) = (&self.startup.marks, self.config_db.ports.len());
        may && marks.config_done
            && count > 0
            && marks.count != Some(count)
            && self.may_publish(now)
            && self.shutdown.is_none()
    }

    /// Whether APPL_DB can be written to, and Redis has not refused that just now.
    pub(super) fn may_publish(&self, now: Instant) -> bool {
        self.databases.is_up(Db::Appl) && self.timers.publish_again.is_none_or(|at| at <= now)
    }

    /// What a comparison found of the marks. True if everything has to be published again.
    pub(super) fn found_marks(&mut self, marks: &queries::StartMarks, any_row: bool) -> bool {
        if matches!(self.startup.start, StartState::Planned(_)) {
            return false;
        }
        let lost_all = self.core.init().is_published() && !marks.init_done && !any_row;
        if !marks.config_done && (self.startup.marks.config_done || lost_all) {
            warn!("Redis has lost its contents, publishing everything again");
            self.telemetry.metrics.redis_emptied.count(());
            self.telemetry.readiness.set_not_ready(Component::Ports, INIT_DUE);
            self.telemetry.starts.due_again();
            self.startup.start = StartState::Again;
            return true;
        }
        if marks.config_done {
            self.startup.marks.count = count(marks);
        }
        if self.core.init().is_published() && !marks.init_done {
            warn!("Redis has lost PortInitDone, publishing it again");
            self.core.init_mut().lost();
            self.telemetry.starts.due_again();
        }
        false
    }

    /// When to look again whether `PortConfigDone` was taken, where `PortInitDone` waits for that.
    pub(super) fn look_at(&self) -> Option<Instant> {
        self.startup.marks.taken.as_ref().filter(|_| self.core.init().is_due()).map(|taken| taken.look_at)
    }

    /// Whether `PortInitDone` can be published now.
    pub(super) fn is_init_done_due(&self, now: Instant) -> bool {
        self.core.init().is_due() && self.may_publish(now) && self.look_at().is_none_or(|at| at <= now)
    }

    /// Every awaited port has its row: says so to the whole switch. Where links were there before `PortConfigDone`, a consumer
    /// pops both marks in any order, so that the second waits until the first was taken.
    pub(super) async fn publish_init_done(&mut self) -> Result<(), Stop> {
        let now = Instant::now();
        if self.startup.marks.taken.as_ref().is_some_and(|taken| now < taken.limit)
            && !self.ask(Db::Appl, async |appl| queries::is_config_done_taken(&appl).await).await?
        {
            if let Some(UntilTaken { limit, look_at, looks }) = &mut self.startup.marks.taken {
                *look_at = (now + looks.next_pause()).min(*limit);
            }
            return Ok(());
        }
        self.startup.marks.taken = None;
        let since = self.timers.awaited.as_ref().map_or(Duration::ZERO, |(_, _, since)| since.elapsed());
        if !self.publish(&Rc::from([PortConfig::mark(PORT_INIT_DONE, "lanes", "0")])).await? {
            return Ok(());
        }
        self.core.init_mut().published();
        self.telemetry.readiness.set_ready(Component::Ports);
        if self.telemetry.starts.done() {
            self.telemetry.metrics.initial_syncs.count(());
        }
        info!(seconds = since.as_secs_f64(), "PortInitDone published, every configured port is there");
        self.supervisor.status("in service, every configured port is in step");
        Ok(())
    }
}
