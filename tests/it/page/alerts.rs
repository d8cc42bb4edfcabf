//! The alerts of the status page: rules that really fire in the real daemon, as the browser shows them.

use serde_json::json;

use super::{BEYOND_THE_EDGE, POOR_CONTRAST, expect_no_trouble, look, visit};
use crate::fixture::Rig;
use crate::fixture::browser::{Browser, Scheme};

/// Each alert as what its three parts say.
const ALERTS: &str =
    "[...document.querySelectorAll('#alerts li')].map(row => [...row.children].map(part => part.textContent))";
/// Without the times, which pass.
const ALERTS_TIMELESS: &str = r"[...document.querySelectorAll('#alerts li')].map(row =>
     [...row.children].map(part => part.textContent.replace(/since [\d:]+, [^,]+ ago/, 'since then')))";
const ALERTS_COUNT: &str = "document.querySelector('#alerts-count').textContent";

const RULES: &str = r#"
    [[rule]]
    name = "PortDown"
    metric = "port_down"
    ports = "Ethernet*"
    condition = { equals = 1 }
    severity = "warning"
    annotations = { summary = "{{ port }} is wanted up and has no link" }

    [[rule]]
    name = "SomePortDown"
    metric = "ports"
    match = { state = "down" }
    condition = { above = 0 }
    severity = "critical"
    annotations = { summary = "{{ value }} ports are down <b>now</b>" }
"#;

/// As somebody would write it for the ports to the spines.
pub const UPLINKS: &str = r#"
    [[rule]]
    name = "UplinkDown"
    metric = "port_oper_up"
    ports = "Ethernet[68]8"
    condition = { equals = 0 }
    severity = "critical"
    annotations = { summary = "Uplink {{ port }} has no link" }
"#;

#[test]
#[ignore = "needs Chromium"]
fn an_alert_is_shown_while_it_fires_and_when_it_is_silenced_and_goes_when_it_is_over() {
    let rig = Rig::with_rules(2, RULES, false).set_to_work();
    rig.up("Ethernet0");
    let browser = visit(&rig);
    browser.expect(ALERTS_COUNT, "none");
    assert_eq!(browser.eval(ALERTS), json!([]));

    rig.run(rig.links.set_carrier("Ethernet0", false));
    // The worse one is first, and what a rule says is text, not markup.
    let all = ["critical, firing", "1 ports are down <b>now</b>", "SomePortDown, value 1, since then"];
    let one = ["warning, firing", "Ethernet0 is wanted up and has no link", "PortDown, Ethernet0, value 1, since then"];
    browser.expect(ALERTS_TIMELESS, json!([all, one]));
    assert_eq!(browser.eval(ALERTS_COUNT), "2 firing");
    let since = "document.querySelector('#alerts small').textContent";
    let before = browser.eval(since);
    browser.expect(&format!("{since} === {before}"), false);
    let colour = |alert: usize| {
        browser.eval(&format!("getComputedStyle(document.querySelectorAll('#alerts .pill')[{alert}]).backgroundColor"))
    };
    let firing = [colour(0), colour(1)];
    assert_ne!(firing[0], firing[1], "a warning does not look like what is critical");

    rig.printed(&["alerts", "silence", "SomePortDown", "--for", "1h", "--comment", "known"]);
    let silenced =
        ["critical, suppressed", "1 ports are down <b>now</b>", "SomePortDown, value 1, since then, silence 1"];
    browser.expect(ALERTS_TIMELESS, json!([one, silenced]));
    assert_eq!(browser.eval(ALERTS_COUNT), "1 firing, 1 suppressed");
    assert!(!firing.contains(&colour(1)), "what is silenced does not look as if it fired");

    rig.run(rig.links.set_carrier("Ethernet0", true));
    browser.expect(ALERTS, json!([]));
    browser.expect(ALERTS_COUNT, "none");
    expect_no_trouble(&rig, &browser);
}

#[test]
#[ignore = "needs Chromium"]
fn many_alerts_with_long_texts_fit_a_telephone_and_can_be_read() {
    let long = "a_summary_without_any_space_".repeat(8);
    let rules = RULES.replace("{{ port }} is wanted up and has no link", &format!("{{{{ port }}}}: {long}"));
    let rig = Rig::with_rules(32, &rules, false).set_to_work();
    for port in &rig.ports {
        rig.up(port);
        rig.run(rig.links.set_carrier(port, false));
    }
    let browser = Browser::start();
    browser.size(360, 740);
    for scheme in [Scheme::Light, Scheme::Dark] {
        browser.prefer(scheme, true);
        look(&rig, &browser);
        browser.expect(ALERTS_COUNT, "33 firing, the first 20 of them");
        browser.expect("document.querySelectorAll('#alerts li').length", 20);
        assert_eq!(browser.eval(&format!("({ALERTS})[0][0]")), "critical, firing");
        assert_eq!(browser.eval(BEYOND_THE_EDGE), 0, "there is something beyond the edge");
        let cut = "[...document.querySelectorAll('#alerts li > *')].filter(part => part.scrollWidth > part.clientWidth \
             && getComputedStyle(part).display !== 'inline').map(part => part.textContent)";
        assert_eq!(browser.eval(cut), json!([]));
        assert_eq!(browser.eval(POOR_CONTRAST)["poor"], json!([]), "{scheme:?}");
    }
    expect_no_trouble(&rig, &browser);
}
