//! `stargreyctl explain`, as the real daemon answers it.

use std::fs;

use crate::bus::OnBus;
use crate::support::{Daemon, TestClock, rcpt};

const START: u64 = 1_800_000_000;

const QUESTION: [&str; 5] = [
    "explain",
    "mx.example.org[192.0.2.7]",
    "ann@example.org",
    "bob@example.net",
    "--no-lookup",
];

/// A daemon on a bus, with a clock.
fn started(options: &[&str]) -> (OnBus, TestClock) {
    let daemon = Daemon::prepare();
    let clock = TestClock::at(daemon.path(), START);
    let option = clock.option();
    let options = [options, &[&option]].concat();
    (OnBus::start_prepared(daemon, &options), clock)
}

/// The mail that is asked about.
fn attempt(on: &OnBus) -> String {
    let (sender, recipient) = (QUESTION[2], QUESTION[3]);
    on.daemon
        .ask(&rcpt("mx.example.org", "192.0.2.7", sender, recipient))
}

/// The line with this label, without it.
fn line(text: &str, label: &str) -> String {
    let prefix = format!("{label}: ");
    let mut lines = text.lines().map(str::trim_start);
    let found = lines.find_map(|line| line.strip_prefix(&prefix));
    found.unwrap_or_default().to_owned()
}

#[test]
fn it_says_what_is_before_it_says_what_the_next_attempt_would_get() {
    let (on, clock) = started(&["--retry-count=2", "--auto-whitelist-clients=2"]);
    let early = "the delay is not over, or more retries are required (early-retry)";
    let retries = "more retries are required (early-retry)";
    let new = "this client network, sender and recipient have not been seen together, or too long ago (new)";
    let found = "this client network, sender and recipient have waited long enough (triplet-found)";
    // What is done before, how much later it is asked, and what is said then.
    let steps: [(bool, u64, &str, &str, &str); 6] = [
        (
            false,
            0,
            "unknown: not seen before, or too long ago",
            "deferred",
            new,
        ),
        (
            true,
            40,
            "waiting; first seen Fri 2027-01-15 08:00:00 UTC (40s ago), not retried since",
            "deferred",
            early,
        ),
        (
            true,
            260,
            "waiting; first seen Fri 2027-01-15 08:00:00 UTC (5min ago), retried 1 time since, too early",
            "deferred",
            retries,
        ),
        (
            true,
            60,
            "waiting; first seen Fri 2027-01-15 08:00:00 UTC (6min ago), retried 2 times since, 1 of them too early",
            "passes",
            found,
        ),
        (
            true,
            60,
            "passed Fri 2027-01-15 08:06:00 UTC (1min ago); 1 mail so far, last seen Fri 2027-01-15 08:06:00 UTC (1min ago)",
            "passes",
            found,
        ),
        (
            true,
            60,
            "passed Fri 2027-01-15 08:06:00 UTC (2min ago); 2 mails so far, last seen Fri 2027-01-15 08:07:00 UTC (1min ago)",
            "passes",
            found,
        ),
    ];
    for (is_tried, later, state, next, because) in steps {
        if is_tried {
            attempt(&on);
        }
        clock.advance(later);
        let (code, text) = on.ctl(&QUESTION);
        assert_eq!(code, 0);
        assert_eq!(line(&text, "State"), state, "{text}");
        assert_eq!(line(&text, "Next attempt"), next, "{text}");
        assert_eq!(line(&text, "Because"), because, "{text}");
    }
}

#[test]
fn a_mail_that_waits_as_it_is_read_out_on_the_telephone() {
    let (on, clock) = started(&[]);
    attempt(&on);
    clock.advance(40);
    let want = "
      Client: mx.example.org[192.0.2.7]
      Sender: ann@example.org
   Recipient: bob@example.net
       State: waiting; first seen Fri 2027-01-15 08:00:00 UTC (40s ago), not retried since
Next attempt: deferred
     Because: the delay is not over (early-retry)
      Passes: with a retry after Fri 2027-01-15 08:05:00 UTC, in 4min 20s; but no later than Sun 2027-01-17 08:00:00 UTC
  To Postfix: DEFER_IF_PERMIT 4.2.0 Greylisted, please try again in 260 seconds

Step by step:
   client-whitelist: no entry matches
recipient-whitelist: no entry matches
   sender-whitelist: no entry matches
          unmatched: every client that is not exempt is greylisted
     auto-whitelist: no greylisted mail has passed yet; 5 required
            triplet: first seen 40s ago; 0 retries before the delay was over, 0 after it
";
    let (_, got) = on.ctl(&QUESTION);
    assert_eq!(format!("\n{got}"), want);
}

#[test]
fn what_a_list_decides_has_no_state() {
    let daemon = Daemon::prepare();
    fs::write(daemon.path().join("whitelist_clients"), "example.org\n").unwrap();
    let on = OnBus::start_prepared(daemon, &[]);
    let (_, text) = on.ctl(&QUESTION);
    assert_eq!(line(&text, "State"), "", "{text}");
    assert_eq!(line(&text, "Next attempt"), "passes", "{text}");
    let json = on.ctl_json(&QUESTION).1;
    assert_eq!(json["steps"][0]["step"], "client-whitelist");
    assert_eq!(json["steps"][0]["result"], "passes");
    assert_eq!(json["assumed"], serde_json::json!([]));
}

#[test]
fn a_client_in_the_tarpit_is_said_to_sleep_and_then_to_have_hung_up() {
    let (on, clock) = started(&["--targrey", "--tarpit=65"]);
    assert_eq!(attempt(&on), "SLEEP 65");
    for (later, want, result) in [
        (
            5,
            "client tarpitted Fri 2027-01-15 08:00:00 UTC (5s ago) for 1min 5s, still sleeping",
            "sleeping",
        ),
        (
            60,
            "client tarpitted Fri 2027-01-15 08:00:00 UTC (1min 5s ago) for 1min 5s, and not survived",
            "hung-up",
        ),
    ] {
        clock.advance(later);
        let (_, text) = on.ctl(&QUESTION);
        assert!(line(&text, "State").ends_with(want), "{text}");
        let json = on.ctl_json(&QUESTION).1;
        let steps = json["steps"].as_array().unwrap();
        let tarpit = steps.iter().find(|step| step["step"] == "tarpit").unwrap();
        assert_eq!(tarpit["result"], result);
        assert_eq!(tarpit["ordered"], START);
    }
}

#[test]
fn no_attribute_is_required() {
    let (on, _clock) = started(&[]);
    let text = on.manager(&["Explain", "a{ss}", "0"]).good();
    assert!(
        text.contains("\"reason\" s \"attribute-missing\""),
        "{text}"
    );
    assert!(text.contains("\"action\" s \"pass\""), "{text}");
}

#[test]
fn every_key_of_pending_and_explain_in_json_is_in_the_pages() {
    let (on, clock) = started(&["--targrey", "--tarpit=65"]);
    attempt(&on);
    clock.advance(70);
    attempt(&on);
    let page = crate::manual::source("man/stargreyctl.1");
    let (_, json) = page.split_once("\n.Sh JSON\n").unwrap();
    let bus = crate::manual::source("man/stargrey-dbus.7");
    for (verb, arguments, rows) in [
        ("pending", &["pending"][..], &["Of ListTriplets"][..]),
        ("explain", &QUESTION, &["Of Explain", "Of ListTriplets"]),
    ] {
        let (_, item) = json.split_once(&format!("\n.It Ic {verb}\n")).unwrap();
        let item = item.split("\n.It ").next().unwrap();
        let of_page = item.lines().filter_map(|line| line.strip_prefix(".Cm "));
        let of_bus = rows.iter().flat_map(|rows| {
            let (_, rows) = bus.split_once(&format!("\n.Ss {rows}")).unwrap();
            let rows = rows.split("\n.S").next().unwrap();
            rows.lines().filter_map(|line| line.strip_prefix(".It Cm "))
        });
        let named: Vec<&str> = of_page
            .chain(of_bus)
            .flat_map(|line| line.split([' ', ',', ';']))
            .collect();
        let value = on.ctl_json(arguments).1;
        let object = value.as_array().map_or(&value, |rows| &rows[0]);
        let keys = object.as_object().unwrap().keys();
        let missing: Vec<_> = keys.filter(|key| !named.contains(&key.as_str())).collect();
        assert!(missing.is_empty(), "{verb}: {missing:?} not in {named:?}");
    }
}

#[test]
fn a_client_that_has_authenticated_itself_is_asked_about_as_such() {
    for (options, next, reason) in [
        (&[][..], "passes", "authenticated"),
        (&["--no-authenticated"], "deferred", "new"),
    ] {
        let (on, _clock) = started(options);
        let words = [&QUESTION[..], &["--authenticated"]].concat();
        let (code, text) = on.ctl(&words);
        assert_eq!(code, 0);
        assert_eq!(line(&text, "Next attempt"), next, "{text}");
        let because = line(&text, "Because");
        assert!(because.ends_with(&format!("({reason})")), "{text}");
        let client = "mx.example.org[192.0.2.7], authenticated";
        assert_eq!(line(&text, "Client"), client);
        let (_, object) = on.ctl_json(&words);
        assert_eq!(
            (&object["authenticated"], &object["reason"]),
            (&true.into(), &reason.into())
        );
        let (_, object) = on.ctl_json(&QUESTION);
        assert_eq!(
            (&object["authenticated"], &object["reason"]),
            (&false.into(), &"new".into())
        );
    }
}

#[test]
fn it_names_the_rule_of_s25r_and_says_why_a_mail_host_is_no_end_user_connection() {
    let (on, _clock) = started(&["--s25r=extended"]);
    for (name, want) in [
        ("host.dyn.example.net", "s25r: the name matches rule 7"),
        ("a1-2.example.net", "s25r: the name matches rule 1"),
        (
            "mail1-2.example.net",
            "s25r: the name matches rule 1, but is that of a mail host: one label that says mail, directly below \
             its organizational domain",
        ),
        ("www.example.net", "s25r: the name matches no rule"),
    ] {
        let client = format!("{name}[192.0.2.7]");
        let mut question = QUESTION;
        question[1] = &client;
        let (_, text) = on.ctl(&question);
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(text.contains(&format!(" {want} ")), "{name}: {text}");
    }
}

#[test]
fn a_message_is_explained_as_it_would_be_decided_at_its_end() {
    let lists = "racl whitelist default\n\
                 dacl greylist header \"casino\" not body \"friend\" delay 1h\n\
                 dacl blacklist body \"malware\" msg \"100% no\"\n";
    let daemon = Daemon::prepare();
    let at = |name: &str| daemon.path().join(name).to_str().unwrap().to_owned();
    let (conf, table) = (at("greylist.conf"), at("table"));
    fs::write(&conf, lists).unwrap();
    fs::write(&table, "/^X-Held:/ HOLD looked at by hand\n").unwrap();
    let options = [
        format!("--milter=unix:{}", at("milter")),
        format!("--greylist-conf={conf}"),
        format!("--header-checks=regexp:{table}"),
    ];
    let [casino, malware, hello] = ["casino", "malware", "hello"].map(at);
    // Quoted-printable: decoded it is malware.
    let encoded = "Content-Transfer-Encoding: quoted-printable\n";
    fs::write(&casino, "Subject: casino\nX-Held: x\n\nhello\n").unwrap();
    fs::write(&malware, format!("{encoded}\nmal=77are\n")).unwrap();
    fs::write(&hello, "Subject: hello\n\ncasino\n").unwrap();
    let options = options.each_ref().map(String::as_str);
    let on = OnBus::start_prepared(daemon, &options);
    let cases: [(&str, [&str; 3], &[&str]); 3] = [
        (
            &casino,
            ["deferred", "new", "450 4.2.0"],
            &[
                "header: yes, not body: yes",
                "header-checks: ",
                "recipient: accepted without having waited",
            ],
        ),
        (
            &malware,
            ["rejected", "message-reply", "551 5.7.1 100% no"],
            &["header: no", "body: yes"],
        ),
        (
            &hello,
            ["passes", "not-suspicious", ""],
            &["header: no", "body: no"],
        ),
    ];
    for (file, [next, reason, reply], steps) in cases {
        let option = format!("--message={file}");
        let words = [&QUESTION[..], &[&option]].concat();
        let (code, text) = on.ctl(&words);
        assert_eq!(code, 0, "{text}");
        assert_eq!(line(&text, "The message"), next, "{text}");
        assert!(line(&text, "At RCPT").starts_with("accepted; "), "{text}");
        assert!(
            line(&text, "Because").ends_with(&format!("({reason})")),
            "{text}"
        );
        assert!(line(&text, "Reply").starts_with(reply), "{text}");
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        for step in steps {
            assert!(text.contains(step), "{step}: {text}");
        }
    }
    let words = [&QUESTION[..], &["--message=/dev/null"]].concat();
    let (code, text) = on.ctl(&words);
    assert_eq!((code, line(&text, "The message").as_str()), (0, "passes"));
    let large = on.daemon.path().join("large");
    fs::File::create(&large)
        .unwrap()
        .set_len((100 << 20) + 1)
        .unwrap();
    let option = format!("--message={}", large.display());
    let refused = on.bus.ctl(&[&QUESTION[..], &[&option]].concat()).output();
    let refused = refused.unwrap();
    let text = String::from_utf8_lossy(&refused.stderr);
    assert!(
        !refused.status.success() && text.contains("at most 104857600"),
        "{text}"
    );
}
