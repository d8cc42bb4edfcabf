//! The samples of one moment, as far as rules look at them.
//!
//! Whoever fills one may offer every value there is: what no rule looks at is passed over. A metric that has no value at the
//! moment, or a port that is not there, is simply not put in.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::selector::Selectors;
use crate::alert::rules::metric_ref::MetricRef;
use crate::link::LinkName;
use crate::status::values::Value;
use crate::telemetry::catalog::Metric;
use crate::telemetry::value::{Distribution, Reading};

/// See the module. Made by [`Engine::snapshot`](super::Engine::snapshot).
#[derive(Debug)]
pub struct Snapshot {
    pub(in crate::alert) selectors: Arc<Selectors>,
    pub(in crate::alert) ports: Vec<LinkName>,
    index: HashMap<LinkName, usize, RandomState>,
    /// For each selector.
    pub(in crate::alert) samples: Vec<Samples>,
    /// What has no value has none; else it may not be known yet.
    pub(in crate::alert) complete: bool,
}

/// What there is of a selector's series.
#[derive(Debug)]
pub(in crate::alert) enum Samples {
    /// NaN: nothing.
    One(f64),
    /// In the order of the snapshot's ports, as far as they have a value.
    Ports(Vec<f64>),
    Durations(Option<Box<Distribution>>),
}

impl Snapshot {
    pub(in crate::alert) fn new(selectors: Arc<Selectors>) -> Self {
        let none = |metric: MetricRef| match metric.is_histogram() {
            true => Samples::Durations(None),
            false if metric.is_of_ports() => Samples::Ports(Vec::new()),
            false => Samples::One(f64::NAN),
        };
        let samples = selectors.all.iter().map(|selector| none(selector.metric)).collect();
        Self { selectors, ports: Vec::new(), index: HashMap::default(), samples, complete: true }
    }

    /// Says whether all values are known that there are.
    pub fn set_complete(&mut self, complete: bool) {
        self.complete = complete;
    }

    /// Whether any rule looks at the metric, so that values need not be made for nothing.
    pub fn wants(&self, metric: &str) -> bool {
        self.selectors.by_metric.contains_key(metric)
    }

    /// Takes a value as [`Reader`](crate::status::collector::Reader) gives it.
    pub fn take(&mut self, metric: &Metric, value: &Value) {
        self.put(metric.name, &value.labels, &value.reading);
    }

    /// Takes one value of a metric with its labels, `port` among them where it is of ports.
    pub fn put(&mut self, metric: &str, labels: &[(&'static str, String)], reading: &Reading) {
        let selectors = Arc::clone(&self.selectors);
        let port =
            labels.iter().find(|(label, _)| *label == "port").and_then(|(_, name)| LinkName::new(name.as_bytes()));
        for number in selectors.of(metric).filter(|number| selectors.all[*number].matches(labels)) {
            match (reading, port, &mut self.samples[number]) {
                (Reading::Number(value), Some(port), _) => self.put_at(number, port, *value),
                (Reading::Number(value), None, Samples::One(sum)) => add(sum, *value),
                (Reading::Distribution(value), _, Samples::Durations(durations)) => *durations = Some(value.clone()),
                _ => {}
            }
        }
    }

    /// Takes the value of a metric of ports whose only label is the port.
    pub fn put_port(&mut self, metric: &str, port: LinkName, value: f64) {
        let selectors = Arc::clone(&self.selectors);
        selectors.of(metric).for_each(|number| self.put_at(number, port, value));
    }

    fn put_at(&mut self, number: usize, port: LinkName, value: f64) {
        let at = *self.index.entry(port).or_insert_with(|| {
            self.ports.push(port);
            self.ports.len() - 1
        });
        let Samples::Ports(values) = &mut self.samples[number] else { return };
        if values.len() <= at {
            values.resize(at + 1, f64::NAN);
        }
        add(&mut values[at], value);
    }
}

fn add(sum: &mut f64, value: f64) {
    *sum = if sum.is_nan() { value } else { *sum + value };
}
