//! Lists from the web: a local server, the real curl, the real daemon; what is told by mail, and what is active.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};

use crate::bus::OnBus;
use crate::ctl::said;
use crate::support::mail::read;
use crate::support::{Daemon, rcpt};

/// A web server, with and without TLS; it ends with its standard input.
struct Server {
    child: Child,
    output: BufReader<ChildStdout>,
    ports: (String, String),
}

impl Server {
    fn start(on: &OnBus) -> Self {
        let directory = on.daemon.path();
        let certificate = directory.join("certificate");
        let made = Command::new("openssl")
            .args([
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
            ])
            .args(["-nodes", "-days", "2", "-subj", "/CN=list"])
            .args(["-addext", "subjectAltName=IP:127.0.0.1", "-keyout"])
            .args([&certificate, &"-out".into(), &directory.join("authority")])
            .stderr(Stdio::null())
            .status();
        assert!(made.expect("openssl is there (package openssl)").success());
        let authority = fs::read(directory.join("authority")).unwrap();
        let key = fs::read(&certificate).unwrap();
        fs::write(&certificate, [key, authority].concat()).unwrap();
        fs::create_dir(directory.join("web")).unwrap();
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/list_watch.py");
        let child = Command::new("python3")
            .args([
                script.as_ref(),
                directory.join("web").as_path(),
                &certificate,
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let mut child = child.expect("python3 is there (package python3)");
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        let (encrypted, plain) = line.trim().split_once(' ').expect("two ports");
        Self {
            ports: (encrypted.to_owned(), plain.to_owned()),
            child,
            output,
        }
    }

    /// The next request: path and status.
    fn request(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        drop(self.child.wait());
    }
}

/// A daemon whose client whitelist is the installed list `clients`, the server, and the directories.
struct World {
    on: OnBus,
    server: Server,
}

/// The client that is asked about, and the entry that exempts it.
const CLIENT: (&str, &str) = ("mail.listed.example", "192.0.2.7");

/// A list with this many entries, and these.
fn list(number: u32, more: &[&str]) -> String {
    let entries = (0..number).map(|n| format!("mail{n}.provider.example\n"));
    let more = more.iter().map(|entry| format!("{entry}\n"));
    std::iter::once("# A list\n".to_owned())
        .chain(entries)
        .chain(more)
        .collect()
}

impl World {
    /// `installed` is there and active.
    fn start(installed: &str) -> Self {
        let daemon = Daemon::prepare();
        let path = daemon.path().to_owned();
        for name in ["state", "cache"] {
            fs::create_dir(path.join(name)).unwrap();
        }
        fs::write(path.join("state/clients"), installed).unwrap();
        let sendmail = path.join("sendmail");
        let text = format!("#!/bin/sh\nexec cat >>{}\n", path.join("mail").display());
        fs::write(&sendmail, text).unwrap();
        fs::set_permissions(&sendmail, fs::Permissions::from_mode(0o755)).unwrap();
        let option = format!(
            "--whitelist-clients={}",
            path.join("state/clients").display()
        );
        let on = OnBus::start_prepared(daemon, &[&option]);
        let server = Server::start(&on);
        Self { on, server }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.on.daemon.path().join(name)
    }

    /// What the server has under this name.
    fn publish(&self, name: &str, text: &str) {
        fs::write(self.at("web").join(name), text).unwrap();
    }

    /// Writes list-watch: `{tls}` and `{plain}` are the two servers.
    fn watch(&self, line: &str) {
        let (encrypted, plain) = &self.server.ports;
        let line = line
            .replace("{tls}", &format!("https://127.0.0.1:{encrypted}"))
            .replace("{plain}", &format!("http://127.0.0.1:{plain}"));
        fs::write(self.at("list-watch"), format!("# a comment\n{line}\n")).unwrap();
    }

    /// A verb of `lists`: exit code, standard output, standard error.
    fn lists(&self, verb: &[&str]) -> (i32, String, String) {
        let places = [
            ("config", "list-watch"),
            ("cache", "cache"),
            ("state", "state"),
        ]
        .map(|(option, name)| format!("--{option}={}", self.at(name).display()));
        // What only fetches has no directory of installed lists.
        let count = if verb[0] == "fetch" { 2 } else { 3 };
        let mut command = self.on.bus.ctl(&["lists"]);
        command.args(verb).args(&places[..count]);
        command.env("CURL_CA_BUNDLE", self.at("authority"));
        said(&command.output().unwrap())
    }

    /// Fetches and notifies as the two units do; the text of the mail, if there was one.
    fn night(&self) -> Option<String> {
        self.night_about("clients")
    }

    /// The same, where the mail is about these lists.
    fn night_about(&self, names: &str) -> Option<String> {
        let (code, _, errors) = self.lists(&["fetch"]);
        assert!(code < 2, "{errors}");
        drop(fs::remove_file(self.at("mail")));
        let sendmail = format!("--sendmail={}", self.at("sendmail").display());
        let notified = self.lists(&["notify", "--mail=root", &sendmail]);
        assert_eq!(notified, (0, String::new(), String::new()));
        let mail = read(&fs::read_to_string(self.at("mail")).ok()?);
        assert_eq!(mail["defects"], serde_json::json!([]));
        assert_eq!(mail["kind"], "text/plain");
        let subject = mail["fields"]["subject"].as_str().unwrap();
        assert!(
            subject.ends_with(&format!("new about the lists {names}")),
            "{subject}"
        );
        Some(mail["parts"][0][1].as_str().unwrap().to_owned())
    }

    /// The mail of a night in which something is new; the next night has no mail.
    fn news(&self) -> String {
        let mail = self.night().expect("a mail");
        assert_eq!(self.night(), None, "{mail}");
        mail
    }

    fn installed(&self) -> String {
        fs::read_to_string(self.at("state/clients")).unwrap()
    }

    /// Whether the list is active that exempts the client.
    fn is_exempt(&self) -> bool {
        let (name, address) = CLIENT;
        self.on
            .daemon
            .ask(&rcpt(name, address, "a@a.example", "b@b.example"))
            == "DUNNO"
    }
}

#[test]
fn a_list_is_told_when_it_changes_and_installed_by_hand() {
    let old = list(3, &[]);
    let mut world = World::start(&old);
    world.watch("clients client-whitelist {plain}/ok/clients");
    world.publish("clients", &list(3, &["listed.example"]));
    let mail = world.news();
    assert!(mail.contains("the first version: 4 entries"), "{mail}");
    assert!(mail.contains("stargreyctl lists install clients"), "{mail}");
    assert_eq!(world.server.request(), "/ok/clients 200");
    assert_eq!(world.server.request(), "/ok/clients 304");
    assert!(world.installed() == old && !world.is_exempt());

    let path = world.at("state/clients");
    let want = format!("Installed as {}.\n", path.display());
    assert_eq!(
        world.lists(&["install", "clients"]),
        (0, want, String::new())
    );
    assert!(world.is_exempt());

    // Markup and control characters are text.
    world.publish(
        "clients",
        &list(2, &["listed.example", "<b>\u{1b}[31m.example"]),
    );
    let mail = world.news();
    for want in [
        "1 added, 1 removed: 4 entries",
        "  + <b>\\x1b[31m.example",
        "  - mail2.provider.example",
        "to install it: stargreyctl lists install clients",
    ] {
        assert!(mail.contains(want), "{want}: {mail}");
    }
    assert!(world.is_exempt());
    // An error is one by hand, too.
    world.publish("clients", &list(3, &["listed.example", "/[/"]));
    assert!(world.news().contains("  + /[/"));
    let (code, _, error) = world.lists(&["install", "clients"]);
    assert_eq!(code, 65);
    assert!(
        error.contains("clients is not installed: error: line 6: "),
        "{error}"
    );
    assert!(world.is_exempt());
    let (code, _, error) = world.lists(&["install", "others"]);
    assert_eq!(
        (code, &*error),
        (64, "stargreyctl: others is not in list-watch\n")
    );

    // What was fetched from the address of before is not this list.
    world.publish("clients", &list(3, &["listed.example"]));
    assert_eq!(world.lists(&["fetch"]).0, 0);
    world.watch("clients client-whitelist {tls}/ok/clients");
    let (code, _, error) = world.lists(&["install", "clients"]);
    assert_eq!(code, 1, "{error}");
    assert!(
        error.contains("clients was not fetched from its address yet"),
        "{error}"
    );
    assert_eq!(world.lists(&["fetch"]).0, 0);
    assert_eq!(world.lists(&["install", "clients"]).0, 0);
}

#[test]
fn a_list_that_nobody_can_have_changed_is_installed_by_itself() {
    let text = list(60, &["listed.example"]);
    let digest = {
        let world = World::start("");
        world.publish("clients", &text);
        let output = Command::new("sha256sum")
            .arg(world.at("web/clients"))
            .output();
        String::from_utf8(output.unwrap().stdout).unwrap()[..64].to_uppercase()
    };
    for line in [
        "clients client-whitelist {tls}/ok/clients install".to_owned(),
        format!("clients client-whitelist {{plain}}/ok/clients install sha256={digest}"),
    ] {
        let world = World::start(&list(60, &[]));
        world.watch(&line);
        world.publish("clients", &text);
        let mail = world.news();
        assert!(mail.contains("installed as "), "{mail}");
        assert_eq!(world.installed(), text);
        assert!(world.is_exempt(), "{line}");
        let mode = fs::metadata(world.at("state/clients"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o644);
    }
}

#[test]
fn what_does_not_come_whole_right_and_safe_is_told_and_changes_nothing() {
    let good = list(100, &["listed.example"]);
    let world = World::start(&good);
    let zeros = "0".repeat(64);
    let cases = [
        ("{tls}/none", list(100, &[]), "not fetched: HTTP status 404"),
        // 18, or 56 with a later OpenSSL.
        ("{tls}/short/clients", list(100, &[]), "not fetched: ("),
        (
            "{tls}/moved/clients",
            list(100, &[]),
            "redirects to http://elsewhere.example/clients",
        ),
        (
            "{tls}/endless",
            list(100, &[]),
            "not fetched: it is larger than 8 MiB",
        ),
        (
            "{tls}/ok/clients",
            String::new(),
            "not fetched: it is empty",
        ),
        ("http://127.0.0.1:1/x", list(100, &[]), "not fetched: (7) "),
        (
            "{plain}/ok/clients",
            list(101, &[]),
            "not installed: it came by plain http",
        ),
        (
            "{tls}/ok/clients",
            list(100, &["/[/"]),
            "not installed: error: line 102: ",
        ),
        (
            "{tls}/ok/clients",
            list(49, &[]),
            "not installed: it has shrunk from 101 entries to 49",
        ),
        ("{tls}/ok/clients", list(9, &[]), "bytes, fewer than 1024"),
        (
            "{tls}/ok/clients PIN",
            list(102, &[]),
            "not installed: its SHA-256 is ",
        ),
    ];
    for (url, text, want) in cases {
        world.publish("clients", &text);
        let (url, pin) = url.split_once(' ').unwrap_or((url, ""));
        let pin = if pin.is_empty() {
            String::new()
        } else {
            format!("sha256={zeros}")
        };
        world.watch(&format!("clients client-whitelist {url} install {pin}"));
        let mail = world.news();
        assert!(mail.contains(want), "{want}: {mail}");
        assert_eq!(world.installed(), good, "{want}");
        assert!(world.is_exempt(), "{want}");
    }
    // And when all is well again, it is installed.
    let text = list(103, &["listed.example"]);
    world.publish("clients", &text);
    world.watch("clients client-whitelist {tls}/ok/clients install");
    assert!(world.news().contains("installed as "));
    assert_eq!(world.installed(), text);
}

#[test]
fn a_list_that_cannot_be_stored_does_not_keep_the_others_from_being_told_and_installed() {
    let world = World::start("");
    let text = list(60, &["listed.example"]);
    for name in ["clients", "stuck", "unfetched"] {
        world.publish(name, &text);
    }
    world.watch(
        "stuck client-whitelist {tls}/ok/stuck install\nunfetched client-whitelist {tls}/ok/unfetched install\n\
         clients client-whitelist {tls}/ok/clients install",
    );
    // Directories with something in them cannot be replaced by a file.
    for directory in ["state/stuck", "cache/unfetched.list"] {
        fs::create_dir(world.at(directory)).unwrap();
        fs::write(world.at(directory).join("x"), "").unwrap();
    }
    let names = "stuck, unfetched, clients";
    let mail = world.night_about(names).expect("a mail");
    for want in [
        "/state/stuck: not a plain file",
        "/cache/unfetched.list: ",
        "installed as ",
    ] {
        assert!(mail.contains(want), "{want}: {mail}");
    }
    assert!(world.is_exempt());
    assert_eq!(world.night_about(names), None);
    let (code, said, _) = world.lists(&["fetch"]);
    assert_eq!(code, 1);
    assert!(
        said.contains("unfetched: not fetched: ") && said.contains("clients: fetched\n"),
        "{said}"
    );
}

#[test]
fn a_server_that_is_not_the_one_it_says_is_not_believed() {
    let world = World::start(&list(60, &[]));
    world.publish("clients", &list(60, &["listed.example"]));
    world.watch("clients client-whitelist {tls}/ok/clients install");
    fs::write(world.at("authority"), "").unwrap();
    let mail = world.news();
    assert!(mail.contains("not fetched: ("), "{mail}");
    assert!(!world.is_exempt());
}

#[test]
fn errors_of_list_watch_are_those_of_its_lines() {
    let world = World::start("");
    world.watch("clients client-whitelist ftp://a.example/x\nclients clients http://a.example");
    for verb in ["fetch", "notify"] {
        let (code, _, errors) = world.lists(&[verb]);
        assert_eq!(code, 65);
        let path = world.at("list-watch");
        for line in [
            ":2: \"ftp://a.example/x\" is not ",
            ":3: \"clients\" is not ",
        ] {
            assert!(
                errors.contains(&format!("{}{line}", path.display())),
                "{errors}"
            );
        }
    }
}
