//! An evaluation of many rules for many ports, by what there is to do.
//!
//! Throughput is in rules times ports: the time of one is its inverse.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use portsyncd::alert::rules::Loader;
use portsyncd::alert::{Engine, Now, Settings};
use portsyncd::lab::ports;
use portsyncd::link::LinkName;

const PORTS: usize = 512;
const RULES: usize = 1000;

/// Rules that share no bound, and look at one of three metrics in one of five ways.
fn rules(count: usize, conditions: &[&str]) -> String {
    let metrics = ["port_flaps_total", "port_oper_up", "port_down"];
    let one = |number: usize| {
        let condition = conditions[number % conditions.len()].replace('N', &format!("{}", 1_000_000 + number));
        format!(
            "[[rule]]\nname = \"Rule{number}\"\nmetric = \"{}\"\ncondition = {condition}\nfor = \"30s\"\nseverity = \"info\"\n\
             annotations = {{ summary = \"{{{{ port }}}}: {{{{ value }}}}\" }}\n",
            metrics[number / conditions.len() % metrics.len()]
        )
    };
    (0..count).map(one).collect()
}

fn engine(text: &str) -> Engine {
    let mut loader = Loader::with_any_sink();
    loader.file("bench.toml", text);
    Engine::new(&loader.finish().expect("valid"), Settings::default())
}

struct Scene {
    engine: Engine,
    names: Vec<LinkName>,
    look: u32,
    /// One of so many ports has values that are above every bound.
    beyond: usize,
}

impl Scene {
    fn new(text: &str, beyond: usize) -> Self {
        let names = ports::rows(PORTS).iter().filter_map(|row| LinkName::new(row.name.as_bytes())).collect();
        let mut scene = Self { engine: engine(text), names, look: 0, beyond };
        // Every window is full.
        for _ in 0..130 {
            scene.evaluate();
        }
        scene
    }

    fn evaluate(&mut self) -> usize {
        self.look += 1;
        let mut snapshot = self.engine.snapshot();
        for (at, name) in self.names.iter().enumerate() {
            let high = if at % self.beyond == 0 { 1e9 } else { 0.0 };
            let value = high + f64::from(self.look);
            for metric in ["port_flaps_total", "port_oper_up", "port_down"] {
                snapshot.put_port(metric, *name, value);
            }
        }
        let seconds = Duration::from_secs(self.look.into());
        let outcome = self.engine.evaluate(&snapshot, Now { monotonic: seconds, wall: seconds.as_secs_f64() });
        outcome.transitions.len()
    }
}

fn evaluate(criterion: &mut Criterion) {
    let plain = "{ above = N }";
    let rates = ["{ above = N }", "{ rate_above = N, window = \"60s\" }", "{ rate_above = N, window = \"90s\" }"];
    let scores = [
        "{ above = N }",
        "{ rate_above = N, window = \"60s\" }",
        "{ trend = { above = N, horizon = \"1h\", window = \"2m\" } }",
        "{ anomaly = { z = 5.0, window = \"2m\" } }",
        "{ absent = \"5m\" }",
    ];
    let mut group = criterion.benchmark_group("alert rules x ports");
    group.throughput(Throughput::Elements((RULES * PORTS) as u64));
    for (name, conditions, beyond) in [
        ("values, none holds", &[plain][..], usize::MAX),
        ("values and rates, none holds", &rates, usize::MAX),
        ("all conditions, none holds", &scores, usize::MAX),
        ("values, 1 of 64 ports fires", &[plain], 64),
    ] {
        let mut scene = Scene::new(&rules(RULES, conditions), beyond);
        group.bench_function(BenchmarkId::from_parameter(name), |bencher| bencher.iter(|| black_box(scene.evaluate())));
    }
    group.finish();
}

fn load(criterion: &mut Criterion) {
    let text = rules(RULES, &["{ rate_above = N, window = \"60s\" }"]);
    let mut group = criterion.benchmark_group("alert load");
    group.throughput(Throughput::Elements(RULES as u64));
    group.bench_function("rules", |bencher| bencher.iter(|| engine(black_box(&text))));
    group.finish();
}

criterion_group!(benches, evaluate, load);
criterion_main!(benches);
