//! `portsyncd observe` against the real kernel and Redis: what differs is told, and nothing is written.

use std::io::{BufRead, BufReader};
use std::process::{Child, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use crate::fixture::{LIMIT, Rig};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use portsyncd::lab::redis_server::STATE_DB;
use redis::Commands;
use serde_json::{Value, json};

/// The observer has a user who may only read.
fn reader(rig: &mut Rig) {
    let acl = ["SETUSER", "reader", "on", ">secret", "~*", "&*", "+@read", "+@connection"];
    redis::cmd("ACL").arg(&acl).exec(&mut rig.db(0)).unwrap();
    let path = rig.dir().join("password");
    std::fs::write(&path, "secret\n").unwrap();
    rig.set("PORTSYNCD_REDIS__USERNAME", "reader");
    rig.set("PORTSYNCD_REDIS__PASSWORD_FILE", path.to_str().unwrap());
}

/// Four ports in step, the first of them up; no daemon runs any longer.
fn observed() -> Rig {
    let mut rig = Rig::at_work(4);
    rig.up("Ethernet0");
    rig.expect_row("Ethernet0", "up", "up", 1500);
    rig.expect_in_step(4);
    rig.term();
    reader(&mut rig);
    rig
}

fn once(rig: &Rig, arguments: &[&str]) -> Output {
    let mut command = rig.command();
    command.args(["observe", "--once", "--settle", "100ms"]).args(arguments);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).output().unwrap()
}

fn said(output: &Output) -> Vec<String> {
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

/// Every key of the server with what it holds, and how often it was changed.
fn contents(rig: &Rig) -> (Vec<Vec<u8>>, String) {
    let mut dumped = Vec::new();
    for number in [0, 4, 6] {
        let mut db = rig.db(number);
        let mut keys: Vec<String> = db.keys("*").unwrap();
        keys.sort();
        for key in keys {
            dumped.push(redis::cmd("DUMP").arg(&key).query(&mut db).unwrap());
        }
    }
    let info: String = redis::cmd("INFO").arg("persistence").query(&mut rig.db(0)).unwrap();
    let changes = info.lines().find(|line| line.starts_with("rdb_changes_since_last_save")).unwrap();
    (dumped, changes.to_owned())
}

#[test]
fn a_place_without_any_of_the_ports_is_said_to_be_perhaps_the_wrong_one() {
    let mut rig = Rig::new(2);
    reader(&mut rig);
    let output = once(&rig, &[]);
    let said = said(&output);
    assert!(said.last().unwrap().contains("is this the switch's network namespace?"), "{said:?}");
    let line: Value = serde_json::from_slice(&once(&rig, &["--json"]).stdout).unwrap();
    assert!(line["hint"].as_str().unwrap().contains("ip netns"), "{line}");
}

#[test]
fn a_switch_in_step_has_no_differences_and_nothing_is_written() {
    let rig = observed();
    let before = contents(&rig);
    let output = once(&rig, &[]);
    assert_eq!(
        said(&output),
        ["all as portsyncd would have it: 4 ports in CONFIG_DB, 4 links, 4 rows due, 0 links not in APPL_DB"]
    );
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(contents(&rig), before);
}

#[test]
fn every_kind_of_difference_is_told() {
    let rig = observed();
    let mut state = rig.db(STATE_DB);
    let () = state.hset("PORT_TABLE|Ethernet0", "netdev_oper_status", "down").unwrap();
    let () = state.hdel("PORT_TABLE|Ethernet0", "mtu").unwrap();
    let () = state.del("PORT_TABLE|Ethernet4").unwrap();
    let () = state.del("PORT_TABLE|Ethernet8").unwrap();
    let () = state.set("PORT_TABLE|Ethernet8", "text").unwrap();
    let () = state.hset("PORT_TABLE|Ethernet99", "state", "ok").unwrap();
    let () = state.hset("PORT_TABLE|Ethernet98", "host_tx_ready", "true").unwrap();
    let () = rig.db(0).del("PORT_TABLE:PortConfigDone").unwrap();
    let output = once(&rig, &[]);
    let lines = said(&output);
    assert_eq!(
        lines[..5],
        [
            "APPL_DB PORT_TABLE:PortConfigDone: not published",
            "STATE_DB PORT_TABLE|Ethernet0: netdev_oper_status is \"down\", would be \"up\", mtu is missing, would be \"1500\"",
            "STATE_DB PORT_TABLE|Ethernet4: missing",
            "STATE_DB PORT_TABLE|Ethernet8: holds another type than a hash",
            "STATE_DB PORT_TABLE|Ethernet99: there, though no link has this name",
        ]
    );
    assert!(lines[5].starts_with("5 keys differ: "), "{lines:?}");
    assert_eq!(output.status.code(), Some(1));

    let output = once(&rig, &["--json"]);
    let line: Value = serde_json::from_str(&said(&output)[0]).unwrap();
    assert_eq!(
        line["differences"][1],
        json!({
            "database": "STATE_DB",
            "key": "PORT_TABLE|Ethernet0",
            "problem": "differs",
            "fields": [
                { "field": "netdev_oper_status", "found": "down", "wanted": "up" },
                { "field": "mtu", "found": null, "wanted": "1500" },
            ],
        })
    );
}

#[test]
fn a_redis_that_is_not_there_is_told_with_an_exit_code_of_its_own() {
    let mut rig = Rig::new(1);
    rig.set("PORTSYNCD_REDIS__URL", "unix:///nonexistent/redis.sock");
    let output = once(&rig, &[]);
    assert_eq!(output.status.code(), Some(69));
    assert!(String::from_utf8_lossy(&output.stderr).contains("cannot connect to Redis"));
}

struct Observing {
    child: Child,
    lines: Receiver<String>,
}

impl Observing {
    fn start(rig: &Rig) -> Self {
        let mut command = rig.command();
        command.args(["observe", "--json", "--settle", "100ms"]);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let (tell, lines) = channel();
        let output = BufReader::new(child.stdout.take().unwrap());
        thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| tell.send(line)));
        Self { child, lines }
    }

    /// Waits until just these keys differ. A daemon that is late on a busy machine is told of in between.
    fn expect(&self, wanted: &[&str]) {
        let mut seen = Vec::new();
        loop {
            let Ok(line) = self.lines.recv_timeout(LIMIT) else { panic!("never {wanted:?}, but {seen:?}") };
            let line: Value = serde_json::from_str(&line).unwrap();
            let differences = line["differences"].as_array().unwrap();
            let keys: Vec<_> = differences.iter().map(|one| one["key"].as_str().unwrap().to_owned()).collect();
            if keys == wanted {
                return;
            }
            seen.push(keys);
        }
    }
}

impl Drop for Observing {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn what_nobody_writes_is_told_until_somebody_does() {
    let mut rig = Rig::at_work(2);
    rig.expect_in_step(2);
    let mut observing = Observing::start(&rig);
    observing.expect(&[]);
    rig.term();
    rig.run(rig.links.set_mtu("Ethernet4", 9000));
    observing.expect(&["PORT_TABLE|Ethernet4"]);
    rig.start();
    rig.expect_row("Ethernet4", "down", "down", 9000);
    // Redis is looked at again when the kernel tells of something.
    rig.run(rig.links.set_mtu("Ethernet0", 9000));
    observing.expect(&[]);
    kill(Pid::from_raw(observing.child.id().cast_signed()), Signal::SIGTERM).unwrap();
    assert_eq!(observing.child.wait().unwrap().code(), Some(0));
}
