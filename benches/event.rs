//! From the kernel's bytes to a row that Redis has acknowledged, each part alone and all together.
//!
//! Throughput is in events (or links, or rows): the time of one is its inverse.

use std::hint::black_box;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use portsyncd::daemon::core::Core;
use portsyncd::db::client::encode::Encoder;
use portsyncd::db::pending::Pending;
use portsyncd::lab::messages::new_link;
use portsyncd::lab::pipeline::{self, Switch, names};
use portsyncd::lab::redis_server::RedisServer;
use portsyncd::link::dump::Dump;
use portsyncd::link::parse::{Messages, NetlinkMessage};
use portsyncd::link::{Link, LinkEvent, LinkName};
use portsyncd::sync::port_sync::{PortSync, Row, RowKey, SyncAction, Table};
use tokio::time::Instant;

const SIZES: [usize; 3] = [32, 512, 10_000];

fn links(ports: usize, up: bool, mtu: u32) -> Vec<Link> {
    let rows = portsyncd::lab::ports::rows(ports);
    let link = |(at, name): (usize, &str)| Link {
        ifindex: u32::try_from(at + 2).expect("few"),
        name: LinkName::new(name.as_bytes()).expect("short"),
        admin_up: up,
        oper_up: up,
        mtu: Some(mtu),
        has_master: false,
        is_team: false,
        carrier_changes: Some(1),
    };
    rows.iter().map(|row| row.name.as_str()).enumerate().map(link).collect()
}

fn parse(criterion: &mut Criterion) {
    let mut bytes = Vec::new();
    new_link(&mut bytes, 7, "Ethernet0", true, 9100);
    let mut group = criterion.benchmark_group("parse");
    group.throughput(Throughput::Elements(1));
    group.bench_function("link message", |bencher| {
        bencher.iter(|| {
            Messages::new(black_box(&bytes)).filter(|message| matches!(message, Ok(NetlinkMessage::Link(_)))).count()
        });
    });
}

/// Every port changes once.
fn machine(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("machine");
    for ports in SIZES {
        let rounds = [links(ports, true, 9100), links(ports, false, 9100)];
        let (mut machine, mut actions) = (PortSync::new(names()), Vec::new());
        for link in &rounds[0] {
            machine.event(&LinkEvent::New(*link), &mut actions);
            machine.published(link.name, true, &mut actions);
        }
        let mut round = 0;
        group.throughput(Throughput::Elements(ports as u64));
        group.bench_function(BenchmarkId::from_parameter(ports), |bencher| {
            bencher.iter(|| {
                round += 1;
                actions.clear();
                for link in &rounds[round % 2] {
                    machine.event(&LinkEvent::New(*link), &mut actions);
                }
                assert!(matches!(actions.as_slice(), [SyncAction::Write(..), ..]) && actions.len() == ports);
            });
        });
    }
}

/// Every row changes once, is taken, encoded and acknowledged.
fn pending(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("pending and encoding");
    let encoder = Encoder::new("|");
    for ports in SIZES {
        let keys: Vec<RowKey> =
            links(ports, true, 9100).iter().map(|link| RowKey { table: Table::Port, name: link.name }).collect();
        let (mut pending, mut output, mut mtu) = (Pending::default(), Vec::new(), 0);
        group.throughput(Throughput::Elements(ports as u64));
        group.bench_function(BenchmarkId::from_parameter(ports), |bencher| {
            bencher.iter(|| {
                mtu += 1;
                for key in &keys {
                    pending.set(*key, Row::Port { admin_up: true, oper_up: true, mtu });
                }
                output.clear();
                let mut taken = 0;
                pending.take(usize::MAX, |key, write| {
                    encoder.encode(&mut output, key, write);
                    taken += 1;
                });
                assert_eq!(taken, ports);
                for key in &keys {
                    pending.acknowledge(*key);
                }
            });
        });
    }
}

/// Messages through parser, machine, pending rows, encoding and a real Redis, until it has acknowledged every row.
fn whole(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let server = RedisServer::start().expect("a Redis");
    let mut group = criterion.benchmark_group("whole");
    group.sample_size(20);
    for ports in [1, 32, 512, 10_000] {
        let mut writer = runtime.block_on(pipeline::writer(&server)).expect("a connection");
        let mut switch = Switch::new(ports);
        let mut mtu = 1500;
        group.throughput(Throughput::Elements(ports as u64));
        group.bench_function(BenchmarkId::from_parameter(ports), |bencher| {
            bencher.iter(|| {
                mtu += 1;
                for port in 0..ports {
                    switch.change(port, true, mtu);
                }
                runtime.block_on(pipeline::write(&mut switch.core, &mut writer)).expect("Redis takes it")
            });
        });
    }
}

/// A dump of all links is compared with what is known, and with what Redis holds: nothing differs, or everything does.
fn resync(criterion: &mut Criterion) {
    const PORTS: usize = 10_000;
    let dump = |up| Dump { links: links(PORTS, up, 9100), complete: true, retries: 0 };
    let mut group = criterion.benchmark_group("resync");
    group.throughput(Throughput::Elements(PORTS as u64));
    for (name, up) in [("nothing differs", false), ("every link differs", true)] {
        let (before, now) = (dump(false), dump(up));
        group.bench_function(name, |bencher| {
            bencher.iter_batched(
                || {
                    let mut core = Core::new(names(), std::sync::Arc::default());
                    core.resync(&before);
                    before.links.iter().for_each(|link| core.published(link.name, true));
                    core.take_batch(usize::MAX, |_, _| {});
                    before.links.iter().for_each(|link| {
                        core.acknowledged(RowKey { table: Table::Port, name: link.name }, Instant::now());
                    });
                    core
                },
                |mut core| {
                    core.resync(&now);
                    assert_eq!(core.pending().len(), if up { PORTS } else { 0 });
                    core
                },
                BatchSize::LargeInput,
            );
        });
    }
}

criterion_group!(benches, parse, machine, pending, whole, resync);
criterion_main!(benches);
