//! What a decision yields: verdict, reason, what decided, and what has to be remembered.

use super::greylist::Triplet;
use super::lists::ListName;
use super::reputation::Client;
use crate::types::Span;

/// What the client is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Verdict {
    /// Nothing stands against it: the other restrictions decide.
    Pass,
    /// The same, and the message gets the header that says how long it had to wait.
    PassWithHeader {
        /// From first sight to now.
        waited: Span,
    },
    /// Come back later.
    Defer {
        /// How long it still has to wait.
        wait: Span,
    },
    /// Come back later: the store cannot be asked.
    Unavailable,
}

impl Verdict {
    /// The verdict without its one-time part, for a question that is asked again.
    pub const fn repeated(self) -> Self {
        match self {
            Self::PassWithHeader { .. } => Self::Pass,
            Self::Pass | Self::Defer { .. } | Self::Unavailable => self,
        }
    }

    /// The `action=` word of the log.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pass | Self::PassWithHeader { .. } => "pass",
            Self::Defer { .. } => "greylist",
            Self::Unavailable => "defer",
        }
    }
}

/// Why. A closed list: each is a counter, a journal field and a row of the manual.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The request lacks client address, client name, sender or recipient.
    AttributeMissing,
    /// The client address is no IP address.
    AddressUnparsable,
    /// Asked at another stage than RCPT.
    OtherState,
    /// The client list has the client.
    ClientWhitelist,
    /// The recipient list has the recipient.
    RecipientWhitelist,
    /// The sender list has the sender.
    SenderWhitelist,
    /// The client has got enough greylisted mail through.
    ClientAwl,
    /// The triplet has waited, now or earlier.
    TripletFound,
    /// The triplet is new, or came too late for its retry window.
    New,
    /// The triplet came back before the delay was over.
    EarlyRetry,
    /// The store cannot be asked.
    StoreFailure,
}

impl Reason {
    /// All of them, in the order of a decision.
    pub const ALL: [Self; 11] = [
        Self::AttributeMissing,
        Self::AddressUnparsable,
        Self::OtherState,
        Self::ClientWhitelist,
        Self::RecipientWhitelist,
        Self::SenderWhitelist,
        Self::ClientAwl,
        Self::TripletFound,
        Self::New,
        Self::EarlyRetry,
        Self::StoreFailure,
    ];

    /// The word in journal fields and counters.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::AttributeMissing => "attribute-missing",
            Self::AddressUnparsable => "address-unparsable",
            Self::OtherState => "other-state",
            Self::ClientWhitelist => "client-whitelist",
            Self::RecipientWhitelist => "recipient-whitelist",
            Self::SenderWhitelist => "sender-whitelist",
            Self::ClientAwl => "client-awl",
            Self::TripletFound => "triplet-found",
            Self::New => "new",
            Self::EarlyRetry => "early-retry",
            Self::StoreFailure => "store-failure",
        }
    }

    /// The wording in the log line, Postgrey's where Postgrey has the reason. The log adds the
    /// missing attribute's name, and the seconds that are missing to an early retry.
    #[must_use]
    pub const fn log_text(self) -> &'static str {
        match self {
            Self::AttributeMissing => "attribute missing",
            Self::AddressUnparsable => "client address unparsable",
            Self::OtherState => "not at RCPT",
            Self::ClientWhitelist => "client whitelist",
            Self::RecipientWhitelist => "recipient whitelist",
            Self::SenderWhitelist => "sender whitelist",
            Self::ClientAwl => "client AWL",
            Self::TripletFound => "triplet found",
            Self::New => "new",
            Self::EarlyRetry => "early-retry",
            Self::StoreFailure => "store failure",
        }
    }
}

/// What decided, so that an administrator can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Because {
    /// The request itself, or a rule without a record.
    Request,
    /// The attribute of this name is missing.
    Missing(&'static str),
    /// An entry of a list; [`Ruleset::entry`](super::Ruleset::entry) has it.
    Entry(ListName, u32),
    /// The client's auto-whitelist record.
    Client,
    /// The triplet's record.
    Triplet,
    /// The state of the store.
    Store,
}

/// What has to be remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Changes {
    /// The triplet's next record.
    pub triplet: Option<Triplet>,
    /// The client's next record.
    pub client: Option<Client>,
    /// Whether the answer promises them: then they are on disk before it is given. What is not
    /// promised (when something was last seen, how often it retried early) may be lost by a kill.
    pub promised: bool,
}

impl Changes {
    /// Nothing.
    pub const NONE: Self = Self {
        triplet: None,
        client: None,
        promised: false,
    };

    /// Whether there is nothing to remember.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.triplet.is_none() && self.client.is_none()
    }
}

/// A decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct Outcome {
    /// What the client is told.
    pub verdict: Verdict,
    /// Why.
    pub reason: Reason,
    /// What decided.
    pub because: Because,
    /// What has to be remembered.
    pub changes: Changes,
    /// How long the triplet had waited when it passed for the first time.
    pub waited: Option<Span>,
    /// Whether the client became auto-whitelisted by this.
    pub whitelisted: bool,
}

impl Outcome {
    /// A decision that changes nothing.
    pub const fn new(verdict: Verdict, reason: Reason, because: Because) -> Self {
        Self {
            verdict,
            reason,
            because,
            changes: Changes::NONE,
            waited: None,
            whitelisted: false,
        }
    }
}
