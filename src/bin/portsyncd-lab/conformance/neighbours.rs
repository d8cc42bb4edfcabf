//! Who else is on the switch: orchagent, which pops what the daemon publishes, and intfmgrd, which follows its rows.
//!
//! In: whether the scenario wants them. Out: what orchagent was handed ([`Agent`]), and changes of links. Each runs on a thread
//! of its own from a start of Redis until that Redis ends. They connect as the runner does.

use std::collections::BTreeMap;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use portsyncd::lab::consumer::{BATCH, pop_now};
use portsyncd::lab::intfmgrd::{Intfmgrd, Place};
use portsyncd::lab::orchagent::Orchagent;
use portsyncd::locks::lock;
use redis::Connection;

use super::scenario::{Consumer, Database, Scenario};
use super::world::{PORT, connect};

const START_LIMIT: Duration = Duration::from_secs(20);

/// orchagent, whoever pops for it.
#[derive(Clone, Default)]
pub struct Agent(Arc<Shared>);

/// Apart from each other, so that what was handed can be seen while a pop waits for a Redis that is stopped.
#[derive(Default)]
struct Shared {
    popping: Mutex<()>,
    handed: Mutex<Orchagent>,
}

impl Agent {
    pub fn handed(&self) -> Orchagent {
        lock(&self.0.handed).clone()
    }

    /// Another one begins, between two pops.
    pub fn restart(&self) {
        let _between = lock(&self.0.popping);
        lock(&self.0.handed).restart();
    }

    /// Pops everything that is there.
    pub fn pop(&self, appl_db: &mut Connection, separator: &str) -> Result<(), String> {
        loop {
            let _whole = lock(&self.0.popping);
            let popped = pop_now(appl_db, separator, BATCH).map_err(|e| e.to_string())?;
            if popped.is_empty() {
                return Ok(());
            }
            lock(&self.0.handed).take(&popped);
        }
    }
}

pub struct Neighbours {
    /// What was popped by whom does not matter.
    pub orchagent: Agent,
    /// Whether orchagent pops by itself.
    pub consumer: Consumer,
    /// Whether intfmgrd is there.
    pub intfmgrd: bool,
}

impl Neighbours {
    /// As the scenario wants them; none runs yet.
    pub fn new(scenario: &Scenario) -> Self {
        Self { orchagent: Agent::default(), consumer: scenario.consumer, intfmgrd: scenario.intfmgrd }
    }

    /// Starts them on a Redis that has just been started; comes back once they listen.
    pub fn start(&self, databases: &BTreeMap<String, Database>) -> Result<(), String> {
        if self.consumer == Consumer::Auto {
            self.start_consumer(&databases["APPL_DB"])?;
        }
        if self.intfmgrd {
            start_intfmgrd(&databases["STATE_DB"], &databases["CONFIG_DB"])?;
        }
        Ok(())
    }

    fn start_consumer(&self, database: &Database) -> Result<(), String> {
        let Database { id, separator } = database.clone();
        let (mut wakes, mut pops) = (connect(id)?, connect(id)?);
        // However long Redis is stopped, they go on with it.
        for connection in [&wakes, &pops] {
            connection.set_read_timeout(None).map_err(|e| e.to_string())?;
        }
        redis::cmd("SUBSCRIBE").arg(format!("PORT_TABLE_CHANNEL@{id}")).exec(&mut wakes).map_err(|e| e.to_string())?;
        let orchagent = self.orchagent.clone();
        std::thread::spawn(
            move || {
                while orchagent.pop(&mut pops, &separator).is_ok() && wakes.recv_response().is_ok() {}
            },
        );
        Ok(())
    }
}

fn start_intfmgrd(state: &Database, config: &Database) -> Result<(), String> {
    let place = |database: &Database| {
        let client = redis::Client::open(format!("redis://127.0.0.1:{PORT}/{}", database.id));
        client.map(|client| Place { client, separator: database.separator.clone() }).map_err(|e| e.to_string())
    };
    let (state, config) = (place(state)?, place(config)?);
    let (tell, told) = channel();
    std::thread::spawn(move || {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
        runtime.block_on(async {
            match Intfmgrd::open(&state, &config).await {
                Ok(mut intfmgrd) => {
                    let _ = tell.send(Ok(()));
                    // Ends with Redis.
                    let _ = intfmgrd.serve().await;
                }
                Err(error) => drop(tell.send(Err(error.to_string()))),
            }
        });
    });
    told.recv_timeout(START_LIMIT)
        .unwrap_or_else(|_| Err("it did not start".to_owned()))
        .map_err(|e| format!("intfmgrd: {e}"))
}
