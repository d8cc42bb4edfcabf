//! What the kernel says about a link, cut down to what `SONiC`'s rows need.
//!
//! Nothing here owns memory: a link is a few words on the stack, so that reading ten thousand of them allocates nothing.

use std::fmt;
use std::hash::{Hash, Hasher};

/// The kernel's number of a link, unique within a network namespace while the link lives.
pub type IfIndex = u32;

/// Room for a link's name: the kernel's `IFNAMSIZ` without the closing NUL.
const NAME_CAPACITY: usize = 15;

/// A link's name: at most 15 bytes, neither empty nor with a NUL or `/` in it, but not always UTF-8.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct LinkName {
    /// The name, zeros, and in the last byte its length: one word of 128 bits to compare and to hash.
    bytes: [u8; NAME_CAPACITY + 1],
}

impl Hash for LinkName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u128(u128::from_ne_bytes(self.bytes));
    }
}

impl LinkName {
    /// The name, or `None` when the kernel could not have given it: empty, or longer than 15 bytes.
    pub fn new(name: &[u8]) -> Option<Self> {
        if name.is_empty() || name.len() > NAME_CAPACITY {
            return None;
        }
        let mut bytes = [0; NAME_CAPACITY + 1];
        bytes[..name.len()].copy_from_slice(name);
        bytes[NAME_CAPACITY] = u8::try_from(name.len()).ok()?;
        Some(Self { bytes })
    }

    /// The bytes of the name.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.bytes[NAME_CAPACITY])]
    }

    /// Whether this names a sub-interface (`Ethernet0.10`), whose STATE_DB row belongs to intfmgrd.
    pub fn is_sub_interface(&self) -> bool {
        self.as_bytes().contains(&b'.')
    }
}

impl fmt::Display for LinkName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = |byte: &u8| byte.is_ascii_graphic() && !b"'\"\\".contains(byte);
        match std::str::from_utf8(self.as_bytes()) {
            Ok(text) if text.as_bytes().iter().all(plain) => f.write_str(text),
            _ => write!(f, "{}", self.as_bytes().escape_ascii()),
        }
    }
}

impl fmt::Debug for LinkName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One link as a message of the kernel describes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// The kernel's number of the link.
    pub ifindex: IfIndex,
    /// Its name at the moment of the message.
    pub name: LinkName,
    /// `IFF_UP`: somebody wants the link to be up.
    pub admin_up: bool,
    /// `IFF_RUNNING`: the kernel says that it carries packets.
    pub oper_up: bool,
    /// `IFLA_MTU` in bytes; `None` where the message does not carry it.
    pub mtu: Option<u32>,
    /// Whether the message names a master (a bridge, as a rule). All of family `AF_BRIDGE` do.
    pub has_master: bool,
    /// Whether the link is of kind `team`, which teamsyncd looks after. Messages of family `AF_BRIDGE` never say so.
    pub is_team: bool,
    /// `IFLA_CARRIER_CHANGES`: how often the carrier came or went since the link was made, modulo 2^32; `None` where the
    /// message does not carry it, as those of family `AF_BRIDGE`. The sum of `IFLA_CARRIER_UP_COUNT` and `_DOWN_COUNT`.
    pub carrier_changes: Option<u32>,
}

/// A message of the link group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkEvent {
    /// `RTM_NEWLINK`: the link is there, new or changed.
    New(Link),
    /// `RTM_DELLINK`: the link is gone from this namespace, or (with a master) has left a bridge.
    Del(Link),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_kernels_lengths_are_taken() {
        assert!(LinkName::new(b"").is_none());
        assert_eq!(LinkName::new(b"Ethernet0").map(|n| n.to_string()).as_deref(), Some("Ethernet0"));
        assert_eq!(LinkName::new(&[b'x'; 15]).map(|n| n.as_bytes().len()), Some(15));
        assert!(LinkName::new(&[b'x'; 16]).is_none());
    }

    #[test]
    fn a_dot_makes_a_sub_interface() {
        assert!(LinkName::new(b"Ethernet0.10").unwrap().is_sub_interface());
        assert!(!LinkName::new(b"Ethernet0").unwrap().is_sub_interface());
    }
}
