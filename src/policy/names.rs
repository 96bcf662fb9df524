//! The names of a client: by what its triplets are known.
//!
//! A large sender hardly ever retries from the address that tried first, nor from its network, but its servers have
//! names in one domain. A triplet is known by up to three names, the best first:
//!
//! 1. the organizational domain of the client's verified name ([`Params::by_domain`]), unless S25R takes the name for an
//!    end user's line: the lines of one provider have a domain in common and nothing else
//! 2. the domain that SPF has passed for ([`SpfUse::names`]); it is asked for when the other names have no record that
//!    lets the attempt pass
//! 3. the client's network
//!
//! One triplet has one record. A new one is kept under the first name; the store remembers that the other names lead to
//! it, for as long as it may wait, so that a retry is known by any name that it shares with an attempt before: DNS that
//! answers only once makes nobody wait twice. What need not be durable is kept where the record was found. What is
//! durable, so the first pass, is kept under the first name that the client has then, and records under its other names
//! end with that. If there are several records, for instance from the time before the option, they count together.
//!
//! | the names of the first attempt | of the retry | the retry is known by |
//! | --- | --- | --- |
//! | domain, network | the same domain, any network | the domain |
//! | domain, network | the network alone | the network, which leads to the record of the domain; it passes under both |
//! | the network alone | a domain, the same network | the network; at its pass the record moves to the domain |
//! | any | others, none in common | nothing: it waits |
//!
//! Once a triplet has passed it has one name: if the name of a client is not known for a while, and the triplet has
//! passed under its domain, it waits once under its network.
//!
//! [`Params::by_domain`]: super::Params::by_domain
//! [`SpfUse::names`]: super::SpfUse::names

use super::domain::Domain;
use super::rules::Ruleset;
use super::s25r;
use crate::types::{ClientIp, ListName};

/// Whether a client's name is that of an end user's line, which has no domain to be known by: by the rules of S25R in
/// force, or the classic ones, whether S25R is a check or not.
#[must_use]
pub fn is_line(name: &[u8], client: ClientIp, rules: &Ruleset) -> bool {
    let is_exempt = || {
        let exceptions = rules.find(ListName::S25rException, |lists| {
            lists.s25r_exceptions.find(name, client)
        });
        exceptions.is_some()
    };
    let of = rules.params.s25r.unwrap_or(s25r::Rules::Classic);
    s25r::find(name, of).rule().is_some() && !is_exempt()
}

/// The organizational domain that a client is known by; `None` if it has no verified name in one, or is a line.
#[must_use]
pub fn domain(name: &[u8], client: ClientIp, rules: &Ruleset) -> Option<Domain> {
    (!is_line(name, client, rules))
        .then(|| Domain::of(name))
        .flatten()
}
