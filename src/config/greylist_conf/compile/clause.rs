//! The tests of clauses.

use super::super::ast::{
    Comparison, DomainName, MacroValue, Pattern, Position, PropertyTest, Test, TextPattern,
};
use super::Compiler;
use crate::policy::chain::{
    self, Format, MacroPattern, Number, Operator, Piece, PropertyPattern, RateUnit,
};

/// What is wrong with `dkim` when no mail server is trusted about signatures.
pub(super) const DKIM: &str = "dkim: stargrey does not verify DKIM signatures; --trust-authserv-id names a mail server that does";

impl Compiler<'_> {
    /// A test, or an error and one that is never known.
    pub(super) fn test(&mut self, at: Position, asked: &Test) -> chain::Test {
        match asked {
            Test::Address(network) => chain::Test::Network(*network),
            Test::Domain(DomainName::Within(name)) => chain::Test::Domain(name.clone()),
            Test::Domain(DomainName::Suffix(text)) => chain::Test::Suffix(text.clone()),
            Test::DomainMatches(regex) => chain::Test::Name(regex.expression.clone()),
            Test::Helo(pattern) => helo(pattern),
            Test::Sender(text) => chain::Test::Sender(pattern(text)),
            Test::RawSender(text) => chain::Test::RawSender(pattern(text)),
            Test::Recipient(text) => chain::Test::Recipient(pattern(text)),
            Test::List(number) => chain::Test::AnyOf(*number),
            Test::DnsList(number) => match self.conf.dns_lists.get(*number) {
                Some(list) => chain::Test::DnsList(list.zone.clone(), list.answers),
                None => chain::Test::Unknown,
            },
            Test::Authenticated(text) => chain::Test::AuthenticatedAs(pattern(text)),
            Test::Spf(result) => chain::Test::Spf(*result),
            Test::Time(schedule) => chain::Test::Time(*schedule),
            Test::TlsSubject(text) => chain::Test::Certificate(pattern(text)),
            Test::Dkim(_) if self.purpose.authserv_ids.is_empty() => {
                self.error(at, DKIM);
                chain::Test::Unknown
            }
            Test::Macro(_)
            | Test::RecipientCount(_)
            | Test::Header(_)
            | Test::HeaderProperty(_)
            | Test::Body(_)
            | Test::BodyProperty(_)
            | Test::Dkim(_)
            | Test::MessageSize(_)
            | Test::Spam
            | Test::SpamScore(_) => self.of_milter(at, asked),
            Test::SenderMx(0) => {
                let message = "a network of 0 bits is every client there is; use 1 or more";
                self.error(at, message);
                chain::Test::Unknown
            }
            Test::SenderMx(bits) => chain::Test::SenderMx(*bits),
            Test::RateLimit(number) => {
                let unit = self.conf.rate_limits.get(*number).map(|limit| limit.unit);
                if self.purpose.has_milter || unit == Some(RateUnit::Recipients) {
                    chain::Test::RateLimit(*number)
                } else {
                    self.only_milter(at, "a ratelimit of session or data")
                }
            }
            Test::Property(name, PropertyTest::Is(pattern)) => {
                chain::Test::Property(name.clone(), property(pattern))
            }
            Test::Property(name, PropertyTest::Compare(comparison)) => {
                let Comparison { operator, number } = comparison;
                chain::Test::Compare(name.clone(), *operator, number.clone())
            }
            Test::Property(name, PropertyTest::Glob(text)) => {
                let pattern = PropertyPattern::GlobFor(text.clone());
                chain::Test::Property(name.clone(), pattern)
            }
        }
    }

    /// A test that only a milter can make.
    fn of_milter(&mut self, at: Position, asked: &Test) -> chain::Test {
        let compared = |test: fn(Operator, Number) -> chain::Test, with: &Comparison| {
            test(with.operator, with.number.clone())
        };
        let (name, test) = match asked {
            Test::Macro(number) => ("sm_macro", self.macro_test(*number)),
            Test::RecipientCount(with) => {
                ("rcptcount", compared(chain::Test::RecipientCount, with))
            }
            Test::Header(text) => ("header", chain::Test::Header(pattern(text))),
            Test::HeaderProperty(name) => ("header", chain::Test::HeaderProperty(name.clone())),
            Test::Body(text) => ("body", chain::Test::Body(pattern(text))),
            Test::BodyProperty(name) => ("body", chain::Test::BodyProperty(name.clone())),
            Test::MessageSize(with) => ("msgsize", compared(chain::Test::MessageSize, with)),
            Test::Dkim(result) => ("dkim", chain::Test::Dkim(*result)),
            Test::Spam => ("spamd", chain::Test::Spam),
            Test::SpamScore(with) => ("spamd", compared(chain::Test::SpamScore, with)),
            Test::Address(_)
            | Test::Domain(_)
            | Test::DomainMatches(_)
            | Test::Helo(_)
            | Test::Sender(_)
            | Test::RawSender(_)
            | Test::Recipient(_)
            | Test::List(_)
            | Test::DnsList(_)
            | Test::RateLimit(_)
            | Test::SenderMx(_)
            | Test::Authenticated(_)
            | Test::TlsSubject(_)
            | Test::Spf(_)
            | Test::Time(_)
            | Test::Property(..) => ("this", chain::Test::Unknown),
        };
        if self.purpose.has_milter {
            let is_score = matches!(test, chain::Test::Spam | chain::Test::SpamScore(..));
            let has_score = self.purpose.has_score || self.conf.globals.spamd_socket.is_some();
            if is_score && !has_score {
                let message = "spamd is never known, because nothing gives a score: spamdsock, --spamd or --score-header";
                self.warn(at, message);
                return chain::Test::Unknown;
            }
            return test;
        }
        self.only_milter(at, name)
    }

    /// The test of the macro of this number.
    fn macro_test(&self, number: usize) -> chain::Test {
        let Some(defined) = self.conf.macros.get(number) else {
            return chain::Test::Unknown;
        };
        let name = defined.macro_name.trim_matches(['{', '}']);
        let wanted = match &defined.value {
            MacroValue::Is(text) => MacroPattern::Is(pattern(text)),
            MacroValue::Unset => MacroPattern::Unset,
        };
        chain::Test::Macro(name.into(), wanted)
    }

    fn only_milter(&mut self, at: Position, name: &str) -> chain::Test {
        let message = format!("{name} can be answered by a milter only: it never matches");
        self.warn(at, message);
        chain::Test::Unknown
    }
}

fn property(pattern: &Pattern<Format>) -> PropertyPattern {
    match pattern {
        Pattern::Text(text) => PropertyPattern::Text(text.clone()),
        Pattern::Matches(regex) => PropertyPattern::Matches(regex.expression.clone()),
    }
}

fn helo(helo: &Pattern<Format>) -> chain::Test {
    chain::Test::Helo(match helo {
        Pattern::Matches(regex) => chain::Pattern::Matches(regex.expression.clone()),
        Pattern::Text(format) => match format.pieces() {
            [] => chain::Pattern::Text("".into()),
            [Piece::Text(text)] => chain::Pattern::Text(text.clone()),
            _ => return chain::Test::HeloIs(format.clone()),
        },
    })
}

fn pattern(pattern: &TextPattern) -> chain::Pattern {
    match pattern {
        Pattern::Text(text) => chain::Pattern::Text(text.clone()),
        Pattern::Matches(regex) => chain::Pattern::Matches(regex.expression.clone()),
    }
}
