//! The gate over a store in memory, and over stores that fail as no real one can be made to.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::time::Duration;

use jiff::tz::TimeZone;

use super::*;
use crate::control::Control;
use crate::policy::pattern::{AddressPattern, ClientPattern};
use crate::policy::{
    AddressList, ClientList, Entry, Lists, OnStoreFailure, Params, Pause, Reason, Remaining, Texts,
    Verdict,
};
use crate::service::clock::tests::ManualClock;
use crate::store::memory::MemoryStore;
use crate::store::{
    Commit, Halves, OpenError, RequestError, StoreError, Swept, TransactionBody, Writer,
};
use crate::types::Span;
use crate::types::sync::Mutex;

pub(super) fn rules(on_store_failure: OnStoreFailure) -> Ruleset {
    let entry = Entry::in_file(&Path::new("list").into(), 1, "good.example");
    let listed = ClientPattern::parse("good.example").unwrap();
    let params = Params {
        on_store_failure,
        ..Params::default()
    };
    let lists = Lists {
        clients: ClientList::new(vec![(listed, entry)]).unwrap(),
        ..Lists::default()
    };
    let texts = Texts::new("450", "wait", "X: y", "mx", TimeZone::UTC).unwrap();
    Ruleset::new(params, lists, texts)
}

pub(super) fn attempt<'a>(
    name: &'a str,
    sender: &'a str,
    instance: &'a str,
    to: &'a str,
) -> Attempt<'a> {
    Attempt {
        client_address: Some(b"192.0.2.7"),
        client_name: Some(name.as_bytes()),
        sender: Some(sender.as_bytes()),
        recipient: Some(to.as_bytes()),
        instance: Some(instance.as_bytes()),
        ..Attempt::default()
    }
}

fn start(opener: impl Opener + 'static, clock: &Arc<ManualClock>) -> Start {
    let clock: Arc<dyn Clock> = Arc::clone(clock) as Arc<dyn Clock>;
    Gate::start(rules(OnStoreFailure::Defer), Box::new(opener), clock).unwrap()
}

pub(super) async fn judge(gate: &Gate, attempt: &Attempt<'_>) -> (Verdict, Reason) {
    let outcome = gate.judge(attempt, None).await.outcome;
    (outcome.verdict, outcome.reason)
}

pub(super) const fn defer(seconds: u64) -> Verdict {
    Verdict::Defer {
        remaining: Remaining::Time(Span::from_seconds(seconds)),
    }
}

#[tokio::test]
async fn a_message_asked_about_again_and_again_counts_once() {
    let clock = ManualClock::at(0);
    let Start { gate, .. } = start(MemoryStore::new(), &clock);
    let first = attempt("x.example", "a@b", "1", "joe@c");
    for _ in 0..4 {
        assert_eq!(judge(&gate, &first).await, (defer(300), Reason::New));
    }
    assert_eq!(gate.status().counts.totals().requests, 1);

    clock.advance(300);
    let other = attempt("x.example", "a@b", "2", "jim@c");
    let second = attempt("x.example", "a@b", "2", "joe@c");
    let waited = Span::from_seconds(300);
    let with_header = Verdict::PassWithHeader { waited };
    let rows = [
        (&second, with_header, Reason::TripletFound),
        (&second, Verdict::Pass, Reason::TripletFound),
        (&other, defer(300), Reason::New),
        (&other, defer(300), Reason::New),
        (&second, Verdict::Pass, Reason::TripletFound),
    ];
    for (attempt, want_verdict, want_reason) in rows {
        assert_eq!(judge(&gate, attempt).await, (want_verdict, want_reason));
    }
    assert_eq!(gate.status().counts.totals().requests, 3);
}

#[tokio::test]
async fn a_message_with_several_recipients_has_one_header() {
    let clock = ManualClock::at(0);
    let Start { gate, .. } = start(MemoryStore::new(), &clock);
    let recipients = ["joe@c", "jim@c", "jane@c"];
    for to in recipients {
        let (_, reason) = judge(&gate, &attempt("x", "a@b", "1", to)).await;
        assert_eq!(reason, Reason::New);
    }
    clock.advance(300);
    let mut headers = 0;
    for to in recipients {
        let (verdict, reason) = judge(&gate, &attempt("x", "a@b", "2", to)).await;
        assert_eq!(reason, Reason::TripletFound);
        headers += u32::from(matches!(verdict, Verdict::PassWithHeader { .. }));
    }
    assert_eq!(headers, 1);
}

#[tokio::test]
async fn what_was_only_seen_counts_for_the_next_decision_and_is_written_at_the_end() {
    let clock = ManualClock::at(0);
    let store = MemoryStore::new();
    let Start { gate, worker, .. } = start(store.clone(), &clock);
    let days = 86_400;
    let ask = |instance| attempt("x", "a@b", instance, "joe@c");
    assert_eq!(judge(&gate, &ask("1")).await.1, Reason::New);
    clock.advance(300);
    assert_eq!(judge(&gate, &ask("2")).await.1, Reason::TripletFound);
    for instance in ["3", "4", "5"] {
        clock.advance(34 * days);
        let answer = judge(&gate, &ask(instance)).await;
        assert_eq!(answer, (Verdict::Pass, Reason::TripletFound));
    }
    drop(gate);
    worker.join().unwrap();

    clock.advance(34 * days);
    let Start { gate, .. } = start(store, &clock);
    let answer = judge(&gate, &ask("6")).await;
    assert_eq!(answer, (Verdict::Pass, Reason::TripletFound));
}

#[tokio::test]
async fn a_decision_goes_by_the_rules_in_force() {
    let clock = ManualClock::at(0);
    let Start { gate, .. } = start(MemoryStore::new(), &clock);
    let listed = attempt("mx.good.example", "a@b", "1", "joe@c");
    assert_eq!(judge(&gate, &listed).await.1, Reason::ClientWhitelist);
    gate.set_lists(Lists::default(), None);
    let again = attempt("mx.good.example", "a@b", "2", "joe@c");
    assert_eq!(judge(&gate, &again).await.1, Reason::New);
}

/// A store whose commits fail while the switch is on, or wait for the disk.
#[derive(Debug, Clone, Default)]
pub(super) struct Faulty {
    store: MemoryStore,
    pub(super) refuses: Arc<AtomicBool>,
    /// Whether expired records stay, so that nothing changes by itself.
    pub(super) never_sweeps: bool,
    /// While there is something in here, a commit waits for it to end.
    pub(super) hangs: Arc<Mutex<Option<Receiver<()>>>>,
}

impl Faulty {
    fn commit(&self) -> Result<(), StoreError> {
        // The lock is not held while the disk hangs.
        let hangs = self.hangs.lock().take();
        if let Some(disk) = hangs {
            // An error means that the disk is alive again.
            assert!(disk.recv().is_err());
        }
        if self.refuses.load(Ordering::Relaxed) {
            return Err(StoreError::Full);
        }
        Ok(())
    }
}

impl Opener for Faulty {
    fn open(&self) -> Result<Halves, OpenError> {
        Ok((Arc::new(self.store.clone()), Box::new(self.clone())))
    }
}

impl Writer for Faulty {
    fn run(&mut self, body: &mut TransactionBody<'_>, end: Commit) -> Result<(), RequestError> {
        self.commit()?;
        self.store.run(body, end)
    }

    fn sweep(&mut self, now: Timestamp, params: &Params) -> Result<Swept, StoreError> {
        if self.never_sweeps {
            return Ok(Swept {
                removed: 0,
                finished: true,
            });
        }
        self.store.sweep(now, params)
    }

    fn has_room(&self) -> Result<bool, StoreError> {
        Ok(!self.refuses.load(Ordering::Relaxed))
    }

    fn note_time(&mut self, now: Timestamp) -> Result<(), StoreError> {
        self.store.note_time(now)
    }

    fn probe(&mut self) -> Result<(), StoreError> {
        self.commit()
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        Ok(())
    }
}

#[tokio::test]
async fn a_store_that_refuses_degrades_what_needs_it_and_nothing_else() {
    let clock = ManualClock::at(0);
    let faulty = Faulty::default();
    let Start { gate, .. } = start(faulty.clone(), &clock);
    let known = attempt("x", "known@b", "1", "joe@c");
    assert_eq!(judge(&gate, &known).await.1, Reason::New);

    faulty.refuses.store(true, Ordering::Relaxed);
    let unavailable = (Verdict::Unavailable, Reason::StoreFailure);
    for instance in ["2", "3"] {
        let stranger = attempt("x", "new@b", instance, "joe@c");
        assert_eq!(judge(&gate, &stranger).await, unavailable);
    }
    assert!(gate.status().failure.is_some());
    let listed = attempt("good.example", "new@b", "4", "joe@c");
    assert_eq!(judge(&gate, &listed).await.1, Reason::ClientWhitelist);
    let early = attempt("x", "known@b", "5", "joe@c");
    assert_eq!(judge(&gate, &early).await.1, Reason::EarlyRetry);
}

#[tokio::test]
async fn a_pause_counts_although_the_store_refuses_it() {
    let clock = ManualClock::at(0);
    let faulty = Faulty::default();
    let Start {
        gate, internals, ..
    } = start(faulty.clone(), &clock);
    let control = Control::new(internals);
    faulty.refuses.store(true, Ordering::Relaxed);
    assert!(!control.pause(None).await, "not stored");
    let paused = (Verdict::Pass, Reason::Paused);
    for instance in ["1", "1", "2"] {
        let stranger = attempt("x", "a@b", instance, "joe@c");
        assert_eq!(judge(&gate, &stranger).await, paused);
    }
    assert!(!control.resume().await, "not stored");
    let stranger = attempt("x", "a@b", "3", "joe@c");
    assert_eq!(judge(&gate, &stranger).await.1, Reason::StoreFailure);
}

#[tokio::test]
async fn a_pause_waits_two_seconds_for_a_disk_that_hangs_and_is_stored_when_it_is_alive() {
    let clock = ManualClock::at(0);
    let faulty = Faulty::default();
    let Start {
        gate,
        worker,
        internals,
    } = start(faulty.clone(), &clock);
    let control = Control::new(internals);
    let (disk, hangs) = std::sync::mpsc::channel();
    *faulty.hangs.lock() = Some(hangs);

    // From here on the runtime's time moves by itself; the disk's does not.
    tokio::time::pause();
    let before = tokio::time::Instant::now();
    assert!(!control.pause(None).await, "not stored");
    assert_eq!(before.elapsed().as_secs(), 2);
    let stranger = attempt("x", "a@b", "1", "joe@c");
    assert_eq!(judge(&gate, &stranger).await.1, Reason::Paused);

    tokio::time::resume();
    drop(disk);
    drop((gate, control));
    worker.join().unwrap();
    let (reader, _) = faulty.open().unwrap();
    assert_eq!(reader.pause().unwrap(), Some(Pause { until: None }));
}

#[tokio::test]
async fn a_disk_that_hangs_holds_up_one_request_and_then_nobody_until_it_is_alive() {
    let clock = ManualClock::at(0);
    let faulty = Faulty::default();
    let Start { gate, worker, .. } = start(faulty.clone(), &clock);
    let (disk, hangs) = std::sync::mpsc::channel();
    *faulty.hangs.lock() = Some(hangs);

    let asking = gate.clone();
    let first = tokio::spawn(async move {
        let stranger = attempt("x", "a@b", "1", "joe@c");
        judge(&asking, &stranger).await
    });
    // The writer thread has come upon the disk.
    while faulty.hangs.lock().is_some() {
        tokio::task::yield_now().await;
    }
    // From here on the runtime's time moves by itself; the disk's does not.
    tokio::time::pause();
    let unavailable = (Verdict::Unavailable, Reason::StoreFailure);
    assert_eq!(first.await.unwrap(), unavailable);
    assert!(gate.status().failure.is_some());
    let before = tokio::time::Instant::now();
    let next = attempt("x", "b@b", "2", "joe@c");
    assert_eq!(judge(&gate, &next).await, unavailable);
    assert_eq!(before.elapsed(), Duration::ZERO, "at once");

    tokio::time::resume();
    drop(disk);
    while gate.status().failure.is_some() {
        std::thread::yield_now();
    }
    let later = attempt("x", "c@b", "3", "joe@c");
    assert_eq!(judge(&gate, &later).await, (defer(300), Reason::New));
    drop(gate);
    worker.join().unwrap();
}

/// A store that cannot be opened the first time.
#[derive(Debug)]
struct OpensLater(fn() -> OpenError, AtomicBool, MemoryStore);

impl Opener for OpensLater {
    fn open(&self) -> Result<Halves, OpenError> {
        if self.1.swap(true, Ordering::Relaxed) {
            self.2.open()
        } else {
            Err((self.0)())
        }
    }
}

#[tokio::test]
async fn a_store_that_cannot_be_opened_is_trouble_and_not_the_end() {
    let clock = ManualClock::at(0);
    let opener = OpensLater(
        || StoreError::Record.into(),
        AtomicBool::new(false),
        MemoryStore::new(),
    );
    let Start { gate, .. } = start(opener, &clock);
    let stranger = attempt("x", "a@b", "1", "joe@c");
    assert_eq!(judge(&gate, &stranger).await.1, Reason::StoreFailure);
    assert!(gate.status().failure.is_some());
    assert_eq!(gate.status().figures, None);
}

#[test]
fn options_that_do_not_fit_the_database_end_the_start() {
    let opener = OpensLater(
        || PrivacyError::Mode { hashed: true }.into(),
        AtomicBool::new(false),
        MemoryStore::new(),
    );
    let started = Gate::start(
        rules(OnStoreFailure::Pass),
        Box::new(opener),
        ManualClock::at(0),
    );
    assert!(matches!(
        started,
        Err(StartError::Privacy(PrivacyError::Mode { hashed: true }))
    ));
}

#[tokio::test]
async fn an_entry_that_makes_mail_wait_is_hit_as_one_that_lets_it_pass() {
    let entry = Entry::in_file(&Path::new("list").into(), 1, "x.example");
    let listed = AddressPattern::parse("x.example").unwrap();
    let mut rules = rules(OnStoreFailure::Defer);
    rules.change(|parts| parts.params.recipients_opt_in = true);
    rules.change(|parts| {
        parts.lists = Arc::new(Lists {
            greylist_recipients: AddressList::new(vec![(listed, entry)]).unwrap(),
            ..Lists::default()
        });
    });
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::default());
    let started = Gate::start(rules, Box::new(MemoryStore::new()), clock).unwrap();
    for (to, want) in [
        ("a@x.example", Reason::New),
        ("a@other.example", Reason::RecipientNotListed),
    ] {
        let (_, reason) = judge(&started.gate, &attempt("mx.example", "s@a", to, to)).await;
        assert_eq!(reason, want, "{to}");
    }
    let hits: Vec<u64> = Control::new(started.internals)
        .list_entries()
        .iter()
        .map(|entry| entry.hits)
        .collect();
    assert_eq!(hits, [1]);
}
