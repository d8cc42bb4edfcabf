//! The same in `OpenMetrics`' format. Exemplars: of each port's flaps the time of the last one, of the latency's slow buckets a port
//! whose row took that long.

use super::yielding::giving_way;
use crate::clock::seconds;
use crate::telemetry::slow_rows::SlowRow;

/// What Prometheus has to be told that this is.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Of each port, when it last went up or down, as Unix time, and whether it is up since.
pub type LastChange<'a> = &'a dyn Fn(&str) -> Option<(f64, bool)>;

/// From Prometheus' text format.
pub fn convert(text: &str, last_change: LastChange<'_>, slow_rows: &[SlowRow]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut below = 0.0;
    for line in giving_way(text.lines().filter(|line| !line.is_empty())) {
        if let Some((kind, name, rest)) = comment(line) {
            // A family of counters goes without the suffix that its samples have; help is escaped as labels are.
            let family = name.strip_suffix("_total").unwrap_or(name);
            out.push_str(&format!("# {kind} {family} {}\n", rest.replace('"', "\\\"")));
            continue;
        }
        out.push_str(line);
        if let Some((at, up)) = flapping_port(line).and_then(last_change) {
            let oper = if up { "up" } else { "down" };
            out.push_str(&format!(" # {{oper=\"{oper}\"}} 1 {at}"));
        }
        if let Some(bound) = latency_bucket(line) {
            let is_here = |row: &&SlowRow| below < row.latency.as_secs_f64() && row.latency.as_secs_f64() <= bound;
            if let Some(SlowRow { port, latency, at_ms }) = slow_rows.iter().find(is_here) {
                out.push_str(&format!(" # {{port=\"{port}\"}} {} {}", latency.as_secs_f64(), seconds(*at_ms)));
            }
            below = bound;
        }
        out.push('\n');
    }
    out.push_str("# EOF\n");
    out
}

fn comment(line: &str) -> Option<(&str, &str, &str)> {
    let (kind, rest) = line.strip_prefix("# ")?.split_once(' ')?;
    let (name, rest) = rest.split_once(' ')?;
    Some((kind, name, rest))
}

/// The upper bound of a bucket.
fn latency_bucket(line: &str) -> Option<f64> {
    let (bound, _) = line.strip_prefix("portsyncd_event_latency_seconds_bucket{le=\"")?.split_once("\"}")?;
    bound.parse().ok()
}

fn flapping_port(line: &str) -> Option<&str> {
    let (port, _) = line.strip_prefix("portsyncd_port_flaps_total{port=\"")?.split_once("\"}")?;
    Some(port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_lose_the_suffix_and_flaps_have_their_time() {
        let text = "# HELP portsyncd_port_flaps_total Flaps of \"a\" port\n# TYPE portsyncd_port_flaps_total counter\n\
                    portsyncd_port_flaps_total{port=\"Ethernet0\"} 3\nportsyncd_port_flaps_total{port=\"Ethernet4\"} 0\n\n\
                    # HELP portsyncd_up Up\n# TYPE portsyncd_up gauge\nportsyncd_up 1\n\n";
        let last_change = |port: &str| (port == "Ethernet0").then_some((1_795_549_012.25, false));
        assert_eq!(
            convert(text, &last_change, &[]),
            "# HELP portsyncd_port_flaps Flaps of \\\"a\\\" port\n# TYPE portsyncd_port_flaps counter\n\
             portsyncd_port_flaps_total{port=\"Ethernet0\"} 3 # {oper=\"down\"} 1 1795549012.25\n\
             portsyncd_port_flaps_total{port=\"Ethernet4\"} 0\n\
             # HELP portsyncd_up Up\n# TYPE portsyncd_up gauge\nportsyncd_up 1\n# EOF\n"
        );
    }

    #[test]
    fn a_slow_bucket_names_the_port_that_was_last_in_it() {
        let name = |text: &[u8]| crate::link::LinkName::new(text).unwrap();
        let row = |port, ms| SlowRow { port, latency: std::time::Duration::from_millis(ms), at_ms: 1_795_549_012_250 };
        let rows = [row(name(b"Ethernet4"), 30), row(name(b"Ethernet0"), 40), row(name(b"Ethernet8"), 2000)];
        let text = "portsyncd_event_latency_seconds_bucket{le=\"0.025\"} 1\nportsyncd_event_latency_seconds_bucket{le=\"0.05\"} 3\n\
                    portsyncd_event_latency_seconds_bucket{le=\"+Inf\"} 4\n";
        assert_eq!(
            convert(text, &|_| None, &rows),
            "portsyncd_event_latency_seconds_bucket{le=\"0.025\"} 1\n\
             portsyncd_event_latency_seconds_bucket{le=\"0.05\"} 3 # {port=\"Ethernet4\"} 0.03 1795549012.25\n\
             portsyncd_event_latency_seconds_bucket{le=\"+Inf\"} 4 # {port=\"Ethernet8\"} 2 1795549012.25\n# EOF\n"
        );
    }
}
