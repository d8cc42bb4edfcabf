//! The process of HTTP clients that a worker puts load on its daemon with.

use std::io::Write;
use std::process::{Child, ChildStdin, Command, Stdio};

use anyhow::Context;

use super::super::clients::Report;

/// It runs; it ends with this.
#[derive(Debug)]
pub struct HttpLoad {
    child: Child,
    input: Option<ChildStdin>,
}

impl HttpLoad {
    /// Starts so many clients.
    pub fn start(count: usize) -> anyhow::Result<Self> {
        let mut child = Command::new("/proc/self/exe")
            .args(["bench-clients", "--count", &count.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start this program again")?;
        let input = child.stdin.take();
        Ok(Self { child, input })
    }

    pub fn begin(&mut self) -> anyhow::Result<()> {
        let input = self.input.as_mut().context("the clients have no input")?;
        input.write_all(b"\n").context("the clients ended by themselves")
    }

    /// Ends them; what they saw.
    pub fn end(mut self) -> anyhow::Result<Report> {
        self.input = None;
        let output = self.child.stdout.take().context("the clients have no output")?;
        serde_json::from_reader(output).context("the clients said nothing")
    }
}

impl Drop for HttpLoad {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
