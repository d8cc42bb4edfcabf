//! All values in Prometheus' text format, families in the order of their names.
//!
//! The lines are made by metrics-exporter-prometheus' own functions. Its recorder is used for the process's metrics alone: it has
//! no order, and its histograms keep each sample until the next scrape, which the hot path must not pay for.

use std::collections::{BTreeMap, HashMap};

use indexmap::IndexMap;
use metrics::{Key, Label};
use metrics_exporter_prometheus::formatting::{write_help_line, write_metric_line, write_type_line};
use metrics_exporter_prometheus::{LabelSet, PrometheusBuilder};

use super::collector::Reader;
use super::openmetrics;
use crate::clock::seconds;
use crate::telemetry::catalog::{Metric, MetricKind};
use crate::telemetry::value::{BOUNDS, Distribution, Reading};

/// The text of `/metrics`.
pub fn expose(reader: &Reader) -> String {
    let mut families = process_families();
    reader.values(&mut |metric, value| {
        let name = metric.full_name();
        let labels: Vec<Label> = value.labels.into_iter().map(|(label, value)| Label::new(label, value)).collect();
        let labels = LabelSet::from_key_and_global(&Key::from_parts(name.clone(), labels), &IndexMap::default());
        let text = families.entry(name.clone()).or_insert_with(|| heading(metric, &name));
        match value.reading {
            Reading::Number(number) => write_number(text, metric.kind, &name, &labels, number),
            Reading::Distribution(distribution) => write_histogram(text, &name, &labels, &distribution),
        }
    });
    families.into_values().collect::<Vec<_>>().join("\n")
}

/// The same in `OpenMetrics`' format.
pub fn expose_openmetrics(reader: &Reader) -> String {
    let cells = reader.telemetry().ports.cells();
    let last: HashMap<String, (u64, bool)> =
        cells.iter().filter_map(|cell| Some((cell.name().to_string(), *cell.history().last()?))).collect();
    let last_change = |port: &str| last.get(port).map(|(at, up)| (seconds(*at), *up));
    openmetrics::convert(&expose(reader), &last_change, &reader.telemetry().slow_rows.last())
}

/// The process's own metrics, by name.
fn process_families() -> BTreeMap<String, String> {
    let recorder = PrometheusBuilder::new().build_recorder();
    let process = metrics_process::Collector::default();
    metrics::with_local_recorder(&recorder, || {
        process.describe();
        process.collect();
    });
    let text = recorder.handle().render();
    let families = text.split("\n\n").map(str::trim).filter(|family| !family.is_empty());
    // `# HELP <name> …`
    families.filter_map(|family| Some((family.split(' ').nth(2)?.to_owned(), format!("{family}\n")))).collect()
}

fn heading(metric: &Metric, name: &str) -> String {
    let mut text = String::new();
    write_help_line(&mut text, name, None, None, metric.help);
    write_type_line(&mut text, name, None, None, metric.kind.name());
    text
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counters are whole numbers")]
fn write_number(text: &mut String, kind: MetricKind, name: &str, labels: &LabelSet, number: f64) {
    match kind {
        MetricKind::Counter => write_metric_line::<&str, _>(text, name, None, labels, None, number as u64, None),
        MetricKind::Gauge | MetricKind::Histogram => {
            write_metric_line::<&str, _>(text, name, None, labels, None, number, None);
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "bounds in nanoseconds")]
fn write_histogram(text: &mut String, name: &str, labels: &LabelSet, distribution: &Distribution) {
    let mut count = 0;
    for (bucket, bound) in distribution.buckets.iter().zip(BOUNDS) {
        count += bucket;
        write_metric_line(text, name, Some("bucket"), labels, Some(("le", bound as f64 / 1e9)), count, None);
    }
    let count = distribution.count();
    write_metric_line(text, name, Some("bucket"), labels, Some(("le", "+Inf")), count, None);
    write_metric_line::<&str, _>(text, name, Some("sum"), labels, None, distribution.seconds, None);
    write_metric_line::<&str, _>(text, name, Some("count"), labels, None, count, None);
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::Ordering;
    use std::time::Duration;

    use super::*;
    use crate::config::HealthConfig;
    use crate::link::LinkName;
    use crate::telemetry::Telemetry;
    use crate::telemetry::catalog::catalog;
    use crate::telemetry::labels::{Db, LinkKind};
    use crate::telemetry::observe::PortObserver;

    /// Of a daemon that knows everything.
    fn reader(telemetry: &Arc<Telemetry>, limit: usize) -> Reader {
        PortObserver::new(Arc::clone(telemetry)).awaited(std::iter::empty());
        telemetry.moments.resync_ms.store(1, Ordering::Relaxed);
        telemetry.metrics.netlink_receive_buffer.set((), 1.0);
        for db in [Db::Appl, Db::Config, Db::State] {
            telemetry.metrics.redis_up.set(db, 1.0);
            telemetry.metrics.redis_notifications.set(db, 1.0);
        }
        telemetry.metrics.pending_rows.set((), 0.0);
        telemetry.metrics.config_last_reload_successful.set((), 1.0);
        telemetry.metrics.config_last_reload_success_timestamp.set((), 1.0);
        telemetry.metrics.state_file_lost.set((), 0.0);
        telemetry.metrics.http_connections.set((), 0.0);
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
        for metric in catalog()
            .into_iter()
            .filter(|metric| !["alerts", "notifications_total", "rules_wrong"].contains(&metric.name))
        {
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
    fn nothing_has_a_value_before_it_is_known() {
        let telemetry = Arc::new(Telemetry::default());
        let mut observer = PortObserver::new(Arc::clone(&telemetry));
        let name = LinkName::new(b"Ethernet0").unwrap();
        let other = LinkName::new(b"Ethernet4").unwrap();
        observer.waiting(name);
        let text = expose(&Reader::new(Arc::clone(&telemetry), 10, HealthConfig::default()));
        for metric in [
            "port_oper_up",
            "port_down",
            "ports",
            "ports_out_of_step",
            "ports_awaited",
            "redis_up",
            "last_resync_timestamp_seconds",
            "netlink_receive_buffer_bytes",
            "state_file_lost",
        ] {
            let value = text.lines().find(|line| {
                line.strip_prefix(&format!("portsyncd_{metric}")).is_some_and(|rest| rest.starts_with(['{', ' ']))
            });
            assert_eq!(value, None);
        }
        let reader = reader(&telemetry, 10);
        observer.awaited([b"Ethernet0".as_slice(), b"Ethernet4"].into_iter());
        observer.wanted(other, (true, false, 9100), 7.into(), true);
        let text = expose(&reader);
        assert!(text.contains("portsyncd_port_oper_up{port=\"Ethernet4\"} 0\n"), "{text}");
        assert!(!text.contains("portsyncd_port_oper_up{port=\"Ethernet0\"}"), "the kernel has not said: {text}");
        assert!(text.contains("portsyncd_ports{state=\"waiting\"} 1\n"), "{text}");
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
