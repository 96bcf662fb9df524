//! Gates that share their records, by a server that misbehaves as no real one can be made to.

use std::time::Duration;

use proptest::prelude::*;
use tokio::time::Instant;

use super::tests::{attempt, defer, judge, rules};
use super::*;
use crate::control::Control;
use crate::policy::{Because, Filter, ListName, OnStoreFailure, Reason, Remaining, Verdict};
use crate::service::clock::tests::ManualClock;
use crate::shared::double::{Behaviour, Double};
use crate::shared::{HostState, Me, Status};
use crate::store::memory::MemoryStore;
use crate::types::Span;

/// The secret of the site.
pub(super) const SECRET: [u8; 32] = [7; 32];

/// How long a status may take before a test fails.
const PATIENCE: Duration = Duration::from_secs(20);

/// A host of the site.
pub(super) struct Host {
    pub(super) gate: Gate,
    pub(super) control: Control,
    pub(super) network: Double,
    pub(super) clock: Arc<ManualClock>,
}

impl Host {
    pub(super) fn new(name: &str, server: &Double, change: impl FnOnce(&mut Params)) -> Self {
        Self::with_clock(name, server, change, false)
    }

    fn with_clock(
        name: &str,
        server: &Double,
        change: impl FnOnce(&mut Params),
        compares_clocks: bool,
    ) -> Self {
        Self::on(&MemoryStore::new(), name, server, change, compares_clocks)
    }

    /// A host with these records.
    pub(super) fn on(
        store: &MemoryStore,
        name: &str,
        server: &Double,
        change: impl FnOnce(&mut Params),
        compares_clocks: bool,
    ) -> Self {
        let clock = ManualClock::at(0);
        let mut rules = rules(OnStoreFailure::Defer);
        rules.change(|parts| change(&mut parts.params));
        let params = rules.params;
        let opener = Box::new(store.clone());
        let Start {
            gate, internals, ..
        } = Gate::start(rules, opener, clock.clone()).unwrap();
        let network = server.over_another_network();
        let me = Me {
            name: name.to_owned(),
            params,
            compares_clocks,
        };
        let shared = Shared::new(me, network.address());
        assert!(shared.unlock(&SECRET, None));
        let control = Control::new(internals);
        control.share(shared, Box::new(network.clone())).unwrap();
        Self {
            gate,
            control,
            network,
            clock,
        }
    }

    pub(super) fn status(&self) -> Status {
        self.gate.shared_status().unwrap()
    }

    /// Waits until the status is as wanted.
    pub(super) fn wait_for(&self, what: &str, is_right: impl Fn(&Status) -> bool) {
        let begun = Instant::now();
        while !is_right(&self.status()) {
            let left = PATIENCE.saturating_sub(begun.elapsed());
            assert!(!left.is_zero(), "{what}: {:?}", self.status());
            self.network.wait(left);
        }
    }

    /// Waits until all is published.
    pub(super) fn publish(&self, records: u64) {
        self.wait_for("published", |status| status.published >= records);
    }

    /// Waits until the server has all that this host has.
    pub(super) fn settle(&self) {
        self.wait_for("connected", |status| status.failure.is_none());
        // Two rounds: a round that has begun before may have missed something.
        let rounds = self.network.reads();
        self.wait_for("two rounds", |_| self.network.reads() >= rounds + 8);
        self.wait_for("sent", |status| status.queued == 0);
    }

    pub(super) fn has_entry(&self, text: &str) -> bool {
        let entries = self.control.list_entries();
        entries.iter().any(|entry| entry.pattern == text)
    }

    /// Waits until an entry is there, or is not.
    pub(super) fn await_entry(&self, text: &str, is_there: bool) {
        self.wait_for(text, |_| self.has_entry(text) == is_there);
    }

    pub(super) async fn decide(&self, sender: &str, instance: &str) -> Decision {
        let attempt = attempt("x", sender, instance, "joe@c");
        self.gate.judge(&attempt, None).await
    }

    pub(super) async fn judge(&self, sender: &str, instance: &str) -> (Verdict, Reason) {
        judge(&self.gate, &attempt("x", sender, instance, "joe@c")).await
    }
}

pub(super) fn site() -> (Double, Host, Host) {
    let server = Double::default();
    server.set_time(ManualClock::at(0).now());
    let [one, two] = ["mx1.example", "mx2.example"].map(|name| Host::new(name, &server, |_| {}));
    for host in [&one, &two] {
        host.wait_for("connected", |status| status.failure.is_none());
    }
    (server, one, two)
}

/// Cuts a host off, and waits until it knows that.
pub(super) fn cut_off(host: &Host) {
    host.network.set(Behaviour::IsCutOff);
    host.wait_for("cut off", |status| status.failure.is_some());
}

pub(super) fn heal(host: &Host) {
    host.network.set(Behaviour::Replies);
    host.wait_for("healed", |status| status.failure.is_none());
}

#[tokio::test]
async fn a_retry_at_another_host_passes_and_that_host_remembers_it() {
    let (_, one, two) = site();
    assert_eq!(one.judge("a@b", "1").await, (defer(300), Reason::New));
    one.publish(1);
    for host in [&one, &two] {
        host.clock.advance(300);
    }
    let again = attempt("x", "a@b", "2", "joe@c");
    let explained = two.control.explain(&again, true).await;
    let because = explained.because.as_deref();
    assert_eq!(because, Some("a record of mx1.example"));
    let mut steps = explained.steps.iter();
    assert!(steps.any(|step| step.text.ends_with("; known from mx1.example")));
    let retry = two.decide("a@b", "2").await;
    let waited = Span::from_seconds(300);
    let want = (Verdict::PassWithHeader { waited }, Reason::TripletFound);
    assert_eq!((retry.outcome.verdict, retry.outcome.reason), want);
    assert!(matches!(retry.outcome.because, Because::Shared(_)));
    assert_eq!(retry.host.as_deref(), Some("mx1.example"));

    two.network.set(Behaviour::IsCutOff);
    let again = two.decide("a@b", "3").await;
    assert_eq!(again.outcome.verdict, Verdict::Pass);
    assert_eq!(again.outcome.because, Because::Triplet);
    assert_eq!(again.host, None);
}

#[tokio::test]
async fn a_retry_that_is_too_early_waits_the_rest_at_another_host_and_is_kept() {
    let (_, one, two) = site();
    assert_eq!(one.judge("a@b", "1").await.1, Reason::New);
    one.publish(1);
    two.clock.advance(100);
    let early = (defer(200), Reason::EarlyRetry);
    assert_eq!(two.judge("a@b", "2").await, early);
    two.network.set(Behaviour::IsCutOff);
    assert_eq!(two.judge("a@b", "3").await, early, "it was learned");
}

#[tokio::test]
async fn a_client_that_is_auto_whitelisted_at_one_host_is_so_at_another() {
    let (_, one, two) = site();
    for (n, sender) in ["a@b", "c@b", "d@b", "e@b", "f@b"].iter().enumerate() {
        assert_eq!(one.judge(sender, &format!("{n}a")).await.1, Reason::New);
        one.clock.advance(3600);
        let retry = one.judge(sender, &format!("{n}b")).await;
        assert_eq!(retry.1, Reason::TripletFound);
    }
    one.wait_for("published", |status| {
        status.published >= 6 && status.queued == 0
    });
    two.clock.advance(5 * 3600);
    let decision = two.decide("new@b", "9").await;
    let outcome = decision.outcome;
    assert_eq!(
        (outcome.verdict, outcome.reason),
        (Verdict::Pass, Reason::ClientAwl)
    );
    assert_eq!(decision.host.as_deref(), Some("mx1.example"));
    two.network.set(Behaviour::IsCutOff);
    assert_eq!(two.judge("newer@b", "10").await.1, Reason::ClientAwl);
}

#[tokio::test]
async fn a_server_that_hangs_delays_at_most_two_requests_and_is_used_again_when_it_replies() {
    let (_, one, two) = site();
    two.network.set(Behaviour::Hangs);
    let mut slow = 0;
    for n in 0..6 {
        let begun = Instant::now();
        let answer = two.judge(&format!("a{n}@b"), &n.to_string()).await;
        assert_eq!(answer, (defer(300), Reason::New), "as without --shared");
        slow += u32::from(begun.elapsed() >= Duration::from_millis(250));
        assert!(begun.elapsed() < Duration::from_secs(2));
    }
    assert!(slow <= 2, "{slow}");
    two.wait_for("failed", |status| {
        status
            .failure
            .as_ref()
            .is_some_and(|why| why.contains("no reply"))
    });
    two.network.set(Behaviour::Replies);
    two.wait_for("healed", |status| status.failure.is_none());
    two.publish(6);
    one.clock.advance(300);
    assert_eq!(one.judge("a3@b", "1").await.1, Reason::TripletFound);
}

#[tokio::test]
async fn a_server_without_its_data_or_one_that_takes_no_writes_makes_nobody_wait_longer() {
    for behaviour in [Behaviour::IsReadOnly, Behaviour::IsFull] {
        let (server, one, two) = site();
        assert_eq!(one.judge("a@b", "1").await.1, Reason::New);
        one.publish(1);
        two.network.set(behaviour);
        assert_eq!(two.judge("c@b", "1").await, (defer(300), Reason::New));
        two.wait_for("failed", |status| status.failure.is_some());
        two.clock.advance(300);
        if behaviour == Behaviour::IsFull {
            let read = two.judge("a@b", "2").await;
            assert_eq!(read.1, Reason::TripletFound, "it is asked all the same");
        }
        assert_eq!(two.judge("c@b", "2").await.1, Reason::TripletFound);
        server.lose();
        two.network.set(Behaviour::Replies);
        two.wait_for("healed", |status| status.failure.is_none());
        two.publish(1);
        // Both may have begun the log anew at the same time; then one connects again.
        one.wait_for("connected", |status| status.failure.is_none());
        one.clock.advance(300);
        assert_eq!(one.judge("c@b", "3").await.1, Reason::TripletFound);
    }
}

#[tokio::test]
async fn values_that_no_host_of_the_site_has_written_count_as_absent() {
    let (server, one, two) = site();
    assert_eq!(one.judge("a@b", "1").await.1, Reason::New);
    one.publish(1);
    let before = server.values();
    two.clock.advance(300);
    server.change(|value| {
        if let Some(last) = value.last_mut() {
            *last ^= 1;
        }
    });
    assert_eq!(two.judge("a@b", "1").await, (defer(300), Reason::New));
    two.publish(1);
    let after = server.values();
    let rewritten = after.iter().filter(|(name, value)| {
        before
            .get(name)
            .is_some_and(|old| old.first() == value.first())
    });
    assert!(rewritten.count() >= 1);
}

#[tokio::test]
async fn a_value_of_a_later_version_is_neither_used_nor_overwritten() {
    let (server, one, two) = site();
    assert_eq!(one.judge("a@b", "1").await.1, Reason::New);
    one.publish(1);
    // The length of a waiting triplet's.
    server.relabel(&SECRET, 200, |value| value.len() == 43);
    let later = || {
        let mut values = server.values();
        values.retain(|_, value| value[0] == 200);
        values
    };
    let before = later();
    assert!(!before.is_empty());
    two.clock.advance(300);
    assert_eq!(two.judge("a@b", "1").await, (defer(300), Reason::New));
    two.settle();
    assert_eq!(later(), before);

    // Who does not have the secret cannot make it look so: that is a forged one.
    server.change(|value| value[0] = 200);
    two.settle();
    let forged = Host::new("mx4.example", &server, |_| {});
    forged.wait_for("connected", |status| status.failure.is_none());

    // A site of a later version is left alone as a whole.
    server.relabel(&SECRET, 200, |_| true);
    let before = server.values();
    let three = Host::new("mx3.example", &server, |_| {});
    three.wait_for("refused", |status| {
        let why = status.failure.clone().unwrap_or_default();
        why.contains("a later version of stargreyd")
    });
    assert_eq!(three.judge("c@b", "1").await.1, Reason::New);
    assert_eq!(server.values(), before);
}

#[tokio::test]
async fn hosts_whose_options_differ_do_not_share_and_say_which() {
    let (server, one, _) = site();
    let other = Host::new("mx3.example", &server, |params| params.ipv4_bits = 32);
    other.wait_for("refused", |status| {
        let why = status.failure.clone().unwrap_or_default();
        why.starts_with("--ipv4cidr is 32 here and 24 at mx")
    });
    assert_eq!(one.judge("a@b", "1").await.1, Reason::New);
    one.publish(1);
    other.clock.advance(300);
    assert_eq!(other.judge("a@b", "1").await.1, Reason::New);
}

#[tokio::test]
async fn a_host_whose_clock_is_wrong_by_more_than_half_the_delay_does_not_share() {
    let server = Double::default();
    server.set_time(ManualClock::at(0).now());
    let host = Host::with_clock("mx1.example", &server, |_| {}, true);
    host.wait_for("connected", |status| status.failure.is_none());
    server.set_time(ManualClock::at(151).now());
    let other = Host::with_clock("mx2.example", &server, |_| {}, true);
    other.wait_for("refused", |status| {
        let why = status.failure.clone().unwrap_or_default();
        why.contains("clock is 2min 31s apart") || why.contains("151")
    });
    server.set_time(ManualClock::at(100).now());
    other.wait_for("it is used again", |status| status.failure.is_none());
    assert_eq!(other.status().apart, Span::from_seconds(100));
}

pub(super) const CLIENTS: ListName = ListName::Client;

#[tokio::test]
async fn an_entry_that_is_added_or_removed_at_one_host_is_so_at_all() {
    let (server, one, two) = site();
    let comment = "a friend";
    let added = one
        .control
        .add_entry(CLIENTS, "mx.friend.example", comment, None);
    added.await.unwrap();
    two.await_entry("mx.friend.example", true);
    let friend = attempt("mx.friend.example", "a@b", "1", "joe@c");
    assert_eq!(judge(&two.gate, &friend).await.1, Reason::ClientWhitelist);

    // One that comes later has it too, and one of its own is at all.
    let store = MemoryStore::new();
    let alone = Host::on(&store, "mx3.example", &Double::default(), |_| {}, false);
    let own = alone.control.add_entry(CLIENTS, "mx.own.example", "", None);
    own.await.unwrap();
    drop(alone);
    let three = Host::on(&store, "mx3.example", &server, |_| {}, false);
    three.await_entry("mx.friend.example", true);
    for host in [&one, &two, &three] {
        host.await_entry("mx.own.example", true);
    }

    two.control
        .remove_entry(CLIENTS, "mx.friend.example")
        .await
        .unwrap();
    for host in [&one, &two, &three] {
        host.await_entry("mx.friend.example", false);
        host.settle();
    }
    one.wait_for("caught up", |status| {
        status.hosts.len() == 2
            && status
                .hosts
                .iter()
                .all(|(_, state)| *state == HostState::Ok)
    });
}

#[tokio::test]
async fn of_two_acts_about_an_entry_the_later_one_holds_whichever_host_was_away() {
    let (_, one, two) = site();
    one.control
        .add_entry(CLIENTS, "a.example", "", None)
        .await
        .unwrap();
    two.await_entry("a.example", true);
    two.network.set(Behaviour::IsCutOff);
    two.wait_for("cut off", |status| status.failure.is_some());
    for host in [&one, &two] {
        host.clock.advance(10);
    }
    two.control
        .add_entry(CLIENTS, "b.example", "", None)
        .await
        .unwrap();
    two.control
        .remove_entry(CLIENTS, "a.example")
        .await
        .unwrap();
    for host in [&one, &two] {
        host.clock.advance(10);
    }
    one.control
        .add_entry(CLIENTS, "a.example", "again", None)
        .await
        .unwrap();
    one.control
        .add_entry(CLIENTS, "c.example", "", None)
        .await
        .unwrap();
    one.settle();
    one.wait_for("behind", |status| {
        status.hosts == [("mx2.example".to_owned(), HostState::Behind)]
    });
    two.network.set(Behaviour::Replies);
    for host in [&two, &one] {
        host.await_entry("b.example", true);
        host.await_entry("c.example", true);
        host.settle();
        assert!(host.has_entry("a.example"), "it was added again later");
    }
}

#[tokio::test]
async fn what_is_forgotten_at_one_host_is_so_at_all_and_no_host_that_was_away_brings_it_back() {
    let (_, one, two) = site();
    let forgotten = || Filter {
        sender: Some(b"a@b".to_vec()),
        ..Filter::default()
    };
    let pass_at_both = async |instance: &str| {
        let first = one.judge("a@b", &format!("{instance}1")).await;
        assert_eq!(first.1, Reason::New, "{instance}");
        one.settle();
        for host in [&one, &two] {
            host.clock.advance(300);
            let retry = host.judge("a@b", &format!("{instance}2")).await;
            assert_eq!(retry.1, Reason::TripletFound, "{instance}");
            host.settle();
        }
    };
    pass_at_both("a").await;
    assert_eq!(
        one.control
            .forget(forgotten(), false)
            .await
            .unwrap()
            .triplets,
        1
    );
    one.settle();
    two.wait_for("carried out", |status| {
        status
            .hosts
            .iter()
            .all(|(_, state)| *state == HostState::Ok)
    });
    two.settle();
    one.clock.advance(1);
    two.clock.advance(1);
    assert_eq!(two.judge("a@b", "n").await, (defer(300), Reason::New));
    two.settle();
    assert_eq!(one.judge("a@b", "n").await.1, Reason::EarlyRetry);

    // Again, while one is away.
    for host in [&one, &two] {
        host.clock.advance(300);
        assert_eq!(host.judge("a@b", "o").await.1, Reason::TripletFound);
        host.settle();
    }
    two.network.set(Behaviour::IsCutOff);
    two.wait_for("cut off", |status| status.failure.is_some());
    one.clock.advance(1);
    two.clock.advance(1);
    assert_eq!(
        one.control
            .forget(forgotten(), false)
            .await
            .unwrap()
            .triplets,
        1
    );
    one.settle();
    one.clock.advance(1);
    two.clock.advance(1);
    assert_eq!(
        two.judge("a@b", "p").await.1,
        Reason::TripletFound,
        "it has not heard of it"
    );
    two.network.set(Behaviour::Replies);
    two.settle();
    one.settle();
    assert_eq!(one.judge("a@b", "q").await, (defer(300), Reason::New));
    one.settle();
    assert_eq!(two.judge("a@b", "q").await.1, Reason::EarlyRetry);
}

#[tokio::test]
async fn what_was_not_published_is_so_after_a_restart_and_all_when_the_server_has_lost_its_data() {
    let (server, one, _) = site();
    let store = MemoryStore::new();
    let cut = Double::default();
    cut.set(Behaviour::IsCutOff);
    let before = Host::on(&store, "mx3.example", &cut, |_| {}, false);
    assert_eq!(before.judge("a@b", "1").await.1, Reason::New);
    drop(before);
    let three = Host::on(&store, "mx3.example", &server, |_| {}, false);
    three.publish(1);
    one.clock.advance(300);
    assert_eq!(one.judge("a@b", "1").await.1, Reason::TripletFound);
    one.settle();

    server.lose();
    // Nobody writes it because of a mail: both hosts send what they have.
    let sent = one.status().published;
    one.wait_for("sent again", |status| status.published > sent);
    one.settle();
    let four = Host::new("mx4.example", &server, |_| {});
    four.settle();
    four.clock.advance(301);
    assert_eq!(four.judge("a@b", "1").await.1, Reason::TripletFound);
}

/// A step of a model.
#[derive(Debug, Clone)]
enum Move {
    /// A mail of this sender comes to this host.
    Mail(usize, u8),
    /// This host is cut off, or not any more.
    Cut(usize),
    Heal(usize),
    /// The server loses its data.
    Lose,
    /// Time goes on.
    Advance(u64),
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = prop_oneof![
        8 => (0..2_usize, 0..4_u8).prop_map(|(host, sender)| Move::Mail(host, sender)),
        2 => (0..2_usize).prop_map(Move::Cut),
        3 => (0..2_usize).prop_map(Move::Heal),
        1 => Just(Move::Lose),
        5 => prop::sample::select(vec![60, 301, 3700, 40_000]).prop_map(Move::Advance),
    ];
    prop::collection::vec(one, 1..60)
}

/// Seconds that a mail has to wait.
fn wait(decision: &Decision) -> u64 {
    match decision.outcome.verdict.remaining() {
        Some(Remaining::Time(time)) => time.seconds(),
        Some(Remaining::Retries(_)) | None => 0,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn nobody_waits_longer_than_at_a_host_that_is_alone_and_hosts_agree_afterwards(moves in moves()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.unwrap().block_on(async {
            let (server, one, two) = site();
            let hosts = [&one, &two];
            let alone = hosts.map(|host| {
                let rules = rules(OnStoreFailure::Defer);
                Gate::start(rules, Box::new(MemoryStore::new()), host.clock.clone()).unwrap().gate
            });
            let senders = ["a@b", "c@d", "e@f", "g@h"];
            for (number, step) in moves.iter().enumerate() {
                match step {
                    Move::Mail(at, sender) => {
                        let instance = number.to_string();
                        let sender = senders[usize::from(*sender)];
                        let shared = wait(&hosts[*at].decide(sender, &instance).await);
                        let attempt = attempt("x", sender, &instance, "joe@c");
                        let alone = wait(&alone[*at].judge(&attempt, None).await);
                        assert!(shared <= alone, "{number}: {shared} s instead of {alone} s");
                    }
                    Move::Cut(at) => hosts[*at].network.set(Behaviour::IsCutOff),
                    Move::Heal(at) => hosts[*at].network.set(Behaviour::Replies),
                    Move::Lose => server.lose(),
                    Move::Advance(seconds) => hosts.iter().for_each(|host| host.clock.advance(*seconds)),
                }
            }
            for host in hosts {
                host.network.set(Behaviour::Replies);
            }
            for host in [&one, &two, &one, &two] {
                host.settle();
            }
            for (number, sender) in senders.iter().enumerate() {
                let first = wait(&one.decide(sender, &format!("end{number}")).await);
                one.settle();
                let second = wait(&two.decide(sender, &format!("end{number}")).await);
                assert_eq!(first, second, "{sender}");
            }
        });
    }
}
