//! The real Prometheus, in the network namespace of the thread that starts it, configured as docs/monitoring has it but for
//! targets and times.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::process::{Child, Command, Output, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use portsyncd::lab::wait;
use serde_json::Value;
use tempfile::TempDir;

use super::files;
use crate::fixture::{LIMIT, http};

const MISSING: &str = "Prometheus' programs are needed: apt-get install prometheus";

/// Runs promtool on files of docs/monitoring.
pub fn promtool(arguments: &[&str]) -> Output {
    Command::new("promtool").args(arguments).current_dir(files::folder()).output().expect(MISSING)
}

pub struct Prometheus {
    child: Child,
    address: SocketAddr,
    dir: TempDir,
}

impl Prometheus {
    /// Starts to scrape this target every second, and to evaluate the rules as often.
    pub fn start(target: SocketAddr) -> Self {
        let dir = TempDir::new().unwrap();
        let rules = dir.path().join("rules");
        fs::create_dir(&rules).unwrap();
        // What has to hold for minutes holds for long enough after three seconds.
        let written = files::read("rules/portsyncd.rules.yaml");
        let quick = written.lines().map(|line| {
            if line.starts_with("        for: ") { "        for: 3s\n".to_owned() } else { format!("{line}\n") }
        });
        fs::write(rules.join("portsyncd.rules.yaml"), quick.collect::<String>()).unwrap();
        let mut config = files::read("prometheus.yml");
        let targets = r#"["leaf1.example:9477", "leaf2.example:9477", "spine1.example:9477"]"#;
        for (there, wanted) in [
            ("scrape_interval: 15s", "scrape_interval: 1s"),
            ("evaluation_interval: 15s", "evaluation_interval: 1s"),
            (targets, &format!("[\"{target}\"]")),
        ] {
            assert!(config.contains(there), "{there:?} is not in prometheus.yml");
            config = config.replace(there, wanted);
        }
        let file = dir.path().join("prometheus.yml");
        fs::write(&file, config).unwrap();
        // The namespace is the test's own, so that every port is free.
        let address = SocketAddr::from(([127, 0, 0, 1], 9090));
        let log = File::create(dir.path().join("log")).unwrap();
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", dir.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .current_dir(dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect(MISSING);
        let prometheus = Self { child, address, dir };
        let ready = || prometheus.get("/-/ready").is_ok_and(|answer| answer.code == 200);
        wait::until("Prometheus", LIMIT, ready).unwrap();
        prometheus
    }

    fn get(&self, path: &str) -> std::io::Result<http::Answer> {
        // To a client of HTTP 1.0 it sends no chunks.
        http::ask(self.address, &format!("GET {path} HTTP/1.0\r\nhost: localhost\r\n\r\n"))
    }

    /// The numbers that the expression gives now, one for each series.
    pub fn at_once(&self, expression: &str) -> Vec<f64> {
        let path = format!("/api/v1/query?query={}", encoded(expression));
        self.series(&path).iter().filter_map(|series| number(&series["value"])).collect()
    }

    /// The numbers that the expression gave in the last few seconds.
    pub fn lately(&self, expression: &str) -> Vec<f64> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let path = format!(
            "/api/v1/query_range?query={}&start={}&end={now}&step=1",
            encoded(expression),
            now.saturating_sub(5)
        );
        let series = self.series(&path);
        series.iter().flat_map(|series| series["values"].as_array().unwrap()).filter_map(number).collect()
    }

    /// The names of the alerts that fire.
    pub fn firing(&self) -> BTreeSet<String> {
        let path = format!("/api/v1/query?query={}", encoded("ALERTS{alertstate=\"firing\"}"));
        self.series(&path).iter().map(|series| series["metric"]["alertname"].as_str().unwrap().to_owned()).collect()
    }

    fn series(&self, path: &str) -> Vec<Value> {
        let answer = self.get(path).unwrap();
        let Value::Object(mut body) = serde_json::from_str(&answer.body).unwrap() else { panic!("{answer:?}") };
        assert_eq!(body["status"], "success", "{path}: {answer:?}");
        let Value::Array(result) = body["data"]["result"].take() else { panic!("{answer:?}") };
        result
    }

    fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- Prometheus' log\n{}", self.log());
        }
    }
}

/// The number of a sample `[time, "number"]`, if it is one: that of a division by nothing is not.
fn number(sample: &Value) -> Option<f64> {
    sample[1].as_str()?.parse().ok().filter(|number: &f64| number.is_finite())
}

fn encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}
