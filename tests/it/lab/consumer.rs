//! Taking what `ProducerStateTable` left, as orchagent does.

use std::collections::BTreeMap;
use std::time::Duration;

use portsyncd::lab::consumer::{BATCH, Consumer, Op, pop_now};
use portsyncd::lab::producer::Producer;
use portsyncd::lab::redis_server::{APPL_DB, RedisServer};
use redis::{Client, Commands};

#[test]
fn merges_fields_and_removes_the_temporary_hash() {
    let server = RedisServer::start().unwrap();
    let mut db = server.client(APPL_DB).unwrap();
    let producer = Producer::new(APPL_DB, ":");
    let () = db.hset("PORT_TABLE:Ethernet0", "oper_status", "up").unwrap();
    producer.set(&mut db, "Ethernet0", &[("mtu", "9100"), ("lanes", "1,2")]).unwrap();
    let popped = pop_now(&mut db, ":", BATCH).unwrap();
    assert_eq!(popped.len(), 1);
    assert_eq!((popped[0].op, popped[0].get("lanes")), (Op::Set, Some("1,2")));
    let row: BTreeMap<String, String> = db.hgetall("PORT_TABLE:Ethernet0").unwrap();
    assert_eq!(row.len(), 3);
    let keys: Vec<String> = db.keys("*").unwrap();
    assert_eq!(keys, ["PORT_TABLE:Ethernet0"]);
    assert_eq!(pop_now(&mut db, ":", BATCH).unwrap(), []);
}

#[test]
fn a_removal_followed_by_a_set_is_both() {
    let server = RedisServer::start().unwrap();
    let mut db = server.client(APPL_DB).unwrap();
    let producer = Producer::new(APPL_DB, ":");
    let () = db.hset("PORT_TABLE:Ethernet0", "old", "1").unwrap();
    producer.del(&mut db, "Ethernet0").unwrap();
    producer.set(&mut db, "Ethernet0", &[("mtu", "1500")]).unwrap();
    let ops: Vec<Op> = pop_now(&mut db, ":", BATCH).unwrap().iter().map(|e| e.op).collect();
    assert_eq!(ops, [Op::Del, Op::Set]);
    let row: BTreeMap<String, String> = db.hgetall("PORT_TABLE:Ethernet0").unwrap();
    assert_eq!(row, BTreeMap::from([("mtu".to_owned(), "1500".to_owned())]));
}

#[test]
fn pops_no_more_than_the_batch_and_uses_the_separator() {
    let server = RedisServer::start().unwrap();
    let mut db = server.client(APPL_DB).unwrap();
    let producer = Producer::new(APPL_DB, "|");
    for n in 0..5 {
        producer.set(&mut db, &format!("Ethernet{n}"), &[("mtu", "1")]).unwrap();
    }
    assert_eq!(pop_now(&mut db, "|", 3).unwrap().len(), 3);
    assert_eq!(pop_now(&mut db, "|", 3).unwrap().len(), 2);
    let there: bool = db.exists("PORT_TABLE|Ethernet4").unwrap();
    assert!(there);
}

#[tokio::test]
async fn is_woken_by_the_channel_and_fails_when_the_server_goes() {
    let mut server = RedisServer::start().unwrap();
    let client = Client::open(server.connection_info(APPL_DB).unwrap()).unwrap();
    let mut consumer = Consumer::open(&client, ":").await.unwrap();
    assert_eq!(consumer.pop().await.unwrap(), []);
    let mut db = server.client(APPL_DB).unwrap();
    let producer = Producer::new(APPL_DB, ":");
    let publish = async { producer.set(&mut db, "PortConfigDone", &[("count", "8")]) };
    let limit = Duration::from_secs(10);
    let both = async { tokio::join!(consumer.next(), publish) };
    let (popped, published) = tokio::time::timeout(limit, both).await.unwrap();
    published.unwrap();
    assert_eq!(popped.unwrap()[0].get("count"), Some("8"));
    server.kill();
    let end = tokio::time::timeout(limit, consumer.next()).await.unwrap();
    assert!(end.is_err());
}
