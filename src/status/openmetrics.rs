//! The same in `OpenMetrics`' format, with the time of each port's last flap as an exemplar.

use super::yielding::giving_way;

/// What Prometheus has to be told that this is.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Of each port, when it last went up or down, as Unix time, and whether it is up since.
pub type LastChange<'a> = &'a dyn Fn(&str) -> Option<(f64, bool)>;

/// From Prometheus' text format.
pub fn convert(text: &str, last_change: LastChange<'_>) -> String {
    let mut out = String::with_capacity(text.len());
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
            convert(text, &last_change),
            "# HELP portsyncd_port_flaps Flaps of \\\"a\\\" port\n# TYPE portsyncd_port_flaps counter\n\
             portsyncd_port_flaps_total{port=\"Ethernet0\"} 3 # {oper=\"down\"} 1 1795549012.25\n\
             portsyncd_port_flaps_total{port=\"Ethernet4\"} 0\n\
             # HELP portsyncd_up Up\n# TYPE portsyncd_up gauge\nportsyncd_up 1\n# EOF\n"
        );
    }
}
