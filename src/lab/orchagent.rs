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
    use super::super::consumer::{BATCH, pop_now};
    use super::super::producer::Producer;
    use super::super::redis_server::{APPL_DB, RedisServer};
    use super::*;

    #[test]
    fn a_new_one_knows_only_what_is_published_from_then_on() {
        let server = RedisServer::start().unwrap();
        let mut db = server.client(APPL_DB).unwrap();
        let producer = Producer::new(APPL_DB, ":");
        let mut orchagent = Orchagent::default();
        let mut publish = |keys: &[(&str, &str)]| {
            for (key, count) in keys {
                producer.set(&mut db, key, &[("count", count)]).unwrap();
            }
            pop_now(&mut db, ":", BATCH).unwrap()
        };
        orchagent.take(&publish(&[(INIT_DONE, "0"), (CONFIG_DONE, "1"), ("Ethernet0", "")]));
        assert_eq!(
            (orchagent.order.as_slice(), orchagent.count),
            (&[CONFIG_DONE, INIT_DONE].map(str::to_owned)[..], Some(1))
        );
        orchagent.restart();
        orchagent.take(&publish(&[(INIT_DONE, "0")]));
        orchagent.take(&publish(&[("Ethernet4", ""), (CONFIG_DONE, "1")]));
        orchagent.take(&publish(&[(INIT_DONE, "0"), (CONFIG_DONE, "2")]));
        assert_eq!(orchagent.ports, BTreeSet::from(["Ethernet4".to_owned()]), "the row of Ethernet0 is there, but old");
        assert_eq!((orchagent.order, orchagent.count), ([INIT_DONE, CONFIG_DONE].map(str::to_owned).to_vec(), Some(2)));
    }

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
