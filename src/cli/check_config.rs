//! `portsyncd check-config`: reads everything that the daemon would read, and prints what holds.

use std::sync::Arc;

use portsyncd::alert;
use portsyncd::alert::rules::Rule;
use portsyncd::config::{Config, ConfigError};
use portsyncd::http;

use super::put;

/// Reads it all, and prints it as a configuration file with comments.
pub fn run(config: &Config) -> anyhow::Result<bool> {
    let store = config.redis.store()?;
    http::tls::acceptor(&config.http).map_err(|error| ConfigError::Content(Box::new(error)))?;
    config.alerts.check_files()?;
    let rules = alert::evaluator::load(&config.alerts, &[])?;
    let mut text = config.shown();
    let password = if store.password.is_some() { "<hidden>" } else { "none" };
    text.push_str(&format!("\n# effective: user {:?}, password {password}\n", store.username));
    for database in [&store.topology.appl, &store.topology.config, &store.topology.state] {
        text.push_str(&format!(
            "# effective: {} is database {} with separator {:?} at {}\n",
            database.name, database.id, database.separator, database.address
        ));
    }
    let on = rules.iter().filter(|rule| rule.enabled).count();
    text.push_str(&format!("# effective: {} alert rules, {on} of them on\n", rules.iter().len()));
    for sink in &config.alerts.sink {
        let hears = |rule: &&Arc<Rule>| {
            rule.enabled && rule.severity >= sink.delivery.min_severity && sink.is_for(&rule.name, &rule.actions)
        };
        let count = rules.iter().filter(hears).count();
        text.push_str(&format!("# effective: sink {:?} is told of {count} of these\n", sink.name));
    }
    put(&text)?;
    Ok(true)
}
