//! What goes wrong: messages lost, the end in the middle of work, rows of another type, others' hands in the rows.
//! Whatever happened, in the end Redis equals the kernel.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::fixture::Rig;
use crate::fixture::watcher::Watcher;
use crate::fixture::wreck::{all_links, at_work_with_audit, at_work_without_audit, toggle};
use nix::sys::signal::Signal;
use portsyncd::lab::links::Links;
use portsyncd::lab::redis_server::{APPL_DB, CONFIG_DB, STATE_DB};
use redis::Commands;

#[test]
fn an_overrun_is_followed_by_a_comparison() {
    let mut rig = Rig::new(200);
    rig.set("PORTSYNCD_NETLINK__AUDIT_INTERVAL", "0s");
    rig.set("PORTSYNCD_NETLINK__RECEIVE_BUFFER", "2048");
    let rig = rig.set_to_work();
    toggle(20);
    rig.expect_log("the kernel had to drop link messages");
    rig.expect_in_step(200);
    rig.run(rig.links.delete("Ethernet0"));
    all_links("down");
    rig.expect_in_step(199);
}

/// The kernel drops what is new while it keeps what is old, and says so once: only when everything old was read may the
/// comparison begin.
#[test]
fn what_was_queued_before_an_overrun_does_not_undo_the_comparison() {
    let mut rig = Rig::new(500);
    rig.set("PORTSYNCD_NETLINK__AUDIT_INTERVAL", "0s");
    rig.set("PORTSYNCD_NETLINK__RECEIVE_BUFFER", "2097152");
    let rig = rig.set_to_work();
    rig.expect_in_step(500);
    rig.signal(Signal::SIGSTOP);
    // No carrier changes, which the kernel would tell of later, and so once more.
    for n in 1..=20 {
        all_links(&format!("mtu {}", 1500 - n));
    }
    rig.signal(Signal::SIGCONT);
    rig.expect_log("the kernel had to drop link messages");
    rig.expect_in_step(500);
    rig.expect_row("Ethernet0", "down", "down", 1480);
}

#[test]
fn ports_that_flap_as_fast_as_the_kernel_allows_are_followed() {
    let rig = at_work_without_audit(32);
    toggle(50);
    rig.expect_in_step(32);
    rig.expect_row("Ethernet0", "up", "up", 1450);
}

#[test]
fn an_interrupted_dump_is_repeated() {
    let mut rig = Rig::new(128);
    rig.set("PORTSYNCD_NETLINK__AUDIT_INTERVAL", "0s");
    rig.set("PORTSYNCD_LOG__LEVEL", "info");
    let mut rig = rig.set_to_work();
    rig.expect_in_step(128);
    let ended = Arc::new(AtomicBool::new(false));
    let end = Arc::clone(&ended);
    // A thread is born into the namespace of its parent.
    let churn = thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let links = Links::open().unwrap();
            while !end.load(Ordering::Relaxed) {
                links.add_ifb("aaa").await.unwrap();
                links.set_mtu("Ethernet0", 1400).await.unwrap();
                links.delete("aaa").await.unwrap();
                links.set_mtu("Ethernet0", 1300).await.unwrap();
            }
        });
    });
    let mut interrupted = 0;
    for _ in 0..200 {
        rig.crash();
        rig.start();
        rig.expect_log("start kind=Live");
        interrupted += usize::from(rig.log_count("the dump is not complete") > 0);
        if interrupted > 2 {
            break;
        }
    }
    rig.run(rig.links.delete("Ethernet4"));
    ended.store(true, Ordering::Relaxed);
    churn.join().unwrap();
    assert!(interrupted > 0, "no dump was ever interrupted");
    rig.expect_in_step(127);
    rig.expect_row("Ethernet0", "down", "down", 1300);
}

#[test]
fn a_row_of_another_type_is_reported_once_and_stops_no_other_port() {
    let rig = at_work_with_audit(3);
    rig.expect_in_step(3);
    let () = rig.db(STATE_DB).set("PORT_TABLE|Ethernet0", "text").unwrap();
    for mtu in [1400, 1300, 1200] {
        rig.run(rig.links.set_mtu("Ethernet0", mtu));
        rig.run(rig.links.set_mtu("Ethernet4", mtu));
        rig.expect_row("Ethernet4", "down", "down", mtu);
    }
    let error = |rig: &Rig| {
        let log = rig.log();
        log.lines().filter(|line| line.contains("ERROR") && line.contains("PORT_TABLE|Ethernet0")).count()
    };
    rig.until("the error", || error(&rig) > 0);
    assert_eq!(error(&rig), 1);
    let () = rig.db(STATE_DB).del("PORT_TABLE|Ethernet0").unwrap();
    rig.expect_in_step(3);
    assert_eq!(error(&rig), 1);
}

#[test]
fn sigterm_under_load_writes_what_the_kernel_said_before() {
    let mut rig = at_work_without_audit(500);
    toggle(3);
    // Nothing that the kernel does later than this command, as with the state of a carrier.
    all_links("mtu 1333");
    assert_eq!(rig.term(), Some(0));
    let rows = rig.state_rows().unwrap();
    let late = rows.iter().filter(|(_, row)| row["mtu"] != "1333").count();
    assert_eq!((rows.len(), late), (500, 0));
}

#[test]
fn a_second_signal_ends_at_once() {
    let mut rig = Rig::new(2);
    rig.set("PORTSYNCD_SHUTDOWN__GRACE", "1h");
    rig.set("PORTSYNCD_REDIS__RESPONSE_TIMEOUT", "1h");
    let mut rig = rig.set_to_work();
    rig.expect_in_step(2);
    rig.server.pause().unwrap();
    rig.up("Ethernet0");
    rig.signal(Signal::SIGTERM);
    rig.expect_log("told to end");
    assert!(rig.is_running());
    rig.signal(Signal::SIGINT);
    assert_eq!(rig.exit_status().code(), Some(1));
    rig.server.resume().unwrap();
}

#[test]
fn what_redis_does_not_take_within_the_grace_is_given_up_and_said() {
    let mut rig = Rig::new(2);
    rig.set("PORTSYNCD_SHUTDOWN__GRACE", "100ms");
    let mut rig = rig.set_to_work();
    rig.expect_in_step(2);
    rig.server.kill();
    rig.up("Ethernet0");
    rig.expect_log("Redis is not reachable");
    rig.expect_log("admin=\"up\"");
    assert_eq!(rig.term(), Some(1));
    assert_eq!(rig.log_count("ended with rows that Redis did not take"), 1);
}

#[test]
fn sigterm_before_redis_was_ever_there_ends_cleanly() {
    let mut rig = Rig::new(2);
    rig.set("PORTSYNCD_SHUTDOWN__GRACE", "100ms");
    rig.server.kill();
    rig.start();
    rig.expect_log("Redis is not reachable");
    assert_eq!(rig.term(), Some(0));
}

#[test]
fn the_audit_mends_what_others_did_to_our_fields_and_leaves_what_is_theirs() {
    let rig = at_work_with_audit(3);
    rig.expect_in_step(3);
    let mut state = rig.db(STATE_DB);
    let () = state.hset("PORT_TABLE|Ethernet0", "mtu", "1").unwrap();
    let () = state.hset("PORT_TABLE|Ethernet0", "fec", "rs").unwrap();
    let () = state.del("PORT_TABLE|Ethernet4").unwrap();
    let () = state.hdel("PORT_TABLE|Ethernet8", "state").unwrap();
    let stale =
        [("state", "ok"), ("netdev_oper_status", "up"), ("admin_status", "up"), ("mtu", "9100"), ("speed", "1")];
    let () = state.hset_multiple("PORT_TABLE|Ethernet96", &stale).unwrap();
    let () = state.hset_multiple("PORT_TABLE|Ethernet96.5", &stale).unwrap();
    let () = state.hset_multiple("PORT_TABLE|foreign", &stale).unwrap();
    let () = state.hset("PORT_TABLE|Ethernet92", "fec", "rs").unwrap();
    rig.expect_row("Ethernet0", "down", "down", 1500);
    rig.expect_row("Ethernet4", "down", "down", 1500);
    rig.expect_row("Ethernet8", "down", "down", 1500);
    rig.expect_no_row("Ethernet96");
    assert_eq!(rig.row("Ethernet96.5").len(), 5);
    assert_eq!(rig.row("foreign").len(), 5);
    assert_eq!(rig.row("Ethernet92")["fec"], "rs");
    assert_eq!(rig.row("Ethernet0")["fec"], "rs");
    rig.expect_log("audit found rows that differed");
}

#[test]
fn an_audit_that_finds_nothing_writes_nothing() {
    let rig = at_work_with_audit(2);
    rig.expect_in_step(2);
    let watcher = Watcher::start(&rig.server);
    let audits = || watcher.commands().iter().filter(|line| line.contains("\"SCAN\"")).count();
    rig.until("three audits", || audits() >= 3);
    let lines = watcher.all(&rig.server, "the end");
    let verbs = ["\"HSET\"", "\"DEL\"", "\"HDEL\"", "EVALSHA", "\"SET\""];
    let writes = lines.iter().filter(|line| line.contains("[6 ") && verbs.iter().any(|verb| line.contains(verb)));
    assert_eq!(writes.count(), 0, "{lines:#?}");
}

#[test]
fn a_lost_init_done_is_said_again() {
    let rig = at_work_with_audit(2);
    rig.expect_in_step(2);
    rig.until("orchagent to take it", || rig.exists(APPL_DB, "PORT_TABLE:PortInitDone"));
    let () = rig.db(APPL_DB).del("PORT_TABLE:PortInitDone").unwrap();
    rig.until("PortInitDone again", || rig.orchagent().count("PortInitDone") == 2);
}

#[test]
fn a_port_that_cannot_be_published_stops_no_other() {
    let mut rig = Rig::new(3);
    let () = rig.db(APPL_DB).set("_PORT_TABLE:Ethernet4", "text").unwrap();
    rig.start();
    rig.expect_config_done();
    assert!(!rig.mark("Ethernet8").is_empty());
    let errors = || rig.log().lines().filter(|line| line.contains("ERROR") && line.contains("Ethernet4")).count();
    rig.until("the error", || errors() > 0);
    assert_eq!(errors(), 1, "{}", rig.log());
}

#[test]
fn rows_of_another_type_that_are_read_at_the_start_stop_nothing() {
    for (db, key) in [
        (CONFIG_DB, "LOGGER|portsyncd"),
        (CONFIG_DB, "DEVICE_METADATA|localhost"),
        (STATE_DB, "WARM_RESTART_ENABLE_TABLE|system"),
        (STATE_DB, "WARM_RESTART_TABLE|portsyncd"),
    ] {
        let mut rig = Rig::new(1);
        let () = rig.db(db).set(key, "text").unwrap();
        rig.start();
        rig.until(&format!("PortConfigDone in spite of {key}"), || !rig.mark("PortConfigDone").is_empty());
    }
}

#[test]
fn sigterm_writes_what_the_kernel_had_said_though_much_of_it_was_not_read() {
    let mut rig = at_work_without_audit(500);
    rig.expect_in_step(500);
    rig.signal(Signal::SIGSTOP);
    all_links("mtu 1444");
    all_links("mtu 1333");
    rig.signal(Signal::SIGTERM);
    rig.signal(Signal::SIGCONT);
    assert_eq!(rig.exit_status().code(), Some(0));
    let rows = rig.state_rows().unwrap();
    let late = rows.iter().filter(|(_, row)| row["mtu"] != "1333").count();
    assert_eq!((rows.len(), late), (500, 0));
}
