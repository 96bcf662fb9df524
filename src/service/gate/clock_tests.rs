//! The clock jumps while the daemon runs: nothing that was known is forgotten because of it.

use std::sync::atomic::AtomicU64;

use super::tests::{defer, judge, rules, tx};
use super::*;
use crate::policy::{Expiry, OnStoreFailure, Verdict};
use crate::store::memory::MemoryStore;
use crate::types::Span;

/// A wall clock that can be set, beside one that cannot.
#[derive(Debug, Default)]
struct TwoFaces {
    wall: AtomicU64,
    boot: AtomicU64,
}

impl TwoFaces {
    fn jump(&self, seconds: i64) {
        let wall = self.wall.load(Ordering::Relaxed);
        self.wall
            .store(wall.saturating_add_signed(seconds), Ordering::Relaxed);
    }

    fn advance(&self, seconds: u64) {
        self.wall.fetch_add(seconds, Ordering::Relaxed);
        self.boot.fetch_add(seconds, Ordering::Relaxed);
    }
}

impl Clock for TwoFaces {
    fn now(&self) -> Timestamp {
        Timestamp::from_seconds(self.wall.load(Ordering::Relaxed))
    }

    fn since_boot(&self) -> Span {
        Span::from_seconds(self.boot.load(Ordering::Relaxed))
    }
}

#[tokio::test]
async fn a_clock_that_jumps_forgets_nothing_and_is_believed_again_when_it_is_right() {
    const YEAR: i64 = 365 * 86_400;
    for jump in [-3700, YEAR] {
        let clock = Arc::new(TwoFaces::default());
        clock.advance(1_800_000_000);
        let as_clock: Arc<dyn Clock> = Arc::clone(&clock) as Arc<dyn Clock>;
        let opener = Box::new(MemoryStore::new());
        let Start { gate, .. } =
            Gate::start(rules(OnStoreFailure::Defer), opener, as_clock).unwrap();
        let known = |instance| tx("x", "known@b", instance, "joe@c");
        let waits = |instance| tx("x", "waits@b", instance, "joe@c");
        assert_eq!(judge(&gate, &known("1")).await.1, Reason::New);
        clock.advance(300);
        assert_eq!(judge(&gate, &known("2")).await.1, Reason::TripletFound);
        assert_eq!(judge(&gate, &waits("3")).await.1, Reason::New);
        clock.advance(100);

        clock.jump(jump);
        // Whatever the time, the sweep has its turn, and its rest is over after a year.
        let turns = gate.progress().turns;
        while gate.progress().turns < turns + 2 {
            tokio::task::yield_now().await;
        }
        let passes = (Verdict::Pass, Reason::TripletFound);
        assert_eq!(judge(&gate, &known("4")).await, passes, "{jump}");
        let stranger = tx("x", "new@b", "5", "joe@c");
        assert_eq!(judge(&gate, &stranger).await, (defer(300), Reason::New));
        assert_eq!(gate.status().expiry, Expiry::Suspended, "{jump}");

        clock.jump(-jump);
        assert_eq!(judge(&gate, &known("6")).await, passes, "{jump}");
        let early = (defer(200), Reason::EarlyRetry);
        assert_eq!(judge(&gate, &waits("7")).await, early, "{jump}");
        assert_eq!(gate.status().expiry, Expiry::Applies, "{jump}");
        assert_eq!(gate.status().trouble, None);
    }
}
