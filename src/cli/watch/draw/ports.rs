//! The ports: as a table or as a panel, and what there is to say of the one at the cursor.

use portsyncd::api::{Port, PortState};
use ratatui::buffer::Buffer;
use ratatui::layout::{Alignment, Rect};
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::Widget;

use super::super::arrange::{PANEL_GROUP, PANEL_LABEL, PortsArea, first_shown, panel_columns};
use super::super::list::{Look, Sort};
use super::super::view::{Form, View};
use super::theme::{CURSOR, PENDING, QUIET, STRONG, Theme, sign};
use super::title;
use crate::cli::text::{ago, count, plain, rate, span};

/// A column of the table: what it is called, how wide it is, where it stands.
struct PortColumn {
    name: &'static str,
    width: u16,
    alignment: Alignment,
    value: fn(&View, &Port) -> String,
}

const fn column(name: &'static str, width: u16, alignment: Alignment, value: fn(&View, &Port) -> String) -> PortColumn {
    PortColumn { name, width, alignment, value }
}

/// In the order in which they are given up where there is no room: from the end.
const COLUMNS: [PortColumn; 7] = [
    column("port", 13, Alignment::Left, |_, port| plain(&port.name)),
    column("state", 12, Alignment::Left, |_, port| format!("{} {}", mark(port), Look::of(port).name())),
    column("mtu", 5, Alignment::Right, |_, port| dash(port.mtu)),
    column("flaps", 6, Alignment::Right, |_, port| short(port.flaps)),
    column("last change", 11, Alignment::Right, |view, port| {
        port.last_change.map_or_else(|| "-".to_owned(), |at| ago(view.now, at))
    }),
    column("ifindex", 8, Alignment::Right, |_, port| dash(port.ifindex)),
    column("history", 8, Alignment::Left, |_, port| history(port)),
];

pub fn draw(buffer: &mut Buffer, area: &PortsArea, view: &View, theme: Theme) {
    let (all, shown) = (view.list.all().len(), view.list.len());
    let mut more = if shown == all { count(all as u64) } else { format!("{shown} of {all}") };
    if !view.list.filter().is_empty() {
        more.push_str(&format!(" with {:?}", view.list.filter()));
    }
    if view.list.sort() != Sort::Name {
        more.push_str(&format!(" by {}", view.list.sort().name()));
    }
    let pending = view.list.pending();
    if pending > 0 {
        more.push_str(&format!(", {PENDING} {pending} being written"));
    }
    title(buffer, area.title, "ports", &more);
    match view.form() {
        Form::Table => table(buffer, area.list, view, theme),
        Form::Panel => panel(buffer, area.list, view, theme),
    }
    details(buffer, area.details, view);
}

fn table(buffer: &mut Buffer, area: Rect, view: &View, theme: Theme) {
    let mut rows = area.rows();
    let Some(head) = rows.next() else { return };
    cells(buffer, head, &mut |column| (column.name.to_owned(), QUIET));
    let height = usize::from(area.height - 1);
    let first = first_shown(view.list.len(), height, view.list.cursor());
    for (at, row) in (first..).zip(rows) {
        let Some(port) = view.list.get(at) else { break };
        cells(buffer, row, &mut |column| {
            let style = if column.name == "state" { state(port, theme) } else { Style::new() };
            ((column.value)(view, port), style)
        });
        if at == view.list.cursor() {
            buffer.set_style(row, CURSOR);
        }
    }
}

/// The columns that fit, each cut off at its width.
fn cells(buffer: &mut Buffer, row: Rect, cell: &mut dyn FnMut(&PortColumn) -> (String, Style)) {
    let mut x = row.x;
    for column in &COLUMNS {
        if x + column.width > row.right() {
            break;
        }
        let (text, style) = cell(column);
        let place = Rect { x, width: column.width, ..row };
        Line::styled(text, style).alignment(column.alignment).render(place, buffer);
        x += column.width + 1;
    }
}

fn panel(buffer: &mut Buffer, area: Rect, view: &View, theme: Theme) {
    let columns = panel_columns(area.width);
    if columns == 0 {
        Line::raw("too narrow for a panel").render(area, buffer);
        return;
    }
    let columns = usize::from(columns);
    let (lines, cursor) = (view.list.len().div_ceil(columns), view.list.cursor());
    let first = first_shown(lines, usize::from(area.height), cursor / columns);
    for (line, row) in (first..lines).zip(area.rows()) {
        let begin = line * columns;
        let label = view.list.get(begin).map(|port| plain(&port.name)).unwrap_or_default();
        buffer.set_stringn(row.x, row.y, label, usize::from(PANEL_LABEL - 1), QUIET);
        let mut x = row.x + PANEL_LABEL;
        for (at, place) in (begin..begin + columns).zip(0_u16..) {
            let Some(port) = view.list.get(at) else { break };
            if place > 0 && place % PANEL_GROUP == 0 {
                x += 1;
            }
            let style = theme.cell(Look::of(port), is_pending(port));
            let style = if at == cursor { style.patch(CURSOR) } else { style };
            buffer.set_string(x, row.y, mark(port), style);
            x += 1;
        }
    }
}

fn details(buffer: &mut Buffer, area: Rect, view: &View) {
    let mut rows = area.rows();
    let Some(first) = rows.next() else { return };
    let Some(port) = view.list.chosen() else {
        let why = if view.list.all().is_empty() { "no ports" } else { "no port has this in its name" };
        Line::styled(why, QUIET).render(first, buffer);
        return;
    };
    let admin = port.admin.as_deref().map_or_else(String::new, |admin| format!("admin {}, ", plain(admin)));
    let oper = port.oper.as_deref().map_or_else(String::new, |oper| format!("oper {}, ", plain(oper)));
    let standing = match port.state {
        PortState::InStep => "in step",
        PortState::Pending => "being written",
        PortState::Waiting => "waits for its row in APPL_DB",
        PortState::Ignored => "ignored: its link is from before the cold start",
        PortState::Blocked => "blocked: its key in STATE_DB holds another type, delete it",
        PortState::Awaited => "configured, no link yet",
    };
    Line::from(vec![Span::styled(plain(&port.name), STRONG), Span::raw(format!(" {admin}{oper}{standing}"))])
        .render(first, buffer);
    if let Some(second) = rows.next() {
        let mut parts = Vec::new();
        parts.extend(port.mtu.map(|mtu| format!("mtu {mtu}")));
        parts.extend(port.ifindex.map(|ifindex| format!("ifindex {ifindex}")));
        parts.push(format!("flaps {}", count(port.flaps)));
        let times = port.history.iter().rev().map(|change| {
            format!("{} {}", sign(if change.up { Look::Up } else { Look::Down }), span(view.now - change.at))
        });
        parts.extend(times);
        Line::styled(parts.join("  "), QUIET).render(second, buffer);
    }
}

fn state(port: &Port, theme: Theme) -> Style {
    if is_pending(port) { theme.fair() } else { theme.look(Look::of(port)) }
}

fn mark(port: &Port) -> &'static str {
    if is_pending(port) { PENDING } else { sign(Look::of(port)) }
}

fn is_pending(port: &Port) -> bool {
    port.state == PortState::Pending
}

fn dash(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

fn history(port: &Port) -> String {
    port.history.iter().map(|change| sign(if change.up { Look::Up } else { Look::Down })).collect()
}

/// A number that may be too long for its column.
#[expect(clippy::cast_precision_loss, reason = "shortened all the same")]
fn short(number: u64) -> String {
    if number < 100_000 { count(number) } else { rate(number as f64) }
}
