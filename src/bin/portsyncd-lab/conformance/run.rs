//! One scenario, from setup to the last step: runs inside its place, prints nothing, returns an [`Outcome`].
//!
//! A step's actions are done; then its expectations are looked at until they hold, at most for the scenario's `within`; then
//! the daemon is given the chance to do too much: a link of the runner's own is changed and its row waited for (the daemon
//! has then dealt with every event before it), and Redis must fall silent. Then the expectations are looked at once more.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use portsyncd::lab::producer::Producer;
use portsyncd::lab::{ports, wait};
use serde::{Deserialize, Serialize};

use super::check::{Difference, Seen, check};
use super::observe::{SENTINEL, Snapshot, effective, sort};
use super::scenario::{Action, Breakout, Consumer, Flood, Rows, Scenario, Step};
use super::world::{World, at_rest, links};
use super::{forge, ip, rewrite};

const LOOK: Duration = Duration::from_millis(10);
/// How long a daemon is watched while Redis does not answer.
const ALONE: Duration = Duration::from_secs(1);
const QUIET: Duration = Duration::from_millis(60);
const QUIET_LIMIT: Duration = Duration::from_secs(3);
/// How long MONITOR may take; far more than it does.
const MARKER_LIMIT: Duration = Duration::from_secs(20);
const SENTINEL_LIMIT: Duration = Duration::from_secs(3);
/// How long the kernel may take to tell of carriers, see [`at_rest`].
const REST_LIMIT: Duration = Duration::from_secs(40);
const SENTINEL_TRIES: u32 = 5;
const POP_LIMIT: Duration = Duration::from_secs(20);

/// What came of a scenario.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Outcome {
    pub differences: Vec<Difference>,
    /// Why it could not be run to its end, if so.
    pub broken: Option<String>,
    /// The end of the daemon's output.
    pub log: String,
    /// Each step's expectations as they would have to be, if asked for.
    pub rewritten: Vec<String>,
}

/// Runs a scenario against `program`; with `rewriting`, goes on after differences and returns new expectations.
pub fn run(scenario: &Scenario, program: &Path, rewriting: bool) -> Outcome {
    let mut outcome = Outcome::default();
    if let Err(message) = play(scenario, program, rewriting, &mut outcome) {
        outcome.broken = Some(message);
    }
    let log = World::output();
    let lines: Vec<&str> = log.lines().collect();
    outcome.log = lines[lines.len().saturating_sub(40)..].join("\n");
    outcome
}

fn play(scenario: &Scenario, program: &Path, rewriting: bool, outcome: &mut Outcome) -> Result<(), String> {
    let world = World::new(scenario)?;
    let mut run = Run {
        world,
        program,
        sentinel: Sentinel::default(),
        dirty: BTreeSet::new(),
        all_dirty: false,
        elsewhere: false,
    };
    run.make_ports(&scenario.setup.ports)?;
    for words in &scenario.setup.ip {
        ip::run(None, words)?;
    }
    rest()?;
    if scenario.redis.started {
        run.world.start_redis(&scenario.setup.rows)?;
    }
    for step in &scenario.step {
        let in_step = |message| format!("step \"{}\": {message}", step.name);
        let (mut differences, seen) = run.step(step, scenario.within, &scenario.setup.rows).map_err(in_step)?;
        for difference in &mut differences {
            difference.step.clone_from(&step.name);
        }
        outcome.differences.extend(differences);
        if rewriting {
            outcome.rewritten.push(rewrite::expectations(&step.expect, &seen));
        } else if !outcome.differences.is_empty() {
            break;
        }
    }
    Ok(())
}

/// The runner's own link, see the module's comment.
#[derive(Default)]
struct Sentinel {
    number: u32,
    mtu: u32,
    there: bool,
}

impl Sentinel {
    fn name(&self) -> String {
        format!("{SENTINEL}{}", self.number)
    }
}

struct Run<'a> {
    world: World,
    program: &'a Path,
    sentinel: Sentinel,
    dirty: BTreeSet<(String, String)>,
    all_dirty: bool,
    elsewhere: bool,
}

/// What stood before a step.
struct Before {
    rows: Snapshot,
    commands: usize,
    seen: Seen,
}

impl Run<'_> {
    fn step(&mut self, step: &Step, within: Duration, setup: &Rows) -> Result<(Vec<Difference>, Seen), String> {
        let before = Before {
            rows: self.world.snapshot()?,
            commands: self.world.monitor.len(),
            seen: Seen { links_before: links(), ..Seen::default() },
        };
        let started = self.world.runs() || step.actions.iter().any(|a| matches!(a, Action::Start));
        self.dirty.clear();
        self.all_dirty = false;
        for action in &step.actions {
            self.act(action, setup)?;
        }
        rest()?;
        let deadline = Instant::now() + within;
        loop {
            let seen = self.look(&before, started)?;
            let differences = check(&step.expect, &seen);
            if differences.is_empty() {
                break;
            }
            if Instant::now() > deadline {
                return Ok((differences, seen));
            }
            std::thread::sleep(LOOK);
        }
        let follows = self.settle()?;
        let seen = self.look(&before, started)?;
        let mut differences = check(&step.expect, &seen);
        if !follows {
            differences.push(Difference {
                step: String::new(),
                what: "the daemon follows the links".to_owned(),
                expected: "a new link of the runner gets its row".to_owned(),
                found: "it does not".to_owned(),
            });
        }
        Ok((differences, seen))
    }

    fn look(&mut self, before: &Before, started: bool) -> Result<Seen, String> {
        let rows = self.world.snapshot()?;
        let step = sort(&self.world.monitor.since(before.commands), &self.world.databases);
        let effective = effective(&step.writes, &before.rows, &self.dirty, self.all_dirty);
        self.world.runs();
        Ok(Seen {
            rows,
            effective,
            step,
            total: sort(&self.world.monitor.since(0), &self.world.databases),
            links_before: before.seen.links_before.clone(),
            links: links(),
            orchagent: self.world.neighbours.orchagent.handed(),
            exit: self.world.exit,
            started,
            log: World::output(),
        })
    }

    /// Waits until the daemon has dealt with everything so far; false if it does not follow the links.
    fn settle(&mut self) -> Result<bool, String> {
        if !self.world.redis_answers() {
            // Nothing can be seen in Redis; a daemon that cannot live without it is given the time to end.
            let _ = wait::until("the daemon's end", ALONE, || !self.world.runs());
            return Ok(true);
        }
        let follows = !self.world.runs() || self.world.paused || self.touch()?;
        let marker = format!("{:?}", Instant::now());
        self.world.send("STATE_DB", &[b"ECHO", marker.as_bytes()])?;
        if !self.world.monitor.await_marker(marker.as_bytes(), MARKER_LIMIT) {
            return Err("MONITOR does not show what is sent".to_owned());
        }
        // A daemon that never falls silent is compared all the same.
        let _ = wait::until("silence", QUIET_LIMIT, || self.world.monitor.quiet_for() > QUIET);
        Ok(follows)
    }

    fn touch(&mut self) -> Result<bool, String> {
        for _ in 0..SENTINEL_TRIES {
            if !self.sentinel.there {
                self.sentinel.number += 1;
                self.sentinel.mtu = 1500;
            }
            let (name, separator) = (self.sentinel.name(), self.world.databases["APPL_DB"].separator.clone());
            self.world
                .send("APPL_DB", &[b"HSET", format!("PORT_TABLE{separator}{name}").as_bytes(), b"lanes", b"0"])?;
            if !self.sentinel.there {
                ip::run(None, &format!("link add name {name} type bridge"))?;
                self.sentinel.there = true;
            }
            self.sentinel.mtu += 1;
            ip::run(None, &format!("link set {name} mtu {}", self.sentinel.mtu))?;
            let key = format!("PORT_TABLE{}{name}", self.world.databases["STATE_DB"].separator);
            let wanted = self.sentinel.mtu.to_string().into_bytes();
            let answered = wait::until("the row of the runner's link", SENTINEL_LIMIT, || {
                let found = self.world.send("STATE_DB", &[b"HGET", key.as_bytes(), b"mtu"]);
                !self.world.runs() || matches!(found, Ok(redis::Value::BulkString(mtu)) if mtu == wanted)
            });
            if answered.is_ok() {
                return Ok(true);
            }
            self.retire()?;
        }
        Ok(false)
    }

    /// Removes the runner's link: a daemon that starts now must not find it, one that missed it gets another.
    fn retire(&mut self) -> Result<(), String> {
        if !std::mem::take(&mut self.sentinel.there) {
            return Ok(());
        }
        let name = self.sentinel.name();
        ip::run(None, &format!("link delete {name}"))?;
        if self.world.redis_answers() {
            for database in ["APPL_DB", "STATE_DB"] {
                let key = format!("PORT_TABLE{}{name}", self.world.databases[database].separator);
                self.world.send(database, &[b"DEL", key.as_bytes()])?;
            }
        }
        Ok(())
    }

    fn act(&mut self, action: &Action, setup: &Rows) -> Result<(), String> {
        match action {
            Action::Start => {
                self.retire()?;
                self.world.start(self.program)
            }
            Action::Term => {
                self.world.signal(Signal::SIGTERM)?;
                self.world.await_end();
                Ok(())
            }
            Action::Kill => {
                self.world.signal(Signal::SIGKILL)?;
                self.world.await_end();
                Ok(())
            }
            Action::Pause => self.world.pause(),
            Action::Resume => {
                self.world.paused = false;
                self.world.signal(Signal::SIGCONT)
            }
            Action::RedisStart => {
                self.all_dirty = true;
                // CONFIG_DB is loaded from its file before anybody is let in; the rest is lost.
                let config = setup
                    .iter()
                    .filter(|(name, _)| *name == "CONFIG_DB")
                    .map(|(n, r)| (n.clone(), r.clone()))
                    .collect();
                self.world.start_redis(&config)
            }
            Action::RedisKill => {
                self.world.kill_redis();
                Ok(())
            }
            Action::RedisPause => self.world.pause_redis(true),
            Action::RedisResume => self.world.pause_redis(false),
            Action::Flushall => {
                self.all_dirty = true;
                self.world.send("APPL_DB", &[b"FLUSHALL"]).map(drop)
            }
            Action::ScriptFlush => self.world.send("APPL_DB", &[b"SCRIPT", b"FLUSH"]).map(drop),
            Action::Consume => self.world.consume(),
            Action::OrchagentRestart => {
                self.world.neighbours.orchagent.restart();
                Ok(())
            }
            Action::Wait(time) => {
                std::thread::sleep(*time);
                Ok(())
            }
            Action::Rows(rows) => {
                let written = self.world.write(rows)?;
                self.dirty.extend(written);
                Ok(())
            }
            Action::Del(lines) => lines.iter().try_for_each(|line| self.remove(b"DEL", line)),
            Action::Hdel(lines) => lines.iter().try_for_each(|line| self.remove(b"HDEL", line)),
            Action::Ports(names) => self.make_ports(names),
            Action::Breakout(breakout) => self.break_out(breakout),
            Action::Ip(words) => {
                self.elsewhere(words)?;
                ip::run(None, words)
            }
            Action::Batch(lines) => ip::batch(&(lines.join("\n") + "\n")),
            Action::Elsewhere(words) => {
                self.elsewhere("elsewhere")?;
                ip::run(Some("elsewhere"), words)
            }
            Action::Flood(Flood { links, times, mtu }) => {
                let change = |round: u32| {
                    links.iter().map(move |link| format!("link set {link} mtu {}\n", mtu + (times - round)))
                };
                ip::batch(&(1..=*times).flat_map(change).collect::<String>())
            }
            Action::Forge(message) => forge::send(message),
        }
    }

    fn remove(&mut self, command: &[u8], line: &str) -> Result<(), String> {
        let words = super::text::split(line);
        let bytes: Vec<Vec<u8>> = words[1..].iter().map(|word| super::text::bytes(word)).collect();
        let parts: Vec<&[u8]> = std::iter::once(command).chain(bytes.iter().map(Vec::as_slice)).collect();
        self.dirty.insert((words[0].clone(), super::check::canonical(&words[1])));
        self.world.send(&words[0], &parts).map(drop)
    }

    /// As `config interface breakout`, portmgrd and orchagent do it: the port goes from both databases, orchagent takes that and
    /// its link; then the new ones come into both databases, orchagent takes them and makes their links.
    fn break_out(&mut self, Breakout { port, into }: &Breakout) -> Result<(), String> {
        let told = |e: portsyncd::lab::Error| e.to_string();
        let (appl, config) = (self.world.databases["APPL_DB"].clone(), self.world.databases["CONFIG_DB"].clone());
        let producer = Producer::new(appl.id.into(), &appl.separator);
        let key = format!("PORT{}{port}", config.separator);
        let fields: Vec<(String, String)> =
            redis::Commands::hgetall(self.world.db("CONFIG_DB")?, &key).map_err(|e| format!("redis: {key}: {e}"))?;
        let rows = ports::breakout(&ports::PortConfigRow { name: port.clone(), fields }, *into).map_err(told)?;
        self.world.send("CONFIG_DB", &[b"DEL", key.as_bytes()])?;
        producer.del(self.world.db("APPL_DB")?, port).map_err(told)?;
        self.popped()?;
        ip::run(None, &format!("link delete {port}"))?;
        ports::seed(self.world.db("CONFIG_DB")?, &config.separator, &rows, true).map_err(told)?;
        for row in &rows {
            producer.set(self.world.db("APPL_DB")?, &row.name, &row.fields).map_err(told)?;
        }
        self.popped()?;
        self.make_ports(&rows.into_iter().map(|row| row.name).collect::<Vec<_>>())
    }

    /// What is pending is popped: now, or by orchagent soon.
    fn popped(&mut self) -> Result<(), String> {
        if self.world.neighbours.consumer == Consumer::Steps {
            return self.world.consume();
        }
        let mut pending = || self.world.send("APPL_DB", &[b"SCARD", b"PORT_TABLE_KEY_SET"]);
        wait::until("orchagent to pop everything", POP_LIMIT, || matches!(pending(), Ok(redis::Value::Int(0))))
            .map_err(|e| e.to_string())
    }

    /// Ports as orchagent makes them: down, the far end of the cable up.
    fn make_ports(&self, names: &[String]) -> Result<(), String> {
        for name in names {
            let cable = ports::cable(name);
            ip::run(None, &format!("link add name {name} type veth peer name {cable}"))?;
            if self.world.neighbours.intfmgrd {
                // Its link-local address is to be intfmgrd's, not the kernel's.
                ip::run(None, &format!("link set {name} addrgenmode none"))?;
            }
            ip::run(None, &format!("link set {cable} up"))?;
        }
        Ok(())
    }

    /// Makes the other namespace when it is first spoken of.
    fn elsewhere(&mut self, words: &str) -> Result<(), String> {
        if self.elsewhere || !words.contains("elsewhere") {
            return Ok(());
        }
        self.elsewhere = true;
        ip::run(None, "netns add elsewhere")?;
        ip::run(None, &format!("netns attach switch {}", std::process::id()))
    }
}

fn rest() -> Result<(), String> {
    wait::until("the kernel to tell of every change of carrier", REST_LIMIT, at_rest).map_err(|e| e.to_string())
}
