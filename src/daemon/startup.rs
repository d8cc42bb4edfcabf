//! The start: which kind it is, and what it publishes.
//!
//! The plan is made once and carried out as often as it takes: if Redis goes away in the middle, the same plan goes on with
//! the next connection, so that a warm restart is counted once and a cold one sets links down once.

use std::collections::HashSet;
use std::rc::Rc;
use std::time::Duration;

use futures_util::try_join;
use tokio::time::sleep_until;
use tracing::{error, info, warn};

use super::{Daemon, Stop};
use crate::db::publish::Published;
use crate::db::read::{ConfigPorts, PortConfig};
use crate::db::store::Session;
use crate::db::table::{PORT_CONFIG_DONE, PORT_INIT_DONE};
use crate::health::Component;
use crate::link::admin::set_down;
use crate::link::{IfIndex, LinkName};
use crate::sync::init::Init;
use crate::sync::start::{Facts, Kind, decide};
use crate::telemetry::labels::{Db, Outcome};

/// How many ports a message names.
const NAMED: usize = 20;
const INIT_DUE: &str = "PortInitDone is still due";

/// What this start does.
#[derive(Debug)]
pub(super) struct Plan {
    kind: Kind,
    restore_count: u64,
    ports: Rc<[PortConfig]>,
    /// Links from before a cold start, to be set down.
    retired: Vec<(IfIndex, LinkName)>,
    done: bool,
}

impl Plan {
    /// The kind of start.
    pub(super) fn kind(&self) -> Kind {
        self.kind
    }
}

impl Daemon {
    /// Makes the plan unless it is made, and carries it out unless that is done.
    pub(super) async fn start(&mut self) -> Result<(), Stop> {
        let session = self.session_handle()?;
        self.prepare_logger(&session).await?;
        if self.plan.is_none() {
            let again = std::mem::replace(&mut self.planned, true);
            let plan = if again { self.plan_again(&session).await? } else { self.make_plan(&session).await? };
            self.timers.start_awaiting();
            self.plan = Some(plan);
        }
        match self.plan.take() {
            Some(mut plan) if !plan.done => {
                let outcome = self.carry_out(&session, &mut plan).await;
                plan.done = outcome.is_ok();
                self.plan = Some(plan);
                outcome
            }
            plan => {
                self.plan = plan;
                Ok(())
            }
        }
    }

    async fn make_plan(&mut self, session: &Rc<Session>) -> Result<Plan, Stop> {
        let standing = self.ask(session, |session| async move { session.standing().await }).await?;
        let marks = self.ask(session, |session| async move { session.marks().await }).await?;
        let names = self.config_names(session).await?;
        let facts = Facts {
            warm_flag: standing.warm_flag,
            restore_count: standing.restore_count,
            dpu: standing.dpu,
            init_done: marks.init_done,
            kernel_has_ports: names.iter().any(|name| self.core.machine.has_existing_port(name)),
        };
        let decision = decide(&facts);
        if let Some(warning) = decision.warning {
            warn!(restore_count = ?facts.restore_count.map(|text| text.escape_ascii().to_string()), "{warning}");
        }
        let configured = names.len();
        let mut ports = Rc::default();
        let metrics = &self.telemetry.metrics;
        match decision.kind {
            Kind::Cold | Kind::Dpu => metrics.cold_starts.count(()),
            Kind::Warm => metrics.warm_starts.count(()),
            Kind::Live => metrics.live_restarts.count(()),
        }
        metrics.warm_start_fallbacks.add((), u64::from(decision.warning.is_some()));
        let init = match decision.kind {
            // Nothing is published, and what the ports are is not needed before every row is right.
            Kind::Live => Init::already_said(),
            Kind::Warm => {
                let found = self.ask(session, |session| async move { session.config_rows(&names).await }).await?;
                ports = self.take_ports(found);
                Init::waiting_for(ports.iter().map(|port| port.name.as_slice().into()))
            }
            Kind::Cold | Kind::Dpu => {
                // Two connections, so that the one's answers are read while Redis works for the other.
                let both = self.ask(session, |session| async move {
                    let (found, known) = try_join!(session.config_rows(&names), session.with_admin_status(&names))?;
                    let known = names.into_iter().zip(known).filter(|(_, known)| *known).map(|(name, _)| name);
                    Ok((found, known.collect::<HashSet<_>>()))
                });
                let (found, known) = both.await?;
                ports = self.take_ports(found);
                let awaited = ports.iter().filter(|port| !known.contains(&port.name));
                Init::waiting_for(awaited.map(|port| port.name.as_slice().into()))
            }
        };
        self.core.awaits(init);
        self.telemetry.starts.is_of(decision.kind);
        self.telemetry.latches.unready(Component::Ports, INIT_DUE);
        self.published = marks.config_done || marks.init_done;
        let retired = if decision.kind == Kind::Cold { self.core.retire_existing() } else { Vec::new() };
        info!(
            kind = ?decision.kind, ports = configured, old_links = retired.len(), awaited = self.core.init.awaited().len(),
            restore_count = decision.restore_count, "start"
        );
        Ok(Plan { kind: decision.kind, restore_count: decision.restore_count, ports, retired, done: false })
    }

    /// Redis came back empty: as a cold start, but the links that are there are ours and stay as they are.
    async fn plan_again(&mut self, session: &Rc<Session>) -> Result<Plan, Stop> {
        let mut ports = self.config_ports(session).await?;
        if ports.is_empty() {
            // CONFIG_DB is as empty as the rest: what it said before is better than nothing.
            ports = Rc::clone(&self.configured);
        }
        self.core.awaits(Init::waiting_for(ports.iter().map(|port| port.name.as_slice().into())));
        self.telemetry.metrics.port_init_done.set((), 0.0);
        self.telemetry.latches.unready(Component::Ports, INIT_DUE);
        self.published = false;
        info!(ports = ports.len(), "publishing again");
        Ok(Plan { kind: Kind::Cold, restore_count: 0, ports, retired: Vec::new(), done: false })
    }

    async fn carry_out(&mut self, session: &Rc<Session>, plan: &mut Plan) -> Result<(), Stop> {
        let count = plan.restore_count;
        self.tell(session, |session| async move { session.write_restore_count(count).await }).await?;
        if matches!(plan.kind, Kind::Cold | Kind::Dpu) {
            if !plan.retired.is_empty() {
                let links = std::mem::take(&mut plan.retired);
                info!(links = %named(links.iter().map(|(_, name)| name.to_string())), "setting links down that were there before a cold start");
                self.during(async move { set_down(&links).await }).await?;
            }
            self.publish_all(session, &plan.ports).await?;
            let done = PortConfig::mark(PORT_CONFIG_DONE, "count", &plan.ports.len().to_string());
            self.publish_all(session, &Rc::from([done])).await?;
            self.published = true;
            info!(count = plan.ports.len(), "PortConfigDone published");
        }
        self.core.init.configured();
        Ok(())
    }

    /// Reads what a Redis that comes back empty would be filled with, where the start had no need of it.
    pub(super) async fn remember_ports(&mut self, session: &Rc<Session>) -> Result<(), Stop> {
        if self.plan.as_ref().is_some_and(|plan| plan.kind == Kind::Live) && self.configured.is_empty() {
            self.config_ports(session).await?;
        }
        Ok(())
    }

    async fn config_names(&mut self, session: &Rc<Session>) -> Result<Vec<Vec<u8>>, Stop> {
        self.ask(session, |session| async move { session.config_names().await }).await
    }

    async fn config_ports(&mut self, session: &Rc<Session>) -> Result<Rc<[PortConfig]>, Stop> {
        let names = self.config_names(session).await?;
        let found = self.ask(session, |session| async move { session.config_rows(&names).await }).await?;
        Ok(self.take_ports(found))
    }

    /// Remembers the ports of CONFIG_DB, and says what of it are none.
    fn take_ports(&mut self, found: ConfigPorts) -> Rc<[PortConfig]> {
        let ConfigPorts { ports, refused } = found;
        if !refused.is_empty() {
            let keys = refused.iter().map(|(name, reason)| format!("PORT|{} ({reason})", name.escape_ascii()));
            warn!(keys = %named(keys), "keys of CONFIG_DB that are no ports are left out");
        }
        if ports.is_empty() {
            info!("CONFIG_DB has no ports, they can come later");
            return Rc::default();
        }
        self.configured = ports.into();
        Rc::clone(&self.configured)
    }

    /// Publishes all of them, however often it takes; those whose key is broken are reported and left out.
    pub(super) async fn publish_all(&mut self, session: &Rc<Session>, ports: &Rc<[PortConfig]>) -> Result<(), Stop> {
        self.ask(session, |session| async move { session.load_script().await }).await?;
        let mut left: Vec<usize> = (0..ports.len()).collect();
        while !left.is_empty() {
            let sent = left.len();
            let ports = Rc::clone(ports);
            let Published { refused, reason, broken } = {
                let ports = Rc::clone(&ports);
                self.ask(session, |session| async move { session.publish(&ports, &left).await }).await?
            };
            let writes = &self.telemetry.metrics.redis_writes;
            writes.add((Db::Appl, Outcome::Ok), (sent - refused.len() - broken.len()) as u64);
            writes.add((Db::Appl, Outcome::Refused), refused.len() as u64);
            writes.add((Db::Appl, Outcome::WrongType), broken.len() as u64);
            for place in broken {
                error!(
                    port = %ports[place].config_key(),
                    "port cannot be published, its key in APPL_DB holds another type than a hash; delete the key and restart"
                );
            }
            left = refused;
            if let Some(reason) = reason {
                self.refusals += left.len();
                warn!(ports = left.len(), total = self.refusals, reason = %reason, "Redis refuses ports, trying again until it takes them");
                let at = self.timers.refused();
                self.during(sleep_until(at)).await?;
                self.ask(session, |session| async move { session.load_script().await }).await?;
            }
        }
        self.timers.accepted();
        Ok(())
    }

    /// Every awaited port has its row: says so to the whole switch.
    pub(super) async fn say_init_done(&mut self) -> Result<(), Stop> {
        let session = self.session_handle()?;
        let since = self.timers.awaited.map_or(Duration::ZERO, |(_, _, since)| since.elapsed());
        self.publish_all(&session, &Rc::from([PortConfig::mark(PORT_INIT_DONE, "lanes", "0")])).await?;
        self.core.init.said();
        self.start_is_done();
        self.published = true;
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
