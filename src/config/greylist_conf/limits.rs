//! How much of a file is read and reported.

/// The longest word, text or expression, in bytes.
pub const MAX_TOKEN: usize = 4096;

/// Most errors of a file that are reported.
pub const MAX_ERRORS: usize = 100;

/// Most warnings of a file that are reported.
pub(super) const MAX_WARNINGS: usize = 100;

/// Most entries of a file, so that what they take in memory has a limit.
pub const MAX_ENTRIES: usize = 100_000;
