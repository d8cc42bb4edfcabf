//! `portsyncd healthcheck`: whether the running daemon lives, or is in service, for those who restart or route by it.

use portsyncd::api::Readiness;
use portsyncd::config::ControlConfig;
use portsyncd::control::Control;

use super::text::plain;
use super::{block_on, put};

const LIVE: &str = "/livez";
const READY: &str = "/readyz";

/// Asks, and prints one line. Whether it lives, or, if `ready`, is in service.
pub fn run(config: &ControlConfig, ready: bool) -> anyhow::Result<bool> {
    let control = Control::new(config)?;
    let (well, said) = block_on(async { Ok(control.verdict(if ready { READY } else { LIVE }).await?) })?;
    let name = if ready { "ready" } else { "alive" };
    put(&if well { format!("{name}\n") } else { format!("not {name}: {}\n", reasons(&said)) })?;
    Ok(well)
}

/// What the daemon says of it: the components that it waits for, or a sentence.
fn reasons(said: &[u8]) -> String {
    let Ok(readiness) = serde_json::from_slice::<Readiness>(said) else {
        return plain(String::from_utf8_lossy(said).trim());
    };
    let missing = readiness.components.iter().filter(|component| component.required && !component.ready);
    let told = missing.map(|component| {
        let reason = component.reason.as_deref().unwrap_or("not ready");
        format!("{}: {}", plain(&component.name), plain(reason))
    });
    told.collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_those_of_required_components_or_the_sentence_that_was_said() {
        let said = r#"{"ready":false,"components":[
            {"name":"kernel","ready":true,"required":true,"since":1.0},
            {"name":"redis","ready":false,"required":true,"reason":"refused","since":1.0},
            {"name":"rows","ready":false,"required":true,"since":1.0},
            {"name":"http","ready":false,"required":false,"reason":"taken","since":1.0}]}"#;
        assert_eq!(reasons(said.as_bytes()), "redis: refused; rows: not ready");
        assert_eq!(
            reasons(b"the core has been at work on one thing for 12 s\n"),
            "the core has been at work on one thing for 12 s"
        );
    }
}
