//! What an orchagent has been handed of `PORT_TABLE` since it was started.
//!
//! In: keys as they are popped. Out: the ports it knows, and which marks it saw in which order. A new orchagent pops what is
//! pending, and nothing else: the rows of `PORT_TABLE` that the one before it consumed are not handed to it again. What comes by
//! one pop it takes in the order of the keys, so that a mark comes after the ports of the same pop, and `PortConfigDone` before
//! `PortInitDone`. A mark that it has seen is no change.

use std::collections::BTreeSet;

use serde::Serialize;

use super::consumer::{Entry, Op};

const CONFIG_DONE: &str = "PortConfigDone";
const INIT_DONE: &str = "PortInitDone";

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Orchagent {
    /// The ports that were handed to it and not removed.
    pub ports: BTreeSet<String>,
    /// The count of the last `PortConfigDone`.
    pub count: Option<usize>,
    /// The marks, each once, as they were first seen.
    pub order: Vec<String>,
}

impl Orchagent {
    /// Takes the keys of one pop.
    pub fn take(&mut self, popped: &[Entry]) {
        let mut sorted: Vec<&Entry> = popped.iter().collect();
        sorted.sort_by(|a, b| a.key.cmp(&b.key));
        for entry in sorted {
            match (entry.key.as_str(), entry.op) {
                (mark @ (CONFIG_DONE | INIT_DONE), Op::Set) => self.mark(mark, entry),
                (CONFIG_DONE | INIT_DONE, Op::Del) => {}
                (port, Op::Set) => drop(self.ports.insert(port.to_owned())),
                (port, Op::Del) => drop(self.ports.remove(port)),
            }
        }
    }

    /// Another orchagent begins, with nothing.
    pub fn restart(&mut self) {
        *self = Self::default();
    }

    fn mark(&mut self, mark: &str, entry: &Entry) {
        if mark == CONFIG_DONE {
            self.count = entry.get("count").and_then(|count| count.parse().ok());
        }
        if self.order.iter().all(|seen| seen != mark) {
            self.order.push(mark.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_removed_port_is_forgotten() {
        let entry = |key: &str, op| Entry { key: key.to_owned(), op, fields: Vec::new() };
        let mut orchagent = Orchagent::default();
        orchagent.take(&[entry("Ethernet4", Op::Set), entry("Ethernet0", Op::Del), entry("Ethernet0", Op::Set)]);
        assert_eq!(orchagent.ports.len(), 2);
        orchagent.take(&[entry("Ethernet0", Op::Del)]);
        assert_eq!(orchagent.ports, BTreeSet::from(["Ethernet4".to_owned()]));
    }
}
