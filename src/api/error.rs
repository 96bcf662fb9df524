//! Errors with names of our own.

use zbus::DBusError;

/// What a method refuses, and why. The message says what to do.
#[derive(Debug, DBusError)]
#[zbus(prefix = "org.stargrey.Greylist1.Error")]
pub enum Error {
    /// The bus's own trouble.
    #[zbus(error)]
    ZBus(zbus::Error),
    /// The pattern means nothing in this list.
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
    /// The database has only hashes, so this cannot be done.
    Hashed(String),
    /// The lists were not read again: the message has every complaint, one a line.
    ReloadRefused(String),
    /// A row cannot be taken; nothing of the call was.
    InvalidRow(String),
}
