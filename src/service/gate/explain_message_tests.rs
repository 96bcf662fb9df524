//! Explain and judge are one pipeline at the end of a message, too.

use std::sync::atomic::Ordering;

use proptest::prelude::*;

use super::explain_tests::everything;
use super::message_tests::entry;
use super::tests::{Faulty, rules};
use super::*;
use crate::control::{Control, MessageExplanation, StepResult};
use crate::policy::chain::{
    Action, Chain, Clause, Effect, Fallback, Format, Number, Operator, Parts, Pattern, Refusal,
    Rule, Test, Treatment,
};
use crate::policy::checks::tests::checks;
use crate::policy::message::Message;
use crate::policy::{OnStoreFailure, Reason, Step};
use crate::service::clock::tests::ManualClock;
use crate::service::report::{self, ReportField};
use crate::service::{MessageDecision, MessageRequest};
use crate::types::{HeaderText, ReplyText};

fn rule(text: &str, tests: Vec<(bool, Test)>, action: Action) -> Rule {
    let clauses = tests.into_iter();
    let clauses = clauses.map(|(negated, test)| Clause { negated, test });
    Rule {
        clauses: clauses.collect(),
        effects: Vec::new(),
        action,
        entry: entry(text),
        id: None,
    }
}

fn header(text: &str) -> Test {
    Test::Header(Pattern::Text(text.into()))
}

/// Rules of each kind: for recipients and messages, in tables and in greylist.conf.
fn lists() -> Lists {
    let text = |text: &str| Format::parse(text).0;
    let greylist = || Action::Greylist(Treatment::default());
    let refusal = Refusal {
        code: 551,
        enhanced_code: "5.7.1".into(),
        text: text("no"),
    };
    let sender = Test::Sender(Pattern::Text("waits@x".into()));
    let many = Test::SpamScore(Operator::Greater, Number::Literal(5000));
    let (passes, pass) = (entry("default"), || Action::Pass);
    let parts = Parts {
        rules: vec![rule("waits", vec![(false, sender)], greylist())],
        fallback: Some(Fallback {
            action: pass(),
            effects: Vec::new(),
            entry: Some(passes),
            id: None,
        }),
        message: vec![
            Rule {
                effects: vec![Effect::Report(text("told"))],
                ..rule("notes", vec![(false, header("told"))], Action::Continue)
            },
            rule(
                "casino",
                vec![(false, header("casino")), (true, header("friend"))],
                greylist(),
            ),
            rule(
                "malware",
                vec![(false, Test::Body(Pattern::Text("malware".into())))],
                Action::Refuse(refusal),
            ),
            rule("score", vec![(false, many)], greylist()),
        ],
        ..Parts::default()
    };
    let in_header = [
        ("discard", "DISCARD"),
        ("held", "HOLD why"),
        ("grey", "GREYLIST"),
        ("friend", "INFO x"),
    ];
    let in_body = [("refused", "REJECT no"), ("later", "450 4.7.1 later")];
    Lists {
        chain: Chain::new(parts).unwrap(),
        checks: checks(&in_header, &in_body),
        ..Lists::default()
    }
}

/// What happens next.
#[derive(Debug, Clone)]
enum Event {
    Message {
        subject: &'static str,
        body: &'static str,
        score: Option<u32>,
        sender: &'static str,
        recipient: u8,
        is_authenticated: bool,
    },
    /// Time goes by, in seconds.
    Wait(u64),
    Pause,
    Resume,
    /// From now on the disk is full.
    Full,
}

fn event() -> impl Strategy<Value = Event> {
    let subjects = [
        "hello",
        "told",
        "casino",
        "casino friend",
        "discard",
        "held casino",
        "grey",
        "told casino",
    ];
    let bodies = ["hello", "hello", "malware", "refused", "later"];
    let message = (
        prop::sample::select(subjects.to_vec()),
        prop::sample::select(bodies.to_vec()),
        prop::option::of(0..10_u32),
        prop::sample::select(vec!["a@x", "waits@x"]),
        0..3_u8,
        prop::bool::weighted(0.1),
    );
    let message = message.prop_map(
        |(subject, body, score, sender, recipient, is_authenticated)| Event::Message {
            subject,
            body,
            score,
            sender,
            recipient,
            is_authenticated,
        },
    );
    prop_oneof![
        12 => message,
        4 => prop_oneof![0..100_u64, Just(300), 300..4000_u64].prop_map(Event::Wait),
        1 => Just(Event::Pause),
        1 => Just(Event::Resume),
        1 => prop::bool::weighted(0.1).prop_map(|is_full| if is_full { Event::Full } else { Event::Resume }),
    ]
}

fn start(on_store_failure: OnStoreFailure, store: &Faulty, clock: &Arc<ManualClock>) -> Start {
    let mut rules = rules(on_store_failure);
    rules.change(|parts| parts.lists = Arc::new(lists()));
    let as_clock = Arc::clone(clock);
    let start = Gate::start(rules, Box::new(store.clone()), as_clock).unwrap();
    start
        .gate
        .set_spam_filter(Some(SpamFilter::Header("X-Score".into())));
    start
}

fn message(subject: &str, body: &str, score: Option<u32>) -> Arc<Message> {
    let score = score.map(|score| format!("X-Score: {score}.0\n"));
    let text = format!(
        "Subject: {subject}\n{}\n{body}\n",
        score.unwrap_or_default()
    );
    Arc::new(Message::received(text.as_bytes(), 0))
}

/// What was decided on a recipient and its message.
struct Judged {
    accepted: Decision,
    message: MessageDecision,
}

/// The field about greylisting that a decision brings.
fn field(decision: &Decision, own: Option<&HeaderText>) -> Option<ReportField> {
    let given = if let Reply::AddHeader(field) = &decision.reply {
        Some(field.clone())
    } else {
        None
    };
    report::field(decision, own, given)
}

impl Judged {
    /// The field about greylisting that the message gets.
    fn field(&self) -> Option<ReplyText> {
        let at_recipient = field(&self.accepted, self.accepted.report.as_ref());
        let at_end = field(&self.message.decision, self.message.report.as_ref());
        let field = ReportField::or(at_recipient, at_end);
        field.as_ref().and_then(ReportField::line).cloned()
    }
}

/// What a milter would have got, after its recipient was accepted; the decision about the recipient if it was not.
async fn judged(
    gate: &Gate,
    attempt: &Attempt<'_>,
    message: &Arc<Message>,
) -> Result<Judged, Decision> {
    let accepted = gate.judge(attempt, None).await;
    if accepted.outcome.verdict.is_refusal() {
        return Err(accepted);
    }
    let recipients: Vec<&[u8]> = attempt.recipient.into_iter().collect();
    let of_message = Attempt {
        recipient: None,
        ..*attempt
    };
    let request = MessageRequest {
        rules: &gate.message_rules(),
        attempt: &of_message,
        recipients: &recipients,
        open: if accepted.is_open { &recipients } else { &[] },
        message,
        is_own: accepted.rules.is_own(attempt),
    };
    let message = gate.judge_message(&request).await;
    Ok(Judged { accepted, message })
}

async fn play(on_store_failure: OnStoreFailure, events: &[Event]) -> Result<(), TestCaseError> {
    let clock = ManualClock::at(0);
    let mut store = Faulty::default();
    store.never_sweeps = true;
    let started = start(on_store_failure, &store, &clock);
    let (gate, control) = (started.gate, Control::new(started.internals));
    for event in events {
        match event {
            Event::Wait(seconds) => clock.advance(*seconds),
            Event::Pause => drop(control.pause(None).await),
            Event::Resume => drop(control.resume().await),
            Event::Full => store.refuses.store(true, Ordering::Relaxed),
            Event::Message {
                subject,
                body,
                score,
                sender,
                recipient,
                is_authenticated,
            } => {
                let recipient = format!("{recipient}@x");
                let attempt = Attempt {
                    client_address: Some(b"192.0.2.7"),
                    client_name: Some(b"mx.example"),
                    sender: Some(sender.as_bytes()),
                    recipient: Some(recipient.as_bytes()),
                    user: is_authenticated.then_some(b"joe"),
                    ..Attempt::default()
                };
                let message = message(subject, body, *score);
                let is_known =
                    !store.refuses.load(Ordering::Relaxed) || gate.status().failure.is_some();
                let before = everything(&gate, &control).await;
                let explained = control.explain_message(&attempt, &message, true).await;
                prop_assert_eq!(&everything(&gate, &control).await, &before, "{:?}", event);
                let judged = judged(&gate, &attempt, &message).await;
                let at_recipient = match &judged {
                    Ok(judged) => &judged.accepted,
                    Err(decision) => decision,
                };
                let is_known = is_known || at_recipient.outcome.reason != Reason::StoreFailure;
                if is_known {
                    let (got, reply) = &explained.at_recipient;
                    let want = at_recipient.outcome;
                    prop_assert_eq!((got.verdict, got.reason), (want.verdict, want.reason));
                    prop_assert_eq!(reply, &at_recipient.reply);
                }
                let Ok(judged) = judged else {
                    continue;
                };
                if is_known && judged.message.decision.outcome.reason != Reason::StoreFailure {
                    same(&explained, &judged)?;
                }
            }
        }
    }
    Ok(())
}

/// Checks that what was explained is what was decided.
fn same(explained: &MessageExplanation, both: &Judged) -> Result<(), TestCaseError> {
    let judged = &both.message;
    let (got, want) = (explained.explanation.outcome, judged.decision.outcome);
    prop_assert_eq!((got.verdict, got.reason), (want.verdict, want.reason));
    prop_assert_eq!((got.because, got.suspicion), (want.because, want.suspicion));
    prop_assert_eq!(&explained.explanation.reply, &judged.decision.reply);
    prop_assert_eq!(&explained.fate, &judged.fate);
    prop_assert_eq!(explained.score.is_some(), judged.score.is_some());
    let field = both.field();
    let about = explained
        .fields
        .first()
        .filter(|field| field.starts_with("X: "));
    prop_assert_eq!(
        about.map(String::as_str),
        field.as_ref().map(ReplyText::as_str)
    );
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, max_shrink_iters: 500, ..ProptestConfig::default() })]

    #[test]
    fn what_is_explained_of_a_message_is_what_is_decided_in_every_state_and_changes_nothing(
        on_store_failure in prop::sample::select(vec![OnStoreFailure::Pass, OnStoreFailure::Defer]),
        events in prop::collection::vec(event(), 1..40),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(play(on_store_failure, &events))?;
    }
}

#[tokio::test]
async fn each_clause_of_a_rule_has_its_answer() {
    let clock = ManualClock::at(1_800_000_000);
    let started = start(OnStoreFailure::Defer, &Faulty::default(), &clock);
    let control = Control::new(started.internals);
    let attempt = Attempt {
        client_address: Some(b"192.0.2.7"),
        client_name: Some(b"mx.example"),
        sender: Some(b"a@x"),
        recipient: Some(b"b@x"),
        ..Attempt::default()
    };
    let explain = async |subject, body, score| {
        let message = message(subject, body, score);
        let explained = control.explain_message(&attempt, &message, false).await;
        let steps = explained.explanation.steps.into_iter();
        let steps = steps.filter(|step| !matches!(step.step, Step::Client(..) | Step::Triplet(_)));
        steps
            .map(|step| (step.finding, step.text))
            .collect::<Vec<_>>()
    };
    let text = |text: &str| text.to_owned();
    let accepted = (
        StepResult::Continues,
        text("accepted without having waited: rules for messages can greylist it"),
    );
    let no_match = (StepResult::NoMatch, text("no entry matches"));
    let told = (StepResult::NoMatch, text("conf:1: notes; header: no"));
    let malware = (StepResult::NoMatch, text("conf:1: malware; body: no"));
    let want = [
        accepted.clone(),
        (StepResult::Match, text("table:4: friend")),
        no_match.clone(),
        (StepResult::Match, text("6.0")),
        told.clone(),
        (
            StepResult::NoMatch,
            text("conf:1: casino; header: yes, not header: no"),
        ),
        malware.clone(),
        (StepResult::Match, text("conf:1: score; spamd: yes")),
        (StepResult::Match, text("conf:1: score")),
    ];
    assert_eq!(explain("casino friend", "hello", Some(6)).await, want);
}
