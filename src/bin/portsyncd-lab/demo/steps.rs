//! The steps of the demonstration. Each changes something and ends with kernel and `STATE_DB` in agreement.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use portsyncd::api::{PortList, Status};
use portsyncd::control::Control;
use portsyncd::lab::links::LinkState;
use portsyncd::lab::redis_server::APPL_DB;
use tokio::time::sleep;

use super::alerts::fire_and_resolve;
use super::compare::is_port;
use super::stage::{Stage, up};
use crate::flap::{Flapper, Kind};

/// How long links flap before, during and after the outage of Redis.
const OUTAGE: Duration = Duration::from_millis(300);
const STORM_FLAPS_PER_PORT: usize = 200;
/// However many ports: the storm leaves time for the other steps.
const STORM: Duration = Duration::from_secs(4);

/// Every step but the last.
pub async fn all(stage: &mut Stage) {
    stage.step("ports come up", come_up).await;
    stage.step("ports set down and up", admin).await;
    stage.step("cables pulled and plugged", carrier).await;
    stage.step("MTU changed", mtu).await;
    stage.step("a port removed and added", remove_and_add).await;
    stage.step("Redis killed while links flap", outage).await;
    stage.step("a storm of flaps on all ports", storm).await;
    stage.step("the daemon restarted", restart).await;
    if let Some(control) = stage.control() {
        stage.step("what the daemon says of itself", async |stage| told(stage, &control).await).await;
        stage.step("alerts", async |stage| fire_and_resolve(stage, &control).await).await;
    }
}

pub async fn end(stage: &mut Stage) {
    stage
        .step("SIGTERM", async |stage| {
            stage.end_daemon().await?;
            Ok("exit code 0".to_owned())
        })
        .await;
}

fn lag(by: Duration) -> String {
    match by.as_millis() {
        // No more than one look: the accuracy of this.
        0..10 => "agreed within 10 ms of the kernel".to_owned(),
        ms => format!("agreed {ms} ms after the kernel"),
    }
}

async fn come_up(stage: &mut Stage) -> anyhow::Result<String> {
    stage.configure()?;
    stage.start_switch()?;
    stage.start_daemon()?;
    stage.consumed("PortInitDone").await?;
    stage.published().await?;
    stage.agree("ports come up").await?;
    Ok(format!("{} ports, PortInitDone", stage.wanted.len()))
}

/// Every second port.
fn some(stage: &Stage, offset: usize) -> Vec<String> {
    stage.wanted.keys().skip(offset).step_by(2).cloned().collect()
}

async fn admin(stage: &mut Stage) -> anyhow::Result<String> {
    let names = some(stage, 0);
    let mut longest = Duration::ZERO;
    for (value, doing) in [(false, "ports set down"), (true, "ports set up")] {
        stage.links.set_admin_many(&names, value).await?;
        for name in &names {
            stage.wanted.entry(name.clone()).or_insert_with(up).wanted.admin = value;
        }
        longest = longest.max(stage.agree(doing).await?);
    }
    Ok(lag(longest))
}

async fn carrier(stage: &mut Stage) -> anyhow::Result<String> {
    let names = some(stage, 1);
    let mut longest = Duration::ZERO;
    for (value, doing) in [(false, "cables pulled"), (true, "cables plugged")] {
        stage.links.set_carrier_many(&names, value).await?;
        for name in &names {
            stage.wanted.entry(name.clone()).or_insert_with(up).wanted.plugged = value;
        }
        longest = longest.max(stage.agree(doing).await?);
    }
    Ok(lag(longest))
}

/// Once as portmgrd does it, through `APPL_DB`, and once behind its back.
async fn mtu(stage: &mut Stage) -> anyhow::Result<String> {
    let (by_row, by_hand) = (stage.rows[0].name.clone(), stage.rows[1].name.clone());
    let mut longest = Duration::ZERO;
    for (value, doing) in [(1500, "MTU lowered"), (9100, "MTU raised")] {
        let mut db = stage.server.client(APPL_DB)?;
        stage.producer.set(&mut db, &by_row, &[("mtu", value.to_string())])?;
        stage.links.set_mtu(&by_hand, value).await?;
        for name in [&by_row, &by_hand] {
            stage.wanted.entry(name.clone()).or_insert_with(up).mtu = value;
        }
        longest = longest.max(stage.agree(doing).await?);
    }
    Ok(lag(longest))
}

async fn remove_and_add(stage: &mut Stage) -> anyhow::Result<String> {
    let row = stage.rows.last().cloned().context("there are no ports")?;
    let mut db = stage.server.client(APPL_DB)?;
    stage.producer.del(&mut db, &row.name)?;
    stage.wanted.remove(&row.name);
    let removed = stage.agree("a port removed").await?;
    stage.producer.set(&mut db, &row.name, &row.fields)?;
    stage.wanted.insert(row.name.clone(), up());
    let added = stage.agree("the port added again").await?;
    Ok(lag(removed.max(added)))
}

fn flapper(stage: &Stage) -> Flapper {
    let ports = stage.wanted.iter().map(|(name, port)| (name.clone(), port.wanted)).collect();
    Flapper::new(stage.seed, Kind::Both, ports)
}

fn take_over(stage: &mut Stage, flapper: &Flapper) {
    for (name, wanted) in flapper.ports() {
        stage.wanted.entry(name.clone()).or_insert_with(up).wanted = *wanted;
    }
}

async fn flap_for(stage: &Stage, flapper: &mut Flapper, time: Duration) -> anyhow::Result<()> {
    let start = Instant::now();
    while start.elapsed() < time {
        flapper.apply(&stage.links, 4).await?;
        sleep(Duration::from_millis(4)).await;
    }
    Ok(())
}

/// Redis comes back empty, while links have changed in its absence. The switch fills CONFIG_DB again, as a switch's start does.
async fn outage(stage: &mut Stage) -> anyhow::Result<String> {
    let mut flapper = flapper(stage);
    flap_for(stage, &mut flapper, OUTAGE).await?;
    stage.server.kill();
    flap_for(stage, &mut flapper, OUTAGE).await?;
    stage.server.restart()?;
    let back = Instant::now();
    flap_for(stage, &mut flapper, OUTAGE).await?;
    take_over(stage, &flapper);
    stage.agree("Redis is back, empty").await?;
    stage.consumed("PortInitDone").await?;
    stage.published().await?;
    Ok(format!(
        "agreed {:.2} s after Redis was back, {:.1} s of them flapping",
        back.elapsed().as_secs_f64(),
        OUTAGE.as_secs_f64()
    ))
}

async fn storm(stage: &mut Stage) -> anyhow::Result<String> {
    let mut flapper = flapper(stage);
    let count = stage.wanted.len() * STORM_FLAPS_PER_PORT;
    let start = Instant::now();
    let mut done = 0;
    while done < count && start.elapsed() < STORM {
        let now = (count - done).min(64);
        flapper.apply(&stage.links, now).await?;
        done += now;
    }
    let took = start.elapsed();
    take_over(stage, &flapper);
    let by = stage.agree("the storm is over").await?;
    Ok(format!("{done} flaps in {:.2} s, {}", took.as_secs_f64(), lag(by)))
}

/// Index and carrier changes of each port: whatever touches a link changes one of them.
fn marks(links: &[LinkState]) -> BTreeMap<String, (u32, u32)> {
    let ports = links.iter().filter(|link| is_port(link));
    ports.map(|link| (link.name.clone(), (link.ifindex, link.carrier_changes))).collect()
}

/// On a live switch the daemon must find its way back without touching a link; one cable is pulled while it is away.
async fn restart(stage: &mut Stage) -> anyhow::Result<String> {
    stage.links.set_admin_many(&stage.wanted.keys().collect::<Vec<_>>(), true).await?;
    stage.links.set_carrier_many(&stage.wanted.keys().collect::<Vec<_>>(), true).await?;
    for port in stage.wanted.values_mut() {
        port.wanted = up().wanted;
    }
    stage.agree("all ports up").await?;
    stage.end_daemon().await?;
    let pulled = stage.rows[0].name.clone();
    stage.links.set_carrier(&pulled, false).await?;
    stage.wanted.entry(pulled.clone()).or_insert_with(up).wanted.plugged = false;
    let before = marks(&stage.kernel_follows().await?);
    stage.start_daemon()?;
    stage.agree("the daemon is back").await?;
    untouched(&before, &marks(&stage.kernel_follows().await?))?;
    stage.links.set_carrier(&pulled, true).await?;
    stage.wanted.entry(pulled.clone()).or_insert_with(up).wanted.plugged = true;
    let by = stage.agree("the cable plugged again").await?;
    // Once more, for what the daemon might do late; the one cable moved by our own hand.
    let (mut before, mut after) = (before, marks(&stage.kernel_follows().await?));
    before.remove(&pulled);
    after.remove(&pulled);
    untouched(&before, &after)?;
    Ok(format!("no link was touched, then {}", lag(by)))
}

/// The daemon's own view, over its control socket: every port as the kernel has it, flaps counted over the restart. It tells of
/// a change a moment after Redis has it, and a daemon that was just started has its socket later than its rows.
async fn told(stage: &mut Stage, control: &Control) -> anyhow::Result<String> {
    stage.until("asking the daemon", async |stage| own_view(stage, control).await).await
}

async fn own_view(stage: &Stage, control: &Control) -> anyhow::Result<String> {
    let links = stage.links.list().await?;
    let kernel: BTreeMap<&str, &LinkState> =
        links.iter().filter(|link| is_port(link)).map(|link| (link.name.as_str(), link)).collect();
    let ports: PortList = control.get("/api/v1/ports").await?;
    ensure!(
        ports.ports.len() == kernel.len(),
        "it tells of {} ports, the kernel has {}",
        ports.ports.len(),
        kernel.len()
    );
    let up_down = |up| Some(if up { "up" } else { "down" });
    for port in &ports.ports {
        let link = kernel.get(port.name.as_str()).with_context(|| format!("the kernel has no {}", port.name))?;
        let same = port.admin.as_deref() == up_down(link.admin_up) && port.oper.as_deref() == up_down(link.running);
        ensure!(same && port.in_step, "it tells of {port:?}, the kernel has {link:?}");
    }
    let status: Status = control.get("/api/v1/status").await?;
    ensure!(status.ready, "it is not ready: {}", status.summary);
    let flaps: u64 = ports.ports.iter().map(|port| port.flaps).sum();
    ensure!(flaps > 0, "no flap was counted over the restart");
    let health = status.health.score;
    Ok(format!(
        "ready, health {health} of 100, {flaps} flaps counted over the restart, {} starts",
        status.starts.completed
    ))
}

fn untouched(before: &BTreeMap<String, (u32, u32)>, after: &BTreeMap<String, (u32, u32)>) -> anyhow::Result<()> {
    ensure!(before == after, "the daemon touched links: (index, carrier changes) were {before:?}, are {after:?}");
    Ok(())
}
