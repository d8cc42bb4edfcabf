//! What is still to be written to STATE_DB: the latest wins.
//!
//! In: the rows that the machine wants, what Redis is known to hold, what it acknowledged. Out: batches. One entry for
//! each row ever wanted, so that neither a slow Redis nor a flapping port makes it grow; what is already there is not
//! written again. At most one batch is under way.

use std::collections::{HashMap, VecDeque};

use foldhash::fast::RandomState;
use tokio::time::Instant;

use crate::sync::port_sync::{Row, RowKey};

/// One write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    /// Our fields get these values; the fields of others stay.
    Set(Row),
    /// The row is removed and made anew: the link behind it is another one.
    Replace(Row),
    /// The row is removed.
    Remove,
    /// Our fields are removed, those of others stay: nobody saw the link go.
    Strip,
}

impl Write {
    fn leaves(self) -> Option<Row> {
        match self {
            Self::Set(row) | Self::Replace(row) => Some(row),
            Self::Remove | Self::Strip => None,
        }
    }

    fn set(self, row: Row) -> Self {
        match self {
            Self::Set(_) => Self::Set(row),
            Self::Replace(_) | Self::Remove | Self::Strip => Self::Replace(row),
        }
    }
}

/// How a wanted row stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Redis holds it already.
    There,
    /// It is under way, or waits.
    Waiting,
    /// It waits, and did not before.
    Changed,
}

/// What was found in Redis for a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// Just this row.
    Row(Row),
    /// Something else, or nothing.
    Other,
}

/// Why a row is written, for those who count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    /// A link message, received at this moment.
    Message(Instant),
    /// An audit found that it differs, though nothing had told of a change.
    Audit,
    /// Anything else: a start, a loss.
    #[default]
    Other,
}

impl Origin {
    /// What remains when a write takes the place of one that still waits: the message that has waited longest.
    fn or(self, newer: Self) -> Self {
        if matches!(self, Self::Message(_)) { self } else { newer }
    }
}

/// What Redis has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Done {
    /// The row that stands there now.
    pub row: Option<Row>,
    /// Why it was written.
    pub origin: Origin,
    /// Whether nothing else of this row waits.
    pub settled: bool,
}

#[derive(Debug, Default)]
struct Slot {
    /// What Redis is known to hold in our fields; `None`: unknown, or not what we would write.
    known: Option<Row>,
    under_way: Option<Write>,
    waiting: Option<Write>,
    /// Why what is under way, and what waits, is written.
    under_way_for: Origin,
    waiting_for: Origin,
    /// Stands in the queue, be it for a write that was withdrawn since.
    queued: bool,
    /// The reading after which this slot last changed.
    touched: u64,
    /// Redis said `WRONGTYPE`, and that was reported.
    broken: bool,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Pending {
    slots: HashMap<RowKey, Slot, RandomState>,
    queue: VecDeque<RowKey>,
    reading: u64,
    waiting: usize,
    under_way: usize,
    origin: Origin,
}

impl Pending {
    /// Why rows are wanted from now on.
    pub fn because(&mut self, origin: Origin) {
        self.origin = origin;
    }

    /// Whether rows are wanted because of a message.
    pub fn is_for_message(&self) -> bool {
        matches!(self.origin, Origin::Message(_))
    }

    /// The row has to say this.
    pub fn set(&mut self, key: RowKey, row: Row) -> Standing {
        let slot = self.slots.entry(key).or_default();
        slot.touched = self.reading;
        let beneath = match slot.under_way {
            Some(write) => write.leaves(),
            None => slot.known,
        };
        match slot.waiting {
            Some(waiting) if waiting.leaves() == Some(row) => Standing::Waiting,
            Some(Write::Set(_)) | None if beneath == Some(row) => {
                if slot.waiting.take().is_some() {
                    self.waiting -= 1;
                }
                if slot.under_way.is_some() { Standing::Waiting } else { Standing::There }
            }
            waiting => {
                let write = waiting.map_or(Write::Set(row), |waiting| waiting.set(row));
                self.enqueue(key, write);
                Standing::Changed
            }
        }
    }

    /// The row has to go, with all its fields.
    pub fn remove(&mut self, key: RowKey) {
        self.enqueue(key, Write::Remove);
    }

    /// Our fields have to go, unless something newer is to be written.
    pub fn strip(&mut self, key: RowKey) {
        let idle = self.slots.get(&key).is_none_or(|slot| slot.waiting.is_none() && slot.under_way.is_none());
        if idle {
            self.enqueue(key, Write::Strip);
        }
    }

    /// What waits to be set is not to be set any longer; a removal still is to be done.
    pub fn withdraw(&mut self, key: RowKey) {
        let Some(slot) = self.slots.get_mut(&key) else { return };
        match slot.waiting {
            Some(Write::Set(_)) => {
                slot.waiting = None;
                self.waiting -= 1;
            }
            Some(Write::Replace(_)) => slot.waiting = Some(Write::Remove),
            Some(Write::Remove | Write::Strip) | None => {}
        }
    }

    fn enqueue(&mut self, key: RowKey, write: Write) {
        self.enqueue_for(key, write, self.origin);
    }

    fn enqueue_for(&mut self, key: RowKey, write: Write, origin: Origin) {
        let slot = self.slots.entry(key).or_default();
        slot.touched = self.reading;
        if slot.waiting.replace(write).is_some() {
            slot.waiting_for = slot.waiting_for.or(origin);
        } else {
            slot.waiting_for = origin;
            self.waiting += 1;
            if !std::mem::replace(&mut slot.queued, true) {
                self.queue.push_back(key);
            }
        }
    }

    /// How many rows wait, those under way not counted.
    pub fn len(&self) -> usize {
        self.waiting
    }

    /// How many rows wait or are under way.
    pub fn unwritten(&self) -> usize {
        self.waiting + self.under_way
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.waiting == 0
    }

    /// Hands on what waits, at most `most` rows, in the order in which they came to wait. Each has to be answered with
    /// [`acknowledge`](Self::acknowledge), [`failed`](Self::failed) or [`broken`](Self::broken) before the next batch.
    pub fn take(&mut self, most: usize, mut each: impl FnMut(RowKey, Write)) {
        let mut taken = 0;
        while taken < most {
            let Some(key) = self.queue.pop_front() else { break };
            let Some(slot) = self.slots.get_mut(&key) else { continue };
            slot.queued = false;
            let Some(write) = slot.waiting.take() else { continue };
            self.waiting -= 1;
            slot.under_way = Some(write);
            slot.under_way_for = slot.waiting_for;
            self.under_way += 1;
            taken += 1;
            each(key, write);
        }
    }

    /// Redis has done it.
    pub fn acknowledge(&mut self, key: RowKey) -> Option<Done> {
        let slot = self.slots.get_mut(&key)?;
        let write = slot.under_way.take()?;
        self.under_way -= 1;
        slot.touched = self.reading;
        slot.broken = false;
        slot.known = write.leaves();
        Some(Done { row: slot.known, origin: slot.under_way_for, settled: slot.waiting.is_none() })
    }

    /// It is not known whether Redis has done it: it waits again, unless something newer does.
    pub fn failed(&mut self, key: RowKey) {
        let Some(slot) = self.slots.get_mut(&key) else { return };
        let Some(write) = slot.under_way.take() else { return };
        self.under_way -= 1;
        slot.known = None;
        let again = match (write, slot.waiting) {
            (write, None) => write,
            (Write::Set(_), Some(newer)) => newer,
            (older, Some(newer)) => newer.leaves().map_or(newer, |row| older.set(row)),
        };
        let origin = slot.under_way_for.or(slot.waiting_for);
        if slot.waiting.is_some() {
            slot.waiting_for = origin;
        }
        self.enqueue_for(key, again, origin);
    }

    /// The key holds another type: given up until the row changes or is found mended. True if that is news.
    pub fn broken(&mut self, key: RowKey) -> bool {
        let Some(slot) = self.slots.get_mut(&key) else { return false };
        if slot.under_way.take().is_some() {
            self.under_way -= 1;
        }
        slot.known = None;
        !std::mem::replace(&mut slot.broken, true)
    }

    /// The connection is lost: whatever Redis held, it has to be read again.
    pub fn forget_known(&mut self) {
        for slot in self.slots.values_mut() {
            slot.known = None;
        }
    }

    /// Call before rows are read from Redis, and hand the result to [`learn`](Self::learn).
    pub fn begin_reading(&mut self) -> u64 {
        self.reading += 1;
        self.reading
    }

    /// Takes what was read, unless the row was written or wanted anew since the reading began: then the reading is old.
    pub fn learn(&mut self, key: RowKey, found: Found, reading: u64) {
        let slot = self.slots.entry(key).or_default();
        if slot.touched >= reading || slot.under_way.is_some() {
            return;
        }
        slot.broken = false;
        slot.known = match found {
            Found::Row(row) => Some(row),
            Found::Other => None,
        };
        // What waited while Redis was away may have arrived there before it went.
        if slot.known.is_some_and(|known| slot.waiting == Some(Write::Set(known))) {
            slot.waiting = None;
            self.waiting -= 1;
        }
    }
}

#[cfg(test)]
#[path = "pending_tests.rs"]
mod tests;
