//! What became of ports, as lines of the log.

use tracing::info;

use crate::db::tables::up_down;
use crate::link::LinkName;
use crate::sync::port_sync::{Row, Source};

/// What a port is now, known from which link, or that it is gone.
pub(super) struct LoggedChange {
    pub name: LinkName,
    pub now: Option<(Row, Source)>,
}

impl LoggedChange {
    pub fn log(self) {
        let name = self.name;
        match self.now {
            Some((Row::Port { admin_up, oper_up, mtu }, source)) => info!(
                port = %name, admin = up_down(admin_up), oper = up_down(oper_up), mtu,
                ifindex = source.ifindex, "port changed"
            ),
            Some((Row::Management { oper_up }, source)) => {
                info!(port = %name, oper = up_down(oper_up), ifindex = source.ifindex, "management port changed");
            }
            None => info!(port = %name, "port removed"),
        }
    }
}
