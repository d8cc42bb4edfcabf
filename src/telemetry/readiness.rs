//! The components of the daemon, each ready or not, and why not.
//!
//! Whoever is responsible for a component says so when it changes; everybody may look. A component is unready until it was
//! first said to be ready.

use std::sync::{Mutex, PoisonError};

use crate::api;
use crate::clock::{now_ms, seconds};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Component {
    /// The subscription to the kernel's link messages.
    Kernel,
    /// The connections to Redis.
    Redis,
    /// The rows of `STATE_DB`, compared with the kernel.
    Rows,
    /// The configured ports, all there: `PortInitDone`.
    Ports,
    State,
    Http,
    Control,
}

/// All of them, in the order in which they are shown.
pub const COMPONENTS: [Component; 7] = [
    Component::Kernel,
    Component::Redis,
    Component::Rows,
    Component::Ports,
    Component::State,
    Component::Http,
    Component::Control,
];

impl Component {
    pub fn name(self) -> &'static str {
        match self {
            Self::Kernel => "kernel",
            Self::Redis => "redis",
            Self::Rows => "rows",
            Self::Ports => "ports",
            Self::State => "state",
            Self::Http => "http",
            Self::Control => "control",
        }
    }

    /// Whether the daemon is not ready without it. The others never stop it.
    pub fn is_required(self) -> bool {
        matches!(self, Self::Kernel | Self::Redis | Self::Rows | Self::Ports)
    }
}

#[derive(Debug)]
struct Latch {
    /// Why it is not ready; `None` if it is.
    reason: Option<String>,
    since_ms: u64,
}

/// The components' latches.
#[derive(Debug)]
pub struct Latches {
    latches: [Mutex<Latch>; COMPONENTS.len()],
}

impl Default for Latches {
    fn default() -> Self {
        let latch = || Mutex::new(Latch { reason: Some("not started yet".to_owned()), since_ms: now_ms() });
        Self { latches: std::array::from_fn(|_| latch()) }
    }
}

impl Latches {
    /// The component is ready.
    pub fn ready(&self, component: Component) {
        self.set(component, None);
    }

    /// The component is not ready, for this reason.
    pub fn unready(&self, component: Component, reason: impl Into<String>) {
        self.set(component, Some(reason.into()));
    }

    fn set(&self, component: Component, reason: Option<String>) {
        let mut latch = self.latches[component as usize].lock().unwrap_or_else(PoisonError::into_inner);
        if latch.reason.is_some() != reason.is_some() {
            latch.since_ms = now_ms();
        }
        latch.reason = reason;
    }

    /// Why the component is not ready; `None` if it is.
    pub fn reason(&self, component: Component) -> Option<String> {
        self.latches[component as usize].lock().unwrap_or_else(PoisonError::into_inner).reason.clone()
    }

    /// How every component stands.
    pub fn readiness(&self) -> api::Readiness {
        let components: Vec<_> = COMPONENTS
            .iter()
            .map(|component| {
                let latch = self.latches[*component as usize].lock().unwrap_or_else(PoisonError::into_inner);
                api::Component {
                    name: component.name().to_owned(),
                    ready: latch.reason.is_none(),
                    required: component.is_required(),
                    reason: latch.reason.clone(),
                    since: seconds(latch.since_ms),
                }
            })
            .collect();
        let ready = components.iter().all(|component| component.ready || !component.required);
        api::Readiness { ready, components }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_once_every_required_component_is() {
        let latches = Latches::default();
        for component in COMPONENTS.into_iter().filter(|component| component.is_required()) {
            assert!(!latches.readiness().ready);
            latches.ready(component);
        }
        assert!(latches.readiness().ready, "state, http and control are not asked for");
        latches.unready(Component::Redis, "connection refused");
        let readiness = latches.readiness();
        assert!(!readiness.ready);
        let reasons: Vec<_> =
            readiness.components.iter().filter(|one| one.required).filter_map(|one| one.reason.as_deref()).collect();
        assert_eq!(reasons, ["connection refused"]);
    }
}
