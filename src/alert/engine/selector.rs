//! Which series rules look at, as Prometheus' vector selectors choose them.

use std::collections::HashMap;

use crate::alert::rules::metric_ref::MetricRef;
use crate::alert::rules::rule::{LabelMatchers, Quantile};

/// A metric, and which of its series are summed.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::alert) struct Selector {
    pub metric: MetricRef,
    pub matchers: LabelMatchers,
}

/// The series of a selector, or a quantile of its histogram.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::alert) struct SeriesSource {
    pub selector: Selector,
    pub quantile: Option<Quantile>,
}

/// What a snapshot has to bring.
#[derive(Clone, Debug, Default)]
pub(in crate::alert) struct Selectors {
    pub all: Vec<Selector>,
    pub by_metric: HashMap<&'static str, Vec<usize>>,
}

impl Selector {
    pub fn matches(&self, labels: &[(&'static str, String)]) -> bool {
        self.matchers.iter().all(|(label, wanted)| {
            labels.iter().any(|(name, value)| **name == **label && wanted.iter().any(|wanted| **wanted == **value))
        })
    }
}

impl Selectors {
    /// The number of a selector, which is added if it is not there.
    pub fn add(&mut self, selector: &Selector) -> usize {
        self.all.iter().position(|known| known == selector).unwrap_or_else(|| {
            self.all.push(selector.clone());
            self.by_metric.entry(selector.metric.name()).or_default().push(self.all.len() - 1);
            self.all.len() - 1
        })
    }

    pub fn of(&self, metric: &str) -> impl Iterator<Item = usize> {
        self.by_metric.get(metric).into_iter().flatten().copied()
    }
}
