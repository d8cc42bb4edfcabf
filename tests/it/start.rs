//! How the daemon starts: cold, warm, on a DPU, alone on a live switch, without ports, before Redis.

use crate::fixture::Rig;
use crate::fixture::watcher::Watcher;
use nix::sys::signal::Signal;
use portsyncd::api::{Start, Status};
use portsyncd::lab::redis_server::{APPL_DB, CONFIG_DB, STATE_DB};
use redis::Commands;

fn set_warm(rig: &Rig, whose: &str) {
    let key = format!("WARM_RESTART_ENABLE_TABLE|{whose}");
    let () = rig.db(STATE_DB).hset(key, "enable", "true").unwrap();
}

fn set_restore_count(rig: &Rig, count: &str) {
    let key = "WARM_RESTART_TABLE|portsyncd";
    let () = rig.db(STATE_DB).hset(key, "restore_count", count).unwrap();
}

fn expect_restore_count(rig: &Rig, count: &str) {
    rig.until(&format!("restore_count {count}"), || {
        rig.hash(STATE_DB, "WARM_RESTART_TABLE|portsyncd").get("restore_count").is_some_and(|found| found == count)
    });
}

fn position(lines: &[String], parts: &[&str]) -> usize {
    let found = lines.iter().position(|line| parts.iter().all(|part| line.contains(part)));
    found.unwrap_or_else(|| panic!("no line with {parts:?} in {lines:#?}"))
}

fn count(lines: &[String], parts: &[&str]) -> usize {
    lines.iter().filter(|line| parts.iter().all(|part| line.contains(part))).count()
}

#[test]
fn a_cold_start_publishes_ports_then_config_done_then_rows_then_init_done_once() {
    let mut rig = Rig::new(4);
    let watcher = Watcher::start(&rig.server);
    rig.start();
    assert_eq!(rig.expect_config_done(), "4");
    rig.run_orchagent();
    rig.add_ports();
    rig.expect_init_done();
    rig.expect_in_step(4);

    let lines = watcher.all(&rig.server, "the end");
    let config_done = position(&lines, &["EVALSHA", "\"PortConfigDone\"", "\"count\" \"4\""]);
    let init_done = position(&lines, &["EVALSHA", "\"PortInitDone\"", "\"lanes\" \"0\""]);
    for port in &rig.ports {
        let name = format!("\"{port}\"");
        assert!(position(&lines, &["EVALSHA", &name]) < config_done);
        assert!(position(&lines, &["\"HSET\"", &format!("PORT_TABLE|{port}\"")]) < init_done);
        assert_eq!(count(&lines, &["EVALSHA", &name]), 1, "{port} published once");
    }
    assert_eq!(count(&lines, &["EVALSHA", "\"PortConfigDone\""]), 1);
    assert_eq!(count(&lines, &["EVALSHA", "\"PortInitDone\""]), 1);
    assert!(config_done < init_done);

    let fields = |all: &[(&str, &str)]| -> crate::fixture::Fields {
        all.iter().map(|(field, value)| ((*field).to_owned(), (*value).to_owned())).collect()
    };
    let logger = fields(&[("LOGLEVEL", "NOTICE"), ("LOGOUTPUT", "SYSLOG")]);
    rig.until("the defaults of LOGGER", || rig.hash(CONFIG_DB, "LOGGER|portsyncd") == logger);
    let warm = fields(&[("restore_count", "0")]);
    rig.until("restore_count and no more", || rig.hash(STATE_DB, "WARM_RESTART_TABLE|portsyncd") == warm);
    assert_eq!(rig.term(), Some(0));
}

#[test]
fn a_row_is_one_hset_with_the_fields_in_upstreams_order() {
    let mut rig = Rig::new(1);
    rig.start();
    rig.expect_config_done();
    rig.put_appl_row("Ethernet0");
    let watcher = Watcher::start(&rig.server);
    rig.add_ports();
    rig.expect_row("Ethernet0", "down", "down", 1500);
    let lines = watcher.all(&rig.server, "the end");
    let wanted = "\"HSET\" \"PORT_TABLE|Ethernet0\" \"state\" \"ok\" \"netdev_oper_status\" \"down\" \"admin_status\" \"down\" \"mtu\" \"1500\"";
    assert_eq!(count(&lines, &[wanted]), 1, "{lines:#?}");
}

#[test]
fn ports_are_published_verbatim_but_for_the_mark_of_a_list() {
    let mut rig = Rig::new(0);
    let value: &[u8] = b"a\r\n\0\xff|:@ \"'";
    let mut config = rig.db(CONFIG_DB);
    let () = config.hset("PORT|Ethernet0", "description", value).unwrap();
    let () = config.hset("PORT|Ethernet0", b"odd\xfe", "").unwrap();
    let () = config.hset("PORT|Ethernet0", "lanes@", "1,2,3").unwrap();
    let () = config.hset("PORT|Ethernet4", "NULL", "NULL").unwrap();
    rig.start();
    assert_eq!(rig.expect_config_done(), "2");
    let temporary: std::collections::BTreeMap<Vec<u8>, Vec<u8>> =
        rig.db(APPL_DB).hgetall("_PORT_TABLE:Ethernet0").unwrap();
    assert_eq!(temporary.len(), 3);
    assert_eq!(temporary[b"description".as_slice()], value);
    assert_eq!(temporary[b"odd\xfe".as_slice()], b"");
    assert_eq!(temporary[b"lanes".as_slice()], b"1,2,3");
    assert_eq!(rig.mark("Ethernet4")["NULL"], "NULL");
}

#[test]
fn keys_that_are_no_ports_are_left_out_of_publishing_and_count() {
    let mut rig = Rig::new(2);
    let mut config = rig.db(CONFIG_DB);
    for key in [b"PORT|".as_slice(), b"PORT|Ethernet0|1", b"PORT|Ether\0net", b"PORTCHANNEL|PortChannel1"] {
        let () = config.hset(key, "mtu", "1").unwrap();
    }
    let () = config.set("PORT|Ethernet99", "text").unwrap();
    rig.start();
    assert_eq!(rig.expect_config_done(), "2");
    let mut waiting: Vec<String> = rig.db(APPL_DB).smembers("PORT_TABLE_KEY_SET").unwrap();
    waiting.sort();
    assert_eq!(waiting, ["Ethernet0", "Ethernet4", "PortConfigDone"]);
    rig.expect_log("that are no ports");
    assert_eq!(rig.log_count("that are no ports"), 1);
}

#[test]
fn links_from_before_a_cold_start_are_set_down_and_ignored_until_deleted() {
    let mut rig = Rig::new(2);
    rig.add_ports();
    rig.run(rig.links.set_admin_many(&rig.ports, true));
    rig.run(rig.links.add_ifb("PortChannel1"));
    rig.up("PortChannel1");
    for name in ["Ethernet0", "Ethernet4", "PortChannel1"] {
        rig.put_appl_row(name);
    }
    rig.start();
    rig.expect_config_done();
    rig.until("the old links to be down", || rig.ports.iter().all(|port| !rig.link(port).admin_up));
    rig.expect_row("PortChannel1", "up", "up", 1500);
    rig.run(rig.links.set_mtu("Ethernet0", 1400));
    rig.up("Ethernet4");
    // What came later is there, so the earlier messages were read too.
    rig.run(rig.links.set_mtu("PortChannel1", 1300));
    rig.expect_row("PortChannel1", "up", "up", 1300);
    assert!(rig.row("Ethernet0").is_empty() && rig.row("Ethernet4").is_empty());
    assert!(rig.mark("PortInitDone").is_empty());

    rig.run(rig.links.delete("Ethernet0"));
    rig.run(rig.links.add_veth("Ethernet0", "cable0"));
    rig.expect_row("Ethernet0", "down", "down", 1500);
    assert!(rig.row("Ethernet4").is_empty());
    assert_eq!(rig.term(), Some(0));
    assert!(rig.link("Ethernet4").admin_up, "only the start sets links down");
}

#[test]
fn ports_known_to_orchagent_before_the_start_are_not_waited_for() {
    let mut rig = Rig::new(2);
    let () = rig.db(APPL_DB).hset("PORT_TABLE:Ethernet0", "admin_status", "up").unwrap();
    rig.start();
    rig.expect_config_done();
    rig.put_appl_row("Ethernet4");
    rig.run(rig.links.add_veth("Ethernet4", "cable4"));
    rig.expect_init_done();
    assert!(rig.row("Ethernet0").is_empty());
}

#[test]
fn a_configured_port_that_an_old_link_holds_is_not_in_step() {
    let mut rig = Rig::new(1);
    let () = rig.db(APPL_DB).hset("PORT_TABLE:Ethernet0", "admin_status", "up").unwrap();
    rig.add_ports();
    rig.start();
    rig.expect_init_done();
    let readiness =
        |rig: &Rig| crate::fixture::http::get(rig.http(), "/readyz").map(|answer| answer.body).unwrap_or_default();
    rig.until("readyz to name it", || readiness(&rig).contains("Ethernet0 (ignored"));
    rig.expect_metric("portsyncd_health_score", |score| score < 100.0);
    rig.run(rig.links.delete("Ethernet0"));
    rig.run(rig.links.add_veth("Ethernet0", "cable0"));
    rig.expect_row("Ethernet0", "down", "down", 1500);
    rig.until("readyz to be content", || !readiness(&rig).contains("Ethernet0"));
    rig.expect_metric("portsyncd_health_score", |score| score > 99.0);
}

#[test]
fn a_dpu_keeps_its_links() {
    let mut rig = Rig::new(2);
    let () = rig.db(CONFIG_DB).hset("DEVICE_METADATA|localhost", "switch_type", "dpu").unwrap();
    rig.add_ports();
    rig.run(rig.links.set_admin_many(&rig.ports, true));
    rig.start();
    assert_eq!(rig.expect_config_done(), "2");
    rig.run_orchagent();
    rig.expect_init_done();
    rig.expect_row("Ethernet0", "up", "up", 1500);
    rig.expect_in_step(2);
    expect_restore_count(&rig, "0");
}

fn warm_start(whose: &str) {
    let mut rig = Rig::new(2);
    rig.add_ports();
    rig.run(rig.links.set_admin_many(&rig.ports, true));
    set_warm(&rig, whose);
    set_restore_count(&rig, "3");
    rig.put_appl_row("Ethernet0");
    let watcher = Watcher::start(&rig.server);
    rig.start();
    expect_restore_count(&rig, "4");
    rig.expect_row("Ethernet0", "up", "up", 1500);
    assert!(rig.mark("PortInitDone").is_empty());
    rig.put_appl_row("Ethernet4");
    rig.expect_init_done();
    rig.expect_in_step(2);
    let lines = watcher.all(&rig.server, "the end");
    assert_eq!(count(&lines, &["EVALSHA", "\"G\""]), 1, "only PortInitDone is published: {lines:#?}");
    assert!(rig.ports.iter().all(|port| rig.link(port).admin_up));
    assert!(!rig.hash(STATE_DB, "WARM_RESTART_TABLE|portsyncd").contains_key("state"));
    assert_eq!(rig.term(), Some(0));
}

#[test]
fn a_warm_start_by_the_flag_of_swss_publishes_nothing_and_counts() {
    warm_start("swss");
}

#[test]
fn a_warm_start_by_the_flag_of_the_system_publishes_nothing_and_counts() {
    warm_start("system");
}

#[test]
fn a_warm_flag_without_restore_count_is_a_cold_start() {
    let mut rig = Rig::new(1);
    rig.add_ports();
    rig.up("Ethernet0");
    set_warm(&rig, "swss");
    rig.start();
    assert_eq!(rig.expect_config_done(), "1");
    expect_restore_count(&rig, "0");
    rig.until("the old link to be down", || !rig.link("Ethernet0").admin_up);
}

#[test]
fn a_warm_flag_with_a_restore_count_that_is_no_number_is_a_cold_start() {
    let mut rig = Rig::new(1);
    set_warm(&rig, "system");
    set_restore_count(&rig, "many");
    rig.start();
    assert_eq!(rig.expect_config_done(), "1");
    expect_restore_count(&rig, "0");
    rig.expect_log("restore_count");
    assert!(rig.log().contains("WARN"));
}

#[test]
fn a_restore_count_without_a_flag_is_a_cold_start() {
    let mut rig = Rig::new(1);
    set_restore_count(&rig, "7");
    let () = rig.db(STATE_DB).hset("WARM_RESTART_ENABLE_TABLE|swss", "enable", "false").unwrap();
    rig.start();
    assert_eq!(rig.expect_config_done(), "1");
    expect_restore_count(&rig, "0");
}

/// `ip monitor`, until dropped.
struct Listener(std::process::Child);

impl Listener {
    fn start(output: &std::path::Path) -> Self {
        let mut ip = std::process::Command::new("ip");
        ip.args(["-o", "monitor", "link"]);
        Self(ip.stdout(std::fs::File::create(output).unwrap()).spawn().unwrap())
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_live_restart_touches_no_link_and_publishes_everything_again() {
    let mut rig = Rig::at_work(3);
    rig.run(rig.links.set_admin_many(&rig.ports, true));
    // The kernel tells of carriers when it likes.
    rig.until("all carriers", || {
        rig.run(rig.links.list()).iter().filter(|link| link.kind.as_deref() == Some("veth")).all(|link| link.running)
    });
    rig.expect_in_step(3);
    let mut starts = 1;
    for end in [Signal::SIGTERM, Signal::SIGKILL] {
        rig.signal(end);
        rig.exit_status();
        // What changed meanwhile is found.
        rig.run(rig.links.set_mtu("Ethernet4", if end == Signal::SIGTERM { 1400 } else { 1300 }));
        let watcher = Watcher::start(&rig.server);
        let ip = Listener::start(&rig.dir().join("links"));
        let told = || std::fs::read_to_string(rig.dir().join("links")).unwrap();
        let mut mtu = 1000;
        rig.until("ip to listen", || {
            mtu += 1;
            rig.run(rig.links.set_mtu("cable8", mtu));
            !told().is_empty()
        });
        rig.start();
        rig.expect_in_step(3);
        rig.expect_log("start kind=Live");
        starts += 1;
        rig.until("PortInitDone again", || rig.orchagent().count("PortInitDone") == starts);
        // Later than anything the start could have done to links.
        rig.run(rig.links.set_mtu("Ethernet0", if end == Signal::SIGTERM { 1200 } else { 1100 }));
        rig.expect_in_step(3);
        let lines = watcher.all(&rig.server, "the end");
        let config_done = position(&lines, &["EVALSHA", "\"PortConfigDone\"", "\"count\" \"3\""]);
        let init_done = position(&lines, &["EVALSHA", "\"PortInitDone\"", "\"lanes\" \"0\""]);
        assert!(config_done < init_done);
        for port in &rig.ports {
            let name = format!("\"{port}\"");
            assert!(position(&lines, &["EVALSHA", &name]) < config_done, "{lines:#?}");
            let rows = if port == "Ethernet0" { 2 } else { 1 };
            let row = format!("PORT_TABLE|{port}\"");
            assert_eq!(count(&lines, &["\"HSET\"", &row]), rows, "{port}: once at the start: {lines:#?}");
        }
        let told = || std::fs::read_to_string(rig.dir().join("links")).unwrap();
        rig.until("ip to tell of the change", || told().contains(": Ethernet0@"));
        drop(ip);
        let told = told();
        assert!(told.lines().all(|line| line.contains(",UP")), "{told}");
        assert!(rig.ports.iter().all(|port| rig.link(port).admin_up));
    }
    assert_eq!(rig.orchagent().count("PortConfigDone"), starts);
}

#[test]
fn a_crash_before_init_done_is_followed_by_a_live_start() {
    for consumed in [true, false] {
        let mut rig = Rig::new(3);
        rig.start();
        rig.expect_config_done();
        if consumed {
            rig.run_orchagent();
            rig.until("orchagent to take it", || rig.exists(APPL_DB, "PORT_TABLE:PortConfigDone"));
        } else {
            rig.put_appl_row("Ethernet0");
        }
        for port in ["Ethernet0", "Ethernet4"] {
            rig.run(rig.links.add_ifb(port));
            rig.up(port);
        }
        rig.expect_row("Ethernet0", "up", "up", 1500);
        rig.crash();
        rig.start();
        rig.expect_log("start kind=Live");
        rig.run(rig.links.set_mtu("Ethernet0", 1400));
        rig.expect_row("Ethernet0", "up", "up", 1400);
        assert!(rig.link("Ethernet0").admin_up && rig.link("Ethernet4").admin_up, "consumed {consumed}");
        assert!(rig.mark("PortInitDone").is_empty(), "Ethernet8 is missing");
        rig.run(rig.links.add_ifb("Ethernet8"));
        if !consumed {
            rig.run_orchagent();
        }
        rig.expect_init_done();
        rig.expect_in_step(3);
    }
}

#[test]
fn without_ports_in_config_db_nothing_is_published_over_full_tables() {
    for warm in [false, true] {
        let mut rig = Rig::at_work(3);
        rig.run(rig.links.set_admin_many(&rig.ports, true));
        rig.expect_in_step(3);
        rig.crash();
        if warm {
            set_warm(&rig, "swss");
        }
        let mut config = rig.db(CONFIG_DB);
        for port in &rig.ports {
            let () = config.del(format!("PORT|{port}")).unwrap();
        }
        let watcher = Watcher::start(&rig.server);
        rig.start();
        rig.expect_log("APPL_DB has ports and CONFIG_DB has none");
        rig.run(rig.links.set_mtu("Ethernet0", 1400));
        rig.expect_in_step(3);
        let mut readiness = String::new();
        rig.until("readyz to say it", || {
            readiness = crate::fixture::http::get(rig.http(), "/readyz").map(|answer| answer.body).unwrap_or_default();
            readiness.contains("CONFIG_DB has none")
        });
        let lines = watcher.all(&rig.server, "empty");
        assert_eq!(count(&lines, &["EVALSHA", "\"G\""]), 0, "{lines:#?}");
        rig.seed(3);
        rig.until("PortInitDone again", || rig.orchagent().count("PortInitDone") == 2);
        assert_eq!(rig.orchagent().count("PortConfigDone"), if warm { 1 } else { 2 });
        rig.expect_in_step(3);
        assert!(rig.ports.iter().all(|port| rig.link(port).admin_up));
    }
}

#[test]
fn a_cold_start_without_ports_in_config_db_is_decided_once_there_are_some() {
    let mut rig = Rig::new(0);
    rig.put_appl_row("Ethernet0");
    rig.run(rig.links.add_veth("Ethernet0", "cable0"));
    rig.up("Ethernet0");
    rig.start();
    rig.expect_log("APPL_DB has ports and CONFIG_DB has none");
    assert!(rig.link("Ethernet0").admin_up);
    let () = rig.db(CONFIG_DB).hset("DEVICE_METADATA|localhost", "switch_type", "dpu").unwrap();
    rig.seed(1);
    assert_eq!(rig.expect_config_done(), "1");
    rig.expect_log("start kind=Dpu");
    rig.expect_init_done();
    assert!(rig.link("Ethernet0").admin_up, "a DPU keeps its links");
}

#[test]
fn the_count_follows_config_db() {
    let mut rig = Rig::at_work(3);
    let count = |rig: &Rig| rig.hash(APPL_DB, "PORT_TABLE:PortConfigDone")["count"].clone();
    assert_eq!(count(&rig), "3");
    let watcher = Watcher::start(&rig.server);
    let mut config = rig.db(CONFIG_DB);
    // A breakout: one port goes, two come.
    let () = config.del("PORT|Ethernet0").unwrap();
    for port in ["Ethernet1", "Ethernet2"] {
        let () = config.hset(format!("PORT|{port}"), "lanes", "1").unwrap();
    }
    rig.until("the new count", || count(&rig) == "4");
    // No port, and no change of the number.
    let () = config.set("PORT|Ethernet3", "text").unwrap();
    let () = config.hset("PORT|Ethernet1", "mtu", "9100").unwrap();
    let () = config.hset("PORT|Ethernet5", "lanes", "1").unwrap();
    rig.until("the next count", || count(&rig) == "5");
    let lines = watcher.all(&rig.server, "the end");
    let published = lines.iter().filter(|line| line.contains("EVALSHA") && line.contains("\"G\""));
    let others: Vec<_> = published.filter(|line| !line.contains("PortConfigDone")).collect();
    assert!(others.is_empty(), "rows of ports are portmgrd's: {others:#?}");
    for port in ["Ethernet0", "Ethernet1", "Ethernet2", "Ethernet4", "Ethernet5", "Ethernet8"] {
        let () = config.del(format!("PORT|{port}")).unwrap();
    }
    let () = config.hset("PORT|Ethernet12", "lanes", "1").unwrap();
    rig.until("one port", || count(&rig) == "1");
    let () = config.del("PORT|Ethernet12").unwrap();
    // Nothing is said of a CONFIG_DB without ports, as while it is loaded.
    rig.crash();
    rig.start();
    rig.expect_log("APPL_DB has ports and CONFIG_DB has none");
    assert_eq!(count(&rig), "1");
}

#[test]
fn the_count_follows_config_db_by_the_audit_where_nothing_is_told_and_after_a_warm_start() {
    let mut rig = Rig::at_work(3);
    rig.crash();
    set_warm(&rig, "system");
    let () = redis::cmd("CONFIG").arg("SET").arg("notify-keyspace-events").arg("").query(&mut rig.db(0)).unwrap();
    rig.set("PORTSYNCD_NETLINK__AUDIT_INTERVAL", "100ms");
    rig.start();
    rig.until("PortInitDone again", || rig.orchagent().count("PortInitDone") == 2);
    let () = rig.db(CONFIG_DB).hset("PORT|Ethernet12", "lanes", "1").unwrap();
    rig.until("the new count", || rig.hash(APPL_DB, "PORT_TABLE:PortConfigDone")["count"] == "4");
    let () = rig.db(APPL_DB).hset("PORT_TABLE:PortConfigDone", "count", "7").unwrap();
    rig.until("the right count", || rig.hash(APPL_DB, "PORT_TABLE:PortConfigDone")["count"] == "4");
}

#[test]
fn init_done_waits_until_config_done_is_taken_or_a_second_has_passed() {
    let mut rig = Rig::at_work(3);
    let popped = rig.orchagent().seen().len();
    rig.stop_orchagent();
    rig.crash();
    let watcher = Watcher::start(&rig.server);
    rig.start();
    // Nobody takes anything.
    rig.until("PortInitDone", || rig.exists(APPL_DB, "_PORT_TABLE:PortInitDone"));
    let lines = watcher.all(&rig.server, "the end");
    let looks = count(&lines, &["SISMEMBER", "PortConfigDone"]);
    assert!(looks > 3, "looked whether it was taken: {looks}");
    rig.crash();
    rig.run_orchagent();
    rig.until("orchagent to take what is left", || rig.orchagent().count("PortInitDone") > 0);
    rig.stop_orchagent();
    // One key at a time, in random order: the first mark is taken long before the second is there.
    rig.run_slow_orchagent();
    rig.start();
    rig.until("PortInitDone", || rig.orchagent().count("PortInitDone") > 0);
    let seen = rig.orchagent().seen();
    let at = |key: &str| seen.iter().position(|entry| entry.key == key).unwrap();
    assert!(popped > 0 && at("PortConfigDone") < at("PortInitDone"), "{seen:?}");
}

#[test]
fn the_field_of_logger_that_is_missing_is_filled_in() {
    for (there, value, missing, default) in
        [("LOGLEVEL", "DEBUG", "LOGOUTPUT", "SYSLOG"), ("LOGOUTPUT", "STDERR", "LOGLEVEL", "NOTICE")]
    {
        let mut rig = Rig::new(1);
        let () = rig.db(CONFIG_DB).hset("LOGGER|portsyncd", there, value).unwrap();
        rig.start();
        rig.expect_config_done();
        let logger = rig.hash(CONFIG_DB, "LOGGER|portsyncd");
        assert_eq!((logger[there].as_str(), logger[missing].as_str()), (value, default));
    }
}

#[test]
fn an_empty_config_db_is_no_obstacle() {
    let mut rig = Rig::new(0);
    rig.start();
    assert_eq!(rig.expect_config_done(), "0");
    rig.expect_init_done();
    rig.put_appl_row("Ethernet0");
    rig.run(rig.links.add_veth("Ethernet0", "cable0"));
    rig.expect_row("Ethernet0", "down", "down", 1500);
    assert_eq!(rig.term(), Some(0));
}

#[test]
fn ports_of_config_db_at_run_time_are_followed_only_if_wanted() {
    let mut rig = Rig::new(1);
    rig.set("PORTSYNCD_PORTS__FOLLOW_CONFIG_DB", "true");
    rig.start();
    rig.expect_config_done();
    rig.run_orchagent();
    rig.add_ports();
    rig.expect_init_done();
    let () = rig.db(CONFIG_DB).hset("PORT|Ethernet4", "mtu", "4321").unwrap();
    rig.until("the new port in APPL_DB", || rig.hash(APPL_DB, "PORT_TABLE:Ethernet4").contains_key("mtu"));
    assert_eq!(rig.hash(APPL_DB, "PORT_TABLE:Ethernet4")["mtu"], "4321");
}

#[test]
fn management_ports_have_rows_only_if_wanted() {
    let mut rig = Rig::new(0);
    rig.set("PORTSYNCD_PORTS__MANAGEMENT", "true");
    rig.run(rig.links.add_ifb("eth7"));
    rig.up("eth7");
    rig.start();
    rig.until("the row of eth7", || {
        rig.hash(STATE_DB, "MGMT_PORT_TABLE|eth7").get("oper_status").is_some_and(|status| status == "up")
    });
    assert!(rig.link("eth7").admin_up);
}

#[test]
fn redis_may_come_later_than_the_daemon() {
    let mut rig = Rig::new(2);
    rig.server.kill();
    rig.start();
    rig.expect_log("Redis is not reachable");
    // Links that came while it waited are no old links.
    rig.add_ports();
    rig.up("Ethernet0");
    rig.server.restart().unwrap();
    rig.seed(2);
    // The daemon may have come between the server and its contents.
    rig.run_orchagent();
    for port in &rig.ports {
        rig.put_appl_row(port);
    }
    rig.expect_in_step(2);
    rig.expect_row("Ethernet0", "up", "up", 1500);
    assert_eq!(rig.log_count("Redis is not reachable"), 1);
    assert!(rig.link("Ethernet0").admin_up);
    assert_eq!(rig.term(), Some(0));
}

#[test]
fn links_from_before_redis_are_old_on_a_cold_start() {
    let mut rig = Rig::new(1);
    rig.add_ports();
    rig.up("Ethernet0");
    rig.server.kill();
    rig.start();
    rig.expect_log("Redis is not reachable");
    assert!(rig.link("Ethernet0").admin_up, "nothing is known yet");
    rig.run(rig.links.add_ifb("Ethernet4"));
    rig.up("Ethernet4");
    rig.server.restart().unwrap();
    rig.until("the old link to be down", || !rig.link("Ethernet0").admin_up);
    assert!(rig.link("Ethernet4").admin_up, "it came after the daemon");
}

/// What `/api/v1/status` and `/metrics` say of the start: whether it is done, and how many ports are awaited.
fn said_of_the_start(rig: &Rig) -> (bool, usize) {
    let status: Status = rig.api("/api/v1/status");
    let Start { done, awaited, awaited_first, .. } = status.start;
    assert!(!done || awaited == 0, "{awaited_first:?}");
    assert_eq!(awaited, awaited_first.len());
    let start = status.health.parts.into_iter().find(|part| part.name == "start").unwrap();
    let said = match awaited {
        0 => "due".to_owned(),
        1 => "1 port is awaited".to_owned(),
        _ => format!("{awaited} ports are awaited"),
    };
    assert!(start.reason.is_none_or(|reason| reason.ends_with(&said)) || done);
    (done, awaited)
}

#[test]
fn rows_that_are_there_already_are_awaited_no_longer() {
    let mut rig = Rig::new(3);
    rig.add_ports();
    rig.run(rig.links.set_admin_many(&rig.ports, true));
    set_warm(&rig, "swss");
    set_restore_count(&rig, "3");
    for port in &rig.ports {
        rig.until("the link to be up", || rig.link(port).running);
        rig.put_appl_row(port);
        let row = [("state", "ok"), ("netdev_oper_status", "up"), ("admin_status", "up"), ("mtu", "1500")];
        let () = rig.db(STATE_DB).hset_multiple(format!("PORT_TABLE|{port}"), &row).unwrap();
    }
    rig.start();
    rig.expect_init_done();
    rig.until("the end of the start", || said_of_the_start(&rig) == (true, 0));
    rig.expect_metric("portsyncd_ports_awaited", |ports| ports.to_bits() == 0.0f64.to_bits());
    rig.expect_metric("portsyncd_port_init_done", |done| done > 0.0);
    assert_eq!(rig.term(), Some(0));
}

#[test]
fn ports_of_every_kind_are_awaited_alike_whoever_says_so() {
    let mut rig = Rig::new(3);
    let () = rig.db(CONFIG_DB).hset("PORT|a-name-that-no-link-can-have", "lanes", "99").unwrap();
    rig.start();
    rig.expect_config_done();
    rig.put_appl_row("Ethernet0");
    rig.run(rig.links.add_veth("Ethernet0", "cable0"));
    rig.run(rig.links.add_veth("Ethernet4", "cable4"));
    rig.expect_row("Ethernet0", "down", "down", 1500);
    // Ethernet4 has a link and no row, Ethernet8 neither.
    rig.until("three to be awaited", || said_of_the_start(&rig) == (false, 3));
    rig.expect_metric("portsyncd_ports_awaited", |ports| ports.to_bits() == 3.0f64.to_bits());
    rig.expect_metric("portsyncd_port_init_done", |done| done.to_bits() == 0.0f64.to_bits());
}

#[test]
fn what_redis_lost_is_due_again() {
    let mut rig = Rig::new(2);
    rig.set("PORTSYNCD_NETLINK__AUDIT_INTERVAL", "100ms");
    let mut rig = rig.set_to_work();
    rig.until("the end of the start", || said_of_the_start(&rig) == (true, 0));
    rig.stop_orchagent();
    let () = redis::cmd("FLUSHALL").query(&mut rig.db(CONFIG_DB)).unwrap();
    rig.until("PortInitDone to be due", || said_of_the_start(&rig) == (false, 2));
    rig.run_orchagent();
    rig.until("the end of it", || said_of_the_start(&rig) == (true, 0));
    rig.expect_metric("portsyncd_initial_syncs_total", |count| count.to_bits() == 1.0f64.to_bits());
}

#[test]
fn init_done_is_not_said_while_a_port_is_missing() {
    let mut rig = Rig::new(2);
    rig.start();
    rig.expect_config_done();
    rig.run_orchagent();
    rig.run(rig.links.add_veth("Ethernet0", "cable0"));
    rig.expect_row("Ethernet0", "down", "down", 1500);
    assert!(rig.mark("PortInitDone").is_empty());
    assert_eq!(rig.term(), Some(0));
    assert!(rig.mark("PortInitDone").is_empty());
}

#[test]
fn a_live_restart_finds_what_came_and_went_meanwhile() {
    let mut rig = Rig::at_work(3);
    rig.expect_in_step(3);
    let () = rig.db(STATE_DB).hset("PORT_TABLE|Ethernet8", "fec", "rs").unwrap();
    rig.crash();
    rig.run(rig.links.delete("Ethernet4"));
    rig.run(rig.links.delete("Ethernet8"));
    rig.run(rig.links.add_ifb("Ethernet4"));
    rig.up("Ethernet4");
    rig.start();
    rig.expect_in_step(2);
    rig.expect_row("Ethernet4", "up", "up", 1500);
    assert!(rig.row("Ethernet8").is_empty(), "the row of a port that is gone, whoever wrote to it");
    assert!(rig.link("Ethernet4").admin_up);
}
