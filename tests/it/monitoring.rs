//! What docs/monitoring says, held against the catalogue, Prometheus' own checks, and a real Prometheus that scrapes the real
//! daemon. The last two need Prometheus' programs (Debian's package prometheus): `make test-monitoring`.
#![allow(clippy::float_cmp, reason = "counts, exact as numbers of /metrics")]

mod files;
mod prometheus;
mod promql;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Instant;

use crate::fixture::{LIMIT, Rig};
use files::{Query, dashboards, known, panels, queries, read, rules};
use portsyncd::telemetry::catalog::{Metric, MetricKind, catalog};
use prometheus::{Prometheus, promtool};
use promql::names;
use serde_json::Value;

const TESTS: &str = "rules/portsyncd.test.yaml";

/// Grafana's variables as it would set them; the rate interval is four times the interval of scrapes, and more.
fn with_values(expression: &str) -> String {
    [("$instance", ".*"), ("$__rate_interval", "10s"), ("$__interval", "10s"), ("$__range", "1m")]
        .into_iter()
        .fold(expression.to_owned(), |text, (variable, value)| text.replace(variable, value))
}

#[test]
fn every_metric_and_label_that_is_named_exists() {
    let known = known();
    let of_dashboards = queries().into_iter().map(|query| (query.place, with_values(&query.expression)));
    let of_rules = rules().into_iter().map(|rule| (rule.name, rule.expression));
    for (place, expression) in of_dashboards.chain(of_rules) {
        assert!(!expression.contains('$'), "{place}: a variable that is not set: {expression}");
        let names = names(&expression);
        assert!(!names.selectors.is_empty(), "{place}: {expression}");
        let mut there = HashSet::new();
        for selector in &names.selectors {
            let labels =
                known.get(&selector.metric).unwrap_or_else(|| panic!("{place}: there is no {}", selector.metric));
            for label in &selector.labels {
                assert!(labels.contains(label), "{place}: {} has no label {label}", selector.metric);
            }
            there.extend(labels);
        }
        for label in &names.grouped {
            assert!(there.contains(label), "{place}: nothing there has a label {label}: {expression}");
        }
    }
}

#[test]
fn every_metric_that_the_text_names_exists() {
    let mut known: BTreeSet<String> = known().into_keys().collect();
    known.extend(catalog().iter().filter(|metric| metric.kind == MetricKind::Histogram).map(Metric::full_name));
    for file in ["README.md", "../health.md", "prometheus.yml"] {
        let text = read(file);
        for word in text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':')) {
            let word = word.trim_end_matches(':');
            if word.starts_with("portsyncd_") || word.starts_with("portsyncd:") || word.starts_with("process_") {
                assert!(known.contains(word), "{file}: there is no {word}");
            }
        }
    }
}

#[test]
fn what_is_recorded_is_named_by_its_window() {
    for rule in rules().into_iter().filter(|rule| !rule.is_alert) {
        let parts: Vec<&str> = rule.name.split(':').collect();
        assert!(parts.len() == 3 && parts[0] == "portsyncd", "{}: portsyncd:metric:operation", rule.name);
        let operation = parts[2].rsplit('_').next().unwrap();
        let window = operation.trim_start_matches(|c: char| c.is_ascii_alphabetic());
        let windows = rule.expression.split('[').skip(1).map(|rest| rest.split_once(']').unwrap().0);
        let offsets = rule.expression.split("offset ").skip(1).map(|rest| rest.split([',', ')', '\n']).next().unwrap());
        for used in windows.chain(offsets) {
            assert_eq!(used, window, "{}: {}", rule.name, rule.expression);
        }
    }
}

#[test]
fn every_alert_has_a_severity_texts_and_a_section_that_says_what_to_do() {
    let text = read("README.md");
    let sections: BTreeSet<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("### "))
        .filter(|title| title.starts_with("Portsyncd"))
        .collect();
    let alerts: Vec<_> = rules().into_iter().filter(|rule| rule.is_alert).collect();
    for alert in &alerts {
        let has = |what: &str| alert.text.contains(what);
        let severity = text.split_once(&format!("### {}\n", alert.name)).unwrap_or_else(|| panic!("{}", alert.name)).1;
        let severity = severity.trim_start().split(['.', ' ', ',']).next().unwrap().to_lowercase();
        assert!(["critical", "warning", "info"].contains(&severity.as_str()), "{}: {severity}", alert.name);
        assert!(has(&format!("severity: {severity}\n")), "{}: README.md says {severity}", alert.name);
        assert!(has("summary: ") && has("description: "), "{}", alert.name);
        let section =
            format!("runbook_url: https://docs.example/portsyncd/monitoring/README.md#{}\n", alert.name.to_lowercase());
        assert!(has(&section), "{}: {section}", alert.name);
    }
    let names: BTreeSet<&str> = alerts.iter().map(|alert| alert.name.as_str()).collect();
    assert_eq!(names, sections);
}

#[test]
fn every_alert_is_seen_silent_and_firing_and_every_record_has_a_value() {
    let tests = read(TESTS);
    for rule in rules() {
        if rule.is_alert {
            let named = format!("alertname: {}\n        exp_alerts:", rule.name);
            let outcomes: BTreeSet<bool> = tests.split(&named).skip(1).map(|rest| rest.starts_with(" []")).collect();
            assert_eq!(outcomes.len(), 2, "{} is to be seen silent and firing in {TESTS}", rule.name);
        } else {
            assert!(tests.contains(&format!("- expr: {}\n", rule.name)), "{} has no value in {TESTS}", rule.name);
        }
    }
}

#[test]
#[ignore = "needs Prometheus"]
fn promtool_accepts_the_files_and_the_tests_of_the_rules_pass() {
    for arguments in [
        ["check", "rules", "rules/portsyncd.rules.yaml"],
        ["check", "config", "prometheus.yml"],
        ["test", "rules", TESTS],
    ] {
        let output = promtool(&arguments);
        let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        assert!(output.status.success(), "promtool {}: {said}", arguments.join(" "));
    }
}

#[test]
fn dashboards_can_be_told_apart_and_chosen_for() {
    let mut uids = HashSet::new();
    for (file, dashboard) in dashboards() {
        let uid = dashboard["uid"].as_str().unwrap().to_owned();
        assert_eq!(format!("{uid}.json"), format!("portsyncd-{file}"));
        assert!(uids.insert(uid), "{file}");
        assert!(dashboard.get("id").is_none() && dashboard.get("__inputs").is_none(), "{file}: belongs to one Grafana");
        assert!(dashboard["tags"].as_array().unwrap().contains(&Value::from("portsyncd")), "{file}");
        let variables = dashboard["templating"]["list"].as_array().unwrap();
        assert_eq!(variables.iter().map(|variable| &variable["name"]).collect::<Vec<_>>(), ["datasource", "instance"]);
        assert_eq!(variables[1]["allValue"], ".*", "{file}");
    }
    assert_eq!(uids.len(), 4);
}

#[test]
fn every_panel_says_what_it_shows_and_none_covers_another() {
    for (file, dashboard) in dashboards() {
        let mut ids = HashSet::new();
        let mut covered: BTreeMap<(u64, u64), &Value> = BTreeMap::new();
        for panel in dashboard["panels"].as_array().unwrap() {
            let title = &panel["title"];
            assert!(ids.insert(panel["id"].as_u64().unwrap()), "{file}: {title}: its id stands twice");
            let [x, y, w, h] = ["x", "y", "w", "h"].map(|key| panel["gridPos"][key].as_u64().unwrap());
            assert!(w > 0 && h > 0 && x + w <= 24, "{file}: {title}: beyond the 24 columns");
            for cell in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
                if let Some(other) = covered.insert(cell, title) {
                    panic!("{file}: {title} covers {other}");
                }
            }
        }
        for panel in panels(&dashboard) {
            let place = format!("{file}: {}", panel["title"]);
            let defaults = &panel["fieldConfig"]["defaults"];
            for text in [&panel["title"], &panel["description"], &defaults["unit"]] {
                assert!(text.as_str().is_some_and(|text| !text.is_empty()), "{place}: title, description and unit");
            }
            assert!(!defaults["thresholds"]["steps"].as_array().unwrap().is_empty(), "{place}");
            let targets = panel["targets"].as_array().unwrap();
            let letters: HashSet<&str> = targets.iter().map(|target| target["refId"].as_str().unwrap()).collect();
            assert!(!targets.is_empty() && letters.len() == targets.len(), "{place}");
            let sources = targets.iter().chain([panel]).map(|one| &one["datasource"]["uid"]);
            assert!(sources.into_iter().all(|uid| uid == "${datasource}"), "{place}");
            let needs_legend = ["timeseries", "state-timeline", "bargauge"].contains(&panel["type"].as_str().unwrap());
            let named = targets.iter().all(|target| target["legendFormat"] != "__auto");
            assert!(named || !needs_legend, "{place}: the legend is to say what a line is");
        }
    }
}

/// Queries that have not given any number yet.
struct Unanswered(Vec<Query>);

impl Unanswered {
    fn ask(&mut self, prometheus: &Prometheus) {
        self.0.retain(|query| {
            let expression = with_values(&query.expression);
            let numbers = if query.instant { prometheus.at_once(&expression) } else { prometheus.lately(&expression) };
            numbers.is_empty()
        });
    }

    fn places(&self) -> String {
        let places: Vec<_> = self.0.iter().map(|query| format!("{}: {}", query.place, query.expression)).collect();
        places.join("\n")
    }
}

#[test]
#[ignore = "needs Prometheus"]
fn every_query_of_every_dashboard_has_data_from_the_real_daemon() {
    let mut rig = Rig::new(4);
    // Comparisons take their time only when there are any.
    rig.set("PORTSYNCD_NETLINK__AUDIT_INTERVAL", "1s");
    rig.set("PORTSYNCD_ALERTS__EVALUATION_INTERVAL", "1s");
    let mut rig = rig.set_to_work();
    rig.expect_metric("portsyncd_port_init_done", |value| value == 1.0);
    let ports = rig.ports.clone();
    for port in &ports {
        rig.up(port);
    }
    rig.expect_metric("portsyncd_ports{state=\"up\"}", |value| value == 4.0);
    let prometheus = Prometheus::start(rig.http());
    rig.until("a scrape of all ports", || prometheus.at_once("portsyncd_port_oper_up == 1").len() == 4);
    // One that went down and stays down, and one that goes on flapping.
    rig.down(&ports[3]);
    let (about_alerts, others): (Vec<_>, Vec<_>) =
        queries().into_iter().partition(|query| query.expression.contains("ALERTS"));
    let [mut about_alerts, mut others] = [about_alerts, others].map(Unanswered);
    assert!(about_alerts.0.len() > 3 && others.0.len() > 80, "{} {}", about_alerts.0.len(), others.0.len());
    let began = Instant::now();
    while !others.0.is_empty() {
        assert!(began.elapsed() < LIMIT * 2, "these have no data:\n{}", others.places());
        rig.down(&ports[0]);
        rig.expect_row(&ports[0], "down", "down", 1500);
        rig.up(&ports[0]);
        rig.expect_row(&ports[0], "up", "up", 1500);
        others.ask(&prometheus);
    }
    assert_eq!(prometheus.firing(), BTreeSet::new(), "all is well");
    rig.server.kill();
    rig.until("the alert", || prometheus.firing().contains("PortsyncdRedisDown"));
    rig.until("the queries about alerts", || {
        about_alerts.ask(&prometheus);
        about_alerts.0.is_empty()
    });
}
