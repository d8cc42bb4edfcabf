//! What `SONiC`'s intfmgrd does when somebody writes a port's row of `STATE_DB`.
//!
//! In: keyspace events of `PORT_TABLE|*`, and the rows that are there at the start. Out: changes of links. It looks at a row
//! when an event says that it was written, never otherwise: a port that changes and gets no write keeps what the kernel made of
//! it. After a write with `admin_status` `up` the port gets its link-local address, which the kernel takes away when a port is
//! set down. After a write with `mtu` its sub-interfaces (`VLAN_SUB_INTERFACE|Ethernet0.10` of `CONFIG_DB`) get the lesser of
//! their own MTU and the port's; the kernel lowers them with the port and never raises them again.
//!
//! Different from `SONiC`'s: there the address is one that `CONFIG_DB` has, here every port has the one that its MAC makes; and
//! what the kernel refuses ends intfmgrd there, and is only told here.

use std::collections::VecDeque;

use futures_util::StreamExt;
use redis::aio::{MultiplexedConnection, PubSub};
use redis::{AsyncCommands, Client};
use tracing::{debug, info, warn};

use super::Error;
use super::consumer::{closed, patient};
use super::links::Links;

/// intfmgrd's MTU of a sub-interface that has none of its own.
const DEFAULT_MTU: u32 = 9100;

/// A database and what stands between table and key in it.
#[derive(Debug, Clone)]
pub struct Place {
    /// How to reach it; names its number.
    pub client: Client,
    /// `|` on most switches.
    pub separator: String,
}

/// See the module. It ends with its connections: an error means open another.
pub struct Intfmgrd {
    events: PubSub,
    state: MultiplexedConnection,
    config: MultiplexedConnection,
    /// What stands before a port in a row's key and in an event's channel.
    table: String,
    channel: String,
    sub_interfaces: (String, String),
    links: Links,
    /// Ports whose rows are to be looked at.
    due: VecDeque<String>,
}

impl Intfmgrd {
    /// Subscribes, then reads what is there; links are those of the calling thread's namespace.
    pub async fn open(state: &Place, config: &Place) -> Result<Self, Error> {
        let number = state.client.get_connection_info().redis_settings().db();
        let table = format!("PORT_TABLE{}", state.separator);
        let channel = format!("__keyspace@{number}__:{table}");
        let mut events = state.client.get_async_pubsub().await?;
        events.psubscribe(format!("{channel}*")).await?;
        let mut rows = state.client.get_multiplexed_async_connection_with_config(&patient()).await?;
        let keys: Vec<String> = rows.keys(format!("{table}*")).await?;
        Ok(Self {
            events,
            state: rows,
            config: config.client.get_multiplexed_async_connection_with_config(&patient()).await?,
            sub_interfaces: (format!("VLAN_SUB_INTERFACE{}", config.separator), config.separator.clone()),
            links: Links::open()?,
            due: keys.iter().filter_map(|key| key.strip_prefix(&table)).map(str::to_owned).collect(),
            table,
            channel,
        })
    }

    /// Follows the rows until Redis goes.
    pub async fn serve(&mut self) -> Result<(), Error> {
        loop {
            let port = self.next().await?;
            // Sub-interfaces have rows of their own there, which intfmgrd writes itself.
            if !port.contains('.') {
                self.written(&port).await?;
            }
        }
    }

    async fn next(&mut self) -> Result<String, Error> {
        loop {
            if let Some(port) = self.due.pop_front() {
                return Ok(port);
            }
            let Some(message) = self.events.on_message().next().await else { return Err(closed().into()) };
            self.due.extend(message.get_channel_name().strip_prefix(&self.channel).map(str::to_owned));
        }
    }

    /// A port's row was written or removed.
    async fn written(&mut self, port: &str) -> Result<(), Error> {
        let row = self.state.hmget(format!("{}{port}", self.table), &["admin_status", "mtu"]).await?;
        let (admin, mtu): (Option<String>, Option<u32>) = row;
        debug!(port, ?admin, ?mtu, "row written");
        let up = admin.as_deref() == Some("up");
        if up {
            match self.links.add_link_local(port).await {
                Ok(true) => info!(port, "link-local address"),
                Ok(false) => {}
                Err(error) => refused(error),
            }
        }
        for (name, own) in self.sub_interfaces_of(port).await? {
            if let Err(error) = self.bring_along(&name, port, own, mtu, up).await {
                refused(error);
            }
        }
        Ok(())
    }

    /// Names and own MTUs of a port's sub-interfaces.
    async fn sub_interfaces_of(&mut self, port: &str) -> Result<Vec<(String, u32)>, Error> {
        let (table, separator) = &self.sub_interfaces;
        let keys: Vec<String> = self.config.keys(format!("{table}{port}.*")).await?;
        let mut found = Vec::new();
        for key in keys {
            let name = &key[table.len()..];
            // A further part is an address.
            if !name.contains(separator.as_str()) {
                let own: Option<u32> = self.config.hget(&key, "mtu").await?;
                found.push((name.to_owned(), own.unwrap_or(DEFAULT_MTU)));
            }
        }
        Ok(found)
    }

    async fn bring_along(&mut self, name: &str, port: &str, own: u32, mtu: Option<u32>, up: bool) -> Result<(), Error> {
        if self.links.find(name).await?.is_none() {
            let vlan = name.rsplit('.').next().and_then(|number| number.parse().ok()).unwrap_or(1);
            self.links.add_sub_interface(name, port, vlan).await?;
            info!(name, "made sub-interface");
            let () = self.state.hset(format!("{}{name}", self.table), "state", "ok").await?;
        }
        if let Some(mtu) = mtu {
            let mtu = own.min(mtu);
            self.links.set_mtu(name, mtu).await?;
            debug!(name, mtu, "MTU");
        }
        if up { self.links.set_up(name).await } else { Ok(()) }
    }
}

/// What the kernel does not want: the port may have gone, or changed again, since its row was written.
fn refused(error: Error) {
    warn!(error = format!("{:#}", anyhow::Error::from(error)), "intfmgrd: left out");
}
