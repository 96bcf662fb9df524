//! Texts with `%` tokens, which stand for parts of the attempt.

use jiff::Zoned;
use jiff::fmt::strtime::{BrokenDownTime, Config, PosixCustom};

/// A text with tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Format {
    text: Box<str>,
    pieces: Vec<Piece>,
}

/// A part of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// Text as it is.
    Text(Box<str>),
    /// Something that is put in.
    Token(FormatToken),
}

/// What can be put in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FormatToken {
    /// `%r`: the recipient.
    Recipient,
    /// `%mr`: its local part.
    RecipientLocal,
    /// `%sr`: its domain.
    RecipientDomain,
    /// `%f`: the sender.
    Sender,
    /// `%mf`: its local part.
    SenderLocal,
    /// `%sf`: its domain.
    SenderDomain,
    /// `%d`: the client's name.
    ClientName,
    /// `%md`: its first label.
    ClientHost,
    /// `%sd`: what is behind the first dot.
    ClientDomain,
    /// `%i`: the client's address.
    ClientAddress,
    /// `%j`: the same with its numbers in reverse order.
    ReversedAddress,
    /// `%I{/n}`: the client's network of prefix length n.
    ClientNetwork(u8),
    /// `%h`: what the client calls itself.
    Helo,
    /// `%Xc`: the reply code.
    Code,
    /// `%Xe`: the enhanced status code.
    EnhancedCode,
    /// `%Xm`: the text of the reply.
    Message,
    /// `%Xh`: the text of the header.
    Header,
    /// `%D`: the DNS lists that list the client.
    DnsLists,
    /// `%M{name}`: a macro of the mail server.
    Macro(Box<str>),
    /// `%g{\n}`: what the group of this number has matched.
    Group(u8),
    /// `%T{format}`: the time, as strftime(3) writes it.
    Time(Box<str>),
    /// `%G`: the offset of local time from UTC.
    ZoneOffset,
    /// `%v`: the version.
    Version,
    /// `%V`: version, host and time, as in the header.
    VersionLine,
    /// `%C`: the country. Always empty.
    Country,
    /// `%Fx`: the operating system. Always empty.
    Fingerprint,
    /// `%Hs`: the score of SpamAssassin.
    SpamScore,
    /// `%S`: accept, tempfail or reject.
    Status,
    /// `%A`: the line of the entry that decided.
    EntryLine,
    /// `%a`: its identifier, or its line.
    EntryId,
    /// `%cA`: the line of the entry that is being evaluated.
    CurrentLine,
    /// `%ca`: its identifier, or its line.
    CurrentId,
    /// `%E`, `%Eh`, `%Em`, `%Es`, `%Et`: how long a triplet has waited.
    Elapsed(TimePart),
    /// `%R`, `%Rh`, `%Rm`, `%Rs`, `%Rt`: how long it has to wait.
    Remaining(TimePart),
    /// `%pn`: the name of the property that matched last.
    PropertyName,
    /// `%pv`: its value.
    PropertyValue,
    /// `%pr`: the recipient for which it was set.
    PropertyRecipient,
    /// `%P{name}`: the value of a property.
    Property(Box<str>),
    /// `%Qs`: the result of SPF.
    SpfResult,
    /// `%QS`: the same as a Received-SPF header has it.
    ReceivedSpf,
    /// `%Qd`: the result of DKIM. Always empty.
    DkimResult,
    /// `%QA`: the results as an Authentication-Results header has them.
    AuthenticationResults,
    /// `%t`: seconds of the tarpit.
    Tarpit,
}

/// A part of a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimePart {
    /// All of it, as `hh:mm:ss`.
    Clock,
    /// Hours.
    Hours,
    /// Minutes of the hour.
    Minutes,
    /// Seconds of the minute.
    Seconds,
    /// All of it in seconds.
    Total,
}

/// What is likely not meant in a text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Remark {
    /// No token.
    #[error("{0:?} means nothing and is left as it is; write %% for a percent sign")]
    Unknown(String),
    /// A token of something that is not known here.
    #[error("{0:?} is always empty: {1}")]
    Empty(String, &'static str),
    /// A format of time with something that is not known here.
    #[error("{0:?} has a conversion that is not supported and is left as it is: {1}")]
    Time(String, String),
}

use FormatToken as Token;

/// Tokens without an argument. Of two that both fit, the longer one comes first.
const TOKENS: [(&str, Token); 46] = [
    ("mr", Token::RecipientLocal),
    ("sr", Token::RecipientDomain),
    ("mf", Token::SenderLocal),
    ("sf", Token::SenderDomain),
    ("md", Token::ClientHost),
    ("sd", Token::ClientDomain),
    ("r", Token::Recipient),
    ("f", Token::Sender),
    ("d", Token::ClientName),
    ("i", Token::ClientAddress),
    ("j", Token::ReversedAddress),
    ("h", Token::Helo),
    ("Xc", Token::Code),
    ("Xe", Token::EnhancedCode),
    ("Xm", Token::Message),
    ("Xh", Token::Header),
    ("D", Token::DnsLists),
    ("G", Token::ZoneOffset),
    ("v", Token::Version),
    ("V", Token::VersionLine),
    ("C", Token::Country),
    ("Fx", Token::Fingerprint),
    ("Hs", Token::SpamScore),
    ("S", Token::Status),
    ("A", Token::EntryLine),
    ("a", Token::EntryId),
    ("cA", Token::CurrentLine),
    ("ca", Token::CurrentId),
    ("Eh", Token::Elapsed(TimePart::Hours)),
    ("Em", Token::Elapsed(TimePart::Minutes)),
    ("Es", Token::Elapsed(TimePart::Seconds)),
    ("Et", Token::Elapsed(TimePart::Total)),
    ("E", Token::Elapsed(TimePart::Clock)),
    ("Rh", Token::Remaining(TimePart::Hours)),
    ("Rm", Token::Remaining(TimePart::Minutes)),
    ("Rs", Token::Remaining(TimePart::Seconds)),
    ("Rt", Token::Remaining(TimePart::Total)),
    ("R", Token::Remaining(TimePart::Clock)),
    ("pn", Token::PropertyName),
    ("pv", Token::PropertyValue),
    ("pr", Token::PropertyRecipient),
    ("Qs", Token::SpfResult),
    ("QS", Token::ReceivedSpf),
    ("Qd", Token::DkimResult),
    ("QA", Token::AuthenticationResults),
    ("t", Token::Tarpit),
];

/// Tokens that are always empty, and why.
const EMPTY: [(Token, &str); 3] = [
    (Token::Country, "stargrey does not know countries"),
    (
        Token::Fingerprint,
        "stargrey does not know operating systems",
    ),
    (
        Token::DkimResult,
        "stargrey does not verify DKIM signatures",
    ),
];

impl Format {
    /// Reads a text; what is likely not meant is remarked.
    #[must_use]
    pub fn parse(text: &str) -> (Self, Vec<Remark>) {
        let (mut pieces, mut plain, mut remarks) = (Vec::new(), String::new(), Vec::new());
        let mut rest = text;
        while let Some((before, behind)) = rest.split_once('%') {
            plain.push_str(before);
            if let Some(behind) = behind.strip_prefix('%') {
                plain.push('%');
                rest = behind;
                continue;
            }
            let Some((token, after)) = token(behind) else {
                plain.push('%');
                remarks.push(Remark::Unknown(begin(behind, 1)));
                rest = behind;
                continue;
            };
            let length = behind.len().saturating_sub(after.len());
            remarks.extend(remark(&token, || begin(behind, length)));
            push_text(&mut pieces, &mut plain);
            pieces.push(Piece::Token(token));
            rest = after;
        }
        plain.push_str(rest);
        push_text(&mut pieces, &mut plain);
        let text = text.into();
        (Self { text, pieces }, remarks)
    }

    /// As it was written.
    #[must_use]
    pub const fn text(&self) -> &str {
        &self.text
    }

    /// Its parts, in order.
    #[must_use]
    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }
}

/// Adds the text that was gathered.
fn push_text(pieces: &mut Vec<Piece>, plain: &mut String) {
    if !plain.is_empty() {
        pieces.push(Piece::Text(std::mem::take(plain).into()));
    }
}

/// The percent sign with so many bytes of what follows it, or one character.
fn begin(behind: &str, length: usize) -> String {
    let first = || behind.chars().next().map(String::from);
    let token = behind.get(..length).map(str::to_owned).or_else(first);
    format!("%{}", token.unwrap_or_default())
}

/// The token that follows a percent sign, and what is behind it.
fn token(text: &str) -> Option<(Token, &str)> {
    if let Some(rest) = text.strip_prefix('M') {
        if let Some((name, rest)) = braced(rest) {
            return Some((Token::Macro(name.into()), rest));
        }
        let name = rest.get(..1)?;
        let is_letter = name.bytes().all(|byte| byte.is_ascii_alphabetic());
        return is_letter.then(|| (Token::Macro(name.into()), rest.split_at(1).1));
    }
    let with_argument = |letter: char| braced(text.strip_prefix(letter)?);
    if let Some((format, rest)) = with_argument('T') {
        return Some((Token::Time(format.into()), rest));
    }
    if let Some((name, rest)) = with_argument('P') {
        return Some((Token::Property(name.into()), rest));
    }
    if let Some((group, rest)) = with_argument('g') {
        // The backslash is written once or twice.
        let number = group.trim_start_matches('\\').parse().ok();
        let number = number.filter(|number| *number > 0)?;
        return Some((Token::Group(number), rest));
    }
    if let Some((length, rest)) = with_argument('I') {
        let bits = length.trim_start_matches('/').parse().ok();
        let bits = bits.filter(|bits| *bits <= 128)?;
        return Some((Token::ClientNetwork(bits), rest));
    }
    TOKENS.iter().find_map(|(spelling, token)| {
        let rest = text.strip_prefix(spelling)?;
        Some((token.clone(), rest))
    })
}

/// What stands in braces, if it is anything, and what is behind them.
fn braced(text: &str) -> Option<(&str, &str)> {
    let (inside, rest) = text.strip_prefix('{')?.split_once('}')?;
    (!inside.is_empty()).then_some((inside, rest))
}

/// What is to be said about a token.
fn remark(token: &Token, written: impl Fn() -> String) -> Option<Remark> {
    if let Token::Time(format) = token {
        let error = BrokenDownTime::from(&Zoned::default())
            .to_string_with_config(&Config::new().custom(PosixCustom::new()), &**format)
            .err()?;
        return Some(Remark::Time(written(), error.to_string()));
    }
    let (_, why) = EMPTY.iter().find(|(empty, _)| empty == token)?;
    Some(Remark::Empty(written(), why))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Piece {
        Piece::Text(text.into())
    }

    #[test]
    fn texts_and_tokens_are_told_apart() {
        let token = Piece::Token;
        for (written, want) in [
            ("", vec![]),
            ("plain", vec![text("plain")]),
            ("100%%", vec![text("100%")]),
            ("%%r %r", vec![text("%r "), token(FormatToken::Recipient)]),
            (
                "wait %R, %Rt s",
                vec![
                    text("wait "),
                    token(FormatToken::Remaining(TimePart::Clock)),
                    text(", "),
                    token(FormatToken::Remaining(TimePart::Total)),
                    text(" s"),
                ],
            ),
            (
                "%mf@%sf",
                vec![
                    token(FormatToken::SenderLocal),
                    text("@"),
                    token(FormatToken::SenderDomain),
                ],
            ),
            (
                "%Mj%M{if_addr}%Mx",
                vec![
                    token(FormatToken::Macro("j".into())),
                    token(FormatToken::Macro("if_addr".into())),
                    token(FormatToken::Macro("x".into())),
                ],
            ),
            (
                "%I{/24}%g{\\2}%g{\\\\1}",
                vec![
                    token(FormatToken::ClientNetwork(24)),
                    token(FormatToken::Group(2)),
                    token(FormatToken::Group(1)),
                ],
            ),
            (
                "%T{%Y/%m/%d %T} %P{x}é",
                vec![
                    token(FormatToken::Time("%Y/%m/%d %T".into())),
                    text(" "),
                    token(FormatToken::Property("x".into())),
                    text("é"),
                ],
            ),
        ] {
            let (format, remarks) = Format::parse(written);
            assert_eq!(format.pieces(), want, "{written}");
            assert_eq!(format.text(), written);
            assert_eq!(remarks, [], "{written}");
        }
    }

    #[test]
    fn what_is_no_token_is_left_and_remarked() {
        for (written, want) in [
            ("%Z", "%Z"),
            ("%", "%"),
            ("%é", "%é"),
            ("%T", "%T"),
            ("%T{", "%T"),
            ("%I{/129}", "%I"),
            ("%g{\\0}", "%g"),
            ("%M{}", "%M"),
            ("%X", "%X"),
        ] {
            let (format, remarks) = Format::parse(written);
            assert_eq!(format.pieces(), [text(written)], "{written}");
            assert_eq!(remarks, [Remark::Unknown(want.to_owned())], "{written}");
        }
        let (_, remarks) = Format::parse("%C %Fx %Qd");
        assert_eq!(remarks.len(), 3);
        assert!(
            remarks
                .iter()
                .all(|remark| matches!(remark, Remark::Empty(..)))
        );
        for (written, is_known) in [
            ("%T{%a, %e %b %Y %H:%M:%S %z %Z %j %s %c}", true),
            ("%T{plain}", true),
            ("%T{%!}", false),
            ("%T{%Ec}", false),
            ("%T{100%}", false),
        ] {
            let (_, remarks) = Format::parse(written);
            let is_remarked = matches!(&*remarks, [Remark::Time(..)]);
            assert_eq!(remarks.is_empty(), is_known, "{written} {remarks:?}");
            assert_eq!(is_remarked, !is_known, "{written} {remarks:?}");
        }
    }

    #[test]
    fn every_token_is_found_by_its_spelling() {
        for (spelling, token) in TOKENS {
            let (format, _) = Format::parse(&format!("%{spelling}"));
            assert_eq!(format.pieces(), [Piece::Token(token)], "{spelling}");
        }
    }
}
