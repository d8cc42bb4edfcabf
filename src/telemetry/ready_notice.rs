//! `READY=1`, for systemd: said once, when the core follows kernel and Redis, and HTTP and the control socket listen or have
//! said why they do not. Whoever comes last says it.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use sd_notify::NotifyState;

use crate::notify_socket::notify;

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ReadyPart {
    Core = 1,
    Http = 2,
    Control = 4,
}

#[derive(Debug)]
pub struct ReadyNotice {
    missing: AtomicU8,
    /// There was no room for it yet.
    unsent: AtomicBool,
}

impl Default for ReadyNotice {
    fn default() -> Self {
        let all = ReadyPart::Core as u8 | ReadyPart::Http as u8 | ReadyPart::Control as u8;
        Self { missing: AtomicU8::new(all), unsent: AtomicBool::new(false) }
    }
}

impl ReadyNotice {
    /// This part is there, or has said why it is not.
    pub fn done(&self, part: ReadyPart) {
        let part = part as u8;
        if self.missing.fetch_and(!part, Ordering::AcqRel) == part {
            self.say();
        }
    }

    /// Whether nothing is waited for any longer.
    pub fn is_due(&self) -> bool {
        self.missing.load(Ordering::Acquire) == 0
    }

    /// Says it, or leaves it for [`retry`](Self::retry).
    pub fn say(&self) {
        self.unsent.store(!notify(&[NotifyState::Ready]), Ordering::Release);
    }

    /// Says it now if there was no room for it. True if there still is none.
    pub fn retry(&self) -> bool {
        if self.unsent.load(Ordering::Acquire) {
            self.say();
        }
        self.unsent.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_due_when_every_part_is_done_in_whatever_order() {
        let notice = ReadyNotice::default();
        for part in [ReadyPart::Control, ReadyPart::Core, ReadyPart::Core, ReadyPart::Http] {
            assert!(!notice.is_due());
            notice.done(part);
        }
        assert!(notice.is_due());
    }
}
