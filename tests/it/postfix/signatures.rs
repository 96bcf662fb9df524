//! The recipe of stargrey-milter(7) with `OpenDKIM`, run as it is written, which finds keys in the DNS of a network.
//!
//! Added are, to `OpenDKIM`'s own configuration, the key of a domain and the client for which it signs.

use std::fs::{self, Permissions};
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::beside::SMTPD;
use super::contents::letter;
use super::eventually;
use super::recipes::{recipe, replaced, start_wired};
use super::smtp::Peer;
use crate::dns_lists::ListServer;
use crate::manual;
use crate::support::machine::require_program;
use crate::support::network::Network;

const ANNA: &str = "anna@example.org";
const BEN: &str = "ben@example.org";
const CARL: &str = "carl@example.org";
const DORA: &str = "dora@example.org";

/// Where Debian's package puts it.
const OPENDKIM: &str = "/usr/sbin/opendkim";

/// The client for which it signs.
const OWN: Peer = Peer::new("mail.stranger.example", "192.0.2.50");

/// What the recipe's configuration gets besides.
const SIGNING: &str = "\
Domain stranger.example
Selector test
KeyFile DIRECTORY/key
RequireSafeKeys no
InternalHosts 192.0.2.50
Canonicalization relaxed/simple
Syslog no
";

/// Runs openssl; what it writes.
fn openssl(arguments: &[&str]) -> Vec<u8> {
    let output = Command::new("openssl").args(arguments).output();
    let output = output.expect("openssl is there (make check-deps installs it)");
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    output.stdout
}

/// Makes a key in a directory; the line of a zone with its public part.
fn make_key(directory: &Path) -> String {
    let key = directory.join("key");
    let key = key.to_str().unwrap();
    // What fits into one string of a TXT record.
    openssl(&["genrsa", "-out", key, "1024"]);
    let public = openssl(&["rsa", "-in", key, "-pubout"]);
    let public = String::from_utf8(public).unwrap();
    let base64: String = public
        .lines()
        .filter(|line| !line.starts_with('-'))
        .collect();
    format!("test._domainkey TXT \"v=DKIM1; k=rsa; p={base64}\"\n")
}

/// `OpenDKIM` in a network; killed when dropped.
struct OpenDkim {
    child: Child,
    directory: TempDir,
}

impl OpenDkim {
    /// Starts what the page says, to sign too.
    fn start(network: &Network, directory: TempDir) -> Self {
        require_program(OPENDKIM, "opendkim");
        let page = manual::source("man/stargrey-milter.7");
        let (_, text) = page
            .split_once(".Pa /etc/opendkim.conf :\n")
            .expect("a file");
        let both = replaced(&manual::display(text), "Mode              v\n", "Mode sv\n");
        let path = directory.path().display().to_string();
        let file = directory.path().join("conf");
        fs::write(&file, both + &SIGNING.replace("DIRECTORY", &path)).unwrap();
        let child = network
            .command(OPENDKIM)
            .arg("-f")
            .arg("-x")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(directory.path().join("log")).unwrap())
            .spawn()
            .unwrap();
        let opendkim = Self { child, directory };
        eventually("OpenDKIM listens", || {
            network
                .connect(IpAddr::from(Ipv4Addr::LOCALHOST), 8891)
                .ok()
        });
        opendkim
    }
}

impl Drop for OpenDkim {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        drop(fs::remove_file(self.directory.path().join("key")));
    }
}

/// The signed message of a mailbox, as its sender sent it: without the fields of the way.
fn as_sent(delivered: &str) -> String {
    let at = delivered.find("DKIM-Signature: ").expect("it is signed");
    format!("{}\r\n.", delivered[at..].trim_end().replace('\n', "\r\n"))
}

#[test]
fn by_the_recipe_with_opendkim_what_is_signed_passes_and_what_is_not_or_was_changed_waits_once() {
    let test = "by_the_recipe_with_opendkim_what_is_signed_passes_and_what_is_not_or_was_changed_waits_once";
    let Some(network) = Network::new(test) else {
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).unwrap();
    let zone = make_key(directory.path());
    let _server = ListServer::within(&network, &[("stranger.example", "generic", &zone)]);
    let _opendkim = OpenDkim::start(&network, directory);
    let recipe = recipe("OpenDKIM before the milter");
    let site = start_wired(&recipe, |wiring| wiring.within(network, SMTPD));

    // Signed, and passed on: OpenDKIM writes no result for what it signs.
    let reply = site.send(OWN, ANNA, &letter("Shall we meet?")).to_string();
    assert!(reply.starts_with("250"), "{reply}");
    let signed = as_sent(&site.postfix.message("anna"));
    assert!(signed.contains("\ts=test;"), "{signed}");

    let verified = site.deliver_now(BEN, &signed);
    assert!(
        verified.contains("Authentication-Results: mx.example.org; dkim=pass "),
        "{verified}"
    );
    let later = "450 4.2.0 Not signed, please try again later";
    let forged = "Authentication-Results: mx.example.org; dkim=pass header.d=stranger.example\r\n";
    let unsigned = site.wait_at_end(CARL, &format!("{forged}{}", letter("me too")), later);
    assert!(
        unsigned.contains("Authentication-Results: mx.example.org; dkim=none"),
        "{unsigned}"
    );
    assert!(!unsigned.contains("dkim=pass"), "{unsigned}");
    let changed = replaced(&signed, "Shall we meet?", "Shall we met?");
    let changed = site.wait_at_end(DORA, &changed, later);
    assert!(changed.contains("dkim=fail "), "{changed}");
}
