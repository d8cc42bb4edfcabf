//! Each database on a server of its own, as the daemon sees it: one goes away, the others stay.

use std::fs;

use portsyncd::lab::redis_server::{APPL_DB, STATE_DB};
use redis::Commands;
use serde_json::json;

use super::proxy::Proxy;
use crate::fixture::Rig;

const DATABASES: [(&str, i64, &str); 3] = [("APPL_DB", 0, ":"), ("CONFIG_DB", 4, "|"), ("STATE_DB", 6, "|")];

/// A switch at work; the servers in the order of [`DATABASES`].
fn rig() -> (Rig, [Proxy; 3]) {
    let mut rig = Rig::new(2);
    let proxies = DATABASES.map(|(name, ..)| Proxy::start(&rig.server.socket(), rig.dir().join(name)));
    let (mut instances, mut databases) = (serde_json::Map::new(), serde_json::Map::new());
    for ((name, id, separator), proxy) in DATABASES.into_iter().zip(&proxies) {
        let instance = json!({"hostname": "127.0.0.1", "port": 0, "unix_socket_path": proxy.socket()});
        instances.insert(name.to_lowercase(), instance);
        let database = json!({"id": id, "separator": separator, "instance": name.to_lowercase()});
        databases.insert(name.to_owned(), database);
    }
    let path = rig.dir().join("database_config.json");
    let config = json!({"INSTANCES": instances, "DATABASES": databases, "VERSION": "1.0"});
    fs::write(&path, config.to_string()).unwrap();
    rig.set("PORTSYNCD_REDIS__DATABASE_CONFIG", path.to_str().unwrap());
    rig.set("PORTSYNCD_NETLINK__AUDIT_INTERVAL", "0s");
    let rig = rig.set_to_work();
    rig.expect_in_step(2);
    expect_up(&rig, None);
    (rig, proxies)
}

/// All can be reached but this one.
fn expect_up(rig: &Rig, away: Option<usize>) {
    for (at, (name, ..)) in DATABASES.into_iter().enumerate() {
        let wanted = if away == Some(at) { 0.0 } else { 1.0 };
        rig.expect_metric(&format!("portsyncd_redis_up{{db=\"{name}\"}}"), |found| (found - wanted).abs() < 0.5);
    }
}

fn take_away(rig: &Rig, proxies: &[Proxy], at: usize) {
    proxies[at].refuse(true);
    proxies[at].cut();
    expect_up(rig, Some(at));
}

fn give_back(rig: &Rig, proxies: &[Proxy], at: usize) {
    proxies[at].pass();
    expect_up(rig, None);
}

#[test]
fn without_config_db_rows_are_written_and_late_rows_found() {
    let (rig, proxies) = rig();
    take_away(&rig, &proxies, 1);
    rig.run(rig.links.set_mtu("Ethernet0", 1400));
    rig.expect_row("Ethernet0", "down", "down", 1400);
    rig.run(rig.links.add_ifb("Ethernet96"));
    rig.put_appl_row("Ethernet96");
    rig.expect_row("Ethernet96", "down", "down", 1500);
    rig.run(rig.links.delete("Ethernet4"));
    rig.expect_no_row("Ethernet4");
    expect_up(&rig, Some(1));
    give_back(&rig, &proxies, 1);
    rig.expect_in_step(2);
}

#[test]
fn without_appl_db_rows_of_known_ports_are_written() {
    let (rig, proxies) = rig();
    take_away(&rig, &proxies, 0);
    rig.run(rig.links.set_mtu("Ethernet0", 1400));
    rig.expect_row("Ethernet0", "down", "down", 1400);
    rig.run(rig.links.add_ifb("Ethernet96"));
    rig.put_appl_row("Ethernet96");
    rig.run(rig.links.set_mtu("Ethernet4", 1300));
    rig.expect_row("Ethernet4", "down", "down", 1300);
    expect_up(&rig, Some(0));
    give_back(&rig, &proxies, 0);
    rig.expect_row("Ethernet96", "down", "down", 1500);
    rig.expect_in_step(3);
}

#[test]
fn rows_are_mended_when_state_db_is_back() {
    let (rig, proxies) = rig();
    take_away(&rig, &proxies, 2);
    rig.run(rig.links.set_mtu("Ethernet0", 1400));
    rig.run(rig.links.add_ifb("Ethernet96"));
    rig.put_appl_row("Ethernet96");
    let () = rig.db(STATE_DB).hset("PORT_TABLE|Ethernet4", "mtu", "1").unwrap();
    rig.expect_metric("portsyncd_pending_rows", |rows| rows > 0.0);
    expect_up(&rig, Some(2));
    give_back(&rig, &proxies, 2);
    rig.expect_in_step(3);
    assert_eq!(rig.orchagent().count("PortConfigDone"), 1);
    assert!(rig.exists(APPL_DB, "PORT_TABLE:PortInitDone"));
}

/// A server that was away and came back is as good as one that never was: the next time is said anew.
fn each_outage_is_said(at: usize) {
    let (rig, proxies) = rig();
    let name = DATABASES[at].0;
    let said = |rig: &Rig| {
        let log = rig.log();
        log.lines().filter(|line| line.contains("Redis is not reachable") && line.contains(name)).count()
    };
    for times in 1..=2 {
        take_away(&rig, &proxies, at);
        rig.until(&format!("outage {times} of {name} to be said"), || said(&rig) == times);
        give_back(&rig, &proxies, at);
        rig.until("it to be said that it is over", || rig.log_count("Redis is back") == times);
        rig.expect_in_step(2);
    }
}

#[test]
fn each_time_without_appl_db_is_said() {
    each_outage_is_said(0);
}

#[test]
fn each_time_without_config_db_is_said() {
    each_outage_is_said(1);
}

#[test]
fn each_time_without_state_db_is_said() {
    each_outage_is_said(2);
}
