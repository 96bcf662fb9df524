//! Parses the entries of lists. The forms are Postgrey 1.37's; the first that fits is used.

use std::net::{IpAddr, Ipv4Addr};

use regex_automata::nfa::thompson;
use regex_automata::util::syntax;

use super::set::ExpressionSet;
use crate::types::{Prefix, PrefixError};

/// Maximum memory of a single compiled expression, in bytes.
pub(super) const EXPRESSION_SIZE: usize = 4 << 20;

/// Maximum memory of all compiled expressions of a list, in bytes.
pub(super) const EXPRESSIONS_SIZE: usize = 256 << 20;

/// Why an entry is invalid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// A blank within an entry; each line has one entry.
    #[error("a blank inside an entry; write one entry per line")]
    Blank,
    /// `//`.
    #[error("an empty expression")]
    Empty,
    /// The expression cannot be compiled.
    #[error("bad expression: {0}")]
    Expression(String),
    /// Looks like an address or a network, but is not one.
    #[error("bad address: {0}")]
    Address(#[from] PrefixError),
    /// A slash at an invalid place.
    #[error("not a host name, address, network or /expression/")]
    Slash,
}

/// An entry of a client list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientPattern {
    /// `/…/`: matched anywhere in the client name, case-insensitively.
    Expression(String),
    /// An address or a network.
    Network(Prefix),
    /// A host name, lower-cased: it and its subdomains.
    Host(String),
}

/// An entry of a recipient or sender list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AddressPattern {
    /// `/…/`: matched anywhere in the address, case-insensitively.
    Expression(String),
    /// `user@domain`, lower-cased: this address, with or without `+extension`.
    Address(String),
    /// `user@`, lower-cased: this local part in any domain, with or without `+extension`.
    User(String),
    /// `domain`, lower-cased: every address in it and its subdomains.
    Domain(String),
}

impl ClientPattern {
    /// Parses an entry; `text` is trimmed and not empty.
    ///
    /// # Errors
    ///
    /// [`PatternError`] says why the text is invalid.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        if let Some(expression) = expression(text)? {
            return Ok(Self::Expression(expression));
        }
        if let Some(network) = ipv4(text)? {
            return Ok(Self::Network(network));
        }
        if text.bytes().filter(|byte| *byte == b':').count() >= 2 {
            return Ok(Self::Network(Prefix::parse(text)?));
        }
        if text.contains('/') {
            return Err(PatternError::Slash);
        }
        Ok(Self::Host(text.to_ascii_lowercase()))
    }
}

impl AddressPattern {
    /// Parses an entry; `text` is trimmed and not empty.
    ///
    /// # Errors
    ///
    /// [`PatternError`] says why the text is invalid.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        if let Some(expression) = expression(text)? {
            return Ok(Self::Expression(expression));
        }
        let lower = text.to_ascii_lowercase();
        Ok(match lower.split_once('@') {
            None => Self::Domain(lower),
            Some((user, "")) => Self::User(user.to_owned()),
            Some(_) => Self::Address(lower),
        })
    }
}

/// The inside of `/…/`, which compiles; `None` if the entry has another form.
fn expression(text: &str) -> Result<Option<String>, PatternError> {
    if text.contains(char::is_whitespace) {
        return Err(PatternError::Blank);
    }
    let inner = text
        .strip_prefix('/')
        .and_then(|rest| rest.strip_suffix('/'));
    match inner {
        None => Ok(None),
        Some("") => Err(PatternError::Empty),
        Some(inner) => {
            compile(&[inner], EXPRESSION_SIZE).map_err(|error| {
                let text = error.to_string();
                let last = text.lines().last().unwrap_or_default();
                PatternError::Expression(last.trim_start_matches("error: ").to_owned())
            })?;
            Ok(Some(inner.to_owned()))
        }
    }
}

/// Compiles the expressions of a list into one set.
///
/// # Errors
///
/// If they are too large together.
pub(super) fn compile_all(expressions: &[&str]) -> Result<ExpressionSet, regex::Error> {
    compile(expressions, EXPRESSIONS_SIZE)
}

/// Size in bytes of the automaton of an expression, which the limits of this module bound. `None` if it is not an
/// expression, or is too large.
pub(super) fn compiled_size(expression: &str) -> Option<usize> {
    let limits = thompson::Config::new()
        .utf8(false)
        .which_captures(thompson::WhichCaptures::None)
        .nfa_size_limit(Some(EXPRESSION_SIZE));
    let automaton = thompson::Compiler::new()
        .syntax(options())
        .configure(limits)
        .build(expression);
    automaton.ok().map(|automaton| automaton.memory_usage())
}

fn compile(expressions: &[&str], size: usize) -> Result<ExpressionSet, regex::Error> {
    ExpressionSet::new(expressions, size, options())
}

/// How expressions are read.
fn options() -> syntax::Config {
    syntax::Config::new()
        .case_insensitive(true)
        .unicode(false)
        .utf8(false)
}

impl ClientPattern {
    /// The network that `text` was read as, if it names a host in it: `192.0.2.0/24` for `192.0.2.7/24`.
    #[must_use]
    pub fn network_of_host(&self, text: &str) -> Option<Prefix> {
        let Self::Network(network) = self else {
            return None;
        };
        let address: IpAddr = text.split_once('/')?.0.parse().ok()?;
        let is_first = [address, address.to_canonical()].contains(&network.address());
        (!is_first).then_some(*network)
    }
}

/// `a.b.c.d`, `a.b.c.d/len`, `a.b.c` (a /24) or `a.b` (a /16); `None` for another form.
fn ipv4(text: &str) -> Result<Option<Prefix>, PatternError> {
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address, Some(length)),
        None => (text, None),
    };
    let is_number = |part: &str| {
        (1..=3).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit())
    };
    let parts: Vec<&str> = address.split('.').collect();
    if !(2..=4).contains(&parts.len()) || !parts.iter().all(|part| is_number(part)) {
        return Ok(None);
    }
    let mut octets = [0; 4];
    for (octet, part) in octets.iter_mut().zip(&parts) {
        *octet = part.parse().map_err(|_| PrefixError::Address)?;
    }
    let written = IpAddr::V4(Ipv4Addr::from(octets));
    match (parts.len(), length) {
        (4, Some(length)) => Ok(Some(Prefix::parse(&format!("{written}/{length}"))?)),
        (4, None) => Ok(Some(Prefix::masked(written, 32))),
        (3, None) => Ok(Some(Prefix::masked(written, 24))),
        (2, None) => Ok(Some(Prefix::masked(written, 16))),
        _ => Err(PatternError::Slash),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn client_entries_have_the_form_that_fits_first() {
        let network = |text: &str| Ok(ClientPattern::Network(Prefix::parse(text).unwrap()));
        let host = |text: &str| Ok(ClientPattern::Host(text.to_owned()));
        let cases = [
            ("Mail.Example.NET", host("mail.example.net")),
            ("10", host("10")),
            ("1234.5", host("1234.5")),
            ("192.0.2.7", network("192.0.2.7/32")),
            ("192.0.2.7/24", network("192.0.2.0/24")),
            ("192.0.2", network("192.0.2.0/24")),
            ("10.1", network("10.1.0.0/16")),
            ("2001:DB8::/32", network("2001:db8::/32")),
            ("::1", network("::1/128")),
            ("a:b", host("a:b")),
            (
                "/^mx[0-9]+\\./",
                Ok(ClientPattern::Expression("^mx[0-9]+\\.".to_owned())),
            ),
            ("//", Err(PatternError::Empty)),
            ("two words", Err(PatternError::Blank)),
            ("300.1.1.1", Err(PrefixError::Address.into())),
            ("10.0.0.0/33", Err(PrefixError::Length(32).into())),
            ("10.0.0/8", Err(PatternError::Slash)),
            ("example.org/24", Err(PatternError::Slash)),
            ("2001:db8:::1", Err(PrefixError::Address.into())),
        ];
        for (text, want) in cases {
            assert_eq!(ClientPattern::parse(text), want, "{text}");
        }
    }

    #[test]
    fn a_host_in_a_network_is_told_from_the_network() {
        for (text, want) in [
            ("192.0.2.10/24", Some("192.0.2.0/24")),
            ("192.0.2.0/24", None),
            ("192.0.2.10/32", None),
            ("192.0.2.10", None),
            ("192.0.2", None),
            ("2001:db8::1/32", Some("2001:db8::/32")),
            ("2001:DB8::/32", None),
            ("::ffff:192.0.2.0/120", None),
            ("::ffff:192.0.2.1/120", Some("192.0.2.0/24")),
            ("mx.example.org", None),
            ("/192.0.2.1/", None),
        ] {
            let pattern = ClientPattern::parse(text).unwrap();
            let got = pattern.network_of_host(text);
            assert_eq!(
                got.map(|network| network.to_string()).as_deref(),
                want,
                "{text}"
            );
        }
    }

    #[test]
    fn address_entries_have_the_form_that_fits_first() {
        let cases = [
            ("Example.org", AddressPattern::Domain("example.org".into())),
            ("abuse@", AddressPattern::User("abuse".into())),
            ("Joe@b.C", AddressPattern::Address("joe@b.c".into())),
            ("@b.c", AddressPattern::Address("@b.c".into())),
            ("/^$/", AddressPattern::Expression("^$".into())),
            ("a/b@c", AddressPattern::Address("a/b@c".into())),
        ];
        for (text, want) in cases {
            assert_eq!(AddressPattern::parse(text), Ok(want), "{text}");
        }
    }

    #[test]
    fn an_expression_that_does_not_compile_says_why() {
        for text in ["/(/", "/a{2,1}/", "/(?=x)/", "/\\1/"] {
            let error = ClientPattern::parse(text).unwrap_err();
            assert!(matches!(error, PatternError::Expression(_)), "{text}");
            assert!(!error.to_string().contains('\n'), "{text}");
        }
    }
}
