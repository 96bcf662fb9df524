//! Mail domains in UTF-8 (SMTPUTF8): DNS is asked for the names that it has for them.

use crate::access_list_files;
use crate::dns_lists::ListServer;
use crate::support::{Daemon, rcpt};

/// A domain as DNS has it: its SPF record and its mail server.
pub(crate) const ZONES: &[(&str, &str, &str)] = &[(
    "xn--bcher-kva.example.com",
    "generic",
    "@ TXT \"v=spf1 ip4:198.51.100.0/24 -all\"\n@ MX 10 mx.xn--bcher-kva.example.com\nmx A 198.51.100.7\n",
)];

/// A client with the name of an end user's line.
const LINE: &str = "220-139-165-188.dynamic.example.net";

/// Where the domain sends from, and another address.
const OWN: &str = "198.51.100.9";
const OTHER: &str = "203.0.113.9";

/// Senders with this domain, however it is written.
const SENDERS: [&str; 6] = [
    "eva@b\u{fc}cher.example.com",
    "eva@B\u{dc}CHER.Example.COM",
    "eva@bu\u{308}cher.example.com",
    "eva@b\u{fc}cher\u{3002}example.com",
    "eva@xn--bcher-kva.example.com",
    "b\u{fc}ro@b\u{fc}cher.example.com",
];

/// Senders without a domain in DNS: one label is not an A-label, a character is not assigned, an address.
const NOT_IN_DNS: [&str; 3] = [
    "eva@b\u{fc}cher.xn--a.example.com",
    "eva@b\u{e000}cher.example.com",
    "eva@[198.51.100.9]",
];

/// The reply to a client with this name and address.
fn ask(daemon: &Daemon, name: &str, address: &str, sender: &str) -> String {
    daemon.ask(&rcpt(name, address, sender, "anna@example.org"))
}

#[test]
fn spf_excuses_a_line_by_the_record_of_a_domain_in_utf8() {
    let server = ListServer::serving(ZONES);
    let resolver = format!("--resolver={}", server.address);
    let daemon = Daemon::start(&[
        "--s25r",
        "--s25r-exceptions=/dev/null",
        "--spf-excuses",
        &resolver,
    ]);
    for sender in SENDERS {
        let own = ask(&daemon, LINE, OWN, sender);
        assert_eq!(own, "DUNNO", "{}", sender.escape_unicode());
        let other = ask(&daemon, LINE, OTHER, sender);
        assert_ne!(other, "DUNNO", "{}", sender.escape_unicode());
    }
    daemon.log_until(|log| log.matches("spf=pass").count() == SENDERS.len());
    daemon.log_until(|log| log.matches("spf=fail").count() == SENDERS.len());
    for sender in NOT_IN_DNS {
        let reply = ask(&daemon, LINE, OWN, sender);
        assert_ne!(reply, "DUNNO", "{}", sender.escape_unicode());
    }
    daemon.log_until(|log| log.matches("spf=none").count() == NOT_IN_DNS.len());
}

#[test]
fn mx_finds_the_mail_servers_of_a_domain_in_utf8() {
    let server = ListServer::serving(ZONES);
    let text = "nospf\nracl whitelist mx /24\nracl greylist default\n";
    let (daemon, _clock) = access_list_files::start(text, &server, &[]);
    let name = "mail.other.example";
    for sender in SENDERS {
        let own = ask(&daemon, name, OWN, sender);
        assert_eq!(own, "DUNNO", "{}", sender.escape_unicode());
        let other = ask(&daemon, name, OTHER, sender);
        assert_ne!(other, "DUNNO", "{}", sender.escape_unicode());
    }
    for sender in NOT_IN_DNS {
        let reply = ask(&daemon, name, OWN, sender);
        assert_ne!(reply, "DUNNO", "{}", sender.escape_unicode());
    }
}
