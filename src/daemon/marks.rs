//! What is published to APPL_DB, and the two marks that the whole switch waits for: that they are said when they are due, in
//! their order, with the right count, and again if Redis loses them.

use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::{error, info, warn};

use super::startup::{INIT_DUE, Start};
use super::{Daemon, Stop};
use crate::db::publish::{self, Published};
use crate::db::queries::{self, PortConfig};
use crate::db::tables::{PORT_CONFIG_DONE, PORT_INIT_DONE};
use crate::sync::start::Kind;
use crate::telemetry::Component;
use crate::telemetry::labels::{Db, Outcome};

/// How long `PortInitDone` waits for `PortConfigDone` to be taken, and how often is looked, at first.
const ORDER_LIMIT: Duration = Duration::from_secs(1);
const ORDER_PAUSE: Duration = Duration::from_millis(2);

/// What is known of the marks in APPL_DB.
#[derive(Default)]
pub(super) struct KnownMarks {
    /// `PortConfigDone` stood there or was published: if it is gone, Redis lost it.
    config_done: bool,
    /// Its `count`.
    count: Option<usize>,
    /// `PortInitDone` waits until `PortConfigDone` is taken: since when, when to look, and how long after that.
    order: Option<(Instant, Instant, Duration)>,
}

impl KnownMarks {
    /// What stands there at the start.
    pub fn found(marks: &queries::Marks) -> Self {
        Self { config_done: marks.config_done, count: count(marks), order: None }
    }

    /// `PortConfigDone` was published just now, with links there already.
    pub fn begin_order(&mut self) {
        let now = Instant::now();
        self.order = Some((now, now, ORDER_PAUSE));
    }
}

fn count(marks: &queries::Marks) -> Option<usize> {
    std::str::from_utf8(marks.count.as_deref()?).ok()?.parse().ok()
}

impl Daemon {
    /// Publishes all of them; those whose key is broken are reported and left out. False if Redis refused some: then all of
    /// them are published again later.
    pub(super) async fn publish(&mut self, ports: &Rc<[PortConfig]>) -> Result<bool, Stop> {
        let sent = Rc::clone(ports);
        let Published { refused, reason, broken } = self
            .ask(Db::Appl, async move |appl| {
                publish::load_script(&appl).await?;
                publish::publish(&appl, &sent).await
            })
            .await?;
        let writes = &self.telemetry.metrics.redis_writes;
        writes.add((Db::Appl, Outcome::Ok), (ports.len() - refused - broken.len()) as u64);
        writes.add((Db::Appl, Outcome::Refused), refused as u64);
        writes.add((Db::Appl, Outcome::WrongType), broken.len() as u64);
        for place in broken {
            error!(
                port = %ports[place].config_key(),
                "port cannot be published, its key in APPL_DB holds another type than a hash; delete the key and restart"
            );
        }
        let Some(reason) = reason else {
            self.timers.publish_again = None;
            self.timers.accepted();
            return Ok(true);
        };
        self.refusals += refused;
        warn!(ports = refused, total = self.refusals, reason = %reason, "Redis refuses ports, trying again until it takes them");
        self.timers.publish_again = Some(self.timers.refused());
        Ok(false)
    }

    /// `PortConfigDone`, with the number of ports that CONFIG_DB has. False if Redis refused it.
    pub(super) async fn publish_count(&mut self, count: usize) -> Result<bool, Stop> {
        let mark = PortConfig::mark(PORT_CONFIG_DONE, "count", &count.to_string());
        let taken = self.publish(&Rc::from([mark])).await?;
        if taken {
            self.marks.config_done = true;
            self.marks.count = Some(count);
            info!(count, "PortConfigDone published");
        }
        Ok(taken)
    }

    /// Whether CONFIG_DB has another number of ports than `PortConfigDone` says. orchagent compares the two at a warm start;
    /// until that is over, nothing is said that it does not expect.
    pub(super) fn is_count_due(&self, now: Instant) -> bool {
        let may = match self.start {
            Start::Done(Kind::Warm) => self.core.init.is_said(),
            Start::Done(_) => true,
            _ => false,
        };
        let count = self.configured.len();
        may && self.marks.config_done
            && count > 0
            && self.marks.count != Some(count)
            && self.databases.is_up(Db::Appl)
            && self.timers.publish_again.is_none_or(|at| at <= now)
            && self.ending.is_none()
    }

    /// See [`is_count_due`](Self::is_count_due).
    pub(super) async fn say_count(&mut self) -> Result<(), Stop> {
        self.publish_count(self.configured.len()).await.map(|_| ())
    }

    /// What a comparison found of the marks. True if everything has to be published again.
    pub(super) fn found_marks(&mut self, marks: &queries::Marks, any_row: bool) -> bool {
        if matches!(self.start, Start::Planned(_)) {
            return false;
        }
        let lost_all = self.core.init.is_said() && !marks.init_done && !any_row;
        if !marks.config_done && (self.marks.config_done || lost_all) {
            warn!("Redis has lost its contents, publishing everything again");
            self.telemetry.metrics.redis_emptied.count(());
            self.telemetry.latches.unready(Component::Ports, INIT_DUE);
            self.telemetry.starts.due_again();
            self.start = Start::Again;
            return true;
        }
        if marks.config_done {
            self.marks.count = count(marks);
        }
        if self.core.init.is_said() && !marks.init_done {
            warn!("Redis has lost PortInitDone, publishing it again");
            self.core.init.lost();
            self.telemetry.starts.due_again();
        }
        false
    }

    /// When to look again whether `PortConfigDone` was taken, where `PortInitDone` waits for that.
    pub(super) fn order_at(&self) -> Option<Instant> {
        self.marks.order.filter(|_| self.core.init.is_due()).map(|(_, at, _)| at)
    }

    /// Whether `PortInitDone` can be said now.
    pub(super) fn is_init_done_due(&self, now: Instant) -> bool {
        self.core.init.is_due()
            && self.databases.is_up(Db::Appl)
            && self.timers.publish_again.is_none_or(|at| at <= now)
            && self.marks.order.is_none_or(|(_, at, _)| at <= now)
    }

    /// Every awaited port has its row: says so to the whole switch. Where links were there before `PortConfigDone`, a consumer
    /// pops both marks in any order, so that the second waits until the first was taken.
    pub(super) async fn say_init_done(&mut self) -> Result<(), Stop> {
        if let Some((since, _, pause)) = self.marks.order {
            let now = Instant::now();
            let taken = now >= since + ORDER_LIMIT
                || self.ask(Db::Appl, async |appl| queries::is_config_done_taken(&appl).await).await?;
            self.marks.order = (!taken).then_some((since, (now + pause).min(since + ORDER_LIMIT), pause * 2));
            if !taken {
                return Ok(());
            }
        }
        let since = self.timers.awaited.as_ref().map_or(Duration::ZERO, |(_, _, since)| since.elapsed());
        if !self.publish(&Rc::from([PortConfig::mark(PORT_INIT_DONE, "lanes", "0")])).await? {
            return Ok(());
        }
        self.core.init.said();
        self.start_is_done();
        info!(seconds = since.as_secs_f64(), "PortInitDone published, every configured port is there");
        self.supervisor.status("in service, every configured port is in step");
        Ok(())
    }
}
