//! The same access lists for Debian's milter-greylist and for stargreyd: the replies to each recipient must be the same.
//!
//! [`generator`] makes files and sessions that must be answered alike, text and all. The program is that of Debian
//! trixie, as `tests/milter-greylist` unpacks it. Where it is missing these tests say so and prove nothing.

use std::fs;
use std::path::Path;

use crate::postgrey::random::Random;
use crate::support::milter::{MilterReply, MilterSession};
use crate::support::{Client, Daemon, rcpt};

mod generator;
mod import;
mod kinds;
mod messages;
mod peer;
mod words;

use generator::Session;
use peer::MilterGreylist;

/// Files, and sessions with each.
const FILES: u64 = 24;
const SESSIONS: u64 = 24;

/// What a recipient gets.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Verdict {
    Passes,
    /// Code, enhanced code and text.
    Gets(String),
}

/// A text without the durations in it. milter-greylist keeps when a triplet may pass, and stargreyd when it came first;
/// if the entry that asks later has another delay, these differ on purpose.
fn timeless(text: &str) -> String {
    let mut words: Vec<&str> = text.split(' ').collect();
    for word in &mut words {
        let digits = word.bytes().filter(u8::is_ascii_digit).count();
        let colons = word.bytes().filter(|byte| *byte == b':').count();
        if digits == 6 && colons >= 2 {
            *word = "TIME";
        }
    }
    words.join(" ")
}

/// The session at a milter, up to its MAIL.
fn begun(socket: &Path, version: u32, session: &Session) -> MilterSession {
    begun_with(socket, version, session, &[])
}

/// The same; these macros come with MAIL.
fn begun_with(
    socket: &Path,
    version: u32,
    session: &Session,
    macros: &[(&str, &str)],
) -> MilterSession {
    let mut milter = MilterSession::open(socket, version).unwrap();
    let name = session
        .name
        .map_or(format!("[{}]", session.address), str::to_owned);
    let connect = milter.connect(&name, session.address.parse().unwrap());
    let helo = milter.helo(session.helo);
    if !macros.is_empty() {
        milter.macros(b'M', macros).unwrap();
    }
    let mail = milter.mail(&session.sender);
    let before = [connect, helo, mail].map(Result::unwrap);
    assert!(
        before.iter().all(|reply| *reply == MilterReply::Continue),
        "{before:?}"
    );
    milter
}

/// What milter-greylist says to each recipient.
fn theirs(peer: &MilterGreylist, version: u32, session: &Session) -> Vec<Verdict> {
    let mut milter = begun(&peer.path("milter"), version, session);
    let replies =
        session
            .recipients
            .iter()
            .map(|recipient| match milter.rcpt(recipient).unwrap() {
                MilterReply::Continue => Verdict::Passes,
                MilterReply::Text(text) => Verdict::Gets(timeless(&text)),
                MilterReply::Letter(letter) => Verdict::Gets(format!("({letter})")),
            });
    let replies = replies.collect();
    milter.quit().unwrap();
    replies
}

/// What stargreyd replies to each recipient.
fn ours(client: &mut Client, number: u64, session: &Session) -> Vec<Verdict> {
    let instance = format!("session.{number}");
    let replies = session.recipients.iter().map(|recipient| {
        let name = session.name.unwrap_or("unknown");
        let mut request = rcpt(name, session.address, &session.sender, recipient);
        request.retain(|(name, _)| *name != "helo_name");
        request.extend([("helo_name", session.helo), ("instance", &instance)]);
        let reply = client.ask(&request);
        if reply == "DUNNO" || reply.starts_with("PREPEND ") {
            Verdict::Passes
        } else {
            // The enhanced code of those that wait is Postgrey's unless the entry has one.
            let reply = reply.replacen("451 4.2.0 ", "451 4.7.1 ", 1);
            Verdict::Gets(timeless(&reply))
        }
    });
    replies.collect()
}

/// A stargreyd with this file, whose default reply code is milter-greylist's.
fn stargreyd(conf: &str) -> Daemon {
    let mut daemon = Daemon::prepare();
    let file = daemon.path().join("greylist.conf");
    fs::write(&file, conf).unwrap();
    daemon.run(&[
        format!("--greylist-conf={}", file.display()),
        "--greylist-action=451".to_owned(),
    ]);
    daemon
}

/// milter-greylist counts three lines before the file.
fn beside(program: &Path, conf: &str) -> (MilterGreylist, Daemon) {
    let own = format!("\n\n\n{conf}");
    (MilterGreylist::start(program, conf), stargreyd(&own))
}

/// Fails if there are differences.
fn check(differences: &[String], files: u64) {
    assert!(
        differences.is_empty(),
        "{} of {files} files differ:\n{}",
        differences.len(),
        differences.join("\n")
    );
}

#[test]
fn access_lists_are_answered_as_milter_greylist_answers_them() {
    let Some(program) = peer::program("milter-greylist") else {
        return;
    };
    let mut differences = Vec::new();
    for seed in 0..FILES {
        let mut random = Random::seeded(seed);
        let conf = generator::file(&mut random);
        let (peer, daemon) = beside(&program, &conf);
        let mut client = daemon.connect();
        for number in 0..SESSIONS {
            let session = generator::session(&mut random);
            let version = *random.pick(&[2, 6]);
            let theirs = theirs(&peer, version, &session);
            let ours = ours(&mut client, number, &session);
            if theirs != ours {
                differences.push(format!(
                    "seed {seed}, {session:?}\n  theirs {theirs:?}\n  ours   {ours:?}\n{conf}"
                ));
                break;
            }
        }
    }
    check(&differences, FILES);
}
