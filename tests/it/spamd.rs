//! spamd, SpamAssassin's server, asked as the daemon asks it.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use stargrey::lookup::spamd::{Settings, Spamd, SpamdAddress};
use stargrey::policy::message::Message;
use stargrey::policy::{Attempt, Finding, MessageAttempt, SpamScore};
use stargrey::types::Timestamp;
use tempfile::TempDir;

use crate::support::program::wait_until_said;

/// Debian's spamd without tests that ask the network, in a directory of its own; killed when dropped.
#[derive(Debug)]
pub(crate) struct Server {
    directory: TempDir,
    child: Option<Child>,
}

/// What spamd logs when it listens.
const STARTED: &str = "server started on";

impl Server {
    pub(crate) fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let child = Some(listening(directory.path()));
        Self { directory, child }
    }

    /// Ends it, and its socket.
    pub(crate) fn end(&mut self) {
        self.kill();
        fs::remove_file(self.socket()).unwrap();
    }

    /// Starts it again after its end.
    pub(crate) fn start_again(&mut self) {
        self.child = Some(listening(self.directory.path()));
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.path().join("socket")
    }

    /// spamd as the daemon asks it, with this time for an answer.
    fn client(&self, timeout: Duration) -> Spamd {
        Spamd::new(Settings {
            address: SpamdAddress::Unix(self.socket()),
            timeout,
            most_size: 500 << 10,
        })
    }

    /// Sends a signal to it and its children.
    pub(crate) fn signal(&self, name: &str) {
        let child = self.child.as_ref().expect("it runs");
        let group = format!("-{}", child.id());
        let status = Command::new("kill")
            .args([&format!("-{name}"), "--", &group])
            .status();
        assert!(status.unwrap().success());
    }

    fn kill(&mut self) {
        if self.child.is_some() {
            self.signal("KILL");
        }
        if let Some(mut child) = self.child.take() {
            child.wait().unwrap();
        }
    }
}

/// The program in a directory; returns when it listens there.
fn listening(directory: &Path) -> Child {
    let mut child = Command::new("/usr/sbin/spamd")
        .args(["-L", "-x", "--max-children=1", "--syslog=stderr"])
        .arg(format!(
            "--socketpath={}",
            directory.join("socket").display()
        ))
        .arg(format!("--helper-home-dir={}", directory.display()))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .unwrap();
    wait_until_said(&mut child, STARTED);
    child
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// What it says of a message with this text.
async fn score(spamd: &Spamd, text: &str) -> Option<SpamScore> {
    let header = "From: Joe <joe@example.org>\r\nTo: jane@example.com\r\nSubject: test\r\n\
                  Date: Fri, 27 Nov 2026 20:00:00 +0000\r\nMessage-ID: <1@example.org>\r\n\r\n";
    let message = Message::parse(format!("{header}{text}").as_bytes());
    let about = MessageAttempt {
        attempt: &Attempt {
            client_address: Some(b"203.0.113.7"),
            client_name: Some(b"mail.example.org"),
            helo_name: Some(b"mail.example.org"),
            sender: Some(b"joe@example.org"),
            ..Attempt::default()
        },
        recipients: &[b"jane@example.com"],
        has_open: true,
        message: &message,
    };
    let now = Timestamp::from_seconds(1_795_809_600);
    match spamd.ask(&about, "mx.example.com", now).await {
        Finding::Score(score) => Some(SpamScore::clone(&score)),
        Finding::NoAnswer => None,
        other @ (Finding::Addresses(_)
        | Finding::Text(_)
        | Finding::Absent
        | Finding::SenderMx(_)
        | Finding::BodyText(_)
        | Finding::Spf(_)) => panic!("{other:?}"),
    }
}

/// The text that every spam filter takes for spam (GTUBE).
pub(crate) const GTUBE: &str =
    "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X\r\n";

#[tokio::test]
async fn spam_and_ham_have_scores_and_a_server_that_hangs_or_is_gone_has_none() {
    let server = Server::start();
    let patient = server.client(Duration::from_secs(60));
    let spam = score(&patient, GTUBE).await.unwrap();
    assert_eq!(spam.is_spam, Some(true), "{spam:?}");
    assert!(spam.score > 900_000, "{spam:?}");
    assert!(spam.tests.iter().any(|test| **test == *"GTUBE"), "{spam:?}");
    assert_eq!(spam.threshold, Some(5_000));
    let ham = score(&patient, "Shall we meet on Monday?\r\n")
        .await
        .unwrap();
    assert_eq!(ham.is_spam, Some(false), "{ham:?}");
    assert!(ham.score < 5_000, "{ham:?}");
    let tests = ham.tests.iter();
    let of_relays = tests.filter(|test| test.contains("NO_RECEIVED") || test.contains("NO_RELAYS"));
    assert_eq!(of_relays.count(), 0, "it reads our Received: {ham:?}");
    let long = "a line of a long message without anything in it\r\n".repeat(8000);
    let long = score(&patient, &long).await.unwrap();
    assert_eq!(long.is_spam, Some(false), "{long:?}");

    server.signal("STOP");
    let hasty = server.client(Duration::from_millis(200));
    assert_eq!(score(&hasty, GTUBE).await, None, "it hangs");
    assert!(hasty.is_away());
    server.signal("CONT");
    assert!(score(&patient, GTUBE).await.is_some(), "it goes on");

    drop(server);
    assert_eq!(score(&patient, GTUBE).await, None, "it is gone");
    assert!(patient.is_away());
}
