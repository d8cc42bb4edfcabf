//! `portsyncd metrics`: every metric that the daemon has, without asking it.

use portsyncd::telemetry::catalog;

pub fn run(markdown: bool) -> anyhow::Result<bool> {
    super::put(&if markdown { catalog::markdown() } else { catalog::text() })?;
    Ok(true)
}
