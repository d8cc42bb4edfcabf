//! What the measured executable stands between: a Redis where a switch has it, links, and what every row has to be.
//!
//! [`Scene::set_up`] brings it about; afterwards [`Scene::ports`] is what the kernel has, kept in step by whoever changes links
//! through [`Scene::change`]. [`Scene::until_right`] waits for the rows to be the same, and disturbs little while it does.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use nix::time::ClockId;
use nix::unistd::Pid;
use portsyncd::lab::batch::{Batch, Requests};
use portsyncd::lab::redis_server::{APPL_DB, CONFIG_DB, Options, RedisServer, STATE_DB};
use portsyncd::lab::{consumer, ports, wait};
use redis::{Commands, Connection};

use super::program::{Program, Target, clock_ns};
use super::watch::Watch;
use crate::baseline;

/// Where a switch has its Redis.
pub const SOCKET: &str = "/run/redis/redis.sock";
const TCP_PORT: u16 = 6379;
/// Indexes of the ports' links, well above what a namespace has by itself.
const FIRST_INDEX: u32 = 1000;
/// MTUs that are set, one after the other.
pub const MTUS: std::ops::Range<u32> = 1500..9000;
/// For the first sign of the executable.
const START_LIMIT: Duration = Duration::from_secs(15);
/// For every row to be right after the links were made.
const LIMIT: Duration = Duration::from_secs(30);
/// Between two looks at a row.
const LOOK: Duration = Duration::from_micros(700);
/// Ports changed at once when a switch is brought right again.
const REPAIRED: usize = 16;
/// Before a round trip is measured.
const PING_PAUSE: Duration = Duration::from_micros(400);

/// One port: its link, and what the kernel has.
#[derive(Debug, Clone)]
pub struct Port {
    /// Its key in `STATE_DB`.
    pub key: String,
    pub index: u32,
    pub mtu: u32,
}

/// How a wait for the rows ended.
#[derive(Debug)]
pub struct Ended {
    /// The moment before the look that found everything right; none if the time was up.
    pub at: Option<Instant>,
    /// CPU times at that moment: the executable's, its ticks, Redis'.
    pub cpu: super::super::protocol::Cpu,
    pub wrong: Vec<usize>,
}

pub struct Scene {
    pub target: Target,
    /// The process, while it runs.
    pub program: Option<Program>,
    /// The ports, in the order of their links.
    pub ports: Vec<Port>,
    pub batch: Batch,
    /// A connection to `STATE_DB`.
    pub state_db: Connection,
    server: RedisServer,
    redis_clock: ClockId,
    mtu: u32,
}

impl Scene {
    /// Starts Redis; nothing else is there yet.
    pub fn new(target: Target) -> anyhow::Result<Self> {
        for folder in ["/run/lab", "/run/redis"] {
            fs::create_dir_all(folder).with_context(|| format!("cannot make {folder}"))?;
        }
        // With IPv6 the kernel goes through the routes of all links at every change of an MTU.
        for which in ["all", "default"] {
            let file = format!("/proc/sys/net/ipv6/conf/{which}/disable_ipv6");
            if fs::exists(&file).unwrap_or(false) {
                fs::write(&file, "1").with_context(|| format!("cannot write {file}"))?;
            }
        }
        let server = RedisServer::start_with(Options { port: Some(TCP_PORT), ..Options::default() })?;
        std::os::unix::fs::symlink(server.socket(), SOCKET).with_context(|| format!("cannot link {SOCKET}"))?;
        std::os::unix::fs::symlink(
            server.write_database_config()?.parent().context("a file without a folder")?,
            "/run/redis/sonic-db",
        )
        .context("cannot link /run/redis/sonic-db")?;
        let pid = i32::try_from(server.pid().context("redis-server does not run")?)?;
        Ok(Self {
            target,
            program: None,
            ports: Vec::new(),
            batch: Batch::open()?,
            state_db: server.client(STATE_DB)?,
            redis_clock: ClockId::pid_cpu_clock_id(Pid::from_raw(pid)).context("cannot read Redis' CPU clock")?,
            server,
            mtu: MTUS.start,
        })
    }

    /// A connection to another database.
    pub fn client(&self, db: i64) -> anyhow::Result<Connection> {
        Ok(self.server.client(db)?)
    }

    /// Empties Redis and writes `CONFIG_DB` for so many ports.
    pub fn fresh_redis(&mut self, count: usize) -> anyhow::Result<()> {
        redis::cmd("FLUSHALL").exec(&mut self.state_db)?;
        redis::cmd("SCRIPT").arg("FLUSH").exec(&mut self.state_db)?;
        ports::seed(&mut self.server.client(CONFIG_DB)?, "|", &ports::rows(count), true)?;
        Ok(())
    }

    /// Everything anew: Redis, executable (behind `wrapper`), links, in that order; every row is right at the end.
    pub fn set_up(&mut self, count: usize, wrapper: &[String]) -> anyhow::Result<()> {
        self.take_down()?;
        self.fresh_redis(count)?;
        let floor = matches!(self.target, Target::Floor);
        let (db, key) = if floor { (STATE_DB, baseline::READY) } else { (APPL_DB, "_PORT_TABLE:PortConfigDone") };
        let mut done = Watch::open(db, key)?;
        self.program = Some(Program::start(&self.target, wrapper)?);
        self.await_key(&mut done, key)?;
        self.pop()?;
        let rows = ports::rows(count);
        let names = || rows.iter().map(|row| row.name.as_str());
        self.batch.send(&Requests::add(names(), FIRST_INDEX))?;
        let port = |(index, name): (u32, &str)| Port { key: format!("PORT_TABLE|{name}"), index, mtu: 0 };
        self.ports = (FIRST_INDEX..).zip(names()).map(port).collect();
        self.batch.send(&Requests::admin(&self.indexes(), true))?;
        self.learn()?;
        let ended = self.until_right(LIMIT)?;
        if ended.at.is_none() {
            bail!("{} of {count} rows were still wrong {LIMIT:?} after the links were made", ended.wrong.len());
        }
        if !floor {
            let mut appl_db = self.client(APPL_DB)?;
            wait::until("PortInitDone", LIMIT, || appl_db.exists("_PORT_TABLE:PortInitDone").unwrap_or(false))?;
            self.pop()?;
        }
        Ok(())
    }

    /// Ends the executable and deletes the links.
    pub fn take_down(&mut self) -> anyhow::Result<()> {
        if let Some(program) = self.program.take() {
            program.end();
        }
        if !self.ports.is_empty() {
            self.batch.send(&Requests::delete_all())?;
            self.ports.clear();
        }
        Ok(())
    }

    /// The executable, which has to run.
    pub fn program(&mut self) -> anyhow::Result<&mut Program> {
        self.program.as_mut().context("it does not run")
    }

    /// Waits until `key` changes, as long as the executable runs.
    pub fn await_key(&mut self, watch: &mut Watch, key: &str) -> anyhow::Result<()> {
        let limit = Instant::now() + START_LIMIT;
        while watch.next((Instant::now() + Duration::from_millis(200)).min(limit))?.is_none() {
            self.program()?.check()?;
            if Instant::now() >= limit {
                bail!("it did not write {key} within {START_LIMIT:?}");
            }
        }
        Ok(())
    }

    /// As orchagent: what was published becomes rows of `APPL_DB`.
    pub fn pop(&self) -> anyhow::Result<()> {
        let mut appl_db = self.client(APPL_DB)?;
        while !consumer::pop_now(&mut appl_db, ":", consumer::BATCH)?.is_empty() {}
        Ok(())
    }

    pub fn indexes(&self) -> Vec<u32> {
        self.ports.iter().map(|port| port.index).collect()
    }

    /// The next MTU; different from the last thousands.
    pub fn next_mtu(&mut self) -> u32 {
        self.mtu = if self.mtu + 1 < MTUS.end { self.mtu + 1 } else { MTUS.start };
        self.mtu
    }

    /// Sets the MTU of these ports to something new, and notes it.
    pub fn change(&mut self, which: &[usize]) -> anyhow::Result<()> {
        let mtu = self.next_mtu();
        let indexes: Vec<u32> = which.iter().map(|at| self.ports[*at].index).collect();
        for at in which {
            self.ports[*at].mtu = mtu;
        }
        Ok(self.batch.send(&Requests::mtu(&indexes, mtu))?)
    }

    /// Asks the kernel for its links; an error if they are not what is expected of them: up, running, all there.
    fn learn(&mut self) -> anyhow::Result<()> {
        let links = self.batch.list()?;
        for port in &mut self.ports {
            let link = links.iter().find(|link| link.index == port.index).context("a link that was made is missing")?;
            if !link.admin_up() || !link.running() {
                bail!("link {} is not up and running, although it was set up", link.name);
            }
            port.mtu = link.mtu;
        }
        Ok(())
    }

    /// How many links are not what is noted of them; links that were touched by somebody else, that is.
    pub fn touched(&mut self) -> anyhow::Result<usize> {
        let links = self.batch.list()?;
        let found = links.iter().filter(|link| link.index >= FIRST_INDEX);
        let same = found.zip(&self.ports).filter(|(link, port)| {
            link.index == port.index && link.mtu == port.mtu && link.admin_up() && link.running()
        });
        Ok(self.ports.len() - same.count())
    }

    /// CPU times so far.
    pub fn cpu(&self) -> super::super::protocol::Cpu {
        let (user_ticks, system_ticks) = self.program.as_ref().map(Program::ticks).unwrap_or_default();
        super::super::protocol::Cpu {
            daemon_ns: self.program.as_ref().map(Program::cpu_ns).unwrap_or_default(),
            user_ticks,
            system_ticks,
            redis_ns: clock_ns(self.redis_clock),
        }
    }

    /// Waits until every row is what the kernel has. Only the last port's row is looked at until that is right.
    pub fn until_right(&mut self, limit: Duration) -> anyhow::Result<Ended> {
        let until = Instant::now() + limit;
        let all: Vec<usize> = (0..self.ports.len()).collect();
        let mut wrong: Vec<usize> = all.iter().copied().last().into_iter().collect();
        loop {
            let at = Instant::now();
            wrong = self.wrong(&wrong)?;
            if wrong.is_empty() {
                // From before the whole look, so that it does not count.
                let (at, cpu) = (Instant::now(), self.cpu());
                wrong = self.wrong(&all)?;
                if wrong.is_empty() {
                    return Ok(Ended { at: Some(at), cpu, wrong });
                }
            }
            if at >= until {
                let (cpu, wrong) = (self.cpu(), self.wrong(&all)?);
                return Ok(Ended { at: None, cpu, wrong });
            }
            if let Some(program) = &mut self.program {
                program.check()?;
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Which of these rows are not what the kernel has.
    fn wrong(&mut self, which: &[usize]) -> anyhow::Result<Vec<usize>> {
        let mut pipe = redis::pipe();
        for at in which {
            let fields = ["state", "netdev_oper_status", "admin_status", "mtu"];
            pipe.cmd("HMGET").arg(&self.ports[*at].key).arg(&fields);
        }
        let rows: Vec<[Option<String>; 4]> = pipe.query(&mut self.state_db)?;
        let right = |port: &Port, row: &[Option<String>; 4]| {
            let [state, oper, admin, mtu] = row.each_ref().map(|field| field.as_deref().unwrap_or_default());
            [state, oper, admin] == ["ok", "up", "up"] && mtu.parse() == Ok(port.mtu)
        };
        let pairs = which.iter().zip(&rows);
        Ok(pairs.filter(|(at, row)| !right(&self.ports[**at], row)).map(|(at, _)| *at).collect())
    }

    /// Brings wrong rows right by changing their ports once more, a few at a time.
    pub fn repair(&mut self, wrong: &[usize]) -> anyhow::Result<()> {
        let until = Instant::now() + LIMIT;
        for some in wrong.chunks(REPAIRED) {
            self.change(some)?;
            while !self.wrong(some)?.is_empty() {
                if Instant::now() >= until {
                    bail!("{} rows did not become right again within {LIMIT:?}, each changed once more", wrong.len());
                }
                std::thread::sleep(LOOK);
            }
        }
        let ended = self.until_right(LIMIT)?;
        if ended.at.is_none() {
            bail!("{} rows did not become right again", ended.wrong.len());
        }
        Ok(())
    }

    /// A round trip to Redis: the median of many.
    pub fn ping_ns(&mut self) -> anyhow::Result<u64> {
        let mut times = Vec::new();
        for _ in 0..200 {
            // Both sides asleep, as they are when a change comes.
            std::thread::sleep(PING_PAUSE);
            let before = Instant::now();
            redis::cmd("PING").exec(&mut self.state_db)?;
            times.push(u64::try_from(before.elapsed().as_nanos())?);
        }
        times.sort_unstable();
        Ok(times[times.len() / 2])
    }
}
