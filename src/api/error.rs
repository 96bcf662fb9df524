//! Errors with names of our own.

use std::fmt;

use zbus::DBusError;

/// What a method refuses, and why. The message says what to do.
#[derive(Debug, DBusError)]
#[zbus(prefix = "org.stargrey.Greylist1.Error")]
pub enum Error {
    /// The bus's own trouble.
    #[zbus(error)]
    ZBus(zbus::Error),
    /// The pattern is not valid for this list.
    InvalidPattern(String),
    /// An argument cannot be used: an address that is none, a limit of zero, an unknown filter.
    InvalidArgument(String),
    /// There is no list of this name.
    UnknownList(String),
    /// There is no such entry.
    NoSuchEntry(String),
    /// The entry is in a file, which the message names with its line.
    EntryInFile(String),
    /// Forgetting needs a filter, or the word for everything.
    EmptyFilter(String),
    /// The caller may not do this.
    NotAuthorized(String),
    /// The database cannot be used at the moment.
    StoreUnavailable(String),
    /// The copy cannot be written; the database is not affected.
    CopyFailed(String),
    /// The file is not a usable backup. The database is unchanged.
    InvalidBackup(String),
    /// The database has only hashes, so this cannot be done.
    Hashed(String),
    /// The lists were not read again: the message has every complaint, one a line.
    ReloadRefused(String),
    /// A row cannot be taken; nothing of the call was.
    InvalidRow(String),
}

/// What a message about a row says behind the reason.
const OF_THE_CALL: &str = ". Nothing of this call was taken: mend the row or leave it out.";

impl Error {
    /// A row cannot be taken: its number in the call, from 1, and why, without a full stop.
    pub fn refused_row(number: usize, why: impl fmt::Display) -> Self {
        Self::InvalidRow(format!("Row {number}: {why}{OF_THE_CALL}"))
    }

    /// Why a row was refused: of such a message what is not about the call. Other messages stay as they are.
    #[must_use]
    pub fn reason_of_row(message: &str) -> &str {
        let reason = || {
            let (number, why) = message.strip_prefix("Row ")?.split_once(": ")?;
            number.parse::<usize>().ok()?;
            why.strip_suffix(OF_THE_CALL)
        };
        reason().unwrap_or(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_refused_row_the_reason_comes_back() {
        for why in ["sender is no address", "odd. And: more", ""] {
            let Error::InvalidRow(message) = Error::refused_row(7, why) else {
                panic!("{why}");
            };
            assert!(message.starts_with("Row 7: "), "{message}");
            assert_eq!(Error::reason_of_row(&message), why);
        }
        for other in ["row 1 is unlucky", "Row 7", "Row x: y. Nothing."] {
            assert_eq!(Error::reason_of_row(other), other);
        }
    }
}
