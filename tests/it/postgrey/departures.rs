//! Everything that stargreyd answers otherwise than Postgrey 1.37, on purpose.
//!
//! Each row asks both; a row that no longer holds, on either side, fails.

use super::peer::Lists;
use super::script::{FIRST, PASS, Script, WAIT, Want, ask, login, mail};

const DAY: u64 = 86_400;

/// All rows.
pub(super) fn all() -> Vec<Script> {
    let mut rows = requests();
    rows.extend(wire());
    rows.extend(addresses());
    rows.extend(times());
    rows.extend(zeros());
    rows.extend(texts());
    rows.extend(tokens());
    rows.extend(instances());
    rows.extend(lists());
    rows.extend(expressions());
    rows.extend(options());
    rows.extend(authenticated());
    rows
}

/// The usual request with an instance and another recipient.
fn message(at: u64, instance: &str, recipient: &str) -> String {
    let instance = format!("instance={instance}\n");
    ask(at, "192.0.2.1", "s@a.example", recipient, &instance)
}

fn requests() -> Vec<Script> {
    let in_state = |state: &str| mail(0).replace("=RCPT", &format!("={state}"));
    let answers = |postgrey, client: &str| {
        let request = ask(0, client, "s@a.example", "r@b.example", "");
        Script::new(
            "unparsable client_address",
            "one odd client must not end the daemon",
        )
        .differ(request, postgrey, Want::Is(PASS.to_owned()))
    };
    vec![
        Script::new("other states", "only a recipient can be greylisted")
            .actions(in_state("DATA"), WAIT, PASS)
            .actions(in_state("MAIL"), WAIT, PASS)
            .actions(in_state("END-OF-MESSAGE"), WAIT, PASS),
        answers(Want::Death, "unknown"),
        answers(Want::Death, ""),
        answers(Want::Death, "fe80::1%eth0"),
        answers(Want::Death, "unknown").lists(Lists {
            clients: &[b"10.1.2.3\n"],
            recipients: &[],
        }),
        answers(Want::Is(WAIT.to_owned()), "10.1.2"),
        answers(Want::Is(WAIT.to_owned()), "010.001.002.003"),
        answers(Want::Is(WAIT.to_owned()), "10.1.2.3/8"),
        answers(Want::Is(WAIT.to_owned()), "[2001:db8::1]"),
    ]
}

fn wire() -> Vec<Script> {
    let many = |count| {
        let one = |n| ask(n, "192.0.2.1", "s@a.example", "r@b.example", "");
        (0..count).map(one).collect::<String>()
    };
    let with = |more: String| ask(0, "192.0.2.1", "s@a.example", "r@b.example", &more);
    let garbage = |line: &str| mail(0).replacen("sender=", &format!("{line}\nsender="), 1);
    vec![
        Script::new(
            "bad requests",
            "the protocol wants the connection closed, and Postfix would wait 100 seconds",
        )
        .differ(
            mail(0).replace("smtpd_access_policy", "other"),
            Want::Silence,
            Want::Closed,
        )
        .differ(
            mail(0).replace("request=smtpd_access_policy\n", ""),
            Want::Silence,
            Want::Closed,
        )
        .differ("\n", Want::Silence, Want::Closed),
        Script::new(
            "garbage lines",
            "who sends them does not speak the protocol",
        )
        .differ(
            garbage("no equals sign"),
            Want::Is(WAIT.to_owned()),
            Want::Closed,
        )
        .differ(garbage("=no=name"), Want::Is(WAIT.to_owned()), Want::Closed)
        .differ(garbage("nul=\0"), Want::Is(WAIT.to_owned()), Want::Closed),
        Script::new("limits", "no client may fill the memory")
            .same(with("x=1\n".repeat(180)), WAIT)
            .differ(
                with("x=1\n".repeat(200)),
                Want::Is(WAIT.to_owned()),
                Want::Closed,
            )
            .same(with(format!("x={}\n", "y".repeat(16_382))), WAIT)
            .differ(
                with(format!("x={}\n", "y".repeat(16_383))),
                Want::Is(WAIT.to_owned()),
                Want::Closed,
            )
            .differ(
                with(format!("x={}\n", "y".repeat(16_000)).repeat(5)),
                Want::Is(WAIT.to_owned()),
                Want::Closed,
            ),
        Script::new("carriage return in a value", "it ends no line").differ(
            ask(0, "192.0.2.1", "a\rb@c.example", "r@b.example", ""),
            Want::Silence,
            Want::Is(WAIT.to_owned()),
        ),
        Script::new("pipelining", "no request may be lost").differ(
            many(300),
            Want::FewerAnswers(300),
            Want::Answers(300),
        ),
    ]
}

fn addresses() -> Vec<Script> {
    let from = |at, client| ask(at, client, "s@a.example", "r@b.example", "");
    let sent = |at, sender: &str| ask(at, "192.0.2.1", sender, "r@b.example", "");
    let long = |end: &str| format!("{}{end}@a.example", "x".repeat(512));
    vec![
        Script::new("values of more than 512 bytes", "they are taken whole")
            .same(sent(0, &long("1")), WAIT)
            .actions(sent(300, &long("2")), FIRST, WAIT),
        Script::new(
            "IPv4-mapped addresses",
            "they are IPv4: otherwise the whole of IPv4 were one client",
        )
        .same(from(0, "::ffff:192.0.2.1"), WAIT)
        .actions(from(300, "::ffff:198.51.100.1"), FIRST, WAIT)
        .actions(from(300, "192.0.2.9"), WAIT, FIRST),
        Script::new(
            "keys joined with a slash",
            "different triplets must stay different",
        )
        .same(ask(0, "192.0.2.1", "a", "b/c@d.example", ""), WAIT)
        .actions(ask(300, "192.0.2.1", "a/b", "c@d.example", ""), FIRST, WAIT),
        Script::new("SRS", "hash and time stamp change with each day's mail")
            .same(sent(0, "SRS0=ab1=XY=a.example=joe@f.example"), WAIT)
            .actions(
                sent(300, "SRS0=cd2=XZ=a.example=joe@f.example"),
                WAIT,
                FIRST,
            ),
    ]
}

fn times() -> Vec<Script> {
    let later = 300 + 35 * DAY;
    // An hour after the fifth pass: an auto-whitelisted client is noted once an hour.
    let seen = 5 * 3600 + 300;
    let ladder = |row: Script, threshold: u64| {
        (0..threshold).fold(row, |row, n| {
            let sender = format!("s{n}@a{n}.example");
            let at = |at| ask(at, "192.0.2.1", &sender, "r@b.example", "");
            row.same(at(n * 3600), WAIT).same(at(n * 3600 + 300), FIRST)
        })
    };
    let new = |at| ask(at, "192.0.2.1", "new@new.example", "r@b.example", "");
    vec![
        Script::new("max-age of triplets", "it holds without a nightly purge")
            .same(mail(0), WAIT)
            .same(mail(300), FIRST)
            .same(mail(later), PASS)
            .actions(mail(later + 35 * DAY + 1), PASS, WAIT),
        ladder(
            Script::new("max-age of clients", "it holds without a nightly purge"),
            5,
        )
        .same(new(seen), PASS)
        .same(new(seen + 35 * DAY), PASS)
        .actions(new(seen + 70 * DAY + 1), PASS, WAIT),
        Script::new("another delay", "passed is a state, not a sum of two times")
            .same(mail(0), WAIT)
            .same(mail(300), FIRST)
            .restart(&["--delay=600"])
            .actions(mail(500), "DEFER_IF_PERMIT wait 100", PASS),
        Script::new(
            "clock set back",
            "passed is a state, not a sum of two times",
        )
        .same(mail(10_000), WAIT)
        .same(mail(10_300), FIRST)
        .actions(mail(5_000), WAIT, PASS),
        Script::new("the clock in the request", "no client may set it")
            .production_clock()
            .same(mail(0), WAIT)
            .actions(mail(300), FIRST, WAIT),
    ]
}

fn zeros() -> Vec<Script> {
    let reason = "zero is a value, not the default";
    vec![
        Script::new("--delay=0", reason)
            .options(&["--delay=0"])
            .actions(mail(0), WAIT, PASS)
            .actions(mail(300), FIRST, PASS),
        Script::new("--max-age=0", reason)
            .options(&["--max-age=0"])
            .same(mail(0), WAIT)
            .same(mail(300), FIRST)
            .same(mail(300), PASS)
            .actions(mail(301), PASS, WAIT),
    ]
}

fn texts() -> Vec<Script> {
    vec![
        Script::new(
            "default text and header",
            "they name the program that speaks",
        )
        .options(&[""])
        .actions(
            mail(0),
            "DEFER_IF_PERMIT Greylisted, see http://postgrey.schweikert.ch/help/b.example.html",
            "DEFER_IF_PERMIT Greylisted, please try again in 300 seconds",
        )
        .differ(
            mail(300),
            Want::Around(
                "PREPEND X-Greylist: delayed 300 seconds by postgrey-1.37 at mx.example.org; ",
                " 0000 00:00:00 UTC",
            ),
            Want::Around(
                concat!(
                    "PREPEND X-Greylist: delayed 300 seconds by stargrey-",
                    env!("CARGO_PKG_VERSION"),
                    " at mx.example.org; "
                ),
                "00:00:00 +0000",
            ),
        ),
    ]
}

fn tokens() -> Vec<Script> {
    vec![
        Script::new("tokens given twice", "every one is replaced")
            .options(&[
                "--greylist-text=%s %s %r %r",
                "--x-greylist-header=X: %t %t %h %h",
            ])
            .actions(
                mail(0),
                "DEFER_IF_PERMIT 300 %s b.example %r",
                "DEFER_IF_PERMIT 300 300 b.example b.example",
            )
            .actions(
                mail(300),
                "PREPEND X: 300 %t mx.example.org %h",
                "PREPEND X: 300 300 mx.example.org mx.example.org",
            ),
        Script::new("%H in the text", "Debian's text means the host name")
            .options(&["--greylist-text=Later, %H"])
            .actions(
                mail(0),
                "DEFER_IF_PERMIT Later, %H",
                "DEFER_IF_PERMIT Later, mx.example.org",
            ),
        Script::new(
            "%% in the text",
            "there is no other way to write a percent sign before s",
        )
        .options(&["--greylist-text=100%% by %s"])
        .actions(
            mail(0),
            "DEFER_IF_PERMIT 100%% by 300",
            "DEFER_IF_PERMIT 100% by 300",
        ),
        Script::new(
            "recipients that cannot be shown",
            "Postfix discards an answer that is not UTF-8",
        )
        .options(&["--greylist-text=Later, %r"])
        .actions(
            not_utf8(),
            "DEFER_IF_PERMIT Later, \\xff.example",
            "DEFER_IF_PERMIT Later, the recipient",
        ),
    ]
}

/// The usual request with a byte in the recipient that is no UTF-8.
fn not_utf8() -> Vec<u8> {
    let text = ask(0, "192.0.2.1", "s@a.example", "r@~.example", "");
    let bytes = text
        .bytes()
        .map(|byte| if byte == b'~' { 0xff } else { byte });
    bytes.collect()
}

fn instances() -> Vec<Script> {
    let from = |at, client| {
        let instance = format!("instance=i.{at}\n");
        ask(at, client, "s@a.example", "r@b.example", &instance)
    };
    let crowd = |row: Script, at: u64, want: &str| {
        (0..10).fold(row, |row, n| {
            let recipient = format!("other{n}@b.example");
            row.same(message(at, &format!("{at}.{n}"), &recipient), want)
        })
    };
    let row = Script::new(
        "ten instances",
        "a message gets one header, however many others come in between",
    )
    .same(message(0, "first", "r1@b.example"), WAIT)
    .same(message(0, "first", "r2@b.example"), WAIT);
    let row = crowd(row, 0, WAIT).same(message(300, "i.1", "r1@b.example"), FIRST);
    vec![
        crowd(row, 300, FIRST).actions(message(300, "i.1", "r2@b.example"), FIRST, PASS),
        Script::new("one instance, two clients", "an instance is a client's own")
            .same(from(0, "192.0.2.1"), WAIT)
            .same(from(0, "198.51.100.1"), WAIT)
            .same(from(300, "192.0.2.1"), FIRST)
            .actions(from(300, "198.51.100.1"), PASS, FIRST),
        Script::new("instance 0", "it is an instance like any other")
            .same(message(0, "x", "r@b.example"), WAIT)
            .actions(message(300, "0", "r@b.example"), PASS, FIRST),
        Script::new("empty instance", "it is none, so nothing is known of it")
            .same(message(0, "", "r1@b.example"), WAIT)
            .same(message(0, "", "r2@b.example"), WAIT)
            .same(message(300, "", "r1@b.example"), FIRST)
            .actions(message(300, "", "r2@b.example"), PASS, FIRST),
        Script::new(
            "the same question again",
            "a service named twice in main.cf gets its first answer twice",
        )
        .same(message(0, "i.1", "r@b.example"), WAIT)
        .actions(
            message(5, "i.1", "r@b.example"),
            "DEFER_IF_PERMIT wait 295",
            WAIT,
        ),
    ]
}

fn lists() -> Vec<Script> {
    let from = |client| ask(0, client, "s@a.example", "r@b.example", "");
    vec![
        Script::new("two octets", "they are the /16 that the manual promises")
            .lists(Lists {
                clients: &[b"10.1\n"],
                recipients: &[],
            })
            .same(from("10.1.0.5"), PASS)
            .actions(from("10.1.2.5"), WAIT, PASS),
        Script::new(
            "reload of a wrong list",
            "the old lists stay until all of it is right",
        )
        .lists(Lists {
            clients: &[b"10.1.2.3\n"],
            recipients: &[],
        })
        .same(from("10.1.2.3"), PASS)
        .same(from("10.9.9.9"), WAIT)
        .reload(Lists {
            clients: &[b"10.9.9.9\ntwo words\n"],
            recipients: &[],
        })
        .actions(from("10.9.9.9"), PASS, WAIT)
        .actions(from("10.1.2.3"), WAIT, PASS),
        Script::new(
            "mapped networks in a list",
            "a mapped address is IPv4 there too",
        )
        .lists(Lists {
            clients: &[b"::ffff:192.0.2.0/120\n"],
            recipients: &[],
        })
        .actions(from("192.0.2.1"), WAIT, PASS),
    ]
}

fn expressions() -> Vec<Script> {
    let named = |name: &str| mail(0).replace("mail.example", name);
    vec![
        Script::new(
            "a wrong expression",
            "one bad line must not keep mail waiting",
        )
        .lists(Lists {
            clients: &[b"/(/\nmail.example\n"],
            recipients: &[],
        })
        .postgrey_refuses_to_start()
        .same(mail(0), PASS),
        Script::new(
            "look-around in an expression",
            "expressions run in linear time, so it is a bad line",
        )
        .lists(Lists {
            clients: &[b"/^mail(?!x)/\n"],
            recipients: &[],
        })
        .actions(mail(0), PASS, WAIT)
        .actions(named("mailx.example"), WAIT, WAIT),
    ]
}

fn authenticated() -> Vec<Script> {
    // Nothing is recorded of it, so without authentication the triplet is new.
    let row = Script::new("authenticated clients", "own users do not wait")
        .actions(login(0, "ann"), WAIT, PASS)
        .actions(login(300, "ann"), FIRST, PASS)
        .actions(login(301, ""), PASS, WAIT);
    vec![row]
}

fn options() -> Vec<Script> {
    let from = |at, client| ask(at, client, "s@a.example", "r@b.example", "");
    let new = |at, client| ask(at, client, "new@a.example", "r@b.example", "");
    vec![
        Script::new("sender list", "Postgrey has none")
            .sender_list("a.example\n")
            .actions(mail(0), WAIT, PASS),
        Script::new(
            "auto-whitelist by subnet",
            "Postgrey counts single addresses",
        )
        .options(&["--auto-whitelist-clients=1"])
        .only_stargreyd(&["--auto-whitelist-by=subnet"])
        .postgrey_refuses_to_start()
        .same(from(0, "192.0.2.1"), WAIT)
        .same(from(300, "192.0.2.2"), FIRST)
        .same(new(400, "192.0.2.3"), PASS),
    ]
}
