//! The reasons of decisions, with the texts for each of them.
//!
//! A reason is a field of the journal, a counter, a value on the bus, a sentence of stargreyctl and a row of
//! stargreyd(8). All of them read the one table here, and a test compares the page with it.

/// Why. A closed list: each is a counter, a journal field and a row of the manual.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The administrator has paused greylisting.
    Paused,
    /// The request lacks client address, client name, sender or recipient.
    AttributeMissing,
    /// The client address is not an IP address.
    AddressUnparsable,
    /// Asked at another stage than RCPT.
    OtherState,
    /// The client list has the client.
    ClientWhitelist,
    /// The recipient list has the recipient.
    RecipientWhitelist,
    /// The sender list has the sender.
    SenderWhitelist,
    /// A client access table lets the client pass.
    AccessPermit,
    /// A client access table has an answer for the client.
    AccessReply,
    /// An access list lets the attempt pass.
    RulePass,
    /// An access list refuses the attempt.
    RuleReject,
    /// An access list refuses the message.
    MessageReply,
    /// An access list greylists the message, but no recipient has to wait for that.
    NoOpenRecipient,
    /// The client has authenticated itself.
    Authenticated,
    /// The client is in a network of one's own.
    OwnNetwork,
    /// Greylisting is opt-in, and the recipient is not listed.
    RecipientNotListed,
    /// DNS lists refuse the client.
    DnsReject,
    /// DNS lists let the client pass.
    DnsAllowlist,
    /// SPF passes, and S25R alone marks the client as suspicious.
    SpfPass,
    /// No suspicion check says anything about the client.
    NotSuspicious,
    /// The client is auto-whitelisted.
    ClientAwl,
    /// At DATA: the client has survived its sleep.
    TarpitSurvived,
    /// At DATA: the client cannot have survived its sleep.
    EarlyData,
    /// At DATA: the client was not tarpitted.
    NotTarpitted,
    /// The triplet has waited, now or earlier.
    TripletFound,
    /// The triplet is new, or came too late for its retry window.
    New,
    /// The triplet was retried before the delay was over, or not often enough since.
    EarlyRetry,
    /// The message has waited for a reply already.
    Tarpitted,
    /// The store is unavailable.
    StoreFailure,
}

/// The texts of a reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReasonText {
    /// The word in journal fields, in counters and on the bus.
    pub word: &'static str,
    /// The wording in the log line, Postgrey's where Postgrey has the reason. The log adds the
    /// missing attribute's name, and what is missing to an early retry and to early DATA.
    pub log_text: &'static str,
    /// What it means for the request: a clause for administrators, without a full stop.
    pub meaning: &'static str,
}

/// A row of the table.
const fn row(word: &'static str, log_text: &'static str, meaning: &'static str) -> ReasonText {
    ReasonText {
        word,
        log_text,
        meaning,
    }
}

impl Reason {
    /// All of them, in the order of a decision.
    pub const ALL: [Self; 29] = [
        Self::Paused,
        Self::AttributeMissing,
        Self::AddressUnparsable,
        Self::OtherState,
        Self::ClientWhitelist,
        Self::RecipientWhitelist,
        Self::SenderWhitelist,
        Self::AccessPermit,
        Self::AccessReply,
        Self::RulePass,
        Self::RuleReject,
        Self::MessageReply,
        Self::NoOpenRecipient,
        Self::Authenticated,
        Self::OwnNetwork,
        Self::RecipientNotListed,
        Self::DnsReject,
        Self::DnsAllowlist,
        Self::SpfPass,
        Self::NotSuspicious,
        Self::ClientAwl,
        Self::TarpitSurvived,
        Self::EarlyData,
        Self::NotTarpitted,
        Self::TripletFound,
        Self::New,
        Self::EarlyRetry,
        Self::Tarpitted,
        Self::StoreFailure,
    ];

    /// The table: word, wording in the log, meaning.
    #[must_use]
    #[rustfmt::skip]
    pub const fn text(self) -> ReasonText {
        match self {
            Self::Paused => row("paused", "paused", "greylisting is paused, and everything passes"),
            Self::AttributeMissing => row("attribute-missing", "attribute missing", "the request lacks an attribute that is needed"),
            Self::AddressUnparsable => row("address-unparsable", "client address unparsable", "the client's address is not an IP address"),
            Self::OtherState => row("other-state", "not at RCPT", "mail is greylisted at RCPT only"),
            Self::ClientWhitelist => row("client-whitelist", "client whitelist", "the client is on the client whitelist"),
            Self::RecipientWhitelist => row("recipient-whitelist", "recipient whitelist", "the recipient is on the recipient whitelist"),
            Self::SenderWhitelist => row("sender-whitelist", "sender whitelist", "the sender is on the sender whitelist"),
            Self::AccessPermit => row("access-permit", "client access permit", "a client access table lets the client pass"),
            Self::AccessReply => row("access-reply", "client access reply", "a client access table replies to the client"),
            Self::RulePass => row("rule-pass", "access list pass", "an entry of greylist.conf lets it pass"),
            Self::RuleReject => row("rule-reject", "access list reject", "an entry of greylist.conf refuses it"),
            Self::MessageReply => row("message-reply", "message reply", "an entry of a table or of greylist.conf refuses or discards the message"),
            Self::NoOpenRecipient => row("no-open-recipient", "no open recipient", "an entry of greylist.conf greylists the message, but every recipient has waited or is exempt"),
            Self::Authenticated => row("authenticated", "authenticated", "the client has authenticated itself (SASL)"),
            Self::OwnNetwork => row("own-network", "own network", "the client is in a network of one's own"),
            Self::RecipientNotListed => row("recipient-not-listed", "recipient not listed", "the recipient is not on the list of those to be greylisted"),
            Self::DnsReject => row("dns-reject", "DNS blocklist", "DNS lists refuse the client"),
            Self::DnsAllowlist => row("dns-allowlist", "DNS allowlist", "DNS lists let the client pass"),
            Self::SpfPass => row("spf-pass", "SPF pass", "S25R marks the client as suspicious, but SPF passes for the sender's domain"),
            Self::NotSuspicious => row("not-suspicious", "not suspicious", "no check marks the client as suspicious"),
            Self::ClientAwl => row("client-awl", "client AWL", "the client is auto-whitelisted: it has retried successfully often enough"),
            Self::TarpitSurvived => row("tarpit-survived", "tarpit survived", "the client has waited for its reply"),
            Self::EarlyData => row("early-data", "early DATA", "the client cannot have waited for its reply"),
            Self::NotTarpitted => row("not-tarpitted", "not tarpitted", "the client was not made to wait for its reply"),
            Self::TripletFound => row("triplet-found", "triplet found", "this client network, sender and recipient have waited long enough"),
            Self::New => row("new", "new", "this client network, sender and recipient have not been seen together, or too long ago"),
            Self::EarlyRetry => row("early-retry", "early-retry", "the delay is not over, or more retries are required"),
            Self::Tarpitted => row("tarpitted", "tarpitted already", "the message has waited for a reply already"),
            Self::StoreFailure => row("store-failure", "store failure", "the database is unavailable"),
        }
    }

    /// The word in journal fields, in counters and on the bus.
    #[must_use]
    pub const fn word(self) -> &'static str {
        self.text().word
    }

    /// The reason of this word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.word() == word)
    }
}

// Counters are indexed by reason, so `ALL` must be complete.
const _: () = assert!(Reason::ALL.len() == Reason::StoreFailure as usize + 1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_reasons_share_a_text() {
        let texts = [
            |reason: Reason| reason.text().word,
            |reason: Reason| reason.text().log_text,
            |reason: Reason| reason.text().meaning,
        ];
        for reason in Reason::ALL {
            for text in texts {
                let same = |other: &&Reason| text(**other) == text(reason);
                assert_eq!(Reason::ALL.iter().filter(same).count(), 1, "{reason:?}");
            }
        }
    }

    #[test]
    fn a_reason_is_found_by_its_word_alone() {
        for reason in Reason::ALL {
            assert_eq!(Reason::from_word(reason.word()), Some(reason));
        }
        assert_eq!(Reason::from_word("not at RCPT"), None);
    }
}
