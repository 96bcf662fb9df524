//! The pause: greylisting is switched off for a time, and everything passes.
//!
//! A change takes effect at once. It is stored, so that it survives a restart; while the store is unavailable, the
//! writer thread stores it as soon as possible.
//!
//! A pause ends when its time is over. If it was begun by this process, that is measured by the boot clock, independent
//! of the wall clock. The end of a pause from the store is known by the wall clock only: while that is not trusted, the
//! pause does not end, just as no record expires.

use std::sync::atomic::{AtomicU64, Ordering};

use super::clock::Clock;
use crate::policy::{Expiry, Pause};
use crate::types::sync::{Mutex, MutexGuard};
use crate::types::{Span, Timestamp};

/// Greylisting is on.
const NO_PAUSE: u64 = 0;

/// The pause has no end.
const OPEN_END: u64 = u64::MAX;

/// The boot clock does not end the pause.
const NO_DEADLINE: u64 = u64::MAX;

/// Seconds by which the end of a pause may differ between the two clocks before it is corrected.
const DRIFT: u64 = 2;

/// Whether greylisting is paused.
#[derive(Debug)]
pub(crate) struct PauseSwitch {
    /// When the pause ends, in seconds since the epoch, or one of the two constants.
    until: AtomicU64,
    /// When it ends by the boot clock, in seconds since the boot.
    deadline: AtomicU64,
    stored: Mutex<Stored>,
}

/// The state of the pause in the store.
#[derive(Debug, Default)]
struct Stored {
    /// Whether the store has been read since the start.
    is_loaded: bool,
    /// Whether the current pause is not stored yet.
    is_unwritten: bool,
}

impl Default for PauseSwitch {
    fn default() -> Self {
        Self {
            until: AtomicU64::new(NO_PAUSE),
            deadline: AtomicU64::new(NO_DEADLINE),
            stored: Mutex::default(),
        }
    }
}

impl PauseSwitch {
    /// The pause as it was last set, which may be over.
    pub(crate) fn get(&self) -> Option<Pause> {
        match self.until.load(Ordering::Relaxed) {
            NO_PAUSE => None,
            OPEN_END => Some(Pause { until: None }),
            until => Some(Pause {
                until: Some(Timestamp::from_seconds(until)),
            }),
        }
    }

    /// The pause with its end by the current wall clock, which may have been set since the pause began.
    pub(crate) fn get_at(&self, now: Timestamp, boot: Span) -> Option<Pause> {
        let pause = self.get()?;
        let deadline = self.deadline.load(Ordering::Relaxed);
        if let (Some(until), true) = (pause.until, deadline != NO_DEADLINE) {
            let by_boot = now.after(Span::from_seconds(deadline).less(boot));
            if by_boot.seconds().abs_diff(until.seconds()) > DRIFT {
                return Some(Pause {
                    until: Some(by_boot),
                });
            }
        }
        Some(pause)
    }

    /// Whether everything passes at `now`. Costs one load while there is no pause.
    pub(crate) fn is_on(&self, now: Timestamp, expiry: Expiry, clock: &dyn Clock) -> bool {
        match self.until.load(Ordering::Acquire) {
            NO_PAUSE => false,
            until => match self.deadline.load(Ordering::Relaxed) {
                NO_DEADLINE => now.seconds() < until || expiry == Expiry::Suspended,
                deadline => clock.since_boot().seconds() < deadline,
            },
        }
    }

    /// Begins a pause, or ends it. `deadline` is its end by the boot clock, if it has one.
    pub(crate) fn set(&self, pause: Option<Pause>, deadline: Option<Span>) {
        let mut state = self.lock();
        self.store(pause, deadline);
        state.is_unwritten = true;
    }

    /// Reads the pause from the store, unless a change is not stored yet; returns whether a pause has begun by that. If
    /// the database was replaced while the daemon runs, the current pause stays and is stored in it.
    pub(crate) fn load(&self, stored: Option<Pause>) -> bool {
        let mut state = self.lock();
        let is_first = !std::mem::replace(&mut state.is_loaded, true);
        if state.is_unwritten || self.get() == stored {
            return false;
        }
        if is_first {
            self.store(stored, None);
        } else {
            state.is_unwritten = true;
        }
        is_first && stored.is_some()
    }

    /// Makes the next [`load`](Self::load) read the pause from the store, as at a start, because an administrator has
    /// restored a backup.
    pub(super) fn unload(&self) {
        *self.lock() = Stored::default();
    }

    /// Whether there is a pause with an end.
    pub(crate) fn has_end(&self) -> bool {
        !matches!(self.until.load(Ordering::Relaxed), NO_PAUSE | OPEN_END)
    }

    /// Ends the pause if its time is over; returns whether it did. `now` is `None` while the wall clock is not trusted.
    pub(crate) fn end(&self, now: Option<Timestamp>, boot: Span) -> bool {
        let mut state = self.lock();
        let until = self.until.load(Ordering::Relaxed);
        let is_over = until != NO_PAUSE
            && match self.deadline.load(Ordering::Relaxed) {
                NO_DEADLINE => now.is_some_and(|now| until <= now.seconds()),
                deadline => deadline <= boot.seconds(),
            };
        if is_over {
            self.store(None, None);
            state.is_unwritten = true;
        }
        is_over
    }

    /// Corrects the end by the wall clock if that clock was set since the pause began, because after a restart only
    /// this end is known. `now` is the time for records, so an untrusted clock does not move the end.
    pub(crate) fn correct(&self, now: Timestamp, boot: Span) {
        let mut state = self.lock();
        let corrected = self.get_at(now, boot);
        if let Some(Pause { until: Some(end) }) = corrected
            && corrected != self.get()
        {
            self.until.store(end.seconds(), Ordering::Release);
            state.is_unwritten = true;
        }
    }

    /// Whether it is not stored yet.
    pub(crate) fn is_unwritten(&self) -> bool {
        self.lock().is_unwritten
    }

    /// Notes that `pause` is stored; meanwhile the current one may be another.
    pub(crate) fn written(&self, pause: Option<Pause>) {
        self.lock().is_unwritten = self.get() != pause;
    }

    fn store(&self, pause: Option<Pause>, deadline: Option<Span>) {
        let until = match pause {
            None => NO_PAUSE,
            Some(Pause { until: None }) => OPEN_END,
            Some(Pause { until: Some(end) }) => end.seconds(),
        };
        let deadline = deadline.map_or(NO_DEADLINE, Span::seconds);
        // A thread that reads the new end reads the new deadline, too.
        self.deadline.store(deadline, Ordering::Relaxed);
        self.until.store(until, Ordering::Release);
    }

    fn lock(&self) -> MutexGuard<'_, Stored> {
        self.stored.lock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::clock::tests::ManualClock;

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
            switch.set(pause, None);
            assert_eq!(switch.get(), pause, "{name}");
            let clock = ManualClock::at(now);
            assert_eq!(switch.is_on(at(now), expiry, &*clock), want, "{name}");
            let trusted = (expiry == Applies).then_some(at(now));
            let ends = pause.is_some() && !want;
            assert_eq!(switch.end(trusted, clock.since_boot()), ends, "{name}");
        }
    }

    #[test]
    fn what_waits_to_be_stored_is_not_replaced_by_what_is_stored() {
        let switch = PauseSwitch::default();
        assert!(switch.load(Some(until(60))), "at the start");
        assert!(!switch.is_unwritten());
        switch.set(None, None);
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
