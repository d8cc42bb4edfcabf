//! The switch's ports: what `APPL_DB` asked for, and the links made of it.
//!
//! As orchagent does, ports are made only once `PortConfigDone` has come and as many rows as it counts; later rows at once.
//! Rows may come in any order. What a row does not say stays as it is.

use std::collections::{BTreeMap, BTreeSet};

use portsyncd::lab::Error;
use portsyncd::lab::consumer::{Entry, Op};
use portsyncd::lab::links::Links;
use tracing::{debug, info, warn};

use crate::flap::Wanted;

/// orchagent's MTU for a row without one.
const DEFAULT_MTU: u32 = 9100;

#[derive(Debug, Clone, PartialEq, Eq)]
struct Row {
    admin: bool,
    mtu: u32,
    /// Only rows with lanes are ports.
    lanes: bool,
}

impl Default for Row {
    fn default() -> Self {
        Self { admin: false, mtu: DEFAULT_MTU, lanes: false }
    }
}

impl Row {
    fn merge(&mut self, name: &str, entry: &Entry) {
        if let Some(status) = entry.get("admin_status") {
            self.admin = status == "up";
        }
        if let Some(mtu) = entry.get("mtu") {
            if let Ok(mtu) = mtu.parse() {
                self.mtu = mtu;
            } else {
                warn!(port = name, mtu, "not an MTU, ignored");
            }
        }
        self.lanes |= entry.get("lanes").is_some_and(|lanes| !lanes.is_empty());
    }
}

/// All ports of the switch.
#[derive(Debug, Default)]
pub struct Ports {
    rows: BTreeMap<String, Row>,
    made: BTreeSet<String>,
    /// The count of `PortConfigDone`, until that many rows have come.
    awaited: Option<usize>,
    configured: bool,
    /// Addresses are intfmgrd's, not the kernel's.
    intfmgrd: bool,
}

/// Ports made and removed by one batch.
#[derive(Debug, Default)]
pub struct Changed {
    /// Name, and whether it was set up.
    pub created: Vec<(String, bool)>,
    pub removed: Vec<String>,
}

impl Ports {
    /// None yet; with `intfmgrd` the kernel gives them no address of its own.
    pub fn new(intfmgrd: bool) -> Self {
        Self { intfmgrd, ..Self::default() }
    }

    /// Forgets every row and mark. Links that were made stay, and are taken over when their rows come again.
    pub fn forget(&mut self) {
        *self = Self { made: std::mem::take(&mut self.made), ..Self::new(self.intfmgrd) };
    }

    /// What flapping starts from.
    pub fn wanted(&self) -> impl Iterator<Item = (String, Wanted)> {
        self.made.iter().map(|name| {
            let admin = self.rows.get(name).is_some_and(|row| row.admin);
            (name.clone(), Wanted { admin, plugged: true })
        })
    }

    /// Does what the popped keys ask for.
    pub async fn apply(&mut self, links: &Links, entries: Vec<Entry>) -> Result<Changed, Error> {
        let mut changed = Changed::default();
        for entry in entries {
            match (entry.key.as_str(), entry.op) {
                ("PortConfigDone", Op::Set) => self.config_done(&entry),
                ("PortInitDone", Op::Set) => info!("PortInitDone"),
                ("PortConfigDone" | "PortInitDone", Op::Del) => {}
                (_, Op::Set) => self.set(links, &entry).await,
                (_, Op::Del) => {
                    if self.remove(links, &entry.key).await {
                        changed.removed.push(entry.key);
                    }
                }
            }
        }
        if let Some(count) = self.awaited {
            let ready = self.rows.values().filter(|row| row.lanes).count();
            if ready >= count {
                self.awaited = None;
                self.configured = true;
            } else {
                debug!(ready, count, "waiting for more rows");
            }
        }
        if self.configured {
            changed.created = self.make_missing(links).await?;
        }
        Ok(changed)
    }

    /// Removes every link that was made.
    pub async fn remove_all(&mut self, links: &Links) -> Result<(), Error> {
        let count = self.made.len();
        let present = links.list().await?;
        // One may be missing: made halfway when the signal came, or removed by hand.
        for link in present.iter().filter(|link| self.made.contains(&link.name)) {
            links.delete(&link.name).await?;
        }
        self.made.clear();
        info!(count, "removed the ports");
        Ok(())
    }

    fn config_done(&mut self, entry: &Entry) {
        match entry.get("count").map(str::parse) {
            Some(Ok(count)) => {
                info!(count, "PortConfigDone");
                self.awaited = Some(count);
            }
            other => warn!(count = ?other, "PortConfigDone without a count, ignored"),
        }
    }

    async fn set(&mut self, links: &Links, entry: &Entry) {
        let name = &entry.key;
        let row = self.rows.entry(name.clone()).or_default();
        let before = row.clone();
        row.merge(name, entry);
        let row = row.clone();
        if !self.made.contains(name) {
            return;
        }
        // A row that only repeats what is so is no reason to touch the link, which may be flapping.
        if row.mtu != before.mtu {
            info!(port = name, mtu = row.mtu, "MTU");
            report(links.set_mtu(name, row.mtu).await);
        }
        if row.admin != before.admin {
            info!(port = name, up = row.admin, "admin status");
            report(links.set_admin(name, row.admin).await);
        }
    }

    async fn remove(&mut self, links: &Links, name: &str) -> bool {
        self.rows.remove(name);
        if !self.made.remove(name) {
            return false;
        }
        info!(port = name, "removed");
        report(links.delete(name).await);
        true
    }

    async fn make_missing(&mut self, links: &Links) -> Result<Vec<(String, bool)>, Error> {
        let wanted: Vec<(String, Row)> = self
            .rows
            .iter()
            .filter(|(name, row)| row.lanes && !self.made.contains(*name))
            .map(|(name, row)| (name.clone(), row.clone()))
            .collect();
        let mut created = Vec::with_capacity(wanted.len());
        for (name, row) in wanted {
            // Noted first: whatever happens from here on, the link is ours to remove.
            self.made.insert(name.clone());
            report(make(links, &name, &row, self.intfmgrd).await);
            created.push((name, row.admin));
        }
        if !created.is_empty() {
            info!(count = created.len(), "made ports");
        }
        Ok(created)
    }
}

async fn make(links: &Links, name: &str, row: &Row, intfmgrd: bool) -> Result<(), Error> {
    match links.find(name).await? {
        Some(_) => info!(port = name, "took over the link that was there"),
        None => links.add_veths(&[name]).await?,
    }
    if intfmgrd {
        links.no_address_by_kernel(name).await?;
    }
    links.set_mtu(name, row.mtu).await?;
    links.set_carrier(name, true).await?;
    links.set_admin(name, row.admin).await?;
    debug!(port = name, mtu = row.mtu, up = row.admin, "made");
    Ok(())
}

/// One port that the kernel does not want as it is must not stop the others.
fn report(result: Result<(), Error>) {
    if let Err(error) = result {
        warn!(error = format!("{:#}", anyhow::Error::from(error)), "left out");
    }
}

#[cfg(test)]
mod tests {
    use portsyncd::lab::netns::enter_private;

    use super::*;

    fn set(key: &str, fields: &[(&str, &str)]) -> Entry {
        let fields = fields.iter().map(|(f, v)| ((*f).to_owned(), (*v).to_owned())).collect();
        Entry { key: key.to_owned(), op: Op::Set, fields }
    }

    #[tokio::test]
    async fn ports_are_made_once_the_configuration_is_complete() {
        enter_private().unwrap();
        let links = Links::open().unwrap();
        let mut ports = Ports::default();
        let first = set("Ethernet0", &[("lanes", "1"), ("mtu", "1500"), ("admin_status", "up")]);
        let second = set("Ethernet4", &[("lanes", "2")]);
        let done = set("PortConfigDone", &[("count", "2")]);
        assert!(ports.apply(&links, vec![done, first]).await.unwrap().created.is_empty());
        assert_eq!(ports.apply(&links, vec![second]).await.unwrap().created.len(), 2);
        let up = links.find("Ethernet0").await.unwrap().unwrap();
        assert_eq!((up.mtu, up.admin_up), (1500, true));
        let down = links.find("Ethernet4").await.unwrap().unwrap();
        assert_eq!((down.mtu, down.admin_up), (9100, false));
    }

    #[tokio::test]
    async fn what_is_forgotten_is_made_of_the_links_that_are_there_when_it_comes_again() {
        enter_private().unwrap();
        let links = Links::open().unwrap();
        let mut ports = Ports::new(true);
        let rows = || {
            let row = set("Ethernet0", &[("lanes", "1"), ("mtu", "1500"), ("admin_status", "up")]);
            vec![row, set("PortConfigDone", &[("count", "1")])]
        };
        ports.apply(&links, rows()).await.unwrap();
        let before = links.find("Ethernet0").await.unwrap().unwrap();
        ports.forget();
        assert!(ports.apply(&links, vec![set("Ethernet4", &[("lanes", "2")])]).await.unwrap().created.is_empty());
        ports.apply(&links, rows()).await.unwrap();
        let after = links.find("Ethernet0").await.unwrap().unwrap();
        assert_eq!((after.ifindex, after.mtu, after.admin_up), (before.ifindex, 1500, true));
        ports.remove_all(&links).await.unwrap();
        assert_eq!(links.find("Ethernet0").await.unwrap(), None);
    }

    #[tokio::test]
    async fn rows_change_and_remove_links() {
        enter_private().unwrap();
        let links = Links::open().unwrap();
        let mut ports = Ports::default();
        let row = set("Ethernet0", &[("lanes", "1"), ("admin_status", "up")]);
        ports.apply(&links, vec![set("PortConfigDone", &[("count", "0")])]).await.unwrap();
        ports.apply(&links, vec![row]).await.unwrap();
        ports.apply(&links, vec![set("Ethernet0", &[("mtu", "2000"), ("admin_status", "down")])]).await.unwrap();
        let link = links.find("Ethernet0").await.unwrap().unwrap();
        assert_eq!((link.mtu, link.admin_up), (2000, false));
        let del = Entry { key: "Ethernet0".to_owned(), op: Op::Del, fields: Vec::new() };
        let changed = ports.apply(&links, vec![del]).await.unwrap();
        assert_eq!(changed.removed, ["Ethernet0"]);
        assert_eq!(links.find("Ethernet0").await.unwrap(), None);
    }
}
