//! Readers of the databases of other greylisting servers, record by record.
//!
//! | reader | reads |
//! | --- | --- |
//! | [`Directory`] | a database directory of Postgrey or taRgrey, with Berkeley DB's programs |
//! | [`Postgrey`] | the text that `db_dump` wrote of such a database |
//! | [`MilterGreylist`] | milter-greylist's dump file |
//! | [`JsonLines`] | what `export` has written, as rows of the bus |
//!
//! Each but the last is an iterator of [`Item`]s: records, and skipped ones with the reason. None holds more than one
//! record in memory, changes its input or normalizes anything: senders and recipients are as the other program stored
//! them, without brackets.
//!
//! # Error handling
//!
//! An invalid record is an [`Item::Skipped`] and reading continues. An invalid stream is a [`ReadError`], which ends
//! it. A directory that cannot be read is a [`DirectoryError`], before the first record.

mod db_dump;
mod directory;
mod json;
mod line;
mod milter_greylist;
mod postgrey;
mod row;

use std::fmt;
use std::io;
use std::net::IpAddr;

use crate::types::{ClientIp, Timestamp};

pub use directory::{Directory, DirectoryError};
pub use json::{JsonItem, JsonLines, LineError, header, trailer};
pub use milter_greylist::{MilterGreylist, MilterGreylistRules};
pub use postgrey::{Postgrey, PostgreyRules};

/// One record of another greylister.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Imported {
    /// Mail from a network, by a sender, to a recipient.
    Triplet {
        /// The network's first address, or a client's own: how long the prefix is was not recorded.
        network: IpAddr,
        /// The sender as it was stored; empty for bounces.
        sender: Vec<u8>,
        /// The recipient as it was stored.
        recipient: Vec<u8>,
        /// When it was tried first.
        first: Timestamp,
        /// When it was tried last.
        last: Timestamp,
        /// Whether it was retried after the delay.
        is_passed: bool,
    },
    /// A client that has retried other mail.
    Client {
        /// The client.
        address: ClientIp,
        /// How many times.
        count: u32,
        /// When this was counted last.
        last: Timestamp,
    },
    /// A client that did not survive the tarpit.
    Tarpit {
        /// The client.
        address: ClientIp,
        /// When its sleep began.
        seen: Timestamp,
    },
}

/// An item of a reader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// A record.
    Row(Imported),
    /// Something that is not a record.
    Skipped {
        /// Where it begins, from 1.
        line: u64,
        /// What is wrong with it.
        why: Skip,
    },
}

/// Why a record is skipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Skip {
    /// More than two slashes in a triplet's key.
    Ambiguous,
    /// A key of no known form.
    Key,
    /// A triplet whose network, or a row whose client, is not an address.
    Address,
    /// A value of no known form.
    Value,
    /// A row with too few columns.
    Row,
    /// A line of an export that is not a row.
    Json,
    /// A line beyond the limit.
    TooLong,
    /// The daemon says that it is not a record: an address with a newline in it, for instance.
    Refused,
}

impl Skip {
    /// Every reason there is.
    pub const ALL: [Self; 8] = [
        Self::Ambiguous,
        Self::Key,
        Self::Address,
        Self::Value,
        Self::Row,
        Self::Json,
        Self::TooLong,
        Self::Refused,
    ];

    /// The word in JSON.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ambiguous => "ambiguous",
            Self::Key => "key",
            Self::Address => "address",
            Self::Value => "value",
            Self::Row => "row",
            Self::Json => "json",
            Self::TooLong => "too-long",
            Self::Refused => "refused",
        }
    }
}

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ambiguous => "an address contains a slash, the key can be read in several ways",
            Self::Key => "the key is neither a triplet nor an address",
            Self::Address => "the client is not an IP address",
            Self::Value => "the numbers are not those of a record",
            Self::Row => "columns are missing",
            Self::Json => "the line is not a JSON object of numbers, strings and booleans",
            Self::TooLong => "the line is longer than any record can be",
            Self::Refused => "stargreyd refuses the record",
        })
    }
}

/// Why reading ends early.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The stream cannot be read.
    #[error("reading failed: {0}")]
    Stream(#[from] io::Error),
    /// The stream does not begin as a dump of a Berkeley DB does.
    #[error("line {0}: not what db_dump writes; VERSION=3 is expected here")]
    NotADump(u64),
    /// A header line that cannot be obeyed.
    #[error("line {0}: the header names a type of dump that Postgrey does not use")]
    Header(u64),
    /// A data line that is not encoded as the header says.
    #[error("line {0}: not in the format that the header of the dump names")]
    Encoding(u64),
    /// The dump ends before its last line.
    #[error("the dump ends early, after line {0}: DATA=END is missing")]
    EndsEarly(u64),
    /// The keys are hashes.
    #[error(
        "this database was written with --privacy: it contains hashes instead of addresses and cannot be imported"
    )]
    Hashed,
    /// A program that reads the database failed.
    #[error("{program} failed: {said}")]
    Program {
        /// Which.
        program: &'static str,
        /// The last line of what it said.
        said: String,
    },
}
