//! `portsyncd-lab switch` with what it can play and be told: orchagents that begin anew, breakouts, intfmgrd.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use portsyncd::lab::links::{LinkState, Links, with_link_local};
use portsyncd::lab::producer::Producer;
use portsyncd::lab::redis_server::{APPL_DB, CONFIG_DB, RedisServer, STATE_DB};
use portsyncd::lab::{netns, ports, wait};
use redis::Commands;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

const LIMIT: Duration = Duration::from_secs(30);

/// A switch with everything published, as portsyncd does it, in a namespace of its own.
struct Rig {
    child: Child,
    answers: BufReader<ChildStdout>,
    server: RedisServer,
    links: Links,
    runtime: Runtime,
}

impl Rig {
    fn new(ports: usize, options: &[&str]) -> Self {
        netns::enter_private().unwrap();
        let server = RedisServer::start().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let links = {
            let _inside = runtime.enter();
            Links::open().unwrap()
        };
        let mut command = Command::new(env!("CARGO_BIN_EXE_portsyncd-lab"));
        command.args(["switch", "--commands", "--ports", &ports.to_string(), "--redis-socket"]).arg(server.socket());
        let mut child =
            command.args(options).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        let rig = Self { child, answers, server, links, runtime };
        rig.publish(&ports::rows(ports));
        until("the ports", || rig.names().len() == ports);
        rig
    }

    fn publish(&self, rows: &[ports::PortConfigRow]) {
        let mut db = self.server.client(APPL_DB).unwrap();
        for row in rows {
            producer().set(&mut db, &row.name, &row.fields).unwrap();
        }
        producer().set(&mut db, "PortConfigDone", &[("count", rows.len().to_string())]).unwrap();
    }

    fn init_done(&self) {
        producer().set(&mut self.server.client(APPL_DB).unwrap(), "PortInitDone", &[("lanes", "0")]).unwrap();
    }

    fn link(&self, name: &str) -> Option<LinkState> {
        self.runtime.block_on(self.links.find(name)).unwrap()
    }

    fn names(&self) -> Vec<String> {
        let all = self.runtime.block_on(self.links.list()).unwrap();
        let mut names: Vec<_> =
            all.into_iter().map(|link| link.name).filter(|name| name.starts_with("Ethernet")).collect();
        names.sort();
        names
    }

    fn tell(&mut self, line: &str) -> Value {
        writeln!(self.child.stdin.as_mut().unwrap(), "{line}").unwrap();
        let mut answer = String::new();
        self.answers.read_line(&mut answer).unwrap();
        serde_json::from_str(&answer).unwrap()
    }

    fn expect_told(&mut self, wanted: &Value) {
        let mut seen = Value::Null;
        let waited = wait::until("orchagent", LIMIT, || {
            seen = self.tell("orchagent");
            seen == *wanted
        });
        waited.unwrap_or_else(|_| panic!("{seen}, not {wanted}"));
    }

    fn state(&self, port: &str, admin: &str, mtu: u32) {
        let row = [("state", "ok"), ("admin_status", admin), ("mtu", &mtu.to_string())];
        let () = self.server.client(STATE_DB).unwrap().hset_multiple(format!("PORT_TABLE|{port}"), &row).unwrap();
    }
}

fn producer() -> Producer {
    Producer::new(APPL_DB, ":")
}

fn until(what: &str, condition: impl FnMut() -> bool) {
    wait::until(what, LIMIT, condition).unwrap();
}

impl Drop for Rig {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn another_orchagent_knows_only_what_is_published_anew() {
    let mut rig = Rig::new(2, &[]);
    rig.init_done();
    let marks = ["PortConfigDone", "PortInitDone"];
    rig.expect_told(&json!({ "ports": ["Ethernet0", "Ethernet4"], "count": 2, "order": marks }));
    let index = rig.link("Ethernet0").unwrap().ifindex;
    let nothing = json!({ "ports": [], "count": null, "order": [] });
    assert_eq!(rig.tell("orchagent-restart"), nothing);
    rig.publish(&ports::rows(2)[..1]);
    rig.expect_told(&json!({ "ports": ["Ethernet0"], "count": 1, "order": marks[..1] }));
    kill(Pid::from_raw(rig.child.id().cast_signed()), Signal::SIGUSR1).unwrap();
    rig.expect_told(&nothing);
    assert_eq!(rig.link("Ethernet0").unwrap().ifindex, index, "links stay");
    let error = rig.tell("restart");
    assert!(error["error"].as_str().unwrap().contains("orchagent-restart"), "{error}");
}

#[test]
fn a_port_is_broken_out_at_run_time() {
    let mut rig = Rig::new(2, &[]);
    let index = rig.link("Ethernet4").unwrap().ifindex;
    let added = ["Ethernet4", "Ethernet5", "Ethernet6", "Ethernet7"];
    assert_eq!(rig.tell("breakout Ethernet4 4"), json!({ "removed": "Ethernet4", "added": added }));
    until("the new links", || rig.names() == [&["Ethernet0"], &added[..]].concat());
    assert_ne!(rig.link("Ethernet4").unwrap().ifindex, index, "it is another one");
    let mut config = rig.server.client(CONFIG_DB).unwrap();
    let lanes: String = config.hget("PORT|Ethernet6", "lanes").unwrap();
    assert_eq!(lanes, "7");
    let all = [&["Ethernet0"], &added[..]].concat();
    rig.expect_told(&json!({ "ports": all, "count": 2, "order": ["PortConfigDone"] }));
    let error = rig.tell("breakout Ethernet0 3");
    assert!(error["error"].as_str().unwrap().contains("cannot break Ethernet0 out into 3"), "{error}");
    let there: bool = config.exists("PORT|Ethernet0").unwrap();
    assert!(there);
}

#[test]
fn intfmgrd_follows_rows_if_it_is_wanted() {
    let rig = Rig::new(1, &["--intfmgrd"]);
    let addressed = || with_link_local().unwrap().contains("Ethernet0");
    until("the port to be up", || rig.link("Ethernet0").is_some_and(|link| link.running && link.mtu == 9100));
    assert!(!addressed(), "the kernel gives it none");
    let () = rig.server.client(CONFIG_DB).unwrap().hset("VLAN_SUB_INTERFACE|Ethernet0.10", "mtu", "4000").unwrap();
    rig.state("Ethernet0", "up", 9100);
    until("the address", addressed);
    until("the sub-interface", || rig.link("Ethernet0.10").is_some_and(|link| link.mtu == 4000));
    rig.state("Ethernet0", "up", 2000);
    until("its MTU", || rig.link("Ethernet0.10").is_some_and(|link| link.mtu == 2000));
}

#[test]
fn without_it_the_kernel_gives_the_address() {
    let _rig = Rig::new(1, &[]);
    until("the address", || with_link_local().unwrap().contains("Ethernet0"));
}
