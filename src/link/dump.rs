//! All links of the namespace at one moment.
//!
//! A dump has a socket of its own, so that its answer never mixes with the messages of the group. The kernel sends it in
//! parts and marks a part with `NLM_F_DUMP_INTR` when links came or went in between; such a dump may lack links and is
//! asked for again, a bounded number of times.

use std::io;
use std::time::Duration;

use tokio::task::yield_now;
use tokio::time::sleep;
use tracing::debug;

use super::event::{Link, LinkEvent};
use super::parse::{Message, Messages};
use super::socket::{Places, Received, Socket, SocketError};

/// How often an interrupted dump is repeated before it is handed on as it is.
const ATTEMPTS: u32 = 6;
const FIRST_PAUSE: Duration = Duration::from_millis(2);
const BUFFER: usize = 64 * 1024;
/// Enough for the parts of a dump that the kernel has ready; it waits for us before it makes more.
const RECEIVE_BUFFER: usize = 1024 * 1024;

/// The kernel's links at one moment.
#[derive(Debug, Default)]
pub struct Dump {
    /// Each link once, in the kernel's order.
    pub links: Vec<Link>,
    /// Whether no link can be missing. A dump that was interrupted at each attempt proves no absence.
    pub complete: bool,
    /// How often it was asked for again.
    pub retries: u32,
}

/// Asks the kernel for all links.
pub async fn dump() -> Result<Dump, SocketError> {
    let mut result = Dump::default();
    let mut pause = FIRST_PAUSE;
    loop {
        result.links.clear();
        result.complete = attempt(&mut result.links).await?;
        if result.complete || result.retries + 1 == ATTEMPTS {
            return Ok(result);
        }
        result.retries += 1;
        debug!(retry = result.retries, "links changed during the dump, asking again");
        sleep(pause).await;
        pause *= 2;
    }
}

/// One dump; says whether it was complete.
async fn attempt(links: &mut Vec<Link>) -> Result<bool, SocketError> {
    let socket = Socket::open(0)?;
    socket.set_receive_buffer(RECEIVE_BUFFER);
    socket.send(&request())?;
    let mut places = Places::new(1, BUFFER);
    let mut answer = Answer { links, complete: true, end: None };
    loop {
        let more = socket.receive(&mut places, |received| match received {
            Received::Datagram(datagram) => answer.take(datagram),
            Received::Foreign(_) => {}
            Received::Lost => answer.end = Some(Ok(false)),
        })?;
        match answer.end.take() {
            Some(end) => return end.map_err(SocketError::Refused),
            // The kernel makes the next part while it is read, so there is no other moment for anybody else.
            None if more => yield_now().await,
            None => socket.readable().await?,
        }
    }
}

/// What came of a dump so far.
struct Answer<'a> {
    links: &'a mut Vec<Link>,
    complete: bool,
    /// Whether it was complete, or why the kernel refused; `None` while it goes on.
    end: Option<io::Result<bool>>,
}

impl Answer<'_> {
    fn take(&mut self, datagram: &[u8]) {
        let mut messages = Messages::new(datagram);
        for message in messages.by_ref() {
            match message {
                Ok(Message::Link(LinkEvent::New(link))) => self.links.push(link),
                Ok(Message::Done) => self.end = Some(Ok(true)),
                Ok(Message::Error(errno)) => self.end = Some(Err(io::Error::from_raw_os_error(-errno))),
                Ok(_) => {}
                Err(error) => {
                    debug!(error = %error, "message of a dump not understood");
                    self.complete = false;
                }
            }
        }
        self.complete &= !messages.interrupted();
        if let Some(Ok(complete)) = &mut self.end {
            *complete &= self.complete;
        }
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
