//! The requests that write a row. In: the row. Out: the bytes that Redis gets.

use super::resp::{Request, argument};
use crate::db::pending::Write;
use crate::db::tables;
use crate::sync::port_sync::{Row, RowKey};

/// Encodes rows for one database.
#[derive(Debug)]
pub struct Encoder {
    separator: String,
    /// `HSET` of a row of each form.
    sets: Box<[RequestTemplate]>,
    remove: RequestTemplate,
}

/// What of a request is the same for every key.
#[derive(Debug)]
struct RequestTemplate {
    before_key: Vec<u8>,
    after_key: Vec<u8>,
}

impl RequestTemplate {
    fn new(command: &str, after_key: &Request) -> Self {
        const NO_KEY: &[u8] = b"$0\r\n\r\n";
        let mut before_key = Vec::new();
        Request::new(command).arg("").args(after_key).encode(&mut before_key);
        let at = before_key.windows(NO_KEY.len()).position(|part| part == NO_KEY).unwrap_or_default();
        let after_key = before_key.split_off(at)[NO_KEY.len()..].to_vec();
        Self { before_key, after_key }
    }

    /// `HSET` of a row of this form, without the number at its end if it has one.
    fn set(row: Row) -> Self {
        let (mut fields, mut names) = (Request::default(), tables::fields(tables::table(row)).iter());
        tables::values(row, |value| {
            let field = names.next().copied().unwrap_or_default();
            fields = std::mem::take(&mut fields).arg(field).arg(value);
        });
        let mut template = Self::new("HSET", &fields);
        if tables::form(row).1.is_some() {
            template.after_key.truncate(template.after_key.len() - b"$1\r\n0\r\n".len());
        }
        template
    }
}

impl Encoder {
    /// For a database whose keys have this between their parts.
    pub fn new(separator: &str) -> Self {
        let sets = tables::forms().into_iter().map(RequestTemplate::set).collect();
        Self { separator: separator.to_owned(), sets, remove: RequestTemplate::new("DEL", &Request::default()) }
    }

    /// Appends the request of a write. That of [`Write::Replace`] is the second: a [`Write::Remove`] goes before it.
    pub fn encode(&self, out: &mut Vec<u8>, key: RowKey, write: Write) {
        let (template, number) = match write.leaves().map(tables::form) {
            Some((form, number)) => (&self.sets[form], number),
            None => (&self.remove, None),
        };
        out.extend_from_slice(&template.before_key);
        argument(out, &[tables::name(key.table).as_bytes(), self.separator.as_bytes(), key.name.as_bytes()]);
        out.extend_from_slice(&template.after_key);
        if let Some(number) = number {
            argument(out, &[itoa::Buffer::new().format(number).as_bytes()]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::LinkName;
    use crate::sync::port_sync::Table;

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
