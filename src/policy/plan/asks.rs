//! What is asked about an attempt, each by itself.

use super::Parts;
use crate::policy::{
    EntryRef, Evidence, Finding, ListName, Lookup, Ruleset, SpfFinding, SpfQuestion, SpfResult,
    Step, Trace, s25r,
};

impl Parts<'_> {
    /// The rule of S25R that the name matches, and the exception that it is, if it is one.
    pub(super) fn by_s25r(
        &mut self,
        rules: &Ruleset,
        trace: &mut impl Trace,
    ) -> (Option<u8>, Option<EntryRef>) {
        let Some(of) = rules.params.s25r else {
            return (None, None);
        };
        let found = s25r::find(self.name, of);
        let rule = found.rule();
        let exception = rule.and_then(|_| {
            rules.find(ListName::S25rException, |lists| {
                lists.s25r_exceptions.find(self.name, self.client)
            })
        });
        self.is_line = Some(rule.is_some() && exception.is_none());
        trace.note(Step::S25r(found, exception));
        (rule, exception)
    }

    /// What SPF says; `Err`: it must be asked first.
    pub(super) fn by_spf(
        &mut self,
        evidence: &Evidence,
        trace: &mut impl Trace,
    ) -> Result<SpfResult, Lookup> {
        if let Some(known) = self.spf {
            return Ok(known);
        }
        let question = SpfQuestion::new(self.client, self.helo, self.sender);
        let result = match question.map(Lookup::Spf) {
            None => SpfResult::None,
            Some(lookup) => match evidence.find(&lookup) {
                None => return Err(lookup),
                Some(Finding::Spf(SpfFinding::Passed(_))) => SpfResult::Pass,
                Some(Finding::Spf(SpfFinding::NotPassed(result))) => *result,
                Some(
                    Finding::NoAnswer
                    | Finding::Absent
                    | Finding::Text(_)
                    | Finding::SenderMx(_)
                    | Finding::Score(_)
                    | Finding::BodyText(_)
                    | Finding::Addresses(_),
                ) => SpfResult::Temperror,
            },
        };
        self.spf = Some(result);
        trace.note(Step::Spf(result));
        Ok(result)
    }
}
