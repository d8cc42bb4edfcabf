//! The integration tests: the real binary, a real Redis, real links, each test in a network namespace of its own thread.
//! `cargo test --test it outage::` runs one module of them. Tests that are ignored need programs
//! that not everybody has; they are run by name, and fail if the program is missing: `make test-page`, `make test-monitoring`,
//! `make test-alertmanager`.
#![allow(clippy::unwrap_used, reason = "a test has nobody else to tell")]

mod alert_model;
mod alert_oracle;
mod alertmanager;
mod alerts;
mod alerts_command;
mod architecture;
mod bench;
mod control;
mod control_client;
mod delivery;
mod faults;
mod fixture;
mod honesty;
mod http;
mod lab;
mod lab_seed;
mod lab_switch;
mod links;
mod model;
mod monitoring;
mod observe;
mod operation;
mod outage;
mod page;
mod reach;
mod reliability;
mod scenarios;
mod sinks;
mod sonic_events;
mod start;
mod state;
mod sweep;

use std::fs;
use std::path::{Path, PathBuf};

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

/// Cargo looks for no tests by itself, and a file without its `mod` is not compiled.
#[test]
fn no_file_is_forgotten() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let main = root.join("tests/it/main.rs");
    let manifest = fs::read_to_string(root.join("Cargo.toml")).unwrap();
    for file in rust_files(&root.join("tests")) {
        let relative = file.strip_prefix(root).unwrap().display();
        let folder = file.parent().unwrap();
        if folder == root.join("tests") || file == main {
            assert!(manifest.contains(&format!("path = \"{relative}\"")), "Cargo.toml has no test {relative}");
            continue;
        }
        let parent = if folder == main.parent().unwrap() { main.clone() } else { folder.with_extension("rs") };
        let module = format!("mod {};", file.file_stem().unwrap().display());
        let text = fs::read_to_string(&parent).unwrap();
        let named = text.lines().any(|line| line.trim_start_matches("pub ") == module);
        assert!(named, "{relative}: {} has no `{module}`", parent.display());
    }
}
