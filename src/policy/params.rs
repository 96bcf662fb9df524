//! The parameters of a decision, set by options.

use super::s25r;
use crate::types::{ClientIp, Prefix, Span};

/// The identity that the auto-whitelist counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CountBy {
    /// The exact address (Postgrey).
    Address,
    /// The network of the client's triplets.
    Subnet,
    /// The organizational domain of the verified name; the exact address without one.
    Domain,
}

/// What to answer while the store is unavailable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnStoreFailure {
    /// All requests pass.
    Pass,
    /// Requests that need the store are deferred.
    Defer,
}

/// What to do with a client that no suspicion check matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unmatched {
    /// It passes.
    Pass,
    /// It is greylisted.
    Greylist,
}

/// The uses of SPF; without any, it is never evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SpfUse {
    /// A client that matches S25R is not suspicious if SPF passes.
    pub excuses: bool,
    /// A client that a rule of an access list greylists, or whose message one greylists, is not suspicious if SPF passes,
    /// as in milter-greylist.
    pub excuses_rules: bool,
    /// The domain that SPF passes for is a name of the triplet; SPF is evaluated before a client is deferred.
    pub names: bool,
}

/// What a sleep leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// Each deferral follows a sleep (`--tarpit` alone).
    Deferring,
    /// Each deferral is replaced by a sleep (Starpit).
    Delaying,
    /// Unknown clients sleep; a client that hangs up is greylisted (`--targrey`).
    Targrey,
}

/// A tarpit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tarpit {
    /// Length of a sleep; at least a second.
    pub length: Span,
    /// What it leads to.
    pub scheme: Scheme,
}

/// The parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an option of its own"
)]
pub struct Params {
    /// How long an unknown triplet is deferred; at least 0 seconds.
    pub delay: Span,
    /// Time from first seen within which the retry must come.
    pub retry_window: Span,
    /// Time to keep a record that is not seen again.
    pub max_age: Span,
    /// Bits of an IPv4 client's network, 1 to 32.
    pub ipv4_bits: u8,
    /// Bits of an IPv6 client's network, 1 to 128.
    pub ipv6_bits: u8,
    /// Whether the organizational domain of the client is a name of triplets too; see [`names`](super::names).
    pub by_domain: bool,
    /// Passes after which a client is auto-whitelisted; `None`: never.
    pub auto_whitelist: Option<u32>,
    /// The identity that the auto-whitelist counts.
    pub count_by: CountBy,
    /// Minimum time between two counted passes of a client; 0 seconds: each counts.
    pub auto_whitelist_delay: Span,
    /// Number of retries required after the delay; at least 1.
    pub retry_count: u32,
    /// Whether authenticated clients are exempt.
    pub exempt_authenticated: bool,
    /// Whether clients with a verified certificate are, as in milter-greylist.
    pub exempt_certified: bool,
    /// Whether only the recipients of [`Lists::greylist_recipients`](super::Lists::greylist_recipients) are greylisted.
    pub recipients_opt_in: bool,
    /// The rules of S25R that apply, if any.
    pub s25r: Option<s25r::Rules>,
    /// The uses of SPF.
    pub spf: SpfUse,
    /// What becomes of clients that no suspicion check matches; `None`: what
    /// [`RulesetParts::unmatched`](super::RulesetParts::unmatched) says.
    pub unmatched: Option<Unmatched>,
    /// The tarpit of all clients that wait, if there is one.
    pub tarpit: Option<Tarpit>,
    /// Maximum number of running sleeps; 0: nobody sleeps.
    pub tarpit_limit: u32,
    /// What to answer while the store is unavailable.
    pub on_store_failure: OnStoreFailure,
}

impl Default for Params {
    /// The defaults of Postgrey 1.37; all requests pass while the store is unavailable.
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
            exempt_certified: false,
            recipients_opt_in: false,
            s25r: None,
            spf: SpfUse::default(),
            unmatched: None,
            tarpit: None,
            tarpit_limit: 50,
            on_store_failure: OnStoreFailure::Pass,
        }
    }
}

impl Params {
    /// Whether a client that hangs up in the tarpit is greylisted.
    #[must_use]
    pub fn is_targrey(&self) -> bool {
        self.tarpit
            .is_some_and(|tarpit| tarpit.scheme == Scheme::Targrey)
    }

    /// Whether domains are identities of clients, in triplets or in the auto-whitelist.
    #[must_use]
    pub fn knows_domains(&self) -> bool {
        self.by_domain || self.count_by == CountBy::Domain
    }

    /// The network of this client in its triplets.
    #[must_use]
    pub fn network(&self, client: ClientIp) -> Prefix {
        client.network(self.ipv4_bits, self.ipv6_bits)
    }
}
