//! What the kernel says beside what `STATE_DB` says.

use std::collections::BTreeMap;

use portsyncd::lab::links::LinkState;
use portsyncd::lab::redis_server::{RedisServer, STATE_DB};

use crate::flap::Wanted;

/// What one side says of a port, in `STATE_DB`'s words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// `up` or `down`.
    pub admin: String,
    /// `up` or `down`.
    pub oper: String,
    /// In bytes.
    pub mtu: String,
}

#[derive(Debug, Clone)]
pub struct Line {
    pub port: String,
    /// What the kernel says, if it has the link.
    pub kernel: Option<Seen>,
    /// What `STATE_DB` says, if it has the row.
    pub state: Option<Seen>,
}

impl Line {
    /// Whether both sides say the same.
    pub fn in_step(&self) -> bool {
        self.kernel == self.state
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Port {
    pub wanted: Wanted,
    pub mtu: u32,
}

fn word(up: bool) -> String {
    if up { "up" } else { "down" }.to_owned()
}

/// Both sides of every port that either side knows, in the order of their numbers; without a server the one side is empty.
pub fn lines(links: &[LinkState], server: &RedisServer) -> Vec<Line> {
    let mut found: BTreeMap<(usize, String), Line> = BTreeMap::new();
    let mut at = |port: &str, side: Side| {
        let line = found.entry((port.len(), port.to_owned())).or_insert_with(|| Line {
            port: port.to_owned(),
            kernel: None,
            state: None,
        });
        match side {
            Side::Kernel(seen) => line.kernel = Some(seen),
            Side::State(seen) => line.state = Some(seen),
        }
    };
    for link in links.iter().filter(|link| is_port(link)) {
        let seen = Seen { admin: word(link.admin_up), oper: word(link.running), mtu: link.mtu.to_string() };
        at(&link.name, Side::Kernel(seen));
    }
    for (port, seen) in state_rows(server).unwrap_or_default() {
        at(&port, Side::State(seen));
    }
    found.into_values().collect()
}

enum Side {
    Kernel(Seen),
    State(Seen),
}

/// Whether a link is one of the switch's ports.
pub fn is_port(link: &LinkState) -> bool {
    link.name.starts_with("Ethernet")
}

/// The rows that have any of the daemon's fields; others write to the same rows.
fn state_rows(server: &RedisServer) -> anyhow::Result<Vec<(String, Seen)>> {
    let mut db = server.client(STATE_DB)?;
    db.set_read_timeout(Some(std::time::Duration::from_secs(1)))?;
    let keys: Vec<String> = redis::cmd("KEYS").arg("PORT_TABLE|*").query(&mut db)?;
    let mut pipe = redis::pipe();
    for key in &keys {
        pipe.cmd("HMGET").arg(key).arg(&["state", "admin_status", "netdev_oper_status", "mtu"]);
    }
    let rows: Vec<[Option<String>; 4]> = if keys.is_empty() { Vec::new() } else { pipe.query(&mut db)? };
    let named = keys.iter().filter_map(|key| key.split_once('|')).map(|(_, port)| port.to_owned());
    Ok(named.zip(rows).filter_map(|(port, row)| Some((port, seen(row)?))).collect())
}

fn seen(row: [Option<String>; 4]) -> Option<Seen> {
    if row.iter().all(Option::is_none) {
        return None;
    }
    let [state, admin, oper, mtu] = row.map(|field| field.unwrap_or_else(|| "-".to_owned()));
    // A row that is not `ok` is in step with nothing.
    let admin = if state == "ok" { admin } else { format!("{admin}, state {state}") };
    Some(Seen { admin, oper, mtu })
}

/// Whether the kernel has exactly the ports that are wanted, as they are wanted.
pub fn kernel_is(links: &[LinkState], wanted: &BTreeMap<String, Port>) -> bool {
    let ports: Vec<_> = links.iter().filter(|link| is_port(link)).collect();
    ports.len() == wanted.len()
        && ports.iter().all(|link| {
            wanted.get(&link.name).is_some_and(|port| {
                let Wanted { admin, plugged } = port.wanted;
                link.admin_up == admin && link.running == (admin && plugged) && link.mtu == port.mtu
            })
        })
}

#[cfg(test)]
mod tests {
    use portsyncd::lab::redis_server::RedisServer;
    use redis::Commands;

    use super::*;

    fn link(name: &str, up: bool) -> LinkState {
        LinkState {
            ifindex: 7,
            name: name.to_owned(),
            admin_up: up,
            running: up,
            mtu: 9100,
            carrier_changes: 0,
            master: None,
            kind: None,
        }
    }

    #[test]
    fn a_missing_a_differing_and_a_surplus_row_are_out_of_step() {
        let server = RedisServer::start().unwrap();
        let mut db = server.client(STATE_DB).unwrap();
        let row = [("state", "ok"), ("netdev_oper_status", "up"), ("admin_status", "up"), ("mtu", "9100")];
        for port in ["Ethernet0", "Ethernet4", "Ethernet12"] {
            let () = db.hset_multiple(format!("PORT_TABLE|{port}"), &row).unwrap();
        }
        let () = db.hset("PORT_TABLE|Ethernet16", "host_tx_ready", "true").unwrap();
        let links = [link("Ethernet0", true), link("Ethernet4", false), link("Ethernet8", true), link("cable0", true)];
        let both = lines(&links, &server);
        let found: Vec<(&str, bool)> = both.iter().map(|line| (line.port.as_str(), line.in_step())).collect();
        assert_eq!(found, [("Ethernet0", true), ("Ethernet4", false), ("Ethernet8", false), ("Ethernet12", false)]);
    }

    #[test]
    fn running_needs_both_ends() {
        let wanted = |admin, plugged| {
            BTreeMap::from([("Ethernet0".to_owned(), Port { wanted: Wanted { admin, plugged }, mtu: 9100 })])
        };
        assert!(kernel_is(&[link("Ethernet0", true)], &wanted(true, true)));
        assert!(!kernel_is(&[link("Ethernet0", true)], &wanted(true, false)));
        assert!(kernel_is(&[link("Ethernet0", false)], &wanted(false, true)));
        assert!(!kernel_is(&[], &wanted(true, true)));
    }
}
