//! Many requests about links in few system calls, blocking, in the network namespace of the caller.
//!
//! In: indexes and what to do with them. [`Requests`] are encoded beforehand, so that sending one is a system call and nothing
//! else. The kernel carries requests out while they are sent: when [`Batch::send`] comes back, every change is made and told to
//! whoever listens, and what it refused stands in our socket. Links are plain ones of kind `ifb`, which cost little and run
//! whenever they are up.

use std::io::{self, ErrorKind};
use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, sendto, setsockopt, socket,
    sockopt,
};
use rtnetlink::packet_core::{
    NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REQUEST, NetlinkBuffer, NetlinkMessage, NetlinkPayload,
};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::link::{InfoKind, LinkAttribute, LinkFlags, LinkInfo, LinkMessage};

use super::Error;

/// Bytes sent at once; the kernel takes about 200 KiB.
const CHUNK: usize = 60 * 1024;
/// For the answers: a refusal repeats the whole request.
const RECEIVE_BUFFER: usize = 16 << 20;
/// The most that the kernel puts into one datagram of a dump.
const DATAGRAM: usize = 64 * 1024;
/// The group of all links made here, so that they can be deleted at once.
const GROUP: u32 = 0x706f_7274;

/// What a look at all links says of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub index: u32,
    pub name: String,
    /// All its flags, `IFF_UP` and `IFF_RUNNING` among them.
    pub flags: u32,
    pub mtu: u32,
}

impl Seen {
    /// `IFF_UP`.
    pub fn admin_up(&self) -> bool {
        LinkFlags::from_bits_retain(self.flags).contains(LinkFlags::Up)
    }

    /// `IFF_RUNNING`.
    pub fn running(&self) -> bool {
        LinkFlags::from_bits_retain(self.flags).contains(LinkFlags::Running)
    }
}

/// Encoded requests, in datagrams that the kernel takes.
#[derive(Debug, Default)]
pub struct Requests {
    chunks: Vec<Vec<u8>>,
    count: usize,
}

impl Requests {
    /// A new link for each name, with consecutive indexes from `first` on; they are down.
    pub fn add<'a>(names: impl IntoIterator<Item = &'a str>, first: u32) -> Self {
        let mut requests = Self::default();
        for (index, name) in (first..).zip(names) {
            let mut link = LinkMessage::default();
            link.header.index = index;
            link.attributes = vec![
                LinkAttribute::IfName(name.to_owned()),
                LinkAttribute::Group(GROUP),
                LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Ifb)]),
            ];
            requests.push(RouteNetlinkMessage::NewLink(link), NLM_F_CREATE | NLM_F_EXCL);
        }
        requests
    }

    /// Sets links up or down.
    pub fn admin(indexes: &[u32], up: bool) -> Self {
        Self::set(indexes, |link| {
            link.header.change_mask = LinkFlags::Up;
            link.header.flags = if up { LinkFlags::Up } else { LinkFlags::empty() };
        })
    }

    /// Sets the MTU of links.
    pub fn mtu(indexes: &[u32], mtu: u32) -> Self {
        Self::set(indexes, |link| link.attributes.push(LinkAttribute::Mtu(mtu)))
    }

    /// Deletes every link that [`Self::add`] made.
    pub fn delete_all() -> Self {
        let mut requests = Self::default();
        let mut link = LinkMessage::default();
        link.attributes.push(LinkAttribute::Group(GROUP));
        requests.push(RouteNetlinkMessage::DelLink(link), 0);
        requests
    }

    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    fn set(indexes: &[u32], change: impl Fn(&mut LinkMessage)) -> Self {
        let mut requests = Self::default();
        for index in indexes {
            let mut link = LinkMessage::default();
            link.header.index = *index;
            change(&mut link);
            requests.push(RouteNetlinkMessage::SetLink(link), 0);
        }
        requests
    }

    fn push(&mut self, message: RouteNetlinkMessage, flags: u16) {
        let bytes = encode(message, NLM_F_REQUEST | flags);
        self.count += 1;
        match self.chunks.last_mut() {
            Some(chunk) if chunk.len() + bytes.len() <= CHUNK => chunk.extend(bytes),
            _ => self.chunks.push(bytes),
        }
    }
}

fn encode(message: RouteNetlinkMessage, flags: u16) -> Vec<u8> {
    let mut message = NetlinkMessage::from(message);
    message.header.flags = flags;
    message.finalize();
    let mut bytes = vec![0; message.buffer_len().next_multiple_of(4)];
    message.serialize(&mut bytes);
    bytes
}

#[derive(Debug)]
pub struct Batch {
    socket: OwnedFd,
    buffer: Vec<u8>,
}

impl Batch {
    pub fn open() -> Result<Self, Error> {
        let failed = |errno: Errno| Error::io("open a netlink socket")(errno.into());
        let socket = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkRoute)
            .map_err(failed)?;
        bind(socket.as_raw_fd(), &NetlinkAddr::new(0, 0)).map_err(failed)?;
        if setsockopt(&socket, sockopt::RcvBufForce, &RECEIVE_BUFFER).is_err() {
            setsockopt(&socket, sockopt::RcvBuf, &RECEIVE_BUFFER).map_err(failed)?;
        }
        Ok(Self { socket, buffer: vec![0; DATAGRAM] })
    }

    /// Has the requests carried out; an error if the kernel refused any.
    pub fn send(&mut self, requests: &Requests) -> Result<(), Error> {
        for chunk in &requests.chunks {
            self.write(chunk)?;
        }
        self.refusals()
    }

    /// Sends the requests and does not look what the kernel says to them; [`Self::refusals`] does that.
    pub fn send_only(&mut self, requests: &Requests) -> Result<(), Error> {
        requests.chunks.iter().try_for_each(|chunk| self.write(chunk))
    }

    /// An error if the kernel refused any request since the last look. It answers while it is being asked, so what it has not
    /// refused by now is done.
    pub fn refusals(&mut self) -> Result<(), Error> {
        let (mut first, mut count) = (None, 0);
        while let Some(length) = self.read(MsgFlags::MSG_DONTWAIT)? {
            for message in NetlinkReplies(&self.buffer[..length]) {
                let Ok(NetlinkPayload::Error(answer)) = message.map(|message| message.payload) else { continue };
                if answer.raw_code() != 0 {
                    count += 1;
                    first.get_or_insert(io::Error::from_raw_os_error(-answer.raw_code()));
                }
            }
        }
        match first {
            None => Ok(()),
            Some(source) => Err(Error::io(format!("change links: the kernel refused {count} requests"))(source)),
        }
    }

    /// Every link of the namespace, in the kernel's order.
    pub fn list(&mut self) -> Result<Vec<Seen>, Error> {
        self.write(&encode(RouteNetlinkMessage::GetLink(LinkMessage::default()), NLM_F_REQUEST | NLM_F_DUMP))?;
        let mut links = Vec::new();
        loop {
            let length = self.read(MsgFlags::empty())?.unwrap_or_default();
            for message in NetlinkReplies(&self.buffer[..length]) {
                match message.map(|message| message.payload) {
                    Ok(NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(link))) => links.push(seen(&link)),
                    Ok(NetlinkPayload::Done(_)) => return Ok(links),
                    Ok(NetlinkPayload::Error(answer)) if answer.raw_code() != 0 => {
                        let source = io::Error::from_raw_os_error(-answer.raw_code());
                        return Err(Error::io("list the links")(source));
                    }
                    Ok(_) => {}
                    Err(source) => return Err(Error::io("understand the kernel's list of links")(source)),
                }
            }
        }
    }

    fn write(&self, bytes: &[u8]) -> Result<(), Error> {
        sendto(self.socket.as_raw_fd(), bytes, &NetlinkAddr::new(0, 0), MsgFlags::empty())
            .map(drop)
            .map_err(|errno| Error::io("send requests about links to the kernel")(errno.into()))
    }

    fn read(&mut self, flags: MsgFlags) -> Result<Option<usize>, Error> {
        loop {
            match recv(self.socket.as_raw_fd(), &mut self.buffer, flags) {
                Ok(length) => return Ok(Some(length)),
                Err(Errno::EAGAIN) => return Ok(None),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(Error::io("read the kernel's answer about links")(errno.into())),
            }
        }
    }
}

/// The messages of one datagram.
struct NetlinkReplies<'a>(&'a [u8]);

impl Iterator for NetlinkReplies<'_> {
    type Item = io::Result<NetlinkMessage<RouteNetlinkMessage>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let bad = |error: String| io::Error::new(ErrorKind::InvalidData, error);
        let length = match NetlinkBuffer::new_checked(self.0) {
            Ok(buffer) => buffer.length() as usize,
            Err(error) => {
                self.0 = &[];
                return Some(Err(bad(error.to_string())));
            }
        };
        let message = NetlinkMessage::deserialize(&self.0[..length]).map_err(|error| bad(error.to_string()));
        self.0 = self.0.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(message)
    }
}

fn seen(message: &LinkMessage) -> Seen {
    let mut link =
        Seen { index: message.header.index, name: String::new(), flags: message.header.flags.bits(), mtu: 0 };
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name.clone_from(name),
            LinkAttribute::Mtu(mtu) => link.mtu = *mtu,
            _ => {}
        }
    }
    link
}

#[cfg(test)]
mod tests {
    use super::super::netns::enter_private;
    use super::*;

    #[test]
    fn many_links_are_made_changed_and_deleted() {
        enter_private().unwrap();
        let names: Vec<String> = (0..3000).map(|n| format!("Ethernet{n}")).collect();
        let indexes: Vec<u32> = (1000..4000).collect();
        let mut batch = Batch::open().unwrap();
        let add = Requests::add(names.iter().map(String::as_str), 1000);
        assert!(add.chunks.len() > 1 && add.chunks.iter().all(|chunk| chunk.len() <= CHUNK));
        assert_eq!(add.len(), 3000);
        batch.send(&add).unwrap();
        batch.send(&Requests::admin(&indexes, true)).unwrap();
        batch.send(&Requests::mtu(&indexes, 9000)).unwrap();
        batch.send(&Requests::mtu(&indexes[..1], 4000)).unwrap();
        let ports: Vec<Seen> = batch.list().unwrap().into_iter().filter(|l| l.name.starts_with("Ethernet")).collect();
        assert_eq!(ports.iter().map(|l| &l.name).collect::<Vec<_>>(), names.iter().collect::<Vec<_>>());
        assert_eq!(ports.iter().map(|l| l.index).collect::<Vec<_>>(), indexes);
        assert!(ports.iter().all(|l| l.admin_up() && l.running()));
        assert!(ports.iter().all(|l| l.mtu == if l.index == 1000 { 4000 } else { 9000 }));
        batch.send(&Requests::delete_all()).unwrap();
        assert!(batch.list().unwrap().iter().all(|l| !l.name.starts_with("Ethernet")));
    }

    #[test]
    fn a_refusal_is_told_and_the_rest_is_done() {
        enter_private().unwrap();
        let mut batch = Batch::open().unwrap();
        batch.send(&Requests::add(["Ethernet0", "Ethernet4"], 10)).unwrap();
        let error = batch.send(&Requests::mtu(&[10, 99, 98, 11], 4000)).unwrap_err();
        assert!(error.to_string().contains("refused 2 requests"), "{error}");
        let changed = batch.list().unwrap().into_iter().filter(|l| l.mtu == 4000).count();
        assert_eq!(changed, 2);
        batch.send(&Requests::mtu(&[10], 4001)).unwrap();
    }
}
