//! The moments at which something is to be done though nothing happened. Each is `None` while it has nothing to do, so that
//! an idle daemon sleeps until the next audit.

use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::time::Duration;

use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::Instant;

use crate::backoff::{Backoff, Pauses};

const AWAITED_REPORTS: Backoff = Backoff { min: Duration::from_secs(10), max: Duration::from_secs(600), jitter: 0.0 };
const LEFT_OUT_REPORT: Duration = Duration::from_secs(10);
/// How often more time for the start is asked for.
const STARTING: Duration = Duration::from_secs(10);
/// Between attempts at what Redis refuses.
const REFUSED: Backoff = Backoff { min: Duration::from_millis(50), max: Duration::from_secs(5), jitter: 0.5 };

#[derive(Debug, Default)]
pub(super) struct Timers {
    pub watchdog: Option<Regular>,
    pub heartbeat: Option<Regular>,
    /// Asks the supervisor for more time, until the daemon is in service.
    pub starting: Option<Regular>,
    /// Redis refused rows: not before this time again.
    pub write_again: Option<Instant>,
    /// Redis refused what was to be published: not before this time again.
    pub publish_again: Option<Instant>,
    pub left_out: Option<Instant>,
    /// When to name the awaited ports, how long to wait after that, and since when they are awaited.
    pub awaited: Option<(Instant, Pauses, Instant)>,
    /// When the start has taken too long.
    pub sync_limit: Option<Instant>,
    /// While Redis refuses something.
    refused: Option<Pauses>,
    /// Rows that Redis refused since the start.
    refusals: usize,
}

/// What is to be done again and again.
#[derive(Debug)]
pub(super) struct Regular {
    at: Instant,
    every: Duration,
}

impl Regular {
    /// Whether it is to be done now. The next time is later.
    pub fn is_due(&mut self, now: Instant) -> bool {
        let due = self.at <= now;
        if due {
            self.at = now + self.every;
        }
        due
    }
}

/// The one timer of the loop, a descriptor of the kernel's. One of the runtime would be handed to the kernel anew each time
/// that the loop waits, which costs as much as reading a message; this one only when a deadline comes nearer. One that moves
/// away leaves it as it is: it then goes off early, once, and is set anew.
#[derive(Debug)]
pub(super) struct Alarm {
    timer: AsyncFd<Descriptor>,
    set: Option<Instant>,
}

/// What the runtime asks of a descriptor.
#[derive(Debug)]
struct Descriptor(TimerFd);

impl AsRawFd for Descriptor {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

/// The earlier of two deadlines. Looked for at each turn, so that it is worth being plain.
pub(super) fn earlier(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, None) => one,
        (None, other) => other,
    }
}

impl Alarm {
    pub fn new() -> io::Result<Self> {
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC)?;
        #[expect(
            deprecated,
            reason = "the other way is unsafe code; the descriptor inside is never exchanged, which is what it is about"
        )]
        let timer = AsyncFd::with_interest(Descriptor(timer), Interest::READABLE)?;
        Ok(Self { timer, set: None })
    }

    /// Comes back at `deadline`; never, if there is none. It is `now`. Cancel safe.
    pub async fn at(&mut self, deadline: Option<Instant>, mut now: Instant) -> io::Result<()> {
        let Some(deadline) = deadline else { return std::future::pending().await };
        loop {
            if deadline <= now {
                return Ok(());
            }
            if self.set.is_none_or(|set| set > deadline || set <= now) {
                // Zero would turn it off.
                let left = (deadline - now).max(Duration::from_nanos(1));
                self.timer.get_ref().0.set(Expiration::OneShot(left.into()), TimerSetTimeFlags::empty())?;
                self.set = Some(deadline);
            }
            let mut ready = self.timer.readable().await?;
            // It went off, or was set anew meanwhile.
            let _ = self.timer.get_ref().0.wait();
            ready.clear_ready();
            now = Instant::now();
        }
    }
}

impl Timers {
    pub fn new(watchdog: Option<Duration>, heartbeat: Duration, sync_limit: Duration) -> Self {
        let now = Instant::now();
        let watchdog = watchdog.map(|every| Regular { at: now, every });
        let starting = Some(Regular { at: now, every: STARTING });
        let mut timers = Self { watchdog, starting, sync_limit: Some(now + sync_limit), ..Self::default() };
        timers.set_heartbeat(heartbeat);
        timers
    }

    pub fn set_heartbeat(&mut self, every: Duration) {
        self.heartbeat = (!every.is_zero()).then(|| Regular { at: Instant::now() + every, every });
    }

    /// The next one that a turn itself deals with.
    pub fn next_service(&self) -> Option<Instant> {
        let regular = earlier(self.watchdog.as_ref().map(|due| due.at), self.heartbeat.as_ref().map(|due| due.at));
        let starting = self.starting.as_ref().map(|due| due.at);
        let once = earlier(earlier(self.write_again, self.left_out), earlier(self.sync_limit, starting));
        earlier(earlier(regular, once), self.awaited.as_ref().map(|(at, ..)| *at))
    }

    /// Redis refused so many rows: when to try again.
    pub fn refused(&mut self, rows: usize) -> Instant {
        self.refusals += rows;
        Instant::now() + self.refused.get_or_insert_with(|| REFUSED.pauses()).next_pause()
    }

    /// How many rows Redis refused since the start.
    pub fn refusals(&self) -> usize {
        self.refusals
    }

    /// Whether the last thing that was sent was refused.
    pub fn is_refused(&self) -> bool {
        self.refused.is_some()
    }

    /// Whether something that Redis refused is not to be sent yet.
    pub fn is_held_back(&self, now: Instant) -> bool {
        self.write_again.is_some() || self.publish_again.is_some_and(|at| at > now)
    }

    /// Redis takes writes again. True if it did not before.
    pub fn accepted(&mut self) -> bool {
        self.refused.take().is_some()
    }

    pub fn start_awaiting(&mut self) {
        let (now, mut reports) = (Instant::now(), AWAITED_REPORTS.pauses());
        self.awaited = Some((now + reports.next_pause(), reports, now));
    }

    /// Whether it is time to name the awaited ports: then, for how long they are awaited.
    pub fn awaited_due(&mut self, now: Instant) -> Option<Duration> {
        let (at, reports, since) = self.awaited.as_mut().filter(|(at, ..)| *at <= now)?;
        *at = now + reports.next_pause();
        Some(now - *since)
    }

    pub fn left_out_since(&mut self, any: bool) {
        if any && self.left_out.is_none() {
            self.left_out = Some(Instant::now() + LEFT_OUT_REPORT);
        }
    }
}
