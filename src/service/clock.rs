//! The clocks: the only module that reads the time.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

use crate::policy::Expiry;
use crate::types::{Span, Timestamp};

/// A jump of the wall clock by more than this is not trusted at once.
const JUMP: Span = Span::from_hours(1);

/// After this time, a jump that was not undone is trusted.
const SUSPENSION: Span = Span::from_hours(24);

/// A source of the time.
pub trait Clock: Send + Sync {
    /// The wall clock, which gives the times of records.
    fn now(&self) -> Timestamp;

    /// Seconds since boot, suspend included; the wall clock is compared with it.
    fn since_boot(&self) -> Span;
}

/// The clocks of the system.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_seconds(read(ClockId::CLOCK_REALTIME).as_secs())
    }

    fn since_boot(&self) -> Span {
        Span::from_seconds(since_boot().as_secs())
    }
}

/// A file that contains the seconds since the epoch, for tests with a real Postfix.
#[derive(Debug)]
pub struct FileClock {
    path: PathBuf,
    last: AtomicU64,
}

impl FileClock {
    /// The clock that `path` shows.
    #[must_use]
    pub const fn new(path: PathBuf) -> Self {
        Self {
            path,
            last: AtomicU64::new(0),
        }
    }
}

impl Clock for FileClock {
    fn now(&self) -> Timestamp {
        let shown = fs::read_to_string(&self.path).ok();
        let seconds = shown.and_then(|text| text.trim().parse().ok());
        let seconds = seconds.unwrap_or_else(|| self.last.load(Ordering::Relaxed));
        self.last.store(seconds, Ordering::Relaxed);
        Timestamp::from_seconds(seconds)
    }

    /// The same time, so that changes by a test are trusted.
    fn since_boot(&self) -> Span {
        Span::from_seconds(self.now().seconds())
    }
}

/// The monotonic clock: for intervals, not for records.
#[must_use]
pub fn monotonic() -> Duration {
    read(ClockId::CLOCK_MONOTONIC)
}

/// The time since boot, suspend included: for intervals between starts of the program.
#[must_use]
pub fn since_boot() -> Duration {
    read(ClockId::CLOCK_BOOTTIME)
}

/// Reads a clock; zero if it cannot be read.
fn read(clock: ClockId) -> Duration {
    clock_gettime(clock).map_or(Duration::ZERO, |time| {
        let seconds = u64::try_from(time.tv_sec()).unwrap_or_default();
        let nanoseconds = u32::try_from(time.tv_nsec()).unwrap_or_default();
        Duration::new(seconds, nanoseconds)
    })
}

/// Checks the wall clock, and decides whether records may expire by it.
///
/// | the wall clock                                        | expiry                            |
/// | ----------------------------------------------------- | --------------------------------- |
/// | goes on as the boot clock does, within an hour        | applies                           |
/// | jumps by more than an hour, or is that far behind the latest time stored | is suspended   |
/// | jumps back to where it should be                      | applies again                     |
/// | stays where it jumped to for 24 hours                 | applies again, by the new time    |
///
/// While expiry is suspended, records get the time that the wall clock would show without the jump
/// ([`ClockGuard::time`]), so that their age is correct when the jump is undone.
#[derive(Debug, Clone, Copy)]
pub struct ClockGuard {
    /// A trusted wall time, and the boot clock at that moment.
    believed: (Timestamp, Span),
    suspended_since: Option<Span>,
}

impl ClockGuard {
    /// Begins to check; `latest` is the latest time in the store.
    #[must_use]
    pub fn new(clock: &dyn Clock, latest: Option<Timestamp>) -> Self {
        let (now, boot) = (clock.now(), clock.since_boot());
        match latest {
            Some(latest) if latest > now.after(JUMP) => Self {
                believed: (latest, boot),
                suspended_since: Some(boot),
            },
            Some(_) | None => Self {
                believed: (now, boot),
                suspended_since: None,
            },
        }
    }

    /// A trusted wall time and the boot clock at that moment; `None` while the clock is not trusted.
    #[must_use]
    pub fn believed(&self) -> Option<(Timestamp, Span)> {
        self.suspended_since.is_none().then_some(self.believed)
    }

    /// Whether the wall clock, `now` when the boot clock is `boot`, has advanced like the boot clock since it was
    /// `believed`.
    #[must_use]
    pub fn goes_on(believed: (Timestamp, Span), now: Timestamp, boot: Span) -> bool {
        let (wall, then) = believed;
        let expected = wall.after(boot.less(then));
        now.since(expected).max(expected.since(now)) <= JUMP
    }

    /// The time for records: `now`, or the time that the wall clock would show without a jump, as of the last
    /// [`check`](Self::check).
    #[must_use]
    pub fn time(&self, now: Timestamp, boot: Span) -> Timestamp {
        match self.suspended_since {
            None => now,
            Some(_) => self.believed.0.after(boot.less(self.believed.1)),
        }
    }

    /// Checks the wall clock, which is `now` when the boot clock is `boot`.
    pub fn check(&mut self, now: Timestamp, boot: Span) -> Expiry {
        let since = self.suspended_since;
        let is_accepted = since.is_some_and(|since| boot.less(since) >= SUSPENSION);
        if Self::goes_on(self.believed, now, boot) || is_accepted {
            self.believed = (now, boot);
            self.suspended_since = None;
            return Expiry::Applies;
        }
        self.suspended_since = since.or(Some(boot));
        Expiry::Suspended
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::Arc;

    use super::*;

    /// Clocks that the test sets: the wall clock can jump, the boot clock only goes on.
    #[derive(Debug, Default)]
    pub(crate) struct ManualClock {
        wall: AtomicU64,
        boot: AtomicU64,
    }

    impl ManualClock {
        /// Clocks that show the same: so many seconds after [`WALL`].
        pub(crate) fn at(seconds: u64) -> Arc<Self> {
            let clock = Self::default();
            clock.set(WALL + seconds, WALL + seconds);
            Arc::new(clock)
        }

        pub(crate) fn advance(&self, seconds: u64) {
            self.wall.fetch_add(seconds, Ordering::Relaxed);
            self.boot.fetch_add(seconds, Ordering::Relaxed);
        }

        /// Sets the wall clock forward or back.
        pub(crate) fn jump(&self, seconds: i64) {
            let wall = self.wall.load(Ordering::Relaxed);
            let wall = wall.saturating_add_signed(seconds);
            self.wall.store(wall, Ordering::Relaxed);
        }

        fn set(&self, wall: u64, boot: u64) {
            self.wall.store(wall, Ordering::Relaxed);
            self.boot.store(boot, Ordering::Relaxed);
        }
    }

    impl Clock for ManualClock {
        fn now(&self) -> Timestamp {
            Timestamp::from_seconds(self.wall.load(Ordering::Relaxed))
        }

        fn since_boot(&self) -> Span {
            Span::from_seconds(self.boot.load(Ordering::Relaxed))
        }
    }

    const WALL: u64 = 1_800_000_000;
    const HOUR: u64 = 3600;
    const DAY: u64 = 86_400;

    #[test]
    fn while_a_jump_is_not_believed_time_goes_on_as_if_it_had_not_been() {
        let rows = [
            ("goes on", WALL + 10, 110, WALL + 10),
            ("a little back", WALL + 15 - HOUR, 115, WALL + 15 - HOUR),
            ("40 days back", WALL - 40 * DAY, 120, WALL + 20 - HOUR),
            ("an hour later", WALL - 39 * DAY, 120 + HOUR, WALL + 20),
            ("undone", WALL + 130 + HOUR, 230 + HOUR, WALL + 130 + HOUR),
            (
                "a year ahead",
                WALL + 365 * DAY,
                330 + HOUR,
                WALL + 230 + HOUR,
            ),
            (
                "for good",
                WALL + 366 * DAY,
                330 + HOUR + DAY,
                WALL + 366 * DAY,
            ),
        ];
        let clock = ManualClock::default();
        clock.set(WALL, 100);
        let mut guard = ClockGuard::new(&clock, None);
        for (name, wall, boot, want) in rows {
            clock.set(wall, boot);
            let (wall, boot) = (clock.now(), clock.since_boot());
            guard.check(wall, boot);
            assert_eq!(guard.time(wall, boot).seconds(), want, "{name}");
        }
    }

    #[test]
    fn a_jump_suspends_expiry_until_it_is_undone_or_a_day_is_over() {
        use Expiry::{Applies, Suspended};
        let rows = [
            ("goes on", WALL + 10, 110, Applies),
            ("a little off", WALL + 20 + HOUR, 120, Applies),
            ("a year ahead", WALL + 365 * DAY, 130, Suspended),
            ("still ahead", WALL + 365 * DAY + 10, 140, Suspended),
            ("undone", WALL + HOUR + 50, 150, Applies),
            ("two hours back", WALL - HOUR, 160, Suspended),
            ("for a day", WALL - HOUR + DAY - 1, 160 + DAY - 1, Suspended),
            ("for good", WALL - HOUR + DAY, 160 + DAY, Applies),
            (
                "goes on from there",
                WALL - HOUR + DAY + 5,
                165 + DAY,
                Applies,
            ),
        ];
        let clock = ManualClock::default();
        clock.set(WALL, 100);
        let mut guard = ClockGuard::new(&clock, None);
        for (name, wall, boot, want) in rows {
            clock.set(wall, boot);
            assert_eq!(guard.check(clock.now(), clock.since_boot()), want, "{name}");
        }
    }

    #[test]
    fn a_clock_far_behind_the_store_is_not_believed() {
        let clock = ManualClock::default();
        clock.set(WALL, 100);
        let latest = |seconds| Some(Timestamp::from_seconds(seconds));
        let mut guard = ClockGuard::new(&clock, latest(WALL + HOUR));
        assert_eq!(
            guard.check(clock.now(), clock.since_boot()),
            Expiry::Applies
        );
        let mut guard = ClockGuard::new(&clock, latest(WALL + 2 * HOUR));
        assert_eq!(
            guard.check(clock.now(), clock.since_boot()),
            Expiry::Suspended
        );
        clock.set(WALL + 2 * HOUR, 200);
        assert_eq!(
            guard.check(clock.now(), clock.since_boot()),
            Expiry::Applies
        );
    }
}
