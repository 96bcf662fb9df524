//! Entries: action, clauses, values.

use crate::policy::chain::Format;

use super::super::accepted;
use super::super::ast::{
    Action, Clause, ClauseKind, Entry, EntryStage, HeaderField, Located, Position, ReplyCode, Test,
    Values,
};
use super::super::error::{Failure, SyntaxError};
use super::super::limits::MAX_ENTRIES;
use super::Parser;

impl Parser<'_> {
    /// An entry, its first word taken already.
    pub(super) fn entry(
        &mut self,
        at: Position,
        stage: EntryStage,
        is_new: bool,
    ) -> Result<(), Failure> {
        let id = if is_new { self.scanner.quoted()? } else { None };
        let action = self.action(is_new)?;
        let (mut clauses, mut values) = (Vec::new(), Values::default());
        let is_default = self.scanner.peek_keyword()?.as_deref() == Some("default");
        if is_default {
            self.scanner.word()?;
        }
        let mut has_values = false;
        while !self.scanner.is_at_end()? {
            let next = self.scanner.position();
            let keyword = self.scanner.peek_keyword()?;
            if self.value(keyword.as_deref(), &mut values)? {
                has_values = true;
                continue;
            }
            let clause = self.clause(stage, next, keyword.as_deref())?;
            if is_default {
                return Err((next, SyntaxError::NotAlone));
            }
            if has_values {
                return Err((next, SyntaxError::Order));
            }
            only_one(&clauses, &clause)?;
            clauses.push(clause);
        }
        if clauses.is_empty() && !is_default {
            return Err((at, SyntaxError::NoClause));
        }
        self.check_values(action, &values)?;
        self.check_room(at)?;
        self.add(Entry {
            at,
            text: self.scanner.statement().into(),
            id: id.map(Into::into),
            stage,
            action,
            clauses,
            values,
        });
        Ok(())
    }

    /// A bare `addr`, `rcpt` and so on, its word taken already.
    pub(super) fn legacy(&mut self, at: Position, keyword: &str) -> Result<(), Failure> {
        let kind = ClauseKind::Test(match keyword {
            "addr" => Test::Address(self.address()?),
            "domain" => self.domain()?,
            "from" => Test::Sender(self.mail_pattern()?),
            "rawfrom" => Test::RawSender(self.mail_pattern()?),
            _ => Test::Recipient(self.mail_pattern()?),
        });
        let in_test_mode = self.conf.globals.test_mode.is_some();
        let action = if keyword == "rcpt" && in_test_mode {
            Action::Greylist
        } else {
            Action::Whitelist
        };
        self.check_room(at)?;
        self.legacy.push(Entry {
            at,
            text: self.scanner.statement().into(),
            id: None,
            stage: EntryStage::Recipient,
            action,
            clauses: vec![Clause { at, kind }],
            values: Values::default(),
        });
        Ok(())
    }

    fn check_room(&self, at: Position) -> Result<(), Failure> {
        let entries = [&self.conf.recipient, &self.conf.message, &self.legacy];
        let count = entries
            .into_iter()
            .map(Vec::len)
            .fold(0, usize::saturating_add);
        if count < MAX_ENTRIES {
            Ok(())
        } else {
            Err((at, SyntaxError::Entries))
        }
    }

    fn action(&mut self, is_new: bool) -> Result<Action, Failure> {
        let what = if is_new {
            "greylist, whitelist, blacklist or continue"
        } else {
            "greylist, whitelist or blacklist"
        };
        let at = self.scanner.position_of_next()?;
        let word = self.required_word(what)?;
        match word.trim_end_matches(':').to_ascii_lowercase().as_str() {
            "greylist" => Ok(Action::Greylist),
            "whitelist" => Ok(Action::Whitelist),
            "blacklist" => Ok(Action::Blacklist),
            "continue" if is_new => Ok(Action::Continue),
            _ => Err((at, SyntaxError::Value(word.to_owned(), what))),
        }
    }

    /// Adds an entry, unless it comes after the default.
    fn add(&mut self, entry: Entry) {
        let (entries, default) = match entry.stage {
            EntryStage::Recipient => (&mut self.conf.recipient, &mut self.recipient_default),
            EntryStage::Message => (&mut self.conf.message, &mut self.message_default),
        };
        if let Some(default) = *default {
            let message = format!(
                "this is never reached: the default is at line {}",
                default.line
            );
            self.warn(entry.at, message);
            return;
        }
        // A default that continues decides nothing.
        if entry.is_default() && entry.action != Action::Continue {
            *default = Some(entry.at);
        }
        entries.push(entry);
    }

    /// A value; whether it is one.
    fn value(&mut self, keyword: Option<&str>, values: &mut Values) -> Result<bool, Failure> {
        let at = self.scanner.position();
        match keyword {
            Some("delay") => once("delay", at, &mut values.delay, self.value_of(Self::span)?)?,
            Some("autowhite") => {
                let value = self.value_of(Self::span)?;
                once("autowhite", at, &mut values.auto_white, value)?;
            }
            Some("code") => {
                let value = self.value_of(Self::reply_code)?;
                once("code", at, &mut values.code, value)?;
            }
            Some("ecode") => {
                let value = self.value_of(Self::enhanced_code)?;
                once("ecode", at, &mut values.enhanced_code, value)?;
            }
            Some("msg") => once("msg", at, &mut values.message, self.value_of(Self::format)?)?,
            Some("report") => once(
                "report",
                at,
                &mut values.report,
                self.value_of(Self::format)?,
            )?,
            Some("flushaddr") => {
                self.scanner.word()?;
                values.flush_address.get_or_insert(at);
            }
            Some("nolog") => {
                self.scanner.word()?;
                values.no_log.get_or_insert(at);
            }
            Some("addheader") => {
                let value = self.value_of(Self::header_field)?;
                values.headers.push(Located { at, value });
            }
            Some("maxpeek") => {
                self.value_of(Self::size)?;
                self.warn_no_effect(at, "maxpeek");
            }
            Some("tarpit_scope") => {
                self.value_of(|parser| parser.required_word("session or command"))?;
                self.warn_no_effect(at, "tarpit_scope");
            }
            Some("addfooter") => {
                let why = "addfooter: a changed body breaks the signatures of a message";
                return Err((at, SyntaxError::Refused(why)));
            }
            Some("subjtag") => {
                let why = "subjtag: a changed subject breaks the signatures of a message";
                return Err((at, SyntaxError::Refused(why)));
            }
            Some(_) | None => return Ok(false),
        }
        Ok(true)
    }

    /// What follows the keyword of a value.
    fn value_of<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        self.scanner.word()?;
        read(self)
    }

    fn warn_no_effect(&mut self, at: Position, keyword: &'static str) {
        let sentence = accepted::sentence(keyword).unwrap_or_default();
        self.warn(at, format!("{keyword} has no effect: {sentence}"));
    }

    fn reply_code(&mut self) -> Result<ReplyCode, Failure> {
        let what = "a reply code from 400 to 559 in quotation marks";
        let at = self.scanner.position_of_next()?;
        let text = self.required_text(what)?;
        let is_code = matches!(text.as_bytes(), [b'4' | b'5', b'0'..=b'5', b'0'..=b'9']);
        let number = text.parse().ok().filter(|_| is_code);
        number
            .map(ReplyCode)
            .ok_or((at, SyntaxError::Value(text, what)))
    }

    fn enhanced_code(&mut self) -> Result<Box<str>, Failure> {
        let what = "an enhanced status code such as \"4.7.1\"";
        let at = self.scanner.position_of_next()?;
        let text = self.required_text(what)?;
        let parts: Vec<&str> = text.split('.').collect();
        let is_number = |part: &&str| -> bool {
            (1..=3).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit())
        };
        let is_class = matches!(parts.first(), Some(&("4" | "5")));
        if is_class && parts.len() == 3 && parts.iter().all(is_number) {
            Ok(text.into())
        } else {
            Err((at, SyntaxError::Value(text, what)))
        }
    }

    /// `"Name: value"`, and where.
    fn header_field(&mut self) -> Result<HeaderField, Failure> {
        let at = self.scanner.position_of_next()?;
        let text = self.required_text("a header in quotation marks: \"Name: value\"")?;
        let parts = text.split_once(':').filter(|(name, _)| {
            let is_fit = |byte: u8| byte.is_ascii_graphic() && byte != b'%';
            !name.is_empty() && name.len() <= 76 && name.bytes().all(is_fit)
        });
        let Some((name, value)) = parts else {
            return Err((at, SyntaxError::HeaderName(text)));
        };
        let value = self.formatted(at, value.trim_start());
        let index = if self.scanner.eat(",")? {
            let at = self.scanner.position_of_next()?;
            let what = "the number of a header from the top";
            let word = self.required_word(what)?;
            let number = word.parse().ok();
            Some(number.ok_or_else(|| (at, SyntaxError::Value(word.to_owned(), what)))?)
        } else {
            None
        };
        Ok(HeaderField {
            name: name.into(),
            value,
            index,
        })
    }

    /// Whether the values fit the action, and each other.
    fn check_values(&mut self, action: Action, values: &Values) -> Result<(), Failure> {
        let (name, class) = match action {
            Action::Greylist => ("greylist", '4'),
            Action::Blacklist => ("blacklist", '5'),
            Action::Whitelist | Action::Continue => {
                self.warn_without_reply(values);
                return Ok(());
            }
        };
        if let Some(Located { at, value }) = values.code
            && value.is_temporary() != (class == '4')
        {
            return Err((at, SyntaxError::CodeClass(name, class, value.number())));
        }
        match &values.enhanced_code {
            Some(Located { at, value }) if !value.starts_with(class) => {
                Err((*at, SyntaxError::EnhancedClass(class, value.to_string())))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Reports values that have no effect, because the entry neither replies nor defers.
    fn warn_without_reply(&mut self, values: &Values) {
        let Values {
            delay,
            code,
            enhanced_code,
            message,
            ..
        } = values;
        let given = [
            ("delay", delay.as_ref().map(|value| value.at)),
            ("code", code.as_ref().map(|value| value.at)),
            ("ecode", enhanced_code.as_ref().map(|value| value.at)),
            (
                "msg",
                message.as_ref().map(|value: &Located<Format>| value.at),
            ),
        ];
        for (name, at) in given {
            if let Some(at) = at {
                let message = format!(
                    "{name} has no effect in an entry that neither greylists nor blacklists"
                );
                self.warn(at, message);
            }
        }
    }
}

/// Takes a value that was not given yet.
fn once<T>(
    name: &'static str,
    at: Position,
    place: &mut Option<Located<T>>,
    value: T,
) -> Result<(), Failure> {
    match place.replace(Located { at, value }) {
        None => Ok(()),
        Some(_) => Err((at, SyntaxError::Again(name))),
    }
}

/// An entry with two clauses of a kind of which a client has but one thing could hardly match; milter-greylist
/// refuses it, too.
fn only_one(clauses: &[Clause], clause: &Clause) -> Result<(), Failure> {
    let is_again = |name| {
        let mut earlier = clauses.iter().filter_map(|clause| single(&clause.kind));
        earlier.any(|other| other == name)
    };
    match single(&clause.kind) {
        Some(name) if is_again(name) => Err((clause.at, SyntaxError::Again(name))),
        Some(_) | None => Ok(()),
    }
}

/// The keyword of a clause that stands once in an entry.
const fn single(clause: &ClauseKind) -> Option<&'static str> {
    match clause {
        ClauseKind::Test(Test::Address(_)) => Some("addr"),
        ClauseKind::Test(Test::Domain(_)) => Some("domain name"),
        ClauseKind::Test(Test::Helo(_)) => Some("helo"),
        ClauseKind::Test(Test::Sender(_)) => Some("from"),
        ClauseKind::Test(Test::RawSender(_)) => Some("rawfrom"),
        ClauseKind::Tarpit(_) => Some("tarpit"),
        ClauseKind::Test(_) | ClauseKind::Not(_) | ClauseKind::Set(_) | ClauseKind::Log(_) => None,
    }
}
