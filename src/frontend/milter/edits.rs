//! Changes of a header, as the milter protocol names fields: by name, and by number among those of the name.

use std::ffi::CString;

use indymilter::{ActionError, ContextActions, EomActions};

use crate::policy::checks::HeaderEdit;
use crate::policy::message::{HeaderField, Message};

/// A change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Edit {
    /// A field is inserted at this place; 0 is the top.
    Insert(i32, CString, CString),
    /// The field of this name and number, from 1, gets a value; without one it is removed.
    Change(CString, i32, Option<CString>),
}

impl Edit {
    /// Makes the change.
    pub(super) async fn apply(&self, actions: &EomActions) -> Result<(), ActionError> {
        match self {
            Self::Insert(place, name, value) => {
                let (name, value) = (name.as_c_str(), value.as_c_str());
                actions.insert_header(*place, name, value).await
            }
            Self::Change(name, number, value) => {
                let (name, value) = (name.as_c_str(), value.as_deref());
                actions.change_header(name, *number, value).await
            }
        }
    }
}

/// The changes of a message's header from the last field to the first, so that none changes the number of another. A
/// field that gets another name is removed and inserted; so is one that gets an empty value, because the protocol takes
/// that for its removal. Forged fields, by their numbers, are removed unless a table has replaced them.
pub(super) fn of(message: &Message, edits: Vec<HeaderEdit>, forged: &[usize]) -> Vec<Edit> {
    let mut edits = edits;
    let removed = forged.iter().filter(|field| {
        let mut changes = edits.iter().filter(|edit| at(edit) == **field);
        changes.all(|edit| matches!(edit, HeaderEdit::Insert(..)))
    });
    let removed: Vec<_> = removed.copied().map(HeaderEdit::Remove).collect();
    edits.extend(removed);
    // What is inserted before a field would get its number.
    edits.sort_by_key(|edit| {
        let is_insert = matches!(edit, HeaderEdit::Insert(..));
        (std::cmp::Reverse(at(edit)), is_insert)
    });
    let changes = edits.into_iter().flat_map(|edit| match edit {
        HeaderEdit::Remove(field) => vec![change(message, field, None)],
        HeaderEdit::Insert(field, new) => vec![insert(field, &new)],
        HeaderEdit::Replace(field, new) => {
            let old = message.fields().get(field);
            let keeps_name = old.is_some_and(|old| old.name.eq_ignore_ascii_case(&new.name));
            if keeps_name && !new.value.is_empty() {
                vec![change(message, field, Some(&new.value))]
            } else {
                vec![change(message, field, None), insert(field, &new)]
            }
        }
    });
    changes.flatten().collect()
}

/// The number of the field that is changed.
const fn at(edit: &HeaderEdit) -> usize {
    match edit {
        HeaderEdit::Remove(field)
        | HeaderEdit::Insert(field, _)
        | HeaderEdit::Replace(field, _) => *field,
    }
}

/// A field of the header gets a value, or is removed.
fn change(message: &Message, field: usize, value: Option<&[u8]>) -> Option<Edit> {
    let name = &message.fields().get(field)?.name;
    let before = message.fields().get(..field)?.iter();
    let same = before.filter(|other| other.name.eq_ignore_ascii_case(name));
    let number = i32::try_from(same.count().saturating_add(1)).ok()?;
    let value = match value {
        None => None,
        Some(value) => Some(text(value)?),
    };
    Some(Edit::Change(text(name)?, number, value))
}

/// A new field before the one of this number. The mail server's own field is above the first.
fn insert(field: usize, new: &HeaderField) -> Option<Edit> {
    let place = i32::try_from(field.saturating_add(1)).ok()?;
    Some(Edit::Insert(place, text(&new.name)?, text(&new.value)?))
}

/// Without it the protocol has no such text: one with a null byte.
fn text(bytes: &[u8]) -> Option<CString> {
    CString::new(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(name: &str, value: &str) -> HeaderField {
        HeaderField {
            name: name.as_bytes().into(),
            value: value.as_bytes().into(),
        }
    }

    /// A name, the tables' changes, forged fields, and what is done.
    type Case<'a> = (&'a str, Vec<HeaderEdit>, &'a [usize], Vec<Edit>);

    #[test]
    fn changes_are_made_from_the_last_field_to_the_first() {
        let fields = [("A", "1"), ("b", "2"), ("a", "3"), ("C", "4")];
        let fields = fields.map(|(name, value)| field(name, value));
        let message = Message::new(fields.into(), None, 0);
        let text = |text: &str| CString::new(text).unwrap();
        let remove = |name: &str, number| Edit::Change(text(name), number, None);
        let insert = |place, name: &str, value: &str| Edit::Insert(place, text(name), text(value));
        let cases: [Case<'_>; 6] = [
            (
                "each kind",
                vec![
                    HeaderEdit::Remove(0),
                    HeaderEdit::Insert(1, field("X", "y")),
                    HeaderEdit::Replace(2, field("A", "z")),
                    HeaderEdit::Replace(3, field("D", "w")),
                ],
                &[],
                vec![
                    remove("C", 1),
                    insert(4, "D", "w"),
                    Edit::Change(text("a"), 2, Some(text("z"))),
                    insert(2, "X", "y"),
                    remove("A", 1),
                ],
            ),
            (
                "an empty value",
                vec![HeaderEdit::Replace(2, field("a", ""))],
                &[],
                vec![remove("a", 2), insert(3, "a", "")],
            ),
            (
                "forged fields alone",
                Vec::new(),
                &[0, 2],
                vec![remove("a", 2), remove("A", 1)],
            ),
            (
                "a field of the same name before a forged one",
                vec![HeaderEdit::Insert(2, field("A", "new"))],
                &[0, 2],
                vec![remove("a", 2), insert(3, "A", "new"), remove("A", 1)],
            ),
            (
                "a forged one that a table removes",
                vec![HeaderEdit::Remove(2)],
                &[0, 2],
                vec![remove("a", 2), remove("A", 1)],
            ),
            (
                "a forged one that a table replaces",
                vec![HeaderEdit::Replace(0, field("A", "new"))],
                &[0, 2],
                vec![
                    remove("a", 2),
                    Edit::Change(text("A"), 1, Some(text("new"))),
                ],
            ),
        ];
        for (name, edits, forged, want) in cases {
            assert_eq!(of(&message, edits, forged), want, "{name}");
        }
    }
}
