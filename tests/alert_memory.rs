//! What alerting costs in memory. The figures stand in docs/alerts.md; `cargo test --test alert_memory -- --nocapture` prints
//! them.

use std::alloc::System;
use std::time::Duration;

use portsyncd::alert::rules::{Loader, Rules};
use portsyncd::alert::{Engine, Now, Settings};
use portsyncd::link::LinkName;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn rules(count: usize) -> Rules {
    let mut loader = Loader::with_any_sink();
    let one = |number: usize| {
        format!(
            "[[rule]]\nname = \"PortFlapping{number}\"\nmetric = \"port_flaps_total\"\nports = \"Ethernet*\"\n\
             condition = {{ above = {number} }}\nfor = \"30s\"\nkeep_firing_for = \"1m\"\nseverity = \"critical\"\n\
             actions = [\"log\", \"notify\", \"noc\"]\n\
             annotations = {{ summary = \"{{{{ port }}}} flaps: {{{{ value }}}}/s\", description = \"Look at the cable.\" }}\n"
        )
    };
    loader.file("rules.toml", &(0..count).map(one).collect::<String>());
    loader.finish().expect("valid")
}

fn evaluate(engine: &mut Engine, ports: usize, seconds: u64, value: f64) {
    let mut snapshot = engine.snapshot();
    for port in 0..ports {
        let name = LinkName::new(format!("Ethernet{port}").as_bytes()).expect("short");
        snapshot.put_port("port_flaps_total", name, value);
    }
    let now = Duration::from_secs(seconds);
    engine.evaluate(&snapshot, Now { monotonic: now, wall: now.as_secs_f64() });
}

/// Bytes that are still there after something was done.
fn kept<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let region = Region::new(ALLOCATOR);
    let result = work();
    let change = region.change();
    (result, change.bytes_allocated.saturating_sub(change.bytes_deallocated))
}

/// One test, for the allocator counts for the whole process.
#[test]
fn rules_and_alerts_are_small() {
    // The catalogue is made once, whoever asks for it first.
    drop(rules(1));
    let many = 1000;
    let (rules, bytes_of_rules) = kept(|| rules(many));
    let (engine, bytes_of_engine) = kept(|| Engine::new(&rules, Settings { history: 0, ..Settings::default() }));
    let per_rule = (bytes_of_rules + bytes_of_engine) / many;
    println!("{per_rule} bytes a rule: {bytes_of_rules} bytes for {many}, {bytes_of_engine} bytes for the engine");
    assert!(per_rule < 300, "{per_rule}");

    drop(engine);

    let one = self::rules(1);
    let mut engine = Engine::new(&one, Settings::default());
    let ((), ports) = kept(|| evaluate(&mut engine, 1000, 0, -1.0));
    println!("{ports} bytes for the names and columns of 1000 ports");
    let ((), alerts) = kept(|| {
        evaluate(&mut engine, 1000, 10, 1.0);
        evaluate(&mut engine, 1000, 60, 1.0);
    });
    assert_eq!((engine.alerts().count(), engine.history().count()), (1000, 1000));
    println!("{alerts} bytes for 1000 firing alerts and the last 1000 transitions");
    assert!(alerts < 300_000, "{alerts}");

    // What goes on costs no memory, however often it is looked at.
    let ((), more) = kept(|| (100..200).for_each(|at| evaluate(&mut engine, 1000, at, 1.0)));
    assert!(more < 1000, "{more}");
}
