//! Tables for the content of messages: `header_checks(5)` on the decoded header and body.
//!
//! Each field of the header is searched for in the tables for headers, each line of the body in those for bodies. The
//! first line of the first table that matches is the one for that field or line; the search goes on with the next. A
//! field has two forms, as it came and decoded: an expression matches it if it matches one of them.
//!
//! A reply or `DISCARD` ends the search, `PASS`, too. `HOLD` does not, as in Postfix: a line that refuses the message may
//! follow. Tables are searched for the header first.

mod action;
mod edit;

use std::borrow::Cow;

use regex::bytes::Regex;

use super::access::{ExpressionTable, Line, Rule, Template, printable};
use super::lists::{Entries, Entry, EntryRef, TooLarge};
use super::message::Message;
use crate::types::{ListName, Printable, ReplyText, SmtpCode};

pub use action::{ActionError, CheckAction};
pub use edit::HeaderEdit;

/// Maximum length in bytes of a field or line in a note.
const MOST_SEEN: usize = 200;

/// The part of a message that a table is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Place {
    /// The header.
    Header,
    /// The body.
    Body,
}

/// Tables for one part of a message, in their order.
#[derive(Debug, Default)]
pub struct CheckTables {
    tables: Vec<ExpressionTable>,
    entries: Entries,
    /// By the numbers of the entries.
    consequences: Vec<Consequence>,
}

/// Tables for messages.
#[derive(Debug, Default)]
pub struct MessageChecks {
    /// For the fields of the header.
    pub header: CheckTables,
    /// For the lines of the body.
    pub body: CheckTables,
}

/// A line of a table, and what it matches.
#[derive(Debug, Clone, Copy)]
pub struct CheckMatch<'a> {
    /// The part of the message.
    pub place: Place,
    /// The number of the field, or of the line among those that [`Message::body_lines`] yields.
    pub number: usize,
    /// The field or line; of a field the decoded form, if it has one.
    pub seen: &'a [u8],
    /// The entry.
    pub entry: EntryRef,
    /// What it does.
    pub action: &'a CheckAction,
    consequence: &'a Consequence,
    /// The field as it came, if that is different.
    raw: Option<&'a [u8]>,
}

/// What is to be done with a message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[must_use]
pub struct Findings {
    /// What becomes of the message, and the entry that says so; `None` if that is still open.
    pub settled: Option<(Settlement, EntryRef)>,
    /// The first entry that greylists the message, if it is not settled.
    pub greylists: Option<EntryRef>,
    /// The changes of the header, each with its entry, in the order of the fields; one a field at most.
    pub edits: Vec<(HeaderEdit, EntryRef)>,
    /// What is to be logged; each entry once.
    pub notes: Vec<Note>,
}

/// What becomes of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settlement {
    /// It gets this reply.
    Reply(SmtpCode, ReplyText),
    /// It is accepted and thrown away; the text is for the log and may be empty.
    Discard(ReplyText),
    /// It is accepted and held; the text is for the log and may be empty.
    Hold(ReplyText),
}

/// A line for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// What the table calls it.
    pub level: NoteLevel,
    /// The entry.
    pub entry: EntryRef,
    /// The text of the entry; it may be empty.
    pub text: ReplyText,
    /// The field or line that matched, at most 200 bytes of it, made printable.
    pub seen: ReplyText,
}

/// How a table wants a message logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoteLevel {
    /// INFO.
    Info,
    /// WARN.
    Warning,
    /// PASS.
    Pass,
    /// STRIP.
    Strip,
}

impl NoteLevel {
    /// The word that begins the line, as in the log of Postfix.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Pass => "pass",
            Self::Strip => "strip",
        }
    }
}

/// The action of an entry, and its text.
#[derive(Debug)]
struct Consequence {
    action: CheckAction,
    text: Template,
    /// For the groups in the text.
    captures: Option<Regex>,
}

impl Place {
    /// The list of the tables for this part.
    #[must_use]
    pub const fn list(self) -> ListName {
        match self {
            Self::Header => ListName::HeaderChecks,
            Self::Body => ListName::BodyChecks,
        }
    }

    /// The entry of this number in the tables for this part.
    const fn entry(self, number: u32) -> EntryRef {
        EntryRef {
            list: self.list(),
            is_added: false,
            number,
        }
    }
}

impl CheckTables {
    /// Adds a table.
    ///
    /// # Errors
    ///
    /// [`TooLarge`] when its expressions together need too much memory; nothing is added.
    pub fn push(&mut self, lines: Vec<Line<CheckAction>>) -> Result<(), TooLarge> {
        let (entries, consequences) = (&mut self.entries, &mut self.consequences);
        let number = |rule, entry: Entry| {
            consequences.push(Consequence::new(rule));
            entries.push(entry)
        };
        let table = ExpressionTable::new(lines, number)?;
        self.tables.push(table);
        Ok(())
    }

    /// Whether there is no table.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tables.is_empty()
    }

    /// The entries of all tables.
    #[must_use]
    pub const fn entries(&self) -> &Entries {
        &self.entries
    }

    /// What the entry of this number does.
    #[must_use]
    pub fn action(&self, number: u32) -> Option<&CheckAction> {
        let consequence = self.consequences.get(usize::try_from(number).ok()?);
        consequence.map(|consequence| &consequence.action)
    }

    /// The entry for a subject, which may have another form.
    fn find(&self, subject: &[u8], other: Option<&[u8]>) -> Option<(u32, &Consequence)> {
        let mut found = self.tables.iter().filter_map(|table| match other {
            Some(other) => table.find_either(subject, other),
            None => table.find(subject, |_| true),
        });
        let entry = found.next()?;
        let consequence = self.consequences.get(usize::try_from(entry).ok()?)?;
        Some((entry, consequence))
    }

    /// The text of the entry that one of the tables has for a subject: the text of its action without the action, its
    /// groups replaced. For comparison with Postfix's `postmap -q`.
    #[must_use]
    pub fn lookup(&self, subject: &[u8]) -> Option<(&CheckAction, Vec<u8>)> {
        let (_, consequence) = self.find(subject, None)?;
        let captures = consequence.captures.as_ref();
        let text = consequence.text.expand(captures, subject, Cow::Borrowed);
        Some((&consequence.action, text))
    }
}

impl Consequence {
    fn new(rule: Rule<CheckAction>) -> Self {
        Self {
            captures: rule.captures(),
            action: rule.result,
            text: rule.text,
        }
    }
}

impl MessageChecks {
    /// Whether there is no table at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.header.is_empty() && self.body.is_empty()
    }

    /// Every field and line of a message that a table has an entry for, those of the header first.
    pub fn matches<'a>(&'a self, message: &'a Message) -> impl Iterator<Item = CheckMatch<'a>> {
        let header = (!self.header.is_empty()).then(|| self.header_matches(message));
        let body = (!self.body.is_empty()).then(|| self.body_matches(message));
        let header = header.into_iter().flatten();
        header.chain(body.into_iter().flatten())
    }

    fn header_matches<'a>(&'a self, message: &'a Message) -> impl Iterator<Item = CheckMatch<'a>> {
        let mut texts = message.header_texts().peekable();
        let fields = std::iter::from_fn(move || {
            let (number, raw) = texts.next()?;
            let decoded = texts.next_if(|(other, _)| *other == number);
            Some((number, raw, decoded.map(|(_, text)| text)))
        });
        fields.filter_map(|(number, raw, decoded)| {
            let (entry, consequence) = self.header.find(raw, decoded)?;
            Some(CheckMatch {
                place: Place::Header,
                number,
                seen: decoded.unwrap_or(raw),
                entry: Place::Header.entry(entry),
                action: &consequence.action,
                consequence,
                raw: decoded.map(|_| raw),
            })
        })
    }

    fn body_matches<'a>(&'a self, message: &'a Message) -> impl Iterator<Item = CheckMatch<'a>> {
        // The lines are made when the first is asked for: a field may settle the message before.
        let lines = std::iter::once(message).filter_map(Message::body_lines);
        let lines = lines.flatten().enumerate();
        lines.filter_map(|(number, seen)| {
            let (entry, consequence) = self.body.find(seen, None)?;
            Some(CheckMatch {
                place: Place::Body,
                number,
                seen,
                entry: Place::Body.entry(entry),
                action: &consequence.action,
                consequence,
                raw: None,
            })
        })
    }

    /// What the tables want done with a message. A body that was not kept matches nothing.
    pub fn examine(&self, message: &Message) -> Findings {
        let mut findings = Findings::default();
        for found in self.matches(message) {
            let ends = findings.add(&found);
            if ends {
                break;
            }
        }
        let is_open = match &findings.settled {
            None | Some((Settlement::Hold(_), _)) => true,
            Some((Settlement::Reply(..) | Settlement::Discard(_), _)) => false,
        };
        if !is_open {
            findings.greylists = None;
        }
        findings
    }
}

impl Findings {
    /// Whether nothing is to be done.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self == &Self::default()
    }

    /// Adds what an entry wants; returns whether nothing more is to be searched.
    fn add(&mut self, found: &CheckMatch<'_>) -> bool {
        let entry = found.entry;
        match found.action {
            CheckAction::Reply(code) => {
                let text = ReplyText::new(found.text(foreign));
                self.settled = Some((Settlement::Reply(code.clone(), text), entry));
                return true;
            }
            CheckAction::Discard => {
                self.settled = Some((Settlement::Discard(found.shown_text()), entry));
                return true;
            }
            CheckAction::Hold => {
                let hold = || (Settlement::Hold(found.shown_text()), entry);
                self.settled.get_or_insert_with(hold);
            }
            CheckAction::Greylist => {
                self.greylists.get_or_insert(entry);
            }
            CheckAction::Remove => self.edits.push((HeaderEdit::Remove(found.number), entry)),
            CheckAction::Strip => {
                self.edits.push((HeaderEdit::Remove(found.number), entry));
                self.note(NoteLevel::Strip, found);
            }
            CheckAction::Prepend(name) => {
                let field = edit::field(name, &found.expanded());
                let edit = HeaderEdit::Insert(found.number, field);
                self.edits.push((edit, entry));
            }
            CheckAction::Replace(name) => {
                let field = edit::field(name, &found.expanded());
                let edit = HeaderEdit::Replace(found.number, field);
                self.edits.push((edit, entry));
            }
            CheckAction::Info => self.note(NoteLevel::Info, found),
            CheckAction::Warn => self.note(NoteLevel::Warning, found),
            CheckAction::Pass => {
                self.note(NoteLevel::Pass, found);
                return true;
            }
            CheckAction::Nothing => {}
        }
        false
    }

    /// Adds a note, unless its entry has one: a body of a stranger must not fill the log.
    fn note(&mut self, level: NoteLevel, found: &CheckMatch<'_>) {
        let entry = found.entry;
        if self.notes.iter().any(|note| note.entry == entry) {
            return;
        }
        let seen = found.seen.get(..MOST_SEEN.min(found.seen.len()));
        self.notes.push(Note {
            level,
            entry,
            text: found.shown_text(),
            seen: ReplyText::new(Printable(seen.unwrap_or_default()).to_string()),
        });
    }
}

impl CheckMatch<'_> {
    /// The text of the action with its groups replaced and made printable.
    #[must_use]
    pub fn shown_text(&self) -> ReplyText {
        ReplyText::new(self.text(printable))
    }

    fn text(&self, show: impl Fn(&[u8]) -> Cow<'_, [u8]>) -> String {
        String::from_utf8_lossy(&self.expand(show)).into_owned()
    }

    fn expanded(&self) -> Vec<u8> {
        self.expand(|bytes| Cow::Borrowed(bytes))
    }

    /// The text with the groups of the form that matches, the decoded one first.
    fn expand(&self, show: impl Fn(&[u8]) -> Cow<'_, [u8]>) -> Vec<u8> {
        let captures = self.consequence.captures.as_ref();
        let matches = |form: &&[u8]| captures.is_some_and(|captures| captures.is_match(form));
        let forms = [Some(self.seen), self.raw];
        let subject = forms.into_iter().flatten().find(matches);
        let text = &self.consequence.text;
        text.expand(captures, subject.unwrap_or(self.seen), show)
    }
}

/// Bytes of a message in a reply: printable ASCII, and not many.
fn foreign(bytes: &[u8]) -> Cow<'_, [u8]> {
    let text = ReplyText::foreign(bytes);
    Cow::Owned(text.map_or_else(Vec::new, |text| text.as_str().as_bytes().to_vec()))
}

#[cfg(test)]
pub(crate) mod tests;
