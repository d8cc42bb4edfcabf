//! Programs: what they get, how they end, and how many there are.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::*;

fn program(dir: &Path, script: &str) -> PathBuf {
    let path = dir.join("program");
    fs::write(&path, format!("#!/bin/sh\ncd {}\n{script}\n", dir.display())).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

fn exec(program: &Path, more: &str) -> String {
    let program = program.display().to_string();
    format!("[[sink]]\nname = \"noc\"\ntype = \"exec\"\nprogram = {program:?}\n{more}\n")
}

#[tokio::test]
async fn a_program_gets_the_message_its_arguments_and_no_environment() {
    let dir = TempDir::new().unwrap();
    let program = program(dir.path(), "cat > message; echo \"$@\" > arguments; env | cut -d= -f1 | sort > environment");
    let sinks = sinks(&exec(&program, "arguments = [\"a b\", \"$HOME\"]"));
    sinks.notify(&[fires(0), resolved(4)]);
    until_counted(&sinks, "noc", DeliveryOutcome::Sent, 2).await;
    let read = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap();
    let message: serde_json::Value = serde_json::from_str(&read("message")).unwrap();
    assert_eq!(message["alerts"][1]["status"], "resolved");
    assert_eq!(read("arguments"), "a b $HOME\n");
    let environment = read("environment");
    // The shell itself sets the rest.
    let ours: Vec<_> = environment.lines().filter(|name| !["PWD", "OLDPWD", "SHLVL", "_"].contains(name)).collect();
    assert_eq!(ours, ["PATH", "PORTSYNCD_SINK"]);
}

#[tokio::test]
async fn a_program_that_fails_is_called_again_and_what_it_said_is_told() {
    let dir = TempDir::new().unwrap();
    let program = program(dir.path(), "[ -e second ] && exit 0; touch second; echo no paper >&2; exit 3");
    let sinks = sinks(
        &exec(&program, "").replace("\"5ms\"", "\"500ms\"").replace("max_backoff = \"20ms\"", "max_backoff = \"1s\""),
    );
    sinks.notify(&[fires(0)]);
    until_counted(&sinks, "noc", DeliveryOutcome::Retried, 1).await;
    let problem = sinks.states()[0].problem.clone().unwrap();
    assert!(problem.contains("exit status: 3") && problem.contains("no paper"), "{problem}");
    until_counted(&sinks, "noc", DeliveryOutcome::Sent, 1).await;
}

#[tokio::test]
async fn a_program_may_refuse_a_message_for_good() {
    let dir = TempDir::new().unwrap();
    let sinks = sinks(&exec(&program(dir.path(), "exit 65"), ""));
    sinks.notify(&[fires(0)]);
    until_counted(&sinks, "noc", DeliveryOutcome::Failed, 1).await;
    assert_eq!(count(&sinks, "noc", DeliveryOutcome::Retried), 0);
}

#[tokio::test]
async fn a_program_that_takes_too_long_is_killed_with_what_it_started() {
    let dir = TempDir::new().unwrap();
    let program =
        program(dir.path(), "[ -e pids ] && exit 0; sleep 1000 & echo $$ $! > pids.new; mv pids.new pids; wait");
    let sinks = sinks(&exec(&program, "timeout = \"1s\""));
    sinks.notify(&[fires(0)]);
    until_counted(&sinks, "noc", DeliveryOutcome::Sent, 1).await;
    assert_eq!(count(&sinks, "noc", DeliveryOutcome::Retried), 1);
    let pids = fs::read_to_string(dir.path().join("pids")).unwrap();
    for pid in pids.split_whitespace() {
        // Gone, or a zombie that init has not taken yet.
        let gone = || {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            std::future::ready(stat.rsplit(')').next().is_none_or(|rest| rest.is_empty() || rest.starts_with(" Z")))
        };
        wait::until_async(format!("the end of {pid}"), LIMIT, gone).await.unwrap();
    }
}

#[tokio::test]
async fn only_so_many_run_at_once_and_each_alert_in_order() {
    let dir = TempDir::new().unwrap();
    let script = "mkdir -p now; touch now/$$; ls now | wc -l >> most; cat > message.$$; sleep 0.2; rm now/$$";
    let program = program(dir.path(), script);
    let sinks = sinks(&exec(&program, "max_running = 3"));
    for port in 0..8 {
        sinks.notify(&[fires(port)]);
        // Each in a message of its own.
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    until_counted(&sinks, "noc", DeliveryOutcome::Sent, 8).await;
    let most = fs::read_to_string(dir.path().join("most")).unwrap();
    let most = most.lines().map(|line| line.trim().parse::<usize>().unwrap()).max().unwrap();
    assert!((2..=3).contains(&most), "{most}");
}

#[tokio::test]
async fn a_program_that_is_not_there_is_tried_again() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("program");
    let sinks = sinks(&exec(&path, ""));
    sinks.notify(&[fires(0)]);
    until_counted(&sinks, "noc", DeliveryOutcome::Retried, 1).await;
    let problem = sinks.states()[0].problem.clone().unwrap();
    assert!(problem.contains("cannot start") && problem.contains("program"), "{problem}");
    // Written elsewhere and moved: a file that is open for writing cannot be started.
    fs::create_dir(dir.path().join("new")).unwrap();
    fs::rename(program(&dir.path().join("new"), "exit 0"), &path).unwrap();
    until_counted(&sinks, "noc", DeliveryOutcome::Sent, 1).await;
}

#[tokio::test]
async fn a_program_that_does_not_read_is_no_failure() {
    let dir = TempDir::new().unwrap();
    let sinks = sinks(&exec(&program(dir.path(), "exit 0"), ""));
    // More than a pipe holds.
    sinks.notify(&(0..900).map(fires).collect::<Vec<_>>());
    until_counted(&sinks, "noc", DeliveryOutcome::Sent, 900).await;
}
