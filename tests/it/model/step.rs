//! What may happen to the model of the world.

use proptest::prelude::*;

pub const NAMES: [&str; 5] = ["Ethernet0", "Ethernet4", "Ethernet8", "PortChannel1", "foreign"];
pub const INDEXES: u32 = 5;

/// What may happen. Indexes and names are few, so that they collide.
#[derive(Clone, Debug)]
pub enum Step {
    Add {
        index: u32,
        name: usize,
        mtu: u32,
    },
    Delete(u32),
    Change {
        index: u32,
        admin: bool,
        oper: bool,
        mtu: u32,
    },
    Rename {
        index: u32,
        name: usize,
    },
    /// In and out of a bridge: messages of family `AF_BRIDGE`, without an MTU.
    Bridge(u32),
    Publish(usize),
    Unpublish(usize),
    Deliver(usize),
    /// The newest messages are dropped, and the daemon reads what is left and compares.
    Overrun {
        lost: usize,
        complete: bool,
    },
    /// A comparison begins: dump and reading, at once.
    Read {
        complete: bool,
    },
    /// What was read is taken.
    Learn,
    CheckAwaited,
    Launch,
    /// Redis carries out what is under way.
    Apply,
    /// Redis answers; rows by this mask are refused (and were not carried out).
    Answer {
        refused: u8,
    },
    /// The connection breaks; what was under way was carried out, will be, or never is.
    Break(Fate),
    Ghost,
    Outside {
        name: usize,
        how: Hand,
    },
}

#[derive(Clone, Copy, Debug)]
pub enum Fate {
    Done,
    Late,
    Lost,
}

#[derive(Clone, Copy, Debug)]
pub enum Hand {
    Delete,
    Garble,
    Claim(u32),
    Flush,
}

pub fn step() -> impl Strategy<Value = Step> {
    let index = 1..=INDEXES;
    let name = 0..NAMES.len();
    let mtu = 1500..1503u32;
    prop_oneof![
        6 => (index.clone(), name.clone(), mtu.clone()).prop_map(|(index, name, mtu)| Step::Add { index, name, mtu }),
        3 => index.clone().prop_map(Step::Delete),
        4 => (index.clone(), any::<bool>(), any::<bool>(), mtu.clone())
            .prop_map(|(index, admin, oper, mtu)| Step::Change { index, admin, oper, mtu }),
        2 => (index.clone(), name.clone()).prop_map(|(index, name)| Step::Rename { index, name }),
        1 => index.prop_map(Step::Bridge),
        4 => name.clone().prop_map(Step::Publish),
        1 => name.clone().prop_map(Step::Unpublish),
        8 => (1..6usize).prop_map(Step::Deliver),
        2 => (1..4usize, any::<bool>()).prop_map(|(lost, complete)| Step::Overrun { lost, complete }),
        2 => any::<bool>().prop_map(|complete| Step::Read { complete }),
        3 => Just(Step::Learn),
        4 => Just(Step::CheckAwaited),
        6 => Just(Step::Launch),
        4 => Just(Step::Apply),
        4 => prop_oneof![3 => Just(0), 1 => any::<u8>()].prop_map(|refused| Step::Answer { refused }),
        1 => prop_oneof![Just(Fate::Done), Just(Fate::Late), Just(Fate::Lost)].prop_map(Step::Break),
        1 => Just(Step::Ghost),
        2 => (name, prop_oneof![
            Just(Hand::Delete), Just(Hand::Garble), mtu.prop_map(Hand::Claim), Just(Hand::Flush)
        ]).prop_map(|(name, how)| Step::Outside { name, how }),
    ]
}
