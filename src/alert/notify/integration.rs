//! What a receiver can be.

use tokio::time::Instant;

use super::alertmanager::Alertmanager;
use super::error::DeliveryError;
use super::exec::Exec;
use super::receiver::Batch;
use super::state_db::StateDb;
use super::webhook::Webhook;

#[derive(Debug)]
pub(super) enum Destination {
    Webhook(Webhook),
    Alertmanager(Alertmanager),
    StateDb(Box<StateDb>),
    Exec(Exec),
}

impl Destination {
    /// For people: where it is, without what may be secret.
    pub fn shown(&self) -> &str {
        match self {
            Self::Webhook(webhook) => webhook.shown(),
            Self::Alertmanager(server) => server.shown(),
            Self::StateDb(_) => "STATE_DB",
            Self::Exec(exec) => exec.shown(),
        }
    }

    /// What tells receivers of one sink apart; only Alertmanager has several.
    pub fn identity(&self) -> &str {
        match self {
            Self::Alertmanager(server) => server.shown(),
            Self::Webhook(_) | Self::StateDb(_) | Self::Exec(_) => "",
        }
    }

    /// Whether it is told again and again what fires, whatever it heard before.
    pub fn is_told_the_whole(&self) -> bool {
        matches!(self, Self::Alertmanager(_) | Self::StateDb(_))
    }

    /// How many batches may be under way at once.
    pub fn at_once(&self) -> usize {
        match self {
            Self::Exec(exec) => exec.max_running(),
            _ => 1,
        }
    }

    /// Delivers. May be dropped half-way when it takes too long.
    pub async fn send(&self, batch: &Batch<'_>) -> Result<(), DeliveryError> {
        match self {
            Self::Webhook(webhook) => webhook.send(batch).await,
            Self::Alertmanager(server) => server.send(batch).await,
            Self::StateDb(state_db) => state_db.send(batch).await,
            Self::Exec(exec) => exec.send(batch).await,
        }
    }

    /// When [`upkeep`](Self::upkeep) is due.
    pub fn upkeep_due(&self) -> Option<Instant> {
        match self {
            Self::Alertmanager(server) => server.resend_due(),
            Self::StateDb(state_db) => state_db.check_due(),
            Self::Webhook(_) | Self::Exec(_) => None,
        }
    }

    /// What is to be done though nothing new was told. Of the batch only what all messages have counts.
    pub async fn upkeep(&self, batch: &Batch<'_>) -> Result<(), DeliveryError> {
        match self {
            Self::Alertmanager(server) => server.resend(batch).await,
            Self::StateDb(state_db) => state_db.check().await,
            Self::Webhook(_) | Self::Exec(_) => Ok(()),
        }
    }

    /// Deliveries work again.
    pub fn returned(&self) {
        if let Self::Alertmanager(server) = self {
            server.returned();
        }
    }
}
