//! A datagram of `NETLINK_ROUTE` in, link events out.
//!
//! Only the attributes that a row needs are looked at, in place and without allocating. Lengths are checked at each step:
//! a message that contradicts itself ends the datagram with an error and never a panic. Layouts: `linux/netlink.h`,
//! `linux/rtnetlink.h`, `linux/if_link.h`; numbers are in the host's byte order.

use thiserror::Error;

use super::event::{Link, LinkEvent, LinkName};

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
const NLM_F_DUMP_INTR: u16 = 0x10;

const NLMSG_HEADER: usize = 16;
const IFINFOMSG: usize = 16;
const ATTRIBUTE_HEADER: usize = 4;
/// `NLA_TYPE_MASK`: the two upper bits of an attribute's type are flags.
const ATTRIBUTE_TYPE: u16 = 0x3fff;

const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_MASTER: u16 = 10;
const IFLA_LINKINFO: u16 = 18;
const IFLA_CARRIER_CHANGES: u16 = 35;
const IFLA_INFO_KIND: u16 = 1;

const IFF_UP: u32 = 1;
const IFF_RUNNING: u32 = 0x40;

/// What one netlink message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetlinkMessage {
    /// A link is there, or is gone.
    Link(LinkEvent),
    /// The end of a dump: 0, or the negative errno for which the kernel gave it up.
    Done(i32),
    /// The kernel's answer to a request: 0, or a negative errno.
    Error(i32),
    Other,
}

/// A message that contradicts itself.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum ParseError {
    /// The datagram ends before the length that its header gives.
    #[error("netlink message is cut short: {have} bytes of {need}")]
    Short {
        /// Bytes that are there.
        have: usize,
        /// Bytes that the header announces.
        need: usize,
    },
    /// An attribute reaches over the end of its message.
    #[error("netlink attribute {kind} reaches over the end of its message")]
    Attribute { kind: u16 },
    /// A link without a name, or with one longer than the kernel allows.
    #[error("link message of ifindex {ifindex} has no usable name")]
    Name { ifindex: u32 },
}

/// The messages of one datagram, in order.
#[derive(Debug)]
pub struct Messages<'a> {
    rest: &'a [u8],
    interrupted: bool,
}

impl<'a> Messages<'a> {
    /// Starts at the first byte of a datagram.
    pub fn new(datagram: &'a [u8]) -> Self {
        Self { rest: datagram, interrupted: false }
    }

    /// Whether a message so far bore `NLM_F_DUMP_INTR`: the links changed during the dump, so it may lack some.
    pub fn interrupted(&self) -> bool {
        self.interrupted
    }
}

impl Iterator for Messages<'_> {
    type Item = Result<NetlinkMessage, ParseError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let have = self.rest.len();
        let need = match u32_at(self.rest, 0) {
            Some(length) if have >= NLMSG_HEADER => length as usize,
            _ => NLMSG_HEADER,
        };
        if need < NLMSG_HEADER || need > have {
            self.rest = &[];
            return Some(Err(ParseError::Short { have, need }));
        }
        let (message, rest) = self.rest.split_at(need);
        self.rest = rest.get(align(need) - need..).unwrap_or_default();
        let flags = u16_at(message, 6).unwrap_or_default();
        self.interrupted |= flags & NLM_F_DUMP_INTR != 0;
        Some(parse(message))
    }
}

fn parse(message: &[u8]) -> Result<NetlinkMessage, ParseError> {
    let body = &message[NLMSG_HEADER..];
    match u16_at(message, 4).unwrap_or_default() {
        RTM_NEWLINK => Ok(NetlinkMessage::Link(LinkEvent::New(link(body)?))),
        RTM_DELLINK => Ok(NetlinkMessage::Link(LinkEvent::Del(link(body)?))),
        // Kernels that have nothing to say may leave the body out.
        NLMSG_DONE => Ok(NetlinkMessage::Done(u32_at(body, 0).unwrap_or_default().cast_signed())),
        NLMSG_ERROR => {
            let errno = u32_at(body, 0).ok_or(ParseError::Short { have: body.len(), need: 4 })?;
            Ok(NetlinkMessage::Error(errno.cast_signed()))
        }
        _ => Ok(NetlinkMessage::Other),
    }
}

fn link(body: &[u8]) -> Result<Link, ParseError> {
    let short = ParseError::Short { have: body.len(), need: IFINFOMSG };
    let ifindex = u32_at(body, 4).ok_or(short)?;
    let flags = u32_at(body, 8).ok_or(short)?;
    let (mut name, mut mtu, mut has_master, mut is_team, mut carrier_changes) = (None, None, false, false, None);
    for attribute in Attributes(body.get(IFINFOMSG..).ok_or(short)?) {
        let (kind, value) = attribute?;
        match kind {
            IFLA_IFNAME => name = LinkName::new(until_nul(value)),
            IFLA_MTU => mtu = u32_at(value, 0),
            IFLA_MASTER => has_master = u32_at(value, 0).is_some_and(|master| master != 0),
            IFLA_CARRIER_CHANGES => carrier_changes = u32_at(value, 0),
            IFLA_LINKINFO => {
                is_team = Attributes(value)
                    .filter_map(Result::ok)
                    .any(|(kind, value)| kind == IFLA_INFO_KIND && until_nul(value) == b"team");
            }
            _ => {}
        }
    }
    Ok(Link {
        ifindex,
        name: name.ok_or(ParseError::Name { ifindex })?,
        admin_up: flags & IFF_UP != 0,
        oper_up: flags & IFF_RUNNING != 0,
        mtu,
        has_master,
        is_team,
        carrier_changes,
    })
}

/// The attributes of a message, in order: type and value.
struct Attributes<'a>(&'a [u8]);

impl<'a> Iterator for Attributes<'a> {
    type Item = Result<(u16, &'a [u8]), ParseError>;

    fn next(&mut self) -> Option<Self::Item> {
        // Fewer bytes than a header are padding, as the kernel's own nla_ok() has it.
        if self.0.len() < ATTRIBUTE_HEADER {
            return None;
        }
        let length = usize::from(u16_at(self.0, 0)?);
        let kind = u16_at(self.0, 2)? & ATTRIBUTE_TYPE;
        if length < ATTRIBUTE_HEADER || length > self.0.len() {
            self.0 = &[];
            return Some(Err(ParseError::Attribute { kind }));
        }
        let value = &self.0[ATTRIBUTE_HEADER..length];
        self.0 = self.0.get(align(length)..).unwrap_or_default();
        Some(Ok((kind, value)))
    }
}

fn align(length: usize) -> usize {
    (length + 3) & !3
}

fn until_nul(value: &[u8]) -> &[u8] {
    value.split(|byte| *byte == 0).next().unwrap_or_default()
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2)?.try_into().ok().map(u16::from_ne_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend(u16::try_from(value.len() + 4).unwrap().to_ne_bytes());
        out.extend(kind.to_ne_bytes());
        out.extend(value);
        out.resize(align(out.len()), 0);
        out
    }

    fn message(kind: u16, flags: u16, body: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend(u32::try_from(body.len() + 16).unwrap().to_ne_bytes());
        out.extend(kind.to_ne_bytes());
        out.extend(flags.to_ne_bytes());
        out.extend([0; 8]);
        out.extend(body);
        out.resize(align(out.len()), 0);
        out
    }

    fn link_body(ifindex: u32, flags: u32, attributes: &[Vec<u8>]) -> Vec<u8> {
        let mut out = vec![0; 4];
        out.extend(ifindex.to_ne_bytes());
        out.extend(flags.to_ne_bytes());
        out.extend([0; 4]);
        out.extend(attributes.concat());
        out
    }

    #[test]
    fn a_link_message_gives_what_the_row_needs() {
        let body = link_body(
            7,
            IFF_UP | IFF_RUNNING | 0x1000,
            &[
                attribute(IFLA_IFNAME, b"Ethernet0\0"),
                attribute(IFLA_MTU, &9100u32.to_ne_bytes()),
                attribute(IFLA_CARRIER_CHANGES, &5u32.to_ne_bytes()),
                attribute(IFLA_LINKINFO | 0x8000, &attribute(IFLA_INFO_KIND, b"veth\0")),
            ],
        );
        let datagram = [message(RTM_NEWLINK, 0, &body), message(RTM_DELLINK, 0, &body)].concat();
        let link = Link {
            ifindex: 7,
            name: LinkName::new(b"Ethernet0").unwrap(),
            admin_up: true,
            oper_up: true,
            mtu: Some(9100),
            has_master: false,
            is_team: false,
            carrier_changes: Some(5),
        };
        let got: Vec<_> = Messages::new(&datagram).collect();
        assert_eq!(
            got,
            [Ok(NetlinkMessage::Link(LinkEvent::New(link))), Ok(NetlinkMessage::Link(LinkEvent::Del(link)))]
        );
    }

    #[test]
    fn master_and_team_are_seen() {
        let body = link_body(
            3,
            0,
            &[
                attribute(IFLA_IFNAME, b"PortChannel1\0"),
                attribute(IFLA_MASTER, &9u32.to_ne_bytes()),
                attribute(IFLA_LINKINFO, &attribute(IFLA_INFO_KIND, b"team\0")),
            ],
        );
        let datagram = message(RTM_NEWLINK, 0, &body);
        let Some(Ok(NetlinkMessage::Link(LinkEvent::New(link)))) = Messages::new(&datagram).next() else { panic!() };
        assert!(link.has_master && link.is_team && !link.admin_up && link.mtu.is_none());
    }

    #[test]
    fn dump_flags_errors_and_ends_are_told_apart() {
        let datagram = [
            message(NLMSG_ERROR, 0, &(-16i32).to_ne_bytes()),
            message(77, 0, &[]),
            message(NLMSG_DONE, 0, &(-12i32).to_ne_bytes()),
            message(NLMSG_DONE, NLM_F_DUMP_INTR, &[]),
        ]
        .concat();
        let mut messages = Messages::new(&datagram);
        assert_eq!(messages.next(), Some(Ok(NetlinkMessage::Error(-16))));
        assert_eq!(messages.next(), Some(Ok(NetlinkMessage::Other)));
        assert_eq!(messages.next(), Some(Ok(NetlinkMessage::Done(-12))));
        assert!(!messages.interrupted());
        assert_eq!(messages.next(), Some(Ok(NetlinkMessage::Done(0))));
        assert!(messages.interrupted());
        assert_eq!(messages.next(), None);
    }

    #[test]
    fn contradictions_are_errors() {
        assert!(matches!(Messages::new(&[1, 2, 3]).next(), Some(Err(ParseError::Short { .. }))));
        let mut long = message(RTM_NEWLINK, 0, &link_body(1, 0, &[]));
        long[0] = 200;
        assert!(matches!(Messages::new(&long).next(), Some(Err(ParseError::Short { have: 32, need: 200 }))));
        let nameless = message(RTM_NEWLINK, 0, &link_body(1, 0, &[]));
        assert_eq!(Messages::new(&nameless).next(), Some(Err(ParseError::Name { ifindex: 1 })));
        let over = message(RTM_NEWLINK, 0, &link_body(1, 0, &[vec![200, 0, 3, 0]]));
        assert_eq!(Messages::new(&over).next(), Some(Err(ParseError::Attribute { kind: IFLA_IFNAME })));
    }

    proptest! {
        #[test]
        fn any_bytes_end_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
            prop_assert!(Messages::new(&bytes).count() <= bytes.len() / NLMSG_HEADER + 1);
        }

        #[test]
        fn any_cut_or_flip_of_a_message_ends_without_panic(cut in 0usize..80, at in 0usize..80, with in any::<u8>()) {
            let body = link_body(7, 1, &[attribute(IFLA_IFNAME, b"Ethernet0\0"), attribute(IFLA_MTU, &[0; 4])]);
            let mut datagram = message(RTM_NEWLINK, 0, &body);
            datagram.truncate(cut);
            if let Some(byte) = datagram.get_mut(at) { *byte = with; }
            let _ = Messages::new(&datagram).count();
        }
    }
}
