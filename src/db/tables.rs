//! The layout of every row that the daemon reads or writes: names of tables, fields, order of fields.

use crate::link::LinkName;
use crate::sync::port_sync::{Row, RowKey, Table};

/// APPL_DB's and STATE_DB's table of ports.
pub const PORT_TABLE: &str = "PORT_TABLE";
/// CONFIG_DB's table of ports.
pub const CONFIG_PORT: &str = "PORT";
/// STATE_DB's table of management ports.
pub const MGMT_PORT_TABLE: &str = "MGMT_PORT_TABLE";
/// CONFIG_DB's table of alert rules.
pub const ALERT_RULE: &str = "PORTSYNCD_ALERT_RULE";
/// The name that the daemon has in `SONiC`: its key in `LOGGER` and `WARM_RESTART_TABLE`.
pub const DAEMON: &str = "portsyncd";
/// The key that ends the publishing of ports.
pub const PORT_CONFIG_DONE: &str = "PortConfigDone";
/// The key that says that every port was seen.
pub const PORT_INIT_DONE: &str = "PortInitDone";

/// The fields of a table's row that are ours, in the order in which they are written. Others belong to other daemons.
pub fn fields(table: Table) -> &'static [&'static str] {
    match table {
        Table::Port => &["state", "netdev_oper_status", "admin_status", "mtu"],
        Table::Management => &["oper_status"],
    }
}

/// The table that a row belongs to.
pub fn table(row: Row) -> Table {
    match row {
        Row::Port { .. } => Table::Port,
        Row::Management { .. } => Table::Management,
    }
}

/// The table's name in Redis.
pub fn name(table: Table) -> &'static str {
    match table {
        Table::Port => PORT_TABLE,
        Table::Management => MGMT_PORT_TABLE,
    }
}

/// The row's key in Redis.
pub fn redis_key(key: RowKey, separator: &str) -> Vec<u8> {
    join(name(key.table), separator, key.name.as_bytes())
}

/// `table`, `separator` and `key` in one.
pub fn join(table: &str, separator: &str, key: &[u8]) -> Vec<u8> {
    [table.as_bytes(), separator.as_bytes(), key].concat()
}

/// Calls `each` with the value of every one of our fields, in their order.
pub fn values(row: Row, mut each: impl FnMut(&[u8])) {
    match row {
        Row::Port { admin_up, oper_up, mtu } => {
            each(b"ok");
            each(up_down(oper_up).as_bytes());
            each(up_down(admin_up).as_bytes());
            each(itoa::Buffer::new().format(mtu).as_bytes());
        }
        Row::Management { oper_up } => each(up_down(oper_up).as_bytes()),
    }
}

/// One row of each form: rows of a form differ at most in a number that is their last field.
pub fn forms() -> Vec<Row> {
    const BOTH: [bool; 2] = [false, true];
    let port = |oper_up| BOTH.map(|admin_up| Row::Port { admin_up, oper_up, mtu: 0 });
    let management = BOTH.map(|oper_up| Row::Management { oper_up });
    BOTH.into_iter().flat_map(port).chain(management).collect()
}

/// Which of the [`forms`] a row has, and the number that is its last field.
pub fn form(row: Row) -> (usize, Option<u32>) {
    match row {
        Row::Port { admin_up, oper_up, mtu } => (2 * usize::from(oper_up) + usize::from(admin_up), Some(mtu)),
        Row::Management { oper_up } => (4 + usize::from(oper_up), None),
    }
}

/// Reads our fields back; `None` if they are not just what we would write.
pub fn parse(table: Table, found: &[Option<&[u8]>]) -> Option<Row> {
    let field = |at: usize| *found.get(at)?;
    let row = match table {
        Table::Management => Row::Management { oper_up: is_up(field(0)?)? },
        Table::Port => Row::Port {
            oper_up: is_up(field(1)?)?,
            admin_up: is_up(field(2)?)?,
            mtu: std::str::from_utf8(field(3)?).ok()?.parse().ok()?,
        },
    };
    let (mut at, mut same) = (0, true);
    values(row, |value| {
        same &= field(at) == Some(value);
        at += 1;
    });
    same.then_some(row)
}

/// A port's name as it stands in a key, if a link can have it.
pub fn link_name(key: &[u8], prefix: &[u8]) -> Option<LinkName> {
    LinkName::new(key.strip_prefix(prefix)?)
}

/// A state as it is written.
pub fn up_down(up: bool) -> &'static str {
    if up { "up" } else { "down" }
}

fn is_up(value: &[u8]) -> Option<bool> {
    match value {
        b"up" => Some(true),
        b"down" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is read back once the row is written.
    fn reread(table: Table, row: Row) -> Option<Row> {
        let mut out = Vec::new();
        values(row, |value| out.push(value.to_vec()));
        parse(table, &out.iter().map(|value| Some(value.as_slice())).collect::<Vec<_>>())
    }

    #[test]
    fn every_row_reads_back() {
        for bits in 0..4u8 {
            for mtu in [0, 68, 1500, 9100, u32::MAX] {
                let row = Row::Port { admin_up: bits & 1 != 0, oper_up: bits & 2 != 0, mtu };
                assert_eq!(reread(Table::Port, row), Some(row));
            }
        }
        let row = Row::Management { oper_up: true };
        assert_eq!(reread(Table::Management, row), Some(row));
    }

    #[test]
    fn whatever_we_would_not_write_differs() {
        let read = |values: [&'static str; 4]| parse(Table::Port, &values.map(|value| Some(value.as_bytes())));
        assert!(read(["ok", "up", "up", "9100"]).is_some());
        for values in
            [["ok", "up", "up", "09100"], ["no", "up", "up", "1"], ["ok", "", "up", "1"], ["ok", "up", "UP", "1"]]
        {
            assert_eq!(read(values), None);
        }
        assert_eq!(parse(Table::Port, &[None, None, None, None]), None);
    }
}
