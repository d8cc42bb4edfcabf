//! Redis killed, emptied, paused, cut off, refusing or forgetful. Nothing is forgotten, and in the end Redis equals the
//! kernel.

use std::thread;
use std::time::Duration;

use crate::fixture::Rig;
use crate::fixture::watcher::Watcher;
use crate::fixture::wreck::{all_links, at_work_without_audit, redis, toggle};
use portsyncd::lab::redis_server::{APPL_DB, CONFIG_DB};
use portsyncd::lab::wait;
use redis::Commands;

#[test]
fn two_thousand_ports_toggled_at_once_while_redis_is_killed() {
    let mut rig = Rig::new(2000).set_to_work();
    toggle(1);
    rig.expect_in_step(2000);
    all_links("down");
    rig.server.kill();
    all_links("mtu 1400");
    all_links("up");
    rig.server.restart().unwrap();
    rig.expect_in_step(2000);
    assert_eq!(rig.row("Ethernet0")["admin_status"], "up");
    assert_eq!(rig.row("Ethernet0")["mtu"], "1400");
    // The kernel tells of so many carriers little by little, a hundred a second: whatever it says by then is what counts.
    let limit = Duration::from_secs(90);
    wait::until("a carrier", limit, || rig.link("Ethernet0").running).unwrap();
    rig.expect_in_step(2000);
}

#[test]
fn a_redis_that_comes_back_empty_is_filled_anew() {
    let mut rig = Rig::new(3);
    rig.set("PORTSYNCD_NETLINK__AUDIT_INTERVAL", "0s");
    rig.start();
    rig.expect_config_done();
    rig.add_ports();
    let ports = rig.ports.clone();
    for port in &ports {
        rig.put_appl_row(port);
    }
    rig.expect_init_done();
    rig.server.kill();
    rig.expect_log("Redis is not reachable");
    rig.up("Ethernet4");
    rig.server.restart().unwrap();
    // CONFIG_DB is as empty as the rest, so this is from the daemon's memory.
    assert_eq!(rig.expect_config_done(), "3");
    assert_eq!(rig.mark("Ethernet8")["lanes"], "9,10,11,12");
    for port in &ports {
        assert!(rig.mark("PortInitDone").is_empty(), "not before every row is there");
        rig.put_appl_row(port);
        rig.until("the row", || !rig.row(port).is_empty());
    }
    rig.expect_init_done();
    rig.expect_in_step(3);
    assert!(rig.link("Ethernet4").admin_up, "links are left alone");
    rig.expect_row("Ethernet4", "up", "up", 1500);
    rig.expect_log("Redis is back");
    assert_eq!(rig.log_count("Redis is not reachable"), 1);
    assert_eq!(rig.term(), Some(0));
}

#[test]
fn after_a_live_restart_too_an_empty_redis_is_filled_from_memory() {
    let mut rig = Rig::at_work(3);
    assert_eq!(rig.term(), Some(0));
    rig.start();
    rig.expect_log("start kind=Live");
    // Followed only once the start is over, and with it what is read for later.
    let () = rig.db(CONFIG_DB).hset("LOGGER|portsyncd", "LOGLEVEL", "INFO").unwrap();
    rig.expect_log("log level follows CONFIG_DB");
    rig.server.restart().unwrap();
    assert_eq!(rig.expect_config_done(), "3");
    rig.until("the fields of CONFIG_DB as they were", || {
        rig.mark("Ethernet8").get("lanes").is_some_and(|lanes| lanes == "9,10,11,12")
    });
    rig.expect_init_done();
    rig.expect_in_step(3);
}

#[test]
fn a_redis_that_comes_back_as_it_was_gets_only_what_differs() {
    let mut rig = at_work_without_audit(3);
    rig.run(rig.links.set_admin_many(&rig.ports, true));
    rig.expect_in_step(3);
    rig.server.save_and_restart().unwrap();
    rig.run(rig.links.set_mtu("Ethernet0", 1400));
    rig.run(rig.links.delete("Ethernet8"));
    rig.expect_in_step(2);
    rig.expect_log("Redis is back");
    assert_eq!(rig.orchagent().count("PortInitDone"), 1);
    assert_eq!(rig.orchagent().count("PortConfigDone"), 1);
}

#[test]
fn flushall_is_noticed_by_the_audit_and_everything_published_again() {
    let mut rig = Rig::new(4);
    rig.set("PORTSYNCD_NETLINK__AUDIT_INTERVAL", "1s");
    let rig = rig.set_to_work();
    rig.run(rig.links.set_admin_many(&rig.ports, true));
    rig.expect_in_step(4);
    let watcher = Watcher::start(&rig.server);
    redis(&rig, "FLUSHALL");
    rig.until("PortInitDone again", || rig.orchagent().count("PortInitDone") == 2);
    rig.expect_in_step(4);
    assert_eq!(rig.orchagent().count("PortConfigDone"), 2);
    assert!(rig.ports.iter().all(|port| rig.link(port).admin_up));
    let lines = watcher.all(&rig.server, "the end");
    let at = |parts: &[&str]| lines.iter().position(|line| parts.iter().all(|part| line.contains(part))).unwrap();
    let init_done = at(&["EVALSHA", "\"PortInitDone\""]);
    for port in &rig.ports {
        assert!(at(&["EVALSHA", &format!("\"{port}\"")]) < at(&["EVALSHA", "\"PortConfigDone\""]));
        assert!(at(&["\"HSET\"", &format!("PORT_TABLE|{port}\"")]) < init_done);
    }
}

#[test]
fn a_paused_redis_costs_nothing_but_time() {
    let mut rig = Rig::new(8);
    rig.set("PORTSYNCD_NETLINK__AUDIT_INTERVAL", "0s");
    rig.set("PORTSYNCD_REDIS__RESPONSE_TIMEOUT", "200ms");
    rig.set("PORTSYNCD_REDIS__CONNECT_TIMEOUT", "200ms");
    let rig = rig.set_to_work();
    rig.expect_in_step(8);
    rig.server.pause().unwrap();
    toggle(3);
    rig.expect_log("Redis is not reachable");
    toggle(4);
    rig.server.resume().unwrap();
    rig.expect_in_step(8);
    rig.expect_row("Ethernet0", "up", "up", 1496);
    assert_eq!(rig.orchagent().count("PortInitDone"), 1);
}

#[test]
fn a_short_pause_of_redis_needs_no_new_connection() {
    let rig = at_work_without_audit(8);
    rig.expect_in_step(8);
    rig.server.pause().unwrap();
    toggle(3);
    rig.server.resume().unwrap();
    rig.expect_in_step(8);
    assert_eq!(rig.log_count("Redis is not reachable"), 0);
}

#[test]
fn connections_that_are_cut_are_made_anew() {
    let rig = at_work_without_audit(2);
    rig.expect_in_step(2);
    for (kind, mtu) in [("normal", 1400), ("pubsub", 1300)] {
        redis(&rig, &format!("CLIENT KILL TYPE {kind} SKIPME yes"));
        rig.run(rig.links.set_mtu("Ethernet0", mtu));
        rig.expect_row("Ethernet0", "down", "down", mtu);
    }
    rig.until("two reconnections", || rig.log_count("Redis is back") == 2);
    assert_eq!(rig.orchagent().count("PortConfigDone"), 1);
}

fn refusing(begin: &str, end: &str) {
    let mut rig = at_work_without_audit(8);
    rig.expect_in_step(8);
    redis(&rig, begin);
    toggle(3);
    rig.expect_log("Redis refuses rows");
    assert_eq!(rig.row("Ethernet0")["admin_status"], "down");
    redis(&rig, end);
    rig.expect_in_step(8);
    rig.expect_row("Ethernet0", "up", "up", 1497);
    rig.expect_log("Redis takes rows again");
    assert_eq!(rig.log_count("Redis refuses rows"), 1, "said once");
    assert_eq!(rig.term(), Some(0));
}

#[test]
fn rows_wait_while_redis_is_out_of_memory() {
    refusing("CONFIG SET maxmemory 1", "CONFIG SET maxmemory 0");
}

#[test]
fn rows_wait_while_redis_is_a_replica() {
    refusing("REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE");
}

#[test]
fn rows_wait_while_a_script_keeps_redis_busy() {
    let rig = at_work_without_audit(2);
    rig.expect_in_step(2);
    redis(&rig, "CONFIG SET busy-reply-threshold 20");
    let mut busy = rig.db(0);
    let script = thread::spawn(move || redis::cmd("EVAL").arg("while true do end").arg(0).exec(&mut busy));
    rig.until("Redis to be busy", || redis::cmd("PING").exec(&mut rig.db(0)).is_err());
    rig.up("Ethernet0");
    rig.expect_log("Redis refuses rows");
    redis(&rig, "SCRIPT KILL");
    script.join().unwrap().unwrap_err();
    rig.expect_row("Ethernet0", "up", "up", 1500);
    assert_eq!(rig.log_count("Redis is not reachable"), 0);
}

#[test]
fn a_start_without_memory_goes_on_when_there_is_some() {
    let mut rig = Rig::new(3);
    redis(&rig, "CONFIG SET maxmemory 1");
    rig.start();
    rig.expect_log("OOM");
    redis(&rig, "CONFIG SET maxmemory 0");
    rig.run_orchagent();
    assert_eq!(rig.expect_config_done(), "3");
    rig.add_ports();
    rig.expect_init_done();
    rig.expect_in_step(3);
}

#[test]
fn a_forgotten_script_is_loaded_again() {
    let mut rig = Rig::new(1);
    rig.start();
    rig.expect_config_done();
    redis(&rig, "SCRIPT FLUSH");
    rig.run_orchagent();
    rig.add_ports();
    rig.expect_init_done();
}

/// Loses `keys` of APPL_DB while a stranger writes into a row; everything has to be published again.
fn lost(keys: &[&str]) {
    let mut rig = Rig::new(3);
    rig.set("PORTSYNCD_NETLINK__AUDIT_INTERVAL", "100ms");
    let rig = rig.set_to_work();
    rig.expect_in_step(3);
    rig.until("orchagent to take the marks", || rig.exists(APPL_DB, "PORT_TABLE:PortInitDone"));
    let mut pipeline = redis::pipe();
    pipeline.atomic();
    for key in keys {
        pipeline.del(format!("PORT_TABLE:{key}"));
    }
    pipeline.hset("PORT_TABLE:Ethernet0", "oper_status", "up");
    let () = pipeline.query(&mut rig.db(APPL_DB)).unwrap();
    rig.until("everything again", || {
        rig.orchagent().count("PortConfigDone") == 2 && rig.orchagent().count("PortInitDone") == 2
    });
    rig.expect_in_step(3);
    let seen = rig.orchagent().seen();
    assert!(rig.ports.iter().all(|port| seen.iter().filter(|entry| entry.key == *port).count() == 2), "{seen:?}");
    assert_eq!(rig.hash(APPL_DB, "PORT_TABLE:PortConfigDone")["count"], "3");
}

#[test]
fn an_emptied_appl_db_is_filled_anew_though_a_stranger_wrote_to_it() {
    lost(&["Ethernet0", "Ethernet4", "Ethernet8", "PortConfigDone", "PortInitDone"]);
}

#[test]
fn the_mark_of_published_ports_is_never_lost_alone() {
    lost(&["PortConfigDone"]);
}

#[test]
fn an_appl_db_that_is_emptied_between_the_marks_is_filled_anew() {
    let mut rig = Rig::new(2);
    rig.set("PORTSYNCD_NETLINK__AUDIT_INTERVAL", "100ms");
    rig.start();
    rig.run_orchagent();
    rig.expect_config_done();
    rig.run(rig.links.add_veth("Ethernet0", "cable0"));
    rig.expect_row("Ethernet0", "down", "down", 1500);
    let () = redis::cmd("FLUSHDB").query(&mut rig.db(APPL_DB)).unwrap();
    rig.until("PortConfigDone again", || rig.orchagent().count("PortConfigDone") == 2);
    rig.run(rig.links.add_veth("Ethernet4", "cable4"));
    rig.expect_init_done();
    rig.expect_in_step(2);
}
