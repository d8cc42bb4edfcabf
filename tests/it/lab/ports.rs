//! Seeding CONFIG_DB.

use portsyncd::lab::ports::{rows, seed};
use portsyncd::lab::redis_server::{CONFIG_DB, RedisServer};
use redis::Commands;

#[test]
fn seeding_leaves_existing_rows_unless_told_otherwise() {
    let server = RedisServer::start().unwrap();
    let mut db = server.client(CONFIG_DB).unwrap();
    let () = db.hset("PORT|Ethernet0", "mtu", "1500").unwrap();
    assert_eq!(seed(&mut db, "|", &rows(4), false).unwrap(), 3);
    let mtu: String = db.hget("PORT|Ethernet0", "mtu").unwrap();
    assert_eq!(mtu, "1500");
    assert_eq!(seed(&mut db, "|", &rows(4), true).unwrap(), 4);
    let mtu: String = db.hget("PORT|Ethernet0", "mtu").unwrap();
    assert_eq!(mtu, "9100");
}
