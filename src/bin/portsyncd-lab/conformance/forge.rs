//! A link message that the kernel did not send: any privileged program can send one to the group. A daemon must not believe
//! it. (The kernel's messages come from port id 0.)

use nix::sys::socket::{AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, sendto, socket};
use std::os::fd::AsRawFd;

use super::scenario::Forge;

const RTM_NEWLINK: u16 = 16;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const RTMGRP_LINK: u32 = 1;
/// Up, broadcast, running, multicast.
const FLAGS: u32 = 0x1 | 0x2 | 0x40 | 0x1000;

/// Sends the message to everybody who listens for links.
pub fn send(forge: &Forge) -> Result<(), String> {
    // struct ifinfomsg: family and padding, type (Ethernet), index, flags, change.
    let mut body = vec![0, 0, 1, 0];
    body.extend(forge.index.to_ne_bytes());
    body.extend(FLAGS.to_ne_bytes());
    body.extend(u32::MAX.to_ne_bytes());
    attribute(&mut body, IFLA_IFNAME, &[forge.name.as_bytes(), &[0]].concat());
    attribute(&mut body, IFLA_MTU, &forge.mtu.to_ne_bytes());
    // struct nlmsghdr: length, type, flags (no request: the kernel itself leaves it alone), sequence, port id (a lie).
    let mut message = u32::try_from(body.len() + 16).map_err(|e| e.to_string())?.to_ne_bytes().to_vec();
    message.extend(RTM_NEWLINK.to_ne_bytes());
    message.extend([0; 10]);
    message.extend(body);
    let failed = |e: nix::errno::Errno| format!("cannot send a forged link message: {e}");
    let socket =
        socket(AddressFamily::Netlink, SockType::Raw, SockFlag::empty(), SockProtocol::NetlinkRoute).map_err(failed)?;
    sendto(socket.as_raw_fd(), &message, &NetlinkAddr::new(0, RTMGRP_LINK), MsgFlags::empty()).map(drop).map_err(failed)
}

fn attribute(body: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let length = u16::try_from(value.len() + 4).unwrap_or(u16::MAX);
    body.extend(length.to_ne_bytes());
    body.extend(kind.to_ne_bytes());
    body.extend(value);
    body.resize(body.len().next_multiple_of(4), 0);
}
