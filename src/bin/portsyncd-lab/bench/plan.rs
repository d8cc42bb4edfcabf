//! What is measured, with how many ports, how often.

use std::collections::BTreeSet;

use clap::ValueEnum;
use serde::Serialize;

/// One kind of measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Measure {
    /// One change at a time, until its row is there
    Latency,
    /// All ports changed at once
    Burst,
    /// Cold start until PortConfigDone
    Start,
    /// Live and warm restart
    Restart,
    /// Steady changes, with and without clients of the daemon's HTTP
    Load,
    /// Single changes and bursts with some numbers of alert rules
    Rules,
    /// Memory and wake-ups while idle
    Memory,
    /// Messages that are made up, through the parts of the daemon that this laboratory was built with
    Generated,
}

/// A burst: every port changed so many times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct BurstSize {
    /// On a switch with so many ports.
    pub ports: usize,
    /// In a row, without waiting.
    pub times: usize,
}

/// Steady changes, and who asks meanwhile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LoadPlan {
    /// Ports of each measurement.
    pub ports: Vec<usize>,
    /// Changes a second, of all ports together.
    pub per_second: usize,
    /// Clients of HTTP.
    pub clients: usize,
    /// How long each round counts, without clients and with them.
    pub milliseconds: u64,
    /// Rounds, each without clients and with them.
    pub rounds: usize,
}

/// Changes with alert rules and without.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RulesPlan {
    /// Ports of each measurement.
    pub ports: Vec<usize>,
    /// Numbers of rules; the first is what the others are compared with.
    pub counts: Vec<usize>,
    /// Slices of a round, each with every number of rules: single changes, then bursts.
    pub slices: usize,
    /// Single changes of a slice.
    pub events: usize,
    /// Changes of each port in a burst.
    pub times: usize,
    /// Rounds, each with every number of rules.
    pub rounds: usize,
}

/// All of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// Ports of each latency measurement.
    pub latency: Vec<usize>,
    /// Events of each, in all rounds together.
    pub events: usize,
    /// Rounds into which they are cut.
    pub slices: usize,
    /// The bursts.
    pub burst: Vec<BurstSize>,
    /// Ports of each cold start.
    pub start: Vec<usize>,
    /// Ports of each restart, live and warm.
    pub restart: Vec<usize>,
    /// Steady changes.
    pub load: LoadPlan,
    /// Changes with alert rules.
    pub rules: RulesPlan,
    /// Ports of each look at memory.
    pub memory: Vec<usize>,
    /// Ports of each measurement with messages that are made up.
    pub generated: Vec<usize>,
    /// How long an idle process is watched.
    pub idle_milliseconds: u64,
    /// Repetitions of bursts, starts and restarts with few ports.
    pub repetitions: usize,
    /// Repetitions with many ports.
    pub repetitions_of_many: usize,
    /// Ports of the count of instructions, if that is wanted.
    pub instructions: Option<usize>,
}

/// From so many ports on, a repetition takes long.
const MANY: usize = 1000;

impl Plan {
    /// The usual plan.
    pub fn full() -> Self {
        let burst = [(32, 10), (128, 10), (512, 10), (2000, 1), (2000, 10), (10_000, 1)];
        Self {
            latency: vec![32, 10_000],
            events: 9000,
            slices: 90,
            burst: burst.map(|(ports, times)| BurstSize { ports, times }).to_vec(),
            start: vec![32, 512, 4096],
            restart: vec![512],
            load: LoadPlan { ports: vec![10_000], per_second: 10_000, clients: 100, milliseconds: 1500, rounds: 10 },
            rules: RulesPlan {
                ports: vec![512],
                counts: vec![0, 10, 50, 1000],
                slices: 20,
                events: 100,
                times: 10,
                rounds: 24,
            },
            memory: vec![32, 512, 10_000],
            generated: vec![512, 10_000, 100_000],
            idle_milliseconds: 5000,
            repetitions: 10,
            repetitions_of_many: 5,
            instructions: None,
        }
    }

    /// Just enough to see that everything works.
    pub fn short() -> Self {
        Self {
            latency: vec![32, 512],
            events: 100,
            slices: 2,
            burst: [32, 512].map(|ports| BurstSize { ports, times: 10 }).to_vec(),
            start: vec![32],
            restart: vec![512],
            load: LoadPlan { ports: vec![512], per_second: 2000, clients: 12, milliseconds: 1000, rounds: 1 },
            rules: RulesPlan { ports: vec![32], counts: vec![0, 50], slices: 2, events: 25, times: 10, rounds: 2 },
            memory: vec![32],
            generated: vec![512],
            idle_milliseconds: 500,
            repetitions: 2,
            repetitions_of_many: 1,
            instructions: None,
        }
    }

    /// Every measurement with these numbers of ports.
    pub fn with_ports(mut self, ports: &[usize]) -> Self {
        let Self { latency, start, restart, load, rules, memory, generated, .. } = &mut self;
        for sizes in [latency, start, restart, &mut load.ports, &mut rules.ports, memory, generated] {
            *sizes = ports.to_vec();
        }
        self.burst = ports.iter().map(|&ports| BurstSize { ports, times: if ports < MANY { 10 } else { 1 } }).collect();
        self
    }

    /// Nothing but these measurements.
    pub fn only(mut self, measures: &[Measure]) -> Self {
        if !measures.contains(&Measure::Burst) {
            self.burst.clear();
        }
        let sizes = [
            (Measure::Latency, &mut self.latency),
            (Measure::Start, &mut self.start),
            (Measure::Restart, &mut self.restart),
            (Measure::Load, &mut self.load.ports),
            (Measure::Rules, &mut self.rules.ports),
            (Measure::Memory, &mut self.memory),
            (Measure::Generated, &mut self.generated),
        ];
        for (measure, sizes) in sizes {
            if !measures.contains(&measure) {
                sizes.clear();
            }
        }
        self
    }

    /// Numbers of ports for which links are needed, ascending.
    pub fn sizes(&self) -> Vec<usize> {
        let bursts = self.burst.iter().map(|burst| &burst.ports);
        let all = self.latency.iter().chain(&self.restart).chain(&self.load.ports).chain(&self.memory).chain(bursts);
        all.copied().collect::<BTreeSet<usize>>().into_iter().collect()
    }

    /// How often something with so many ports is repeated.
    pub fn repetitions(&self, ports: usize) -> usize {
        if ports < MANY { self.repetitions } else { self.repetitions_of_many }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_those_that_are_measured() {
        assert_eq!(Plan::full().sizes(), [32, 128, 512, 2000, 10_000]);
        assert_eq!(Plan::full().only(&[Measure::Start, Measure::Restart]).sizes(), [512]);
        let plan = Plan::full().with_ports(&[64, 4000]).only(&[Measure::Burst]);
        assert_eq!(plan.sizes(), [64, 4000]);
        assert_eq!(Plan::full().only(&[Measure::Load]).sizes(), [10_000]);
        assert_eq!(plan.burst[1], BurstSize { ports: 4000, times: 1 });
        assert_eq!((plan.repetitions(64), plan.repetitions(4000)), (10, 5));
    }
}
