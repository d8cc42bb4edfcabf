//! What links do while the daemon runs, and what becomes of their rows.

use std::process::Command;

use crate::fixture::watcher::{Watcher, is_write};
use crate::fixture::wreck::all_links;
use crate::fixture::{Fields, Rig};
use nix::sys::signal::Signal;
use portsyncd::lab::netns::{self, Holder};
use portsyncd::lab::redis_server::{APPL_DB, Options, STATE_DB};
use portsyncd::link::LinkEvent;
use portsyncd::link::dump::dump;
use portsyncd::link::monitor::{Monitor, ReadSummary};
use redis::Commands;

/// A daemon in service, no links yet.
fn started(ports: usize) -> Rig {
    let mut rig = Rig::new(ports);
    rig.start();
    rig.expect_config_done();
    rig
}

fn ip(arguments: &str) {
    let status = Command::new("ip").args(arguments.split(' ')).status().unwrap();
    assert!(status.success(), "ip {arguments}");
}

#[test]
fn new_link_writes_the_row_and_each_change_follows() {
    let rig = started(1);
    rig.put_appl_row("Ethernet0");
    rig.run(rig.links.add_veth("Ethernet0", "cable0"));
    rig.expect_row("Ethernet0", "down", "down", 1500);
    rig.up("Ethernet0");
    rig.expect_row("Ethernet0", "up", "down", 1500);
    rig.up("cable0");
    rig.expect_row("Ethernet0", "up", "up", 1500);
    rig.run(rig.links.set_mtu("Ethernet0", 9100));
    rig.expect_row("Ethernet0", "up", "up", 9100);
    rig.down("cable0");
    rig.expect_row("Ethernet0", "up", "down", 9100);
    rig.down("Ethernet0");
    rig.expect_row("Ethernet0", "down", "down", 9100);
}

#[test]
fn deleted_link_deletes_the_row() {
    let rig = Rig::at_work(2);
    rig.expect_in_step(2);
    rig.run(rig.links.delete("Ethernet0"));
    rig.expect_no_row("Ethernet0");
    assert!(!rig.exists(STATE_DB, "PORT_TABLE|Ethernet0"));
    rig.expect_in_step(1);
}

#[test]
fn old_interfaces_are_cached_and_their_messages_ignored() {
    let mut rig = Rig::new(1);
    rig.run(rig.links.add_veth("Ethernet0", "cable0"));
    rig.put_appl_row("Ethernet0");
    rig.put_appl_row("Ethernet4");
    rig.start();
    rig.expect_config_done();
    let watcher = Watcher::start(&rig.server);
    rig.up("Ethernet0");
    rig.up("cable0");
    rig.run(rig.links.set_mtu("Ethernet0", 1400));
    rig.run(rig.links.add_ifb("Ethernet4"));
    rig.expect_row("Ethernet4", "down", "down", 1500);
    let writes = watcher.all(&rig.server, "the end");
    assert!(writes.iter().all(|line| !is_write(line) || !line.contains("Ethernet0")), "{writes:#?}");
    rig.run(rig.links.delete("Ethernet0"));
    rig.run(rig.links.add_ifb("Ethernet0"));
    rig.expect_row("Ethernet0", "down", "down", 1500);
}

fn late_row(notifications: &str) {
    let mut rig = Rig::with_server(
        1,
        Options { args: vec!["--notify-keyspace-events".to_owned(), notifications.to_owned()], ..Options::default() },
    );
    rig.start();
    rig.expect_config_done();
    rig.run(rig.links.add_veth("Ethernet0", "cable0"));
    rig.run(rig.links.add_ifb("Ethernet40"));
    rig.put_appl_row("Ethernet40");
    rig.expect_row("Ethernet40", "down", "down", 1500);
    assert!(rig.row("Ethernet0").is_empty(), "no row in APPL_DB yet");
    rig.up("Ethernet0");
    rig.put_appl_row("Ethernet0");
    rig.expect_row("Ethernet0", "up", "down", 1500);
    rig.expect_init_done();
}

#[test]
fn a_row_of_appl_db_may_come_after_the_link() {
    late_row("AKE");
}

#[test]
fn a_row_of_appl_db_may_come_after_the_link_without_keyspace_notifications() {
    late_row("");
}

#[test]
fn keyspace_notifications_are_listened_to_only_while_a_port_waits() {
    let rig = started(1);
    let patterns = || redis::cmd("PUBSUB").arg("NUMPAT").query::<usize>(&mut rig.db(APPL_DB)).unwrap();
    // LOGGER, PORT and the alert rules of CONFIG_DB.
    let subscribed = || patterns() == 4;
    assert_eq!(patterns(), 3);
    rig.run(rig.links.add_veth("Ethernet0", "cable0"));
    rig.until("a subscription", subscribed);
    rig.put_appl_row("Ethernet0");
    rig.expect_row("Ethernet0", "down", "down", 1500);
    rig.until("the subscription's end", || !subscribed());
    rig.run(rig.links.delete("Ethernet0"));
    rig.expect_no_row("Ethernet0");
    let () = rig.db(APPL_DB).del("PORT_TABLE:Ethernet0").unwrap();
    rig.run(rig.links.add_veth("Ethernet0", "cable0"));
    rig.until("a subscription", subscribed);
    rig.run(rig.links.delete("Ethernet0"));
    rig.until("the subscription's end", || !subscribed());
}

#[test]
fn a_link_not_in_port_table_gets_no_row() {
    let rig = Rig::at_work(1);
    rig.run(rig.links.add_ifb("Ethernet400"));
    rig.up("Ethernet400");
    rig.run(rig.links.add_ifb("veth1"));
    rig.up("veth1");
    rig.up("Ethernet0");
    rig.expect_row("Ethernet0", "up", "up", 1500);
    rig.expect_in_step(1);
    let keys: Vec<String> = rig.db(STATE_DB).keys("PORT_TABLE*").unwrap();
    assert_eq!(keys, ["PORT_TABLE|Ethernet0"]);
}

#[test]
fn a_rename_moves_the_row() {
    let rig = Rig::at_work(2);
    rig.put_appl_row("Ethernet100");
    rig.run(rig.links.rename("Ethernet0", "Ethernet100"));
    rig.expect_row("Ethernet100", "down", "down", 1500);
    rig.expect_no_row("Ethernet0");
    rig.run(rig.links.rename("Ethernet100", "foreign"));
    rig.expect_no_row("Ethernet100");
    rig.run(rig.links.rename("foreign", "Ethernet0"));
    rig.expect_row("Ethernet0", "down", "down", 1500);
    rig.expect_in_step(2);
}

#[test]
fn names_may_be_swapped() {
    let rig = Rig::at_work(2);
    rig.run(rig.links.set_mtu("Ethernet0", 1400));
    rig.run(rig.links.set_mtu("Ethernet4", 1300));
    rig.run(rig.links.rename("Ethernet0", "spare"));
    rig.run(rig.links.rename("Ethernet4", "Ethernet0"));
    rig.run(rig.links.rename("spare", "Ethernet4"));
    rig.expect_row("Ethernet0", "down", "down", 1300);
    rig.expect_row("Ethernet4", "down", "down", 1400);
}

#[test]
fn a_member_of_a_bridge_keeps_its_row() {
    let rig = Rig::at_work(2);
    rig.run(rig.links.add_bridge("Bridge"));
    rig.run(rig.links.set_mtu("Ethernet0", 1400));
    rig.run(rig.links.set_master("Ethernet0", "Bridge"));
    rig.up("Ethernet0");
    rig.expect_row("Ethernet0", "up", "up", 1400);
    // Leaving is told by a message of deletion, of family AF_BRIDGE.
    let watcher = Watcher::start(&rig.server);
    rig.run(rig.links.no_master("Ethernet0"));
    rig.run(rig.links.set_mtu("Ethernet0", 1300));
    rig.expect_row("Ethernet0", "up", "up", 1300);
    let lines = watcher.all(&rig.server, "the end");
    assert!(lines.iter().all(|line| !line.contains("\"DEL\"")), "{lines:#?}");
    rig.run(rig.links.set_master("Ethernet0", "Bridge"));
    rig.run(rig.links.delete("Bridge"));
    rig.run(rig.links.set_mtu("Ethernet0", 1200));
    rig.expect_row("Ethernet0", "up", "up", 1200);
    rig.run(rig.links.delete("Ethernet0"));
    rig.expect_no_row("Ethernet0");
}

#[test]
fn a_member_of_a_bridge_that_is_deleted_loses_its_row() {
    let mut rig = Rig::new(1);
    rig.set("PORTSYNCD_NETLINK__AUDIT_INTERVAL", "0s");
    let rig = rig.set_to_work();
    rig.run(rig.links.add_bridge("Bridge"));
    rig.run(rig.links.set_master("Ethernet0", "Bridge"));
    rig.expect_row("Ethernet0", "down", "down", 1500);
    rig.run(rig.links.delete("Ethernet0"));
    rig.expect_no_row("Ethernet0");
}

#[test]
fn port_channels_have_rows_like_ports() {
    let rig = started(0);
    rig.put_appl_row("PortChannel0001");
    rig.run(rig.links.add_ifb("PortChannel0001"));
    rig.expect_row("PortChannel0001", "down", "down", 1500);
    rig.run(rig.links.set_mtu("PortChannel0001", 9100));
    rig.expect_row("PortChannel0001", "down", "down", 9100);
    rig.run(rig.links.delete("PortChannel0001"));
    rig.expect_no_row("PortChannel0001");
}

#[test]
fn a_sub_interface_gets_no_row_and_keeps_intfmgrds() {
    let mut rig = Rig::new(1);
    rig.set("PORTSYNCD_NETLINK__AUDIT_INTERVAL", "100ms");
    let rig = rig.set_to_work();
    let mut state = rig.db(STATE_DB);
    let () = state.hset("PORT_TABLE|Ethernet0.10", "state", "ok").unwrap();
    let () = state.hset("PORT_TABLE|Ethernet4.20", "state", "ok").unwrap();
    let () = state.hset("PORT_TABLE|Ethernet8", "state", "ok").unwrap();
    ip("link add link Ethernet0 name Ethernet0.10 type macvlan");
    rig.run(rig.links.set_mtu("Ethernet0", 1400));
    rig.expect_row("Ethernet0", "down", "down", 1400);
    // The audit that removed this row saw the others too.
    rig.expect_no_row("Ethernet8");
    let wanted = Fields::from([("state".to_owned(), "ok".to_owned())]);
    assert_eq!(rig.row("Ethernet0.10"), wanted);
    assert_eq!(rig.row("Ethernet4.20"), wanted);
}

#[test]
fn a_link_that_moves_to_another_namespace_loses_its_row() {
    let rig = Rig::at_work(2);
    let holder = Holder::start().unwrap();
    rig.run(rig.links.move_to_netns_of("Ethernet0", holder.pid()));
    rig.expect_no_row("Ethernet0");
    assert!(holder.link_names().unwrap().contains(&"Ethernet0".to_owned()));
    rig.expect_in_step(1);
    rig.run(rig.links.add_ifb("Ethernet0"));
    rig.expect_in_step(2);
}

#[test]
fn a_reused_index_is_a_new_link() {
    let rig = started(2);
    rig.put_appl_row("Ethernet0");
    rig.put_appl_row("Ethernet4");
    ip("link add Ethernet0 index 5000 mtu 1400 type ifb");
    rig.expect_row("Ethernet0", "down", "down", 1400);
    rig.run(rig.links.delete("Ethernet0"));
    ip("link add Ethernet4 index 5000 mtu 1300 type ifb");
    rig.expect_row("Ethernet4", "down", "down", 1300);
    rig.expect_no_row("Ethernet0");
    rig.run(rig.links.delete("Ethernet4"));
    ip("link add Ethernet4 index 5000 mtu 1200 type ifb");
    rig.expect_row("Ethernet4", "down", "down", 1200);
}

#[test]
fn the_index_of_an_old_interface_is_free_after_its_deletion() {
    let mut rig = Rig::new(2);
    ip("link add Ethernet0 index 5000 type ifb");
    rig.put_appl_row("Ethernet4");
    rig.start();
    rig.expect_config_done();
    rig.run(rig.links.delete("Ethernet0"));
    ip("link add Ethernet4 index 5000 mtu 1300 type ifb");
    rig.expect_row("Ethernet4", "down", "down", 1300);
}

#[test]
fn a_link_made_anew_starts_with_a_fresh_row() {
    let rig = Rig::at_work(1);
    let () = rig.db(STATE_DB).hset("PORT_TABLE|Ethernet0", "host_tx_ready", "true").unwrap();
    rig.run(rig.links.delete("Ethernet0"));
    rig.run(rig.links.add_veth("Ethernet0", "cable0"));
    rig.up("Ethernet0");
    rig.expect_row("Ethernet0", "up", "down", 1500);
    assert!(!rig.row("Ethernet0").contains_key("host_tx_ready"));
}

#[test]
fn others_fields_stay_and_nothing_is_written_twice() {
    let rig = Rig::at_work(1);
    rig.expect_in_step(1);
    let () = rig.db(STATE_DB).hset("PORT_TABLE|Ethernet0", "host_tx_ready", "true").unwrap();
    let watcher = Watcher::start(&rig.server);
    // Changes of the link that are none of the row.
    ip("link set Ethernet0 txqueuelen 77");
    ip("link set Ethernet0 alias something");
    ip("link set Ethernet0 promisc on");
    rig.up("Ethernet0");
    rig.expect_row("Ethernet0", "up", "up", 1500);
    assert_eq!(rig.row("Ethernet0")["host_tx_ready"], "true");
    let lines = watcher.all(&rig.server, "the end");
    let writes: Vec<_> = lines.iter().filter(|line| is_write(line)).collect();
    // Admin and operational state may come in one message or two.
    assert!((1..=2).contains(&writes.len()), "{lines:#?}");
}

#[test]
fn a_port_whose_appl_db_row_is_removed_waits_until_it_is_back() {
    let mut rig = Rig::new(2);
    rig.set("PORTSYNCD_NETLINK__AUDIT_INTERVAL", "100ms");
    let rig = rig.set_to_work();
    rig.producer().del(&mut rig.db(APPL_DB), "Ethernet0").unwrap();
    rig.until("orchagent to remove the row", || !rig.exists(APPL_DB, "PORT_TABLE:Ethernet0"));
    // Two audits have begun since: the later one knows of the removal.
    let audits = |rig: &Rig| {
        let mut state = rig.db(STATE_DB);
        let () = state.hset("PORT_TABLE|Ethernet96", "state", "ok").unwrap();
        rig.expect_no_row("Ethernet96");
    };
    audits(&rig);
    audits(&rig);
    rig.up("Ethernet0");
    rig.up("Ethernet4");
    rig.expect_row("Ethernet4", "up", "up", 1500);
    assert_eq!(rig.row("Ethernet0")["admin_status"], "down");
    rig.put_appl_row("Ethernet0");
    rig.expect_row("Ethernet0", "up", "up", 1500);
}

#[test]
fn messages_that_do_not_come_from_the_kernel_are_refused() {
    let mut rig = Rig::new(1);
    rig.set("PORTSYNCD_NETLINK__AUDIT_INTERVAL", "0s");
    let rig = rig.set_to_work();
    rig.expect_in_step(1);
    let index = rig.link("Ethernet0").ifindex;
    let ids = subscribers();
    assert!(!ids.is_empty(), "the daemon's socket is to be found");
    for id in &ids {
        forge(*id, index);
    }
    rig.expect_log("does not come from the kernel");
    rig.run(rig.links.set_mtu("Ethernet0", 1400));
    rig.expect_row("Ethernet0", "down", "down", 1400);
    let refused = rig.log();
    assert!(refused.contains("WARN"), "{refused}");
    assert!(!refused.contains("port removed"), "{refused}");
}

/// Port ids of the route sockets of this namespace that are subscribed to links.
fn subscribers() -> Vec<u32> {
    let table = std::fs::read_to_string("/proc/thread-self/net/netlink").unwrap();
    let rows = table.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    rows.filter(|row| row[1] == "0" && u32::from_str_radix(row[3], 16).unwrap_or(0) & 1 == 1)
        .map(|row| row[2].parse().unwrap())
        .collect()
}

/// Sends a message as the kernel would: this link is gone.
fn forge(to: u32, ifindex: u32) {
    use nix::sys::socket::{AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, sendto, socket};
    use rtnetlink::packet_core::NetlinkMessage;
    use rtnetlink::packet_route::RouteNetlinkMessage;
    use rtnetlink::packet_route::link::{LinkAttribute, LinkMessage};
    use std::os::fd::AsRawFd;

    let mut link = LinkMessage::default();
    link.header.index = ifindex;
    link.attributes.push(LinkAttribute::IfName("Ethernet0".to_owned()));
    let mut message = NetlinkMessage::from(RouteNetlinkMessage::DelLink(link));
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    let socket =
        socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkRoute).unwrap();
    let address = NetlinkAddr::new(to, 0);
    sendto(socket.as_raw_fd(), &bytes, &address, MsgFlags::empty()).unwrap();
}

#[test]
fn what_the_kernel_has_said_is_read_before_the_runtime_hears_of_it() {
    netns::enter_private().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    // Nothing in here waits, so that the runtime does not ask the kernel what is readable.
    runtime.block_on(async {
        let mut monitor = Monitor::open(1 << 20).unwrap();
        assert_eq!(monitor.read(|_| ()).unwrap().events, 0);
        ip("link add Ethernet0 type veth peer name cable0");
        let mut names = Vec::new();
        let mut note = |event| match event {
            LinkEvent::New(link) | LinkEvent::Del(link) => names.push(link.name.to_string()),
        };
        while monitor.read(&mut note).unwrap().more {}
        assert!(names.contains(&"Ethernet0".to_owned()), "{names:?}");
    });
}

/// What is written of a port's row while something is done to a daemon that sees its links.
fn writes_of(rig: &Rig, port: &str, act: impl FnOnce(&Rig)) -> Vec<String> {
    let watcher = Watcher::start(&rig.server);
    act(rig);
    let written = || -> Vec<String> {
        let row = format!("\"PORT_TABLE|{port}\"");
        watcher.commands().into_iter().filter(|line| is_write(line) && line.contains(&row)).collect()
    };
    rig.until("a write", || !written().is_empty());
    rig.expect_in_step(2);
    written()
}

/// Others act on the write: a change that came back before it was sent is written all the same.
#[test]
fn a_change_that_comes_back_in_one_batch_is_written() {
    let rig = Rig::at_work(2);
    rig.up("Ethernet0");
    rig.up("cable0");
    rig.expect_row("Ethernet0", "up", "up", 1500);
    for there_and_back in [["mtu 1400", "mtu 1500"], ["down", "up"]] {
        let writes = writes_of(&rig, "Ethernet0", |rig| {
            rig.signal(Signal::SIGSTOP);
            for change in there_and_back {
                ip(&format!("link set Ethernet0 {change}"));
            }
            rig.signal(Signal::SIGCONT);
        });
        assert!(writes.iter().all(|line| line.contains("\"HSET\"")), "{writes:#?}");
    }
}

/// Gives a link as many names as fit into one attribute, 496 of the greatest length: a message about it has 66 kB. `ip`
/// can send seven at once.
fn name_often(link: &str) {
    let names: Vec<String> = (0..496).map(|at| format!("{:x<127}", format!("{link}-{at}-"))).collect();
    for some in names.chunks(7) {
        ip(&format!("link property add dev {link} altname {}", some.join(" altname ")));
    }
}

/// In a namespace with two ports, one of which has hundreds of names.
fn beside_a_link_with_hundreds_of_names(test: impl Future<Output = ()>) {
    netns::enter_private().unwrap();
    ip("link add Ethernet0 type veth peer name cable0");
    ip("link add Ethernet4 type veth peer name cable4");
    name_often("Ethernet0");
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
}

/// Reads what the kernel has said by now: the names of the links that changed, and what the batches brought together.
fn heard(monitor: &mut Monitor) -> (Vec<String>, ReadSummary) {
    let (mut names, mut all) = (Vec::new(), ReadSummary::default());
    loop {
        let batch = monitor
            .read(|event| match event {
                LinkEvent::New(link) | LinkEvent::Del(link) => names.push(link.name.to_string()),
            })
            .unwrap();
        all.truncated += batch.truncated;
        all.malformed += batch.malformed;
        all.lost |= batch.lost;
        if !batch.more {
            return (names, all);
        }
    }
}

#[test]
fn a_change_that_comes_back_while_redis_hangs_is_written() {
    let rig = Rig::at_work(2);
    rig.expect_in_step(2);
    // One change is under way when the next ones come.
    let writes = writes_of(&rig, "Ethernet0", |rig| {
        rig.server.pause().unwrap();
        for mtu in [1400, 1300, 1400, 1500] {
            rig.run(rig.links.set_mtu("Ethernet0", mtu));
        }
        rig.expect_log("mtu=1500");
        rig.server.resume().unwrap();
    });
    assert!((1..=2).contains(&writes.len()) && writes[writes.len() - 1].contains("\"1500\""), "{writes:#?}");
}

#[test]
fn a_carrier_that_went_and_came_back_while_messages_were_lost_is_written() {
    let mut rig = Rig::new(200);
    rig.set("PORTSYNCD_NETLINK__AUDIT_INTERVAL", "0s");
    rig.set("PORTSYNCD_NETLINK__RECEIVE_BUFFER", "2048");
    let rig = rig.set_to_work();
    let last = rig.ports[199].clone();
    rig.up(&last);
    rig.expect_row(&last, "up", "up", 1500);
    rig.expect_in_step(200);
    let watcher = Watcher::start(&rig.server);
    rig.signal(Signal::SIGSTOP);
    all_links("mtu 1400");
    all_links("mtu 1500");
    let cable = last.replace("Ethernet", "cable");
    rig.down(&cable);
    rig.until("the carrier to go", || !rig.link(&last).running);
    rig.up(&cable);
    rig.until("the carrier to come back", || rig.link(&last).running);
    rig.signal(Signal::SIGCONT);
    rig.expect_log("the kernel had to drop link messages");
    let row = format!("\"PORT_TABLE|{last}\"");
    rig.until("a write", || watcher.commands().iter().any(|line| line.contains("\"HSET\"") && line.contains(&row)));
    rig.expect_in_step(200);
}

#[test]
fn a_sub_interface_without_a_row_in_appl_db_has_none_and_is_not_awaited() {
    let rig = Rig::at_work(2);
    let patterns = || redis::cmd("PUBSUB").arg("NUMPAT").query::<usize>(&mut rig.db(APPL_DB)).unwrap();
    rig.until("nothing to be awaited", || patterns() == 3);
    ip("link add link Ethernet0 name Ethernet0.10 type macvlan");
    let () = rig.db(APPL_DB).hset("PORT_TABLE:Ethernet0.20", "mtu", "9100").unwrap();
    ip("link add link Ethernet0 name Ethernet0.20 type macvlan");
    rig.until("the row", || !rig.row("Ethernet0.20").is_empty());
    assert!(rig.row("Ethernet0.10").is_empty());
    assert_eq!(patterns(), 3, "nobody waits for a row");
    let () = rig.db(APPL_DB).hset("PORT_TABLE:Ethernet0.10", "mtu", "9100").unwrap();
    ip("link set Ethernet0.10 mtu 1400");
    rig.until("the row by its next message", || rig.row("Ethernet0.10").get("mtu").is_some_and(|mtu| mtu == "1400"));
    ip("link del Ethernet0.10");
    rig.until("the end of its row", || rig.row("Ethernet0.10").is_empty());
}

#[test]
fn a_message_larger_than_the_buffer_is_a_loss_and_the_next_one_is_read() {
    beside_a_link_with_hundreds_of_names(async {
        let mut monitor = Monitor::open(1 << 20).unwrap();
        ip("link set Ethernet0 mtu 1400");
        ip("link set Ethernet4 mtu 1400");
        let (names, batch) = heard(&mut monitor);
        assert!(batch.lost && batch.truncated > 0 && batch.malformed == 0, "{batch:?} {names:?}");
        assert!(names.contains(&"Ethernet4".to_owned()) && !names.contains(&"Ethernet0".to_owned()), "{names:?}");
        ip("link set Ethernet0 mtu 1300");
        ip("link set Ethernet4 mtu 1300");
        let (names, batch) = heard(&mut monitor);
        assert!(!batch.lost && batch.truncated == 0, "{batch:?}");
        assert!(["Ethernet0", "Ethernet4"].iter().all(|name| names.contains(&(*name).to_owned())), "{names:?}");
    });
}

#[test]
fn a_list_of_links_has_those_whose_message_is_larger_than_the_buffer() {
    beside_a_link_with_hundreds_of_names(async {
        let dump = dump().await.unwrap();
        let names: Vec<String> = dump.links.iter().map(|link| link.name.to_string()).collect();
        assert!(dump.complete && dump.retries == 0, "{} {names:?}", dump.retries);
        for name in ["lo", "Ethernet0", "cable0", "Ethernet4", "cable4"] {
            assert_eq!(names.iter().filter(|found| *found == name).count(), 1, "{name} in {names:?}");
        }
    });
}

#[test]
fn a_link_with_hundreds_of_names_has_a_row_like_any_other() {
    let mut rig = Rig::at_work(2);
    rig.expect_init_done();
    name_often("Ethernet0");
    rig.run(rig.links.set_mtu("Ethernet0", 1400));
    rig.expect_row("Ethernet0", "down", "down", 1400);
    assert_eq!(rig.term(), Some(0));
    rig.run(rig.links.set_mtu("Ethernet0", 1300));
    rig.run(rig.links.set_mtu("Ethernet4", 1300));
    rig.start();
    rig.expect_row("Ethernet4", "down", "down", 1300);
    rig.expect_row("Ethernet0", "down", "down", 1300);
    rig.expect_metric("portsyncd_dumps_total{outcome=\"complete\"}", |dumps| dumps > 0.5);
    rig.expect_metric("portsyncd_dumps_total{outcome=\"interrupted\"}", |dumps| dumps < 0.5);
    rig.run(rig.links.set_mtu("Ethernet0", 1200));
    rig.expect_row("Ethernet0", "down", "down", 1200);
}
