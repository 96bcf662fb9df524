//! milter-greylist's dump file, `greylist.db`: text, one tuple a line.
//!
//! # On disk
//!
//! Four columns with tabs between them; a fifth for the tarpit. Empty lines and lines that begin with `#`
//! mean nothing, nor does what stands behind a `#` after the numbers (the date in local time).
//!
//! | columns | is | taken for |
//! | --- | --- | --- |
//! | `client from rcpt TIME` | waiting; accepted from `TIME` on | a triplet since `TIME` − delay |
//! | `client from rcpt TIME AUTO` | has passed; forgotten at `TIME` | a passed triplet, used last at `TIME` − autowhite |
//! | `client from rcpt TIME SECONDS TARPIT` | fled a tarpit of so many seconds | a tarpit record of `TIME` − delay |
//!
//! The client is its full address: the network is the importer's to make. Addresses stand in brackets or
//! not. Neither delay nor autowhite is in the file; they are those of the configuration that it was
//! written under, and where the configuration has several, the usual one.

use std::io::BufRead;

use super::line::{Line, Lines, number};
use super::{Imported, Item, ReadError, Skip};
use crate::types::{ClientIp, Span, Timestamp};

/// What the other daemon added to the times in its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MilterGreylistRules {
    /// Its `greylist` delay.
    pub delay: Span,
    /// Its `autowhite` time.
    pub autowhite: Span,
}

impl Default for MilterGreylistRules {
    /// Those of milter-greylist when its configuration does not say: 30 minutes, a day.
    fn default() -> Self {
        Self {
            delay: Span::from_seconds(30 * 60),
            autowhite: Span::from_days(1),
        }
    }
}

/// The records of a dump file.
#[derive(Debug)]
pub struct MilterGreylist<R> {
    lines: Lines<R>,
    rules: MilterGreylistRules,
    is_over: bool,
}

impl<R: BufRead> MilterGreylist<R> {
    /// Reads a dump file from `reader`.
    pub const fn new(reader: R, rules: MilterGreylistRules) -> Self {
        Self {
            lines: Lines::new(reader),
            rules,
            is_over: false,
        }
    }

    /// The next line that means something, `None` at the end.
    fn item(&mut self) -> Result<Option<Item>, ReadError> {
        loop {
            let row = match self.lines.next()? {
                None => return Ok(None),
                Some(Line::TooLong) => Err(Skip::TooLong),
                Some(Line::Text(line)) => {
                    let line = line.trim_ascii();
                    if line.is_empty() || line.starts_with(b"#") {
                        continue;
                    }
                    understand(line, self.rules)
                }
            };
            return Ok(Some(match row {
                Ok(row) => Item::Row(row),
                Err(why) => Item::Skipped {
                    line: self.lines.number(),
                    why,
                },
            }));
        }
    }
}

impl<R: BufRead> Iterator for MilterGreylist<R> {
    type Item = Result<Item, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over {
            return None;
        }
        let item = self.item();
        self.is_over = item.is_err();
        item.transpose()
    }
}

/// What a line says.
fn understand(line: &[u8], rules: MilterGreylistRules) -> Result<Imported, Skip> {
    let mut columns = line.splitn(4, |byte| *byte == b'\t');
    let mut column = || columns.next().map(<[u8]>::trim_ascii).ok_or(Skip::Row);
    let (client, sender, recipient, rest) = (column()?, column()?, column()?, column()?);
    let address = ClientIp::parse(client).ok_or(Skip::Address)?;
    let mut words = rest
        .split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty())
        .take_while(|word| !word.starts_with(b"#"));
    let time = words.next().and_then(number).ok_or(Skip::Value)?;
    let before =
        |span: Span| Timestamp::from_seconds(Span::from_seconds(time).less(span).seconds());
    let triplet = |when, is_passed| Imported::Triplet {
        network: address.address(),
        sender: unbracketed(sender).to_vec(),
        recipient: unbracketed(recipient).to_vec(),
        first: when,
        last: when,
        is_passed,
    };
    match (words.next(), words.next(), words.next()) {
        (None, ..) => Ok(triplet(before(rules.delay), false)),
        (Some(b"AUTO"), None, _) => Ok(triplet(before(rules.autowhite), true)),
        (Some(seconds), Some(b"TARPIT"), None) if number::<u64>(seconds).is_some() => {
            Ok(Imported::Tarpit {
                address,
                seen: before(rules.delay),
            })
        }
        _ => Err(Skip::Value),
    }
}

/// An address without its brackets.
fn unbracketed(address: &[u8]) -> &[u8] {
    address
        .strip_prefix(b"<")
        .and_then(|rest| rest.strip_suffix(b">"))
        .unwrap_or(address)
}

#[cfg(test)]
mod tests {
    use super::super::line::LONGEST_LINE;
    use super::*;

    fn read(text: &str) -> Vec<Item> {
        MilterGreylist::new(text.as_bytes(), MilterGreylistRules::default())
            .map(Result::unwrap)
            .collect()
    }

    fn triplet(network: &str, sender: &str, when: u64, is_passed: bool) -> Item {
        let when = Timestamp::from_seconds(when);
        Item::Row(Imported::Triplet {
            network: network.parse().unwrap(),
            sender: sender.into(),
            recipient: b"bob@example.net".to_vec(),
            first: when,
            last: when,
            is_passed,
        })
    }

    #[test]
    fn a_whole_file_is_read() {
        let text = "#\n# stored tuples\n#\n# Sender IP\tSender e-mail\n\n\
            192.0.2.1\t<ann@example.org>\t<bob@example.net>\t1001800 # 1970-01-12 14:16:40\n\
            2001:db8::7\t<>\t<bob@example.net>\t1086400 AUTO # 1970-01-13 13:46:40\n\
            192.0.2.2\tann#1@example.org\tbob@example.net\t1086400 AUTO\n\
            192.0.2.3\t<ann@example.org>\t<bob@example.net>\t1001800\t65 TARPIT # 1970-01-12\n\
            192.0.2.4\t<\"a b\"@example.org>\t<bob@example.net>\t1001800 \n\
            \n# Summary: 5 records, 2 greylisted\n";
        let want = [
            triplet("192.0.2.1", "ann@example.org", 1_000_000, false),
            triplet("2001:db8::7", "", 1_000_000, true),
            triplet("192.0.2.2", "ann#1@example.org", 1_000_000, true),
            Item::Row(Imported::Tarpit {
                address: ClientIp::parse(b"192.0.2.3").unwrap(),
                seen: Timestamp::from_seconds(1_000_000),
            }),
            triplet("192.0.2.4", "\"a b\"@example.org", 1_000_000, false),
        ];
        assert_eq!(read(text), want);
        assert_eq!(read(""), []);
    }

    #[test]
    fn what_makes_no_sense_is_skipped_and_says_why() {
        let cases = [
            ("192.0.2.1\t<a@b>\t<c@d>", Skip::Row),
            ("192.0.2.1 <a@b> <c@d> 1000", Skip::Row),
            ("mx\t<a@b>\t<c@d>\t1000", Skip::Address),
            ("192.0.2.1\t<a@b>\t<c@d>\tx", Skip::Value),
            ("192.0.2.1\t<a@b>\t<c@d>\t# 1000", Skip::Value),
            ("192.0.2.1\t<a@b>\t<c@d>\t1000 auto", Skip::Value),
            ("192.0.2.1\t<a@b>\t<c@d>\t1000 AUTO 1", Skip::Value),
            ("192.0.2.1\t<a@b>\t<c@d>\t1000 TARPIT", Skip::Value),
            ("192.0.2.1\t<a@b>\t<c@d>\t1000 x TARPIT", Skip::Value),
        ];
        let long = format!("192.0.2.1\t<{}@b>\t<c@d>\t1000", "a".repeat(LONGEST_LINE));
        for (line, why) in cases.into_iter().chain([(long.as_str(), Skip::TooLong)]) {
            let text = format!("# x\n{line}\n192.0.2.1\t<>\t<bob@example.net>\t1800\n");
            let want = [
                Item::Skipped { line: 2, why },
                triplet("192.0.2.1", "", 0, false),
            ];
            assert_eq!(read(&text), want, "{line}");
        }
    }
}
