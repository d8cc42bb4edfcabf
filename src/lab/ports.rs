//! Rows of `CONFIG_DB`'s `PORT` table as switches have them, for any number of ports.
//!
//! The schemes follow hardware: 32 ports of 4 lanes at 100G (`Ethernet0`, `Ethernet4`, …), 64 of 8 lanes at 400G
//! (`Ethernet0`, `Ethernet8`, …), 128 of 4 lanes at 400G, 256 of 2 lanes at 200G, more of one lane at 100G. Beyond 512, which
//! is the most that hardware has, the last scheme goes on.

use super::Error;

/// One row of `CONFIG_DB`'s `PORT` table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortConfigRow {
    /// The port, such as `Ethernet4`.
    pub name: String,
    /// Fields and values, in the order in which they are written.
    pub fields: Vec<(String, String)>,
}

impl PortConfigRow {
    /// The value of `field`, if the row has it.
    pub fn get(&self, field: &str) -> Option<&str> {
        let (_, value) = self.fields.iter().find(|(name, _)| name == field)?;
        Some(value)
    }
}

/// Lanes of a port and its speed in Mb/s, on a switch with so many ports.
fn scheme(count: usize) -> (usize, u32) {
    match count {
        0..=32 => (4, 100_000),
        33..=64 => (8, 400_000),
        65..=128 => (4, 400_000),
        129..=256 => (2, 200_000),
        _ => (1, 100_000),
    }
}

/// The rows of a switch with `count` ports.
pub fn rows(count: usize) -> Vec<PortConfigRow> {
    let (width, speed) = scheme(count);
    (0..count).map(|n| row(n, width, speed)).collect()
}

fn row(n: usize, width: usize, speed: u32) -> PortConfigRow {
    let first = n * width;
    let lanes: Vec<String> = (first + 1..=first + width).map(|lane| lane.to_string()).collect();
    let fields = [
        ("admin_status", "up".to_owned()),
        ("alias", format!("etp{}", n + 1)),
        ("description", format!("rack{}:server{}", n / 16 + 1, n % 16 + 1)),
        ("fec", "rs".to_owned()),
        ("index", (n + 1).to_string()),
        ("lanes", lanes.join(",")),
        ("mtu", "9100".to_owned()),
        ("speed", speed.to_string()),
    ];
    PortConfigRow {
        name: format!("Ethernet{first}"),
        fields: fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
    }
}

/// The rows of a port that is broken out into so many: the lanes are shared out, and so is the speed. The first has the name of
/// the port itself, the others are numbered by their first lane, as `SONiC` does it.
pub fn breakout(port: &PortConfigRow, into: usize) -> Result<Vec<PortConfigRow>, Error> {
    let impossible = |why: &str| Err(Error::Breakout { port: port.name.clone(), into, why: why.to_owned() });
    let lanes: Vec<&str> = port.get("lanes").unwrap_or_default().split(',').filter(|lane| !lane.is_empty()).collect();
    if into == 0 || lanes.is_empty() || !lanes.len().is_multiple_of(into) {
        return impossible(&format!("its {} lanes cannot be shared out", lanes.len()));
    }
    let digits = port.name.find(|letter: char| letter.is_ascii_digit()).unwrap_or(port.name.len());
    let (prefix, number) = port.name.split_at(digits);
    let Ok(number) = number.parse::<usize>() else { return impossible("its name has no number") };
    let width = lanes.len() / into;
    let share = |(at, own): (usize, &[&str])| {
        let fields = port.fields.iter().map(|(field, value)| {
            let value = match (field.as_str(), value.parse::<usize>()) {
                ("lanes", _) => own.join(","),
                ("speed", Ok(speed)) => (speed / into).to_string(),
                ("alias", _) if into > 1 => {
                    format!("{value}{}", char::from(b'a' + u8::try_from(at).unwrap_or(25).min(25)))
                }
                _ => value.clone(),
            };
            (field.clone(), value)
        });
        PortConfigRow { name: format!("{prefix}{}", number + at * width), fields: fields.collect() }
    };
    Ok(lanes.chunks(width).enumerate().map(share).collect())
}

/// Name of the far end of a port's veth pair, at most 15 bytes: `cable4` for `Ethernet4`.
pub fn cable(port: &str) -> String {
    let rest = port.strip_prefix("Ethernet").unwrap_or(port);
    let skip = rest.len().saturating_sub(10);
    format!("cable{}", rest.get(skip..).unwrap_or("0"))
}

/// Writes `rows` to `CONFIG_DB` (`PORT|<name>` with this separator); returns how many were written. Rows that are there stay
/// as they are unless `overwrite`, which replaces them. All appear at once: no reader sees a part of them.
pub fn seed(
    config_db: &mut redis::Connection,
    separator: &str,
    rows: &[PortConfigRow],
    overwrite: bool,
) -> Result<usize, Error> {
    if rows.is_empty() {
        return Ok(0);
    }
    let key = |row: &PortConfigRow| format!("PORT{separator}{}", row.name);
    let mut look = redis::pipe();
    for row in rows {
        look.exists(key(row));
    }
    let there: Vec<bool> = look.query(config_db)?;
    let mut write = redis::pipe();
    write.atomic();
    let mut written = 0;
    for (row, _) in rows.iter().zip(there).filter(|(_, there)| overwrite || !there) {
        write.del(key(row)).hset_multiple(key(row), &row.fields);
        written += 1;
    }
    if written > 0 {
        write.exec(config_db)?;
    }
    Ok(written)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_and_lanes_follow_the_hardware() {
        let few = rows(32);
        assert_eq!(few[1].name, "Ethernet4");
        assert_eq!(few[1].get("lanes"), Some("5,6,7,8"));
        assert_eq!(few[31].name, "Ethernet124");
        assert_eq!(rows(64)[1].name, "Ethernet8");
        assert_eq!(rows(128)[127].name, "Ethernet508");
        assert_eq!(rows(512)[511].name, "Ethernet511");
    }

    #[test]
    fn any_number_gives_distinct_names_lanes_and_interface_names_that_fit() {
        for count in [1, 8, 33, 200, 4096] {
            let all = rows(count);
            let names: HashSet<_> = all.iter().map(|row| &row.name).collect();
            let cables: HashSet<_> = all.iter().map(|row| cable(&row.name)).collect();
            let lanes: Vec<_> = all.iter().flat_map(|row| row.get("lanes").unwrap().split(',')).collect();
            assert_eq!((names.len(), cables.len()), (count, count));
            assert_eq!(lanes.iter().collect::<HashSet<_>>().len(), lanes.len());
            assert!(all.iter().all(|row| row.name.len() <= 15 && cable(&row.name).len() <= 15));
        }
        assert_eq!(cable("PortChannel0001").len(), 15);
    }

    #[test]
    fn a_breakout_shares_out_lanes_and_speed() {
        let port = &rows(2)[1];
        let halves = breakout(port, 2).unwrap();
        let seen: Vec<_> = halves.iter().map(|row| (row.name.as_str(), row.get("lanes"), row.get("speed"))).collect();
        let half = Some("50000");
        assert_eq!(seen, [("Ethernet4", Some("5,6"), half), ("Ethernet6", Some("7,8"), half)]);
        assert_eq!(halves[1].get("alias"), Some("etp2b"));
        assert_eq!(halves[1].get("mtu"), Some("9100"));
        let names: Vec<_> = breakout(port, 4).unwrap().into_iter().map(|row| row.name).collect();
        assert_eq!(names, ["Ethernet4", "Ethernet5", "Ethernet6", "Ethernet7"]);
        assert_eq!(breakout(port, 1).unwrap(), std::slice::from_ref(port));
        let error = breakout(port, 3).unwrap_err().to_string();
        assert_eq!(error, "cannot break Ethernet4 out into 3: its 4 lanes cannot be shared out");
    }
}
