//! What greylist.conf means here and does not mean to milter-greylist 4.6, one case for each difference.
//!
//! The names are the list in stargrey-access-lists(5), which is compared with them.

use std::fs;

use crate::access_list_files::{checked, start};
use crate::dns_lists::ListServer;
use crate::milter::{Site, text as text_of};
use crate::support::rcpt;

/// The refusal of an entry that says no more.
const REFUSED: &str = "551 5.7.1 Go away!";
const PASS: &str = "DUNNO";

/// A difference.
struct Difference {
    /// What it is.
    name: &'static str,
    /// A file that shows it.
    text: &'static str,
    /// How.
    shown: Shown,
}

/// What a client does besides sending from `eve@sender.example` to `joe@example.org`: an attribute and its value.
type Attribute = (&'static str, &'static str);

/// The sender and the recipient of a message, and the replies to RCPT and to its end.
type Sending = (&'static str, &'static str, &'static str, &'static str);

enum Shown {
    /// A client with this attribute gets this reply.
    Asked(Attribute, &'static str),
    /// The second attempt, an hour later, passes as a retry of the first.
    Retried(Attribute, Attribute),
    /// The client whitelist has the client.
    Whitelisted(&'static str),
    /// The exit status of `--check`, and the begin of each finding.
    Checked(i32, &'static [&'static str]),
    /// These messages, sent in one session to a milter, get these replies.
    Sent(&'static [Sending]),
    /// A reload of this file is refused, and the reply stays.
    Reloaded(&'static str, &'static str),
}

use Shown::{Asked, Checked, Reloaded, Retried, Sent, Whitelisted};

const DIFFERENCES: &[Difference] = &[
    Difference {
        name: "The whitelists of stargrey-lists 5 come before the entries",
        text: "nospf\nracl blacklist default\n",
        shown: Whitelisted(PASS),
    },
    Difference {
        name: "What the file does not say has the defaults of stargreyd 8",
        text: "nospf\nracl greylist default\n",
        shown: Asked(
            ("sender", "a@b.example"),
            "DEFER_IF_PERMIT 4.2.0 Greylisting in action, please come back in 00:05:00",
        ),
    },
    Difference {
        name: "Clients that are authenticated or pass SPF do not wait, but an entry may refuse them",
        text: "racl blacklist from eve@sender.example\nracl greylist default\n",
        shown: Asked(("sasl_username", "joe"), REFUSED),
    },
    Difference {
        name: "An SPF record that lets anybody send does not count as a pass",
        text: "racl greylist default\n",
        shown: Asked(
            ("sender", "a@anybody.example.com"),
            "DEFER_IF_PERMIT 4.2.0 Greylisting in action, please come back in 00:05:00",
        ),
    },
    Difference {
        name: "Host bits of a network are cleared",
        text: "nospf\nracl blacklist addr 203.0.113.1/24\nracl whitelist default\n",
        shown: Asked(("client_address", "203.0.113.200"), REFUSED),
    },
    Difference {
        name: "domain name has a label boundary, as with domainexact",
        text: "nospf\nracl blacklist domain example.net\nracl whitelist default\n",
        shown: Asked(("client_name", "badexample.net"), PASS),
    },
    Difference {
        name: "domain with an asterisk before the text has no label boundary",
        text: "nospf\nracl blacklist domain *example.net\nracl whitelist default\n",
        shown: Asked(("client_name", "badexample.net"), REFUSED),
    },
    Difference {
        name: "An expression for senders or recipients is tried with and without angle brackets",
        text: "nospf\nracl blacklist from /@b\\.example$/ rcpt /@example\\.org>$/\nracl whitelist default\n",
        shown: Asked(("sender", "a@b.example"), REFUSED),
    },
    Difference {
        name: "Triplets have senders and recipients as Postgrey folds them, in any case",
        text: "nospf\nracl greylist default\n",
        shown: Retried(
            ("recipient", "Joe@Example.Org"),
            ("recipient", "joe@example.org"),
        ),
    },
    Difference {
        name: "from holds for the sender as Postgrey folds it, too",
        text: "nospf\nracl blacklist from eve@sender.example\nracl whitelist default\n",
        shown: Asked(("sender", "eve+news@sender.example"), REFUSED),
    },
    Difference {
        name: "A DNS list that does not answer is not known, and neither is its negation",
        text: "nospf\ndnsrbl \"away\" elsewhere.example 127.0.0.0/8\nracl blacklist not dnsrbl \"away\"\nracl whitelist default\n",
        shown: Asked(("client_address", "203.0.113.7"), PASS),
    },
    Difference {
        name: "An entry with a clause that is not supported is an error, never an entry without it",
        text: "racl whitelist geoip \"CH\"\n",
        shown: Checked(78, &["error: 1:16: "]),
    },
    Difference {
        name: "set, rset and log stand behind the tests of their entry",
        text: "racl continue set $n+=1 addr 192.0.2.1\n",
        shown: Checked(78, &["error: 1:15: write set, rset and log"]),
    },
    Difference {
        name: "What an entry with continue says about the reply is not kept for the entries after it",
        text: "nospf\nracl continue addr 203.0.113.7 msg \"kept\"\nracl blacklist default\n",
        shown: Asked(("client_address", "203.0.113.7"), REFUSED),
    },
    Difference {
        name: "The reply to those that wait is that of -greylist-action, unless the entry has code or ecode",
        text: "nospf\nracl greylist default msg \"wait\"\n",
        shown: Asked(("sender", "a@b.example"), "DEFER_IF_PERMIT 4.2.0 wait"),
    },
    Difference {
        name: "A code of another class than its action is refused",
        text: "racl greylist addr 192.0.2.1 code \"550\"\n",
        shown: Checked(78, &["error: 1:"]),
    },
    Difference {
        name: "rcptcount counts the recipients of one message",
        text: "nospf\nracl blacklist rcpt last@example.org rcptcount > 0\nracl whitelist default\n\
               dacl blacklist rcptcount > 1\n",
        shown: Sent(&[
            ("a@b.example", "joe@example.org", "continue", "continue"),
            ("a@b.example", "last@example.org", "continue", "continue"),
        ]),
    },
    Difference {
        name: "ratelimit counts a recipient once",
        text: "nospf\nratelimit \"one\" rcpt 1 / 1h\nracl continue ratelimit \"one\"\n\
               racl blacklist ratelimit \"one\"\nracl whitelist default\n",
        shown: Asked(("sender", "a@b.example"), PASS),
    },
    Difference {
        name: "A list of time works",
        text: "list \"hours\" time { \"* * * * *\" }\nracl blacklist list \"hours\"\n",
        shown: Asked(("sender", "a@b.example"), REFUSED),
    },
    Difference {
        name: "spamd alone works, and scores may be negative and decimal",
        text: "dacl greylist spamd\ndacl blacklist spamd > -1.5\n",
        shown: Checked(
            0,
            &[
                "warning: 1:1: this is never evaluated",
                "warning: 2:1: this is never evaluated",
            ],
        ),
    },
    Difference {
        name: "Without an answer of spamd a message has no score, and is not greylisted for it",
        text: "nospf\nspamdsock unix \"/run/nobody\"\ndacl greylist spamd > 5\n\
               dacl greylist not spamd > 5\nracl whitelist default\n",
        shown: Sent(&[("a@b.example", "joe@example.org", "continue", "continue")]),
    },
    Difference {
        name: "delayedreject puts off the reply to one message",
        text: "delayedreject\nnospf\nracl whitelist rcpt joe@example.org\nracl greylist default msg \"wait\"\n",
        shown: Sent(&[
            ("", "ann@example.org", "continue", "450 4.2.0 wait"),
            ("a@b.example", "joe@example.org", "continue", "continue"),
        ]),
    },
    Difference {
        name: "An expression for the body finds the end of a line",
        text: "nospf\nracl whitelist default\ndacl blacklist body /^x$/\n",
        shown: Sent(&[("a@b.example", "joe@example.org", "continue", REFUSED)]),
    },
    Difference {
        name: "The text of an entry that refuses a message has its recipient",
        text: "nospf\nracl whitelist default\ndacl blacklist default msg \"not to %mr at %sr\"\n",
        shown: Sent(&[(
            "a@b.example",
            "joe@example.org",
            "continue",
            "551 5.7.1 not to joe at example.org",
        )]),
    },
    Difference {
        name: "tarpit as a statement leaves the whitelisted alone",
        text: "nospf\ntarpit 10s\nracl whitelist default\n",
        shown: Asked(("sender", "a@b.example"), PASS),
    },
    Difference {
        name: "tarpit in an entry that greylists defers at RCPT, not at DATA",
        text: "nospf\nracl greylist addr 203.0.113.7 tarpit 10s\nracl whitelist default\n",
        shown: Asked(
            ("client_address", "203.0.113.7"),
            "SLEEP 10, DEFER_IF_PERMIT",
        ),
    },
    Difference {
        name: "A bad file at a reload does not end the daemon",
        text: "nospf\nracl blacklist default\n",
        shown: Reloaded("racl blacklist\n", REFUSED),
    },
];

/// The attempt of a client with this attribute.
fn attempt((name, value): Attribute) -> Vec<Attribute> {
    let mut attributes = rcpt(
        "mx.client.example",
        "203.0.113.7",
        "eve@sender.example",
        "joe@example.org",
    );
    attributes.retain(|(known, _)| *known != name);
    attributes.push((name, value));
    attributes
}

#[test]
fn every_difference_from_milter_greylist_is_there() {
    let lists = ListServer::start();
    for Difference { name, text, shown } in DIFFERENCES {
        match *shown {
            Asked(attribute, want) => {
                let (daemon, _clock) = start(text, &lists, &[]);
                assert_eq!(daemon.ask(&attempt(attribute)), want, "{name}");
            }
            Retried(first, second) => {
                let (daemon, clock) = start(text, &lists, &[]);
                let got = daemon.ask(&attempt(first));
                assert!(got.starts_with("DEFER_IF_PERMIT "), "{name}: {got}");
                clock.advance(3600);
                let got = daemon.ask(&attempt(second));
                assert!(got.starts_with("PREPEND X-Greylist: "), "{name}: {got}");
            }
            Sent(messages) => {
                let site = Site::start(&[], text);
                let mut session = site.session(6);
                for (sender, recipient, at_once, at_the_end) in messages {
                    session.mail(sender).unwrap();
                    let reply = session.rcpt(recipient).unwrap();
                    assert_eq!(text_of(&reply), *at_once, "{name}: {recipient}");
                    let (_, last) = session.message(&[("Subject", "x")], b"x\r\n").unwrap();
                    assert_eq!(text_of(&last), *at_the_end, "{name}: {recipient}");
                    session.abort().unwrap();
                }
            }
            Whitelisted(want) => {
                let list = tempfile::NamedTempFile::new().unwrap();
                fs::write(list.path(), "203.0.113.7\n").unwrap();
                let option = format!("--whitelist-clients={}", list.path().display());
                let (daemon, _clock) = start(text, &lists, &[&option]);
                let got = daemon.ask(&attempt(("sender", "a@b.example")));
                assert_eq!(got, want, "{name}");
            }
            Checked(code, findings) => {
                let (got, said) = checked(text);
                assert_eq!(got, Some(code), "{name}: {said:#?}");
                assert_eq!(said.len(), findings.len(), "{name}: {said:#?}");
                for (line, begin) in said.iter().zip(findings) {
                    assert!(line.starts_with(begin), "{name}: {line}");
                }
            }
            Reloaded(bad, want) => {
                let (mut daemon, _clock) = start(text, &lists, &[]);
                fs::write(daemon.path().join("greylist.conf"), bad).unwrap();
                daemon.reload();
                daemon.log_until(|log| log.contains("greylist.conf:1:"));
                let got = daemon.ask(&attempt(("sender", "a@b.example")));
                assert_eq!(got, want, "{name}");
            }
        }
    }
}
