//! All links of the namespace at one moment.
//!
//! A dump has a socket of its own, so that its answer never mixes with the messages of the group. The kernel sends it in
//! parts and marks a part with `NLM_F_DUMP_INTR` when links came or went in between; such a dump may lack links and is
//! asked for again, a bounded number of times. So is one that the kernel gave up (an errno in `NLMSG_DONE`). A part that
//! does not fit into the buffer is read again with the next dump, in a buffer that has grown; that is no interruption.

use std::io;
use std::time::Duration;

use tokio::task::yield_now;
use tokio::time::sleep;
use tracing::debug;

use super::event::{Link, LinkEvent};
use super::parse::{Messages, NetlinkMessage};
use super::socket::{Places, Received, Socket, SocketError};

/// How often a dump is asked for before it is handed on as it is, interrupted. A larger buffer gives one more.
const ATTEMPTS: u32 = 6;
const FIRST_PAUSE: Duration = Duration::from_millis(2);
/// A part has 32 KiB, or as much as the largest link needs.
const BUFFER: usize = 64 * 1024;
/// Enough for the parts of a dump that the kernel has ready; it waits for us before it makes more.
const RECEIVE_BUFFER: usize = 1024 * 1024;

/// The kernel's links at one moment.
#[derive(Debug, Default)]
pub struct Dump {
    /// Each link once, in the kernel's order.
    pub links: Vec<Link>,
    /// Whether no link can be missing. A dump that was interrupted at each attempt, or one with a message that could not
    /// be read, proves no absence.
    pub complete: bool,
    /// How often it was asked for again because it was not complete, larger buffers apart.
    pub retries: u32,
}

/// Asks the kernel for all links.
pub async fn dump() -> Result<Dump, SocketError> {
    let mut result = Dump::default();
    let mut pause = FIRST_PAUSE;
    let mut places = Places::new(1, BUFFER);
    loop {
        result.links.clear();
        let attempt = attempt(&mut result.links, &mut places).await?;
        result.complete = attempt.complete;
        if places.grow(attempt.needed) {
            debug!(bytes = attempt.needed, "part of a dump is larger than the buffer, asking again with a larger one");
            continue;
        }
        if result.complete || result.retries + 1 == ATTEMPTS {
            return Ok(result);
        }
        result.retries += 1;
        debug!(retry = result.retries, "the dump is not complete, asking again");
        sleep(pause).await;
        pause *= 2;
    }
}

/// What came of one dump.
struct Attempt {
    complete: bool,
    /// Bytes of the largest part that did not fit, or 0.
    needed: usize,
}

async fn attempt(links: &mut Vec<Link>, places: &mut Places) -> Result<Attempt, SocketError> {
    let socket = Socket::open(0)?;
    socket.set_receive_buffer(RECEIVE_BUFFER);
    socket.send(&request())?;
    let mut answer = DumpReply { links, complete: true, needed: 0, end: None };
    loop {
        let more = socket.receive(places, |received| match received {
            Received::Datagram(datagram) => answer.take(datagram),
            Received::Foreign(_) => {}
            // The other parts are read all the same: one of them may need more, or this one too much for any buffer.
            Received::Truncated(length) => {
                answer.complete = false;
                answer.needed = answer.needed.max(length);
            }
            Received::Lost => {
                answer.complete = false;
                answer.end = Some(Ok(()));
            }
        })?;
        match answer.end.take() {
            Some(Ok(())) => return Ok(Attempt { complete: answer.complete, needed: answer.needed }),
            Some(Err(error)) => return Err(SocketError::Refused(error)),
            // The kernel makes the next part while it is read, so there is no other moment for anybody else.
            None if more => yield_now().await,
            None => socket.readable().await?,
        }
    }
}

/// What came of a dump so far.
struct DumpReply<'a> {
    links: &'a mut Vec<Link>,
    complete: bool,
    needed: usize,
    /// How it ended, or why the kernel refused; `None` while it goes on.
    end: Option<io::Result<()>>,
}

impl DumpReply<'_> {
    fn take(&mut self, datagram: &[u8]) {
        let mut messages = Messages::new(datagram);
        for message in messages.by_ref() {
            match message {
                Ok(NetlinkMessage::Link(LinkEvent::New(link))) => self.links.push(link),
                Ok(NetlinkMessage::Done(errno)) => {
                    if errno < 0 {
                        debug!(error = %io::Error::from_raw_os_error(-errno), "the kernel gave up a dump");
                        self.complete = false;
                    }
                    self.end = Some(Ok(()));
                }
                Ok(NetlinkMessage::Error(errno)) => self.end = Some(Err(io::Error::from_raw_os_error(-errno))),
                Ok(_) => {}
                Err(error) => {
                    debug!(error = %error, "message of a dump not understood");
                    self.complete = false;
                }
            }
        }
        self.complete &= !messages.interrupted();
    }
}

/// `RTM_GETLINK` for all links, without the statistics that would triple its size.
fn request() -> Vec<u8> {
    const RTM_GETLINK: u16 = 18;
    const NLM_F_REQUEST_DUMP: u16 = 0x301;
    const IFLA_EXT_MASK: u16 = 29;
    const RTEXT_FILTER_SKIP_STATS: u32 = 1 << 3;
    let mut request = Vec::with_capacity(40);
    request.extend(40u32.to_ne_bytes());
    request.extend(RTM_GETLINK.to_ne_bytes());
    request.extend(NLM_F_REQUEST_DUMP.to_ne_bytes());
    request.extend(1u32.to_ne_bytes()); // sequence number: the socket lives for one request
    request.extend([0; 4]); // port id: filled in by the kernel
    request.extend([0; 16]); // struct ifinfomsg: any family, any link
    request.extend(8u16.to_ne_bytes());
    request.extend(IFLA_EXT_MASK.to_ne_bytes());
    request.extend(RTEXT_FILTER_SKIP_STATS.to_ne_bytes());
    request
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(errno: i32, flags: u16) -> bool {
        let mut links = Vec::new();
        let mut answer = DumpReply { links: &mut links, complete: true, needed: 0, end: None };
        let mut done = Vec::new();
        done.extend(20u32.to_ne_bytes());
        done.extend(3u16.to_ne_bytes()); // NLMSG_DONE
        done.extend(flags.to_ne_bytes());
        done.extend([0; 8]);
        done.extend(errno.to_ne_bytes());
        answer.take(&done);
        assert!(matches!(answer.end, Some(Ok(()))));
        answer.complete
    }

    #[test]
    fn a_dump_that_the_kernel_gave_up_is_not_complete() {
        const NLM_F_DUMP_INTR: u16 = 0x10;
        assert!(ended(0, 0));
        assert!(!ended(-12, 0), "ENOMEM");
        assert!(!ended(0, NLM_F_DUMP_INTR));
    }
}
