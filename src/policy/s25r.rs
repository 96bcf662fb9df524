//! S25R: distinguishes end-user connections from mail servers by their reverse names.
//!
//! Seven patterns by ASAMI Hideo ("Selective SMTP Rejection", 2004; rule 1 as of 2009) are matched
//! against the verified client name. The first that matches counts.
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
//! | 7 | extended only: a word for dynamic addresses or end-user access before the organizational domain |
//!
//! The patterns mean what they mean in a Postfix regexp table: extended regular expressions, matched
//! anywhere, in any case of letters.
//!
//! # Extended
//!
//! [`Rules::Extended`] adds rule 7, and does not apply rules 1 to 6 to mail hosts: names of one label before their
//! organizational domain, if that label says mail (`mx`, `mail01`, `smtp-out2`). Rule 7 is about whole words, which end
//! where the letters end: `dsl` in `dsl7` and `static-dsl`, but not in `landslide`. The organizational domain is left
//! out, because it is the name of a company. Below a suffix that the public suffix list does not know, the last two
//! labels count as it.

use std::sync::LazyLock;

use regex::bytes::{Regex, RegexBuilder, RegexSet, RegexSetBuilder};

use super::Domain;
use crate::types::ClientIp;

/// The patterns of the classic rules, by their number. They have the same meaning in POSIX's syntax and in the
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

/// The rule of [`Rules::Extended`] alone.
const DYNAMIC_WORD: u8 = 7;

/// How many rules there are, with that of [`Rules::Extended`].
pub const RULES: usize = PATTERNS.len() + 1;

/// Words for dynamic addresses and for the access of end users, as operators write them in reverse names.
const DYNAMIC: &str = r"(?x)
    (?: ^ | [^a-z] )
    (?:
        # Addresses
          (?: ip )? dyn (?: amic | amique | amisch )? (?: ip | addr | pool | user | cust )? | dinamic [ao]?
        | dhcp [a-z]* | (?: ip | dyn | dial | dhcp | ppp | nat | user | cust )? pool (?: s | es | ip )?
        | dip [0-9] | cgn (?: at )?
        # Dialing in
        | ppp (?: oe | oa | ox | pool | user )? | dial (?: s | up | ups | in | ins | ip | user )? | isdn
        # Lines
        | [a-z]* dsl | [avx]dsl [a-z]* | dsl (?: dyn | dynamic | ip | pool | user | cust | line )
        | cable (?: modem | link | user | cust )? s? | (?: cable | cm )? modems? | modemcable | catv
        | docsis | hfc | ftt[bchnpx] | gpon | broadband | wimax | gprs | umts
        # Customers
        | cust (?: s | omer | omers )? | cpe | residential | resnet
    )
    (?: [^a-z] | $ )";

/// Words for mail in the names of mail hosts.
const MAIL: &str = r"(?x)
      mail | smtp
    | (?: ^ | [^a-z] )
      (?:
          (?: mx | mta | out | relay | gw | in ){2,}
        | mx [a-z]? s? | mta [a-z]? s? | [mv]?out | outbound | outgoing
        | relays? | send | sender | forward | fwd | post | postfix | exim | exchange | esa
        | antispam | spam (?: filter | gw )? | newsletters? | bounces? | lists? | listserv
      )
      (?: [^a-z] | $ )";

/// Which rules apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rules {
    /// Rules 0 to 6.
    Classic,
    /// Rule 7 too; rules 1 to 6 do not apply to mail hosts.
    Extended,
}

/// What the rules say about a client name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameMatch {
    /// It matches this rule, 0 to 7.
    Rule(u8),
    /// It matches this rule, 1 to 6, which does not apply: this is the name of a mail host.
    MailHost(u8),
    /// It matches no rule.
    NoMatch,
}

impl NameMatch {
    /// The rule that the name matches and that applies.
    #[must_use]
    pub const fn rule(self) -> Option<u8> {
        match self {
            Self::Rule(rule) => Some(rule),
            Self::MailHost(_) | Self::NoMatch => None,
        }
    }
}

static CLASSIC: LazyLock<RegexSet> = LazyLock::new(|| {
    RegexSetBuilder::new(PATTERNS)
        .case_insensitive(true)
        .dot_matches_new_line(true)
        .unicode(false)
        .build()
        // A test compiles them.
        .unwrap_or_default()
});

/// The words; `None` never, because a test compiles them.
static WORDS: LazyLock<Option<Words>> = LazyLock::new(|| {
    let compile = |words| {
        let mut builder = RegexBuilder::new(words);
        builder.case_insensitive(true).unicode(false).build().ok()
    };
    Some(Words {
        dynamic: compile(DYNAMIC)?,
        mail: compile(MAIL)?,
    })
});

#[derive(Debug)]
struct Words {
    dynamic: Regex,
    mail: Regex,
}

/// The classic rule that this client name matches, 0 to 6; `None` for the name of a mail server, and for an
/// address, which is not a name.
#[must_use]
pub fn rule(name: &[u8]) -> Option<u8> {
    let first = CLASSIC.matches(name).iter().next()?;
    if ClientIp::parse(name).is_some() {
        return None;
    }
    u8::try_from(first).ok()
}

/// What these rules say about a client name.
#[must_use]
pub fn find(name: &[u8], rules: Rules) -> NameMatch {
    let classic = rule(name);
    match rules {
        Rules::Classic => classic.map_or(NameMatch::NoMatch, NameMatch::Rule),
        Rules::Extended => extended(name, classic),
    }
}

fn extended(name: &[u8], classic: Option<u8>) -> NameMatch {
    let Some(words) = &*WORDS else {
        return classic.map_or(NameMatch::NoMatch, NameMatch::Rule);
    };
    match classic {
        Some(0) => NameMatch::Rule(0),
        Some(rule) if !is_mail_host(name, words) => NameMatch::Rule(rule),
        Some(_) | None if has_dynamic_word(name, words) => NameMatch::Rule(DYNAMIC_WORD),
        Some(rule) => NameMatch::MailHost(rule),
        None => NameMatch::NoMatch,
    }
}

/// Whether a word for dynamic addresses precedes the organizational domain. For most names the public suffix list is
/// not needed.
fn has_dynamic_word(name: &[u8], words: &Words) -> bool {
    words.dynamic.is_match(name)
        && ClientIp::parse(name).is_none()
        && words.dynamic.is_match(before_domain(name))
}

/// Whether the name is one label with a word for mail, and an organizational domain.
fn is_mail_host(name: &[u8], words: &Words) -> bool {
    let label = name.split(|byte| *byte == b'.').next().unwrap_or_default();
    words.mail.is_match(label) && Domain::of(name).is_some() && before_domain(name) == label
}

/// The labels before the organizational domain.
fn before_domain(name: &[u8]) -> &[u8] {
    let name = name.strip_suffix(b".").unwrap_or(name);
    let domain = Domain::of(name).map_or_else(
        || last_two_labels(name).len(),
        |domain| domain.as_str().len(),
    );
    let labels = name.get(..name.len().saturating_sub(domain));
    let labels = labels.unwrap_or_default();
    labels.strip_suffix(b".").unwrap_or(labels)
}

fn last_two_labels(name: &[u8]) -> &[u8] {
    let mut labels = name.rsplitn(3, |byte| *byte == b'.');
    let bytes = labels.by_ref().take(2).map(<[u8]>::len);
    // The dots between them.
    let bytes = bytes.reduce(|one, other| one.saturating_add(other).saturating_add(1));
    let begin = name.len().saturating_sub(bytes.unwrap_or_default());
    name.get(begin..).unwrap_or_default()
}

#[cfg(test)]
mod tests;
