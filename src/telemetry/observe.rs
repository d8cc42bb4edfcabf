//! The core's side: what it says of ports, without allocating for one that it knows.
//!
//! Sub-interfaces (names with a `.`) are no ports, whoever speaks of them: nothing is said of them.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::Telemetry;
use super::ports::Cell;
use crate::link::LinkName;
use crate::sync::port_sync::Source;

/// Keeps the cells of ports. The core has one.
#[derive(Debug)]
pub struct PortObserver {
    telemetry: Arc<Telemetry>,
    cells: HashMap<LinkName, Arc<Cell>, RandomState>,
    /// Cells made since names were last forgotten.
    made: usize,
}

/// After so many new names it is looked for some that can go.
const SWEEP: usize = 1024;

impl PortObserver {
    pub fn new(telemetry: Arc<Telemetry>) -> Self {
        Self { telemetry, cells: HashMap::default(), made: 0 }
    }

    pub fn telemetry(&self) -> &Arc<Telemetry> {
        &self.telemetry
    }

    /// The row (admin, oper, mtu) that the port deserves, the link that says it, and whether Redis holds it.
    pub fn wanted(&mut self, name: LinkName, row: (bool, bool, u32), source: Source, there: bool) {
        self.update(name, |cell| cell.wanted(row, source, there));
    }

    /// Redis holds the row that the port deserves.
    pub fn settled(&mut self, name: LinkName) {
        self.update(name, Cell::settled);
    }

    /// The port's key in STATE_DB holds another type, so that its row cannot be written.
    pub fn blocked(&mut self, name: LinkName) {
        self.update(name, Cell::blocked);
    }

    /// The port's row has to go.
    pub fn removed(&mut self, name: LinkName) {
        self.update(name, Cell::removed);
    }

    /// The port's link is there, and APPL_DB has no row for it.
    pub fn waiting(&mut self, name: LinkName) {
        self.update(name, Cell::waiting);
    }

    /// What the kernel says of a port's link, whether it is wanted up and is, while it waits.
    pub fn link(&mut self, name: LinkName, (admin_up, oper_up): (bool, bool)) {
        if let Some(cell) = self.cells.get(&name)
            && cell.link(admin_up, oper_up)
        {
            self.telemetry.ports.touch(cell);
        }
    }

    /// The start waits for the rows of these ports, and for no others.
    pub fn awaited<'a>(&mut self, names: impl Iterator<Item = &'a [u8]>) {
        for cell in self.cells.values().filter(|cell| cell.awaited(false)) {
            self.telemetry.ports.touch(cell);
        }
        let mut odd = BTreeSet::new();
        for name in names {
            match port(name) {
                Some(name) => self.update(name, |cell| cell.awaited(true)),
                None => drop(odd.insert(name.to_vec())),
            }
        }
        self.telemetry.starts.awaits_odd(odd);
    }

    /// The start waits for this port's row no longer.
    pub fn arrived(&mut self, name: &[u8]) {
        match port(name) {
            Some(name) => self.update(name, |cell| cell.awaited(false)),
            None => self.telemetry.starts.odd_arrived(name),
        }
    }

    /// CONFIG_DB has these ports, and no others.
    pub fn configured<'a>(&mut self, names: impl Iterator<Item = &'a [u8]>) {
        let names: HashSet<LinkName> = names.filter_map(LinkName::new).collect();
        for cell in self.cells.values() {
            cell.configured(names.contains(cell.name()));
        }
        for name in names {
            self.update(name, |cell| {
                cell.configured(true);
                false
            });
        }
    }

    /// Whether a link from before a cold start holds the port's name: it is ignored until it goes.
    pub fn ignored(&mut self, name: LinkName, ignored: bool) {
        self.update(name, |cell| cell.ignored(ignored));
    }

    fn update(&mut self, name: LinkName, change: impl FnOnce(&Cell) -> bool) {
        let cell = match self.cells.entry(name) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(_) if name.is_sub_interface() => return,
            Entry::Vacant(entry) => {
                self.made += 1;
                entry.insert(self.telemetry.ports.cell(name))
            }
        };
        if change(cell) {
            self.telemetry.ports.touch(cell);
        }
        if self.made >= SWEEP {
            self.forget_gone();
        }
    }

    /// Forgets names that nothing has had for long, or too many of them: to be called now and then.
    pub fn forget_gone(&mut self) {
        self.made = 0;
        for name in self.telemetry.ports.forget_gone() {
            self.cells.remove(&name);
        }
    }
}

/// The name, if a port's link can have it.
fn port(name: &[u8]) -> Option<LinkName> {
    LinkName::new(name).filter(|name| !name.is_sub_interface())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::PortState;

    fn name(text: &str) -> LinkName {
        LinkName::new(text.as_bytes()).unwrap()
    }

    #[test]
    fn names_that_come_and_go_are_forgotten_after_a_day_or_4096_of_them() {
        let telemetry = Arc::new(Telemetry::default());
        let mut observer = PortObserver::new(Arc::clone(&telemetry));
        let there = name("Ethernet0");
        observer.wanted(there, (true, true, 9100), 1.into(), true);
        for number in 0..20_000u32 {
            let passing = name(&format!("Eth{number}"));
            observer.wanted(passing, (true, true, 9100), (number + 2).into(), true);
            observer.removed(passing);
        }
        let known = telemetry.ports.cells().len();
        assert!((4096..=4096 + SWEEP).contains(&known) && observer.cells.len() == known, "{known}");
        for cell in telemetry.ports.cells().iter() {
            cell.changed_at(1);
        }
        observer.forget_gone();
        let left: Vec<_> = telemetry.ports.cells().iter().map(|cell| *cell.name()).collect();
        assert_eq!(left, [there], "what is there stays, however long ago it changed");
    }

    #[test]
    fn a_port_from_awaited_to_removed() {
        let telemetry = Arc::new(Telemetry::default());
        let mut observer = PortObserver::new(Arc::clone(&telemetry));
        let port_state = || telemetry.ports.cell(name("Ethernet0")).port_state();
        observer.awaited([b"Ethernet0".as_slice(), b"no name of a link"].into_iter());
        assert_eq!(port_state(), Some(PortState::Awaited));
        observer.waiting(name("Ethernet0"));
        let up_down = || telemetry.ports.cell(name("Ethernet0")).up_down();
        assert_eq!(up_down(), None);
        observer.link(name("Ethernet0"), (true, true));
        assert_eq!(up_down(), Some((true, true)));
        observer.link(name("Ethernet0"), (true, false));
        assert_eq!(up_down(), Some((true, false)));
        assert_eq!(port_state(), Some(PortState::Waiting));
        observer.wanted(name("Ethernet0"), (true, false, 9100), 7.into(), false);
        assert_eq!(port_state(), Some(PortState::Pending));
        observer.settled(name("Ethernet0"));
        assert!(telemetry.ports.cell(name("Ethernet0")).is_awaited(), "whoever awaits it says when it has come");
        observer.arrived(b"Ethernet0");
        let port = telemetry.ports.cell(name("Ethernet0")).port().unwrap();
        assert_eq!(
            (port.admin.as_deref(), port.oper.as_deref(), port.mtu, port.ifindex),
            (Some("up"), Some("down"), Some(9100), Some(7))
        );
        assert!(port.in_step && port.flaps == 0 && port.last_change.is_some());
        observer.link(name("Ethernet0"), (true, true));
        assert_eq!(up_down(), Some((true, false)), "its row says it");
        observer.waiting(name("Ethernet0"));
        assert_eq!(up_down(), Some((true, false)), "Redis lost the row, not the kernel the link");
        observer.removed(name("Ethernet0"));
        assert_eq!((port_state(), up_down()), (None, None));
    }

    #[test]
    fn a_port_whose_link_is_ignored_until_it_goes() {
        let telemetry = Arc::new(Telemetry::default());
        let mut observer = PortObserver::new(Arc::clone(&telemetry));
        let port = name("Ethernet0");
        let cell = telemetry.ports.cell(port);
        observer.ignored(port, true);
        assert_eq!((cell.port_state(), cell.unserved()), (Some(PortState::Ignored), None), "it is not configured");
        assert_eq!(cell.up_down(), Some((false, false)), "it is set down");
        observer.configured([b"Ethernet0".as_slice(), b"Ethernet4"].into_iter());
        observer.awaited([b"Ethernet0".as_slice(), b"Ethernet4"].into_iter());
        assert_eq!((cell.port_state(), cell.unserved()), (Some(PortState::Ignored), Some(PortState::Ignored)));
        let other = telemetry.ports.cell(name("Ethernet4"));
        assert_eq!((other.port_state(), other.unserved()), (Some(PortState::Awaited), None), "it has no link");
        observer.ignored(port, false);
        assert_eq!((cell.port_state(), cell.unserved()), (Some(PortState::Awaited), None));
        observer.waiting(port);
        assert_eq!(cell.unserved(), Some(PortState::Waiting));
        observer.wanted(port, (true, true, 9100), 7.into(), false);
        assert_eq!((cell.port_state(), cell.unserved()), (Some(PortState::Pending), None));
        observer.settled(port);
        observer.arrived(b"Ethernet0");
        observer.removed(port);
        assert_eq!(cell.port_state(), None);
        observer.waiting(port);
        assert_eq!(cell.unserved(), Some(PortState::Waiting), "it is configured as before");
        observer.configured([b"Ethernet4".as_slice(), b"Ethernet4.10", b"no name of a link"].into_iter());
        assert_eq!(cell.unserved(), None);
        assert_eq!(telemetry.ports.count(), 2);
    }

    #[test]
    fn what_is_configured_is_no_news() {
        let telemetry = Arc::new(Telemetry::default());
        let mut observer = PortObserver::new(Arc::clone(&telemetry));
        observer.configured([b"Ethernet0".as_slice()].into_iter());
        assert!(telemetry.ports.take_changed(&telemetry.ports.cells()).is_empty());
        observer.ignored(name("Ethernet0"), true);
        observer.ignored(name("Ethernet0"), true);
        assert_eq!(telemetry.ports.take_changed(&telemetry.ports.cells()).len(), 1);
    }

    #[test]
    fn each_change_of_the_operational_state_is_a_flap_and_no_other_is() {
        let telemetry = Arc::new(Telemetry::default());
        let mut observer = PortObserver::new(Arc::clone(&telemetry));
        let flaps = || telemetry.ports.cell(name("Ethernet0")).flaps();
        let mut row = |admin, oper, mtu| observer.wanted(name("Ethernet0"), (admin, oper, mtu), 7.into(), false);
        row(true, true, 9100);
        row(false, true, 1500);
        assert_eq!(flaps(), 0);
        for up in [false, true, true, false] {
            row(true, up, 1500);
        }
        assert_eq!(flaps(), 3);
        let history = telemetry.ports.cell(name("Ethernet0")).history();
        assert_eq!(history.iter().map(|(_, up)| *up).collect::<Vec<_>>(), [false, true, false]);
    }

    #[test]
    fn flaps_are_the_kernels_and_history_is_what_was_seen() {
        let telemetry = Arc::new(Telemetry::default());
        let mut observer = PortObserver::new(Arc::clone(&telemetry));
        let mut row = |up, ifindex, changes| {
            let source = Source { ifindex, carrier_changes: Some(changes) };
            observer.wanted(name("Ethernet0"), (true, up, 9100), source, true);
        };
        let seen = || {
            let cell = telemetry.ports.cell(name("Ethernet0"));
            (cell.flaps(), cell.history().len())
        };
        row(true, 7, 11);
        assert_eq!(seen(), (0, 0));
        row(true, 7, 21);
        assert_eq!(seen(), (10, 0));
        telemetry.ports.take_changed(&telemetry.ports.cells());
        row(true, 7, 23);
        assert_eq!(telemetry.ports.take_changed(&telemetry.ports.cells()).len(), 1, "they are news by themselves");
        row(false, 7, 24);
        assert_eq!(seen(), (13, 1));
        observer.removed(name("Ethernet0"));
        let source = Source { ifindex: 9, carrier_changes: Some(2) };
        observer.wanted(name("Ethernet0"), (true, true, 9100), source, true);
        assert_eq!(seen(), (13, 1));
    }

    #[test]
    fn history_keeps_the_last_few_and_goes_on_after_a_restart() {
        let telemetry = Arc::new(Telemetry::default());
        let mut observer = PortObserver::new(Arc::clone(&telemetry));
        for flap in 0..20 {
            observer.wanted(name("Ethernet0"), (true, flap % 2 == 0, 9100), 7.into(), true);
        }
        let cell = telemetry.ports.cell(name("Ethernet0"));
        assert_eq!((cell.flaps(), cell.history().len()), (19, 8));
        let next = Telemetry::default();
        next.ports.restore(name("Ethernet0"), cell.flaps(), &cell.history(), None);
        let cell = next.ports.cell(name("Ethernet0"));
        assert_eq!((cell.flaps(), cell.history().len(), cell.port_state()), (19, 8, None));
    }

    #[test]
    fn sub_interfaces_are_no_ports() {
        let telemetry = Arc::new(Telemetry::default());
        let mut observer = PortObserver::new(Arc::clone(&telemetry));
        let sub = name("Ethernet0.10");
        observer.awaited([b"Ethernet0.10".as_slice()].into_iter());
        observer.waiting(sub);
        observer.wanted(sub, (true, true, 9100), 7.into(), true);
        observer.settled(sub);
        observer.removed(sub);
        telemetry.ports.restore(sub, 3, &[], None);
        assert_eq!(telemetry.ports.count(), 0);
    }

    #[test]
    fn changed_ports_are_taken_once_and_names_are_in_order() {
        let telemetry = Arc::new(Telemetry::default());
        let mut observer = PortObserver::new(Arc::clone(&telemetry));
        for port in ["Ethernet12", "Ethernet4", "PortChannel1"] {
            observer.wanted(name(port), (true, true, 9100), 7.into(), true);
        }
        let cells = telemetry.ports.cells();
        let names: Vec<String> = cells.iter().map(|cell| cell.name().to_string()).collect();
        assert_eq!(names, ["Ethernet4", "Ethernet12", "PortChannel1"]);
        assert_eq!(telemetry.ports.take_changed(&cells).len(), 3);
        assert!(telemetry.ports.take_changed(&cells).is_empty());
        let before = telemetry.ports.generation();
        observer.removed(name("Ethernet4"));
        assert_ne!(telemetry.ports.generation(), before);
        assert_eq!(telemetry.ports.take_changed(&cells).len(), 1);
    }
}
