//! The machine between the kernel's links and STATE_DB's rows.
//!
//! In: link events, whole dumps, and whether APPL_DB has a port's row. Out: [`Action`]s. It knows no clock, socket or
//! database, never fails, and allocates nothing for an event about a link that it knows.
//!
//! Invariants: a name is held by at most one link; the row of a port is written only while a link holds the name and
//! APPL_DB has its row; links recorded as old, and links of kind `team`, are never written.

use std::collections::{HashMap, HashSet};

use foldhash::fast::RandomState;

use crate::link::{IfIndex, Link, LinkEvent, LinkName};

/// A table of STATE_DB that this machine fills.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Table {
    /// `PORT_TABLE`.
    Port,
    /// `MGMT_PORT_TABLE`, which releases 202012 to 202411 also had.
    Management,
}

/// Which row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RowKey {
    /// Its table.
    pub table: Table,
    /// The link that it speaks of.
    pub name: LinkName,
}

/// What a row says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Row {
    /// A row of `PORT_TABLE`.
    Port {
        /// `IFF_UP`.
        admin_up: bool,
        /// `IFF_RUNNING`.
        oper_up: bool,
        /// In bytes.
        mtu: u32,
    },
    /// A row of `MGMT_PORT_TABLE`.
    Management {
        /// `IFF_RUNNING`.
        oper_up: bool,
    },
}

/// The link that a row was read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    /// The kernel's number of it.
    pub ifindex: IfIndex,
    /// How often its carrier came or went since it was made, modulo 2^32, if the kernel ever said.
    pub carrier_changes: Option<u32>,
}

impl From<IfIndex> for Source {
    fn from(ifindex: IfIndex) -> Self {
        Self { ifindex, carrier_changes: None }
    }
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// This is what the row has to say, and which link says it.
    Write(RowKey, Row, Source),
    /// The row has to go.
    Remove(RowKey),
    /// A link waits for this port's APPL_DB row: write nothing, look for it, and watch until it is there.
    Await(LinkName),
    /// No link waits for it any longer.
    Forget(LinkName),
}

/// Which links concern us, by the beginning of their names.
#[derive(Clone, Debug)]
pub struct Names {
    /// Front panel ports (`Ethernet`): only these are old interfaces on a cold start.
    pub ports: Vec<String>,
    /// Link aggregation groups (`PortChannel`).
    pub lags: Vec<String>,
    /// Management ports (`eth`), where the switch's release wants them.
    pub management: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Port,
    Lag,
    Management,
}

impl Names {
    fn class(&self, name: &LinkName) -> Option<Class> {
        let begins = |prefixes: &[String]| prefixes.iter().any(|prefix| name.as_bytes().starts_with(prefix.as_bytes()));
        if begins(&self.ports) {
            Some(Class::Port)
        } else if begins(&self.lags) {
            Some(Class::Lag)
        } else if begins(&self.management) {
            Some(Class::Management)
        } else {
            None
        }
    }

    /// Whether rows of this name in `PORT_TABLE` are ours.
    pub fn is_port(&self, name: &LinkName) -> bool {
        matches!(self.class(name), Some(Class::Port | Class::Lag))
    }
}

#[derive(Clone, Copy, Debug)]
struct Known {
    name: LinkName,
    class: Class,
    row: Row,
    source: Source,
    standing: Standing,
    /// Was there when the daemon started.
    existing: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// Its row is ours to write.
    Ours,
    /// There before a cold start: ignored until it is deleted.
    Old,
    /// Of kind `team`: teamsyncd's.
    Team,
}

#[derive(Clone, Copy, Debug, Default)]
struct Port {
    link: Option<IfIndex>,
    published: Published,
}

/// What is known of a port's row in APPL_DB.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Published {
    #[default]
    Unknown,
    No,
    Yes,
}

/// The machine. See the module.
#[derive(Debug)]
pub struct PortSync {
    names: Names,
    links: HashMap<IfIndex, Known, RandomState>,
    ports: HashMap<LinkName, Port, RandomState>,
    /// The links of which messages came since a dump began; `None` while there is no dump.
    newer: Option<HashSet<IfIndex, RandomState>>,
}

impl PortSync {
    /// A machine that has seen nothing yet.
    pub fn new(names: Names) -> Self {
        Self { names, links: HashMap::default(), ports: HashMap::default(), newer: None }
    }

    /// Takes one event, in the kernel's order.
    pub fn event(&mut self, event: &LinkEvent, actions: &mut Vec<Action>) {
        if let Some(newer) = &mut self.newer {
            let (LinkEvent::New(link) | LinkEvent::Del(link)) = event;
            newer.insert(link.ifindex);
        }
        match event {
            LinkEvent::New(link) => self.appeared(link, actions),
            // With a master: the link left a bridge, or the message is of family AF_BRIDGE. The link itself lives on.
            LinkEvent::Del(link) if link.has_master => {}
            LinkEvent::Del(link) => self.disappeared(link.ifindex, Some(link), actions),
        }
    }

    /// A dump begins. Events may come before [`resync`](Self::resync) takes it; those of before have to be taken by now.
    pub fn begin_dump(&mut self) {
        self.newer = Some(HashSet::default());
    }

    /// Takes a dump: afterwards what is known equals it. A dump that is not `complete` proves no link's absence. What it
    /// says of a link of which a message came since it began is left aside: the message may be newer, and if it is older
    /// another follows, or its loss is noticed.
    pub fn resync(&mut self, links: &[Link], complete: bool, actions: &mut Vec<Action>) {
        let newer = self.newer.take().unwrap_or_default();
        if complete {
            let found: HashMap<IfIndex, LinkName> = links.iter().map(|link| (link.ifindex, link.name)).collect();
            let gone: Vec<IfIndex> = self
                .links
                .iter()
                .filter(|(ifindex, _)| !newer.contains(ifindex))
                .filter(|(ifindex, known)| match found.get(ifindex) {
                    None => true,
                    // Its index under another name: more likely reused while messages were lost than renamed.
                    Some(name) => known.standing == Standing::Old && *name != known.name,
                })
                .map(|(ifindex, _)| *ifindex)
                .collect();
            for ifindex in gone {
                self.disappeared(ifindex, None, actions);
            }
        }
        for link in links.iter().filter(|link| !newer.contains(&link.ifindex)) {
            self.appeared(link, actions);
        }
    }

    /// Remembers which links were there when the daemon started.
    pub fn record_existing(&mut self) {
        for known in self.links.values_mut() {
            known.existing = true;
        }
    }

    /// A cold start: the front panel ports of [`record_existing`](Self::record_existing) are old from now on. Returns them.
    pub fn retire_existing(&mut self, actions: &mut Vec<Action>) -> Vec<(IfIndex, LinkName)> {
        let mut retired = Vec::new();
        for (ifindex, known) in &mut self.links {
            if known.existing && known.class == Class::Port && known.standing == Standing::Ours {
                known.standing = Standing::Old;
                retired.push((*ifindex, known.name));
                if self.ports.remove(&known.name).is_some() {
                    actions.push(Action::Forget(known.name));
                }
            }
        }
        retired.sort_unstable();
        retired
    }

    /// Says whether APPL_DB has the port's row.
    pub fn published(&mut self, name: LinkName, present: bool, actions: &mut Vec<Action>) {
        let Some(port) = self.ports.get_mut(&name) else { return };
        let before = port.published;
        port.published = if present { Published::Yes } else { Published::No };
        let Some(ifindex) = port.link else { return };
        if present && before != Published::Yes {
            actions.push(Action::Forget(name));
            if let Some(known) = self.links.get(&ifindex) {
                actions.push(Action::Write(RowKey { table: Table::Port, name }, known.row, known.source));
            }
        } else if !present && before == Published::Yes {
            actions.push(Action::Await(name));
        }
    }

    /// Every row that has to be in STATE_DB now.
    pub fn desired(&self) -> impl Iterator<Item = (RowKey, Row, Source)> + '_ {
        self.links.values().filter_map(|known| {
            let wanted = match known.class {
                _ if known.standing != Standing::Ours => false,
                Class::Management => true,
                Class::Port | Class::Lag => {
                    self.ports.get(&known.name).is_some_and(|port| port.published == Published::Yes)
                }
            };
            wanted.then(|| (key(known), known.row, known.source))
        })
    }

    /// The names of all ports that a link of ours holds.
    pub fn port_names(&self) -> impl Iterator<Item = LinkName> + '_ {
        self.ports.iter().filter(|(_, port)| port.link.is_some()).map(|(name, _)| *name)
    }

    /// The names of all links that concern us, the ignored ones too: no row of these is stale.
    pub fn held_names(&self) -> HashSet<LinkName> {
        self.links.values().map(|known| known.name).collect()
    }

    /// Whether the kernel has this front panel port, from before our start.
    pub fn has_existing_port(&self, name: &[u8]) -> bool {
        let port = LinkName::new(name).and_then(|name| self.ports.get(&name));
        let known = port.and_then(|port| self.links.get(&port.link?));
        known.is_some_and(|known| known.existing && known.class == Class::Port)
    }

    /// Which names concern us.
    pub fn names(&self) -> &Names {
        &self.names
    }

    fn appeared(&mut self, link: &Link, actions: &mut Vec<Action>) {
        let mut before = self.links.get(&link.ifindex).copied();
        if let Some(known) = before {
            if known.standing == Standing::Old {
                self.links.insert(link.ifindex, Known { name: link.name, ..known });
                return;
            }
            if known.name != link.name {
                self.links.remove(&link.ifindex);
                self.release(&known, link.ifindex, actions);
                before = before.filter(|known| known.standing == Standing::Team);
            }
        }
        let Some(class) = self.names.class(&link.name) else { return };
        // Messages of family AF_BRIDGE tell neither the kind nor always the MTU: what was known stays.
        let was_team = before.is_some_and(|known| known.standing == Standing::Team);
        let standing = if link.is_team || was_team { Standing::Team } else { Standing::Ours };
        let row = row(class, link, before.map(|known| known.row));
        let existing = before.is_some_and(|known| known.existing);
        let carrier_changes = link.carrier_changes.or(before.and_then(|known| known.source.carrier_changes));
        let source = Source { ifindex: link.ifindex, carrier_changes };
        let known = Known { name: link.name, class, row, source, standing, existing };
        self.links.insert(link.ifindex, known);
        if standing != Standing::Ours {
            return;
        }
        // A carrier that went and came back between two messages leaves the row as it was, and is a change all the same.
        let same = before.is_some_and(|before| before.row == row && before.source == source);
        if class == Class::Management {
            if !same {
                actions.push(Action::Write(key(&known), row, source));
            }
            return;
        }
        let port = self.ports.entry(link.name).or_default();
        match port.link.replace(link.ifindex) {
            Some(holder) if holder != link.ifindex => {
                // The message of the former holder's end was lost.
                self.links.remove(&holder);
                actions.push(Action::Remove(key(&known)));
            }
            Some(_) if same || port.published != Published::Yes => return,
            _ => {}
        }
        if port.published == Published::Yes {
            actions.push(Action::Write(key(&known), row, source));
        } else {
            actions.push(Action::Await(link.name));
        }
    }

    fn disappeared(&mut self, ifindex: IfIndex, message: Option<&Link>, actions: &mut Vec<Action>) {
        if let Some(known) = self.links.remove(&ifindex) {
            self.release(&known, ifindex, actions);
            return;
        }
        // A link we never saw: its row, if somebody left one, is stale all the same.
        let Some(link) = message.filter(|link| !link.is_team && self.names.is_port(&link.name)) else { return };
        if self.ports.get(&link.name).is_none_or(|port| port.link.is_none()) {
            actions.push(Action::Remove(RowKey { table: Table::Port, name: link.name }));
        }
    }

    /// The link no longer has its name. Whether APPL_DB has the row has to be asked again when another takes it.
    fn release(&mut self, known: &Known, ifindex: IfIndex, actions: &mut Vec<Action>) {
        if known.standing != Standing::Ours {
            return;
        }
        if known.class != Class::Management {
            if self.ports.get(&known.name).is_none_or(|port| port.link != Some(ifindex)) {
                return;
            }
            self.ports.remove(&known.name);
            actions.push(Action::Forget(known.name));
        }
        actions.push(Action::Remove(key(known)));
    }
}

fn key(known: &Known) -> RowKey {
    let table = if known.class == Class::Management { Table::Management } else { Table::Port };
    RowKey { table, name: known.name }
}

fn row(class: Class, link: &Link, before: Option<Row>) -> Row {
    if class == Class::Management {
        return Row::Management { oper_up: link.oper_up };
    }
    let known = match before {
        Some(Row::Port { mtu, .. }) => mtu,
        _ => 0,
    };
    Row::Port { admin_up: link.admin_up, oper_up: link.oper_up, mtu: link.mtu.unwrap_or(known) }
}

#[cfg(test)]
#[path = "port_sync_tests.rs"]
mod tests;
