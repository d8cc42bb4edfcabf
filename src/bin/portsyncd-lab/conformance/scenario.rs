//! The scenario file: what stands in the databases and the kernel, what is done step by step, what must be seen.
//!
//! In: a TOML file. Out: a [`Scenario`] that is known to make sense, or a message naming file, line, key and what would be
//! right. docs/scenarios.md describes the format for people.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;

use super::expect::{Expect, Group};
use super::text;

/// Rows by database name and key.
pub type Rows = BTreeMap<String, BTreeMap<String, Row>>;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// One line for the report.
    pub title: String,
    /// Why it matters; free text, read by people only.
    #[serde(default)]
    #[expect(dead_code, reason = "for the reader of the file")]
    pub what: String,
    /// Asks for behaviour that the C++ daemon does not have; left out with `--skip-beyond`.
    #[serde(default)]
    pub beyond: bool,
    /// Whether somebody pops `APPL_DB` as orchagent does.
    #[serde(default)]
    pub consumer: Consumer,
    /// Whether somebody does to links what intfmgrd does after each write of a port's row.
    #[serde(default)]
    pub intfmgrd: bool,
    /// How long a step may take until its expectations hold.
    #[serde(default = "default_within", with = "humantime_serde")]
    pub within: Duration,
    #[serde(default)]
    pub redis: Redis,
    /// Environment of the daemon.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// What is there before the first step.
    #[serde(default)]
    pub setup: Setup,
    pub step: Vec<Step>,
}

fn default_within() -> Duration {
    Duration::from_secs(20)
}

/// Who pops the keys of `APPL_DB`.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Consumer {
    /// Nobody, unless a step says `consume`.
    #[default]
    Steps,
    /// A consumer is subscribed from the start and pops at once.
    Auto,
}

/// The Redis server and how the daemon is told to find it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Redis {
    /// Runs when the scenario begins; otherwise a step says `redis-start`.
    pub started: bool,
    /// The daemon is given an address instead of a socket.
    pub tcp: bool,
    /// Server options, such as `notify-keyspace-events`.
    pub options: BTreeMap<String, String>,
    /// Ids and separators that differ from `SONiC`'s usual ones.
    pub databases: BTreeMap<String, Database>,
}

impl Default for Redis {
    fn default() -> Self {
        Self { started: true, tcp: false, options: BTreeMap::new(), databases: BTreeMap::new() }
    }
}

/// One database of `database_config.json`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Database {
    /// The number for `SELECT`.
    pub id: u8,
    /// Between table and key.
    pub separator: String,
}

/// What is there before the first step.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Setup {
    #[serde(default)]
    pub rows: Rows,
    /// Ports with a cable: veth pairs, the far end up.
    #[serde(default)]
    pub ports: Vec<String>,
    /// Further `ip` commands.
    #[serde(default)]
    pub ip: Vec<String>,
}

/// A row, to be written or to be found.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "a row is a table of fields (hash), a list (set), a text, or false (no such row)")]
pub enum Row {
    /// `false`: no such row; `true`: any row.
    There(bool),
    Text(String),
    Members(Vec<String>),
    /// A hash; as an expectation the field `..` says that others may be there.
    Hash(BTreeMap<String, String>),
}

/// Something done, then what must be seen.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    pub name: String,
    #[serde(default, rename = "do")]
    pub actions: Vec<Action>,
    /// Held against what is seen, until it holds and once more when all is quiet.
    #[serde(default)]
    pub expect: Expect,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    Start,
    /// SIGTERM; wait for its end.
    Term,
    /// SIGKILL; wait for its end.
    Kill,
    Pause,
    Resume,
    RedisStart,
    RedisKill,
    RedisPause,
    RedisResume,
    Flushall,
    /// Forget all Lua scripts.
    ScriptFlush,
    /// Pop everything once, as orchagent does.
    Consume,
    /// Another orchagent begins, which knows nothing but what is popped from then on.
    OrchagentRestart,
    /// Let time pass.
    Wait(#[serde(with = "humantime_serde")] Duration),
    Rows(Rows),
    /// Remove rows: `DB key`.
    Del(Vec<String>),
    /// Remove fields: `DB key field…`.
    Hdel(Vec<String>),
    /// Make ports with a cable.
    Ports(Vec<String>),
    /// Break a port out into several.
    Breakout(Breakout),
    /// An `ip` command in the switch; the far end of `Ethernet0`'s cable is `cable0`.
    Ip(String),
    /// Several `ip` commands by one process, without a pause between them.
    Batch(Vec<String>),
    /// An `ip` command in the other namespace, `elsewhere`; the switch's own is `switch`.
    Elsewhere(String),
    /// Change a link's MTU many times in a row; ends with `mtu`.
    Flood(Flood),
    /// A link message that does not come from the kernel.
    Forge(Forge),
}

/// See [`Action::Breakout`].
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Breakout {
    /// The port; a row of `CONFIG_DB` with lanes.
    pub port: String,
    pub into: usize,
}

/// See [`Action::Flood`].
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Flood {
    /// The links, changed in turn.
    pub links: Vec<String>,
    /// How many changes of each.
    pub times: u32,
    pub mtu: u32,
}

/// See [`Action::Forge`].
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Forge {
    /// Interface name in the message.
    pub name: String,
    /// Interface index in the message.
    pub index: i32,
    pub mtu: u32,
}

/// `SONiC`'s usual databases.
const USUAL: [(&str, u8, &str); 4] =
    [("APPL_DB", 0, ":"), ("LOGLEVEL_DB", 3, ":"), ("CONFIG_DB", 4, "|"), ("STATE_DB", 6, "|")];

impl Scenario {
    /// Reads and checks one file. The error is a message for people.
    pub fn load(path: &Path) -> Result<Self, String> {
        let shown = path.display();
        let content = std::fs::read_to_string(path).map_err(|e| format!("{shown}: cannot be read: {e}"))?;
        let scenario: Self = toml::from_str(&content).map_err(|e| format!("{shown}: {e}"))?;
        scenario.check().map_err(|message| format!("{shown}: {message}"))?;
        Ok(scenario)
    }

    /// All databases with their ids and separators.
    pub fn databases(&self) -> BTreeMap<String, Database> {
        let mut all: BTreeMap<_, _> = USUAL
            .iter()
            .map(|(name, id, sep)| ((*name).to_owned(), Database { id: *id, separator: (*sep).to_owned() }))
            .collect();
        all.extend(self.redis.databases.clone());
        all
    }

    fn check(&self) -> Result<(), String> {
        if self.step.is_empty() {
            return Err("step: there is none; add a [[step]] with `do` and [step.expect]".to_owned());
        }
        let known = self.databases();
        check_rows("setup.rows", &self.setup.rows, &known)?;
        for step in &self.step {
            let place = format!("step \"{}\"", step.name);
            let expect = &step.expect;
            check_rows(&format!("{place} expect.rows"), &expect.rows, &known)?;
            for action in &step.actions {
                match action {
                    Action::Rows(rows) => check_rows(&format!("{place} do.rows"), rows, &known)?,
                    Action::Del(keys) => check_keys(&format!("{place} do.del"), keys, 2, &known)?,
                    Action::Hdel(keys) => check_keys(&format!("{place} do.hdel"), keys, 3, &known)?,
                    _ => {}
                }
            }
            let patterns = expect.writes.iter().flatten().chain(&expect.never).chain(expect.total.keys());
            for pattern in patterns.chain(expect.order.iter().flat_map(Group::patterns)) {
                check_keys(&format!("{place} expect"), std::slice::from_ref(pattern), 2, &known)?;
            }
        }
        Ok(())
    }
}

fn check_rows(place: &str, rows: &Rows, known: &BTreeMap<String, Database>) -> Result<(), String> {
    match rows.keys().find(|name| !known.contains_key(*name)) {
        Some(name) => Err(format!("{place}.{name}: no such database; {}", one_of(known))),
        None => Ok(()),
    }
}

fn check_keys(place: &str, lines: &[String], least: usize, known: &BTreeMap<String, Database>) -> Result<(), String> {
    for line in lines {
        let words = text::split(line);
        let first = words.first().map_or("", String::as_str);
        if first != "*" && !known.contains_key(first) {
            return Err(format!("{place} \"{line}\": begins with no database; {}", one_of(known)));
        }
        if words.len() < least {
            return Err(format!("{place} \"{line}\": has {} words, needs at least {least}", words.len()));
        }
    }
    Ok(())
}

fn one_of(known: &BTreeMap<String, Database>) -> String {
    format!("one of {}", known.keys().cloned().collect::<Vec<_>>().join(", "))
}
