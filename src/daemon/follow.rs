//! What the daemon follows in the databases at run time, and on which channels it hears of it.

use std::future::Future;
use std::rc::Rc;

use tracing::error;

use super::{Daemon, Stop};
use crate::db::read::{Logger, PortConfig};
use crate::db::store::{Connection, Session, subscribe, subscribe_pattern};
use crate::db::table::{self, CONFIG_PORT, DAEMON, PORT_TABLE};
use crate::db::{StoreError, Trouble};
use crate::link::LinkName;

/// Where the server tells of a port's row in APPL_DB.
pub(super) fn port_channel(appl: &Connection, name: &LinkName) -> Vec<u8> {
    appl.keyspace_channel(&table::join(PORT_TABLE, &appl.separator, name.as_bytes()))
}

/// The port whose row in APPL_DB the channel speaks of.
pub(super) fn awaited_port(appl: &Connection, channel: &[u8]) -> Option<LinkName> {
    table::link_name(channel, &appl.keyspace_channel(&table::join(PORT_TABLE, &appl.separator, b"")))
}

/// Where the server tells of the daemon's row of `LOGGER`.
pub(super) fn logger_channel(config: &Connection) -> Vec<u8> {
    config.keyspace_channel(&table::join("LOGGER", &config.separator, DAEMON.as_bytes()))
}

/// The port whose row in CONFIG_DB the channel speaks of.
pub(super) fn config_port(config: &Connection, channel: &[u8]) -> Option<Vec<u8>> {
    let prefix = config.keyspace_channel(&table::join(CONFIG_PORT, &config.separator, b""));
    channel.strip_prefix(prefix.as_slice()).map(<[u8]>::to_vec)
}

/// Where CONFIG_DB has alert rules.
const ALERT_RULE: &str = "PORTSYNCD_ALERT_RULE";

/// Where the server tells of an alert rule.
fn rule_channel(config: &Connection) -> Vec<u8> {
    config.keyspace_channel(&table::join(ALERT_RULE, &config.separator, b""))
}

/// Whether the channel speaks of an alert rule.
pub(super) fn is_alert_rule(config: &Connection, channel: &[u8]) -> bool {
    channel.starts_with(&rule_channel(config))
}

impl Daemon {
    /// Runs a question to the databases beside the turning loop.
    pub(super) async fn ask<T, F>(
        &mut self,
        session: &Rc<Session>,
        question: impl FnOnce(Rc<Session>) -> F,
    ) -> Result<T, Stop>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        self.during(question(Rc::clone(session))).await?.map_err(Stop::Failed)
    }

    /// As [`ask`](Self::ask) for a write that the daemon can do without: a key of another type is reported and left.
    pub(super) async fn tell<F>(
        &mut self,
        session: &Rc<Session>,
        write: impl FnOnce(Rc<Session>) -> F,
    ) -> Result<(), Stop>
    where
        F: Future<Output = Result<(), StoreError>>,
    {
        match self.ask(session, write).await {
            Err(Stop::Failed(problem)) if problem.trouble() == Trouble::WrongType => {
                error!(problem = %problem, reason = %problem.source, "going on without; delete the key and restart to mend it");
                Ok(())
            }
            outcome => outcome,
        }
    }

    /// Listens to what the daemon follows in CONFIG_DB.
    pub(super) async fn subscribe_config(&mut self) -> Result<(), Stop> {
        let Some(live) = &self.live else { return Err(Stop::Gone) };
        let config = &live.session.config;
        let channel = logger_channel(config);
        let rules = [rule_channel(config), b"*".to_vec()].concat();
        let pattern =
            [config.keyspace_channel(&table::join(CONFIG_PORT, &config.separator, b"")), b"*".to_vec()].concat();
        let sink = live.listeners.config.clone();
        self.during(subscribe(sink.clone(), vec![channel])).await?.map_err(Stop::Failed)?;
        self.during(subscribe_pattern(sink.clone(), rules)).await?.map_err(Stop::Failed)?;
        self.rules_changed = true;
        if self.config.ports.follow_config_db {
            self.during(subscribe_pattern(sink, pattern)).await?.map_err(Stop::Failed)?;
        }
        Ok(())
    }

    /// Reads the daemon's row of `LOGGER`, and makes it if it is not there.
    pub(super) async fn prepare_logger(&mut self, session: &Rc<Session>) -> Result<(), Stop> {
        let found = self.ask(session, |session| async move { session.logger().await }).await?;
        let logger = match found {
            Some(logger) => logger,
            None => {
                self.tell(session, |session| async move { session.create_logger().await }).await?;
                Logger { level: "NOTICE".to_owned(), output: "SYSLOG".to_owned() }
            }
        };
        self.logging.follow(&logger);
        Ok(())
    }

    /// The row of `LOGGER` may have changed.
    pub(super) async fn follow_logger(&mut self) -> Result<(), Stop> {
        let session = self.session_handle()?;
        if let Some(logger) = self.ask(&session, |session| async move { session.logger().await }).await? {
            self.logging.follow(&logger);
        }
        Ok(())
    }

    /// The alert rules of CONFIG_DB may have changed: hands them on to alerting.
    pub(super) async fn follow_rules(&mut self) -> Result<(), Stop> {
        let session = self.session_handle()?;
        let rows = self.ask(&session, |session| async move { session.rows_of(ALERT_RULE).await }).await?;
        (self.rules_found)(rows);
        Ok(())
    }

    /// Whether a port's configuration changed that may go on to APPL_DB: one whose link is awaited has to wait.
    pub(super) fn has_config_changes(&self) -> bool {
        self.config_changed.iter().any(|name| !self.core.init.is_awaited(name))
    }

    /// Hands changed ports on to APPL_DB, as releases 202012 to 202111 did; like these, it hands no removal on.
    pub(super) async fn follow_ports(&mut self) -> Result<(), Stop> {
        let session = self.session_handle()?;
        let changed = std::mem::take(&mut self.config_changed);
        let (held, ready): (Vec<_>, Vec<_>) = changed.into_iter().partition(|name| self.core.init.is_awaited(name));
        self.config_changed.extend(held);
        let asked = ready.clone();
        let found = self.ask(&session, |session| async move { session.config_rows(&asked).await }).await;
        let outcome = match found {
            Ok(found) => {
                let ports: Rc<[PortConfig]> = found.ports.into();
                self.publish_all(&session, &ports).await
            }
            Err(stop) => Err(stop),
        };
        if outcome.is_err() {
            self.config_changed.extend(ready);
        }
        outcome
    }
}
