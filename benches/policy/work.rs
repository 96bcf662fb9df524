//! The kinds of work, as requests that cost next to nothing to make.
//!
//! A request is made once, with `#` for the digits of a running number and `~` for those of the
//! instance; asking overwrites these digits in place.

use std::fmt::Write;
use std::fs;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::SystemTime;

use crate::server::Place;

/// How many triplets are known, and as many have just been deferred.
const TRIPLETS: usize = 4096;

/// Brings numbers that follow each other far apart, as clients are. Has no divisor in common with a power
/// of ten, so that no two numbers meet.
const SCATTER: usize = 7_368_787;

/// Counts the instances of this run.
static INSTANCES: AtomicUsize = AtomicUsize::new(0);

/// A kind of work.
pub(crate) struct Work {
    /// Its name in the table.
    pub(crate) name: &'static str,
    /// The first word of the right answer.
    pub(crate) answer: &'static str,
    /// How many different requests there are.
    count: usize,
    next: AtomicUsize,
    request: Vec<u8>,
    /// Where the digits of the running number stand, the last one first.
    number: Vec<usize>,
    /// Where those of the instance stand.
    instance: Vec<usize>,
}

impl Work {
    fn new(name: &'static str, answer: &'static str, count: usize, request: String) -> Self {
        let digits = |mark| request.rmatch_indices(mark).map(|(at, _)| at).collect();
        Self {
            name,
            answer,
            count,
            next: AtomicUsize::new(0),
            number: digits('#'),
            instance: digits('~'),
            request: request.into_bytes(),
        }
    }

    /// The bytes that [`Self::fill`] makes the next request of.
    pub(crate) fn blank(&self) -> Vec<u8> {
        self.request.clone()
    }

    /// The number of the next request; `None` when it begins again and that is not wanted.
    pub(crate) fn next(&self, again: bool) -> Option<usize> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        (again || number < self.count).then_some(number)
    }

    /// Makes the request of this number.
    pub(crate) fn fill(&self, request: &mut [u8], number: usize) {
        write_digits(request, &self.number, number % self.count * SCATTER);
        let instance = INSTANCES.fetch_add(1, Ordering::Relaxed);
        write_digits(request, &self.instance, instance);
    }
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

/// What is measured.
pub(crate) fn all() -> Vec<Work> {
    let (pass, defer) = ("DUNNO", "DEFER_IF_PERMIT");
    let listed = "joe##@example.org";
    let (name, network) = ("mx.host###.example", "20.1##.1##.9");
    vec![
        Work::new(
            "listed by name",
            pass,
            1000,
            rcpt(name, "192.0.2.9", listed),
        ),
        Work::new(
            "listed by network",
            pass,
            100_000,
            rcpt("unknown", network, listed),
        ),
        Work::new("auto-whitelisted", pass, 100, regular("anybody")),
        Work::new("known triplet", pass, TRIPLETS, stranger("known")),
        Work::new("early retry", defer, TRIPLETS, stranger("early")),
        Work::new("new triplet", defer, 100_000_000, stranger("new")),
    ]
}

/// What has to have happened before: who is known has come back, whoever is auto-whitelisted five
/// times, and who is early came just now.
pub(crate) fn preparations() -> Vec<Work> {
    let now = SystemTime::UNIX_EPOCH
        .elapsed()
        .map_or(0, |since| since.as_secs());
    let at = |request: String, before: u64| {
        let time = now.saturating_sub(before);
        request.trim_end().to_owned() + &format!("\npolicy_test_time={time}\n\n")
    };
    let (pass, defer) = ("PREPEND", "DEFER_IF_PERMIT");
    let known = || stranger("known");
    let mut works = vec![
        Work::new("", defer, TRIPLETS, at(known(), 3600)),
        Work::new("", pass, TRIPLETS, at(known(), 1800)),
        Work::new("", defer, TRIPLETS, at(stranger("early"), 0)),
    ];
    for hours in (2..=10).rev().step_by(2) {
        let mail = || regular(&format!("to{hours}"));
        works.push(Work::new("", defer, 100, at(mail(), hours * 3600)));
        works.push(Work::new("", pass, 100, at(mail(), hours * 3600 - 1800)));
    }
    works
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

/// Lists the clients: a thousand names and a hundred thousand networks. Every work looks for its client in
/// all of them.
pub(crate) fn write_lists(place: &Place) -> io::Result<()> {
    let mut list = String::new();
    let done: std::fmt::Result = (0..1000)
        .try_for_each(|n| writeln!(list, "host{n:03}.example"))
        .and_then(|()| {
            (0..100_000_u32).try_for_each(|n| {
                let [_, high, middle, low] = n.to_be_bytes();
                writeln!(list, "{}.{middle}.{low}.0/24", 20 + high)
            })
        });
    done.map_err(io::Error::other)?;
    fs::write(place.list("clients"), list)?;
    fs::write(place.list("recipients"), "")?;
    fs::write(place.list("senders"), "")
}
