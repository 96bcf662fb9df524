//! Who is suspicious, and the tarpit: the daemon from outside, by its answers and its log.

use std::fs;
use std::path::PathBuf;

use crate::support::{Daemon, TestClock, rcpt};

const START: u64 = 1_800_000_000;

const GREYLISTED: &str = "DEFER_IF_PERMIT 4.2.0 Greylisted, please try again in 300 seconds";

/// A name that S25R hits by rule 7, if that is on.
const WORD: &str = "host.dyn.example.net";

/// A name that rule 1 hits, and that is spared with rule 7.
const MAIL_HOST: &str = "mail1-2.example.net";

/// A name that S25R hits by rule 1.
const DYNAMIC: &str = "220-139-165-188.dynamic.example.net";
const MAIL: &str = "mail.example.org";

/// A question of Postfix.
#[derive(Debug, Clone, Copy)]
struct Question {
    state: &'static str,
    name: &'static str,
    address: &'static str,
    instance: &'static str,
    recipient: &'static str,
    stress: &'static str,
}

impl Question {
    const fn rcpt(name: &'static str, instance: &'static str, recipient: &'static str) -> Self {
        Self {
            state: "RCPT",
            name,
            address: "192.0.2.77",
            instance,
            recipient,
            stress: "",
        }
    }

    const fn data(self) -> Self {
        Self {
            state: "DATA",
            ..self
        }
    }

    const fn with_recipient(self, recipient: &'static str) -> Self {
        Self { recipient, ..self }
    }

    fn attributes(self) -> Vec<(&'static str, &'static str)> {
        let sender = "eve@sender.example";
        let mut attributes = rcpt(self.name, self.address, sender, self.recipient);
        for (name, value) in &mut attributes {
            match *name {
                "protocol_state" => *value = self.state,
                "stress" => *value = self.stress,
                _ => {}
            }
        }
        attributes.push(("instance", self.instance));
        attributes
    }
}

/// A daemon with a clock; `lists` are files in its directory, and `DIR` in an option is that directory.
fn start(options: &[&str], lists: &[(&str, &str)]) -> (Daemon, TestClock) {
    let mut daemon = Daemon::prepare();
    let clock = TestClock::at(daemon.path(), START);
    daemon.set_options(&prepare(&daemon, options, lists, &clock));
    daemon.start_again();
    (daemon, clock)
}

/// The options of [`start`], once the files are there.
fn prepare(
    daemon: &Daemon,
    options: &[&str],
    lists: &[(&str, &str)],
    clock: &TestClock,
) -> Vec<String> {
    let directory = daemon.path().to_str().unwrap();
    for (name, text) in lists.iter().chain(&[("exceptions", "friend.example\n")]) {
        fs::write(daemon.path().join(name), text).unwrap();
    }
    let mut all = vec![clock.option()];
    if options.iter().any(|option| option.starts_with("--s25r")) {
        all.push(format!("--s25r-exceptions={directory}/exceptions"));
    }
    all.extend(options.iter().map(|o| o.replace("DIR", directory)));
    all
}

#[test]
fn a_bad_table_ends_the_start_and_check_shows_why() {
    for check in [None, Some("--check")] {
        let daemon = Daemon::prepare();
        let table = daemon.path().join("table");
        fs::write(&table, "# one\n/good/ OK\n/(/ OK\n/a/ HOLD\nendif\n").unwrap();
        let mut command = daemon.command();
        command.arg(format!("--client-access={}", table.display()));
        command.args(check);
        assert_eq!(command.status().unwrap().code(), Some(78), "{check:?}");
        let log = daemon.log();
        for (line, complaint) in [
            (3, "bad expression: "),
            (4, "result \"HOLD\" is not one of OK, DUNNO, REJECT"),
            (5, "endif without if"),
        ] {
            let wanted = format!("{}:{line}: {complaint}", table.display());
            assert!(log.contains(&wanted), "{check:?}, {wanted}: {log}");
        }
        assert!(!daemon.socket().exists());
    }
}

#[test]
fn a_table_that_is_missing_ends_the_start() {
    let daemon = Daemon::prepare();
    let mut command = daemon.command();
    command.arg("--client-access=/nonexistent/table");
    assert_eq!(command.status().unwrap().code(), Some(78));
    let error = "--client-access: /nonexistent/table: No such file";
    assert!(daemon.log().contains(error), "{}", daemon.log());
}

#[test]
fn a_bad_table_at_reload_leaves_the_old_set_in_force() {
    let table = ("table", "/^mail\\./ REJECT old\n");
    let (mut daemon, _clock) = start(&["--client-access=DIR/table"], &[table]);
    let path: PathBuf = daemon.path().join("table");
    let ask = |daemon: &Daemon, name| {
        daemon.ask(&Question::rcpt(name, "", "anna@example.org").attributes())
    };
    assert_eq!(ask(&daemon, MAIL), "REJECT old");

    fs::write(&path, "/^mail\\./ REJECT new\nif /x/\n").unwrap();
    fs::write(daemon.path().join("whitelist_clients"), "www.example.org\n").unwrap();
    daemon.reload();
    assert_eq!(ask(&daemon, MAIL), "REJECT old");
    assert_eq!(ask(&daemon, "www.example.org"), GREYLISTED, "lists neither");
    let place = format!("{}:2: if without endif", path.display());
    daemon.log_until(|log| log.contains(&place) && log.contains("keeping the old lists"));

    fs::write(&path, "/^mail\\./ REJECT new\n").unwrap();
    daemon.reload();
    assert_eq!(ask(&daemon, MAIL), "REJECT new");
    assert_eq!(ask(&daemon, "www.example.org"), "DUNNO");
    daemon.log_until(|log| {
        log.contains(
            "entries in the lists: clients 1, recipients 0, senders 0, S25R exceptions 0, client access 1",
        )
    });
}

/// What stands in a line of the log before the client and after the recipient.
type Around = (&'static str, &'static str);

/// Options, the table, a name, whether it passes, and what the log says of it.
type Row = (
    &'static [&'static str],
    &'static str,
    &'static str,
    bool,
    Around,
);

const ACCESS: &str = "--client-access=DIR/table";
const EXCUSES: &str = "/^www/ OK\n";
const CALLS: &str = "/^cable/ check_greylist\n";
const NAMED: &str = "/^cable/ My_Class\n";

const NOT_SUSPICIOUS: Around = ("action=pass, reason=not suspicious,", "");
const NEW: Around = ("action=greylist, reason=new,", "");
const PERMIT_LINE_1: Around = (
    "action=pass, reason=client access permit,",
    ", entry=DIR/table:1",
);
const NEW_LINE_1: Around = ("action=greylist, reason=new,", ", entry=DIR/table:1");
const NEW_WORD: Around = ("action=greylist, reason=new,", ", s25r=7");
const NEW_LINE: Around = ("action=greylist, reason=new,", ", s25r=1");

#[rustfmt::skip]
const SETTLED: &[Row] = &[
    (&[], "", MAIL, false, NEW),
    (&["--unmatched=pass"], "", MAIL, true, NOT_SUSPICIOUS),
    (&["--unmatched=pass"], "", DYNAMIC, true, NOT_SUSPICIOUS),
    (&["--unmatched=greylist"], "", MAIL, false, NEW),
    (&["--s25r"], "", MAIL, true, NOT_SUSPICIOUS),
    (&["--s25r"], "", DYNAMIC, false, NEW_LINE),
    (&["--s25r"], "", "a1-2.friend.example", true, NOT_SUSPICIOUS),
    (&["--s25r"], "", WORD, true, NOT_SUSPICIOUS),
    (&["--s25r"], "", MAIL_HOST, false, NEW_LINE),
    (&["--s25r=extended"], "", WORD, false, NEW_WORD),
    (&["--s25r=extended"], "", MAIL_HOST, true, NOT_SUSPICIOUS),
    (&["--s25r=extended"], "", DYNAMIC, false, NEW_LINE),
    (&["--s25r=extended", "--unmatched=greylist"], "", MAIL_HOST, false, NEW),
    (&["--s25r", "--unmatched=greylist"], "", MAIL, false, NEW),
    (&["--s25r", "--unmatched=greylist"], "", "a1-2.friend.example", false, NEW),
    (&[ACCESS], EXCUSES, MAIL, false, NEW),
    (&[ACCESS], EXCUSES, "www.example.org", true, PERMIT_LINE_1),
    (&[ACCESS, "--unmatched=pass"], EXCUSES, MAIL, true, NOT_SUSPICIOUS),
    (&[ACCESS], CALLS, MAIL, true, NOT_SUSPICIOUS),
    (&[ACCESS], CALLS, "cable.example", false, NEW_LINE_1),
    (&[ACCESS, "--unmatched=greylist"], CALLS, MAIL, false, NEW),
    (&[ACCESS, "--greylist-result=my_class"], NAMED, "cable.example", false, NEW_LINE_1),
    (&[ACCESS, "--greylist-result=my_class"], NAMED, MAIL, true, NOT_SUSPICIOUS),
    (&[ACCESS, "--s25r"], EXCUSES, "www12345.example", true, PERMIT_LINE_1),
    (&[ACCESS, "--s25r"], EXCUSES, MAIL, true, NOT_SUSPICIOUS),
    (&[ACCESS, "--s25r"], EXCUSES, DYNAMIC, false, NEW_LINE),
];

#[test]
fn what_becomes_of_a_client_is_settled_in_the_order_that_the_manual_has() {
    for (options, table, name, want_pass, (begin, end)) in SETTLED {
        let (daemon, _clock) = start(options, &[("table", table)]);
        let answer = daemon.ask(&Question::rcpt(name, "", "anna@example.org").attributes());
        let want = if *want_pass { "DUNNO" } else { GREYLISTED };
        assert_eq!(answer, want, "{options:?} {table:?} {name}");
        let begin = format!("{begin} client_name={name}, client_address=192.0.2.77,");
        let end = end.replace("DIR", daemon.path().to_str().unwrap());
        daemon.expect_line(&begin, &format!("recipient=anna@example.org{end}"));
    }
}

/// A client that waits, and one that does not.
const PATIENT: Question = Question::rcpt("unknown", "1", "anna@example.org");

const fn hasty(instance: &'static str, recipient: &'static str) -> Question {
    Question {
        address: "198.51.100.9",
        ..Question::rcpt(DYNAMIC, instance, recipient)
    }
}

const STRESSED: Question = Question {
    stress: "yes",
    ..hasty("2", "ben@example.org")
};

/// Seconds later, a question, the answer, and what the log says of it.
#[rustfmt::skip]
const SLEEPS: &[(u64, Question, &str, Around)] = &[
    (0,  PATIENT, "SLEEP 65", ("action=tarpit, reason=new,", ", s25r=0, tarpit=65")),
    (0,  STRESSED, GREYLISTED, ("action=greylist, reason=new,", ", s25r=1, tarpit=stress")),
    (0,  hasty("3", "carl@example.org"), GREYLISTED, ("action=greylist, reason=new,", ", s25r=1, tarpit=limit")),
    (64, PATIENT.data(), "DUNNO", ("action=pass, reason=early DATA (1s missing),", ", s25r=0")),
    (1,  PATIENT.data().with_recipient(""), "DUNNO", ("action=pass, reason=tarpit survived,", ", s25r=0")),
    (0,  hasty("4", "dora@example.org"), "SLEEP 65", ("action=tarpit, reason=new,", ", s25r=1, tarpit=65")),
    (65, hasty("5", "emil@example.org"), GREYLISTED, ("action=greylist, reason=new,", ", s25r=1, tarpit=hung-up")),
    (0,  Question::rcpt("unknown", "6", "frida@example.org"), "DUNNO", ("action=pass, reason=client AWL,", ", s25r=0")),
];

#[test]
fn a_sleep_and_what_becomes_of_it_are_logged() {
    let options = [
        "--s25r",
        "--targrey",
        "--tarpit=65",
        "--tarpit-limit=1",
        "--auto-whitelist-clients=1",
    ];
    let (mut daemon, clock) = start(&options, &[]);
    for (later, question, want, (begin, end)) in SLEEPS {
        clock.advance(*later);
        assert_eq!(daemon.ask(&question.attributes()), *want, "{question:?}");
        let Question { name, address, .. } = question;
        let begin = format!("{begin} client_name={name}, client_address={address},");
        daemon.expect_line(&begin, end);
    }
    daemon.log_until(|log| {
        log.matches("tarpit whitelisted: unknown[192.0.2.77]")
            .count()
            == 1
    });
    daemon.wait_for("STATUS=8 requests: 3 greylisted, 2 tarpitted (0 sleeping), 3 passed;");
}

#[test]
fn replies_of_tables_are_counted_and_logged_as_what_they_are() {
    let table = "/^a/ REJECT no\n/^b/ 450 4.7.1 later\n/^c/ OK\n";
    let (mut daemon, _clock) = start(&["--client-access=DIR/table"], &[("table", table)]);
    for (name, want, line) in [
        (
            "a.example",
            "REJECT no",
            "action=reject, reason=client access reply,",
        ),
        (
            "b.example",
            "450 4.7.1 later",
            "action=defer, reason=client access reply,",
        ),
        (
            "c.example",
            "DUNNO",
            "action=pass, reason=client access permit,",
        ),
    ] {
        let answer = daemon.ask(&Question::rcpt(name, "", "anna@example.org").attributes());
        assert_eq!(answer, want, "{name}");
        daemon.log_until(|log| log.contains(&format!("{line} client_name={name},")));
    }
    daemon.wait_for("STATUS=3 requests: 0 greylisted, 2 refused, 1 passed;");
}

#[test]
fn privacy_leaves_no_address_of_a_tarpitted_client_on_disk() {
    // As it is written, and as the keys of clients and triplets begin: family, length, bytes.
    let texts: [&[u8]; 3] = [b"192.0.2.77", &[4, 32, 192, 0, 2, 77], &[4, 24, 192, 0, 2]];
    for (option, want) in [
        ("--privacy", [false, false, false]),
        ("--unmatched=pass", [false, true, true]),
    ] {
        let (mut daemon, clock) = start(&["--s25r", "--targrey", option], &[]);
        let first = Question::rcpt(DYNAMIC, "1", "anna@example.org");
        assert_eq!(daemon.ask(&first.attributes()), "SLEEP 125");
        let stored = |daemon: &Daemon| {
            let files = fs::read_dir(daemon.path().join("db")).unwrap();
            let files: Vec<Vec<u8>> = files
                .map(|file| fs::read(file.unwrap().path()).unwrap())
                .collect();
            texts.map(|text| files.iter().any(|file| contains(file, text)))
        };
        assert_eq!(stored(&daemon), want, "{option}");
        clock.advance(125);
        assert_eq!(daemon.ask(&first.data().attributes()), "DUNNO");
        daemon.log_until(|log| log.contains("reason=tarpit survived"));
        daemon.stop();
        assert_eq!(stored(&daemon), want, "{option}, counted");
    }
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}

#[test]
fn targrey_without_a_question_at_data_is_noticed_once() {
    let warning = "100 recipients have passed and Postfix has never sent a DATA request";
    for (asks_at_data, want) in [(false, 1), (true, 0)] {
        let (mut daemon, _clock) = start(&["--s25r", "--targrey"], &[]);
        let question = Question::rcpt(MAIL, "", "anna@example.org");
        let mut client = daemon.connect();
        if asks_at_data {
            assert_eq!(client.ask(&question.data().attributes()), "DUNNO");
        }
        for _ in 0..99 {
            assert_eq!(client.ask(&question.attributes()), "DUNNO");
        }
        assert!(!daemon.log().contains(warning), "not before it is clear");
        assert_eq!(client.ask(&question.attributes()), "DUNNO");
        if !asks_at_data {
            daemon.log_until(|log| log.contains(warning));
        }
        for _ in 0..150 {
            assert_eq!(client.ask(&question.attributes()), "DUNNO");
        }
        daemon.stop();
        assert_eq!(daemon.log().matches(warning).count(), want);
    }
}

#[test]
fn options_that_cannot_do_what_they_are_meant_to_are_warned_of_at_start() {
    let cases: [(&[&str], &str); 4] = [
        (&["--tarpit=300"], "--tarpit: is 300 seconds or more"),
        (
            &["--targrey", "--tarpit=600"],
            "--tarpit: is 300 seconds or more",
        ),
        (&["--tarpit", "--tarpit-limit=0"], "--tarpit-limit: is 0"),
        (&["--unmatched=pass"], "--unmatched: is pass without"),
    ];
    for (options, want) in cases {
        let (daemon, _clock) = start(options, &[]);
        daemon.log_until(|log| log.contains(want));
    }
    let (mut daemon, _clock) = start(&["--tarpit=299"], &[]);
    daemon.stop();
    assert!(!daemon.log().contains("--tarpit: "));
}

#[test]
fn a_kill_during_a_sleep_keeps_it() {
    let (mut daemon, clock) = start(&["--targrey", "--retry-count=2"], &[]);
    let stays = Question::rcpt(DYNAMIC, "1", "anna@example.org");
    let leaves = Question {
        address: "198.51.100.9",
        ..stays
    };
    for question in [stays, leaves] {
        assert_eq!(daemon.ask(&question.attributes()), "SLEEP 125");
    }
    daemon.kill();
    clock.advance(124);
    daemon.start_again();
    assert_eq!(daemon.ask(&stays.data().attributes()), "DUNNO");
    daemon.log_until(|log| log.contains("reason=early DATA (1s missing)"));
    clock.advance(1);
    daemon.kill();
    daemon.start_again();
    assert_eq!(daemon.ask(&stays.data().attributes()), "DUNNO");
    daemon.log_until(|log| log.contains("reason=tarpit survived"));
    let again = Question {
        instance: "2",
        ..leaves
    };
    let answer = daemon.ask(&again.attributes());
    assert!(
        answer.ends_with("please try again in 175 seconds"),
        "{answer}"
    );
    daemon.log_until(|log| log.contains("tarpit=hung-up"));
}

#[test]
fn a_name_that_is_not_suspicious_is_answered_while_the_store_is_broken() {
    let mut daemon = Daemon::prepare();
    let clock = TestClock::at(daemon.path(), START);
    let options = ["--s25r", "--on-store-failure=defer"];
    daemon.set_options(&prepare(&daemon, &options, &[], &clock));
    fs::create_dir(daemon.path().join("db")).unwrap();
    fs::write(daemon.path().join("db/data.mdb"), "no database").unwrap();
    daemon.start_again();
    daemon.wait_for("STATUS=DEGRADED: ");
    for (name, want) in [
        (MAIL, "DUNNO"),
        ("a1-2.friend.example", "DUNNO"),
        (
            DYNAMIC,
            "DEFER_IF_PERMIT 4.3.0 Greylisting is out of order, please try again later",
        ),
    ] {
        let answer = daemon.ask(&Question::rcpt(name, "", "anna@example.org").attributes());
        assert_eq!(answer, want, "{name}");
    }
}
