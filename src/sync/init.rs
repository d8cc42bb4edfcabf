//! When a start is done.
//!
//! In: the ports to wait for, that `PortConfigDone` was published, which rows Redis acknowledged. Out: the moment for
//! `PortInitDone`, once, and who is still awaited.

use std::collections::BTreeSet;

/// Waits for every configured port's first row.
#[derive(Debug, Default)]
pub struct Init {
    awaited: BTreeSet<Box<[u8]>>,
    configured: bool,
    said: bool,
}

impl Init {
    /// Waits for these ports' rows.
    pub fn waiting_for(ports: impl IntoIterator<Item = Box<[u8]>>) -> Self {
        Self { awaited: ports.into_iter().collect(), configured: false, said: false }
    }

    /// `PortConfigDone` is in Redis, or (warm) need not be.
    pub fn configured(&mut self) {
        self.configured = true;
    }

    /// Redis has acknowledged this port's row.
    pub fn row_written(&mut self, port: &[u8]) {
        self.awaited.remove(port);
    }

    /// Whether `PortInitDone` is due.
    pub fn is_due(&self) -> bool {
        self.configured && !self.said && self.awaited.is_empty()
    }

    /// Redis has acknowledged `PortInitDone`.
    pub fn said(&mut self) {
        self.said = true;
    }

    /// Whether `PortInitDone` was published.
    pub fn is_said(&self) -> bool {
        self.said
    }

    /// Redis lost what it had acknowledged: `PortInitDone` has to be published again.
    pub fn lost(&mut self) {
        self.said = false;
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
        Init::waiting_for([b"Ethernet0".as_slice().into(), b"Ethernet4".as_slice().into()])
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
        init.said();
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
        init.said();
        assert!(!init.is_due());
        init.lost();
        assert!(init.is_due());
    }
}
