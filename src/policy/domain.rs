//! The organizational domain of a host: the domain that its owner has registered, by the public suffix list.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use idna::AsciiDenyList;
use idna::uts46::{DnsLength, Hyphens, Uts46};

/// Maximum length of a domain name, in bytes (RFC 1035, 2.3.4).
const MOST_BYTES: usize = 253;

/// An organizational domain (RFC 7489, 3.2): a listed public suffix and one label before it. Lower case, without the
/// final dot. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Domain(Arc<str>);

impl Domain {
    /// The organizational domain of a host or a mail domain. `None` for an address, an invalid name, a public suffix
    /// itself, and a name below an unknown suffix.
    #[must_use]
    pub fn of(name: &[u8]) -> Option<Self> {
        let name = name.strip_suffix(b".").unwrap_or(name);
        if !is_host_name(name) {
            return None;
        }
        // The list compares case-sensitively, with lower-case names.
        let name = str::from_utf8(name).ok()?.to_ascii_lowercase();
        let domain = psl::domain(name.as_bytes())?;
        if !domain.suffix().is_known() {
            return None;
        }
        str::from_utf8(domain.as_bytes())
            .ok()
            .map(|domain| Self(Arc::from(domain)))
    }

    /// The domain in a stored key. It stays valid even if the list has changed since.
    pub(super) fn from_key(name: &[u8]) -> Option<Self> {
        let is_name = name.len() <= MOST_BYTES
            && !name.iter().any(u8::is_ascii_uppercase)
            && name.split(|byte| *byte == b'.').all(is_label);
        let name = str::from_utf8(name).ok().filter(|_| is_name)?;
        Some(Self(Arc::from(name)))
    }

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether the characters of a host name are valid; `true` for an IPv4 address and its prefixes.
#[must_use]
pub fn is_host_name(name: &[u8]) -> bool {
    name.len() <= MOST_BYTES && name.split(|byte| *byte == b'.').all(is_label)
}

/// Whether this is a valid label of a host name for Postfix (with `_`, which occurs in DNS).
pub(super) fn is_label(label: &[u8]) -> bool {
    let is_inner = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let has_hyphen = label.starts_with(b"-") || label.ends_with(b"-");
    (1..=63).contains(&label.len()) && !has_hyphen && label.iter().all(is_inner)
}

/// A mail domain or HELO name as DNS has it, in lower case: labels beyond ASCII become A-labels, as RFC 8616, 4 wants it for
/// SPF, and by the mapping of UTS 46, as Postfix has it. The result is not always a host name. `None` if the name is not
/// ASCII and cannot be converted.
pub(super) fn for_dns(name: &str) -> Option<String> {
    if name.is_ascii() {
        return Some(name.to_ascii_lowercase());
    }
    // Which characters, hyphens and lengths are valid, `is_host_name` says, for names in ASCII too.
    let (any, hyphens, length) = (AsciiDenyList::EMPTY, Hyphens::Allow, DnsLength::Ignore);
    let converted = Uts46::new().to_ascii(name.as_bytes(), any, hyphens, length);
    converted.ok().map(Cow::into_owned)
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_is_what_its_owner_has_registered() {
        for (name, want) in [
            ("mail-ej1-f41.google.com", Some("google.com")),
            ("google.com", Some("google.com")),
            ("google.com.", Some("google.com")),
            ("mx.example.co.jp", Some("example.co.jp")),
            ("MAIL.Example.CO.JP", Some("example.co.jp")),
            ("_spf.example.com", Some("example.com")),
            ("a.b.foo.github.io", Some("foo.github.io")),
            // Suffixes themselves, and names below none that is known.
            ("co.jp", None),
            ("CO.JP", None),
            ("com", None),
            ("github.io", None),
            ("localhost", None),
            ("mail.example.unknowntld", None),
            ("unknown", None),
            // No names.
            ("", None),
            (".", None),
            ("..", None),
            (".com", None),
            ("a..com", None),
            ("google.com..", None),
            ("192.0.2.1", None),
            ("[192.0.2.1]", None),
            ("2001:db8::1", None),
            ("-mx.example.com", None),
            ("mx-.example.com", None),
            ("a b.example.com", None),
            ("b\u{fc}cher.example.com", None),
        ] {
            let domain = Domain::of(name.as_bytes());
            assert_eq!(domain.as_ref().map(Domain::as_str), want, "{name:?}");
        }
    }

    #[test]
    fn a_name_beyond_ascii_is_converted_or_there_is_none() {
        let (most, more) = ("\u{fc}".repeat(57), "\u{fc}".repeat(5_000));
        for (name, want) in [
            ("B\u{fc}cher.Example", Some("xn--bcher-kva.example")),
            ("bu\u{308}cher.example", Some("xn--bcher-kva.example")),
            (
                "xn--bcher-kva.\u{440}\u{444}",
                Some("xn--bcher-kva.xn--p1ai"),
            ),
            ("b\u{fc}cher\u{3002}example", Some("xn--bcher-kva.example")),
            (
                "_spf.b\u{fc}cher.example.",
                Some("_spf.xn--bcher-kva.example."),
            ),
            ("\u{ff45}xample.com", Some("example.com")),
            ("fa\u{df}.example", Some("xn--fa-hia.example")),
            // ASCII is as it is, even if it is not valid.
            ("XN--\x7f@[.example", Some("xn--\x7f@[.example")),
            // Characters that map to others remain visible to the check of host names.
            ("a\u{ff20}b.example", Some("a@b.example")),
            ("a\u{2100}b.example", Some("aa/cb.example")),
            ("", Some("")),
            // Invalid A-labels, unassigned and forbidden characters, right-to-left beside left-to-right, a lone mark.
            ("xn--\u{fc}.example", None),
            ("\u{fc}.xn--a.example", None),
            ("a\u{e000}.example", None),
            ("a\u{200b}\u{fffd}.example", None),
            ("\u{5d0}a.example", None),
            ("\u{308}.example", None),
            (&more, None),
        ] {
            let got = for_dns(name);
            assert_eq!(got.as_deref(), want, "{}", name.escape_unicode());
        }
        // Too long for a label only once it is converted.
        let long = for_dns(&format!("{most}{most}.example"));
        assert!(long.is_none_or(|long| !is_host_name(long.as_bytes())));
    }

    #[test]
    fn names_of_any_length_and_any_bytes_are_read() {
        let label = "a".repeat(63);
        let longest = format!("{label}.{label}.{label}.{}.com", "a".repeat(57));
        assert_eq!(longest.len(), MOST_BYTES);
        let domain = format!("{}.com", "a".repeat(57));
        let found = Domain::of(longest.as_bytes());
        assert_eq!(found.as_ref().map(Domain::as_str), Some(domain.as_str()));
        assert_eq!(Domain::of(format!("a{longest}").as_bytes()), None);
        assert_eq!(Domain::of(format!("{label}a.com").as_bytes()), None);
        assert_eq!(Domain::of(&[0xff, b'.', b'c', b'o', b'm']), None);
        assert_eq!(Domain::of(b"a\0b.com"), None);
        assert_eq!(Domain::of(&b"a.".repeat(100_000)), None);
    }
}
