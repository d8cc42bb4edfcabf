//! All values in Prometheus' text format.
//!
//! The recorder of metrics-exporter-prometheus does the writing: one is made for each scrape, filled, rendered and dropped,
//! so that a port that went leaves no series behind and nothing is held between scrapes. Its histograms keep each sample
//! until the next scrape, which the hot path must not pay for; ours are counted in buckets from the beginning, and their
//! lines are made by the exporter's own functions.

use std::collections::{BTreeMap, HashMap};

use indexmap::IndexMap;
use metrics::{Key, KeyName, Label, Level, Metadata, Recorder};
use metrics_exporter_prometheus::formatting::{write_help_line, write_metric_line, write_type_line};
use metrics_exporter_prometheus::{LabelSet, PrometheusBuilder, PrometheusRecorder};

use super::collector::Reader;
use super::openmetrics;
use crate::clock::seconds;
use crate::telemetry::catalog::{Metric, MetricKind};
use crate::telemetry::value::{BOUNDS, Distribution, Reading};

const METADATA: Metadata<'static> = Metadata::new(module_path!(), Level::INFO, None);

/// The text of `/metrics`.
pub fn expose(reader: &Reader) -> String {
    let recorder = PrometheusBuilder::new().build_recorder();
    let mut histograms = String::new();
    let mut described = "";
    reader.values(&mut |metric, value| {
        let name = metric.full_name();
        let labels: Vec<Label> = value.labels.into_iter().map(|(label, value)| Label::new(label, value)).collect();
        let key = Key::from_parts(name.clone(), labels);
        match value.reading {
            Reading::Number(number) => {
                if described != metric.name {
                    describe(&recorder, metric, name);
                }
                set(&recorder, metric.kind, &key, number);
            }
            Reading::Distribution(distribution) => write_histogram(&mut histograms, metric, &name, &key, &distribution),
        }
        described = metric.name;
    });
    let process = metrics_process::Collector::default();
    metrics::with_local_recorder(&recorder, || {
        process.describe();
        process.collect();
    });
    sorted(&(recorder.handle().render() + &histograms))
}

/// The same in `OpenMetrics`' format.
pub fn expose_openmetrics(reader: &Reader) -> String {
    let cells = reader.telemetry().ports.cells();
    let last: HashMap<String, (u64, bool)> =
        cells.iter().filter_map(|cell| Some((cell.name().to_string(), *cell.history().last()?))).collect();
    openmetrics::convert(&expose(reader), &|port| last.get(port).map(|(at, up)| (seconds(*at), *up)))
}

/// Families by name and their samples likewise, so that two scrapes can be compared by eye; the buckets of a histogram stay in
/// their order.
fn sorted(text: &str) -> String {
    let families = text.split("\n\n").map(str::trim_start).filter(|family| !family.is_empty());
    let name = |family: &str| family.split(' ').nth(2).unwrap_or_default().to_owned();
    let families: BTreeMap<String, &str> = families.map(|family| (name(family), family)).collect();
    let mut out = String::with_capacity(text.len());
    for family in families.into_values() {
        let (comments, mut samples): (Vec<&str>, Vec<&str>) = family.lines().partition(|line| line.starts_with('#'));
        if !comments.iter().any(|line| line.ends_with(" histogram")) {
            samples.sort_unstable();
        }
        for line in comments.into_iter().chain(samples) {
            out.push_str(line);
            out.push('\n');
        }
        out.push('\n');
    }
    out
}

fn describe(recorder: &PrometheusRecorder, metric: &Metric, name: String) {
    let name = KeyName::from(name);
    match metric.kind {
        MetricKind::Counter => recorder.describe_counter(name, None, metric.help.into()),
        MetricKind::Gauge | MetricKind::Histogram => recorder.describe_gauge(name, None, metric.help.into()),
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counters are whole numbers")]
fn set(recorder: &PrometheusRecorder, kind: MetricKind, key: &Key, number: f64) {
    match kind {
        MetricKind::Counter => recorder.register_counter(key, &METADATA).absolute(number as u64),
        MetricKind::Gauge | MetricKind::Histogram => recorder.register_gauge(key, &METADATA).set(number),
    }
}

#[expect(clippy::cast_precision_loss, reason = "bounds in nanoseconds")]
fn write_histogram(text: &mut String, metric: &Metric, name: &str, key: &Key, distribution: &Distribution) {
    let labels = LabelSet::from_key_and_global(key, &IndexMap::default());
    write_help_line(text, name, None, None, metric.help);
    write_type_line(text, name, None, None, metric.kind.name());
    let mut count = 0;
    for (bucket, bound) in distribution.buckets.iter().zip(BOUNDS) {
        count += bucket;
        write_metric_line(text, name, Some("bucket"), &labels, Some(("le", bound as f64 / 1e9)), count, None);
    }
    let count = distribution.count();
    write_metric_line(text, name, Some("bucket"), &labels, Some(("le", "+Inf")), count, None);
    write_metric_line::<&str, _>(text, name, Some("sum"), &labels, None, distribution.seconds, None);
    write_metric_line::<&str, _>(text, name, Some("count"), &labels, None, count, None);
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::config::HealthConfig;
    use crate::link::LinkName;
    use crate::telemetry::Telemetry;
    use crate::telemetry::catalog::catalog;
    use crate::telemetry::labels::LinkKind;
    use crate::telemetry::observe::PortObserver;

    fn reader(telemetry: &Arc<Telemetry>, limit: usize) -> Reader {
        Reader::new(Arc::clone(telemetry), limit, HealthConfig::default())
    }

    #[test]
    fn every_metric_of_the_catalogue_is_described_and_has_a_value() {
        let telemetry = Arc::new(Telemetry::default());
        let mut observer = PortObserver::new(Arc::clone(&telemetry));
        observer.wanted(LinkName::new(b"Ethernet0").unwrap(), (true, true, 9100), 7.into(), true);
        telemetry.starts.restore(&[1.0]);
        let text = expose(&reader(&telemetry, 10));
        // Only alerting knows rules and sinks.
        for metric in catalog().into_iter().filter(|metric| !["alerts", "notifications_total"].contains(&metric.name)) {
            let name = metric.full_name();
            assert!(text.contains(&format!("# HELP {name} {}\n", metric.help)), "{name} is not described:\n{text}");
            assert!(text.contains(&format!("# TYPE {name} {}\n", metric.kind.name())), "{name}:\n{text}");
            let value = |line: &&str| line.starts_with(&name) && !line.starts_with('#');
            assert!(text.lines().any(|line| value(&line)), "{name} has no value");
        }
        assert!(text.contains("portsyncd_port_oper_up{port=\"Ethernet0\"} 1\n"), "{text}");
    }

    #[test]
    fn a_histogram_has_growing_buckets_and_a_sum() {
        let telemetry = Arc::new(Telemetry::default());
        for micros in [15, 15, 4000] {
            telemetry.metrics.event_latency.observe(Duration::from_micros(micros));
        }
        telemetry.metrics.event_latency.observe(Duration::from_secs(2));
        let text = expose(&reader(&telemetry, 10));
        for line in [
            "portsyncd_event_latency_seconds_bucket{le=\"0.00001\"} 0",
            "portsyncd_event_latency_seconds_bucket{le=\"0.00002\"} 2",
            "portsyncd_event_latency_seconds_bucket{le=\"0.005\"} 3",
            "portsyncd_event_latency_seconds_bucket{le=\"1\"} 3",
            "portsyncd_event_latency_seconds_bucket{le=\"+Inf\"} 4",
            "portsyncd_event_latency_seconds_sum 2.00403",
            "portsyncd_event_latency_seconds_count 4",
        ] {
            assert!(text.lines().any(|other| other == line), "{line}:\n{text}");
        }
    }

    #[test]
    fn ports_beyond_the_limit_are_summed() {
        let telemetry = Arc::new(Telemetry::default());
        let mut observer = PortObserver::new(Arc::clone(&telemetry));
        for port in 0..5u32 {
            let name = LinkName::new(format!("Ethernet{port}").as_bytes()).unwrap();
            for up in [true, false, true] {
                observer.wanted(name, (true, up, 9100), port.into(), true);
            }
        }
        telemetry.metrics.link_events.add(LinkKind::New, 15);
        let text = expose(&reader(&telemetry, 2));
        assert_eq!(text.lines().filter(|line| line.starts_with("portsyncd_port_flaps_total{")).count(), 2, "{text}");
        assert!(
            text.contains("portsyncd_ports_unlisted 3\n") && text.contains("portsyncd_port_flaps_unlisted_total 6\n"),
            "{text}"
        );
        assert!(text.contains("portsyncd_link_events_total{kind=\"new\"} 15\n"), "{text}");
        assert!(text.contains("portsyncd_ports{state=\"up\"} 5\n"), "{text}");
    }

    #[test]
    fn sub_interfaces_take_no_place_of_the_limit() {
        let telemetry = Arc::new(Telemetry::default());
        let mut observer = PortObserver::new(Arc::clone(&telemetry));
        for (ifindex, name) in (1u32..).zip(["Ethernet0.10", "Ethernet0.20", "Ethernet0", "Ethernet4"]) {
            observer.wanted(LinkName::new(name.as_bytes()).unwrap(), (true, true, 9100), ifindex.into(), true);
        }
        let text = expose(&reader(&telemetry, 2));
        for port in ["Ethernet0", "Ethernet4"] {
            assert!(text.contains(&format!("portsyncd_port_oper_up{{port=\"{port}\"}} 1\n")), "{text}");
        }
        assert!(!text.contains("Ethernet0.") && text.contains("portsyncd_ports_unlisted 0\n"), "{text}");
        assert!(text.contains("portsyncd_ports{state=\"up\"} 2\n"), "{text}");
    }

    #[test]
    fn a_port_that_went_has_no_series() {
        let telemetry = Arc::new(Telemetry::default());
        let mut observer = PortObserver::new(Arc::clone(&telemetry));
        let name = LinkName::new(b"Ethernet0").unwrap();
        observer.wanted(name, (true, true, 9100), 7.into(), true);
        let reader = reader(&telemetry, 10);
        assert!(expose(&reader).contains("Ethernet0"));
        observer.removed(name);
        assert!(!expose(&reader).contains("Ethernet0"));
    }
}
