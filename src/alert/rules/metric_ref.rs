//! The catalogue of metrics as rules see it: a rule is bound to a row of it when it is read.

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::nearest::nearest;
use crate::telemetry::catalog::{self, Metric, MetricKind, Metrics, PREFIX};
use crate::telemetry::readiness::{COMPONENTS, Component};

/// A row of the catalogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MetricRef(u16);

struct Catalogue {
    metrics: Vec<Metric>,
    ids: HashMap<&'static str, MetricRef>,
    /// The values that each label of a metric can have, where they are known beforehand.
    values: HashMap<&'static str, Vec<Vec<&'static str>>>,
}

static CATALOGUE: LazyLock<Catalogue> = LazyLock::new(|| {
    // Process metrics are read by the exporter from /proc, not by the reader that samples come from.
    let metrics: Vec<Metric> =
        catalog::catalog().into_iter().filter(|metric| !metric.name.starts_with("process_")).collect();
    let id = |(at, metric): (usize, &Metric)| Some((metric.name, MetricRef(u16::try_from(at).ok()?)));
    let ids = metrics.iter().enumerate().filter_map(id).collect();
    let mut values: HashMap<&'static str, Vec<Vec<&'static str>>> = HashMap::new();
    Metrics::default().each(&mut |metric, family| {
        let known = values.entry(metric.name).or_insert_with(|| vec![Vec::new(); metric.labels.len()]);
        family.read(&mut |labels, _| {
            for (known, value) in known.iter_mut().zip(labels) {
                if !known.contains(value) {
                    known.push(value);
                }
            }
        });
    });
    values.insert(catalog::PORTS.name, vec![catalog::PORT_STATES.to_vec()]);
    values.insert(catalog::INITIAL_SYNC_HISTORY.name, vec![catalog::START_STATS.to_vec()]);
    values.insert(catalog::COMPONENT_READY.name, vec![COMPONENTS.map(Component::name).to_vec()]);
    Catalogue { metrics, ids, values }
});

impl MetricRef {
    /// Finds a metric by its name without [`PREFIX`]; else says what would be right.
    pub fn find(name: &str) -> Result<Self, String> {
        if let Some(id) = CATALOGUE.ids.get(name) {
            return Ok(*id);
        }
        if let Some(bare) = name.strip_prefix(PREFIX).filter(|bare| CATALOGUE.ids.contains_key(bare)) {
            return Err(format!("without {PREFIX}: {bare:?}"));
        }
        if name.starts_with("process_") {
            return Err(
                "what every process has is for Prometheus; rules see what `portsyncd metrics` lists before".to_owned()
            );
        }
        let meant = nearest(name, CATALOGUE.ids.keys().copied());
        Err(format!("no such metric{meant}; `portsyncd metrics` lists them"))
    }

    pub fn metric(self) -> &'static Metric {
        &CATALOGUE.metrics[usize::from(self.0)]
    }

    /// Its name, without [`PREFIX`].
    pub fn name(self) -> &'static str {
        self.metric().name
    }

    /// Whether each port has its own value.
    pub fn is_of_ports(self) -> bool {
        self.metric().labels.contains(&"port")
    }

    pub(in crate::alert) fn is_counter(self) -> bool {
        self.metric().kind == MetricKind::Counter
    }

    pub(in crate::alert) fn is_histogram(self) -> bool {
        self.metric().kind == MetricKind::Histogram
    }

    /// The values of a label, if they are known beforehand.
    pub(in crate::alert) fn values(self, label: &str) -> Option<&'static [&'static str]> {
        let at = self.metric().labels.iter().position(|known| *known == label)?;
        let known = CATALOGUE.values.get(self.name())?.get(at)?;
        (!known.is_empty()).then_some(known)
    }
}
