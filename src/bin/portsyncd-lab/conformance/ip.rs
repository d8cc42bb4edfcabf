//! Links by `ip`, as a person would change them: words of the command line in, what it said in an error out.

use std::process::{Command, Stdio};

/// Runs `ip` with these words; the error says what it said.
pub fn run(namespace: Option<&str>, words: &str) -> Result<(), String> {
    let mut command = Command::new("ip");
    if let Some(name) = namespace {
        command.args(["-n", name]);
    }
    finish(command.args(words.split_whitespace()).stdin(Stdio::null()), &format!("ip {words}"))
}

/// Runs many `ip` commands by one process.
pub fn batch(lines: &str) -> Result<(), String> {
    let file = "/run/lab/batch";
    std::fs::write(file, lines).map_err(|e| format!("cannot write {file}: {e}"))?;
    finish(Command::new("ip").args(["-batch", file]), "ip -batch")
}

fn finish(command: &mut Command, shown: &str) -> Result<(), String> {
    let output = command.output().map_err(|e| format!("cannot start ip: {e}; it is part of iproute2"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{shown}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}
