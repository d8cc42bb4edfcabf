//! The laboratory's measurements: that they work and tell right from wrong. They say nothing about speed here.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

fn bench(bin: &Path, arguments: &[&str]) -> (Output, serde_json::Value) {
    let output = Command::new(env!("CARGO_BIN_EXE_portsyncd-lab"))
        .args(["bench", "--short", "--json", "-", "--bin"])
        .arg(bin)
        .args(arguments)
        .output()
        .expect("portsyncd-lab starts");
    let report = serde_json::from_slice(&output.stdout).unwrap_or_default();
    (output, report)
}

fn script(folder: &Path, content: &str) -> std::path::PathBuf {
    let path = folder.join("wrong");
    std::fs::write(&path, format!("#!/bin/sh\n{content}\n")).expect("a script");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("an executable script");
    path
}

#[test]
fn this_daemon_ends_right_everywhere() {
    let (output, report) = bench(Path::new(env!("CARGO_BIN_EXE_portsyncd")), &[]);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{text}\n{report:#}");
    assert_eq!(report["right"], true);
    assert_eq!(report["wrong"][0], serde_json::json!([]));
    let rows = report["rows"].as_array().expect("rows");
    for measure in ["latency", "burst", "start", "restart", "load", "rules", "memory"] {
        let of: Vec<_> = rows.iter().filter(|row| row["measure"] == measure).collect();
        assert!(!of.is_empty(), "{measure} is missing");
        let said = |value: &serde_json::Value| !value["value"].is_null() || !value["text"].is_null();
        // Of so few events no share of the user's time can be told.
        let told = of.iter().filter(|row| row["quantity"] != "user part of it");
        assert!(told.clone().all(|row| said(&row["values"][0])), "{of:#?}");
    }
    let load = |quantity| {
        let row = rows.iter().find(|row| row["measure"] == "load" && row["quantity"] == quantity).expect("a row");
        (row["values"][0].clone(), row["values"][1]["text"].clone())
    };
    let (seen, of_the_floor) = load("clients");
    assert!(seen["text"].as_str().is_some_and(|text| text.contains("answers") && !text.starts_with('0')), "{seen}");
    assert_eq!(of_the_floor, "no HTTP");
    assert_eq!(load("ended").0["text"], "right, 2 of 2");
    for quantity in ["p99 with / without", "events with clients", "sent each second"] {
        assert!(load(quantity).0["value"].as_f64().is_some_and(|value| value > 0.0), "{quantity}: {report:#}");
    }
    let generated = &report["generated"][0];
    assert_eq!((&generated["ports"], &generated["wrong"]), (&512.into(), &0.into()), "{generated}");
    for messages in ["allocations", "allocations_real"] {
        assert_eq!(generated[messages], 0, "an event allocates nothing in the steady state: {generated}");
    }
    let p50 = rows.iter().find(|row| row["quantity"] == "p50").expect("a median");
    assert!(p50["ratios"][0].as_f64().is_some_and(|ratio| ratio > 0.0), "{p50}");
}

#[test]
fn a_program_that_does_nothing_or_ends_is_told_and_the_other_goes_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let ends = script(folder.path(), "echo no such luck >&2; exit 3");
    let against = env!("CARGO_BIN_EXE_portsyncd");
    let (output, report) = bench(&ends, &["--against", against, "--only", "start,latency", "--ports", "8"]);
    assert_eq!(output.status.code(), Some(1), "{report:#}");
    assert_eq!(report["right"], false);
    let wrong = report["wrong"][0].to_string();
    assert!(wrong.contains("exit status: 3") && wrong.contains("no such luck"), "{wrong}");
    assert_eq!(report["wrong"][1], serde_json::json!([]));
    let seen = report["rows"].as_array().expect("rows").iter().find(|row| row["quantity"] == "events seen");
    assert_eq!(seen.map(|row| &row["values"][1]["text"]), Some(&serde_json::json!("all 100")));

    let sleeps = script(folder.path(), "exec sleep 1000");
    let (output, report) = bench(&sleeps, &["--only", "latency", "--ports", "8"]);
    assert_eq!(output.status.code(), Some(1), "{report:#}");
    assert!(report["wrong"][0].to_string().contains("did not write _PORT_TABLE:PortConfigDone"), "{report:#}");
}

#[test]
fn wrong_usage_is_told() {
    let daemon = Path::new(env!("CARGO_BIN_EXE_portsyncd"));
    let none = Path::new("/nonexistent/portsyncd");
    for (bin, arguments, part) in [
        (none, &[][..], "--bin"),
        (daemon, &["--against", "/none"], "--against"),
        (daemon, &["--ports", "0"], "--ports"),
    ] {
        let (output, _) = bench(bin, arguments);
        assert_eq!(output.status.code(), Some(64));
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn alert_rules_are_changed_while_the_daemon_runs_and_are_evaluated() {
    let daemon = env!("CARGO_BIN_EXE_portsyncd");
    let folder = tempfile::tempdir().expect("a folder");
    let ends = script(folder.path(), "exit 3");
    let against = ends.to_str().expect("a path");
    let (output, report) = bench(Path::new(daemon), &["--against", against, "--only", "rules"]);
    assert_eq!(output.status.code(), Some(0), "{}\n{report:#}", String::from_utf8_lossy(&output.stderr));
    assert!(report["wrong"][1].to_string().contains("exit status: 3"), "{report:#}");
    let rows = report["rows"].as_array().expect("rows");
    let cell = |what: &str, quantity: &str| {
        let row = rows.iter().find(|row| row["what"] == what && row["quantity"] == quantity);
        row.unwrap_or_else(|| panic!("{what}, {quantity}: {report:#}"))["values"][0].clone()
    };
    for what in ["32 ports, 0 rules", "32 ports, 50 rules"] {
        assert!(cell(what, "evaluations")["value"].as_f64().is_some_and(|count| count >= 2.0), "{what}: {report:#}");
        assert!(cell(what, "ended")["text"].as_str().is_some_and(|text| text.starts_with("right, ")), "{what}");
    }
    for quantity in ["p50", "p99", "CPU per event", "burst until all right", "burst CPU per event"] {
        let ratio = cell("32 ports, 50 rules", &format!("{quantity} / none"));
        assert_eq!(ratio["rounds"].as_array().map(Vec::len), Some(2), "{quantity}: {ratio}");
        assert!(ratio["value"].as_f64().is_some_and(|value| value > 0.0), "{quantity}: {ratio}");
    }
    let took = cell("32 ports, 50 rules", "each of them took");
    assert!(took["value"].as_f64().is_some_and(|nanoseconds| nanoseconds > 0.0), "{took}");
}
