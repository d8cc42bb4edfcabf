//! Rows of STATE_DB, in a real Redis that restarts, forgets and is away.

use std::collections::{BTreeMap, BTreeSet};

use redis::Commands;

use super::*;
use portsyncd::lab::redis_server::{RedisServer, STATE_DB};

const SINK: &str = "[[sink]]\nname = \"noc\"\ntype = \"state_db\"\n";

fn start(server: &RedisServer) -> Sinks {
    let store = store(&server.url());
    Sinks::start(&config(SINK), surroundings(&store))
}

/// The keys of the table.
fn rows(server: &RedisServer) -> BTreeSet<String> {
    let Ok(mut client) = server.client(STATE_DB) else { return BTreeSet::new() };
    client.keys("PORTSYNCD_ALERT_TABLE*").unwrap_or_default()
}

async fn until_rows(server: &RedisServer, rows_of: &[&str]) {
    let wanted: BTreeSet<String> = rows_of.iter().map(|row| format!("PORTSYNCD_ALERT_TABLE|{row}")).collect();
    let there = || std::future::ready(rows(server) == wanted);
    if let Err(error) = wait::until_async(format!("{wanted:?}"), LIMIT, there).await {
        panic!("{error}: {:?}", rows(server));
    }
}

#[tokio::test]
async fn a_row_is_there_while_its_alert_fires() {
    let server = RedisServer::start().unwrap();
    let sinks = start(&server);
    let mut of_switch = fires(8);
    (of_switch.alert.port, of_switch.alert.rule) = (None, "RedisLost".into());
    of_switch.alert.fingerprint.0 += 1;
    sinks.notify(&[fires(0), fires(4), of_switch]);
    until_rows(&server, &["PortFlapping|Ethernet0", "PortFlapping|Ethernet4", "RedisLost"]).await;
    let row: BTreeMap<String, String> =
        server.client(STATE_DB).unwrap().hgetall("PORTSYNCD_ALERT_TABLE|PortFlapping|Ethernet0").unwrap();
    let expected = [
        ("state", "firing"),
        ("severity", "critical"),
        ("value", "7"),
        ("since", "1795549000.25"),
        ("summary", "Ethernet0 flaps"),
    ];
    assert_eq!(row, expected.map(|(field, value)| (field.to_owned(), value.to_owned())).into());
    // The rows may be there by the first look, before they are sent as news.
    until_counted(&sinks, "noc", DeliveryOutcome::Sent, 3).await;
    sinks.notify(&[resolved(0)]);
    until_rows(&server, &["PortFlapping|Ethernet4", "RedisLost"]).await;
    until_counted(&sinks, "noc", DeliveryOutcome::Sent, 4).await;
}

#[tokio::test]
async fn rows_of_an_earlier_run_go_once_it_is_known_what_fires() {
    let server = RedisServer::start().unwrap();
    let mut client = server.client(STATE_DB).unwrap();
    for row in ["PortFlapping|Ethernet0", "PortFlapping|Ethernet4", "GoneRule"] {
        let () = client.hset(format!("PORTSYNCD_ALERT_TABLE|{row}"), "state", "firing").unwrap();
    }
    let () = client.hset("PORT_TABLE|Ethernet0", "state", "ok").unwrap();
    let sinks = start(&server);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(rows(&server).len(), 3, "what fires is not known yet");
    sinks.notify(&[fires(8)]);
    until_rows(&server, &["PortFlapping|Ethernet8"]).await;
    sinks.set_active(&[fires(0), fires(8)]);
    until_rows(&server, &["PortFlapping|Ethernet0", "PortFlapping|Ethernet8"]).await;
    let summary: String = client.hget("PORTSYNCD_ALERT_TABLE|PortFlapping|Ethernet0", "summary").unwrap();
    assert_eq!(summary, "Ethernet0 flaps");
    sinks.set_active(&[]);
    until_rows(&server, &[]).await;
    assert!(client.exists::<_, bool>("PORT_TABLE|Ethernet0").unwrap());
}

#[tokio::test]
async fn rows_are_written_again_after_a_restart_of_redis_and_after_an_outage() {
    let mut server = RedisServer::start().unwrap();
    let sinks = start(&server);
    sinks.set_active(&[]);
    sinks.notify(&[fires(0), fires(4)]);
    until_counted(&sinks, "noc", DeliveryOutcome::Sent, 2).await;
    server.restart().unwrap();
    // Found by the look that is regularly taken.
    until_rows(&server, &["PortFlapping|Ethernet0", "PortFlapping|Ethernet4"]).await;
    server.kill();
    sinks.notify(&[resolved(0), fires(8)]);
    until_counted(&sinks, "noc", DeliveryOutcome::Retried, 2).await;
    server.restart().unwrap();
    until_rows(&server, &["PortFlapping|Ethernet4", "PortFlapping|Ethernet8"]).await;
    until_counted(&sinks, "noc", DeliveryOutcome::Sent, 4).await;
    let mut client = server.client(STATE_DB).unwrap();
    let () = redis::cmd("FLUSHDB").query(&mut client).unwrap();
    until_rows(&server, &["PortFlapping|Ethernet4", "PortFlapping|Ethernet8"]).await;
}

#[tokio::test]
async fn a_key_that_is_no_hash_hinders_no_other_row() {
    let server = RedisServer::start().unwrap();
    let () = server.client(STATE_DB).unwrap().set("PORTSYNCD_ALERT_TABLE|PortFlapping|Ethernet0", "x").unwrap();
    let sinks = start(&server);
    sinks.notify(&[fires(0), fires(4)]);
    until_counted(&sinks, "noc", DeliveryOutcome::Sent, 2).await;
    assert_eq!(rows(&server).len(), 2);
}

#[tokio::test]
async fn a_redis_that_hangs_is_given_up_and_tried_again() {
    let server = RedisServer::start().unwrap();
    let store = store(&server.url());
    let text = SINK.replace("type", "timeout = \"500ms\"\ntype");
    let sinks = Sinks::start(&config(&text), surroundings(&store));
    sinks.notify(&[fires(0)]);
    until_counted(&sinks, "noc", DeliveryOutcome::Sent, 1).await;
    server.pause().unwrap();
    sinks.notify(&[fires(4)]);
    until_counted(&sinks, "noc", DeliveryOutcome::Retried, 1).await;
    server.resume().unwrap();
    until_rows(&server, &["PortFlapping|Ethernet0", "PortFlapping|Ethernet4"]).await;
}

#[tokio::test]
async fn a_storm_of_rows_is_written_and_removed() {
    let server = RedisServer::start().unwrap();
    let sinks = start(&server);
    sinks.notify(&(0..5000).map(fires).collect::<Vec<_>>());
    until_counted(&sinks, "noc", DeliveryOutcome::Sent, 5000).await;
    assert_eq!(rows(&server).len(), 5000);
    sinks.notify(&(0..5000).map(resolved).collect::<Vec<_>>());
    until_rows(&server, &[]).await;
}
