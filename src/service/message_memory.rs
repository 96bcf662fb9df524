//! The memory that messages under way may take together.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use tokio::sync::Semaphore;

use crate::types::Timestamp;

/// Most bytes of all messages together.
pub(crate) const MOST_IN_ALL: usize = 256 << 20;

/// Most large bodies that are decoded at once. The others wait: more threads than processors bring nothing, and each may
/// take some twenty times the size of its body for a moment.
const MOST_DECODED: usize = 4;

/// How much of it is taken.
#[derive(Debug)]
pub(crate) struct MessageMemory {
    taken: AtomicUsize,
    /// The minute of the last warning.
    warned: AtomicU64,
    /// Places for large bodies that are being decoded.
    decoders: Arc<Semaphore>,
}

/// The bytes of one message; dropping this gives them back. The default has a memory to itself.
#[derive(Debug, Default)]
pub struct MemoryShare {
    memory: Arc<MessageMemory>,
    bytes: usize,
}

impl Default for MessageMemory {
    fn default() -> Self {
        Self {
            taken: AtomicUsize::default(),
            warned: AtomicU64::default(),
            decoders: Arc::new(Semaphore::new(MOST_DECODED)),
        }
    }
}

impl MessageMemory {
    /// Places for large bodies that are being decoded.
    pub(crate) const fn decoders(&self) -> &Arc<Semaphore> {
        &self.decoders
    }

    /// The share of a message, empty so far.
    pub(crate) fn share(self: &Arc<Self>) -> MemoryShare {
        MemoryShare {
            memory: Arc::clone(self),
            bytes: 0,
        }
    }
}

impl MemoryShare {
    /// Takes so many more bytes, if there is room.
    #[must_use]
    pub fn take(&mut self, bytes: usize) -> bool {
        let taken = &self.memory.taken;
        let with_these = |taken: usize| {
            let sum = taken.checked_add(bytes);
            sum.filter(|sum| *sum <= MOST_IN_ALL)
        };
        let relaxed = Ordering::Relaxed;
        if taken.fetch_update(relaxed, relaxed, with_these).is_err() {
            return false;
        }
        self.bytes = self.bytes.saturating_add(bytes);
        true
    }

    /// How many bytes it has.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Gives so many bytes back, at most those that it has.
    pub fn give_back(&mut self, bytes: usize) {
        let bytes = bytes.min(self.bytes);
        self.bytes = self.bytes.saturating_sub(bytes);
        self.memory.taken.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Whether to log that a message could not be kept: once a minute.
    #[must_use]
    pub fn may_warn(&self, now: Timestamp) -> bool {
        let minute = now.seconds() / 60;
        self.memory.warned.swap(minute, Ordering::Relaxed) != minute
    }
}

#[cfg(test)]
impl MessageMemory {
    /// How much is taken.
    pub(crate) fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }
}

impl Drop for MemoryShare {
    fn drop(&mut self) {
        self.memory.taken.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_take_no_more_than_there_is_and_give_it_back() {
        let memory = Arc::<MessageMemory>::default();
        let other = Arc::<MessageMemory>::default();
        let (mut first, mut second) = (memory.share(), memory.share());
        assert!(first.take(MOST_IN_ALL - 10));
        assert!(!second.take(11));
        assert!(second.take(10));
        assert!(!second.take(1));
        assert!(
            other.share().take(MOST_IN_ALL),
            "another service has its own"
        );
        drop(first);
        assert!(second.take(MOST_IN_ALL - 10));
        drop(second);
        assert_eq!(memory.taken.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn what_cannot_be_kept_is_logged_once_a_minute() {
        let share = Arc::<MessageMemory>::default().share();
        let warned =
            [600, 601, 659, 660, 661].map(|at| share.may_warn(Timestamp::from_seconds(at)));
        assert_eq!(warned, [true, false, false, true, false]);
    }
}
