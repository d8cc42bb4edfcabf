//! What the daemon reads of CONFIG_DB at run time, and on which channels it hears of changes.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::{debug, error};

use super::{Daemon, Stop};
use crate::alert::service::AlertingCommand;
use crate::db::client::Request;
use crate::db::publish;
use crate::db::queries::{self, PortConfig};
use crate::db::store::{Client, escape_glob};
use crate::db::tables::{self, ALERT_RULE, CONFIG_PORT, DAEMON, PORT_TABLE};
use crate::db::topology::{Database, Topology};
use crate::db::{StoreError, Trouble};
use crate::telemetry::labels::Db;

/// Changes of CONFIG_DB's ports that come this close together are looked at together.
const COALESCE: Duration = Duration::from_millis(100);
/// How often is looked whether a port whose link is awaited may be published.
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

/// What is known of CONFIG_DB, and what of it is to be read.
#[derive(Default)]
pub(super) struct ConfigDb {
    pub read_logger: bool,
    pub read_rules: bool,
    /// When to read its ports.
    pub read_ports_at: Option<Instant>,
    /// It told of a change of theirs; otherwise only their names are looked at.
    pub ports_changed: bool,
    /// The ports that it had when it last had any.
    pub ports: Rc<[PortConfig]>,
    /// The names in its table of ports, those of no ports too.
    pub names: Vec<Vec<u8>>,
    /// How many of them are no ports.
    pub refused: usize,
    /// When to look whether it has ports, while a start waits for them.
    pub retry_at: Option<Instant>,
    /// What could not be done, and was reported.
    reported: HashSet<&'static str>,
    /// The fields of each port that were published.
    published: HashMap<Vec<u8>, Request>,
}

impl ConfigDb {
    /// Anything may have changed.
    pub fn read_all(&mut self, now: Instant) {
        (self.read_logger, self.read_rules) = (true, true);
        self.read_ports_at.get_or_insert(now);
    }

    pub fn published(&mut self, ports: &[PortConfig]) {
        self.published.extend(ports.iter().map(|port| (port.name.clone(), port.fields.clone())));
    }

    /// A start has published these, and nothing else is there.
    pub fn published_all(&mut self, ports: &[PortConfig]) {
        self.published.clear();
        self.published(ports);
    }
}

impl Daemon {
    pub(super) fn client(&self, db: Db) -> Result<Rc<Client>, Stop> {
        self.databases.client(db).ok_or(Stop::Away)
    }

    /// Asks a database beside the loop. One that does not answer as it should is given up, to be connected to anew.
    pub(super) async fn ask<T>(
        &mut self,
        db: Db,
        question: impl AsyncFnOnce(Rc<Client>) -> Result<T, StoreError>,
    ) -> Result<T, Stop> {
        let client = self.client(db)?;
        let outcome = self.run_while(question(Rc::clone(&client))).await?;
        self.outcome(db, &client, outcome)
    }

    /// The client failed: its server is lost, unless another one took its place meanwhile.
    pub(super) fn outcome<T>(&mut self, db: Db, asked: &Rc<Client>, outcome: Result<T, StoreError>) -> Result<T, Stop> {
        outcome.map_err(|error| {
            if self.databases.client(db).is_some_and(|current| Rc::ptr_eq(&current, asked)) {
                self.lost(self.databases.server_of(db), &error);
            }
            Stop::Away
        })
    }

    /// As [`ask`](Self::ask) for what the daemon can do without: a key of another type, or one that the user may not read or
    /// write, is reported once and left; then there is no answer.
    pub(super) async fn ask_or_report<T>(
        &mut self,
        db: Db,
        question: impl AsyncFnOnce(Rc<Client>) -> Result<T, StoreError>,
    ) -> Result<Option<T>, Stop> {
        let sparing = async |client| match question(client).await {
            Err(problem) if problem.trouble() == Trouble::WrongType || problem.reason.is_denied() => Ok(Err(problem)),
            outcome => outcome.map(Ok),
        };
        let problem = match self.ask(db, sparing).await? {
            Ok(answer) => return Ok(Some(answer)),
            Err(problem) => problem,
        };
        if self.config_db.reported.insert(problem.operation) {
            let help = if problem.reason.is_denied() {
                "let the user of redis.username do it (ACL SETUSER)"
            } else {
                "delete the key and restart"
            };
            error!(problem = %problem, help, "going on without");
        }
        Ok(None)
    }

    /// A server told of a change.
    pub(super) fn heard(&mut self, channel: &[u8]) {
        debug!(channel = %channel.escape_ascii(), "keyspace notification");
        let channels = &self.databases.channels;
        if let Some(name) = tables::link_name(channel, &channels.ports) {
            self.core.awaited_rows_mut().heard(name);
        } else if channel.starts_with(&channels.config_ports) {
            self.config_db.read_ports_at.get_or_insert(Instant::now() + COALESCE);
            self.config_db.ports_changed = true;
        } else if channel.starts_with(&channels.rules) {
            self.config_db.read_rules = true;
        } else if channel == channels.logger {
            self.config_db.read_logger = true;
        }
    }

    /// The row of `LOGGER` may have changed: what it lacks is filled in, what it says holds.
    pub(super) async fn read_logger(&mut self) -> Result<(), Stop> {
        self.config_db.read_logger = false;
        let found = self.ask_or_report(Db::Config, async |config| queries::logger(&config).await).await?;
        // What may not be read is not filled in either: it may be there.
        let Some(found) = found else { return Ok(()) };
        let defaults = [("LOGLEVEL", "NOTICE"), ("LOGOUTPUT", "SYSLOG")];
        let missing: Vec<_> = defaults
            .into_iter()
            .zip(&found)
            .filter_map(|(default, found)| found.is_none().then_some(default))
            .collect();
        if !missing.is_empty() {
            let write = async |config: Rc<_>| publish::complete_logger(&config, &missing).await;
            self.ask_or_report(Db::Config, write).await?;
        }
        let [level, output] = &found;
        self.logging.apply(level.as_deref().unwrap_or(defaults[0].1), output.as_deref().unwrap_or(defaults[1].1));
        self.note_success();
        Ok(())
    }

    /// The alert rules of CONFIG_DB may have changed: hands them on to alerting.
    pub(super) async fn read_rules(&mut self) -> Result<(), Stop> {
        self.config_db.read_rules = false;
        let rows = self.ask_or_report(Db::Config, async |config| queries::rows_of(&config, ALERT_RULE).await).await?;
        self.send_to_alerting(AlertingCommand::Rules(rows));
        Ok(())
    }

    /// Nobody receives it any longer only if the thread could not go on, which it has said.
    pub(super) fn send_to_alerting(&self, command: AlertingCommand) {
        let _ = self.alerting.send(command);
    }

    /// The ports of CONFIG_DB may have changed.
    pub(super) async fn update_ports(&mut self) -> Result<(), Stop> {
        if !self.config_db.ports_changed && !self.config.ports.follow_config_db {
            let names = self.ask(Db::Config, async |config| queries::config_names(&config).await).await?;
            if names == self.config_db.names {
                self.config_db.read_ports_at = None;
                return Ok(());
            }
        }
        self.read_ports(false).await?;
        if self.config.ports.follow_config_db {
            self.publish_changes().await?;
        }
        Ok(())
    }

    /// Publishes changed ports to APPL_DB, as releases 202012 to 202111 did; like these, it publishes no removal. One whose
    /// link is awaited waits.
    async fn publish_changes(&mut self) -> Result<(), Stop> {
        let published = &self.config_db.published;
        let changed = self.config_db.ports.iter().filter(|port| published.get(&port.name) != Some(&port.fields));
        let (held, ready): (Vec<_>, Vec<_>) =
            changed.cloned().partition(|port| self.core.init().is_awaited(&port.name));
        let ready: Rc<[PortConfig]> = ready.into();
        let taken = ready.is_empty() || self.publish(&ready).await?;
        if taken {
            self.config_db.published(&ready);
        }
        if !taken || !held.is_empty() {
            self.config_db.read_ports_at = Some(Instant::now() + HELD_PAUSE);
        }
        Ok(())
    }
}
