//! Explain and judge are one pipeline: what is explained is what is answered, in every state, and changes nothing.

use std::sync::atomic::Ordering;
use std::time::Duration;

use proptest::prelude::*;

use super::tests::{Faulty, rules};
use super::*;
use crate::control::{Control, Filter};
use crate::lookup::tests::Gated;
use crate::policy::s25r::Rules;
use crate::policy::{
    CountBy, DnsLists, OnStoreFailure, Params, Reason, Scheme, Stage, Tarpit, Thresholds, Unmatched,
};
use crate::service::clock::tests::ManualClock;
use crate::types::Span;

/// What happens next.
#[derive(Debug, Clone)]
enum Event {
    /// A mail server asks.
    Request {
        name: &'static str,
        host: u8,
        recipient: u8,
        instance: u8,
        is_data: bool,
        is_stressed: bool,
        is_authenticated: bool,
    },
    /// Time goes by, in seconds.
    Wait(u64),
    Pause(Option<u64>),
    Resume,
    /// From now on the disk is full.
    Full,
}

fn event() -> impl Strategy<Value = Event> {
    let names = prop::sample::select(vec![
        "unknown",
        "mx.example",
        "good.example",
        "a1b2.example",
        "mx1.example.com",
        "mx2.example.com",
        "a1b2.example.com",
    ]);
    let flags = (
        prop::bool::weighted(0.2),
        prop::bool::weighted(0.1),
        prop::bool::weighted(0.1),
    );
    let request = (names, 0..6_u8, 0..3_u8, 0..4_u8, flags);
    let request = request.prop_map(|(name, host, recipient, instance, flags)| Event::Request {
        name,
        host,
        recipient,
        instance,
        is_data: flags.0,
        is_stressed: flags.1,
        is_authenticated: flags.2,
    });
    let seconds = prop_oneof![0..100_u64, Just(300), 300..4000_u64, Just(3 * 86_400)];
    prop_oneof![
        12 => request,
        4 => seconds.prop_map(Event::Wait),
        1 => prop::option::of(1..400_u64).prop_map(Event::Pause),
        1 => Just(Event::Resume),
        1 => prop::bool::weighted(0.2).prop_map(|is_full| if is_full { Event::Full } else { Event::Resume }),
    ]
}

/// How the gate is set up.
#[derive(Debug, Clone, Copy)]
struct Options {
    s25r: Option<Rules>,
    by_domain: bool,
    scheme: Option<Scheme>,
    has_dns_lists: bool,
    unmatched: Option<Unmatched>,
    on_store_failure: OnStoreFailure,
}

fn options() -> impl Strategy<Value = Options> {
    let schemes = vec![
        None,
        Some(Scheme::Deferring),
        Some(Scheme::Delaying),
        Some(Scheme::Targrey),
    ];
    let unmatched = vec![None, Some(Unmatched::Pass), Some(Unmatched::Greylist)];
    let failures = vec![OnStoreFailure::Pass, OnStoreFailure::Defer];
    let rules = vec![None, Some(Rules::Classic), Some(Rules::Extended)];
    (
        (prop::sample::select(rules), any::<bool>()),
        prop::sample::select(schemes),
        any::<bool>(),
        prop::sample::select(unmatched),
        prop::sample::select(failures),
    )
        .prop_map(
            |((s25r, by_domain), scheme, has_dns_lists, unmatched, on_store_failure)| Options {
                s25r,
                by_domain,
                scheme,
                has_dns_lists,
                unmatched,
                on_store_failure,
            },
        )
}

fn open(options: Options, store: &Faulty, clock: &Arc<ManualClock>) -> Start {
    let mut rules = rules(options.on_store_failure);
    rules.change(|parts| {
        parts.params = Params {
            s25r: options.s25r,
            by_domain: options.by_domain,
            count_by: if options.by_domain {
                CountBy::Domain
            } else {
                CountBy::Address
            },
            unmatched: options.unmatched,
            auto_whitelist: Some(2),
            retry_count: 2,
            tarpit: options.scheme.map(|scheme| Tarpit {
                length: Span::from_seconds(65),
                scheme,
            }),
            tarpit_limit: 2,
            ..parts.params
        };
    });
    if options.has_dns_lists {
        rules.change(|parts| {
            parts.dns_lists =
                Arc::new(DnsLists::parse(&["list.example"], Thresholds::default()).unwrap());
        });
    }
    let as_clock = Arc::clone(clock);
    let start = Gate::start(rules, Box::new(store.clone()), as_clock).unwrap();
    let resolver = Gated::default();
    resolver.answer(1000);
    start
        .gate
        .set_lookups(Lookups::new(resolver, Duration::from_secs(60)));
    start
}

/// All that could have been changed.
pub(super) async fn everything(gate: &Gate, control: &Control) -> String {
    let page = control
        .page(Filter::default(), true, Vec::new(), 1000)
        .await;
    let hits: Vec<u64> = control
        .list_entries()
        .iter()
        .map(|entry| entry.hits)
        .collect();
    let mut status = gate.status();
    // The writer finds out by itself, at any time, that the disk is full.
    status.failure = None;
    // What Explain looks up has been looked up.
    let mut counts = std::mem::take(&mut status.counts).by_name();
    counts.retain(|word, _| !word.starts_with("lookup:"));
    format!("{status:?} {counts:?} {page:?} {hits:?}")
}

async fn play(options: Options, events: &[Event]) -> Result<(), TestCaseError> {
    let clock = ManualClock::at(0);
    let mut store = Faulty::default();
    store.never_sweeps = true;
    let start = open(options, &store, &clock);
    let (gate, control) = (start.gate, Control::new(start.internals));
    for event in events {
        match event {
            Event::Wait(seconds) => clock.advance(*seconds),
            Event::Pause(length) => drop(control.pause(length.map(Span::from_seconds)).await),
            Event::Resume => drop(control.resume().await),
            Event::Full => store.refuses.store(true, Ordering::Relaxed),
            Event::Request {
                name,
                host,
                recipient,
                instance,
                is_data,
                is_stressed,
                is_authenticated,
            } => {
                let (address, recipient) =
                    (format!("192.0.{host}.{host}"), format!("{recipient}@x"));
                let instance = instance.to_string();
                let attempt = Attempt {
                    stage: if *is_data {
                        Stage::Data
                    } else {
                        Stage::Recipient
                    },
                    client_address: Some(address.as_bytes()),
                    client_name: Some(name.as_bytes()),
                    sender: Some(b"a@b"),
                    recipient: Some(recipient.as_bytes()),
                    instance: Some(instance.as_bytes()),
                    is_stressed: *is_stressed,
                    user: is_authenticated.then_some(b"joe"),
                    ..Attempt::default()
                };
                // Before the first commit has failed, nobody knows that the disk is full.
                let is_known =
                    !store.refuses.load(Ordering::Relaxed) || gate.status().failure.is_some();
                let before = everything(&gate, &control).await;
                let explained = control.explain(&attempt, true).await;
                prop_assert_eq!(&everything(&gate, &control).await, &before, "{:?}", event);
                let decision = gate.judge(&attempt, None).await;
                if is_known || decision.outcome.reason != Reason::StoreFailure {
                    let (got, want) = (explained.outcome, decision.outcome);
                    prop_assert_eq!((got.verdict, got.reason), (want.verdict, want.reason));
                    prop_assert_eq!((got.because, got.suspicion), (want.because, want.suspicion));
                    prop_assert_eq!(explained.reply, decision.reply, "{:?}", event);
                }
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, max_shrink_iters: 500, ..ProptestConfig::default() })]

    #[test]
    fn what_is_explained_is_what_is_answered_in_every_state_and_changes_nothing(
        options in options(),
        events in prop::collection::vec(event(), 1..60),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(play(options, &events))?;
    }
}
