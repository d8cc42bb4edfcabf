//! `portsyncd-lab switch --seed-only`: what fills CONFIG_DB before portsyncd starts.

use std::process::Command;

use portsyncd::lab::redis_server::{APPL_DB, CONFIG_DB, RedisServer};
use redis::Commands;

#[test]
fn seed_only_waits_for_redis_fills_config_db_and_ends() {
    let mut server = RedisServer::start().unwrap();
    server.kill();
    let mut seed = Command::new(env!("CARGO_BIN_EXE_portsyncd-lab"))
        .args(["switch", "--ports", "3", "--seed-only", "--redis-socket"])
        .arg(server.socket())
        .spawn()
        .unwrap();
    server.restart().unwrap();
    assert!(seed.wait().unwrap().success());
    let mut ports: Vec<String> = server.client(CONFIG_DB).unwrap().keys("*").unwrap();
    ports.sort();
    assert_eq!(ports, ["PORT|Ethernet0", "PORT|Ethernet4", "PORT|Ethernet8"]);
    let published: Vec<String> = server.client(APPL_DB).unwrap().keys("*").unwrap();
    assert_eq!(published, Vec::<String>::new());
}
