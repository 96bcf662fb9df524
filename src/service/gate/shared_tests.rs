//! Gates that share their records, by a server that misbehaves as no real one can be made to.

use std::time::Duration;

use tokio::time::Instant;

use super::tests::{attempt, defer, judge, rules};
use super::*;
use crate::policy::{Because, OnStoreFailure, Reason, Verdict};
use crate::service::clock::tests::ManualClock;
use crate::shared::double::{Behaviour, Double};
use crate::shared::{Me, Site, Status};
use crate::store::memory::MemoryStore;
use crate::types::Span;

/// A host of the site.
struct Host {
    gate: Gate,
    network: Double,
    clock: Arc<ManualClock>,
}

impl Host {
    fn new(name: &str, server: &Double, change: impl FnOnce(&mut Params)) -> Self {
        Self::with_clock(name, server, change, false)
    }

    fn with_clock(
        name: &str,
        server: &Double,
        change: impl FnOnce(&mut Params),
        compares_clocks: bool,
    ) -> Self {
        let clock = ManualClock::at(0);
        let mut rules = rules(OnStoreFailure::Defer);
        change(&mut rules.params);
        let site = Site::new(&rules.params);
        let opener = Box::new(MemoryStore::new());
        let Start { gate, .. } = Gate::start(rules, opener, clock.clone()).unwrap();
        let network = server.over_another_network();
        let me = Me {
            name: name.to_owned(),
            site,
            compares_clocks,
        };
        let shared = Shared::new(&[7; 32], me, &network);
        gate.share(shared, Box::new(network.clone())).unwrap();
        Self {
            gate,
            network,
            clock,
        }
    }

    fn status(&self) -> Status {
        self.gate.shared_status().unwrap()
    }

    /// Waits until the status is as wanted.
    fn wait_for(&self, what: &str, is_right: impl Fn(&Status) -> bool) {
        let begun = Instant::now();
        while !is_right(&self.status()) {
            assert!(
                begun.elapsed() < Duration::from_secs(20),
                "{what}: {:?}",
                self.status()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until all is published.
    fn publish(&self, records: u64) {
        self.wait_for("published", |status| status.published >= records);
    }

    async fn decide(&self, sender: &str, instance: &str) -> Decision {
        let attempt = attempt("x", sender, instance, "joe@c");
        self.gate.judge(&attempt, None).await
    }

    async fn judge(&self, sender: &str, instance: &str) -> (Verdict, Reason) {
        judge(&self.gate, &attempt("x", sender, instance, "joe@c")).await
    }
}

fn site() -> (Double, Host, Host) {
    let server = Double::default();
    server.set_time(ManualClock::at(0).now());
    let [one, two] = ["mx1.example", "mx2.example"].map(|name| Host::new(name, &server, |_| {}));
    for host in [&one, &two] {
        host.wait_for("connected", |status| status.failure.is_none());
    }
    (server, one, two)
}

#[tokio::test]
async fn a_retry_at_another_host_passes_and_that_host_remembers_it() {
    let (_, one, two) = site();
    assert_eq!(one.judge("a@b", "1").await, (defer(300), Reason::New));
    one.publish(1);
    for host in [&one, &two] {
        host.clock.advance(300);
    }
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
    server.change(|value| {
        if let Some(version) = value.first_mut() {
            *version = 200;
        }
    });
    let before = server.values();
    two.clock.advance(300);
    assert_eq!(two.judge("a@b", "1").await, (defer(300), Reason::New));
    two.wait_for("tried", |status| status.queued == 0);
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
