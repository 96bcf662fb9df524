//! The words that the other files do not have: old lines, `testmode`, properties, limits, macros of the mail server, names
//! of users. milter-greylist's answers to them at RCPT are those of stargreyd's milter.
//!
//! Left out is what differs on purpose: an exemption of authenticated clients beside a refusal, `set` before a test, values
//! beside `continue`, and a limit in two entries, which counts twice there.

use super::generator::{self, Session};
use super::messages::milter;
use super::peer::{self, MilterGreylist};
use super::{Verdict, begun_with, check, timeless};
use crate::postgrey::random::Random;
use crate::support::milter::MilterReply;

/// Files, and sessions with each.
const FILES: u64 = 32;
const SESSIONS: u64 = 24;

/// What an entry of older versions tests, on a line of its own.
const OLD_LINES: [&str; 6] = [
    "addr 192.0.2.0/24",
    "domain example.net",
    "from ann@example.org",
    "rawfrom joe+x@example.org",
    "rcpt abuse@example.com",
    "Rcpt: JANE@example.com",
];

/// Clauses by their kind; an entry has at most one of each.
const CLAUSES: [&[&str]; 7] = [
    &[
        "rawfrom joe+x@example.org",
        "rawfrom ANN@Example.org",
        "rawfrom /joe\\+/",
        "rawfrom /^<>$/",
    ],
    &[
        "rcptcount == 0",
        "rcptcount > 0",
        "rcptcount >= 2",
        "rcptcount != 1",
    ],
    &[
        "sm_macro \"submission\"",
        "sm_macro \"relay\"",
        "sm_macro \"nameless\"",
        "list \"daemons\"",
    ],
    &["auth \"joe\"", "auth /^EVE/", "auth /./"],
    // They differ within a day or a year, and never between two answers to one question but at its end.
    &[
        "time \"* * * * *\"",
        "time \"* * * * 0-3\"",
        "time \"* 0-11 * * *\"",
        "time \"* * * 1-6 *\"",
        "time \"* * 31 2 *\"",
    ],
    &[
        "rcpt jane@example.com",
        "rcpt /@example\\.com>/",
        "domain example.net",
        "addr 203.0.113.7",
        "helo \"localhost\"",
    ],
    &[
        "$n == 1",
        "$n > 1",
        "$n != 2",
        "$n < 3",
        "$t \"x 203.0.113.7 y\"",
        "$t /EXAMPLE/",
        "$t == 0",
        "$r == 2",
        "$unset == 0",
    ],
];

/// What an entry with `continue` does.
const ASSIGNMENTS: [&str; 6] = [
    "set $n = 1",
    "set $n += 1",
    "set $n -= 2",
    "set $t = \"x %i y\"",
    "set $t = \"%f\"",
    "rset $r = 2",
];

/// Limits, each for one entry.
const LIMITS: [&str; 4] = ["each", "of sender", "plain", "session"];

const DEFINITIONS: &str = "\
greylist 1h
autowhite 3d
extendedregex
sm_macro \"submission\" \"{daemon_name}\" \"MSA\"
sm_macro \"relay\" \"{daemon_name}\" /^mt/
sm_macro \"nameless\" \"{daemon_name}\" unset
list \"daemons\" sm_macro { \"submission\" \"relay\" }
ratelimit \"each\" rcpt 5 / 1d key \"%i\"
ratelimit \"of sender\" rcpt 3 / 1d key \"%f\"
ratelimit \"plain\" rcpt 8 / 1d
ratelimit \"session\" session 3 / 1d key \"%i\"
";

const SENDERS: [&str; 5] = [
    "ann@example.org",
    "joe+x@example.org",
    "joe@example.org",
    "owner@lists.example.net",
    "",
];

/// What a mail server says of the daemon by which a message comes, and of the client's user.
const DAEMONS: [Option<&str>; 4] = [None, Some("MSA"), Some("MTA"), Some("msa")];
const USERS: [Option<&str>; 5] = [None, None, Some("joe"), Some("JOE"), Some("eve")];

/// A file.
fn file(random: &mut Random) -> String {
    let mut lines = vec!["nospf".to_owned()];
    for (statement, share) in [("noauth", 60), ("multiracl", 40), ("quiet", 30)] {
        if random.percent(share) {
            lines.push(statement.to_owned());
        }
    }
    lines.push(DEFINITIONS.to_owned());
    let mut old = OLD_LINES.to_vec();
    random.shuffle(&mut old);
    old.truncate(usize::try_from(random.below(4)).unwrap());
    let mut others: Vec<String> = old.iter().map(ToString::to_string).collect();
    if random.percent(40) {
        others.insert(0, "testmode".to_owned());
        random.shuffle(&mut others);
    }
    let mut limits = LIMITS.to_vec();
    random.shuffle(&mut limits);
    let mut entries: Vec<String> = (0..=random.below(9))
        .map(|_| entry(random, &mut limits))
        .collect();
    // An old line may stand between entries.
    if let Some(line) = others.pop() {
        entries.insert(usize::try_from(random.below(2)).unwrap(), line);
    }
    lines.append(&mut others);
    lines.append(&mut entries);
    let default = match random.below(5) {
        0 => "racl blacklist default",
        1 => "acl whitelist default",
        2 => "acl greylist default",
        _ => "",
    };
    lines.join("\n") + "\n" + default + "\n"
}

/// An entry.
fn entry(random: &mut Random, limits: &mut Vec<&str>) -> String {
    let keyword = if random.percent(40) { "acl" } else { "racl" };
    let mut kinds = CLAUSES.to_vec();
    random.shuffle(&mut kinds);
    let count = 1 + usize::try_from(random.below(2)).unwrap();
    let clauses = kinds.iter().take(count).map(|clauses| {
        let not = if random.percent(25) { "not " } else { "" };
        format!("{not}{}", random.pick(clauses))
    });
    let mut clauses: Vec<String> = clauses.collect();
    if random.percent(20)
        && let Some(limit) = limits.pop()
    {
        clauses.push(format!("ratelimit \"{limit}\""));
        random.shuffle(&mut clauses);
    }
    let clauses = clauses.join(" ");
    match random.below(100) {
        0..35 => format!("racl continue {clauses} {}", random.pick(&ASSIGNMENTS)),
        35..60 => {
            let values = random.pick(&generator::GREYLIST_VALUES);
            format!("{keyword} greylist {clauses} {values}")
        }
        60..80 => format!("{keyword} whitelist {clauses}"),
        _ => {
            let values = random.pick(&generator::BLACKLIST_VALUES);
            format!("{keyword} blacklist {clauses} {values}")
        }
    }
}

/// What each recipient gets.
fn said(socket: &std::path::Path, session: &Session, macros: &[(&str, &str)]) -> Vec<Verdict> {
    let mut milter = begun_with(socket, 6, session, macros);
    let replies =
        session
            .recipients
            .iter()
            .map(|recipient| match milter.rcpt(recipient).unwrap() {
                MilterReply::Continue => Verdict::Passes,
                MilterReply::Text(text) => {
                    let text = text.replacen("451 4.2.0 ", "451 4.7.1 ", 1);
                    Verdict::Gets(timeless(&text.replace("%%", "%")))
                }
                MilterReply::Letter(letter) => Verdict::Gets(format!("({letter})")),
            });
    let replies = replies.collect();
    milter.quit().unwrap();
    replies
}

#[test]
fn the_other_words_are_answered_as_milter_greylist_answers_them() {
    let Some(program) = peer::program("words") else {
        return;
    };
    let (mut differences, mut all) = (Vec::new(), Vec::new());
    for seed in 0..FILES {
        let mut random = Random::seeded(seed);
        let conf = file(&mut random);
        let is_exempt = !conf.contains("noauth") && !conf.contains(" auth ");
        let theirs = MilterGreylist::start(&program, &conf);
        let (_daemon, ours) = milter(&conf, &[]);
        for _ in 0..SESSIONS {
            let mut session = generator::session(&mut random);
            session.sender = random.pick::<&str>(&SENDERS).to_string();
            let user = random
                .pick(&USERS)
                .filter(|_| !is_exempt || !conf.contains("blacklist"));
            let daemon = random.pick(&DAEMONS).map(|name| ("{daemon_name}", name));
            let user = user.map(|user| ("{auth_authen}", user));
            let macros: Vec<_> = daemon.into_iter().chain(user).collect();
            let [theirs, ours] =
                [&theirs.path("milter"), &ours].map(|socket| said(socket, &session, &macros));
            all.extend(theirs.iter().cloned());
            if theirs != ours {
                differences.push(format!(
                    "seed {seed}, {session:?} {macros:?}\n  theirs {theirs:?}\n  ours   {ours:?}\n{conf}"
                ));
                break;
            }
        }
    }
    check(&differences, FILES);
    // Each kind of answer is among them often enough to show something.
    let begins = |begin: &str| {
        let is =
            |verdict: &&Verdict| matches!(verdict, Verdict::Gets(text) if text.starts_with(begin));
        all.iter().filter(is).count()
    };
    let passes = all.iter().filter(|verdict| **verdict == Verdict::Passes);
    let counts = [passes.count(), begins("45"), begins("55")];
    assert!(counts.iter().all(|count| *count >= 100), "{counts:?}");
}
