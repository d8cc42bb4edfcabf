//! A `NETLINK_ROUTE` socket: opened, sized, read without blocking, many datagrams by one system call.

use std::cell::Cell;
use std::io::{self, IoSliceMut};
use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, MultiHeaders, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, getsockopt, recvmmsg,
    sendto, setsockopt, socket, sockopt,
};
use thiserror::Error;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// What went wrong with a netlink socket, by what was being done.
#[derive(Debug, Error)]
pub enum SocketError {
    /// The kernel gave no socket.
    #[error("cannot open a netlink socket")]
    Open(#[source] io::Error),
    /// The kernel refused the subscription.
    #[error("cannot subscribe to the kernel's link messages")]
    Subscribe(#[source] io::Error),
    /// A request could not be sent.
    #[error("cannot ask the kernel for its links")]
    Request(#[source] io::Error),
    /// Reading failed for good.
    #[error("cannot read from the netlink socket")]
    Read(#[source] io::Error),
    /// The kernel answered a request with an error.
    #[error("the kernel refused to list its links")]
    Refused(#[source] io::Error),
}

/// What came of one datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Received<'a> {
    /// A datagram of the kernel.
    Datagram(&'a [u8]),
    /// A datagram from a port that is not the kernel's; thrown away.
    Foreign(u32),
    /// A datagram of the kernel that did not fit into its place: how many bytes it has. What it said is gone.
    Truncated(usize),
    /// The kernel had to drop messages (`ENOBUFS`).
    Lost,
}

/// Room for the datagrams of one read, used again and again. Memory that no datagram reached is never touched.
#[derive(Debug)]
pub(super) struct Places {
    bytes: Box<[u8]>,
    size: usize,
    headers: MultiHeaders<NetlinkAddr>,
    filled: [Filled; Places::MOST],
}

/// One datagram as `recvmmsg` describes it.
#[derive(Clone, Copy, Debug)]
struct Filled {
    /// Its length as it was sent, also of one that was cut.
    length: usize,
    cut: bool,
    sender: u32,
}

impl Places {
    /// Places of one read, at the most.
    const MOST: usize = 16;
    /// A place does not become larger than this, and all of them together do not by growing.
    const LARGEST: usize = 1024 * 1024;

    /// Room for `count` datagrams (16 at the most) of up to `size` bytes.
    pub(super) fn new(count: usize, size: usize) -> Self {
        let count = count.clamp(1, Self::MOST);
        Self {
            bytes: vec![0; count * size].into_boxed_slice(),
            size,
            headers: MultiHeaders::preallocate(count, None),
            filled: [Filled { length: 0, cut: false, sender: 0 }; Self::MOST],
        }
    }

    /// Makes each place large enough for a datagram of `needed` bytes, or as large as a place may be. What was read is
    /// gone. The room as a whole keeps its bound: larger places are fewer. False if they are as large already.
    pub(super) fn grow(&mut self, needed: usize) -> bool {
        let size = needed.min(Self::LARGEST).next_power_of_two();
        if size <= self.size {
            return false;
        }
        *self = Self::new(self.count().min(Self::LARGEST / size), size);
        true
    }

    /// How many datagrams fit into one read.
    fn count(&self) -> usize {
        self.bytes.len() / self.size
    }

    /// Reads as many datagrams as are there and fit; an error only if there was none.
    fn fill(&mut self, fd: &OwnedFd) -> io::Result<usize> {
        let count = self.count();
        let mut parts = self.bytes.chunks_exact_mut(self.size);
        let mut slices: [[IoSliceMut<'_>; 1]; Self::MOST] =
            std::array::from_fn(|_| [IoSliceMut::new(parts.next().unwrap_or_default())]);
        // With this flag the length of a datagram that does not fit is what it would have needed.
        let flags = MsgFlags::MSG_TRUNC;
        let received = recvmmsg(fd.as_raw_fd(), &mut self.headers, slices[..count].iter_mut(), flags, None)?;
        let mut filled = 0;
        for (place, message) in self.filled.iter_mut().zip(received) {
            *place = Filled {
                length: message.bytes,
                cut: message.flags.contains(MsgFlags::MSG_TRUNC),
                sender: message.address.map_or(0, |address| address.pid()),
            };
            filled += 1;
        }
        Ok(filled)
    }

    fn received(&self, place: usize) -> Received<'_> {
        let Filled { length, cut, sender } = self.filled[place];
        match sender {
            0 if cut => Received::Truncated(length),
            0 => Received::Datagram(&self.bytes[place * self.size..][..length]),
            other => Received::Foreign(other),
        }
    }
}

/// An open netlink socket, registered with the runtime.
#[derive(Debug)]
pub(super) struct Socket(AsyncFd<OwnedFd>);

impl Socket {
    /// Opens a socket that listens to `groups` (a bit mask, 0 for none).
    pub(super) fn open(groups: u32) -> Result<Self, SocketError> {
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let fd = socket(AddressFamily::Netlink, SockType::Raw, flags, SockProtocol::NetlinkRoute)
            .map_err(|errno| SocketError::Open(errno.into()))?;
        bind(fd.as_raw_fd(), &NetlinkAddr::new(0, groups)).map_err(|errno| SocketError::Subscribe(errno.into()))?;
        #[expect(
            deprecated,
            reason = "the other way is unsafe code; the descriptor inside is never exchanged, which is what it is about"
        )]
        let fd = AsyncFd::with_interest(fd, Interest::READABLE).map_err(SocketError::Open)?;
        Ok(Self(fd))
    }

    /// Asks for a receive buffer of `bytes`; says how much the kernel granted, in the same measure.
    ///
    /// `SO_RCVBUFFORCE` goes beyond `net.core.rmem_max` but needs `CAP_NET_ADMIN`, so plain `SO_RCVBUF` is tried next.
    /// The kernel doubles the figure for its own book-keeping and reports the doubled one.
    pub(super) fn set_receive_buffer(&self, bytes: usize) -> usize {
        let fd = self.0.get_ref();
        if setsockopt(fd, sockopt::RcvBufForce, &bytes).is_err() {
            // A refusal shows in what is granted.
            let _ = setsockopt(fd, sockopt::RcvBuf, &bytes);
        }
        getsockopt(fd, sockopt::RcvBuf).unwrap_or_default() / 2
    }

    /// Sends one request to the kernel.
    pub(super) fn send(&self, request: &[u8]) -> Result<(), SocketError> {
        sendto(self.0.get_ref().as_raw_fd(), request, &NetlinkAddr::new(0, 0), MsgFlags::empty())
            .map(|_| ())
            .map_err(|errno| SocketError::Request(errno.into()))
    }

    /// Waits until there may be something to read. Cancel safe: it reads nothing.
    pub(super) async fn readable(&self) -> Result<(), SocketError> {
        self.0.readable().await.map(|_| ()).map_err(SocketError::Read)
    }

    /// Reads what is there into `places` and hands each datagram on. False if nothing is left to read for now; then
    /// [`readable`](Self::readable) waits for more.
    pub(super) fn receive(&self, places: &mut Places, mut each: impl FnMut(Received<'_>)) -> Result<bool, SocketError> {
        let mut count = 0;
        let asked = Cell::new(false);
        let mut read = |fd: &OwnedFd| {
            asked.set(true);
            count = places.fill(fd)?;
            // Fewer than fit: the queue is empty, as a further call would say. An error that ended the call early is
            // kept by the kernel for the next one, and has woken us already.
            if count < places.count() { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
        };
        let mut outcome = self.0.try_io(Interest::READABLE, &mut read);
        if !asked.get() {
            // The runtime has not heard of anything to read, which a wake-up by something else, a signal perhaps, can
            // forestall. What the kernel has is read all the same.
            outcome = read(self.0.get_ref());
        }
        for place in 0..count {
            each(places.received(place));
        }
        match outcome {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => match error.raw_os_error().map(Errno::from_raw) {
                Some(Errno::ENOBUFS) => {
                    each(Received::Lost);
                    Ok(true)
                }
                Some(Errno::EINTR) => Ok(true),
                _ => Err(SocketError::Read(error)),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_grow_to_what_is_needed_and_become_fewer() {
        let mut places = Places::new(16, 16 * 1024);
        let sizes = |places: &Places| (places.count(), places.size);
        assert!(!places.grow(0) && !places.grow(16 * 1024));
        assert_eq!(sizes(&places), (16, 16 * 1024));
        assert!(places.grow(66_000));
        assert_eq!(sizes(&places), (8, 128 * 1024));
        assert!(places.grow(1024 * 1024 + 1));
        assert_eq!(sizes(&places), (1, 1024 * 1024), "as large as a place may be");
        assert!(!places.grow(4 * 1024 * 1024));
        let mut one = Places::new(1, 64 * 1024);
        assert!(one.grow(66_000));
        assert_eq!(sizes(&one), (1, 128 * 1024));
    }
}
