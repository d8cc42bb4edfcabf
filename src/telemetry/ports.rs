//! Each port as it stands, for whoever looks: one cell of atomics, written by the core, read at any time.
//!
//! The core never waits for a reader. Only making a cell takes a lock, once in a port's life. A reader may see one field of
//! a cell older than the next; the row itself (admin, oper, mtu) is one word.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Notify;

use super::flaps::{Carrier, Flaps};
use crate::api::{Change, Port, PortState};
use crate::clock::{self, monotonic_ms, now_ms};
use crate::link::LinkName;
use crate::locks::lock;
use crate::sync::port_sync::Source;

/// Changes of the operational state that are kept for each port.
pub const HISTORY: usize = 8;

/// How long a name is known that no link has any longer, and how many such names at most.
const KNOWN_MS: u64 = 24 * 3600 * 1000;
const MOST_GONE: usize = 4096;

const PRESENT: u64 = 1;
const ADMIN_UP: u64 = 1 << 1;
const OPER_UP: u64 = 1 << 2;
const IN_STEP: u64 = 1 << 3;
const WAITING: u64 = 1 << 4;
const AWAITED: u64 = 1 << 5;
/// The port stands in CONFIG_DB.
const CONFIGURED: u64 = 1 << 6;
/// A link from before a cold start holds the name.
const IGNORED: u64 = 1 << 7;
/// Its key in STATE_DB holds another type than a hash.
const BLOCKED: u64 = 1 << 8;
/// What the flags say of the link is known.
const KNOWN: u64 = 1 << 9;
const MTU_SHIFT: u32 = 32;

#[derive(Debug)]
pub struct Cell {
    name: LinkName,
    state: AtomicU64,
    flaps: Flaps,
    /// When the row last changed, in milliseconds of Unix time.
    changed: AtomicU64,
    /// Since when the row has been out of step, by a clock that nobody sets, in milliseconds; of one that is in step whatever it was.
    behind: AtomicU64,
    /// When the last few changes of the operational state were, and (lowest bit) whether it came up.
    history: [AtomicU64; HISTORY],
    history_end: AtomicUsize,
    /// Not looked at by the stream since it changed.
    dirty: AtomicBool,
}

impl Cell {
    fn new(name: LinkName) -> Self {
        Self {
            name,
            state: AtomicU64::new(0),
            flaps: Flaps::default(),
            changed: AtomicU64::new(0),
            behind: AtomicU64::new(0),
            history: Default::default(),
            history_end: AtomicUsize::new(0),
            dirty: AtomicBool::new(false),
        }
    }

    fn flags(&self) -> u64 {
        self.state.load(Ordering::Relaxed)
    }

    /// The row that the port deserves, and whether Redis holds it already. True if that is news. Only the core calls this.
    pub(super) fn wanted(&self, (admin_up, oper_up, mtu): (bool, bool, u32), source: Source, there: bool) -> bool {
        let before = self.flags();
        let flag = |set, flag| if set { flag } else { 0 };
        let after = PRESENT
            | KNOWN
            | flag(admin_up, ADMIN_UP)
            | flag(oper_up, OPER_UP)
            | flag(there, IN_STEP)
            | (before & (AWAITED | CONFIGURED | IGNORED))
            | (u64::from(mtu) << MTU_SHIFT);
        let row = !(IN_STEP | AWAITED | WAITING | CONFIGURED | IGNORED | BLOCKED);
        let changed = before & PRESENT != 0 && (before ^ after) & OPER_UP != 0;
        let differs = (before ^ after) & row != 0;
        if differs {
            let now = now_ms();
            self.changed.store(now, Ordering::Relaxed);
            if changed {
                let end = self.history_end.load(Ordering::Relaxed);
                self.history[end % HISTORY].store(now << 1 | u64::from(oper_up), Ordering::Relaxed);
                self.history_end.store(end + 1, Ordering::Release);
            }
        }
        if !there && (differs || before & IN_STEP != 0) {
            self.behind.store(monotonic_ms(), Ordering::Relaxed);
        }
        let counted = self.flaps.count(source, changed);
        self.state.store(after, Ordering::Release);
        before != after || counted
    }

    /// Sets and clears flags. True if that is news. Only the core calls this.
    fn flag(&self, set: u64, clear: u64) -> bool {
        let before = self.flags();
        let after = before & !clear | set;
        self.state.store(after, Ordering::Release);
        before != after
    }

    /// Redis holds the row that the port deserves.
    pub(super) fn settled(&self) -> bool {
        self.flag(IN_STEP, BLOCKED)
    }

    /// Its key in STATE_DB holds another type, so that the row cannot be written.
    pub(super) fn blocked(&self) -> bool {
        self.flag(BLOCKED, IN_STEP)
    }

    /// The port's row has to go.
    pub(super) fn removed(&self) -> bool {
        self.changed.store(now_ms(), Ordering::Relaxed);
        self.flaps.gone();
        self.flag(0, PRESENT | IN_STEP | BLOCKED | WAITING | ADMIN_UP | OPER_UP | KNOWN)
    }

    /// The link is there, and APPL_DB does not have the port's row.
    pub(super) fn waiting(&self) -> bool {
        self.flag(WAITING, PRESENT | IN_STEP | BLOCKED)
    }

    /// What the kernel says of a link that waits. Of any other its row says it.
    pub(super) fn link(&self, admin_up: bool, oper_up: bool) -> bool {
        if self.flags() & WAITING == 0 {
            return false;
        }
        let flag = |set, flag| if set { (flag, 0) } else { (0, flag) };
        let (admin, oper) = (flag(admin_up, ADMIN_UP), flag(oper_up, OPER_UP));
        self.flag(KNOWN | admin.0 | oper.0, admin.1 | oper.1)
    }

    /// The start waits for this port.
    pub(super) fn awaited(&self, awaited: bool) -> bool {
        if awaited { self.flag(AWAITED, 0) } else { self.flag(0, AWAITED) }
    }

    /// CONFIG_DB has the port. No news by itself: nobody is shown it.
    pub(super) fn configured(&self, configured: bool) {
        if configured {
            self.flag(CONFIGURED, 0)
        } else {
            self.flag(0, CONFIGURED)
        };
    }

    /// A link from before a cold start holds the port's name, and is ignored.
    pub(super) fn ignored(&self, ignored: bool) -> bool {
        if ignored { self.flag(IGNORED, 0) } else { self.flag(0, IGNORED) }
    }

    /// Why a port that has a link has no row that is right: a configured one waits for `APPL_DB`, or its link is ignored, or
    /// its key is blocked. `None` for all others.
    pub fn unserved(&self) -> Option<PortState> {
        let port_state = self.port_state()?;
        let unserved = match port_state {
            PortState::Blocked => true,
            PortState::Waiting | PortState::Ignored => self.flags() & CONFIGURED != 0,
            PortState::InStep | PortState::Pending | PortState::Awaited => false,
        };
        unserved.then_some(port_state)
    }

    /// Whether the start still waits for this port's row.
    pub fn is_awaited(&self) -> bool {
        self.flags() & AWAITED != 0
    }

    pub fn name(&self) -> &LinkName {
        &self.name
    }

    /// Changes of the operational state, those included that nobody saw.
    pub fn flaps(&self) -> u64 {
        self.flaps.total()
    }

    /// The port's link and the kernel's count of its carrier changes, for a later run to go on from.
    pub fn carrier(&self) -> Option<Carrier> {
        self.flaps.carrier()
    }

    /// Whether somebody wants the link up, and whether it is; `None` while that is not known, or there is none.
    pub fn up_down(&self) -> Option<(bool, bool)> {
        let flags = self.flags();
        // An ignored link, from before a cold start, is set down.
        (flags & (KNOWN | IGNORED) != 0).then_some((flags & ADMIN_UP != 0, flags & OPER_UP != 0))
    }

    /// How the port stands; `None` for one that has no link and is not awaited.
    pub fn port_state(&self) -> Option<PortState> {
        let flags = self.flags();
        if flags & PRESENT != 0 {
            Some(match (flags & BLOCKED != 0, flags & IN_STEP != 0) {
                (true, _) => PortState::Blocked,
                (false, true) => PortState::InStep,
                (false, false) => PortState::Pending,
            })
        } else if flags & WAITING != 0 {
            Some(PortState::Waiting)
        } else if flags & IGNORED != 0 {
            Some(PortState::Ignored)
        } else if flags & AWAITED != 0 {
            Some(PortState::Awaited)
        } else {
            None
        }
    }

    /// For how long Redis has not held the row as it is now; `None` if it does.
    pub fn behind(&self) -> Option<Duration> {
        let pending = self.port_state() == Some(PortState::Pending);
        let since = self.behind.load(Ordering::Relaxed);
        pending.then(|| Duration::from_millis(monotonic_ms().saturating_sub(since)))
    }

    /// When the row last changed, as Unix time in milliseconds.
    pub fn changed_ms(&self) -> u64 {
        self.changed.load(Ordering::Relaxed)
    }

    /// The last changes of the operational state, oldest first, in milliseconds of Unix time, and whether it came up.
    pub fn history(&self) -> Vec<(u64, bool)> {
        let end = self.history_end.load(Ordering::Acquire);
        (end.saturating_sub(HISTORY)..end)
            .map(|at| self.history[at % HISTORY].load(Ordering::Relaxed))
            .map(|word| (word >> 1, word & 1 == 1))
            .collect()
    }

    /// The port for people and programs; `None` for one that has no link and is not awaited.
    pub fn port(&self) -> Option<Port> {
        let port_state = self.port_state()?;
        let flags = self.flags();
        let known = flags & PRESENT != 0;
        let up_down = |flag| known.then(|| if flags & flag != 0 { "up" } else { "down" }.to_owned());
        let seconds = |ms: u64| (ms > 0).then(|| clock::seconds(ms));
        Some(Port {
            name: self.name.to_string(),
            admin: up_down(ADMIN_UP),
            oper: up_down(OPER_UP),
            mtu: known.then_some(flags >> MTU_SHIFT),
            ifindex: known.then(|| self.flaps.ifindex()),
            flaps: self.flaps(),
            last_change: seconds(self.changed_ms()),
            state: port_state,
            in_step: port_state == PortState::InStep,
            history: self.history().into_iter().map(|(at, up)| Change { at: clock::seconds(at), up }).collect(),
        })
    }
}

/// All ports that were ever seen.
#[derive(Debug, Default)]
pub struct Ports {
    cells: Mutex<HashMap<LinkName, Arc<Cell>>>,
    /// The same in order, as the last reader had them, and how often cells had come or gone then. The core does not wait for it.
    sorted: Mutex<(u64, Arc<[Arc<Cell>]>)>,
    /// How often cells came or went.
    membership: AtomicU64,
    generation: AtomicU64,
    watched: AtomicBool,
    /// Told of changes while somebody watches.
    pub changed: Notify,
}

impl Ports {
    /// The port's cell, made if there is none.
    pub fn cell(&self, name: LinkName) -> Arc<Cell> {
        let mut cells = lock(&self.cells);
        Arc::clone(cells.entry(name).or_insert_with(|| {
            self.membership.fetch_add(1, Ordering::Release);
            Arc::new(Cell::new(name))
        }))
    }

    /// Forgets names that nothing has had for a day, and the oldest of them if there are too many. Gives those back.
    pub(super) fn forget_gone(&self) -> Vec<LinkName> {
        let mut cells = lock(&self.cells);
        let gone = cells.values().filter(|cell| cell.port_state().is_none() && cell.flags() & CONFIGURED == 0);
        let mut gone: Vec<(u64, LinkName)> =
            gone.map(|cell| (cell.changed.load(Ordering::Relaxed), *cell.name())).collect();
        gone.sort_unstable_by_key(|(changed, _)| *changed);
        let surplus = gone.len().saturating_sub(MOST_GONE);
        let long_ago = now_ms().saturating_sub(KNOWN_MS);
        let forgotten = gone.iter().enumerate().filter(|(at, (changed, _))| *at < surplus || *changed < long_ago);
        let forgotten: Vec<LinkName> = forgotten.map(|(_, (_, name))| *name).collect();
        for name in &forgotten {
            cells.remove(name);
            self.membership.fetch_add(1, Ordering::Release);
        }
        forgotten
    }

    /// Something about this port changed.
    pub(super) fn touch(&self, cell: &Cell) {
        cell.dirty.store(true, Ordering::Release);
        self.generation.fetch_add(1, Ordering::Release);
        if self.watched.load(Ordering::Relaxed) {
            self.changed.notify_one();
        }
    }

    /// A number that is another one whenever anything has changed.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Whether [`changed`](Self::changed) is to be told.
    pub fn watch(&self, watched: bool) {
        self.watched.store(watched, Ordering::Relaxed);
    }

    /// How many cells there are.
    pub fn count(&self) -> usize {
        lock(&self.cells).len()
    }

    /// Every cell, those of ports that went included, in the order of the names with their numbers as numbers.
    pub fn cells(&self) -> Arc<[Arc<Cell>]> {
        let mut sorted = lock(&self.sorted);
        let membership = self.membership.load(Ordering::Acquire);
        if membership != sorted.0 {
            let cells = lock(&self.cells);
            let mut all: Vec<Arc<Cell>> = cells.values().cloned().collect();
            drop(cells);
            all.sort_by_cached_key(|cell| natural(cell.name.as_bytes()));
            *sorted = (membership, all.into());
        }
        Arc::clone(&sorted.1)
    }

    /// Takes over what was known of a port before a restart. With a link of that time, what this did since is added, if the
    /// port still has it.
    /// Files of earlier versions may have sub-interfaces, which are no ports.
    pub fn restore(&self, name: LinkName, flaps: u64, history: &[(u64, bool)], carrier: Option<Carrier>) {
        if name.is_sub_interface() {
            return;
        }
        let cell = self.cell(name);
        // That it was there is known as of now.
        let _ = cell.changed.compare_exchange(0, now_ms(), Ordering::Relaxed, Ordering::Relaxed);
        cell.flaps.restore(flaps, carrier);
        // Changes that came since the start are newer: they stay, and these go before them.
        let newer = cell.history();
        let all: Vec<_> = history.iter().copied().chain(newer).collect();
        for (at, (ms, up)) in all.iter().enumerate() {
            cell.history[at % HISTORY].store(ms << 1 | u64::from(*up), Ordering::Relaxed);
        }
        cell.history_end.store(all.len(), Ordering::Release);
        if cell.port_state().is_some() {
            self.touch(&cell);
        }
    }

    /// The cells whose port changed since they were last taken. One reader only: what it takes no other sees.
    pub fn take_changed(&self, cells: &[Arc<Cell>]) -> Vec<Arc<Cell>> {
        cells.iter().filter(|cell| cell.dirty.swap(false, Ordering::Acquire)).cloned().collect()
    }
}

#[cfg(test)]
impl Cell {
    /// The row changed at this time.
    pub fn changed_at(&self, unix_ms: u64) {
        self.changed.store(unix_ms, Ordering::Relaxed);
    }

    /// The row is out of step since this time of the monotonic clock.
    pub fn behind_since(&self, ms: u64) {
        self.behind.store(ms, Ordering::Relaxed);
    }
}

/// What names are ordered by: `Ethernet4` before `Ethernet12`.
pub fn natural(name: &[u8]) -> (Vec<u8>, u64, Vec<u8>) {
    let digits = name.iter().position(u8::is_ascii_digit).unwrap_or(name.len());
    let (text, rest) = name.split_at(digits);
    let end = rest.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(rest.len());
    // Names have at most 15 bytes, so that the number fits.
    let number = rest[..end].iter().fold(0, |number, digit| number * 10 + u64::from(digit - b'0'));
    (text.to_vec(), number, rest[end..].to_vec())
}
