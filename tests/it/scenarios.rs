//! Every scenario file holds for this daemon: docs/scenarios.md.

use std::process::Command;

#[test]
fn every_scenario_agrees() {
    let output = Command::new(env!("CARGO_BIN_EXE_portsyncd-lab"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["conformance", "--bin", env!("CARGO_BIN_EXE_portsyncd"), "tests/scenarios"])
        .env_remove("PORTSYNCD_REWRITE")
        .output()
        .expect("portsyncd-lab starts");
    let text = [output.stderr, output.stdout].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(output.status.success(), "{}\n{text}", output.status);
}

#[test]
fn a_bad_file_is_told_with_its_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("bad.toml");
    std::fs::write(&file, "title = \"x\"\n\n[[step]]\nname = \"a\"\ndo = [\"strat\"]\n").expect("a file");
    let output = Command::new(env!("CARGO_BIN_EXE_portsyncd-lab"))
        .args(["conformance", "--bin", env!("CARGO_BIN_EXE_portsyncd")])
        .arg(&file)
        .output()
        .expect("portsyncd-lab starts");
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(78), "{text}");
    for part in ["bad.toml", "line 5", "strat", "start"] {
        assert!(text.contains(part), "{part} is missing in: {text}");
    }
}

#[test]
fn a_program_that_is_no_portsyncd_differs() {
    let output = Command::new(env!("CARGO_BIN_EXE_portsyncd-lab"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["conformance", "--json", "--bin", "/bin/true", "tests/scenarios/empty_config_db.toml"])
        .env_remove("PORTSYNCD_REWRITE")
        .output()
        .expect("portsyncd-lab starts");
    assert_eq!(output.status.code(), Some(1));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(report["agree"], false);
    let differences = report["scenarios"][0]["differences"].as_array().expect("differences");
    assert!(differences.iter().any(|d| d["what"] == "the daemon's end"), "{differences:?}");
}
