//! A measured executable as the runner sees it: a child in namespaces of its own, asked and answering by lines of JSON.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use anyhow::{Context, bail};
use portsyncd::lab::wait;
use serde::Serialize;

use super::protocol::{Answer, Request};

/// Longer than any request takes, each being bounded itself.
const ANSWER_LIMIT: Duration = Duration::from_secs(240);
const END_LIMIT: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Named by `--bin`: what is measured.
    Bin,
    /// Named by `--against`.
    Against,
    /// The built-in least process.
    Floor,
}

#[derive(Debug, Clone, Serialize)]
pub struct Target {
    /// How tables call it; unique.
    pub name: String,
    pub role: Role,
    /// The executable; none for the floor.
    pub path: Option<PathBuf>,
}

impl Target {
    /// All of them: the executable, what it is compared with, the floor. Names are those of the files, or paths where two files
    /// have the same.
    pub fn all(bin: &Path, against: &[PathBuf]) -> anyhow::Result<Vec<Self>> {
        let given: Vec<&Path> = std::iter::once(bin).chain(against.iter().map(PathBuf::as_path)).collect();
        let file_name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
        let mut targets = Vec::new();
        for (at, path) in given.iter().enumerate() {
            let option = if at == 0 { "--bin" } else { "--against" };
            if !path.is_file() {
                bail!("{option} {}: no such file; name a portsyncd executable", path.display());
            }
            let same = given.iter().filter(|other| file_name(other) == file_name(path)).count() > 1;
            let name = file_name(path).filter(|name| !same && name != "floor");
            let mut name = name.unwrap_or_else(|| path.display().to_string());
            while targets.iter().any(|target: &Self| target.name == name) {
                name.push('\'');
            }
            let absolute = path.canonicalize().with_context(|| format!("{option} {}", path.display()))?;
            let role = if at == 0 { Role::Bin } else { Role::Against };
            targets.push(Self { name, role, path: Some(absolute) });
        }
        targets.push(Self { name: "floor".to_owned(), role: Role::Floor, path: None });
        Ok(targets)
    }
}

#[derive(Debug)]
pub struct Worker {
    child: Child,
    requests: Option<ChildStdin>,
    answers: Receiver<String>,
}

impl Worker {
    pub fn start(target: &Target) -> anyhow::Result<Self> {
        let mut command = Command::new("/proc/self/exe");
        command.arg("bench-worker");
        match &target.path {
            Some(path) => command.arg("--bin").arg(path),
            None => command.arg("--floor"),
        };
        // Its temporary files are its own as /run is, and gone with it however it ends.
        let spawned = command.env("TMPDIR", "/run").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = spawned.context("cannot start this program again")?;
        let output = child.stdout.take().context("a child without output")?;
        let (tell, answers) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if tell.send(line).is_err() {
                    break;
                }
            }
        });
        let requests = child.stdin.take();
        Ok(Self { child, requests, answers })
    }

    pub fn ask(&mut self, request: &Request) -> anyhow::Result<()> {
        let line = serde_json::to_string(request)?;
        let requests = self.requests.as_mut().context("it is ending")?;
        // Where this fails the child has ended, and may have said why.
        let _ = writeln!(requests, "{line}");
        Ok(())
    }

    /// The answer to what was asked.
    pub fn answer(&mut self) -> anyhow::Result<Answer> {
        let line = match self.answers.recv_timeout(ANSWER_LIMIT) {
            Ok(line) => line,
            Err(RecvTimeoutError::Timeout) => bail!("no answer within {ANSWER_LIMIT:?}"),
            Err(RecvTimeoutError::Disconnected) => bail!("the worker ended unexpectedly"),
        };
        match serde_json::from_str(&line).with_context(|| format!("the worker answered {line:?}"))? {
            Answer::Failed(reason) => bail!(reason),
            answer => Ok(answer),
        }
    }
}

impl Drop for Worker {
    /// It ends with its standard input; killed only if it does not.
    fn drop(&mut self) {
        self.requests = None;
        let _ = wait::until("the end of a worker", END_LIMIT, || !matches!(self.child.try_wait(), Ok(None)));
        // Both fail only if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_missing_files_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, "").unwrap();
            path
        };
        let (a, b, c) = (file("a/portsyncd"), file("b/portsyncd"), file("other"));
        let all = Target::all(&a, &[b.clone(), c, a.clone()]).unwrap();
        let names: Vec<&str> = all.iter().map(|target| target.name.as_str()).collect();
        let (path_a, path_b) = (a.to_string_lossy(), b.to_string_lossy());
        assert_eq!(names, [&*path_a, &*path_b, "other", &format!("{path_a}'"), "floor"]);
        let error = Target::all(&a, &[folder.path().join("none")]).unwrap_err().to_string();
        assert!(error.contains("--against") && error.contains("no such file"), "{error}");
    }
}
