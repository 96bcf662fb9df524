//! The tarpit and taRgrey, scene by scene: what is asked when, and what Postfix is told.

use jiff::tz::TimeZone;

use super::*;
use crate::policy::chain::{
    Action, Chain, Clause, Format, Parts, Pattern, Refusal, Rule, Terms, Test, Treatment,
};
use crate::policy::{Lists, OnStoreFailure, Params, Reason, Scheme, Stage, Tarpit, Texts, s25r};
use crate::protocol::{self, policy::Style};
use crate::service::clock::tests::ManualClock;
use crate::store::memory::MemoryStore;
use crate::store::{Halves, OpenError, StoreError};
use crate::types::{Prefix, Span};

/// What happens in a scene.
#[derive(Debug, Clone, Copy)]
enum Event {
    /// Postfix asks at RCPT.
    Rcpt,
    /// The same, under stress.
    Stress,
    /// Postfix asks at DATA.
    Data,
    /// The daemon is started anew, and Postfix asks at RCPT.
    Anew,
    /// The daemon is started anew, and Postfix asks at DATA.
    AnewData,
}
use Event::{Anew, AnewData, Data, Rcpt, Stress};

/// When, what, client, instance, recipient; reply and reason.
type Row = (
    u64,
    Event,
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    &'static str,
);

const DELAY: &str = "DEFER_IF_PERMIT wait 300";
const ONE: &str = "192.0.2.7";
const NEIGHBOUR: &str = "192.0.2.8";
const OTHER: &str = "198.51.100.1";

const fn tarpit(seconds: u64, scheme: Scheme) -> Tarpit {
    Tarpit {
        length: Span::from_seconds(seconds),
        scheme,
    }
}

fn rules(params: Params) -> Ruleset {
    let texts = Texts::new("DEFER_IF_PERMIT", "wait %s", "X: %t", "mx", TimeZone::UTC).unwrap();
    Ruleset::new(params, Lists::default(), texts)
}

/// Rules of an access list: clients in the network of [`ONE`] pass if they do not hang up and are refused otherwise; who else
/// has this address sleeps before the deferral.
fn rules_with_tarpits(tarpit_limit: u32) -> Ruleset {
    let network = |text| Clause {
        negated: false,
        test: Test::Network(Prefix::parse(text).unwrap()),
    };
    let rule = |clauses, action| Rule {
        clauses,
        effects: Vec::new(),
        action,
        entry: crate::policy::Entry::in_file(&std::path::Path::new("f").into(), 1, "x"),
        id: None,
    };
    let greylist = |seconds, scheme| {
        Action::Greylist(Treatment {
            terms: Terms {
                tarpit: Some(tarpit(seconds, scheme)),
                ..Terms::default()
            },
            ..Treatment::default()
        })
    };
    let stays = Clause {
        negated: false,
        test: Test::Tarpit,
    };
    let refusal = Refusal {
        code: 551,
        enhanced_code: "5.7.1".into(),
        text: Format::parse("Go away!").0,
    };
    let own = || network("192.0.2.0/24");
    let to = |recipient: &str| Clause {
        negated: false,
        test: Test::Recipient(Pattern::Text(recipient.into())),
    };
    let chain = Chain::new(Parts {
        rules: vec![
            rule(vec![to("vip@x")], Action::Pass),
            rule(
                vec![own(), to("long@x"), stays.clone()],
                greylist(125, Scheme::Targrey),
            ),
            rule(vec![own(), stays], greylist(20, Scheme::Targrey)),
            rule(vec![own()], Action::Refuse(refusal)),
            rule(vec![network(OTHER)], greylist(10, Scheme::Deferring)),
        ],
        ..Parts::default()
    });
    let mut all = rules(Params {
        tarpit_limit,
        auto_whitelist: Some(2),
        ..Params::default()
    });
    all.change(|parts| {
        parts.lists = Arc::new(Lists {
            chain: chain.unwrap(),
            ..Lists::default()
        });
    });
    all
}

/// Plays a scene with these options from second 0 on.
async fn play(name: &str, params: Params, rows: &[Row]) {
    play_by(name, &|| rules(params), rows).await;
}

/// Plays a scene from second 0 on.
async fn play_by(name: &str, rules: &(dyn Fn() -> Ruleset + Sync), rows: &[Row]) {
    let store = MemoryStore::new();
    let clock = ManualClock::at(0);
    let start = || {
        let clock: Arc<dyn Clock> = Arc::clone(&clock) as Arc<dyn Clock>;
        Gate::start(rules(), Box::new(store.clone()), clock).unwrap()
    };
    let mut started = start();
    let mut now = 0;
    for (n, (at, event, client, instance, to, want_reply, want_reason)) in rows.iter().enumerate() {
        clock.advance(at - now);
        now = *at;
        if matches!(event, Anew | AnewData) {
            started = start();
        }
        let attempt = Attempt {
            stage: match event {
                Rcpt | Stress | Anew => Stage::Recipient,
                Data | AnewData => Stage::Data,
            },
            client_address: Some(client.as_bytes()),
            client_name: Some(b"unknown"),
            sender: Some(b"eve@example.com"),
            recipient: Some(to.as_bytes()),
            instance: Some(instance.as_bytes()),
            is_stressed: matches!(event, Stress),
            ..Attempt::default()
        };
        let decision = started.gate.judge(&attempt, None).await;
        let style = Style {
            greylist_action: decision.rules.texts.greylist_action(),
            enhanced_codes: false,
        };
        let reply = protocol::policy::action(&decision.reply, style);
        let got = (reply.as_str(), decision.outcome.reason.word());
        assert_eq!(got, (*want_reply, *want_reason), "{name}, row {}", n + 1);
    }
}

fn targrey(change: impl FnOnce(&mut Params)) -> Params {
    let mut params = Params {
        tarpit: Some(tarpit(125, Scheme::Targrey)),
        auto_whitelist: Some(2),
        ..Params::default()
    };
    change(&mut params);
    params
}

#[tokio::test]
#[rustfmt::skip]
async fn targrey_scenes_of_one_client() {
    let usual = targrey(|_| {});
    play("survives the tarpit, and is auto-whitelisted by that alone", usual, &[
        (0,    Rcpt, ONE, "1", "a@x", "SLEEP 125", "new"),
        (125,  Data, ONE, "1", "a@x", "DUNNO", "tarpit-survived"),
        (126,  Data, ONE, "1", "a@x", "DUNNO", "tarpit-survived"),
        (3725, Rcpt, ONE, "2", "b@x", "SLEEP 125", "new"),
        (3850, Data, ONE, "2", "b@x", "DUNNO", "tarpit-survived"),
        (3851, Rcpt, ONE, "3", "c@x", "DUNNO", "client-awl"),
        (3851, Data, ONE, "3", "c@x", "DUNNO", "client-awl"),
    ]).await;
    play("hangs up, comes back, is greylisted and passes after the delay", usual, &[
        (0,   Rcpt, ONE, "1", "a@x", "SLEEP 125", "new"),
        (200, Rcpt, ONE, "2", "a@x", "DEFER_IF_PERMIT wait 100", "early-retry"),
        (201, Rcpt, ONE, "3", "b@x", DELAY, "new"),
        (300, Rcpt, ONE, "4", "a@x", "PREPEND X: 300", "triplet-found"),
        (301, Data, ONE, "4", "a@x", "DUNNO", "tarpit-survived"),
        (302, Rcpt, ONE, "5", "c@x", "SLEEP 125", "new"),
    ]).await;
    play("has hung up, and is forgotten when it was not seen for the retry window", usual, &[
        (0,       Rcpt, ONE, "1", "a@x", "SLEEP 125", "new"),
        (172_800, Rcpt, ONE, "2", "b@x", DELAY, "new"),
        (345_600, Rcpt, ONE, "3", "c@x", DELAY, "new"),
        (518_401, Rcpt, ONE, "4", "d@x", "SLEEP 125", "new"),
    ]).await;
    play("mail of a triplet that has passed counts at DATA, once in an hour", usual, &[
        (0,      Rcpt, ONE, "1", "a@x", "SLEEP 125", "new"),
        (125,    Data, ONE, "1", "a@x", "DUNNO", "tarpit-survived"),
        (300,    Rcpt, ONE, "2", "a@x", "PREPEND X: 300", "triplet-found"),
        (301,    Data, ONE, "2", "a@x", "DUNNO", "not-tarpitted"),
        (3000,   Rcpt, ONE, "3", "a@x", "DUNNO", "triplet-found"),
        (3001,   Data, ONE, "3", "a@x", "DUNNO", "not-tarpitted"),
        (3002,   Rcpt, ONE, "4", "b@x", "SLEEP 125", "new"),
        (3127,   Data, ONE, "4", "b@x", "DUNNO", "tarpit-survived"),
        (86_400, Rcpt, ONE, "5", "a@x", "DUNNO", "triplet-found"),
        (86_401, Data, ONE, "5", "",    "DUNNO", "not-tarpitted"),
        (86_402, Rcpt, ONE, "6", "c@x", "DUNNO", "client-awl"),
    ]).await;
    play("a triplet that passes for the first time counts at RCPT alone", targrey(|params| params.auto_whitelist_delay = Span::ZERO), &[
        (0,   Rcpt, ONE, "1", "a@x", "SLEEP 125", "new"),
        (200, Rcpt, ONE, "2", "a@x", "DEFER_IF_PERMIT wait 100", "early-retry"),
        (300, Rcpt, ONE, "3", "a@x", "PREPEND X: 300", "triplet-found"),
        (300, Rcpt, ONE, "4", "b@x", DELAY, "new"),
    ]).await;
    play("two retries are asked for", targrey(|params| params.retry_count = 2), &[
        (0,   Rcpt, ONE, "1", "a@x", "SLEEP 125", "new"),
        (200, Rcpt, ONE, "2", "a@x", "DEFER_IF_PERMIT wait 100", "early-retry"),
        (300, Rcpt, ONE, "3", "a@x", DELAY, "early-retry"),
        (301, Rcpt, ONE, "4", "a@x", "PREPEND X: 301", "triplet-found"),
        (302, Rcpt, ONE, "5", "a@x", "DUNNO", "triplet-found"),
    ]).await;
    play("a message with two recipients sleeps once, in however many lists the service is", usual, &[
        (0,   Rcpt, ONE, "1", "a@x", "SLEEP 125", "new"),
        (125, Rcpt, ONE, "1", "a@x", "DUNNO", "new"),
        (125, Rcpt, ONE, "1", "b@x", "DUNNO", "tarpitted"),
        (126, Rcpt, ONE, "1", "b@x", "DUNNO", "tarpitted"),
        (127, Data, ONE, "1", "",    "DUNNO", "tarpit-survived"),
    ]).await;
    play("another connection during the sleep sleeps too", usual, &[
        (0,   Rcpt, ONE, "1", "a@x", "SLEEP 125", "new"),
        (60,  Rcpt, ONE, "2", "b@x", "SLEEP 125", "new"),
        (125, Data, ONE, "1", "a@x", "DUNNO", "tarpit-survived"),
        (185, Data, ONE, "2", "b@x", "DUNNO", "not-tarpitted"),
        (186, Rcpt, ONE, "3", "c@x", "SLEEP 125", "new"),
    ]).await;
}

#[tokio::test]
#[rustfmt::skip]
async fn targrey_scenes_with_others_about() {
    let usual = targrey(|_| {});
    play("a neighbour in the network is tarpitted by itself", usual, &[
        (0,   Rcpt, ONE,       "1", "a@x", "SLEEP 125", "new"),
        (130, Rcpt, NEIGHBOUR, "2", "a@x", "SLEEP 125", "early-retry"),
        (130, Rcpt, ONE,       "3", "b@x", DELAY, "new"),
        (300, Rcpt, NEIGHBOUR, "4", "a@x", "PREPEND X: 300", "triplet-found"),
    ]).await;
    play("a client that pipelines blindly has not survived", usual, &[
        (0,   Rcpt, ONE, "1", "a@x", "SLEEP 125", "new"),
        (1,   Data, ONE, "1", "a@x", "DUNNO", "early-data"),
        (126, Rcpt, ONE, "2", "b@x", DELAY, "new"),
    ]).await;
    play("its own sleep counts, not an earlier one of the client", usual, &[
        (0,   Rcpt, ONE, "1", "a@x", "SLEEP 125", "new"),
        (100, Rcpt, ONE, "2", "b@x", "SLEEP 125", "new"),
        (130, Data, ONE, "2", "b@x", "DUNNO", "early-data"),
        (225, Data, ONE, "2", "",    "DUNNO", "tarpit-survived"),
    ]).await;
    play("under stress nobody sleeps", usual, &[
        (0,  Stress, ONE, "1", "a@x", DELAY, "new"),
        (10, Rcpt,   ONE, "2", "b@x", "SLEEP 125", "new"),
        (20, Stress, ONE, "3", "c@x", DELAY, "new"),
    ]).await;
    play("no more sleep than the limit allows", targrey(|params| params.tarpit_limit = 1), &[
        (0,   Rcpt, ONE,   "1", "a@x", "SLEEP 125", "new"),
        (124, Rcpt, OTHER, "2", "b@x", DELAY, "new"),
        (125, Rcpt, OTHER, "3", "c@x", "SLEEP 125", "new"),
    ]).await;
    play("a restart during the sleep changes nothing", usual, &[
        (0,   Rcpt,     ONE,   "1", "a@x", "SLEEP 125", "new"),
        (0,   Rcpt,     OTHER, "2", "a@x", "SLEEP 125", "new"),
        (124, AnewData, ONE,   "1", "a@x", "DUNNO", "early-data"),
        (125, Anew,     OTHER, "3", "b@x", DELAY, "new"),
        (125, AnewData, ONE,   "1", "a@x", "DUNNO", "tarpit-survived"),
        (126, Rcpt,     ONE,   "4", "b@x", "SLEEP 125", "new"),
    ]).await;
    play("without an instance every question is new", usual, &[
        (0,   Rcpt, ONE, "", "a@x", "SLEEP 125", "new"),
        (125, Rcpt, ONE, "", "b@x", DELAY, "new"),
    ]).await;
    play("at DATA nothing happens that has no tarpit", Params::default(), &[
        (0, Data, ONE, "1", "a@x", "DUNNO", "other-state"),
    ]).await;
}

#[tokio::test]
#[rustfmt::skip]
async fn tarpit_scenes() {
    let with = |scheme, change: fn(&mut Params)| {
        let mut params = Params { tarpit: Some(tarpit(65, scheme)), ..Params::default() };
        change(&mut params);
        params
    };
    play("every deferral comes after a sleep", with(Scheme::Deferring, |_| {}), &[
        (0,   Rcpt, ONE, "1", "a@x", "SLEEP 65, DEFER_IF_PERMIT", "new"),
        (65,  Rcpt, ONE, "1", "a@x", DELAY, "new"),
        (65,  Rcpt, ONE, "1", "b@x", DELAY, "new"),
        (200, Rcpt, ONE, "2", "a@x", "SLEEP 65, DEFER_IF_PERMIT", "early-retry"),
        (300, Rcpt, ONE, "3", "a@x", "PREPEND X: 300", "triplet-found"),
        (301, Data, ONE, "3", "a@x", "DUNNO", "other-state"),
        (302, Stress, ONE, "4", "c@x", DELAY, "new"),
    ]).await;
    play("one retry more is a number of retries", with(Scheme::Deferring, |params| params.retry_count = 3), &[
        (0,   Rcpt, ONE, "1", "a@x", "SLEEP 65, DEFER_IF_PERMIT", "new"),
        (300, Rcpt, ONE, "2", "a@x", "SLEEP 65, DEFER_IF_PERMIT", "early-retry"),
        (300, Rcpt, ONE, "2", "a@x", DELAY, "early-retry"),
        (301, Rcpt, ONE, "3", "a@x", "SLEEP 65, DEFER_IF_PERMIT", "early-retry"),
        (302, Rcpt, ONE, "4", "a@x", "PREPEND X: 302", "triplet-found"),
    ]).await;
    play("Starpit delays and never defers", with(Scheme::Delaying, |params| params.s25r = Some(s25r::Rules::Classic)), &[
        (0,   Rcpt,   ONE, "1", "a@x", "SLEEP 65", "new"),
        (65,  Rcpt,   ONE, "1", "a@x", "DUNNO", "new"),
        (65,  Rcpt,   ONE, "1", "b@x", "DUNNO", "tarpitted"),
        (100, Rcpt,   ONE, "2", "a@x", "SLEEP 65", "early-retry"),
        (110, Stress, ONE, "3", "c@x", "DUNNO", "new"),
        (400, Rcpt,   ONE, "4", "a@x", "PREPEND X: 400", "triplet-found"),
    ]).await;
}

#[tokio::test]
#[rustfmt::skip]
async fn scenes_of_entries_with_a_tarpit() {
    play_by("who stays passes, and who hangs up comes to the next entry", &|| rules_with_tarpits(50), &[
        (0,   Rcpt, ONE,       "1", "a@x", "SLEEP 20", "new"),
        (20,  Rcpt, ONE,       "1", "b@x", "DUNNO", "tarpitted"),
        (21,  Data, ONE,       "1", "a@x", "DUNNO", "tarpit-survived"),
        (30,  Rcpt, ONE,       "2", "a@x", "SLEEP 20", "early-retry"),
        (49,  Rcpt, ONE,       "3", "c@x", "SLEEP 20", "new"),
        (51,  Rcpt, ONE,       "4", "c@x", "DEFER_IF_PERMIT wait 298", "early-retry"),
        (71,  Data, ONE,       "3", "c@x", "DUNNO", "tarpit-survived"),
        (72,  Rcpt, ONE,       "5", "d@x", "SLEEP 20", "new"),
        (151, Rcpt, ONE,       "6", "d@x", "DEFER_IF_PERMIT wait 221", "early-retry"),
        (152, Rcpt, ONE,       "7", "d@x", "551 Go away!", "rule-reject"),
        (152, Rcpt, NEIGHBOUR, "8", "d@x", "SLEEP 20", "early-retry"),
        (160, Anew, ONE,       "9", "d@x", "551 Go away!", "rule-reject"),
        (400, Rcpt, ONE,       "A", "a@x", "551 Go away!", "rule-reject"),
    ]).await;
    play_by("DATA of a message that passes by another entry says nothing about the sleep", &|| rules_with_tarpits(50), &[
        (0,   Rcpt,     ONE, "1", "a@x",   "SLEEP 20", "new"),
        (100, Rcpt,     ONE, "2", "vip@x", "DUNNO", "rule-pass"),
        (101, Data,     ONE, "2", "vip@x", "DUNNO", "not-tarpitted"),
        (102, Rcpt,     ONE, "3", "b@x",   "551 Go away!", "rule-reject"),
        // After a restart it is not known how it passed.
        (103, AnewData, ONE, "2", "vip@x", "DUNNO", "tarpit-survived"),
        (104, Rcpt,     ONE, "4", "a@x",   "SLEEP 20", "early-retry"),
        (104, Rcpt,     ONE, "4", "vip@x", "DUNNO", "rule-pass"),
        (125, Data,     ONE, "4", "",      "DUNNO", "tarpit-survived"),
    ]).await;
    play_by("of sleeps of different lengths each message has its own, and the client the longest", &|| rules_with_tarpits(50), &[
        (0,   Rcpt, ONE, "1", "a@x",    "SLEEP 20", "new"),
        (5,   Rcpt, ONE, "2", "long@x", "SLEEP 125", "new"),
        (100, Rcpt, ONE, "3", "c@x",    "SLEEP 20", "new"),
        (129, Data, ONE, "2", "long@x", "DUNNO", "early-data"),
        (130, Data, ONE, "2", "",       "DUNNO", "tarpit-survived"),
        (200, Rcpt, ONE, "4", "long@x", "SLEEP 125", "early-retry"),
        (205, Rcpt, ONE, "5", "d@x",    "SLEEP 20", "new"),
        (225, Data, ONE, "5", "d@x",    "DUNNO", "tarpit-survived"),
    ]).await;
    play_by("an entry that greylists has its own sleep", &|| rules_with_tarpits(50), &[
        (0,   Rcpt, OTHER, "1", "a@x", "SLEEP 10, DEFER_IF_PERMIT", "new"),
        (300, Rcpt, OTHER, "2", "a@x", "PREPEND X: 300", "triplet-found"),
    ]).await;
    play_by("without room nobody sleeps, and nobody is refused for it", &|| rules_with_tarpits(0), &[
        (0,   Rcpt, ONE,   "1", "a@x", DELAY, "new"),
        (0,   Rcpt, OTHER, "2", "a@x", DELAY, "new"),
        (300, Rcpt, ONE,   "3", "a@x", "PREPEND X: 300", "triplet-found"),
    ]).await;
}

#[tokio::test]
async fn while_the_store_is_unavailable_nobody_has_hung_up() {
    let clock: Arc<dyn Clock> = ManualClock::at(0);
    let rules = rules_with_tarpits(50);
    let Start { gate, .. } = Gate::start(rules, Box::new(Untouchable), clock).unwrap();
    let attempt = Attempt {
        client_address: Some(ONE.as_bytes()),
        client_name: Some(b"mx.example.org"),
        sender: Some(b"a@b"),
        recipient: Some(b"c@d"),
        ..Attempt::default()
    };
    let reason = gate.judge(&attempt, None).await.outcome.reason;
    assert_eq!(reason, Reason::StoreFailure);
}

/// A store that nobody may open.
pub(super) struct Untouchable;

impl Opener for Untouchable {
    fn open(&self) -> Result<Halves, OpenError> {
        Err(StoreError::Closed.into())
    }
}

#[tokio::test]
async fn a_name_that_is_not_suspicious_is_answered_without_the_store() {
    let clock: Arc<dyn Clock> = ManualClock::at(0);
    let params = Params {
        s25r: Some(s25r::Rules::Classic),
        on_store_failure: OnStoreFailure::Defer,
        ..Params::default()
    };
    let Start { gate, .. } = Gate::start(rules(params), Box::new(Untouchable), clock).unwrap();
    let cases = [
        ("mx1.example.org", Reason::NotSuspicious),
        ("unknown", Reason::StoreFailure),
        ("220-139-165-188.dynamic.example.net", Reason::StoreFailure),
    ];
    for (name, want) in cases {
        let attempt = Attempt {
            client_address: Some(b"192.0.2.7"),
            client_name: Some(name.as_bytes()),
            sender: Some(b"a@b"),
            recipient: Some(b"c@d"),
            ..Attempt::default()
        };
        assert_eq!(
            gate.judge(&attempt, None).await.outcome.reason,
            want,
            "{name}"
        );
    }
    assert_eq!(gate.status().counts.of_rule(0), 1);
    assert_eq!(s25r::rule(b"220-139-165-188.dynamic.example.net"), Some(1));
    assert_eq!(gate.status().counts.of_rule(1), 1);
}
