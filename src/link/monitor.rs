//! The kernel's link messages as they come.
//!
//! In: the multicast group `RTNLGRP_LINK`. Out: [`LinkEvent`]s in order, and what was lost. The socket is read in batches
//! into one buffer that is used again; nothing is allocated for an event.

use tracing::warn;

use super::event::LinkEvent;
use super::parse::{Messages, NetlinkMessage};
use super::socket::{Places, Received, Socket, SocketError};

/// `RTMGRP_LINK`, the bit of group `RTNLGRP_LINK`.
const LINK_GROUP: u32 = 1;
/// Datagrams read by one system call.
const PLACES: usize = 16;
/// A message of the group is 1 to 2 KiB long. One that is longer than this costs a dump, and the places grow.
const PLACE: usize = 16 * 1024;
/// Reads before the loop looks at its other work again.
const READS: usize = 16;

/// What one batch brought besides its events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadSummary {
    pub events: usize,
    /// Datagrams that did not come from the kernel.
    pub foreign: u32,
    /// Messages that were not understood; they count as lost.
    pub malformed: u32,
    /// Messages that were larger than their place; they are lost. The places have grown for the next one, unless it is
    /// larger than a place may be.
    pub truncated: u32,
    /// Messages were lost: only a dump tells what is true now.
    pub lost: bool,
    /// There may be more to read at once.
    pub more: bool,
}

/// A subscription to the kernel's link messages.
#[derive(Debug)]
pub struct Monitor {
    socket: Socket,
    places: Places,
    granted: usize,
}

impl Monitor {
    /// Subscribes, with a receive buffer of `receive_buffer` bytes or what the kernel grants of them.
    pub fn open(receive_buffer: usize) -> Result<Self, SocketError> {
        let socket = Socket::open(LINK_GROUP)?;
        let granted = socket.set_receive_buffer(receive_buffer);
        Ok(Self { socket, places: Places::new(PLACES, PLACE), granted })
    }

    /// The size of the receive buffer that the kernel granted, in bytes.
    pub fn granted(&self) -> usize {
        self.granted
    }

    /// Waits until there is something to read. Cancel safe.
    pub async fn readable(&self) -> Result<(), SocketError> {
        self.socket.readable().await
    }

    /// Reads what is there, up to a batch, and hands each event on in the kernel's order.
    pub fn read(&mut self, mut each: impl FnMut(LinkEvent)) -> Result<ReadSummary, SocketError> {
        let mut batch = ReadSummary { more: true, ..ReadSummary::default() };
        for _ in 0..READS {
            let mut needed = 0;
            batch.more = self.socket.receive(&mut self.places, |received| match received {
                Received::Datagram(datagram) => {
                    for message in Messages::new(datagram) {
                        match message {
                            Ok(NetlinkMessage::Link(event)) => {
                                batch.events += 1;
                                each(event);
                            }
                            Ok(_) => {}
                            Err(error) => {
                                warn!(error = %error, "link message not understood, asking the kernel for all links");
                                batch.malformed += 1;
                                batch.lost = true;
                            }
                        }
                    }
                }
                Received::Foreign(port) => {
                    warn!(port, "netlink message refused, it does not come from the kernel");
                    batch.foreign += 1;
                }
                Received::Truncated(length) => {
                    warn!(bytes = length, "link message is larger than the buffer, asking the kernel for all links");
                    batch.truncated += 1;
                    batch.lost = true;
                    needed = needed.max(length);
                }
                Received::Lost => batch.lost = true,
            })?;
            self.places.grow(needed);
            if !batch.more {
                break;
            }
        }
        Ok(batch)
    }
}
