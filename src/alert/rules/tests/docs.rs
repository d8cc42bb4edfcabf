//! docs/alerts.md says what there is.

use crate::alert::rules::Rules;
use crate::alert::rules::load::Loader;
use crate::alert::unit_test;

const DOCUMENT: &str = include_str!("../../../../docs/alerts.md");

fn defaults() -> Rules {
    let mut loader = Loader::new(Vec::new());
    loader.defaults();
    loader.finish().unwrap()
}

#[test]
fn each_default_rule_has_its_section() {
    let section = DOCUMENT.split("## The rules that come with portsyncd").last().unwrap();
    let section = section.split("\n## ").next().unwrap();
    let found: Vec<&str> = section.split("\n### ").skip(1).map(|rule| rule.split('\n').next().unwrap()).collect();
    let rules = defaults();
    assert_eq!(found, rules.iter().map(|rule| &*rule.name).collect::<Vec<_>>());
    for rule in rules.iter() {
        let off = if rule.enabled { "" } else { ", off" };
        let begins = format!("\n### {}\n{}{off}. ", rule.name, rule.severity.name());
        assert!(section.contains(&begins), "{begins:?}");
    }
}

#[test]
fn each_key_has_its_line() {
    let mut loader = Loader::new(Vec::new());
    let rule = "name = \"A\"\nmetric = \"pending_rows\"\ncondition = { above = 1 }\nseverity = \"info\"\nxxxxxxxx = 1";
    loader.file("", &format!("[[rule]]\n{rule}"));
    let error = loader.finish().unwrap_err().to_string();
    let keys = error.split("there are ").last().unwrap().split(", ");
    assert_eq!(keys.clone().count(), 15, "{error}");
    for key in keys {
        assert!(DOCUMENT.contains(&format!("\n| `{key}` | ")), "{key}");
    }
}

#[test]
fn its_examples_hold() {
    let blocks: Vec<&str> =
        DOCUMENT.split("```toml\n").skip(1).map(|block| block.split("```").next().unwrap()).collect();
    let [rule, test] = blocks.as_slice() else { panic!("{} blocks", blocks.len()) };
    let mut loader = Loader::new(vec!["noc".to_owned()]);
    loader.file("docs/alerts.md", rule);
    assert_eq!(loader.finish().unwrap().iter().len(), 1);
    let temp = tempfile::tempdir().unwrap();
    std::fs::write(temp.path().join("rules.toml"), "").unwrap();
    let path = temp.path().join("test.toml");
    std::fs::write(&path, test).unwrap();
    let report = unit_test::run(&path);
    assert!(report.is_ok() && report.checked == 2, "{report}");
}

#[test]
fn each_condition_of_the_table_is_one() {
    let table = DOCUMENT.split("| condition | holds while |").last().unwrap().split("\n\n").next().unwrap();
    let mut count = 0;
    for line in table.lines().filter_map(|line| line.strip_prefix("| `{")) {
        let condition = line.split('`').next().unwrap();
        let quantile = line.contains("`quantile = 0.99`");
        let metric = if quantile { "event_latency_seconds\"\nquantile = 0.99\n" } else { "pending_rows\"\n" };
        let mut loader = Loader::new(Vec::new());
        let rule = format!("name = \"A\"\nmetric = \"{metric}condition = {{{condition}\nseverity = \"info\"");
        loader.file("docs/alerts.md", &format!("[[rule]]\n{rule}"));
        loader.finish().unwrap();
        count += 1;
    }
    assert_eq!(count, 11);
}
