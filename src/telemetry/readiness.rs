//! The components of the daemon, each ready or not, and why not.
//!
//! Whoever is responsible for a component says so when it changes; everybody may look. A component is not ready until it was
//! first said to be ready.

use std::sync::Mutex;

use super::ready_notice::{ReadyNotice, ReadyPart};
use crate::api;
use crate::clock::{now_ms, seconds};
use crate::locks::lock;

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
struct ComponentState {
    /// Why it is not ready; `None` if it is.
    reason: Option<String>,
    since_ms: u64,
}

/// Of every component.
#[derive(Debug)]
pub struct ComponentReadiness {
    /// What systemd hears of it.
    pub notice: ReadyNotice,
    states: [Mutex<ComponentState>; COMPONENTS.len()],
}

impl Default for ComponentReadiness {
    fn default() -> Self {
        let state = || Mutex::new(ComponentState { reason: Some("not started yet".to_owned()), since_ms: now_ms() });
        Self { notice: ReadyNotice::default(), states: std::array::from_fn(|_| state()) }
    }
}

impl ComponentReadiness {
    /// The component is ready.
    pub fn set_ready(&self, component: Component) {
        self.set(component, None);
    }

    /// The component is not ready, for this reason.
    pub fn set_not_ready(&self, component: Component, reason: impl Into<String>) {
        self.set(component, Some(reason.into()));
    }

    fn set(&self, component: Component, reason: Option<String>) {
        let mut state = lock(&self.states[component as usize]);
        if state.reason.is_some() != reason.is_some() {
            state.since_ms = now_ms();
        }
        state.reason = reason;
        drop(state);
        match component {
            Component::Http => self.notice.done(ReadyPart::Http),
            Component::Control => self.notice.done(ReadyPart::Control),
            _ => {}
        }
    }

    /// Why the component is not ready; `None` if it is.
    pub fn reason(&self, component: Component) -> Option<String> {
        lock(&self.states[component as usize]).reason.clone()
    }

    /// How every component stands.
    pub fn report(&self) -> api::Readiness {
        let components: Vec<_> = COMPONENTS
            .iter()
            .map(|component| {
                let state = lock(&self.states[*component as usize]);
                api::ComponentStatus {
                    name: component.name().to_owned(),
                    ready: state.reason.is_none(),
                    required: component.is_required(),
                    reason: state.reason.clone(),
                    since: seconds(state.since_ms),
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
        let readiness = ComponentReadiness::default();
        for component in COMPONENTS.into_iter().filter(|component| component.is_required()) {
            assert!(!readiness.report().ready);
            readiness.set_ready(component);
        }
        assert!(readiness.report().ready, "state, http and control are not asked for");
        readiness.set_not_ready(Component::Redis, "connection refused");
        let readiness = readiness.report();
        assert!(!readiness.ready);
        let reasons: Vec<_> =
            readiness.components.iter().filter(|one| one.required).filter_map(|one| one.reason.as_deref()).collect();
        assert_eq!(reasons, ["connection refused"]);
    }
}
