//! Where everything is on a terminal of a given size.

use ratatui::layout::Rect;

const HEADER: u16 = 3;
/// Narrower terminals show the ports alone.
const WITH_SIDE: u16 = 76;
/// Columns of the side, at least; of what is wider it takes two fifths.
const SIDE: (u16, u16) = (28, 60);
/// Alerts that are shown at once.
const ALERTS: usize = 4;
/// Lines of what happened that are there at least, with the heading.
const EVENT_LOG: u16 = 3;
/// Lines of the reason why a part of health does not give all its points, at most.
pub const REASON: u16 = 3;
/// Lines that tell of the port at the cursor.
const DETAILS: u16 = 2;
/// Higher terminals have higher charts.
const HIGH: u16 = 30;
/// The name of a line's first port, before its cells.
pub const PANEL_LABEL: u16 = 13;
/// Cells that stand together.
pub const PANEL_GROUP: u16 = 8;

/// See the module. What there is no room for is empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Arrangement {
    /// Who answers, how it stands, how many ports stand how.
    pub header: Rect,
    /// Alerts, with their heading.
    pub alerts: Rect,
    pub ports: PortsArea,
    /// Charts of rates and latency, with their heading.
    pub charts: Rect,
    /// What the health score is made of, with its heading.
    pub health: Rect,
    /// What happened, with its heading.
    pub event_log: Rect,
    pub help: Rect,
}

/// The parts of the ports' area.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PortsArea {
    pub title: Rect,
    /// Table (its head included) or panel.
    pub list: Rect,
    /// The port at the cursor.
    pub details: Rect,
}

impl Arrangement {
    /// For so many alerts, and so many lines about health.
    pub fn new(area: Rect, alerts: usize, health: usize) -> Self {
        let (header, rest) = top(area, HEADER);
        let (rest, help) = top(rest, rest.height.saturating_sub(1));
        let alerts = u16::try_from(alerts.min(ALERTS)).unwrap_or_default();
        let (alerts, body) = top(rest, if alerts == 0 { 0 } else { alerts + 1 });
        let side = if area.width < WITH_SIDE { 0 } else { (area.width * 2 / 5).clamp(SIDE.0, SIDE.1) };
        let side = if area.width >= WITH_SIDE { side.min(area.width.saturating_sub(52)) } else { 0 };
        let gap = u16::from(side > 0);
        let main = Rect { width: body.width - side - gap, ..body };
        let side = Rect { x: body.x + main.width + gap, width: side, ..body };
        let (title, main) = top(main, 1);
        let (list, details) = top(main, main.height.saturating_sub(DETAILS));
        let (charts, side) = top(side, if area.height < HIGH { 7 } else { 10 });
        let health = u16::try_from(health + 1).unwrap_or(u16::MAX);
        let (health, event_log) = top(side, health.min(side.height.saturating_sub(EVENT_LOG)));
        Self { header, alerts, ports: PortsArea { title, list, details }, charts, health, event_log, help }
    }
}

/// So many lines at the top, and what is below.
fn top(area: Rect, height: u16) -> (Rect, Rect) {
    let height = height.min(area.height);
    let below = Rect { y: area.y + height, height: area.height - height, ..area };
    (Rect { height, ..area }, below)
}

/// How many cells a line of the panel has: whole groups, with a gap between them.
pub fn panel_columns(width: u16) -> u16 {
    let groups = (width.saturating_sub(PANEL_LABEL) + 1) / (PANEL_GROUP + 1);
    groups * PANEL_GROUP
}

/// What is shown first of `count` lines where `rows` have room, so that the cursor is in the middle where possible.
pub fn first_shown(count: usize, rows: usize, cursor: usize) -> usize {
    cursor.saturating_sub(rows / 2).min(count.saturating_sub(rows))
}
