//! The milter behind a real Sendmail, by the lines of stargrey-milter(7) as they are written.

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::net::IpAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use self::server::{Prepared, Sendmail};
use crate::manual;
use crate::postfix::milter::{FORGED, JAPANESE, unfolded};
use crate::postfix::recipes::timed;
use crate::postfix::{SENDER, START, assert_one_header, greylist_headers};
use crate::spamd::{GTUBE, Server};
use crate::support::smtp::{Reply, Session};
use crate::support::{Daemon, TestClock};

mod server;

const ANNA: &str = "anna@example.org";
const BEN: &str = "ben@example.org";
const CARL: &str = "carl@example.org";

/// A client with a name, and what it is called.
const STRANGER: &str = "192.0.2.7";

/// Clients whose names are lines'.
const LINE: &str = "192.0.2.8";
const HASTY_LINE: &str = "203.0.113.8";

/// The deferral of a new triplet at the end of a message.
const NEW: &str = "450 4.2.0 Greylisted, please try again in 300 seconds";

/// What the page says: the line for sendmail.mc.
fn line_of_mc() -> String {
    let page = manual::source("man/stargrey-milter.7");
    let (_, text) = page.split_once(".Pa sendmail.mc :\n").expect("a line");
    manual::display(text)
}

/// The socket that the drop-in of the page sets, which is the one of its line for sendmail.mc.
fn socket() -> String {
    let page = manual::source("man/stargrey-milter.7");
    let (_, text) = page.split_once("\n.Sh SENDMAIL\n").expect("a section");
    let (_, text) = text.split_once("\nListenStream=/").expect("a socket");
    let (path, _) = text.split_once('\n').unwrap();
    let path = format!("/{path}");
    assert!(line_of_mc().contains(&format!("`S=local:{path},")));
    path
}

/// A Sendmail, the daemon it asks, and the daemon's clock.
#[derive(Debug)]
struct Site {
    daemon: Daemon,
    sendmail: Sendmail,
    clock: TestClock,
}

impl Site {
    /// Starts both for a test with this name, which says if it has shown nothing; the daemon's options may name its
    /// directory, which has these files.
    fn start(
        test: &str,
        files: &[(&str, &str)],
        options: impl FnOnce(&Path) -> Vec<String>,
    ) -> Option<Self> {
        let prepared = Prepared::new(test)?;
        Some(Self::around(prepared, "", files, options))
    }

    /// Starts both, Sendmail with these lines after that of the page.
    fn around(
        prepared: Prepared,
        lines: &str,
        files: &[(&str, &str)],
        options: impl FnOnce(&Path) -> Vec<String>,
    ) -> Self {
        let mut daemon = Daemon::prepare();
        for (name, text) in files {
            fs::write(daemon.path().join(name), text).unwrap();
        }
        let clock = TestClock::at(daemon.path(), START);
        let milter = prepared.run_path(&socket());
        let mut all = vec![
            clock.option(),
            format!("--milter=unix:{}", milter.display()),
        ];
        all.extend(options(daemon.path()));
        daemon.run(&all);
        let sendmail = prepared.start(&(line_of_mc() + lines));
        Self {
            daemon,
            sendmail,
            clock,
        }
    }

    fn session(&self, from: &str) -> Session {
        let from: IpAddr = from.parse().unwrap();
        Session::plain(self.sendmail.connect(from))
    }

    /// Sends a message to one recipient, who is accepted; the reply to its end.
    fn send(&self, recipient: &str, message: &str) -> String {
        let mut session = self.session(STRANGER);
        session.mail(SENDER);
        let accepted = session.rcpt(recipient);
        assert!(accepted.is_good(), "{accepted}");
        finish(&mut session, message).to_string()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if thread::panicking() {
            let (daemon, sendmail) = (self.daemon.log(), self.sendmail.log());
            let said = format!("stargreyd's log:\n{daemon}\nSendmail's log:\n{sendmail}\n");
            io::stderr().write_all(said.as_bytes()).ok();
        }
    }
}

/// Sends a message after its recipients were accepted; the reply to its end.
fn finish(session: &mut Session, message: &str) -> Reply {
    let ready = session.command("DATA").to_string();
    assert!(ready.starts_with("354"), "{ready}");
    session.command(message)
}

/// The header and body of a message in a mailbox file, unfolded.
fn clean(message: &str) -> String {
    unfolded(&message.replace("\n\t", "\n "))
}

#[test]
fn by_the_line_of_the_page_clients_of_both_families_wait_once_and_get_one_header() {
    let test = "by_the_line_of_the_page_clients_of_both_families_wait_once_and_get_one_header";
    let Some(site) = Site::start(test, &[], |_| Vec::new()) else {
        return;
    };
    for (from, name) in [
        (STRANGER, "mail.stranger.example"),
        ("192.0.2.99", "unknown"),
        ("2001:db8::7", "mail6.stranger.example"),
        ("2001:db8::8", "unknown"),
    ] {
        let sender = format!("eve@{}.example", from.replace([':', '.'], "-"));
        let mut session = site.session(from);
        session.mail(&sender);
        let new = session.rcpt(ANNA).to_string();
        // Sendmail puts the recipient before the text.
        let (code, words) = NEW.split_at("450 4.2.0 ".len());
        assert_eq!(new, format!("{code}<{ANNA}>... {words}"), "{from}");
        site.daemon.log_until(|log| {
            log.contains(&format!(
                "client_name={name}, client_address={from}, sender={sender}"
            ))
        });
        site.clock.advance(301);
        session.mail(&sender);
        assert!(session.rcpt(ANNA).is_good());
        let queued = finish(&mut session, FORGED);
        assert!(queued.is_good(), "{queued}");
        let message = clean(&site.sendmail.message("anna"));
        assert_one_header(&message, 301, site.clock.now());
        assert!(message.contains("X-Other: stays"), "{message}");
        // The next message of the session has not waited.
        session.mail(&sender);
        assert!(session.rcpt(ANNA).is_good());
        finish(&mut session, FORGED);
        let message = site.sendmail.message("anna");
        assert_eq!(greylist_headers(&message), Vec::<&str>::new(), "{message}");
    }
    // The machine itself never waits.
    let mut own = site.session("127.0.0.1");
    assert!(own.attempt("own@elsewhere.example", ANNA).is_good());
}

/// Tables for messages: one line for each action.
const HEADER_CHECKS: &str = "\
/^Subject: cheap/ REJECT 100% cheap
/^Subject: later/ 450 4.7.1 not %r now
/^Subject: lost/ DISCARD
/^Subject: held/ HOLD suspicious
/^X-Old: (.*)$/ REPLACE X-New: $1
/^X-Secret:/ IGNORE
/^X-Marked:/ PREPEND X-Mark: here
";

#[test]
fn messages_are_refused_changed_discarded_and_greylisted_at_their_end_and_texts_keep_their_percent_signs()
 {
    let test = "messages_are_refused_changed_discarded_and_greylisted_at_their_end_and_texts_keep_their_percent_signs";
    let files = [
        ("header", HEADER_CHECKS),
        ("body", "/出会い系/ GREYLIST\n"),
        ("client", "/^dsl-/ REJECT 50% lines\n"),
    ];
    let site = Site::start(test, &files, |directory| {
        let table = |option: &str, kind, name| {
            format!("--{option}={kind}{}", directory.join(name).display())
        };
        vec![
            table("header-checks", "", "header"),
            table("body-checks", "", "body"),
            table("client-access", "regexp:", "client"),
            "--unmatched=pass".to_owned(),
        ]
    });
    let Some(site) = site else {
        return;
    };
    let line = site.session(LINE).attempt(SENDER, ANNA).to_string();
    assert_eq!(line, "554 5.7.1 50% lines");
    for (subject, want) in [
        ("cheap watches", "550 5.7.1 100% cheap"),
        ("later", "450 4.7.1 not %r now"),
        ("lost", "250 2.0.0 "),
        ("held", "250 2.0.0 "),
    ] {
        let reply = site.send(ANNA, &format!("Subject: {subject}\r\n\r\nhello\r\n."));
        assert!(reply.starts_with(want), "{subject}: {reply}");
    }
    let changed =
        "X-A: 1\r\nX-Old: value\r\nX-Secret: key\r\nX-Marked: yes\r\nX-Z: 2\r\n\r\nhello\r\n.";
    let changed = site.send(ANNA, changed);
    assert!(changed.starts_with("250"), "{changed}");
    let message = site.sendmail.message("anna");
    for there in ["X-New: value\n", "X-Mark: here\n", "X-Marked: yes\n"] {
        assert_eq!(message.matches(there).count(), 1, "{message}");
    }
    for gone in ["X-Secret", "X-Old", "Subject: lost", "Subject: held"] {
        assert!(!message.contains(gone), "{message}");
    }
    assert_eq!(site.send(BEN, JAPANESE), NEW);
    site.clock.advance(301);
    let again = site.send(BEN, JAPANESE);
    assert!(again.starts_with("250"), "{again}");
    assert_one_header(&clean(&site.sendmail.message("ben")), 301, site.clock.now());
}

#[test]
fn forged_spam_fields_are_gone_and_the_score_of_spamd_is_there() {
    let test = "forged_spam_fields_are_gone_and_the_score_of_spamd_is_there";
    let spamd = Server::start();
    let conf = format!(
        "nospf\nspamdsock unix \"{}\"\nracl whitelist default\ndacl greylist spamd > 5 msg \"%Hs points\"\n",
        spamd.socket().display()
    );
    let site = Site::start(test, &[("greylist.conf", &conf)], |directory| {
        let conf = directory.join("greylist.conf");
        vec![format!("--greylist-conf={}", conf.display())]
    });
    let Some(site) = site else {
        return;
    };
    let forged = "From: <eve@stranger.example>\r\nTo: <anna@example.org>\r\n\
        Date: Thu, 26 Nov 2026 12:00:00 +0000\r\nMessage-ID: <1@stranger.example>\r\nX-Spam-Status: No, score=-99\r\nX-Spam-Level: f1\r\n\
        X-Spam-Status: No, score=-98\r\nSubject: hello\r\nx-spam-status: No, score=-97\r\n";
    let ham = site.send(ANNA, &format!("{forged}\r\nShall we meet?\r\n."));
    assert!(ham.starts_with("250"), "{ham}");
    let ham = clean(&site.sendmail.message("anna"));
    let statuses = ham.to_lowercase().matches("\nx-spam-status: ").count();
    assert_eq!(statuses, 1, "{ham}");
    assert!(ham.contains("X-Spam-Status: No, score="), "{ham}");
    assert!(!ham.contains("score=-9") && !ham.contains("f1"), "{ham}");
    let spam = format!("{forged}\r\n{GTUBE}.");
    let wait = site.send(BEN, &spam);
    assert!(
        wait.starts_with("450 4.2.0 10") && wait.ends_with(" points"),
        "{wait}"
    );
    site.clock.advance(301);
    let reply = site.send(BEN, &spam);
    assert!(reply.starts_with("250"), "{reply}");
    let spam = clean(&site.sendmail.message("ben"));
    assert!(spam.contains("X-Spam-Flag: YES"), "{spam}");
    assert!(!spam.contains("score=-9"), "{spam}");
}

#[test]
fn a_line_sleeps_and_is_delivered_and_mail_flows_while_the_daemon_is_away() {
    let test = "a_line_sleeps_and_is_delivered_and_mail_flows_while_the_daemon_is_away";
    let options = ["--s25r", "--targrey", "--tarpit=12"];
    let site = Site::start(test, &[], |_| options.map(str::to_owned).to_vec());
    let Some(mut site) = site else {
        return;
    };
    // Who hangs up is greylisted.
    let mut hasty = site.session(HASTY_LINE);
    hasty.mail("hasty@stranger.example");
    hasty.say(&format!("RCPT TO:<{BEN}>"));
    site.daemon
        .log_until(|log| log.contains("action=tarpit, reason=new"));
    drop(hasty);
    site.clock.advance(60);
    let mut session = site.session(HASTY_LINE);
    let again = session.attempt("hasty@stranger.example", BEN);
    assert!(again.to_string().starts_with("450 "), "{again}");
    site.daemon.log_until(|log| log.contains("tarpit=hung-up"));
    // Longer than Sendmail waits by default.
    let mut session = site.session(LINE);
    session.mail(SENDER);
    let (reply, time) = timed(|| session.rcpt(ANNA));
    assert!(reply.is_good() && time.as_secs() >= 12, "{reply} {time:?}");
    site.clock.advance(12);
    let queued = finish(&mut session, FORGED);
    assert!(queued.is_good(), "{queued}");
    site.sendmail.message("anna");
    let log = site.daemon.log();
    assert!(log.contains("reason=tarpit survived"), "{log}");
    drop(session);

    // Killed in the middle of a message, then away, then back.
    let mut session = site.session(STRANGER);
    session.mail(SENDER);
    assert!(session.rcpt(BEN).is_good());
    site.daemon.kill();
    let queued = finish(&mut session, FORGED);
    assert!(queued.is_good(), "{queued}");
    site.sendmail.message("ben");
    let away = site.send(CARL, FORGED);
    assert!(away.starts_with("250"), "{away}");
    site.sendmail.message("carl");
    site.daemon.excuse_kills();
    site.daemon.start_again();
    let back = site.send(CARL, FORGED);
    assert!(back.starts_with("250"), "{back}");
    let message = site.sendmail.message("carl");
    assert_eq!(greylist_headers(&message), Vec::<&str>::new(), "{message}");
}

/// What an administrator adds for TLS.
const TLS: &str = "
define(`confCACERT_PATH', `/etc/mail/certificates')dnl
define(`confCACERT', `/etc/mail/certificates/ca.pem')dnl
define(`confSERVER_CERT', `/etc/mail/certificates/server.pem')dnl
define(`confSERVER_KEY', `/etc/mail/certificates/server.key')dnl
";

/// Makes a certificate and its key in a directory; `issuer` has signed it, or it itself.
fn certify(directory: &Path, name: &str, subject: &str, issuer: Option<&str>) {
    let path = |end: &str| directory.join(format!("{name}.{end}"));
    let mut command = Command::new("openssl");
    command
        .args([
            "req", "-x509", "-newkey", "rsa:2048", "-noenc", "-days", "2",
        ])
        .args(["-subj", subject])
        .arg("-out")
        .arg(path("pem"))
        .arg("-keyout")
        .arg(path("key"));
    if let Some(issuer) = issuer {
        let issuer = |end: &str| directory.join(format!("{issuer}.{end}"));
        command.arg("-CA").arg(issuer("pem"));
        command.arg("-CAkey").arg(issuer("key"));
    }
    let output = command
        .output()
        .expect("openssl is there (make check-deps installs it)");
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn rules_about_certificates_believe_those_that_sendmail_has_verified() {
    let test = "rules_about_certificates_believe_those_that_sendmail_has_verified";
    let Some(prepared) = Prepared::new(test) else {
        return;
    };
    let directory = prepared.certificates();
    certify(&directory, "ca", "/CN=authority", None);
    certify(&directory, "server", "/CN=mx.example.org", Some("ca"));
    certify(&directory, "friend", "/CN=friend", Some("ca"));
    certify(&directory, "forged", "/CN=friend", None);
    let conf = "racl blacklist tls \"/CN=friend\" msg \"verified\"\nracl whitelist default\n";
    let site = Site::around(prepared, TLS, &[("greylist.conf", conf)], |directory| {
        let conf = directory.join("greylist.conf");
        vec![format!("--greylist-conf={}", conf.display())]
    });
    for (name, want) in [("friend", "551 5.7.1 "), ("forged", "250 2.1.5 ")] {
        let path = |end: &str| site.sendmail.certificates().join(format!("{name}.{end}"));
        let mut client = site
            .sendmail
            .command("timeout")
            .args([
                "60",
                "openssl",
                "s_client",
                "-quiet",
                "-crlf",
                "-starttls",
                "smtp",
            ])
            .args(["-connect", "127.0.0.1:25", "-bind", "192.0.2.7:0"])
            .arg("-cert")
            .arg(path("pem"))
            .arg("-key")
            .arg(path("key"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut input = client.stdin.take().expect("standard input is a pipe");
        let output = client.stdout.take().expect("standard output is a pipe");
        let mut lines = BufReader::new(output).lines().map(Result::unwrap);
        let mut say = |command: &str, end: &str| {
            writeln!(input, "{command}").unwrap();
            lines.find(|line| line.contains(end)).expect(end)
        };
        // Sendmail refuses commands that come before the reply to EHLO.
        say("EHLO helo.example", "250-DELIVERBY");
        say(&format!("MAIL FROM:<{SENDER}>"), "Sender ok");
        let reply = say(&format!("RCPT TO:<{ANNA}>"), " ");
        say("QUIT", "closing connection");
        client.wait().unwrap();
        assert!(reply.starts_with(want), "{name}: {reply}");
    }
}
