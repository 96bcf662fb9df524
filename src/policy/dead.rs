//! Valid entries that never match.
//!
//! In a list any word is the name of a host or a domain, as in Postgrey. So a word in the form of another program's
//! lists, or with an additional comma, is not an error, but exempts nobody. This module finds these entries and, if
//! possible, suggests what to write instead. It is used for list files and runtime entries.
//!
//! | entry | in the list of clients | in a list of addresses |
//! | --- | --- | --- |
//! | `*.example.org`, `.example.org`, `example.org.`, `"example.org",` | `example.org` | `example.org` |
//! | `203.0.113.*`, `[203.0.113.9]`, `203.0.113.9:25` | the network, the address | they are of clients |
//! | `@example.org`, `*@example.org` | an address | `example.org` |
//! | `bob@*.example.org`, `mx*.example.org`, `^mx\.example` | an expression | an expression |
//! | `1.2.3.4.5`, `a@b@c`, `@` | nothing | nothing |
//!
//! # What is not here
//!
//! Expressions are not checked.

use std::fmt;
use std::net::IpAddr;

use super::pattern::{AddressPattern, ClientPattern};

/// Maximum length of a name in DNS, in bytes.
const LONGEST_NAME: usize = 255;

/// Maximum length of a label in DNS, in bytes.
const LONGEST_LABEL: usize = 63;

/// Characters around or after an entry in the lists of other programs.
const AROUND: [char; 10] = ['"', '\'', '<', '>', '[', ']', '(', ')', ',', ';'];

/// Characters that occur in expressions only.
const OF_EXPRESSIONS: [char; 10] = ['\\', '^', '$', '(', ')', '|', '+', '[', ']', '{'];

/// Why an entry never matches.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Dead {
    /// No client can have this name.
    #[error("no client has a name like this{0}")]
    Name(Instead),
    /// The name of a client is not ASCII.
    #[error("names of clients are ASCII; write the form that begins with xn--")]
    NotAscii,
    /// A range of client addresses.
    #[error("a range is not an entry; write networks, ADDRESS/LENGTH")]
    Range,
    /// A mail address in a list of clients.
    #[error("this is a mail address in a list of clients; add it to the senders or recipients")]
    MailAddress,
    /// No mail address can have this domain.
    #[error("no mail address has a domain like this{0}")]
    Domain(Instead),
    /// No mail address can look like this.
    #[error("no mail address looks like this{0}")]
    Address(Instead),
    /// A client's address in a list of mail addresses.
    #[error("this is a client address; add it to the client whitelist")]
    ClientAddress,
    /// The null sender as written in SMTP.
    #[error("write /^$/ for the null sender")]
    NullSender,
}

/// The entry that was probably intended, if known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instead(Option<String>);

impl fmt::Display for Instead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(text) => write!(f, "; write {text}"),
            None => Ok(()),
        }
    }
}

impl ClientPattern {
    /// Whether no client can match this. Much cheaper than [`Self::dead`].
    #[must_use]
    pub fn is_dead(&self) -> bool {
        match self {
            Self::Host(name) => !is_host(name),
            Self::Network(_) | Self::Expression(_) => false,
        }
    }

    /// Why no client can match this; `None` if one can.
    #[must_use]
    pub fn dead(&self) -> Option<Dead> {
        let Self::Host(name) = self else {
            return None;
        };
        if !self.is_dead() {
            return None;
        }
        let cleaned = cleaned(name);
        let is_range = name.split_once('-').is_some_and(|(first, last)| {
            first.parse::<IpAddr>().is_ok() && last.parse::<IpAddr>().is_ok()
        });
        Some(if is_range {
            Dead::Range
        } else if cleaned.contains('@') {
            Dead::MailAddress
        } else if is_domain(cleaned) && !cleaned.is_ascii() {
            Dead::NotAscii
        } else {
            let whole = cleaned.parse::<u8>().ok();
            let whole = whole.map(|octet| format!("{octet}.0.0.0/8"));
            Dead::Name(Instead(whole.or_else(|| likely(name, "^", is_client))))
        })
    }
}

impl AddressPattern {
    /// Whether no mail address can match this. Much cheaper than [`Self::dead`].
    #[must_use]
    pub fn is_dead(&self) -> bool {
        match self {
            Self::Expression(_) => false,
            Self::Domain(name) => !is_domain_part(name),
            Self::User(user) => !is_user(user),
            Self::Address(address) => !is_address(address),
        }
    }

    /// Why no mail address can match this; `None` if one can.
    #[must_use]
    pub fn dead(&self) -> Option<Dead> {
        if !self.is_dead() {
            return None;
        }
        let (text, begin, is_dead): (_, _, fn(_) -> _) = match self {
            Self::Expression(_) => return None,
            Self::Domain(name) if name == "<>" => return Some(Dead::NullSender),
            Self::Domain(name) => (name.clone(), "@", Dead::Domain),
            Self::User(user) => (format!("{user}@"), "^", Dead::Address),
            Self::Address(address) => (address.clone(), "^", Dead::Address),
        };
        if matches!(
            ClientPattern::parse(cleaned(&text)),
            Ok(ClientPattern::Network(_))
        ) {
            return Some(Dead::ClientAddress);
        }
        Some(is_dead(Instead(likely(&text, begin, is_mail))))
    }
}

/// The entry that was probably intended: without the characters of other programs around it, or an expression, which
/// begins with `begin` if the entry has wildcards.
fn likely(text: &str, begin: &str, is_alive: fn(&str) -> bool) -> Option<String> {
    let cleaned = cleaned(text);
    if cleaned != text && is_alive(cleaned) {
        return Some(cleaned.to_owned());
    }
    let expression = if text.contains(OF_EXPRESSIONS) {
        format!("/{text}/")
    } else if text.contains(['*', '?']) {
        let end = if text.ends_with('@') { "" } else { "$" };
        let inside = text
            .replace('.', "\\.")
            .replace('?', ".")
            .replace('*', ".*");
        format!("/{begin}{inside}{end}/")
    } else {
        return None;
    };
    is_alive(&expression).then_some(expression)
}

/// The entry without quotation marks, brackets, wildcards, ports and dots around it.
fn cleaned(text: &str) -> &str {
    let mut rest = text;
    // As Postfix logs a client: NAME[ADDRESS].
    if let Some((name, address)) = text.split_once('[')
        && !name.is_empty()
        && address.trim_end_matches(']').parse::<IpAddr>().is_ok()
    {
        rest = name;
    }
    loop {
        let before = rest;
        rest = rest.trim_matches(AROUND);
        for begin in ["mailto:", "*@", "*.", "@", "."] {
            rest = rest.strip_prefix(begin).unwrap_or(rest);
        }
        for end in [".*", "."] {
            rest = rest.strip_suffix(end).unwrap_or(rest);
        }
        if let Some((host, port)) = rest.rsplit_once(':')
            && !host.trim_matches(AROUND).is_empty()
            && !port.is_empty()
            && port.bytes().all(|byte| byte.is_ascii_digit())
            && (host.ends_with(']') || !host.contains(':'))
        {
            rest = host;
        }
        if rest == before {
            return rest;
        }
    }
}

/// Whether some client can match the entry.
fn is_client(text: &str) -> bool {
    !text.is_empty() && ClientPattern::parse(text).is_ok_and(|pattern| !pattern.is_dead())
}

/// Whether some mail address can match the entry.
fn is_mail(text: &str) -> bool {
    !text.is_empty() && AddressPattern::parse(text).is_ok_and(|pattern| !pattern.is_dead())
}

/// Whether a client can have this name, or one below it: Postfix accepts no other as verified.
fn is_host(name: &str) -> bool {
    let is_bounded = |label: &str| !label.starts_with('-') && !label.ends_with('-');
    name.is_ascii() && is_domain(name) && name.split('.').all(is_bounded)
}

/// Whether a domain can have this name. A name that ends with a number is an address or invalid.
fn is_domain(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_' || !c.is_ascii();
    let is_label = |label: &str| {
        (1..=LONGEST_LABEL).contains(&label.chars().count()) && label.chars().all(fits)
    };
    let last = name.rsplit('.').next().unwrap_or_default();
    name.chars().count() <= LONGEST_NAME
        && name.split('.').all(is_label)
        && !last.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether this can follow the `@` of an address: a domain, or an IP address in brackets.
fn is_domain_part(text: &str) -> bool {
    let literal = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'));
    match literal {
        Some(address) => address
            .strip_prefix("ipv6:")
            .unwrap_or(address)
            .parse::<IpAddr>()
            .is_ok(),
        None => is_domain(text),
    }
}

/// Whether this can precede the `@` of an address, without quotation marks. `*` could, but is never intended.
fn is_user(text: &str) -> bool {
    let is_odd = |c: char| matches!(c, '*' | '@' | ':' | '\\') || c != '\'' && AROUND.contains(&c);
    !text.is_empty() && !text.contains(is_odd)
}

fn is_address(text: &str) -> bool {
    text.split_once('@')
        .is_some_and(|(user, domain)| is_user(user) && is_domain_part(domain))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What is said about an entry of the list of clients.
    fn client(text: &str) -> Option<String> {
        let pattern = ClientPattern::parse(text).unwrap();
        pattern.dead().map(|dead| dead.to_string())
    }

    /// What is said about an entry of a list of mail addresses.
    fn mail(text: &str) -> Option<String> {
        let pattern = AddressPattern::parse(text).unwrap();
        pattern.dead().map(|dead| dead.to_string())
    }

    #[test]
    fn entries_that_can_match_are_alive() {
        for text in [
            "example.org",
            "unknown",
            "localhost",
            "a_b.example",
            "mx-1.example",
            "xn--mller-kva.example",
            "7.example",
            "192.0.2.7",
            "192.0.2",
            "10.1",
            "2001:db8::/32",
            "::1",
            "/./",
            "com",
        ] {
            assert_eq!(client(text), None, "{text}");
        }
        for text in [
            "example.org",
            "postmaster@",
            "joe+x@example.org",
            "joe@m\u{fc}ller.example",
            "o'brien@example.org",
            "joe@[192.0.2.7]",
            "[192.0.2.7]",
            "joe@[IPv6:2001:db8::1]",
            "a/b=c@example.org",
            "/^$/",
            "localhost",
            "x%y@example.org",
            "joe@localhost",
        ] {
            assert_eq!(mail(text), None, "{text}");
        }
    }

    #[test]
    fn a_dead_entry_of_clients_is_told_with_what_is_likely_meant() {
        let cases = [
            ("*.southwest.com", "southwest.com"),
            (".example.org", "example.org"),
            ("example.com.", "example.com"),
            ("amazonses.com,", "amazonses.com"),
            ("mail.example.net:25", "mail.example.net"),
            ("[mail.example.net]:25", "mail.example.net"),
            ("[203.0.113.9]", "203.0.113.9"),
            ("\"quoted.example\"", "quoted.example"),
            ("'quoted.example';", "quoted.example"),
            ("203.0.113.*", "203.0.113"),
            ("203.0.*.*", "203.0"),
            ("203.0.113.", "203.0.113"),
            ("mx.example.org[192.0.2.7]", "mx.example.org"),
            ("203.*", "203.0.0.0/8"),
            ("203", "203.0.0.0/8"),
            ("mx*.example.org", "/^mx.*\\.example\\.org$/"),
            ("^mx[0-9]+\\.example\\.org$", "/^mx[0-9]+\\.example\\.org$/"),
        ];
        for (text, want) in cases {
            let said = client(text).unwrap_or_default();
            assert_eq!(
                said,
                format!("no client has a name like this; write {want}"),
                "{text}"
            );
            assert_eq!(client(want), None, "{text}");
        }
        let cases = [
            ("1.2.3.4.5", "no client has a name like this"),
            ("!example.org", "no client has a name like this"),
            ("a..b", "no client has a name like this"),
            ("-a.example", "no client has a name like this"),
            (".", "no client has a name like this"),
            (
                "10.0.0.1-10.0.0.9",
                "a range is not an entry; write networks, ADDRESS/LENGTH",
            ),
            (
                "m\u{fc}ller.example",
                "names of clients are ASCII; write the form that begins with xn--",
            ),
            (
                "user@example.com",
                "this is a mail address in a list of clients; add it to the senders or recipients",
            ),
        ];
        for (text, want) in cases {
            assert_eq!(client(text).as_deref(), Some(want), "{text}");
        }
        for length in [LONGEST_LABEL, LONGEST_LABEL + 1] {
            let name = format!("{}.example", "a".repeat(length));
            assert_eq!(client(&name).is_some(), length > LONGEST_LABEL, "{length}");
        }
    }

    #[test]
    fn a_dead_mail_address_is_told_with_what_is_likely_meant() {
        let domain = "no mail address has a domain like this";
        let address = "no mail address looks like this";
        let cases = [
            ("*.example.com", domain, "; write example.com"),
            (".example.com", domain, "; write example.com"),
            ("example.com,", domain, "; write example.com"),
            ("example.com.", domain, "; write example.com"),
            (
                "ex*.example.com",
                domain,
                "; write /@ex.*\\.example\\.com$/",
            ),
            ("1.2.3.4.5", domain, ""),
            ("@example.com", address, "; write example.com"),
            ("*@example.com", address, "; write example.com"),
            ("<joe@example.com>", address, "; write joe@example.com"),
            ("joe@example.com,", address, "; write joe@example.com"),
            ("mailto:joe@example.com", address, "; write joe@example.com"),
            ("bob@*.example", address, "; write /^bob@.*\\.example$/"),
            ("bob*@", address, "; write /^bob.*@/"),
            ("@", address, ""),
            ("a@b@c", address, ""),
            ("a@b@c.example", address, ""),
        ];
        for (text, want, instead) in cases {
            let said = mail(text).unwrap_or_default();
            assert_eq!(said, format!("{want}{instead}"), "{text}");
        }
        assert_eq!(
            mail("<>").as_deref(),
            Some("write /^$/ for the null sender")
        );
        for text in [
            "203.0.113.9",
            "203.0.113.*",
            "203.0.113.0/24",
            "2001:db8::1",
        ] {
            assert_eq!(mail(text), Some(Dead::ClientAddress.to_string()), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_entry_is_alive_or_told_of(text in r"[a-c0-9.*@:\[\]<>,;!^$\\/-]{1,14}|\PC{1,6}") {
            if let Ok(pattern) = ClientPattern::parse(&text) {
                prop_assert_eq!(pattern.dead().is_none(), is_client(&text));
            }
            if let Ok(pattern) = AddressPattern::parse(&text) {
                prop_assert_eq!(pattern.dead().is_none(), is_mail(&text));
            }
        }
    }
}
