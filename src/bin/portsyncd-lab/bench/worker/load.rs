//! Steady changes, some of which are looked at, without clients and with them.
//!
//! One thread changes MTUs, a few every millisecond. One change of each millisecond is a **probe**: a port that nothing else
//! changes, whose key is subscribed to. Another thread reads the notifications and the rows. A probe does not wait for the one
//! before it, so that a stall of many milliseconds is seen by as many of them, and not by one. The other changes are looked at
//! when everything is over.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use nix::time::{ClockId, clock_gettime};
use portsyncd::lab::batch::{Batch, Requests};
use portsyncd::lab::redis_server::STATE_DB;
use portsyncd::lab::wait;
use portsyncd::locks::lock;

use super::super::clients::{self, PERIOD, Report};
use super::super::protocol::{Load, Loaded};
use super::http_load::HttpLoad;
use super::measure::{BURST_LIMIT, EVENT_LIMIT, nanoseconds, since};
use super::scene::{MTUS, Scene};
use super::watch::Watch;

/// Between two sets of changes.
const STEP: Duration = Duration::from_millis(1);
/// Changes before it counts: time for every client to come and to be answered once.
const LEAD: Duration = PERIOD.saturating_add(Duration::from_millis(200));
/// The most ports that are probes, and the least ports for each of them.
const PROBES: usize = 250;
const PORTS_FOR_A_PROBE: usize = 8;
/// So long a wait for a notification looks at nothing else.
const GLANCE: Duration = Duration::from_millis(50);
/// How long an HTTP server may take to come.
const SERVED_LIMIT: Duration = Duration::from_secs(5);

/// Steady changes without clients and, if there is HTTP, with them; one of the two comes first.
pub fn load(
    scene: &mut Scene,
    per_second: usize,
    window: Duration,
    clients: usize,
    crowd_first: bool,
) -> anyhow::Result<Load> {
    let mut load = Load::default();
    // The server may come later than the rows; an executable without one costs this wait.
    let served = wait::until("its HTTP server", SERVED_LIMIT, clients::is_served).is_ok();
    for crowded in [crowd_first, !crowd_first] {
        if !crowded {
            (load.alone, _) = changes(scene, per_second, window, None)?;
        } else if served {
            let (loaded, report) = changes(scene, per_second, window, Some(HttpLoad::start(clients)?))?;
            load.crowded = report.map(|report| (loaded, report));
        }
    }
    load.peak_kib = scene.program()?.peak_kib()?;
    Ok(load)
}

/// A change that was made and not seen yet: to what, when.
type Made = Mutex<Option<(u32, Instant)>>;

/// What the two threads share.
struct Shared {
    probes: Vec<Made>,
    events: AtomicU64,
    end: AtomicBool,
}

impl Shared {
    fn made(&self, probe: usize) -> std::sync::MutexGuard<'_, Option<(u32, Instant)>> {
        lock(&self.probes[probe])
    }
}

fn changes(
    scene: &mut Scene,
    per_second: usize,
    window: Duration,
    http_load: Option<HttpLoad>,
) -> anyhow::Result<(Loaded, Option<Report>)> {
    let count = (scene.ports.len() / PORTS_FOR_A_PROBE).clamp(1, PROBES);
    let spread = scene.ports.len() / count;
    let keys: Vec<String> = scene.ports.iter().step_by(spread).take(count).map(|port| port.key.clone()).collect();
    let mut maker = Maker {
        batch: Batch::open()?,
        links: scene.ports.iter().map(|port| (port.index, port.mtu)).collect(),
        spread,
        mtu: scene.next_mtu(),
    };
    let shared = Shared {
        probes: (0..count).map(|_| Made::default()).collect(),
        events: AtomicU64::new(0),
        end: AtomicBool::new(false),
    };
    let mut watch = Watch::open_keys(STATE_DB, keys.iter().map(String::as_str))?;
    let (loaded, made) = thread::scope(|scope| {
        let making = scope.spawn(|| maker.run(&shared, per_second));
        let loaded = look(scene, &mut watch, &keys, &shared, window, http_load);
        shared.end.store(true, Relaxed);
        (loaded, making.join())
    });
    let (mut loaded, report) = loaded?;
    made.ok().context("the thread that changes links ended early")??;
    for (port, (_, mtu)) in scene.ports.iter_mut().zip(&maker.links) {
        port.mtu = *mtu;
    }
    let ended = scene.until_right(BURST_LIMIT)?;
    let touched = scene.touched()?;
    if touched > 0 {
        bail!("{touched} links are not as they were set; something else changes them");
    }
    loaded.right = ended.at.is_some();
    loaded.wrong = ended.wrong.len();
    if !loaded.right {
        scene.repair(&ended.wrong)?;
    }
    Ok((loaded, report))
}

struct Maker {
    batch: Batch,
    /// Index and MTU of each.
    links: Vec<(u32, u32)>,
    /// Each so many ports there is a probe, the first one being the first.
    spread: usize,
    mtu: u32,
}

impl Maker {
    /// Until it has to end; what comes late is made up for.
    fn run(&mut self, shared: &Shared, per_second: usize) -> anyhow::Result<()> {
        let (began, mut steps, mut sent) = (Instant::now(), 0, 0);
        let probes = shared.probes.len();
        let others: Vec<usize> =
            (0..self.links.len()).filter(|at| at % self.spread > 0 || at / self.spread >= probes).collect();
        let mut others = others.iter().copied().cycle();
        while !shared.end.load(Relaxed) {
            let probe = usize::try_from(steps)? % probes;
            sent += usize::from(self.probe(shared, probe, probe * self.spread)?);
            steps += 1;
            let at = STEP * steps;
            let due = per_second * usize::try_from(at.as_micros())? / 1_000_000;
            let which: Vec<usize> = others.by_ref().take(due.saturating_sub(sent)).collect();
            self.change(&which)?;
            sent += which.len();
            shared.events.store(sent as u64, Relaxed);
            thread::sleep((began + at).saturating_duration_since(Instant::now()));
        }
        Ok(self.batch.refusals()?)
    }

    /// Changes a probe, unless its last change was not seen yet; whether it did.
    fn probe(&mut self, shared: &Shared, probe: usize, at: usize) -> anyhow::Result<bool> {
        let mut made = shared.made(probe);
        if made.is_some() {
            return Ok(false);
        }
        let mtu = self.next_mtu(&[at]);
        let request = Requests::mtu(&[self.links[at].0], mtu);
        *made = Some((mtu, Instant::now()));
        drop(made);
        self.batch.send_only(&request)?;
        Ok(true)
    }

    fn change(&mut self, which: &[usize]) -> anyhow::Result<()> {
        let mtu = self.next_mtu(which);
        let indexes: Vec<u32> = which.iter().map(|at| self.links[*at].0).collect();
        Ok(self.batch.send_only(&Requests::mtu(&indexes, mtu))?)
    }

    /// An MTU that none of these links has, which they get.
    fn next_mtu(&mut self, which: &[usize]) -> u32 {
        loop {
            self.mtu = if self.mtu + 1 < MTUS.end { self.mtu + 1 } else { MTUS.start };
            if which.iter().all(|at| self.links[*at].1 != self.mtu) {
                for at in which {
                    self.links[*at].1 = self.mtu;
                }
                return self.mtu;
            }
        }
    }
}

/// Looks at the probes: first while it does not count, then while it does, then at those that were not seen yet.
fn look(
    scene: &mut Scene,
    watch: &mut Watch,
    keys: &[String],
    shared: &Shared,
    window: Duration,
    mut http_load: Option<HttpLoad>,
) -> anyhow::Result<(Loaded, Option<Report>)> {
    let probes: HashMap<&str, usize> = keys.iter().enumerate().map(|(at, key)| (key.as_str(), at)).collect();
    let mut seen = Vec::new();
    let mut until =
        |scene: &mut Scene, at: Instant, enough: &dyn Fn() -> bool| -> anyhow::Result<Vec<(Instant, u64)>> {
            seen.clear();
            while Instant::now() < at && !enough() {
                scene.program()?.check()?;
                glance(scene, watch, &probes, shared, at, &mut seen)?;
            }
            Ok(std::mem::take(&mut seen))
        };
    until(scene, Instant::now() + LEAD, &|| false)?;

    if let Some(http_load) = &mut http_load {
        http_load.begin()?;
    }
    let (began, events, cpu, lab) = (Instant::now(), shared.events.load(Relaxed), scene.cpu(), lab_ns()?);
    let mut sampled = until(scene, began + window, &|| false)?;
    let ended = Instant::now();
    let report = http_load.map(HttpLoad::end).transpose()?;
    let mut loaded = Loaded {
        nanoseconds: nanoseconds(ended - began),
        events: shared.events.load(Relaxed) - events,
        cpu: since(cpu, scene.cpu()),
        lab_ns: lab_ns()?.saturating_sub(lab),
        ..Loaded::default()
    };

    // Those made in this time that are still to be seen; changes go on meanwhile.
    let awaited = || (0..keys.len()).filter(|at| shared.made(*at).is_some_and(|(_, sent)| sent < ended)).count();
    sampled.extend(until(scene, ended + EVENT_LIMIT, &|| awaited() == 0)?);
    loaded.missed = awaited();
    let counts = |sent: &Instant| (began..ended).contains(sent);
    loaded.sampled = sampled.iter().filter(|(sent, _)| counts(sent)).map(|(_, took)| *took).collect();
    Ok((loaded, report))
}

/// Reads what has changed, once, and whether it is right: when each was sent, and how long it took.
fn glance(
    scene: &mut Scene,
    watch: &mut Watch,
    probes: &HashMap<&str, usize>,
    shared: &Shared,
    until: Instant,
    seen: &mut Vec<(Instant, u64)>,
) -> anyhow::Result<()> {
    let Some(first) = watch.next(until.min(Instant::now() + GLANCE))? else { return Ok(()) };
    let now = Instant::now();
    let mut keys = vec![first];
    // Those that came with it.
    while let Some(key) = watch.next(now)? {
        keys.push(key);
    }
    let mut pipe = redis::pipe();
    for key in &keys {
        pipe.hget(key, "mtu");
    }
    let mtus: Vec<Option<u32>> = pipe.query(&mut scene.state_db)?;
    for (key, mtu) in keys.iter().zip(mtus) {
        let Some(probe) = probes.get(key.as_str()) else { continue };
        let mut made = shared.made(*probe);
        if let Some((_, sent)) = made.take_if(|(wanted, _)| mtu == Some(*wanted)) {
            seen.push((sent, nanoseconds(now - sent)));
        }
    }
    Ok(())
}

/// CPU time of this process: its two threads, that is.
fn lab_ns() -> anyhow::Result<u64> {
    let time = clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).context("cannot read the time of this process")?;
    Ok(nanoseconds(Duration::from(time)))
}
