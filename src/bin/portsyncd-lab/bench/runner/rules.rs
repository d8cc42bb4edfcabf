//! Changes with some numbers of alert rules.
//!
//! Each target runs as often as there are numbers of rules, all at the same time, and these are measured in turns, a few changes
//! each, so that whatever the machine does hits all alike. In each round every one of them has another number of rules: what
//! is particular to one process, its Redis or its links hits all numbers alike.

use super::super::plan::RulesPlan;
use super::super::protocol::{Answer, Burst, Evaluations, Latency, Request, Ruled};
use super::super::target::{Role, Target};
use super::{Results, Runner, Series};

impl Runner<'_> {
    /// All numbers of rules on so many ports.
    pub(super) fn rules(&mut self, plan: &RulesPlan, ports: usize) {
        let during = format!("rules, {ports} ports");
        self.say(&during);
        let count = plan.counts.len();
        let failed = |target: &Target| self.results.failures.iter().any(|failure| failure.target == target.name);
        let taking_part = self.targets.iter().enumerate().filter(|(_, one)| one.role != Role::Floor && !failed(one));
        let (of, seats): (Vec<usize>, Vec<Target>) =
            taking_part.flat_map(|(at, target)| vec![(at, target.clone()); count]).unzip();
        let mut inner = Runner { targets: &seats, workers: Vec::new(), results: Results::default(), began: self.began };
        let rounds = vec![Vec::new(); self.targets.len()];
        let series = |rules: &usize| Series { ports, variant: *rules, rounds: rounds.clone() };
        let mut all: Vec<Series<Ruled>> = plan.counts.iter().map(series).collect();

        inner.open(|_| true);
        inner.turns(ports, 0, 1, &during, &Request::SetUp { ports, rules: true }, |_| Some(()));
        for round in 0..plan.rounds {
            let which = |seat: usize| number_of(seat, round, count);
            let taken = inner.round(plan, ports, &during, |seat| plan.counts[which(seat)]);
            for (seat, ruled) in taken.into_iter().enumerate() {
                all[which(seat)].rounds[of[seat]].push(ruled);
            }
        }
        inner.close();
        for failure in inner.results.failures {
            if !self.results.failures.iter().any(|other| other.target == failure.target) {
                self.results.failures.push(failure);
            }
        }
        self.results.rules.extend(all);
    }

    /// Each with its number of rules; none of those that failed or have no alert rules.
    fn round(
        &mut self,
        plan: &RulesPlan,
        ports: usize,
        during: &str,
        rules: impl Fn(usize) -> usize,
    ) -> Vec<Option<Ruled>> {
        let evaluations = |answer: Option<Answer>| match answer {
            Some(Answer::Rules(evaluations)) => evaluations,
            _ => None,
        };
        let answers = self.together(during, |seat| Request::Rules { count: Some(rules(seat)) });
        let before: Vec<Option<Evaluations>> = answers.into_iter().map(evaluations).collect();
        for (worker, _) in self.workers.iter_mut().zip(&before).filter(|(_, before)| before.is_none()) {
            *worker = None;
        }
        let request = Request::Latency { events: plan.events };
        let latency = self.turns(ports, 0, plan.slices, during, &request, |answer| match answer {
            Answer::Latency(latency) => Some(latency),
            _ => None,
        });
        let request = Request::Burst { times: plan.times };
        let bursts = self.turns(ports, plan.times, plan.slices, during, &request, |answer| match answer {
            Answer::Burst(burst) => Some(burst),
            _ => None,
        });
        let after = self.together(during, |_| Request::Rules { count: None }).into_iter().map(evaluations);
        let all = before.into_iter().zip(after).zip(latency.rounds.into_iter().zip(bursts.rounds));
        all.map(|((before, after), (latency, bursts))| {
            let bursts: Option<Vec<Burst>> = bursts.into_iter().collect();
            Some(Ruled {
                latency: latency.into_iter().collect::<Option<Vec<Latency>>>().map(joined)?,
                bursts: bursts?,
                evaluations: after?.since(before?),
            })
        })
        .collect()
    }
}

fn joined(slices: Vec<Latency>) -> Latency {
    let mut all = Latency::default();
    for slice in slices {
        all.nanoseconds.extend(slice.nanoseconds);
        all.missed += slice.missed;
        all.cpu.daemon_ns += slice.cpu.daemon_ns;
        all.cpu.user_ticks += slice.cpu.user_ticks;
        all.cpu.system_ticks += slice.cpu.system_ticks;
        all.cpu.redis_ns += slice.cpu.redis_ns;
    }
    all
}

/// Which number of rules a seat has in a round, of so many numbers.
fn number_of(seat: usize, round: usize, count: usize) -> usize {
    (seat + round) % count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_seat_has_every_number_of_rules_and_every_round_too() {
        let of_round = |round: usize| (0..4).map(|seat| number_of(seat, round, 4)).collect::<Vec<usize>>();
        let rounds: Vec<Vec<usize>> = (0..4).map(of_round).collect();
        assert_eq!(rounds, [[0, 1, 2, 3], [1, 2, 3, 0], [2, 3, 0, 1], [3, 0, 1, 2]]);
    }
}
