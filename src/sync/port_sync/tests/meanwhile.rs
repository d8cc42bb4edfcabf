//! Links that change while a dump of them is read.

use std::collections::{BTreeMap, VecDeque};

use proptest::prelude::*;

use super::*;

/// What the kernel and the daemon may do while a dump is read, link by link in the order of their numbers.
#[derive(Clone, Copy, Debug)]
enum Meanwhile {
    Add(IfIndex, usize),
    Delete(IfIndex),
    Change(IfIndex, u32),
    /// The next message is taken.
    Deliver,
    /// The next part of the dump is read.
    Part,
}

fn meanwhile() -> impl Strategy<Value = Meanwhile> {
    let index = 1..5u32;
    prop_oneof![
        (index.clone(), 0..5usize).prop_map(|(index, name)| Meanwhile::Add(index, name)),
        index.clone().prop_map(Meanwhile::Delete),
        (index, 1500..1504u32).prop_map(|(index, mtu)| Meanwhile::Change(index, mtu)),
        Just(Meanwhile::Deliver),
        Just(Meanwhile::Part),
    ]
}

proptest! {
    #[test]
    fn messages_of_during_a_dump_and_the_dump_make_what_is_true(
        before in prop::collection::vec(meanwhile(), 0..12),
        lost in 0..8usize,
        during in prop::collection::vec(meanwhile(), 0..40),
    ) {
        let mut kernel: BTreeMap<IfIndex, Link> = BTreeMap::new();
        let mut messages = VecDeque::new();
        let mut bench = Bench::new();
        let change = |kernel: &mut BTreeMap<IfIndex, Link>, step| match step {
            Meanwhile::Add(index, at) => {
                let new = link(index, &format!("Ethernet{at}"));
                if kernel.contains_key(&index) || kernel.values().any(|link| link.name == new.name) {
                    return None;
                }
                kernel.insert(index, new);
                Some(LinkEvent::New(new))
            }
            Meanwhile::Delete(index) => kernel.remove(&index).map(LinkEvent::Del),
            Meanwhile::Change(index, mtu) => {
                let link = kernel.get_mut(&index)?;
                link.mtu = Some(mtu);
                Some(LinkEvent::New(*link))
            }
            Meanwhile::Deliver | Meanwhile::Part => None,
        };
        // What was before, some of it lost.
        for step in before {
            messages.extend(change(&mut kernel, step));
        }
        for event in messages.drain(..).skip(lost) {
            bench.collect(|machine, actions| machine.event(&event, actions));
        }
        bench.0.begin_dump();
        let (mut dumped, mut next, mut interrupted) = (Vec::new(), 0, false);
        let mut part = |kernel: &BTreeMap<IfIndex, Link>| {
            let found = kernel.range(next..).next().map(|(_, link)| *link);
            next = found.map_or(IfIndex::MAX, |link| link.ifindex + 1);
            dumped.extend(found);
            found.is_some()
        };
        for step in during {
            match step {
                Meanwhile::Deliver => {
                    if let Some(event) = messages.pop_front() {
                        bench.collect(|machine, actions| machine.event(&event, actions));
                    }
                }
                Meanwhile::Part => drop(part(&kernel)),
                step => {
                    let event = change(&mut kernel, step);
                    interrupted |= event.is_some() && !matches!(step, Meanwhile::Change(..));
                    messages.extend(event);
                }
            }
        }
        while part(&kernel) {}
        bench.resync(&dumped, !interrupted);
        for event in messages {
            bench.collect(|machine, actions| machine.event(&event, actions));
        }
        let row = |link: &Link| Row::Port { admin_up: link.admin_up, oper_up: link.oper_up, mtu: link.mtu.unwrap() };
        for link in kernel.values() {
            bench.published(link.name, true);
            let known = bench.desired().into_iter().find(|(key, ..)| key.name == link.name);
            prop_assert_eq!(known.map(|(_, row, source)| (row, source)), Some((row(link), source(link))));
        }
        // An interrupted dump proves no absence, and is asked for again.
        prop_assert!(interrupted || bench.desired().len() == kernel.len(), "{:?} of {kernel:?}", bench.desired());
    }
}
