//! The log: a line for each alert; of a storm the first ones, and how many more there were.

use tracing::{info, warn};

use super::metrics::{DeliveryOutcome, SinkCounters};
use crate::alert::model::Notification;
use crate::alert::rules::{Action, Severity};

/// Lines for what happens at once. The log's own limit would hold back others' lines as well.
const LINES: usize = 100;

/// Logs those that are for the log.
pub(super) fn write(notifications: &[Notification], counters: &SinkCounters) {
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
    counters.add(DeliveryOutcome::Sent, all.min(LINES));
    counters.add(DeliveryOutcome::Dropped, all.saturating_sub(LINES));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::captured::Captured;
    use crate::lab::notifications::{fires, resolved};

    fn logged(notifications: &[Notification]) -> String {
        let captured = Captured::default();
        let log = tracing_subscriber::fmt().with_writer(captured.clone()).without_time().with_ansi(false).finish();
        tracing::subscriber::with_default(log, || write(notifications, &SinkCounters::default()));
        captured.text()
    }

    #[test]
    fn a_line_has_what_there_is_to_know() {
        let mut other = fires(8);
        other.actions = [Action::Notify].into();
        let text = logged(&[fires(0), resolved(4), other]);
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        assert_eq!(lines.len(), 2, "{text}");
        assert!(lines[0].starts_with("WARN") && lines[1].starts_with("INFO"), "{text}");
        for part in ["alert rule=\"PortFlapping\"", "port=Ethernet0", "severity=\"critical\"", "Ethernet0 flaps"] {
            assert!(lines[0].contains(part), "{part:?} is not in {text}");
        }
        assert!(lines[1].contains("alert resolved") && lines[1].contains("port=Ethernet4"), "{text}");
    }

    #[test]
    fn of_a_storm_the_rest_is_summed_up() {
        let all: Vec<_> = (0..150).map(fires).chain((0..7).map(resolved)).collect();
        let text = logged(&all);
        assert_eq!(text.lines().count(), LINES + 1);
        assert!(text.trim_end().ends_with("more alerts than are logged one by one firing=50 resolved=7"), "{text}");
    }
}
