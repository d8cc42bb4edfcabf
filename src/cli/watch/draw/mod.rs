//! Drawing the view. What is coloured has a second cue: a sign, or a word.

mod ports;
mod side;
mod theme;

use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::{LineGauge, Widget};

use super::list::Look;
use super::view::View;
use crate::cli::text::{count, plain, span};
pub use theme::Theme;
use theme::{QUIET, STRONG, badge, sign};

/// Columns of the health gauge with its number, on narrow terminals and on wide ones.
const GAUGE: [u16; 2] = [18, 31];
/// Columns of a wide terminal.
const WIDE: u16 = 100;

pub fn draw(frame: &mut Frame<'_>, view: &View, theme: Theme) {
    let places = view.arrangement();
    let buffer = frame.buffer_mut();
    header(buffer, places.header, view, theme);
    side::alerts(buffer, places.alerts, view, theme);
    ports::draw(buffer, &places.ports, view, theme);
    side::charts(buffer, places.charts, view, theme);
    side::health(buffer, places.health, view, theme);
    side::event_log(buffer, places.event_log, view, theme);
    help(buffer, places.help, view);
}

fn header(buffer: &mut Buffer, area: Rect, view: &View, theme: Theme) {
    let mut rows = area.rows();
    let Some(first) = rows.next() else { return };
    let (mut left, mut right) = (vec![Span::styled("portsyncd", STRONG)], Line::default());
    if let Some(status) = &view.status {
        left.push(Span::raw(format!(" {}  {}", plain(&status.version), plain(&status.host))));
        right = match &view.lost {
            None => Line::raw(format!("up {}", span(view.now - status.started))),
            Some(_) => Line::raw("not connected"),
        };
    }
    Line::from(left).render(first, buffer);
    right.right_aligned().render(first, buffer);
    if let Some(second) = rows.next() {
        summary(view, theme).render(second, buffer);
    }
    if let Some(third) = rows.next() {
        let gauge = Rect { width: GAUGE[usize::from(area.width >= WIDE)].min(third.width), ..third };
        health(buffer, gauge, view, theme);
        let counts = Rect { x: third.x + gauge.width, width: third.width - gauge.width, ..third };
        legend(view, theme).render(counts, buffer);
    }
}

fn summary(view: &View, theme: Theme) -> Line<'static> {
    if let Some(lost) = &view.lost {
        let old = format!(" data are {} old, trying again: {}", span(view.now - lost.heard), plain(&lost.reason));
        return Line::from(vec![Span::styled(" NO ANSWER ", badge(theme.bad())), Span::raw(old)]);
    }
    match &view.status {
        None => Line::raw(" waiting for the daemon's first word"),
        Some(status) => {
            let badge = if status.ready {
                Span::styled(" READY ", badge(theme.good()))
            } else {
                Span::styled(" NOT READY ", badge(theme.bad()))
            };
            Line::from(vec![badge, Span::raw(format!(" {}", plain(&status.summary)))])
        }
    }
}

fn health(buffer: &mut Buffer, area: Rect, view: &View, theme: Theme) {
    // Samples come every second, the status only when something changed.
    let newest = view.samples.back().map(|sample| sample.health);
    let Some(score) = newest.or(view.status.as_ref().map(|status| status.health.score)) else { return };
    LineGauge::default()
        .ratio(f64::from(score.min(100)) / 100.0)
        .label(format!("health {score:>3}"))
        .filled_symbol("█")
        .unfilled_symbol("░")
        .filled_style(theme.score(score))
        .unfilled_style(QUIET)
        .render(area, buffer);
}

/// How many ports stand how, which also tells what the signs mean.
fn legend(view: &View, theme: Theme) -> Line<'static> {
    let mut spans = Vec::new();
    for look in Look::ALL {
        let number = view.list.count(look);
        if number > 0 || matches!(look, Look::Up | Look::Down) {
            let style = if number > 0 { theme.look(look) } else { QUIET };
            spans.push(Span::styled(format!("  {} {} {}", sign(look), count(number as u64), look.name()), style));
        }
    }
    Line::from(spans)
}

fn help(buffer: &mut Buffer, area: Rect, view: &View) {
    if view.editing {
        let typed = format!("/{}", plain(view.list.filter()));
        Line::from(vec![
            Span::styled(typed, STRONG),
            Span::styled(" ", badge(STRONG)),
            Span::styled("  Enter keeps the filter, Esc clears it", QUIET),
        ])
        .render(area, buffer);
        return;
    }
    let mut spans = Vec::new();
    for (key, does) in
        [("q", "quit"), ("/", "filter"), ("s", "sort"), ("p", "table/panel"), ("arrows PgUp PgDn Home End", "move")]
    {
        spans.push(Span::styled(key, STRONG));
        spans.push(Span::styled(format!(" {does}  "), QUIET));
    }
    Line::from(spans).render(area, buffer);
}

/// A heading: its text, and a rule to the end of the line.
fn title(buffer: &mut Buffer, area: Rect, text: &str, more: &str) {
    let Some(line) = area.rows().next() else { return };
    let used = text.chars().count() + more.chars().count() + 1 + usize::from(!more.is_empty());
    let rule = "─".repeat(usize::from(line.width).saturating_sub(used));
    let mut spans = vec![Span::styled(text.to_owned(), STRONG)];
    if !more.is_empty() {
        spans.push(Span::raw(format!(" {more}")));
    }
    spans.push(Span::styled(format!(" {rule}"), QUIET));
    Line::from(spans).render(line, buffer);
}
