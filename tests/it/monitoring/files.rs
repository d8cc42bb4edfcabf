//! What stands in docs/monitoring, taken apart.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use portsyncd::telemetry::catalog::{MetricKind, catalog};
use serde_json::Value;

use super::promql::{Names, names};

pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/monitoring")
}

pub fn read(file: &str) -> String {
    let path = folder().join(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Each dashboard with the name of its file.
pub fn dashboards() -> BTreeMap<String, Value> {
    let files = fs::read_dir(folder().join("dashboards")).unwrap();
    files
        .map(|file| {
            let name = file.unwrap().file_name().into_string().unwrap();
            let text = read(&format!("dashboards/{name}"));
            (name, serde_json::from_str(&text).unwrap())
        })
        .collect()
}

/// The panels that show something.
pub fn panels(dashboard: &Value) -> Vec<&Value> {
    dashboard["panels"].as_array().unwrap().iter().filter(|panel| panel["type"] != "row").collect()
}

/// A query of a dashboard.
pub struct Query {
    pub place: String,
    pub expression: String,
    /// Asked for one moment only.
    pub instant: bool,
}

/// Every query: those of panels, of annotations and of variables.
pub fn queries() -> Vec<Query> {
    let mut queries = Vec::new();
    for (file, dashboard) in dashboards() {
        let mut add = |title: &Value, expression: &Value, instant: &Value| {
            queries.push(Query {
                place: format!("{file}: {}", title.as_str().unwrap()),
                expression: expression.as_str().unwrap().to_owned(),
                instant: instant.as_bool().unwrap(),
            });
        };
        for panel in panels(&dashboard) {
            for target in panel["targets"].as_array().unwrap() {
                add(&panel["title"], &target["expr"], &target["instant"]);
            }
        }
        for annotation in dashboard["annotations"]["list"].as_array().unwrap() {
            if annotation["datasource"]["type"] == "prometheus" {
                add(&annotation["name"], &annotation["expr"], &Value::Bool(false));
            }
        }
        for variable in dashboard["templating"]["list"].as_array().unwrap() {
            if let Some(query) = variable["query"]["query"].as_str() {
                let of = query.strip_prefix("label_values(").unwrap().rsplit_once(", ").unwrap().0;
                add(&variable["name"], &Value::from(of), &Value::Bool(true));
            }
        }
    }
    queries
}

/// A rule of rules/portsyncd.rules.yaml.
pub struct Rule {
    pub name: String,
    pub is_alert: bool,
    pub expression: String,
    pub text: String,
}

/// Every rule. The file is ours, so that its form is known: two keys begin a rule, and `expr` ends at the next key.
pub fn rules() -> Vec<Rule> {
    let text = read("rules/portsyncd.rules.yaml");
    let mut rules: Vec<Rule> = Vec::new();
    for line in text.lines() {
        let begins = |key: &str| Some(line.strip_prefix("      - ")?.strip_prefix(key)?.trim().to_owned());
        if let Some((name, is_alert)) =
            begins("record:").map(|name| (name, false)).or(begins("alert:").map(|name| (name, true)))
        {
            rules.push(Rule { name, is_alert, expression: String::new(), text: String::new() });
        } else if let Some(rule) = rules.last_mut() {
            rule.text.push_str(line);
            rule.text.push('\n');
        }
    }
    for rule in &mut rules {
        let (_, expression) = rule.text.split_once("        expr:").unwrap();
        // Lines of the expression are indented further than keys are.
        let is_key = |line: &&str| !line.starts_with("          ");
        let mut lines = expression.lines();
        let first = lines.next().unwrap().trim_start_matches(" |");
        rule.expression = first.to_owned();
        lines.take_while(|line| !is_key(line)).for_each(|line| rule.expression.push_str(&format!("\n{line}")));
    }
    rules
}

/// The labels of each metric that may be named: the catalogue's, Prometheus' own, and what the rules record.
pub fn known() -> BTreeMap<String, Vec<String>> {
    let target = ["job", "instance"];
    let labels = |own: &[&str]| own.iter().chain(&target).map(|label| (*label).to_owned()).collect::<Vec<_>>();
    let alert = labels(&["alertname", "alertstate", "severity", "component", "db", "outcome", "reason"]);
    let mut known = BTreeMap::from([
        ("up".to_owned(), labels(&[])),
        ("ALERTS".to_owned(), alert.clone()),
        ("ALERTS_FOR_STATE".to_owned(), alert),
    ]);
    for metric in catalog() {
        let name = metric.full_name();
        if metric.kind == MetricKind::Histogram {
            known.insert(format!("{name}_bucket"), [labels(&metric.labels), vec!["le".to_owned()]].concat());
            known.insert(format!("{name}_sum"), labels(&metric.labels));
            known.insert(format!("{name}_count"), labels(&metric.labels));
        } else {
            known.insert(name, labels(&metric.labels));
        }
    }
    for rule in rules().into_iter().filter(|rule| !rule.is_alert) {
        let Names { by, selectors, .. } = names(&rule.expression);
        // One that does not group keeps what its metric has.
        let labels = if by.is_empty() { known[&selectors[0].metric].clone() } else { by };
        let histogram_quantile = rule.expression.contains("histogram_quantile");
        let labels = labels.into_iter().filter(|label| !histogram_quantile || label != "le").collect();
        assert!(known.insert(rule.name.clone(), labels).is_none(), "{} is recorded twice", rule.name);
    }
    known
}
