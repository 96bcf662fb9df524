//! Texts of rules with their tokens replaced.
//!
//! All tokens are replaced at once: what a stranger has chosen is never read for tokens again. In a reply it is printable
//! ASCII, at most 200 bytes each ([`ReplyText::foreign`]), and the whole text has at most [`MAX_REPLY`] bytes.
//!
//! # Empty tokens
//!
//! A token of something that is not known here stands for nothing: the header, properties, groups of an expression, the
//! text of the reply within that text itself, the score of SpamAssassin before the end of the message, and macros of the
//! mail server that it has not sent. These macros are known without it: `j`, `i`, `client_addr`, `mail_addr`, `rcpt_addr`
//! and `auth_authen`. What is logged, added or set while rules are evaluated does not know the reply yet.

use std::borrow::Cow;
use std::fmt::{self, Write};

use jiff::fmt::StdFmtWrite;
use jiff::fmt::strtime::{BrokenDownTime, Config, PosixCustom};
use jiff::tz::TimeZone;

use super::format::{Format, FormatToken as Token, Piece, TimePart};
use crate::policy::properties::Properties;
use crate::policy::spam::tenths;
use crate::policy::{MailServerMacros, SpfResult};
use crate::types::{ClientIp, HeaderText, Prefix, ReplyText, Span, Timestamp};

/// The longest text of a reply, in bytes. A line of SMTP has 512 (RFC 5321, 4.5.3.1.5); in front of the text, the mail
/// server writes the codes and the recipient.
pub const MAX_REPLY: usize = 400;

/// The version that texts name.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The macro with the name as which the client has authenticated itself.
const USER: &str = "auth_authen";

/// What the tokens of a text stand for.
#[derive(Debug, Clone, Copy, Default)]
pub struct TokenValues<'a> {
    /// The client's address.
    pub client: Option<ClientIp>,
    /// Its verified name. Without one, it is `unknown`, and texts have `[ADDRESS]`.
    pub client_name: &'a [u8],
    /// What it calls itself.
    pub helo: &'a [u8],
    /// The sender, empty for the null sender.
    pub sender: &'a [u8],
    /// The recipient.
    pub recipient: &'a [u8],
    /// The queue id, once there is one.
    pub queue_id: &'a [u8],
    /// The reply code.
    pub code: Option<u16>,
    /// The enhanced status code.
    pub enhanced_code: &'a str,
    /// The text of the reply.
    pub text: &'a str,
    /// How long the triplet has waited.
    pub elapsed: Span,
    /// How long it has to wait still.
    pub remaining: Span,
    /// How long the client is made to sleep.
    pub tarpit: Span,
    /// The time, and the zone in which it is written.
    pub now: Option<(Timestamp, &'a TimeZone)>,
    /// The name of this host.
    pub host: &'a str,
    /// Its address, if it is said.
    pub local_address: Option<ClientIp>,
    /// The rule that has decided.
    pub rule: Option<RuleName<'a>>,
    /// The rule that is being evaluated.
    pub current: Option<RuleName<'a>>,
    /// The result of SPF.
    pub spf: Option<SpfResult>,
    /// The names of the DNS lists that list the client.
    pub dns_lists: &'a [&'a str],
    /// The properties, while rules are evaluated.
    pub properties: Option<&'a Properties>,
    /// The macros of the mail server, if the front end has them.
    pub macros: Option<&'a dyn MailServerMacros>,
    /// The score of a spam filter, in thousandths, if it was asked.
    pub score: Option<i64>,
    /// The name as which the client has authenticated itself.
    pub user: &'a [u8],
}

/// Whether a token stands for nothing in a reply, because it is not known there.
#[must_use]
pub const fn is_empty_in_replies(token: &Token) -> bool {
    matches!(
        token,
        Token::DnsLists
            | Token::SpfResult
            | Token::ReceivedSpf
            | Token::AuthenticationResults
            | Token::Message
            | Token::Header
            | Token::Group(_)
            | Token::SpamScore
            | Token::PropertyName
            | Token::PropertyValue
            | Token::PropertyRecipient
            | Token::Property(_)
    )
}

/// Whether a token speaks of the reply or of what it depends on, so that it is empty, or 0, in what is written before.
#[must_use]
pub const fn is_of_reply(token: &Token) -> bool {
    matches!(
        token,
        Token::Code
            | Token::EnhancedCode
            | Token::Message
            | Token::Header
            | Token::Status
            | Token::Elapsed(_)
            | Token::Remaining(_)
            | Token::Tarpit
            | Token::DnsLists
            | Token::Group(_)
            | Token::SpfResult
            | Token::ReceivedSpf
            | Token::AuthenticationResults
    )
}

/// Whether rules know a macro without a milter, too.
#[must_use]
pub fn is_known_macro(name: &str) -> bool {
    const KNOWN: [&str; 5] = ["j", "client_addr", "mail_addr", "rcpt_addr", USER];
    KNOWN.contains(&name.trim_matches(['{', '}']))
}

/// Where a rule is written, and its identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RuleName<'a> {
    /// The line of the file, from 1.
    pub line: u32,
    /// The identifier, if it has one.
    pub id: Option<&'a str>,
}

/// What a token stands for.
enum Value<'a> {
    /// A text that no stranger has chosen.
    Own(Cow<'a, str>),
    /// Bytes that a stranger has chosen.
    Foreign(&'a [u8]),
}

impl TokenValues<'_> {
    /// A text for a reply: one line, at most [`MAX_REPLY`] bytes.
    #[must_use]
    pub fn reply_text(&self, format: &Format) -> ReplyText {
        let mut out = Bounded::default();
        for piece in format.pieces() {
            let written = match self.value(piece) {
                Value::Own(text) => out.write_str(&text),
                Value::Foreign(bytes) => out.write_str(&foreign(bytes)),
            };
            if written.is_err() {
                break;
            }
        }
        ReplyText::new(out.0)
    }

    /// The value of a header field.
    #[must_use]
    pub fn header_text(&self, format: &Format) -> HeaderText {
        HeaderText::new(&self.bytes(format))
    }

    /// A text that is compared with what a stranger has sent: nothing is cut or made printable.
    #[must_use]
    pub fn bytes(&self, format: &Format) -> Vec<u8> {
        let mut out = Vec::new();
        for piece in format.pieces() {
            match self.value(piece) {
                Value::Own(text) => out.extend_from_slice(text.as_bytes()),
                Value::Foreign(bytes) => out.extend_from_slice(bytes),
            }
        }
        out
    }

    fn value<'a>(&'a self, piece: &'a Piece) -> Value<'a> {
        let token = match piece {
            Piece::Text(text) => return own(&**text),
            Piece::Token(token) => token,
        };
        match token {
            Token::Recipient => Value::Foreign(self.recipient),
            Token::RecipientLocal => Value::Foreign(local_part(self.recipient)),
            Token::RecipientDomain => Value::Foreign(domain(self.recipient)),
            Token::Sender => Value::Foreign(self.sender),
            Token::SenderLocal => Value::Foreign(local_part(self.sender)),
            Token::SenderDomain => Value::Foreign(domain(self.sender)),
            Token::ClientName => self.client_name(|name| name),
            Token::ClientHost => self.client_name(first_label),
            Token::ClientDomain => self.client_name(other_labels),
            Token::ClientAddress => self.address(|client| client.to_string()),
            Token::ReversedAddress => {
                self.address(|client| client.reversed().trim_end_matches('.').to_owned())
            }
            Token::ClientNetwork(bits) => self.address(|client| {
                let network = Prefix::masked(client.address(), *bits);
                network.address().to_string()
            }),
            Token::Helo => Value::Foreign(self.helo),
            Token::Code => {
                let refused = self.code.filter(|code| *code >= 400);
                own(refused.map(|code| code.to_string()).unwrap_or_default())
            }
            Token::EnhancedCode => own(self.enhanced_code),
            Token::Message => own(self.text),
            Token::Status => own(self.status()),
            Token::DnsLists => own(self.dns_lists.join(", ")),
            Token::Macro(name) => self.macro_value(name),
            Token::Time(format) => own(self.time(format)),
            Token::ZoneOffset => own(self.time("%z")),
            Token::Version => own(VERSION),
            Token::VersionLine => own(self.version_line()),
            Token::EntryLine => own(line(self.rule)),
            Token::EntryId => own(identifier(self.rule)),
            Token::CurrentLine => own(line(self.current)),
            Token::CurrentId => own(identifier(self.current)),
            Token::Elapsed(part) => own(time_part(self.elapsed, *part)),
            Token::Remaining(part) => own(time_part(self.remaining, *part)),
            Token::Tarpit => own(self.tarpit.seconds().to_string()),
            Token::SpfResult => own(self.spf.map_or("", SpfResult::word)),
            Token::ReceivedSpf => own(self.received_spf()),
            Token::AuthenticationResults => own(self.authentication_results()),
            Token::Property(name) => {
                let value = self.properties.and_then(|properties| properties.get(name));
                Value::Foreign(value.unwrap_or_default().as_bytes())
            }
            Token::SpamScore => own(self.score.map(tenths).unwrap_or_default()),
            Token::Header
            | Token::Group(_)
            | Token::Country
            | Token::Fingerprint
            | Token::PropertyName
            | Token::PropertyValue
            | Token::PropertyRecipient
            | Token::DkimResult => own(""),
        }
    }

    /// What is written of the client's address, if it is known.
    fn address(&self, write: impl Fn(ClientIp) -> String) -> Value<'_> {
        own(self.client.map(write).unwrap_or_default())
    }

    /// A part of the client's name.
    fn client_name(&self, part: impl Fn(&[u8]) -> &[u8]) -> Value<'_> {
        match (self.client_name, self.client) {
            (b"unknown", Some(client)) => {
                let name = format!("[{client}]");
                own(String::from_utf8_lossy(part(name.as_bytes())).into_owned())
            }
            (name, _) => Value::Foreign(part(name)),
        }
    }

    fn macro_value(&self, name: &str) -> Value<'_> {
        match name {
            "j" => own(self.host),
            "i" if !self.queue_id.is_empty() => Value::Foreign(self.queue_id),
            USER if !self.user.is_empty() => Value::Foreign(self.user),
            "client_addr" => self.address(|client| client.to_string()),
            "mail_addr" => Value::Foreign(self.sender),
            "rcpt_addr" => Value::Foreign(self.recipient),
            _ => {
                let sent = self.macros.and_then(|macros| macros.value(name));
                Value::Foreign(sent.unwrap_or_default())
            }
        }
    }

    /// What the reply code does.
    fn status(&self) -> &'static str {
        match self.code {
            Some(200..=299) => "accept",
            Some(400..=499) => "tempfail",
            Some(500..=599) => "reject",
            Some(_) | None => "",
        }
    }

    /// The time as strftime(3) writes it in the C locale; a conversion that is not known is left as it is.
    fn time(&self, format: &str) -> String {
        let now = self.now.and_then(|(now, zone)| now.zoned(zone));
        let Some(now) = now else {
            return String::new();
        };
        let config = Config::new().custom(PosixCustom::new()).lenient(true);
        let mut out = Bounded::default();
        let mut writer = StdFmtWrite(&mut out);
        let written = BrokenDownTime::from(&now).format_with_config(&config, format, &mut writer);
        // The only error is that there is no more room.
        written.unwrap_or_default();
        out.0
    }

    fn version_line(&self) -> String {
        let date = self.time("%a, %d %b %Y %T %z");
        let address = self.local_address.map(|address| format!(" [{address}]"));
        let address = address.unwrap_or_default();
        format!("stargrey-{VERSION} ({}{address}); {date}", self.host)
    }

    /// RFC 7208, 9.1.
    fn received_spf(&self) -> String {
        let Some(result) = self.spf else {
            return String::new();
        };
        let client = self.client.map(|client| client.to_string());
        format!(
            "{} client-ip={}; envelope-from={}; helo={}; receiver={}",
            header_word(result),
            client.unwrap_or_default(),
            quoted(self.sender),
            quoted(self.helo),
            self.host,
        )
    }

    /// RFC 8601, 2.2.
    fn authentication_results(&self) -> String {
        let Some(result) = self.spf else {
            return String::new();
        };
        let (property, identity) = if self.sender.is_empty() {
            ("helo", self.helo)
        } else {
            ("mailfrom", self.sender)
        };
        format!(
            "{}; spf={} smtp.{property}={}",
            self.host,
            header_word(result),
            quoted(identity),
        )
    }
}

/// A text of at most [`MAX_REPLY`] bytes; what comes beyond is cut, and is an error.
#[derive(Default)]
struct Bounded(String);

impl Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = MAX_REPLY.saturating_sub(self.0.len());
        let mut ends = (0..=room.min(text.len())).rev();
        let end = ends.find(|end| text.is_char_boundary(*end));
        let fits = end.and_then(|end| text.get(..end)).unwrap_or_default();
        self.0.push_str(fits);
        if fits.len() < text.len() {
            return Err(fmt::Error);
        }
        Ok(())
    }
}

fn own<'a>(text: impl Into<Cow<'a, str>>) -> Value<'a> {
    Value::Own(text.into())
}

/// What a reply has of something that a stranger has chosen.
fn foreign(bytes: &[u8]) -> String {
    let text = ReplyText::foreign(bytes);
    text.map(|text| text.as_str().to_owned())
        .unwrap_or_default()
}

/// The same as a quoted string of a header (RFC 5322, 3.2.4).
fn quoted(bytes: &[u8]) -> String {
    let text = foreign(bytes).replace('\\', "\\\\").replace('"', "\\\"");
    format!("\"{text}\"")
}

/// The word for a result in a header; those of the RFC have none for a domain that lets anybody send.
const fn header_word(result: SpfResult) -> &'static str {
    match result {
        SpfResult::PassAny => SpfResult::Neutral.word(),
        SpfResult::Pass
        | SpfResult::None
        | SpfResult::Neutral
        | SpfResult::Softfail
        | SpfResult::Fail
        | SpfResult::Permerror
        | SpfResult::Temperror => result.word(),
    }
}

/// What is before the last `@`: all of it, if there is none.
fn local_part(address: &[u8]) -> &[u8] {
    match address.iter().rposition(|byte| *byte == b'@') {
        Some(at) => address.get(..at).unwrap_or_default(),
        None => address,
    }
}

/// What is behind the last `@`: all of it, if there is none.
fn domain(address: &[u8]) -> &[u8] {
    let domain = address.rsplit(|byte| *byte == b'@').next();
    domain.unwrap_or_default()
}

/// What is before the first dot.
fn first_label(name: &[u8]) -> &[u8] {
    let label = name.split(|byte| *byte == b'.').next();
    label.unwrap_or_default()
}

/// What is behind the first dot: all of it, if there is none.
fn other_labels(name: &[u8]) -> &[u8] {
    let labels = name.splitn(2, |byte| *byte == b'.').last();
    labels.unwrap_or_default()
}

fn line(rule: Option<RuleName<'_>>) -> String {
    rule.map(|rule| rule.line.to_string()).unwrap_or_default()
}

/// The identifier, or the line.
fn identifier(rule: Option<RuleName<'_>>) -> Cow<'_, str> {
    match rule.and_then(|rule| rule.id) {
        Some(id) => Cow::Borrowed(id),
        None => Cow::Owned(line(rule)),
    }
}

fn time_part(span: Span, part: TimePart) -> String {
    let seconds = span.seconds();
    let (hours, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match part {
        TimePart::Clock => format!("{hours:02}:{minute:02}:{second:02}"),
        TimePart::Hours => hours.to_string(),
        TimePart::Minutes => minute.to_string(),
        TimePart::Seconds => second.to_string(),
        TimePart::Total => seconds.to_string(),
    }
}

#[cfg(test)]
mod tests;
