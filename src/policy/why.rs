//! Why an unknown triplet has to wait: a byte in its record, so that it can be told which check makes mail wait that is
//! retried.

use super::s25r;

/// The check that made a client suspicious when its triplet was first seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// None: the triplet was unknown, and that was enough.
    Plain,
    /// A rule of [`s25r`], 0 to 7.
    S25r(u8),
    /// A client access table.
    Table,
    /// A rule of an access list.
    Rule,
    /// DNS lists.
    DnsLists,
    /// The result of SPF.
    Spf,
    /// The score of a content filter.
    Score,
    /// A header field of the message.
    Header,
    /// The body of the message.
    Body,
}

/// Why an unknown triplet has to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Why {
    /// The check.
    pub cause: Cause,
    /// Whether it was found out in a milter, and not by a policy request.
    pub is_milter: bool,
}

/// The bit of a milter in the byte.
const MILTER: u8 = 0x80;

/// The words of the rules of S25R.
const RULES: [&str; s25r::RULES] = [
    "s25r:0", "s25r:1", "s25r:2", "s25r:3", "s25r:4", "s25r:5", "s25r:6", "s25r:7",
];

impl Cause {
    /// How many there are.
    pub const COUNT: usize = Self::ALL.len();

    /// All of them, by their numbers in records.
    pub const ALL: [Self; 16] = [
        Self::Plain,
        Self::S25r(0),
        Self::S25r(1),
        Self::S25r(2),
        Self::S25r(3),
        Self::S25r(4),
        Self::S25r(5),
        Self::S25r(6),
        Self::S25r(7),
        Self::Table,
        Self::Rule,
        Self::DnsLists,
        Self::Spf,
        Self::Score,
        Self::Header,
        Self::Body,
    ];

    /// Its number in records, an index into [`Self::ALL`].
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Plain => 0,
            // 7 is the last rule.
            Self::S25r(rule) => 1_u8.saturating_add(if rule < 7 { rule } else { 7 }),
            Self::Table => 9,
            Self::Rule => 10,
            Self::DnsLists => 11,
            Self::Spf => 12,
            Self::Score => 13,
            Self::Header => 14,
            Self::Body => 15,
        }
    }

    /// The word in counters, in rows and in reports.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::S25r(rule) => RULES.get(usize::from(rule)).copied().unwrap_or("s25r:7"),
            Self::Table => "table",
            Self::Rule => "rule",
            Self::DnsLists => "dns-lists",
            Self::Spf => "spf",
            Self::Score => "score",
            Self::Header => "header",
            Self::Body => "body",
        }
    }

    /// The cause of this word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|cause| cause.word() == word)
    }
}

impl Why {
    /// What two versions of a record say together: a version that was counted has a reason, and keeps it.
    #[must_use]
    pub fn merge(one: Option<Self>, other: Option<Self>) -> Option<Self> {
        one.into_iter().chain(other).min()
    }

    /// As it is in a record.
    #[must_use]
    pub const fn byte(self) -> u8 {
        let milter = if self.is_milter { MILTER } else { 0 };
        self.cause.number() | milter
    }

    /// From a record; `None` if the byte means nothing.
    #[must_use]
    pub fn from_byte(byte: u8) -> Option<Self> {
        let cause = Cause::ALL.get(usize::from(byte & !MILTER))?;
        Some(Self {
            cause: *cause,
            is_milter: byte & MILTER != 0,
        })
    }
}

impl From<Cause> for Why {
    fn from(cause: Cause) -> Self {
        Self {
            cause,
            is_milter: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_has_a_number_and_a_word_of_its_own() {
        for (number, cause) in (0_u8..).zip(Cause::ALL) {
            assert_eq!(cause.number(), number, "{cause:?}");
            assert_eq!(Cause::from_word(cause.word()), Some(cause));
            for is_milter in [false, true] {
                let why = Why { cause, is_milter };
                assert_eq!(Why::from_byte(why.byte()), Some(why));
            }
        }
        assert_eq!(Why::from_byte(16), None);
        assert_eq!(Why::from_byte(0xff), None);
        assert_eq!(Cause::from_word("s25r:8"), None);
    }
}
