//! Statements.

mod definition;
mod entry;
mod list;
mod test;
mod value;

use std::collections::HashMap;
use std::fmt;
use std::path::Path;

use crate::policy::chain::Report;
use crate::types::{ClientIp, counted};

use super::super::diagnostic::{Diagnostic, Diagnostics};
use super::accepted;
use super::ast::{Entry, EntryStage, GreylistConf, Located, Position, SpamdSocket};
use super::error::{Failure, SyntaxError};
use super::limits::{MAX_ERRORS, MAX_WARNINGS};
use super::scan::Scanner;

use definition::Kind;

/// Reads a file. What it makes is of no use if there are errors: an entry that is left out changes what the others mean.
#[must_use]
pub fn parse(path: &Path, bytes: &[u8]) -> (GreylistConf, Diagnostics) {
    let mut parser = Parser {
        path,
        scanner: Scanner::new(bytes),
        conf: GreylistConf::default(),
        diagnostics: Diagnostics::default(),
        more_warnings: 0,
        defined: HashMap::new(),
        legacy: Vec::new(),
        extended: false,
        recipient_default: None,
        message_default: None,
        set: Vec::new(),
        tested: Vec::new(),
    };
    parser.file();
    parser.finish();
    (parser.conf, parser.diagnostics)
}

/// A file while it is read.
struct Parser<'a> {
    path: &'a Path,
    scanner: Scanner<'a>,
    conf: GreylistConf,
    diagnostics: Diagnostics,
    /// How many warnings are not reported.
    more_warnings: u64,
    /// The numbers of what is defined, and where it is.
    defined: HashMap<(Kind, String), (usize, Position)>,
    /// Bare `addr`, `rcpt` and so on.
    legacy: Vec<Entry>,
    /// Whether expressions are extended ones from here on.
    extended: bool,
    /// Where the defaults are.
    recipient_default: Option<Position>,
    message_default: Option<Position>,
    /// The properties that entries set, and those that they test.
    set: Vec<Box<str>>,
    tested: Vec<Located<Box<str>>>,
}

impl Parser<'_> {
    fn file(&mut self) {
        loop {
            let result = match self.scanner.next_statement() {
                Ok(None) => return,
                Ok(Some(at)) => self.statement(at),
                Err(failure) => Err(failure),
            };
            let Err((at, error)) = result else {
                continue;
            };
            if self.diagnostics.errors.len() >= MAX_ERRORS {
                let message = format!("more than {MAX_ERRORS} errors; the rest is not read");
                let error = Diagnostic::line(self.path, at.line, message);
                self.diagnostics.errors.push(error);
                return;
            }
            self.error(at, &error);
            self.scanner.skip_statement();
        }
    }

    fn error(&mut self, at: Position, error: &SyntaxError) {
        let error = Diagnostic::column(self.path, at.line, at.column, error);
        self.diagnostics.errors.push(error);
    }

    fn warn(&mut self, at: Position, message: impl fmt::Display) {
        if self.diagnostics.warnings.len() >= MAX_WARNINGS {
            self.more_warnings = self.more_warnings.saturating_add(1);
            return;
        }
        let warning = Diagnostic::column(self.path, at.line, at.column, message);
        self.diagnostics.warnings.push(warning);
    }

    fn statement(&mut self, at: Position) -> Result<(), Failure> {
        let Some(word) = self.scanner.word()? else {
            return Err(self.scanner.expected("a statement"));
        };
        let keyword = word.trim_end_matches(':').to_ascii_lowercase();
        match keyword.as_str() {
            "racl" | "acl" => self.entry(at, EntryStage::Recipient, keyword == "racl")?,
            "dacl" => self.entry(at, EntryStage::Message, true)?,
            "addr" | "domain" | "from" | "rawfrom" | "rcpt" => self.legacy(at, &keyword)?,
            "list" => self.list(at)?,
            "dnsrbl" => self.dns_list(at)?,
            "sm_macro" => self.macro_test(at)?,
            "ratelimit" => self.rate_limit(at)?,
            "stat" => self.statistic(at)?,
            "drac" => {
                let why = "drac: stargrey does not ask a DRAC database; remove the line";
                return Err((at, SyntaxError::Refused(why)));
            }
            _ => {
                if !self.setting(at, &keyword)? && !self.flag(at, &keyword) {
                    self.without_effect(at, &keyword, word)?;
                }
            }
        }
        if self.scanner.is_at_end()? {
            return Ok(());
        }
        Err(self.scanner.expected("the end of the line"))
    }

    /// A statement with a value; whether it is one.
    fn setting(&mut self, at: Position, keyword: &str) -> Result<bool, Failure> {
        match keyword {
            "greylist" | "timeout" | "autowhite" | "tarpit" => {
                let value = self.span()?;
                let globals = &mut self.conf.globals;
                let place = match keyword {
                    "greylist" => &mut globals.delay,
                    "timeout" => &mut globals.timeout,
                    "autowhite" => &mut globals.auto_white,
                    _ => &mut globals.tarpit,
                };
                let earlier = place.replace(Located { at, value });
                self.warn_overridden(at, earlier);
            }
            "subnetmatch" | "subnetmatch6" => {
                let is_ipv4 = keyword == "subnetmatch";
                let value = self.prefix_length(if is_ipv4 { 32 } else { 128 })?;
                let globals = &mut self.conf.globals;
                let place = if is_ipv4 {
                    &mut globals.ipv4_bits
                } else {
                    &mut globals.ipv6_bits
                };
                let earlier = place.replace(Located { at, value });
                self.warn_overridden(at, earlier);
            }
            "report" => {
                let value = self.report()?;
                let earlier = self.conf.globals.report.replace(Located { at, value });
                self.warn_overridden(at, earlier);
            }
            "localaddr" => {
                let value = ClientIp::new(self.address()?.address());
                let located = Located { at, value };
                let earlier = self.conf.globals.local_address.replace(located);
                self.warn_overridden(at, earlier);
            }
            "spamdsock" => {
                let value = self.spamd_socket()?;
                let located = Located { at, value };
                let earlier = self.conf.globals.spamd_socket.replace(located);
                self.warn_overridden(at, earlier);
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn warn_overridden<T>(&mut self, at: Position, earlier: Option<Located<T>>) {
        if let Some(earlier) = earlier {
            let message = format!("this overrides line {}", earlier.at.line);
            self.warn(at, message);
        }
    }

    fn report(&mut self) -> Result<Report, Failure> {
        let at = self.scanner.position_of_next()?;
        let word = self.required_word("none, delays, nodelays or all")?;
        match word.to_ascii_lowercase().as_str() {
            "none" => Ok(Report::None),
            "delays" => Ok(Report::Delays),
            "nodelays" => Ok(Report::NoDelays),
            "all" => Ok(Report::All),
            _ => Err((
                at,
                SyntaxError::Value(word.to_owned(), "none, delays, nodelays or all"),
            )),
        }
    }

    fn spamd_socket(&mut self) -> Result<SpamdSocket, Failure> {
        let at = self.scanner.position_of_next()?;
        let word = self.required_word("inet or unix")?;
        let kind = match word.to_ascii_lowercase().as_str() {
            "inet" => SpamdSocket::Inet,
            "unix" => SpamdSocket::Unix,
            _ => return Err((at, SyntaxError::Value(word.to_owned(), "inet or unix"))),
        };
        let socket = self.required_text("the socket of spamd in quotation marks")?;
        Ok(kind(socket.into()))
    }

    /// A statement that is a word alone; whether it is one.
    fn flag(&mut self, at: Position, keyword: &str) -> bool {
        let globals = &mut self.conf.globals;
        let place = match keyword {
            "extendedregex" => {
                self.extended = true;
                return true;
            }
            // Names are compared by labels always, and each recipient is judged alone.
            "domainexact" | "multiracl" => return true,
            "lazyaw" => &mut globals.lazy_auto_white,
            "quiet" => &mut globals.quiet,
            "noauth" => &mut globals.no_auth,
            "nospf" => &mut globals.no_spf,
            "delayedreject" => &mut globals.delayed_reject,
            "testmode" => &mut globals.test_mode,
            _ => return false,
        };
        place.get_or_insert(at);
        true
    }

    /// A statement that is accepted and has no effect. Its arguments mean nothing; they must have an end.
    fn without_effect(&mut self, at: Position, keyword: &str, word: &str) -> Result<(), Failure> {
        let Some(sentence) = accepted::sentence(keyword) else {
            return Err((at, SyntaxError::Statement(word.to_owned())));
        };
        while !self.scanner.is_at_end()? {
            if self.scanner.quoted()?.is_none()
                && self.scanner.word()?.is_none()
                && !self.eat_one_of(&["{", "}", "*", "/", ","])?
            {
                return Err(self.scanner.expected("a word or a text in quotation marks"));
            }
        }
        self.warn(at, format!("{keyword} has no effect: {sentence}"));
        Ok(())
    }

    /// What only the whole file tells.
    fn finish(&mut self) {
        let legacy = std::mem::take(&mut self.legacy);
        let mut recipient: Vec<Entry> = legacy.into_iter().rev().collect();
        recipient.append(&mut self.conf.recipient);
        self.conf.recipient = recipient;
        if let Some(timeout) = self.conf.globals.timeout {
            let entries = self.conf.recipient.iter().chain(&self.conf.message);
            let delays: Vec<_> = entries
                .filter_map(|entry| entry.values.delay)
                .chain(self.conf.globals.delay)
                .filter(|delay| delay.value >= timeout.value)
                .take(MAX_ERRORS.saturating_sub(self.diagnostics.errors.len()))
                .collect();
            for delay in delays {
                self.error(delay.at, &SyntaxError::DelayTimeout(timeout.at.line));
            }
        }
        for Located { at, value } in std::mem::take(&mut self.tested) {
            if !self.set.contains(&value) {
                self.warn(at, format!("nothing sets the property ${value}"));
            }
        }
        if self.more_warnings > 0 {
            let message = format!(
                "{} more",
                counted(self.more_warnings, "warning", "warnings")
            );
            let warning = Diagnostic::file(self.path, message);
            self.diagnostics.warnings.push(warning);
        }
    }
}
