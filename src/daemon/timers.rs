//! The moments at which something is to be done though nothing happened. Each is `None` while it has nothing to do, so that
//! an idle daemon sleeps until the next audit.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

const FIRST_AWAITED_REPORT: Duration = Duration::from_secs(10);
const LAST_AWAITED_REPORT: Duration = Duration::from_secs(600);
const LEFT_OUT_REPORT: Duration = Duration::from_secs(10);
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LAST_PAUSE: Duration = Duration::from_secs(5);

/// See the module.
#[derive(Debug)]
pub(super) struct Timers {
    pub watchdog: Option<(Instant, Duration)>,
    pub heartbeat: Option<(Instant, Duration)>,
    pub audit: Option<Instant>,
    /// Redis refused rows: not before this time again.
    pub write_again: Option<Instant>,
    /// Redis refused `PortInitDone`: not before this time again.
    pub publish_again: Option<Instant>,
    pub left_out: Option<Instant>,
    /// When to name the awaited ports, how long to wait after that, and since when they are awaited.
    pub awaited: Option<(Instant, Duration, Instant)>,
    refusals: u32,
}

/// The one timer of the loop. Setting it costs more than an event does, so a deadline that moves away leaves it as it is:
/// it then goes off early, once, and is set anew.
#[derive(Debug)]
pub(super) struct Alarm(Pin<Box<Sleep>>);

impl Alarm {
    pub fn new() -> Self {
        Self(Box::pin(sleep_until(Instant::now())))
    }

    /// Comes back at `deadline`; never, if there is none. Cancel safe.
    pub async fn at(&mut self, deadline: Option<Instant>) {
        poll_fn(|context| {
            let Some(deadline) = deadline else { return Poll::Pending };
            if self.0.deadline() > deadline {
                self.0.as_mut().reset(deadline);
            }
            while self.0.as_mut().poll(context).is_ready() {
                if Instant::now() >= deadline {
                    return Poll::Ready(());
                }
                self.0.as_mut().reset(deadline);
            }
            Poll::Pending
        })
        .await;
    }
}

impl Timers {
    pub fn new(watchdog: Option<Duration>, heartbeat: Duration) -> Self {
        let mut timers = Self {
            watchdog: watchdog.map(|every| (Instant::now(), every)),
            heartbeat: None,
            audit: None,
            write_again: None,
            publish_again: None,
            left_out: None,
            awaited: None,
            refusals: 0,
        };
        timers.set_heartbeat(heartbeat);
        timers
    }

    pub fn set_heartbeat(&mut self, every: Duration) {
        self.heartbeat = (!every.is_zero()).then(|| (Instant::now() + every, every));
    }

    pub fn set_audit(&mut self, interval: Duration) {
        self.audit = (!interval.is_zero()).then(|| Instant::now() + interval);
    }

    /// The next one that a turn itself deals with.
    pub fn next_service(&self) -> Option<Instant> {
        let regular = [self.watchdog, self.heartbeat].map(|timer| timer.map(|(at, _)| at));
        let once = [self.write_again, self.left_out, self.awaited.map(|(at, ..)| at)];
        regular.into_iter().chain(once).flatten().min()
    }

    /// The next one, `others` included, at which the daemon has work to begin.
    pub fn next_work(&self, others: [Option<Instant>; 2]) -> Option<Instant> {
        [self.audit, self.publish_again].into_iter().chain(others).flatten().min()
    }

    /// Redis refused something: when to try again.
    pub fn refused(&mut self) -> Instant {
        let pause = (FIRST_PAUSE * 2u32.saturating_pow(self.refusals)).min(LAST_PAUSE);
        self.refusals = (self.refusals + 1).min(10);
        Instant::now() + pause.mul_f64(0.75 + fastrand::f64() / 2.0)
    }

    /// Whether the last thing that was sent was refused.
    pub fn is_refused(&self) -> bool {
        self.refusals > 0
    }

    /// Redis takes writes again. True if it did not before.
    pub fn accepted(&mut self) -> bool {
        std::mem::take(&mut self.refusals) > 0
    }

    pub fn start_awaiting(&mut self) {
        let now = Instant::now();
        self.awaited = Some((now + FIRST_AWAITED_REPORT, FIRST_AWAITED_REPORT * 2, now));
    }

    /// Whether it is time to name the awaited ports: then, for how long they are awaited.
    pub fn awaited_due(&mut self, now: Instant) -> Option<Duration> {
        let (at, pause, since) = self.awaited?;
        if at > now {
            return None;
        }
        self.awaited = Some((now + pause, (pause * 2).min(LAST_AWAITED_REPORT), since));
        Some(now - since)
    }

    pub fn left_out_since(&mut self, any: bool) {
        if any && self.left_out.is_none() {
            self.left_out = Some(Instant::now() + LEFT_OUT_REPORT);
        }
    }
}
