//! Clauses.

use crate::policy::SpfResult;
use crate::policy::chain::{AssignedValue, Number, Operation, Scope};
use crate::policy::message::DkimResult;

use super::super::accepted;
use super::super::ast::{
    Assignment, Clause, ClauseKind, Comparison, DomainName, EntryStage, Position, PropertyTest,
    Test, TextPattern,
};
use super::super::error::{Failure, SyntaxError};
use super::Parser;
use super::definition::Kind;
use super::value::{score, signed_size};

impl Parser<'_> {
    /// A clause; `keyword` is the word that it begins with.
    pub(super) fn clause(
        &mut self,
        stage: EntryStage,
        at: Position,
        keyword: Option<&str>,
    ) -> Result<Clause, Failure> {
        let is_negated = if matches!(keyword, Some("not" | "no")) {
            self.scanner.word()?;
            true
        } else {
            self.scanner.eat("!")?
        };
        let next = self.scanner.peek_keyword()?;
        let effect = match next.as_deref() {
            Some("set") => Some("set"),
            Some("rset") => Some("rset"),
            Some("log") => Some("log"),
            Some("tarpit") => Some("tarpit"),
            Some(_) | None => None,
        };
        let kind = match effect {
            Some(effect) if is_negated => return Err((at, SyntaxError::Negated(effect))),
            Some(effect) => self.effect(effect)?,
            None => {
                let test = self.test(stage, next)?;
                if is_negated {
                    ClauseKind::Not(test)
                } else {
                    ClauseKind::Test(test)
                }
            }
        };
        Ok(Clause { at, kind })
    }

    /// A clause that holds always.
    fn effect(&mut self, keyword: &str) -> Result<ClauseKind, Failure> {
        self.scanner.word()?;
        Ok(match keyword {
            "log" => ClauseKind::Log(self.format()?),
            "tarpit" => ClauseKind::Tarpit(self.span()?),
            "rset" => ClauseKind::Set(self.assignment(Scope::Recipient)?),
            _ => ClauseKind::Set(self.assignment(Scope::Message)?),
        })
    }

    fn assignment(&mut self, scope: Scope) -> Result<Assignment, Failure> {
        let Some(property) = self.property()? else {
            return Err(self.scanner.expected("a property: $name"));
        };
        let operation = if self.scanner.eat("+=")? {
            Operation::Add
        } else if self.scanner.eat("-=")? {
            Operation::Subtract
        } else if self.scanner.eat("=")? {
            Operation::Assign
        } else {
            return Err(self.scanner.expected("one of = += -="));
        };
        let at = self.scanner.position_of_next()?;
        let value = if let Some(text) = self.scanner.quoted()? {
            AssignedValue::Text(self.formatted(at, &text))
        } else if let Some(other) = self.tested_property()? {
            AssignedValue::Number(Number::Property(other))
        } else {
            let what = "a text in quotation marks, a number or a property";
            let word = self.required_word(what)?;
            let number = signed_size(word);
            let number = number.ok_or_else(|| (at, SyntaxError::Value(word.to_owned(), what)))?;
            AssignedValue::Number(Number::Literal(number))
        };
        self.set.push(property.clone());
        Ok(Assignment {
            scope,
            property,
            operation,
            value,
        })
    }

    /// A test that can be made at that stage.
    fn test(&mut self, stage: EntryStage, keyword: Option<String>) -> Result<Test, Failure> {
        let at = self.scanner.position_of_next()?;
        let Some(keyword) = keyword else {
            return self.property_test();
        };
        if let Some(why) = accepted::refusal(&keyword) {
            return Err((at, SyntaxError::Unsupported(why)));
        }
        let word = self.scanner.word()?.unwrap_or_default();
        let Some((name, test)) = self.named_test(at, &keyword)? else {
            return Err((at, SyntaxError::Clause(word.to_owned())));
        };
        let wanted = if let Test::List(number) = &test {
            self.stage_of_list(*number)
        } else {
            test.stage()
        };
        match wanted {
            Some(EntryStage::Recipient) if stage != EntryStage::Recipient => {
                Err((at, SyntaxError::RecipientOnly(name)))
            }
            Some(EntryStage::Message) if stage != EntryStage::Message => {
                Err((at, SyntaxError::MessageOnly(name)))
            }
            Some(_) | None => Ok(test),
        }
    }

    /// The only stage at which a list can be tested, if it is not both. Its items are of one type.
    fn stage_of_list(&self, number: usize) -> Option<EntryStage> {
        let items = self.conf.lists.get(number)?.items.as_ref().ok()?;
        items.first()?.value.stage()
    }

    /// A test by its keyword, which comes back as it is in messages; `None` if it is not one.
    fn named_test(
        &mut self,
        at: Position,
        keyword: &str,
    ) -> Result<Option<(&'static str, Test)>, Failure> {
        let plain = |word: &str| i64::try_from(word.parse::<u64>().ok()?).ok();
        Ok(Some(match keyword {
            "addr" => ("addr", Test::Address(self.address()?)),
            "domain" => ("domain", self.domain()?),
            "helo" => ("helo", Test::Helo(self.format_pattern()?)),
            "from" => ("from", Test::Sender(self.mail_pattern()?)),
            "rawfrom" => ("rawfrom", Test::RawSender(self.mail_pattern()?)),
            "rcpt" => ("rcpt", Test::Recipient(self.mail_pattern()?)),
            "dnsrbl" => ("dnsrbl", Test::DnsList(self.used(Kind::DnsList)?)),
            "sm_macro" => ("sm_macro", Test::Macro(self.used(Kind::Macro)?)),
            "ratelimit" => ("ratelimit", Test::RateLimit(self.used(Kind::RateLimit)?)),
            "list" => ("list", self.list_test()?),
            "mx" => ("mx", Test::SenderMx(self.prefix_length(128)?)),
            "auth" => {
                self.conf.globals.no_auth.get_or_insert(at);
                ("auth", Test::Authenticated(self.text_pattern()?))
            }
            "tls" => {
                self.conf.globals.no_auth.get_or_insert(at);
                ("tls", Test::TlsSubject(self.text_pattern()?))
            }
            "spf" => {
                self.conf.globals.no_spf.get_or_insert(at);
                ("spf", Test::Spf(self.spf_result()?))
            }
            "time" => ("time", Test::Time(self.schedule()?)),
            "rcptcount" => {
                let comparison = self.comparison(plain, "a number of recipients")?;
                ("rcptcount", Test::RecipientCount(comparison))
            }
            "header" => ("header", self.content(Test::Header, Test::HeaderProperty)?),
            "body" => ("body", self.content(Test::Body, Test::BodyProperty)?),
            "dkim" => ("dkim", Test::Dkim(self.dkim_result()?)),
            "msgsize" => {
                let what = "a size, with k or M after it if it is large";
                (
                    "msgsize",
                    Test::MessageSize(self.comparison(signed_size, what)?),
                )
            }
            "spamd" => ("spamd", self.spam()?),
            _ => return Ok(None),
        }))
    }

    /// The name of a client, or an expression.
    pub(super) fn domain(&mut self) -> Result<Test, Failure> {
        if let Some(regex) = self.regex()? {
            return Ok(Test::DomainMatches(regex));
        }
        let is_suffix = self.scanner.eat("*")?;
        let word = self.required_word(
            "the name of a host or domain without quotation marks, or an expression",
        )?;
        // The names of clients have no dot at their end.
        let name = word.strip_suffix('.').unwrap_or(word).to_ascii_lowercase();
        // `.example.com` has its own boundary, and does not mean example.com itself.
        Ok(Test::Domain(if is_suffix || name.starts_with('.') {
            DomainName::Suffix(name.into())
        } else {
            DomainName::Within(name.into())
        }))
    }

    fn list_test(&mut self) -> Result<Test, Failure> {
        let at = self.scanner.position_of_next()?;
        let number = self.used(Kind::List)?;
        if let Some(list) = self.conf.lists.get(number)
            && let Err(kind) = &list.items
        {
            let why = accepted::refusal(kind).unwrap_or_default();
            let name = String::from(list.name.clone());
            return Err((at, SyntaxError::UnsupportedList(name, kind, why)));
        }
        Ok(Test::List(number))
    }

    /// Without a result: pass.
    fn spf_result(&mut self) -> Result<SpfResult, Failure> {
        let result = match self.scanner.peek_keyword()?.as_deref() {
            Some("pass") => SpfResult::Pass,
            Some("fail") => SpfResult::Fail,
            Some("softfail") => SpfResult::Softfail,
            Some("neutral") => SpfResult::Neutral,
            Some("unknown") => SpfResult::Permerror,
            Some("error") => SpfResult::Temperror,
            Some("none") => SpfResult::None,
            Some("self") => SpfResult::PassAny,
            Some(_) | None => return Ok(SpfResult::Pass),
        };
        self.scanner.word()?;
        Ok(result)
    }

    fn dkim_result(&mut self) -> Result<DkimResult, Failure> {
        let result = match self.scanner.peek_keyword()?.as_deref() {
            Some("pass") => DkimResult::Pass,
            Some("fail") => DkimResult::Fail,
            Some("none") => DkimResult::None,
            Some("unknown") => DkimResult::Unknown,
            Some("error") => DkimResult::Error,
            Some(_) | None => {
                let what = "a result: pass, fail, none, unknown or error";
                return Err(self.scanner.expected(what));
            }
        };
        self.scanner.word()?;
        Ok(result)
    }

    /// What the header or body must contain.
    fn content(
        &mut self,
        pattern: fn(TextPattern) -> Test,
        property: fn(Box<str>) -> Test,
    ) -> Result<Test, Failure> {
        match self.tested_property()? {
            Some(name) => Ok(property(name)),
            None => Ok(pattern(self.text_pattern()?)),
        }
    }

    fn spam(&mut self) -> Result<Test, Failure> {
        let Some(operator) = self.operator()? else {
            return Ok(Test::Spam);
        };
        let what = "a score: a number with up to three decimals";
        let comparison = self.compared(operator, score, what)?;
        Ok(Test::SpamScore(comparison))
    }

    /// `$name …` or `*$name "text"`.
    fn property_test(&mut self) -> Result<Test, Failure> {
        let is_glob = self.scanner.eat("*")?;
        let Some(name) = self.tested_property()? else {
            return Err(self.scanner.expected("a clause"));
        };
        let test = if is_glob {
            PropertyTest::Glob(self.format()?)
        } else if let Some(operator) = self.operator()? {
            let comparison: Comparison = self.compared(operator, signed_size, "a number")?;
            PropertyTest::Compare(comparison)
        } else {
            PropertyTest::Is(self.format_pattern()?)
        };
        Ok(Test::Property(name, test))
    }
}
