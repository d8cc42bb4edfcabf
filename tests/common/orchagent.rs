//! orchagent's part in `APPL_DB`: pops what is published, on a thread of its own, through losses of Redis.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use portsyncd::lab::consumer::{BATCH, Entry, pop_now};
use redis::{Client, ConnectionInfo};

pub struct Orchagent {
    ended: Arc<AtomicBool>,
    seen: Arc<Mutex<Vec<Entry>>>,
    thread: Option<JoinHandle<()>>,
}

impl Orchagent {
    pub fn start(appl_db: ConnectionInfo) -> Self {
        Self::start_with(appl_db, BATCH)
    }

    /// Pops at most so many keys at once.
    pub fn start_with(appl_db: ConnectionInfo, batch: usize) -> Self {
        let ended = Arc::new(AtomicBool::new(false));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (end, all) = (Arc::clone(&ended), Arc::clone(&seen));
        let thread = thread::spawn(move || {
            let client = Client::open(appl_db).unwrap();
            let limit = Duration::from_secs(1);
            while !end.load(Ordering::Relaxed) {
                let Ok(mut connection) = client.get_connection_with_timeout(limit) else {
                    thread::sleep(Duration::from_millis(5));
                    continue;
                };
                let timed = connection.set_read_timeout(Some(limit));
                while timed.is_ok() && !end.load(Ordering::Relaxed) {
                    let Ok(popped) = pop_now(&mut connection, ":", batch) else {
                        break;
                    };
                    all.lock().unwrap_or_else(PoisonError::into_inner).extend(popped);
                    // Not a proof of anything: only so as not to keep a core busy.
                    thread::sleep(Duration::from_millis(5));
                }
            }
        });
        Self { ended, seen, thread: Some(thread) }
    }

    /// Everything popped so far.
    pub fn seen(&self) -> Vec<Entry> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How often this key was popped.
    pub fn count(&self, key: &str) -> usize {
        self.seen().iter().filter(|entry| entry.key == key).count()
    }
}

impl Drop for Orchagent {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
