//! DNS lists: the client's address, looked up in zones that others maintain.
//!
//! The syntax and the arithmetic are those of Postfix's `postscreen_dnsbl_sites` (postconf(5)): each site adds its
//! weight once if any address of the answer matches its filter, and a zone that several sites name is asked once.
//! From one threshold on the client is suspicious, from a higher one on it is refused; from another one down, below
//! zero, it passes at once.
//!
//! Only addresses in 127.0.0.0/8 are answers of a list; 127.255.255.0/24 and 127.0.0.255 are error codes (a public
//! resolver that is refused, a rate limit). A zone without an answer adds nothing, but a client passes at once only if
//! it would also do so had all silent zones listed it, and is refused only if no zone is silent that could have spoken
//! for it.

use std::net::Ipv4Addr;
use std::str::FromStr;

use super::evidence::{Evidence, Finding, Lookup, error_code, is_listing};
use super::zone::{Zone, ZoneError};
use crate::types::{ClientIp, ReplyText};

/// The greatest weight and the greatest threshold, up and down.
pub const MOST_WEIGHT: i32 = 1_000_000;

/// Most sites: more than anybody has, and few enough to be added up for each request.
pub const MOST_SITES: usize = 128;

/// The numbers that one byte of an answer may have: a number, or `[n;n..n]`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Numbers(Vec<(u8, u8)>);

impl Numbers {
    fn has(&self, byte: u8) -> bool {
        let ranges = &self.0;
        ranges
            .iter()
            .any(|(low, high)| (*low..=*high).contains(&byte))
    }
}

/// A site: a zone, which of its answers count, and how much.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Site {
    /// Which of [`DnsLists::zones`].
    zone: usize,
    /// `None`: every answer.
    filter: Option<[Numbers; 4]>,
    weight: i32,
}

impl Site {
    fn matches(&self, answer: Ipv4Addr) -> bool {
        let Some(filter) = &self.filter else {
            return true;
        };
        let pairs = filter.iter().zip(answer.octets());
        pairs.fold(true, |so_far, (numbers, byte)| so_far && numbers.has(byte))
    }
}

/// A site that is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{site:?}: {why}")]
pub struct BadSite {
    /// The site as it was given.
    pub site: String,
    /// What is wrong with it.
    pub why: SiteError,
}

/// Why a site is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SiteError {
    /// The zone.
    #[error(transparent)]
    Zone(#[from] ZoneError),
    /// The filter.
    #[error("the filter must be like 127.0.0.2 or 127.0.[0..255].[1;3..5]")]
    Filter,
    /// The weight.
    #[error("the weight must be an integer from -{MOST_WEIGHT} to {MOST_WEIGHT}")]
    Weight,
    /// Too many.
    #[error("there are {MOST_SITES} sites already")]
    TooMany,
    /// The same site twice.
    #[error("the site occurs twice with the same filter")]
    Twice,
}

/// Where sums of weights change something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thresholds {
    /// From here on a client is suspicious; at least 1.
    pub suspicious: i32,
    /// From here on a client is refused; at least `suspicious`. `None`: never.
    pub reject: Option<i32>,
    /// From here down a client passes at once; at most -1. `None`: never.
    pub allow: Option<i32>,
}

impl Default for Thresholds {
    /// As postscreen: suspicious from 1 on, and nobody is refused or passes at once.
    fn default() -> Self {
        Self {
            suspicious: 1,
            reject: None,
            allow: None,
        }
    }
}

/// The DNS lists of an administrator.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DnsLists {
    zones: Vec<Zone>,
    sites: Vec<Site>,
    thresholds: Thresholds,
}

/// What a sum of weights makes of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It passes at once.
    Allowed,
    /// Nothing.
    Unlisted,
    /// It is suspicious.
    Suspicious,
    /// It is refused.
    Rejected,
}

/// What a zone has answered about a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ZoneAnswer {
    /// It has the client; the weights of the sites that match, together.
    Listed {
        /// The first address of the answer.
        address: Ipv4Addr,
        /// The weight.
        weight: i32,
    },
    /// It does not have the client.
    Unlisted,
    /// It does not answer such questions, but with this error code; unspecified if it was no address of a list.
    Error(Ipv4Addr),
    /// There was no answer.
    Silent,
}

/// What the sites add up to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Score {
    /// The weights of the sites that match, together.
    pub weight: i32,
    /// The zone that adds most, by its number among [`DnsLists::zones`]; `None` if no zone adds anything.
    pub heaviest: Option<usize>,
    /// How many zones there was no answer from.
    pub silent: u32,
    /// What that makes of the client.
    pub standing: Standing,
}

/// What silent zones could have changed.
#[derive(Debug, Clone, Copy, Default)]
struct Missed {
    /// How much they could have added.
    weight: i32,
    /// Whether one could have spoken for the client: it has a negative weight.
    speaks_for: bool,
}

impl Missed {
    fn and(self, other: Self) -> Self {
        Self {
            weight: self.weight.saturating_add(other.weight),
            speaks_for: self.speaks_for || other.speaks_for,
        }
    }
}

/// What the DNS lists say about a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Rating {
    /// There are none, or none that is asked about this address.
    NotAsked,
    /// All have answered or were given up.
    Sum(Score),
    /// These have to be asked first.
    Unknown(Vec<Lookup>),
}

impl DnsLists {
    /// Reads sites as Postfix does: `zone=filter*weight`, separated by commas or white space.
    ///
    /// # Errors
    ///
    /// [`BadSite`] for the first site that is wrong.
    pub fn parse(texts: &[impl AsRef<str>], thresholds: Thresholds) -> Result<Self, BadSite> {
        let mut lists = Self {
            thresholds,
            ..Self::default()
        };
        let is_separator = |c: char| c == ',' || c.is_ascii_whitespace();
        let words = texts
            .iter()
            .flat_map(|text| text.as_ref().split(is_separator));
        for word in words.filter(|word| !word.is_empty()) {
            lists.add(word).map_err(|why| BadSite {
                site: word.to_owned(),
                why,
            })?;
        }
        Ok(lists)
    }

    fn add(&mut self, word: &str) -> Result<(), SiteError> {
        let (rest, weight) = match word.rsplit_once('*') {
            Some((rest, weight)) => (rest, read_weight(weight)?),
            None => (word, 1),
        };
        let (name, filter) = match rest.split_once('=') {
            Some((name, filter)) => (name, Some(read_filter(filter)?)),
            None => (rest, None),
        };
        let zone = Zone::parse(name)?;
        let known = self.zones.iter().position(|known| *known == zone);
        let number = known.unwrap_or(self.zones.len());
        if known.is_none() {
            self.zones.push(zone);
        }
        let site = Site {
            zone: number,
            filter,
            weight,
        };
        let is_same = |other: &Site| other.zone == site.zone && other.filter == site.filter;
        if self.sites.iter().any(is_same) {
            return Err(SiteError::Twice);
        }
        if self.sites.len() >= MOST_SITES {
            return Err(SiteError::TooMany);
        }
        self.sites.push(site);
        Ok(())
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.sites.is_empty()
    }

    /// The zones, each once.
    pub fn zones(&self) -> impl Iterator<Item = &Zone> {
        self.zones.iter()
    }

    /// Where sums of weights change something.
    #[must_use]
    pub const fn thresholds(&self) -> Thresholds {
        self.thresholds
    }

    /// Whether a client can be suspicious by these lists: the threshold can be reached.
    #[must_use]
    pub fn can_greylist(&self) -> bool {
        !self.is_empty() && self.range().1 >= self.thresholds.suspicious
    }

    /// The least and the greatest sum there can be.
    #[must_use]
    pub fn range(&self) -> (i32, i32) {
        self.sites.iter().fold((0, 0), |(least, greatest), site| {
            (
                least.saturating_add(site.weight.min(0)),
                greatest.saturating_add(site.weight.max(0)),
            )
        })
    }

    /// A zone by its number.
    #[must_use]
    pub fn zone(&self, number: usize) -> Option<&Zone> {
        self.zones.get(number)
    }

    /// What a silent zone could change.
    fn missed(&self, zone: usize) -> Missed {
        let sites = self.sites.iter().filter(|site| site.zone == zone);
        sites.fold(Missed::default(), |missed, site| Missed {
            weight: missed.weight.saturating_add(site.weight.max(0)),
            speaks_for: missed.speaks_for || site.weight < 0,
        })
    }

    /// What a zone says by these addresses.
    fn answer(&self, zone: usize, addresses: &[Ipv4Addr]) -> ZoneAnswer {
        let listings = || {
            addresses
                .iter()
                .copied()
                .filter(|answer| is_listing(*answer))
        };
        let Some(address) = listings().next() else {
            return ZoneAnswer::Error(error_code(addresses).unwrap_or(Ipv4Addr::UNSPECIFIED));
        };
        let sites = self.sites.iter().filter(|site| site.zone == zone);
        let matching = sites.filter(|site| listings().any(|listing| site.matches(listing)));
        let weight = matching.fold(0, |sum: i32, site| sum.saturating_add(site.weight));
        ZoneAnswer::Listed { address, weight }
    }

    /// What a sum makes of a client when this was missed.
    fn standing(&self, weight: i32, missed: Missed) -> Standing {
        let thresholds = self.thresholds;
        let is_rejected = thresholds.reject.is_some_and(|reject| weight >= reject);
        if is_rejected && !missed.speaks_for {
            return Standing::Rejected;
        }
        if weight >= thresholds.suspicious {
            return Standing::Suspicious;
        }
        match thresholds.allow {
            Some(allow) if weight.saturating_add(missed.weight) <= allow => Standing::Allowed,
            Some(_) | None => Standing::Unlisted,
        }
    }

    /// What they say about a client, as far as it is known. `listen` is given the answer of each zone, by its number
    /// among [`Self::zones`].
    pub(super) fn rate(
        &self,
        client: ClientIp,
        evidence: &Evidence,
        mut listen: impl FnMut(usize, ZoneAnswer),
    ) -> Rating {
        if self.is_empty() || !client.is_public() {
            return Rating::NotAsked;
        }
        let mut unknown = Vec::new();
        let mut sum = Score {
            weight: 0,
            heaviest: None,
            silent: 0,
            standing: Standing::Unlisted,
        };
        let (mut most, mut missed) = (0, Missed::default());
        for (number, zone) in self.zones.iter().enumerate() {
            let lookup = Lookup::DnsList(zone.clone(), client);
            let answer = match evidence.find(&lookup) {
                None => {
                    unknown.push(lookup);
                    continue;
                }
                Some(Finding::Absent) => ZoneAnswer::Unlisted,
                Some(
                    Finding::NoAnswer
                    | Finding::Text(_)
                    | Finding::Spf(_)
                    | Finding::SenderMx(_)
                    | Finding::Score(_)
                    | Finding::BodyText(_),
                ) => ZoneAnswer::Silent,
                Some(Finding::Addresses(addresses)) => self.answer(number, addresses),
            };
            listen(number, answer);
            match answer {
                ZoneAnswer::Listed { weight, .. } => {
                    sum.weight = sum.weight.saturating_add(weight);
                    if weight > most {
                        (most, sum.heaviest) = (weight, Some(number));
                    }
                }
                ZoneAnswer::Unlisted => {}
                ZoneAnswer::Error(_) | ZoneAnswer::Silent => {
                    sum.silent = sum.silent.saturating_add(1);
                    missed = missed.and(self.missed(number));
                }
            }
        }
        if !unknown.is_empty() {
            return Rating::Unknown(unknown);
        }
        sum.standing = self.standing(sum.weight, missed);
        Rating::Sum(sum)
    }
}

impl DnsLists {
    /// The text of a refusal, or what has to be looked up first. In the words of Postfix (`default_rbl_reply` of
    /// postconf(5)) but the first two: with them, log tools would not see the list behind Postfix's "Recipient address
    /// rejected".
    pub(super) fn refusal(
        &self,
        client: ClientIp,
        score: Score,
        evidence: &Evidence,
    ) -> Result<ReplyText, Lookup> {
        let address = client.address();
        let mut text = format!("Client host [{address}] blocked");
        if let Some(zone) = score.heaviest.and_then(|number| self.zone(number)) {
            let lookup = Lookup::DnsListText(zone.clone(), client);
            let found = evidence.find(&lookup).ok_or(lookup)?;
            text.push_str(" using ");
            text.push_str(&zone.to_string());
            if let Finding::Text(reason) = found {
                text.push_str("; ");
                text.push_str(reason.as_str());
            }
        }
        Ok(ReplyText::new(text))
    }
}

fn read_weight(text: &str) -> Result<i32, SiteError> {
    let weight = i32::from_str(text).ok();
    let is_fit = |weight: &i32| (-MOST_WEIGHT..=MOST_WEIGHT).contains(weight);
    weight.filter(is_fit).ok_or(SiteError::Weight)
}

fn read_filter(text: &str) -> Result<[Numbers; 4], SiteError> {
    let mut rest = text;
    let mut filter = Vec::new();
    loop {
        let (numbers, tail) = read_numbers(rest).ok_or(SiteError::Filter)?;
        filter.push(numbers);
        match tail.strip_prefix('.') {
            Some(next) => rest = next,
            None if tail.is_empty() => break,
            None => return Err(SiteError::Filter),
        }
    }
    filter.try_into().map_err(|_| SiteError::Filter)
}

/// The numbers at the beginning of a filter, and what follows them.
fn read_numbers(text: &str) -> Option<(Numbers, &str)> {
    if let Some(rest) = text.strip_prefix('[') {
        let (inside, tail) = rest.split_once(']')?;
        let ranges = inside.split(';').map(|range| {
            let (low, high) = range.split_once("..").unwrap_or((range, range));
            let (low, high) = (read_byte(low)?, read_byte(high)?);
            (low <= high).then_some((low, high))
        });
        return Some((Numbers(ranges.collect::<Option<_>>()?), tail));
    }
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, tail) = text.split_at_checked(end)?;
    let byte = read_byte(digits)?;
    Some((Numbers(vec![(byte, byte)]), tail))
}

fn read_byte(text: &str) -> Option<u8> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests;
