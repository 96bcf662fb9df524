//! The order of the checks without access lists, written down a second time: what rules of a file are put into must not
//! change for those who have none.

use proptest::prelude::*;

use super::super::s25r::Rules;
use super::super::tests::{access, with_lists};
use super::super::{DnsLists, Finding, Scheme, SpfFinding, Tarpit, Thresholds};
use super::oracle_tests::{Check, Lacking};
use super::*;
use crate::policy::SpfUse;
use crate::policy::{Lookup, Unmatched};
use crate::types::Span;

impl Parts<'_> {
    fn suspicion_by_options(
        &mut self,
        evidence: &Evidence,
        rules: &Ruleset,
    ) -> Result<Check, Settled> {
        let trace = &mut ();
        let by_tables = match self.by_tables(rules, trace) {
            Err(settled) if settled.reply.is_some() => {
                return self.replied(settled, evidence, rules, trace);
            }
            by_tables => by_tables?,
        };
        let opted_in = self.exemption(rules, trace)?;
        let (rule, exception) = match by_tables {
            Some(_) => (None, None),
            None => self.by_s25r(rules, trace),
        };
        let by_name = rule.filter(|_| exception.is_none()).map(Suspicion::S25r);
        let (is_excused, missing) = match by_name {
            Some(_) if rules.params.spf.excuses => match self.by_spf(evidence, trace) {
                Ok(result) => (result == SpfResult::Pass, None),
                Err(lookup) => (false, Some(lookup)),
            },
            Some(_) | None => (false, None),
        };
        let so_far = by_tables.or(by_name.filter(|_| !is_excused));
        match self.by_dns_lists((so_far, false), evidence, rules, trace)? {
            Some(Check::Lacks(mut lacking)) => {
                lacking.lookups.extend(missing);
                return Ok(Check::Lacks(lacking));
            }
            Some(by_lists @ Check::Done(_)) => return Ok(by_lists),
            None => {}
        }
        if let Some(lookup) = missing {
            return Ok(Check::Lacks(Lacking::only(lookup, so_far)));
        }
        if so_far.is_some() {
            return Ok(Check::Done(so_far));
        }
        let because = exception.map_or(Because::Request, Because::Entry);
        match rules.unmatched() {
            Unmatched::Pass if is_excused => Err(pass(Reason::SpfPass, because)),
            Unmatched::Pass => Err(pass(Reason::NotSuspicious, because)),
            Unmatched::Greylist => Ok(Check::Done(opted_in)),
        }
    }
}

/// What is known, and what is not.
fn findings() -> impl Strategy<Value = Vec<Option<Finding>>> {
    let listed = |last| Finding::Addresses([[127, 0, 0, last].into()].into());
    let finding = prop_oneof![
        (1..4_u8).prop_map(move |last| Some(listed(last))),
        Just(Some(Finding::Absent)),
        Just(Some(Finding::NoAnswer)),
        Just(None),
    ];
    prop::collection::vec(finding, 2)
}

/// Comparable.
fn made(check: Result<Check, Settled>) -> (Option<Plan>, Vec<Lookup>, Option<Suspicion>) {
    match check {
        Ok(Check::Done(suspicion)) => (None, Vec::new(), suspicion),
        Ok(Check::Lacks(lacking)) => (None, lacking.lookups, lacking.so_far),
        Err(settled) => (Some(settled.plan()), Vec::new(), None),
    }
}

proptest! {
    #[test]
    fn without_access_lists_everything_is_as_the_options_alone_say(
        findings in findings(),
        (suspicious, above, allow) in (1..3_i32, prop::option::of(0..3_i32), prop::option::of(-3..0_i32)),
        (s25r, spf_excuses, opt_in, exempt) in any::<(bool, bool, bool, bool)>(),
        (is_known, is_data, has_tables) in any::<(bool, bool, bool)>(),
        unmatched in prop::option::of(any::<bool>()),
        name in prop::sample::select(vec!["unknown", "a1b2.example", "mx.example", "bad.example", "told.example"]),
        spf in prop::option::of(any::<bool>()),
    ) {
        let mut rules = with_lists(
            |params| {
                params.s25r = s25r.then_some(Rules::Classic);
                params.spf = SpfUse { excuses: spf_excuses, ..SpfUse::default() };
                params.recipients_opt_in = opt_in;
                params.exempt_authenticated = exempt;
                params.unmatched = unmatched.map(|passes| {
                    if passes { Unmatched::Pass } else { Unmatched::Greylist }
                });
                params.tarpit = is_data.then_some(Tarpit {
                    length: Span::from_seconds(65),
                    scheme: Scheme::Targrey,
                });
                params.tarpit_limit = 1;
            },
            |lists| if has_tables {
                lists.access = access(&[("^bad", "greylist"), ("^told", "REJECT no"), ("^mx", "OK")]);
            },
        );
        let reject = above.map(|above| suspicious + above);
        let sites = "a.example=127.0.0.1*2 a.example=127.0.0.2 b.example=127.0.0.[1..3]*-2";
        let lists = DnsLists::parse(&[sites], Thresholds { suspicious, reject, allow }).unwrap();
        rules.change(|parts| parts.dns_lists = lists.into());
        let attempt = Attempt {
            stage: if is_data { Stage::Data } else { Stage::Recipient },
            client_address: Some(b"192.0.2.7"),
            client_name: Some(name.as_bytes()),
            sender: Some(b"a@example.com"),
            recipient: Some(b"c@d"),
            user: is_known.then_some(b"joe"),
            ..Attempt::default()
        };
        let client = ClientIp::parse(b"192.0.2.7").unwrap();
        let mut evidence = Evidence::default();
        let zones = rules.dns_lists.zones().zip(findings);
        evidence.add(zones.filter_map(|(zone, finding)| {
            Some((Lookup::DnsList(zone.clone(), client), finding?))
        }).collect::<Vec<_>>());
        if let Some(passes) = spf {
            let question = crate::policy::SpfQuestion::new(client, b"", b"a@example.com").unwrap();
            let domain = crate::policy::Domain::of(b"example.com").unwrap();
            let finding = if passes {
                SpfFinding::Passed(domain)
            } else {
                SpfFinding::NotPassed(SpfResult::Fail)
            };
            evidence.add([(Lookup::Spf(question), Finding::Spf(finding))]);
        }
        let parts = || Parts::read(&attempt, &rules).ok().unwrap();
        let got = parts().suspicion(&evidence, &rules, &mut ());
        let want = parts().suspicion_by_options(&evidence, &rules);
        prop_assert_eq!(made(got), made(want));
    }
}
