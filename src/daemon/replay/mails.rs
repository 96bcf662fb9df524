//! The mails of a log: lines put together by their queue ids.
//!
//! Queue ids are used again, so a mail begins with its `client=` and ends with `removed`. What is not removed at the end
//! of the log, or where a new log begins, is taken as it is.

use std::collections::HashMap;
use std::io::{self, BufRead};

use super::line::{Client, Event, Line, Reject, Standing, Times};
use crate::types::{ClientIp, Prefix, Span, Timestamp};

/// Maximum length of a line; the rest of a longer one is skipped. Postfix's own limit is below it.
const MAX_LINE: usize = 65_536;

/// The log begins anew if it goes back by more than this: `mail.log` comes before `mail.log.1`.
const NEW_LOG: Span = Span::from_hours(1);

/// What the bytes at the beginning of compressed files and journals are.
const FORMATS: [(&[u8], &str); 6] = [
    (
        b"\x1f\x8b",
        "compressed (gzip): use `zcat -f FILE | stargreyd --replay=-`",
    ),
    (
        b"\xfd7zXZ",
        "compressed (xz): use `xzcat -f FILE | stargreyd --replay=-`",
    ),
    (
        b"BZh",
        "compressed (bzip2): use `bzcat FILE | stargreyd --replay=-`",
    ),
    (
        b"\x28\xb5\x2f\xfd",
        "compressed (zstd): use `zstdcat -f FILE | stargreyd --replay=-`",
    ),
    (
        b"LPKSHHRH",
        "a file of the journal: use `journalctl --output=short-iso | stargreyd --replay=-`",
    ),
    (b"\x7fELF", "a program"),
];

/// What became of a mail in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fate {
    /// It was accepted and delivered to one recipient at least.
    Delivered,
    /// It was accepted; the log does not show that it was delivered.
    Accepted,
    /// It was refused.
    Refused,
    /// It was greylisted.
    Greylisted,
}

/// A mail, or a recipient of one that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mail {
    pub(super) time: Timestamp,
    pub(super) name: Box<[u8]>,
    pub(super) address: Box<[u8]>,
    /// Only known of what was refused.
    pub(super) helo: Option<Box<[u8]>>,
    pub(super) sender: Box<[u8]>,
    /// As the client has given them, each once.
    pub(super) recipients: Vec<Box<[u8]>>,
    pub(super) fate: Fate,
}

/// What a log has.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Log {
    /// The mails of strangers, by time.
    pub(super) mails: Vec<Mail>,
    /// Lines.
    pub(super) lines: u64,
    /// Lines that were too long.
    pub(super) long_lines: u64,
    /// Mails that are not judged, by why.
    pub(super) skipped: Skipped,
}

/// Mails that are not judged.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Skipped {
    /// Submitted by users.
    pub(super) submitted: u64,
    /// From this machine and its networks.
    pub(super) own: u64,
    /// Refused by Postfix before it asks a policy server: relaying, recipients that do not exist.
    pub(super) impossible: u64,
    /// Without a sender or a recipient: the log begins or ends in the middle.
    pub(super) incomplete: u64,
}

/// Why a log cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum LogError {
    /// Reading fails.
    #[error("{0}")]
    Read(#[from] io::Error),
    /// It is not text.
    #[error("is {0}")]
    Format(&'static str),
}

/// A mail that is in the queue.
#[derive(Debug)]
struct Open {
    time: Timestamp,
    name: Box<[u8]>,
    address: Box<[u8]>,
    is_judged: bool,
    sender: Option<Box<[u8]>>,
    recipients: Vec<Box<[u8]>>,
    is_delivered: bool,
}

/// Reads a log.
#[derive(Debug)]
struct Assembly<'n> {
    log: Log,
    own: &'n [Prefix],
    open: HashMap<Box<[u8]>, Open>,
    latest: Timestamp,
}

impl Log {
    /// Reads the whole log. Clients of the networks in `own` are not judged, nor are those with an address that is not of
    /// the internet.
    pub(super) fn read(
        mut input: impl BufRead,
        mut times: Times,
        own: &[Prefix],
    ) -> Result<Self, LogError> {
        let begin = input.fill_buf()?;
        if let Some((_, what)) = FORMATS.iter().find(|(magic, _)| begin.starts_with(magic)) {
            return Err(LogError::Format(what));
        }
        let mut assembly = Assembly {
            log: Self::default(),
            own,
            open: HashMap::new(),
            latest: Timestamp::from_seconds(0),
        };
        let mut line = Vec::new();
        while read_line(&mut input, &mut line)? {
            let log = &mut assembly.log;
            log.lines = log.lines.saturating_add(1);
            if line.len() > MAX_LINE {
                log.long_lines = log.long_lines.saturating_add(1);
            } else if let Some(line) = Line::read(&line, &mut times) {
                assembly.take(&line);
            }
        }
        assembly.close_all();
        let mut log = assembly.log;
        log.mails.sort_by_key(|mail| mail.time);
        Ok(log)
    }
}

/// Reads a line into `line`, at most a byte more than [`MAX_LINE`]; the rest is skipped. False at the end.
fn read_line(input: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    loop {
        let buffer = match input.fill_buf() {
            Ok(buffer) => buffer,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if buffer.is_empty() {
            return Ok(!line.is_empty());
        }
        let end = memchr::memchr(b'\n', buffer);
        let length = end.map_or(buffer.len(), |at| at.saturating_add(1));
        let room = MAX_LINE.saturating_add(1).saturating_sub(line.len());
        line.extend(buffer.iter().take(length.min(room)));
        input.consume(length);
        if end.is_some() {
            return Ok(true);
        }
    }
}

/// The address as Postfix gives it to a policy server. Since 3.5 its log has the local part in quotes where SMTP wants them.
fn unquoted(address: &[u8]) -> Box<[u8]> {
    let Some(quoted) = address.strip_prefix(b"\"") else {
        return address.into();
    };
    let mut local = Vec::with_capacity(address.len());
    let mut bytes = quoted.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => {
                local.extend_from_slice(bytes.as_slice());
                return local.into();
            }
            b'\\' => local.extend(bytes.next()),
            byte => local.push(*byte),
        }
    }
    // The quotes are not closed: it is something else.
    address.into()
}

/// Whether Postfix refuses this before it asks a policy server that is named after `reject_unauth_destination`.
fn is_impossible(reply: &[u8]) -> bool {
    let has = |needle: &[u8]| memchr::memmem::find(reply, needle).is_some();
    has(b"Relay access denied") || has(b" 5.1.1 ") || has(b" 5.1.2 ")
}

/// Whether a reply is that of a greylisting server: a deferral that says so.
fn is_greylisting(reply: &[u8]) -> bool {
    let lower = reply.to_ascii_lowercase();
    reply.starts_with(b"4") && memchr::memmem::find(&lower, b"greylist").is_some()
}

impl Assembly<'_> {
    fn take(&mut self, line: &Line<'_>) {
        if line.time < self.latest.before(NEW_LOG) {
            self.close_all();
            self.latest = line.time;
        }
        self.latest = self.latest.max(line.time);
        match (&line.event, line.queue_id) {
            (Event::Reject(reject), _) => self.refuse(line.time, reject),
            (_, None) => {}
            (Event::Client(client), Some(id)) => {
                if let Some(before) = self.open.remove(id) {
                    self.close(before);
                }
                let is_judged = self.is_judged(*client);
                let open = Open {
                    time: line.time,
                    name: client.name.into(),
                    address: client.address.into(),
                    is_judged,
                    sender: None,
                    recipients: Vec::new(),
                    is_delivered: false,
                };
                self.open.insert(id.into(), open);
            }
            (Event::From(sender), Some(id)) => {
                if let Some(open) = self.open.get_mut(id) {
                    open.sender = Some(unquoted(sender));
                }
            }
            (Event::To(recipient, is_sent), Some(id)) => {
                if let Some(open) = self.open.get_mut(id) {
                    open.is_delivered |= is_sent;
                    let recipient = unquoted(recipient);
                    if !open.recipients.contains(&recipient) {
                        open.recipients.push(recipient);
                    }
                }
            }
            (Event::Removed, Some(id)) => {
                if let Some(open) = self.open.remove(id) {
                    self.close(open);
                }
            }
        }
    }

    /// Whether a client is a stranger; counted if it is not.
    fn is_judged(&mut self, client: Client<'_>) -> bool {
        let skipped = &mut self.log.skipped;
        match client.standing {
            Standing::Submission | Standing::Authenticated => {
                skipped.submitted = skipped.submitted.saturating_add(1);
                return false;
            }
            Standing::Stranger => {}
        }
        let is_own = ClientIp::parse(client.address).is_none_or(|address| {
            !address.is_public() || self.own.iter().any(|network| network.contains(address))
        });
        if is_own {
            skipped.own = skipped.own.saturating_add(1);
        }
        !is_own
    }

    fn refuse(&mut self, time: Timestamp, reject: &Reject<'_>) {
        if !self.is_judged(reject.client) {
            return;
        }
        if is_impossible(reject.reply) {
            let skipped = &mut self.log.skipped;
            skipped.impossible = skipped.impossible.saturating_add(1);
            return;
        }
        self.log.mails.push(Mail {
            time,
            name: reject.client.name.into(),
            address: reject.client.address.into(),
            helo: Some(reject.helo.into()),
            sender: unquoted(reject.sender),
            recipients: vec![unquoted(reject.recipient)],
            fate: if is_greylisting(reject.reply) {
                Fate::Greylisted
            } else {
                Fate::Refused
            },
        });
    }

    fn close_all(&mut self) {
        for (_, open) in std::mem::take(&mut self.open) {
            self.close(open);
        }
    }

    fn close(&mut self, open: Open) {
        if !open.is_judged {
            return;
        }
        let Some(sender) = open.sender.filter(|_| !open.recipients.is_empty()) else {
            let skipped = &mut self.log.skipped;
            skipped.incomplete = skipped.incomplete.saturating_add(1);
            return;
        };
        self.log.mails.push(Mail {
            time: open.time,
            name: open.name,
            address: open.address,
            helo: None,
            sender,
            recipients: open.recipients,
            fate: if open.is_delivered {
                Fate::Delivered
            } else {
                Fate::Accepted
            },
        });
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;

    fn read(text: impl AsRef<[u8]>) -> Result<Log, LogError> {
        let times = Times::new(TimeZone::UTC, Timestamp::from_seconds(1_795_780_800));
        let own = [Prefix::parse("198.51.100.0/24").unwrap()];
        Log::read(text.as_ref(), times, &own)
    }

    fn lines(lines: &[&str]) -> Log {
        let lines: Vec<String> = lines
            .iter()
            .map(|line| {
                let (time, rest) = line.split_once(' ').unwrap();
                format!("Nov 27 {time} mx postfix/{rest}\n")
            })
            .collect();
        read(lines.concat()).unwrap()
    }

    /// Time, client, sender, recipients and fate.
    fn shown(log: &Log) -> Vec<String> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        log.mails
            .iter()
            .map(|mail| {
                let recipients: Vec<String> = mail.recipients.iter().map(|one| text(one)).collect();
                format!(
                    "{} {}[{}] {} {} {:?}",
                    mail.time.seconds() % 86_400,
                    text(&mail.name),
                    text(&mail.address),
                    text(&mail.sender),
                    recipients.join("+"),
                    mail.fate
                )
            })
            .collect()
    }

    #[test]
    fn a_mail_is_what_its_queue_id_says_until_it_is_removed() {
        let log = lines(&[
            "00:00:05 smtpd[1]: 4A: client=a.example[192.0.2.7]",
            "00:00:06 qmgr[1]: 4A: from=<x@a.example>, size=1, nrcpt=2 (queue active)",
            "00:00:07 local[1]: 4A: to=<c@d>, orig_to=<info@d>, relay=local, status=sent (x)",
            "00:00:07 local[1]: 4A: to=<e@d>, orig_to=<info@d>, relay=local, status=sent (x)",
            "00:00:08 lmtp[1]: 4A: to=<f@d>, relay=d, status=deferred (x)",
            "00:00:09 qmgr[1]: 4A: removed",
            // The same id.
            "00:00:10 smtpd[1]: 4A: client=b.example[192.0.2.8]",
            "00:00:11 qmgr[1]: 4A: from=<>, size=1, nrcpt=1 (queue active)",
            "00:00:12 lmtp[1]: 4A: to=<c@d>, relay=d, status=bounced (x)",
            "00:00:13 lmtp[1]: 4Z: to=<c@d>, relay=d, status=sent (x)",
            "00:00:01 smtpd[1]: NOQUEUE: reject: RCPT from c.example[192.0.2.9]: 450 4.2.0 <c@d>: Recipient address rejected: Greylisted; from=<y@c.example> to=<c@d> proto=ESMTP helo=<h>",
            "00:00:02 smtpd[1]: 4A: reject: RCPT from c.example[192.0.2.9]: 554 5.7.1 Service unavailable; from=<y@c.example> to=<c@d> proto=ESMTP helo=<h>",
        ]);
        assert_eq!(
            shown(&log),
            [
                "1 c.example[192.0.2.9] y@c.example c@d Greylisted",
                "2 c.example[192.0.2.9] y@c.example c@d Refused",
                "5 a.example[192.0.2.7] x@a.example info@d+f@d Delivered",
                "10 b.example[192.0.2.8]  c@d Accepted",
            ]
        );
        assert_eq!((log.lines, log.skipped), (12, Skipped::default()));
    }

    #[test]
    fn what_is_not_of_strangers_is_skipped_and_counted() {
        let reject = "from=<a@b> to=<c@d> proto=ESMTP helo=<h>";
        let log = lines(&[
            "00:00:01 submission/smtpd[1]: 41: client=a[192.0.2.7]",
            "00:00:01 smtpd[1]: 42: client=a[192.0.2.7], sasl_method=PLAIN, sasl_username=u",
            "00:00:01 smtpd[1]: 43: client=localhost[127.0.0.1]",
            "00:00:01 smtpd[1]: 44: client=localhost[::1]",
            "00:00:01 smtpd[1]: 45: client=lan[10.1.2.3]",
            "00:00:01 smtpd[1]: 46: client=own[198.51.100.7]",
            "00:00:01 smtpd[1]: 47: client=odd[unknown]",
            &format!(
                "00:00:01 smtpd[1]: NOQUEUE: reject: RCPT from a[192.0.2.7]: 554 5.7.1 <c@d>: Relay access denied; {reject}"
            ),
            &format!(
                "00:00:01 smtpd[1]: NOQUEUE: reject: RCPT from a[192.0.2.7]: 550 5.1.1 <c@d>: User unknown; {reject}"
            ),
            "00:00:01 smtpd[1]: 48: client=cut.example[192.0.2.7]",
        ]);
        assert_eq!(shown(&log), Vec::<String>::new());
        let want = Skipped {
            submitted: 2,
            own: 5,
            impossible: 2,
            incomplete: 1,
        };
        assert_eq!(log.skipped, want);
    }

    #[test]
    fn an_older_log_after_a_newer_one_does_not_continue_it() {
        let log = lines(&[
            "08:00:00 smtpd[1]: 4A: client=a.example[192.0.2.7]",
            "08:00:01 qmgr[1]: 4A: from=<x@a.example>, size=1, nrcpt=1 (queue active)",
            "08:00:02 lmtp[1]: 4A: to=<c@d>, relay=d, status=sent (x)",
            "04:00:00 lmtp[1]: 4A: to=<old@d>, relay=d, status=sent (x)",
        ]);
        assert_eq!(
            shown(&log),
            ["28800 a.example[192.0.2.7] x@a.example c@d Delivered"]
        );
    }

    #[test]
    fn addresses_are_those_of_a_policy_request() {
        let cases = [
            ("a@b", "a@b"),
            ("\"a b\"@c", "a b@c"),
            ("\"a\\\"> to=<x\"@c", "a\"> to=<x@c"),
            ("\"\"@c", "@c"),
            ("\"a@c", "\"a@c"),
            ("\"a\\", "\"a\\"),
            ("", ""),
        ];
        for (logged, want) in cases {
            assert_eq!(*unquoted(logged.as_bytes()), *want.as_bytes(), "{logged}");
        }
    }

    #[test]
    fn only_text_is_a_log() {
        for (bytes, want) in [
            (&b"\x1f\x8b\x08"[..], "is compressed (gzip): use `zcat"),
            (b"\xfd7zXZ\0", "is compressed (xz)"),
            (b"LPKSHHRH\0", "is a file of the journal: use `journalctl"),
        ] {
            let error = read(bytes).unwrap_err().to_string();
            assert!(error.starts_with(want), "{error}");
        }
        let mut bytes = vec![b'x'; 3 * MAX_LINE];
        bytes.extend_from_slice(b"\n\0\xff\n");
        bytes.extend_from_slice(b"Nov 27 00:00:01 mx postfix/smtpd[1]: 4A: client=a[192.0.2.7]");
        let log = read(bytes).unwrap();
        assert_eq!((log.lines, log.long_lines), (3, 1));
        assert_eq!(log.skipped.incomplete, 1, "the last line has no end");
    }
}
