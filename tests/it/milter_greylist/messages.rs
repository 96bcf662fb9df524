//! The same entries for messages, and the same times, for Debian's milter-greylist and for stargreyd's milter.

use std::fs;
use std::path::PathBuf;

use super::generator::{self, Session};
use super::peer::{self, MilterGreylist};
use super::{Verdict, begun, check};
use crate::postgrey::random::Random;
use crate::support::milter::{MilterReply, MilterSession};
use crate::support::{Daemon, TestClock};

/// Files, and sessions of two messages with each.
const FILES: u64 = 24;
const SESSIONS: u64 = 16;

/// Clauses by their kind; an entry has at most one of each.
const CLAUSES: [&[&str]; 6] = [
    &[
        "header \"Casino\"",
        "header \"casino\"",
        "header /^subject:.*casino/",
        "header \"X-Mark: yes\"",
        "list \"marks\"",
    ],
    &[
        "body \"Lottery\"",
        "body \"lottery\"",
        "body /LOTTERY/",
        "body /^win/",
        "list \"words\"",
    ],
    &["msgsize > 2k", "msgsize <= 2048", "msgsize < 1M"],
    &["rcptcount == 1", "rcptcount > 1", "rcptcount >= 3"],
    &[
        "rcpt jane@example.com",
        "rcpt /@example\\.com>/",
        "domain example.net",
        "domain /^\\[/",
    ],
    &[
        "sm_macro \"marked\"",
        "sm_macro \"unmarked\"",
        "sm_macro \"named\"",
    ],
];

/// What the entries name.
const DEFINITIONS: &str = "\
list \"marks\" header { \"X-Mark: no\" /casino/ }
list \"words\" body { \"Lottery\" /^win/ }
sm_macro \"marked\" \"{mark}\" \"yes\"
sm_macro \"unmarked\" \"{mark}\" unset
sm_macro \"named\" \"{mark}\" /^[a-z]+$/
";

/// The macro that mail servers send at the end of a message: none, or with one of these values.
const MARKS: [Option<&str>; 4] = [None, Some("yes"), Some("no"), Some("7")];

/// Entries for recipients before their default. Whom one of them lets pass does not wait at the end of the message.
const FOR_RECIPIENTS: [&str; 5] = [
    "racl whitelist rcpt jane@example.com",
    "racl whitelist domain example.net",
    "racl whitelist addr 198.51.100.8",
    "racl blacklist rcpt bob@example.com",
    "racl greylist rcpt abuse@example.com",
];

/// What an entry adds to the header of a message that it lets pass.
const ADDED: &str = "X-Judged";
const WHITELIST_VALUES: [&str; 3] = [
    "",
    "addheader \"X-Judged: let pass\"",
    "addheader \"X-Judged: %i of %Xc\"",
];

const HEADERS: [(&str, &str); 5] = [
    ("Subject", "Your Casino"),
    ("Subject", "your casino"),
    ("Subject", "minutes of the meeting"),
    ("X-Mark", "yes"),
    ("x-mark", "no"),
];

const BODIES: [&str; 4] = [
    "hello\r\n",
    "The Lottery\r\nwin\r\n",
    "a lottery to win\r\n",
    "Win\r\n",
];

/// A file that decides on messages. milter-greylist greylists those only whose recipients have passed by default.
fn file(random: &mut Random) -> String {
    let mut text = "nospf\nnoauth\nmaxpeek 100000\ngreylist 1h\nautowhite 3d\nextendedregex\n\
                    racl whitelist default\n"
        .to_owned();
    if random.percent(50) {
        let mut entries = FOR_RECIPIENTS.to_vec();
        random.shuffle(&mut entries);
        entries.truncate(2);
        text = text.replace("racl ", &(entries.join("\n") + "\nracl "));
    }
    text += DEFINITIONS;
    for _ in 0..=random.below(6) {
        let (action, values) = match random.below(100) {
            0..60 => ("greylist", *random.pick(&generator::GREYLIST_VALUES)),
            60..75 => ("whitelist", *random.pick(&WHITELIST_VALUES)),
            // milter-greylist does not know the recipient then.
            _ => {
                let values = generator::BLACKLIST_VALUES.into_iter();
                let values: Vec<&str> = values.filter(|values| !values.contains("%mr")).collect();
                ("blacklist", *random.pick(&values))
            }
        };
        let mut kinds = CLAUSES.to_vec();
        random.shuffle(&mut kinds);
        let count = 1 + usize::try_from(random.below(2)).unwrap();
        let clauses = kinds.iter().take(count).map(|clauses| {
            let not = if random.percent(25) { "not " } else { "" };
            format!("{not}{}", random.pick(clauses))
        });
        let clauses: Vec<String> = clauses.collect();
        let entry = format!("dacl {action} {} {values}", clauses.join(" "));
        text = text + &entry + "\n";
    }
    text
}

/// A text with its durations in minutes, rounded up: a second may go by meanwhile.
fn in_minutes(text: &str) -> String {
    let minutes = |word: &str| {
        let parts: Vec<u64> = word
            .split(':')
            .map_while(|part| part.parse().ok())
            .collect();
        match parts[..] {
            [hours, minutes, seconds] if word.len() == 8 => Some(format!(
                "{}m",
                hours * 60 + minutes + u64::from(seconds > 0)
            )),
            _ => None,
        }
    };
    let words = text.split(' ').map(|word| {
        let bare = word.trim_end_matches(',');
        minutes(bare).map_or(word.to_owned(), |minutes| word.replace(bare, &minutes))
    });
    words.collect::<Vec<_>>().join(" ")
}

/// What a recipient or a message gets. The enhanced code of those that wait is Postgrey's here unless the entry has one,
/// and a percent sign is written twice, as mail servers want it in a milter's reply.
pub(super) fn verdict(reply: &MilterReply) -> Verdict {
    match reply {
        MilterReply::Continue => Verdict::Passes,
        MilterReply::Text(text) => {
            let text = text.replacen("451 4.2.0 ", "451 4.7.1 ", 1);
            Verdict::Gets(in_minutes(&text.replace("%%", "%")))
        }
        MilterReply::Letter(letter) => Verdict::Gets(format!("({letter})")),
    }
}

/// A message: its sender and recipients, header and body, and the macro at its end.
#[derive(Debug)]
struct Sent {
    sender: String,
    recipients: Vec<&'static str>,
    header: Vec<(&'static str, &'static str)>,
    body: String,
    mark: Option<&'static str>,
}

/// A message after some others.
fn message(random: &mut Random, number: u64, conf: &str) -> Sent {
    let mut recipients = generator::session(random).recipients;
    // Of several recipients, milter-greylist names the first, and stargreyd none; and there the last one says whether the
    // message may have to wait, and here each that has passed by default.
    if conf.contains("%mr") || FOR_RECIPIENTS.iter().any(|entry| conf.contains(entry)) {
        recipients.truncate(1);
    }
    let count = 1 + usize::try_from(random.below(2)).unwrap();
    let mut header = HEADERS.to_vec();
    random.shuffle(&mut header);
    header.truncate(count);
    let long = "a long line of a long message\r\n".repeat(100);
    let end = if random.percent(30) { &long } else { "" };
    Sent {
        // No triplet comes twice: which entry's delay applies then differs on purpose.
        sender: format!("s{number}x@example.org"),
        recipients,
        header,
        body: format!("{}{end}", random.pick(&BODIES)),
        mark: *random.pick(&MARKS),
    }
}

/// What each recipient of the messages of a session gets, and each message; and what is added to its header.
fn said(mut milter: MilterSession, messages: &[Sent]) -> Vec<(Verdict, Vec<String>)> {
    let mut said = Vec::new();
    // The message that was begun is given up.
    milter.abort().unwrap();
    for sent in messages {
        assert_eq!(milter.mail(&sent.sender).unwrap(), MilterReply::Continue);
        let replies = sent.recipients.iter();
        let replies = replies.map(|recipient| verdict(&milter.rcpt(recipient).unwrap()));
        let replies: Vec<Verdict> = replies.collect();
        if replies.contains(&Verdict::Passes) {
            if let Some(mark) = sent.mark {
                milter.macros(b'E', &[("{mark}", mark)]).unwrap();
            }
            let (actions, last) = milter.message(&sent.header, sent.body.as_bytes()).unwrap();
            let texts = actions.into_iter().map(|(_, text)| text);
            let added = texts.filter(|text| text.contains(ADDED));
            said.push((verdict(&last), added.collect()));
        }
        said.extend(replies.into_iter().map(|reply| (reply, Vec::new())));
        milter.abort().unwrap();
    }
    milter.quit().unwrap();
    said
}

/// A stargreyd with a milter socket, and this file after the lines that milter-greylist has before it.
pub(super) fn milter(conf: &str, options: &[String]) -> (Daemon, PathBuf) {
    let mut daemon = Daemon::prepare();
    let file = daemon.path().join("greylist.conf");
    fs::write(&file, format!("\n\n\n{conf}")).unwrap();
    let socket = daemon.path().join("milter");
    let own = [
        format!("--greylist-conf={}", file.display()),
        format!("--milter=unix:{}", socket.display()),
        "--greylist-action=451".to_owned(),
    ];
    let all: Vec<String> = own.into_iter().chain(options.iter().cloned()).collect();
    daemon.run(&all);
    (daemon, socket)
}

#[test]
fn messages_are_answered_as_milter_greylist_answers_them() {
    let Some(program) = peer::program("messages") else {
        return;
    };
    let mut differences = Vec::new();
    for seed in 0..FILES {
        let mut random = Random::seeded(seed);
        let conf = file(&mut random);
        let peer = MilterGreylist::start(&program, &conf);
        let (_daemon, socket) = milter(&conf, &[]);
        for number in 0..SESSIONS {
            let session = generator::session(&mut random);
            let messages = [0, 1].map(|one| message(&mut random, 2 * number + one, &conf));
            // milter-greylist counts the recipients of the messages before, too.
            let most = if conf.contains("rcptcount") { 1 } else { 2 };
            let messages = &messages[..most];
            let [theirs, ours] = [&peer.path("milter"), &socket]
                .map(|socket| said(begun(socket, 6, &session), messages));
            if theirs != ours {
                differences.push(format!(
                    "seed {seed}, {session:?} {messages:?}\n  theirs {theirs:?}\n  ours   {ours:?}\n{conf}"
                ));
                break;
            }
        }
    }
    check(&differences, FILES);
}

/// Entries by their number: how long a triplet waits, and how long one that has passed is kept, in seconds.
const TIMES: [(&str, u64, u64); 5] = [
    ("", 3600, 3 * 86_400),
    ("delay 2m", 120, 3 * 86_400),
    ("delay 3h autowhite 2d", 3 * 3600, 2 * 86_400),
    ("autowhite 45m", 3600, 45 * 60),
    ("delay 1d autowhite 90d", 86_400, 90 * 86_400),
];

#[test]
fn the_times_of_an_entry_are_those_that_milter_greylist_writes_down() {
    let Some(program) = peer::program("times") else {
        return;
    };
    let mut conf = "nospf\nnoauth\ngreylist 1h\nautowhite 3d\n".to_owned();
    for (number, (values, ..)) in TIMES.iter().enumerate() {
        let waits = format!("racl greylist rcpt wait{number}@example.com {values}\n");
        let autowhite = values.find("autowhite").map_or("", |at| &values[at..]);
        let known = format!("racl greylist rcpt known{number}@example.com delay 0s {autowhite}\n");
        conf = conf + &waits + &known;
    }
    let session = Session {
        name: Some("mail.example.net"),
        address: "203.0.113.7",
        helo: "mail.example.net",
        sender: "joe@example.org".to_owned(),
        recipients: Vec::new(),
    };
    let peer = MilterGreylist::start(&program, &conf);
    for number in 0..TIMES.len() {
        // What passes at once is written down as passed when it comes again.
        for kind in ["wait", "known", "known"] {
            let mut milter = begun(&peer.path("milter"), 6, &session);
            let recipient = format!("{kind}{number}@example.com");
            if milter.rcpt(&recipient).unwrap() == MilterReply::Continue {
                milter.message(&[("Subject", "x")], b"x\r\n").unwrap();
            }
            milter.quit().unwrap();
        }
    }
    let dump = peer.end();
    let written = |recipient: &str| -> u64 {
        let mut rows = dump
            .lines()
            .filter(|row| row.contains(&format!("<{recipient}>")));
        let row = rows.next().unwrap_or_else(|| panic!("{recipient}: {dump}"));
        let time = row
            .split('\t')
            .nth(3)
            .and_then(|time| time.split(' ').next());
        time.unwrap().parse().unwrap()
    };
    // All of them were asked within a minute of the first.
    let begin = written("wait0@example.com") - TIMES[0].1;
    for (number, (values, delay, autowhite)) in TIMES.into_iter().enumerate() {
        for (kind, length) in [("wait", delay), ("known", autowhite)] {
            let time = written(&format!("{kind}{number}@example.com"));
            let meant = begin + length..begin + length + 60;
            assert!(meant.contains(&time), "{values}: {time} {meant:?}\n{dump}");
        }
    }
    let prepared = tempfile::tempdir().unwrap();
    let clock = TestClock::at(prepared.path(), 1_800_000_000);
    let options = [clock.option(), "--auto-whitelist-clients=0".to_owned()];
    let (_daemon, socket) = milter(&conf, &options);
    for (number, (values, delay, autowhite)) in TIMES.into_iter().enumerate() {
        // How long after the last attempt, and whether it passes.
        for (later, passes) in [
            (0, false),
            (delay - 1, false),
            (1, true),
            (autowhite, true),
            (autowhite + 1, false),
        ] {
            clock.advance(later);
            let mut milter = begun(&socket, 6, &session);
            let reply = milter.rcpt(&format!("wait{number}@example.com")).unwrap();
            let is_continue = reply == MilterReply::Continue;
            assert_eq!(is_continue, passes, "{values}: after {later} s: {reply:?}");
            milter.quit().unwrap();
        }
    }
}
