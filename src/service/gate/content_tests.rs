//! The gate and large bodies, which are decoded and searched elsewhere.

use super::message_tests::entry;
use super::tests::rules;
use super::*;
use crate::policy::chain::{
    Action, AssignedValue, Chain, Clause, Effect, Format, Operation, Parts, Pattern, Rule, Scope,
    Test,
};
use crate::policy::message::{LARGE, Message};
use crate::policy::{OnStoreFailure, Reason};
use crate::service::MessageRequest;
use crate::service::clock::tests::ManualClock;
use crate::store::memory::MemoryStore;

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
    let filling = "nothing to see here\n".repeat(LARGE / 20 + 1);
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

#[tokio::test]
async fn a_large_body_is_searched_for_values_of_properties_without_holding_up_other_clients() {
    let mut rules = rules(OnStoreFailure::Defer);
    rules.change(|parts| parts.lists = Arc::new(lists()));
    let clock = ManualClock::at(1_800_000_000);
    let store = Box::new(MemoryStore::default());
    let Start { gate, worker, .. } = Gate::start(rules, store, clock).unwrap();
    let memory = Arc::clone(&gate.0.message_memory);
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
