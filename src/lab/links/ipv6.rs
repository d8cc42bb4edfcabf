//! What intfmgrd does to links: link-local addresses and sub-interfaces.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr};

use futures_util::TryStreamExt;
use nix::errno::Errno;
use rtnetlink::packet_route::link::{AfSpecInet6, AfSpecUnspec, In6AddrGenMode, LinkAttribute, MacVlanMode};
use rtnetlink::{LinkMacVlan, LinkUnspec, LinkVlan};

use super::{Links, refused};
use crate::lab::Error;

/// Of a link-local address.
const PREFIX: u8 = 64;

impl Links {
    /// Keeps the kernel from giving a link its link-local address when it is set up, so that one that is there is another's.
    pub async fn no_address_by_kernel(&self, name: &str) -> Result<(), Error> {
        let mode = AfSpecInet6::AddrGenMode(In6AddrGenMode::None);
        let attribute = LinkAttribute::AfSpecUnspec(vec![AfSpecUnspec::Inet6(vec![mode])]);
        let link = LinkUnspec::new_with_name(name).append_extra_attribute(attribute);
        self.change(link, || format!("turn off the kernel's own addresses of {name}")).await
    }

    /// Gives a link the link-local address that its MAC makes, if it has none of it; true if it had not.
    pub async fn add_link_local(&self, name: &str) -> Result<bool, Error> {
        let operation = || format!("give {name} its link-local address");
        let mut found = self.handle.link().get().match_name(name.to_owned()).execute();
        let message = match found.try_next().await {
            Ok(Some(message)) => message,
            Ok(None) => return Err(refused(operation(), rtnetlink::Error::RequestFailed)),
            Err(source) => return Err(refused(operation(), source)),
        };
        let mac = message.attributes.iter().find_map(|attribute| match attribute {
            LinkAttribute::Address(bytes) => <[u8; 6]>::try_from(bytes.as_slice()).ok(),
            _ => None,
        });
        let Some(mac) = mac else { return Err(refused(operation(), rtnetlink::Error::RequestFailed)) };
        let request = self.handle.address().add(message.header.index, IpAddr::V6(link_local(mac)), PREFIX);
        match request.execute().await {
            Ok(()) => Ok(true),
            Err(rtnetlink::Error::NetlinkError(answer)) if answer.raw_code() == -(Errno::EEXIST as i32) => Ok(false),
            Err(source) => Err(refused(operation(), source)),
        }
    }

    /// Adds a sub-interface: an 802.1Q link, or a macvlan where the kernel has no such kind. Both take over a lower MTU of their
    /// parent, and neither takes over a higher one.
    pub async fn add_sub_interface(&self, name: &str, parent: &str, vlan: u16) -> Result<(), Error> {
        let operation = || format!("add sub-interface {name} of {parent}");
        let index = self.index_of(parent).await?;
        match self.add(LinkVlan::new(name, index, vlan), operation).await {
            Err(Error::Link { source: rtnetlink::Error::NetlinkError(answer), .. })
                if answer.raw_code() == -(Errno::EOPNOTSUPP as i32) =>
            {
                self.add(LinkMacVlan::new(name, index, MacVlanMode::Bridge), operation).await
            }
            result => result,
        }
    }
}

/// `fe80::/64` with the interface identifier of RFC 4291: the MAC with `fffe` in its middle and the universal bit turned.
fn link_local(mac: [u8; 6]) -> Ipv6Addr {
    let mut address = [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xfe, 0, 0, 0];
    address[8..11].copy_from_slice(&mac[..3]);
    address[13..].copy_from_slice(&mac[3..]);
    address[8] ^= 2;
    Ipv6Addr::from(address)
}

/// Names of the links of the calling thread's namespace that have a link-local address.
pub fn with_link_local() -> Result<BTreeSet<String>, Error> {
    let path = "/proc/thread-self/net/if_inet6";
    let text = std::fs::read_to_string(path).map_err(Error::io(format!("read {path}")))?;
    let lines = text.lines().filter(|line| line.starts_with("fe80"));
    Ok(lines.filter_map(|line| line.split_whitespace().last()).map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::netns::enter_private;

    #[test]
    fn the_address_is_made_of_the_mac() {
        let address = link_local([0x02, 0x11, 0x22, 0x33, 0x44, 0x55]);
        assert_eq!(address.to_string(), "fe80::11:22ff:fe33:4455");
    }

    #[tokio::test]
    async fn an_address_goes_when_the_link_is_set_down() {
        enter_private().unwrap();
        let links = Links::open().unwrap();
        links.add_veths(&["Ethernet0"]).await.unwrap();
        links.no_address_by_kernel("Ethernet0").await.unwrap();
        links.set_up("Ethernet0").await.unwrap();
        links.set_carrier("Ethernet0", true).await.unwrap();
        assert!(!with_link_local().unwrap().contains("Ethernet0"));
        assert!(links.add_link_local("Ethernet0").await.unwrap());
        assert!(!links.add_link_local("Ethernet0").await.unwrap());
        assert!(with_link_local().unwrap().contains("Ethernet0"));
        links.set_down("Ethernet0").await.unwrap();
        assert!(!with_link_local().unwrap().contains("Ethernet0"));
        assert!(links.add_link_local("nothing").await.is_err());
    }

    #[tokio::test]
    async fn a_sub_interface_follows_its_parents_mtu_down_and_not_up() {
        enter_private().unwrap();
        let links = Links::open().unwrap();
        links.add_veths(&["Ethernet0"]).await.unwrap();
        links.set_mtu("Ethernet0", 9100).await.unwrap();
        links.add_sub_interface("Ethernet0.10", "Ethernet0", 10).await.unwrap();
        let mtu = async || links.find("Ethernet0.10").await.unwrap().unwrap().mtu;
        assert_eq!(mtu().await, 9100);
        for lower in [1500, 9100] {
            links.set_mtu("Ethernet0", lower).await.unwrap();
            assert_eq!(mtu().await, 1500);
        }
    }
}
