//! The format of a scenario file.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, bail};
use serde::Deserialize;

use super::action::Action;

/// One situation: what stands there, what happens, what has to come of it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Scenario {
    /// One line on the situation.
    pub title: String,
    /// Only this project's daemon promises it.
    #[serde(default)]
    pub beyond: bool,
    /// Environment of the executable.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// The server's `notify-keyspace-events`.
    #[serde(default = "all_events")]
    pub notifications: String,
    /// What happens before the first step; the executable does not run yet.
    #[serde(default)]
    pub setup: Vec<String>,
    /// What happens then, and what has to come of it.
    #[serde(rename = "step")]
    pub steps: Vec<Step>,
}

/// One step.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Step {
    /// For messages.
    pub name: String,
    /// What happens, in order.
    #[serde(rename = "do")]
    pub actions: Vec<String>,
    /// `"DB KEY"` → the whole hash (values as text), or `"absent"`.
    pub rows: BTreeMap<String, Row>,
    /// As `rows`, but further fields may be there.
    pub includes: BTreeMap<String, BTreeMap<String, String>>,
    /// Writes of the executable that have to come in this order, each the beginning of `DB COMMAND ARGUMENT…`.
    pub order: Vec<String>,
    /// Writes that come just once in this step.
    pub once: Vec<String>,
    /// Writes that do not come in this step.
    pub never: Vec<String>,
    /// Link → `"up"` or `"down"`: its IFF_UP.
    pub links: BTreeMap<String, String>,
    /// The executable has ended with this code.
    pub exit: Option<i32>,
}

/// What a key has to hold.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Row {
    /// `"absent"`.
    Word(String),
    /// A hash.
    Fields(BTreeMap<String, String>),
}

fn all_events() -> String {
    "AKE".to_owned()
}

impl Scenario {
    /// Reads and checks a file; messages name the file, the place, and what would be right.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let scenario: Self = toml::from_str(&text).with_context(|| format!("{} is no scenario", path.display()))?;
        scenario.check().with_context(|| format!("{} is no scenario", path.display()))?;
        Ok(scenario)
    }

    fn check(&self) -> anyhow::Result<()> {
        if self.steps.is_empty() {
            bail!("it has no [[step]]");
        }
        for action in self.setup.iter().chain(self.steps.iter().flat_map(|step| &step.actions)) {
            Action::parse(action)?;
        }
        for step in &self.steps {
            for key in step.rows.keys().chain(step.includes.keys()) {
                database(key)?;
            }
            for (key, row) in &step.rows {
                if matches!(row, Row::Word(word) if word != "absent") {
                    bail!("rows {key:?}: right is a table of fields or \"absent\"");
                }
            }
            for (link, state) in &step.links {
                if state != "up" && state != "down" {
                    bail!("links {link:?}: {state:?} is neither \"up\" nor \"down\"");
                }
            }
        }
        Ok(())
    }
}

/// `"DB KEY"`: the database's number, and the key.
pub(super) fn database(text: &str) -> anyhow::Result<(i64, &str)> {
    let (name, key) = text.split_once(' ').with_context(|| format!("{text:?}: right is a database and a key"))?;
    Ok((number(name)?, key))
}

/// A database's number.
pub(super) fn number(name: &str) -> anyhow::Result<i64> {
    Ok(match name {
        "APPL_DB" => 0,
        "CONFIG_DB" => 4,
        "STATE_DB" => 6,
        _ => bail!("{name:?} is no database; there are APPL_DB, CONFIG_DB and STATE_DB"),
    })
}
