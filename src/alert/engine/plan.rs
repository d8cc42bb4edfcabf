//! What has to be computed for all rules together: each input, each window and each derived column once.
//!
//! A column is a number for each port, or a single one. Every rule compares one column. Columns come from inputs (what a
//! snapshot brings), from the durations of a histogram over a window, or from a ring of the last values of another column.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::alert::rules::condition::{Derived, Test};
use crate::alert::rules::metric_ref::MetricId;
use crate::alert::rules::rule::{Matching, Rule};
use crate::alert::{Millis, millis};

/// Samples that a window keeps at least, if they come that often. Longer windows thin out what they keep to this.
pub(in crate::alert) const SAMPLES: Millis = 120;
/// How long a port that vanished is known at least.
const KNOWN: Millis = 24 * 3600 * 1000;

/// A metric, and which of its series are summed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::alert) struct Input {
    pub metric: MetricId,
    pub matching: Matching,
}

/// An input as it is, or the quantile (as bits) of a histogram over a window.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::alert) struct Source {
    pub input: Input,
    pub quantile: Option<(u64, u32)>,
}

/// What a ring holds, and how often: kept over a reload where the new rules want the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::alert) struct RingKey {
    pub source: Source,
    pub step: Millis,
}

/// The last values of a column.
#[derive(Clone, Debug)]
pub(in crate::alert) struct RingPlan {
    pub key: RingKey,
    /// The column; for durations the input.
    pub of: usize,
    pub longest: Millis,
}

/// How a column is computed.
#[derive(Clone, Copy, Debug)]
pub(in crate::alert) enum Kind {
    Input(usize),
    Quantile {
        ring: usize,
        quantile: f64,
        window: Millis,
    },
    Rate {
        ring: usize,
        window: Millis,
        counter: bool,
    },
    Score {
        ring: usize,
        window: Millis,
        min_samples: u32,
        counter: bool,
    },
    Forecast {
        ring: usize,
        window: Millis,
        horizon: Millis,
    },
    /// Seconds since the other column had a value, of the ages of this number.
    Age {
        of: usize,
        age: usize,
    },
}

#[derive(Clone, Debug)]
pub(in crate::alert) struct Column {
    pub kind: Kind,
    pub of_ports: bool,
}

/// For how long after its last value a port is known, for each source that rules watch the absence of.
#[derive(Clone, Debug)]
pub(in crate::alert) struct AgePlan {
    pub source: Source,
    pub of_ports: bool,
    pub forget: Millis,
}

/// A rule, as far as each evaluation needs it.
#[derive(Clone, Copy, Debug)]
pub(in crate::alert) struct Check {
    pub test: Test,
    pub column: u32,
    /// Which of the filters of ports.
    pub filter: Option<u16>,
    pub enabled: bool,
}

#[derive(Debug, Default)]
pub(in crate::alert) struct Plan {
    pub inputs: Arc<Inputs>,
    pub columns: Vec<Column>,
    pub rings: Vec<RingPlan>,
    pub durations: Vec<RingPlan>,
    pub ages: Vec<AgePlan>,
    /// For each rule, in their order.
    pub checks: Vec<Check>,
    /// The patterns of ports, each once.
    pub filters: Vec<Arc<crate::config::glob::Glob>>,
    /// The rules that explain a rule, by numbers; only those that have some.
    pub explained: HashMap<u32, Box<[u32]>>,
}

/// What a snapshot has to bring.
#[derive(Clone, Debug, Default)]
pub(in crate::alert) struct Inputs {
    pub all: Vec<Input>,
    pub by_name: HashMap<&'static str, Vec<usize>>,
}

impl Plan {
    pub fn new(rules: &[Arc<Rule>], interval: Duration) -> Self {
        let mut maker = Maker { interval: millis(interval).max(1), ..Maker::default() };
        for rule in rules {
            maker.add(rule);
        }
        let numbers: HashMap<&str, u32> = rules.iter().zip(0..).map(|(rule, number)| (&*rule.name, number)).collect();
        let mut plan = maker.plan;
        for (rule, number) in rules.iter().zip(0..) {
            if !rule.inhibited_by().is_empty() {
                let by = rule.inhibited_by().iter().filter_map(|name| numbers.get(&**name).copied()).collect();
                plan.explained.insert(number, by);
            }
        }
        plan.inputs = Arc::new(maker.inputs);
        plan
    }
}

#[derive(Default)]
struct Maker {
    plan: Plan,
    inputs: Inputs,
    interval: Millis,
    sources: HashMap<Source, usize>,
    derived: HashMap<(usize, Derived), usize>,
}

impl Maker {
    fn add(&mut self, rule: &Rule) {
        // A rule that is off costs no column; its test is never asked.
        let column = if rule.enabled { self.column(rule) } else { 0 };
        let filter = rule.ports.as_ref().map(|glob| {
            let known = self.plan.filters.iter().position(|other| other == glob);
            known.unwrap_or_else(|| {
                self.plan.filters.push(Arc::clone(glob));
                self.plan.filters.len() - 1
            })
        });
        self.plan.checks.push(Check {
            test: rule.condition.test(),
            column: u32::try_from(column).unwrap_or_default(),
            filter: filter.and_then(|filter| u16::try_from(filter).ok()),
            enabled: rule.enabled,
        });
    }

    fn column(&mut self, rule: &Rule) -> usize {
        let input = Input { metric: rule.metric, matching: rule.matching().into() };
        let quantile = rule.quantile().map(|quantile| (quantile.quantile.to_bits(), quantile.window));
        let source = Source { input, quantile };
        let of = self.source(&source);
        let derived = rule.condition.derived();
        if derived == Derived::Value {
            return of;
        }
        if let Some(column) = self.derived.get(&(of, derived)) {
            if let (Kind::Age { age, .. }, Test::Above(seconds)) =
                (self.plan.columns[*column].kind, rule.condition.test())
            {
                let ages = &mut self.plan.ages[age];
                ages.forget = ages.forget.max(KNOWN + seconds_to_millis(seconds));
            }
            return *column;
        }
        let counter = rule.metric.is_counter();
        let kind = match derived {
            Derived::Value => Kind::Input(0),
            Derived::Rate { window } => {
                let window = window.into();
                Kind::Rate { ring: self.ring(&source, of, window), window, counter }
            }
            Derived::Score { window, min_samples } => {
                let window = window.into();
                Kind::Score { ring: self.ring(&source, of, window), window, min_samples, counter }
            }
            Derived::Forecast { window, horizon } => {
                let window = window.into();
                Kind::Forecast { ring: self.ring(&source, of, window), window, horizon: horizon.into() }
            }
            Derived::Age => {
                let Test::Above(seconds) = rule.condition.test() else { return of };
                let forget = KNOWN + seconds_to_millis(seconds);
                self.plan.ages.push(AgePlan { source, of_ports: rule.is_of_ports(), forget });
                Kind::Age { of, age: self.plan.ages.len() - 1 }
            }
        };
        let column = self.push(kind, rule.is_of_ports());
        self.derived.insert((of, derived), column);
        column
    }

    fn push(&mut self, kind: Kind, of_ports: bool) -> usize {
        self.plan.columns.push(Column { kind, of_ports });
        self.plan.columns.len() - 1
    }

    fn source(&mut self, source: &Source) -> usize {
        if let Some(column) = self.sources.get(source) {
            return *column;
        }
        let input = self.input(&source.input);
        let kind = match source.quantile {
            None => Kind::Input(input),
            Some((quantile, window)) => {
                let window = window.into();
                let whole = Source { input: source.input.clone(), quantile: None };
                let step = self.step(window);
                let ring = ring(&mut self.plan.durations, RingKey { source: whole, step }, input, window);
                Kind::Quantile { ring, quantile: f64::from_bits(quantile), window }
            }
        };
        let column = self.push(kind, source.input.metric.is_of_ports());
        self.sources.insert(source.clone(), column);
        column
    }

    fn input(&mut self, input: &Input) -> usize {
        if let Some(known) = self.inputs.all.iter().position(|other| other == input) {
            return known;
        }
        self.inputs.all.push(input.clone());
        let number = self.inputs.all.len() - 1;
        self.inputs.by_name.entry(input.metric.name()).or_default().push(number);
        number
    }

    fn ring(&mut self, source: &Source, of: usize, window: Millis) -> usize {
        let step = self.step(window);
        ring(&mut self.plan.rings, RingKey { source: source.clone(), step }, of, window)
    }

    /// How far apart a window's samples are at least. All windows short enough to keep every evaluation share a ring; half
    /// the interval allows for evaluations that come early.
    fn step(&self, window: Millis) -> Millis {
        if window <= self.interval * SAMPLES { self.interval / 2 } else { window / SAMPLES }
    }
}

fn ring(rings: &mut Vec<RingPlan>, key: RingKey, of: usize, window: Millis) -> usize {
    if let Some(known) = rings.iter().position(|ring| ring.key == key) {
        rings[known].longest = rings[known].longest.max(window);
        return known;
    }
    rings.push(RingPlan { key, of, longest: window });
    rings.len() - 1
}

#[expect(clippy::cast_possible_truncation, reason = "a rule's time: at most thirty days")]
fn seconds_to_millis(seconds: f64) -> Millis {
    (seconds * 1e3) as Millis
}
