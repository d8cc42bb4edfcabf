//! A kernel, the databases, the messages between them, and the daemon's side as its driver does it.

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};

use portsyncd::db::pending::{Found, Pending, Write};
use portsyncd::link::{Link, LinkEvent, LinkName};
use portsyncd::sync::init::Init;
use portsyncd::sync::port_sync::{Names, PortSync, Row, RowKey, SyncAction, Table};
use proptest::prelude::*;

use super::step::{Fate, Hand, NAMES, Step};

/// A row as Redis holds it: our fields, if any, and whether another daemon's are beside them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    ours: Option<Ours>,
    others: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ours {
    Row(Row),
    Garbled,
}

pub struct Reading {
    number: u64,
    names: Vec<LinkName>,
    present: Vec<bool>,
    wanted: HashSet<RowKey>,
    rows: BTreeMap<LinkName, Stored>,
}

pub struct Flight {
    batch: Vec<(RowKey, Write)>,
    applied: bool,
}

pub struct World {
    kernel: BTreeMap<u32, Link>,
    /// Links from before a cold start.
    old: BTreeSet<u32>,
    messages: VecDeque<LinkEvent>,
    appl: BTreeSet<LinkName>,
    state: BTreeMap<LinkName, Stored>,
    ghost: Vec<(RowKey, Write)>,
    may_lose: bool,
    // The daemon's side.
    machine: PortSync,
    pending: Pending,
    init: Init,
    awaited: BTreeSet<LinkName>,
    flight: Option<Flight>,
    reading: Option<Reading>,
    connected: bool,
    writing: bool,
    /// Names whose row Redis has held at some time by our hand.
    written: BTreeSet<LinkName>,
    /// Somebody else wrote a row that may be just what we would write.
    claimed: bool,
}

pub fn name(at: usize) -> LinkName {
    LinkName::new(NAMES[at].as_bytes()).unwrap()
}

pub fn key(name: LinkName) -> RowKey {
    RowKey { table: Table::Port, name }
}

pub fn row_of(link: &Link) -> Row {
    Row::Port { admin_up: link.admin_up, oper_up: link.oper_up, mtu: link.mtu.unwrap_or_default() }
}

pub fn leaves(write: Write) -> Option<Row> {
    match write {
        Write::Set(row) | Write::Replace(row) => Some(row),
        Write::Remove => None,
    }
}

impl World {
    pub fn new(cold: bool, existing: &[(u32, usize)]) -> Self {
        let names =
            Names { ports: vec!["Ethernet".to_owned()], lags: vec!["PortChannel".to_owned()], management: Vec::new() };
        let mut init = Init::default();
        init.wait_for(NAMES[..3].iter().map(|name| name.as_bytes()));
        let mut world = Self {
            kernel: BTreeMap::new(),
            old: BTreeSet::new(),
            messages: VecDeque::new(),
            appl: BTreeSet::new(),
            state: BTreeMap::new(),
            ghost: Vec::new(),
            // A lost deletion and a link of the same name and index cannot be told from the old one.
            may_lose: !cold,
            machine: PortSync::new(names),
            pending: Pending::default(),
            init,
            awaited: BTreeSet::new(),
            flight: None,
            reading: None,
            connected: true,
            writing: false,
            written: BTreeSet::new(),
            claimed: false,
        };
        for (index, at) in existing {
            world.add(*index, name(*at), 1500);
        }
        // What came before the subscription is in the dump only.
        world.messages.clear();
        world.dump(true);
        world.machine.record_existing();
        if cold {
            let mut actions = Vec::new();
            world.old = world.machine.retire_existing(&mut actions).into_iter().map(|(index, _)| index).collect();
            world.settle(actions);
        }
        world.init.configured();
        world
    }

    // The kernel's side.

    fn add(&mut self, ifindex: u32, name: LinkName, mtu: u32) {
        let taken = self.kernel.contains_key(&ifindex) || self.kernel.values().any(|link| link.name == name);
        if !taken {
            let link = Link {
                ifindex,
                name,
                admin_up: false,
                oper_up: false,
                mtu: Some(mtu),
                has_master: false,
                is_team: false,
                carrier_changes: Some(1),
            };
            self.kernel.insert(ifindex, link);
            self.messages.push_back(LinkEvent::New(link));
        }
    }

    fn delete(&mut self, index: u32) {
        if let Some(link) = self.kernel.remove(&index) {
            self.old.remove(&index);
            self.messages.push_back(LinkEvent::Del(link));
        }
    }

    fn change(&mut self, index: u32, change: impl FnOnce(&mut Link)) {
        if let Some(link) = self.kernel.get_mut(&index) {
            change(link);
            self.messages.push_back(LinkEvent::New(*link));
        }
    }

    fn bridge(&mut self, index: u32) {
        if let Some(link) = self.kernel.get(&index) {
            let member = Link { has_master: true, mtu: None, ..*link };
            self.messages.push_back(LinkEvent::New(member));
            self.messages.push_back(LinkEvent::Del(member));
        }
    }

    // Redis' side.

    fn apply(&mut self, batch: &[(RowKey, Write)]) {
        for (key, write) in batch {
            self.apply_one(*key, *write);
        }
    }

    fn apply_one(&mut self, key: RowKey, write: Write) {
        let mut stored = self.state.remove(&key.name).unwrap_or_default();
        if matches!(write, Write::Replace(_) | Write::Remove) {
            stored = Stored::default();
        }
        stored.ours = leaves(write).map(Ours::Row);
        if leaves(write).is_some() {
            self.written.insert(key.name);
        }
        if stored != Stored::default() {
            self.state.insert(key.name, stored);
        }
    }

    fn outside(&mut self, name: LinkName, how: Hand) {
        match how {
            Hand::Delete => drop(self.state.remove(&name)),
            Hand::Flush => self.state.clear(),
            Hand::Garble => {
                self.state.insert(name, Stored { ours: Some(Ours::Garbled), others: true });
            }
            Hand::Claim(mtu) => {
                self.claimed = true;
                let row = Row::Port { admin_up: true, oper_up: true, mtu };
                self.state.insert(name, Stored { ours: Some(Ours::Row(row)), others: false });
            }
        }
    }

    // The daemon's side, as its driver does it.

    fn settle(&mut self, actions: Vec<SyncAction>) {
        for action in actions {
            match action {
                SyncAction::Write(key, row, _) => drop(self.pending.set(key, row)),
                SyncAction::Remove(key) => self.pending.remove(key),
                SyncAction::Await(name) => {
                    self.pending.withdraw(key(name));
                    self.awaited.insert(name);
                }
                SyncAction::Forget(name) => {
                    self.awaited.remove(&name);
                }
                SyncAction::Old(..) => {}
            }
        }
    }

    fn deliver(&mut self, count: usize) {
        for _ in 0..count {
            let Some(event) = self.messages.pop_front() else {
                return;
            };
            let mut actions = Vec::new();
            self.machine.event(&event, &mut actions);
            self.settle(actions);
        }
    }

    /// An incomplete dump lacks a link that is there.
    fn dump(&mut self, complete: bool) {
        let skip = usize::from(!complete);
        let links: Vec<Link> = self.kernel.values().skip(skip).copied().collect();
        let mut actions = Vec::new();
        self.machine.resync(&links, complete, &mut actions);
        self.settle(actions);
    }

    fn tell(&mut self, name: LinkName, present: bool) {
        let mut actions = Vec::new();
        self.machine.published(name, present, &mut actions);
        self.settle(actions);
    }

    fn read(&mut self, complete: bool) {
        self.dump(complete);
        if !self.connected || self.reading.is_some() {
            return;
        }
        let number = self.pending.begin_reading();
        let names: Vec<LinkName> = self.machine.port_names().collect();
        let wanted = names.iter().copied().map(key).chain(self.machine.desired().map(|(key, ..)| key)).collect();
        let present = names.iter().map(|name| self.appl.contains(name)).collect();
        self.reading = Some(Reading { number, names, present, wanted, rows: self.state.clone() });
    }

    fn learn(&mut self) {
        let Some(reading) = self.reading.take() else {
            return;
        };
        for key in &reading.wanted {
            let found = match reading.rows.get(&key.name).and_then(|stored| stored.ours) {
                Some(Ours::Row(row)) => Found::Row(row),
                Some(Ours::Garbled) => Found::Other,
                None => Found::Nothing,
            };
            self.pending.learn(*key, found, reading.number);
        }
        for (name, present) in reading.names.into_iter().zip(reading.present) {
            self.tell(name, present);
        }
        let desired: Vec<_> = self.machine.desired().collect();
        for (key, row, _) in desired {
            if !self.pending.ensure(key, row) && !self.pending.is_unwritten(key) {
                let _ = self.init.row_written(key.name.as_bytes());
            }
        }
        let held = self.machine.held_names();
        let unasked = reading.rows.iter().filter(|(_, stored)| stored.ours.is_some());
        for (name, _) in unasked.filter(|(name, _)| !reading.wanted.contains(&key(**name))) {
            let ours = self.machine.names().is_port(name) && !name.is_sub_interface();
            if ours && !held.contains(name) && !self.pending.is_unwritten(key(*name)) {
                self.pending.remove(key(*name));
            }
        }
        self.writing = true;
    }

    fn check_awaited(&mut self) {
        for name in self.awaited.clone() {
            self.tell(name, self.appl.contains(&name));
        }
    }

    fn launch(&mut self) {
        if self.flight.is_none() && self.connected && self.writing {
            let mut batch = Vec::new();
            self.pending.take(usize::MAX, |key, write| batch.push((key, write)));
            if !batch.is_empty() {
                self.flight = Some(Flight { batch, applied: false });
            }
        }
    }

    fn carry_out(&mut self, refused: u8) {
        let Some(mut flight) = self.flight.take() else {
            return;
        };
        if !flight.applied {
            for (at, (key, write)) in flight.batch.iter().enumerate() {
                if refused >> (at % 8) & 1 == 0 {
                    self.apply_one(*key, *write);
                }
            }
            flight.applied = true;
        }
        self.flight = Some(flight);
    }

    fn answer(&mut self, refused: u8) {
        // What was carried out already is not refused.
        let refused = if self.flight.as_ref().is_some_and(|flight| flight.applied) { 0 } else { refused };
        self.carry_out(refused);
        let Some(flight) = self.flight.take() else {
            return;
        };
        for (at, (key, _)) in flight.batch.into_iter().enumerate() {
            if refused >> (at % 8) & 1 == 1 {
                self.pending.failed(key);
            } else if self.pending.acknowledge(key).is_some_and(|done| done.row.is_some()) {
                let _ = self.init.row_written(key.name.as_bytes());
            }
        }
    }

    fn disconnect(&mut self, fate: Fate) {
        if let Some(flight) = self.flight.take() {
            match fate {
                Fate::Done if !flight.applied => self.apply(&flight.batch),
                Fate::Late if !flight.applied => self.ghost.extend(&flight.batch),
                _ => {}
            }
            for (key, _) in flight.batch {
                self.pending.lost(key);
            }
        }
        self.reading = None;
        self.connected = false;
        self.writing = false;
        self.pending.forget_known();
    }

    fn reconcile(&mut self) {
        self.connected = true;
        self.reading = None;
        self.read(true);
        self.learn();
        self.check_awaited();
        while !self.pending.is_empty() || self.flight.is_some() {
            self.launch();
            self.answer(0);
        }
    }

    pub fn take(&mut self, step: &Step) {
        match *step {
            Step::Add { index, name: at, mtu } => self.add(index, name(at), mtu),
            Step::Delete(index) => self.delete(index),
            Step::Change { index, admin, oper, mtu } => self.change(index, |link| {
                (link.admin_up, link.oper_up, link.mtu) = (admin, oper, Some(mtu));
            }),
            Step::Rename { index, name: at } => {
                if self.kernel.values().all(|link| link.name != name(at)) {
                    self.change(index, |link| link.name = name(at));
                }
            }
            Step::Bridge(index) => self.bridge(index),
            Step::Publish(at) => drop(self.appl.insert(name(at))),
            Step::Unpublish(at) => drop(self.appl.remove(&name(at))),
            Step::Deliver(count) => self.deliver(count),
            Step::Overrun { lost, complete } if self.may_lose => {
                self.messages.truncate(self.messages.len().saturating_sub(lost));
                self.deliver(usize::MAX);
                self.dump(complete);
            }
            Step::Overrun { .. } => {}
            Step::Read { complete } => {
                self.connected = true;
                self.read(complete);
            }
            Step::Learn => self.learn(),
            Step::CheckAwaited => self.check_awaited(),
            Step::Launch => self.launch(),
            Step::Apply => self.carry_out(0),
            Step::Answer { refused } => self.answer(refused),
            Step::Break(fate) => self.disconnect(fate),
            Step::Ghost => {
                let ghost = std::mem::take(&mut self.ghost);
                self.apply(&ghost);
            }
            Step::Outside { name: at, how } => self.outside(name(at), how),
        }
    }

    pub fn finish(&mut self) {
        self.answer(0);
        let ghost = std::mem::take(&mut self.ghost);
        self.apply(&ghost);
        self.deliver(usize::MAX);
        self.reconcile();
    }

    pub fn check(&self) -> Result<(), TestCaseError> {
        let holder = |name: &LinkName| self.kernel.values().find(|link| link.name == *name);
        for at in 0..NAMES.len() - 1 {
            let name = name(at);
            let ours = self.state.get(&name).and_then(|stored| stored.ours);
            match holder(&name) {
                None => prop_assert_eq!(ours, None, "{} is gone, its row is not", name),
                // Nobody writes for an old link, nor for one that orchagent does not know.
                Some(link) if self.old.contains(&link.ifindex) || !self.appl.contains(&name) => {}
                Some(link) => {
                    prop_assert_eq!(ours, Some(Ours::Row(row_of(link))), "row of {}", name);
                    prop_assert!(!self.init.is_awaited(name.as_bytes()), "{} is awaited", name);
                }
            }
        }
        for port in &NAMES[..3] {
            let written = self.written.contains(&LinkName::new(port.as_bytes()).unwrap());
            let claimed = !self.init.is_awaited(port.as_bytes());
            prop_assert!(written || !claimed || self.claimed, "{} has had no row", port);
        }
        let foreign = LinkName::new(b"foreign").unwrap();
        prop_assert!(!self.written.contains(&foreign));
        Ok(())
    }
}
