//! The name of a DNS list's zone.

use std::fmt;
use std::sync::Arc;

use super::domain::is_label;
use crate::types::ClientIp;

/// The longest name of a zone: with the 32 nibbles of an IPv6 address and their dots before it, it is still a name
/// (RFC 1035, 2.3.4).
const MOST_BYTES: usize = 253 - 64;

/// Last labels that resolvers answer themselves, or never ask for (RFC 6761, RFC 7686).
const SPECIAL: &[&str] = &["localhost", "invalid", "onion"];

/// The name of a zone: lower case, without the final dot. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Zone(Arc<str>);

impl Zone {
    /// Reads the name of a zone.
    ///
    /// # Errors
    ///
    /// [`ZoneError`] when it is not a domain name, or one that resolvers do not ask for.
    pub fn parse(text: &str) -> Result<Self, ZoneError> {
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        let last = name.rsplit('.').next().unwrap_or_default();
        let is_address = last.bytes().all(|byte| byte.is_ascii_digit());
        let is_reverse = name.ends_with("in-addr.arpa") || name.ends_with("ip6.arpa");
        if SPECIAL.contains(&last) || is_reverse {
            return Err(ZoneError::Special);
        }
        if name.len() <= MOST_BYTES
            && !is_address
            && name.split('.').all(|label| is_label(label.as_bytes()))
        {
            Ok(Self(Arc::from(name)))
        } else {
            Err(ZoneError::Name)
        }
    }

    /// The name to ask for: the client's address in reverse, as RFC 5782 says, below the zone. It ends with a dot.
    #[must_use]
    pub fn name(&self, client: ClientIp) -> String {
        let mut name = client.reversed();
        name.reserve(self.0.len().saturating_add(1));
        name.push_str(&self.0);
        name.push('.');
        name
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a text is not the name of a zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ZoneError {
    /// It is not a domain name.
    #[error(
        "not a domain name of letters, digits, hyphens and underscores, with labels of at most 63 bytes and {MOST_BYTES} \
         bytes in all"
    )]
    Name,
    /// Resolvers do not ask for it.
    #[error("names there are answered by the resolver itself (RFC 6761)")]
    Special,
}
