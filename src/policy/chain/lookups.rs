//! Tests of what has to be looked up.

use super::search::Search;
use super::subject::Subject;
use super::truth::Truth;
use crate::policy::evidence::is_listing;
use crate::policy::{Finding, Lookup, SpfFinding, SpfQuestion, SpfResult, Zone};
use crate::types::{ClientIp, Prefix};

impl Search<'_, '_> {
    /// Whether a DNS list has the client, with an answer in this network.
    pub(super) fn dns_list(
        &self,
        zone: &Zone,
        answers: Prefix,
        lacking: &mut Vec<Lookup>,
    ) -> Truth {
        if !self.subject.client.is_public() {
            return Truth::False;
        }
        let lookup = Lookup::DnsList(zone.clone(), self.subject.client);
        match self.found(lookup, lacking) {
            Some(finding) if finding.error_code().is_some() => Truth::Unknown,
            Some(Finding::Addresses(found)) => {
                let listings = found.iter().copied().filter(|answer| is_listing(*answer));
                let mut clients = listings.map(|answer| ClientIp::new(answer.into()));
                clients.any(|answer| answers.contains(answer)).into()
            }
            Some(Finding::Absent) => Truth::False,
            Some(
                Finding::NoAnswer
                | Finding::Text(_)
                | Finding::Spf(_)
                | Finding::SenderMx(_)
                | Finding::Score(_)
                | Finding::BodyText(_),
            )
            | None => Truth::Unknown,
        }
    }

    /// Whether this is the result of SPF.
    pub(super) fn spf(&self, wanted: SpfResult, lacking: &mut Vec<Lookup>) -> Truth {
        let Subject {
            client,
            helo,
            sender,
            ..
        } = self.subject;
        let helo = helo.unwrap_or_default();
        let Some(question) = SpfQuestion::new(*client, helo, sender) else {
            return (wanted == SpfResult::None).into();
        };
        match self.found(Lookup::Spf(question), lacking) {
            Some(Finding::Spf(SpfFinding::Passed(_))) => (wanted == SpfResult::Pass).into(),
            Some(Finding::Spf(SpfFinding::NotPassed(result))) => match *result {
                result if result == wanted => Truth::True,
                SpfResult::Temperror => Truth::Unknown,
                SpfResult::Pass
                | SpfResult::PassAny
                | SpfResult::None
                | SpfResult::Neutral
                | SpfResult::Softfail
                | SpfResult::Fail
                | SpfResult::Permerror => Truth::False,
            },
            Some(
                Finding::Addresses(_)
                | Finding::Text(_)
                | Finding::SenderMx(_)
                | Finding::Score(_)
                | Finding::BodyText(_)
                | Finding::Absent
                | Finding::NoAnswer,
            )
            | None => Truth::Unknown,
        }
    }

    /// Whether the client is in a network with a mail server of the sender's domain; the null sender has none.
    pub(super) fn sender_mx(&self, bits: u8, lacking: &mut Vec<Lookup>) -> Truth {
        let sender = self.subject.sender;
        let domain = sender.iter().rposition(|byte| *byte == b'@');
        let domain = domain.and_then(|at| sender.get(at..));
        // The local part makes no difference, so that the finding serves for all senders of the domain.
        let question = domain.and_then(|domain| SpfQuestion::new(self.subject.client, b"", domain));
        let Some(question) = question else {
            return Truth::False;
        };
        match self.found(Lookup::SenderMx(question, bits), lacking) {
            Some(Finding::SenderMx(is_near)) => (*is_near).into(),
            Some(
                Finding::Addresses(_)
                | Finding::Text(_)
                | Finding::Spf(_)
                | Finding::Score(_)
                | Finding::BodyText(_)
                | Finding::Absent
                | Finding::NoAnswer,
            )
            | None => Truth::Unknown,
        }
    }

    /// What was found; a lookup that has not been made is added to those that are lacking.
    fn found(&self, lookup: Lookup, lacking: &mut Vec<Lookup>) -> Option<&Finding> {
        let found = self.evidence.find(&lookup);
        if found.is_none() {
            lacking.push(lookup);
        }
        found
    }
}
