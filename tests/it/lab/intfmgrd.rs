//! What intfmgrd makes of the daemon's rows.

use std::time::Duration;

use portsyncd::lab::intfmgrd::{Intfmgrd, Place};
use portsyncd::lab::links::{Links, with_link_local};
use portsyncd::lab::redis_server::{CONFIG_DB, RedisServer, STATE_DB};
use portsyncd::lab::{netns, wait};
use redis::{Client, Commands};

const LIMIT: Duration = Duration::from_secs(20);

fn write(server: &RedisServer, admin: &str, mtu: u32) {
    let row = [("state", "ok"), ("netdev_oper_status", "up"), ("admin_status", admin), ("mtu", &mtu.to_string())];
    let () = server.client(STATE_DB).unwrap().hset_multiple("PORT_TABLE|Ethernet0", &row).unwrap();
}

async fn until(what: &str, look: impl AsyncFn() -> bool) {
    wait::until_async(what, LIMIT, || look()).await.unwrap();
}

#[test]
fn acts_after_a_write_and_only_then() {
    netns::enter_private().unwrap();
    let server = RedisServer::start().unwrap();
    let place = |number| Place {
        client: Client::open(server.connection_info(number).unwrap()).unwrap(),
        separator: "|".to_owned(),
    };
    let sub_interface = [("admin_status", "up"), ("mtu", "5000")];
    let mut config = server.client(CONFIG_DB).unwrap();
    let () = config.hset_multiple("VLAN_SUB_INTERFACE|Ethernet0.10", &sub_interface).unwrap();
    let () = config.hset("VLAN_SUB_INTERFACE|Ethernet0.20", "admin_status", "up").unwrap();
    let () = config.hset("VLAN_SUB_INTERFACE|Ethernet0.20|10.0.0.1/31", "NULL", "NULL").unwrap();
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        let links = Links::open().unwrap();
        links.add_veths(&["Ethernet0"]).await.unwrap();
        links.no_address_by_kernel("Ethernet0").await.unwrap();
        links.set_mtu("Ethernet0", 9100).await.unwrap();
        links.set_up("Ethernet0").await.unwrap();
        write(&server, "up", 9100);
        let mut intfmgrd = Intfmgrd::open(&place(STATE_DB), &place(CONFIG_DB)).await.unwrap();
        let test = async {
            let mtu = async |name: &str| links.find(name).await.unwrap().map(|link| link.mtu);
            let addressed = || with_link_local().unwrap().contains("Ethernet0");
            until("the row that was there", async || addressed()).await;
            until("Ethernet0.10", async || mtu("Ethernet0.10").await == Some(5000)).await;
            until("Ethernet0.20", async || mtu("Ethernet0.20").await == Some(9100)).await;
            links.set_down("Ethernet0").await.unwrap();
            links.set_mtu("Ethernet0", 1500).await.unwrap();
            write(&server, "down", 1500);
            links.set_mtu("Ethernet0", 9100).await.unwrap();
            links.set_up("Ethernet0").await.unwrap();
            until("both lowered", async || mtu("Ethernet0.10").await == Some(1500)).await;
            assert!(!addressed(), "nothing was written since");
            assert_eq!(mtu("Ethernet0.20").await, Some(1500));
            write(&server, "up", 9100);
            until("the address again", async || addressed()).await;
            until("Ethernet0.10", async || mtu("Ethernet0.10").await == Some(5000)).await;
            until("Ethernet0.20", async || mtu("Ethernet0.20").await == Some(9100)).await;
        };
        tokio::select! {
            ended = intfmgrd.serve() => panic!("{ended:?}"),
            () = test => {}
        }
    });
    let state: Option<String> = server.client(STATE_DB).unwrap().hget("PORT_TABLE|Ethernet0.20", "state").unwrap();
    assert_eq!(state.as_deref(), Some("ok"));
}
