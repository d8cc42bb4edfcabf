//! Facts about the machine, without which numbers say nothing.

use std::fs;
use std::process::Command;

use serde::Serialize;

#[derive(Debug, Clone, Serialize)]
pub struct Machine {
    /// Processors that we may use.
    pub cores: usize,
    pub processor: String,
    pub kernel: String,
    /// Version of redis-server.
    pub redis: String,
    /// Whether the laboratory itself (and with it the floor) is a debug build.
    pub debug_build: bool,
}

impl Machine {
    pub fn look() -> Self {
        let unknown = || "unknown".to_owned();
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").map(|text| text.trim().to_owned());
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
        let redis = Command::new("redis-server").arg("--version").output().ok();
        let redis = redis.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
        Self {
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            processor: model.map_or_else(unknown, |(_, name)| name.trim().to_owned()),
            kernel: kernel.unwrap_or_else(|_| unknown()),
            redis: version(&redis).map_or_else(unknown, str::to_owned),
            debug_build: cfg!(debug_assertions),
        }
    }

    pub fn line(&self) -> String {
        let debug = if self.debug_build { ", the laboratory is a debug build" } else { "" };
        let Self { cores, processor, kernel, redis, .. } = self;
        format!("{cores} cores ({processor}), Linux {kernel}, Redis {redis}{debug}")
    }
}

/// Of `Redis server v=7.0.15 sha=…`.
fn version(text: &str) -> Option<&str> {
    text.split_whitespace().find_map(|word| word.strip_prefix("v="))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_redis() {
        assert_eq!(version("Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64"), Some("7.0.15"));
        assert_eq!(version(""), None);
    }
}
