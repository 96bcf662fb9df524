//! The clock jumps while the daemon runs: nothing that was known is forgotten because of it.

use proptest::prelude::*;

use super::tests::{attempt, defer, judge, rules};
use super::*;
use crate::control::Control;
use crate::policy::{Expiry, OnStoreFailure, Reason, Verdict};
use crate::service::clock::tests::ManualClock;
use crate::store::memory::MemoryStore;
use crate::types::Span;

#[tokio::test]
async fn a_clock_that_jumps_forgets_nothing_and_is_believed_again_when_it_is_right() {
    const YEAR: i64 = 365 * 86_400;
    for jump in [-3700, YEAR] {
        let World { gate, clock, .. } = World::new();
        let known = |instance| attempt("x", "known@b", instance, "joe@c");
        let waits = |instance| attempt("x", "waits@b", instance, "joe@c");
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
        let stranger = attempt("x", "new@b", "5", "joe@c");
        assert_eq!(judge(&gate, &stranger).await, (defer(300), Reason::New));
        assert_eq!(gate.status().expiry, Expiry::Suspended, "{jump}");

        clock.jump(-jump);
        assert_eq!(judge(&gate, &known("6")).await, passes, "{jump}");
        let early = (defer(200), Reason::EarlyRetry);
        assert_eq!(judge(&gate, &waits("7")).await, early, "{jump}");
        assert_eq!(gate.status().expiry, Expiry::Applies, "{jump}");
        assert_eq!(gate.status().failure, None);
    }
}

#[tokio::test]
async fn a_pause_is_as_long_as_was_asked_whatever_the_clock_does() {
    const YEAR: i64 = 365 * 86_400;
    let jumps = [
        (0, 0),
        (0, YEAR),
        (0, -YEAR),
        (0, -1800),
        (0, 1800),
        (YEAR, 0),
        (YEAR, -YEAR),
        (-3700, 3700),
    ];
    for (before, during) in jumps {
        let name = format!("{before} {during}");
        let clock = ManualClock::at(0);
        let as_clock: Arc<dyn Clock> = Arc::clone(&clock) as Arc<dyn Clock>;
        let opener = Box::new(MemoryStore::new());
        let started = Gate::start(rules(OnStoreFailure::Defer), opener, as_clock).unwrap();
        let (gate, control) = (started.gate, Control::new(started.internals));
        let reason = async |instance: &str| {
            judge(&gate, &attempt("x", "a@b", instance, "joe@c"))
                .await
                .1
        };
        clock.jump(before);
        assert!(control.pause(Some(Span::from_seconds(60))).await, "{name}");
        clock.advance(30);
        clock.jump(during);
        assert_eq!(reason("1").await, Reason::Paused, "{name}");
        let now = gate
            .judge(&attempt("x", "a@b", "2", "joe@c"), None)
            .await
            .now;
        let until = gate.paused().unwrap().until.unwrap();
        assert_eq!(until.since(now), Span::from_seconds(30), "{name}");
        clock.advance(29);
        assert_eq!(reason("3").await, Reason::Paused, "{name}");
        clock.advance(1);
        assert_eq!(reason("4").await, Reason::New, "{name}");
        assert_eq!(gate.paused(), None, "{name}");
    }
}

#[tokio::test]
async fn the_stored_end_of_a_pause_follows_a_clock_that_is_set() {
    for jump in [-1800, 1800] {
        let clock = ManualClock::at(0);
        let store = MemoryStore::new();
        let open = || {
            let as_clock: Arc<dyn Clock> = Arc::clone(&clock) as Arc<dyn Clock>;
            Gate::start(
                rules(OnStoreFailure::Defer),
                Box::new(store.clone()),
                as_clock,
            )
            .unwrap()
        };
        let started = open();
        let gate = started.gate;
        let control = Control::new(started.internals);
        assert!(control.pause(Some(Span::from_seconds(3600))).await);
        clock.advance(60);
        clock.jump(jump);
        // The writing thread looks at the clock between two batches, and at the end.
        drop((gate, control));
        started.worker.join().unwrap();

        let gate = open().gate;
        clock.advance(3539);
        let asked = attempt("x", "a@b", "1", "joe@c");
        assert_eq!(judge(&gate, &asked).await.1, Reason::Paused, "{jump}");
        clock.advance(1);
        assert_eq!(judge(&gate, &asked).await.1, Reason::New, "{jump}");
    }
}

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

/// What happens to a daemon.
#[derive(Debug, Clone)]
enum Event {
    Passes(u64),
    /// The clock jumps, and is put right before the next day is over.
    Jumps(i64),
    IsPutRight,
    Asks(u8),
}

/// The seconds that a client still has to wait; none when it passes.
fn wait(verdict: Verdict) -> u64 {
    let remaining = verdict.remaining();
    remaining.map_or(0, |remaining| remaining.try_again_in(Span::ZERO).seconds())
}

fn event() -> impl Strategy<Value = Event> {
    let far = i64::try_from(60 * DAY).unwrap();
    let jump = prop_oneof![-far..=-3700, 3700..=far];
    prop_oneof![
        2 => (0..3 * HOUR).prop_map(Event::Passes),
        1 => (DAY..20 * DAY).prop_map(Event::Passes),
        1 => jump.prop_map(Event::Jumps),
        1 => Just(Event::IsPutRight),
        5 => (0..4_u8).prop_map(Event::Asks),
    ]
}

/// A gate, its clock, and how far that is from the right time.
struct World {
    gate: Gate,
    clock: Arc<ManualClock>,
    off: i64,
}

impl World {
    fn new() -> Self {
        let clock = ManualClock::at(0);
        let as_clock: Arc<dyn Clock> = Arc::clone(&clock) as Arc<dyn Clock>;
        let opener = Box::new(MemoryStore::new());
        let Start { gate, .. } =
            Gate::start(rules(OnStoreFailure::Defer), opener, as_clock).unwrap();
        let off = 0;
        Self { gate, clock, off }
    }

    fn jump_to(&mut self, off: i64) {
        self.clock.jump(off - self.off);
        self.off = off;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn no_jump_takes_away_what_was_had_without_it(events in prop::collection::vec(event(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (right, mut jumping) = (World::new(), World::new());
        let mut wrong_for = 0;
        for (number, event) in events.iter().enumerate() {
            // The worker looks at the clock several times a second.
            drop(jumping.gate.status());
            match *event {
                Event::Passes(seconds) => {
                    wrong_for += seconds;
                    if jumping.off != 0 && wrong_for >= DAY {
                        jumping.jump_to(0);
                    }
                    right.clock.advance(seconds);
                    jumping.clock.advance(seconds);
                }
                Event::Jumps(off) => {
                    if jumping.off == 0 {
                        wrong_for = 0;
                    }
                    jumping.jump_to(off);
                }
                Event::IsPutRight => jumping.jump_to(0),
                Event::Asks(sender) => {
                    let (sender, instance) = (format!("{sender}@b"), number.to_string());
                    let attempt = attempt("x", &sender, &instance, "joe@c");
                    let want = runtime.block_on(judge(&right.gate, &attempt));
                    let got = runtime.block_on(judge(&jumping.gate, &attempt));
                    // While a jump is not believed nothing expires, so it may even be better.
                    prop_assert!(wait(got.0) <= wait(want.0), "{}: {:?} {:?}", number, got, want);
                }
            }
        }
    }
}
