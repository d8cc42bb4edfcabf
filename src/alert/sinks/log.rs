//! The log: a line for each alert; of a storm the first ones, and how many more there were.

use tracing::{info, warn};

use super::count::{Counts, Fate};
use crate::alert::report::Notification;
use crate::alert::{Action, Severity};

/// Lines for what is told at once. The log's own limit would hold back others' lines as well.
const LINES: usize = 100;

/// Logs those that are for the log.
pub(super) fn tell(notifications: &[Notification], counts: &Counts) {
    let mine = || notifications.iter().filter(|notification| notification.actions.contains(&Action::Log));
    for notification in mine().take(LINES) {
        line(notification);
    }
    let all = mine().count();
    if all > LINES {
        let firing = mine().skip(LINES).filter(|notification| notification.ended.is_none()).count();
        let resolved = all - LINES - firing;
        warn!(firing, resolved, "more alerts than are logged one by one");
    }
    counts.add(Fate::Sent, all.min(LINES));
    counts.add(Fate::Dropped, all.saturating_sub(LINES));
}

fn line(notification: &Notification) {
    let alert = &notification.alert;
    let rule = &*alert.rule;
    let port = alert.port.map(tracing::field::display);
    let severity = alert.severity.name();
    let summary = alert.annotations.get("summary").map(String::as_str);
    let value = alert.value;
    match (notification.ended, alert.severity) {
        (Some(_), _) => info!(rule, port, severity, value, summary, "alert resolved"),
        (None, Severity::Info) => info!(rule, port, severity, value, summary, "alert"),
        (None, _) => warn!(rule, port, severity, value, summary, "alert"),
    }
}
