//! The walk along the list of checks against their order as code.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::super::chain::tests::{is, network, not, rule, text, written};
use super::super::chain::{
    Action, Chain, Effect, Effects, Fallback, Parts as ChainParts, Refusal, Test, Treatment,
};
use super::super::pattern::{AddressPattern, ClientPattern};
use super::super::rules::{Condition, Consequence};
use super::super::s25r::Rules;
use super::super::tests::{access, rules as plain, with_lists};
use super::super::{
    AddressList, ClientList, DnsLists, Entry, Finding, ListName, Lookup, Scheme, SpfFinding,
    SpfQuestion, SpfUse, Step, Tarpit, Terms, Thresholds, Unmatched, Zone,
};
use super::{oracle_tests, *};
use crate::policy::Domain;
use crate::types::{Prefix, ReplyText, Span};

const NAMES: [&str; 8] = [
    "unknown",
    "a1b2.example",
    "c3d4.exempt.example",
    "mx.example",
    "bad.example",
    "told.example",
    "fine.example",
    "good.example",
];
const SENDERS: [&str; 3] = ["a@example.com", "friend@example.com", ""];
const RECIPIENTS: [&str; 3] = ["c@example.org", "abuse@example.org", "listed@example.org"];
const ADDRESSES: [&str; 4] = ["192.0.2.7", "192.0.2.7", "127.0.0.1", "bad"];
const ZONES: [&str; 3] = ["a.example", "b.example", "c.example"];

/// Everything that a decision depends on, as numbers.
#[derive(Debug, Clone)]
struct Drawn {
    /// Switches of options, the lowest bit first.
    options: u16,
    dns_lists: Option<(i32, Option<i32>, Option<i32>)>,
    unmatched: Option<bool>,
    spf: u8,
    /// The rules: clauses, and what is done.
    rules: Vec<(Vec<(bool, u8)>, u8)>,
    fallback: u8,
    /// The parts of the attempt: address, name, sender and recipient, stage, switches.
    attempt: (usize, usize, usize, usize, u8, u8),
    /// What is known: of the zones, of their texts, of SPF.
    findings: Vec<Option<Finding>>,
    is_closed: bool,
}

fn drawn() -> impl Strategy<Value = Drawn> {
    let thresholds = (
        1..3_i32,
        prop::option::of(0..3_i32),
        prop::option::of(-3..0_i32),
    );
    let clauses = prop::collection::vec((any::<bool>(), 0..8_u8), 0..3);
    let options = (
        any::<u16>(),
        prop::option::weighted(0.7, thresholds),
        prop::option::of(any::<bool>()),
        0..4_u8,
        prop_oneof![
            Just(Vec::new()).boxed(),
            prop::collection::vec((clauses, 0..6_u8), 1..4).boxed()
        ],
        0..8_u8,
    );
    let attempt = (
        0..ADDRESSES.len(),
        0..NAMES.len(),
        0..SENDERS.len(),
        0..RECIPIENTS.len(),
        0..12_u8,
        any::<u8>(),
    );
    (options, attempt, findings(), prop::bool::weighted(0.1)).prop_map(
        |((options, dns_lists, unmatched, spf, rules, fallback), attempt, findings, is_closed)| {
            Drawn {
                options,
                dns_lists,
                unmatched,
                spf,
                rules,
                fallback,
                attempt,
                findings,
                is_closed,
            }
        },
    )
}

/// What the zones say, then their texts, then SPF.
fn findings() -> impl Strategy<Value = Vec<Option<Finding>>> {
    let zone = prop_oneof![
        3 => (1..4_u8).prop_map(|last| Some(Finding::Addresses([[127, 0, 0, last].into()].into()))),
        1 => Just(Some(Finding::Absent)),
        1 => Just(Some(Finding::NoAnswer)),
        1 => Just(None),
    ];
    let written = prop_oneof![
        Just(Some(Finding::Text(ReplyText::new("listed".to_owned())))),
        Just(Some(Finding::Absent)),
        Just(None),
    ];
    let passed = SpfFinding::Passed(Domain::of(b"example.com").unwrap());
    let spf = prop_oneof![
        Just(Some(Finding::Spf(passed))),
        Just(Some(Finding::Spf(SpfFinding::NotPassed(SpfResult::Fail)))),
        Just(None),
    ];
    let count = ZONES.len();
    let zones = prop::collection::vec(zone, count);
    let texts = prop::collection::vec(written, count);
    (zones, texts, spf).prop_map(|(zones, texts, spf)| {
        let all = zones.into_iter().chain(texts).chain([spf]);
        all.collect()
    })
}

fn test(number: u8) -> Test {
    match number {
        0 => network("192.0.2.0/24"),
        1 => network("198.51.100.0/24"),
        2 => Test::Domain("fine.example".into()),
        3 => Test::Recipient(text("listed@example.org")),
        4 => Test::Spf(SpfResult::Pass),
        5 => Test::DnsList(Zone::parse("a.example").unwrap(), any_answer()),
        6 => Test::DnsList(Zone::parse("c.example").unwrap(), any_answer()),
        _ => Test::Unknown,
    }
}

fn any_answer() -> Prefix {
    Prefix::parse("127.0.0.0/8").unwrap()
}

fn action(number: u8) -> Action {
    match number {
        0 => Action::Pass,
        1 => Action::Continue,
        2 => Action::Refuse(Refusal {
            code: 554,
            enhanced_code: "5.7.9".into(),
            text: written("no"),
        }),
        _ => Action::Greylist(Treatment {
            terms: Terms {
                delay: (number == 3).then_some(Span::from_seconds(600)),
                ..Terms::default()
            },
            ..Treatment::default()
        }),
    }
}

fn entry() -> Entry {
    Entry::in_file(&Path::new("f").into(), 1, "x")
}

impl Drawn {
    fn option(&self, bit: u32) -> bool {
        self.options >> bit & 1 == 1
    }

    fn chain(&self) -> Chain {
        let rules = self.rules.iter().map(|(clauses, done)| {
            let clauses = clauses.iter().map(|(negated, number)| {
                let clause = if *negated { not } else { is };
                clause(test(*number))
            });
            let mut rule = rule(clauses.collect(), action(*done));
            if *done == 5 {
                rule.effects.push(Effect::NoLog);
            }
            rule
        });
        let has_rules = !self.rules.is_empty();
        let fallback = (has_rules && self.fallback < 6).then(|| Fallback {
            action: action(self.fallback % 4),
            effects: Vec::new(),
            entry: (self.fallback != 3).then(entry),
            id: None,
        });
        Chain::new(ChainParts {
            rules: rules.collect(),
            fallback,
            ..ChainParts::default()
        })
        .unwrap()
    }

    fn ruleset(&self) -> Ruleset {
        let mut rules = with_lists(
            |params| {
                params.s25r = self.option(0).then_some(Rules::Classic);
                params.exempt_authenticated = self.option(1);
                params.recipients_opt_in = self.option(2);
                params.spf = SpfUse {
                    excuses: self.spf & 1 == 1,
                    excuses_rules: self.spf & 2 == 2,
                    names: self.option(3),
                };
                params.by_domain = self.option(4);
                params.tarpit = self.option(5).then_some(Tarpit {
                    length: Span::from_seconds(65),
                    scheme: Scheme::Targrey,
                });
                params.tarpit_limit = 1;
                params.unmatched = self.unmatched.map(|passes| {
                    if passes {
                        Unmatched::Pass
                    } else {
                        Unmatched::Greylist
                    }
                });
            },
            |lists| {
                if self.option(6) {
                    let rows = [
                        ("^bad", "greylist"),
                        ("^told", "REJECT no"),
                        ("^mx", "OK"),
                        ("^fine", "DUNNO"),
                    ];
                    lists.access = access(&rows);
                }
                let exempt = ClientPattern::parse("exempt.example").unwrap();
                lists.s25r_exceptions = ClientList::new(vec![(exempt, entry())]).unwrap();
                let listed = AddressPattern::parse("listed@").unwrap();
                lists.greylist_recipients = AddressList::new(vec![(listed, entry())]).unwrap();
                lists.chain = self.chain();
            },
        );
        let thresholds = self.dns_lists.map(|(suspicious, above, allow)| Thresholds {
            suspicious,
            reject: above.map(|above| suspicious + above),
            allow,
        });
        rules.change(|parts| {
            if let Some(thresholds) = thresholds {
                let sites = "a.example=127.0.0.1*2 a.example=127.0.0.2 b.example=127.0.0.[1..3]*-2";
                parts.dns_lists = DnsLists::parse(&[sites], thresholds).unwrap().into();
            }
            if self.option(7) && self.option(8) {
                parts.own_networks = Arc::from([Prefix::parse("192.0.2.0/24").unwrap()]);
            }
        });
        rules
    }

    fn attempt(&self) -> Attempt<'static> {
        let (address, name, sender, recipient, stage, bits) = self.attempt;
        let has = |bit: u32| bits >> bit & 1 == 1;
        Attempt {
            stage: match stage {
                0 => Stage::Other,
                1 | 2 => Stage::Data,
                _ => Stage::Recipient,
            },
            client_address: Some(ADDRESSES[address].as_bytes()),
            client_name: (bits != 0).then_some(NAMES[name].as_bytes()),
            helo_name: has(0).then_some(b"mx.example.com"),
            sender: Some(SENDERS[sender].as_bytes()),
            recipient: Some(RECIPIENTS[recipient].as_bytes()),
            user: (has(1) && has(2)).then_some(b"joe"),
            milter_message: has(3).then_some(7),
            ..Attempt::default()
        }
    }

    fn evidence(&self, attempt: &Attempt<'_>) -> Evidence {
        let client = ClientIp::parse(b"192.0.2.7").unwrap();
        let zones = ZONES.map(|zone| Zone::parse(zone).unwrap());
        let asked = zones.clone().map(|zone| Lookup::DnsList(zone, client));
        let texts = zones.map(|zone| Lookup::DnsListText(zone, client));
        let helo = attempt.helo_name.unwrap_or_default();
        let sender = attempt.sender.unwrap_or_default();
        let spf = SpfQuestion::new(client, helo, sender).map(Lookup::Spf);
        let lookups = asked.into_iter().chain(texts).chain(spf);
        let known = lookups.zip(&self.findings);
        let known = known.filter_map(|(lookup, finding)| Some((lookup, finding.clone()?)));
        let mut evidence = Evidence::default();
        evidence.add(known.collect::<Vec<_>>());
        if self.is_closed {
            evidence.close();
        }
        evidence
    }
}

/// What a plan tells its listener.
#[derive(Debug, Default, PartialEq, Eq)]
struct Heard {
    steps: Vec<Step>,
    effects: Vec<Effects>,
}

impl Trace for Heard {
    fn restart(&mut self) {
        *self = Self::default();
    }

    fn note(&mut self, step: Step) {
        self.steps.push(step);
    }

    fn note_effects(&mut self, effects: Effects) {
        self.effects.push(effects);
    }
}

/// The kind of a plan, for the account of what was tried.
fn kind(plan: &Plan) -> String {
    match plan {
        Plan::Settled(outcome) => format!("settled {:?}", outcome.reason),
        Plan::Replied(outcome, _) => format!("replied {:?}", outcome.reason),
        Plan::Ask(_, case) if case.asks_known => "ask for known mail".to_owned(),
        Plan::Ask(..) => "ask".to_owned(),
        Plan::Case(case) => match case.suspicion {
            None => "case".to_owned(),
            Some(Suspicion::Entry(entry)) => format!("case {:?}", entry.list),
            Some(Suspicion::S25r(_)) => "case S25R".to_owned(),
            Some(Suspicion::DnsLists(_)) => "case DNS lists".to_owned(),
            Some(Suspicion::Message(..)) => "case message".to_owned(),
        },
    }
}

/// What must have been tried.
fn wanted_kinds() -> Vec<String> {
    let settled = [
        Reason::AttributeMissing,
        Reason::AddressUnparsable,
        Reason::OtherState,
        Reason::ClientWhitelist,
        Reason::RecipientWhitelist,
        Reason::SenderWhitelist,
        Reason::AccessPermit,
        Reason::Authenticated,
        Reason::OwnNetwork,
        Reason::RecipientNotListed,
        Reason::RulePass,
        Reason::RuleReject,
        Reason::DnsAllowlist,
        Reason::NotSuspicious,
        Reason::SpfPass,
    ];
    let replied = [Reason::AccessReply, Reason::DnsReject];
    let of_entries = [
        ListName::ClientAccess,
        ListName::GreylistConf,
        ListName::GreylistRecipient,
    ];
    let others = [
        "ask",
        "ask for known mail",
        "case",
        "case S25R",
        "case DNS lists",
    ];
    let settled = settled.iter().map(|reason| format!("settled {reason:?}"));
    let replied = replied.iter().map(|reason| format!("replied {reason:?}"));
    let of_entries = of_entries.iter().map(|list| format!("case {list:?}"));
    let others = others.iter().map(|&kind| kind.to_owned());
    settled
        .chain(replied)
        .chain(of_entries)
        .chain(others)
        .collect()
}

#[test]
fn the_list_of_checks_says_what_their_order_as_code_says() {
    let tried = RefCell::new(BTreeSet::new());
    let wanted_kinds = wanted_kinds();
    let mut missing = Vec::new();
    // Rare kinds may need more than the first rounds.
    for round in 1..=40 {
        let mut runner = TestRunner::new(Config::with_cases(500));
        let result = runner.run(&drawn(), |drawn| {
            let (rules, attempt) = (drawn.ruleset(), drawn.attempt());
            let evidence = drawn.evidence(&attempt);
            let (mut heard, mut wanted) = (Heard::default(), Heard::default());
            let got = plan(&attempt, &evidence, &rules, &mut heard);
            let want = oracle_tests::plan(&attempt, &evidence, &rules, &mut wanted);
            prop_assert_eq!(&got, &want);
            prop_assert_eq!(heard, wanted);
            tried.borrow_mut().insert(kind(&got));
            Ok(())
        });
        if let Err(error) = result {
            panic!("{error}");
        }
        let tried = tried.borrow();
        let untried = wanted_kinds.iter().filter(|kind| !tried.contains(*kind));
        missing = untried.cloned().collect();
        if missing.is_empty() && round >= 4 {
            break;
        }
    }
    assert!(missing.is_empty(), "never tried: {missing:?}");
}

#[test]
fn what_is_not_configured_is_not_asked() {
    let conditions = |rules: &Ruleset| -> Vec<Condition> {
        let checks = rules.checks().iter();
        checks.map(|check| check.condition).collect()
    };
    let lists = [
        Condition::ClientListed,
        Condition::RecipientListed,
        Condition::SenderListed,
    ];
    let always = [Condition::OwnMachine, Condition::Exempt];
    let rules = plain(|params| params.exempt_authenticated = false);
    let want = [&lists[..], &always, &[Condition::Always]].concat();
    assert_eq!(conditions(&rules), want);
    let last = rules.checks().last().map(|check| check.consequence);
    assert_eq!(last, Some(Consequence::Default(Unmatched::Greylist)));
    let mut rules = plain(|params| {
        params.exempt_authenticated = false;
        params.s25r = Some(Rules::Classic);
    });
    let s25r = [Condition::S25r, Condition::Suspicious, Condition::Always];
    assert_eq!(conditions(&rules), [&lists[..], &always, &s25r].concat());
    let last = rules.checks().last().map(|check| check.consequence);
    assert_eq!(last, Some(Consequence::Default(Unmatched::Pass)));
    let thresholds = Thresholds {
        suspicious: 1,
        reject: Some(3),
        allow: None,
    };
    rules.change(|parts| {
        parts.params.spf.excuses = true;
        parts.dns_lists = DnsLists::parse(&["a.example"], thresholds).unwrap().into();
    });
    let looked_up = [
        Condition::S25r,
        Condition::SpfPass,
        Condition::DnsRejected,
        Condition::DnsListed,
        Condition::Lacking,
        Condition::Suspicious,
        Condition::Always,
    ];
    let want = [&lists[..], &always, &looked_up].concat();
    assert_eq!(conditions(&rules), want);
}
