//! Where Redis has something else than the daemon would have written.

use std::fmt;

use serde::Serialize;

use crate::db::tables;
use crate::sync::port_sync::{Row, Table};

/// One key that is not as it would be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Difference {
    /// The database's name in SONiC.
    pub database: &'static str,
    /// The key, bytes that are no printable ASCII escaped.
    pub key: String,
    /// What is wrong with it.
    #[serde(flatten)]
    pub what: What,
}

/// What is wrong with a key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "problem", rename_all = "snake_case")]
pub enum What {
    /// A port of `CONFIG_DB`, or an end of a start, is not in `APPL_DB`.
    NotPublished,
    /// The row of a link is not there.
    Missing,
    /// It is there, with other values.
    Differs {
        /// Those of our fields that differ.
        fields: Vec<FieldDifference>,
    },
    /// It has fields of ours, but no link has its name.
    NoLink,
    /// The key holds another type than a hash.
    WrongType,
}

/// A field, as it is and as it would be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct FieldDifference {
    pub field: &'static str,
    /// What Redis has; nothing where the field is not there.
    pub found: Option<String>,
    /// What the daemon would write.
    pub wanted: String,
}

impl Difference {
    pub(super) fn state(key: String, what: What) -> Self {
        Self { database: "STATE_DB", key, what }
    }

    pub(super) fn appl(key: String, what: What) -> Self {
        Self { database: "APPL_DB", key, what }
    }
}

impl What {
    /// How the values of our fields, in their order, differ from the row; `None` if they do not.
    pub(super) fn of(table: Table, row: Row, found: &[Option<Vec<u8>>]) -> Option<Self> {
        if found.iter().all(Option::is_none) {
            return Some(Self::Missing);
        }
        let mut fields = Vec::new();
        let mut names = tables::fields(table).iter().zip(found);
        tables::values(row, |wanted| {
            if let Some((field, found)) = names.next()
                && found.as_deref() != Some(wanted)
            {
                let found = found.as_ref().map(|found| found.escape_ascii().to_string());
                fields.push(FieldDifference { field, found, wanted: wanted.escape_ascii().to_string() });
            }
        });
        (!fields.is_empty()).then_some(Self::Differs { fields })
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: ", self.database, self.key)?;
        match &self.what {
            What::NotPublished => f.write_str("not published"),
            What::Missing => f.write_str("missing"),
            What::NoLink => f.write_str("there, though no link has this name"),
            What::WrongType => f.write_str("holds another type than a hash"),
            What::Differs { fields } => {
                for (at, FieldDifference { field, found, wanted }) in fields.iter().enumerate() {
                    let comma = if at == 0 { "" } else { ", " };
                    match found {
                        Some(found) => write!(f, "{comma}{field} is {found:?}, would be {wanted:?}")?,
                        None => write!(f, "{comma}{field} is missing, would be {wanted:?}")?,
                    }
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROW: Row = Row::Port { admin_up: true, oper_up: false, mtu: 9100 };

    fn of(found: [Option<&str>; 4]) -> Option<String> {
        let found = found.map(|value| value.map(|value| value.as_bytes().to_vec()));
        let what = What::of(Table::Port, ROW, &found)?;
        Some(Difference::state("PORT_TABLE|Ethernet0".to_owned(), what).to_string())
    }

    #[test]
    fn a_row_as_it_would_be_written_does_not_differ() {
        assert_eq!(of([Some("ok"), Some("down"), Some("up"), Some("9100")]), None);
    }

    #[test]
    fn what_differs_is_said_field_by_field() {
        assert_eq!(
            of([Some("ok"), Some("up"), Some("up"), None]).unwrap(),
            r#"STATE_DB PORT_TABLE|Ethernet0: netdev_oper_status is "up", would be "down", mtu is missing, would be "9100""#
        );
        assert_eq!(of([None; 4]).unwrap(), "STATE_DB PORT_TABLE|Ethernet0: missing");
    }
}
