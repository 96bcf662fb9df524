//! What must hold whatever the bytes are: one function a target, each ending in a panic where it does not.
//!
//! cargo-fuzz calls them from `fuzz_targets/`, with coverage as its guide; the project's own tests include this file
//! and call them with mutated seeds, which needs no other toolchain.

mod milter_session;
mod spf;

use std::io::BufRead;
use std::path::Path;

use hickory_resolver::proto::op::Message;
use hickory_resolver::proto::rr::Name;
use stargrey::config::greylist_conf::{ClauseKind, Test};
use stargrey::config::tables::{self, TableFile};
use stargrey::config::{Diagnostics, greylist_conf, read_address_list, read_client_list};
use stargrey::ctl::import::{
    Item, JsonLines, MilterGreylist, MilterGreylistRules, Postgrey, PostgreyRules, header,
};
use stargrey::lookup::spamd::parse_answer;
use stargrey::policy::chain::{Action, Chain, Found, LocalTime, MAX_REPLY, Subject};
use stargrey::policy::checks::{HeaderEdit, MessageChecks, Place, Settlement};
use stargrey::policy::message::{HeaderField, Message as MailMessage};
use stargrey::policy::{
    self, AccessTables, Attempt, DnsLists, Evidence, ListName, MessageAttempt, Thresholds,
};
use stargrey::protocol::policy::{DecodeError, Decoder, MAX_LINE, MAX_REQUEST};
use stargrey::store::schema;
use stargrey::types::{ClientIp, HeaderText};

pub use milter_session::milter_session;
pub use spf::spf;

/// A target: its name, and what it does with some bytes.
pub type Target = (&'static str, fn(&[u8]));

/// All targets, by the names of their seeds.
pub const TARGETS: [Target; 16] = [
    ("decoder", decoder),
    ("client_list", client_list),
    ("address_list", address_list),
    ("tables", table),
    ("schema", records),
    ("db_dump", db_dump),
    ("milter_greylist", milter_greylist),
    ("json", json),
    ("greylist_conf", greylist_conf),
    ("dns_sites", dns_sites),
    ("dns_reply", dns_reply),
    ("spf", spf),
    ("spamd_answer", spamd_answer),
    ("message", message),
    ("message_checks", message_checks),
    ("milter_session", milter_session),
];

/// Requests: however they are cut, the same comes out of them.
pub fn decoder(bytes: &[u8]) {
    let whole = decode(&[bytes]);
    // The cuts are taken from the bytes themselves.
    let cuts = bytes.iter().map(|byte| usize::from(*byte) + 1);
    let (mut pieces, mut rest) = (Vec::new(), bytes);
    for cut in cuts {
        let (piece, behind) = rest.split_at(cut.min(rest.len()));
        pieces.push(piece);
        rest = behind;
    }
    pieces.push(rest);
    assert_eq!(decode(&pieces), whole);
}

/// Requests as texts, and how it ended.
fn decode(pieces: &[&[u8]]) -> (Vec<String>, Option<DecodeError>) {
    let mut decoder = Decoder::new();
    let mut requests = Vec::new();
    for piece in pieces {
        decoder.feed(piece);
        loop {
            match decoder.next() {
                Ok(Some(request)) => {
                    for value in [request.sender, request.recipient, request.client_name] {
                        assert!(value.is_none_or(|value| value.len() <= MAX_LINE));
                    }
                    requests.push(format!("{request:?}"));
                }
                Ok(None) => break,
                Err(error) => return (requests, Some(error)),
            }
        }
        assert!(decoder.room().len() <= MAX_REQUEST + piece.len());
    }
    (requests, None)
}

/// Names and addresses that lists and tables are asked about: usual ones, and the lines of the input itself.
fn subjects(bytes: &[u8]) -> Vec<&[u8]> {
    let usual: [&[u8]; 5] = [
        b"mx.example.org",
        b"unknown",
        b"joe+news@example.org",
        b"192.0.2.7",
        b"",
    ];
    let own = bytes.split(|byte| *byte == b'\n').take(20);
    usual.into_iter().chain(own).collect()
}

/// A client list: no line is lost, and what decides is one of its entries.
pub fn client_list(bytes: &[u8]) {
    let (list, errors) = read_client_list(Path::new("list"), bytes);
    let lines = bytes.split(|byte| *byte == b'\n').count();
    assert!(list.entries().len() + errors.len() <= lines + 1);
    let addresses: [&[u8]; 2] = [b"192.0.2.7", b"2001:db8::1"];
    for address in addresses {
        let address = ClientIp::parse(address).expect("an address");
        for name in subjects(bytes) {
            if let Some(found) = list.find(name, address) {
                assert!(list.entries().get(found).is_some());
            }
        }
    }
}

/// A recipient or sender list: the same.
pub fn address_list(bytes: &[u8]) {
    let (list, errors) = read_address_list(Path::new("list"), bytes);
    let lines = bytes.split(|byte| *byte == b'\n').count();
    assert!(list.entries().len() + errors.len() <= lines + 1);
    for address in subjects(bytes) {
        if let Some(found) = list.find(address) {
            assert!(list.entries().get(found).is_some());
        }
    }
}

/// A table, read as each kind: what it answers fits into one line.
pub fn table(bytes: &[u8]) {
    let names = ["check_greylist".to_owned()];
    for kind in ["regexp:t", "pcre:t", "cidr:t", "texthash:t"] {
        let file = TableFile::parse(kind).expect("a kind");
        let mut tables = AccessTables::default();
        tables::add(
            &mut tables,
            &file,
            bytes,
            &names,
            &mut Diagnostics::default(),
        );
        for subject in subjects(bytes) {
            for (name, address) in [(subject, &b"192.0.2.7"[..]), (b"mx.a.example", subject)] {
                if let Some(found) = tables.find(name, address) {
                    assert!(!found.text().contains(|c: char| c.is_ascii_control()));
                }
            }
        }
    }
}

/// Records: what can be read is written again as it was.
pub fn records(bytes: &[u8]) {
    if let Ok(record) = schema::decode_triplet(bytes) {
        let again = schema::encode_triplet(record, None);
        assert_eq!(schema::decode_triplet(&again).ok(), Some(record));
    }
    if let Ok(record) = schema::decode_client(bytes) {
        assert!(bytes.starts_with(&schema::encode_client(record)));
    }
    if let Ok(record) = schema::decode_sleep(bytes) {
        assert!(bytes.starts_with(&schema::encode_sleep(record)));
    }
    let key = schema::entry_key(ListName::Client, "x").expect("a key");
    if let Ok(entry) = schema::decode_entry(&key, bytes)
        && let Ok(again) = schema::encode_entry(&entry)
    {
        assert_eq!(again, bytes);
    }
    drop(schema::decode_entry(bytes, bytes));
    if let Ok(counters) = schema::decode_counters(bytes) {
        let again = schema::encode_counters(&counters).expect("words that were read");
        assert_eq!(schema::decode_counters(&again).ok(), Some(counters));
    }
}

/// What `db_dump` writes of Postgrey's databases.
pub fn db_dump(bytes: &[u8]) {
    for retry_count in [1, 2] {
        let rules = PostgreyRules {
            retry_count,
            ..PostgreyRules::default()
        };
        all(Postgrey::new(bytes, rules), bytes);
    }
}

/// milter-greylist's dump file.
pub fn milter_greylist(bytes: &[u8]) {
    let reader = MilterGreylist::new(bytes, MilterGreylistRules::default());
    all(reader, bytes);
}

/// What `export` has written, earlier versions too; a first line is put before what has none.
pub fn json(bytes: &[u8]) {
    let earlier = [b"{\"stargrey\":\"export\",\"schema\":1}\n", bytes].concat();
    let headed = [format!("{}\n", header()).as_bytes(), bytes].concat();
    for text in [bytes, &earlier, &headed] {
        let mut is_over = false;
        for row in JsonLines::new(text) {
            assert!(!is_over, "nothing comes after an error");
            is_over = row.is_err();
        }
    }
}

/// milter-greylist's configuration: an entry has a place in the file, clauses that name what is defined, and reads
/// again as its text does.
pub fn greylist_conf(bytes: &[u8]) {
    let path = Path::new("greylist.conf");
    let (conf, findings) = greylist_conf::parse(path, bytes);
    assert!(findings.errors.len() <= greylist_conf::MAX_ERRORS + 1);
    let lines = bytes.split(|byte| *byte == b'\n').count();
    assert!(conf.recipient.len() + conf.message.len() <= lines);
    for entry in conf.recipient.iter().chain(&conf.message) {
        assert!(usize::try_from(entry.at.line).is_ok_and(|line| (1..=lines).contains(&line)));
        assert!(!entry.text.contains(|c: char| c.is_control() && c != '\t'));
        for clause in &entry.clauses {
            if let ClauseKind::Test(Test::List(number)) = &clause.kind {
                assert!(conf.lists[*number].items.is_ok());
            }
        }
    }
    if !findings.errors.is_empty() {
        return;
    }
    let authserv_ids = ["mx.example.org".into()];
    for has_milter in [false, true] {
        let purpose = greylist_conf::Purpose {
            has_milter,
            authserv_ids: &authserv_ids,
            ..greylist_conf::Purpose::PLAIN
        };
        match greylist_conf::compile(path, &conf, purpose) {
            (Some(chain), _) => decide_by(&chain, bytes),
            (None, findings) => assert!(!findings.errors.is_empty()),
        }
    }
}

/// Decides on a recipient and on a message by these rules, before anything has been looked up and after.
fn decide_by(chain: &Chain, bytes: &[u8]) {
    let word = &bytes[..bytes.len().min(64)];
    let macros = [("client_resolve", b"FORGED".as_slice())];
    let attempt = Attempt {
        client_address: Some(b"192.0.2.7"),
        client_name: Some(word),
        helo_name: Some(b"mx.example.org"),
        sender: Some(b"joe+x@example.org"),
        recipient: Some(word),
        user: Some(word),
        certificate: Some(word),
        macros: Some(&macros),
        accepted: Some(2),
        ..Attempt::default()
    };
    let field = HeaderField {
        name: b"Subject".as_slice().into(),
        value: word.into(),
    };
    let size = u64::try_from(bytes.len()).expect("a size");
    let message = MailMessage::new(vec![field], Some(bytes.to_vec().into()), size);
    let about = MessageAttempt {
        attempt: &attempt,
        recipients: &[word, b"jane@example.com"],
        has_open: true,
        message: &message,
    };
    let time = LocalTime::default();
    let subjects = [
        Subject::new(&attempt, time),
        Subject::of_message(&about, time),
    ];
    let mut evidence = Evidence::default();
    evidence.rates = vec![1; chain.rates().len()];
    for is_closed in [false, true] {
        if is_closed {
            evidence.close();
        }
        for subject in subjects.iter().flatten() {
            let (found, effects) = chain.find(subject, &evidence);
            match found {
                Found::Rule(number, action) => {
                    assert!(chain.entries().get(number).is_some());
                    assert_eq!(chain.action(number), Some(action));
                    if let Action::Refuse(refusal) = action {
                        let text = subject.token_values().reply_text(&refusal.text);
                        assert!(text.as_str().len() <= MAX_REPLY);
                    }
                }
                Found::Nothing => {}
                Found::Lacks(lookups) => assert!(!is_closed && !lookups.is_empty()),
            }
            for number in effects.continued {
                assert!(chain.entries().get(number).is_some());
            }
        }
    }
}

/// DNS lists: what is accepted has zones whose names can be asked for.
pub fn dns_sites(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let client = ClientIp::parse(b"2001:db8::1").expect("an address");
    if let Ok(lists) = DnsLists::parse(&[text], Thresholds::default()) {
        assert_eq!(lists.is_empty(), lists.zones().count() == 0);
        for zone in lists.zones() {
            let name = zone.name(client);
            assert!(
                name.len() <= 254 && Name::from_ascii(&name).is_ok(),
                "{name}"
            );
        }
    }
}

/// What a name server may send: the library that reads it must survive it.
pub fn dns_reply(bytes: &[u8]) {
    if let Ok(message) = Message::from_vec(bytes) {
        let records = message.answers.iter().chain(&message.authorities);
        assert!(
            records
                .map(|record| record.name.len())
                .all(|length| length <= 255)
        );
    }
}

/// What spamd may answer: what a part of it settles, the whole settles alike, and a score can be written.
pub fn spamd_answer(bytes: &[u8]) {
    let whole = parse_answer(bytes);
    for end in (0..bytes.len()).step_by(bytes.len() / 32 + 1) {
        match parse_answer(&bytes[..end]) {
            Ok(None) => {}
            Ok(Some(score)) => assert_eq!(whole.as_ref(), Ok(&Some(score))),
            Err(_) => assert!(whole.is_err()),
        }
    }
    if let Ok(Some(score)) = whole {
        for header in score.headers() {
            assert!(header.value.as_str().len() <= HeaderText::MOST);
        }
    }
}

/// Goes through all items: no more than there are lines, each a row of the bus, and nothing after an error.
fn all<E>(items: impl Iterator<Item = Result<Item, E>>, bytes: &[u8]) {
    let (mut count, mut is_over) = (0, false);
    for item in items {
        assert!(!is_over, "nothing comes after an error");
        match item {
            Ok(Item::Row(row)) => assert!(row.row().contains_key("kind")),
            Ok(Item::Skipped { line, .. }) => assert!(line > 0),
            Err(_) => is_over = true,
        }
        count += 1;
    }
    assert!(count <= bytes.lines().count() + 1);
}

/// A message: what is decoded of it is UTF-8 in lines of a length, and belongs to a field.
pub fn message(bytes: &[u8]) {
    let message = MailMessage::parse(bytes);
    for (number, text) in message.header_texts() {
        assert!(number < message.fields().len());
        assert!(!text.contains(&b'\n'));
    }
    for line in message.body_lines().expect("a body") {
        assert!(line.len() <= policy::message::MAX_LINE && !line.contains(&b'\n'));
        assert!(std::str::from_utf8(line).is_ok());
    }
}

/// A table for messages, and behind a NUL a message: nothing that comes of it ends a reply or a header early.
pub fn message_checks(bytes: &[u8]) {
    let (table, message) = bytes.split_at(bytes.iter().position(|byte| *byte == 0).unwrap_or(0));
    let message = MailMessage::parse(message.strip_prefix(b"\0").unwrap_or(message));
    for kind in ["regexp:t", "pcre:t"] {
        let file = TableFile::parse(kind).expect("a kind");
        let mut checks = MessageChecks::default();
        for (place, tables) in [
            (Place::Header, &mut checks.header),
            (Place::Body, &mut checks.body),
        ] {
            tables::add_check(tables, place, &file, table, &mut Diagnostics::default());
        }
        let findings = checks.examine(&message);
        if let Some((Settlement::Reply(_, text), _)) = &findings.settled {
            assert!(!text.as_str().contains(char::is_control));
        }
        for (edit, _) in &findings.edits {
            let (HeaderEdit::Insert(number, field) | HeaderEdit::Replace(number, field)) = edit
            else {
                continue;
            };
            assert!(*number < message.fields().len());
            assert!(!field.name.contains(&b':') && !field.name.is_empty());
            let value = String::from_utf8_lossy(&field.value).replace("\n ", "");
            assert!(value.is_ascii() && !value.contains(|c: char| c.is_ascii_control()));
        }
    }
}
