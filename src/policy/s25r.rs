//! S25R: end users' lines, told from mail servers by the look of their reverse names.
//!
//! Seven patterns by ASAMI Hideo ("Selective SMTP Rejection", 2004; rule 1 as of 2009) are matched
//! against the verified client name. The first that matches is the rule that hit.
//!
//! | rule | what it finds |
//! | --- | --- |
//! | 0 | no verified name: `unknown` |
//! | 1 | two numbers in the first label, something between them |
//! | 2 | five digits or more in a row in the first label |
//! | 3 | above the top three labels, a first or second label that begins with a digit |
//! | 4 | a first label that ends with a digit, and digit, hyphen, digit in the second |
//! | 5 | five labels or more, the first two of which end with a digit |
//! | 6 | a first label that begins like a dial-up or DSL line and has a digit |
//!
//! The patterns mean what they mean in a Postfix regexp table: extended regular expressions, matched
//! anywhere, in any case of letters.

use std::sync::LazyLock;

use regex::bytes::{RegexSet, RegexSetBuilder};

use crate::types::ClientIp;

/// The patterns, by the number of their rule. They have the same meaning in POSIX's syntax and in the
/// regex crate's.
pub const PATTERNS: [&str; 7] = [
    "^unknown$",
    r"^[^.]*[0-9][^0-9.]+[0-9].*\.",
    "^[^.]*[0-9]{5}",
    r"^([^.]+\.)?[0-9][^.]*\.[^.]+\..+\.[a-z]",
    r"^[^.]*[0-9]\.[^.]*[0-9]-[0-9]",
    r"^[^.]*[0-9]\.[^.]*[0-9]\.[^.]+\..+\.",
    "^(dhcp|dialup|ppp|[achrsvx]?dsl)[^.]*[0-9]",
];

static RULES: LazyLock<RegexSet> = LazyLock::new(|| {
    RegexSetBuilder::new(PATTERNS)
        .case_insensitive(true)
        .dot_matches_new_line(true)
        .unicode(false)
        .build()
        // A test compiles them.
        .unwrap_or_default()
});

/// The rule that this client name matches, 0 to 6; `None` for the name of a mail server, and for an
/// address, which is not a name.
#[must_use]
pub fn rule(name: &[u8]) -> Option<u8> {
    let first = RULES.matches(name).iter().next()?;
    if ClientIp::parse(name).is_some() {
        return None;
    }
    u8::try_from(first).ok()
}

#[cfg(test)]
mod tests;
