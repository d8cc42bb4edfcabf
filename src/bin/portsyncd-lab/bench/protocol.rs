//! What `bench` asks of a worker and what it answers: one JSON value on a line each, in turn.

use serde::{Deserialize, Serialize};

use super::clients::Report;

/// What is to be done. Every request is answered once, within a bounded time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Redis with so many ports, the executable started on them, the links made, every row right. With `rules` its alert rules are
    /// those of [`Self::Rules`], none at first.
    SetUp { ports: usize, rules: bool },
    /// Changes of one port each, one at a time.
    Latency { events: usize },
    /// All ports changed so many times in a row.
    Burst { times: usize },
    /// So many alert rules from now on; answered, with the evaluations before them, when their windows are full. Or those that there
    /// are, answered with the evaluations so far.
    Rules { count: Option<usize> },
    /// A cold start with so many ports, no links.
    Start { ports: usize },
    /// The executable is away while every tenth port changes.
    Restart { warm: bool },
    /// So many changes a second for so long, without clients of its HTTP and with so many.
    Load { per_second: usize, milliseconds: u64, clients: usize },
    /// What it takes while it has nothing to do, watched for so long.
    Memory { milliseconds: u64 },
    /// User instructions for so many events, under valgrind; with so many alert rules in place of its own.
    Instructions { ports: usize, events: usize, rules: Option<usize> },
    /// Executable ended, links deleted.
    TakeDown,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    Done,
    /// To [`Request::Latency`].
    Latency(Latency),
    /// To [`Request::Burst`].
    Burst(Burst),
    /// To [`Request::Rules`]; none if the executable has no alert rules.
    Rules(Option<Evaluations>),
    /// To [`Request::Start`].
    Start(Start),
    /// To [`Request::Restart`].
    Restart(Restart),
    /// To [`Request::Load`].
    Load(Box<Load>),
    /// To [`Request::Memory`].
    Memory(Memory),
    /// To [`Request::Instructions`].
    Instructions(Instructions),
    /// It could not be done; the worker is of no more use.
    Failed(String),
}

/// CPU time that something took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Cpu {
    /// The executable's, in nanoseconds.
    pub daemon_ns: u64,
    /// Its user part, in ticks of 10 ms.
    pub user_ticks: u64,
    /// Its part in the kernel, in ticks of 10 ms.
    pub system_ticks: u64,
    /// The Redis server's, in nanoseconds; what the measuring side asked of it included.
    pub redis_ns: u64,
}

/// Changes one at a time.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// From before the change until its row was seen, for each event.
    pub nanoseconds: Vec<u64>,
    /// Events whose row was not seen to change in time.
    pub missed: usize,
    /// For all of them together.
    pub cpu: Cpu,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Burst {
    pub events: usize,
    /// From before the first change until every row was right; none if they never were.
    pub nanoseconds: Option<u64>,
    /// Rows that were wrong in the end.
    pub wrong: usize,
    pub cpu: Cpu,
}

/// Changes with some number of alert rules.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Ruled {
    /// One at a time.
    pub latency: Latency,
    /// All ports at once, again and again.
    pub bursts: Vec<Burst>,
    /// Evaluations of the rules since they are in force.
    pub evaluations: Evaluations,
}

/// Evaluations of the rules.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Evaluations {
    pub count: u64,
    /// How long they took, all together.
    pub nanoseconds: u64,
}

impl Evaluations {
    /// Those after an earlier look.
    pub fn since(self, earlier: Self) -> Self {
        let Self { count, nanoseconds } = self;
        Self {
            count: count.saturating_sub(earlier.count),
            nanoseconds: nanoseconds.saturating_sub(earlier.nanoseconds),
        }
    }
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Start {
    /// From before the executable was started until `PortConfigDone` was there.
    pub nanoseconds: u64,
    /// The executable's CPU time until then.
    pub daemon_ns: u64,
    /// A round trip to Redis, median.
    pub ping_ns: u64,
}

/// A restart on a running switch.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Restart {
    /// From before the executable was started until every row was right; none if they never were.
    pub nanoseconds: Option<u64>,
    /// Rows that were wrong in the end.
    pub wrong: usize,
    /// Links that were not as before in the end.
    pub touched: usize,
    /// A round trip to Redis, median.
    pub ping_ns: u64,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Load {
    /// Nobody asks for anything.
    pub alone: Loaded,
    /// Clients of its HTTP do, and what they saw; none if it serves no HTTP.
    pub crowded: Option<(Loaded, Report)>,
    /// `VmHWM` after both.
    pub peak_kib: u64,
}

/// Steady changes for a while.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Loaded {
    pub nanoseconds: u64,
    /// Changes made in this time.
    pub events: u64,
    /// From before a change until its row was seen, for each change that was looked at.
    pub sampled: Vec<u64>,
    /// Changes that were looked at and whose row was not seen to change in time.
    pub missed: usize,
    /// In this time.
    pub cpu: Cpu,
    /// CPU time of whoever made the changes and looked at them; the kernel's work for a change is a part of it.
    pub lab_ns: u64,
    /// Whether every row was right a while after the last change.
    pub right: bool,
    pub wrong: usize,
}

/// A process that has nothing to do.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    /// `VmHWM`: the most it ever had.
    pub peak_kib: u64,
    /// `Pss` now.
    pub pss_kib: u64,
    pub threads: u64,
    /// Voluntary context switches of all threads, for each second.
    pub wakeups_per_second: f64,
    /// Size of the executable's file.
    pub file_bytes: u64,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Instructions {
    /// From start to end, these events among them.
    pub collected: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_and_answers_are_lines() {
        for request in [Request::SetUp { ports: 32, rules: false }, Request::Restart { warm: true }, Request::TakeDown]
        {
            let line = serde_json::to_string(&request).unwrap();
            assert!(!line.contains('\n'));
            assert_eq!(serde_json::from_str::<Request>(&line).unwrap(), request);
        }
        let answer = Answer::Failed("a\nb".to_owned());
        let line = serde_json::to_string(&answer).unwrap();
        assert!(!line.contains('\n'));
        assert_eq!(serde_json::from_str::<Answer>(&line).unwrap(), answer);
    }
}
