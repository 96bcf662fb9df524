//! The gate with DNS lists: who waits for a lookup, and who does not.

use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::tarpit_tests::Untouchable;
use super::tests::rules;
use super::*;
use crate::control::Control;
use crate::lookup::tests::Gated;
use crate::policy::{
    DnsLists, OnStoreFailure, Reason, Scheme, Stage, Suspicion, Tarpit, Thresholds,
};
use crate::service::clock::tests::ManualClock;
use crate::store::memory::MemoryStore;
use crate::types::Span;

/// A gate with one DNS list, in which the even addresses are.
struct Site {
    gate: Gate,
    control: Control,
    clock: Arc<ManualClock>,
    resolver: Gated,
}

impl Site {
    fn new(timeout: Duration) -> Self {
        Self::with(timeout, None, MemoryStore::new())
    }

    fn with(
        timeout: Duration,
        tarpit: Option<(Tarpit, u32)>,
        store: impl Opener + 'static,
    ) -> Self {
        Self::of(timeout, tarpit, store, Thresholds::default())
    }

    fn of(
        timeout: Duration,
        tarpit: Option<(Tarpit, u32)>,
        store: impl Opener + 'static,
        thresholds: Thresholds,
    ) -> Self {
        let clock = ManualClock::at(0);
        let mut rules = rules(OnStoreFailure::Defer);
        if let Some((tarpit, limit)) = tarpit {
            rules.change(|parts| {
                parts.params.tarpit = Some(tarpit);
                parts.params.tarpit_limit = limit;
            });
        }
        rules.change(|parts| {
            parts.dns_lists = Arc::new(DnsLists::parse(&["list.example"], thresholds).unwrap());
        });
        let as_clock = Arc::clone(&clock);
        let started = Gate::start(rules, Box::new(store), as_clock).unwrap();
        let site = Self {
            gate: started.gate,
            control: Control::new(started.internals),
            clock,
            resolver: Gated::default(),
        };
        let lookups = Lookups::new(site.resolver.clone(), timeout);
        site.gate.set_lookups(lookups);
        site
    }

    async fn ask(&self, address: &str) -> (Reason, Option<Suspicion>) {
        let decision = self.gate.judge(&attempt(address), None).await;
        (decision.outcome.reason, decision.outcome.suspicion)
    }

    async fn explain(&self, address: &str, looks_up: bool) -> Reason {
        let explanation = self.control.explain(&attempt(address), looks_up).await;
        explanation.outcome.reason
    }
}

fn attempt(address: &str) -> Attempt<'_> {
    Attempt {
        client_address: Some(address.as_bytes()),
        client_name: Some(b"mx.example"),
        sender: Some(b"a@b"),
        recipient: Some(b"joe@x"),
        ..Attempt::default()
    }
}

/// A gate that refuses the clients of its list.
fn refusing(store: impl Opener + 'static) -> Site {
    let thresholds = Thresholds {
        reject: Some(1),
        ..Thresholds::default()
    };
    Site::of(LONG, None, store, thresholds)
}

const LONG: Duration = Duration::from_secs(60);
const LISTED: (Reason, Option<Suspicion>) = (Reason::New, Some(Suspicion::DnsLists(1)));

#[tokio::test]
async fn a_listed_client_is_greylisted_and_any_other_passes() {
    let site = Site::new(LONG);
    site.resolver.answer(2);
    assert_eq!(site.ask("192.0.2.2").await, LISTED);
    assert_eq!(site.ask("198.51.100.3").await.0, Reason::NotSuspicious);
    assert_eq!(site.resolver.times(), 2);
}

#[tokio::test]
async fn known_mail_waits_for_no_lookup() {
    let site = Site::new(LONG);
    site.resolver.answer(1);
    assert_eq!(site.ask("192.0.2.2").await, LISTED);
    // Nothing is in the cache, and nobody answers any more.
    let silent = Gated::default();
    site.gate.set_lookups(Lookups::new(silent.clone(), LONG));
    site.clock.advance(300);
    assert_eq!(
        site.ask("192.0.2.2").await.0,
        Reason::TripletFound,
        "the retry"
    );
    assert_eq!(
        site.ask("192.0.2.2").await.0,
        Reason::TripletFound,
        "the next mail"
    );
    assert_eq!(silent.times(), 0);
}

#[tokio::test]
async fn without_an_answer_at_the_deadline_the_client_passes_and_a_late_answer_counts_for_its_next_mail()
 {
    let site = Site::new(Duration::ZERO);
    assert_eq!(site.ask("192.0.2.2").await.0, Reason::NotSuspicious);
    site.resolver.answer(1);
    while site.ask("192.0.2.2").await != LISTED {
        tokio::task::yield_now().await;
    }
    assert_eq!(site.resolver.times(), 1);
}

#[tokio::test]
async fn known_mail_waits_for_no_lookup_at_data_either() {
    let targrey = Tarpit {
        length: Span::from_seconds(125),
        scheme: Scheme::Targrey,
    };
    let site = Site::with(LONG, Some((targrey, 5)), MemoryStore::new());
    let data = Attempt {
        stage: Stage::Data,
        ..attempt("192.0.2.2")
    };
    let judged = pin!(site.gate.judge(&data, None));
    let polled = judged.poll(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(polled, Poll::Ready(_)));
    assert_eq!(site.resolver.times(), 0);
}

#[tokio::test]
async fn while_the_database_is_away_only_clients_that_a_list_has_are_deferred() {
    let site = Site::with(LONG, None, Untouchable);
    site.resolver.answer(2);
    assert_eq!(site.ask("192.0.2.2").await.0, Reason::StoreFailure);
    assert_eq!(site.ask("192.0.2.3").await.0, Reason::NotSuspicious);
}

#[tokio::test]
async fn an_unknown_client_is_looked_up_although_the_tarpit_would_let_it_pass() {
    let starpit = Tarpit {
        length: Span::from_seconds(65),
        scheme: Scheme::Delaying,
    };
    let site = Site::with(LONG, Some((starpit, 0)), MemoryStore::new());
    site.resolver.answer(1);
    assert_eq!(site.ask("192.0.2.3").await.0, Reason::NotSuspicious);
    assert_eq!(site.gate.status().figures.unwrap().waiting, 0);
}

#[tokio::test]
async fn explain_asks_outside_only_if_the_caller_says_so_and_keeps_nothing() {
    let site = Site::new(LONG);
    site.resolver.answer(1);
    assert_eq!(
        site.explain("192.0.2.2", false).await,
        Reason::NotSuspicious
    );
    assert_eq!(site.resolver.times(), 0);
    assert_eq!(site.explain("192.0.2.2", true).await, Reason::New);
    assert_eq!(
        site.explain("192.0.2.2", false).await,
        Reason::New,
        "cached"
    );
    let status = site.gate.status();
    assert_eq!(status.counts.totals().requests, 0);
    assert_eq!(status.figures.unwrap().waiting, 0);
    assert_eq!(site.ask("192.0.2.2").await, LISTED);
    assert_eq!(site.resolver.times(), 1);
}

#[tokio::test]
async fn a_request_that_needs_no_lookup_and_no_commit_is_answered_without_waiting() {
    let site = Site::new(LONG);
    site.resolver.answer(1);
    assert_eq!(site.ask("192.0.2.2").await, LISTED);
    site.clock.advance(300);
    assert_eq!(site.ask("192.0.2.2").await.0, Reason::TripletFound);
    // Nothing is in the cache any more.
    let silent = Gated::default();
    site.gate.set_lookups(Lookups::new(silent, LONG));
    let known = attempt("192.0.2.2");
    let listed = Attempt {
        client_name: Some(b"good.example"),
        ..attempt("198.51.100.2")
    };
    for asked in [known, listed] {
        let judged = pin!(site.gate.judge(&asked, None));
        let polled = judged.poll(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(polled, Poll::Ready(_)), "{asked:?}");
    }
}

#[tokio::test]
async fn while_the_database_is_unavailable_nobody_is_refused() {
    let site = refusing(Untouchable);
    site.resolver.answer(4);
    assert_eq!(site.ask("192.0.2.2").await.0, Reason::StoreFailure);
    assert_eq!(site.ask("192.0.2.3").await.0, Reason::NotSuspicious);
}

#[tokio::test]
async fn explain_has_the_text_of_a_refusal_from_the_cache() {
    let site = refusing(MemoryStore::new());
    site.resolver.answer(2);
    let asked = site.gate.judge(&attempt("192.0.2.2"), None).await;
    let explained = site.control.explain(&attempt("192.0.2.2"), false).await;
    assert_eq!(explained.reply, asked.reply);
    assert_eq!(asked.outcome.reason, Reason::DnsReject);
}

#[tokio::test]
async fn a_refusal_that_is_repeated_has_the_same_text_and_counts_once() {
    let site = refusing(MemoryStore::new());
    site.resolver.answer(2);
    let attempt = Attempt {
        instance: Some(b"1"),
        ..attempt("192.0.2.2")
    };
    let first = site.gate.judge(&attempt, None).await;
    assert_eq!(first.outcome.reason, Reason::DnsReject);
    let again = site.gate.judge(&attempt, None).await;
    assert_eq!((first.is_repeat, again.is_repeat), (false, true));
    assert_eq!(again.reply, first.reply);
    assert_eq!(site.gate.status().counts.totals().refused, 1);
}
