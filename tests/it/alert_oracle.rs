//! The alert engine against Prometheus: the same rules and the same series, whose states and values `promtool test rules` has
//! to find the same, at every look. Needs promtool (Debian's package prometheus): `make test-monitoring`.
//!
//! Left out is what is meant to differ (docs/alerts.md): what Prometheus has no word for (`resolve`, silences, ports that are
//! absent), and a value that is gone, which Prometheus looks back for unless the series is marked as stale.

use std::fmt::Write as _;
use std::process::Command;
use std::time::Duration;

use fastrand::Rng;
use portsyncd::alert::rules::Loader;
use portsyncd::alert::{AlertState, Engine, Now, Settings};
use portsyncd::link::LinkName;
use portsyncd::telemetry::value::{BOUNDS, Histogram, Reading};
use serde_json::{Value, json};

const INTERVAL: u64 = 10;
const LOOKS: usize = 60;
const CASES: u64 = 24;
/// Values are compared for so many of the cases, for each costs a query.
const CASES_WITH_VALUES: u64 = 6;
const PORTS: [&str; 3] = ["Ethernet0", "Ethernet4", "PortChannel1"];

/// A rule in both languages.
#[derive(Clone, Copy)]
struct Pair {
    metric: &'static str,
    condition: &'static str,
    /// Further keys of the rule.
    more: &'static str,
    /// What is compared, in `PromQL`, where `M` is the metric.
    value: &'static str,
    test: &'static str,
    /// `for` and `keep_firing_for`.
    times: (u64, u64),
}

const fn pair(
    metric: &'static str,
    condition: &'static str,
    value: &'static str,
    test: &'static str,
    times: (u64, u64),
) -> Pair {
    Pair { metric, condition, more: "", value, test, times }
}

const fn with(more: &'static str, pair: Pair) -> Pair {
    Pair { more, ..pair }
}

const OF_PORT: &str = "port_oper_up";
const FLAPS: &str = "port_flaps_total";
const ROWS: &str = "pending_rows";
const OVERRUNS: &str = "netlink_overruns_total";
const LATENCY: &str = "event_latency_seconds";

#[rustfmt::skip]
const RULES: &[Pair] = &[
    pair(OF_PORT, "{ above = 2.5 }", "M", "> 2.5", (0, 0)),
    pair(OF_PORT, "{ above = 2.5 }", "M", "> 2.5", (20, 0)),
    pair(OF_PORT, "{ above = 2.5 }", "M", "> 2.5", (0, 30)),
    pair(OF_PORT, "{ below = 2.5 }", "M", "< 2.5", (30, 45)),
    pair(OF_PORT, "{ below = 3 }", "M", "< 3", (15, 5)),
    pair(OF_PORT, "{ equals = 3 }", "M", "== 3", (0, 10)),
    pair(ROWS, "{ between = [1, 3] }", "M", ">= 1 and M <= 3", (10, 0)),
    pair(ROWS, "{ outside = [1, 3] }", "M", "< 1 or M > 3", (0, 20)),
    with("ports = \"Ethernet*\"", pair(FLAPS, "{ rate_above = 0.101, window = \"60s\" }", "rate(M{port=~\"Ethernet.*\"}[60s])", "> 0.101", (30, 60))),
    pair(FLAPS, "{ rate_above = 0.101, window = \"30s\" }", "rate(M[30s])", "> 0.101", (0, 0)),
    pair(FLAPS, "{ rate_below = 0.05, window = \"95s\" }", "rate(M[95s])", "< 0.05", (10, 10)),
    pair(FLAPS, "{ rate_above = 0.151, window = \"14s\" }", "rate(M[14s])", "> 0.151", (0, 0)),
    pair(OVERRUNS, "{ rate_above = 0, window = \"50s\" }", "rate(M[50s])", "> 0", (0, 0)),
    pair(OVERRUNS, "{ rate_above = 0.077, window = \"2m\" }", "rate(M[2m])", "> 0.077", (20, 20)),
    pair(ROWS, "{ rate_above = 0.013, window = \"60s\" }", "(delta(M[60s]) / 60)", "> 0.013", (0, 20)),
    pair(OF_PORT, "{ rate_below = -0.013, window = \"40s\" }", "(delta(M[40s]) / 40)", "< -0.013", (0, 0)),
    pair(ROWS, "{ absent = \"30s\" }", "absent_over_time(M[30s])", "", (0, 0)),
    pair(ROWS, "{ absent = \"50s\" }", "absent_over_time(M[50s])", "", (20, 30)),
    pair(OF_PORT, "{ anomaly = { z = 1.31, window = \"100s\", min_samples = 6 } }", "((M - avg_over_time(M[100s])) / stddev_over_time(M[100s]) and count_over_time(M[100s]) >= 6)", "ABS 1.31", (0, 10)),
    pair(ROWS, "{ anomaly = { z = 1.01, window = \"3m\", min_samples = 10, direction = \"below\" } }", "((M - avg_over_time(M[3m])) / stddev_over_time(M[3m]) and count_over_time(M[3m]) >= 10)", "< -1.01", (0, 0)),
    pair(OF_PORT, "{ trend = { above = 4.03, horizon = \"90s\", window = \"60s\" } }", "predict_linear(M[60s], 90)", "> 4.03", (10, 20)),
    pair(ROWS, "{ trend = { below = 0.53, horizon = \"30s\", window = \"95s\" } }", "predict_linear(M[95s], 30)", "< 0.53", (0, 0)),
    with("match = { db = \"STATE_DB\" }", pair("redis_up", "{ equals = 0 }", "sum(M{db=\"STATE_DB\"})", "== 0", (20, 0))),
    pair("redis_up", "{ below = 2.5 }", "sum(M)", "< 2.5", (0, 15)),
    with("match = { db = [\"APPL_DB\", \"STATE_DB\"] }", pair("redis_up", "{ below = 1.5 }", "sum(M{db=~\"APPL_DB|STATE_DB\"})", "< 1.5", (0, 0))),
    with("quantile = 0.9", pair(LATENCY, "{ above = 0.0123, window = \"60s\" }", "histogram_quantile(0.9, rate(M_bucket[60s]))", "> 0.0123", (10, 30))),
    with("quantile = 0.5", pair(LATENCY, "{ below = 0.00123, window = \"40s\" }", "histogram_quantile(0.5, rate(M_bucket[40s]))", "< 0.00123", (0, 0))),
];

impl Pair {
    fn rule(&self, number: usize) -> String {
        let Self { metric, condition, more, times: (hold, keep), .. } = self;
        format!(
            "[[rule]]\nname = \"R{number}\"\nmetric = \"{metric}\"\ncondition = {condition}\nseverity = \"info\"\n\
             for = \"{hold}s\"\nkeep_firing_for = \"{keep}s\"\n{more}\n"
        )
    }

    fn with_metric(&self, text: &str) -> String {
        text.replace('M', &format!("portsyncd_{}", self.metric))
    }

    /// The same for Prometheus.
    fn alert(&self, number: usize) -> Value {
        let value = self.with_metric(self.value);
        let expr = match self.test.strip_prefix("ABS ") {
            Some(bound) => format!("abs({value}) > {bound}"),
            None => format!("{value} {}", self.with_metric(self.test)),
        };
        let (hold, keep) = self.times;
        json!({ "alert": format!("R{number}"), "expr": expr, "for": format!("{hold}s"), "keep_firing_for": format!("{keep}s") })
    }

    /// Whether an absence is looked for, whose value is not the same.
    fn is_absence(&self) -> bool {
        self.value.starts_with("absent")
    }

    fn ports(&self) -> Vec<Option<&'static str>> {
        if self.metric.starts_with("port_") { PORTS.iter().copied().map(Some).collect() } else { vec![None] }
    }
}

/// A series with its labels and its values, `None` where there is none.
struct Series {
    metric: &'static str,
    labels: Vec<(&'static str, &'static str)>,
    values: Vec<Option<f64>>,
}

fn gauge(rng: &mut Rng) -> Vec<Option<f64>> {
    let mut value = f64::from(rng.u8(0..5));
    let mut gone = 0;
    let one = |_| {
        match rng.u8(0..10) {
            0..4 => value = f64::from(rng.u8(0..5)),
            4..6 => value = rng.f64() * 5.0,
            _ => {}
        }
        gone = if gone == 0 && rng.u8(0..12) == 0 { rng.u8(1..8) } else { u8::saturating_sub(gone, 1) };
        (gone == 0).then_some(value)
    };
    (0..LOOKS).map(one).collect()
}

fn counter(rng: &mut Rng) -> Vec<Option<f64>> {
    let (mut value, mut gone, mut quick) = (f64::from(rng.u8(0..3)) * 50.0, 0, false);
    let one = |_| {
        if rng.u8(0..8) == 0 {
            quick = !quick;
        }
        value += if quick { f64::from(rng.u8(0..5)) } else { f64::from(u8::from(rng.u8(0..6) == 0)) };
        if rng.u8(0..25) == 0 {
            value = f64::from(rng.u8(0..3));
        }
        gone = if gone == 0 && rng.u8(0..15) == 0 { rng.u8(1..10) } else { u8::saturating_sub(gone, 1) };
        (gone == 0).then_some(value)
    };
    (0..LOOKS).map(one).collect()
}

/// What a case consists of: series, and the durations that were observed before each look.
struct Case {
    series: Vec<Series>,
    durations: Vec<Vec<Duration>>,
}

fn case(rng: &mut Rng) -> Case {
    let mut series = Vec::new();
    for port in PORTS {
        series.push(Series { metric: OF_PORT, labels: vec![("port", port)], values: gauge(rng) });
        series.push(Series { metric: FLAPS, labels: vec![("port", port)], values: counter(rng) });
    }
    // That a metric never had a value yet is known by the engine only after a while.
    let mut rows = gauge(rng);
    rows[0] = rows[0].or(Some(1.0));
    series.push(Series { metric: ROWS, labels: vec![], values: rows });
    series.push(Series { metric: OVERRUNS, labels: vec![], values: counter(rng) });
    for db in ["APPL_DB", "CONFIG_DB", "STATE_DB"] {
        let values = gauge(rng).into_iter().map(|value| value.map(|value| f64::from(u8::from(value > 1.0)))).collect();
        series.push(Series { metric: "redis_up", labels: vec![("db", db)], values });
    }
    let mut typical = 100.0;
    let look = |_| {
        if rng.u8(0..6) == 0 {
            typical = 10.0_f64.powf(rng.f64() * 6.0);
        }
        (0..rng.u8(0..6)).map(|_| Duration::from_secs_f64(typical * (0.5 + rng.f64()) / 1e6)).collect()
    };
    Case { series, durations: (0..LOOKS).map(look).collect() }
}

impl Series {
    /// For promtool: a value that ends is stale from then on.
    fn notation(&self) -> String {
        let mut text = String::new();
        let mut there = false;
        for value in &self.values {
            match value {
                Some(value) => write!(text, "{value} ").unwrap(),
                None if there => text.push_str("stale "),
                None => text.push_str("_ "),
            }
            there = value.is_some();
        }
        text
    }

    fn name(&self) -> String {
        let labels: Vec<String> = self.labels.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
        format!("portsyncd_{}{{{}}}", self.metric, labels.join(","))
    }
}

/// How each rule's alerts stand at a look, with their values.
type Standing = Vec<(usize, Option<&'static str>, AlertState, Option<f64>)>;

/// What the engine says, look by look, and the buckets as Prometheus has them.
fn evaluate(case: &Case) -> (Vec<Standing>, Vec<Vec<u64>>) {
    let mut loader = Loader::with_any_sink();
    loader.file("oracle.toml", &RULES.iter().enumerate().map(|(number, pair)| pair.rule(number)).collect::<String>());
    let settings = Settings { evaluation_interval: Duration::from_secs(INTERVAL), ..Settings::default() };
    let mut engine = Engine::new(&loader.finish().unwrap(), settings);
    let histogram = Histogram::default();
    let mut buckets = vec![Vec::new(); BOUNDS.len() + 1];
    let mut looks = Vec::new();
    for look in 0..LOOKS {
        let mut snapshot = engine.snapshot();
        for series in &case.series {
            if let Some(value) = series.values[look] {
                let labels: Vec<_> = series.labels.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
                snapshot.put(series.metric, &labels, &Reading::Number(value));
            }
        }
        // The first sample has no observation: Prometheus would not know what came before.
        case.durations[look].iter().filter(|_| look > 0).for_each(|duration| histogram.observe(*duration));
        let distribution = histogram.distribution();
        let mut sum = 0;
        for (counts, count) in buckets.iter_mut().zip(distribution.buckets) {
            sum += count;
            counts.push(sum);
        }
        snapshot.put(LATENCY, &[], &Reading::Distribution(Box::new(distribution)));
        let monotonic = Duration::from_secs(INTERVAL * look as u64);
        engine.evaluate(&snapshot, Now { monotonic, wall: monotonic.as_secs_f64() });
        let standing = RULES.iter().enumerate().flat_map(|(number, pair)| {
            let engine = &engine;
            pair.ports().into_iter().map(move |port| {
                let name = port.and_then(|port| LinkName::new(port.as_bytes()));
                let (state, value) = engine.state_of(&format!("R{number}"), name.as_ref());
                (number, port, state, value)
            })
        });
        looks.push(standing.collect());
    }
    (looks, buckets)
}

/// A case as promtool has it, with what the engine says as what it should find.
fn test(case: &Case, values: bool) -> Value {
    let (looks, buckets) = evaluate(case);
    let mut series: Vec<Value> =
        case.series.iter().map(|series| json!({ "series": series.name(), "values": series.notation() })).collect();
    for (at, counts) in buckets.iter().enumerate() {
        let bound = BOUNDS.get(at).map_or("+Inf".to_owned(), |bound| {
            #[expect(clippy::cast_precision_loss, reason = "a second has few nanoseconds")]
            let seconds = *bound as f64 / 1e9;
            seconds.to_string()
        });
        let counts: Vec<String> = counts.iter().map(u64::to_string).collect();
        series.push(json!({
            "series": format!("portsyncd_{LATENCY}_bucket{{le=\"{bound}\"}}"),
            "values": counts.join(" "),
        }));
    }
    let mut queries = Vec::new();
    for (look, standing) in looks.iter().enumerate() {
        let at = format!("{}s", INTERVAL * look as u64);
        let alerts: Vec<Value> = standing
            .iter()
            .filter(|(_, _, state, _)| *state != AlertState::Inactive)
            .map(|(number, port, state, _)| {
                let port = port.map(|port| format!(", port=\"{port}\"")).unwrap_or_default();
                let labels = format!("ALERTS{{alertname=\"R{number}\", alertstate=\"{state}\"{port}}}");
                json!({ "labels": labels, "value": 1 })
            })
            .collect();
        queries.push(json!({ "expr": "ALERTS", "eval_time": at, "exp_samples": alerts }));
        for (number, port, _, value) in standing.iter().filter(|_| values) {
            let pair = &RULES[*number];
            if pair.is_absence() {
                continue;
            }
            let mut expr = pair.with_metric(pair.value);
            if let Some(port) = port {
                // Filtered ports have a value for the engine too, which it does not look at.
                if pair.value.contains("port=~") && !port.starts_with("Ethernet") {
                    continue;
                }
                expr = format!("({expr}) and on (port) label_replace(vector(1), \"port\", \"{port}\", \"\", \"\")");
            }
            let (expr, found) = match value {
                Some(value) => (
                    format!("sum(abs(({expr}) - ({value})) <= bool 1e-9 * (1 + {}))", value.abs()),
                    json!([{ "value": 1 }]),
                ),
                // What is no number is no value.
                None => (format!("count(({expr}) == ({expr}))"), json!([])),
            };
            queries.push(json!({ "expr": expr, "eval_time": at, "exp_samples": found }));
        }
    }
    json!({ "interval": format!("{INTERVAL}s"), "input_series": series, "promql_expr_test": queries })
}

#[test]
#[ignore = "needs promtool"]
fn prometheus_finds_the_same_states_and_values() {
    let temp = tempfile::tempdir().unwrap();
    let alerts: Vec<Value> = RULES.iter().enumerate().map(|(number, pair)| pair.alert(number)).collect();
    // JSON is YAML as well.
    let rules = json!({ "groups": [{ "name": "oracle", "interval": format!("{INTERVAL}s"), "rules": alerts }] });
    std::fs::write(temp.path().join("rules.yaml"), rules.to_string()).unwrap();
    let cases: Vec<Value> =
        (0..CASES).map(|seed| test(&case(&mut Rng::with_seed(seed)), seed < CASES_WITH_VALUES)).collect();
    let fired = cases.iter().map(|case| case.to_string().matches("\\\"firing\\\"").count()).sum::<usize>();
    assert!(fired > 1000, "only {fired} looks at which an alert fires: this compares nothing");
    let file = json!({ "rule_files": ["rules.yaml"], "evaluation_interval": format!("{INTERVAL}s"), "tests": cases });
    let path = temp.path().join("test.yaml");
    std::fs::write(&path, file.to_string()).unwrap();
    let output = Command::new("promtool").args(["test", "rules"]).arg(&path).output();
    let output = output.expect("promtool is needed: apt-get install prometheus");
    let text = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    assert!(output.status.success(), "{}", text.lines().take(60).collect::<Vec<_>>().join("\n"));
}
