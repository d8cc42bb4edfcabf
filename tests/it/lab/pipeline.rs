//! Made-up messages on their way to Redis.

use portsyncd::lab::pipeline::{Switch, write, writer};
use portsyncd::lab::redis_server::{RedisServer, STATE_DB};
use redis::Commands;

#[tokio::test]
async fn a_change_of_each_port_is_a_row_of_each() {
    let server = RedisServer::start().unwrap();
    let mut writer = writer(&server).await.unwrap();
    let mut switch = Switch::new(3000);
    assert_eq!(write(&mut switch.core, &mut writer).await.unwrap(), 3000);
    for port in 0..switch.ports() {
        switch.change(port, true, 9100);
    }
    assert_eq!(write(&mut switch.core, &mut writer).await.unwrap(), 3000);
    let mut db = server.client(STATE_DB).unwrap();
    let row: Vec<(String, String)> = db.hgetall(format!("PORT_TABLE|{}", switch.name(2999))).unwrap();
    let want = [("state", "ok"), ("netdev_oper_status", "up"), ("admin_status", "up"), ("mtu", "9100")];
    assert_eq!(row, want.map(|(field, value)| (field.to_owned(), value.to_owned())));
    switch.change(7, true, 9100);
    assert_eq!(write(&mut switch.core, &mut writer).await.unwrap(), 0, "it stands there already");
}
