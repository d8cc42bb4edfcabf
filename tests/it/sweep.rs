//! Faults at every place where the daemon waits for Redis. A proxy counts the commands of a run without a fault; then the run is
//! repeated, and each time the next command is struck: its connection is cut before it, after it or within its reply, its reply
//! is held back while the kernel goes on, or a signal comes. Whatever was struck, the end is the same. `SWEEP=all` strikes at
//! each command in each way, without it each is struck in some ways. Further tests are of single faults.

mod ground;
mod proxy;
mod servers;
mod single;

use ground::{Ground, Run, Strike};

const ALL: [Strike; 6] =
    [Strike::CutBefore, Strike::CutAfter, Strike::CutInReply, Strike::Change, Strike::Term, Strike::Kill];

/// Repeats a run with faults at each of its commands: with all of these, or with some in turn.
fn sweep(run: Run, strikes: &[Strike]) {
    let all = std::env::var("SWEEP").is_ok_and(|value| value == "all");
    let mut ground = Ground::new(run);
    let count = match ground.repeat(None) {
        Ok(seen) => seen.len(),
        Err(problem) => panic!("{run:?} without a fault: {problem}"),
    };
    assert!(count > 2, "{run:?} makes {count} commands");
    let (mut cases, mut struck, mut failures) = (0, 0, Vec::new());
    let began = std::time::Instant::now();
    let of_each = match run {
        _ if all => strikes.len(),
        // These wait for the daemon's pauses.
        Run::Reconnect | Run::EndAway => 1,
        _ => 2,
    };
    for n in 1..=count {
        for strike in strikes.iter().cycle().skip(n * of_each).take(of_each) {
            cases += 1;
            let outcome = ground.repeat(Some((n, *strike)));
            let command = ground.proxy.struck();
            struck += usize::from(command.is_some());
            if let Err(problem) = outcome {
                let command = command.unwrap_or_default();
                eprintln!("{strike:?} at {n} ({command}): {problem}");
                failures.push(format!("{strike:?} at {n} of {count} ({command}): {problem}\n{}", ground.log_end()));
                ground.renew();
            }
        }
    }
    eprintln!(
        "{run:?}: {count} commands, {cases} cases, {struck} struck, {} failed, {:?}",
        failures.len(),
        began.elapsed()
    );
    assert!(failures.is_empty(), "{run:?}: {} of {cases} cases failed:\n{}", failures.len(), failures.join("\n\n"));
}

#[test]
fn cold_starts() {
    sweep(Run::Cold, &ALL);
}

#[test]
fn warm_starts() {
    sweep(Run::Warm, &ALL);
}

#[test]
fn live_starts() {
    sweep(Run::Live, &ALL);
}

#[test]
fn reconnects_with_rows_pending() {
    sweep(Run::Reconnect, &ALL);
}

#[test]
fn audits() {
    sweep(Run::Audit, &ALL);
}

#[test]
fn ends_with_rows_under_way() {
    sweep(Run::End, &ALL[..4]);
}

#[test]
fn ends_during_a_reconnect_with_rows_pending() {
    sweep(Run::EndAway, &ALL[..4]);
}
