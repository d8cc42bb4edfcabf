//! Flapping, made up deterministically: the same seed and ports give the same changes.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::try_join_all;
use portsyncd::lab::Error;
use portsyncd::lab::links::Links;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};

/// How often flaps that are due are done.
const FLAP_STEP: Duration = Duration::from_millis(5);
/// The most flaps in one step; what is more than the kernel takes is not saved up.
const FLAP_BURST: usize = 1000;

/// What a flap does to a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// The cable is pulled and plugged.
    Carrier,
    /// The port is set down and up.
    Admin,
    /// Now the one, now the other.
    Both,
}

/// Whether a port is set up, and whether its cable is plugged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// `IFF_UP` of the port.
    pub admin: bool,
    /// `IFF_UP` of its cable.
    pub plugged: bool,
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Flap {
    /// The cable of a port is plugged or pulled.
    Carrier(String, bool),
    /// A port is set up or down.
    Admin(String, bool),
}

/// Makes up changes, and keeps the state that they lead to.
#[derive(Debug)]
pub struct Flapper {
    rng: fastrand::Rng,
    kind: Kind,
    names: Vec<String>,
    ports: BTreeMap<String, Wanted>,
}

impl Flapper {
    /// Starts from these states.
    pub fn new(seed: u64, kind: Kind, ports: BTreeMap<String, Wanted>) -> Self {
        let names = ports.keys().cloned().collect();
        Self { rng: fastrand::Rng::with_seed(seed), kind, names, ports }
    }

    /// The states after all changes so far.
    pub fn ports(&self) -> &BTreeMap<String, Wanted> {
        &self.ports
    }

    /// Takes over a change of the ports that did not come from here; what stays keeps its state.
    pub fn set_ports(&mut self, names: impl IntoIterator<Item = (String, Wanted)>) {
        let mut old = std::mem::take(&mut self.ports);
        self.ports = names
            .into_iter()
            .map(|(name, fresh)| {
                let state = old.remove(&name).unwrap_or(fresh);
                (name, state)
            })
            .collect();
        self.names = self.ports.keys().cloned().collect();
    }

    /// The next change; none without ports.
    pub fn next(&mut self) -> Option<Flap> {
        let name = self.rng.choice(&self.names)?;
        let state = self.ports.get_mut(name)?;
        let carrier = match self.kind {
            Kind::Carrier => true,
            Kind::Admin => false,
            Kind::Both => self.rng.bool(),
        };
        Some(if carrier {
            state.plugged = !state.plugged;
            Flap::Carrier(name.clone(), state.plugged)
        } else {
            state.admin = !state.admin;
            Flap::Admin(name.clone(), state.admin)
        })
    }

    /// Does the next `count` changes, without waiting for the kernel between them; it keeps their order.
    pub async fn apply(&mut self, links: &Links, count: usize) -> Result<(), Error> {
        let flaps: Vec<Flap> = (0..count).filter_map(|_| self.next()).collect();
        try_join_all(flaps.iter().map(|flap| async {
            match flap {
                Flap::Carrier(port, plugged) => links.set_carrier(port, *plugged).await,
                Flap::Admin(port, up) => links.set_admin(port, *up).await,
            }
        }))
        .await?;
        Ok(())
    }
}

/// Says how many flaps are due.
#[derive(Debug)]
pub struct FlapClock {
    rate: f64,
    owed: f64,
    last: Instant,
    ticks: Interval,
}

impl FlapClock {
    /// From now on.
    pub fn new(rate: f64) -> Self {
        let mut ticks = interval(FLAP_STEP);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { rate, owed: 0.0, last: Instant::now(), ticks }
    }

    /// Waits until one flap at least is due; for ever without a rate. Cancel safe.
    pub async fn due(&mut self) -> usize {
        if self.rate <= 0.0 {
            std::future::pending::<()>().await;
        }
        loop {
            let now = self.ticks.tick().await;
            self.owed += now.saturating_duration_since(self.last).as_secs_f64() * self.rate;
            self.last = now;
            if self.owed >= 1.0 {
                #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
                let due = self.owed as usize;
                self.owed = self.owed.fract();
                return due.min(FLAP_BURST);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flapper(seed: u64) -> Flapper {
        let state = Wanted { admin: true, plugged: true };
        let ports = (0..4).map(|n| (format!("Ethernet{n}"), state)).collect();
        Flapper::new(seed, Kind::Both, ports)
    }

    #[test]
    fn the_same_seed_gives_the_same_flaps() {
        let flaps = |seed| {
            let mut flapper = flapper(seed);
            (0..100).filter_map(|_| flapper.next()).collect::<Vec<_>>()
        };
        assert_eq!(flaps(7), flaps(7));
        assert_ne!(flaps(7), flaps(8));
    }

    #[test]
    fn a_removed_port_flaps_no_more_and_the_others_keep_their_state() {
        let mut flapper = flapper(1);
        for _ in 0..21 {
            flapper.next();
        }
        let before = flapper.ports()["Ethernet1"];
        let fresh = Wanted { admin: true, plugged: true };
        flapper.set_ports([("Ethernet1".to_owned(), fresh)]);
        assert_eq!(flapper.ports()["Ethernet1"], before);
        assert!(matches!(flapper.next(), Some(Flap::Carrier(name, _) | Flap::Admin(name, _)) if name == "Ethernet1"));
        flapper.set_ports([]);
        assert_eq!(flapper.next(), None);
    }
}
