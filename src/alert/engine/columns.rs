//! The columns of this evaluation, and the samples of before that they are computed of.

use std::collections::HashMap;

use super::functions::{forecasts, rates, scores, seconds};
use super::plan::{Check, Kind, Plan, RingKey, RingPlan, Source};
use super::port_index::Slots;
use super::ring::{Ring, Sample};
use super::snapshot::{Snapshot, Values};
use crate::alert::Millis;
use crate::link::LinkName;
use crate::telemetry::value::Distribution;

const NEVER: Millis = Millis::MIN;

/// See the module. Each part in the order of the plan.
#[derive(Debug, Default)]
pub(in crate::alert) struct Windows {
    columns: Vec<Vec<f64>>,
    rings: Vec<Ring<Sample>>,
    durations: Vec<Ring<Box<Distribution>>>,
    /// When each port, or the whole, last had a value.
    ages: Vec<Vec<Millis>>,
}

impl Windows {
    pub fn new(plan: &Plan) -> Self {
        Self {
            columns: plan.columns.iter().map(|_| Vec::new()).collect(),
            rings: plan.rings.iter().map(|ring| Ring::new(ring.key.step, ring.longest)).collect(),
            durations: plan.durations.iter().map(|ring| Ring::new(ring.key.step, ring.longest)).collect(),
            ages: plan.ages.iter().map(|_| Vec::new()).collect(),
        }
    }

    /// What the rule compares.
    pub fn column(&self, check: &Check) -> &[f64] {
        self.columns.get(check.column as usize).map_or(&[], Vec::as_slice)
    }

    /// Computes every column of what there is now.
    pub fn take(&mut self, plan: &Plan, snapshot: &Snapshot, slots: &mut Slots, now: Millis) {
        for (ring, plan) in self.durations.iter_mut().zip(&plan.durations) {
            if let Values::Durations(Some(durations)) = &snapshot.values[plan.of] {
                ring.push(now, durations);
            }
        }
        let places = slots.places(&snapshot.ports, now).to_vec();
        let ports = slots.len();
        for (column, plan) in self.columns.iter_mut().zip(&plan.columns) {
            column.clear();
            column.resize(if plan.of_ports { ports } else { 1 }, f64::NAN);
            match plan.kind {
                Kind::Input(input) => match &snapshot.values[input] {
                    Values::One(value) => column[0] = *value,
                    Values::Ports(values) => {
                        for (place, value) in places.iter().zip(values) {
                            column[*place as usize] = *value;
                        }
                    }
                    Values::Durations(_) => {}
                },
                Kind::Quantile { ring, quantile, window } => {
                    let durations = self.durations[ring].within(now - window);
                    column[0] = durations.and_then(|durations| durations.quantile(quantile)).unwrap_or(f64::NAN);
                }
                _ => {}
            }
        }
        for (ring, plan) in self.rings.iter_mut().zip(&plan.rings) {
            ring.push(now, &self.columns[plan.of]);
        }
        for at in 0..self.columns.len() {
            let mut column = std::mem::take(&mut self.columns[at]);
            match plan.columns[at].kind {
                Kind::Input(_) | Kind::Quantile { .. } => {}
                Kind::Rate { ring, window, counter } => rates(&mut column, &self.rings[ring], now, window, counter),
                Kind::Score { ring, window, min_samples, counter } => {
                    scores(&mut column, &self.rings[ring], now, window, min_samples, counter);
                }
                Kind::Forecast { ring, window, horizon } => {
                    forecasts(&mut column, &self.rings[ring], now, window, horizon);
                }
                Kind::Age { of, age } => {
                    let forget = plan.ages[age].forget;
                    let seen = &mut self.ages[age];
                    // What never had a value counts from the start; of ports only those that were there are known.
                    seen.resize(column.len(), if plan.ages[age].of_ports { NEVER } else { now });
                    for ((out, value), seen) in column.iter_mut().zip(&self.columns[of]).zip(seen) {
                        if !value.is_nan() {
                            *seen = now;
                        } else if plan.ages[age].of_ports && *seen != NEVER && now - *seen > forget {
                            *seen = NEVER;
                        }
                        *out = if *seen == NEVER { f64::NAN } else { seconds(now - *seen) };
                    }
                }
            }
            self.columns[at] = column;
        }
    }

    /// Whether the windows that the rule's column is computed of are full.
    pub fn is_filled(&self, check: &Check, plan: &Plan, now: Millis) -> bool {
        let mut column = check.column as usize;
        loop {
            let Some(known) = plan.columns.get(column) else { return true };
            let (ring, window) = match known.kind {
                Kind::Input(_) => return true,
                Kind::Quantile { ring, window, .. } => return self.durations[ring].is_filled(window, now),
                Kind::Age { of, .. } => {
                    column = of;
                    continue;
                }
                Kind::Rate { ring, window, .. }
                | Kind::Score { ring, window, .. }
                | Kind::Forecast { ring, window, .. } => (ring, window),
            };
            if !self.rings[ring].is_filled(window, now) {
                return false;
            }
            column = plan.rings[ring].of;
        }
    }

    /// Nobody looked for so long: it does not count as time without a value.
    pub fn unseen(&mut self, time: Millis) {
        for seen in self.ages.iter_mut().flatten().filter(|seen| **seen != NEVER) {
            *seen += time;
        }
    }

    /// Which places belong to ports whose absence is watched.
    pub fn known(&self, plan: &Plan, ports: usize, now: Millis) -> Vec<bool> {
        let mut known = vec![false; ports];
        for (seen, plan) in self.ages.iter().zip(&plan.ages).filter(|(_, plan)| plan.of_ports) {
            for (known, seen) in known.iter_mut().zip(seen) {
                *known |= *seen != NEVER && now - seen <= plan.forget;
            }
        }
        known
    }

    /// The places of ports are others: each from the old place that stands in `kept`.
    pub fn compact(&mut self, plan: &Plan, kept: &[u32]) {
        fn moved<T: Copy>(all: &mut Vec<T>, kept: &[u32], none: T) {
            *all = kept.iter().map(|old| all.get(*old as usize).copied().unwrap_or(none)).collect();
        }
        for (column, _) in self.columns.iter_mut().zip(&plan.columns).filter(|(_, plan)| plan.of_ports) {
            moved(column, kept, f64::NAN);
        }
        for (ring, plan) in self.rings.iter_mut().zip(&plan.rings) {
            if plan.key.source.input.metric.is_of_ports() {
                ring.iter_mut().for_each(|sample| moved(&mut sample.values, kept, f64::NAN));
            }
        }
        for (seen, _) in self.ages.iter_mut().zip(&plan.ages).filter(|(_, plan)| plan.of_ports) {
            moved(seen, kept, NEVER);
        }
    }

    /// Takes over what the columns of other rules, or of another interval, were computed of, as far as these want it.
    pub fn take_over(&mut self, plan: &Plan, old: Self, old_plan: &Plan) {
        take_rings(&mut self.rings, &plan.rings, old.rings, &old_plan.rings, |ring, at, sample| {
            ring.push(at, &sample.values);
        });
        take_rings(&mut self.durations, &plan.durations, old.durations, &old_plan.durations, |ring, at, sample| {
            ring.push(at, sample);
        });
        let mut ages: HashMap<&Source, _> = old_plan.ages.iter().map(|ages| &ages.source).zip(old.ages).collect();
        for (seen, plan) in self.ages.iter_mut().zip(&plan.ages) {
            if let Some(old) = ages.remove(&plan.source) {
                *seen = old;
            }
        }
    }

    /// What such sources said before is no measure for what they say from now on.
    pub fn forget(&mut self, plan: &Plan, of: impl Fn(&Source) -> bool) {
        for (ring, _) in self.rings.iter_mut().zip(&plan.rings).filter(|(_, plan)| of(&plan.key.source)) {
            ring.clear();
        }
    }

    /// The samples of a source that are kept longest.
    pub fn samples(&self, plan: &Plan, source: &Source) -> Vec<(Millis, f64)> {
        let rings = self.rings.iter().zip(&plan.rings).filter(|(_, plan)| plan.key.source == *source);
        let longest = rings.max_by_key(|(_, plan)| plan.longest);
        longest.map(|(ring, _)| ring.series(0, NEVER).collect()).unwrap_or_default()
    }

    /// Puts samples of before a restart into every ring of the source.
    pub fn restore_samples(&mut self, plan: &Plan, source: &Source, samples: &[(Millis, f64)]) {
        for (ring, _) in self.rings.iter_mut().zip(&plan.rings).filter(|(_, plan)| plan.key.source == *source) {
            for (time, value) in samples {
                ring.push(*time, &[*value]);
            }
        }
    }

    /// The port, or the whole, had its last value then.
    pub fn restore_age(&mut self, check: &Check, plan: &Plan, slot: u32, seen: Millis) {
        let Some(Kind::Age { age, .. }) = plan.columns.get(check.column as usize).map(|column| column.kind) else {
            return;
        };
        let ages = &mut self.ages[age];
        let none = if plan.ages[age].of_ports { NEVER } else { seen };
        ages.resize(ages.len().max(slot as usize + 1), none);
        ages[slot as usize] = seen;
    }

    /// Which ports a filter lets through, as bits.
    pub fn filter(glob: &crate::config::glob::Glob, names: &[LinkName]) -> Vec<u64> {
        let mut bits = vec![0; names.len().div_ceil(64)];
        for (slot, name) in names.iter().enumerate() {
            bits[slot / 64] |= u64::from(glob.matches_port(name)) << (slot % 64);
        }
        bits
    }
}

/// A ring that is wanted as it was goes on; one of another spacing goes on from the best one of the same source.
fn take_rings<T: Default>(
    rings: &mut [Ring<T>],
    plan: &[RingPlan],
    old: Vec<Ring<T>>,
    old_plan: &[RingPlan],
    push: impl Fn(&mut Ring<T>, Millis, &T) + Copy,
) {
    let is_old = |key: &RingKey| old_plan.iter().any(|old| old.key == *key);
    for (ring, plan) in rings.iter_mut().zip(plan).filter(|(_, plan)| !is_old(&plan.key)) {
        let same = old.iter().zip(old_plan).filter(|(_, old)| old.key.source == plan.key.source);
        if let Some((best, _)) = same.max_by_key(|(old, _)| old.serves(plan.longest)) {
            *ring = best.respaced(plan.key.step, plan.longest, push);
        }
    }
    let mut old: HashMap<&RingKey, Ring<T>> = old_plan.iter().map(|ring| &ring.key).zip(old).collect();
    for (ring, plan) in rings.iter_mut().zip(plan) {
        if let Some(mut old) = old.remove(&plan.key) {
            old.resize(plan.longest);
            *ring = old;
        }
    }
}
