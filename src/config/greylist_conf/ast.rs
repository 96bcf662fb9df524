//! The syntax tree of `greylist.conf`.
//!
//! Where stargrey matches otherwise than milter-greylist, the variants of [`Test`] say so.

use crate::policy::access::Expression;
use crate::policy::chain::{
    AssignedValue, Format, Number, Operation, Operator, RateUnit, Report, Schedule, Scope,
};
use crate::policy::message::DkimResult;
use crate::policy::{SpfResult, Zone};
use crate::types::{ClientIp, Prefix, Span};

/// A place in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The line, from 1.
    pub line: u32,
    /// The byte of the line, from 1.
    pub column: u32,
}

/// Something, and where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Located<T> {
    /// Where.
    pub at: Position,
    /// What.
    pub value: T,
}

/// A file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GreylistConf {
    /// The statements about everything.
    pub globals: Globals,
    /// `list`. [`Test::List`] has a number of these, as the tests below have of the others.
    pub lists: Vec<List>,
    /// `dnsrbl` definitions.
    pub dns_lists: Vec<DnsList>,
    /// `sm_macro` definitions.
    pub macros: Vec<MacroTest>,
    /// `ratelimit` definitions.
    pub rate_limits: Vec<RateLimit>,
    /// `stat`.
    pub statistics: Vec<Statistic>,
    /// The entries for each recipient (`racl`, `acl`), in the order of evaluation, up to the default: bare `addr`,
    /// `domain`, `from`, `rawfrom` and `rcpt` come first, the last of them before the others.
    pub recipient: Vec<Entry>,
    /// The entries for the message as a whole (`dacl`), up to the default.
    pub message: Vec<Entry>,
}

/// Statements about everything; `None` where the file does not say anything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Globals {
    /// `greylist`: how long a new triplet waits.
    pub delay: Option<Located<Span>>,
    /// `timeout`: how long a triplet that has not passed is kept.
    pub timeout: Option<Located<Span>>,
    /// `autowhite`: how long a triplet that has passed is kept.
    pub auto_white: Option<Located<Span>>,
    /// `lazyaw`: a pass counts for the whole client.
    pub lazy_auto_white: Option<Position>,
    /// `subnetmatch`: bits of an IPv4 client's network, 0 to 32.
    pub ipv4_bits: Option<Located<u8>>,
    /// `subnetmatch6`: bits of an IPv6 client's network, 0 to 128.
    pub ipv6_bits: Option<Located<u8>>,
    /// `tarpit`: how long each recipient's reply is delayed.
    pub tarpit: Option<Located<Span>>,
    /// `quiet`: the reply does not say how long to wait.
    pub quiet: Option<Position>,
    /// `report`: which messages get a header.
    pub report: Option<Located<Report>>,
    /// `noauth`, or a clause `auth` or `tls`: authenticated clients are not exempt.
    pub no_auth: Option<Position>,
    /// `nospf`, or a clause `spf`: an SPF pass does not exempt.
    pub no_spf: Option<Position>,
    /// `delayedreject`: the null sender is deferred at DATA.
    pub delayed_reject: Option<Position>,
    /// `testmode`: without a default, who matches no entry passes.
    pub test_mode: Option<Position>,
    /// `localaddr`: the mail server's address in headers.
    pub local_address: Option<Located<ClientIp>>,
    /// `spamdsock`: where SpamAssassin's spamd listens.
    pub spamd_socket: Option<Located<SpamdSocket>>,
}

/// Where spamd listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SpamdSocket {
    /// `host:port`.
    Inet(Box<str>),
    /// A path.
    Unix(Box<str>),
}

/// A list: true if one of its items is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct List {
    /// Its name.
    pub name: Box<str>,
    /// Where it is defined.
    pub at: Position,
    /// The items; `Err` with the type for a list of what stargrey cannot test, which no entry uses.
    pub items: Result<Vec<Located<Test>>, &'static str>,
}

/// A DNS list with the answers that count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DnsList {
    /// Its name in the file.
    pub name: Box<str>,
    /// Where it is defined.
    pub at: Position,
    /// The zone.
    pub zone: Zone,
    /// The answers that mean: listed.
    pub answers: Prefix,
}

/// A test of a macro of the mail server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MacroTest {
    /// Its name in the file.
    pub name: Box<str>,
    /// Where it is defined.
    pub at: Position,
    /// The macro, as it was written: `{client_resolve}`.
    pub macro_name: Box<str>,
    /// What it must be.
    pub value: MacroValue,
}

/// What a macro must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MacroValue {
    /// It has this value, or one that matches.
    Is(TextPattern),
    /// It has none.
    Unset,
}

/// A limit that is exceeded when more than so much comes within a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateLimit {
    /// Its name in the file.
    pub name: Box<str>,
    /// Where it is defined.
    pub at: Position,
    /// What is counted.
    pub unit: RateUnit,
    /// How many.
    pub limit: u64,
    /// Within which time.
    pub period: Span,
    /// What is counted together; `None`: the client's address.
    pub key: Option<Format>,
}

/// A line for the log, for each recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statistic {
    /// Where it stands.
    pub at: Position,
    /// Where milter-greylist would write it: `>>file`, `>file` or `|command`. stargrey does not.
    pub destination: Box<str>,
    /// The line.
    pub format: Format,
}

/// When an entry is evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryStage {
    /// For each recipient.
    Recipient,
    /// For the whole message.
    Message,
}

/// What an entry does with those it matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// They wait.
    Greylist,
    /// They pass.
    Whitelist,
    /// They are refused.
    Blacklist,
    /// Nothing but the effects of its clauses and values.
    Continue,
}

/// An entry: an action for those for whom all clauses hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where it begins.
    pub at: Position,
    /// As it was written, in one line and without comments.
    pub text: Box<str>,
    /// The identifier in logs and replies.
    pub id: Option<Box<str>>,
    /// When it is evaluated.
    pub stage: EntryStage,
    /// What it does.
    pub action: Action,
    /// In order; none for a default, which matches always.
    pub clauses: Vec<Clause>,
    /// What it says about the reply and the treatment.
    pub values: Values,
}

impl Entry {
    /// Whether it matches always.
    #[must_use]
    pub const fn is_default(&self) -> bool {
        self.clauses.is_empty()
    }
}

/// A clause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clause {
    /// Where it begins.
    pub at: Position,
    /// What it is.
    pub kind: ClauseKind,
}

/// What a clause is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClauseKind {
    /// The test must hold.
    Test(Test),
    /// It must not. If it is not known whether it holds, neither is this.
    Not(Test),
    /// `set`, `rset`: holds always.
    Set(Assignment),
    /// `log`: writes to the log and holds always.
    Log(Format),
    /// `tarpit`: the reply is delayed. Does not hold for a client that has hung up in its last sleep.
    Tarpit(Span),
}

/// A test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Test {
    /// `addr`: the client's address is in it. Host bits that were set are cleared.
    Address(Prefix),
    /// `domain name`: of the client's name, which is `[ADDRESS]` when it has no verified one.
    Domain(DomainName),
    /// `domain /…/`: of the same name.
    DomainMatches(Regex),
    /// `helo`: the whole of it, in any case.
    Helo(Pattern<Format>),
    /// `from`: the sender, folded, in any case. Expressions are tried with and without the angle brackets.
    Sender(TextPattern),
    /// `rawfrom`: the sender as it came; likewise.
    RawSender(TextPattern),
    /// `rcpt`: the recipient; likewise. At the end of the message, any of them.
    Recipient(TextPattern),
    /// `list`: a number in [`GreylistConf::lists`].
    List(usize),
    /// `dnsrbl`: a number in [`GreylistConf::dns_lists`].
    DnsList(usize),
    /// `sm_macro`: a number in [`GreylistConf::macros`].
    Macro(usize),
    /// `ratelimit`: a number in [`GreylistConf::rate_limits`].
    RateLimit(usize),
    /// `mx`: the client is in the network, of this prefix length, of a mail server of the sender's domain.
    SenderMx(u8),
    /// `auth`: the name that the client has authenticated as, the whole of it.
    Authenticated(TextPattern),
    /// `tls`: the subject of its verified certificate, the whole of it.
    TlsSubject(TextPattern),
    /// `spf`: the result for the sender. `self` is a record that lets anybody pass.
    Spf(SpfResult),
    /// `time`: local time.
    Time(Schedule),
    /// `rcptcount`: the number of recipients accepted so far.
    RecipientCount(Comparison),
    /// `$property`.
    Property(Box<str>, PropertyTest),
    /// `header`: a field of the header contains it, or matches. Text is case-sensitive.
    Header(TextPattern),
    /// `header $property`: a field of the header contains the property's value.
    HeaderProperty(Box<str>),
    /// `body`: a line of the body contains it, or matches. Text is case-sensitive.
    Body(TextPattern),
    /// `body $property`: a line of the body contains the property's value.
    BodyProperty(Box<str>),
    /// `dkim`: what a trusted server says of the message's signatures.
    Dkim(DkimResult),
    /// `msgsize`: bytes of the message.
    MessageSize(Comparison),
    /// `spamd`: SpamAssassin says that it is spam.
    Spam,
    /// `spamd OP score`, in thousandths. Decimals and a sign are possible.
    SpamScore(Comparison),
}

impl Test {
    /// The only stage at which it can be made, if it is not both.
    #[must_use]
    pub const fn stage(&self) -> Option<EntryStage> {
        match self {
            Self::Helo(_) => Some(EntryStage::Recipient),
            Self::Header(_)
            | Self::HeaderProperty(_)
            | Self::Body(_)
            | Self::BodyProperty(_)
            | Self::Dkim(_)
            | Self::MessageSize(_)
            | Self::Spam
            | Self::SpamScore(_) => Some(EntryStage::Message),
            Self::Address(_)
            | Self::Domain(_)
            | Self::DomainMatches(_)
            | Self::Sender(_)
            | Self::RawSender(_)
            | Self::Recipient(_)
            | Self::List(_)
            | Self::DnsList(_)
            | Self::Macro(_)
            | Self::RateLimit(_)
            | Self::SenderMx(_)
            | Self::Authenticated(_)
            | Self::TlsSubject(_)
            | Self::Spf(_)
            | Self::Time(_)
            | Self::RecipientCount(_)
            | Self::Property(..) => None,
        }
    }
}

/// The end of a client's name, in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DomainName {
    /// The name itself, or a name in this domain.
    Within(Box<str>),
    /// `*text` and `.text`: any name that ends with it, as in milter-greylist without `domainexact`.
    Suffix(Box<str>),
}

/// What a text must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pattern<T> {
    /// This text.
    Text(T),
    /// Something that matches.
    Matches(Regex),
}

/// What a text must be, where `%` means nothing.
pub type TextPattern = Pattern<Box<str>>;

/// An expression: case means nothing, and `^` and `$` match at the ends of lines. It is a basic one unless
/// `extendedregex` stands before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Regex {
    /// As it was written, without the slashes.
    pub text: Box<str>,
    /// What it means.
    pub expression: Expression,
}

/// A comparison: what is tested stands on the left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comparison {
    /// How.
    pub operator: Operator,
    /// With what.
    pub number: Number,
}

/// What a property must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PropertyTest {
    /// This text in any case, or something that matches.
    Is(Pattern<Format>),
    /// `*$property "text"`: the property is a shell pattern that matches the text.
    Glob(Format),
    /// A number.
    Compare(Comparison),
}

/// A property gets a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    /// For how long.
    pub scope: Scope,
    /// The property.
    pub property: Box<str>,
    /// What is done with it.
    pub operation: Operation,
    /// The value.
    pub value: AssignedValue,
}

/// What an entry says about the reply and the treatment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Values {
    /// `delay`.
    pub delay: Option<Located<Span>>,
    /// `autowhite`.
    pub auto_white: Option<Located<Span>>,
    /// `code`: the reply code.
    pub code: Option<Located<ReplyCode>>,
    /// `ecode`: the enhanced status code.
    pub enhanced_code: Option<Located<Box<str>>>,
    /// `msg`: the text of the reply.
    pub message: Option<Located<Format>>,
    /// `report`: the text of the header.
    pub report: Option<Located<Format>>,
    /// `flushaddr`: the client's records are deleted.
    pub flush_address: Option<Position>,
    /// `nolog`: nothing is logged.
    pub no_log: Option<Position>,
    /// `addheader`.
    pub headers: Vec<Located<HeaderField>>,
}

/// A reply code: 400 to 599.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplyCode(pub(super) u16);

impl ReplyCode {
    /// Its number.
    #[must_use]
    pub const fn number(self) -> u16 {
        self.0
    }

    /// Whether the client may try again.
    #[must_use]
    pub const fn is_temporary(self) -> bool {
        self.0 < 500
    }
}

/// A header field that is added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderField {
    /// The name, which is constant.
    pub name: Box<str>,
    /// The value.
    pub value: Format,
    /// From the top; `None`: at the end.
    pub index: Option<u32>,
}
