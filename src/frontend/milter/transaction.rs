//! A message under way in a session.

use super::content::Content;
use super::edits::Edit;
use crate::policy::Ruleset;
use crate::policy::message::Message;
use crate::policy::spam::SPAM_HEADERS;
use crate::protocol::milter::Refusal;
use crate::service::report::ReportField;
use crate::service::{MessageFate, MilterMessage};
use crate::types::AddedHeader;

/// What was decided about a recipient.
#[derive(Debug)]
pub(super) struct Judged {
    /// The refusal, if it is not accepted.
    pub(super) refusal: Option<Refusal>,
    /// Whether the refusal is not given before the end of the message.
    pub(super) is_put_off: bool,
    /// The header field that the message gets.
    pub(super) field: Option<ReportField>,
    /// Fields that rules add to the header.
    pub(super) headers: Vec<AddedHeader>,
    /// Whether the message comes from a user of one's own.
    pub(super) is_own: bool,
    /// Whether it passed because nothing spoke against it.
    pub(super) is_open: bool,
}

impl Judged {
    /// Mail of a process of the mail server's own machine, about which nothing is decided.
    pub(super) const fn own() -> Self {
        Self {
            refusal: None,
            is_put_off: false,
            field: None,
            headers: Vec::new(),
            is_own: true,
            is_open: false,
        }
    }
}

/// A message under way.
#[derive(Debug)]
pub(super) struct Transaction {
    /// Joins it with requests of the policy server.
    pub(super) message: MilterMessage,
    /// The sender, empty for the null sender.
    pub(super) sender: Vec<u8>,
    /// The recipients that were accepted, and whether they are open.
    pub(super) recipients: Vec<(Vec<u8>, bool)>,
    /// The refusal of all recipients at the end of the message: one of them has to wait.
    pub(super) put_off: Option<Refusal>,
    /// The recipients that were accepted although they have to wait.
    waiting: Vec<Vec<u8>>,
    /// Fields that rules add to the header.
    pub(super) headers: Vec<AddedHeader>,
    /// Changes of the header that tables want, in the order in which they can be made.
    pub(super) edits: Vec<Edit>,
    /// What becomes of the message.
    pub(super) fate: MessageFate,
    /// What is kept of the message.
    pub(super) content: Content,
    /// The header field that the message gets.
    pub(super) field: Option<ReportField>,
    /// Whether it comes from a user of one's own, whose header fields stay.
    pub(super) is_own: bool,
    /// How many fields the message has of each of the [names](ours) that only we write; empty once they are removed with
    /// the changes that tables want.
    forged: Vec<i32>,
}

/// The names of header fields that only we write.
fn ours(message: &MilterMessage) -> impl Iterator<Item = &str> {
    let rules = &message.rules().rules;
    let needs = message.rules().needs();
    let of_scores = SPAM_HEADERS.into_iter().filter(move |_| needs.writes_score);
    let added = rules.lists.chain.added_names();
    [rules.texts.header_name(), "X-Greylist"]
        .into_iter()
        .chain(of_scores)
        .chain(added.iter().map(|name| &**name))
}

impl Transaction {
    /// A message.
    pub(super) fn new(message: MilterMessage, sender: Vec<u8>, content: Content) -> Self {
        let forged = vec![0; ours(&message).count()];
        Self {
            message,
            sender,
            recipients: Vec::new(),
            put_off: None,
            waiting: Vec::new(),
            headers: Vec::new(),
            edits: Vec::new(),
            fate: MessageFate::Delivered,
            content,
            field: None,
            is_own: false,
            forged,
        }
    }

    /// The rules that it is decided by.
    pub(super) fn rules(&self) -> &Ruleset {
        &self.message.rules().rules
    }

    /// A recipient is accepted.
    pub(super) fn accept(&mut self, recipient: Vec<u8>, judged: Judged) {
        if self.recipients.iter().all(|(other, _)| *other != recipient) {
            self.recipients.push((recipient, judged.is_open));
        }
        self.is_own |= judged.is_own;
        self.give(judged.field);
        self.add_headers(judged.headers);
    }

    /// A recipient is accepted now, and refused at the end with the message.
    pub(super) fn put_off(&mut self, recipient: Vec<u8>, refusal: Refusal) {
        self.put_off.get_or_insert(refusal);
        if !self.waiting.contains(&recipient) {
            self.waiting.push(recipient);
        }
    }

    /// How many recipients have been accepted towards the client, each counted once.
    pub(super) fn accepted(&self) -> usize {
        self.recipients.len().saturating_add(self.waiting.len())
    }

    /// The message gets these fields in its header, each once.
    pub(super) fn add_headers(&mut self, headers: Vec<AddedHeader>) {
        for header in headers {
            if !self.headers.contains(&header) {
                self.headers.push(header);
            }
        }
    }

    /// The message gets this header field, if it has none that stays.
    pub(super) fn give(&mut self, field: Option<ReportField>) {
        self.field = ReportField::or(self.field.take(), field);
    }

    /// Counts a header field.
    pub(super) fn count(&mut self, name: &[u8]) {
        let mut all = ours(&self.message).zip(&mut self.forged);
        let ours = all.find(|(ours, _)| ours.as_bytes().eq_ignore_ascii_case(name));
        if let Some((_, count)) = ours {
            *count = count.saturating_add(1);
        }
    }

    /// The numbers of the forged fields in a header that was kept.
    pub(super) fn forged_in(&self, message: &Message) -> Vec<usize> {
        let fields = message.fields().iter().filter(|_| !self.is_own);
        let is_ours = |name: &[u8]| {
            let mut ours = ours(&self.message);
            ours.any(|ours| ours.as_bytes().eq_ignore_ascii_case(name))
        };
        let numbered = fields.enumerate();
        let forged = numbered.filter(|(_, field)| is_ours(&field.name));
        forged.map(|(number, _)| number).collect()
    }

    /// Forged fields are removed with the changes that tables want.
    pub(super) fn set_edits(&mut self, edits: Vec<Edit>) {
        self.edits = edits;
        self.forged.clear();
    }

    /// The header fields that somebody else has written under a name of ours: name and number, from the last to the
    /// first, because Postfix numbers those behind a removed one anew.
    pub(super) fn forged(&self) -> impl Iterator<Item = (&str, i32)> {
        let forged = ours(&self.message).zip(&self.forged);
        let forged = forged.filter(|_| !self.is_own);
        forged.flat_map(|(name, count)| {
            let numbers = (1..=*count).rev();
            numbers.map(move |number| (name, number))
        })
    }

    /// The recipient, if there is one only: of several, a request at DATA names none.
    pub(super) fn only_recipient(&self) -> &[u8] {
        match self.recipients.as_slice() {
            [(one, _)] => one,
            _ => b"",
        }
    }
}
