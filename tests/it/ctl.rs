//! The control program, over a bus of its own, with a service that only takes notes.
//!
//! What the real daemon answers is another matter; this is about batches, descriptors, exit codes and what is
//! said when something is refused.

#![expect(
    clippy::unused_self,
    clippy::needless_pass_by_value,
    reason = "methods of the bus have self and own what they are given"
)]

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use stargrey::api::{CHANGED, Dict, Error, FromRow, MANAGER, NAME, NEW, PATH, Row, UNCHANGED};
use stargrey::ctl::args::Arguments;
use stargrey::ctl::import::{header, trailer};
use stargrey::ctl::render::TerminalStyle;
use stargrey::ctl::session::{Session, Timeouts};
use stargrey::ctl::view::View;
use stargrey::ctl::{clock, verbs};
use stargrey::types::sync::Mutex;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use zbus::{Connection, OwnedFd, connection, interface};

use crate::bus::{OnBus, harness};
use crate::support::rcpt;

/// A bus that nobody else is on.
pub(crate) struct Bus {
    pub(crate) bus: harness::Bus,
    _directory: TempDir,
}

impl Bus {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self {
            bus: harness::Bus::start(directory.path()),
            _directory: directory,
        }
    }

    /// The program, on this bus.
    pub(crate) fn ctl(&self, arguments: &[&str]) -> Command {
        self.bus.ctl(arguments)
    }

    /// What it ends with, and what it says on standard output and standard error.
    fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        said(&self.ctl(arguments).output().unwrap())
    }
}

pub(crate) fn said(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (
        output.status.code().unwrap(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

/// A time that is far away: seconds since the epoch.
const FAR: u64 = 1 << 36;

/// Takes notes.
#[derive(Clone, Default)]
struct Notes(Arc<Mutex<Vec<String>>>);

impl Notes {
    fn note(&self, text: String) {
        self.0.lock().push(text);
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock())
    }
}

#[interface(name = "org.stargrey.Greylist1.Manager")]
impl Notes {
    fn add_entry(&self, list: &str, pattern: &str, comment: &str, lifetime: u64) {
        self.note(format!("add {list} {pattern} {comment} {lifetime}"));
    }

    /// Has two entries, with a comment and an end.
    fn put_entry(&self, list: &str, pattern: &str, changes: Dict) -> Dict {
        let (comment, lifetime) = (changes.text("comment"), changes.number("lifetime"));
        self.note(format!("put {list} {pattern} {comment:?} {lifetime:?}"));
        let is_new = !["A.example", "b.example"].contains(&pattern);
        let (old, end) = if is_new { ("", 0) } else { ("Ann asked", FAR) };
        let end = lifetime.map_or(end, |lifetime| if lifetime == 0 { 0 } else { FAR });
        Row::new()
            .with("comment", comment.unwrap_or(old))
            .with("expires", end)
            .with_some("old_comment", (!is_new).then_some(old))
            .build()
    }

    fn remove_entry(&self, list: &str, pattern: &str) -> Result<(), Error> {
        Err(match (list, pattern) {
            ("client-whitelist", "file") => Error::EntryInFile("it is in /etc/x:7".to_owned()),
            ("sender-whitelist", "<a@b>") => return Ok(()),
            _ => Error::NoSuchEntry("there is no such entry".to_owned()),
        })
    }

    fn allow(&self, client: &str, sender: &str, recipient: &str) {
        self.note(format!("allow {client} {sender} {recipient}"));
    }

    fn forget(&self, filter: Dict) -> Result<Dict, Error> {
        assert_eq!(filter.len(), 1);
        Err(Error::NotAuthorized("you may not".to_owned()))
    }

    fn pause(&self, length: u64) -> bool {
        self.note(format!("pause {length}"));
        true
    }

    fn resume(&self) -> bool {
        self.note("resume".to_owned());
        false
    }

    fn reload(&self) -> Result<(), Error> {
        Err(Error::ReloadRefused("/etc/x:1: what is that?".to_owned()))
    }

    fn backup(&self, file: OwnedFd) {
        let file = file.as_fd().try_clone_to_owned().unwrap();
        File::from(file).write_all(b"a copy").unwrap();
    }

    /// Refuses a batch with a 13 in it.
    fn import(&self, rows: Vec<Dict>, dry_run: bool) -> Result<Dict, Error> {
        let is_bad = |row: &Dict| row.values().any(|value| **value == 13_u64.into());
        if rows.iter().any(is_bad) {
            return Err(Error::InvalidRow("row 1 is unlucky".to_owned()));
        }
        let count = u64::try_from(rows.len()).unwrap();
        self.note(format!("import {count} {dry_run}"));
        let row = Row::new().with(NEW, count - 1).with(CHANGED, 1_u64);
        Ok(row.with(UNCHANGED, 0_u64).build())
    }

    /// Two pages, one row each.
    fn list_entries(&self, filter: Dict, after: Vec<u8>, limit: u32) -> (Vec<Dict>, Vec<u8>) {
        let pattern = if after.is_empty() {
            "a.example"
        } else {
            "b.example"
        };
        let row = Row::new().with("pattern", pattern).with("hits", 0_u64);
        let next = if after.is_empty() {
            vec![7]
        } else {
            Vec::new()
        };
        assert_eq!(limit, 1000);
        if filter.text("list") == Some("s25r-exceptions") {
            let row = row.with("source", "bus").with("comment", "Ann asked");
            return (vec![row.with("expires", 99_999_999_999_u64).build()], next);
        }
        (vec![row.build()], next)
    }

    /// Nobody waits unless it is asked for, but there are many pages of nobody.
    fn list_triplets(
        &self,
        filter: Dict,
        after: Vec<u8>,
        limit: u32,
    ) -> Result<(Vec<Dict>, Vec<u8>), Error> {
        // A network is looked for whatever the state of its triplets.
        let is_network = filter
            .text("client")
            .is_some_and(|client| client.contains('/'));
        let state = (!is_network).then_some("waiting");
        assert_eq!((filter.text("state"), limit), (state, 1000));
        if filter.text("sender") == Some("hashed") || filter.text("client") == Some("192.0.2.99") {
            return Err(Error::Hashed("there are only hashes".to_owned()));
        }
        let next = if after.len() < 5 {
            [&after[..], &[1]].concat()
        } else {
            Vec::new()
        };
        // Each page has somebody who has come back more often than those of the pages before.
        let wanted = filter.text("sender") == Some("many");
        let retries = u64::try_from(after.len()).unwrap();
        let row = Row::new()
            .with("network", format!("192.0.2.{retries}"))
            .with("retries", retries);
        let rows = wanted.then(|| row.build()).into_iter().collect();
        Ok((rows, next))
    }

    fn explain(&self, attributes: HashMap<String, String>) -> (Dict, Vec<Dict>) {
        let row = Row::new()
            .with("action", "pass")
            .with("reason", "client-awl");
        let step = Row::new().with("step", "client");
        let text = attributes["client_name"].clone() + " " + &attributes["sender"];
        (row.build(), vec![step.with("text", text).build()])
    }

    /// Two pages.
    fn export(&self, after: Vec<u8>, limit: u32) -> (Vec<Dict>, Vec<u8>) {
        let page = u64::from(after.first().copied().unwrap_or(0));
        let rows = (0..u64::from(limit)).map(|row| Row::new().with("first", page * 1000 + row));
        let next = if page == 0 { vec![1] } else { Vec::new() };
        (rows.map(Row::build).collect(), next)
    }
}

/// What anybody may know.
struct Monitor;

#[interface(name = "org.stargrey.Greylist1.Monitor")]
impl Monitor {
    fn get_statistics(&self) -> Dict {
        let row = Row::new().with("requests", 7_u64).with("greylisted", 5_u64);
        row.with("passed", 2_u64)
            .with("since", 1_795_310_000_u64)
            .build()
    }

    fn get_history(&self, from: u64, to: u64, step: u64) -> Vec<Dict> {
        assert_eq!((from % 3600, to % 3600, step), (0, 0, 3600));
        let row = Row::new().with("time", from).with("requests", 2_u64);
        vec![row.build()]
    }

    #[zbus(property)]
    fn version(&self) -> String {
        "0.1.0".to_owned()
    }

    #[zbus(property)]
    fn store_state(&self) -> String {
        "full".to_owned()
    }

    #[zbus(property)]
    fn waiting(&self) -> u64 {
        4711
    }
}

/// The service on a bus.
struct Service {
    bus: Bus,
    notes: Notes,
    _connection: Connection,
    _runtime: Runtime,
}

impl Service {
    fn start() -> Self {
        assert_eq!(MANAGER, "org.stargrey.Greylist1.Manager");
        let bus = Bus::start();
        let notes = Notes::default();
        let runtime = Runtime::new().unwrap();
        let connection = runtime.block_on(async {
            connection::Builder::address(bus.bus.address().as_str())
                .name(NAME)
                .serve_at(PATH, notes.clone())
                .serve_at(PATH, Monitor)
                .build()
                .await
                .unwrap()
        });
        Self {
            bus,
            notes,
            _connection: connection,
            _runtime: runtime,
        }
    }
}

/// An export of so many rows, the values from 100 on, and one of another value.
fn write_export(path: &Path, rows: u64, odd: Option<u64>) {
    let values = (100..100 + rows).chain(odd);
    let rows: Vec<_> = values
        .map(|value| format!("{{\"first\":{value}}}"))
        .collect();
    std::fs::write(path, export_of(&rows)).unwrap();
}

/// An export of these lines.
fn export_of(rows: &[String]) -> String {
    let last = trailer(rows.len() as u64).to_string();
    let lines = [header().to_string()]
        .into_iter()
        .chain(rows.iter().cloned());
    let lines: Vec<_> = lines.chain([last, String::new()]).collect();
    lines.join("\n")
}

#[test]
fn without_a_daemon_or_a_bus_it_says_so() {
    let bus = Bus::start();
    let (code, stdout, stderr) = bus.run(&[]);
    assert_eq!((code, &*stdout), (69, ""));
    assert!(
        stderr.starts_with("stargreyctl: stargreyd is not on the bus: `systemctl"),
        "{stderr}"
    );
    let nowhere = bus
        .ctl(&["status"])
        .env("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nowhere")
        .output();
    let (code, stdout, stderr) = said(&nowhere.unwrap());
    assert_eq!((code, &*stdout), (69, ""));
    assert!(
        stderr.starts_with("stargreyctl: cannot connect to the system bus"),
        "{stderr}"
    );
}

#[test]
fn watched_statistics_follow_the_daemon_outlive_it_and_end_with_their_reader() {
    let mut on = OnBus::start(&[]);
    let mut watch = on.bus.ctl(&["statistics", "--watch=1", "--json"]);
    let mut watch = watch.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    let mut until = |wanted: &str| {
        let found = lines.find(|line| line.as_ref().unwrap().replace(' ', "").contains(wanted));
        assert!(found.is_some(), "{wanted}");
    };
    until("\"requests\":0");
    on.daemon
        .ask(&rcpt("unknown", "192.0.2.7", "a@b.example", "c@d.example"));
    until("\"requests\":1");
    on.daemon.kill();
    until("stargreyctl:stargreydisnotonthebus");
    drop(lines);
    // The next one finds nobody who reads it.
    assert!(watch.wait().unwrap().code().is_some());
    // What fails at once is an error, and is not repeated.
    let failed = on.bus.ctl(&["statistics", "--watch=1"]).output();
    assert_eq!(said(&failed.unwrap()).0, 69);
}

#[test]
fn refusals_are_sentences_with_exit_codes() {
    let service = Service::start();
    let cases: [(&[&str], i32, &str); 12] = [
        (
            &["remove", "client", "file"],
            65,
            "stargreyctl: it is in /etc/x:7\n",
        ),
        (
            &["remove", "client", "x"],
            1,
            "stargreyctl: there is no such entry\n",
        ),
        (
            &["forget", "--everything"],
            77,
            "stargreyctl: Access denied; try sudo\n(you may not; the action of polkit is org.stargrey.Greylist1.manage-records)\n",
        ),
        (
            &["reload"],
            78,
            "stargreyctl: reload failed, keeping the old lists; fix these errors:\n/etc/x:1: what is that?\n",
        ),
        (
            &["import", "json", "/nowhere"],
            74,
            "stargreyctl: /nowhere: No such file or directory (os error 2)\n",
        ),
        (
            &["statistics", "--since=1000y"],
            64,
            "stargreyctl: this date or time does not exist\n",
        ),
        (
            &["statistics", "--since=@99999999999"],
            64,
            "stargreyctl: this is in the future\n",
        ),
        (
            &["explain", ""],
            64,
            "stargreyctl: the client is missing: give its address, its name, or NAME[ADDRESS] as in the log\n",
        ),
        (
            &["explain", "192.0.2.0/24"],
            64,
            "stargreyctl: 192.0.2.0/24 is a network without such a triplet: give the address of one client in it\n",
        ),
        (
            &["pass", "192.0.2.0/24", "<>", "bob@example.net"],
            64,
            "stargreyctl: 192.0.2.0/24 is a network without such a triplet: give the address of one client in it\n",
        ),
        (
            &["import", "postgrey", "/dev/null"],
            65,
            "stargreyctl: /dev/null: line 1: not what db_dump writes; VERSION=3 is expected here\n",
        ),
        (
            &["pending", "--sender=hashed"],
            65,
            "stargreyctl: there are only hashes\n",
        ),
    ];
    for (arguments, code, want) in cases {
        let got = service.bus.run(arguments);
        assert_eq!(got, (code, String::new(), want.to_owned()), "{arguments:?}");
    }
}

#[test]
fn arguments_arrive() {
    let service = Service::start();
    let allow = [
        "allow",
        "recipient",
        "bob@",
        "--comment=for Bob",
        "--for=12h",
    ];
    let (code, stdout, _) = service.bus.run(&allow);
    assert_eq!(code, 0);
    assert!(
        stdout.starts_with("bob@ is on the recipient-whitelist until "),
        "{stdout}"
    );
    let (code, stdout, _) =
        service
            .bus
            .run(&["pass", "192.0.2.7", "<>", "bob@example.net", "--json"]);
    assert_eq!((code, &*stdout), (0, "{\n  \"result\": \"done\"\n}\n"));
    let pass = ["pass", "a.b[192.0.2.7]", "a\\xff@b", "bob@example.net"];
    let (code, stdout, _) = service.bus.run(&pass);
    let want = "192.0.2.7: a\\xff@b to bob@example.net passes from now on.\n";
    assert_eq!((code, &*stdout), (0, want));
    let (code, stdout, _) = service.bus.run(&["allow", "sender", "<>"]);
    let want = "/^$/, the pattern for <>, is on the sender-whitelist.\n";
    assert_eq!((code, &*stdout), (0, want));
    let (code, stdout, _) = service.bus.run(&["allow", "sender", "<a\\.b@c>"]);
    assert_eq!(
        (code, &*stdout),
        (0, "a\\.b@c is on the sender-whitelist.\n")
    );
    // Somebody else has added it so.
    let (code, stdout, _) = service.bus.run(&["remove", "sender", "<a@b>"]);
    assert_eq!(
        (code, &*stdout),
        (0, "<a@b> was removed from the sender-whitelist.\n")
    );
    let (code, stdout, _) = service.bus.run(&["pause", "--for=90min"]);
    assert_eq!(code, 0);
    assert!(
        stdout.starts_with("Greylisting is paused until ")
            && stdout.ends_with("; all mail passes.\n"),
        "{stdout}"
    );
    let (code, stdout, _) = service.bus.run(&["pause"]);
    let want = "Greylisting is paused until `stargreyctl resume`; all mail passes.\n";
    assert_eq!((code, &*stdout), (0, want));
    let (code, stdout, _) = service.bus.run(&["resume"]);
    assert_eq!(code, 0);
    assert!(stdout.contains("not in the database yet"), "{stdout}");
    let want = [
        "put recipient-whitelist bob@ Some(\"for Bob\") Some(43200)",
        "allow 192.0.2.7  bob@example.net",
        "allow 192.0.2.7 a\\xff@b bob@example.net",
        "put sender-whitelist /^$/ None None",
        "put sender-whitelist a\\.b@c None None",
        "pause 5400",
        "pause 0",
        "resume",
    ];
    assert_eq!(service.notes.take(), want);
}

#[test]
fn status_has_the_properties_and_the_counters() {
    let service = Service::start();
    let (code, stdout, stderr) = service.bus.run(&[]);
    // The database is full.
    assert_eq!((code, &*stderr), (1, ""));
    for line in ["Database: full", "Triplets: unknown"] {
        assert!(stdout.contains(line), "{stdout}");
    }
    assert!(stdout.contains("Requests: 7 (5 greylisted, 2 passed) since "));
    let (code, stdout, _) = service.bus.run(&["status", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((code, &json["store_state"]), (1, &"full".into()));
    let (code, stdout, _) = service.bus.run(&["statistics", "--by=hour", "--no-legend"]);
    assert_eq!((code, stdout.lines().count()), (0, 25));
    let (code, stdout, _) = service.bus.run(&["statistics", "--since=2h", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((code, &json["requests"]), (0, &2.into()));
}

#[test]
fn listings_go_through_all_pages() {
    let service = Service::start();
    let (code, stdout, _) = service.bus.run(&["list", "client", "--no-legend"]);
    assert_eq!((code, &*stdout), (0, "a.example  0\nb.example  0\n"));
    let (code, stdout, _) = service.bus.run(&["pending"]);
    assert_eq!((code, &*stdout), (0, "0 triplets listed.\n"));
    let (code, stdout, _) = service
        .bus
        .run(&["pending", "--sender=many", "--limit=2", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    let rows = json.as_array().unwrap();
    let networks: Vec<_> = rows.iter().map(|row| row["network"].as_str()).collect();
    let want = [Some("192.0.2.5"), Some("192.0.2.4")];
    assert_eq!((code, &*networks), (0, &want[..]));
}

#[test]
fn an_entry_that_exists_keeps_what_is_not_given() {
    let service = Service::start();
    let cases: [(&[&str], &str, &str); 4] = [
        (
            &["A.example"],
            "A.example stays on the s25r-exceptions until ",
            "Its comment is unchanged: Ann asked",
        ),
        (
            &["b.example", "--comment=Bob", "--for=forever"],
            "b.example stays on the s25r-exceptions forever.\n",
            "Its comment is: Bob; it was: Ann asked",
        ),
        (
            &["b.example", "--comment="],
            "b.example stays on the s25r-exceptions until ",
            "Its comment was removed; it was: Ann asked",
        ),
        (&["c.example"], "c.example is on the s25r-exceptions.", ""),
    ];
    for (arguments, begin, end) in cases {
        let line = [&["allow", "s25r"], arguments].concat();
        let (code, stdout, _) = service.bus.run(&line);
        assert_eq!(code, 0, "{arguments:?}");
        assert!(
            stdout.starts_with(begin) && stdout.trim_end().ends_with(end),
            "{stdout}"
        );
    }
    let want = [
        "put s25r-exceptions A.example None None",
        "put s25r-exceptions b.example Some(\"Bob\") Some(0)",
        "put s25r-exceptions b.example Some(\"\") None",
        "put s25r-exceptions c.example None None",
    ];
    assert_eq!(service.notes.take(), want, "the daemon keeps the rest");
}

#[test]
fn an_error_of_the_command_line_has_the_prefix_of_all_others() {
    let bus = Bus::start();
    for arguments in [&["nonsense"][..], &["list", "nonsense"], &["pass"]] {
        let (code, stdout, stderr) = bus.run(arguments);
        assert_eq!((code, &*stdout), (64, ""), "{arguments:?}");
        assert!(
            stderr.starts_with("stargreyctl: ") && !stderr.contains("error:"),
            "{stderr}"
        );
    }
}

/// What bash offers for a line that ends with the word `typed`.
fn completed(bus: &Bus, line: &str, typed: &str) -> Vec<String> {
    let program = env!("CARGO_BIN_EXE_stargreyctl");
    let script = format!(
        "stargreyctl() {{ {program} \"$@\"; }}
        eval \"$(stargreyctl completion bash)\"
        COMP_LINE='{line}' COMP_POINT={point} COMP_WORDS=({line}) COMP_CWORD={word}
        {function} stargreyctl '{typed}' '{before}'
        printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        point = line.len(),
        word = line.split(' ').count() - 1,
        before = line.rsplit(' ').nth(1).unwrap_or_default(),
        function = "_stargreyctl_with_entries",
    );
    let mut bash = Command::new("bash");
    bash.args(["-c", &script]);
    for (name, value) in bus.ctl(&[]).get_envs() {
        bash.env(name, value.unwrap_or_default());
    }
    let (code, stdout, stderr) = said(&bash.output().unwrap());
    assert_eq!((code, &*stderr), (0, ""), "{line}");
    stdout.lines().map(str::to_owned).collect()
}

#[test]
fn a_shell_completes_entries_and_times() {
    let service = Service::start();
    let cases = [
        ("stargreyctl remove s25r ", "", "a.example b.example"),
        ("stargreyctl remove s25r b", "b", "b.example"),
        (
            "stargreyctl --json remove s25r-exceptions a.",
            "a.",
            "a.example",
        ),
        // These are of files.
        ("stargreyctl remove client ", "", ""),
        ("stargreyctl statistics --since to", "to", "today"),
        ("stargreyctl allow client x --for f", "f", "forever"),
    ];
    for (line, typed, want) in cases {
        let got = completed(&service.bus, line, typed).join(" ");
        assert_eq!(got, want, "{line}");
    }
}

#[test]
fn short_names_of_lists_stand_in_the_help() {
    let bus = Bus::start();
    for verb in ["list", "allow", "remove"] {
        let (_, stdout, _) = bus.run(&[verb, "--help"]);
        for short in ["client", "recipient", "sender", "s25r"] {
            assert!(stdout.contains(&format!("(short: {short})")), "{stdout}");
        }
    }
}

#[test]
fn an_explanation_says_what_was_assumed() {
    let service = Service::start();
    let (code, stdout, stderr) = service.bus.run(&["explain", "a.b[192.0.2.7]"]);
    assert_eq!((code, &*stderr), (0, ""));
    for text in [
        "Client: a.b[192.0.2.7]\n",
        "(assumed)\n",
        "client: a.b stranger@sender.invalid\n",
    ] {
        assert!(stdout.contains(text), "{stdout}");
    }
    // Under --privacy who waits there cannot be found, and all else can be said.
    let (code, stdout, stderr) = service.bus.run(&["explain", "a.b[192.0.2.99]"]);
    assert_eq!((code, &*stderr), (0, ""));
    assert!(stdout.contains("Client: a.b[192.0.2.99]\n"), "{stdout}");
}

#[test]
fn imports_go_in_batches() {
    let service = Service::start();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("rows");
    let name = path.to_str().unwrap();
    write_export(&path, 250, None);
    let (code, stdout, stderr) = service.bus.run(&["import", "json", name]);
    let want = "     Read: 250\n      New: 247\n  Changed: 3\nUnchanged: 0\n";
    assert_eq!((code, &*stdout, &*stderr), (0, want, ""));
    let want = ["import 100 false", "import 100 false", "import 50 false"];
    assert_eq!(service.notes.take(), want);

    let (code, stdout, _) = service.bus.run(&["import", "json", name, "--dry-run"]);
    assert_eq!(code, 0);
    assert!(
        stdout
            .ends_with("\nDry run: nothing was imported. Duplicate records were counted twice.\n"),
        "{stdout}"
    );
    assert_eq!(
        service.notes.take().last().map(String::as_str),
        Some("import 50 true")
    );

    write_export(&path, 200, Some(13));
    let (code, stdout, stderr) = service.bus.run(&["import", "json", name]);
    let want = "     Read: 201\n      New: 198\n  Changed: 2\nUnchanged: 0\n  \
                Skipped: 1: stargreyd refuses the record: row 1 is unlucky\n";
    assert_eq!((code, &*stdout, &*stderr), (0, want, ""));
}

#[test]
fn many_skipped_records_are_said_aloud_and_end_with_1() {
    let service = Service::start();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("rows");
    let name = path.to_str().unwrap();
    let rows = ["100", "101", "13"].map(|value| format!("{{\"first\":{value}}}"));
    let rows = [&rows[..], &["{\"first\":".to_owned()]].concat();
    std::fs::write(&path, export_of(&rows)).unwrap();
    let (code, stdout, stderr) = service.bus.run(&["import", "json", name]);
    let want = "     Read: 4\n      New: 0\n  Changed: 2\nUnchanged: 0\n  \
                Skipped: 1: the line is not a JSON object of numbers, strings and booleans\n  \
                Skipped: 1: stargreyd refuses the record: row 1 is unlucky\n";
    let warning = "stargreyctl: warning: 2 of 4 records skipped: \
                   1: the line is not a JSON object of numbers, strings and booleans; \
                   1: stargreyd refuses the record: row 1 is unlucky\n";
    assert_eq!((code, &*stdout, &*stderr), (1, want, warning));
}

#[test]
fn nothing_is_sent_of_a_file_with_an_error_in_it() {
    let service = Service::start();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("rows");
    let records = " 192.0.2.7\n 1,2\n".repeat(2500);
    let dump = format!("VERSION=3\nformat=print\ntype=btree\nHEADER=END\n{records}");
    std::fs::write(&path, dump).unwrap();
    let import = ["import", "postgrey", path.to_str().unwrap()];
    let (code, _, stderr) = service.bus.run(&import);
    assert_eq!(code, 65);
    assert!(stderr.contains(": the dump ends early, "), "{stderr}");
    assert!(service.notes.take().is_empty());

    write_export(&path, 0, None);
    let (code, stdout, _) = service.bus.run(&["import", "json", path.to_str().unwrap()]);
    assert_eq!(code, 1);
    assert!(stdout.starts_with("There are no records in "), "{stdout}");

    std::fs::write(&path, "one line\nanother\n").unwrap();
    let import = ["import", "milter-greylist", path.to_str().unwrap()];
    let (code, stdout, stderr) = service.bus.run(&import);
    assert_eq!((code, &*stdout), (65, ""));
    assert!(
        stderr.starts_with("stargreyctl: no valid records in "),
        "{stderr}"
    );
    assert!(service.notes.take().is_empty());
}

#[test]
fn a_backup_is_written_into_a_file_that_is_opened_here() {
    let service = Service::start();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("copy");
    let name = path.to_str().unwrap();
    let (code, stdout, _) = service.bus.run(&["backup", name]);
    let want = format!("The database is copied to {name}.\n");
    assert_eq!((code, stdout), (0, want));
    assert_eq!(std::fs::read(&path).unwrap(), b"a copy");
    let (code, _, stderr) = service.bus.run(&["backup", name]);
    assert_eq!(code, 73);
    assert_eq!(
        stderr,
        format!("stargreyctl: {name} exists; --force replaces it\n")
    );
    assert_eq!(service.bus.run(&["backup", name, "--force"]).0, 0);
}

#[test]
fn an_export_can_be_imported() {
    let service = Service::start();
    let (code, export, _) = service.bus.run(&["export"]);
    assert_eq!((code, export.lines().count()), (0, 2002));
    // One of the rows is the 13 that the service does not take.
    let (code, stdout, stderr) = import_stdin(&service, &["--dry-run"], &export);
    assert_eq!((code, &*stderr), (0, ""));
    assert!(stdout.starts_with("     Read: 2000\n"), "{stdout}");
}

/// Imports an export from standard input.
fn import_stdin(service: &Service, options: &[&str], export: &str) -> (i32, String, String) {
    let mut import = service
        .bus
        .ctl(&[&["import", "json", "-"], options].concat())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = import.stdin.take().unwrap();
    stdin.write_all(export.as_bytes()).unwrap();
    drop(stdin);
    said(&import.wait_with_output().unwrap())
}

#[test]
fn an_export_that_was_cut_off_is_not_taken_for_a_whole_one() {
    let service = Service::start();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("rows");
    let name = path.to_str().unwrap();
    write_export(&path, 150, None);
    let whole = std::fs::read_to_string(&path).unwrap();
    let (rest, _) = whole.split_once("{\"first\":249}").unwrap();
    let incomplete = "the export is incomplete";
    for (case, text, want) in [
        (
            "in the middle of a line",
            format!("{rest}{{\"first\":2"),
            format!(
                "{incomplete}: it ends after 150 records, without the line that states how many there are"
            ),
        ),
        (
            "between lines",
            rest.to_owned(),
            format!(
                "{incomplete}: it ends after 149 records, without the line that states how many there are"
            ),
        ),
        (
            "another number",
            format!("{rest}{}\n", trailer(150)),
            format!(
                "{incomplete} or was changed: its last line states 150 records, and there are 149"
            ),
        ),
    ] {
        std::fs::write(&path, &text).unwrap();
        let (code, stdout, stderr) = service.bus.run(&["import", "json", name]);
        let told = format!("stargreyctl: {name}: {want}\n");
        assert_eq!((code, &*stdout, stderr), (65, "", told), "{case}");
        assert!(service.notes.take().is_empty(), "{case}: nothing is sent");

        // What cannot be read twice was sent up to there.
        let (code, stdout, stderr) = import_stdin(&service, &[], &text);
        let told = format!(
            "stargreyctl: standard input: {want}\nuntil then 100 records had been imported: "
        );
        assert_eq!((code, &*stdout), (65, ""), "{case}");
        assert!(stderr.starts_with(&told), "{case}: {stderr}");
        service.notes.take();
    }
    std::fs::write(&path, &whole).unwrap();
    let (code, _, stderr) = service.bus.run(&["import", "json", name]);
    assert_eq!((code, &*stderr), (0, ""), "whole");

    let (_, earlier) = rest.split_once('\n').unwrap();
    let earlier =
        format!("{{\"schema\":1,\"stargrey\":\"export\",\"version\":\"0.1.0\"}}\n{earlier}");
    std::fs::write(&path, earlier).unwrap();
    let (code, stdout, stderr) = service.bus.run(&["import", "json", name]);
    let told = format!(
        "stargreyctl: {name} was exported by an earlier version and has no line that states the number of \
         records: whether it is complete is not known\n"
    );
    assert_eq!((code, stderr), (0, told), "of an earlier version");
    assert!(stdout.starts_with("     Read: 149\n"), "{stdout}");
}

#[test]
fn output_that_nobody_reads_is_no_failure() {
    let service = Service::start();
    let mut export = service.bus.ctl(&["export"]);
    let mut export = export
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(export.stdout.take());
    let (code, _, stderr) = said(&export.wait_with_output().unwrap());
    assert_eq!((code, &*stderr), (0, ""));
}

/// A daemon that has its name and its object and answers nothing.
struct Stuck;

#[interface(name = "org.stargrey.Greylist1.Manager")]
impl Stuck {
    async fn reload(&self) {
        std::future::pending::<()>().await;
    }

    async fn backup(&self, file: OwnedFd) {
        std::future::pending::<()>().await;
        drop(file);
    }
}

/// Answers nothing either.
struct StuckMonitor;

#[interface(name = "org.stargrey.Greylist1.Monitor")]
impl StuckMonitor {
    async fn get_statistics(&self) -> Dict {
        std::future::pending().await
    }
}

/// The stuck one on a bus.
pub(crate) fn stuck(runtime: &Runtime) -> (Bus, Connection) {
    let bus = Bus::start();
    let connection = runtime.block_on(async {
        connection::Builder::address(bus.bus.address().as_str())
            .name(NAME)
            .serve_at(PATH, Stuck)
            .serve_at(PATH, StuckMonitor)
            .build()
            .await
            .unwrap()
    });
    (bus, connection)
}

#[test]
fn a_daemon_that_does_not_answer_is_not_waited_for_for_ever() {
    let runtime = Runtime::new().unwrap();
    let (bus, _connection) = stuck(&runtime);
    let timeouts = Timeouts {
        monitor: Duration::from_millis(20),
        manager: Duration::from_millis(20),
        ..Timeouts::USUAL
    };
    let view = View {
        terminal: TerminalStyle::plain(),
        json: false,
        now: clock::now(),
    };
    for words in [
        &["stargreyctl", "status"][..],
        &["stargreyctl", "statistics"],
        &["stargreyctl", "reload"],
    ] {
        let verb = Arguments::try_parse_from(words).unwrap().verb.unwrap();
        let failure = runtime.block_on(async {
            let address = bus.bus.address();
            let bus = connection::Builder::address(address.as_str());
            let session = Session::begin(bus, timeouts, view.clone()).await.unwrap();
            verbs::run(&session, &verb).await.unwrap_err()
        });
        let want = "no reply from stargreyd; see `systemctl status stargrey.service`";
        assert_eq!(
            (failure.code(), &*failure.to_string()),
            (69, want),
            "{words:?}"
        );
    }
}

#[test]
fn what_is_interrupted_leaves_nothing_behind() {
    let runtime = Runtime::new().unwrap();
    let (bus, _connection) = stuck(&runtime);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("copy");
    for (signal, want) in [("-INT", 130), ("-TERM", 143)] {
        let mut backup = bus.ctl(&["backup", path.to_str().unwrap()]);
        let backup = backup
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // The file is there as soon as the daemon is asked.
        until(|| names(directory.path()) == 1);
        let pid = backup.id().to_string();
        let killed = Command::new("kill").args([signal, &pid]).status();
        assert!(killed.unwrap().success());
        let (code, stdout, stderr) = said(&backup.wait_with_output().unwrap());
        let said = (&*stdout, &*stderr);
        assert_eq!((code, said), (want, ("", "stargreyctl: interrupted\n")));
        assert_eq!(names(directory.path()), 0, "{signal}");
    }
}

/// How many files there are.
fn names(directory: &Path) -> usize {
    std::fs::read_dir(directory).unwrap().count()
}

/// Waits until it is so, and not for ever.
fn until(is_so: impl Fn() -> bool) {
    let begun = clock::steady();
    while !is_so() {
        let waited = clock::steady().saturating_sub(begun);
        assert!(waited < Duration::from_secs(20), "it comes to that");
        std::thread::yield_now();
    }
}

/// A spam of which nothing can be read on the wire.
const SPAM: &str = "Subject: =?iso-2022-jp?B?GyRCTCQ+NUJ6OS05cBsoQg==?=\nContent-Type: text/plain; \
    charset=ISO-2022-JP\nContent-Transfer-Encoding: base64\n\nGyRCOiM5LTlwGyhC\n";

#[test]
fn a_message_is_tested_against_tables_without_the_daemon() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (header, bad) = (
        write("header", "/未承諾/ WARN\n"),
        write("bad", "/(/ OK\n/x/ BCC a@b\n"),
    );
    let (body, spam) = (write("body", "/^今.*告/ REJECT\n"), write("spam", SPAM));
    let ham = write("ham", "Subject: hello\n\nhello\n");
    let test = |arguments: &[&str], input: Stdio| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stargreyctl"));
        let output = command
            .arg("test-message")
            .args(arguments)
            .stdin(input)
            .output();
        said(&output.unwrap())
    };
    let (header, body) = (
        format!("--header-checks={header}"),
        format!("--body-checks=pcre:{body}"),
    );
    let shown = |file: &str| directory.path().join(file).display().to_string();
    let want = format!(
        "{}:1: /未承諾/ WARN\n    header 1: Subject: 未承諾広告\n{}:1: /^今.*告/ REJECT\n    body 1: 今広告\n\
         Result: 550 5.7.1 message content rejected\n",
        shown("header"),
        shown("body")
    );
    for input in [spam.as_str(), "-"] {
        let stdin = Stdio::from(File::open(&spam).unwrap());
        let found = test(&[&header, &body, input], stdin);
        assert_eq!(found, (0, want.clone(), String::new()), "{input}");
    }
    assert_eq!(test(&[&header, &ham], Stdio::null()).0, 1);
    let (code, _, error) = test(&[&format!("--header-checks={bad}"), &spam], Stdio::null());
    assert_eq!(code, 65);
    assert!(
        error.contains("/bad:1: bad expression")
            && error.contains("/bad:2: a milter cannot add a recipient"),
        "{error}"
    );
    let (code, _, error) = test(&["--body-checks=cidr:/x", &spam], Stdio::null());
    assert_eq!(code, 65);
    assert!(
        error.contains("--body-checks: a table for messages is regexp: or pcre:"),
        "{error}"
    );
    assert_eq!(test(&[&header, "/nowhere"], Stdio::null()).0, 74);
}
