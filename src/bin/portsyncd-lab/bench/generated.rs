//! The daemon's own parser, machine, pending rows and writer, as this laboratory was built with them, in a process of their
//! own: with more ports than a kernel bears by messages that are made up, and with the kernel's messages for a few. Redis is
//! real in both.
//!
//! In: numbers of ports. Out: time, memory, whether every row was right, and how often memory was allocated for an event.

use std::alloc::System;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use nix::time::{ClockId, clock_gettime};
use portsyncd::config::{LogConfig, LogFormat};
use portsyncd::lab::batch::{Batch, Requests};
use portsyncd::lab::pipeline::{self, Switch};
use portsyncd::lab::redis_server::{RedisServer, STATE_DB};
use portsyncd::link::monitor::Monitor;
use portsyncd::logging::Logging;
use serde::{Deserialize, Serialize};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

use super::row::{Unit, show};
use crate::sandbox;

/// Counts every allocation of this program.
#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Changes of each port.
const ROUNDS: u32 = 3;
/// Events of which allocations are counted, after as many that are not.
const COUNTED: usize = 500;
/// Ports that the kernel really has while allocations are counted.
const REAL_PORTS: usize = 32;
/// Rows read at once.
const CHUNK: usize = 1000;
const LIMIT: Duration = Duration::from_secs(10);

/// One measurement in a process of its own; what `bench` starts
#[derive(Debug, clap::Args)]
pub struct Args {
    #[arg(long)]
    ports: usize,
}

/// What was measured with some number of ports.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Generated {
    /// Number of ports.
    pub ports: usize,
    /// Until all rows were written for the first time.
    pub first_ns: u64,
    /// Changes after that.
    pub events: usize,
    /// Until Redis had acknowledged them all.
    pub changed_ns: u64,
    /// Of this process, for them.
    pub cpu_ns: u64,
    /// Of this process, which holds the laboratory too.
    pub peak_kib: u64,
    /// Rows that are not as they should be.
    pub wrong: usize,
    /// Allocations for so many events with made-up messages, one at a time.
    pub allocations: usize,
    /// The same for the kernel's own messages, from the socket on.
    pub allocations_real: usize,
    /// Events of which they were counted.
    pub counted: usize,
}

impl Generated {
    /// What is wrong with it, in words.
    pub fn wrongs(&self) -> Vec<String> {
        let mut wrongs = Vec::new();
        if self.wrong > 0 {
            wrongs.push(format!("generated messages, {} ports: {} rows are wrong", self.ports, self.wrong));
        }
        for (messages, count) in [("generated", self.allocations), ("the kernel's", self.allocations_real)] {
            if count > 0 {
                wrongs.push(format!(
                    "{messages} messages, {} ports: {count} allocations for {} events",
                    self.ports, self.counted
                ));
            }
        }
        wrongs
    }

    /// What is shown of it: quantity and value.
    pub fn shown(&self) -> [(&'static str, String); 6] {
        let float = |number: u64| super::stats::float(number);
        let per_event = |nanoseconds: u64| float(nanoseconds) / float(self.events as u64);
        [
            ("all rows for the first time", show(float(self.first_ns), Unit::Nanoseconds)),
            ("events", show(1e9 / per_event(self.changed_ns), Unit::PerSecond)),
            ("CPU per event", show(per_event(self.cpu_ns), Unit::Nanoseconds)),
            ("peak RSS", show(float(self.peak_kib), Unit::Kibibytes)),
            (
                "allocations per event",
                show(
                    float((self.allocations + self.allocations_real) as u64) / float(2 * self.counted as u64),
                    Unit::Count,
                ),
            ),
            ("ended", if self.wrong == 0 { "right".to_owned() } else { format!("WRONG, {} rows", self.wrong) }),
        ]
    }
}

/// Measures in a process of its own, so that its memory is nobody else's.
pub fn measure(ports: usize) -> anyhow::Result<Generated> {
    let output = Command::new("/proc/self/exe")
        .args(["bench-generated", "--ports", &ports.to_string()])
        // It ends when this is closed.
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        // The log of what changed.
        .stderr(Stdio::null())
        .spawn()
        .and_then(std::process::Child::wait_with_output)
        .context("cannot start this program again")?;
    let said: Result<Generated, String> = serde_json::from_slice(&output.stdout).with_context(|| {
        format!("the process that measures {ports} generated ports said nothing ({})", output.status)
    })?;
    said.map_err(anyhow::Error::msg)
}

/// The child's part.
#[expect(clippy::print_stdout, reason = "the way to the parent")]
pub fn main(args: &Args) -> anyhow::Result<ExitCode> {
    if std::env::var_os(sandbox::INSIDE).is_none() {
        return sandbox::enter().map_err(anyhow::Error::msg);
    }
    let outcome = sandbox::prepare().map_err(anyhow::Error::msg).and_then(|()| run(args.ports));
    println!("{}", serde_json::to_string(&outcome.map_err(|error| format!("{error:#}")))?);
    Ok(ExitCode::SUCCESS)
}

fn run(ports: usize) -> anyhow::Result<Generated> {
    let log = LogConfig { format: LogFormat::Text, ..LogConfig::default() };
    let _logging = Logging::start(&log, Arc::default()).context("cannot start the log")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let server = RedisServer::start()?;
        let mut measured = made_up(&server, ports).await?;
        measured.allocations_real = real(&server).await?;
        Ok(measured)
    })
}

async fn made_up(server: &RedisServer, ports: usize) -> anyhow::Result<Generated> {
    let mut writer = pipeline::writer(server).await?;
    let began = Instant::now();
    let mut switch = Switch::new(ports);
    pipeline::write(&mut switch.core, &mut writer).await?;
    let first_ns = nanoseconds(began.elapsed());

    let (began, cpu) = (Instant::now(), cpu_ns()?);
    let mut mtu = 1500;
    for _ in 0..ROUNDS {
        mtu += 1;
        // As the daemon reads them: some messages, then what can be sent.
        for port in 0..ports {
            switch.change(port, true, mtu);
            if port % 256 == 255 {
                pipeline::write(&mut switch.core, &mut writer).await?;
            }
        }
        pipeline::write(&mut switch.core, &mut writer).await?;
    }
    let (changed_ns, cpu_ns) = (nanoseconds(began.elapsed()), cpu_ns()?.saturating_sub(cpu));
    let peak_kib = peak_kib()?;
    let wrong = wrong_rows(server, &switch, mtu)?;

    let mut one = async |event: usize| {
        switch.change(event % ports, true, mtu + 1 + u32::try_from(event / ports).unwrap_or_default());
        pipeline::write(&mut switch.core, &mut writer).await
    };
    for event in 0..COUNTED {
        ensure!(one(event).await? == 1, "an event wrote no row");
    }
    let region = Region::new(ALLOCATOR);
    for event in COUNTED..2 * COUNTED {
        one(event).await?;
    }
    let allocations = allocations(&region);
    let events = ports * usize::try_from(ROUNDS)?;
    Ok(Generated {
        ports,
        first_ns,
        events,
        changed_ns,
        cpu_ns,
        peak_kib,
        wrong,
        allocations,
        allocations_real: 0,
        counted: COUNTED,
    })
}

/// The kernel's messages for real links, from the socket to the acknowledged row: allocations for so many events.
async fn real(server: &RedisServer) -> anyhow::Result<usize> {
    redis::cmd("FLUSHALL").exec(&mut server.client(STATE_DB)?)?;
    let names: Vec<String> = (0..REAL_PORTS).map(|port| format!("Ethernet{port}")).collect();
    let indexes: Vec<u32> = (100..).take(REAL_PORTS).collect();
    let mut batch = Batch::open()?;
    let mut monitor = Monitor::open(1 << 20)?;
    batch.send(&Requests::add(names.iter().map(String::as_str), indexes[0]))?;
    batch.send(&Requests::admin(&indexes, true))?;
    let mut core = portsyncd::daemon::core::Core::new(pipeline::names(), std::sync::Arc::default());
    let mut writer = pipeline::writer(server).await?;
    while monitor.read(|event| core.event(&event))?.more {}
    for name in &names {
        let name = portsyncd::link::LinkName::new(name.as_bytes()).context("a name")?;
        core.published(name, true);
    }
    pipeline::write(&mut core, &mut writer).await?;
    let mut counted = 0;
    for event in 0..2 * COUNTED {
        let mtu = 2000 + u32::try_from(event)?;
        let request = Requests::mtu(&indexes[event % REAL_PORTS..][..1], mtu);
        batch.send_only(&request)?;
        let region = Region::new(ALLOCATOR);
        let mut rows = 0;
        let took = tokio::time::timeout(LIMIT, async {
            while rows == 0 {
                monitor.readable().await?;
                monitor.read(|event| core.event(&event))?;
                rows += pipeline::write(&mut core, &mut writer).await?;
            }
            anyhow::Ok(())
        });
        match took.await {
            Ok(outcome) => outcome?,
            Err(_) => bail!("no row for a change of the MTU of {} within {LIMIT:?}", names[event % REAL_PORTS]),
        }
        if event >= COUNTED {
            counted += allocations(&region);
        }
    }
    Ok(counted)
}

fn allocations(region: &Region<'_, System>) -> usize {
    let change = region.change();
    change.allocations + change.reallocations
}

fn wrong_rows(server: &RedisServer, switch: &Switch, mtu: u32) -> anyhow::Result<usize> {
    let mut db = server.client(STATE_DB)?;
    let want = ["ok", "up", "up", &mtu.to_string()].map(str::to_owned);
    let mut wrong = 0;
    let ports: Vec<usize> = (0..switch.ports()).collect();
    for chunk in ports.chunks(CHUNK) {
        let mut pipe = redis::pipe();
        for port in chunk {
            let key = format!("PORT_TABLE|{}", switch.name(*port));
            pipe.cmd("HMGET").arg(key).arg(&["state", "netdev_oper_status", "admin_status", "mtu"]);
        }
        let rows: Vec<Vec<Option<String>>> = pipe.query(&mut db)?;
        wrong += rows
            .iter()
            .filter(|row| !row.iter().map(Option::as_deref).eq(want.iter().map(|text| Some(text.as_str()))))
            .count();
    }
    Ok(wrong)
}

fn peak_kib() -> anyhow::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status").context("cannot read /proc/self/status")?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next()?.parse().ok());
    peak.context("/proc/self/status has no VmHWM")
}

fn cpu_ns() -> anyhow::Result<u64> {
    let time = clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).context("cannot read the time of this process")?;
    Ok(nanoseconds(Duration::from(time)))
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
