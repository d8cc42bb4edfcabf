//! When a start is done.
//!
//! In: which rows Redis acknowledged, the ports to wait for, that `PortConfigDone` was published. Out: the moment for
//! `PortInitDone`, once, and who is still awaited. Rows may be written before it is known whom to wait for.

use std::collections::BTreeSet;

/// Waits for every configured port's first row.
#[derive(Debug, Default)]
pub struct Init {
    awaited: BTreeSet<Box<[u8]>>,
    /// The ports whose rows were written before `PortConfigDone`.
    written: BTreeSet<Box<[u8]>>,
    configured: bool,
    published: bool,
}

impl Init {
    /// Waits for these ports' rows, those that were written since the start excepted.
    pub fn wait_for<'a>(&mut self, ports: impl IntoIterator<Item = &'a [u8]>) {
        let unwritten = ports.into_iter().filter(|port| !self.written.contains(*port));
        self.awaited = unwritten.map(Box::from).collect();
    }

    /// `PortConfigDone` is in Redis, or (warm) need not be.
    pub fn configured(&mut self) {
        self.configured = true;
        self.written.clear();
    }

    /// Redis has acknowledged this port's row. True if it was awaited.
    pub fn row_written(&mut self, port: &[u8]) -> bool {
        if !self.configured && !self.written.contains(port) {
            self.written.insert(port.into());
        }
        self.awaited.remove(port)
    }

    /// Whether `PortInitDone` is due.
    pub fn is_due(&self) -> bool {
        self.configured && !self.published && self.awaited.is_empty()
    }

    /// Redis has acknowledged `PortInitDone`.
    pub fn published(&mut self) {
        self.published = true;
    }

    /// Whether `PortInitDone` was published.
    pub fn is_published(&self) -> bool {
        self.published
    }

    /// Redis lost what it had acknowledged: `PortInitDone` has to be published again.
    pub fn lost(&mut self) {
        self.published = false;
    }

    /// The ports still awaited, in order.
    pub fn awaited(&self) -> impl ExactSizeIterator<Item = &[u8]> + '_ {
        self.awaited.iter().map(AsRef::as_ref)
    }

    /// Whether this port is awaited.
    pub fn is_awaited(&self, port: &[u8]) -> bool {
        self.awaited.contains(port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn init() -> Init {
        let mut init = Init::default();
        init.wait_for([b"Ethernet0".as_slice(), b"Ethernet4"]);
        init
    }

    #[test]
    fn due_once_all_rows_are_written_and_config_done_is_published() {
        let mut init = init();
        init.row_written(b"Ethernet0");
        init.configured();
        assert!(!init.is_due());
        assert_eq!(init.awaited().collect::<Vec<_>>(), [b"Ethernet4"]);
        init.row_written(b"Ethernet4");
        assert!(init.is_due());
        init.published();
        assert!(!init.is_due());
    }

    #[test]
    fn rows_before_config_done_do_not_make_it_due() {
        let mut init = init();
        init.row_written(b"Ethernet0");
        init.row_written(b"Ethernet4");
        assert!(!init.is_due());
        init.configured();
        assert!(init.is_due());
    }

    #[test]
    fn what_was_written_before_it_is_known_whom_to_wait_for_is_not_awaited() {
        let mut init = Init::default();
        init.row_written(b"Ethernet0");
        assert!(!init.is_due());
        init.wait_for([b"Ethernet0".as_slice(), b"Ethernet4"]);
        init.configured();
        assert_eq!(init.awaited().collect::<Vec<_>>(), [b"Ethernet4"]);
    }

    #[test]
    fn rows_of_others_change_nothing() {
        let mut init = init();
        init.configured();
        init.row_written(b"PortChannel1");
        assert_eq!(init.awaited().len(), 2);
    }

    #[test]
    fn a_loss_makes_it_due_again() {
        let mut init = Init::default();
        init.configured();
        init.published();
        assert!(!init.is_due());
        init.lost();
        assert!(init.is_due());
    }
}
