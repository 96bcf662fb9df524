//! The works: kinds of requests that are cheap to generate.
//!
//! The template of a request has `#` for the digits of a running number and `~` for those of the instance; sending
//! overwrites these digits in a copy. Each server has separate works, since each has seen other numbers.

use std::fmt::Write;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::SystemTime;

/// How many triplets are known, and as many have just been deferred.
const TRIPLETS: usize = 4096;

/// How many clients are looked up before they are measured.
pub(crate) const CACHED: usize = 100_000;

/// How many clients are never looked up before.
const UNSEEN: usize = 10_000_000;

/// How many different new triplets there are.
pub(crate) const STRANGERS: usize = 100_000_000;

/// How many triplets the preparations make: known, early, and those of a hundred regulars, five each.
pub(crate) const PREPARED: usize = 2 * TRIPLETS + 500;

/// Brings numbers that follow each other far apart, as clients are. Has no divisor in common with a power
/// of ten, so that no two numbers meet.
const SCATTER: usize = 7_368_787;

/// The same where there are more than eight digits, so that the first ones are scattered, too; of at most ten million
/// numbers.
const WIDE_SCATTER: usize = 736_878_712_347;

/// Which part of the mix each of twenty requests is: twelve new, five of regulars, three known.
const MIX: [usize; 20] = [0, 1, 0, 0, 2, 0, 1, 0, 0, 1, 0, 2, 0, 1, 0, 0, 1, 0, 2, 0];

/// A server of a large sender, and an end user's line. All have the same name here.
const FARM: &str = "mx.farm.example.net";
const LINE: &str = "198-51-100-7.dynamic.example.net";

/// Counts the instances of this run.
static INSTANCES: AtomicUsize = AtomicUsize::new(0);

/// Another answer than this one is an error: how it begins.
pub(crate) type Answer = &'static str;

pub(crate) const PASS: Answer = "DUNNO";
pub(crate) const FIRST_PASS: Answer = "PREPEND";
pub(crate) const DEFER: Answer = "DEFER_IF_PERMIT";

/// A kind of work.
pub(crate) struct Work {
    /// Its name in the table.
    pub(crate) name: &'static str,
    parts: Vec<Part>,
    turns: &'static [usize],
    turn: AtomicUsize,
}

/// Requests that differ by a number.
struct Part {
    answer: Answer,
    /// How many different ones there are.
    count: usize,
    next: Arc<AtomicUsize>,
    /// Those from this number on have not been prepared yet.
    end: Option<Arc<AtomicUsize>>,
    request: Vec<u8>,
    /// Where the digits of the running number stand, the last one first.
    number: Vec<usize>,
    /// Where those of the instance stand.
    instance: Vec<usize>,
}

impl Part {
    fn new(answer: Answer, count: usize, request: String) -> Self {
        let digits = |mark| request.rmatch_indices(mark).map(|(at, _)| at).collect();
        Self {
            answer,
            count,
            next: Arc::default(),
            end: None,
            number: digits('#'),
            instance: digits('~'),
            request: request.into_bytes(),
        }
    }

    fn fill(&self, request: &mut Vec<u8>, number: usize) {
        self.request.clone_into(request);
        let number = number % self.count;
        let digits = if self.number.len() > 8 {
            number * WIDE_SCATTER
        } else {
            scattered(number)
        };
        write_digits(request, &self.number, digits);
        let instance = INSTANCES.fetch_add(1, Ordering::Relaxed);
        write_digits(request, &self.instance, instance);
    }
}

impl Work {
    fn of(name: &'static str, part: Part) -> Self {
        Self {
            name,
            parts: vec![part],
            turns: &[0],
            turn: AtomicUsize::new(0),
        }
    }

    /// Makes the next request, and says how its answer begins; `None` when there is none, or when it would
    /// begin again and that is not wanted.
    pub(crate) fn fill(&self, request: &mut Vec<u8>, again: bool) -> Option<Answer> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let part = self.parts.get(*self.turns.get(turn % self.turns.len())?)?;
        let number = part.next.fetch_add(1, Ordering::Relaxed);
        let is_there = again || number < part.count;
        let is_prepared = part
            .end
            .as_ref()
            .is_none_or(|end| number < end.load(Ordering::Relaxed));
        (is_there && is_prepared).then(|| {
            part.fill(request, number);
            part.answer
        })
    }

    /// How many triplets it has made.
    pub(crate) fn written(&self) -> usize {
        let makes = self
            .parts
            .iter()
            .any(|part| part.answer == DEFER && part.count == STRANGERS);
        if makes { self.reached() } else { 0 }
    }

    /// The number of the next request of the first part.
    pub(crate) fn reached(&self) -> usize {
        let part = self.parts.first();
        part.map_or(0, |part| part.next.load(Ordering::Relaxed))
    }
}

/// The digits that stand for a number.
pub(crate) const fn scattered(number: usize) -> usize {
    number * SCATTER
}

/// Writes a number, last digit first, as far as there are places.
fn write_digits(request: &mut [u8], places: &[usize], mut number: usize) {
    for place in places {
        if let (Some(byte), Some(digit)) = (request.get_mut(*place), b"0123456789".get(number % 10))
        {
            *byte = *digit;
        }
        number /= 10;
    }
}

/// What is measured. Who passes for the first time is who was new before.
pub(crate) fn all() -> Vec<Arc<Work>> {
    // All digits of an unlisted client are in its address, so each number is another client.
    let (listed, unlisted) = ("joe##@example.org", "joe@example.org");
    let (name, network) = ("mx.host###.example", "20.1##.1##.9");
    let new = Part::new(DEFER, STRANGERS, stranger("new"));
    let mut passes = Part::new(FIRST_PASS, STRANGERS, later(&stranger("new")));
    passes.end = Some(Arc::clone(&new.next));
    let known = || Part::new(PASS, TRIPLETS, stranger("known"));
    let regulars = || Part::new(PASS, 100, regular("anybody"));
    let mix = Work {
        name: "mix",
        parts: vec![
            Part::new(DEFER, STRANGERS, stranger("mix")),
            regulars(),
            known(),
        ],
        turns: &MIX,
        turn: AtomicUsize::new(0),
    };
    let all = [
        Work::of(
            "listed by name",
            Part::new(PASS, 1000, rcpt(name, "192.0.2.9", listed)),
        ),
        Work::of(
            "listed by network",
            Part::new(PASS, 100_000, rcpt("unknown", network, listed)),
        ),
        Work::of(
            "s25r miss",
            Part::new(
                PASS,
                STRANGERS,
                rcpt(
                    "mail.sender.example",
                    "10.1##.1##.25",
                    "joe####@example.org",
                ),
            ),
        ),
        Work::of("auto-whitelisted", regulars()),
        Work::of("known", known()),
        Work::of(
            "early retry",
            Part::new(DEFER, TRIPLETS, soon(&stranger("early"))),
        ),
        Work::of(
            "unlisted, cached",
            Part::new(PASS, CACHED, rcpt("unknown", "6#.1##.1##.25", unlisted)),
        ),
        Work::of(
            "unlisted, new",
            Part::new(PASS, UNSEEN, rcpt("unknown", "7#.1##.1##.1##", unlisted)),
        ),
        Work::of(
            "not suspicious, cached",
            Part::new(PASS, CACHED / 5, rcpt(FARM, "6#.1##.1##.25", unlisted)),
        ),
        Work::of(
            "known, named",
            Part::new(PASS, TRIPLETS, named("known####")),
        ),
        Work::of("new, named", Part::new(DEFER, UNSEEN, named("new########"))),
        Work::of("known line", Part::new(PASS, TRIPLETS, known_line())),
        Work::of("new line", Part::new(DEFER, UNSEEN, new_line())),
        Work::of("new", new),
        Work::of("first pass", passes),
        mix,
    ];
    all.into_iter().map(Arc::new).collect()
}

/// What has to have happened before: who is known has come back, whoever is auto-whitelisted five
/// times, and who is early came just now.
pub(crate) fn preparations() -> Vec<Arc<Work>> {
    let mut parts = vec![
        Part::new(DEFER, TRIPLETS, at(&stranger("known"), -3600)),
        Part::new(FIRST_PASS, TRIPLETS, at(&stranger("known"), -1800)),
        Part::new(DEFER, TRIPLETS, at(&stranger("early"), 0)),
    ];
    for hours in (2..=10).rev().step_by(2) {
        let mail = || regular(&format!("to{hours}"));
        parts.push(Part::new(DEFER, 100, at(&mail(), -hours * 3600)));
        parts.push(Part::new(FIRST_PASS, 100, at(&mail(), 1800 - hours * 3600)));
    }
    let works = parts.into_iter().map(|part| Work::of("", part));
    works.map(Arc::new).collect()
}

/// What has to have happened before lookups are measured: end users' lines are known.
pub(crate) fn preparations_of_lines() -> Vec<Arc<Work>> {
    come_back(&known_line())
}

/// The same of servers that have names in one domain.
pub(crate) fn preparations_of_named() -> Vec<Arc<Work>> {
    come_back(&named("known####"))
}

/// Each is new, and comes back.
fn come_back(request: &str) -> Vec<Arc<Work>> {
    let parts = [
        Part::new(DEFER, TRIPLETS, at(request, -3600)),
        Part::new(FIRST_PASS, TRIPLETS, at(request, -1800)),
    ];
    parts
        .into_iter()
        .map(|part| Arc::new(Work::of("", part)))
        .collect()
}

/// One of the servers of a large sender, in many networks, with names in one domain.
fn named(recipient: &str) -> String {
    rcpt(FARM, "10.1##.1##.25", &format!("{recipient}@example.org"))
}

/// An end user's line that has come before.
fn known_line() -> String {
    rcpt(LINE, "6#.1##.1##.25", "known###@example.org")
}

/// An end user's line.
fn new_line() -> String {
    rcpt(LINE, "7#.1##.1##.1##", "new#@example.org")
}

/// One of a hundred clients that come often, each in a network of its own.
fn regular(recipient: &str) -> String {
    let recipient = format!("{recipient}@example.org");
    rcpt("mail.example.net", "10.7.1##.25", &recipient)
}

/// One of many clients in many networks.
fn stranger(recipient: &str) -> String {
    let recipient = format!("{recipient}####@example.org");
    rcpt("unknown", "10.1##.1##.25", &recipient)
}

/// The same request before the delay is over, however long the run takes.
fn soon(request: &str) -> String {
    at(request, 60)
}

/// The same request when the delay is over, for whatever was new within 45 minutes from the start. Postgrey tidies up
/// after an hour.
fn later(request: &str) -> String {
    at(request, 3000)
}

/// The same request so many seconds from now. Both stargreyd, when it is told to, and Postgrey believe it.
fn at(request: &str, seconds: i64) -> String {
    let now = SystemTime::UNIX_EPOCH
        .elapsed()
        .map_or(0, |since| since.as_secs());
    let time = now.saturating_add_signed(seconds);
    request.trim_end().to_owned() + &format!("\npolicy_test_time={time}\n\n")
}

/// A request as Postfix 3.7 sends it, in its order.
fn rcpt(name: &str, address: &str, recipient: &str) -> String {
    format!(
        "request=smtpd_access_policy\nprotocol_state=RCPT\nprotocol_name=ESMTP\n\
         client_address={address}\nclient_name={name}\nclient_port=40112\n\
         reverse_client_name=dynamic.isp.example\nserver_address=192.0.2.25\nserver_port=25\n\
         helo_name=mail.sender.example\nsender=ann@sender.example\nrecipient={recipient}\n\
         recipient_count=0\nqueue_id=\ninstance=3a1f.~~~~~~~~~~~~.0\nsize=10240\n\
         etrn_domain=\nstress=\nsasl_method=\nsasl_username=\nsasl_sender=\n\
         ccert_subject=\nccert_issuer=\nccert_fingerprint=\nccert_pubkey_fingerprint=\n\
         encryption_protocol=TLSv1.3\nencryption_cipher=TLS_AES_256_GCM_SHA384\n\
         encryption_keysize=256\npolicy_context=\n\n"
    )
}

/// Writes the lists of clients into files: a thousand names, and these with a hundred thousand networks.
pub(crate) fn write_lists(names: &Path, all: &Path) -> io::Result<()> {
    let mut list = String::new();
    for n in 0..1000 {
        writeln!(list, "host{n:03}.example").map_err(io::Error::other)?;
    }
    fs::write(names, &list)?;
    for n in 0..100_000_u32 {
        let [_, high, middle, low] = n.to_be_bytes();
        writeln!(list, "{}.{middle}.{low}.0/24", 20 + high).map_err(io::Error::other)?;
    }
    fs::write(all, list)
}
