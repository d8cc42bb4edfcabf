//! Keeps a part of what runs beside the core at work: whatever ends it, a panic included, is said and counted, and the part
//! is started again.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::time::{Instant, sleep};
use tracing::error;

use crate::backoff::Backoff;
use crate::panics::panic_message;
use crate::telemetry::Component;
use crate::telemetry::Telemetry;
use crate::telemetry::labels::Sidecar;
use crate::telemetry::value::Label;

/// A part that ran for longer than the longest pause begins with the first again.
const BACKOFF: Backoff = Backoff { min: Duration::from_millis(100), max: Duration::from_secs(10), jitter: 0.5 };

/// What is not there while the part does not run.
fn components(part: Sidecar) -> &'static [Component] {
    match part {
        Sidecar::Http => &[Component::Http, Component::Control],
        Sidecar::State => &[Component::State],
        Sidecar::Alerts => &[],
    }
}

/// Runs the part until it ends by itself. One and the same reason is logged once.
pub(super) async fn supervise(part: Sidecar, telemetry: &Telemetry, run: impl AsyncFnMut() -> anyhow::Result<()>) {
    supervise_with(BACKOFF, part, telemetry, run).await;
}

async fn supervise_with(
    backoff: Backoff,
    part: Sidecar,
    telemetry: &Telemetry,
    mut run: impl AsyncFnMut() -> anyhow::Result<()>,
) {
    let (mut pauses, mut logged) = (backoff.pauses(), String::new());
    loop {
        let began = Instant::now();
        // What a part leaves behind after a panic is behind locks that nobody holds any longer, or is made anew.
        let reason = match AssertUnwindSafe(async { run().await }).catch_unwind().await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => format!("{error:#}"),
            Err(panic) => format!("panic: {}", panic_message(&*panic)),
        };
        telemetry.metrics.sidecar_restarts.count(part);
        for component in components(part) {
            telemetry.readiness.set_not_ready(*component, format!("starting again: {reason}"));
        }
        if began.elapsed() > backoff.max {
            pauses.reset();
        }
        if reason != logged {
            error!(
                part = part.text(),
                reason, "a part beside the core failed, starting it again; the ports do not need it"
            );
            logged = reason;
        }
        sleep(pauses.next_pause()).await;
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use anyhow::Context;

    use super::*;

    const AT_ONCE: Backoff = Backoff { min: Duration::from_micros(1), max: Duration::from_micros(10), jitter: 0.0 };

    #[tokio::test]
    async fn a_part_that_panics_is_counted_and_runs_again() {
        let telemetry = Telemetry::default();
        for component in [Component::Http, Component::Control, Component::State] {
            telemetry.readiness.set_ready(component);
        }
        let mut runs = 0;
        supervise_with(AT_ONCE, Sidecar::Http, &telemetry, async || {
            runs += 1;
            assert!(runs > 2, "run {runs}");
            let reason = telemetry.readiness.reason(Component::Control).unwrap();
            assert_eq!(reason, "starting again: panic: run 2");
            assert_eq!(telemetry.readiness.reason(Component::State), None);
            Ok(())
        })
        .await;
        assert_eq!((runs, telemetry.metrics.sidecar_restarts.of(Sidecar::Http)), (3, 2));
        assert_eq!(telemetry.metrics.sidecar_restarts.sum(), 2);
    }

    #[tokio::test]
    async fn a_part_whose_thread_cannot_be_made_is_tried_again() {
        let telemetry = Telemetry::default();
        let mut runs = 0;
        supervise_with(AT_ONCE, Sidecar::State, &telemetry, async || {
            runs += 1;
            // At first more than any address space has.
            let size = if runs < 10 { usize::MAX / 4 } else { 1 << 20 };
            thread::Builder::new().stack_size(size).spawn(|| ()).context("cannot start the thread")?;
            Ok(())
        })
        .await;
        assert_eq!(telemetry.metrics.sidecar_restarts.of(Sidecar::State), 9);
        let reason = telemetry.readiness.reason(Component::State).unwrap();
        assert!(reason.starts_with("starting again: cannot start the thread: "), "{reason}");
    }
}
