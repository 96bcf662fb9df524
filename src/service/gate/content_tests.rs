//! The gate and large bodies, which are decoded and searched elsewhere.

use tokio::time::Instant;

use super::message_tests::entry;
use super::tests::rules;
use super::*;
use crate::policy::chain::{
    Action, AssignedValue, Chain, Clause, Effect, Format, Operation, Parts, Pattern, Rule, Scope,
    Test,
};
use crate::policy::message::{LARGE, Message};
use crate::policy::{OnStoreFailure, Reason, Zone};
use crate::service::MessageRequest;
use crate::service::clock::tests::ManualClock;
use crate::service::message_memory::MessageMemory;
use crate::store::memory::MemoryStore;
use crate::types::Prefix;

fn rule(test: Test, effects: Vec<Effect>, action: Action) -> Rule {
    Rule {
        clauses: vec![Clause {
            negated: false,
            test,
        }],
        effects,
        action,
        entry: entry("rule"),
        id: None,
    }
}

/// A property gets the value of a text.
fn set(property: &str, text: &str) -> Effect {
    Effect::Set {
        scope: Scope::Message,
        property: property.into(),
        operation: Operation::Assign,
        value: AssignedValue::Text(Format::parse(text).0),
    }
}

/// Lists that look for the value of one property and, if it is there, for that of another.
fn lists() -> Lists {
    let subject = Test::Header(Pattern::Text("Subject".into()));
    let message = vec![
        rule(subject, vec![set("first", "casino")], Action::Continue),
        rule(
            Test::BodyProperty("first".into()),
            vec![set("second", "malware")],
            Action::Continue,
        ),
        rule(
            Test::BodyProperty("second".into()),
            Vec::new(),
            Action::Pass,
        ),
    ];
    Lists {
        chain: Chain::new(Parts {
            message,
            ..Parts::default()
        })
        .unwrap(),
        ..Lists::default()
    }
}

/// A message with a large body that ends with these lines.
fn message(end: &str) -> Arc<Message> {
    after(LARGE / 20 + 1, end)
}

/// A message with a body that ends with these lines, after so many others.
fn after(lines: usize, end: &str) -> Arc<Message> {
    let filling = "nothing to see here\n".repeat(lines);
    let text = format!("Subject: x\n\n{filling}{end}");
    Arc::new(Message::received(text.as_bytes(), 0))
}

fn attempt(client_name: &str) -> Attempt<'_> {
    Attempt {
        client_address: Some(b"192.0.2.7"),
        client_name: Some(client_name.as_bytes()),
        sender: Some(b"a@b"),
        recipient: Some(b"c@d"),
        ..Attempt::default()
    }
}

/// A gate with these lists, and its memory.
fn started(lists: Lists) -> (Start, Arc<MessageMemory>) {
    let mut rules = rules(OnStoreFailure::Defer);
    rules.change(|parts| parts.lists = Arc::new(lists));
    let clock = ManualClock::at(1_800_000_000);
    let start = Gate::start(rules, Box::new(MemoryStore::default()), clock).unwrap();
    let memory = Arc::clone(&start.gate.0.message_memory);
    (start, memory)
}

/// Why a message without open recipients is decided as it is.
async fn reason(gate: &Gate, message: &Arc<Message>) -> Reason {
    let of_message = attempt("mx.example");
    let request = MessageRequest {
        rules: &gate.message_rules(),
        attempt: &of_message,
        recipients: &[b"c@d"],
        open: &[],
        message,
        is_own: false,
    };
    let decided = gate.judge_message(&request).await.decision;
    decided.outcome.reason
}

#[tokio::test]
async fn a_large_body_is_searched_for_values_of_properties_without_holding_up_other_clients() {
    let (Start { gate, worker, .. }, memory) = started(lists());
    for (end, want) in [
        ("the casino\nmalware\n", Reason::RulePass),
        ("the casino\n", Reason::NotSuspicious),
        ("malware\n", Reason::NotSuspicious),
    ] {
        let content = message(end);
        let of_message = attempt("mx.example");
        let request = MessageRequest {
            rules: &gate.message_rules(),
            attempt: &of_message,
            recipients: &[b"c@d"],
            open: &[],
            message: &content,
            is_own: false,
        };
        // All threads for such work are busy, and this thread is the only one for connections.
        let busy = Arc::clone(memory.decoders());
        let places = u32::try_from(busy.available_permits()).unwrap();
        let places = busy.acquire_many(places).await.unwrap();
        let mut judging = std::pin::pin!(gate.judge_message(&request));
        let other = attempt("other.example");
        let answered = tokio::select! {
            biased;
            decided = &mut judging => Err(decided),
            decided = gate.judge(&other, None) => Ok(decided),
        };
        assert!(answered.is_ok(), "{end}: {answered:?}");
        drop(places);
        let decided = judging.await.decision;
        assert_eq!(decided.outcome.reason, want, "{end}");
        assert!(!content.is_decoded(), "{end}: nothing stays decoded");
        assert_eq!(memory.taken(), 0, "{end}");
    }
    drop(gate);
    worker.join().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_message_waits_ten_seconds_for_its_search_and_then_goes_on_without_its_body() {
    let (Start { gate, worker, .. }, memory) = started(lists());
    let content = message("the casino\nmalware\n");
    let busy = Arc::clone(memory.decoders());
    let places = u32::try_from(busy.available_permits()).unwrap();
    let places = busy.acquire_many(places).await.unwrap();
    let begun = Instant::now();
    assert_eq!(reason(&gate, &content).await, Reason::NotSuspicious);
    assert_eq!(begun.elapsed().as_secs(), 10);
    assert_eq!(memory.taken(), 0);
    drop(places);
    assert_eq!(reason(&gate, &content).await, Reason::RulePass);
    drop(gate);
    worker.join().unwrap();
}

#[tokio::test]
async fn a_large_body_is_searched_for_values_as_a_small_one_when_a_dns_list_has_not_answered() {
    let zone = Zone::parse("bl.example").unwrap();
    let listed = Test::DnsList(zone, Prefix::parse("127.0.0.0/8").unwrap());
    let subject = Test::Header(Pattern::Text("Subject".into()));
    let message = vec![
        rule(listed, Vec::new(), Action::Continue),
        rule(subject, vec![set("first", "casino")], Action::Continue),
        rule(Test::BodyProperty("first".into()), Vec::new(), Action::Pass),
    ];
    let parts = Parts {
        message,
        ..Parts::default()
    };
    let (Start { gate, worker, .. }, _) = started(Lists {
        chain: Chain::new(parts).unwrap(),
        ..Lists::default()
    });
    for lines in [1, LARGE / 20 + 1] {
        for (end, want) in [
            ("the casino\n", Reason::RulePass),
            ("the end\n", Reason::NotSuspicious),
        ] {
            let content = after(lines, end);
            assert_eq!(reason(&gate, &content).await, want, "{lines} {end}");
        }
    }
    drop(gate);
    worker.join().unwrap();
}

#[tokio::test]
async fn a_message_whose_header_or_body_is_not_known_is_counted_and_one_that_was_not_sent_is_not() {
    let (Start { gate, worker, .. }, _memory) = started(lists());
    let whole = || Message::received(b"Subject: x\n\nhello\n", 0);
    let messages = [
        ("whole", whole(), 0),
        ("no body", whole().without_body(), 1),
        ("no header", whole().without_body().with_unknown_header(), 2),
        ("not sent", whole().without_body().with_unknown_size(), 2),
    ];
    for (name, message, want) in messages {
        reason(&gate, &Arc::new(message)).await;
        let counts = gate.status().counts;
        let counted = counts.messages().into_iter();
        let unsearched: u64 = counted
            .filter(|(word, _)| *word == "unsearched")
            .map(|(_, count)| count)
            .sum();
        assert_eq!(unsearched, want, "{name}");
        let in_history = counts.by_name().get("message:unsearched").copied();
        assert_eq!(in_history.unwrap_or_default(), want, "{name}");
    }
    drop(gate);
    worker.join().unwrap();
}
