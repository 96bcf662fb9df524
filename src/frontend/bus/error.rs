//! Errors of `control` as D-Bus errors, each with what to do about it.

use crate::api::Error;
use crate::control::{ControlError, RestoreError};

impl From<ControlError> for Error {
    fn from(error: ControlError) -> Self {
        match error {
        ControlError::Pattern { .. } | ControlError::MatchesNothing { .. } => Error::InvalidPattern(format!(
            "{error}. stargrey-lists(5) describes the entries."
        )),
        ControlError::HostInNetwork { .. } => Error::InvalidPattern(format!("{error}.")),
        ControlError::Copy(_) => Error::CopyFailed(format!(
            "Backup failed: {error}. The file is incomplete, delete it; the database is not affected."
        )),
        ControlError::NoSuchEntry => Error::NoSuchEntry(
            "There is no such entry in this list; ListEntries shows them as they were written."
                .to_owned(),
        ),
        ControlError::InFile(place) => Error::EntryInFile(format!(
            "The entry is in a file, {place}: remove the line there, then reload."
        )),
        ControlError::EmptyFilter => Error::EmptyFilter(
            "The filter is empty: give client, sender, recipient or state, \
             or set everything to true."
                .to_owned(),
        ),
        ControlError::Hashed => Error::Hashed(
            "The database contains only hashes (--privacy): give the exact client, sender and \
             recipient; other selections are not possible."
                .to_owned(),
        ),
        ControlError::BadCursor => {
            invalid("Invalid cursor: begin again with an empty one.")
        }
        ControlError::TooLarge | ControlError::FilesOnly | ControlError::NotByDomain => {
            invalid(&format!("{error}."))
        }
        ControlError::TooLong { .. } => invalid(&format!("{error}. Shorten it.")),
        ControlError::TooMany { .. } => {
            invalid(&format!("{error}. Remove some, or use a file."))
        }
        ControlError::Restore(RestoreError::BackupDefect(why)) => Error::InvalidBackup(format!(
            "This backup cannot be restored: {why}. The database is not changed."
        )),
        ControlError::Restore(RestoreError::InUse) => Error::StoreUnavailable(
            "A backup, a listing or an export is reading the database, so it cannot be replaced: \
             try again later."
                .to_owned(),
        ),
        ControlError::Restore(RestoreError::Failed(why)) => Error::CopyFailed(format!(
            "Restore failed: {why}. The database is not changed."
        )),
        ControlError::Restore(why @ RestoreError::NoRoom { .. }) => Error::CopyFailed(format!(
            "The backup is not restored: {why}. The database is as it was."
        )),
        ControlError::Restore(RestoreError::RolledBack(why)) => Error::CopyFailed(format!(
            "The restored database cannot be opened: {why}. The one before is in its place again."
        )),
        ControlError::Restore(RestoreError::Closed(why)) => Error::StoreUnavailable(format!(
            "The database cannot be opened: {why}. Mail is not affected; \
             the old database is in data.mdb.before-restore."
        )),
        ControlError::Row { number, why } => Error::refused_row(number, why),
        ControlError::Store(_) | ControlError::Failed(_) => Error::StoreUnavailable(format!(
            "The database is unavailable: {error}. Mail is not affected; \
             fix the failure that systemctl status stargrey shows, then try again."
        )),
    }
    }
}

/// An error for an invalid argument.
pub(super) fn invalid(text: &str) -> Error {
    Error::InvalidArgument(text.to_owned())
}

#[cfg(test)]
mod tests {
    use zbus::DBusError;

    use super::*;
    use crate::policy::Dead;
    use crate::policy::pattern::PatternError;
    use crate::store::{BackupDefect, OpenError, StoreError};

    #[test]
    fn every_refusal_has_its_name_and_a_sentence() {
        let pattern = "a b".to_owned();
        let cases = [
            (
                ControlError::Pattern {
                    pattern,
                    why: PatternError::Blank,
                },
                "InvalidPattern",
            ),
            (
                ControlError::TooLong {
                    what: "comment",
                    most: 9,
                },
                "InvalidArgument",
            ),
            (ControlError::NoSuchEntry, "NoSuchEntry"),
            (ControlError::InFile("/etc/x:3".to_owned()), "EntryInFile"),
            (ControlError::EmptyFilter, "EmptyFilter"),
            (ControlError::Hashed, "Hashed"),
            (ControlError::BadCursor, "InvalidArgument"),
            (ControlError::NotByDomain, "InvalidArgument"),
            (
                ControlError::Row {
                    number: 3,
                    why: "no client",
                },
                "InvalidRow",
            ),
            (ControlError::TooMany { most: 7 }, "InvalidArgument"),
            (
                ControlError::MatchesNothing {
                    pattern: "<>".to_owned(),
                    why: Dead::NullSender,
                },
                "InvalidPattern",
            ),
            (
                ControlError::Copy(std::io::Error::other("no room").into()),
                "CopyFailed",
            ),
            (
                ControlError::Restore(BackupDefect::Empty.into()),
                "InvalidBackup",
            ),
            (
                ControlError::Restore(RestoreError::InUse),
                "StoreUnavailable",
            ),
            (
                ControlError::Restore(OpenError::Store(StoreError::Full).into()),
                "CopyFailed",
            ),
            (
                ControlError::Restore(RestoreError::NoRoom {
                    directory: "/var/lib/stargrey".into(),
                    needed: 2,
                    free: 1,
                }),
                "CopyFailed",
            ),
            (
                ControlError::Restore(RestoreError::RolledBack(OpenError::Store(StoreError::Full))),
                "CopyFailed",
            ),
            (
                ControlError::Restore(RestoreError::Closed("gone".to_owned())),
                "StoreUnavailable",
            ),
            (ControlError::Store(StoreError::Closed), "StoreUnavailable"),
            (ControlError::Failed("full".to_owned()), "StoreUnavailable"),
        ];
        for (error, want) in cases {
            let refusal = Error::from(error);
            let name = format!("org.stargrey.Greylist1.Error.{want}");
            assert_eq!(refusal.name().as_str(), name);
            assert!(refusal.description().unwrap().ends_with('.'), "{refusal}");
        }
        let refusal = Error::from(ControlError::InFile("/etc/x:3".to_owned()));
        assert!(refusal.description().unwrap().contains("/etc/x:3"));
    }
}
