//! The places of ports in columns: a port keeps its place while it is of any interest, whatever order samples come in.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use crate::alert::Millis;
use crate::link::LinkName;

#[derive(Debug, Default)]
pub(in crate::alert) struct Slots {
    names: Vec<LinkName>,
    /// When each was first seen.
    first: Vec<Millis>,
    index: HashMap<LinkName, u32, RandomState>,
    /// The ports of the last snapshot, and their places.
    last: Vec<LinkName>,
    places: Vec<u32>,
}

impl Slots {
    pub fn len(&self) -> usize {
        self.names.len()
    }

    pub fn names(&self) -> &[LinkName] {
        &self.names
    }

    pub fn name(&self, slot: u32) -> Option<LinkName> {
        self.names.get(slot as usize).copied()
    }

    pub fn find(&self, name: &LinkName) -> Option<u32> {
        self.index.get(name).copied()
    }

    /// When the port was first seen.
    pub fn first(&self, slot: u32) -> Millis {
        self.first.get(slot as usize).copied().unwrap_or_default()
    }

    /// The place of a port, made if there is none.
    pub fn place(&mut self, name: LinkName, now: Millis) -> u32 {
        *self.index.entry(name).or_insert_with(|| {
            self.names.push(name);
            self.first.push(now);
            u32::try_from(self.names.len() - 1).unwrap_or(u32::MAX)
        })
    }

    /// The places of these ports, in their order; mostly they are the ports of last time.
    pub fn places(&mut self, ports: &[LinkName], now: Millis) -> &[u32] {
        if self.last != ports {
            ports.clone_into(&mut self.last);
            self.places.clear();
            for port in ports {
                let place = self.place(*port, now);
                self.places.push(place);
            }
        }
        &self.places
    }

    /// Whether most places belong to ports that are not there.
    pub fn is_sparse(&self) -> bool {
        self.names.len() > 2 * self.last.len() + 64
    }

    /// Gives up the places that are not kept and whose ports are not there. What comes back is the old place of each.
    pub fn compact(&mut self, mut keep: Vec<bool>) -> Vec<u32> {
        for place in &self.places {
            keep[*place as usize] = true;
        }
        let kept: Vec<u32> = (0..).zip(&keep).filter(|(_, keep)| **keep).map(|(slot, _)| slot).collect();
        self.names = kept.iter().map(|old| self.names[*old as usize]).collect();
        self.first = kept.iter().map(|old| self.first[*old as usize]).collect();
        self.index = self.names.iter().copied().zip(0..).collect();
        self.places = self.last.iter().filter_map(|name| self.index.get(name).copied()).collect();
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
    fn a_port_keeps_its_place() {
        let mut slots = Slots::default();
        assert_eq!(slots.places(&[port(4), port(0)], 0), [0, 1]);
        assert_eq!(slots.places(&[port(0), port(8)], 1), [1, 2]);
        assert_eq!(slots.places(&[port(4)], 2), [0]);
        assert_eq!([0, 1, 2].map(|slot| slots.first(slot)), [0, 0, 1]);
    }

    #[test]
    fn places_of_ports_of_no_interest_are_given_up() {
        let mut slots = Slots::default();
        slots.places(&(0..100).map(port).collect::<Vec<_>>(), 0);
        slots.places(&[port(70), port(2)], 1);
        assert!(slots.is_sparse());
        let mut keep = vec![false; 100];
        keep[50] = true;
        assert_eq!(slots.compact(keep), [2, 50, 70]);
        assert_eq!(slots.places(&[port(70), port(2)], 1), [2, 0]);
        assert_eq!((slots.find(&port(50)), slots.find(&port(51))), (Some(1), None));
    }
}
