use portsyncd::alert::Alert;
use portsyncd::alert::model::Fingerprint;
use portsyncd::link::LinkName;

use super::*;

const NOW: f64 = 10_000.0;
const PLAIN: Paint = Paint { on: false };

pub fn alert(rule: &str, severity: Severity, port: &str, since: f64) -> AlertView {
    let port = LinkName::new(port.as_bytes());
    AlertView {
        summary: port.as_ref().map_or_else(|| "all of it".to_owned(), |port| format!("{port} is not well")),
        alert: Alert {
            fingerprint: Fingerprint::new(rule, port.as_ref()),
            rule: rule.into(),
            port,
            state: AlertState::Firing,
            severity,
            labels: [].into(),
            annotations: [].into(),
            value: 0.4,
            since,
            suppressed: None,
            notified: true,
        },
    }
}

/// The same under a silence.
pub fn suppressed(mut view: AlertView, silence: u32) -> AlertView {
    view.alert.state = AlertState::Suppressed;
    view.alert.suppressed = Some(Suppression::Silence(silence));
    view
}

fn some() -> Vec<AlertView> {
    let mut pending = alert("PortDown", Severity::Critical, "Ethernet0", NOW - 3.0);
    pending.alert.state = AlertState::Pending;
    let mut explained = alert("RowsBehind", Severity::Warning, "", NOW - 60.0);
    explained.alert.state = AlertState::Suppressed;
    explained.alert.suppressed = Some(Suppression::Rule("RedisDown".into()));
    vec![
        pending,
        explained,
        alert("PortFlapping", Severity::Warning, "Ethernet124", NOW - 192.0),
        suppressed(alert("PortDown", Severity::Warning, "Ethernet4", NOW - 72.0), 3),
        alert("RedisDown", Severity::Critical, "", NOW - 61.0),
        alert("PortFlapping", Severity::Warning, "Ethernet8", NOW - 7_999.0),
    ]
}

#[test]
fn what_fires_stands_first_and_of_that_the_worst() {
    assert_eq!(
        table(some(), NOW, PLAIN),
        "\
severity  state       rule          port         since       value  summary
critical  firing      RedisDown     -            1m 1s ago     0.4  all of it
warning   firing      PortFlapping  Ethernet124  3m 12s ago    0.4  Ethernet124 is not well
warning   firing      PortFlapping  Ethernet8    2h 13m ago    0.4  Ethernet8 is not well
warning   suppressed  RowsBehind    -            1m 0s ago     0.4  all of it (while RedisDown fires)
warning   suppressed  PortDown      Ethernet4    1m 12s ago    0.4  Ethernet4 is not well (silence 3)
critical  pending     PortDown      Ethernet0    3s ago        0.4  Ethernet0 is not well
"
    );
    assert!(table(Vec::new(), NOW, PLAIN).starts_with("no alerts"));
}

#[test]
fn only_what_fires_is_coloured() {
    let text = table(some(), NOW, Paint { on: true });
    assert!(text.contains("\x1b[31mcritical\x1b[0m  \x1b[31mfiring    \x1b[0m  RedisDown"), "{text}");
    assert!(text.contains("\x1b[33mwarning \x1b[0m  \x1b[33mfiring    \x1b[0m  PortFlapping"), "{text}");
    assert_eq!(text.matches("\x1b[0m").count(), 6, "{text}");
}

#[test]
fn what_fires_is_counted_by_severity() {
    assert_eq!(firing(&some(), PLAIN).unwrap(), "1 critical, 2 warning firing");
    assert_eq!(firing(&some()[..2], PLAIN), None);
}

#[test]
fn texts_of_the_daemon_cannot_command_a_terminal() {
    let mut view = alert("X", Severity::Info, "Ethernet0", NOW);
    view.summary = "a\x1b[2Jb\nc".to_owned();
    assert!(table(vec![view], NOW, PLAIN).ends_with("  a?[2Jb?c\n"));
}

#[test]
fn history_says_what_became_of_what_and_why_nobody_was_told() {
    let transition = |time, from, to, suppressed| Transition {
        rule: "PortDown".into(),
        port: LinkName::new(b"Ethernet4"),
        severity: Severity::Warning,
        from,
        to,
        value: 1.0,
        at: std::time::Duration::ZERO,
        time,
        suppressed,
    };
    let transitions = [
        transition(NOW - 192.0, AlertState::Pending, AlertState::Firing, None),
        transition(NOW - 60.0, AlertState::Firing, AlertState::Suppressed, Some(Suppression::Silence(3))),
        transition(NOW - 7.0, AlertState::Suppressed, AlertState::Resolved, None),
    ];
    assert_eq!(
        told(&transitions, NOW, PLAIN),
        "\
when        severity  from        to                      rule      port       value
3m 12s ago  warning   pending     firing                  PortDown  Ethernet4      1
1m 0s ago   warning   firing      suppressed (silence 3)  PortDown  Ethernet4      1
7s ago      warning   suppressed  resolved                PortDown  Ethernet4      1
"
    );
    assert!(told(&[], NOW, PLAIN).starts_with("nothing yet"));
}
