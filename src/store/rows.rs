//! Records with their keys, a page at a time.

use crate::policy::{Client, Sleep, Triplet, TripletParts};
use crate::types::Prefix;

/// A record with its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Row {
    /// A triplet.
    Triplet {
        /// Its key.
        key: RowKey<TripletParts>,
        /// Its record.
        record: Triplet,
    },
    /// A client.
    Client {
        /// Its key.
        key: RowKey<Prefix>,
        /// Its record.
        record: Client,
    },
    /// A client that was told to sleep.
    Sleep {
        /// Its key.
        key: RowKey<Prefix>,
        /// Its record.
        record: Sleep,
    },
}

/// The key of a row.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum RowKey<T> {
    /// What it is made of.
    Plain(T),
    /// The hash that stands for it under `--privacy`.
    Hashed(Vec<u8>),
}

/// Some rows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Page {
    /// The rows.
    pub rows: Vec<Row>,
    /// Where the next page begins; `None` when this is the last one.
    pub next: Option<Vec<u8>>,
}
