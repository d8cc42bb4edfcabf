//! `portsyncd ports`: a table of the ports, in the daemon's order.

use portsyncd::api::{Port, PortList, PortState};
use portsyncd::config::ControlConfig;
use portsyncd::control::Control;

use super::table::TextTable;
use super::text::{Paint, ago, count, plain};
use super::{block_on, json, now, put, shows_colour};

const PATH: &str = "/api/v1/ports";
const COLUMNS: usize = 8;
const TABLE: TextTable<COLUMNS> = TextTable {
    headings: ["port", "admin", "oper", "mtu", "ifindex", "flaps", "last change", "in step"],
    numbers: &[3, 4, 5],
};

pub fn run(config: &ControlConfig, as_json: bool) -> anyhow::Result<bool> {
    let control = Control::new(config)?;
    let text = block_on(async {
        if as_json {
            return Ok(json::pretty(&control.fetch(PATH).await?)?);
        }
        let list: PortList = control.get(PATH).await?;
        Ok(table(&list.ports, now(), Paint { on: shows_colour() }))
    })?;
    put(&text)?;
    Ok(true)
}

fn table(ports: &[Port], now: f64, paint: Paint) -> String {
    if ports.is_empty() {
        return "no ports: the daemon knows of none that is configured, and sees no link with a port's name\n"
            .to_owned();
    }
    let rows: Vec<[String; COLUMNS]> = ports.iter().map(|port| row(port, now)).collect();
    TABLE.text(&rows, |row, column, cell| match (column, row[column].as_str()) {
        (1 | 2, "up") | (7, "yes") => paint.good(&cell),
        // A port that nobody wants up is down as it should be.
        (2, "down") if row[1] == "up" => paint.bad(&cell),
        (7, _) => paint.fair(&cell),
        _ => cell,
    })
}

fn row(port: &Port, now: f64) -> [String; COLUMNS] {
    let or_dash = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
    [
        plain(&port.name),
        or_dash(port.admin.as_deref().map(plain)),
        or_dash(port.oper.as_deref().map(plain)),
        or_dash(port.mtu.map(|mtu| mtu.to_string())),
        or_dash(port.ifindex.map(|ifindex| ifindex.to_string())),
        count(port.flaps),
        or_dash(port.last_change.map(|at| ago(now, at))),
        standing(port.state).to_owned(),
    ]
}

/// Whether a port is in step, and why not.
fn standing(standing: PortState) -> &'static str {
    match standing {
        PortState::InStep => "yes",
        PortState::Pending => "being written",
        PortState::Waiting => "waiting for APPL_DB",
        PortState::Ignored => "ignored: its link is from before the cold start",
        PortState::Blocked => "blocked: its key in STATE_DB holds another type, delete it",
        PortState::Awaited => "awaited, no link",
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A port that is up, in step and 1500 bytes wide.
    pub fn port(name: &str, ifindex: u32) -> Port {
        Port {
            name: name.to_owned(),
            admin: Some("up".to_owned()),
            oper: Some("up".to_owned()),
            mtu: Some(9100),
            ifindex: Some(ifindex),
            flaps: 0,
            last_change: Some(9808.0),
            state: PortState::InStep,
            in_step: true,
            history: Vec::new(),
        }
    }

    #[test]
    fn columns_stand_below_each_other() {
        let first = Port { flaps: 1234, ..port("Ethernet0", 7) };
        let second = Port { oper: Some("down".to_owned()), state: PortState::Pending, ..port("Ethernet124", 1038) };
        let third = Port {
            admin: None,
            oper: None,
            mtu: None,
            ifindex: None,
            last_change: None,
            state: PortState::Awaited,
            ..port("Ethernet8", 0)
        };
        let fourth = Port { state: PortState::Ignored, ..Port { name: "Ethernet12".to_owned(), ..third.clone() } };
        let text = table(&[first, second, third, fourth], 10_000.0, Paint { on: false });
        assert_eq!(
            text,
            "\
port         admin  oper   mtu  ifindex  flaps  last change  in step
Ethernet0    up     up    9100        7  1,234  3m 12s ago   yes
Ethernet124  up     down  9100     1038      0  3m 12s ago   being written
Ethernet8    -      -        -        -      0  -            awaited, no link
Ethernet12   -      -        -        -      0  -            ignored: its link is from before the cold start
"
        );
    }

    #[test]
    fn colours_do_not_move_columns() {
        let ports = [Port { oper: Some("down".to_owned()), ..port("Ethernet0", 7) }];
        let colours = table(&ports, 10_000.0, Paint { on: true });
        assert!(colours.contains("\x1b[31mdown\x1b[0m  9100"), "{colours}");
        let mut plain = colours;
        for code in ["\x1b[31m", "\x1b[32m", "\x1b[33m", "\x1b[0m"] {
            plain = plain.replace(code, "");
        }
        assert_eq!(plain, table(&ports, 10_000.0, Paint { on: false }));
    }

    #[test]
    fn no_ports_are_told_in_words() {
        assert!(table(&[], 0.0, Paint { on: false }).starts_with("no ports"));
    }
}
