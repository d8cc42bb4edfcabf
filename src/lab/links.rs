//! Making and changing the kernel's links, in the network namespace of the thread that opened [`Links`].
//!
//! Ports are veth pairs: the near end is the port, the far end its cable. A port has carrier while both ends are up, so
//! plugging the cable is setting the far end up. What comes for many links at once is asked for concurrently.

mod ipv6;

pub use ipv6::with_link_local;

use futures_util::stream::{self, StreamExt, TryStreamExt};
use rtnetlink::packet_route::link::{LinkAttribute, LinkFlags, LinkInfo, LinkMessage, MacVlanMode};
use rtnetlink::{Handle, LinkBridge, LinkIfb, LinkMacVlan, LinkMessageBuilder, LinkUnspec, LinkVeth};
use tokio::task::JoinHandle;

use super::Error;
use super::ports::cable;

/// Requests under way at once; more would only queue for the kernel's one lock.
const CONCURRENT: usize = 64;

/// What the kernel says of a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkState {
    pub ifindex: u32,
    pub name: String,
    /// `IFF_UP`.
    pub admin_up: bool,
    /// `IFF_RUNNING`.
    pub running: bool,
    pub mtu: u32,
    /// How often its carrier has changed; setting a port down and up counts too.
    pub carrier_changes: u32,
    /// Index of the bridge or other master it belongs to.
    pub master: Option<u32>,
    /// Its kind, such as `veth`; none for `lo`.
    pub kind: Option<String>,
}

/// A connection to the kernel's link configuration; clones are not needed, all methods take `&self`.
#[derive(Debug)]
pub struct Links {
    handle: Handle,
    driver: JoinHandle<()>,
}

impl Drop for Links {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Links {
    /// Connects; must be called within a tokio runtime, which drives the connection.
    pub fn open() -> Result<Self, Error> {
        let (connection, handle, _) = rtnetlink::new_connection().map_err(Error::io("open a netlink socket"))?;
        let driver = tokio::spawn(connection);
        Ok(Self { handle, driver })
    }

    /// Adds a pair of veth links; both ends are down.
    pub async fn add_veth(&self, name: &str, peer: &str) -> Result<(), Error> {
        self.add(LinkVeth::new(name, peer), || format!("add veth {name} with {peer}")).await
    }

    /// Adds a veth pair for each port, with the cable's name as [`cable`] gives it.
    pub async fn add_veths<S: AsRef<str>>(&self, ports: &[S]) -> Result<(), Error> {
        self.each(ports, async |port| self.add_veth(port, &cable(port)).await).await
    }

    /// Adds a bridge; it is down.
    pub async fn add_bridge(&self, name: &str) -> Result<(), Error> {
        self.add(LinkBridge::new(name), || format!("add bridge {name}")).await
    }

    /// Adds an intermediate functional block, a plain link that is always running when up.
    pub async fn add_ifb(&self, name: &str) -> Result<(), Error> {
        self.add(LinkIfb::new(name), || format!("add ifb {name}")).await
    }

    /// Adds a macvlan on top of `lower`.
    pub async fn add_macvlan(&self, name: &str, lower: &str) -> Result<(), Error> {
        let index = self.index_of(lower).await?;
        let link = LinkMacVlan::new(name, index, MacVlanMode::Bridge);
        self.add(link, || format!("add macvlan {name} on {lower}")).await
    }

    /// Deletes a link; a veth takes its peer along.
    pub async fn delete(&self, name: &str) -> Result<(), Error> {
        let link = LinkUnspec::new_with_name(name).build();
        let request = self.handle.link().del_with_message(link);
        request.execute().await.map_err(|source| refused(format!("delete {name}"), source))
    }

    pub async fn set_up(&self, name: &str) -> Result<(), Error> {
        self.set_admin(name, true).await
    }

    pub async fn set_down(&self, name: &str) -> Result<(), Error> {
        self.set_admin(name, false).await
    }

    /// Sets a link up or down.
    pub async fn set_admin(&self, name: &str, up: bool) -> Result<(), Error> {
        let link = LinkUnspec::new_with_name(name);
        let link = if up { link.up() } else { link.down() };
        self.change(link, || format!("set {name} {}", if up { "up" } else { "down" })).await
    }

    /// Sets many links up or down.
    pub async fn set_admin_many<S: AsRef<str>>(&self, names: &[S], up: bool) -> Result<(), Error> {
        self.each(names, async |name| self.set_admin(name, up).await).await
    }

    /// Sets the MTU of a link.
    pub async fn set_mtu(&self, name: &str, mtu: u32) -> Result<(), Error> {
        let link = LinkUnspec::new_with_name(name).mtu(mtu);
        self.change(link, || format!("set the MTU of {name} to {mtu}")).await
    }

    /// Sets the MTU of many links.
    pub async fn set_mtu_many<S: AsRef<str>>(&self, names: &[S], mtu: u32) -> Result<(), Error> {
        self.each(names, async |name| self.set_mtu(name, mtu).await).await
    }

    /// Plugs (true) or pulls (false) the cable of a port made by [`Self::add_veths`].
    pub async fn set_carrier(&self, port: &str, plugged: bool) -> Result<(), Error> {
        self.set_admin(&cable(port), plugged).await
    }

    /// Plugs or pulls the cables of many ports.
    pub async fn set_carrier_many<S: AsRef<str>>(&self, ports: &[S], plugged: bool) -> Result<(), Error> {
        self.each(ports, async |port| self.set_carrier(port, plugged).await).await
    }

    /// Renames a link; older kernels want it down for this.
    pub async fn rename(&self, from: &str, to: &str) -> Result<(), Error> {
        let index = self.index_of(from).await?;
        let link = LinkUnspec::new_with_index(index).name(to);
        self.change(link, || format!("rename {from} to {to}")).await
    }

    /// Puts a link into a bridge.
    pub async fn set_master(&self, name: &str, master: &str) -> Result<(), Error> {
        let index = self.index_of(master).await?;
        let link = LinkUnspec::new_with_name(name).controller(index);
        self.change(link, || format!("put {name} into {master}")).await
    }

    /// Takes a link out of its bridge.
    pub async fn no_master(&self, name: &str) -> Result<(), Error> {
        let link = LinkUnspec::new_with_name(name).nocontroller();
        self.change(link, || format!("take {name} out of its master")).await
    }

    /// Moves a link into the network namespace of a process.
    pub async fn move_to_netns_of(&self, name: &str, pid: u32) -> Result<(), Error> {
        let link = LinkUnspec::new_with_name(name).setns_by_pid(pid);
        self.change(link, || format!("move {name} to the namespace of {pid}")).await
    }

    /// Every link of the namespace, in the kernel's order.
    pub async fn list(&self) -> Result<Vec<LinkState>, Error> {
        let dump = self.handle.link().get().execute();
        dump.map_ok(|message| state_of(&message))
            .try_collect()
            .await
            .map_err(|source| refused("list the links".to_owned(), source))
    }

    /// One link, if it is there.
    pub async fn find(&self, name: &str) -> Result<Option<LinkState>, Error> {
        let request = self.handle.link().get().match_name(name.to_owned());
        match request.execute().try_next().await {
            Ok(message) => Ok(message.as_ref().map(state_of)),
            Err(rtnetlink::Error::NetlinkError(answer)) if answer.raw_code() == -(nix::errno::Errno::ENODEV as i32) => {
                Ok(None)
            }
            Err(source) => Err(refused(format!("look at {name}"), source)),
        }
    }

    async fn index_of(&self, name: &str) -> Result<u32, Error> {
        match self.find(name).await? {
            Some(link) => Ok(link.ifindex),
            None => Err(refused(format!("find {name}"), rtnetlink::Error::RequestFailed)),
        }
    }

    async fn add<T>(&self, link: LinkMessageBuilder<T>, operation: impl FnOnce() -> String) -> Result<(), Error> {
        let request = self.handle.link().add(link.build());
        let result = request.execute().await;
        result.map_err(|source| refused(operation(), source))
    }

    async fn change(
        &self,
        link: LinkMessageBuilder<LinkUnspec>,
        operation: impl FnOnce() -> String,
    ) -> Result<(), Error> {
        let request = self.handle.link().change(link.build());
        let result = request.execute().await;
        result.map_err(|source| refused(operation(), source))
    }

    /// Does the same for every name, some at once; the first error ends it.
    async fn each<S: AsRef<str>>(
        &self,
        names: &[S],
        action: impl AsyncFn(&str) -> Result<(), Error>,
    ) -> Result<(), Error> {
        stream::iter(names.iter().map(|name| action(name.as_ref())))
            .buffer_unordered(CONCURRENT)
            .try_collect::<()>()
            .await
    }
}

fn refused(operation: String, source: rtnetlink::Error) -> Error {
    Error::Link { operation, source }
}

fn state_of(message: &LinkMessage) -> LinkState {
    let flags = message.header.flags;
    let mut state = LinkState {
        ifindex: message.header.index,
        name: String::new(),
        admin_up: flags.contains(LinkFlags::Up),
        running: flags.contains(LinkFlags::Running),
        mtu: 0,
        carrier_changes: 0,
        master: None,
        kind: None,
    };
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => state.name.clone_from(name),
            LinkAttribute::Mtu(mtu) => state.mtu = *mtu,
            LinkAttribute::CarrierChanges(count) => state.carrier_changes = *count,
            LinkAttribute::Controller(index) => state.master = Some(*index),
            LinkAttribute::LinkInfo(infos) => {
                state.kind = infos.iter().find_map(|info| match info {
                    LinkInfo::Kind(kind) => Some(kind.to_string()),
                    _ => None,
                });
            }
            _ => {}
        }
    }
    state
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::netns::{Holder, enter_private};
    use super::super::{ports, wait};
    use super::*;

    const LIMIT: Duration = Duration::from_secs(20);

    async fn running(links: &Links, name: &str, wanted: bool) {
        let what = format!("{name} running={wanted}");
        let look = || async { links.find(name).await.unwrap().unwrap().running == wanted };
        wait::until_async(what, LIMIT, look).await.unwrap();
    }

    #[tokio::test]
    async fn a_port_has_carrier_while_its_cable_is_plugged() {
        enter_private().unwrap();
        let links = Links::open().unwrap();
        links.add_veths(&["Ethernet0"]).await.unwrap();
        links.set_up("Ethernet0").await.unwrap();
        let port = links.find("Ethernet0").await.unwrap().unwrap();
        assert!(port.admin_up && !port.running);
        assert_eq!(port.kind.as_deref(), Some("veth"));
        links.set_carrier("Ethernet0", true).await.unwrap();
        running(&links, "Ethernet0", true).await;
        links.set_carrier("Ethernet0", false).await.unwrap();
        running(&links, "Ethernet0", false).await;
        links.set_down("Ethernet0").await.unwrap();
        assert!(!links.find("Ethernet0").await.unwrap().unwrap().admin_up);
        links.delete("Ethernet0").await.unwrap();
        assert_eq!(links.find("cable0").await.unwrap(), None);
    }

    #[tokio::test]
    async fn many_ports_at_once() {
        enter_private().unwrap();
        let links = Links::open().unwrap();
        let names: Vec<String> = ports::rows(256).into_iter().map(|row| row.name).collect();
        links.add_veths(&names).await.unwrap();
        links.set_mtu_many(&names, 9100).await.unwrap();
        links.set_admin_many(&names, true).await.unwrap();
        links.set_carrier_many(&names, true).await.unwrap();
        let all = links.list().await.unwrap();
        let ports: Vec<_> = all.iter().filter(|l| l.name.starts_with("Ethernet")).collect();
        assert_eq!(ports.len(), 256);
        assert!(ports.iter().all(|l| l.mtu == 9100 && l.admin_up));
    }

    #[tokio::test]
    async fn bridges_macvlans_ifbs_and_new_names() {
        enter_private().unwrap();
        let links = Links::open().unwrap();
        links.add_veth("Ethernet0", "cable0").await.unwrap();
        links.add_bridge("Bridge").await.unwrap();
        links.add_ifb("PortChannel1").await.unwrap();
        links.add_macvlan("mac0", "Ethernet0").await.unwrap();
        let bridge = links.find("Bridge").await.unwrap().unwrap();
        links.set_master("cable0", "Bridge").await.unwrap();
        let cable = links.find("cable0").await.unwrap().unwrap();
        assert_eq!(cable.master, Some(bridge.ifindex));
        links.no_master("cable0").await.unwrap();
        assert_eq!(links.find("cable0").await.unwrap().unwrap().master, None);
        links.rename("cable0", "Ethernet99").await.unwrap();
        let renamed = links.find("Ethernet99").await.unwrap().unwrap();
        assert_eq!(renamed.ifindex, cable.ifindex);
        let kinds: Vec<_> = links.list().await.unwrap().into_iter().filter_map(|l| l.kind).collect();
        for kind in ["veth", "bridge", "ifb", "macvlan"] {
            assert!(kinds.iter().any(|k| k == kind), "{kind} in {kinds:?}");
        }
        assert!(links.delete("nothing").await.is_err());
    }

    #[tokio::test]
    async fn a_link_moves_to_another_namespace() {
        enter_private().unwrap();
        let links = Links::open().unwrap();
        let holder = Holder::start().unwrap();
        links.add_veths(&["Ethernet0"]).await.unwrap();
        links.move_to_netns_of("Ethernet0", holder.pid()).await.unwrap();
        assert_eq!(links.find("Ethernet0").await.unwrap(), None);
        assert!(holder.link_names().unwrap().contains(&"Ethernet0".to_owned()));
    }
}
