//! Engine and queue together over ends, kills and changed rules, in random order: a receiver's last word is the truth.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::alert::engine::{Engine, SavedEngine, Settings};
use crate::alert::model::Now;
use crate::alert::rules::{Loader, Rules};
use crate::link::LinkName;

const PORTS: [&str; 3] = ["Ethernet0", "Ethernet4", "Ethernet8"];

/// What CONFIG_DB may have: nothing, a rule, the same for one port only, another that asks something else.
fn rules(variant: usize) -> Rules {
    let lines = [
        "",
        "condition = { equals = 0 }",
        "condition = { equals = 0 }\nports = \"Ethernet0\"",
        "condition = { below = 1 }",
    ];
    let mut loader = Loader::with_any_sink();
    if variant > 0 {
        let line = lines[variant];
        let head = "[[rule]]\nname = \"Down\"\nmetric = \"port_oper_up\"\nseverity = \"info\"";
        loader.file("rules", &format!("{head}\nfor = \"10s\"\nkeep_firing_for = \"10s\"\n{line}\n"));
    }
    loader.finish().unwrap()
}

struct World {
    engine: Engine,
    queue: Queue,
    now: Now,
    up: [bool; PORTS.len()],
    /// Which rules there are, and whether the engine knows them.
    variant: usize,
    known: bool,
    disk: (SavedEngine, SavedSink),
    /// What the receiver was told last of each alert: whether it fires, and since when.
    told: BTreeMap<Fingerprint, (bool, u64)>,
    /// What was under way when the daemon was killed.
    unsure: HashSet<Fingerprint>,
}

impl World {
    fn new() -> Self {
        let mut world = Self {
            engine: Engine::new(&rules(1), Settings::default()),
            queue: Queue::new(Arc::default(), false),
            now: Now { monotonic: Duration::from_secs(1), wall: 1e6 },
            up: [true; PORTS.len()],
            variant: 1,
            known: true,
            disk: Default::default(),
            told: BTreeMap::new(),
            unsure: HashSet::new(),
        };
        world.queue.set_capacity(100);
        world
    }

    fn evaluate(&mut self) {
        self.now = Now { monotonic: self.now.monotonic + Duration::from_secs(10), wall: self.now.wall + 10.0 };
        let mut snapshot = self.engine.snapshot();
        for (port, up) in PORTS.iter().zip(self.up) {
            snapshot.put_port("port_oper_up", LinkName::new(port.as_bytes()).unwrap(), f64::from(u8::from(up)));
        }
        let changes = self.engine.evaluate(&snapshot, self.now).notifications;
        self.reconcile(changes);
    }

    fn know_rules(&mut self) {
        if !std::mem::replace(&mut self.known, true) {
            let changes = self.engine.reload(&rules(self.variant), self.now).notifications;
            self.engine.know_rules();
            self.reconcile(changes);
        }
    }

    fn reconcile(&mut self, changes: Vec<Notification>) {
        let alerts = self.engine.alerts().filter(|alert| alert.notified);
        let active: Vec<_> = alerts.map(|alert| Notification { alert, ended: None, actions: [].into() }).collect();
        let firing = active.iter().map(|one| one.alert.fingerprint).collect();
        let unclaimed = self.engine.unclaimed().collect();
        let wanted: Vec<_> = changes.into_iter().chain(active).map(Arc::new).collect();
        self.queue.reconcile(&wanted, &firing, &unclaimed, Instant::now());
    }

    fn note(&mut self) {
        self.disk = (self.engine.save(self.now), self.queue.save(Instant::now()));
    }

    /// Sends what waits; the daemon may be killed at any step of it. True if it is to be.
    fn deliver(&mut self, killed_at: usize) -> bool {
        let batch = self.queue.take(9);
        if batch.is_empty() || killed_at == 0 {
            return killed_at == 0;
        }
        self.note();
        self.unsure.extend(batch.iter().map(|one| one.alert.fingerprint));
        if killed_at == 1 {
            return true;
        }
        for one in &batch {
            let (name, fires) = (one.alert.fingerprint, one.ended.is_none());
            self.told.insert(name, (fires, one.alert.since.to_bits()));
        }
        if killed_at == 2 {
            return true;
        }
        self.queue.settle(&batch, DeliveryOutcome::Sent);
        if killed_at == 3 {
            return true;
        }
        self.note();
        self.unsure.retain(|name| batch.iter().all(|one| one.alert.fingerprint != *name));
        false
    }

    /// Whatever is about to be told is news, unless it was under way at a kill.
    fn check(&self) -> Result<(), TestCaseError> {
        for unsent in self.queue.free().filter(|unsent| unsent.alert.ended.is_none()) {
            let (name, since) = (unsent.alert.alert.fingerprint, unsent.alert.alert.since.to_bits());
            let again = self.told.get(&name) == Some(&(true, since)) && !self.unsure.contains(&name);
            prop_assert!(!again, "{} is told twice", unsent.alert.alert.rule);
        }
        Ok(())
    }

    /// Another run, with these rules; they may be known only later.
    fn start(&mut self, variant: usize, known: bool, killed: bool) {
        if !killed {
            self.note();
        }
        (self.variant, self.known) = (variant, known);
        self.engine = Engine::new(&rules(if known { variant } else { 0 }), Settings::default());
        self.now = Now { monotonic: Duration::from_secs(1), wall: self.now.wall + 3.0 };
        if !known {
            self.engine.await_rules();
        }
        let (saved, sink) = serde_json::from_str(&serde_json::to_string(&self.disk).unwrap()).unwrap();
        self.engine.restore(saved, self.now);
        self.queue = Queue::new(Arc::default(), false);
        self.queue.set_capacity(100);
        let alerts = self.engine.alerts().filter(|alert| alert.notified).map(|alert| alert.fingerprint);
        let firing = alerts.chain(self.engine.unclaimed()).collect();
        self.queue.restore(&sink, Duration::from_secs(3), &firing);
        self.reconcile(Vec::new());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_receivers_last_word_is_the_truth(steps in prop::collection::vec((0..8_u8, 0..6_usize), 0..60)) {
        let mut world = World::new();
        world.evaluate();
        for (step, number) in steps {
            match step {
                0 | 1 => world.up[number % PORTS.len()] ^= true,
                2 | 3 => world.evaluate(),
                4 => {
                    if world.deliver(number) {
                        world.start(world.variant, number % 2 == 0, true);
                    }
                }
                5 => world.know_rules(),
                6 => world.start(number % 4, number < 3, false),
                _ => {
                    // Killed between deliveries: what is on the disk is older than what is known.
                    world.start(number % 4, number < 3, true);
                }
            }
            world.check()?;
        }
        world.know_rules();
        for _ in 0..15 {
            world.evaluate();
            world.deliver(9);
        }
        let firing: Vec<Fingerprint> = world.engine.alerts().filter(|alert| alert.state == AlertState::Firing).map(|alert| alert.fingerprint).collect();
        let down = match world.variant {
            0 => 0,
            2 => usize::from(!world.up[0]),
            _ => world.up.iter().filter(|up| !**up).count(),
        };
        prop_assert_eq!(firing.len(), down, "the engine's own view");
        let told: Vec<Fingerprint> = world.told.iter().filter(|(_, (fires, _))| *fires).map(|(name, _)| *name).collect();
        prop_assert_eq!(told.iter().collect::<HashSet<_>>(), firing.iter().collect::<HashSet<_>>(), "{:?}", world.told);
    }
}
