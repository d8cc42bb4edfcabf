//! What is still to be written to STATE_DB: the latest wins.
//!
//! In: what the links say, what Redis was found to hold, what it acknowledged. Out: batches. One entry for each row ever
//! wanted, so that neither a slow Redis nor a flapping port makes it grow. Each change is followed by a write, also where the
//! value came back before the write was sent: others act on the write. At most one batch is under way.

use std::collections::{HashMap, VecDeque};

use foldhash::fast::RandomState;
use tokio::time::Instant;

use crate::sync::port_sync::{Row, RowKey};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    /// Our fields get these values; the fields of others stay.
    Set(Row),
    /// The row is removed and made anew: the link behind it is another one.
    Replace(Row),
    /// The row is removed, with the fields of others.
    Remove,
}

impl Write {
    /// The row that stands there afterwards.
    pub(super) fn leaves(self) -> Option<Row> {
        match self {
            Self::Set(row) | Self::Replace(row) => Some(row),
            Self::Remove => None,
        }
    }

    fn set(self, row: Row) -> Self {
        match self {
            Self::Set(_) => Self::Set(row),
            Self::Replace(_) | Self::Remove => Self::Replace(row),
        }
    }
}

/// What was found in Redis for a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    Row(Row),
    /// It has `state`, and is not as we would write it.
    Other,
    /// Nothing, or fields of others only: it has no `state`.
    Nothing,
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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acknowledged {
    /// The row that stands there now.
    pub row: Option<Row>,
    pub origin: Origin,
    /// Whether nothing else of this row waits.
    pub settled: bool,
}

#[derive(Debug, Default)]
struct Slot {
    /// What Redis is known to hold in our fields; `None`: unknown, or not what we would write.
    known: Option<Row>,
    under_way: Option<(Write, Origin)>,
    waiting: Option<(Write, Origin)>,
    /// A [`Write::Replace`] that left this was under way when the connection was lost: Redis may have done it.
    doubtful: Option<Row>,
    /// Stands in the queue, be it for a write that was withdrawn since.
    queued: bool,
    /// The reading after which this slot last changed.
    touched: u64,
    /// Redis said `WRONGTYPE`, and that was reported.
    wrong_type: bool,
}

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

    /// The row changed, and says this now. True if Redis is known to hold just that.
    pub fn set(&mut self, key: RowKey, row: Row) -> bool {
        let slot = self.slots.entry(key).or_default();
        let there = slot.waiting.is_none() && slot.under_way.is_none() && slot.known == Some(row);
        let write = slot.waiting.map_or(Write::Set(row), |(waiting, _)| waiting.set(row));
        self.enqueue(key, write, self.origin);
        there
    }

    /// The row has to say this. False if it does, or will.
    pub fn ensure(&mut self, key: RowKey, row: Row) -> bool {
        let slot = self.slots.entry(key).or_default();
        let last = slot.waiting.or(slot.under_way).map_or(slot.known, |(write, _)| write.leaves());
        if last == Some(row) {
            return false;
        }
        self.set(key, row);
        true
    }

    /// The row has to go, with all its fields.
    pub fn remove(&mut self, key: RowKey) {
        self.enqueue(key, Write::Remove, self.origin);
    }

    /// Whether a write of this row waits or is under way.
    pub fn is_unwritten(&self, key: RowKey) -> bool {
        self.slots.get(&key).is_some_and(|slot| slot.waiting.is_some() || slot.under_way.is_some())
    }

    /// What waits to be set is not to be set any longer; a removal still is to be done.
    pub fn withdraw(&mut self, key: RowKey) {
        let Some(slot) = self.slots.get_mut(&key) else { return };
        match slot.waiting {
            Some((Write::Set(_), _)) => {
                slot.waiting = None;
                self.waiting -= 1;
            }
            Some((Write::Replace(_), origin)) => slot.waiting = Some((Write::Remove, origin)),
            Some((Write::Remove, _)) | None => {}
        }
    }

    fn enqueue(&mut self, key: RowKey, write: Write, origin: Origin) {
        let slot = self.slots.entry(key).or_default();
        slot.touched = self.reading;
        let before = slot.waiting.map(|(_, before)| before);
        slot.waiting = Some((write, before.map_or(origin, |before| before.or(origin))));
        if before.is_none() {
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
    /// [`acknowledge`](Self::acknowledge), [`failed`](Self::failed) or [`wrong_type`](Self::wrong_type) before the next batch.
    pub fn take(&mut self, most: usize, mut each: impl FnMut(RowKey, Write)) {
        let mut taken = 0;
        while taken < most {
            let Some(key) = self.queue.pop_front() else { break };
            let Some(slot) = self.slots.get_mut(&key) else { continue };
            slot.queued = false;
            let Some((write, origin)) = slot.waiting.take() else { continue };
            self.waiting -= 1;
            slot.under_way = Some((write, origin));
            self.under_way += 1;
            taken += 1;
            each(key, write);
        }
    }

    pub fn acknowledge(&mut self, key: RowKey) -> Option<Acknowledged> {
        let slot = self.slots.get_mut(&key)?;
        let (write, origin) = slot.under_way.take()?;
        self.under_way -= 1;
        slot.touched = self.reading;
        slot.wrong_type = false;
        slot.known = write.leaves();
        slot.doubtful = None;
        Some(Acknowledged { row: slot.known, origin, settled: slot.waiting.is_none() })
    }

    /// Redis refused it: it waits again, unless something newer does.
    pub fn failed(&mut self, key: RowKey) {
        let Some(slot) = self.slots.get_mut(&key) else { return };
        let Some((write, mut origin)) = slot.under_way.take() else { return };
        self.under_way -= 1;
        slot.known = None;
        let mut again = write;
        if let Some((newer, newer_origin)) = &mut slot.waiting {
            again = if matches!(write, Write::Set(_)) {
                *newer
            } else {
                newer.leaves().map_or(*newer, |row| write.set(row))
            };
            origin = origin.or(*newer_origin);
            *newer_origin = origin;
        }
        self.enqueue(key, again, origin);
    }

    /// The connection was lost, and it is not known whether Redis has done it.
    pub fn lost(&mut self, key: RowKey) {
        if let Some(slot) = self.slots.get_mut(&key)
            && let Some((Write::Replace(row), _)) = slot.under_way
        {
            slot.doubtful = Some(row);
        }
        self.failed(key);
    }

    /// The key holds another type: given up until the row changes or is found mended. True if that is news.
    pub fn wrong_type(&mut self, key: RowKey) -> bool {
        let Some(slot) = self.slots.get_mut(&key) else { return false };
        if slot.under_way.take().is_some() {
            self.under_way -= 1;
        }
        slot.known = None;
        !std::mem::replace(&mut slot.wrong_type, true)
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
        slot.wrong_type = false;
        slot.known = match found {
            Found::Row(row) => Some(row),
            Found::Other | Found::Nothing => None,
        };
        // A removal that Redis did before the connection was lost is not repeated: others may have written since.
        let doubtful = slot.doubtful.take();
        let done = found == Found::Nothing || (doubtful.is_some() && doubtful == slot.known);
        match slot.waiting {
            Some((Write::Replace(row), origin)) if done => slot.waiting = Some((Write::Set(row), origin)),
            Some((Write::Remove, _)) if found == Found::Nothing => {
                slot.waiting = None;
                self.waiting -= 1;
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
