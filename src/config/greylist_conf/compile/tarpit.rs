//! The tarpit of an entry.

use super::super::ast::{Action, ClauseKind, Entry, EntryStage, Position};
use super::Compiler;
use crate::config::params::{MILTER_TIMEOUT, RCPT_TIMEOUT};
use crate::policy::chain::{self, Test};
use crate::policy::{Scheme, Tarpit};
use crate::types::Span;

/// The longest sleep, as for `--tarpit`.
const LONGEST: Span = Span::from_days(1);

impl<'a> Compiler<'a> {
    /// The tarpit of an entry, if it has one.
    pub(super) fn tarpit(&mut self, entry: &Entry) -> Option<Tarpit> {
        let mut clauses = entry.clauses.iter();
        let (at, length) = clauses.find_map(|clause| match clause.kind {
            ClauseKind::Tarpit(length) => Some((clause.at, length)),
            ClauseKind::Test(_) | ClauseKind::Not(_) | ClauseKind::Set(_) | ClauseKind::Log(_) => {
                None
            }
        })?;
        match self.scheme(entry, length) {
            Ok(_) if length == Span::ZERO => {
                self.warn(at, "tarpit 0 delays nothing; ignoring");
                None
            }
            Ok(scheme) => {
                self.warn_of_tarpit(at, length.seconds());
                self.warn_of_reply(entry, scheme);
                Some(Tarpit { length, scheme })
            }
            Err(error) => {
                self.error(at, error);
                None
            }
        }
    }

    /// What the sleep of an entry leads to.
    fn scheme(&self, entry: &Entry, length: Span) -> Result<Scheme, &'a str> {
        if entry.stage == EntryStage::Message {
            return Err("tarpit delays the reply to a recipient: it is for racl only");
        }
        if length > LONGEST {
            return Err("tarpit is longer than a day");
        }
        match entry.action {
            Action::Whitelist => Ok(Scheme::Targrey),
            Action::Greylist => self.purpose.scheme,
            Action::Blacklist => Err("tarpit has no meaning in an entry that blacklists"),
            Action::Continue => Err("tarpit has no meaning in an entry that decides nothing"),
        }
    }

    /// Warns of a reply that a client does not get after its sleep.
    fn warn_of_reply(&mut self, entry: &Entry, scheme: Scheme) {
        let values = &entry.values;
        let code = values.code.as_ref().map(|code| code.at);
        let enhanced_code = values.enhanced_code.as_ref().map(|code| code.at);
        let message = values.message.as_ref().map(|message| message.at);
        let is_deferral = entry.action == Action::Greylist && scheme == Scheme::Deferring;
        if let Some(at) = code.or(enhanced_code).or(message).filter(|_| is_deferral) {
            let text = "the reply after the sleep of tarpit is that of --greylist-action and --greylist-text; code, ecode and msg \
                        are for those that do not sleep";
            self.warn(at, text);
        }
    }

    /// Warns of a sleep for which the mail server does not wait, or the client.
    fn warn_of_tarpit(&mut self, at: Position, seconds: u64) {
        let warnings = [
            (
                self.purpose.has_milter && seconds >= MILTER_TIMEOUT,
                "tarpit is 25 seconds or more, and mail servers wait 30 seconds for a milter (Sendmail: 10), unless they are \
                 told to wait longer",
            ),
            (
                seconds >= RCPT_TIMEOUT,
                "tarpit is 300 seconds or more: mail servers may stop waiting for the reply, and many will",
            ),
            (
                self.purpose.is_exim,
                "tarpit needs Postfix or a milter: Exim does not support the action SLEEP",
            ),
        ];
        for (_, text) in warnings.into_iter().filter(|(applies, _)| *applies) {
            self.warn(at, text);
        }
    }
}

/// What an entry with this tarpit asks besides its clauses, behind them: one that lets clients pass does not match those that
/// have hung up (milter-greylist).
pub(super) fn test(entry: &Entry, tarpit: Option<Tarpit>) -> Option<chain::Clause> {
    let is_asked = tarpit.is_some() && entry.action == Action::Whitelist;
    is_asked.then_some(chain::Clause {
        negated: false,
        test: Test::Tarpit,
    })
}
