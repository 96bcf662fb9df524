//! The names of the lists.

/// The lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ListName {
    /// Clients that are never greylisted.
    Client,
    /// Recipients for which nobody is greylisted.
    Recipient,
    /// Senders that are never greylisted.
    Sender,
    /// Clients whose names match S25R, but that are not end users.
    S25rException,
    /// Recipients whose mail is greylisted, where greylisting is opt-in.
    GreylistRecipient,
    /// The client access tables.
    ClientAccess,
    /// The entries of `greylist.conf` for recipients.
    GreylistConf,
    /// The tables for header fields.
    HeaderChecks,
    /// The tables for lines of bodies.
    BodyChecks,
}

impl ListName {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Client,
        Self::Recipient,
        Self::Sender,
        Self::S25rException,
        Self::GreylistRecipient,
        Self::ClientAccess,
        Self::GreylistConf,
        Self::HeaderChecks,
        Self::BodyChecks,
    ];

    /// The name of the list in texts and in the store.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Client => "client-whitelist",
            Self::Recipient => "recipient-whitelist",
            Self::Sender => "sender-whitelist",
            Self::S25rException => "s25r-exceptions",
            Self::GreylistRecipient => "greylist-recipients",
            Self::ClientAccess => "client-access",
            Self::GreylistConf => "greylist-conf",
            Self::HeaderChecks => "header-checks",
            Self::BodyChecks => "body-checks",
        }
    }

    /// The list of this name.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|list| list.word() == word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_list_is_found_by_its_word() {
        for list in ListName::ALL {
            assert_eq!(ListName::from_word(list.word()), Some(list), "{list:?}");
        }
        for word in ["", "client", "Client-Whitelist", "client-whitelist "] {
            assert_eq!(ListName::from_word(word), None, "{word}");
        }
    }
}
