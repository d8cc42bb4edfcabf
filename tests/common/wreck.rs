//! What tests of faults do to a switch at work.

use std::process::Command;

use super::Rig;

/// Changes every link of the namespace by one request: the kernel tells of all of them without a pause.
pub fn all_links(change: &str) {
    let arguments = format!("link set group default {change}");
    let status = Command::new("ip").args(arguments.split(' ')).status().unwrap();
    assert!(status.success(), "ip {arguments}");
}

/// As fast as the kernel allows: down, another MTU, up. The last MTU is 1500 less `times`.
pub fn toggle(times: usize) {
    for n in 1..=times {
        all_links("down");
        all_links(&format!("mtu {}", 1500 - n));
        all_links("up");
    }
}

/// At work with an audit so seldom that nothing but what is tested can mend a row.
pub fn at_work_without_audit(ports: usize) -> Rig {
    let mut rig = Rig::new(ports);
    rig.set("PORTSYNCD_NETLINK__AUDIT_INTERVAL", "0s");
    rig.set_to_work()
}

pub fn at_work_with_audit(ports: usize) -> Rig {
    let mut rig = Rig::new(ports);
    rig.set("PORTSYNCD_NETLINK__AUDIT_INTERVAL", "100ms");
    rig.set_to_work()
}

pub fn redis(rig: &Rig, command: &str) {
    let mut words = command.split(' ');
    let mut call = redis::cmd(words.next().unwrap());
    call.arg(words.collect::<Vec<_>>());
    call.exec(&mut rig.db(0)).unwrap();
}
