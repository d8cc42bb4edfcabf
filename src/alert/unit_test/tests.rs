use super::*;

const RULES: &str = r#"
    [[rule]]
    name = "Flaps"
    metric = "port_flaps_total"
    condition = { rate_above = 0.1, window = "60s" }
    for = "20s"
    severity = "warning"
    annotations = { summary = "{{ port }} flaps", description = "{{ value }}" }

    [[rule]]
    name = "Slow"
    metric = "event_latency_seconds"
    quantile = 0.5
    condition = { above = 0.01, window = "1m" }
    severity = "info"
"#;

const TEST: &str = r#"
    rules = ["defaults", "rules.toml"]
    interval = "10s"

    [[series]]
    metric = "port_flaps_total"
    port = "Ethernet0"
    values = "0x5 2+2x20"

    [[series]]
    metric = "redis_up"
    labels = { db = "STATE_DB" }
    values = "1x2 0x20"

    [[series]]
    metric = "redis_up"
    labels = { db = "APPL_DB" }
    values = "1x20"

    [[series]]
    metric = "redis_up"
    labels = { db = "CONFIG_DB" }
    values = "1x20"

    [[series]]
    metric = "event_latency_seconds"
    values = "0.001x5 0.2x20"
    observations = 10

    [[silence]]
    rule = "RedisDown"
    from = "1m"
    until = "2m"
"#;

/// Runs a test with expectations behind [`TEST`], beside [`RULES`].
fn report(expectations: &str) -> TestReport {
    report_of(&format!("{TEST}{expectations}"))
}

fn report_of(test: &str) -> TestReport {
    let temp = tempfile::tempdir().unwrap();
    std::fs::write(temp.path().join("rules.toml"), RULES).unwrap();
    let path = temp.path().join("test.toml");
    std::fs::write(&path, test).unwrap();
    let report = run(&path);
    TestReport { file: "test.toml".to_owned(), ..report }
}

fn expect(at: &str, rule: &str, state: &str, more: &str) -> String {
    format!("[[expect]]\nat = \"{at}\"\nrule = \"{rule}\"\nstate = \"{state}\"\n{more}\n")
}

#[test]
fn what_is_expected_holds() {
    let port = "port = \"Ethernet0\"";
    let expectations = [
        expect("40s", "Flaps", "inactive", &format!("{port}\nvalue = 0.0")),
        expect("2m", "Flaps", "firing", &format!("{port}\nvalue = 0.2\nsummary = \"Ethernet0 flaps\"")),
        expect("2m", "Flaps", "firing", &format!("{port}\nannotations = {{ description = \"0.2\" }}")),
        expect("30s", "RedisDown", "pending", "value = 2.0"),
        expect("1m", "RedisDown", "suppressed", ""),
        expect("119s", "RedisDown", "suppressed", ""),
        expect("2m", "RedisDown", "firing", ""),
        expect("40s", "Slow", "inactive", ""),
        expect("2m", "Slow", "firing", ""),
    ];
    let report = report(&expectations.concat());
    assert_eq!(report.to_string(), "ok      test.toml: 9 expectations");
}

#[test]
fn differences_can_be_read() {
    let expectations = [
        expect("1m", "Flaps", "firing", "port = \"Ethernet0\"\nvalue = 0.5"),
        expect("1m", "Flaps", "inactive", "port = \"Ethernet4\"\nsummary = \"x\""),
    ];
    let report = report(&expectations.concat());
    let text = report.to_string();
    assert!(!report.is_ok());
    assert_eq!(
        text,
        "FAILED  test.toml\n\
         \x20 at 1m: Flaps Ethernet0: state\n    wanted: firing\n    found:  inactive, value 0.03333\n\
         \x20 at 1m: Flaps Ethernet0: value\n    wanted: 0.5\n    found:  0.03333333333333333\n\
         \x20 at 1m: Flaps Ethernet4: summary\n    wanted: \"x\"\n    found:  none"
    );
}

#[test]
fn slips_in_a_test_are_told() {
    let series =
        |text: &str| format!("rules = [\"rules.toml\"]\ninterval = \"1s\"\n[[series]]\nvalues = \"1\"\n{text}");
    for (test, problem) in [
        ("rules = []".to_owned(), "missing field `interval`"),
        ("rules = []\ninterval = \"0s\"".to_owned(), "interval: at least"),
        ("rules = [\"nowhere.toml\"]\ninterval = \"1s\"".to_owned(), "nowhere.toml cannot be read"),
        ("rules = [\"test.toml\"]\ninterval = \"1s\"".to_owned(), "a file of rules has [[rule]]"),
        (series("metric = \"pending_row\""), "did you mean \"pending_rows\"?"),
        (series("metric = \"redis_up\""), "series of redis_up: labels.db is missing"),
        (series("metric = \"redis_up\"\nlabels = { db = \"x\" }"), "labels.db = \"x\": one of APPL_DB"),
        (series("metric = \"pending_rows\"\nport = \"Ethernet0\""), "not a metric of ports"),
        (series("metric = \"port_oper_up\""), "port is missing"),
        (series("metric = \"port_oper_up\"\nport = \"AVeryLongNameIndeed\""), "1 to 15 bytes"),
        (series("metric = \"pending_rows\"\nlabels = { a = \"b\" }"), "labels.a: the metric has no such label"),
        (series("metric = \"pending_rows\"").replace("\"1\"", "\"1y\""), "values: \"1y\": a number"),
        (series("metric = \"event_latency_seconds\"").replace("\"1\"", "\"-1\""), "not negative"),
        (format!("{TEST}{}", expect("1m", "Flap", "firing", "")), "did you mean \"Flaps\"?"),
        (format!("{TEST}{}", expect("1m", "Flaps", "firing", "")), "port is missing"),
        (format!("{TEST}{}", expect("1m", "Slow", "firing", "port = \"Ethernet0\"")), "leave port out"),
        (format!("{TEST}{}", expect("1m", "Slow", "resolved", "")), "unknown variant `resolved`"),
        (format!("{TEST}{}", expect("364days", "Slow", "firing", "")), "more than 1000000 times"),
        (format!("{TEST}[[silence]]\nrule = \"X\"\nuntil = \"1m\""), "rule = \"X\""),
    ] {
        let report = report_of(&test);
        assert!(report.problems.len() == 1 && report.problems[0].contains(problem), "{problem}: {report}");
    }
}
