//! `portsyncd check-config`: reads everything that the daemon would read, and prints what holds.

use std::sync::Arc;

use portsyncd::alert;
use portsyncd::alert::rules::Rule;
use portsyncd::config::{Config, ConfigError};
use portsyncd::db::queries::{self, RuleRow};
use portsyncd::db::store::Store;
use portsyncd::db::tables::ALERT_RULE;
use portsyncd::http;

use super::{block_on, put};

/// Reads it all, and prints it as a configuration file with comments.
pub fn run(config: &Config) -> anyhow::Result<bool> {
    let store = config.redis.store()?;
    http::tls::acceptor(&config.http).map_err(|error| ConfigError::Content(Box::new(error)))?;
    config.alerts.check_files()?;
    let rows = rules_of_config_db(&store);
    let rules = alert::evaluator::load(&config.alerts, rows.as_deref().unwrap_or_default())?;
    let mut text = config.shown();
    let password = if store.password.is_some() { "<hidden>" } else { "none" };
    text.push_str(&format!("\n# effective: user {:?}, password {password}\n", store.username));
    for database in [&store.topology.appl, &store.topology.config, &store.topology.state] {
        text.push_str(&format!(
            "# effective: {} is database {} with separator {:?} at {}\n",
            database.name, database.id, database.separator, database.address
        ));
    }
    if let Err(problem) = rows {
        text.push_str(&format!("# effective: alert rules of CONFIG_DB are not looked at: {problem}\n"));
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

/// What the daemon would read of CONFIG_DB, if it can be asked here and now.
fn rules_of_config_db(store: &Store) -> Result<Vec<RuleRow>, String> {
    let database = &store.topology.config;
    block_on(async { Ok(queries::rows_of(&store.client(database).await?, ALERT_RULE).await?) })
        .map_err(|error| format!("{}: {error:#}", database.address))
}
