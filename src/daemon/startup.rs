//! The start: which kind it is, and what it publishes.
//!
//! It is decided once, when all databases are there, and becomes a plan. Each step of the plan is repeated until it has
//! succeeded: whatever goes away in the middle, a warm restart is counted once, and every old link is set down.

use std::collections::HashSet;
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::join;
use tokio::time::Instant;
use tracing::{info, warn};

use super::marks::KnownMarks;
use super::{Daemon, Stop};
use crate::db::publish;
use crate::db::queries::{self, ConfigPorts, PortConfig};
use crate::link::admin::set_down;
use crate::link::{IfIndex, LinkName};
use crate::sync::start::{Facts, Kind, decide};
use crate::telemetry::Component;
use crate::telemetry::labels::{Cause, Db};

/// How many ports a message names.
const NAMED: usize = 20;
pub(super) const INIT_DUE: &str = "PortInitDone is still due";
/// How often is looked whether CONFIG_DB has ports, where the start waits for them.
const CONFIG_PAUSE: Duration = Duration::from_secs(1);

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
                self.followed.retry_at.is_none_or(|at| at <= now) || self.followed.ports.is_some_and(|at| at <= now)
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
        let warm = self.ask(Db::State, async |state| queries::warm_restart(&state).await).await?;
        let dpu = self.ask(Db::Config, async |config| queries::is_dpu(&config).await).await?;
        let marks = self.ask(Db::Appl, async |appl| queries::marks(&appl).await).await?;
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
        self.marks = KnownMarks::found(&marks);
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
        self.marks = KnownMarks::default();
        self.followed.retry_at = None;
        self.core.forget_published();
        self.core.rows_due.by(Instant::now(), Cause::Reconnect);
        self.telemetry.latches.unready(Component::Ports, INIT_DUE);
        info!("publishing again");
        let (kind, step) = (Kind::Live, Step::RestoreCount);
        let retired = Vec::new();
        self.start = Start::Planned(Plan { kind, step, restore_count: 0, links_first: true, ports: None, retired });
    }

    fn await_ports<'a>(&mut self, ports: impl Iterator<Item = &'a PortConfig>) {
        self.followed.retry_at = None;
        self.core.await_ports(ports.map(|port| port.name.as_slice()));
        self.telemetry.latches.unready(Component::Ports, INIT_DUE);
        info!(ports = self.configured.len(), awaited = self.core.init.awaited().len(), "ports of CONFIG_DB");
    }

    /// CONFIG_DB has no ports. Where APPL_DB has some, they are waited for.
    async fn must_wait_for_config_db(&mut self) -> Result<bool, Stop> {
        const WAITING: &str = "APPL_DB has ports and CONFIG_DB has none: nothing is published before it has";
        if !self.ask(Db::Appl, async |appl| queries::has_ports(&appl).await).await? {
            return Ok(false);
        }
        if self.followed.retry_at.replace(Instant::now() + CONFIG_PAUSE).is_none() {
            warn!("{WAITING}");
            self.telemetry.latches.unready(Component::Ports, WAITING);
            self.supervisor.status("waiting for ports in CONFIG_DB");
        }
        Ok(true)
    }

    /// Reads the ports of CONFIG_DB, and on a cold start which of them APPL_DB knows by `admin_status`.
    pub(super) async fn read_ports(&mut self, cold: bool) -> Result<(Rc<[PortConfig]>, HashSet<Vec<u8>>), Stop> {
        let names = self.ask(Db::Config, async |config| queries::config_names(&config).await).await?;
        let config = self.connection(Db::Config)?;
        // Asked nothing if the start is not cold, and not needed then.
        let (appl, asked) =
            if cold { (self.connection(Db::Appl)?, names.as_slice()) } else { (config.clone(), &[][..]) };
        // Two connections, so that the one's answers are read while Redis works for the other.
        let both = join(queries::config_rows(&config, &names), queries::with_admin_status(&appl, asked));
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
        let retry = self.followed.retry_at.is_none_or(|at| at <= now) && self.databases.is_up(Db::Config);
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
                    self.marks.begin_order();
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
