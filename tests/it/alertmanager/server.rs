//! The real Alertmanager, in the network namespace of the thread that starts it.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use portsyncd::lab::wait;
use serde_json::Value;
use tempfile::TempDir;

use super::LIMIT;
use crate::fixture::http;

const MISSING: &str = "Alertmanager is needed: apt-get install prometheus-alertmanager";

pub struct Alertmanager {
    child: Option<Child>,
    pub address: SocketAddr,
    dir: TempDir,
}

impl Alertmanager {
    /// Starts one that tells this receiver, quickly.
    pub fn start(port: u16, receiver: SocketAddr) -> Self {
        let dir = TempDir::new().unwrap();
        let config = format!(
            "route:\n  receiver: test\n  group_by: [alertname]\n  group_wait: 500ms\n  group_interval: 1s\n\
             receivers:\n  - name: test\n    webhook_configs:\n      - url: http://{receiver}/\n"
        );
        fs::write(dir.path().join("config.yml"), config).unwrap();
        let mut server = Self { child: None, address: ([127, 0, 0, 1], port).into(), dir };
        server.launch();
        server
    }

    /// Starts it; of alerts it knows nothing then.
    pub fn launch(&mut self) {
        let log = File::create(self.dir.path().join("log")).unwrap();
        let child = Command::new("prometheus-alertmanager")
            .arg("--config.file=config.yml")
            .arg("--storage.path=data")
            .arg(format!("--web.listen-address={}", self.address))
            // No cluster.
            .arg("--cluster.listen-address=")
            .current_dir(self.dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect(MISSING);
        self.child = Some(child);
        let ready = || self.get("/-/ready").is_ok_and(|answer| answer.code == 200);
        wait::until("Alertmanager", LIMIT, ready).unwrap();
    }

    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // Both fail only if it has ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Alerts that are not over.
    pub fn alerts(&self) -> Vec<Value> {
        let answer = self.get("/api/v2/alerts").unwrap();
        serde_json::from_str(&answer.body).unwrap_or_else(|error| panic!("{error}: {answer:?}"))
    }

    pub fn active(&self) -> BTreeSet<String> {
        self.alerts().iter().map(|alert| alert["labels"]["port"].as_str().unwrap().to_owned()).collect()
    }

    fn get(&self, path: &str) -> std::io::Result<http::Answer> {
        // To a client of HTTP 1.0 it sends no chunks.
        http::ask(self.address, &format!("GET {path} HTTP/1.0\r\nhost: localhost\r\n\r\n"))
    }
}

impl Drop for Alertmanager {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!(
                "--- Alertmanager's log\n{}",
                fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
            );
        }
    }
}
