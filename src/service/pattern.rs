//! Parses the text of runtime entries.

use crate::policy::pattern::{AddressPattern, ClientPattern, PatternError};
use crate::policy::{Dead, ListName};
use crate::types::Prefix;

/// A parsed text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Pattern {
    Client(ClientPattern),
    Address(AddressPattern),
}

impl Pattern {
    /// The inside of `/…/`.
    pub(crate) fn expression(&self) -> Option<&str> {
        match self {
            Self::Client(ClientPattern::Expression(text))
            | Self::Address(AddressPattern::Expression(text)) => Some(text),
            Self::Client(ClientPattern::Network(_) | ClientPattern::Host(_))
            | Self::Address(
                AddressPattern::Address(_) | AddressPattern::User(_) | AddressPattern::Domain(_),
            ) => None,
        }
    }
}

/// A pattern as it is stored, and parsed for this list. It is trimmed, and lower-cased unless it is an expression.
///
/// # Errors
///
/// [`PatternError`] when it is not valid for the list.
pub(crate) fn normal(list: ListName, text: &str) -> Result<(String, Pattern), PatternError> {
    let text = text.trim();
    if text.is_empty() {
        return Err(PatternError::Empty);
    }
    let pattern = parse(list, text)?;
    let text = if text.starts_with('/') {
        text.to_owned()
    } else {
        text.to_ascii_lowercase()
    };
    Ok((text, pattern))
}

/// Why a valid pattern never matches; `None` if it can match.
pub(crate) fn never_matches(pattern: &Pattern) -> Option<Dead> {
    match pattern {
        Pattern::Client(pattern) => pattern.dead(),
        Pattern::Address(pattern) => pattern.dead(),
    }
}

/// The network that a text was read as, although it names a host in it.
pub(crate) fn network_of_host(pattern: &Pattern, text: &str) -> Option<Prefix> {
    match pattern {
        Pattern::Client(pattern) => pattern.network_of_host(text),
        Pattern::Address(_) => None,
    }
}

/// Parses a text for this list.
pub(crate) fn parse(list: ListName, text: &str) -> Result<Pattern, PatternError> {
    match list {
        ListName::Client
        | ListName::S25rException
        | ListName::ClientAccess
        | ListName::GreylistConf
        | ListName::HeaderChecks
        | ListName::BodyChecks => ClientPattern::parse(text).map(Pattern::Client),
        ListName::Recipient | ListName::Sender | ListName::GreylistRecipient => {
            AddressPattern::parse(text).map(Pattern::Address)
        }
    }
}
