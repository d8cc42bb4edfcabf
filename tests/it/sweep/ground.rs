//! What a sweep repeats: a run of the daemon with four ports, from a known state to a known state, with a fault at one command.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use portsyncd::lab::redis_server::{APPL_DB, STATE_DB};
use redis::Commands;

use super::proxy::{Fault, Proxy};
use crate::fixture::{Fields, Rig, http, ours};

/// How long a run may take. Far more than it does.
const LIMIT: Duration = Duration::from_secs(15);
/// A link from before a cold start, with a row in `APPL_DB`.
const OLD: &str = "Ethernet100";
/// A link that comes while a reply is held back, with a row in `APPL_DB`.
const NEW: &str = "Ethernet104";
/// Rows that are others', or hold a field of others.
const STRANGERS: [(&str, &[(&str, &str)]); 3] = [
    ("PORT_TABLE|Ethernet92", &[("fec", "rs")]),
    ("PORT_TABLE|Ethernet0.10", &[("state", "ok"), ("vlan", "10")]),
    ("PORT_TABLE|foreign", &[("state", "ok"), ("mtu", "1")]),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Run {
    /// A cold start with an old link; the ports' links come when they are published.
    Cold,
    /// A warm start, two links there, two that come.
    Warm,
    /// A start on a switch at work with wrong rows.
    Live,
    /// Redis comes back, and rows are pending.
    Reconnect,
    /// Rows were changed, and an audit finds it.
    Audit,
    /// Told to end, and rows are under way.
    End,
    /// Told to end while Redis is away, and rows are pending.
    EndAway,
}

/// What is done at a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strike {
    CutBefore,
    CutAfter,
    CutInReply,
    /// Links change while the reply is held back.
    Change,
    /// SIGTERM while the reply is held back; then another start.
    Term,
    /// SIGKILL while the reply is held back; then another start.
    Kill,
}

impl Strike {
    fn fault(self) -> Fault {
        match self {
            Self::CutBefore => Fault::CutBefore,
            Self::CutAfter => Fault::CutAfter,
            Self::CutInReply => Fault::CutInReply,
            Self::Change | Self::Term | Self::Kill => Fault::Hold,
        }
    }
}

type Outcome<T> = Result<T, String>;

pub struct Ground {
    run: Run,
    rig: Rig,
    pub proxy: Proxy,
    /// Says which values are this case's.
    cases: u32,
    /// Starts of the daemon in this case.
    starts: u64,
    /// How often `PortConfigDone` was said before this case.
    said: usize,
    strike: Option<Strike>,
}

impl Ground {
    pub fn new(run: Run) -> Self {
        let mut rig = Rig::new(4);
        let proxy = Proxy::start(&rig.server.socket(), rig.dir().join("proxy.sock"));
        rig.set("PORTSYNCD_REDIS__URL", &proxy.url());
        rig.set("PORTSYNCD_LOG__LEVEL", "debug");
        rig.set("PORTSYNCD_NETLINK__AUDIT_INTERVAL", if run == Run::Audit { "100ms" } else { "0s" });
        Self { run, rig, proxy, cases: 0, starts: 0, said: 0, strike: None }
    }

    /// Runs once, with a fault at a command; gives the commands of the run.
    pub fn repeat(&mut self, at: Option<(usize, Strike)>) -> Outcome<Vec<String>> {
        self.cases += 1;
        self.strike = at.map(|(_, strike)| strike);
        match self.run {
            Run::Cold | Run::Warm | Run::Live => {
                self.reset();
                self.set_up(self.run);
                self.arm(at);
                self.start();
                self.begin_links()?;
            }
            Run::Reconnect => {
                self.at_work()?;
                self.proxy.refuse(true);
                self.proxy.cut();
                self.change_links();
                self.until("pending rows", |ground| ground.pending(|rows| rows > 0.0))?;
                self.arm(at);
                self.proxy.refuse(false);
            }
            Run::Audit => {
                self.at_work()?;
                self.change_rows();
                self.arm(at);
            }
            Run::End => {
                self.at_work()?;
                self.proxy.stop(true);
                self.change_links();
                self.until("pending rows", |ground| ground.pending(|rows| rows > 0.0))?;
                self.rig.signal(Signal::SIGTERM);
                self.logged("told to end")?;
                self.arm(at);
                self.proxy.stop(false);
                return self.end();
            }
            Run::EndAway => {
                self.at_work()?;
                self.proxy.refuse(true);
                self.proxy.cut();
                self.change_links();
                self.until("pending rows", |ground| ground.pending(|rows| rows > 0.0))?;
                self.rig.signal(Signal::SIGTERM);
                self.logged("told to end")?;
                self.arm(at);
                self.proxy.refuse(false);
                return self.end();
            }
        }
        self.until("everything to be as it has to be", Self::check)?;
        if self.run == Run::Audit && at.is_some() {
            // An audit follows the other, so that one of them comes to this command.
            self.until("the fault", |ground| ground.proxy.struck().map(|_| ()).ok_or_else(|| "none".to_owned()))?;
            self.until("everything to be as it has to be again", Self::check)?;
        }
        let mut seen = self.proxy.seen();
        if self.run == Run::Audit && at.is_none() {
            // One whole audit after the one that mends.
            let more = seen.len();
            self.until("another audit", |ground| {
                seen = ground.proxy.seen();
                let scans = seen[more..].iter().filter(|command| command.starts_with("SCAN")).count();
                if scans > 2 { Ok(()) } else { Err(format!("{scans} scans")) }
            })?;
        }
        Ok(seen)
    }

    fn arm(&self, at: Option<(usize, Strike)>) {
        self.proxy.arm(at.map(|(n, strike)| (n, strike.fault())));
    }

    /// The last lines of the daemon's log.
    pub fn log_end(&self) -> String {
        let log = self.rig.log();
        let lines: Vec<_> = log.lines().map(|line| line.get(..220).unwrap_or(line)).collect();
        lines[lines.len().saturating_sub(25)..].join("\n")
    }

    /// After a failure: no daemon, so that the next case begins anew.
    pub fn renew(&mut self) {
        self.proxy.pass();
        if self.rig.is_running() {
            self.rig.crash();
        } else if self.starts > 0 {
            let _ = self.rig.try_exit();
        }
        self.starts = 0;
    }

    fn start(&mut self) {
        self.rig.start();
        self.starts += 1;
    }

    /// Nothing is left of what was before.
    fn reset(&mut self) {
        self.renew();
        self.rig.stop_orchagent();
        self.proxy.cut();
        redis::cmd("FLUSHALL").exec(&mut self.rig.db(0)).unwrap();
        redis::cmd("SCRIPT").arg("FLUSH").exec(&mut self.rig.db(0)).unwrap();
        for link in self.rig.run(self.rig.links.list()) {
            if link.name.starts_with("Ethernet") {
                self.rig.run(self.rig.links.delete(&link.name));
            }
        }
        // Counters of a run before: its reconnects are none of this one.
        let _ = std::fs::remove_dir_all(self.rig.state_dir());
        self.rig.seed(4);
    }

    fn put(&self, db: i64, key: &str, fields: &[(&str, &str)]) {
        let () = self.rig.db(db).hset_multiple(key, fields).unwrap();
    }

    fn set_up(&mut self, start: Run) {
        for (key, fields) in STRANGERS {
            self.put(STATE_DB, key, fields);
        }
        self.put(STATE_DB, "PORT_TABLE|Ethernet0", &[("speed", "100000")]);
        // Left by a link that is gone.
        let gone =
            [("state", "ok"), ("netdev_oper_status", "up"), ("admin_status", "up"), ("mtu", "9100"), ("speed", "1")];
        self.put(STATE_DB, "PORT_TABLE|Ethernet96", &gone);
        for port in [OLD, NEW] {
            self.put(APPL_DB, &format!("PORT_TABLE:{port}"), &[("mtu", "9100")]);
        }
        let there = match start {
            Run::Cold => {
                self.add(OLD);
                0
            }
            Run::Warm => 2,
            _ => 4,
        };
        for port in &self.rig.ports[..there] {
            self.add(port);
        }
        if there > 0 {
            for port in &self.rig.ports {
                self.put(APPL_DB, &format!("PORT_TABLE:{port}"), &[("admin_status", "up"), ("mtu", "9100")]);
            }
            let count = if start == Run::Warm { "4" } else { "3" };
            self.put(APPL_DB, "PORT_TABLE:PortConfigDone", &[("count", count)]);
            let wrong = [("state", "ok"), ("netdev_oper_status", "down"), ("admin_status", "up"), ("mtu", "1")];
            self.put(STATE_DB, "PORT_TABLE|Ethernet0", &wrong);
        }
        if start == Run::Warm {
            self.put(STATE_DB, "WARM_RESTART_ENABLE_TABLE|system", &[("enable", "true")]);
            self.put(STATE_DB, "WARM_RESTART_TABLE|portsyncd", &[("restore_count", "7")]);
        }
        self.rig.run_orchagent();
    }

    fn add(&self, port: &str) {
        self.rig.run(self.rig.links.add_ifb(port));
        self.rig.up(port);
    }

    fn has(&self, port: &str) -> bool {
        self.rig.run(self.rig.links.find(port)).is_some()
    }

    /// The links that come after the start.
    fn begin_links(&mut self) -> Outcome<()> {
        match self.run {
            Run::Cold => self.until("PortConfigDone", |ground| {
                let count = ground.rig.hash(APPL_DB, "PORT_TABLE:PortConfigDone");
                if count.is_empty() { Err("none".to_owned()) } else { Ok(()) }
            })?,
            Run::Warm => self.until("the first row", |ground| {
                let row = ours(&ground.rig.row("Ethernet0"));
                if row.get("mtu").is_some_and(|mtu| mtu != "1") { Ok(()) } else { Err(format!("{row:?}")) }
            })?,
            _ => {}
        }
        for port in self.rig.ports.clone() {
            if !self.has(&port) {
                self.add(&port);
            }
        }
        Ok(())
    }

    /// A switch at work whose rows are right, after a live start if there is none.
    fn at_work(&mut self) -> Outcome<()> {
        let strike = self.strike.take();
        self.said = 0;
        if !self.rig.is_running() {
            self.reset();
            self.set_up(Run::Live);
            self.start();
        }
        self.proxy.pass();
        for port in self.rig.ports.clone() {
            if !self.has(&port) {
                self.add(&port);
            }
        }
        self.until("a switch at work", Self::check)?;
        self.starts = 1;
        self.said = self.rig.orchagent().count("PortConfigDone");
        self.strike = strike;
        Ok(())
    }

    fn mtu(&self) -> u32 {
        1000 + self.cases % 8000
    }

    /// Values change, one link goes or comes.
    fn change_links(&self) {
        self.rig.run(self.rig.links.set_mtu_many(&["Ethernet0", "Ethernet8", "Ethernet12"], self.mtu()));
        let up = self.rig.link("Ethernet4").admin_up;
        self.rig.run(self.rig.links.set_admin("Ethernet4", !up));
        if self.run == Run::End {
            // Told to end, the daemon does not ask whether a link that has just come has its row in APPL_DB.
            return;
        }
        // No configured port: a start would wait for it.
        if self.has(NEW) {
            self.rig.run(self.rig.links.delete(NEW));
        } else {
            self.add(NEW);
        }
    }

    /// What an audit has to mend.
    fn change_rows(&self) {
        let mut state = self.rig.db(STATE_DB);
        let mut pipeline = redis::pipe();
        pipeline.atomic().hset("PORT_TABLE|Ethernet0", "mtu", "2").del("PORT_TABLE|Ethernet4");
        pipeline.hset_multiple("PORT_TABLE|Ethernet96", &[("state", "ok"), ("mtu", "9100"), ("speed", "1")]);
        let () = pipeline.query(&mut state).unwrap();
    }

    /// Waits for a condition, and does meanwhile what the fault asks for.
    fn until(&mut self, what: &str, mut condition: impl FnMut(&mut Self) -> Outcome<()>) -> Outcome<()> {
        let began = Instant::now();
        loop {
            self.serve()?;
            let Err(problem) = condition(self) else {
                // A fault that strikes at the very end is served too.
                return self.serve();
            };
            if began.elapsed() > LIMIT {
                return Err(format!("waited in vain for {what}: {problem}"));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn logged(&mut self, line: &str) -> Outcome<()> {
        self.until(line, |ground| if ground.rig.log_count(line) > 0 { Ok(()) } else { Err("not yet".to_owned()) })
    }

    /// While a reply is held back.
    fn serve(&mut self) -> Outcome<()> {
        if !self.proxy.is_holding() {
            return Ok(());
        }
        match self.strike.take() {
            Some(Strike::Change) => {
                if matches!(self.run, Run::End | Run::EndAway) {
                    // What the kernel says now may be heard or not.
                    self.proxy.release();
                    return Ok(());
                }
                if self.has("Ethernet0") {
                    self.rig.run(self.rig.links.set_mtu("Ethernet0", 9000));
                }
                if self.run == Run::Cold {
                    self.rig.run(self.rig.links.set_mtu(OLD, 9000));
                }
                if self.has(NEW) {
                    self.rig.run(self.rig.links.delete(NEW));
                } else {
                    self.add(NEW);
                }
                self.proxy.release();
            }
            Some(Strike::Term) => {
                self.rig.signal(Signal::SIGTERM);
                self.logged_before("told to end")?;
                let (links, rows) = (self.admin(), self.rig.state_rows().unwrap_or_default().len());
                self.proxy.release();
                let code = self.rig.exit_status().code();
                if code != Some(0) {
                    return Err(format!("ended with {code:?} by SIGTERM; {rows} rows then"));
                }
                let after = self.admin();
                if links != after {
                    return Err(format!("the end changed links: {links:?}, then {after:?}"));
                }
                if matches!(self.run, Run::Reconnect | Run::Audit) {
                    // A difference that no comparison had found is not known; a change of the kernel's is.
                    let wrong = self.rows_unlike_kernel();
                    if self.run == Run::Reconnect && !wrong.is_empty() {
                        return Err(format!("ended with 0 before rows were written: {wrong:?}"));
                    }
                }
                self.start();
            }
            Some(Strike::Kill) => {
                self.rig.crash();
                self.proxy.release();
                self.start();
            }
            _ => self.proxy.release(),
        }
        Ok(())
    }

    fn logged_before(&self, line: &str) -> Outcome<()> {
        let began = Instant::now();
        while self.rig.log_count(line) == 0 {
            if began.elapsed() > LIMIT {
                return Err(format!("no {line:?} in the log"));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    fn admin(&self) -> BTreeMap<String, bool> {
        self.rig.run(self.rig.links.list()).into_iter().map(|link| (link.name, link.admin_up)).collect()
    }

    fn pending(&self, wanted: impl Fn(f64) -> bool) -> Outcome<()> {
        match self.rig.metric("portsyncd_pending_rows") {
            Some(rows) if wanted(rows) => Ok(()),
            rows => Err(format!("pending rows {rows:?}")),
        }
    }

    /// Ports whose row is not as the kernel has it.
    fn rows_unlike_kernel(&self) -> Vec<String> {
        let mut wanted = self.rig.kernel_rows();
        if self.run == Run::Cold && self.rig.log_count("start kind=Cold") > 0 {
            wanted.remove(OLD);
        }
        let mut found = self.rig.state_rows().unwrap_or_default();
        for (key, _) in STRANGERS {
            found.remove(&key["PORT_TABLE|".len()..]);
        }
        let names = wanted.keys().chain(found.keys()).collect::<std::collections::BTreeSet<_>>();
        names
            .into_iter()
            .filter(|name| wanted.get(*name) != found.get(*name))
            .map(|name| format!("{name}: {:?} in the kernel, {:?} in STATE_DB", wanted.get(name), found.get(name)))
            .collect()
    }

    /// All that has to hold in the end.
    fn check(&mut self) -> Outcome<()> {
        let rig = &self.rig;
        let that = |holds: bool, problem: &dyn Fn() -> String| if holds { Ok(()) } else { Err(problem()) };
        let wrong = self.rows_unlike_kernel();
        that(wrong.is_empty(), &|| wrong.join("; "))?;
        for (key, fields) in STRANGERS {
            let wanted: Fields =
                fields.iter().map(|(field, value)| ((*field).to_owned(), (*value).to_owned())).collect();
            let found = rig.hash(STATE_DB, key);
            that(found == wanted, &|| format!("{key} is {found:?}"))?;
        }
        let speed = rig.row("Ethernet0").remove("speed");
        that(speed.as_deref() == Some("100000"), &|| format!("the speed of Ethernet0 is {speed:?}"))?;
        that(rig.row("Ethernet96").is_empty(), &|| "the row of a link that is gone stays".to_owned())?;
        let waiting: usize = rig.db(APPL_DB).scard("PORT_TABLE_KEY_SET").unwrap();
        that(waiting == 0, &|| format!("{waiting} keys wait for orchagent"))?;
        let count = rig.hash(APPL_DB, "PORT_TABLE:PortConfigDone").remove("count");
        that(count.as_deref() == Some("4"), &|| format!("PortConfigDone has {count:?}"))?;

        let seen: Vec<String> = rig.orchagent().seen().into_iter().map(|entry| entry.key).collect();
        let first = |key: &str| seen.iter().position(|entry| entry == key);
        let last = |key: &str| seen.iter().rposition(|entry| entry == key);
        that(first("PortInitDone").is_some(), &|| "no PortInitDone".to_owned())?;
        let warm = self.run == Run::Warm;
        if warm {
            that(seen.iter().all(|key| key == "PortInitDone"), &|| format!("published by a warm start: {seen:?}"))?;
        } else {
            let order =
                first("PortConfigDone") < first("PortInitDone") && last("PortConfigDone") < last("PortInitDone");
            that(order, &|| format!("the order of the marks: {seen:?}"))?;
        }
        let found = rig.hash(STATE_DB, "WARM_RESTART_TABLE|portsyncd");
        let restore_count = found.get("restore_count").and_then(|count| count.parse::<u64>().ok());
        let right = match restore_count {
            Some(count) if warm => count > 7 && count <= 7 + self.starts,
            count => count == Some(0) && !warm,
        };
        that(right && found.len() == 1, &|| format!("after {} starts WARM_RESTART_TABLE is {found:?}", self.starts))?;

        let down: Vec<_> = self.admin().into_iter().filter(|(name, up)| name.starts_with("Ethernet") && !up).collect();
        let right = match self.run {
            Run::Cold => down.len() == 1 && down[0].0 == OLD,
            Run::Warm | Run::Live => down.is_empty(),
            // The runs themselves set this one up and down.
            Run::Reconnect | Run::Audit | Run::End | Run::EndAway => down.iter().all(|(name, _)| name == "Ethernet4"),
        };
        that(right, &|| format!("links that are down: {down:?}"))?;
        if matches!(self.run, Run::Reconnect | Run::Audit | Run::End | Run::EndAway) {
            let said = self.rig.orchagent().count("PortConfigDone");
            let once = said == self.said + usize::from(self.starts > 1);
            that(self.said == 0 || once, &|| format!("PortConfigDone said {said} times, {} before", self.said))?;
        }
        self.pending(|rows| rows == 0.0)?;
        let ready = http::get(self.rig.http(), "/readyz").map(|answer| (answer.code, answer.body));
        that(ready.as_ref().is_ok_and(|(code, _)| *code == 200), &|| format!("readyz: {ready:?}"))
    }

    /// Told to end, rows pending, and Redis answers in the end.
    fn end(&mut self) -> Outcome<Vec<String>> {
        let mut status = None;
        self.until("the daemon's end", |ground| {
            status = ground.rig.try_exit();
            status.map(|_| ()).ok_or_else(|| "it runs".to_owned())
        })?;
        let seen = self.proxy.seen();
        if status.and_then(|status| status.code()) != Some(0) {
            return Err(format!("ended with {status:?}"));
        }
        let wrong = self.rows_unlike_kernel();
        if wrong.is_empty() { Ok(seen) } else { Err(format!("ended with 0: {wrong:?}")) }
    }
}
