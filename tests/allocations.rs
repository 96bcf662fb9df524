//! How often a decision allocates memory. What a feature does not use, it does not cost.

#![expect(unsafe_code, reason = "an allocator that counts has no safe form")]
#![expect(clippy::unwrap_used, reason = "a test that fails here says where")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::path::Path;
use std::sync::Arc;

use jiff::tz::TimeZone;
use stargrey::policy::pattern::ClientPattern;
use stargrey::policy::s25r::Rules;
use stargrey::policy::{
    Attempt, ClientList, DnsLists, Entry, Lists, Params, Reason, Ruleset, Texts, Thresholds,
    Unmatched,
};
use stargrey::service::clock::SystemClock;
use stargrey::service::{Gate, Start};
use stargrey::store::memory::MemoryStore;
use stargrey::types::{Span, Timestamp};

/// Counts the allocations of each thread.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

fn count() {
    // A thread that ends has no counter any more.
    ALLOCATIONS
        .try_with(|count| count.set(count.get() + 1))
        .ok();
}

// SAFETY: everything is handed to the system's allocator as it comes.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract of `realloc`.
        unsafe { System.realloc(memory, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A gate that greylists everybody, with two DNS lists beside it that never reply.
fn dns_gate() -> Start {
    let params = Params {
        unmatched: Some(Unmatched::Greylist),
        ..Params::default()
    };
    let mut rules = rules(params);
    rules.change(|parts| {
        parts.dns_lists =
            Arc::new(DnsLists::parse(&["one.example two.example"], Thresholds::default()).unwrap());
    });
    start(rules)
}

fn gate(params: Params) -> Start {
    start(rules(params))
}

fn start(rules: Ruleset) -> Start {
    Gate::start(rules, Box::new(MemoryStore::new()), Arc::new(SystemClock)).unwrap()
}

fn rules(params: Params) -> Ruleset {
    let entry = Entry::in_file(&Path::new("list").into(), 1, "good.example");
    let listed = ClientPattern::parse("good.example").unwrap();
    let lists = Lists {
        clients: ClientList::new(vec![(listed, entry)]).unwrap(),
        ..Lists::default()
    };
    let texts = Texts::new("450", "wait", "X: y", "mx", TimeZone::UTC).unwrap();
    Ruleset::new(params, lists, texts)
}

fn attempt<'a>(name: &'a str, address: &'a str, recipient: &'a str) -> Attempt<'a> {
    Attempt {
        client_address: Some(address.as_bytes()),
        client_name: Some(name.as_bytes()),
        sender: Some(b"ann@sender.example"),
        recipient: Some(recipient.as_bytes()),
        ..Attempt::default()
    }
}

/// The allocations of a request on the thread that decides it, after the reason of the decision.
async fn allocations(gate: &Gate, attempt: &Attempt<'_>, now: Timestamp) -> (Reason, u64) {
    let before = ALLOCATIONS.get();
    let decision = gate.judge(attempt, Some(now)).await;
    let after = ALLOCATIONS.get();
    (decision.outcome.reason, after - before)
}

#[tokio::test]
async fn a_decision_allocates_no_more_than_its_keys_need() {
    let at = |seconds| Timestamp::from_seconds(1_800_000_000).after(Span::from_seconds(seconds));
    let plain = gate(Params {
        auto_whitelist_delay: Span::ZERO,
        ..Params::default()
    });
    let s25r = gate(Params {
        s25r: Some(Rules::Classic),
        ..Params::default()
    });
    let dns = dns_gate();
    let recipients: Vec<String> = (0..5).map(|n| format!("joe{n}@x.example")).collect();
    let regular = |recipient| attempt("mx.example", "198.51.100.7", recipient);
    let known = attempt("mx.example", "192.0.2.7", "joe@x.example");
    let early = attempt("mx.example", "203.0.113.7", "joe@x.example");
    let other = attempt("mail.example", "192.0.2.99", "joe@x.example");
    let listed = attempt("mx.good.example", "192.0.2.99", "joe@x.example");
    for seconds in [0, 300] {
        for recipient in &recipients {
            allocations(&plain.gate, &regular(recipient), at(seconds)).await;
        }
        for start in [&plain, &dns] {
            allocations(&start.gate, &known, at(seconds)).await;
        }
    }
    allocations(&plain.gate, &early, at(300)).await;
    let cases = [
        (&plain, listed, Reason::ClientWhitelist, 1),
        (&s25r, other, Reason::NotSuspicious, 2),
        (&plain, regular("ann@x.example"), Reason::ClientAwl, 3),
        (&plain, known, Reason::TripletFound, 3),
        (&plain, early, Reason::EarlyRetry, 6),
        // One more: the list of what would have to be looked up.
        (&dns, known, Reason::TripletFound, 4),
    ];
    for (start, attempt, reason, want) in cases {
        // The first time may fill what is kept from then on.
        allocations(&start.gate, &attempt, at(310)).await;
        let (got, times) = allocations(&start.gate, &attempt, at(310)).await;
        assert_eq!(got, reason);
        assert_eq!(times, want, "{reason:?}");
    }
}
