use super::super::condition::{Comparison, Condition, Function};
use super::*;
use crate::config::{Action, Severity};

fn load(text: &str) -> Result<Rules, RuleErrors> {
    let mut loader = Loader::new(vec!["noc".to_owned()]);
    loader.file("rules.toml", text);
    loader.finish()
}

fn rule(keys: &str) -> String {
    format!("[[rule]]\n{keys}\n")
}

/// A rule in which one line is another one, or (with `-key`) is missing.
fn changed(line: &str) -> String {
    let lines = [
        "name = \"A\"",
        "metric = \"port_flaps_total\"",
        "condition = { rate_above = 0.1, window = \"60s\" }",
        "severity = \"critical\"",
    ];
    let key = line.trim_start_matches('-').split(' ').next().unwrap();
    let mut kept: Vec<&str> = lines.into_iter().filter(|other| other.split(' ').next() != Some(key)).collect();
    if !line.starts_with('-') {
        kept.push(line);
    }
    rule(&kept.join("\n"))
}

#[test]
fn a_rule_with_every_key_is_read() {
    let rules = load(
        r#"
        [[rule]]
        name = "PortFlapping"
        metric = "port_flaps_total"
        ports = "Ethernet*"
        condition = { rate_above = 0.1, window = "60s" }
        resolve = 0.05
        for = "30s"
        keep_firing_for = "1m"
        severity = "critical"
        labels = { team = "net" }
        annotations = { summary = "{{ port }} flaps: {{ value }}/s, {{ labels.team }}", description = "" }
        actions = ["log", "notify", "noc"]
        inhibited_by = ["RedisDown"]

        [[rule]]
        name = "RedisDown"
        metric = "redis_up"
        match = { db = ["STATE_DB", "APPL_DB"] }
        condition = { below = 2 }
        severity = "warning"
        enabled = false

        [[rule]]
        name = "Slow"
        metric = "event_latency_seconds"
        quantile = 0.99
        condition = { anomaly = { z = 4.0, window = "1h", direction = "above" }, window = "5m" }
        severity = "info"

        [[rule]]
        name = "Growing"
        metric = "pending_rows"
        condition = { trend = { above = 1000, horizon = "1h", window = "10m" } }
        severity = "info"
        "#,
    )
    .unwrap();
    assert_eq!(rules.iter().len(), 4);
    let first = rules.get("PortFlapping").unwrap();
    assert_eq!(first.metric.name(), "port_flaps_total");
    assert_eq!((first.for_millis, first.keep_firing_for, first.severity), (30_000, 60_000, Severity::Critical));
    assert_eq!(
        first.condition,
        Condition { function: Function::Rate { window: 60_000 }, test: Comparison::Above(0.1) }
    );
    assert_eq!(first.resolve(), Some(0.05));
    assert_eq!(first.labels().collect::<Vec<_>>(), [("team", "net".to_owned())]);
    assert_eq!(first.actions.iter().map(Action::name).collect::<Vec<_>>(), ["log", "notify", "noc"]);
    let redis = rules.get("RedisDown").unwrap();
    assert!(!redis.enabled && redis.actions[0].name() == "log");
    assert_eq!(redis.labels().collect::<Vec<_>>(), [("db", "STATE_DB|APPL_DB".to_owned())]);
    let slow = rules.get("Slow").unwrap();
    assert_eq!(slow.quantile().map(|quantile| quantile.window), Some(300_000));
    let function = Function::Score { window: 3_600_000, min_samples: 30 };
    assert_eq!(slow.condition, Condition { function, test: Comparison::Above(4.0) });
    assert_eq!(rules.get("Growing").unwrap().condition.to_string(), "the trend of 10m is above 1000 in 1h");
}

#[test]
fn conditions_are_written_for_people() {
    for (condition, text) in [
        ("{ above = 10 }", "above 10"),
        ("{ below = 0.5 }", "below 0.5"),
        ("{ between = [1, 2] }", "between 1 to 2"),
        ("{ outside = [1, 2] }", "outside 1 to 2"),
        ("{ equals = 0 }", "equals 0"),
        ("{ rate_below = 1, window = \"90s\" }", "rate over 1m 30s below 1/s"),
        ("{ absent = \"5m\" }", "absent for 5m"),
        ("{ anomaly = { z = 4, window = \"1h\" } }", "more than 4 standard deviations from the mean of 1h"),
    ] {
        let rules = load(&changed(&format!("condition = {condition}"))).unwrap();
        assert_eq!(rules.get("A").unwrap().condition.to_string(), text);
    }
}

#[test]
fn what_is_wrong_is_told_with_what_would_be_right() {
    for (line, key, problem) in [
        ("-name", "rule number 1: name is missing", "PortFlapping"),
        ("name = \"\"", "name = \"\"", "1 to 64 letters"),
        ("name = \"a b\"", "name = \"a b\"", "1 to 64 letters"),
        ("name = 5", "name = 5", "a text in quotes"),
        ("-metric", "metric is missing", "portsyncd metrics"),
        ("metric = \"port_flap_total\"", "metric = \"port_flap_total\"", "did you mean \"port_flaps_total\"?"),
        ("metric = \"portsyncd_port_flaps_total\"", "metric = ", "without portsyncd_: \"port_flaps_total\""),
        ("metric = \"process_open_fds\"", "metric = ", "for Prometheus"),
        ("ports = \"Ethernet[\"", "ports = \"Ethernet[\"", "at character 9"),
        ("-condition", "condition is missing", "one of above, below"),
        ("condition = {}", "condition = {  }", "one of above"),
        ("condition = { abov = 1 }", "condition = { abov }", "did you mean \"above\"?"),
        ("condition = { above = 1, below = 2 }", "condition = { above, below }", "exactly one of them"),
        ("condition = { above = 1, foo = 2 }", "condition.foo = 2", "no such key"),
        ("condition = { above = nan }", "condition.above = NaN", "a finite number"),
        ("condition = { above = inf }", "condition.above = inf", "a finite number"),
        ("condition = { above = \"1\" }", "condition.above = \"1\"", "a number"),
        ("condition = { above = 1, window = \"1m\" }", "condition.window = 1m", "looks at the last value only"),
        ("condition = { between = [2, 1] }", "condition.between = [2, 1]", "the smaller number first"),
        ("condition = { outside = [1] }", "condition.outside = [1]", "two numbers"),
        ("condition = { rate_above = 1 }", "condition.window is missing", "for example \"60s\""),
        ("condition = { rate_above = 1, window = \"0s\" }", "condition.window = \"0s\"", "at least \"1ms\""),
        ("condition = { rate_above = 1, window = \"-5s\" }", "condition.window = \"-5s\"", "a time with its unit"),
        ("condition = { rate_above = 1, window = 60 }", "condition.window = 60", "in quotes with its unit"),
        ("condition = { rate_above = 1, window = \"99days\" }", "condition.window", "at most \"30days\""),
        ("condition = { absent = \"0s\" }", "condition.absent = \"0s\"", "at least"),
        ("condition = { anomaly = { z = 9, window = \"1h\" } }", "condition.anomaly.z = 9", "less than 5.29"),
        ("condition = { anomaly = { z = 1, window = \"1h\", min_samples = 2 } }", "min_samples = 2", "from 3"),
        ("condition = { anomaly = { z = 1, window = \"1h\", direction = \"up\" } }", "direction = \"up\"", "\"both\""),
        ("condition = { anomaly = 3 }", "condition.anomaly = 3", "a table"),
        ("condition = { trend = { horizon = \"1h\", window = \"1m\" } }", "condition.trend.above is missing", "below"),
        ("condition = { trend = { above = 1, below = 1 } }", "condition.trend.below = 1", "either"),
        ("condition = { trend = { above = 1, window = \"1m\" } }", "condition.trend.horizon is missing", "1h"),
        ("quantile = 0.9", "quantile = 0.9", "port_flaps_total is not a histogram"),
        ("resolve = 0.2", "resolve = 0.2", "at most 0.1"),
        ("for = \"soon\"", "for = \"soon\"", "a time with its unit"),
        ("for = \"-1s\"", "for = \"-1s\"", "a time with its unit"),
        ("keep_firing_for = 3", "keep_firing_for = 3", "in quotes with its unit"),
        ("-severity", "severity is missing", "\"critical\", \"warning\" or \"info\""),
        ("severity = \"high\"", "severity = \"high\"", "\"critical\", \"warning\" or \"info\""),
        ("actions = [\"nco\"]", "actions = \"nco\"", "did you mean \"noc\"?"),
        ("actions = [\"log\", \"log\"]", "actions = \"log\"", "once"),
        ("enabled = \"no\"", "enabled = \"no\"", "true or false"),
        ("annotation = {}", "annotation = {}", "did you mean \"annotations\"?"),
        ("annotations = { summary = \"{{ prot }}\" }", "annotations.summary = ", "did you mean \"port\"?"),
        ("annotations = { summary = \"{{ labels.x }}\" }", "annotations.summary = ", "no labels"),
        ("annotations = { summary = 5 }", "annotations.summary = 5", "a text in quotes"),
        ("labels = { \"1a\" = \"x\" }", "labels.1a = \"x\"", "no digit first"),
        ("annotations = { run-book = \"x\" }", "annotations.run-book = \"x\"", "a name in annotations has letters"),
        ("annotations = { \"größe\" = \"x\" }", "annotations.größe = \"x\"", "no digit first"),
        ("labels = { port = \"x\" }", "labels.port = \"x\"", "every alert has this one"),
        ("match = { db = \"STATE_DB\" }", "match.db = STATE_DB", "port_flaps_total has no labels to choose by"),
        ("match = { port = \"Ethernet0\" }", "match.port = Ethernet0", "the key `ports`"),
        ("inhibited_by = [\"B\"]", "inhibited_by = \"B\"", "a rule that is there"),
        ("inhibited_by = [\"A\"]", "inhibited_by = \"A\"", "none explains itself"),
    ] {
        let error = load(&changed(line)).unwrap_err().to_string();
        assert!(error.starts_with("rules.toml: rule ") && !error.contains('\n'), "{line}: {error}");
        assert!(error.contains(key) && error.contains(problem), "{line}: {error}");
    }
}

#[test]
fn what_depends_on_the_metric_is_checked() {
    for (metric, line, problem) in [
        ("pending_rows", "ports = \"*\"", "pending_rows is not a metric of ports"),
        ("redis_up", "match = { dv = \"x\" }", "redis_up has the labels db, did you mean \"db\"?"),
        ("redis_up", "match = { db = \"STATE\" }", "did you mean \"STATE_DB\"?"),
        ("redis_up", "match = { db = [] }", "at least one value"),
        ("ports", "match = { state = \"upp\" }", "did you mean \"up\"?"),
        ("component_ready", "match = { component = \"redi\" }", "did you mean \"redis\"?"),
        ("event_latency_seconds", "enabled = true", "quantile is missing"),
        ("event_latency_seconds", "quantile = 1.0", "less than 1"),
        ("event_latency_seconds", "quantile = 0.5", "condition.window is missing"),
        ("redis_up", "annotations = { summary = \"{{ port }}\" }", "not one of ports"),
    ] {
        let text =
            format!("name = \"A\"\nmetric = \"{metric}\"\ncondition = {{ above = 1 }}\nseverity = \"info\"\n{line}");
        let error = load(&rule(&text)).unwrap_err().to_string();
        assert!(error.contains(problem), "{metric} {line}: {error}");
    }
    let text = "name = \"A\"\nmetric = \"event_latency_seconds\"\nquantile = 0.5\n\
                condition = { rate_above = 1, window = \"1m\" }\nseverity = \"info\"";
    assert!(load(&rule(text)).unwrap_err().to_string().contains("a quantile of durations has no rate"));
}

#[test]
fn resolve_is_on_the_other_side() {
    let ports = |condition: &str, resolve: &str| {
        let text = format!(
            "name = \"A\"\nmetric = \"port_oper_up\"\ncondition = {condition}\nresolve = {resolve}\nseverity = \"info\""
        );
        load(&rule(&text)).map_err(|error| error.to_string())
    };
    for (condition, right, wrong) in [
        ("{ above = 10 }", "5", "11"),
        ("{ below = 10 }", "10", "9"),
        ("{ rate_below = 1, window = \"1m\" }", "2", "0.5"),
        ("{ anomaly = { z = 4, window = \"1h\" } }", "2", "-1"),
        ("{ anomaly = { z = 4, window = \"1h\" } }", "2", "5"),
        ("{ trend = { below = 0, horizon = \"1h\", window = \"1m\" } }", "1", "-1"),
    ] {
        ports(condition, right).unwrap();
        assert!(ports(condition, wrong).unwrap_err().contains(&format!("resolve = {wrong}: ")), "{condition}");
    }
    for condition in ["{ equals = 1 }", "{ between = [1, 2] }", "{ absent = \"1m\" }"] {
        assert!(ports(condition, "1").unwrap_err().contains("can have it"), "{condition}");
    }
}

#[test]
fn files_that_are_no_rules_are_refused() {
    for (text, problem) in [
        ("[[rule", "rules.toml: TOML parse error at line 1"),
        ("rules = 1", "did you mean \"rule\"?"),
        ("rule = 1", "rules begin with [[rule]]"),
        ("rule = [1]", "rules begin with [[rule]]"),
    ] {
        let error = load(text).unwrap_err().to_string();
        assert!(error.contains(problem), "{text}: {error}");
    }
    assert_eq!(load("").unwrap().iter().len(), 0);
}

#[test]
fn names_stand_once_over_all_files() {
    let mut loader = Loader::new(Vec::new());
    loader.file("a.toml", &changed("enabled = true"));
    loader.file("b.toml", &changed("enabled = true"));
    let error = loader.finish().unwrap_err().to_string();
    assert_eq!(error, "b.toml: rule A: name = \"A\": another name: a rule of a.toml has this one already");
}

#[test]
fn all_errors_are_told_at_once() {
    let text = [changed("severity = \"high\""), changed("name = \"\"")].concat();
    assert_eq!(load(&text).unwrap_err().0.len(), 2);
}

#[test]
fn explanations_in_a_circle_are_refused() {
    let one = |name: &str, by: &str| changed(&format!("name = \"{name}\"\ninhibited_by = [\"{by}\"]"));
    let error = load(&[one("A", "B"), one("B", "C"), one("C", "B")].concat()).unwrap_err();
    let [RuleError::Value { key, value, .. }] = error.0.as_slice() else { panic!("{error}") };
    assert_eq!((key.as_str(), value.as_str()), ("inhibited_by", "B by C by B"));
}

#[test]
fn a_rule_comes_from_fields_as_well() {
    let mut loader = Loader::new(Vec::new());
    loader.fields(
        "Flaps",
        [
            ("metric", "port_flaps_total"),
            ("condition.rate_above", "0.1"),
            ("condition.window", "60s"),
            ("for", "30s"),
            ("severity", "\"critical\""),
            ("actions@", "log,notify"),
            ("annotations.summary", "true"),
            ("labels", "{ team = \"net\" }"),
            ("enabled", "true"),
        ],
    );
    loader.fields("Other", [("metric", "redis_up"), ("condition", "{ below = 3 }"), ("severity", "warning")]);
    let rules = loader.finish().unwrap();
    let flaps = rules.get("Flaps").unwrap();
    assert_eq!(
        flaps.condition,
        Condition { function: Function::Rate { window: 60_000 }, test: Comparison::Above(0.1) }
    );
    assert_eq!((flaps.for_millis, flaps.actions.len(), &*flaps.origin), (30_000, 2, "PORTSYNCD_ALERT_RULE|Flaps"));
    assert_eq!(flaps.annotations[0].1.source(), "true");
    assert_eq!(rules.get("Other").unwrap().condition.test, Comparison::Below(3.0));
}

#[test]
fn errors_in_fields_name_the_key() {
    for (fields, problem) in [
        (vec![("metric", "redis_up"), ("severity", "bad")], "condition is missing"),
        (vec![("metric", "redis_up"), ("condition", "above 3")], "condition = \"above 3\": a table"),
        (vec![("name", "B")], "name = \"B\": \"A\", as in the key"),
        (vec![("condition", "{ above = 1 }"), ("condition.below", "2")], "condition = { above, below }"),
        (vec![("condition", "x"), ("condition.below", "2")], "either condition or condition.below"),
    ] {
        let mut loader = Loader::new(Vec::new());
        loader.fields("A", fields.into_iter().chain([("metric", "redis_up")]));
        let error = loader.finish().unwrap_err().to_string();
        assert!(error.starts_with("PORTSYNCD_ALERT_RULE|A: rule A: ") && error.contains(problem), "{error}");
    }
}

#[test]
fn rules_that_can_never_fire_are_refused() {
    let load = |metric: &str, condition: &str, more: &str| {
        let text = format!("name = \"A\"\nmetric = \"{metric}\"\ncondition = {condition}\nseverity = \"info\"\n{more}");
        let mut loader = Loader::new(Vec::new()).evaluated_every(std::time::Duration::from_secs(15));
        loader.file("rules.toml", &rule(&text));
        loader.finish().map_err(|error| error.to_string())
    };
    for (metric, condition, more, problem) in [
        ("pending_rows", "{ rate_above = 1, window = \"29s\" }", "", "condition.window = \"29s\": at least 30s"),
        ("pending_rows", "{ rate_below = 1, window = \"1s\" }", "", "evaluated every 15s"),
        ("pending_rows", "{ trend = { above = 1, horizon = \"1h\", window = \"20s\" } }", "", "condition.trend.window"),
        ("pending_rows", "{ anomaly = { z = 1, window = \"20s\" } }", "", "condition.anomaly.window"),
        ("event_latency_seconds", "{ above = 1, window = \"20s\" }", "quantile = 0.5", "condition.window"),
        ("pending_rows", "{ anomaly = { z = 4, window = \"7m\" } }", "", "min_samples = 30: at most 29"),
        ("drift_rows_total", "{ anomaly = { z = 4, window = \"7m 15s\" } }", "", "min_samples = 30: at most 29"),
        ("pending_rows", "{ anomaly = { z = 4, window = \"1day\", min_samples = 121 } }", "", "at most 120"),
    ] {
        let error = load(metric, condition, more).unwrap_err();
        assert!(error.contains(problem) && error.contains("(alerts.evaluation_interval)"), "{condition}: {error}");
        load(metric, condition, &format!("{more}\nenabled = false")).unwrap();
    }
    for (metric, condition, more) in [
        ("pending_rows", "{ rate_above = 1, window = \"30s\" }", ""),
        ("pending_rows", "{ anomaly = { z = 4, window = \"7m 15s\" } }", ""),
        ("pending_rows", "{ anomaly = { z = 4, window = \"1h\", min_samples = 120 } }", ""),
        ("event_latency_seconds", "{ above = 1, window = \"30s\" }", "quantile = 0.5"),
    ] {
        load(metric, condition, more).unwrap();
    }
}

#[test]
fn labels_have_no_variables() {
    let error = load(&changed("labels = { x = \"{{ port }}\" }")).unwrap_err().to_string();
    assert!(error.contains("labels.x = \"{{ port }}\": a text without variables"), "{error}");
}
