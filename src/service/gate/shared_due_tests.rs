//! What gates that share their records ask for and send, and when: with a tarpit, and from day to day.

use super::shared_tests::{Host, site};
use super::tests::attempt;
use super::*;
use crate::policy::{Reason, Scheme, Stage, Tarpit, Then, Verdict};
use crate::service::clock::tests::ManualClock;
use crate::shared::double::Double;
use crate::types::Span;

const DAY: u64 = 86_400;

/// Two hosts with a tarpit.
fn hosts(scheme: Scheme) -> [Host; 2] {
    let server = Double::default();
    server.set_time(ManualClock::at(0).now());
    let tarpit = Tarpit {
        length: Span::from_seconds(125),
        scheme,
    };
    let hosts = ["mx1.example", "mx2.example"].map(|name| {
        Host::new(name, &server, |params| {
            params.tarpit = Some(tarpit);
            params.auto_whitelist = Some(2);
        })
    });
    for host in &hosts {
        host.wait_for("connected", |status| status.failure.is_none());
    }
    hosts
}

/// What a host decides about a mail of this sender, and how often it has asked what others know.
async fn decide(
    host: &Host,
    stage: Stage,
    (sender, message): (&str, &str),
) -> (Verdict, Reason, u64) {
    let before = host.status().asked;
    let attempt = Attempt {
        stage,
        ..attempt("x", sender, message, "joe@c")
    };
    let outcome = host.gate.judge(&attempt, None).await.outcome;
    (
        outcome.verdict,
        outcome.reason,
        host.status().asked - before,
    )
}

fn advance(hosts: &[Host; 2], seconds: u64) {
    for host in hosts {
        host.clock.advance(seconds);
    }
}

/// A sleep, before this.
const fn sleep(then: Then) -> Verdict {
    Verdict::Tarpit {
        length: Span::from_seconds(125),
        then,
    }
}

#[tokio::test]
async fn who_has_waited_or_passed_at_one_host_need_not_sleep_at_another() {
    let waited = Span::from_seconds(300);
    let first = Verdict::PassWithHeader { waited };
    let found = Reason::TripletFound;
    let deferral = Then::Defer(crate::policy::Remaining::Time(waited));
    for (scheme, then) in [
        (Scheme::Targrey, Then::Pass),
        (Scheme::Delaying, Then::Pass),
        (Scheme::Deferring, deferral),
    ] {
        let hosts = hosts(scheme);
        let [one, two] = &hosts;
        let slept = (sleep(then), Reason::New, 1);
        for sender in ["a@b", "c@d"] {
            let at_first = decide(one, Stage::Recipient, (sender, sender)).await;
            assert_eq!(at_first, slept, "{scheme:?}");
        }
        advance(&hosts, 300);
        let retry = decide(one, Stage::Recipient, ("a@b", "2")).await;
        assert_eq!(retry, (first, found, 0), "{scheme:?}: its own record");
        one.settle();
        // One that has passed at the other host, one that has only waited there, and one that nobody knows.
        let passed = decide(two, Stage::Recipient, ("a@b", "3")).await;
        assert_eq!((passed.1, passed.2), (found, 1), "{scheme:?}");
        assert!(!matches!(passed.0, Verdict::Tarpit { .. }), "{passed:?}");
        let retry = decide(two, Stage::Recipient, ("c@d", "4")).await;
        assert_eq!(retry, (first, found, 1), "{scheme:?}");
        let new = decide(two, Stage::Recipient, ("e@f", "5")).await;
        assert_eq!(new, slept, "{scheme:?}");
        // They are its own records now.
        for sender in ["a@b", "c@d"] {
            let known = decide(two, Stage::Recipient, (sender, sender)).await;
            assert_eq!(known, (Verdict::Pass, found, 0), "{scheme:?}");
        }
    }
}

#[tokio::test]
async fn that_a_client_has_hung_up_at_one_host_is_not_held_against_it_at_another() {
    let hosts = hosts(Scheme::Targrey);
    let [one, two] = &hosts;
    let slept = (sleep(Then::Pass), Reason::New, 1);
    assert_eq!(decide(one, Stage::Recipient, ("a@b", "1")).await, slept);
    advance(&hosts, 126);
    let after = decide(one, Stage::Recipient, ("c@d", "2")).await;
    assert_eq!(after.1, Reason::New);
    assert!(
        matches!(after.0, Verdict::Defer { .. }),
        "it has hung up here: {after:?}"
    );
    one.settle();
    assert_eq!(decide(two, Stage::Recipient, ("e@f", "3")).await, slept);
}

#[tokio::test]
async fn a_client_that_is_auto_whitelisted_by_surviving_the_tarpit_need_not_sleep_at_another_host()
{
    let hosts = hosts(Scheme::Targrey);
    let [one, two] = &hosts;
    for sender in ["a@b", "c@d"] {
        let slept = decide(one, Stage::Recipient, (sender, sender)).await;
        assert_eq!(slept, (sleep(Then::Pass), Reason::New, 1), "{sender}");
        advance(&hosts, 125);
        let survived = decide(one, Stage::Data, (sender, sender)).await;
        assert_eq!(survived.1, Reason::TarpitSurvived, "{sender}");
        assert!(survived.2 <= 1, "{survived:?}");
        advance(&hosts, 3600);
    }
    one.settle();
    let known = decide(two, Stage::Recipient, ("e@f", "1")).await;
    assert_eq!(known, (Verdict::Pass, Reason::ClientAwl, 1));
}

#[tokio::test]
async fn mail_of_a_known_triplet_is_sent_once_a_day() {
    let (_, one, two) = site();
    let judge = async |instance: &str| {
        let reason = one.judge("a@b", instance).await.1;
        one.settle();
        (reason, one.status().published)
    };
    let (waits, begun) = judge("0").await;
    assert_eq!((waits, begun), (Reason::New, 1));
    for (what, after, is_sent) in [
        ("it passes for the first time", 300, true),
        ("on the same day", 60, false),
        ("again", 600, false),
        ("on the next day", DAY, true),
        ("on that day", 60, false),
        ("three days later", 3 * DAY, true),
    ] {
        one.clock.advance(after);
        let sent = one.status().published;
        let (reason, now) = judge(what).await;
        assert_eq!(reason, Reason::TripletFound, "{what}");
        assert_eq!(now > sent, is_sent, "{what}");
        assert_eq!(one.status().queued, 0, "{what}");
    }
    // It would have ended there with what was sent on the first day.
    let age = 4 * DAY + 1020;
    two.clock.advance(35 * DAY + age - 60);
    one.clock.advance(35 * DAY - 60);
    two.settle();
    assert_eq!(two.judge("a@b", "late").await.1, Reason::TripletFound);
}
