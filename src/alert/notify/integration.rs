//! What a receiver can be.

use std::sync::Arc;
use std::time::Duration;

use super::alertmanager::Alertmanager;
use super::error::DeliveryError;
use super::exec::Exec;
use super::message::AlertBatch;
use super::state_db::{self, StateDb};
use super::webhook::Webhook;
use crate::config::SinkConfig;
use crate::config::sinks::SinkKind;
use crate::db::store::Store;

/// What sinks need besides their configuration.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings<'a> {
    pub host: &'a str,
    /// Where the daemon can be looked at ([`daemon_url`](super::daemon_url)).
    pub url: Option<&'a str>,
    pub store: &'a Store,
}

#[derive(Debug)]
pub(super) enum Integration {
    Webhook(Webhook),
    Alertmanager(Alertmanager),
    StateDb(Box<StateDb>),
    Exec(Exec),
}

impl Integration {
    /// Only an Alertmanager sink has several.
    pub fn all_of(config: &SinkConfig, surroundings: Surroundings<'_>) -> Vec<Self> {
        match &config.kind {
            SinkKind::Webhook(webhook) => vec![Self::Webhook(Webhook::new(webhook.clone()))],
            SinkKind::Alertmanager(servers) => {
                let shared = Arc::new(servers.clone());
                let server = |url| Alertmanager::new(url, Arc::clone(&shared), surroundings.url);
                servers.urls.iter().map(|url| Self::Alertmanager(server(url))).collect()
            }
            SinkKind::StateDb => vec![Self::StateDb(Box::new(StateDb::new(surroundings.store.clone())))],
            SinkKind::Exec(exec) => vec![Self::Exec(Exec::new(exec.clone()))],
        }
    }

    /// One attempt to deliver it.
    pub async fn send(&self, batch: &AlertBatch<'_>) -> Result<(), DeliveryError> {
        match self {
            Self::Webhook(webhook) => webhook.send(batch).await,
            Self::Alertmanager(server) => server.send(batch).await,
            Self::StateDb(state_db) => state_db.send(batch).await,
            Self::Exec(exec) => exec.send(batch).await,
        }
    }

    /// For people: where it is, without what may be secret.
    pub fn shown(&self) -> &str {
        match self {
            Self::Webhook(webhook) => &webhook.shown,
            Self::Alertmanager(server) => server.client.shown(),
            Self::StateDb(_) => "STATE_DB",
            Self::Exec(exec) => &exec.shown,
        }
    }

    /// What tells receivers of one sink apart. What waits for a webhook goes on to another URL, or to a program.
    pub fn identity(&self) -> &str {
        match self {
            Self::Alertmanager(server) => &server.url,
            Self::StateDb(_) => "STATE_DB",
            Self::Webhook(_) | Self::Exec(_) => "",
        }
    }

    /// How many batches may be in flight at once.
    pub fn max_in_flight(&self) -> usize {
        if let Self::Exec(exec) = self { exec.max_running() } else { 1 }
    }

    /// How often everything is sent again; `None`: never.
    pub fn resend_interval(&self) -> Option<Duration> {
        match self {
            Self::Alertmanager(server) => Some(server.config.resend_interval),
            Self::StateDb(_) => Some(state_db::CHECK),
            Self::Webhook(_) | Self::Exec(_) => None,
        }
    }
}
