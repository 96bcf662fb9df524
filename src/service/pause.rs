//! The pause: greylisting is switched off for a time, and everything passes.
//!
//! What is here counts at once. The store keeps it, so that it survives a restart; while the store is
//! unavailable the change waits here, and the writer thread stores it as soon as it can.
//!
//! A pause ends by itself when its time is over. While the clock is not trusted it does not end, as no record expires
//! then.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::policy::{Expiry, Pause};
use crate::types::Timestamp;

/// Greylisting is on.
const NO_PAUSE: u64 = 0;

/// The pause lasts until it is ended by hand.
const OPEN_END: u64 = u64::MAX;

/// Whether greylisting is paused.
#[derive(Debug, Default)]
pub(crate) struct PauseSwitch {
    /// When the pause ends, in seconds since the epoch, or one of the two constants.
    until: AtomicU64,
    stored: Mutex<Stored>,
}

/// What the switch has to do with the store.
#[derive(Debug, Default)]
struct Stored {
    /// Whether a store has been read since the start.
    is_loaded: bool,
    /// Whether the store does not have the pause as it is now.
    is_unwritten: bool,
}

impl PauseSwitch {
    /// The pause as it was last set, over or not.
    pub(crate) fn get(&self) -> Option<Pause> {
        match self.until.load(Ordering::Relaxed) {
            NO_PAUSE => None,
            OPEN_END => Some(Pause { until: None }),
            until => Some(Pause {
                until: Some(Timestamp::from_seconds(until)),
            }),
        }
    }

    /// Whether everything passes at `now`. Costs one load while there is no pause.
    pub(crate) fn is_on(&self, now: Timestamp, expiry: Expiry) -> bool {
        match self.until.load(Ordering::Relaxed) {
            NO_PAUSE => false,
            until => now.seconds() < until || expiry == Expiry::Suspended,
        }
    }

    /// Begins a pause, or ends it.
    pub(crate) fn set(&self, pause: Option<Pause>) {
        let mut state = self.lock();
        self.store(pause);
        state.is_unwritten = true;
    }

    /// Reads what the store has, unless a change waits to be stored; says whether a pause has begun by that. A
    /// database that takes the place of another while the daemon runs neither begins nor ends a pause: it is told
    /// of the one that there is.
    pub(crate) fn load(&self, stored: Option<Pause>) -> bool {
        let mut state = self.lock();
        let is_first = !std::mem::replace(&mut state.is_loaded, true);
        if state.is_unwritten || self.get() == stored {
            return false;
        }
        if is_first {
            self.store(stored);
        } else {
            state.is_unwritten = true;
        }
        is_first && stored.is_some()
    }

    /// Whether there is a pause that ends by itself.
    pub(crate) fn has_end(&self) -> bool {
        !matches!(self.until.load(Ordering::Relaxed), NO_PAUSE | OPEN_END)
    }

    /// Ends the pause if its time is over; says whether it did.
    pub(crate) fn end(&self, now: Timestamp) -> bool {
        let mut state = self.lock();
        let until = self.until.load(Ordering::Relaxed);
        let is_over = until != NO_PAUSE && until <= now.seconds();
        if is_over {
            self.store(None);
            state.is_unwritten = true;
        }
        is_over
    }

    /// Whether the store does not have it yet.
    pub(crate) fn is_unwritten(&self) -> bool {
        self.lock().is_unwritten
    }

    /// Notes that the store has `pause`, which may be another one than there is by now.
    pub(crate) fn written(&self, pause: Option<Pause>) {
        self.lock().is_unwritten = self.get() != pause;
    }

    fn store(&self, pause: Option<Pause>) {
        let until = match pause {
            None => NO_PAUSE,
            Some(Pause { until: None }) => OPEN_END,
            Some(Pause { until: Some(end) }) => end.seconds(),
        };
        self.until.store(until, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, Stored> {
        self.stored.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_seconds(1_800_000_000 + seconds)
    }

    fn until(seconds: u64) -> Pause {
        Pause {
            until: Some(at(seconds)),
        }
    }

    #[test]
    fn a_pause_ends_by_itself_unless_the_clock_is_not_trusted() {
        use Expiry::{Applies, Suspended};
        let open = Some(Pause { until: None });
        let cases = [
            ("none", None, 0, Applies, false),
            ("none, clock not trusted", None, 0, Suspended, false),
            ("runs", Some(until(60)), 59, Applies, true),
            ("is over", Some(until(60)), 60, Applies, false),
            (
                "over by a clock not trusted",
                Some(until(60)),
                60,
                Suspended,
                true,
            ),
            ("has no end", open, 1 << 40, Applies, true),
        ];
        for (name, pause, now, expiry, want) in cases {
            let switch = PauseSwitch::default();
            switch.set(pause);
            assert_eq!(switch.get(), pause, "{name}");
            assert_eq!(switch.is_on(at(now), expiry), want, "{name}");
            if expiry == Applies {
                let ends = pause.is_some() && !want;
                assert_eq!(switch.end(at(now)), ends, "{name}");
            }
        }
    }

    #[test]
    fn what_waits_to_be_stored_is_not_replaced_by_what_is_stored() {
        let switch = PauseSwitch::default();
        assert!(switch.load(Some(until(60))), "at the start");
        assert!(!switch.is_unwritten());
        switch.set(None);
        assert!(!switch.load(Some(until(60))));
        assert_eq!(switch.get(), None);
        switch.written(Some(until(60)));
        assert!(switch.is_unwritten(), "something else was stored");
        switch.written(None);
        assert!(!switch.is_unwritten());
        switch.written(Some(until(60)));
        assert!(switch.is_unwritten(), "an older change was stored last");
    }

    #[test]
    fn a_database_put_in_the_place_of_another_neither_ends_nor_begins_a_pause() {
        let open = Some(Pause { until: None });
        for (pause, other) in [(open, None), (None, open)] {
            let switch = PauseSwitch::default();
            switch.load(pause);
            assert!(!switch.load(other));
            assert_eq!(switch.get(), pause);
            assert!(switch.is_unwritten());
        }
    }
}
