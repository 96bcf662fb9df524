//! Control over a store in memory.

use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use tokio::time::Instant;

use super::*;
use crate::policy::chain::{Action, Chain, Parts, Rule, Terms, Treatment};
use crate::policy::pattern::ClientPattern;
use crate::policy::s25r::Rules;
use crate::policy::{
    Attempt, ClientList, Entry, Identity, ListName, Lists, Params, Reason, Ruleset, Scheme, Stage,
    Step, Tarpit, Texts, Triplet, Verdict,
};
use crate::service::Start;
use crate::service::clock::Clock;
use crate::service::clock::tests::ManualClock;
use crate::shared::double::{Behaviour, Double};
use crate::shared::{Me, Server, Shared};
use crate::store::lmdb::{Durability, LmdbOpener};
use crate::store::memory::MemoryStore;
use crate::store::{Lock, Locked, Opener, Page, Row, RowKey, StagedBackup};
use crate::types::{Prefix, Span, Timestamp};

const START: u64 = 1_800_000_000;

/// How long something may take before a test fails.
const PATIENCE: Duration = Duration::from_secs(20);

struct Site {
    store: MemoryStore,
    clock: Arc<ManualClock>,
    params: Params,
    start: Start,
}

impl Site {
    fn new(params: Params) -> Self {
        let store = MemoryStore::new();
        let clock = ManualClock::at(0);
        let start = Self::open(&store, &clock, params);
        Self {
            store,
            clock,
            params,
            start,
        }
    }

    fn open(store: &MemoryStore, clock: &Arc<ManualClock>, params: Params) -> Start {
        Self::open_with(Box::new(store.clone()), clock, params)
    }

    fn open_with(opener: Box<dyn Opener>, clock: &Arc<ManualClock>, params: Params) -> Start {
        let clock: Arc<dyn Clock> = Arc::clone(clock) as Arc<dyn Clock>;
        let entry = Entry::in_file(&Path::new("list").into(), 7, "good.example");
        let pattern = ClientPattern::parse("good.example").unwrap();
        let lists = Lists {
            clients: ClientList::new(vec![(pattern, entry)]).unwrap(),
            ..Lists::default()
        };
        let texts = Texts::new("DEFER_IF_PERMIT", "wait %s", "X: %t", "mx", TimeZone::UTC).unwrap();
        let rules = Ruleset::new(params, lists, texts);
        Gate::start(rules, opener, clock).unwrap()
    }

    /// As after a kill: the new one reads what is stored by now. The old one has ended before the test goes on, so that it
    /// does nothing at a later time of the clock.
    fn restart(&mut self) {
        let next = Self::open(&self.store, &self.clock, self.params);
        let Start {
            gate,
            internals,
            worker,
        } = std::mem::replace(&mut self.start, next);
        drop((gate, internals));
        worker.join().unwrap();
    }

    fn control(&self) -> Control {
        Control::new(self.start.internals.clone())
    }

    fn gate(&self) -> &Gate {
        &self.start.gate
    }

    async fn ask(&self, name: &str, to: &str) -> Reason {
        self.gate()
            .judge(&attempt(name, to, ""), None)
            .await
            .outcome
            .reason
    }

    async fn all(&self) -> Vec<Row> {
        let page: Page = self
            .control()
            .page(Filter::default(), true, Vec::new(), 1000)
            .await
            .unwrap();
        assert_eq!(page.next, None);
        page.rows
    }
}

fn attempt<'a>(name: &'a str, to: &'a str, instance: &'a str) -> Attempt<'a> {
    Attempt {
        client_address: Some(b"192.0.2.7"),
        client_name: Some(name.as_bytes()),
        sender: Some(b"a@b"),
        recipient: Some(to.as_bytes()),
        instance: Some(instance.as_bytes()),
        ..Attempt::default()
    }
}

#[tokio::test]
async fn what_is_added_is_in_force_at_once_and_after_a_restart_until_it_ends() {
    let mut site = Site::new(Params::default());
    let list = ListName::Client;
    assert_eq!(site.ask("mx.friend.example", "1@x").await, Reason::New);
    let lifetime = Some(Span::from_seconds(100));
    let control = site.control();
    let add = control.add_entry(list, " Friend.Example ", "ours", lifetime);
    add.await.unwrap();
    drop(control);
    assert_eq!(
        site.ask("mx.friend.example", "2@x").await,
        Reason::ClientWhitelist
    );

    site.restart();
    assert_eq!(
        site.ask("mx.friend.example", "3@x").await,
        Reason::ClientWhitelist
    );
    let views = site.control().list_entries();
    let shown: Vec<(&str, String)> = views
        .iter()
        .map(|view| (view.pattern.as_str(), view.source.to_string()))
        .collect();
    let file = ("good.example", "list:7".to_owned());
    assert_eq!(
        shown,
        [file, ("friend.example", "added over D-Bus".to_owned())]
    );
    assert_eq!((views[1].hits, &*views[1].comment), (1, "ours"));

    site.clock.advance(99);
    assert_eq!(
        site.ask("mx.friend.example", "4@x").await,
        Reason::ClientWhitelist
    );
    site.clock.advance(1);
    assert_eq!(site.ask("mx.friend.example", "5@x").await, Reason::New);
    assert_eq!(site.control().list_entries().len(), 1);
}

#[tokio::test]
async fn a_pause_lets_everything_pass_survives_a_restart_and_ends_by_itself() {
    let mut site = Site::new(Params::default());
    assert_eq!(site.ask("mx", "1@x").await, Reason::New);
    assert!(site.control().pause(Some(Span::from_seconds(100))).await);
    for name in ["mx", "good.example"] {
        assert_eq!(site.ask(name, "1@x").await, Reason::Paused, "{name}");
    }
    let explained = site
        .control()
        .explain(&attempt("mx", "2@x", ""), false)
        .await;
    assert_eq!(explained.outcome.reason, Reason::Paused);
    assert_eq!(explained.steps.len(), 1);

    site.restart();
    site.clock.advance(99);
    assert_eq!(site.ask("mx", "2@x").await, Reason::Paused);
    assert_eq!(site.all().await.len(), 1, "nothing is recorded");
    site.clock.advance(1);
    assert_eq!(site.ask("mx", "2@x").await, Reason::New);
    assert_eq!(site.gate().paused(), None);

    assert!(site.control().pause(None).await);
    site.clock.advance(50 * 86_400);
    site.restart();
    assert_eq!(site.ask("mx", "3@x").await, Reason::Paused);
    assert!(site.control().resume().await);
    assert_eq!(site.ask("mx", "3@x").await, Reason::New);
    site.restart();
    assert_eq!(site.ask("mx", "4@x").await, Reason::New);
}

#[tokio::test]
async fn only_what_was_added_can_be_removed() {
    let site = Site::new(Params::default());
    let control = site.control();
    let list = ListName::Client;
    control
        .add_entry(list, "/^MX[0-9]/", "", None)
        .await
        .unwrap();
    assert_eq!(
        site.ask("mx1.example", "1@x").await,
        Reason::ClientWhitelist
    );
    control.remove_entry(list, "/^MX[0-9]/").await.unwrap();
    assert_eq!(site.ask("mx1.example", "2@x").await, Reason::New);

    let in_file = control.remove_entry(list, "Good.example").await;
    assert!(matches!(in_file, Err(ControlError::InFile(place)) if place == "list:7"));
    for (list, pattern) in [(list, "other.example"), (ListName::Sender, "good.example")] {
        let unknown = control.remove_entry(list, pattern).await;
        assert!(
            matches!(unknown, Err(ControlError::NoSuchEntry)),
            "{pattern}"
        );
    }
    let bad = control.add_entry(list, "two words", "", None).await;
    assert!(matches!(bad, Err(ControlError::Pattern { .. })));
    let long = "x".repeat(401);
    let long = control.add_entry(list, &long, "", None).await;
    assert!(matches!(long, Err(ControlError::TooLong { most: 400, .. })));
    for (list, pattern) in [
        (list, "*.example.org"),
        (list, ".example.org"),
        (list, "mx.example.org[192.0.2.7]"),
        (list, "10.0.0.1-10.0.0.9"),
        (list, "1.2.3.4.5"),
        (list, "user@example.org"),
        (ListName::S25rException, "203.0.113.*"),
        (ListName::Sender, "*@example.com"),
        (ListName::Sender, "@"),
        (ListName::Recipient, "bob@*.example"),
        (ListName::Recipient, "a@b@c"),
        (ListName::Sender, "<>"),
        (ListName::Sender, "<ann@example.org>"),
        (ListName::Sender, "@example.org"),
        (ListName::Recipient, "two..dots"),
    ] {
        let nothing = control.add_entry(list, pattern, "", None).await;
        assert!(
            matches!(nothing, Err(ControlError::MatchesNothing { .. })),
            "{pattern}"
        );
    }
    for (list, pattern) in [
        (list, "unknown"),
        (list, "xn--80ak6aa92e.example"),
        (list, "2001:db8::/32"),
        (ListName::Sender, "bounce+x@example.org"),
        (ListName::Recipient, "abuse@"),
        (ListName::Recipient, "b\u{fc}cher.example"),
    ] {
        control.add_entry(list, pattern, "", None).await.unwrap();
    }
    for list in [
        ListName::ClientAccess,
        ListName::GreylistRecipient,
        ListName::HeaderChecks,
    ] {
        let closed = control.add_entry(list, "x", "", None).await;
        assert!(matches!(closed, Err(ControlError::FilesOnly)), "{list:?}");
    }
}

#[tokio::test]
async fn an_entry_keeps_what_is_not_given_however_it_is_spelled() {
    use Lifetime::{Endless, Ends, Unchanged};
    let site = Site::new(Params::default());
    let control = site.control();
    let list = ListName::Client;
    let at = |seconds| Some(Timestamp::from_seconds(START + seconds));
    let hour = Ends(Span::from_seconds(3600));
    // Pattern, comment, lifetime; the comment before, the comment now, the end now.
    let cases = [
        ("2001:DB8::/32", None, Unchanged, None, "", None),
        (
            "2001:db8::/32",
            Some("Ann"),
            hour,
            Some(""),
            "Ann",
            at(3600),
        ),
        (
            "2001:db8:0::/32",
            None,
            Unchanged,
            Some("Ann"),
            "Ann",
            at(3600),
        ),
        (
            " 2001:0db8::/32 ",
            Some("Bob"),
            Unchanged,
            Some("Ann"),
            "Bob",
            at(3600),
        ),
        ("2001:db8::/32", None, Endless, Some("Bob"), "Bob", None),
        ("2001:db8::/32", Some(""), hour, Some("Bob"), "", at(3600)),
    ];
    for (pattern, comment, lifetime, before, now, end) in cases {
        let put = control.put_entry(list, pattern, comment, lifetime).await;
        let put = put.unwrap();
        let was = put.before.as_ref().map(|entry| &*entry.comment);
        assert_eq!((was, &*put.entry.comment), (before, now), "{pattern}");
        assert_eq!(put.entry.expires, end, "{pattern}");
        let views = control.list_entries();
        let added: Vec<_> = views.iter().filter(|view| view.added.is_some()).collect();
        assert_eq!(added.len(), 1, "{pattern}");
        assert_eq!(
            (&*added[0].pattern, &*added[0].comment),
            ("2001:db8::/32", now)
        );
    }
    // What is over is not there.
    site.clock.advance(3600);
    let put = control
        .put_entry(list, "2001:db8::/32", None, Unchanged)
        .await;
    let put = put.unwrap();
    assert_eq!((put.before, put.entry.expires), (None, None));
    control
        .remove_entry(list, "2001:DB8:0:0::/32")
        .await
        .unwrap();
    let gone = control.remove_entry(list, "2001:db8::/32").await;
    assert!(matches!(gone, Err(ControlError::NoSuchEntry)));
}

#[tokio::test]
async fn an_entry_that_is_given_again_is_replaced_and_keeps_its_hits() {
    let site = Site::new(Params::default());
    let list = ListName::Recipient;
    for comment in ["first", "second"] {
        site.control()
            .add_entry(list, "joe@x", comment, None)
            .await
            .unwrap();
        assert_eq!(site.ask("mx", "joe@x").await, Reason::RecipientWhitelist);
    }
    let views = site.control().list_entries();
    let joe: Vec<_> = views.iter().filter(|view| view.list == list).collect();
    assert_eq!(joe.len(), 1);
    assert_eq!((joe[0].hits, &*joe[0].comment), (2, "second"));
}

#[tokio::test]
async fn what_is_explained_is_what_is_answered_and_changes_nothing() {
    for scheme in [None, Some(Scheme::Targrey), Some(Scheme::Deferring)] {
        let site = Site::new(Params {
            auto_whitelist: Some(2),
            retry_count: 2,
            s25r: scheme.map(|_| Rules::Classic),
            tarpit: scheme.map(|scheme| Tarpit {
                length: Span::from_seconds(65),
                scheme,
            }),
            tarpit_limit: 3,
            ..Params::default()
        });
        for n in 0_u64..1000 {
            // A little of everything, in an order that repeats late.
            let mixed = n.wrapping_mul(2_654_435_761) >> 7;
            let name =
                ["unknown", "mx.example", "good.example", "a1b2.example"][(mixed % 4) as usize];
            let to = format!("{}@x", mixed % 7);
            let instance = format!("{}", n / 3);
            let attempt = Attempt {
                stage: if mixed % 5 == 0 {
                    Stage::Data
                } else {
                    Stage::Recipient
                },
                is_stressed: mixed % 11 == 0,
                ..attempt(name, &to, &instance)
            };
            let explain = async || {
                let before = site.all().await;
                let explained = site.control().explain(&attempt, false).await;
                (explained, site.all().await == before)
            };
            let (mut explained, mut is_unchanged) = explain().await;
            if !is_unchanged {
                // What waits in memory may just have been written, which happens every few seconds at most.
                (explained, is_unchanged) = explain().await;
            }
            assert!(is_unchanged, "request {n}");
            let decision = site.gate().judge(&attempt, None).await;
            assert_eq!(explained.reply, decision.reply, "request {n} {attempt:?}");
            assert_eq!(
                explained.outcome.reason, decision.outcome.reason,
                "request {n}"
            );
            site.clock.advance(mixed % 211);
        }
        assert_eq!(
            site.control().statistics().totals,
            site.gate().status().counts.totals()
        );
    }
}

#[tokio::test]
async fn an_explanation_says_how_often_it_has_to_come_back() {
    let site = Site::new(Params {
        retry_count: 3,
        ..Params::default()
    });
    let ask = attempt("mx", "joe@x", "");
    assert_eq!(site.ask("mx", "joe@x").await, Reason::New);
    for (after, want) in [(1, Some(3)), (299, Some(2)), (1, Some(1))] {
        site.clock.advance(after);
        let explained = site.control().explain(&ask, false).await;
        assert_eq!(
            (explained.retries, explained.passes_at),
            (want, None),
            "{after}"
        );
        site.ask("mx", "joe@x").await;
    }
}

#[tokio::test]
async fn an_explanation_says_when_it_will_pass() {
    let site = Site::new(Params::default());
    let ask = attempt("mx", "joe@x", "");
    let at = |seconds| Some(Timestamp::from_seconds(START + seconds));
    let first = site.control().explain(&ask, false).await;
    assert_eq!((first.passes_at, first.until), (at(300), at(172_800)));
    assert_eq!(site.ask("mx", "joe@x").await, Reason::New);
    site.clock.advance(100);
    let second = site.control().explain(&ask, false).await;
    assert_eq!((second.passes_at, second.until), (at(300), at(172_800)));
    let last = second.steps.last().unwrap();
    assert_eq!(last.finding, StepResult::Waiting);
    assert!(matches!(last.step, Step::Triplet(Some(_))), "{last:?}");
    let listed = site
        .control()
        .explain(&attempt("good.example", "joe@x", ""), false)
        .await;
    assert_eq!(listed.because.as_deref(), Some("list:7: good.example"));
    assert_eq!(listed.steps.len(), 1);
}

#[tokio::test]
async fn forgetting_takes_what_the_filter_names_and_nothing_else() {
    let site = Site::new(Params {
        tarpit: Some(Tarpit {
            length: Span::from_seconds(1),
            scheme: Scheme::Targrey,
        }),
        ..Params::default()
    });
    for to in ["a@x", "b@x", "c@x"] {
        assert_eq!(site.ask("mx", to).await, Reason::New);
    }
    let control = site.control();
    let refused = control.forget(Filter::default(), false).await;
    assert!(matches!(refused, Err(ControlError::EmptyFilter)));
    let client = |text| Prefix::parse(text).ok().map(Identity::from);
    let filter = |sender: Option<&str>, recipient: Option<&str>, client| Filter {
        client,
        sender: sender.map(Into::into),
        recipient: recipient.map(Into::into),
        ..Filter::default()
    };
    let triplets = |triplets| Removed {
        triplets,
        ..Removed::default()
    };
    let cases = [
        (
            "another sender",
            filter(Some("x@b"), None, None),
            triplets(0),
        ),
        (
            "the whole triplet",
            filter(Some("A+1@b"), Some("a@X"), client("192.0.2.99/32")),
            triplets(1),
        ),
        ("by recipient", filter(None, Some("B@x"), None), triplets(1)),
        (
            "by network",
            filter(Some("a@b"), None, client("192.0.2.99/32")),
            triplets(1),
        ),
    ];
    for (name, filter, want) in cases {
        assert_eq!(control.forget(filter, false).await.unwrap(), want, "{name}");
    }
    let rest = site.all().await;
    assert!(matches!(rest[..], [Row::Sleep { .. }]), "{rest:?}");
    let gone = control
        .forget(filter(None, None, client("192.0.2.7/32")), false)
        .await
        .unwrap();
    assert_eq!(gone.sleeps, 1);
    assert_eq!(site.ask("mx", "a@x").await, Reason::New);
    let gone = control.forget(Filter::default(), true).await.unwrap();
    assert_eq!((gone.triplets, gone.sleeps), (1, 1));
    assert_eq!(site.all().await, []);
}

#[tokio::test]
async fn forgetting_one_triplet_heeds_the_rest_of_the_filter() {
    let site = Site::new(Params::default());
    let control = site.control();
    let client = Prefix::parse("192.0.2.7/32").unwrap().into();
    control.allow(client, b"a@b", b"a@x").await.unwrap();
    let filter = |network: &str, state| Filter {
        client: Some(Prefix::parse(network).unwrap().into()),
        sender: Some(b"a@b".to_vec()),
        recipient: Some(b"a@x".to_vec()),
        state,
        ..Filter::default()
    };
    let cases = [
        ("192.0.2.7/32", Some(State::Waiting), 0),
        ("192.0.2.0/24", Some(State::Waiting), 0),
        ("192.1.0.0/16", None, 0),
        ("192.0.0.0/16", None, 1),
        ("192.0.2.0/24", Some(State::Passed), 0),
    ];
    for (network, state, want) in cases {
        let page = control.page(filter(network, state), false, Vec::new(), 10);
        assert_eq!(page.await.unwrap().rows.len(), want, "{network} {state:?}");
        let gone = control.forget(filter(network, state), false).await.unwrap();
        assert_eq!(gone.triplets, want as u64, "{network} {state:?}");
    }
}

#[tokio::test]
async fn only_rows_that_a_decision_can_find_are_taken_in() {
    let site = Site::new(Params::default());
    let at = |seconds| Timestamp::from_seconds(START + seconds);
    let triplet = |network: &str, last| Row::Triplet {
        key: RowKey::Plain(crate::policy::TripletParts {
            identity: Prefix::parse(network).unwrap().into(),
            sender: b"a@b".to_vec(),
            recipient: b"a@x".to_vec(),
        }),
        record: Triplet::Passed {
            first: at(0),
            passed: at(0),
            last: at(last),
            mails: 1,
        },
    };
    let client = |network: &str| Row::Client {
        key: RowKey::Plain(Prefix::parse(network).unwrap().into()),
        record: crate::policy::Client {
            count: 1,
            last: at(0),
        },
    };
    let refused = [
        triplet("10.9.0.0/16", 0),
        triplet("10.9.8.0/28", 0),
        client("10.0.0.0/8"),
        client("10.0.0.0/24"),
    ];
    for row in refused {
        let taken = site.control().import(vec![row.clone()], false).await;
        assert!(
            matches!(taken, Err(ControlError::Row { number: 1, .. })),
            "{row:?}"
        );
    }
    // Two addresses of one network are one triplet, in a trial as in earnest.
    let rows = vec![
        triplet("192.0.2.1/32", 0),
        triplet("192.0.2.2/32", 9_999_999),
    ];
    let want = Taken {
        new: 1,
        changed: 0,
        unchanged: 1,
    };
    for dry_run in [true, false] {
        let taken = site.control().import(rows.clone(), dry_run).await.unwrap();
        assert_eq!(taken, want, "{dry_run}");
    }
    let ahead = |row: &Row| match row {
        Row::Triplet {
            record: Triplet::Passed { last, .. },
            ..
        } => *last > at(0),
        Row::Triplet { .. } | Row::Client { .. } | Row::Sleep { .. } => false,
    };
    assert!(!site.all().await.iter().any(ahead), "no time lies ahead");
}

#[tokio::test]
async fn an_import_merges_what_is_live_of_both_sides_whichever_is_older() {
    // Times in seconds before now.
    let at = |before: u64| Timestamp::from_seconds(START - before);
    let waiting = |first, last, retries| Triplet::Waiting {
        first: at(first),
        last: at(last),
        retries,
        counted: 0,
        why: None,
    };
    let passed = |first, passed, last, mails| Triplet::Passed {
        first: at(first),
        passed: at(passed),
        last: at(last),
        mails,
    };
    let days_99 = 99 * 86_400;
    let long_ago = waiting(days_99, days_99, 9);
    let (known, seen) = (waiting(900, 800, 1), waiting(900, 500, 2));
    let old = passed(5000, 4000, 3000, 7);
    let cases = [
        ("older", known, waiting(1000, 950, 3), waiting(1000, 800, 3)),
        ("newer", known, waiting(300, 200, 0), waiting(900, 200, 1)),
        ("the same, later", known, seen, seen),
        ("the same, earlier", seen, known, seen),
        ("passed", known, old, passed(5000, 4000, 800, 7)),
        (
            "not passed",
            old,
            waiting(6000, 6000, 0),
            passed(6000, 4000, 3000, 7),
        ),
        ("expired", known, long_ago, known),
        ("over an expired one", long_ago, known, known),
        (
            "passed and expired",
            known,
            passed(days_99, days_99, days_99, 9),
            known,
        ),
    ];
    for (name, known, record, want) in cases {
        let site = Site::new(Params::default());
        let row = |record| Row::Triplet {
            key: RowKey::Plain(crate::policy::TripletParts {
                identity: Prefix::parse("192.0.2.0/24").unwrap().into(),
                sender: b"a@b".to_vec(),
                recipient: b"a@x".to_vec(),
            }),
            record,
        };
        // In one transaction: the sweep cannot come between.
        let rows = vec![row(known), row(record), row(record)];
        let taken = site.control().import(rows, false).await.unwrap();
        assert_eq!(site.all().await, [row(want)], "{name}");
        let changed = u64::from(want != known);
        let want = Taken {
            new: 1,
            changed,
            unchanged: 2 - changed,
        };
        assert_eq!(taken, want, "{name}");
    }
}

#[tokio::test]
async fn what_was_noted_outlives_an_import_that_sets_the_first_sight_back() {
    let site = Site::new(Params::default());
    assert_eq!(site.ask("mx", "a@x").await, Reason::New);
    site.clock.advance(100);
    assert_eq!(site.ask("mx", "a@x").await, Reason::EarlyRetry);
    let Some(Row::Triplet { key, record }) = site.all().await.into_iter().next() else {
        panic!("no triplet");
    };
    let first = Timestamp::from_seconds(START - 150);
    let older = Triplet::Waiting {
        first,
        last: first,
        retries: 0,
        counted: 0,
        why: None,
    };
    assert!(record.first() > first);
    let row = Row::Triplet { key, record: older };
    assert_eq!(
        site.control()
            .import(vec![row], false)
            .await
            .unwrap()
            .changed,
        1
    );
    let case = crate::policy::Case {
        client: None,
        triplet: Some(crate::policy::TripletKey::new(
            Prefix::parse("192.0.2.0/24").unwrap(),
            b"a@b",
            b"a@x",
        )),
        others: Vec::new(),
        sleep: None,
        suspicion: None,
        terms: crate::policy::Terms::default(),
        asks_known: false,
        is_stressed: false,
        shared: None,
    };
    let inner = &site.control().0;
    let mut facts = inner.state.read(|reader| reader.facts(&case)).unwrap();
    inner.write_behind.merge_into(&case, &mut facts);
    let want = Triplet::Waiting {
        first,
        last: Timestamp::from_seconds(START + 100),
        retries: 1,
        counted: 0,
        why: Some(crate::policy::Cause::Plain.into()),
    };
    assert_eq!(facts.triplet, Some(want));
}

#[tokio::test]
async fn thousands_of_entries_end_at_once_and_hits_of_the_others_go_on() {
    let site = Site::new(Params::default());
    let list = ListName::Sender;
    site.control()
        .add_entry(list, "a@b", "", None)
        .await
        .unwrap();
    let many: Vec<crate::policy::Added> = (0..5000)
        .map(|n| crate::policy::Added {
            list,
            text: format!("s{n}@x"),
            comment: String::new(),
            added: Timestamp::from_seconds(START),
            expires: Some(Timestamp::from_seconds(START + 60)),
            hits: 0,
            last_hit: None,
        })
        .collect();
    let own = site.control().0.live_rules.entries();
    let now = Timestamp::from_seconds(START);
    site.control()
        .0
        .live_rules
        .load([own, many].concat(), Some(now));
    assert_eq!(site.control().list_entries().len(), 5002);
    assert_eq!(site.ask("mx", "1@x").await, Reason::SenderWhitelist);
    site.clock.advance(60);
    assert_eq!(site.ask("mx", "2@x").await, Reason::SenderWhitelist);
    let views = site.control().list_entries();
    let left: Vec<_> = views.iter().filter(|view| view.list == list).collect();
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].hits, 2);
}

#[tokio::test]
async fn what_is_allowed_passes_and_keeps_its_first_sight() {
    let site = Site::new(Params::default());
    assert_eq!(site.ask("mx", "a@x").await, Reason::New);
    site.clock.advance(5);
    let client = Identity::from(Prefix::parse("192.0.2.200").unwrap());
    for to in [b"a@x", b"b@x"] {
        let client = client.clone();
        site.control().allow(client, b"a@b", to).await.unwrap();
    }
    for to in ["a@x", "b@x"] {
        let decision = site.gate().judge(&attempt("mx", to, ""), None).await;
        assert_eq!(decision.outcome.verdict, Verdict::Pass);
    }
    let firsts: Vec<u64> = site
        .all()
        .await
        .iter()
        .filter_map(|row| match row {
            Row::Triplet { record, .. } => Some(record.first().seconds() - START),
            Row::Client { .. } | Row::Sleep { .. } => None,
        })
        .collect();
    assert_eq!(firsts, [0, 5]);
}

#[tokio::test]
async fn a_triplet_that_an_entry_keeps_longer_is_live_for_imports_and_for_what_is_allowed() {
    let treatment = Treatment {
        terms: Terms {
            max_age: Some(Span::from_days(60)),
            ..Terms::default()
        },
        ..Treatment::default()
    };
    let rule = Rule {
        clauses: Vec::new(),
        effects: Vec::new(),
        action: Action::Greylist(treatment),
        entry: Entry::in_file(&Path::new("greylist.conf").into(), 1, "x"),
        id: None,
    };
    let chain = Chain::new(Parts {
        rules: vec![rule],
        ..Parts::default()
    });
    let lists = Lists {
        chain: chain.unwrap(),
        ..Lists::default()
    };
    let site = Site::new(Params::default());
    site.gate().set_lists(lists, None);
    let days = |days: u64| Timestamp::from_seconds(START - days * 86_400);
    let row = |first, last, mails| Row::Triplet {
        key: RowKey::Plain(crate::policy::TripletParts {
            identity: Prefix::parse("192.0.2.0/24").unwrap().into(),
            sender: b"a@b".to_vec(),
            recipient: b"a@x".to_vec(),
        }),
        record: Triplet::Passed {
            first,
            passed: first,
            last,
            mails,
        },
    };
    // Longer ago than --max-age.
    let rows = vec![row(days(50), days(40), 7), row(days(3), days(2), 1)];
    site.control().import(rows, false).await.unwrap();
    assert_eq!(site.all().await, [row(days(50), days(2), 7)], "imported");
    site.control()
        .forget(Filter::default(), true)
        .await
        .unwrap();
    let rows = vec![row(days(50), days(40), 7)];
    site.control().import(rows, false).await.unwrap();
    let client = Identity::from(Prefix::parse("192.0.2.200").unwrap());
    site.control().allow(client, b"a@b", b"a@x").await.unwrap();
    let now = Timestamp::from_seconds(START);
    assert_eq!(site.all().await, [row(days(50), now, 7)], "allowed");
}

#[tokio::test]
async fn rows_are_taken_in_all_or_none_and_the_later_one_stays() {
    let from = Site::new(Params::default());
    for to in ["a@x", "b@x"] {
        assert_eq!(from.ask("mx", to).await, Reason::New);
    }
    from.clock.advance(300);
    assert_eq!(from.ask("mx", "a@x").await, Reason::TripletFound);
    let rows = from.all().await;
    assert_eq!(rows.len(), 3);

    let to = Site::new(Params::default());
    to.clock.advance(300);
    let control = to.control();
    let taken = |new, changed, unchanged| Taken {
        new,
        changed,
        unchanged,
    };
    assert_eq!(
        control.import(rows.clone(), true).await.unwrap(),
        taken(3, 0, 0)
    );
    assert_eq!(to.all().await, []);
    assert_eq!(
        control.import(rows.clone(), false).await.unwrap(),
        taken(3, 0, 0)
    );
    assert_eq!(to.all().await, rows);
    assert_eq!(
        control.import(rows.clone(), false).await.unwrap(),
        taken(0, 0, 3)
    );

    let mut bad = rows.clone();
    bad.push(Row::Client {
        key: RowKey::Hashed(vec![1; 16]),
        record: crate::policy::Client {
            count: 1,
            last: Timestamp::from_seconds(START),
        },
    });
    control.forget(Filter::default(), true).await.unwrap();
    let refused = control.import(bad, false).await;
    assert!(matches!(refused, Err(ControlError::Row { number: 4, .. })));
    assert_eq!(to.all().await, []);

    let own_address = rows.into_iter().map(|row| match row {
        Row::Triplet {
            key: RowKey::Plain(ref parts),
            record,
        } => {
            let mut parts = parts.clone();
            parts.identity = Prefix::parse("192.0.2.44/32").unwrap().into();
            Row::Triplet {
                key: RowKey::Plain(parts),
                record,
            }
        }
        Row::Triplet { .. } | Row::Client { .. } | Row::Sleep { .. } => row,
    });
    control.import(own_address.collect(), false).await.unwrap();
    let network = Identity::from(Prefix::parse("192.0.2.0/24").unwrap());
    assert!(to.all().await.iter().all(|row| match row {
        Row::Triplet {
            key: RowKey::Plain(parts),
            ..
        } => parts.identity == network,
        Row::Triplet { .. } | Row::Client { .. } | Row::Sleep { .. } => true,
    }));
    let is_passed = |row: &Row| {
        matches!(
            row,
            Row::Triplet {
                record: Triplet::Passed { .. },
                ..
            }
        )
    };
    assert_eq!(
        to.all().await.iter().filter(|row| is_passed(row)).count(),
        1
    );
}

#[tokio::test]
async fn counters_are_kept_by_the_hour_and_can_be_set_to_zero() {
    let site = Site::new(Params::default());
    for to in ["a@x", "b@x"] {
        assert_eq!(site.ask("mx", to).await, Reason::New);
    }
    assert_eq!(
        site.ask("good.example", "c@x").await,
        Reason::ClientWhitelist
    );
    site.clock.advance(10);
    site.control().reset_statistics();
    assert_eq!(
        site.ask("good.example", "c@x").await,
        Reason::ClientWhitelist
    );
    let statistics = site.control().statistics();
    assert_eq!(statistics.since.seconds(), START + 10);
    assert_eq!(
        (statistics.totals.requests, statistics.totals.greylisted),
        (1, 0)
    );
    let listed = statistics
        .lists
        .iter()
        .find(|(list, _)| *list == "client-whitelist");
    assert_eq!(listed, Some(&("client-whitelist", 1)));

    // The end writes what has not been written yet.
    let Site {
        store,
        clock,
        params,
        start,
    } = site;
    let Start {
        gate,
        internals,
        worker,
    } = start;
    drop((gate, internals));
    worker.join().unwrap();
    let control = Control::new(Site::open(&store, &clock, params).internals);
    let from = Timestamp::from_seconds(START);
    let hours = control
        .history(from, from.after(Span::from_hours(1)))
        .await
        .unwrap();
    assert_eq!(hours.len(), 1);
    let of = |word: &str| hours[0].counters.get(word).copied();
    assert_eq!(of("reason:new"), Some(2));
    assert_eq!(of("reason:client-whitelist"), Some(2));
    assert_eq!(of("requests"), Some(4));
    assert_eq!(of("greylisted"), Some(2));
}

/// A gate with a database on disk.
fn on_disk(db: &Path) -> Start {
    on_disk_with(db, false)
}

fn on_disk_with(db: &Path, privacy: bool) -> Start {
    let lock = Lock::take(db, None).unwrap();
    let opener = LmdbOpener {
        directory: db.to_owned(),
        max_size: 1 << 27,
        durability: Durability::Data,
        privacy,
        retry_window: Params::default().retry_window,
    };
    let opener = Locked::new(opener, Some(lock), Duration::ZERO);
    Site::open_with(Box::new(opener), &ManualClock::at(0), Params::default())
}

#[tokio::test]
async fn a_filter_that_cannot_be_applied_to_hashes_is_refused_whatever_else_it_has() {
    let parent = tempfile::tempdir().unwrap();
    let Start {
        gate,
        internals,
        worker,
    } = on_disk_with(&parent.path().join("db"), true);
    let control = Control::new(internals);
    let waits = gate.judge(&attempt("mx", "a@x", "1"), None).await;
    assert_eq!(waits.outcome.reason, Reason::New);
    let client = Some(Prefix::parse("192.0.2.7/32").unwrap().into());
    let filter = |client: &Option<Identity>, recipient: Option<&str>, state| Filter {
        client: client.clone(),
        sender: Some(b"a@b".to_vec()),
        recipient: recipient.map(Into::into),
        state,
        ..Filter::default()
    };
    let cases = [
        ("sender", filter(&None, None, None), None),
        (
            "and a state that no record has",
            filter(&None, None, Some(State::Passed)),
            None,
        ),
        (
            "both addresses",
            filter(&None, Some("a@x"), Some(State::Passed)),
            None,
        ),
        (
            "a triplet with another state",
            filter(&client, Some("a@x"), Some(State::Passed)),
            Some(0),
        ),
        (
            "a triplet",
            filter(&client, Some("a@x"), Some(State::Waiting)),
            Some(1),
        ),
        (
            "there is nothing left that is hashed",
            filter(&None, None, None),
            Some(0),
        ),
    ];
    for (name, filter, want) in cases {
        match (control.forget(filter, false).await, want) {
            (Ok(removed), Some(want)) => assert_eq!(removed.triplets, want, "{name}"),
            (Err(ControlError::Hashed), None) => {}
            (other, _) => panic!("{name}: {other:?} instead of {want:?}"),
        }
    }
    drop((gate, control));
    worker.join().unwrap();
}

#[tokio::test]
async fn a_restored_backup_of_a_host_with_other_options_is_no_change_of_options() {
    let parent = tempfile::tempdir().unwrap();
    let db = parent.path().join("db");
    let Start {
        gate,
        internals,
        worker,
    } = on_disk(&db);
    let stats = Arc::clone(&internals.0.stats);
    let changes = || {
        let counters = stats.counts().by_name();
        counters.get("change:options").copied().unwrap_or_default()
    };
    let control = Control::new(internals);
    control.note_options([1; 32]).await.unwrap();
    let file = parent.path().join("copy");
    let copied = control.backup(File::create(&file).unwrap()).await;
    copied.unwrap();
    control.note_options([2; 32]).await.unwrap();
    let staged = Arc::new(StagedBackup::unchecked(&db, &fs::read(&file).unwrap()));
    control.put_in_place(&staged).await.unwrap();
    let before = changes();
    control.note_options([2; 32]).await.unwrap();
    assert_eq!(changes(), before, "the next start has the same options");
    control.note_options([3; 32]).await.unwrap();
    assert_eq!(changes(), before + 1);
    drop((gate, control, stats));
    worker.join().unwrap();
}

#[tokio::test]
async fn a_restored_database_that_cannot_be_opened_gives_its_place_back() {
    let parent = tempfile::tempdir().unwrap();
    let db = parent.path().join("db");
    let Start {
        gate,
        internals,
        worker,
    } = on_disk(&db);
    let control = Control::new(internals);
    let reason = async |to: &str| {
        let asked = attempt("mx", to, "");
        gate.judge(&asked, None).await.outcome.reason
    };
    assert_eq!(reason("1@x").await, Reason::New);
    let file = parent.path().join("copy");
    let copied = control.backup(File::create(&file).unwrap()).await;
    copied.unwrap();
    let good = fs::read(&file).unwrap();
    let torn = good.get(..good.len() - 4096).unwrap().to_vec();
    for (name, bytes) in [("torn", torn), ("foreign", vec![7; good.len()])] {
        let staged = Arc::new(StagedBackup::unchecked(&db, &bytes));
        let restored = control.put_in_place(&staged).await;
        assert!(
            matches!(restored, Err(RestoreError::RolledBack(_))),
            "{name}: {restored:?}"
        );
        // The writing thread lets go of it after its answer.
        while Arc::strong_count(&staged) > 1 {
            tokio::task::yield_now().await;
        }
        drop(staged);
        assert_eq!(gate.status().failure, None, "{name}");
        assert_eq!(reason("1@x").await, Reason::EarlyRetry, "{name}");
        for left in ["restore.new", "data.mdb.before-restore"] {
            assert!(!db.join(left).exists(), "{name}: {left}");
        }
    }
    let staged = Arc::new(StagedBackup::unchecked(&db, &good));
    assert_eq!(reason("2@x").await, Reason::New);
    control.put_in_place(&staged).await.unwrap();
    assert_eq!(reason("2@x").await, Reason::New, "it is the backup now");
    drop((gate, control));
    worker.join().unwrap();
}

#[tokio::test]
async fn a_network_that_is_written_with_a_host_in_it_is_refused() {
    let site = Site::new(Params::default());
    let control = site.control();
    for (pattern, network) in [
        ("192.0.2.10/24", "192.0.2.0/24"),
        ("2001:db8::1/32", "2001:db8::/32"),
    ] {
        let put = control.put_entry(ListName::Client, pattern, None, Lifetime::Unchanged);
        let error = put.await.unwrap_err().to_string();
        let want = format!("{pattern:?} is a host in a network; write {network}");
        assert!(error.starts_with(&want), "{error}");
    }
}

#[tokio::test]
async fn other_options_than_those_of_the_last_start_are_a_change() {
    let site = Site::new(Params::default());
    let control = site.control();
    let changes = || {
        let counters = site.start.internals.0.stats.counts().by_name();
        counters.get("change:options").copied().unwrap_or_default()
    };
    for (digest, want) in [(1, 0), (1, 0), (2, 1), (2, 1), (1, 2)] {
        control.note_options([digest; 32]).await.unwrap();
        assert_eq!(changes(), want, "{digest}");
    }
}

#[tokio::test]
async fn what_other_hosts_do_not_know_yet_outlives_a_restore() {
    let parent = tempfile::tempdir().unwrap();
    let db = parent.path().join("db");
    let Start {
        gate,
        internals,
        worker,
    } = on_disk(&db);
    let network = Double::default();
    network.set(Behaviour::IsCutOff);
    let me = Me {
        name: "mx1.example".to_owned(),
        params: Params::default(),
        compares_clocks: false,
    };
    let shared = Shared::new(me, network.address());
    assert!(shared.unlock(&[7; 32], None));
    let control = Control::new(internals);
    control.share(shared, Box::new(network.clone())).unwrap();
    let file = parent.path().join("copy");
    let copied = control.backup(File::create(&file).unwrap()).await;
    copied.unwrap();
    let entry = "mx.friend.example";
    let adding = control.add_entry(ListName::Client, entry, "", None);
    adding.await.unwrap();

    let staged = Arc::new(StagedBackup::unchecked(&db, &fs::read(&file).unwrap()));
    control.put_in_place(&staged).await.unwrap();
    let has_entry = || {
        control
            .list_entries()
            .iter()
            .any(|known| known.pattern == entry)
    };
    assert!(!has_entry(), "it is the backup");
    network.set(Behaviour::Replies);
    let begun = Instant::now();
    while !has_entry() {
        assert!(begun.elapsed() < PATIENCE, "{:?}", gate.shared_status());
        network.wait(PATIENCE);
    }
    assert_eq!(network.values().len(), 4, "site, hosts, head, act");
    drop((gate, control, staged));
    worker.join().unwrap();
}
