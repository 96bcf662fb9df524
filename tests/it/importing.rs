//! Imports: what cannot be a record is skipped and counted, in every format, and Postgrey's options become ours.

use std::fs;
use std::io::Write;
use std::process::{Command, Output, Stdio};

use proptest::prelude::*;
use stargrey::config::environment_file;
use stargrey::ctl::import::{header, trailer};
use stargrey::ctl::options::translate;

use crate::bus::OnBus;
use crate::support::rcpt;

/// Starts `stargreyctl` with these arguments; its exit status, and what it said.
fn ctl(on: &OnBus, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_stargreyctl"))
        .args(arguments)
        .env("DBUS_SYSTEM_BUS_ADDRESS", on.bus.address())
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

/// Forty records among these, by a function that writes one with this sender.
fn among(odd: &[String], record: impl Fn(&str) -> String) -> String {
    let good = (0..40).map(|number| record(&format!("s{number}@example.org")));
    let (mut first, second): (Vec<_>, Vec<_>) = good.enumerate().partition(|(at, _)| *at < 20);
    first.extend(odd.iter().cloned().map(|odd| (0, odd)));
    first
        .into_iter()
        .chain(second)
        .map(|(_, record)| record)
        .collect()
}

#[test]
fn what_cannot_be_a_record_is_skipped_and_the_rest_is_taken() {
    let on = OnBus::start(&[]);
    let pair =
        |sender: &str| format!(" 192.0.2.0/{sender}/bob@example.net\n 1800000000,1800000400\n");
    let pairs = [
        "a\\0ab@c".to_owned(),
        "a\\00b@c".to_owned(),
        "a".repeat(20_000),
        "a".repeat(70_000),
        // Each of these bytes is four on the bus.
        "\\01".repeat(18_000),
    ];
    let dump = among(&pairs.map(|sender| pair(&sender)), pair);
    let line =
        |sender: &str| format!("192.0.2.1\t<{sender}>\t<bob@example.net>\t1800000000 AUTO\n");
    let lines = ["a\0b@c".to_owned(), "a".repeat(20_000), "a".repeat(70_000)];
    let lines = among(&lines.map(|sender| line(&sender)), line);
    let row = |sender: &str| {
        format!(
            "{{\"client\":\"192.0.2.0/24\",\"kind\":\"triplet\",\"last\":1800000000,\
             \"recipient\":\"bob@example.net\",\"sender\":\"{sender}\",\"state\":\"passed\"}}\n"
        )
    };
    let rows = [
        "a\\nb@c".to_owned(),
        "a\\u0000b@c".to_owned(),
        "a".repeat(20_000),
        "a".repeat(70_000),
    ];
    let mut rows = Vec::from(rows.map(|sender| row(&sender)));
    rows.push("no json\n".to_owned());
    let rows = among(&rows, row);
    let cases = [
        (
            "postgrey",
            format!("VERSION=3\nformat=print\ntype=btree\nHEADER=END\n{dump}DATA=END\n"),
            45,
        ),
        ("milter-greylist", lines, 43),
        ("json", format!("{}\n{rows}{}\n", header(), trailer(45)), 45),
    ];
    for (format, text, read) in cases {
        let path = on.daemon.path().join(format);
        fs::write(&path, text).unwrap();
        let path = path.to_str().unwrap();
        let (code, stdout, stderr) = ctl(&on, &["import", format, path, "--json"]);
        let told: serde_json::Value = serde_json::from_str(&stdout)
            .unwrap_or_else(|error| panic!("{format}: {error}: {stderr}"));
        let skipped = told["skipped"].as_object().unwrap().values();
        let skipped: u64 = skipped.map(|count| count.as_u64().unwrap()).sum();
        let taken = ["new", "changed", "unchanged"].map(|key| told[key].as_u64().unwrap());
        let taken: u64 = taken.iter().sum();
        assert_eq!(told["read"], read, "{format}: {stdout}");
        assert_eq!(
            (taken, skipped),
            (40, read - 40),
            "{format}: {stdout}{stderr}"
        );
        // More than one in ten.
        let (want, is_warned) = if skipped * 10 > read {
            (1, true)
        } else {
            (0, false)
        };
        assert_eq!(code, Some(want), "{format}: {stderr}");
        assert_eq!(
            stderr.contains("warning: "),
            is_warned,
            "{format}: {stderr}"
        );
    }
}

#[test]
fn records_of_domains_are_left_out_by_name_without_the_option_and_the_rest_is_taken() {
    let from = OnBus::start(&["--lookup-by-domain"]);
    for (name, recipient) in [
        ("mx1.example.com", "joe@x.example"),
        ("unknown", "jim@x.example"),
    ] {
        let request = rcpt(name, "192.0.2.7", "a@sender.example", recipient);
        assert!(from.daemon.ask(&request).contains("Greylisted"));
    }
    let path = from.daemon.path().join("export");
    let path = path.to_str().unwrap();
    assert_eq!(ctl(&from, &["export", path]).0, Some(0));
    let to = OnBus::start(&[]);
    let (code, stdout, stderr) = ctl(&to, &["import", "json", path]);
    assert!(
        stderr.contains("1 of 2 records skipped: 1: ")
            && stderr.contains("without --lookup-by-domain"),
        "{stderr}"
    );
    assert_eq!(code, Some(1), "{stdout}{stderr}");
    let (_, pending, _) = ctl(&to, &["pending"]);
    assert!(pending.contains("jim@x.example") && !pending.contains("joe@x.example"));
}

/// What `stargreyctl import postgrey-options` says of a file.
fn options_of(file: &str, stdin: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_stargreyctl"))
        .args(["import", "postgrey-options", file])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It may end without reading.
    drop(child.stdin.take().unwrap().write_all(stdin.as_bytes()));
    child.wait_with_output().unwrap()
}

/// The words that systemd puts on the command line for `$OPTIONS` of this file.
fn options_for_systemd(file: &str) -> Vec<String> {
    let found = environment_file::assignments(file).into_iter();
    let mut options = found.filter(|assignment| assignment.name == "OPTIONS");
    let value = options.next().and_then(|assignment| assignment.value);
    assert_eq!(options.next(), None, "{file}");
    environment_file::words(&value.unwrap())
}

proptest! {
    #[test]
    fn systemd_reads_the_words_that_postgrey_had(
        text in "[-a=b'\"\\\\` %#;é]{0,12}",
        list in "/[-a=b'\"\\\\` %#;é]{0,12}",
    ) {
        let words = [format!("--greylist-text={text}"), format!("--whitelist-clients={list}")];
        let file = translate("FILE", format!("postgrey\0{}\0", words.join("\0")).as_bytes());
        prop_assert_eq!(options_for_systemd(&file.unwrap()), words);
    }
}

#[test]
fn an_option_file_that_was_taken_over_is_one_of_ours() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let debian = fs::read_to_string("/usr/share/postgrey/postgrey-default").unwrap();
    let text = "POSTGREY_TEXT=\"It's too early: wait %s seconds\"\n";
    let files = [
        debian.clone(),
        format!("{debian}{text}"),
        "postgrey --pidfile=/run/postgrey.pid --inet=10023 --greylist-text=Come back, please\0"
            .to_owned(),
    ];
    for file in files {
        fs::write(path("old"), &file).unwrap();
        let output = options_of(&path("old"), "");
        assert!(output.status.success(), "{file}: {output:?}");
        assert_eq!(
            options_of("-", &file).stdout.len() - "standard input".len(),
            output.stdout.len() - path("old").len()
        );
        let new = String::from_utf8(output.stdout).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_stargreyd"))
            .args(["--check", "--user=root", "--group=root"])
            .args(options_for_systemd(&new))
            .output()
            .unwrap();
        assert!(output.status.success(), "{file}: {output:?}");
    }
    let refused = |file: &str, stdin: &str| {
        let output = options_of(file, stdin);
        assert!(output.stdout.is_empty(), "{output:?}");
        (
            output.status.code(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let (code, said) = refused("-", "POSTGREY_OPTS=\"--inet=1\n --dealy=60\"\n. /etc/x\n");
    let want = "stargreyctl: standard input:2: --dealy=60: not an option of Postgrey\n\
                standard input:3: not an assignment; this file is read, not run by a shell\n";
    assert_eq!((code, &*said), (Some(65), want));
    let (code, said) = refused(&path("none"), "");
    assert_eq!(code, Some(74), "{said}");
}
