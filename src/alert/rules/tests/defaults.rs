//! The rules that come with the daemon.

use std::time::Duration;

use crate::alert::rules::DEFAULTS;
use crate::alert::rules::condition::Comparison;
use crate::alert::rules::load::Loader;
use crate::alert::rules::template::Template;
use crate::alert::rules::{Rules, Severity};

fn defaults(more: &str) -> Rules {
    let mut loader = Loader::new(Vec::new());
    loader.defaults();
    loader.file("mine.toml", more);
    loader.finish().unwrap()
}

#[test]
fn each_is_explained() {
    let rules = defaults("");
    for rule in rules.iter() {
        let texts: Vec<&str> = rule.annotations.iter().map(|(name, _)| &**name).collect();
        assert_eq!(texts, ["description", "resolved_summary", "summary"], "{}", rule.name);
        // A rate that is below a bound below zero is nothing to show to people.
        let is_negative = matches!(rule.condition.test, Comparison::Below(bound) if bound < 0.0);
        let shown = |text: &Template| text.source().contains("{{ value }}");
        assert!(!is_negative || !rule.annotations.iter().any(|(_, text)| shown(text)), "{}", rule.name);
        let begins = format!("[[rule]]\nname = \"{}\"\n", rule.name);
        let before = DEFAULTS.split(&begins).next().unwrap().trim_end();
        let comment = before.lines().next_back().unwrap();
        assert!(comment.starts_with("# "), "{}: no comment says why", rule.name);
    }
    let off: Vec<&str> = rules.iter().filter(|rule| !rule.enabled).map(|rule| &*rule.name).collect();
    assert_eq!(off, ["HealthExcellent"]);
    assert!(rules.iter().filter(|rule| rule.severity == Severity::Critical).count() >= 4);
}

#[test]
fn a_rule_of_the_same_name_replaces_one() {
    let count = defaults("").iter().len();
    let mine = "[[rule]]\nname = \"RedisDown\"\nmetric = \"redis_up\"\ncondition = { below = 1 }\nseverity = \"info\"";
    let rules = defaults(mine);
    assert_eq!(rules.iter().len(), count);
    assert_eq!(rules.get("RedisDown").unwrap().severity, Severity::Info);
}

#[test]
fn one_is_turned_off_by_its_name_alone() {
    let rules = defaults("[[rule]]\nname = \"RedisDown\"\nenabled = false");
    assert!(!rules.get("RedisDown").unwrap().enabled);
    let mut loader = Loader::new(Vec::new());
    loader.file("mine.toml", "[[rule]]\nname = \"RedisDown\"\nenabled = false");
    assert!(loader.finish().unwrap_err().to_string().contains("only a rule that comes with the daemon"));
}

#[test]
fn those_whose_windows_are_too_short_for_the_interval_are_off() {
    let off = |seconds| {
        let mut loader = Loader::new(Vec::new()).evaluated_every(Duration::from_secs(seconds));
        loader.defaults();
        loader.finish().unwrap().iter().filter(|rule| !rule.enabled).count()
    };
    assert_eq!((off(15), off(30)), (1, 1));
    assert!(off(31) > 2);
}

#[test]
fn each_fires_when_it_should_and_not_before() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/rules/defaults.toml");
    let report = crate::alert::unit_test::run(path.as_ref());
    assert!(report.is_ok(), "{report}");
    let tests = std::fs::read_to_string(path).unwrap();
    for rule in defaults("").iter() {
        let fires = format!("rule = \"{}\"\n", rule.name);
        let mut expectations = tests.split("[[expect]]").filter(|expectation| expectation.contains(&fires));
        let firing = expectations.clone().any(|expectation| expectation.contains("state = \"firing\""));
        assert!(firing || !rule.enabled, "{}", rule.name);
        assert!(expectations.any(|expectation| !expectation.contains("state = \"firing\"")), "{}", rule.name);
    }
}

#[test]
fn each_has_a_page_and_links_to_it_where_that_is_known() {
    let mut loader = Loader::with_any_sink().runbooks_at("https://wiki.example/runbooks/");
    loader.defaults();
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/runbooks");
    let mut pages = std::fs::read_dir(&folder).unwrap().count();
    for rule in loader.finish().unwrap().iter() {
        let url = rule.annotations.iter().find(|(name, _)| &**name == "runbook_url").unwrap().1.source();
        assert_eq!(url, format!("https://wiki.example/runbooks/{}.md", rule.name));
        let page = std::fs::read_to_string(folder.join(format!("{}.md", rule.name))).unwrap();
        assert!(page.starts_with(&format!("# {}\n", rule.name)) && page.contains("## Do\n"), "{}", rule.name);
        pages -= 1;
    }
    assert_eq!(pages, 0, "a page without a rule");
}
