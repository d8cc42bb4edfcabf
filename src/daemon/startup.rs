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

use super::config_db::ConfigDb;
use super::marks::KnownMarks;
use super::{Daemon, Stop};
use crate::db::publish;
use crate::db::queries::{self, ConfigPorts, PortConfig};
use crate::link::admin::set_down;
use crate::link::{IfIndex, LinkName};
use crate::sync::start::{Decision, StartFacts, StartKind, decide};
use crate::telemetry::Component;
use crate::telemetry::labels::{Cause, Db};

/// How many ports a message names.
const NAMED: usize = 20;
pub(super) const INIT_DUE: &str = "PortInitDone is still due";
/// How often is looked whether CONFIG_DB has ports, where the start waits for them.
const CONFIG_PAUSE: Duration = Duration::from_secs(1);

/// This start: how far it is, and what is known of its marks.
#[derive(Default)]
pub(super) struct Startup {
    pub start: StartState,
    pub marks: KnownMarks,
}

#[derive(Default)]
pub(super) enum StartState {
    /// Not decided: Redis was not reached yet, or CONFIG_DB has no ports though the switch is at work.
    #[default]
    Undecided,
    /// Decided, and being carried out.
    Planned(StartPlan),
    /// Carried out; `PortInitDone` may still be due.
    Done(StartKind),
    /// Redis lost what was published: everything has to be published again.
    Again,
}

pub(super) struct StartPlan {
    kind: StartKind,
    step: Step,
    /// A server was lost since the step began: the first step is the next.
    cut_short: bool,
    restore_count: u64,
    /// Links may be there before `PortConfigDone`.
    links_first: bool,
    /// What is published; `None` before it was read, and while CONFIG_DB has no ports.
    ports: Option<Rc<[PortConfig]>>,
    /// Links from before a cold start, until they were set down.
    retired: Vec<(IfIndex, LinkName)>,
}

/// In their order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    /// Needs no database, so that it waits for none.
    SetDown,
    RestoreCount,
    Ports,
    ConfigDone,
}

impl StartPlan {
    fn new(kind: StartKind, restore_count: u64) -> Self {
        Self {
            kind,
            step: Step::SetDown,
            cut_short: false,
            restore_count,
            links_first: true,
            ports: None,
            retired: Vec::new(),
        }
    }
}

impl Startup {
    pub fn is_decided(&self) -> bool {
        !matches!(self.start, StartState::Undecided)
    }

    /// Whether rows may be compared: once it is known which links are ours, and on a cold start everything is published.
    pub fn may_compare(&self) -> bool {
        match &self.start {
            StartState::Undecided => false,
            StartState::Planned(plan) => plan.kind.is_at_work(),
            StartState::Again | StartState::Done(_) => true,
        }
    }

    /// A server was lost: each step of a plan that is being carried out is done again.
    pub fn begin_anew(&mut self) {
        if let Some(plan) = self.plan() {
            (plan.step, plan.cut_short) = (Step::SetDown, true);
        }
    }

    /// While it is being carried out.
    fn plan(&mut self) -> Option<&mut StartPlan> {
        match &mut self.start {
            StartState::Planned(plan) => Some(plan),
            _ => None,
        }
    }
}

impl Daemon {
    /// Whether the kind of start is to be decided, or everything to be published again.
    pub(super) fn may_decide(&self, now: Instant) -> bool {
        let open = match self.startup.start {
            StartState::Undecided => {
                let ConfigDb { retry_at, read_ports_at, .. } = &self.config_db;
                retry_at.is_none_or(|at| at <= now) || read_ports_at.is_some_and(|at| at <= now)
            }
            StartState::Again => true,
            StartState::Planned(_) | StartState::Done(_) => false,
        };
        open && self.databases.are_up() && self.shutdown.is_none()
    }

    /// Makes the plan. Where the switch is at work nothing is read that its rows can do without: they come first.
    pub(super) async fn decide(&mut self) -> Result<(), Stop> {
        if let StartState::Again = self.startup.start {
            self.plan_again();
            return Ok(());
        }
        let (warm_flag, restore_count) = self.ask(Db::State, async |state| queries::warm_restart(&state).await).await?;
        let dpu = self.ask(Db::Config, async |config| queries::is_dpu(&config).await).await?;
        let marks = self.ask(Db::Appl, async |appl| queries::marks(&appl).await).await?;
        let facts = StartFacts { warm_flag, restore_count, dpu, config_done: marks.config_done };
        let Decision { kind, restore_count, warning } = decide(&facts);
        let mut plan = StartPlan::new(kind, restore_count);
        if !kind.is_at_work() {
            let (found, known) = self.read_ports(true).await?;
            if found.is_empty() && self.must_wait_for_config_db().await? {
                // What kind of switch this is stands in CONFIG_DB as well.
                return Ok(());
            }
            self.await_ports(found.iter().filter(|port| !known.contains(&port.name)));
            plan.links_first = kind != StartKind::Cold || !known.is_empty();
            plan.ports = Some(found);
        }
        if let Some(warning) = warning {
            let count = facts.restore_count.map(|text| text.escape_ascii().to_string());
            warn!(restore_count = ?count, "{warning}");
        }
        let metrics = &self.telemetry.metrics;
        match kind {
            StartKind::Cold | StartKind::Dpu => metrics.cold_starts.count(()),
            StartKind::Warm => metrics.warm_starts.count(()),
            StartKind::Live => metrics.live_restarts.count(()),
        }
        metrics.warm_start_fallbacks.add((), u64::from(warning.is_some()));
        self.startup.marks = KnownMarks::found(&marks);
        plan.retired = self.core.judge_existing(kind == StartKind::Cold);
        self.telemetry.starts.is_of(kind);
        info!(kind = ?kind, old_links = plan.retired.len(), restore_count, "start");
        self.timers.start_awaiting();
        self.begin(plan);
        Ok(())
    }

    /// Redis came back empty. As a live start: the links that are there are ours and stay as they are.
    fn plan_again(&mut self) {
        self.startup.marks = KnownMarks::default();
        self.config_db.retry_at = None;
        self.core.forget_published();
        self.core.compare_at(Instant::now(), Cause::Reconnect);
        info!("publishing again");
        self.begin(StartPlan::new(StartKind::Live, 0));
    }

    fn begin(&mut self, plan: StartPlan) {
        self.telemetry.readiness.set_not_ready(Component::Ports, INIT_DUE);
        self.startup.start = StartState::Planned(plan);
    }

    fn await_ports<'a>(&mut self, ports: impl Iterator<Item = &'a PortConfig>) {
        self.config_db.retry_at = None;
        self.core.await_ports(ports.map(|port| port.name.as_slice()));
        self.telemetry.readiness.set_not_ready(Component::Ports, INIT_DUE);
        info!(ports = self.config_db.ports.len(), awaited = self.core.init().awaited().len(), "ports of CONFIG_DB");
    }

    /// CONFIG_DB has no ports. Where APPL_DB has some, they are waited for.
    async fn must_wait_for_config_db(&mut self) -> Result<bool, Stop> {
        const WAITING: &str = "APPL_DB has ports and CONFIG_DB has none: nothing is published before it has";
        if !self.ask(Db::Appl, async |appl| queries::has_ports(&appl).await).await? {
            return Ok(false);
        }
        if self.config_db.retry_at.replace(Instant::now() + CONFIG_PAUSE).is_none() {
            warn!("{WAITING}");
            self.telemetry.readiness.set_not_ready(Component::Ports, WAITING);
            self.supervisor.status("waiting for ports in CONFIG_DB");
        }
        Ok(true)
    }

    /// Reads the ports of CONFIG_DB, and on a cold start which of them APPL_DB knows by `admin_status`.
    pub(super) async fn read_ports(&mut self, cold: bool) -> Result<(Rc<[PortConfig]>, HashSet<Vec<u8>>), Stop> {
        let names = self.ask(Db::Config, async |config| queries::config_names(&config).await).await?;
        let config = self.client(Db::Config)?;
        // Asked nothing if the start is not cold, and not needed then.
        let (appl, asked) = if cold { (self.client(Db::Appl)?, names.as_slice()) } else { (config.clone(), &[][..]) };
        // Two connections, so that the one's answers are read while Redis works for the other.
        let both = join(queries::config_rows(&config, &names), queries::with_admin_status(&appl, asked));
        let (found, known) = self.run_while(both).await?;
        let found = self.outcome(Db::Config, &config, found)?;
        let known = self.outcome(Db::Appl, &appl, known)?;
        let known = names.iter().zip(known).filter(|(_, known)| *known).map(|(name, _)| name.clone()).collect();
        self.config_db.names = names;
        Ok((self.take_ports(found), known))
    }

    /// Whether a step of the plan can be done.
    pub(super) fn may_carry_out(&self, now: Instant) -> bool {
        let StartState::Planned(plan) = &self.startup.start else { return false };
        let may_read = || self.config_db.retry_at.is_none_or(|at| at <= now) && self.databases.is_up(Db::Config);
        let may = match plan.step {
            Step::SetDown => true,
            Step::RestoreCount => self.databases.is_up(Db::State),
            Step::Ports | Step::ConfigDone => self.may_publish(now) && (plan.ports.is_some() || may_read()),
        };
        may && self.shutdown.is_none()
    }

    /// Whether a step of the plan can be done that comes before the rows of a switch at work.
    pub(super) fn may_begin(&self, now: Instant) -> bool {
        matches!(&self.startup.start, StartState::Planned(plan) if plan.step < Step::Ports) && self.may_carry_out(now)
    }

    /// Does the next step of the plan.
    pub(super) async fn carry_out(&mut self) -> Result<(), Stop> {
        let Some(plan) = self.startup.plan() else { return Ok(()) };
        let (kind, step, links_first, ports) = (plan.kind, plan.step, plan.links_first, plan.ports.clone());
        plan.cut_short = false;
        let next = match step {
            Step::SetDown => {
                let links = std::mem::take(&mut plan.retired);
                if !links.is_empty() {
                    let names = links.iter().map(|(_, name)| name.to_string());
                    info!(links = %named(names), "setting links down that were there before a cold start");
                    self.run_while(set_down(&links)).await?;
                }
                Step::RestoreCount
            }
            Step::RestoreCount => {
                let count = plan.restore_count;
                let write = async |state: Rc<_>| publish::write_restore_count(&state, count).await;
                self.ask_or_report(Db::State, write).await?;
                Step::Ports
            }
            Step::Ports => {
                let Some(ports) = ports else { return self.look_for_ports().await };
                if kind.publishes() && !self.publish(&ports).await? {
                    return Ok(());
                }
                Step::ConfigDone
            }
            Step::ConfigDone => {
                let ports = ports.unwrap_or_default();
                if kind.publishes() && !self.publish_count(ports.len()).await? {
                    return Ok(());
                }
                if self.startup.plan().is_some_and(|plan| !plan.cut_short) {
                    if links_first && kind.publishes() {
                        self.startup.marks.await_taken();
                    }
                    self.core.init_mut().configured();
                    self.config_db.published_all(&ports);
                    self.startup.start = StartState::Done(kind);
                }
                return Ok(());
            }
        };
        if let Some(plan) = self.startup.plan().filter(|plan| !plan.cut_short) {
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
            found = Rc::clone(&self.config_db.ports);
        }
        self.await_ports(found.iter());
        if let Some(plan) = self.startup.plan() {
            plan.ports = Some(found);
        }
        Ok(())
    }

    /// Remembers the ports of CONFIG_DB, and says what of it are none. What it has now is handed back; what it had last is
    /// remembered, if it has none.
    fn take_ports(&mut self, found: ConfigPorts) -> Rc<[PortConfig]> {
        (self.config_db.read_ports_at, self.config_db.ports_changed) = (None, false);
        let ConfigPorts { ports, refused } = found;
        if !refused.is_empty() && self.config_db.refused != refused.len() {
            let keys = refused.iter().map(|(name, reason)| format!("PORT|{} ({reason})", name.escape_ascii()));
            warn!(keys = %named(keys), "keys of CONFIG_DB that are no ports are left out");
        }
        self.config_db.refused = refused.len();
        if ports.is_empty() {
            if !self.startup.is_decided() {
                info!("CONFIG_DB has no ports, they can come later");
            }
            return Rc::default();
        }
        self.config_db.ports = ports.into();
        self.core.configured(self.config_db.ports.iter().map(|port| port.name.as_slice()));
        Rc::clone(&self.config_db.ports)
    }
}

/// Some names, and how many more there are.
pub(super) fn named(names: impl ExactSizeIterator<Item = String>) -> String {
    let count = names.len();
    let mut text = names.take(NAMED).collect::<Vec<_>>().join(" ");
    if count > NAMED {
        text.push_str(&format!(" and {} more", count - NAMED));
    }
    text
}
