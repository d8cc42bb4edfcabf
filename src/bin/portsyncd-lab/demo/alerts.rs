//! The demonstration's alerts: one port flaps until its alert fires, another's is silenced, both come to their end.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use portsyncd::alert::AlertState;
use portsyncd::alert::api::AlertList;
use portsyncd::alert::engine::{Silence, SilenceRequest};
use portsyncd::clock::{now_ms, seconds};
use portsyncd::control::Control;
use tokio::time::sleep;

use super::stage::{Stage, up};

/// Rules with times as short as a demonstration is.
pub const RULES: &str = r#"
[[rule]]
name = "DemoFlapping"
metric = "port_flaps_total"
condition = { rate_above = 2, window = "2s" }
severity = "warning"
annotations = { summary = "{{ port }} flaps" }
actions = ["log"]

[[rule]]
name = "DemoDown"
metric = "port_down"
condition = { equals = 1 }
severity = "critical"
annotations = { summary = "{{ port }} is wanted up and is not" }
actions = ["log"]
"#;
/// How often they are looked at.
pub const INTERVAL: &str = "100ms";
const FLAP: Duration = Duration::from_millis(50);

pub async fn fire_and_resolve(stage: &mut Stage, control: &Control) -> anyhow::Result<String> {
    let (flapping, pulled) = (stage.rows[0].name.clone(), stage.rows[1].name.clone());
    // The storm of flaps has to be forgotten first.
    expect(stage, control, "DemoFlapping", &flapping, None).await?;
    let began = Instant::now();
    let deadline = began + stage.limit()?;
    // The port flaps until its alert fires.
    let mut plugged = true;
    while !matches!(state(control, "DemoFlapping", &flapping).await, Ok(Some(AlertState::Firing))) {
        ensure!(Instant::now() < deadline, "no alert fires though {flapping} flaps");
        plugged = !plugged;
        stage.links.set_carrier(&flapping, plugged).await?;
        sleep(FLAP).await;
    }
    let fired = began.elapsed();
    stage.links.set_carrier(&flapping, true).await?;
    // The other port's alert is silenced before its cable is pulled.
    let silence = SilenceRequest {
        rule: "DemoDown".to_owned(),
        port: Some(pulled.clone()),
        until: seconds(now_ms()) + 60.0,
        author: "demo".to_owned(),
        comment: "the cable is pulled on purpose".to_owned(),
        ..SilenceRequest::default()
    };
    let answer = control.post("/api/v1/silences", serde_json::to_vec(&silence)?).await?;
    let silence: Silence = serde_json::from_slice(&answer).context("the answer is no silence")?;
    stage.links.set_carrier(&pulled, false).await?;
    expect(stage, control, "DemoDown", &pulled, Some(AlertState::Suppressed)).await?;
    stage.links.set_carrier(&pulled, true).await?;
    for (rule, port) in [("DemoDown", &pulled), ("DemoFlapping", &flapping)] {
        expect(stage, control, rule, port, None).await?;
    }
    control.delete(&format!("/api/v1/silences/{}", silence.id)).await?;
    for port in [flapping.clone(), pulled.clone()] {
        stage.wanted.entry(port).or_insert_with(up).wanted.plugged = true;
    }
    stage.agree("the cables plugged again").await?;
    let fired = fired.as_secs_f64();
    Ok(format!("{flapping} flapped {fired:.1} s until its alert fired, {pulled}'s was silenced, both resolved"))
}

/// Waits until an alert is in this state.
async fn expect(
    stage: &mut Stage,
    control: &Control,
    rule: &str,
    port: &str,
    wanted: Option<AlertState>,
) -> anyhow::Result<()> {
    stage
        .until("waiting for an alert", async |_| {
            let found = state(control, rule, port).await?;
            ensure!(found == wanted, "{rule} of {port} is {found:?}, not {wanted:?}");
            Ok(())
        })
        .await
}

async fn state(control: &Control, rule: &str, port: &str) -> anyhow::Result<Option<AlertState>> {
    let list: AlertList = control.get("/api/v1/alerts").await?;
    let mut alerts = list.alerts.into_iter().map(|view| view.alert);
    let of_port = alerts.find(|alert| *alert.rule == *rule && alert.port.is_some_and(|name| name.to_string() == port));
    Ok(of_port.map(|alert| alert.state))
}
