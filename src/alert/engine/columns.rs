//! What is computed for all rules together: each source and each function of one once.
//!
//! A column is a number for each port, or a single one. Every rule compares one column. Samples that a function needs are
//! kept with its column.

use std::sync::Arc;
use std::time::Duration;

use super::functions::{forecast, rate, score, seconds};
use super::port_index::PortIndex;
use super::ring::Ring;
use super::selector::{Selector, Selectors, SeriesSource};
use super::snapshot::{Samples, Snapshot};
use crate::alert::rules::condition::{Function, SAMPLES};
use crate::alert::rules::rule::Rule;
use crate::alert::{Millis, millis};
use crate::telemetry::value::Distribution;

/// How long a port that vanished is known at least.
const KNOWN: Millis = 24 * 3600 * 1000;
const NEVER: Millis = Millis::MIN;

#[derive(Debug, Default)]
pub(in crate::alert) struct Columns {
    pub selectors: Arc<Selectors>,
    /// Each after its source.
    all: Vec<Column>,
    /// For each rule; `None`: it is off.
    of_rules: Vec<Option<u32>>,
}

#[derive(Debug)]
struct Column {
    source: SeriesSource,
    function: Function,
    values: Vec<f64>,
    input: Input,
}

/// What a column is computed of; `of` is the number of another one.
#[derive(Debug)]
enum Input {
    Selector(usize),
    Durations {
        selector: usize,
        quantile: f64,
        ring: Ring<Box<Distribution>>,
    },
    Window {
        of: usize,
        ring: Ring<Vec<f64>>,
    },
    /// When each port, or the whole, last had a value, and for how long it is known after that.
    Age {
        of: usize,
        seen: Vec<Millis>,
        forget: Millis,
    },
}

impl Columns {
    pub fn new(rules: &[Arc<Rule>], interval: Duration) -> Self {
        let mut columns = Self::default();
        let mut selectors = Selectors::default();
        let interval = millis(interval).max(1);
        for rule in rules {
            let selector = Selector { metric: rule.metric, matchers: rule.matchers().into() };
            let source = SeriesSource { selector, quantile: rule.quantile() };
            let column = rule.enabled.then(|| columns.add(source, rule.condition.function, &mut selectors, interval));
            columns.of_rules.push(column.and_then(|column| u32::try_from(column).ok()));
        }
        columns.of_rules.shrink_to_fit();
        columns.selectors = Arc::new(selectors);
        columns
    }

    fn add(&mut self, source: SeriesSource, function: Function, selectors: &mut Selectors, interval: Millis) -> usize {
        let known = self.all.iter().position(|known| known.function == function && known.source == source);
        if let Some(known) = known {
            return known;
        }
        // Half the interval allows for evaluations that come early.
        let step = |window: Millis| if window <= interval * SAMPLES { interval / 2 } else { window / (SAMPLES + 2) };
        let mut value = || self.add(source.clone(), Function::Value, selectors, interval);
        let input = match (function, source.quantile) {
            (Function::Value, None) => Input::Selector(selectors.add(&source.selector)),
            (Function::Value, Some(quantile)) => {
                let window = quantile.window.into();
                let ring = Ring::new(step(window), window);
                Input::Durations { selector: selectors.add(&source.selector), quantile: quantile.quantile, ring }
            }
            (Function::Age { after }, _) => {
                Input::Age { of: value(), seen: Vec::new(), forget: KNOWN + Millis::from(after) }
            }
            (Function::Rate { window } | Function::Score { window, .. } | Function::Forecast { window, .. }, _) => {
                Input::Window { of: value(), ring: Ring::new(step(window.into()), window.into()) }
            }
        };
        self.all.push(Column { source, function, values: Vec::new(), input });
        self.all.len() - 1
    }

    /// What the rule of this number compares; nothing if it is off.
    pub fn of_rule(&self, number: usize) -> &[f64] {
        self.of_rules[number].map_or(&[], |column| &self.all[column as usize].values)
    }

    /// Computes every column of what there is now.
    pub fn update(&mut self, snapshot: &Snapshot, ports: &mut PortIndex, now: Millis) {
        let indexes = ports.indexes(&snapshot.ports, now).to_vec();
        for at in 0..self.all.len() {
            let (sources, columns) = self.all.split_at_mut(at);
            let column = &mut columns[0];
            column.values.clear();
            column.values.resize(if column.is_of_ports() { ports.len() } else { 1 }, f64::NAN);
            column.update(sources, snapshot, &indexes, now);
        }
    }

    /// Whether the windows that the rule's column is computed of are full.
    pub fn is_filled(&self, number: usize, now: Millis) -> bool {
        let mut column = self.of_rules[number];
        while let Some(at) = column {
            column = match &self.all[at as usize].input {
                Input::Selector(_) => None,
                Input::Durations { ring, .. } => return ring.is_filled(now),
                Input::Window { ring, .. } if !ring.is_filled(now) => return false,
                Input::Window { of, .. } | Input::Age { of, .. } => u32::try_from(*of).ok(),
            };
        }
        true
    }

    /// Nothing was evaluated for so long: it does not count as time without a value.
    pub fn skip(&mut self, time: Millis) {
        for column in &mut self.all {
            if let Input::Age { seen, .. } = &mut column.input {
                seen.iter_mut().filter(|seen| **seen != NEVER).for_each(|seen| *seen += time);
            }
        }
    }

    /// Which indexes belong to ports whose absence is watched.
    pub fn known(&self, ports: usize, now: Millis) -> Vec<bool> {
        let mut known = vec![false; ports];
        for column in self.all.iter().filter(|column| column.is_of_ports()) {
            if let Input::Age { seen, forget, .. } = &column.input {
                for (known, seen) in known.iter_mut().zip(seen) {
                    *known |= *seen != NEVER && now - seen <= *forget;
                }
            }
        }
        known
    }

    /// The longest window that samples of ports are kept for.
    pub fn longest_window(&self) -> Millis {
        let windows = self.all.iter().filter(|column| column.is_of_ports()).filter_map(|column| column.input.window());
        windows.map(|ring| ring.window).max().unwrap_or_default()
    }

    /// Ports have other indexes: each the one whose old index stands there in `kept`.
    pub fn reindex(&mut self, kept: &[u32]) {
        fn moved<T: Copy>(all: &mut Vec<T>, kept: &[u32], none: T) {
            *all = kept.iter().map(|old| all.get(*old as usize).copied().unwrap_or(none)).collect();
        }
        for column in self.all.iter_mut().filter(|column| column.is_of_ports()) {
            moved(&mut column.values, kept, f64::NAN);
            match &mut column.input {
                Input::Window { ring, .. } => ring.iter_mut().for_each(|values| moved(values, kept, f64::NAN)),
                Input::Age { seen, .. } => moved(seen, kept, NEVER),
                Input::Selector(_) | Input::Durations { .. } => {}
            }
        }
    }

    /// Goes on from the samples of the columns for other rules, or for another interval, where the source is the same.
    pub fn take_over(&mut self, old: &Self) {
        for column in &mut self.all {
            let same = old.all.iter().filter(|old| old.source.selector == column.source.selector);
            let of_source = same.clone().filter(|old| old.source == column.source).map(|old| &old.input);
            match &mut column.input {
                Input::Selector(_) => {}
                Input::Durations { ring, .. } => {
                    let rings = same.filter_map(|old| match &old.input {
                        Input::Durations { ring, .. } => Some(ring),
                        _ => None,
                    });
                    if let Some(best) = rings.max_by_key(|old| old.serves(ring.window)) {
                        ring.take_over(best);
                    }
                }
                Input::Window { ring, .. } => {
                    let rings = of_source.filter_map(Input::window);
                    if let Some(best) = rings.max_by_key(|old| old.serves(ring.window)) {
                        ring.take_over(best);
                    }
                }
                Input::Age { seen, .. } => {
                    let mut ages = of_source.filter_map(|old| match old {
                        Input::Age { seen, .. } => Some(seen),
                        _ => None,
                    });
                    if let Some(old) = ages.next_back() {
                        seen.clone_from(old);
                    }
                }
            }
        }
    }

    /// The windows of these sources begin anew.
    pub fn forget(&mut self, of: impl Fn(&SeriesSource) -> bool) {
        for column in self.all.iter_mut().filter(|column| of(&column.source)) {
            if let Input::Window { ring, .. } = &mut column.input {
                ring.clear();
            }
        }
    }

    /// The sources that there are windows of, each once, with the samples of the longest one.
    pub fn windows(&self) -> impl Iterator<Item = (&SeriesSource, &Ring<Vec<f64>>)> {
        let windows = || self.all.iter().filter_map(|column| Some((&column.source, column.input.window()?)));
        windows().enumerate().filter_map(move |(at, (source, ring))| {
            let of_source = windows().enumerate().filter(|(_, (other, _))| *other == source);
            let (longest, _) = of_source.max_by_key(|(_, (_, other))| other.window)?;
            (longest == at).then_some((source, ring))
        })
    }

    /// Puts samples of before a restart into every window of the source, before those that are there.
    pub fn restore_samples(&mut self, of: impl Fn(&SeriesSource) -> bool, samples: &[(Millis, f64)]) {
        for column in self.all.iter_mut().filter(|column| of(&column.source)) {
            if let Input::Window { ring, .. } = &mut column.input {
                ring.prepend(samples.iter().map(|(time, value)| (*time, vec![*value])));
            }
        }
    }

    /// What the rule watches the absence of had its last value then.
    pub fn restore_age(&mut self, number: usize, index: u32, then: Millis) {
        let Some(column) = self.of_rules[number].map(|column| &mut self.all[column as usize]) else { return };
        let none = if column.is_of_ports() { NEVER } else { then };
        if let Input::Age { seen, .. } = &mut column.input {
            seen.resize(seen.len().max(index as usize + 1), none);
            seen[index as usize] = then;
        }
    }
}

impl Input {
    fn window(&self) -> Option<&Ring<Vec<f64>>> {
        if let Self::Window { ring, .. } = self { Some(ring) } else { None }
    }
}

impl Column {
    fn is_of_ports(&self) -> bool {
        self.source.selector.metric.is_of_ports()
    }

    fn update(&mut self, sources: &[Self], snapshot: &Snapshot, indexes: &[u32], now: Millis) {
        let (counter, of_ports) = (self.source.selector.metric.is_counter(), self.is_of_ports());
        match &mut self.input {
            Input::Selector(selector) => match &snapshot.samples[*selector] {
                Samples::One(value) => self.values[0] = *value,
                Samples::Ports(values) => {
                    indexes.iter().zip(values).for_each(|(index, value)| self.values[*index as usize] = *value);
                }
                Samples::Durations(_) => {}
            },
            Input::Durations { selector, quantile, ring } => {
                if let Samples::Durations(Some(durations)) = &snapshot.samples[*selector] {
                    ring.push(now, durations.clone());
                }
                let increase = ring.increase(now);
                self.values[0] = increase.and_then(|durations| durations.quantile(*quantile)).unwrap_or(f64::NAN);
            }
            Input::Window { of, ring } => {
                ring.push(now, sources[*of].values.clone());
                for (index, value) in self.values.iter_mut().enumerate() {
                    let series = ring.series(index, now);
                    *value = match self.function {
                        Function::Rate { window } => rate(series, now, window.into(), counter),
                        Function::Score { min_samples, .. } => score(series, now, min_samples, counter),
                        Function::Forecast { horizon, .. } => forecast(series, now, horizon.into()),
                        Function::Value | Function::Age { .. } => f64::NAN,
                    };
                }
            }
            Input::Age { of, seen, forget } => {
                // What never had a value counts from the start; of ports only those that were there are known.
                seen.resize(self.values.len(), if of_ports { NEVER } else { now });
                for ((age, value), seen) in self.values.iter_mut().zip(&sources[*of].values).zip(seen) {
                    if !value.is_nan() {
                        *seen = now;
                    } else if of_ports && *seen != NEVER && now - *seen > *forget {
                        *seen = NEVER;
                    }
                    *age = if *seen == NEVER { f64::NAN } else { seconds(now - *seen) };
                }
            }
        }
    }
}
