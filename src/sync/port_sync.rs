//! The machine between the kernel's links and STATE_DB's rows.
//!
//! In: link events, whole dumps, and whether APPL_DB has a port's row. Out: [`SyncAction`]s. It knows no clock, socket or
//! database, never fails, and allocates nothing for an event about a link that it knows.
//!
//! Invariants: a name is held by at most one link; the row of a port is written only while a link holds the name and
//! APPL_DB has its row; old links, and links of kind `team`, are never written. A link is old by its index, whatever its name
//! becomes.

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

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RowKey {
    pub table: Table,
    /// The link that it speaks of.
    pub name: LinkName,
}

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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncAction {
    /// This is what the row has to say, and which link says it.
    Write(RowKey, Row, Source),
    Remove(RowKey),
    /// A link waits for this port's APPL_DB row: write nothing, look for it, and watch until it is there.
    Await(LinkName),
    /// No link waits for it any longer.
    Forget(LinkName),
    /// An old link has taken this name (true), or no longer has it.
    Old(LinkName, bool),
}

/// Which links concern us, by the beginning of their names.
#[derive(Clone, Debug, Default)]
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
    /// Of kind `team`: teamsyncd's.
    is_team: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct PortRecord {
    link: Option<IfIndex>,
    published: ApplRow,
}

/// What is known of a port's row in APPL_DB.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum ApplRow {
    #[default]
    Unknown,
    No,
    Yes,
}

/// The machine. See the module.
#[derive(Debug, Default)]
pub struct PortSync {
    names: Names,
    links: HashMap<IfIndex, Known, RandomState>,
    ports: HashMap<LinkName, PortRecord, RandomState>,
    /// The front panel ports that were there when the daemon started, with the names that they have now: what a cold start
    /// makes old.
    existing: HashMap<IfIndex, LinkName, RandomState>,
    /// Links from before a cold start, with the names that they have now: ignored until they are deleted.
    old: HashMap<IfIndex, LinkName, RandomState>,
    /// The links of which messages came since a dump began; `None` while there is no dump.
    newer: Option<HashSet<IfIndex, RandomState>>,
}

impl PortSync {
    /// A machine that has seen nothing yet.
    pub fn new(names: Names) -> Self {
        Self { names, ..Self::default() }
    }

    /// Takes one event, in the kernel's order.
    pub fn event(&mut self, event: &LinkEvent, actions: &mut Vec<SyncAction>) {
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
    pub fn resync(&mut self, links: &[Link], complete: bool, actions: &mut Vec<SyncAction>) {
        let newer = self.newer.take().unwrap_or_default();
        if complete {
            let found: HashMap<IfIndex, LinkName> = links.iter().map(|link| (link.ifindex, link.name)).collect();
            let ours = self.links.keys().filter(|ifindex| !found.contains_key(ifindex));
            // An old index under another name: more likely reused while messages were lost than renamed.
            let old = self.old.iter().filter(|(ifindex, name)| found.get(ifindex) != Some(name));
            let gone = ours.chain(old.map(|(ifindex, _)| ifindex)).copied();
            let gone: Vec<IfIndex> = gone.filter(|ifindex| !newer.contains(ifindex)).collect();
            self.existing.retain(|ifindex, _| found.contains_key(ifindex) || newer.contains(ifindex));
            for ifindex in gone {
                self.disappeared(ifindex, None, actions);
            }
        }
        for link in links.iter().filter(|link| !newer.contains(&link.ifindex)) {
            self.appeared(link, actions);
        }
    }

    /// Remembers which front panel ports were there when the daemon started.
    pub fn record_existing(&mut self) {
        let ports = self.links.iter().filter(|(_, known)| known.class == Class::Port && !known.is_team);
        self.existing = ports.map(|(ifindex, known)| (*ifindex, known.name)).collect();
    }

    /// A cold start: the links of [`record_existing`](Self::record_existing) that are still there are old from now on. Returns
    /// those that have the name of a front panel port now.
    pub fn retire_existing(&mut self, actions: &mut Vec<SyncAction>) -> Vec<(IfIndex, LinkName)> {
        let mut retired = Vec::new();
        for (ifindex, name) in std::mem::take(&mut self.existing) {
            self.links.remove(&ifindex);
            if self.ports.get(&name).is_some_and(|port| port.link == Some(ifindex)) {
                self.ports.remove(&name);
                actions.push(SyncAction::Forget(name));
            }
            self.old.insert(ifindex, name);
            actions.push(SyncAction::Old(name, true));
            if self.names.class(&name) == Some(Class::Port) {
                retired.push((ifindex, name));
            }
        }
        retired.sort_unstable();
        retired
    }

    /// Any other start: none of them is old.
    pub fn keep_existing(&mut self) {
        self.existing.clear();
    }

    /// Says whether APPL_DB has the port's row.
    pub fn published(&mut self, name: LinkName, present: bool, actions: &mut Vec<SyncAction>) {
        let Some(port) = self.ports.get_mut(&name) else { return };
        let before = port.published;
        port.published = if present { ApplRow::Yes } else { ApplRow::No };
        let Some(ifindex) = port.link else { return };
        if present && before != ApplRow::Yes {
            actions.push(SyncAction::Forget(name));
            if let Some(known) = self.links.get(&ifindex) {
                actions.push(SyncAction::Write(RowKey { table: Table::Port, name }, known.row, known.source));
            }
        } else if !present && before == ApplRow::Yes {
            actions.push(SyncAction::Await(name));
        }
    }

    /// Every row that has to be in STATE_DB now.
    pub fn desired(&self) -> impl Iterator<Item = (RowKey, Row, Source)> + '_ {
        self.links.values().filter_map(|known| {
            let published = || self.ports.get(&known.name).is_some_and(|port| port.published == ApplRow::Yes);
            let wanted = !known.is_team && (known.class == Class::Management || published());
            wanted.then(|| (key(known), known.row, known.source))
        })
    }

    /// Whether the port's link is wanted up, and whether it is; `None`: no link of ours holds the name.
    pub fn up_down(&self, name: &LinkName) -> Option<(bool, bool)> {
        match self.links.get(&self.ports.get(name)?.link?)?.row {
            Row::Port { admin_up, oper_up, .. } => Some((admin_up, oper_up)),
            Row::Management { .. } => None,
        }
    }

    /// The names of all ports that a link of ours holds.
    pub fn port_names(&self) -> impl Iterator<Item = LinkName> + '_ {
        self.ports.iter().filter(|(_, port)| port.link.is_some()).map(|(name, _)| *name)
    }

    /// The names of all links that concern us, the ignored ones too: no row of these is stale.
    pub fn held_names(&self) -> HashSet<LinkName> {
        self.links.values().map(|known| known.name).chain(self.old.values().copied()).collect()
    }

    /// Of rows that a portsyncd wrote, those whose link does not exist. Those of sub-interfaces are intfmgrd's.
    pub fn stale<'a>(&'a self, rows: &'a [RowKey]) -> impl Iterator<Item = &'a RowKey> {
        let held = self.held_names();
        rows.iter().filter(move |key| {
            self.names.is_port(&key.name) && !key.name.is_sub_interface() && !held.contains(&key.name)
        })
    }

    /// Which names concern us.
    pub fn names(&self) -> &Names {
        &self.names
    }

    fn appeared(&mut self, link: &Link, actions: &mut Vec<SyncAction>) {
        if let Some(name) = self.old.get_mut(&link.ifindex) {
            let before = std::mem::replace(name, link.name);
            if before != link.name {
                actions.extend([SyncAction::Old(before, false), SyncAction::Old(link.name, true)]);
            }
            return;
        }
        if let Some(name) = self.existing.get_mut(&link.ifindex) {
            *name = link.name;
        }
        let mut before = self.links.get(&link.ifindex).copied();
        if let Some(known) = before.filter(|known| known.name != link.name) {
            self.links.remove(&link.ifindex);
            self.release(&known, link.ifindex, actions);
            before = before.filter(|known| known.is_team);
        }
        let Some(class) = self.names.class(&link.name) else { return };
        // Messages of family AF_BRIDGE tell neither the kind nor always the MTU: what was known stays.
        let is_team = link.is_team || before.is_some_and(|known| known.is_team);
        let row = row(class, link, before.map(|known| known.row));
        let carrier_changes = link.carrier_changes.or(before.and_then(|known| known.source.carrier_changes));
        let source = Source { ifindex: link.ifindex, carrier_changes };
        let known = Known { name: link.name, class, row, source, is_team };
        self.links.insert(link.ifindex, known);
        if is_team {
            return;
        }
        // A carrier that went and came back between two messages leaves the row as it was, and is a change all the same.
        let same = before.is_some_and(|before| before.row == row && before.source == source);
        if class == Class::Management {
            if !same {
                actions.push(SyncAction::Write(key(&known), row, source));
            }
            return;
        }
        let port = self.ports.entry(link.name).or_default();
        match port.link.replace(link.ifindex) {
            Some(holder) if holder != link.ifindex => {
                // The message of the former holder's end was lost.
                self.links.remove(&holder);
                actions.push(SyncAction::Remove(key(&known)));
            }
            Some(_) if same => return,
            // A sub-interface is looked for at each of its messages, and not awaited in between.
            Some(_) if port.published != ApplRow::Yes && !link.name.is_sub_interface() => return,
            _ => {}
        }
        if port.published == ApplRow::Yes {
            actions.push(SyncAction::Write(key(&known), row, source));
        } else {
            actions.push(SyncAction::Await(link.name));
        }
    }

    fn disappeared(&mut self, ifindex: IfIndex, message: Option<&Link>, actions: &mut Vec<SyncAction>) {
        self.existing.remove(&ifindex);
        if let Some(name) = self.old.remove(&ifindex) {
            actions.push(SyncAction::Old(name, false));
            return;
        }
        if let Some(known) = self.links.remove(&ifindex) {
            self.release(&known, ifindex, actions);
            return;
        }
        // A link we never saw: its row, if somebody left one, is stale all the same.
        let Some(link) = message.filter(|link| !link.is_team && self.names.is_port(&link.name)) else { return };
        if self.ports.get(&link.name).is_none_or(|port| port.link.is_none()) {
            actions.push(SyncAction::Remove(RowKey { table: Table::Port, name: link.name }));
        }
    }

    /// The link no longer has its name. Whether APPL_DB has the row has to be asked again when another takes it.
    fn release(&mut self, known: &Known, ifindex: IfIndex, actions: &mut Vec<SyncAction>) {
        if known.is_team {
            return;
        }
        if known.class != Class::Management {
            if self.ports.get(&known.name).is_none_or(|port| port.link != Some(ifindex)) {
                return;
            }
            self.ports.remove(&known.name);
            actions.push(SyncAction::Forget(known.name));
        }
        actions.push(SyncAction::Remove(key(known)));
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
mod tests;
