//! What survives a restart of the daemon, and what does not stop it.
#![allow(clippy::float_cmp, reason = "counts, exact as numbers of /metrics")]

use std::collections::BTreeMap;

use crate::fixture::http::get;
use crate::fixture::{LIMIT, Rig};
use portsyncd::api::{PortList, Status};
use portsyncd::lab::wait;

const FLAPS: &str = "portsyncd_port_flaps_total{port=\"Ethernet0\"}";

fn flap(rig: &Rig, times: usize) {
    for _ in 0..times {
        rig.up("Ethernet0");
        rig.expect_row("Ethernet0", "up", "up", 1500);
        rig.down("Ethernet0");
        rig.expect_row("Ethernet0", "down", "down", 1500);
    }
}

fn at_work_with_state() -> Rig {
    let mut rig = Rig::new(1);
    rig.set("PORTSYNCD_STATE__SAVE_INTERVAL", "1s");
    rig.set_to_work()
}

#[test]
fn flaps_starts_and_counters_go_on_after_a_restart() {
    let mut rig = at_work_with_state();
    flap(&rig, 3);
    rig.expect_metric(FLAPS, |flaps| flaps == 6.0);
    assert_eq!(rig.term(), Some(0));
    assert!(rig.state_dir().join("state.json").is_file());
    rig.start();
    rig.expect_metric("portsyncd_live_restarts_total", |count| count == 1.0);
    rig.expect_metric("portsyncd_cold_starts_total", |count| count == 1.0);
    rig.expect_metric(FLAPS, |flaps| flaps == 6.0);
    rig.until("the history", || {
        let ports: PortList = rig.api("/api/v1/ports");
        ports.ports.first().is_some_and(|port| port.history.len() == 6)
    });
    rig.until("both starts", || {
        let status: Status = rig.api("/api/v1/status");
        status.starts.durations.is_some_and(|durations| durations.count == 2) && status.starts.completed == 2
    });
    flap(&rig, 1);
    rig.expect_metric(FLAPS, |flaps| flaps == 8.0);
}

#[test]
fn flaps_while_the_daemon_is_away_are_counted_by_the_next_start() {
    let mut rig = at_work_with_state();
    flap(&rig, 1);
    rig.expect_metric(FLAPS, |flaps| flaps == 2.0);
    assert_eq!(rig.term(), Some(0));
    for up in [true, false, true] {
        let change = if up { Rig::up } else { Rig::down };
        change(&rig, "Ethernet0");
        rig.until("the carrier to follow", || rig.link("Ethernet0").running == up);
    }
    rig.start();
    rig.expect_row("Ethernet0", "up", "up", 1500);
    rig.expect_metric(FLAPS, |flaps| flaps == 5.0);
    let ports: PortList = rig.api("/api/v1/ports");
    assert_eq!(ports.ports[0].history.len(), 2, "when they were is not known: {ports:?}");
    rig.down("Ethernet0");
    rig.expect_metric(FLAPS, |flaps| flaps == 6.0);
}

#[test]
fn a_crash_loses_no_more_than_the_last_interval() {
    let mut rig = at_work_with_state();
    flap(&rig, 2);
    rig.until("the state file to have them", || {
        std::fs::read_to_string(rig.state_dir().join("state.json")).is_ok_and(|text| text.contains("\"Ethernet0\""))
    });
    rig.crash();
    rig.start();
    rig.expect_metric(FLAPS, |flaps| flaps > 0.0);
}

/// The interval is long, so that the state file has nothing of it.
#[test]
fn a_counter_that_was_shown_never_goes_back_over_a_crash() {
    let mut rig = Rig::new(1);
    rig.set("PORTSYNCD_STATE__SAVE_INTERVAL", "1h");
    let mut rig = rig.set_to_work();
    flap(&rig, 3);
    let counters = |rig: &Rig| -> BTreeMap<String, f64> {
        let text = wait::until_some("/metrics", LIMIT, || get(rig.http(), "/metrics").ok()).unwrap().body;
        let ours = ["portsyncd_port_flaps_total", "portsyncd_cold_starts_total", "portsyncd_resyncs_total"];
        let samples = text.lines().filter(|line| ours.iter().any(|name| line.starts_with(name)));
        samples
            .map(|line| line.rsplit_once(' ').unwrap())
            .map(|(name, value)| (name.to_owned(), value.parse().unwrap()))
            .collect()
    };
    for _ in 0..3 {
        flap(&rig, 1);
        let shown = counters(&rig);
        assert!(shown["portsyncd_port_flaps_total{port=\"Ethernet0\"}"] >= 2.0, "{shown:?}");
        rig.crash();
        rig.start();
        // One that is not known yet has no value, and none that is less.
        rig.until("every counter", || {
            let now = counters(&rig);
            shown.iter().all(|(name, before)| {
                now.get(name).is_some_and(|now| {
                    assert!(now >= before, "{name}: {before} before, {now} now");
                    true
                })
            })
        });
    }
}

#[test]
fn a_damaged_file_falls_back_to_an_older_one_and_is_reported() {
    let mut rig = at_work_with_state();
    flap(&rig, 1);
    assert_eq!(rig.term(), Some(0));
    rig.start();
    flap(&rig, 1);
    assert_eq!(rig.term(), Some(0));
    let file = rig.state_dir().join("state.json");
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    rig.start();
    rig.expect_metric("portsyncd_state_file_corruptions_total", |count| count == 1.0);
    rig.expect_metric("portsyncd_state_file_recoveries_total", |count| count == 1.0);
    rig.expect_metric(FLAPS, |flaps| flaps >= 2.0);
    rig.expect_log("state file is damaged");
    rig.until("the damaged file to be kept", || {
        let mut kept = std::fs::read_dir(rig.state_dir()).unwrap().filter_map(Result::ok);
        kept.any(|entry| entry.file_name().to_string_lossy().contains("damaged"))
    });
}

/// A folder below a file can neither be made nor written, whoever runs this.
#[test]
fn a_folder_that_cannot_be_written_stops_nothing() {
    let mut rig = Rig::new(1);
    let file = rig.dir().join("file");
    std::fs::write(&file, "").unwrap();
    rig.set("PORTSYNCD_STATE__DIR", file.join("state").to_str().unwrap());
    let mut rig = rig.set_to_work();
    rig.up("Ethernet0");
    rig.expect_row("Ethernet0", "up", "up", 1500);
    rig.expect_metric("portsyncd_component_ready{component=\"state\"}", |ready| ready == 0.0);
    rig.until("readiness", || get(rig.http(), "/readyz").is_ok_and(|answer| answer.code == 200));
    rig.until("a score that tells of it", || {
        let status: Status = rig.api("/api/v1/status");
        (95..100).contains(&status.health.score)
    });
    assert_eq!(rig.term(), Some(0));
}

/// A pipe in place of the lock is opened only once somebody writes to it, unless it is asked otherwise.
#[test]
fn a_pipe_or_a_link_in_place_of_the_lock_stops_nothing() {
    for (kind, reason) in [("pipe", "something else than a regular file"), ("link", "remove the symbolic link")] {
        let mut rig = Rig::new(1);
        std::fs::create_dir(rig.state_dir()).unwrap();
        let (lock, other) = (rig.state_dir().join("state.lock"), rig.dir().join("other"));
        std::fs::write(&other, "somebody's").unwrap();
        match kind {
            "pipe" => nix::unistd::mkfifo(&lock, nix::sys::stat::Mode::S_IRWXU).unwrap(),
            _ => std::os::unix::fs::symlink(&other, &lock).unwrap(),
        }
        rig.set("PORTSYNCD_STATE__SAVE_INTERVAL", "1s");
        let mut rig = rig.set_to_work();
        rig.up("Ethernet0");
        rig.expect_row("Ethernet0", "up", "up", 1500);
        let status = || rig.api::<Status>("/api/v1/status");
        let state = || status().components.into_iter().find(|component| component.name == "state").unwrap();
        rig.until("the reason", || {
            state().reason.is_some_and(|said| said.contains(reason) && said.contains("state.lock"))
        });
        assert!(!state().ready);
        rig.until("the control socket", || rig.control_socket().exists());
        assert_eq!(std::fs::read_to_string(&other).unwrap(), "somebody's");
        std::fs::remove_file(&lock).unwrap();
        rig.until("the state to be saved", || state().ready);
        assert_eq!(rig.term(), Some(0));
        assert!(rig.state_dir().join("state.json").is_file());
    }
}

/// The limit of threads does not hold for root, so that the daemon runs as somebody else; where there is nobody else, because
/// this is root of a user namespace only, in a further namespace, which counts anew.
#[test]
fn a_daemon_that_gets_no_more_threads_serves_ports_and_http() {
    let mut rig = Rig::new(1);
    let sink = "[[alerts.sink]]\nname = \"far\"\ntype = \"webhook\"\nurl = \"http://nowhere.invalid/\"\nrules = [\"*\"]\n\
                group_interval = \"0s\"\n";
    let file = rig.dir().join("portsyncd.toml");
    std::fs::write(&file, sink).unwrap();
    rig.argument("--config");
    rig.argument(file.to_str().unwrap());
    rig.open_to_everybody();
    // The daemon has a thread for the core and one for what runs beside it.
    let whole = std::fs::read_to_string("/proc/self/uid_map").unwrap().trim_end().ends_with("4294967295");
    let another: &[&str] =
        if whole { &["setpriv", "--reuid", "64321", "--clear-groups"] } else { &["unshare", "--user"] };
    rig.run_by(&[another, &["prlimit", "--nproc=2"]].concat());
    let mut rig = rig.set_to_work();
    rig.up("Ethernet0");
    rig.expect_row("Ethernet0", "up", "up", 1500);
    rig.expect_metric("portsyncd_sidecar_restarts_total{part=\"state\"}", |count| count > 1.0);
    rig.expect_metric("portsyncd_component_ready{component=\"state\"}", |ready| ready == 0.0);
    assert_eq!(rig.log_count("cannot start a thread for the state file"), 1);
    assert_eq!(rig.term(), Some(0));
}

#[test]
fn nothing_is_written_where_it_is_turned_off() {
    let mut rig = Rig::new(1);
    rig.set("PORTSYNCD_STATE__DIR", "");
    let mut rig = rig.set_to_work();
    assert_eq!(rig.term(), Some(0));
    assert!(!rig.state_dir().exists());
}
