//! Which expressions match the parts of an attempt: each set is matched once, if at all.

use std::cell::OnceCell;

use super::ask::Sets;
use super::index::Part;
use super::subject::Subject;
use crate::policy::set::{ExpressionSet, Matches};

/// The expressions that match each part.
#[derive(Debug, Default)]
pub(super) struct PartMatches {
    names: OnceCell<Vec<Matches>>,
    helos: OnceCell<Vec<Matches>>,
    senders: OnceCell<Vec<Matches>>,
    raw_senders: OnceCell<Vec<Matches>>,
    recipients: OnceCell<Vec<Matches>>,
    users: OnceCell<Vec<Matches>>,
    certificates: OnceCell<Vec<Matches>>,
}

impl PartMatches {
    /// Those that match this part of the subject; none if it has no such part.
    pub(super) fn of(&self, part: Part, sets: &Sets, subject: &Subject<'_>) -> &[Matches] {
        let plain = |set: &ExpressionSet, text: Option<&[u8]>| {
            text.map(|text| set.matches(text)).into_iter().collect()
        };
        match part {
            Part::Name => {
                let name = Some(&*subject.name);
                self.names.get_or_init(|| plain(&sets.names, name))
            }
            Part::Helo => self.helos.get_or_init(|| plain(&sets.helos, subject.helo)),
            Part::Sender => self.senders.get_or_init(|| {
                bracketed(&sets.senders, &[subject.sender, &subject.folded_sender])
            }),
            Part::RawSender => self
                .raw_senders
                .get_or_init(|| bracketed(&sets.raw_senders, &[subject.sender])),
            Part::Recipient => self
                .recipients
                .get_or_init(|| bracketed(&sets.recipients, subject.recipients())),
            Part::User => self.users.get_or_init(|| plain(&sets.users, subject.user)),
            Part::Certificate => self
                .certificates
                .get_or_init(|| plain(&sets.certificates, subject.certificate)),
        }
    }
}

/// What matches each of these, and each of these in angle brackets.
fn bracketed(set: &ExpressionSet, subjects: &[&[u8]]) -> Vec<Matches> {
    let both = subjects.iter().flat_map(|subject| {
        let brackets = [b"<", *subject, b">"].concat();
        [set.matches(subject), set.matches(&brackets)]
    });
    both.collect()
}
