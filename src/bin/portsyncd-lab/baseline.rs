//! `portsyncd-lab floor`: the least that can be between the kernel and Redis, to compare portsyncd with.
//!
//! In: link messages, one datagram at a time, by a blocking socket. Out: one `HSET` for each message about a port, whose answer
//! is waited for before the next message is read. It decides nothing, remembers nothing, mends nothing, and allocates nothing once
//! it runs. It ends by SIGTERM's default action.

use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

use anyhow::{Context, bail};
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, setsockopt, socket, sockopt,
};
use portsyncd::lab::redis_server::STATE_DB;
use portsyncd::link::LinkEvent;
use portsyncd::link::parse::{Messages, NetlinkMessage};

/// Where a switch has its Redis.
const SOCKET: &str = "/var/run/redis/redis.sock";
/// A key in `STATE_DB` that says that it listens.
pub const READY: &str = "PORTSYNCD_LAB_FLOOR";
const RTMGRP_LINK: u32 = 1;
/// Room for ten changes of 10,000 ports: it does not merge, so it may fall far behind.
const RECEIVE_BUFFER: usize = 512 << 20;
const DATAGRAM: usize = 64 * 1024;

/// Listens and writes until it is ended.
pub fn run() -> anyhow::Result<ExitCode> {
    let fd = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkRoute)
        .context("cannot open a netlink socket")?;
    if setsockopt(&fd, sockopt::RcvBufForce, &RECEIVE_BUFFER).is_err() {
        // Without privileges it loses messages in a burst, and ends wrong.
        let _ = setsockopt(&fd, sockopt::RcvBuf, &RECEIVE_BUFFER);
    }
    bind(fd.as_raw_fd(), &NetlinkAddr::new(0, RTMGRP_LINK)).context("cannot subscribe to link messages")?;
    let mut redis = UnixStream::connect(SOCKET).with_context(|| format!("cannot reach Redis at {SOCKET}"))?;
    let (mut datagram, mut command, mut answer) = (vec![0; DATAGRAM], Vec::with_capacity(512), [0; 512]);
    for words in [[b"SELECT".as_slice(), STATE_DB.to_string().as_bytes()].as_slice(), &[b"SET", READY.as_bytes(), b"1"]]
    {
        encode(&mut command, words);
        ask(&mut redis, &command, &mut answer)?;
    }
    loop {
        let length = match recv(fd.as_raw_fd(), &mut datagram, MsgFlags::empty()) {
            Ok(length) => length,
            Err(Errno::ENOBUFS | Errno::EINTR) => continue,
            Err(errno) => return Err(errno).context("cannot read from the netlink socket"),
        };
        for message in Messages::new(&datagram[..length]) {
            let Ok(NetlinkMessage::Link(LinkEvent::New(link))) = message else { continue };
            if !link.name.as_bytes().starts_with(b"Ethernet") {
                continue;
            }
            let up_down = |up| if up { b"up".as_slice() } else { b"down" };
            let mut key = [0; 32];
            let key = joined(&mut key, b"PORT_TABLE|", link.name.as_bytes());
            let mut digits = itoa::Buffer::new();
            encode(
                &mut command,
                &[
                    b"HSET",
                    key,
                    b"state",
                    b"ok",
                    b"netdev_oper_status",
                    up_down(link.oper_up),
                    b"admin_status",
                    up_down(link.admin_up),
                    b"mtu",
                    digits.format(link.mtu.unwrap_or_default()).as_bytes(),
                ],
            );
            ask(&mut redis, &command, &mut answer)?;
        }
    }
}

fn joined<'a>(buffer: &'a mut [u8; 32], first: &[u8], second: &[u8]) -> &'a [u8] {
    let length = first.len() + second.len();
    buffer[..first.len()].copy_from_slice(first);
    buffer[first.len()..length].copy_from_slice(second);
    &buffer[..length]
}

fn encode(command: &mut Vec<u8>, words: &[&[u8]]) {
    let mut digits = itoa::Buffer::new();
    command.clear();
    command.push(b'*');
    command.extend(digits.format(words.len()).as_bytes());
    for word in words {
        command.extend(b"\r\n$");
        command.extend(digits.format(word.len()).as_bytes());
        command.extend(b"\r\n");
        command.extend(*word);
    }
    command.extend(b"\r\n");
}

/// Sends a command and waits for its answer, which is one line.
fn ask(redis: &mut UnixStream, command: &[u8], answer: &mut [u8]) -> anyhow::Result<()> {
    redis.write_all(command).context("cannot write to Redis")?;
    let mut have = 0;
    while !answer[..have].ends_with(b"\r\n") {
        match redis.read(&mut answer[have..]).context("cannot read from Redis")? {
            0 => bail!("Redis closed the connection, or answered with more than {} bytes", answer.len()),
            length => have += length,
        }
    }
    if answer[0] == b'-' {
        bail!("Redis refused: {}", answer[..have].escape_ascii());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_encoded_as_redis_takes_it() {
        let mut command = b"old".to_vec();
        encode(&mut command, &[b"HSET", b"PORT_TABLE|Ethernet0"]);
        assert_eq!(command, b"*2\r\n$4\r\nHSET\r\n$20\r\nPORT_TABLE|Ethernet0\r\n");
        assert_eq!(joined(&mut [0; 32], b"PORT_TABLE|", b"Ethernet100000"), b"PORT_TABLE|Ethernet100000");
    }
}
