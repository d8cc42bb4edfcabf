//! The samples of one moment, as far as rules look at them.
//!
//! Whoever fills one may offer every value there is: what no rule looks at is passed over. A metric that has no value at the
//! moment, or a port that is not there, is simply not put in.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::plan::{Input, Inputs};
use crate::alert::rules::metric_ref::MetricId;
use crate::link::LinkName;
use crate::status::values::Value;
use crate::telemetry::catalog::Metric;
use crate::telemetry::value::{Distribution, Reading};

/// See the module. Made by [`Engine::snapshot`](super::Engine::snapshot).
#[derive(Debug, Default)]
pub struct Snapshot {
    pub(in crate::alert) inputs: Arc<Inputs>,
    pub(in crate::alert) ports: Vec<LinkName>,
    index: HashMap<LinkName, u32, RandomState>,
    pub(in crate::alert) values: Vec<Values>,
}

#[derive(Debug)]
pub(in crate::alert) enum Values {
    /// NaN: nothing.
    One(f64),
    /// In the order of the snapshot's ports, as far as they have a value.
    Ports(Vec<f64>),
    Durations(Option<Box<Distribution>>),
}

impl Snapshot {
    pub(in crate::alert) fn new(inputs: Arc<Inputs>) -> Self {
        let mut snapshot = Self { inputs, ..Self::default() };
        snapshot.values = snapshot.inputs.all.iter().map(empty).collect();
        snapshot
    }

    /// Empty again, its memory kept.
    pub(in crate::alert) fn clear(&mut self) {
        self.ports.clear();
        self.index.clear();
        for values in &mut self.values {
            match values {
                Values::One(number) => *number = f64::NAN,
                Values::Ports(numbers) => numbers.clear(),
                Values::Durations(durations) => *durations = None,
            }
        }
    }

    /// Whether any rule looks at the metric, so that values need not be made for nothing.
    pub fn wants(&self, metric: &str) -> bool {
        self.inputs.by_name.contains_key(metric)
    }

    /// Takes a value as [`Reader`](crate::status::collector::Reader) gives it.
    pub fn take(&mut self, metric: &Metric, value: &Value) {
        self.put(metric.name, &value.labels, &value.reading);
    }

    /// Takes one value of a metric with its labels, `port` among them where it is of ports.
    pub fn put(&mut self, metric: &str, labels: &[(&'static str, String)], reading: &Reading) {
        let inputs = Arc::clone(&self.inputs);
        let Some(wanting) = inputs.by_name.get(metric) else { return };
        let port =
            labels.iter().find(|(label, _)| *label == "port").and_then(|(_, name)| LinkName::new(name.as_bytes()));
        for number in wanting {
            if !matches(&inputs.all[*number], labels) {
                continue;
            }
            match (reading, port) {
                (Reading::Number(value), Some(port)) => self.put_at(*number, port, *value),
                (Reading::Number(value), None) => {
                    if let Values::One(sum) = &mut self.values[*number] {
                        *sum = if sum.is_nan() { *value } else { *sum + value };
                    }
                }
                (Reading::Distribution(value), _) => {
                    if let Values::Durations(durations) = &mut self.values[*number] {
                        *durations = Some(value.clone());
                    }
                }
            }
        }
    }

    /// Takes the value of a metric of ports whose only label is the port.
    pub fn put_port(&mut self, metric: &str, port: LinkName, value: f64) {
        let inputs = Arc::clone(&self.inputs);
        for number in inputs.by_name.get(metric).into_iter().flatten() {
            self.put_at(*number, port, value);
        }
    }

    fn put_at(&mut self, number: usize, port: LinkName, value: f64) {
        let at = *self.index.entry(port).or_insert_with(|| {
            self.ports.push(port);
            u32::try_from(self.ports.len() - 1).unwrap_or(u32::MAX)
        }) as usize;
        let Values::Ports(values) = &mut self.values[number] else { return };
        if values.len() <= at {
            values.resize(at + 1, f64::NAN);
        }
        values[at] = if values[at].is_nan() { value } else { values[at] + value };
    }
}

fn empty(input: &Input) -> Values {
    let metric: MetricId = input.metric;
    if metric.is_histogram() {
        Values::Durations(None)
    } else if metric.is_of_ports() {
        Values::Ports(Vec::new())
    } else {
        Values::One(f64::NAN)
    }
}

fn matches(input: &Input, labels: &[(&'static str, String)]) -> bool {
    input.matching.iter().all(|(label, wanted)| {
        labels.iter().any(|(name, value)| **name == **label && wanted.iter().any(|wanted| **wanted == **value))
    })
}
