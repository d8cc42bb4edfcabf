//! The commands that write a row. In: the row. Out: the bytes that Redis gets.

use super::resp::{command, word};
use crate::db::pending::Write;
use crate::db::tables;
use crate::sync::port_sync::{Row, RowKey, Table};

/// Encodes rows for one database.
#[derive(Debug)]
pub struct Encoder {
    separator: String,
    /// What follows the key when a port's row is set, up to the value of its MTU: by `IFF_RUNNING`, then `IFF_UP`. All that
    /// changes from port to port stands around it.
    ports: [[Vec<u8>; 2]; 2],
}

impl Encoder {
    /// For a database whose keys have this between their parts.
    pub fn new(separator: &str) -> Self {
        let port = |oper_up, admin_up| {
            let mut out = Vec::new();
            let mut end = 0;
            fields(&mut out, Table::Port, Row::Port { admin_up, oper_up, mtu: 0 }, |out| end = out.len());
            out.truncate(end);
            out
        };
        let ports = [false, true].map(|oper_up| [false, true].map(|admin_up| port(oper_up, admin_up)));
        Self { separator: separator.to_owned(), ports }
    }

    /// Appends the command of a write. That of [`Write::Replace`] is the second: a [`Write::Remove`] goes before it.
    pub fn encode(&self, out: &mut Vec<u8>, key: RowKey, write: Write) {
        let name: [&[u8]; 3] = [tables::name(key.table).as_bytes(), self.separator.as_bytes(), key.name.as_bytes()];
        let count = tables::fields(key.table).len();
        match write {
            Write::Set(row) | Write::Replace(row) => {
                command(out, 2 + 2 * count);
                word(out, &[b"HSET"]);
                word(out, &name);
                match row {
                    Row::Port { admin_up, oper_up, mtu } => {
                        out.extend_from_slice(&self.ports[usize::from(oper_up)][usize::from(admin_up)]);
                        word(out, &[itoa::Buffer::new().format(mtu).as_bytes()]);
                    }
                    Row::Management { .. } => fields(out, key.table, row, |_| {}),
                }
            }
            Write::Remove => {
                command(out, 2);
                word(out, &[b"DEL"]);
                word(out, &name);
            }
        }
    }
}

/// Each field and its value; calls `before_value` before each value.
fn fields(out: &mut Vec<u8>, table: Table, row: Row, mut before_value: impl FnMut(&Vec<u8>)) {
    let mut fields = tables::fields(table).iter();
    tables::values(row, |value| {
        word(out, &[fields.next().map_or(b"", |field| field.as_bytes())]);
        before_value(out);
        word(out, &[value]);
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::LinkName;

    fn encoded(table: Table, write: Write) -> Vec<u8> {
        let key = RowKey { table, name: LinkName::new(b"Ethernet12").unwrap() };
        let mut out = Vec::new();
        Encoder::new("|").encode(&mut out, key, write);
        out
    }

    /// As the redis crate encodes them.
    fn commands(lines: &[&str]) -> Vec<u8> {
        let encoded = |line: &&str| {
            let (name, words) = line.split_once(' ').unwrap();
            redis::cmd(name).arg(words.split(' ').collect::<Vec<_>>()).get_packed_command()
        };
        lines.iter().flat_map(encoded).collect()
    }

    #[test]
    fn every_state_of_a_port_is_one_hset_of_four_fields() {
        for (oper_up, oper) in [(false, "down"), (true, "up")] {
            for (admin_up, admin) in [(false, "down"), (true, "up")] {
                for mtu in [0, 9100, u32::MAX] {
                    let set = format!(
                        "HSET PORT_TABLE|Ethernet12 state ok netdev_oper_status {oper} admin_status {admin} mtu {mtu}"
                    );
                    let row = Row::Port { admin_up, oper_up, mtu };
                    assert_eq!(encoded(Table::Port, Write::Set(row)), commands(&[&set]));
                    assert_eq!(encoded(Table::Port, Write::Replace(row)), commands(&[&set]));
                }
            }
        }
    }

    #[test]
    fn removals_and_management_ports() {
        assert_eq!(encoded(Table::Port, Write::Remove), commands(&["DEL PORT_TABLE|Ethernet12"]));
        let row = Row::Management { oper_up: true };
        let set = commands(&["HSET MGMT_PORT_TABLE|Ethernet12 oper_status up"]);
        assert_eq!(encoded(Table::Management, Write::Set(row)), set);
    }
}
