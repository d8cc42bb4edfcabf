//! The service's status: one sentence about what fires, for `systemctl status` and whoever else shows it.

use crate::alert::model::{Alert, AlertState};

/// What fires, in one sentence; `None`: nothing does. Of alerts that are equally bad the one that fires longest is
/// named.
pub fn status_line<'a>(alerts: impl IntoIterator<Item = &'a Alert>) -> Option<String> {
    let mut count = 0;
    let mut worst: Option<&Alert> = None;
    for alert in alerts.into_iter().filter(|alert| alert.state == AlertState::Firing) {
        count += 1;
        let is_worse = |than: &Alert| {
            alert.severity > than.severity || (alert.severity == than.severity && alert.since < than.since)
        };
        if worst.is_none_or(is_worse) {
            worst = Some(alert);
        }
    }
    let worst = worst?;
    let port = worst.port.map(|port| format!(" on {port}")).unwrap_or_default();
    let (rule, severity) = (&worst.rule, worst.severity.name());
    Some(match count {
        1 => format!("1 alert fires: {rule}{port} ({severity})"),
        _ => format!("{count} alerts fire, the worst: {rule}{port} ({severity})"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::rules::Severity;
    use crate::lab::notifications::{fires, resolved};

    #[test]
    fn the_worst_that_fires_longest_is_named() {
        let [mut first, mut second, mut third] = [0, 4, 8].map(|port| fires(port).alert);
        first.severity = Severity::Warning;
        first.since -= 100.0;
        second.since += 1.0;
        let line = status_line([&first, &second, &third, &resolved(12).alert]);
        assert_eq!(line.as_deref(), Some("3 alerts fire, the worst: PortFlapping on Ethernet8 (critical)"));
        third.port = None;
        assert_eq!(status_line([&third]).as_deref(), Some("1 alert fires: PortFlapping (critical)"));
        assert_eq!(status_line([&resolved(12).alert]), None);
        third.state = AlertState::Suppressed;
        assert_eq!(status_line([&third]), None);
    }
}
