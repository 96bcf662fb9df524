//! An index of tests: which of many can hold at all.
//!
//! A file may have ten thousand rules, and testing one after the other takes a hundred microseconds. Most rules have a
//! clause that holds for few attempts: an address, a name, an expression. The index has the rules by these clauses, so
//! that a search tests only those whose clause may hold, in the order of the file.
//!
//! # What is left out
//!
//! The index leaves a rule out only if its clause does not hold for certain, and testing it would do nothing else. What
//! it finds need not hold: it finds texts by their hash, and the rule is tested in full. So the search decides as it
//! would without an index; `index_tests.rs` compares both.
//!
//! # Order
//!
//! What rules ask about one part of an attempt is looked up when the search comes to the first of them. Expressions,
//! which take longest, are matched only if no rule before them decides.
//!
//! # Memory
//!
//! Eight bytes for a rule, sixteen if it names a sender; likewise for each item of a list.

use std::cmp::Reverse;
use std::net::IpAddr;

use super::subject::Subject;
use crate::policy::set::Matches;
use crate::types::Prefix;

/// With fewer tests than these there is no index: looking things up would take longer than testing them.
const LEAST: usize = 32;

/// A part of an attempt that texts and expressions are compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// The client's name.
    Name,
    /// What the client calls itself.
    Helo,
    /// The sender, as it came or folded.
    Sender,
    /// The sender as it came.
    RawSender,
    /// The recipients.
    Recipient,
    /// The name as which the client has authenticated itself.
    User,
    /// The subject of its certificate.
    Certificate,
}

/// What a test asks, if few attempts pass it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Key<'a> {
    /// The client's address is in this network.
    Network(Prefix),
    /// The client's name is this one, or in this domain.
    Domain(&'a str),
    /// The client's name ends with this.
    Suffix(&'a str),
    /// A part is one of these, in any case.
    Text(Part, [&'a [u8]; 2]),
    /// A part matches the expression of this number.
    Expression(Part, usize),
}

/// Tests by what they ask.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// The places of tests that may hold for any attempt, in order.
    always: Vec<u32>,
    /// The others, in the order of the first place of each.
    sources: Vec<Source>,
}

/// Tests of one kind.
#[derive(Debug)]
struct Source {
    kind: Kind,
    /// The first of the places.
    first: u32,
    /// The lengths of the networks in bits, or of the ends of names in bytes, each once, the shortest first.
    lengths: Vec<usize>,
    /// Hashes of networks or texts, or numbers of expressions, with the places of the tests; in order.
    places: Vec<(u32, u32)>,
}

/// What tests ask about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Networks,
    Domains,
    Suffixes,
    Texts(Part),
    Expressions(Part),
}

/// The tests that may hold for one attempt, in order.
#[derive(Debug)]
pub(super) struct Candidates<'i> {
    always: &'i [u32],
    /// Those that were not looked up yet.
    sources: &'i [Source],
    /// The places found, the first one last.
    found: Vec<u32>,
}

impl Key<'_> {
    /// Whether it takes longer to look up than others do.
    pub(super) const fn is_expression(&self) -> bool {
        matches!(self, Self::Expression(..))
    }
}

impl Index {
    /// An index of tests: their places in order, and what they ask; `None` if that does not select few attempts. There
    /// is no index if it would not be faster.
    pub(super) fn new<'a>(tests: impl Iterator<Item = (u32, Option<Key<'a>>)>) -> Option<Self> {
        let mut index = Self::default();
        let mut count = 0_usize;
        for (place, key) in tests {
            match key {
                None => index.always.push(place),
                Some(key) => {
                    index.insert(place, key);
                    count = count.saturating_add(1);
                }
            }
        }
        for source in &mut index.sources {
            source.lengths.sort_unstable();
            source.lengths.dedup();
            source.places.sort_unstable();
            source.places.dedup();
            source.places.shrink_to_fit();
        }
        index.sources.sort_by_key(|source| source.first);
        index.always.shrink_to_fit();
        (count >= LEAST).then_some(index)
    }

    fn insert(&mut self, place: u32, key: Key<'_>) {
        let (kind, length, values) = match key {
            Key::Network(network) => {
                let length = usize::from(network.length());
                (Kind::Networks, Some(length), [hash_of(network); 2])
            }
            Key::Domain(name) => (Kind::Domains, None, [hash(name.as_bytes()); 2]),
            Key::Suffix(end) => (Kind::Suffixes, Some(end.len()), [hash(end.as_bytes()); 2]),
            Key::Text(part, texts) => (Kind::Texts(part), None, texts.map(hash)),
            Key::Expression(part, number) => {
                let Ok(number) = u32::try_from(number) else {
                    self.always.push(place);
                    return;
                };
                (Kind::Expressions(part), None, [number; 2])
            }
        };
        let mut sources = self.sources.iter_mut();
        if let Some(source) = sources.find(|source| source.kind == kind) {
            source.insert(place, length, values);
            return;
        }
        let mut source = Source {
            kind,
            first: place,
            lengths: Vec::new(),
            places: Vec::new(),
        };
        source.insert(place, length, values);
        self.sources.push(source);
    }

    /// The tests that may hold for an attempt.
    pub(super) const fn candidates(&self) -> Candidates<'_> {
        Candidates {
            always: self.always.as_slice(),
            sources: self.sources.as_slice(),
            found: Vec::new(),
        }
    }
}

impl Kind {
    /// Whether such a test is true or false for this subject, and never unknown.
    const fn is_known(self, subject: &Subject<'_>) -> bool {
        match self {
            Self::Texts(Part::Helo) | Self::Expressions(Part::Helo) => subject.helo.is_some(),
            Self::Texts(Part::Certificate) | Self::Expressions(Part::Certificate) => {
                subject.certificate.is_some()
            }
            Self::Networks | Self::Domains | Self::Suffixes => true,
            Self::Texts(part) | Self::Expressions(part) => match part {
                Part::Name | Part::Sender | Part::RawSender | Part::Recipient | Part::User => true,
                Part::Helo | Part::Certificate => false,
            },
        }
    }
}

impl Candidates<'_> {
    /// The place of the next test. `matches` has the expressions that match a part.
    pub(super) fn next<'m>(
        &mut self,
        subject: &Subject<'_>,
        matches: impl Fn(Part) -> &'m [Matches],
    ) -> Option<u32> {
        loop {
            let always = self.always.first().copied();
            let next = always.into_iter().chain(self.found.last().copied()).min();
            if let Some((source, others)) = self.sources.split_first()
                && next.is_none_or(|next| source.first < next)
            {
                self.sources = others;
                source.look_up((subject, &matches), &mut self.found);
                self.found.sort_unstable_by_key(|place| Reverse(*place));
                self.found.dedup();
                continue;
            }
            if next == always {
                self.always = self.always.get(1..).unwrap_or_default();
            } else {
                self.found.pop();
            }
            return next;
        }
    }
}

impl Source {
    /// Adds a test that may hold for either of these values, the second of which may be the first.
    fn insert(&mut self, place: u32, length: Option<usize>, [one, other]: [u32; 2]) {
        let lengths = length.filter(|length| !self.lengths.contains(length));
        self.lengths.extend(lengths);
        self.places.push((one, place));
        if other != one {
            self.places.push((other, place));
        }
    }

    /// Adds the places of the tests that may hold.
    fn look_up<'m>(
        &self,
        (subject, matches): (&Subject<'_>, &impl Fn(Part) -> &'m [Matches]),
        found: &mut Vec<u32>,
    ) {
        if !self.kind.is_known(subject) {
            found.extend(self.places.iter().map(|(_, place)| *place));
            return;
        }
        match self.kind {
            Kind::Networks => {
                for length in &self.lengths {
                    let length = u8::try_from(*length).unwrap_or(u8::MAX);
                    let network = Prefix::masked(subject.client.address(), length);
                    self.find(hash_of(network), found);
                }
            }
            Kind::Domains => self.find_domains(&subject.name, found),
            Kind::Suffixes => self.find_ends(&subject.name, found),
            Kind::Texts(part) => each_text(part, subject, |text| self.find(hash(text), found)),
            Kind::Expressions(part) => {
                for number in matches(part).iter().flat_map(Matches::iter) {
                    if let Ok(number) = u32::try_from(number) {
                        self.find(number, found);
                    }
                }
            }
        }
    }

    /// The tests that ask for this.
    fn find(&self, value: u32, found: &mut Vec<u32>) {
        let first = self.places.partition_point(|(other, _)| *other < value);
        let places = self.places.get(first..).unwrap_or_default().iter();
        let those = places.take_while(|(other, _)| *other == value);
        found.extend(those.map(|(_, place)| *place));
    }

    /// The tests that ask for this name, or for a domain that it is in.
    fn find_domains(&self, name: &[u8], found: &mut Vec<u32>) {
        let mut hash = Hash::START;
        let mut rest = name;
        while let Some((byte, before)) = rest.split_last() {
            if *byte == b'.' {
                self.find(hash.0, found);
            }
            hash = hash.with(*byte);
            rest = before;
        }
        self.find(hash.0, found);
    }

    /// The tests that ask for an end of this name.
    fn find_ends(&self, name: &[u8], found: &mut Vec<u32>) {
        let mut hash = Hash::START;
        let (mut rest, mut length) = (name, 0_usize);
        for wanted in &self.lengths {
            while length < *wanted {
                let Some((byte, before)) = rest.split_last() else {
                    return;
                };
                hash = hash.with(*byte);
                rest = before;
                length = length.saturating_add(1);
            }
            self.find(hash.0, found);
        }
    }
}

/// Calls `each` with the texts of which one must be equal to the text of a test.
fn each_text(part: Part, subject: &Subject<'_>, mut each: impl FnMut(&[u8])) {
    match part {
        Part::Name => {}
        Part::Helo => subject.helo.into_iter().for_each(each),
        Part::Sender => {
            each(subject.sender);
            each(&subject.folded_sender);
        }
        Part::RawSender => each(subject.sender),
        Part::Recipient => subject.recipients().iter().copied().for_each(each),
        Part::User => subject.user.into_iter().for_each(each),
        Part::Certificate => subject.certificate.into_iter().for_each(each),
    }
}

/// FNV-1a of a text from its end, in lower case. Whoever makes two texts with the same hash gains a test of a rule.
#[derive(Debug, Clone, Copy)]
struct Hash(u32);

impl Hash {
    const START: Self = Self(0x811c_9dc5);

    const fn with(self, byte: u8) -> Self {
        let byte = byte.to_ascii_lowercase() as u32;
        Self((self.0 ^ byte).wrapping_mul(0x0100_0193))
    }
}

fn hash(text: &[u8]) -> u32 {
    let bytes = text.iter().rev();
    bytes.fold(Hash::START, |hash, byte| hash.with(*byte)).0
}

/// The hash of a network.
fn hash_of(network: Prefix) -> u32 {
    let begin = Hash::START.with(network.length());
    let with = |octets: &[u8]| octets.iter().fold(begin, |hash, octet| hash.with(*octet)).0;
    match network.address() {
        IpAddr::V4(address) => with(&address.octets()),
        IpAddr::V6(address) => with(&address.octets()),
    }
}
