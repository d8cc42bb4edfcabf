//! Runs a plan: all targets are there at the same time and are measured in turns, so that whatever the machine does
//! meanwhile hits all of them.
//!
//! In: targets and a plan. Out: what was measured, round by round. A target that dies or hangs is reported and left out of the
//! rest; rows that are wrong in the end are results like others.

mod rules;

use std::time::Instant;

use super::generated::{self, Generated};
use super::plan::{LoadPlan, Plan};
use super::protocol::{Answer, Burst, Latency, Load, Memory, Request, Restart, Ruled, Start};
use super::target::{Role, Target, Worker};

/// Warm-up of a latency measurement: not measured.
const WARM_UP: usize = 20;
/// Events of the shorter count of instructions; the longer has [`COUNTED`] more.
const FEW: usize = 200;
/// Events over which instructions are counted.
pub const COUNTED: usize = 1000;
/// Numbers of alert rules with which they are counted too, where rules are measured.
const RULES_COUNTED: [usize; 2] = [0, 50];

/// What was measured with some number of ports: for each target, one entry for each round; none where it was left out.
#[derive(Debug, Clone)]
pub struct Series<T> {
    pub ports: usize,
    /// Changes of a port in a row (bursts), clients (load), alert rules (rules), or whether the restart was a warm one.
    pub variant: usize,
    /// Per target, per round.
    pub rounds: Vec<Vec<Option<T>>>,
}

impl<T> Series<T> {
    pub fn of(&self, target: usize) -> impl Iterator<Item = &T> {
        self.rounds[target].iter().flatten()
    }
}

/// What went wrong with a target.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Failure {
    pub target: String,
    pub during: String,
    pub reason: String,
}

/// Everything that was measured.
#[derive(Debug, Default)]
pub struct Results {
    /// One change at a time.
    pub latency: Vec<Series<Latency>>,
    pub burst: Vec<Series<Burst>>,
    pub start: Vec<Series<Start>>,
    pub restart: Vec<Series<Restart>>,
    pub load: Vec<Series<Load>>,
    /// Changes with alert rules: one for each number of them.
    pub rules: Vec<Series<Ruled>>,
    pub memory: Vec<Series<Memory>>,
    /// User instructions of [`COUNTED`] events, per target; with how many alert rules, if not with its own.
    pub instructions: Vec<(Option<usize>, Vec<Option<u64>>)>,
    /// Messages that are made up.
    pub generated: Vec<Generated>,
    /// Where that did not work, and why.
    pub not_generated: Vec<String>,
    /// Who was left out, and why.
    pub failures: Vec<Failure>,
}

pub fn run(targets: &[Target], plan: &Plan) -> Results {
    let mut runner = Runner { targets, workers: Vec::new(), results: Results::default(), began: Instant::now() };
    runner.starts(plan);
    for ports in plan.sizes() {
        runner.size(plan, ports);
    }
    for &ports in &plan.rules.ports {
        runner.rules(&plan.rules, ports);
    }
    if let Some(ports) = plan.instructions {
        runner.instructions(ports, None);
        for count in RULES_COUNTED.into_iter().filter(|_| !plan.rules.ports.is_empty()) {
            runner.instructions(ports, Some(count));
        }
    }
    for &ports in &plan.generated {
        runner.generated(ports);
    }
    runner.results
}

struct Runner<'a> {
    targets: &'a [Target],
    workers: Vec<Option<Worker>>,
    results: Results,
    began: Instant,
}

impl Runner<'_> {
    fn say(&self, text: &str) {
        eprintln!("{:6.1} s  {text}", self.began.elapsed().as_secs_f64());
    }

    /// Cold starts: without links.
    fn starts(&mut self, plan: &Plan) {
        if plan.start.is_empty() {
            return;
        }
        self.open(|target| target.role != Role::Floor);
        for &ports in &plan.start {
            let during = format!("start, {ports} ports");
            self.say(&during);
            let request = Request::Start { ports };
            let series = self.turns(ports, 0, plan.repetitions(ports), &during, &request, |answer| match answer {
                Answer::Start(start) => Some(start),
                _ => None,
            });
            self.results.start.push(series);
        }
        self.close();
    }

    /// Everything that is measured with so many links.
    fn size(&mut self, plan: &Plan, ports: usize) {
        let during = format!("making {ports} links");
        self.say(&during);
        let floor = plan.latency.contains(&ports)
            || plan.memory.contains(&ports)
            || plan.load.ports.contains(&ports)
            || plan.burst.iter().any(|burst| burst.ports == ports);
        self.open(|target| floor || target.role != Role::Floor);
        self.turns(ports, 0, 1, &during, &Request::SetUp { ports, rules: false }, |_| Some(()));
        if plan.memory.contains(&ports) {
            self.memory(plan, ports);
        }
        if plan.latency.contains(&ports) {
            self.latency(plan, ports);
        }
        for burst in plan.burst.iter().filter(|burst| burst.ports == ports) {
            let during = format!("burst, {ports} ports, each {} times", burst.times);
            self.say(&during);
            let (rounds, request) = (plan.repetitions(ports), Request::Burst { times: burst.times });
            let series = self.turns(ports, burst.times, rounds, &during, &request, |answer| match answer {
                Answer::Burst(burst) => Some(burst),
                _ => None,
            });
            self.results.burst.push(series);
        }
        if plan.load.ports.contains(&ports) {
            self.load(plan, ports);
        }
        if plan.restart.contains(&ports) {
            self.restarts(plan, ports);
        }
        self.close();
    }

    fn latency(&mut self, plan: &Plan, ports: usize) {
        let during = format!("latency, {ports} ports");
        self.say(&during);
        self.turns(ports, 0, 1, &during, &Request::Latency { events: WARM_UP }, |_| Some(()));
        let request = Request::Latency { events: plan.events.div_ceil(plan.slices) };
        let series = self.turns(ports, 0, plan.slices, &during, &request, |answer| match answer {
            Answer::Latency(latency) => Some(latency),
            _ => None,
        });
        self.results.latency.push(series);
    }

    fn load(&mut self, plan: &Plan, ports: usize) {
        let during = format!("load, {ports} ports");
        self.say(&during);
        let LoadPlan { per_second, clients, milliseconds, rounds, .. } = plan.load;
        let request = Request::Load { per_second, milliseconds, clients };
        let series = self.turns(ports, clients, rounds, &during, &request, |answer| match answer {
            Answer::Load(load) => Some(*load),
            _ => None,
        });
        self.results.load.push(series);
    }

    fn restarts(&mut self, plan: &Plan, ports: usize) {
        for (at, target) in self.targets.iter().enumerate() {
            if target.role == Role::Floor {
                self.workers[at] = None;
            }
        }
        for warm in [false, true] {
            let during = format!("{} restart, {ports} ports", if warm { "warm" } else { "live" });
            self.say(&during);
            let (rounds, request) = (plan.repetitions(ports), Request::Restart { warm });
            let series = self.turns(ports, usize::from(warm), rounds, &during, &request, |answer| match answer {
                Answer::Restart(restart) => Some(restart),
                _ => None,
            });
            self.results.restart.push(series);
        }
    }

    /// All at the same time: they have nothing to do.
    fn memory(&mut self, plan: &Plan, ports: usize) {
        let during = format!("memory, {ports} ports");
        self.say(&during);
        let request = Request::Memory { milliseconds: plan.idle_milliseconds };
        let rounds = self.together(&during, |_| request.clone()).into_iter().map(|answer| match answer {
            Some(Answer::Memory(memory)) => vec![Some(memory)],
            _ => vec![None],
        });
        let series = Series { ports, variant: 0, rounds: rounds.collect() };
        self.results.memory.push(series);
    }

    /// The floor has no alert rules, hence nothing to count again.
    fn instructions(&mut self, ports: usize, rules: Option<usize>) {
        let during = "instructions under valgrind";
        self.say(during);
        self.open(|target| rules.is_none() || target.role != Role::Floor);
        let mut counts = [FEW, FEW + COUNTED].map(|events| {
            let request = Request::Instructions { ports, events, rules };
            self.turns(ports, 0, 1, during, &request, |answer| match answer {
                Answer::Instructions(instructions) => Some(instructions.collected),
                _ => None,
            })
        });
        let of = |series: &mut Series<u64>, at: usize| series.rounds[at][0].take();
        let each = (0..self.targets.len()).map(|at| {
            let both = of(&mut counts[0], at).zip(of(&mut counts[1], at));
            both.map(|(few, more)| more.saturating_sub(few))
        });
        self.results.instructions.push((rules, each.collect()));
        self.close();
    }

    /// No target takes part: this is about the parts that this laboratory was built with.
    fn generated(&mut self, ports: usize) {
        self.say(&format!("generated messages, {ports} ports"));
        match generated::measure(ports) {
            Ok(measured) => self.results.generated.push(measured),
            Err(error) => self.results.not_generated.push(format!("generated messages, {ports} ports: {error:#}")),
        }
    }

    /// Asks all targets the same in turns, beginning with another one in each round.
    fn turns<T: Clone>(
        &mut self,
        ports: usize,
        variant: usize,
        rounds: usize,
        during: &str,
        request: &Request,
        take: impl Fn(Answer) -> Option<T>,
    ) -> Series<T> {
        let count = self.targets.len();
        let mut series = Series { ports, variant, rounds: vec![vec![None; rounds]; count] };
        for round in 0..rounds {
            for at in (0..count).map(|turn| (turn + round) % count) {
                let Some(worker) = &mut self.workers[at] else { continue };
                match worker.ask(request).and_then(|()| worker.answer()) {
                    Ok(answer) => series.rounds[at][round] = take(answer),
                    Err(error) => self.fail(at, during, &error),
                }
            }
        }
        series
    }

    /// Asks all targets at the same time, each what `request` says for it.
    fn together(&mut self, during: &str, request: impl Fn(usize) -> Request) -> Vec<Option<Answer>> {
        for at in 0..self.targets.len() {
            let asked = self.workers[at].as_mut().map(|worker| worker.ask(&request(at)));
            if let Some(Err(error)) = asked {
                self.fail(at, during, &error);
            }
        }
        let mut answers = Vec::new();
        for at in 0..self.targets.len() {
            let answer = self.workers[at].as_mut().map(Worker::answer);
            if let Some(Err(error)) = &answer {
                self.fail(at, during, error);
            }
            answers.push(answer.and_then(Result::ok));
        }
        answers
    }

    /// Starts a worker for each target that has not failed yet.
    fn open(&mut self, wanted: impl Fn(&Target) -> bool) {
        self.workers.clear();
        for (at, target) in self.targets.iter().enumerate() {
            self.workers.push(None);
            if !wanted(target) || self.results.failures.iter().any(|failure| failure.target == target.name) {
                continue;
            }
            match Worker::start(target) {
                Ok(worker) => self.workers[at] = Some(worker),
                Err(error) => self.fail(at, "starting its worker", &error),
            }
        }
    }

    fn close(&mut self) {
        self.turns(0, 0, 1, "taking down", &Request::TakeDown, |_| Some(()));
        self.workers.clear();
    }

    fn fail(&mut self, at: usize, during: &str, error: &anyhow::Error) {
        let target = self.targets[at].name.clone();
        self.say(&format!("{target}: {during}: {error:#}"));
        self.results.failures.push(Failure { target, during: during.to_owned(), reason: format!("{error:#}") });
        self.workers[at] = None;
    }
}
