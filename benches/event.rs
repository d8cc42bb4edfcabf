//! One link message, from the kernel's bytes to the row that waits to be written.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use portsyncd::db::pending::Pending;
use portsyncd::link::LinkEvent;
use portsyncd::link::parse::{Message, Messages};
use portsyncd::sync::port_sync::{Action, Names, PortSync};

/// What the kernel sends for a veth link, cut down to the attributes that every link has.
fn datagram(ifindex: u32, name: &str, flags: u32) -> Vec<u8> {
    let attribute = |kind: u16, value: &[u8]| {
        let mut out = Vec::new();
        out.extend((u16::try_from(value.len() + 4).expect("short")).to_ne_bytes());
        out.extend(kind.to_ne_bytes());
        out.extend(value);
        out.resize(out.len().next_multiple_of(4), 0);
        out
    };
    let mut body = vec![0; 4];
    body.extend(ifindex.to_ne_bytes());
    body.extend(flags.to_ne_bytes());
    body.extend([0; 4]);
    body.extend(attribute(3, format!("{name}\0").as_bytes()));
    body.extend(attribute(13, &1000u32.to_ne_bytes()));
    body.extend(attribute(16, &[6]));
    body.extend(attribute(4, &9100u32.to_ne_bytes()));
    body.extend(attribute(7, &[0; 192]));
    body.extend(attribute(18, &attribute(1, b"veth\0")));
    let mut out = Vec::new();
    out.extend(u32::try_from(body.len() + 16).expect("short").to_ne_bytes());
    out.extend(16u16.to_ne_bytes());
    out.extend([0; 10]);
    out.extend(body);
    out
}

fn names() -> Names {
    Names { ports: vec!["Ethernet".to_owned()], lags: vec!["PortChannel".to_owned()], management: Vec::new() }
}

fn parse(criterion: &mut Criterion) {
    let bytes = datagram(7, "Ethernet0", 1);
    let mut group = criterion.benchmark_group("parse");
    group.throughput(Throughput::Elements(1));
    group.bench_function("link message", |bencher| {
        bencher.iter(|| Messages::new(black_box(&bytes)).flat_map(black_box).count());
    });
}

/// Every port of a switch goes up or down once; the rows are taken as one batch and acknowledged.
fn burst(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("burst");
    for ports in [32u32, 512, 10_000] {
        let bytes =
            |flags| (0..ports).map(|port| datagram(port + 2, &format!("Ethernet{port}"), flags)).collect::<Vec<_>>();
        let rounds = [bytes(0x41), bytes(0)];
        let (mut machine, mut pending, mut actions) = (PortSync::new(names()), Pending::default(), Vec::new());
        let mut round = |datagrams: &Vec<Vec<u8>>| {
            for datagram in datagrams {
                for message in Messages::new(datagram) {
                    if let Ok(Message::Link(event)) = message {
                        machine.event(&event, &mut actions);
                        if let (LinkEvent::New(link), true) =
                            (event, actions.iter().any(|a| matches!(a, Action::Await(_))))
                        {
                            machine.published(link.name, true, &mut actions);
                        }
                    }
                }
                for action in actions.drain(..) {
                    if let Action::Write(key, row, _) = action {
                        pending.set(key, row);
                    }
                }
            }
            let mut batch = Vec::new();
            pending.take(usize::MAX, |key, write| batch.push((key, write)));
            assert_eq!(batch.len(), datagrams.len(), "each port's row has to be written");
            for (key, _) in &batch {
                pending.acknowledge(*key);
            }
            batch
        };
        round(&rounds[1]);
        let mut turn = 0;
        group.throughput(Throughput::Elements(ports.into()));
        group.bench_function(format!("{ports} ports"), |bencher| {
            bencher.iter_batched(
                || {
                    let now = turn;
                    turn = 1 - turn;
                    now
                },
                |now| black_box(round(&rounds[now])),
                BatchSize::PerIteration,
            );
        });
    }
}

criterion_group!(benches, parse, burst);
criterion_main!(benches);
