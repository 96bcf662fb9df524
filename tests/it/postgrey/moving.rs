//! Moving in: what Debian's postgrey has learned is taken over by stargreyctl, and the next mail is answered as
//! postgrey would have answered it.

use std::fs;
use std::process::Command;

use super::compare;
use super::configurations::{ALL, LISTS, SAME_TEXTS};
use super::generator::{self, Request};
use super::peer::{Answer, PATIENCE, Postgrey, Wire};
use crate::bus::OnBus;
use crate::manual::source;
use crate::support::{Daemon, TestClock, rcpt};

/// Where Debian's package has its lists.
const PACKAGED: &str = "/usr/share/postgrey";

/// Mails of a run; each is some seven requests.
const MAILS: u64 = 800;

/// Requests that are compared after the move.
const COMPARED: usize = 1000;

/// Mail without a `/` in an address: keys with one more than they need cannot be split, and are left out.
fn requests(seed: u64) -> Vec<Request> {
    let all = generator::requests(&ALL[0], seed, MAILS);
    all.into_iter()
        .filter(|request| !request.bytes().contains(&b'/'))
        .collect()
}

#[test]
fn after_the_move_mail_is_answered_as_postgrey_would_have_answered_it() {
    for seed in [11, 12] {
        let requests = requests(seed);
        let (learned, compared) = requests.split_at(requests.len() - COMPARED);
        assert!(learned.len() > COMPARED, "{}", learned.len());

        let options: Vec<String> = SAME_TEXTS.iter().map(ToString::to_string).collect();
        let mut postgrey = Postgrey::start(&options, LISTS).unwrap();
        let mut wire = postgrey.connect(PATIENCE);
        for request in learned {
            let answer = wire.ask(&request.bytes());
            assert!(matches!(answer, Answer::Action(_)), "{answer:?}");
        }
        drop(wire);

        let daemon = Daemon::prepare();
        let clock = TestClock::at(daemon.path(), compared[0].at);
        let mut all = options.clone();
        all.extend(LISTS.write(daemon.path()));
        all.extend([clock.option(), "--policy-test-time".to_owned()]);
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        let on = OnBus::start_prepared(daemon, &all);
        let directory = postgrey.directory().to_owned();
        let import = || {
            let output = Command::new(env!("CARGO_BIN_EXE_stargreyctl"))
                .args(["import", "postgrey"])
                .arg(&directory)
                .env("DBUS_SYSTEM_BUS_ADDRESS", on.bus.address())
                .output()
                .unwrap();
            let text = [output.stdout, output.stderr].concat();
            (output.status.success(), String::from_utf8(text).unwrap())
        };
        let (is_done, said) = import();
        assert!(!is_done, "a postgrey that runs is refused: {said}");
        postgrey.stop();
        let (is_done, said) = import();
        assert!(is_done, "{said}");

        postgrey.restart(&options, LISTS);
        let connect = |_| {
            let other = Wire::open(&on.daemon.socket(), PATIENCE).expect("stargreyd accepts");
            (postgrey.connect(PATIENCE), other)
        };
        compare(&ALL[0], compared, connect)
            .unwrap_or_else(|difference| panic!("seed {seed}: {difference}\n{said}"));
    }
}

#[test]
fn the_options_of_a_postgrey_that_runs_are_those_that_it_was_given() {
    let options = ["--delay=60", "--greylist-text=Come back, please"];
    let postgrey = Postgrey::start(&options.map(str::to_owned), LISTS).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_stargreyctl"))
        .args(["import", "postgrey-options"])
        .arg(format!("/proc/{}/cmdline", postgrey.pid()))
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let line = text
        .lines()
        .find(|line| line.starts_with("OPTIONS="))
        .unwrap();
    let words = "--quiet --hostname=mx.example.org --delay=60 --greylist-text='Come back, please'";
    assert!(
        line.starts_with(&format!("OPTIONS=\"{words} --whitelist-clients=")),
        "{text}"
    );
    for (left_out, why) in [
        ("--unix=", "stargrey.socket"),
        ("--dbdir=", "the database is"),
        ("--user=root", "systemd"),
    ] {
        let is_said =
            |line: &str| line.starts_with(&format!("# Left out: {left_out}")) && line.contains(why);
        assert!(text.lines().any(is_said), "{text}");
    }
}

/// A client that this entry of Postgrey's list covers, by name and address; `None` for an expression.
fn covered(entry: &str) -> Option<(String, String)> {
    let is_of_address = |c: char| c.is_ascii_hexdigit() || matches!(c, '.' | ':' | '/');
    let unknown = |address: String| Some(("unknown".to_owned(), address));
    if entry.starts_with('/') {
        None
    } else if entry.contains(':') {
        unknown(entry.split('/').next()?.to_owned())
    } else if entry
        .chars()
        .all(|c| is_of_address(c) && !c.is_alphabetic())
    {
        let address = entry.split('/').next()?;
        let missing = 3 - address.matches('.').count();
        unknown(format!("{address}{}", ".1".repeat(missing)))
    } else {
        Some((format!("mx.{entry}"), "198.51.100.7".to_owned()))
    }
}

#[test]
fn the_options_are_taken_over_whole_or_not_at_all() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let page = source("man/stargrey.7");
    let mut lines = page
        .lines()
        .filter(|line| line.contains("import postgrey-options >"));
    let line = lines.next().unwrap();
    assert_eq!(lines.next(), None);
    let program = env!("CARGO_BIN_EXE_stargreyctl");
    let shell = |from: &str| {
        let line = line
            .replace("/etc/default/stargrey", &path("stargrey"))
            .replace(
                "stargreyctl import postgrey-options",
                &format!("{program} import postgrey-options {from}"),
            );
        let output = Command::new("sh").args(["-c", &line]).output().unwrap();
        (
            output.status.success(),
            fs::read_to_string(path("stargrey")).unwrap(),
        )
    };
    let old = "OPTIONS=\"--delay=100\"\n";
    fs::write(path("stargrey"), old).unwrap();
    fs::write(path("wrong"), "POSTGREY_OPTS=\"--delay=200\n").unwrap();
    for from in [path("missing"), path(""), path("wrong")] {
        assert_eq!(shell(&from), (false, old.to_owned()), "{from}");
    }
    fs::write(path("good"), "POSTGREY_OPTS=\"--delay=200\"\n").unwrap();
    let (is_done, new) = shell(&path("good"));
    assert!(is_done && new.contains("--delay=200"), "{new}");
}

#[test]
fn after_the_move_no_entry_of_debians_postgrey_is_lost() {
    let daemon = Daemon::prepare();
    let directory = daemon.path().to_str().unwrap().to_owned();
    let (old, new) = (
        format!("{directory}/postgrey"),
        format!("{directory}/stargrey"),
    );
    fs::create_dir(&old).unwrap();
    fs::create_dir(&new).unwrap();
    for name in ["whitelist_clients", "whitelist_recipients"] {
        let list = fs::read(format!("{PACKAGED}/{name}")).unwrap();
        // An editor may leave out the last line's end; nothing is glued to it.
        fs::write(format!("{old}/{name}"), list.trim_ascii_end()).unwrap();
    }
    fs::write(format!("{old}/whitelist_clients.local"), "mine.example").unwrap();
    let page = source("man/stargrey.7");
    let lines: Vec<_> = page
        .lines()
        .filter(|line| line.starts_with("awk "))
        .collect();
    assert_eq!(lines.len(), 2, "{lines:?}");
    for line in lines {
        let line = line
            .replace("/etc/postgrey", &old)
            .replace("/etc/stargrey", &new);
        let status = Command::new("bash").args(["-e", "-c", &line]).status();
        assert!(status.unwrap().success(), "{line}");
    }

    let mut daemon = daemon;
    daemon.run(&[
        format!("--whitelist-clients={new}/whitelist_clients.local"),
        format!("--whitelist-recipients={new}/whitelist_recipients.local"),
    ]);
    let list = fs::read_to_string(format!("{PACKAGED}/whitelist_clients")).unwrap();
    let entries = list
        .lines()
        .map(|line| line.split('#').next().unwrap().trim());
    let entries: Vec<_> = entries
        .filter(|entry| !entry.is_empty())
        .chain(["mine.example"])
        .collect();
    assert_eq!(entries.len(), 165, "the page says 164");
    let mut plain = 0;
    for entry in entries {
        let Some((name, address)) = covered(entry) else {
            continue;
        };
        plain += 1;
        let answer = daemon.ask(&rcpt(&name, &address, "s@a.example", "r@b.example"));
        assert_eq!(answer, "DUNNO", "{entry}");
    }
    assert_eq!(plain, 131, "130 and one of our own");
    let answer = daemon.ask(&rcpt(
        "mx.a.example",
        "198.51.100.7",
        "s@a.example",
        "abuse@b.example",
    ));
    assert_eq!(answer, "DUNNO");
}
