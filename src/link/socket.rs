//! A `NETLINK_ROUTE` socket: opened, sized, read one datagram at a time without blocking.

use std::io::{self, IoSliceMut};
use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, getsockopt, recvmsg, sendto,
    setsockopt, socket, sockopt,
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

/// What one read brought.
#[derive(Debug)]
pub(super) enum Received {
    /// A datagram of this length is in the buffer.
    Datagram(usize),
    /// A datagram from a port that is not the kernel's; thrown away.
    Foreign(u32),
    /// The kernel had to drop messages (`ENOBUFS`), or one did not fit into the buffer.
    Lost,
    /// Nothing more for now.
    Empty,
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

    /// Reads one datagram into `buffer` if there is one.
    pub(super) fn receive(&self, buffer: &mut [u8]) -> Result<Received, SocketError> {
        let outcome = self.0.try_io(Interest::READABLE, |fd| {
            let mut parts = [IoSliceMut::new(buffer)];
            let message = recvmsg::<NetlinkAddr>(fd.as_raw_fd(), &mut parts, None, MsgFlags::empty())?;
            let sender = message.address.map_or(0, |address| address.pid());
            Ok((message.bytes, message.flags, sender))
        });
        match outcome {
            Ok((_, _, sender)) if sender != 0 => Ok(Received::Foreign(sender)),
            Ok((_, flags, _)) if flags.contains(MsgFlags::MSG_TRUNC) => Ok(Received::Lost),
            Ok((length, _, _)) => Ok(Received::Datagram(length)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Received::Empty),
            Err(error) => match error.raw_os_error().map(Errno::from_raw) {
                Some(Errno::ENOBUFS) => Ok(Received::Lost),
                Some(Errno::EINTR) => Ok(Received::Empty),
                _ => Err(SocketError::Read(error)),
            },
        }
    }
}
