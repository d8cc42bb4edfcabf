//! The start: which kind it is, and what it publishes.
//!
//! It is decided once, when all databases are there, and becomes a plan. Each step of the plan is repeated until it has
//! succeeded: whatever goes away in the middle, a warm restart is counted once, and every old link is set down.

use std::collections::HashSet;
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::join;
use tokio::time::Instant;
use tracing::{error, info, warn};

use super::{Daemon, Stop};
use crate::db::publish::{self, Published};
use crate::db::read::{self, ConfigPorts, PortConfig};
use crate::db::table::{PORT_CONFIG_DONE, PORT_INIT_DONE};
use crate::health::Component;
use crate::link::admin::set_down;
use crate::link::{IfIndex, LinkName};
use crate::sync::start::{Facts, Kind, decide};
use crate::telemetry::labels::{Cause, Db, Outcome};

/// How many ports a message names.
const NAMED: usize = 20;
const INIT_DUE: &str = "PortInitDone is still due";
/// How often is looked whether CONFIG_DB has ports, where the start waits for them.
const CONFIG_PAUSE: Duration = Duration::from_secs(1);
/// How long `PortInitDone` waits for `PortConfigDone` to be taken, and how often is looked, at first.
const ORDER_LIMIT: Duration = Duration::from_secs(1);
const ORDER_PAUSE: Duration = Duration::from_millis(2);

/// How far the start is.
pub(super) enum Start {
    /// Not decided: Redis was not reached yet, or CONFIG_DB has no ports though the switch is at work.
    Undecided,
    /// Decided, and being carried out.
    Planned(Plan),
    /// Carried out; `PortInitDone` may still be due.
    Done(Kind),
    /// Redis lost what was published: everything has to be published again.
    Again,
}

/// What a start does.
pub(super) struct Plan {
    kind: Kind,
    step: Step,
    restore_count: u64,
    /// Links may be there before `PortConfigDone`.
    links_first: bool,
    /// What is published; `None` before it was read, and while CONFIG_DB has no ports.
    ports: Option<Rc<[PortConfig]>>,
    /// Links from before a cold start.
    retired: Vec<(IfIndex, LinkName)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    RestoreCount,
    SetDown,
    Ports,
    ConfigDone,
}

/// What is known of the marks in APPL_DB.
#[derive(Default)]
pub(super) struct Said {
    /// `PortConfigDone` stood there or was published: if it is gone, Redis lost it.
    config_done: bool,
    /// Its `count`.
    count: Option<usize>,
    /// When to ask CONFIG_DB for ports again.
    pub retry_at: Option<Instant>,
    /// `PortInitDone` waits until `PortConfigDone` is taken: since when, when to look, and how long after that.
    order: Option<(Instant, Instant, Duration)>,
}

impl Plan {
    pub(super) fn kind(&self) -> Kind {
        self.kind
    }
}

impl Start {
    pub(super) fn is_decided(&self) -> bool {
        !matches!(self, Self::Undecided)
    }

    /// Whether this step of the plan is the one to be done.
    fn is_at(&self, step: Step) -> bool {
        matches!(self, Self::Planned(plan) if plan.step == step)
    }

    /// A server was lost: each step of a plan that is being carried out is done again.
    pub(super) fn begin_anew(&mut self) {
        if let Self::Planned(plan) = self {
            plan.step = Step::RestoreCount;
        }
    }
}

impl Daemon {
    /// Whether the kind of start is to be decided, or everything to be published again.
    pub(super) fn may_decide(&self, now: Instant) -> bool {
        let open = match self.start {
            Start::Undecided => {
                self.said.retry_at.is_none_or(|at| at <= now) || self.followed.ports.is_some_and(|at| at <= now)
            }
            Start::Again => true,
            Start::Planned(_) | Start::Done(_) => false,
        };
        open && self.databases.are_up() && self.ending.is_none()
    }

    /// Makes the plan. Where the switch is at work nothing is read that its rows can do without: they come first.
    pub(super) async fn decide(&mut self) -> Result<(), Stop> {
        if let Start::Again = self.start {
            self.plan_again();
            return Ok(());
        }
        let warm = self.ask(Db::State, async |state| read::warm_restart(&state).await).await?;
        let dpu = self.ask(Db::Config, async |config| read::is_dpu(&config).await).await?;
        let marks = self.ask(Db::Appl, async |appl| read::marks(&appl).await).await?;
        let facts =
            Facts { warm_flag: warm.flag, restore_count: warm.restore_count, dpu, config_done: marks.config_done };
        let decision = decide(&facts);
        let kind = decision.kind;
        let (mut ports, mut links_first) = (None, true);
        if !kind.is_at_work() {
            let (found, known) = self.read_ports(true).await?;
            if found.is_empty() && self.must_wait_for_config_db().await? {
                // What kind of switch this is stands in CONFIG_DB as well.
                return Ok(());
            }
            self.await_ports(found.iter().filter(|port| !known.contains(&port.name)));
            links_first = kind != Kind::Cold || !known.is_empty();
            ports = Some(found);
        }
        if let Some(warning) = decision.warning {
            let count = facts.restore_count.map(|text| text.escape_ascii().to_string());
            warn!(restore_count = ?count, "{warning}");
        }
        let metrics = &self.telemetry.metrics;
        match kind {
            Kind::Cold | Kind::Dpu => metrics.cold_starts.count(()),
            Kind::Warm => metrics.warm_starts.count(()),
            Kind::Live => metrics.live_restarts.count(()),
        }
        metrics.warm_start_fallbacks.add((), u64::from(decision.warning.is_some()));
        self.said.config_done = marks.config_done;
        self.said.count = marks.count.and_then(|count| std::str::from_utf8(&count).ok()?.parse().ok());
        let retired = if kind == Kind::Cold {
            self.core.retire_existing()
        } else {
            self.core.machine.keep_existing();
            Vec::new()
        };
        self.telemetry.starts.is_of(kind);
        self.telemetry.latches.unready(Component::Ports, INIT_DUE);
        info!(kind = ?kind, old_links = retired.len(), restore_count = decision.restore_count, "start");
        self.timers.start_awaiting();
        let (step, restore_count) = (Step::RestoreCount, decision.restore_count);
        self.start = Start::Planned(Plan { kind, step, restore_count, links_first, ports, retired });
        Ok(())
    }

    /// Redis came back empty. As a live start: the links that are there are ours and stay as they are.
    fn plan_again(&mut self) {
        self.said = Said::default();
        self.core.forget_published();
        self.core.rows_due.by(Instant::now(), Cause::Reconnect);
        self.telemetry.latches.unready(Component::Ports, INIT_DUE);
        info!("publishing again");
        let (kind, step) = (Kind::Live, Step::RestoreCount);
        let retired = Vec::new();
        self.start = Start::Planned(Plan { kind, step, restore_count: 0, links_first: true, ports: None, retired });
    }

    fn await_ports<'a>(&mut self, ports: impl Iterator<Item = &'a PortConfig>) {
        self.said.retry_at = None;
        self.core.await_ports(ports.map(|port| port.name.as_slice()));
        self.telemetry.latches.unready(Component::Ports, INIT_DUE);
        info!(ports = self.configured.len(), awaited = self.core.init.awaited().len(), "ports of CONFIG_DB");
    }

    /// CONFIG_DB has no ports. Where APPL_DB has some, they are waited for.
    async fn must_wait_for_config_db(&mut self) -> Result<bool, Stop> {
        let wait = self.ask(Db::Appl, async |appl| read::has_ports(&appl).await).await?;
        if wait {
            self.wait_for_config_db();
        }
        Ok(wait)
    }

    fn wait_for_config_db(&mut self) {
        const WAITING: &str = "APPL_DB has ports and CONFIG_DB has none: nothing is published before it has";
        if self.said.retry_at.replace(Instant::now() + CONFIG_PAUSE).is_none() {
            warn!("{WAITING}");
            self.telemetry.latches.unready(Component::Ports, WAITING);
            self.supervisor.status("waiting for ports in CONFIG_DB");
        }
    }

    /// Reads the ports of CONFIG_DB, and on a cold start which of them APPL_DB knows by `admin_status`.
    pub(super) async fn read_ports(&mut self, cold: bool) -> Result<(Rc<[PortConfig]>, HashSet<Vec<u8>>), Stop> {
        let names = self.ask(Db::Config, async |config| read::config_names(&config).await).await?;
        let config = self.connection(Db::Config)?;
        // Asked nothing if the start is not cold, and not needed then.
        let (appl, asked) =
            if cold { (self.connection(Db::Appl)?, names.as_slice()) } else { (config.clone(), &[][..]) };
        // Two connections, so that the one's answers are read while Redis works for the other.
        let both = join(read::config_rows(&config, &names), read::with_admin_status(&appl, asked));
        let (found, known) = self.during(both).await?;
        let found = self.outcome(Db::Config, &config, found)?;
        let known = self.outcome(Db::Appl, &appl, known)?;
        let known = names.iter().zip(known).filter(|(_, known)| *known).map(|(name, _)| name.clone()).collect();
        self.followed.names = names;
        Ok((self.take_ports(found), known))
    }

    /// Whether a step of the plan can be done.
    pub(super) fn may_carry_out(&self, now: Instant) -> bool {
        let Start::Planned(plan) = &self.start else { return false };
        let retry = self.said.retry_at.is_none_or(|at| at <= now) && self.databases.is_up(Db::Config);
        let retry = plan.ports.is_some() || retry;
        let needed = match plan.step {
            Step::RestoreCount => self.databases.is_up(Db::State),
            Step::SetDown => true,
            Step::Ports | Step::ConfigDone => {
                self.databases.is_up(Db::Appl) && retry && self.timers.publish_again.is_none_or(|at| at <= now)
            }
        };
        needed && self.ending.is_none()
    }

    /// Whether the first step of the plan can be done: it comes before the rows of a switch at work.
    pub(super) fn may_begin(&self, now: Instant) -> bool {
        self.start.is_at(Step::RestoreCount) && self.may_carry_out(now)
    }

    /// Does the next step of the plan.
    pub(super) async fn carry_out(&mut self) -> Result<(), Stop> {
        let Start::Planned(Plan { kind, step, restore_count, links_first, ports, retired }) = &self.start else {
            return Ok(());
        };
        let (kind, step, count, links_first) = (*kind, *step, *restore_count, *links_first);
        let next = match step {
            Step::RestoreCount => {
                let write = async |state: Rc<_>| publish::write_restore_count(&state, count).await;
                self.write_or_report(Db::State, write).await?;
                Step::SetDown
            }
            Step::SetDown => {
                let links = retired.clone();
                if !links.is_empty() {
                    let names = links.iter().map(|(_, name)| name.to_string());
                    info!(links = %named(names), "setting links down that were there before a cold start");
                    self.during(async move { set_down(&links).await }).await?;
                }
                if let Start::Planned(plan) = &mut self.start {
                    plan.retired.clear();
                }
                Step::Ports
            }
            Step::Ports => {
                let Some(ports) = ports.clone() else { return self.look_for_ports().await };
                if kind.publishes() && !self.publish(&ports).await? {
                    return Ok(());
                }
                Step::ConfigDone
            }
            Step::ConfigDone => {
                let ports = ports.clone().unwrap_or_default();
                let count = ports.len();
                if kind.publishes() && !self.publish_count(count).await? {
                    return Ok(());
                }
                if !self.start.is_at(step) {
                    return Ok(());
                }
                if links_first && kind.publishes() {
                    let now = Instant::now();
                    self.said.order = Some((now, now, ORDER_PAUSE));
                }
                self.core.init.configured();
                self.followed.published(&ports);
                self.start = Start::Done(kind);
                return Ok(());
            }
        };
        // A server may have been lost meanwhile: then the first step is the next.
        if let Start::Planned(plan) = &mut self.start
            && plan.step == step
        {
            plan.step = next;
        }
        Ok(())
    }

    /// Reads which ports a switch at work has.
    async fn look_for_ports(&mut self) -> Result<(), Stop> {
        let (mut found, _) = self.read_ports(false).await?;
        if found.is_empty() {
            if self.must_wait_for_config_db().await? {
                return Ok(());
            }
            // CONFIG_DB is as empty as the rest: what it said before is better than nothing.
            found = Rc::clone(&self.configured);
        }
        self.await_ports(found.iter());
        if let Start::Planned(plan) = &mut self.start {
            plan.ports = Some(found);
        }
        Ok(())
    }

    /// Remembers the ports of CONFIG_DB, and says what of it are none. What it has now is handed back; what it had last is
    /// remembered, if it has none.
    fn take_ports(&mut self, found: ConfigPorts) -> Rc<[PortConfig]> {
        (self.followed.ports, self.followed.ports_changed) = (None, false);
        let ConfigPorts { ports, refused } = found;
        if !refused.is_empty() && self.followed.refused != refused.len() {
            let keys = refused.iter().map(|(name, reason)| format!("PORT|{} ({reason})", name.escape_ascii()));
            warn!(keys = %named(keys), "keys of CONFIG_DB that are no ports are left out");
        }
        self.followed.refused = refused.len();
        if ports.is_empty() {
            if !self.start.is_decided() {
                info!("CONFIG_DB has no ports, they can come later");
            }
            return Rc::default();
        }
        self.configured = ports.into();
        self.core.observer.configured(self.configured.iter().map(|port| port.name.as_slice()));
        Rc::clone(&self.configured)
    }

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
    async fn publish_count(&mut self, count: usize) -> Result<bool, Stop> {
        let mark = PortConfig::mark(PORT_CONFIG_DONE, "count", &count.to_string());
        let taken = self.publish(&Rc::from([mark])).await?;
        if taken {
            self.said.config_done = true;
            self.said.count = Some(count);
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
        may && self.said.config_done
            && count > 0
            && self.said.count != Some(count)
            && self.databases.is_up(Db::Appl)
            && self.timers.publish_again.is_none_or(|at| at <= now)
            && self.ending.is_none()
    }

    /// See [`is_count_due`](Self::is_count_due).
    pub(super) async fn say_count(&mut self) -> Result<(), Stop> {
        self.publish_count(self.configured.len()).await.map(|_| ())
    }

    /// What a comparison found of the marks. True if everything has to be published again.
    pub(super) fn found_marks(&mut self, marks: &read::Marks, any_row: bool) -> bool {
        if matches!(self.start, Start::Planned(_)) {
            return false;
        }
        let lost_all = self.core.init.is_said() && !marks.init_done && !any_row;
        if !marks.config_done && (self.said.config_done || lost_all) {
            warn!("Redis has lost its contents, publishing everything again");
            self.telemetry.metrics.redis_emptied.count(());
            self.telemetry.latches.unready(Component::Ports, INIT_DUE);
            self.telemetry.starts.due_again();
            self.start = Start::Again;
            return true;
        }
        if marks.config_done {
            let count = marks.count.as_deref().and_then(|count| std::str::from_utf8(count).ok()?.parse().ok());
            self.said.count = count;
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
        self.said.order.filter(|_| self.core.init.is_due()).map(|(_, at, _)| at)
    }

    /// Whether `PortInitDone` can be said now.
    pub(super) fn is_init_done_due(&self, now: Instant) -> bool {
        self.core.init.is_due()
            && self.databases.is_up(Db::Appl)
            && self.timers.publish_again.is_none_or(|at| at <= now)
            && self.said.order.is_none_or(|(_, at, _)| at <= now)
    }

    /// Every awaited port has its row: says so to the whole switch. Where links were there before `PortConfigDone`, a consumer
    /// pops both marks in any order, so that the second waits until the first was taken.
    pub(super) async fn say_init_done(&mut self) -> Result<(), Stop> {
        if let Some((since, _, pause)) = self.said.order {
            let now = Instant::now();
            let taken = now >= since + ORDER_LIMIT
                || self.ask(Db::Appl, async |appl| read::is_config_done_taken(&appl).await).await?;
            self.said.order = (!taken).then_some((since, (now + pause).min(since + ORDER_LIMIT), pause * 2));
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

/// Some names, and how many more there are.
fn named(names: impl ExactSizeIterator<Item = String>) -> String {
    let count = names.len();
    let mut text = names.take(NAMED).collect::<Vec<_>>().join(" ");
    if count > NAMED {
        text.push_str(&format!(" and {} more", count - NAMED));
    }
    text
}
