//! The daemon's way from the bytes of a message to a row in Redis, by its own parser, machine, pending rows and writer, with
//! messages that are made up: for more ports than a kernel holds, and for measuring each part.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::redis_server::RedisServer;
use super::{Error, messages};
use crate::daemon::core::Core;
use crate::db::StoreError;
use crate::db::pending::Origin;
use crate::db::store::Store;
use crate::db::topology::{Address, Topology};
use crate::db::writer::{BATCH, OPERATION, RowWriter};
use crate::link::LinkName;
use crate::link::parse::{Messages, NetlinkMessage};
use crate::sync::port_sync::Names;

const LIMIT: Duration = Duration::from_secs(30);

/// The ports that count as such where nothing is configured.
pub fn names() -> Names {
    Names { ports: vec!["Ethernet".to_owned()], lags: vec!["PortChannel".to_owned()], management: Vec::new() }
}

/// A switch's links as the machine knows them, without a kernel.
pub struct Switch {
    /// Machine and pending rows.
    pub core: Core,
    names: Vec<String>,
    datagram: Vec<u8>,
}

impl Switch {
    /// A switch of so many ports, all seen, down, and published in APPL_DB. Their rows wait to be written.
    pub fn new(ports: usize) -> Self {
        let names = (0..ports).map(|port| format!("Ethernet{port}")).collect();
        let mut switch = Self { core: Core::new(self::names(), Arc::default()), names, datagram: Vec::new() };
        for port in 0..ports {
            switch.change(port, false, 1500);
            if let Some(name) = LinkName::new(switch.names[port].as_bytes()) {
                switch.core.published(name, true);
            }
        }
        switch
    }

    /// How many ports it has.
    pub fn ports(&self) -> usize {
        self.names.len()
    }

    pub fn name(&self, port: usize) -> &str {
        &self.names[port]
    }

    /// A message of the kernel's about this port.
    pub fn change(&mut self, port: usize, up: bool, mtu: u32) {
        // The first index after `lo`'s, as in a namespace of its own.
        let ifindex = u32::try_from(port).unwrap_or(u32::MAX).saturating_add(2);
        messages::new_link(&mut self.datagram, ifindex, &self.names[port], up, mtu);
        take(&mut self.core, &self.datagram);
    }
}

/// What the daemon does with a datagram.
pub fn take(core: &mut Core, datagram: &[u8]) {
    core.because(Origin::Message(Instant::now()));
    for message in Messages::new(datagram) {
        if let Ok(NetlinkMessage::Link(event)) = message {
            core.event(&event);
        }
    }
}

/// A connection like the daemon's for rows.
pub async fn writer(server: &RedisServer) -> Result<RowWriter, Error> {
    let store = Store {
        topology: Topology::default().at(&Address::Unix(server.socket())),
        username: String::new(),
        password: None,
        connect_timeout: LIMIT,
        response_timeout: LIMIT,
    };
    store.writer().await.map_err(Error::from)
}

/// Writes what is pending, batch by batch, until Redis has taken everything, and logs what changed; returns the number of
/// rows.
pub async fn write(core: &mut Core, writer: &mut RowWriter) -> Result<usize, Error> {
    let mut rows = 0;
    while !core.pending().is_empty() || !writer.is_idle() {
        if writer.is_idle() {
            let now = Instant::now();
            core.take_batch(BATCH, |key, write| writer.push(key, write, now));
            writer.send();
            core.log_changes();
        }
        poll_fn(|context| writer.poll_progress(context)).await?;
        while let Some((key, reply)) = writer.next_reply()? {
            reply.map_err(StoreError::doing(OPERATION))?;
            core.acknowledged(key, Instant::now());
            rows += 1;
        }
    }
    Ok(rows)
}
