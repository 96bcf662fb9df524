//! The numbers and choices that a decision follows, as the options set them.

use super::s25r;
use crate::types::{ClientIp, Prefix, Span};

/// Whom the auto-whitelist counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CountBy {
    /// The exact address (Postgrey).
    Address,
    /// The network of the client's triplets.
    Subnet,
    /// The organizational domain of the verified name; the exact address where there is none that counts.
    Domain,
}

/// What to answer while the store is unavailable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnStoreFailure {
    /// Mail flows.
    Pass,
    /// Requests that need the store are deferred.
    Defer,
}

/// What becomes of a client that no suspicion check matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unmatched {
    /// It passes.
    Pass,
    /// It is greylisted.
    Greylist,
}

/// What SPF is asked for; without anything it is never asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SpfUse {
    /// A client that S25R suspects is not suspicious if SPF passes.
    pub excuses: bool,
    /// A client that a rule of an access list greylists is not suspicious if SPF passes, as in milter-greylist.
    pub excuses_rules: bool,
    /// The domain that SPF passes for is a name of the triplet: it is asked for before a client waits.
    pub names: bool,
}

/// What a sleep leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// Every deferral comes after a sleep (`--tarpit` alone).
    Deferring,
    /// Every deferral is a sleep and nothing else (Starpit).
    Delaying,
    /// Strangers sleep; who hangs up is greylisted (`--targrey`).
    Targrey,
}

/// The tarpit, as the options set it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tarpit {
    /// How long a sleep takes; at least a second.
    pub length: Span,
    /// What it leads to.
    pub scheme: Scheme,
    /// Most sleeps that may run at once.
    pub limit: u32,
}

/// The numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Params {
    /// How long an unknown triplet is deferred; at least 0 seconds.
    pub delay: Span,
    /// Within which time of first sight the retry must come.
    pub retry_window: Span,
    /// After which time a record that was not seen again is forgotten.
    pub max_age: Span,
    /// Bits of an IPv4 client's network, 1 to 32.
    pub ipv4_bits: u8,
    /// Bits of an IPv6 client's network, 1 to 128.
    pub ipv6_bits: u8,
    /// Whether triplets are known by the organizational domain of the client too; see [`names`](super::names).
    pub by_domain: bool,
    /// Passes after which a client is auto-whitelisted; `None`: never.
    pub auto_whitelist: Option<u32>,
    /// Whom the auto-whitelist counts.
    pub count_by: CountBy,
    /// Within which time passes of a client count once; 0 seconds: each counts.
    pub auto_whitelist_delay: Span,
    /// How many retries must come once the delay is over; at least 1.
    pub retry_count: u32,
    /// Whether authenticated clients are exempt from waiting.
    pub exempt_authenticated: bool,
    /// Whether only the recipients of [`Lists::greylist_recipients`](super::Lists::greylist_recipients) are greylisted.
    pub recipients_opt_in: bool,
    /// The rules of S25R that are a suspicion check, if any.
    pub s25r: Option<s25r::Rules>,
    /// What SPF is asked for.
    pub spf: SpfUse,
    /// What becomes of those that no suspicion check matches; `None`: what [`Ruleset::unmatched`](super::Ruleset::unmatched) says.
    pub unmatched: Option<Unmatched>,
    /// The tarpit, if there is one.
    pub tarpit: Option<Tarpit>,
    /// What to answer while the store is unavailable.
    pub on_store_failure: OnStoreFailure,
}

impl Default for Params {
    /// Postgrey 1.37's numbers, and mail flows while the store fails.
    fn default() -> Self {
        Self {
            delay: Span::from_seconds(300),
            retry_window: Span::from_days(2),
            max_age: Span::from_days(35),
            ipv4_bits: 24,
            ipv6_bits: 64,
            by_domain: false,
            auto_whitelist: Some(5),
            count_by: CountBy::Address,
            auto_whitelist_delay: Span::from_hours(1),
            retry_count: 1,
            exempt_authenticated: true,
            recipients_opt_in: false,
            s25r: None,
            spf: SpfUse::default(),
            unmatched: None,
            tarpit: None,
            on_store_failure: OnStoreFailure::Pass,
        }
    }
}

impl Params {
    /// Whether who hangs up in the tarpit is greylisted.
    #[must_use]
    pub fn is_targrey(&self) -> bool {
        self.tarpit
            .is_some_and(|tarpit| tarpit.scheme == Scheme::Targrey)
    }

    /// Whether clients are known by their domains, in triplets or in the auto-whitelist.
    #[must_use]
    pub fn knows_domains(&self) -> bool {
        self.by_domain || self.count_by == CountBy::Domain
    }

    /// The network that stands for this client in its triplets.
    #[must_use]
    pub fn network(&self, client: ClientIp) -> Prefix {
        client.network(self.ipv4_bits, self.ipv6_bits)
    }
}
