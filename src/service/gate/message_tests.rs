//! The gate and messages at their end.

use super::tests::{Faulty, rules};
use super::*;
use crate::policy::chain::{
    Action, Chain, Clause, Effect, Fallback, Format, HeaderFormat, Parts, Pattern, Rule, Test,
    Treatment,
};
use crate::policy::message::{HeaderField, Message};
use crate::policy::{Entry, OnStoreFailure, Reason, Verdict};
use crate::service::clock::tests::ManualClock;
use crate::service::{MessageEnd, MessageRequest};
use crate::store::memory::MemoryStore;
use crate::types::{ReplyText, Span};

fn rule(text: &str, action: Action) -> Rule {
    Rule {
        clauses: vec![Clause {
            negated: false,
            test: Test::Header(Pattern::Text(text.into())),
        }],
        effects: Vec::new(),
        action,
        entry: entry(text),
        id: None,
    }
}

pub(super) fn entry(text: &str) -> Entry {
    Entry::in_file(&Arc::from(std::path::Path::new("conf")), 1, text)
}

/// Lists whose rules for messages make one with `casino` in its header wait.
pub(super) fn lists() -> Lists {
    let parts = Parts {
        message: vec![rule("casino", Action::Greylist(Treatment::default()))],
        ..Parts::default()
    };
    Lists {
        chain: Chain::new(parts).unwrap(),
        ..Lists::default()
    }
}

pub(super) fn message(subject: &str) -> Message {
    let field = HeaderField {
        name: b"Subject".as_slice().into(),
        value: subject.as_bytes().into(),
    };
    Message::new(vec![field], None, 100)
}

pub(super) fn attempt<'a>() -> Attempt<'a> {
    Attempt {
        client_address: Some(b"192.0.2.7"),
        client_name: Some(b"mx.example"),
        sender: Some(b"a@b"),
        milter_message: Some(1),
        ..Attempt::default()
    }
}

#[tokio::test]
async fn a_message_waits_for_its_open_recipients_alone_and_says_how_long_it_has_waited() {
    let clock = ManualClock::at(1_800_000_000);
    let mut rules = rules(OnStoreFailure::Defer);
    rules.change(|parts| parts.lists = Arc::new(lists()));
    let as_clock: Arc<dyn Clock> = Arc::clone(&clock) as Arc<dyn Clock>;
    let store = MemoryStore::default();
    let Start { gate, worker, .. } = Gate::start(rules, Box::new(store), as_clock).unwrap();
    let all: [&[u8]; 3] = [b"ann@x", b"bob@x", b"covered@x"];
    let judge = async |message: u64, subject: &str, open: &[&[u8]]| {
        let attempt = Attempt {
            milter_message: Some(message),
            ..attempt()
        };
        let content = Arc::new(self::message(subject));
        let request = MessageRequest {
            rules: &gate.message_rules(),
            attempt: &attempt,
            recipients: &all,
            open,
            message: &content,
            is_own: false,
        };
        let decided = gate.judge_message(&request).await.decision;
        (
            decided.outcome.reason,
            decided.outcome.verdict,
            decided.reply,
        )
    };
    let (open, none) = (&all[..2], &[][..]);
    let seconds = Span::from_seconds;
    let reason = async |number, subject, open| judge(number, subject, open).await.0;
    assert_eq!(reason(1, "hello", open).await, Reason::NotSuspicious);
    assert_eq!(reason(2, "casino", none).await, Reason::NoOpenRecipient);
    let (why, verdict, reply) = judge(3, "casino", open).await;
    assert_eq!(why, Reason::New);
    assert!(verdict.is_refusal());
    let text = ReplyText::new("wait".to_owned());
    let has_code = false;
    assert_eq!(reply, Reply::Greylist { text, has_code });
    clock.advance(200);
    // One of them again, the other for the first time: all wait for the later one.
    assert_eq!(
        reason(4, "casino", &[b"eve@x", b"ann@x"]).await,
        Reason::New
    );
    clock.advance(150);
    let (why, verdict, reply) = judge(5, "casino", open).await;
    let waited = seconds(350);
    assert_eq!(
        (why, verdict),
        (Reason::TripletFound, Verdict::PassWithHeader { waited })
    );
    assert!(matches!(reply, Reply::AddHeader(_)), "{reply:?}");
    let (why, verdict, _) = judge(6, "casino", open).await;
    assert_eq!((why, verdict), (Reason::TripletFound, Verdict::Pass));
    drop(gate);
    worker.join().unwrap();
}

#[tokio::test]
async fn a_recipient_about_whom_the_policy_server_was_asked_first_is_as_open_as_any() {
    let clock = ManualClock::at(1_800_000_000);
    let mut rules = rules(OnStoreFailure::Defer);
    let parts = Parts {
        fallback: Some(Fallback {
            action: Action::Pass,
            effects: Vec::new(),
            entry: Some(entry("racl whitelist default")),
            id: None,
        }),
        message: vec![rule("casino", Action::Greylist(Treatment::default()))],
        ..Parts::default()
    };
    let chain = Chain::new(parts).unwrap();
    rules.change(|parts| {
        parts.lists = Arc::new(Lists {
            chain,
            ..Lists::default()
        });
    });
    let store = MemoryStore::default();
    let Start { gate, worker, .. } = Gate::start(rules, Box::new(store), clock).unwrap();
    let message = gate.milter_message(Some("192.0.2.7:4711".parse().unwrap()));
    let of_policy = Attempt {
        recipient: Some(b"joe@x"),
        client_port: Some(b"4711"),
        instance: Some(b"postfix"),
        milter_message: None,
        ..attempt()
    };
    let of_milter = Attempt {
        milter_message: Some(message.number()),
        instance: None,
        ..of_policy
    };
    for (attempt, is_repeat) in [(of_policy, false), (of_milter, true), (of_policy, true)] {
        let decision = gate.judge(&attempt, None).await;
        let got = (
            decision.is_repeat,
            decision.is_open,
            decision.outcome.reason,
        );
        assert_eq!(got, (is_repeat, true, Reason::RulePass));
    }
    drop((message, gate));
    worker.join().unwrap();
}

#[tokio::test]
async fn the_recipients_of_a_message_wait_together_no_longer_than_one_for_a_disk_that_hangs() {
    let clock = ManualClock::at(1_800_000_000);
    let mut rules = rules(OnStoreFailure::Defer);
    rules.change(|parts| parts.lists = Arc::new(lists()));
    let faulty = Faulty::default();
    let store = Box::new(faulty.clone());
    let Start { gate, worker, .. } = Gate::start(rules, store, clock).unwrap();
    let (disk, hangs) = std::sync::mpsc::channel();
    *faulty.hangs.lock() = Some(hangs);
    // From here on the runtime's time moves by itself; the disk's does not.
    tokio::time::pause();
    let before = tokio::time::Instant::now();
    let all: [&[u8]; 4] = [b"a@x", b"b@x", b"c@x", b"d@x"];
    let content = Arc::new(message("casino"));
    let request = MessageRequest {
        rules: &gate.message_rules(),
        attempt: &attempt(),
        recipients: &all,
        open: &all,
        message: &content,
        is_own: false,
    };
    let decided = gate.judge_message(&request).await.decision;
    assert_eq!(decided.outcome.verdict, Verdict::Unavailable);
    assert_eq!(before.elapsed().as_secs(), 20);
    tokio::time::resume();
    drop((disk, gate));
    worker.join().unwrap();
}

#[tokio::test]
async fn the_recipients_of_a_message_are_written_in_one_transaction() {
    let clock = ManualClock::at(1_800_000_000);
    let mut rules = rules(OnStoreFailure::Defer);
    rules.change(|parts| parts.lists = Arc::new(lists()));
    let store = MemoryStore::default();
    let opener = Box::new(store.clone());
    let Start { gate, worker, .. } = Gate::start(rules, opener, clock).unwrap();
    let all: Vec<String> = (0..1000).map(|number| format!("{number}@x")).collect();
    let all: Vec<&[u8]> = all.iter().map(String::as_bytes).collect();
    let content = Arc::new(message("casino"));
    let request = MessageRequest {
        rules: &gate.message_rules(),
        attempt: &attempt(),
        recipients: &all,
        open: &all,
        message: &content,
        is_own: false,
    };
    let decided = gate.judge_message(&request).await.decision;
    assert_eq!(decided.outcome.reason, Reason::New);
    drop(gate);
    worker.join().unwrap();
    assert_eq!(*store.changes.lock(), 1);
}

#[tokio::test]
async fn a_message_is_counted_once_and_not_as_a_request() {
    let clock = ManualClock::at(1_800_000_000);
    let mut rules = rules(OnStoreFailure::Defer);
    rules.change(|parts| parts.lists = Arc::new(lists()));
    let store = Box::new(MemoryStore::default());
    let Start { gate, worker, .. } = Gate::start(rules, store, clock).unwrap();
    let all: [&[u8]; 2] = [b"a@x", b"b@x"];
    for (subject, open) in [("hello", &all[..]), ("casino", &all), ("casino", &[])] {
        let content = Arc::new(message(subject));
        let request = MessageRequest {
            rules: &gate.message_rules(),
            attempt: &attempt(),
            recipients: &all,
            open,
            message: &content,
            is_own: false,
        };
        gate.judge_message(&request).await;
    }
    let counts = gate.status().counts;
    assert_eq!(counts.totals().requests, 0);
    let ends = MessageEnd::ALL.map(|end| (end.word(), counts.of_messages(end)));
    let want = [
        ("passed", 2),
        ("greylisted", 1),
        ("refused", 0),
        ("discarded", 0),
        ("held", 0),
    ];
    assert_eq!(ends, want);
    assert_eq!(counts.by_name().get("message:greylisted"), Some(&1));
    drop(gate);
    worker.join().unwrap();
}

#[tokio::test]
async fn what_a_rule_adds_to_the_header_is_added_whichever_front_end_is_asked_first() {
    let clock = ManualClock::at(1_800_000_000);
    let mut rules = rules(OnStoreFailure::Defer);
    let header = HeaderFormat {
        name: "X-Seen".into(),
        value: Format::parse("yes").0,
        index: None,
    };
    let effects = vec![
        Effect::Header(header),
        Effect::Report(Format::parse("told").0),
    ];
    let parts = Parts {
        fallback: Some(Fallback {
            action: Action::Pass,
            effects,
            entry: Some(entry("racl whitelist default")),
            id: None,
        }),
        ..Parts::default()
    };
    let chain = Chain::new(parts).unwrap();
    rules.change(|parts| {
        parts.lists = Arc::new(Lists {
            chain,
            ..Lists::default()
        });
    });
    let store = Box::new(MemoryStore::default());
    let Start { gate, worker, .. } = Gate::start(rules, store, clock).unwrap();
    for is_policy_first in [true, false] {
        let message = gate.milter_message(Some("192.0.2.7:4711".parse().unwrap()));
        let of_policy = Attempt {
            recipient: Some(b"joe@x"),
            client_port: Some(b"4711"),
            milter_message: None,
            ..attempt()
        };
        let of_milter = Attempt {
            milter_message: Some(message.number()),
            ..of_policy
        };
        let mut asked = [of_policy, of_milter];
        if !is_policy_first {
            asked.reverse();
        }
        let (mut names, mut reports) = (Vec::new(), 0);
        for attempt in &asked {
            let decision = gate.judge(attempt, None).await;
            if attempt.milter_message.is_some() {
                names.extend(decision.headers.into_iter().map(|header| header.name));
                reports += usize::from(decision.report.is_some());
            }
        }
        let given = message.take_fields();
        names.extend(given.headers.into_iter().map(|header| header.name));
        let field = given.field.map(|field| field.as_str().to_owned());
        assert_eq!(names, [Box::<str>::from("X-Seen")], "{is_policy_first}");
        assert_eq!(reports + usize::from(field.is_some()), 1);
        assert!(field.is_none_or(|field| field.ends_with(": told")));
    }
    drop(gate);
    worker.join().unwrap();
}

#[tokio::test]
async fn a_message_is_decided_by_the_rules_of_its_beginning_at_both_front_ends() {
    let clock = ManualClock::at(1_800_000_000);
    let default = |action| Lists {
        chain: Chain::new(Parts {
            fallback: Some(Fallback {
                action,
                effects: Vec::new(),
                entry: Some(entry("racl default")),
                id: None,
            }),
            ..Parts::default()
        })
        .unwrap(),
        ..Lists::default()
    };
    let mut rules = rules(OnStoreFailure::Defer);
    rules.change(|parts| parts.lists = Arc::new(default(Action::Pass)));
    let store = Box::new(MemoryStore::default());
    let Start { gate, worker, .. } = Gate::start(rules, store, clock).unwrap();
    let message = gate.milter_message(Some("192.0.2.7:4711".parse().unwrap()));
    gate.set_lists(default(Action::Greylist(Treatment::default())), None);
    let of_policy = |recipient| Attempt {
        recipient: Some(recipient),
        client_port: Some(b"4711"),
        milter_message: None,
        ..attempt()
    };
    let of_milter = Attempt {
        milter_message: Some(message.number()),
        ..of_policy(b"ann@x")
    };
    let before = gate.judge_in(&message, &of_milter).await;
    assert_eq!(before.outcome.reason, Reason::RulePass);
    let before = gate.judge(&of_policy(b"bob@x"), None).await;
    assert_eq!(before.outcome.reason, Reason::RulePass);
    drop(message);
    let after = gate.judge(&of_policy(b"eve@x"), None).await;
    assert_eq!(after.outcome.reason, Reason::New);
    drop(gate);
    worker.join().unwrap();
}
