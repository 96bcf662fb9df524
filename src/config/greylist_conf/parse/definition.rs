//! Definitions: what entries use by its name.

use std::net::IpAddr;

use crate::policy::chain::RateUnit;
use crate::types::Span;

use super::super::ast::{DnsList, MacroTest, MacroValue, Pattern, Position, RateLimit, Statistic};
use super::super::error::{Failure, SyntaxError};
use super::Parser;

/// What can be defined and used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    List,
    DnsList,
    Macro,
    RateLimit,
}

impl Kind {
    const fn keyword(self) -> &'static str {
        match self {
            Self::List => "list",
            Self::DnsList => "dnsrbl",
            Self::Macro => "sm_macro",
            Self::RateLimit => "ratelimit",
        }
    }
}

impl Parser<'_> {
    pub(super) fn dns_list(&mut self, at: Position) -> Result<(), Failure> {
        let name = self.new_name(Kind::DnsList)?;
        let zone = self.zone()?;
        let answers_at = self.scanner.position_of_next()?;
        let answers = self.address()?;
        let is_answer = match answers.address() {
            IpAddr::V4(first) => first.is_loopback() && answers.length() >= 8,
            IpAddr::V6(_) => false,
        };
        if !is_answer {
            let what = "an address or a network in 127.0.0.0/8";
            return Err((answers_at, SyntaxError::Value(answers.to_string(), what)));
        }
        self.define(Kind::DnsList, &name, self.conf.dns_lists.len(), at)?;
        let name = name.into();
        self.conf.dns_lists.push(DnsList {
            name,
            at,
            zone,
            answers,
        });
        Ok(())
    }

    pub(super) fn macro_test(&mut self, at: Position) -> Result<(), Failure> {
        let name = self.new_name(Kind::Macro)?;
        let macro_name = self.required_text("the name of a macro in quotation marks")?;
        let value = if self.scanner.peek_keyword()?.as_deref() == Some("unset") {
            self.scanner.word()?;
            MacroValue::Unset
        } else if let Some(text) = self.scanner.quoted()? {
            MacroValue::Is(Pattern::Text(text.into()))
        } else if let Some(regex) = self.regex()? {
            MacroValue::Is(Pattern::Matches(regex))
        } else {
            let what = "a value in quotation marks, an expression or unset";
            return Err(self.scanner.expected(what));
        };
        self.define(Kind::Macro, &name, self.conf.macros.len(), at)?;
        self.conf.macros.push(MacroTest {
            name: name.into(),
            at,
            macro_name: macro_name.into(),
            value,
        });
        Ok(())
    }

    pub(super) fn rate_limit(&mut self, at: Position) -> Result<(), Failure> {
        let name = self.new_name(Kind::RateLimit)?;
        let unit_at = self.scanner.position_of_next()?;
        let word = self.required_word("rcpt, session or data")?;
        let unit = match word.to_ascii_lowercase().as_str() {
            "rcpt" => RateUnit::Recipients,
            "session" => RateUnit::Sessions,
            "data" => RateUnit::Bytes,
            _ => {
                return Err((
                    unit_at,
                    SyntaxError::Value(word.to_owned(), "rcpt, session or data"),
                ));
            }
        };
        let limit = self.size()?;
        if !self.scanner.eat("/")? {
            return Err(self.scanner.expected("/ and a time"));
        }
        let period_at = self.scanner.position_of_next()?;
        let period = self.span()?;
        if period == Span::ZERO {
            return Err((
                period_at,
                SyntaxError::Value("0".to_owned(), "a time of at least a second"),
            ));
        }
        let key = if self.scanner.peek_keyword()?.as_deref() == Some("key") {
            self.scanner.word()?;
            Some(self.format()?)
        } else {
            None
        };
        self.define(Kind::RateLimit, &name, self.conf.rate_limits.len(), at)?;
        self.conf.rate_limits.push(RateLimit {
            name: name.into(),
            at,
            unit,
            limit,
            period,
            key,
        });
        Ok(())
    }

    pub(super) fn statistic(&mut self, at: Position) -> Result<(), Failure> {
        let destination = self
            .required_text("a file or a command in quotation marks")?
            .into();
        let format_at = self.scanner.position_of_next()?;
        let text = self.required_text("a text in quotation marks")?;
        // There these are the end of a line and a tab. A record of the log is one line.
        let text = ["\\n", "\\t"]
            .iter()
            .fold(text, |text, escape| text.replace(escape, " "));
        let format = self.formatted(format_at, text.trim_end());
        let message = "each line becomes a record of the log (STARGREY_STAT): stargrey writes no such file and \
                       never runs a program";
        self.warn(at, message);
        self.conf.statistics.push(Statistic {
            at,
            destination,
            format,
        });
        Ok(())
    }

    /// The number of what has this name, which comes next.
    pub(super) fn used(&mut self, kind: Kind) -> Result<usize, Failure> {
        let at = self.scanner.position_of_next()?;
        let name = self.required_text("a name in quotation marks")?;
        let key = (kind, name);
        match self.defined.get(&key) {
            Some((number, _)) => Ok(*number),
            None => Err((at, SyntaxError::Undefined(kind.keyword(), key.1))),
        }
    }

    /// A name that is not taken yet, which comes next.
    pub(super) fn new_name(&mut self, kind: Kind) -> Result<String, Failure> {
        let at = self.scanner.position_of_next()?;
        let name = self.required_text("a name in quotation marks")?;
        let key = (kind, name);
        match self.defined.get(&key) {
            None => Ok(key.1),
            Some((_, first)) => Err((at, SyntaxError::Twice(kind.keyword(), key.1, first.line))),
        }
    }

    /// Gives a number a name, once the definition has been read to its end.
    pub(super) fn define(
        &mut self,
        kind: Kind,
        name: &str,
        number: usize,
        at: Position,
    ) -> Result<(), Failure> {
        if !self.scanner.is_at_end()? {
            return Err(self.scanner.expected("the end of the line"));
        }
        self.defined.insert((kind, name.to_owned()), (number, at));
        Ok(())
    }
}
