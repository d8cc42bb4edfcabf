//! As much of `PromQL` as it takes to find which metrics an expression names, and with which labels.

/// A metric that an expression names, with the labels of its matchers.
#[derive(Debug, PartialEq, Eq)]
pub struct Selector {
    pub metric: String,
    pub labels: Vec<String>,
}

/// What an expression names.
#[derive(Debug, Default)]
pub struct Names {
    pub selectors: Vec<Selector>,
    /// Labels of `by`, `without`, `on`, `ignoring`, `group_left` and `group_right`.
    pub grouped: Vec<String>,
    /// Labels of `by` alone.
    pub by: Vec<String>,
}

const GROUPING: [&str; 6] = ["by", "without", "on", "ignoring", "group_left", "group_right"];
const OPERATORS: [&str; 5] = ["and", "or", "unless", "bool", "offset"];

/// Reads an expression. Whatever is neither a function, an operator nor a label is a metric.
pub fn names(expression: &str) -> Names {
    let mut names = Names::default();
    let mut rest = expression;
    while let Some(first) = rest.chars().next() {
        let (word, after) = rest.split_at(rest.find(|c| !is_of_name(c)).unwrap_or(rest.len()));
        if first == '"' {
            rest = after_string(rest);
        } else if word.is_empty() {
            rest = &rest[first.len_utf8()..];
        } else if first.is_ascii_digit() {
            rest = after;
        } else {
            rest = after.trim_start();
            if GROUPING.contains(&word) && rest.starts_with('(') {
                let (labels, after) = labels(&rest[1..], ')');
                names.by.extend(labels.iter().filter(|_| word == "by").cloned());
                names.grouped.extend(labels);
                rest = after;
            } else if let Some(matchers) = rest.strip_prefix('{') {
                let (labels, after) = labels(matchers, '}');
                names.selectors.push(Selector { metric: word.to_owned(), labels });
                rest = after;
            } else if !is_function(rest) && !OPERATORS.contains(&word) && !GROUPING.contains(&word) {
                names.selectors.push(Selector { metric: word.to_owned(), labels: Vec::new() });
            }
        }
    }
    names
}

/// By what follows it: an argument, or what an aggregation groups by.
fn is_function(rest: &str) -> bool {
    ["(", "by ", "without "].iter().any(|begin| rest.starts_with(begin))
}

fn is_of_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == ':'
}

/// The words up to the closing bracket that are no strings, and what follows it.
fn labels(text: &str, closing: char) -> (Vec<String>, &str) {
    let (mut labels, mut rest) = (Vec::new(), text);
    loop {
        let Some(first) = rest.chars().next() else { return (labels, rest) };
        let (word, after) = rest.split_at(rest.find(|c| !is_of_name(c)).unwrap_or(rest.len()));
        if first == closing {
            return (labels, &rest[1..]);
        } else if first == '"' {
            rest = after_string(rest);
        } else if word.is_empty() {
            rest = &rest[first.len_utf8()..];
        } else {
            labels.push(word.to_owned());
            rest = after;
        }
    }
}

/// What follows the string that the text begins with. Our strings have no escapes.
fn after_string(text: &str) -> &str {
    text[1..].split_once('"').map_or("", |(_, rest)| rest)
}

#[test]
fn metrics_labels_and_groupings_are_found() {
    let expression = r#"sum by (job, le) (rate(a_bucket{le="0.1", x=~"b|c"}[5m])) / on (job) group_left () 1e3 * b:c:rate5m
        > bool 0.1 and time() - d offset 15m < 900"#;
    let found = names(expression);
    let selector = |metric: &str, labels: &[&str]| Selector {
        metric: metric.to_owned(),
        labels: labels.iter().map(|label| (*label).to_owned()).collect(),
    };
    assert_eq!(found.selectors, [selector("a_bucket", &["le", "x"]), selector("b:c:rate5m", &[]), selector("d", &[])]);
    assert_eq!(found.grouped, ["job", "le", "job"]);
    assert_eq!(found.by, ["job", "le"]);
}
