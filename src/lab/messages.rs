//! Link messages as the kernel sends them, made up: for more ports than a kernel can hold, and for measuring without one.

/// `RTM_NEWLINK`.
const NEWLINK: u16 = 16;
const IFNAME: u16 = 3;
const MTU: u16 = 4;
const LINKINFO: u16 = 18;
/// `IFF_UP | IFF_RUNNING`.
const UP: u32 = 0x41;

/// What Linux 6.18 says of an ifb link besides its name: type and length of each attribute, in its order.
const ATTRIBUTES: &[(u16, usize)] = &[
    (13, 4),
    (16, 1),
    (17, 1),
    (67, 1),
    (MTU, 4),
    (50, 4),
    (51, 4),
    (27, 4),
    (30, 4),
    (61, 4),
    (31, 4),
    (40, 4),
    (41, 4),
    (58, 4),
    (63, 4),
    (64, 4),
    (59, 4),
    (60, 4),
    (66, 4),
    (32, 4),
    (33, 1),
    (35, 4),
    (47, 4),
    (48, 4),
    (68, 2),
    (69, 2),
    (39, 1),
    (1, 6),
    (2, 6),
    (23, 200),
    (7, 96),
    (43, 8),
    (LINKINFO, 8),
    (6, 5),
    (26, 812),
    (14, 32),
    (32830, 0),
    (32833, 0),
];

/// Replaces what is in `out` by the message that a link is there, up or down, with this MTU.
pub fn new_link(out: &mut Vec<u8>, ifindex: u32, name: &str, up: bool, mtu: u32) {
    const VALUES: [u8; 812] = [0; 812];
    out.clear();
    out.extend([0; 4]);
    out.extend(NEWLINK.to_ne_bytes());
    out.extend([0; 10]);
    out.extend([0, 0, 1, 0]);
    out.extend(ifindex.to_ne_bytes());
    out.extend(if up { UP } else { 0 }.to_ne_bytes());
    out.extend([0; 4]);
    attribute(out, IFNAME, &[name.as_bytes(), &[0]]);
    for (kind, length) in ATTRIBUTES {
        match *kind {
            MTU => attribute(out, MTU, &[&mtu.to_ne_bytes()]),
            // Nested: its kind.
            LINKINFO => attribute(out, LINKINFO, &[&8u16.to_ne_bytes(), &1u16.to_ne_bytes(), b"ifb\0"]),
            kind => attribute(out, kind, &[&VALUES[..*length]]),
        }
    }
    let length = u32::try_from(out.len()).unwrap_or_default();
    out[..4].copy_from_slice(&length.to_ne_bytes());
}

fn attribute(out: &mut Vec<u8>, kind: u16, parts: &[&[u8]]) {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    out.extend(u16::try_from(length + 4).unwrap_or_default().to_ne_bytes());
    out.extend(kind.to_ne_bytes());
    for part in parts {
        out.extend_from_slice(part);
    }
    out.resize(out.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::parse::{Messages, NetlinkMessage};
    use crate::link::{Link, LinkEvent, LinkName};

    #[test]
    fn a_message_is_as_long_as_the_kernels_and_says_what_was_asked_for() {
        let mut out = Vec::new();
        new_link(&mut out, 7, "Ethernet0", true, 9100);
        assert_eq!(out.len(), 1488, "as recorded for this name");
        let link = Link {
            ifindex: 7,
            name: LinkName::new(b"Ethernet0").unwrap(),
            admin_up: true,
            oper_up: true,
            mtu: Some(9100),
            has_master: false,
            is_team: false,
            carrier_changes: Some(0),
        };
        let parsed: Vec<_> = Messages::new(&out).collect();
        assert_eq!(parsed, [Ok(NetlinkMessage::Link(LinkEvent::New(link)))]);
    }
}
