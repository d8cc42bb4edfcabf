use portsyncd::api::{Durations, EventStats, Part};

use super::*;

/// A switch at work at time 10,000.
pub fn well() -> Status {
    let component = |name: &str, required| ComponentStatus {
        name: name.to_owned(),
        ready: true,
        required,
        reason: None,
        since: 2000.0,
    };
    let part = |name: &str, weight: u8| Part { name: name.to_owned(), weight, points: weight.into(), reason: None };
    Status {
        version: "0.1.0".to_owned(),
        commit: "unknown".to_owned(),
        pid: 4711,
        host: "switch1".to_owned(),
        started: 2001.0,
        uptime: 7999.0,
        summary: "in service, 32 ports are in step, 30 of them up".to_owned(),
        ready: true,
        components: [("kernel", true), ("redis", true), ("rows", true), ("ports", true), ("http", false)]
            .map(|(name, required)| component(name, required))
            .into(),
        health: Health {
            score: 100,
            parts: [
                ("redis", 30),
                ("rows", 20),
                ("start", 20),
                ("kernel", 15),
                ("drift", 5),
                ("latency", 5),
                ("services", 5),
            ]
            .map(|(name, weight)| part(name, weight))
            .into(),
        },
        ports: PortCounts { total: 32, up: 30, down: 1, admin_down: 1, ..PortCounts::default() },
        start: Start { kind: Some("cold".to_owned()), done: true, seconds: 1.24, ..Start::default() },
        starts: Starts {
            cold: 3,
            warm: 1,
            live: 12,
            completed: 16,
            durations: Some(Durations { count: 16, min: 0.1, avg: 0.5, max: 3.2, p50: 0.4, p90: 2.0, p99: 3.2 }),
            ..Starts::default()
        },
        events: EventStats {
            total: 1234,
            latency: Latency { count: 1200, p50: Some(61e-6), p90: Some(120e-6), p99: Some(1.2e-3) },
            recent_latency: None,
        },
        redis: Redis {
            up: ["APPL_DB", "CONFIG_DB", "STATE_DB"].map(|name| (name.to_owned(), true)).into(),
            written: 1266,
            latency: Latency { count: 900, p50: Some(40e-6), p90: Some(80e-6), p99: Some(1.0) },
            ..Redis::default()
        },
        kernel: Kernel {
            receive_buffer: 33_554_432,
            resyncs: [("audit", 133), ("overrun", 0), ("start", 1)]
                .map(|(cause, times)| (cause.to_owned(), times))
                .into(),
            last_resync: Some(9988.0),
            ..Kernel::default()
        },
        receivers: Vec::new(),
        state_file: StateFile {
            path: "/var/lib/portsyncd/state".to_owned(),
            written: Some(9808.0),
            ..StateFile::default()
        },
    }
}

#[test]
fn a_switch_at_work_reads_like_this() {
    let text = told(&well(), None, 10_000.0, Paint { on: false });
    assert_eq!(
        text,
        "\
portsyncd 0.1.0 on switch1, process 4711, up 2h 13m
in service, 32 ports are in step, 30 of them up

ready       yes
  kernel    ready for 2h 13m
  redis     ready for 2h 13m
  rows      ready for 2h 13m
  ports     ready for 2h 13m
  http      ready for 2h 13m
health      100 of 100
ports       32 in all, 30 up, 1 down, 1 admin down
start       cold, PortInitDone after 1.2 s
starts      3 cold, 1 warm, 12 live, 16 completed, 0 timed out
  took      100 ms to 3.2 s, half of them up to 400 ms
events      1,234 link messages
  latency   p50 61 µs, p90 120 µs, p99 1.2 ms, from a message to Redis' acknowledgement
redis       APPL_DB up, CONFIG_DB up, STATE_DB up, 0 rows pending, 1,266 written
  a batch   p50 40 µs, p90 80 µs, p99 ≥ 1 s, from sending rows to their acknowledgement
kernel      receive buffer 32 MiB, 0 overruns, compared with Redis 12s ago
  compared  audit 133, start 1
state file  /var/lib/portsyncd/state, written 3m 12s ago
"
    );
}

#[test]
fn what_is_wrong_is_told_with_its_reason() {
    let mut status = well();
    status.ready = false;
    status.summary = "redis: connection refused\x1b[2J".to_owned();
    let reason = "cannot connect to Redis: connection refused".to_owned();
    status.components[1].ready = false;
    status.components[1].reason = Some(reason.clone());
    status.components[4].ready = false;
    status.components[4].reason = Some("the port is taken".to_owned());
    status.health.score = 70;
    status.health.parts[0].points = 0.0;
    status.health.parts[0].reason = Some(reason);
    status.redis.up.insert("STATE_DB".to_owned(), false);
    status.start.done = false;
    status.start.awaited = 3;
    status.start.awaited_first = vec!["Ethernet0".to_owned(), "Ethernet4".to_owned()];
    status.start.timed_out = true;
    status.kernel.drift_found = 1;
    status.state_file.corruptions = 2;
    status.redis.reconnects = 1;
    status.ports.out_of_step = 2;
    let text = told(&status, Some("1 critical firing".to_owned()), 10_000.0, Paint { on: false });
    for line in [
        "ready       no\n",
        "  redis     not ready for 2h 13m: cannot connect to Redis: connection refused\n",
        "  http      not ready for 2h 13m: the port is taken (the ports do not need it)\n",
        "health      70 of 100\n  redis     0 of 30: cannot connect to Redis: connection refused\nalerts      1 critical firing\nports",
        "STATE_DB down",
        "start       cold, PortInitDone is due for 1.2 s, timed out, 3 awaited (Ethernet0 Ethernet4 …)\n",
        "  drift     1 row found to differ, 0 mended\n",
        "found damaged 2 times",
        " 1 reconnect\n",
        "1 admin down, 2 out of step\n",
        "refused?[2J\n",
    ] {
        assert!(text.contains(line), "{text} lacks {line:?}");
    }
    let colours = told(&status, None, 10_000.0, Paint { on: true });
    assert!(colours.contains("\x1b[31mno\x1b[0m") && colours.contains("\x1b[33m70 of 100\x1b[0m"), "{colours}");
}

#[test]
fn alerts_that_cannot_be_read_are_said_and_hide_nothing_else() {
    let paint = Paint { on: false };
    assert_eq!(alerts_line(Ok(AlertList::default()), paint), None);
    let line = alerts_line(Err(ControlError::Declined("evaluation\nhangs".to_owned())), paint);
    let text = told(&well(), line, 10_000.0, paint);
    assert!(text.contains("\nalerts      cannot be read: evaluation?hangs\nports "), "{text}");
}

#[test]
fn a_receiver_that_fails_is_named_with_its_reason() {
    let mut status = well();
    let pager = ReceiverStatus {
        sink: "pager".to_owned(),
        receiver: "https://pager.example".to_owned(),
        ..ReceiverStatus::default()
    };
    status.receivers = vec![pager.clone()];
    assert!(told(&status, None, 10_000.0, Paint { on: false }).contains("receivers   1 receiver of alerts\n"));
    let noc = ReceiverStatus { sink: "noc".to_owned(), failing_since: Some(9_940.0), waiting: 3, ..pager };
    status.receivers.push(ReceiverStatus { problem: Some("answered 503".to_owned()), ..noc });
    let text = told(&status, None, 10_000.0, Paint { on: false });
    assert!(text.contains("receivers   2 receivers of alerts, 1 of them failing\n"), "{text}");
    assert!(text.contains("  noc       failing for 1m 0s, 3 waiting: https://pager.example: answered 503\n"), "{text}");
}
