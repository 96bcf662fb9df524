//! SPF (RFC 7208), evaluated by viaspf.
//!
//! The sender chooses everything in a record, so an evaluation has additional limits ([`MOST_QUESTIONS`],
//! [`EVALUATION`]) to those of the RFC, ten lookups and two void ones (4.6.4). Above these limits there is no answer.
//!
//! # A pass that counts
//!
//! A record can authorize everybody without `+all`: by an `include:` of a record that does, by two halves of the
//! address space, by `exists:` of a wildcard. So a pass counts only if two random public addresses do not pass the same
//! evaluation. The result for a domain is cached for [`KEPT`].

use std::collections::HashMap;
use std::fmt;
use std::future::ready;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::pin::Pin;
use std::time::Duration;

use tokio::time::{Instant, timeout};
use viaspf::lookup::{Lookup, LookupError, LookupResult, Name};
use viaspf::{Config, DomainName, Sender};

use super::Answer;
use super::cache::Cache;
use crate::policy::{Finding, SpfFinding, SpfQuestion, SpfResult};
use crate::types::ClientIp;
use crate::types::sync::Mutex;

/// Maximum duration of an evaluation, random addresses included.
pub const EVALUATION: Duration = Duration::from_secs(1);

/// Maximum number of DNS queries of an evaluation, random addresses included.
pub const MOST_QUESTIONS: usize = 30;

/// Maximum number of lookups of an evaluation, cached or not, because macros can repeat them endlessly.
const MOST_USES: usize = 400;

/// Maximum size of all records of an evaluation in bytes: many times that of a reply over UDP (RFC 7208, 3.4).
const MOST_BYTES: usize = 65_536;

/// The beginnings of macros for the sender or HELO (RFC 7208, 7.2).
const SENDER_MACROS: [&str; 6] = ["%{s", "%{S", "%{l", "%{L", "%{h", "%{H"];

/// How many random addresses must not pass.
const STRANGERS: usize = 2;

/// Maximum number of attempts to draw a public address.
const MOST_DRAWN: usize = 16;

/// How long the result whether a domain authorizes everybody is cached.
const KEPT: Duration = Duration::from_secs(3600);

/// Maximum number of these domains in the cache.
const MOST_DOMAINS: usize = 8192;

/// Draws random bits; `None` if there are none.
pub type Random = fn() -> Option<u128>;

/// A kind of record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    A,
    Aaaa,
    Mx,
    Txt,
    Ptr,
}

/// What a record holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Data {
    /// A and AAAA.
    Address(IpAddr),
    /// MX, in the order of preference, and PTR.
    Name(String),
    /// TXT: its strings in one.
    Text(String),
}

/// The records of a name; none if it has none of the kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Records {
    pub(super) data: Vec<Data>,
    /// Their lifetime.
    pub(super) lifetime: Duration,
}

impl Records {
    /// Their approximate size in bytes.
    fn bytes(&self) -> usize {
        let of = |data: &Data| match data {
            Data::Address(_) => size_of::<Data>(),
            Data::Name(text) | Data::Text(text) => size_of::<Data>().saturating_add(text.len()),
        };
        self.data.iter().map(of).sum()
    }
}

/// There was no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Failed;

/// Records under way.
pub(super) type Waiting<'a> = Pin<Box<dyn Future<Output = Result<Records, Failed>> + Send + 'a>>;

/// A source of records: DNS, or a table of a test.
pub(super) trait Names: Send + Sync {
    /// The records of this kind that a name has. The name ends with a dot.
    fn find<'a>(&'a self, name: &'a str, kind: Kind) -> Waiting<'a>;
}

/// Evaluates SPF, and caches which domains authorize everybody.
pub(super) struct Evaluator {
    random: Random,
    /// By domain, and whether the address is of IPv4.
    lets_anybody_pass: Mutex<Cache<(String, bool), bool, MOST_DOMAINS>>,
}

impl Evaluator {
    pub(super) fn new(random: Random) -> Self {
        Self {
            random,
            lets_anybody_pass: Mutex::default(),
        }
    }

    /// Whether SPF passes, in the end.
    pub(super) async fn evaluate(&self, question: &SpfQuestion, names: &dyn Names) -> Answer {
        let limited = Limited::new(names);
        match timeout(EVALUATION, self.find(question, &limited)).await {
            Ok(Some(found)) if !limited.is_over() => Answer {
                finding: Finding::Spf(found),
                lifetime: limited.lifetime(),
                is_silent: false,
            },
            // Others' names may be in the record, chosen by whoever connects (`ptr`): their silence is not the domain's.
            Ok(_) | Err(_) => Answer {
                is_silent: !limited.has_replied(question.domain(), Kind::Txt),
                ..Answer::SILENT
            },
        }
    }

    /// Whether the client is in a network of so many bits with a mail server of the domain in question: the evaluation
    /// of a record that says so, within the same limits.
    pub(super) async fn is_near_mx(
        &self,
        question: &SpfQuestion,
        bits: u8,
        names: &dyn Names,
    ) -> Answer {
        let near = NearMx::new(names, question.domain(), bits);
        let limited = Limited::new(&near);
        let checked = timeout(EVALUATION, check(question, question.client(), &limited)).await;
        let is_near = match checked {
            Ok(SpfResult::Pass) => Some(true),
            Ok(SpfResult::Fail) => Some(false),
            // Fail is the only other result of the record; there were too many mail servers, or no answer.
            Ok(
                SpfResult::PassAny
                | SpfResult::None
                | SpfResult::Neutral
                | SpfResult::Softfail
                | SpfResult::Permerror
                | SpfResult::Temperror,
            )
            | Err(_) => None,
        };
        match is_near.filter(|_| !limited.is_over()) {
            Some(is_near) => Answer {
                finding: Finding::SenderMx(is_near),
                lifetime: limited.lifetime(),
                is_silent: false,
            },
            None => Answer {
                is_silent: !limited.has_replied(question.domain(), Kind::Mx),
                ..Answer::SILENT
            },
        }
    }

    async fn find(&self, question: &SpfQuestion, limited: &Limited<'_>) -> Option<SpfFinding> {
        let result = check(question, question.client(), limited).await;
        match result {
            SpfResult::Temperror => None,
            SpfResult::Pass => {
                let finding = if self.lets_anybody_pass(question, limited).await? {
                    SpfFinding::NotPassed(SpfResult::PassAny)
                } else {
                    SpfFinding::Passed(question.organization().clone())
                };
                Some(finding)
            }
            SpfResult::PassAny
            | SpfResult::None
            | SpfResult::Neutral
            | SpfResult::Softfail
            | SpfResult::Fail
            | SpfResult::Permerror => Some(SpfFinding::NotPassed(result)),
        }
    }

    /// Whether random addresses pass as the client does; `None` if that is unknown.
    async fn lets_anybody_pass(
        &self,
        question: &SpfQuestion,
        limited: &Limited<'_>,
    ) -> Option<bool> {
        let now = Instant::now();
        let is_v4 = question.client().address().is_ipv4();
        let key = (question.domain().to_owned(), is_v4);
        let kept = self.lets_anybody_pass.lock().find(&key, now).copied();
        if kept.is_some() {
            return kept;
        }
        let mut passes = false;
        for _ in 0..STRANGERS {
            let stranger = self.draw(question.client())?;
            passes = match check(question, stranger, limited).await {
                SpfResult::Pass => true,
                SpfResult::Temperror => return None,
                SpfResult::PassAny
                | SpfResult::None
                | SpfResult::Neutral
                | SpfResult::Softfail
                | SpfResult::Fail
                | SpfResult::Permerror => false,
            };
            if passes {
                break;
            }
        }
        if !limited.depends_on_sender() {
            let mut kept = self.lets_anybody_pass.lock();
            kept.insert(key, passes, now + KEPT);
        }
        Some(passes)
    }

    /// A random public address of the client's family.
    fn draw(&self, client: ClientIp) -> Option<ClientIp> {
        let drawn = (0..MOST_DRAWN).map_while(|_| (self.random)());
        let mut addresses = drawn.map(|bits| {
            ClientIp::new(match client.address() {
                IpAddr::V4(_) => {
                    let [a, b, c, d, ..] = bits.to_be_bytes();
                    Ipv4Addr::new(a, b, c, d).into()
                }
                // 2000::/3.
                IpAddr::V6(_) => Ipv6Addr::from_bits((bits >> 3) | (1 << 125)).into(),
            })
        });
        addresses.find(|address| address.is_public())
    }
}

impl fmt::Debug for Evaluator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Evaluator").finish_non_exhaustive()
    }
}

/// The result of the RFC for an address.
async fn check(question: &SpfQuestion, client: ClientIp, limited: &Limited<'_>) -> SpfResult {
    let Ok(sender) = Sender::new(question.sender()) else {
        return SpfResult::None;
    };
    let helo = question.helo().parse::<DomainName>().ok();
    let config = Config::default();
    let address = client.address();
    let evaluated = viaspf::evaluate_sender(limited, &config, address, &sender, helo.as_ref());
    match evaluated.await.spf_result {
        viaspf::SpfResult::None => SpfResult::None,
        viaspf::SpfResult::Neutral => SpfResult::Neutral,
        viaspf::SpfResult::Pass => SpfResult::Pass,
        viaspf::SpfResult::Fail(_) => SpfResult::Fail,
        viaspf::SpfResult::Softfail => SpfResult::Softfail,
        viaspf::SpfResult::Temperror => SpfResult::Temperror,
        viaspf::SpfResult::Permerror => SpfResult::Permerror,
    }
}

/// DNS, but for the record of one domain: it lets send whoever is in a network with a mail server of the domain.
struct NearMx<'a> {
    names: &'a dyn Names,
    domain: &'a str,
    record: Records,
}

impl<'a> NearMx<'a> {
    fn new(names: &'a dyn Names, domain: &'a str, bits: u8) -> Self {
        let record = format!("v=spf1 mx/{}//{bits} -all", bits.min(32));
        Self {
            names,
            domain,
            record: Records {
                data: vec![Data::Text(record)],
                lifetime: KEPT,
            },
        }
    }
}

impl Names for NearMx<'_> {
    fn find<'a>(&'a self, name: &'a str, kind: Kind) -> Waiting<'a> {
        let is_own = name.strip_suffix('.').unwrap_or(name);
        if kind == Kind::Txt && is_own.eq_ignore_ascii_case(self.domain) {
            return Box::pin(ready(Ok(self.record.clone())));
        }
        self.names.find(name, kind)
    }
}

/// The DNS queries of one evaluation: each is sent once, and their number is limited.
struct Limited<'a> {
    names: &'a dyn Names,
    asked: Mutex<Asked>,
}

#[derive(Default)]
struct Asked {
    found: HashMap<(String, Kind), Result<Records, Failed>>,
    uses: usize,
    /// Size of all records found, in bytes.
    bytes: usize,
    /// Whether a limit was exceeded.
    is_over: bool,
}

impl<'a> Limited<'a> {
    fn new(names: &'a dyn Names) -> Self {
        Self {
            names,
            asked: Mutex::default(),
        }
    }

    fn is_over(&self) -> bool {
        self.asked.lock().is_over
    }

    /// Whether there was a reply to the query for this domain's records of a kind.
    fn has_replied(&self, domain: &str, of_kind: Kind) -> bool {
        let asked = self.asked.lock();
        let mut found = asked.found.iter();
        found.any(|((name, kind), found)| {
            let name = name.strip_suffix('.').unwrap_or(name);
            *kind == of_kind && name.eq_ignore_ascii_case(domain) && found.is_ok()
        })
    }

    /// Whether a record has a macro for the sender.
    fn depends_on_sender(&self) -> bool {
        let asked = self.asked.lock();
        let mut data = asked
            .found
            .values()
            .flatten()
            .flat_map(|records| &records.data);
        data.any(|data| match data {
            Data::Text(text) => SENDER_MACROS.iter().any(|start| text.contains(start)),
            Data::Address(_) | Data::Name(_) => false,
        })
    }

    /// The minimum lifetime of all records found.
    fn lifetime(&self) -> Duration {
        let asked = self.asked.lock();
        let found = asked.found.values().flatten();
        let shortest = found.map(|records| records.lifetime).min();
        shortest.unwrap_or(KEPT)
    }

    async fn find<T>(
        &self,
        name: &str,
        kind: Kind,
        read: impl Fn(&Data) -> Option<T>,
    ) -> LookupResult<Vec<T>> {
        let key = (name.to_ascii_lowercase(), kind);
        let known = {
            let mut asked = self.asked.lock();
            asked.uses = asked.uses.saturating_add(1);
            let known = asked.found.get(&key).cloned();
            if asked.is_over
                || asked.uses > MOST_USES
                || (known.is_none() && asked.found.len() >= MOST_QUESTIONS)
            {
                asked.is_over = true;
                return Err(LookupError::Timeout);
            }
            known
        };
        let found = if let Some(known) = known {
            known
        } else {
            let found = self.names.find(&key.0, kind).await;
            let mut asked = self.asked.lock();
            asked.bytes = asked
                .bytes
                .saturating_add(found.iter().map(Records::bytes).sum());
            if asked.bytes > MOST_BYTES {
                asked.is_over = true;
                return Err(LookupError::Timeout);
            }
            asked.found.insert(key, found.clone());
            found
        };
        let records = found.map_err(|Failed| LookupError::Timeout)?;
        let read: Vec<T> = records.data.iter().filter_map(read).collect();
        if read.is_empty() {
            return Err(LookupError::NoRecords);
        }
        Ok(read)
    }
}

/// A future for viaspf.
type Looking<'a, T> = Pin<Box<dyn Future<Output = LookupResult<Vec<T>>> + Send + 'a>>;

// Written as the macro of its trait expands it.
impl Lookup for Limited<'_> {
    fn lookup_a<'a, 'b, 'c>(&'a self, name: &'b Name) -> Looking<'c, Ipv4Addr>
    where
        'a: 'c,
        'b: 'c,
        Self: 'c,
    {
        Box::pin(self.find(name.as_str(), Kind::A, |data| match data {
            Data::Address(IpAddr::V4(address)) => Some(*address),
            Data::Address(IpAddr::V6(_)) | Data::Name(_) | Data::Text(_) => None,
        }))
    }

    fn lookup_aaaa<'a, 'b, 'c>(&'a self, name: &'b Name) -> Looking<'c, Ipv6Addr>
    where
        'a: 'c,
        'b: 'c,
        Self: 'c,
    {
        Box::pin(self.find(name.as_str(), Kind::Aaaa, |data| match data {
            Data::Address(IpAddr::V6(address)) => Some(*address),
            Data::Address(IpAddr::V4(_)) | Data::Name(_) | Data::Text(_) => None,
        }))
    }

    fn lookup_mx<'a, 'b, 'c>(&'a self, name: &'b Name) -> Looking<'c, Name>
    where
        'a: 'c,
        'b: 'c,
        Self: 'c,
    {
        Box::pin(self.find(name.as_str(), Kind::Mx, name_of))
    }

    fn lookup_txt<'a, 'b, 'c>(&'a self, name: &'b Name) -> Looking<'c, String>
    where
        'a: 'c,
        'b: 'c,
        Self: 'c,
    {
        Box::pin(self.find(name.as_str(), Kind::Txt, |data| match data {
            Data::Text(text) => Some(text.clone()),
            Data::Address(_) | Data::Name(_) => None,
        }))
    }

    fn lookup_ptr<'a, 'c>(&'a self, ip: IpAddr) -> Looking<'c, Name>
    where
        'a: 'c,
        Self: 'c,
    {
        let zone = if ip.is_ipv4() { "in-addr" } else { "ip6" };
        let name = format!("{}{zone}.arpa.", ClientIp::new(ip).reversed());
        Box::pin(async move { self.find(&name, Kind::Ptr, name_of).await })
    }
}

/// The name that a record holds, if viaspf can have it.
fn name_of(data: &Data) -> Option<Name> {
    match data {
        Data::Name(name) => Name::new(name).ok(),
        Data::Address(_) | Data::Text(_) => None,
    }
}

#[cfg(test)]
mod suite_tests;
#[cfg(test)]
mod tests;
