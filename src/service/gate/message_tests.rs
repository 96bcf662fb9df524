//! The gate and messages at their end.

use super::tests::rules;
use super::*;
use crate::policy::chain::{
    Action, Chain, Clause, Fallback, Parts, Pattern, Rule, Test, Treatment,
};
use crate::policy::message::{HeaderField, Message};
use crate::policy::{Entry, OnStoreFailure, Reason, Verdict};
use crate::service::MessageRequest;
use crate::service::clock::tests::ManualClock;
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
fn lists() -> Lists {
    let parts = Parts {
        message: vec![rule("casino", Action::Greylist(Treatment::default()))],
        ..Parts::default()
    };
    Lists {
        chain: Chain::new(parts).unwrap(),
        ..Lists::default()
    }
}

fn message(subject: &str) -> Message {
    let field = HeaderField {
        name: b"Subject".as_slice().into(),
        value: subject.as_bytes().into(),
    };
    Message::new(vec![field], None, 100)
}

fn attempt<'a>() -> Attempt<'a> {
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
    rules.lists = Arc::new(lists());
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
    rules.lists = Arc::new(Lists {
        chain: Chain::new(parts).unwrap(),
        ..Lists::default()
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
