use std::sync::Arc;

use crate::policy::chain::message_tests::{chain, message};
use crate::policy::chain::tests::{ATTEMPT, is, network, rule, text, written};
use crate::policy::chain::{Action, Chain, Refusal, Test, Treatment};
use crate::policy::tests::with_lists;
use crate::policy::{
    Because, Cause, Domain, EntryRef, Evidence, Finding, Lookup, MessageAttempt, MessageOutcome,
    MessagePlan, MessageVerdict, Outcome, Reason, Remaining, Ruleset, SpamScore, SpfFinding,
    SpfResult, Step, Suspicion, Terms, Verdict, message_case, plan_message,
};
use crate::types::{Reply, Span, Timestamp};

const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

fn greylist() -> Action {
    Action::Greylist(Treatment {
        terms: Terms {
            delay: Some(Span::from_seconds(600)),
            ..Terms::default()
        },
        text: Some(written("score %Hs, wait")),
        ..Treatment::default()
    })
}

fn refuse() -> Action {
    Action::Refuse(Refusal {
        code: 554,
        enhanced_code: "5.7.9".into(),
        text: written("%Hs is spam from %f, entry %A"),
    })
}

fn rules(chain: Chain, excuses: bool) -> Ruleset {
    with_lists(
        |params| params.spf.excuses_rules = excuses,
        |lists| lists.chain = chain,
    )
}

/// What comes of a message with the score 15.3, with the answer of SPF if it is asked, and what was looked up.
fn settled(rules: &Ruleset, has_open: bool, spf: &Finding) -> (MessageOutcome, Vec<Step>, usize) {
    let whole = message(&[("Subject", "VIAGRA")], Some(b"hello"));
    let about = MessageAttempt {
        attempt: &ATTEMPT,
        recipients: &[b"jane@example.com", b"joe@example.com"],
        has_open,
        message: &whole,
    };
    let (mut evidence, mut steps, mut asked) = (evidence(false), Vec::new(), 0);
    loop {
        match plan_message(&about, &evidence, rules, &mut steps) {
            MessagePlan::Settled(outcome) => return (*outcome, steps, asked),
            MessagePlan::Ask(lookups) => {
                asked += lookups.len();
                let found = lookups.into_iter().map(|lookup| {
                    let finding = match &lookup {
                        Lookup::Score => score(),
                        Lookup::Spf(_) => spf.clone(),
                        Lookup::DnsList(..)
                        | Lookup::DnsListText(..)
                        | Lookup::SenderMx(..)
                        | Lookup::BodyText(_) => {
                            panic!("no rule asks for it")
                        }
                    };
                    (lookup, finding)
                });
                evidence.add(found.collect::<Vec<_>>());
            }
        }
    }
}

fn score() -> Finding {
    Finding::Score(Arc::new(SpamScore {
        is_spam: Some(true),
        score: 15_300,
        threshold: None,
        tests: Vec::new(),
    }))
}

fn evidence(is_scored: bool) -> Evidence {
    let mut evidence = Evidence::default();
    if is_scored {
        evidence.add([(Lookup::Score, score())]);
    }
    evidence
}

#[test]
fn a_message_passes_is_refused_or_waits_by_the_first_rule_that_matches() {
    let spam = |action| rule(vec![is(Test::Spam)], action);
    let other = |action| rule(vec![is(network("10.0.0.0/8"))], action);
    let header = |action| rule(vec![is(Test::Header(text("VIAGRA")))], action);
    let entry = EntryRef::of_rule;
    let waits = |number, cause| {
        let terms = Terms {
            delay: Some(Span::from_seconds(600)),
            ..Terms::default()
        };
        MessageVerdict::Greylist(Suspicion::Message(entry(number), cause), terms)
    };
    let none = Finding::Spf(SpfFinding::NotPassed(SpfResult::None));
    for (rows, has_open, want, reason, asked) in [
        (vec![], true, MessageVerdict::Pass, Reason::NotSuspicious, 0),
        (
            vec![other(refuse())],
            true,
            MessageVerdict::Pass,
            Reason::NotSuspicious,
            0,
        ),
        (
            vec![spam(Action::Pass)],
            true,
            MessageVerdict::Pass,
            Reason::RulePass,
            1,
        ),
        (
            vec![spam(refuse())],
            false,
            MessageVerdict::Refuse(entry(0)),
            Reason::MessageReply,
            1,
        ),
        (
            vec![spam(greylist())],
            true,
            waits(0, Cause::Score),
            Reason::New,
            1,
        ),
        (
            vec![spam(greylist())],
            false,
            MessageVerdict::Pass,
            Reason::NoOpenRecipient,
            1,
        ),
        (
            vec![header(greylist()), spam(refuse())],
            true,
            waits(0, Cause::Header),
            Reason::New,
            0,
        ),
        (
            vec![other(refuse()), header(greylist())],
            true,
            waits(1, Cause::Header),
            Reason::New,
            0,
        ),
    ] {
        let rules = rules(chain(rows), false);
        let (outcome, steps, lookups) = settled(&rules, has_open, &none);
        assert_eq!(
            (outcome.verdict, outcome.reason, lookups),
            (want, reason, asked)
        );
        let is_rule = matches!(outcome.because, Because::Entry(_));
        assert_eq!(is_rule, reason != Reason::NotSuspicious, "{outcome:?}");
        let decisive = steps.iter();
        let decisive = decisive.filter(|step| !matches!(step, Step::Clause(..)));
        let decisive: Vec<_> = decisive.collect();
        assert!(decisive.len() <= 1, "{decisive:?}");
    }
}

#[test]
fn spf_excuses_from_waiting_and_from_nothing_else_and_is_asked_where_somebody_would_wait() {
    let spam = |action| rule(vec![is(Test::Spam)], action);
    let passed = Finding::Spf(SpfFinding::Passed(Domain::of(b"example.org").unwrap()));
    let failed = Finding::Spf(SpfFinding::NotPassed(SpfResult::Fail));
    for (action, excuses, has_open, spf, want, asked) in [
        (greylist(), true, true, &passed, Reason::SpfPass, 2),
        (greylist(), true, true, &failed, Reason::New, 2),
        (greylist(), true, true, &Finding::NoAnswer, Reason::New, 2),
        (greylist(), false, true, &passed, Reason::New, 1),
        (greylist(), true, false, &passed, Reason::NoOpenRecipient, 1),
        (refuse(), true, true, &passed, Reason::MessageReply, 1),
    ] {
        let rules = rules(chain(vec![spam(action)]), excuses);
        let (outcome, _, lookups) = settled(&rules, has_open, spf);
        assert_eq!((outcome.reason, lookups), (want, asked));
    }
}

#[test]
fn replies_have_the_score_and_the_recipient_if_there_is_one() {
    let spam = rule(vec![is(Test::Spam)], refuse());
    let waits = rule(vec![is(Test::Header(text("VIAGRA")))], greylist());
    let rules = rules(chain(vec![spam, waits]), false);
    let whole = message(&[], None);
    let about = MessageAttempt {
        attempt: &ATTEMPT,
        recipients: &[b"jane@example.com"],
        has_open: true,
        message: &whole,
    };
    let evidence = evidence(true);
    let refused = rules.message_refusal(&about, &evidence, EntryRef::of_rule(0), NOW);
    let Reply::Code(code, text) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!((code.number, &*code.enhanced), (554, "5.7.9"));
    assert_eq!(
        text.as_str(),
        "15.3 is spam from joe+news-7@example.org, entry 1"
    );
    let suspicion = Suspicion::Message(EntryRef::of_rule(1), Cause::Header);
    let case = message_case(
        &crate::policy::Attempt {
            recipient: Some(b"jane@example.com"),
            ..ATTEMPT
        },
        &evidence,
        &rules,
        suspicion,
    );
    let case = case.unwrap();
    assert_eq!(case.suspicion, Some(suspicion));
    assert_eq!(case.terms.delay, Some(Span::from_seconds(600)));
    assert!(case.triplet.is_some());
    let remaining = Remaining::Time(Span::from_seconds(600));
    let outcome = Outcome {
        suspicion: Some(suspicion),
        ..Outcome::new(Verdict::Defer { remaining }, Reason::New, Because::Triplet)
    };
    let deferred = rules.message_deferral(&about, &evidence, &outcome, NOW);
    let Reply::Greylist { text, .. } = deferred else {
        panic!("{deferred:?}");
    };
    assert_eq!(text.as_str(), "score 15.3, wait");
}
