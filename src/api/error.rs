//! The errors of the D-Bus interfaces.

use std::fmt;

use zbus::DBusError;

/// Why a method failed. The message says what to do.
#[derive(Debug, DBusError)]
#[zbus(prefix = "org.stargrey.Greylist1.Error")]
pub enum Error {
    /// An error of D-Bus itself.
    #[zbus(error)]
    ZBus(zbus::Error),
    /// The pattern is not valid for this list.
    InvalidPattern(String),
    /// An argument is invalid: not an address, a limit of zero, an unknown filter.
    InvalidArgument(String),
    /// There is no list of this name.
    UnknownList(String),
    /// There is no such entry.
    NoSuchEntry(String),
    /// The entry is in a file, which the message names with its line.
    EntryInFile(String),
    /// `Forget` was called without a filter and without `everything`.
    EmptyFilter(String),
    /// The caller is not authorized.
    NotAuthorized(String),
    /// The database is unavailable.
    StoreUnavailable(String),
    /// The copy cannot be written; the database is not affected.
    CopyFailed(String),
    /// The file is not a usable backup. The database is unchanged.
    InvalidBackup(String),
    /// The database has only hashes (`--privacy`), so this is not possible.
    Hashed(String),
    /// The lists were not reloaded; the message has all errors, one per line.
    ReloadRefused(String),
    /// A row cannot be imported; no row of the call was.
    InvalidRow(String),
}

/// The end of a message about a row.
const OF_THE_CALL: &str = ". Nothing of this call was imported: correct the row or leave it out.";

impl Error {
    /// The error for a row that cannot be imported: its number in the call, from 1, and the reason, without a full
    /// stop.
    pub fn refused_row(number: usize, why: impl fmt::Display) -> Self {
        Self::InvalidRow(format!("Row {number}: {why}{OF_THE_CALL}"))
    }

    /// The reason in a message about a row; other messages are returned unchanged.
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
