//! SPF (RFC 7208): whether the owner of a mail domain lets a client send for it.
//!
//! The evaluated identity is MAIL FROM, or HELO if MAIL FROM is empty. Only a domain below a known public suffix is
//! evaluated, because only the organizational [`Domain`] of a pass is used. A domain in UTF-8 (SMTPUTF8, RFC 6531) is
//! evaluated as what DNS has, its A-labels (RFC 8616, 4); one that has none is not evaluated.

use std::sync::Arc;

use super::domain::{Domain, for_dns};
use crate::types::{ClientIp, Prefix};

/// Maximum length of an identity in bytes: a local part of 64, `@` and a domain of 255 (RFC 5321, 4.5.3.1).
const MOST_BYTES: usize = 64 + 1 + 255;

/// Bits of the network for which the evaluations of a client are counted.
const IPV4_BITS: u8 = 24;
const IPV6_BITS: u8 = 64;

/// One evaluation: client, HELO and identity. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SpfQuestion(Arc<Parts>);

#[derive(Debug, PartialEq, Eq, Hash)]
struct Parts {
    client: ClientIp,
    helo: String,
    sender: String,
    organization: Domain,
}

impl SpfQuestion {
    /// The question of an attempt; `None` if it has no domain that can pass.
    #[must_use]
    pub fn new(client: ClientIp, helo: &[u8], sender: &[u8]) -> Option<Self> {
        let is_short = |text: &&str| text.len() <= MOST_BYTES;
        let helo = str::from_utf8(helo).ok().filter(is_short);
        let helo = helo.and_then(for_dns).unwrap_or_default();
        let sender = str::from_utf8(sender).ok().filter(is_short)?;
        let (local_part, domain) = if sender.is_empty() {
            ("", helo.as_str())
        } else {
            sender.rsplit_once('@')?
        };
        let domain = for_dns(domain)?;
        let organization = Domain::of(domain.as_bytes())?;
        // RFC 7208, 4.3.
        let local_part = Some(local_part).filter(|part| !part.is_empty());
        let local_part = local_part.unwrap_or("postmaster");
        let sender = format!("{local_part}@{domain}");
        Some(Self(Arc::new(Parts {
            client,
            helo,
            sender,
            organization,
        })))
    }

    /// The client.
    #[must_use]
    pub fn client(&self) -> ClientIp {
        self.0.client
    }

    /// The network that the client's evaluations are counted for.
    #[must_use]
    pub fn network(&self) -> Prefix {
        self.0.client.network(IPV4_BITS, IPV6_BITS)
    }

    /// The client's HELO name in lower case, without characters beyond ASCII; empty if unknown.
    #[must_use]
    pub fn helo(&self) -> &str {
        &self.0.helo
    }

    /// The identity: a local part, `@`, and the domain in lower case, without characters beyond ASCII.
    #[must_use]
    pub fn sender(&self) -> &str {
        &self.0.sender
    }

    /// The domain of the identity.
    #[must_use]
    pub fn domain(&self) -> &str {
        let domain = self.0.sender.rsplit_once('@');
        domain.map_or("", |(_, domain)| domain)
    }

    /// The organizational domain of the identity.
    #[must_use]
    pub fn organization(&self) -> &Domain {
        &self.0.organization
    }
}

/// The result of an evaluation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SpfFinding {
    /// It passes; the organizational domain of the identity.
    Passed(Domain),
    /// It does not count as a pass, for this reason.
    NotPassed(SpfResult),
}

/// The result of SPF, as in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SpfResult {
    /// The domain lets the client send.
    Pass,
    /// The domain authorizes everybody, which does not count as a pass.
    PassAny,
    /// There is no domain to evaluate, or it has no record.
    None,
    /// The domain says nothing about the client.
    Neutral,
    /// The client is probably not allowed to send for the domain.
    Softfail,
    /// The client is not allowed to send for the domain.
    Fail,
    /// The record is invalid.
    Permerror,
    /// No answer in time, or an error.
    Temperror,
}

impl SpfResult {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Pass,
        Self::PassAny,
        Self::None,
        Self::Neutral,
        Self::Softfail,
        Self::Fail,
        Self::Permerror,
        Self::Temperror,
    ];

    /// The word of RFC 7208, 2.6, or ours.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::PassAny => "pass-any",
            Self::None => "none",
            Self::Neutral => "neutral",
            Self::Softfail => "softfail",
            Self::Fail => "fail",
            Self::Permerror => "permerror",
            Self::Temperror => "temperror",
        }
    }
}

// Counters are indexed by result, so `ALL` must be complete.
const _: () = assert!(SpfResult::ALL.len() == SpfResult::Temperror as usize + 1);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::policy::is_host_name;

    #[test]
    fn a_question_is_about_mail_from_or_about_helo_where_that_is_empty() {
        let client = ClientIp::parse(b"192.0.2.1").unwrap();
        let long = format!("{}@example.com", "a".repeat(MOST_BYTES));
        let joe = ("Joe@mail.example.com", "example.com");
        let helo = ("postmaster@mx.a.com", "a.com");
        let no_local_part = ("postmaster@example.com", "example.com");
        let two = ("a@b@example.com", "example.com");
        let utf8 = ("b\u{fc}cher@example.com", "example.com");
        let a_labels = ("Ann@xn--bcher-kva.com", "xn--bcher-kva.com");
        let a_labels_of_helo = ("postmaster@xn--bcher-kva.com", "xn--bcher-kva.com");
        let cases = [
            ("mx.a.com", "Joe@Mail.Example.COM", Some(joe)),
            ("MX.A.com", "", Some(helo)),
            ("mx.a.com", "@example.com", Some(no_local_part)),
            ("", "a@b@example.com", Some(two)),
            ("mx.a.com", "b\u{fc}cher@example.com", Some(utf8)),
            ("mx.a.com", "Ann@B\u{dc}CHER.com", Some(a_labels)),
            ("mx.a.com", "Ann@XN--Bcher-KVA.com", Some(a_labels)),
            ("b\u{fc}cher.com", "", Some(a_labels_of_helo)),
            ("mx.a.com", "a@b\u{fc}cher.unknowntld", None),
            ("mx.a.com", "a@xn--\u{fc}.com", None),
            ("mx.a.com", "joe", None),
            ("mx.a.com", "joe@", None),
            ("mx.a.com", "joe@localhost", None),
            ("mx.a.com", "joe@[192.0.2.1]", None),
            ("mx.a.com", "joe@example.unknowntld", None),
            ("[192.0.2.1]", "", None),
            ("", "", None),
            ("mx.a.com", &long, None),
        ];
        for (helo, sender, want) in cases {
            let question = SpfQuestion::new(client, helo.as_bytes(), sender.as_bytes());
            let got = question.as_ref();
            let got = got.map(|got| (got.sender(), got.organization().as_str()));
            assert_eq!(got, want, "{helo:?} {sender:?}");
        }
        let bytes = SpfQuestion::new(client, b"\xff.a.com", b"a@example.com").unwrap();
        assert_eq!((bytes.helo(), bytes.domain()), ("", "example.com"));
        for sender in [b"\xff@example.com", b"a@b\xfccher.com."] {
            let question = SpfQuestion::new(client, b"mx.a.com", sender);
            assert_eq!(question, None, "{}", sender.escape_ascii());
        }
    }

    proptest! {
        #[test]
        fn whatever_the_domain_is_dns_is_asked_for_host_names(
            sender in "\\PC{0,3}@((xn--|[\u{fc}\u{df}\u{5d0}\u{200d}\u{ff0e}])?\\PC{0,6}\\.){0,4}(com|\u{440}\u{444})\\.?",
        ) {
            let client = ClientIp::parse(b"192.0.2.1").unwrap();
            let question = SpfQuestion::new(client, b"", sender.as_bytes());
            let Some(question) = question else {
                return Ok(());
            };
            let domain = question.domain();
            let name = domain.strip_suffix('.').unwrap_or(domain);
            prop_assert!(is_host_name(name.as_bytes()), "{}", domain);
            prop_assert!(name.ends_with(question.organization().as_str()), "{}", domain);
            // The same that a sender asks for who writes it in ASCII.
            let again = SpfQuestion::new(client, b"", question.sender().as_bytes());
            prop_assert_eq!(again, Some(question.clone()));
        }
    }

    #[test]
    fn every_result_has_a_word_of_its_own() {
        for result in SpfResult::ALL {
            let same = |other: &&SpfResult| other.word() == result.word();
            assert_eq!(SpfResult::ALL.iter().filter(same).count(), 1, "{result:?}");
        }
    }
}
