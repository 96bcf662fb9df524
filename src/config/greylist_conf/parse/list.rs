//! Lists.

use crate::policy::chain::Schedule;

use super::super::accepted;
use super::super::ast::{List, Located, Position, Test};
use super::super::error::{Failure, SyntaxError};
use super::Parser;
use super::definition::Kind;

/// What a list can have as items.
const TYPES: &str = "a type: addr, domain, helo, from, rawfrom, rcpt, dnsrbl, sm_macro, auth, tls, time, header or body";

impl Parser<'_> {
    /// `list "name" type { items }`.
    pub(super) fn list(&mut self, at: Position) -> Result<(), Failure> {
        let name = self.new_name(Kind::List)?;
        let kind_at = self.scanner.position_of_next()?;
        let word = self.required_word(TYPES)?;
        let kind = word.trim_end_matches(':').to_ascii_lowercase();
        if !self.scanner.eat("{")? {
            return Err(self.scanner.expected("{"));
        }
        let unsupported = match kind.as_str() {
            "geoip" => Some("geoip"),
            "p0f" => Some("p0f"),
            "urlcheck" => Some("urlcheck"),
            _ => None,
        };
        let mut items = Vec::new();
        loop {
            let item_at = self.scanner.position_of_next()?;
            if unsupported.is_some() {
                self.text_pattern()?;
            } else {
                let Some(value) = self.item(&kind)? else {
                    return Err((kind_at, SyntaxError::Value(word.to_owned(), TYPES)));
                };
                items.push(Located { at: item_at, value });
            }
            if self.scanner.eat("}")? {
                break;
            }
            if self.scanner.is_at_end()? {
                let what = "}, or a backslash at the end of the line if the list goes on";
                return Err(self.scanner.expected(what));
            }
        }
        self.define(Kind::List, &name, self.conf.lists.len(), at)?;
        let name = name.into();
        let items = match unsupported {
            None => Ok(items),
            Some(kind) => {
                let why = accepted::refusal(kind).unwrap_or_default();
                self.warn(
                    at,
                    format!("the list has no effect: {why}; entries with it are refused"),
                );
                Err(kind)
            }
        };
        self.conf.lists.push(List { name, at, items });
        Ok(())
    }

    /// Parses an item of a list of that type; `None` for an unknown type.
    fn item(&mut self, kind: &str) -> Result<Option<Test>, Failure> {
        Ok(Some(match kind {
            "addr" => Test::Address(self.address()?),
            "domain" => self.domain()?,
            "helo" => Test::Helo(self.format_pattern()?),
            "from" => Test::Sender(self.mail_pattern()?),
            "rawfrom" => Test::RawSender(self.mail_pattern()?),
            "rcpt" => Test::Recipient(self.mail_pattern()?),
            "dnsrbl" => Test::DnsList(self.used(Kind::DnsList)?),
            "sm_macro" => Test::Macro(self.used(Kind::Macro)?),
            "auth" => Test::Authenticated(self.text_pattern()?),
            "tls" => Test::TlsSubject(self.text_pattern()?),
            "header" => Test::Header(self.text_pattern()?),
            "body" => Test::Body(self.text_pattern()?),
            "time" => Test::Time(self.schedule()?),
            _ => return Ok(None),
        }))
    }

    /// `"m h d M w"`.
    pub(super) fn schedule(&mut self) -> Result<Schedule, Failure> {
        let at = self.scanner.position_of_next()?;
        let text =
            self.required_text("a time in quotation marks: \"minute hour day month weekday\"")?;
        Schedule::parse(&text).map_err(|error| (at, error.into()))
    }
}
