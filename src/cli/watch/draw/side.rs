//! Beside the ports: rates and latency over time, health, what happened, and alerts.

use portsyncd::alert::AlertState;
use portsyncd::alert::api::AlertView;
use portsyncd::alert::rules::Severity;
use portsyncd::api::{Part, Sample};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Sparkline, Widget};

use super::super::arrange::REASON;
use super::super::event_log::EventKind;
use super::super::list::Look;
use super::super::view::{View, WINDOW};
use super::theme::{QUIET, STRONG, Theme, sign};
use super::title;
use crate::cli::alerts::reason;
use crate::cli::text::{ago, latency, plain, rate, span};

/// Eighths that a column's line can be high.
const EIGHTHS: f64 = 8.0;

/// A chart: its name, what it shows, and how a value is written.
struct Chart {
    name: &'static str,
    value: fn(&Sample) -> Option<f64>,
    text: fn(Option<f64>) -> String,
}

const CHARTS: [Chart; 3] = [
    Chart { name: "events/s", value: |sample| Some(sample.events_per_second), text: rate_text },
    Chart { name: "writes/s", value: |sample| Some(sample.writes_per_second), text: rate_text },
    Chart { name: "latency", value: |sample| sample.latency.p99, text: latency },
];

fn rate_text(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), rate)
}

/// Rates and latency over the last two minutes.
pub fn charts(buffer: &mut Buffer, area: Rect, view: &View, theme: Theme) {
    title(buffer, area, "last two minutes", "");
    let height = area.height.saturating_sub(1) / 3;
    for (chart, at) in CHARTS.iter().zip(0_u16..) {
        let place = Rect { y: area.y + 1 + at * height, height, ..area }.intersection(area);
        if place.height > 1 {
            one_chart(buffer, place, chart, view, theme);
        }
    }
}

fn one_chart(buffer: &mut Buffer, area: Rect, chart: &Chart, view: &View, theme: Theme) {
    let newest = view.samples.back().and_then(chart.value);
    let values = columns(view, usize::from(area.width), chart.value);
    let peak = values.iter().flatten().copied().fold(0.0, f64::max);
    let head = Rect { height: 1, ..area };
    Line::from(vec![
        Span::styled(format!("{} ", chart.name), QUIET),
        Span::styled((chart.text)(newest), STRONG),
        Span::styled(format!("  peak {}", (chart.text)((peak > 0.0).then_some(peak))), QUIET),
    ])
    .render(head, buffer);
    let place = Rect { y: area.y + 1, height: area.height - 1, ..area };
    let highest = EIGHTHS * f64::from(place.height);
    // Whatever is not nothing is seen.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "eighths of a few lines")]
    let eighths = |value: f64| if peak > 0.0 { (value / peak * highest).ceil() as u64 } else { 0 };
    let data: Vec<Option<u64>> = values.iter().map(|value| value.map(eighths)).collect();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "eighths of a few lines")]
    let highest = highest as u64;
    Sparkline::default().data(data).max(highest).style(theme.chart()).render(place, buffer);
}

/// The largest value of each column's time; the newest stands at the right. Columns stand for whole multiples of their time,
/// so that they do not change while they move.
fn columns(view: &View, width: usize, value: fn(&Sample) -> Option<f64>) -> Vec<Option<f64>> {
    let mut columns = vec![None; width];
    if width == 0 {
        return columns;
    }
    #[expect(clippy::cast_precision_loss, reason = "columns of a terminal")]
    let step = (WINDOW / width as f64).ceil().max(1.0);
    for sample in &view.samples {
        let back = ((view.now / step).floor() - (sample.at / step).floor()).max(0.0);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "columns within two minutes")]
        let back = back as usize;
        if let (Some(column), Some(value)) = (columns.iter_mut().rev().nth(back), value(sample)) {
            *column = Some(column.map_or(value, |before: f64| before.max(value)));
        }
    }
    columns
}

/// What the health score is made of: what costs points first, with its reason.
pub fn health(buffer: &mut Buffer, area: Rect, view: &View, theme: Theme) {
    let Some(status) = &view.status else { return };
    title(buffer, area, "health", &format!("{} of 100", status.health.score));
    let mut rest = below(area, 1);
    let (full, wanting): (Vec<&Part>, Vec<&Part>) =
        status.health.parts.iter().partition(|part| part.points >= f64::from(part.weight));
    for part in wanting {
        let style = if part.points > 0.0 { theme.fair() } else { theme.bad() };
        points(part, style).render(rest, buffer);
        rest = below(rest, 1);
        let Some(reason) = &part.reason else { continue };
        let indented = Rect { x: rest.x + 2, width: rest.width.saturating_sub(2), ..rest };
        let height = paragraph(buffer, Rect { height: rest.height.min(REASON), ..indented }, &plain(reason));
        rest = below(rest, height);
    }
    for part in full {
        points(part, Style::new()).render(rest, buffer);
        rest = below(rest, 1);
    }
}

fn points(part: &Part, style: Style) -> Line<'static> {
    Line::styled(format!("{:<9} {:>4} of {}", plain(&part.name), part.points, part.weight), style)
}

/// Wraps text at words; says how many lines it took.
fn paragraph(buffer: &mut Buffer, area: Rect, text: &str) -> u16 {
    let mut lines = 0;
    let mut line = String::new();
    let width = usize::from(area.width);
    let mut put = |line: &str| {
        if let Some(row) = area.rows().nth(lines) {
            buffer.set_stringn(row.x, row.y, line, width, Style::new());
            lines += 1;
        }
    };
    for word in text.split_whitespace() {
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > width {
            put(&line);
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    put(&line);
    u16::try_from(lines).unwrap_or(area.height)
}

/// What happened to the ports, newest first.
pub fn event_log(buffer: &mut Buffer, area: Rect, view: &View, theme: Theme) {
    title(buffer, area, "changes", "");
    for (entry, row) in view.event_log.iter().zip(below(area, 1).rows()) {
        let (text, style) = match entry.what {
            EventKind::Up => (format!("{} up", sign(Look::Up)), theme.look(Look::Up)),
            EventKind::Down => (format!("{} down", sign(Look::Down)), theme.look(Look::Down)),
            EventKind::AdminUp => ("admin up".to_owned(), Style::new()),
            EventKind::AdminDown => ("admin down".to_owned(), Style::new()),
            EventKind::Mtu(mtu) => (format!("mtu {mtu}"), Style::new()),
            EventKind::Came => ("is there".to_owned(), theme.good()),
            EventKind::Waits => (format!("{} waits", sign(Look::Waiting)), theme.look(Look::Waiting)),
            EventKind::Gone => ("is gone".to_owned(), theme.fair()),
        };
        Line::from(vec![
            Span::styled(format!("{:>7} ", span(view.now - entry.at)), QUIET),
            Span::raw(format!("{} ", plain(&entry.port))),
            Span::styled(text, style),
        ])
        .render(row, buffer);
    }
}

pub fn alerts(buffer: &mut Buffer, area: Rect, view: &View, theme: Theme) {
    let Some(alerts) = view.alerts.as_ref().filter(|alerts| !alerts.is_empty()) else { return };
    let rows = below(area, 1);
    let hidden = alerts.len().saturating_sub(usize::from(rows.height));
    let more = if hidden > 0 { format!("{}, the first {} of them", alerts.len(), rows.height) } else { String::new() };
    title(buffer, area, "alerts", &more);
    for (AlertView { summary, alert }, row) in alerts.iter().zip(rows.rows()) {
        let style = match (alert.state, alert.severity) {
            (AlertState::Firing, Severity::Critical) => theme.bad(),
            (AlertState::Firing, _) => theme.fair(),
            _ => QUIET,
        };
        let port = alert.port.as_ref().map_or_else(String::new, |port| format!(" {}", plain(&port.to_string())));
        let since = ago(view.now, alert.since);
        let more = reason(alert.suppressed.as_ref()).map_or_else(String::new, |reason| format!(" ({reason})"));
        Line::from(vec![
            Span::styled(format!("{} {}", alert.severity.name(), alert.state), style),
            Span::styled(format!(" {}{port}", plain(&alert.rule)), STRONG),
            Span::raw(format!("{more}: {} ({since})", plain(summary))),
        ])
        .render(row, buffer);
    }
}

fn below(area: Rect, lines: u16) -> Rect {
    let lines = lines.min(area.height);
    Rect { y: area.y + lines, height: area.height - lines, ..area }
}
