//! What must be seen after a step: the last part of each step of a scenario file.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::scenario::Rows;

/// What must be seen after a step's actions.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    #[serde(default)]
    pub rows: Rows,
    /// The last write of each row that changed it, in any order, and nothing else.
    pub writes: Option<Vec<String>>,
    /// Each has its first match before the next one has its own.
    #[serde(default)]
    pub order: Vec<Group>,
    /// How many writes match, since the scenario began.
    #[serde(default)]
    pub total: BTreeMap<String, Times>,
    #[serde(default)]
    pub never: Vec<String>,
    /// Commands as the daemon sent them, each at least once.
    #[serde(default)]
    pub commands: Vec<String>,
    /// `channel message` and how often.
    pub published: Option<BTreeMap<String, Times>>,
    /// Links as the kernel has them.
    #[serde(default)]
    pub links: BTreeMap<String, LinkState>,
    /// Whether links have a link-local address.
    #[serde(default)]
    pub addresses: BTreeMap<String, bool>,
    #[serde(default)]
    pub mtu: BTreeMap<String, u32>,
    /// What the present orchagent was handed.
    pub orchagent: Option<Handed>,
    /// Links that neither lost nor gained their carrier during the step.
    #[serde(default)]
    pub untouched: Vec<String>,
    /// How the daemon ended; not given: it runs on.
    pub exit: Option<Exit>,
    /// Each stands somewhere in the daemon's output.
    #[serde(default)]
    pub log: Vec<String>,
}

/// See [`Expect::orchagent`]; what is not given does not matter.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Handed {
    /// The ports that it knows.
    pub ports: Option<BTreeSet<String>>,
    /// The count of `PortConfigDone`.
    pub count: Option<usize>,
    /// The marks as it first saw them.
    pub order: Option<Vec<String>>,
}

/// One place of an order.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "a place of an order is a write, or a list of writes in any order among themselves")]
pub enum Group {
    One(String),
    /// Several, in any order.
    Any(Vec<String>),
}

impl Group {
    /// The patterns of this place.
    pub fn patterns(&self) -> &[String] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Any(any) => any,
        }
    }
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(untagged, expecting = "how often is a number, or { at-least = n, at-most = n }")]
pub enum Times {
    Exactly(usize),
    /// Between bounds.
    Between(Bounds),
}

/// Bounds, both included.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Bounds {
    #[serde(default)]
    pub at_least: usize,
    pub at_most: Option<usize>,
}

impl Times {
    /// Whether `count` is allowed.
    pub fn allows(self, count: usize) -> bool {
        match self {
            Self::Exactly(n) => count == n,
            Self::Between(b) => count >= b.at_least && b.at_most.is_none_or(|most| count <= most),
        }
    }
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum LinkState {
    /// `IFF_UP`.
    Up,
    /// Not `IFF_UP`.
    Down,
    Absent,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Exit {
    Code(i32),
    Signal(i32),
    /// `{ any = true }`: it ended.
    Any(bool),
}
