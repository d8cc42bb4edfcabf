//! The measurements themselves, each on a [`Scene`] that is set up, each bounded.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use portsyncd::lab::batch::Requests;
use portsyncd::lab::redis_server::{APPL_DB, STATE_DB};
use redis::Commands;

use super::super::protocol::{Burst, Cpu, Instructions, Latency, Memory, Restart, Start};
use super::program::{self, Program};
use super::scene::Scene;
use super::watch::Watch;

/// For a row to be seen changed.
pub const EVENT_LIMIT: Duration = Duration::from_secs(2);
const SLOW_LIMIT: Duration = Duration::from_secs(20);
/// So many rows in a row that were not seen to change mean that there is nobody to change them.
const MISSED: usize = 3;
/// Between two events, so that everything is idle again.
const PAUSE: Duration = Duration::from_micros(400);
/// For all rows to be right after the last change.
pub const BURST_LIMIT: Duration = Duration::from_secs(10);
const RESTART_LIMIT: Duration = Duration::from_secs(10);
/// A process is quiet that did not wake up for so long.
const QUIET: Duration = Duration::from_millis(200);
const QUIET_LIMIT: Duration = Duration::from_secs(5);
/// Where callgrind writes its profile, which is not looked at.
const PROFILE: &str = "--callgrind-out-file=/run/lab/callgrind.out";

/// A duration as a number.
pub fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// CPU time between two looks.
pub fn since(before: Cpu, now: Cpu) -> Cpu {
    Cpu {
        daemon_ns: now.daemon_ns.saturating_sub(before.daemon_ns),
        user_ticks: now.user_ticks.saturating_sub(before.user_ticks),
        system_ticks: now.system_ticks.saturating_sub(before.system_ticks),
        redis_ns: now.redis_ns.saturating_sub(before.redis_ns),
    }
}

/// One port's MTU after the other's; `from` is where to begin.
pub fn latency(scene: &mut Scene, from: usize, events: usize) -> anyhow::Result<Latency> {
    let mut watch = Watch::open(STATE_DB, "PORT_TABLE|*")?;
    changes(scene, &mut watch, from, events, EVENT_LIMIT)
}

fn changes(
    scene: &mut Scene,
    watch: &mut Watch,
    from: usize,
    events: usize,
    limit: Duration,
) -> anyhow::Result<Latency> {
    let mut taken = Latency::default();
    let mut missed_in_a_row = 0;
    let before = scene.cpu();
    for event in from..from + events {
        let at = event % scene.ports.len();
        let mut mtu = scene.next_mtu();
        if mtu == scene.ports[at].mtu {
            mtu = scene.next_mtu();
        }
        let port = &mut scene.ports[at];
        port.mtu = mtu;
        let key = port.key.clone();
        let request = Requests::mtu(&[port.index], mtu);
        std::thread::sleep(PAUSE);
        let sent = Instant::now();
        scene.batch.send_only(&request)?;
        let mut seen = None;
        while let Some(changed) = watch.next(sent + limit)? {
            let now = Instant::now();
            if changed == key && scene.state_db.hget::<_, _, Option<u32>>(&key, "mtu")? == Some(mtu) {
                seen = Some(now);
                break;
            }
        }
        scene.batch.refusals()?;
        match seen {
            Some(seen) => {
                taken.nanoseconds.push(nanoseconds(seen - sent));
                missed_in_a_row = 0;
            }
            None => {
                scene.program()?.check()?;
                taken.missed += 1;
                missed_in_a_row += 1;
            }
        }
        if missed_in_a_row == MISSED {
            bail!("{MISSED} changes in a row were not seen in STATE_DB, each within {limit:?}");
        }
    }
    taken.cpu = since(before, scene.cpu());
    Ok(taken)
}

/// All ports' MTUs, `times` times in a row.
pub fn burst(scene: &mut Scene, times: usize) -> anyhow::Result<Burst> {
    let indexes = scene.indexes();
    let passes: Vec<Requests> = (1..times).map(|_| Requests::mtu(&indexes, scene.next_mtu())).collect();
    let last = scene.next_mtu();
    let last_pass = Requests::mtu(&indexes, last);
    for port in &mut scene.ports {
        port.mtu = last;
    }
    let before = scene.cpu();
    let sent = Instant::now();
    for pass in &passes {
        scene.batch.send_only(pass)?;
    }
    scene.batch.send_only(&last_pass)?;
    let ended = scene.until_right(BURST_LIMIT)?;
    scene.batch.refusals()?;
    let touched = scene.touched()?;
    if touched > 0 {
        bail!("{touched} links are not as they were set; something else changes them");
    }
    if !ended.wrong.is_empty() {
        scene.repair(&ended.wrong)?;
    }
    Ok(Burst {
        events: times * indexes.len(),
        nanoseconds: ended.at.map(|at| nanoseconds(at - sent)),
        wrong: ended.wrong.len(),
        cpu: since(before, ended.cpu),
    })
}

/// A cold start without links, until `PortConfigDone`.
pub fn start(scene: &mut Scene, ports: usize) -> anyhow::Result<Start> {
    scene.take_down()?;
    scene.fresh_redis(ports)?;
    let ping_ns = scene.ping_ns()?;
    let key = "_PORT_TABLE:PortConfigDone";
    let mut done = Watch::open(APPL_DB, key)?;
    let before = Instant::now();
    scene.program = Some(Program::start(&scene.target, &[])?);
    scene.await_key(&mut done, key)?;
    let taken = Start { nanoseconds: nanoseconds(before.elapsed()), daemon_ns: scene.program()?.cpu_ns(), ping_ns };
    scene.take_down()?;
    let published: usize = redis::cmd("SCARD").arg("PORT_TABLE_KEY_SET").query(&mut scene.client(APPL_DB)?)?;
    if published <= ports {
        bail!("it wrote PortConfigDone when {} of {ports} ports were published", published.saturating_sub(1));
    }
    Ok(taken)
}

/// The executable is away while every tenth port changes, and comes back.
pub fn restart(scene: &mut Scene, warm: bool) -> anyhow::Result<Restart> {
    scene.program.take().context("it does not run")?.end();
    let flag = "WARM_RESTART_ENABLE_TABLE|system";
    if warm {
        let () = scene.state_db.hset(flag, "enable", "true")?;
        let () = scene.state_db.hset("WARM_RESTART_TABLE|portsyncd", "restore_count", "0")?;
    } else {
        let () = scene.state_db.del(flag)?;
    }
    let mut appl_db = scene.client(APPL_DB)?;
    let () = appl_db.hset("PORT_TABLE:PortConfigDone", "count", scene.ports.len())?;
    let () = appl_db.hset("PORT_TABLE:PortInitDone", "lanes", "0")?;
    // The last port among them: its row is the one that is looked at.
    let changed: Vec<usize> = (0..scene.ports.len()).rev().step_by(10).collect();
    scene.change(&changed)?;
    let ping_ns = scene.ping_ns()?;
    let before = Instant::now();
    scene.program = Some(Program::start(&scene.target, &[])?);
    let ended = scene.until_right(RESTART_LIMIT)?;
    let touched = scene.touched()?;
    let taken = Restart {
        nanoseconds: ended.at.filter(|_| touched == 0).map(|at| nanoseconds(at - before)),
        wrong: ended.wrong.len(),
        touched,
        ping_ns,
    };
    if taken.nanoseconds.is_none() {
        scene.set_up(scene.ports.len(), &[])?;
    }
    // What a warm start says is taken by orchagent.
    scene.pop()?;
    Ok(taken)
}

/// What it takes while it has nothing to do.
pub fn memory(scene: &mut Scene, window: Duration) -> anyhow::Result<Memory> {
    let target = scene.target.clone();
    let program = scene.program()?;
    let (mut switches, mut since) = (program.switches(), Instant::now());
    let until = since + QUIET_LIMIT;
    while since.elapsed() < QUIET && Instant::now() < until {
        std::thread::sleep(QUIET / 20);
        let now = program.switches();
        if now != switches {
            (switches, since) = (now, Instant::now());
        }
    }
    program.memory(&target, window)
}

/// Everything from start to end under callgrind behind `wrapper`, with so many events one at a time.
pub fn instructions(
    scene: &mut Scene,
    ports: usize,
    events: usize,
    mut wrapper: Vec<String>,
) -> anyhow::Result<Instructions> {
    wrapper.extend(["valgrind", "--tool=callgrind", PROFILE].map(str::to_owned));
    scene.set_up(ports, &wrapper)?;
    let mut watch = Watch::open(STATE_DB, "PORT_TABLE|*")?;
    let taken = changes(scene, &mut watch, 0, events, SLOW_LIMIT)?;
    scene.take_down()?;
    if taken.missed > 0 {
        bail!("{} of {events} changes were not seen in STATE_DB, each within {SLOW_LIMIT:?}", taken.missed);
    }
    let output = program::output();
    let collected = output.lines().find_map(|line| line.split_once("Collected :")?.1.trim().parse().ok());
    let collected =
        collected.with_context(|| format!("callgrind said no sum; the output ends with: {}", program::last_lines()))?;
    Ok(Instructions { collected })
}
