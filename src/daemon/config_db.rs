//! What the daemon follows in the databases at run time, and on which channels it hears of it.

use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::{debug, error};

use super::{Daemon, Stop};
use crate::db::publish;
use crate::db::queries::{self, Logger, PortConfig};
use crate::db::store::{Connection, escape_glob};
use crate::db::tables::{self, CONFIG_PORT, DAEMON, PORT_TABLE};
use crate::db::topology::{Database, Topology};
use crate::db::{StoreError, Trouble};
use crate::telemetry::labels::Db;

/// Where CONFIG_DB has alert rules.
const ALERT_RULE: &str = "PORTSYNCD_ALERT_RULE";
/// Changes of CONFIG_DB's ports that come this close together are looked at together.
const GATHER: Duration = Duration::from_millis(100);
/// How often is looked whether a port that waits may be handed on.
const HELD_PAUSE: Duration = Duration::from_secs(1);

/// What the servers' channels begin with.
pub(super) struct Channels {
    ports: Vec<u8>,
    config_ports: Vec<u8>,
    rules: Vec<u8>,
    logger: Vec<u8>,
}

impl Channels {
    pub fn new(topology: &Topology) -> Self {
        let channel = |database: &Database, table: &str, key: &str| {
            let key = tables::join(table, &database.separator, key.as_bytes());
            [format!("__keyspace@{}__:", database.id).as_bytes(), &key].concat()
        };
        Self {
            ports: channel(&topology.appl, PORT_TABLE, ""),
            config_ports: channel(&topology.config, CONFIG_PORT, ""),
            rules: channel(&topology.config, ALERT_RULE, ""),
            logger: channel(&topology.config, "LOGGER", DAEMON),
        }
    }

    /// What is listened to on CONFIG_DB's server.
    pub fn config_patterns(&self) -> Vec<Vec<u8>> {
        vec![escape_glob(&self.logger), pattern(&self.config_ports), pattern(&self.rules)]
    }

    /// All rows of ports of APPL_DB.
    pub fn ports_pattern(&self) -> Vec<u8> {
        pattern(&self.ports)
    }
}

fn pattern(prefix: &[u8]) -> Vec<u8> {
    [&escape_glob(prefix), b"*".as_slice()].concat()
}

/// What of CONFIG_DB is to be looked at.
#[derive(Default)]
pub(super) struct Followed {
    pub logger: bool,
    pub rules: bool,
    /// Its ports, from this time on.
    pub ports: Option<Instant>,
    /// It told of a change of theirs; otherwise only their names are looked at.
    pub ports_changed: bool,
    pub names: Vec<Vec<u8>>,
    /// When to look whether it has ports, while a start waits for them.
    pub retry_at: Option<Instant>,
    /// How many of its keys are no ports.
    pub refused: usize,
    /// What went on to APPL_DB of each port.
    handed_on: HashMap<Vec<u8>, Vec<u8>>,
}

impl Followed {
    /// Anything may have changed.
    pub fn everything(&mut self, now: Instant) {
        (self.logger, self.rules) = (true, true);
        self.ports.get_or_insert(now);
    }

    /// A start has published these.
    pub fn published(&mut self, ports: &[PortConfig]) {
        self.handed_on = ports.iter().map(words).collect();
    }
}

fn words(port: &PortConfig) -> (Vec<u8>, Vec<u8>) {
    (port.name.clone(), port.words.clone())
}

impl Daemon {
    pub(super) fn connection(&self, db: Db) -> Result<Rc<Connection>, Stop> {
        self.databases.connection(db).ok_or(Stop::Away)
    }

    /// Asks a database beside the turning loop. One that does not answer as it should is given up, to be connected to anew.
    pub(super) async fn ask<T>(
        &mut self,
        db: Db,
        question: impl AsyncFnOnce(Rc<Connection>) -> Result<T, StoreError>,
    ) -> Result<T, Stop> {
        let connection = self.connection(db)?;
        let outcome = self.during(question(Rc::clone(&connection))).await?;
        self.outcome(db, &connection, outcome)
    }

    pub(super) fn outcome<T>(
        &mut self,
        db: Db,
        asked: &Rc<Connection>,
        outcome: Result<T, StoreError>,
    ) -> Result<T, Stop> {
        outcome.map_err(|error| {
            self.failed(db, asked, &error);
            Stop::Away
        })
    }

    /// A connection failed, unless another one took its place meanwhile.
    pub(super) fn failed(&mut self, db: Db, asked: &Rc<Connection>, error: &StoreError) {
        if self.databases.connection(db).is_some_and(|current| Rc::ptr_eq(&current, asked)) {
            self.lost(self.databases.server_of(db), error);
        }
    }

    /// As [`ask`](Self::ask) for a write that the daemon can do without: a key of another type is reported and left.
    pub(super) async fn write_or_report(
        &mut self,
        db: Db,
        write: impl AsyncFnOnce(Rc<Connection>) -> Result<(), StoreError>,
    ) -> Result<(), Stop> {
        let connection = self.connection(db)?;
        let outcome = match self.during(write(Rc::clone(&connection))).await? {
            Err(problem) if problem.trouble() == Trouble::WrongType => {
                error!(problem = %problem, reason = %problem.source, "going on without; delete the key and restart to mend it");
                Ok(())
            }
            outcome => outcome,
        };
        self.outcome(db, &connection, outcome)
    }

    /// A server told of a change.
    pub(super) fn heard(&mut self, channel: &[u8]) {
        debug!(channel = %channel.escape_ascii(), "keyspace notification");
        if let Some(name) = tables::link_name(channel, &self.channels.ports) {
            self.core.awaited_rows.heard(name);
        } else if channel.starts_with(&self.channels.config_ports) {
            self.followed.ports.get_or_insert(Instant::now() + GATHER);
            self.followed.ports_changed = true;
        } else if channel.starts_with(&self.channels.rules) {
            self.followed.rules = true;
        } else if channel == self.channels.logger {
            self.followed.logger = true;
        }
    }

    /// The row of `LOGGER` may have changed: what it lacks is filled in, what it says holds.
    pub(super) async fn follow_logger(&mut self) -> Result<(), Stop> {
        self.followed.logger = false;
        let [level, output] = self.ask(Db::Config, async |config| queries::logger(&config).await).await?;
        let default = |field, found: &Option<String>, default| found.is_none().then_some((field, default));
        let missing: Vec<_> = [default("LOGLEVEL", &level, "NOTICE"), default("LOGOUTPUT", &output, "SYSLOG")]
            .into_iter()
            .flatten()
            .collect();
        if !missing.is_empty() {
            let write = async |config: Rc<_>| publish::complete_logger(&config, &missing).await;
            self.write_or_report(Db::Config, write).await?;
        }
        let or = |found: Option<String>, default: &str| found.unwrap_or_else(|| default.to_owned());
        self.logging.follow(&Logger { level: or(level, "NOTICE"), output: or(output, "SYSLOG") });
        self.prove();
        Ok(())
    }

    /// The alert rules of CONFIG_DB may have changed: hands them on to alerting.
    pub(super) async fn follow_rules(&mut self) -> Result<(), Stop> {
        self.followed.rules = false;
        let rows = self.ask(Db::Config, async |config| queries::rows_of(&config, ALERT_RULE).await).await?;
        (self.hooks.rules_found)(rows);
        Ok(())
    }

    /// The ports of CONFIG_DB may have changed.
    pub(super) async fn follow_ports(&mut self) -> Result<(), Stop> {
        if !self.followed.ports_changed && !self.config.ports.follow_config_db {
            let names = self.ask(Db::Config, async |config| queries::config_names(&config).await).await?;
            if names == self.followed.names {
                self.followed.ports = None;
                return Ok(());
            }
        }
        self.read_ports(false).await?;
        if self.config.ports.follow_config_db {
            self.hand_on().await?;
        }
        Ok(())
    }

    /// Hands changed ports on to APPL_DB, as releases 202012 to 202111 did; like these, it hands no removal on. One whose link
    /// is awaited waits.
    async fn hand_on(&mut self) -> Result<(), Stop> {
        let handed_on = &self.followed.handed_on;
        let changed = self.configured.iter().filter(|port| handed_on.get(&port.name) != Some(&port.words));
        let (held, ready): (Vec<_>, Vec<_>) = changed.cloned().partition(|port| self.core.init.is_awaited(&port.name));
        let ready: Rc<[PortConfig]> = ready.into();
        let taken = ready.is_empty() || self.publish(&ready).await?;
        if taken {
            self.followed.handed_on.extend(ready.iter().map(words));
        }
        if !taken || !held.is_empty() {
            self.followed.ports = Some(Instant::now() + HELD_PAUSE);
        }
        Ok(())
    }
}
