//! The indexes of ports in columns: a port keeps its index while it is of any interest, whatever order samples come in.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use crate::alert::Millis;
use crate::link::LinkName;

/// Ports that are not there and keep their index for their samples' sake, at most.
const MOST_GONE: usize = 4096;

#[derive(Clone, Copy, Debug)]
struct Indexed {
    name: LinkName,
    /// When it was first and last seen.
    first: Millis,
    last: Millis,
}

#[derive(Debug, Default)]
pub(in crate::alert) struct PortIndex {
    ports: Vec<Indexed>,
    by_name: HashMap<LinkName, u32, RandomState>,
    /// Those of the last snapshot, in its order.
    present: Vec<u32>,
}

impl PortIndex {
    pub fn len(&self) -> usize {
        self.ports.len()
    }

    pub fn name(&self, index: u32) -> Option<LinkName> {
        Some(self.ports.get(index as usize)?.name)
    }

    pub fn find(&self, name: &LinkName) -> Option<u32> {
        self.by_name.get(name).copied()
    }

    /// When the port was first seen.
    pub fn first(&self, index: u32) -> Millis {
        self.ports.get(index as usize).map_or(0, |port| port.first)
    }

    /// The index of a port, made if there is none.
    pub fn index(&mut self, name: LinkName, now: Millis) -> u32 {
        *self.by_name.entry(name).or_insert_with(|| {
            self.ports.push(Indexed { name, first: now, last: now });
            u32::try_from(self.ports.len() - 1).unwrap_or(u32::MAX)
        })
    }

    /// The indexes of the ports that there are now, in their order.
    pub fn indexes(&mut self, ports: &[LinkName], now: Millis) -> &[u32] {
        self.present = ports.iter().map(|port| self.index(*port, now)).collect();
        for index in &self.present {
            self.ports[*index as usize].last = now;
        }
        &self.present
    }

    /// Whether most indexes belong to ports that are not there.
    pub fn is_sparse(&self) -> bool {
        self.ports.len() > 2 * self.present.len() + 64
    }

    /// Gives up the indexes that are not kept and whose ports have not been there since then. Returns the old index of each.
    pub fn compact(&mut self, mut keep: Vec<bool>, since: Millis) -> Vec<u32> {
        for index in &self.present {
            keep[*index as usize] = true;
        }
        let mut recent: Vec<usize> =
            (0..self.ports.len()).filter(|index| !keep[*index] && self.ports[*index].last >= since).collect();
        recent.sort_by_key(|index| std::cmp::Reverse(self.ports[*index].last));
        recent.iter().take(MOST_GONE).for_each(|index| keep[*index] = true);
        let present: Vec<LinkName> = self.present.iter().filter_map(|index| self.name(*index)).collect();
        let kept: Vec<u32> = (0..).zip(&keep).filter(|(_, keep)| **keep).map(|(index, _)| index).collect();
        self.ports = kept.iter().map(|old| self.ports[*old as usize]).collect();
        self.by_name = self.ports.iter().map(|port| port.name).zip(0..).collect();
        self.present = present.iter().filter_map(|name| self.find(name)).collect();
        kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(number: usize) -> LinkName {
        LinkName::new(format!("Ethernet{number}").as_bytes()).unwrap()
    }

    #[test]
    fn a_port_keeps_its_index() {
        let mut ports = PortIndex::default();
        assert_eq!(ports.indexes(&[port(4), port(0)], 0), [0, 1]);
        assert_eq!(ports.indexes(&[port(0), port(8)], 1), [1, 2]);
        assert_eq!(ports.indexes(&[port(4)], 2), [0]);
        assert_eq!([0, 1, 2].map(|index| ports.first(index)), [0, 0, 1]);
    }

    #[test]
    fn indexes_of_ports_of_no_interest_are_given_up() {
        let mut ports = PortIndex::default();
        ports.indexes(&(0..100).map(port).collect::<Vec<_>>(), 0);
        ports.indexes(&[port(70), port(2)], 1);
        assert!(ports.is_sparse());
        let mut keep = vec![false; 100];
        keep[50] = true;
        assert_eq!(ports.compact(keep, 1), [2, 50, 70]);
        assert_eq!(ports.indexes(&[port(70), port(2)], 1), [2, 0]);
        assert_eq!((ports.find(&port(50)), ports.find(&port(51))), (Some(1), None));
    }

    #[test]
    fn ports_that_went_not_long_ago_keep_their_indexes_but_no_end_of_them() {
        let mut ports = PortIndex::default();
        ports.indexes(&(0..100).map(port).collect::<Vec<_>>(), 0);
        ports.indexes(&(100..200).map(port).collect::<Vec<_>>(), 1);
        ports.indexes(&[], 2);
        assert_eq!(ports.compact(vec![false; 200], 1).len(), 100);
        for at in 0..10 {
            ports.indexes(&(0..1000).map(|number| port(1000 * at + number)).collect::<Vec<_>>(), 3);
        }
        ports.indexes(&[], 4);
        let all = ports.len();
        assert_eq!(ports.compact(vec![false; all], 0).len(), MOST_GONE);
    }
}
