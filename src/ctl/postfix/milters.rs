//! Whether Postfix asks the milter, what it does without a reply, and how long it waits for one.
//!
//! `smtpd_milters` is a list of sockets, each alone or in braces with settings of its own, which are used in place
//! of those of main.cf:
//!
//! ```text
//! smtpd_milters = inet:127.0.0.1:11332, { unix:stargrey/milter, default_action=accept, command_timeout=300s }
//! ```

use super::restrictions::tokens;
use super::settings::{Listener, Settings};
use crate::config::SPAMD_SECONDS;

/// The part of a line of main.cf that stargrey-milter(7) recommends, after the socket.
const RECOMMENDED: &str = "default_action=accept, command_timeout=300s";

/// The list of milters, and the one for mail that does not come by SMTP.
const MILTERS: &str = "smtpd_milters";
const OTHER_MILTERS: &str = "non_smtpd_milters";

/// How much longer than a sleep a reply may take, in seconds: lookups in DNS, and a slow disk.
const MARGIN: u64 = 5;

/// How long the reply to a command may take without a sleep, in seconds.
const COMMAND: u64 = 10;

/// How long systemd may take to start the daemon before it accepts a connection, in seconds.
const CONNECT: u64 = 5;

/// How long a message may wait at its end, in seconds: for its score, and for the search of a large body.
const SEARCH: u64 = 10;
const CONTENT: u64 = SPAMD_SECONDS + SEARCH;

/// The result of the check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MilterReport {
    /// Whether each smtpd on port 25 asks the milter; whether all do where there is none on port 25.
    pub is_reached: bool,
    /// Sentences; none if Postfix does not name the milter and no other one of stargrey.
    pub findings: Vec<String>,
}

/// What each smtpd asks the milter with this socket, as main.cf names it. `sleep` is how long the daemon sleeps in the
/// tarpit, in seconds; 0 without one.
#[must_use]
pub fn report_milter(settings: &Settings, socket: &str, sleep: u64) -> MilterReport {
    let check = MilterCheck {
        settings,
        socket,
        sleep,
    };
    let listeners = &settings.listeners;
    let is_named = listeners.iter().any(|of| check.own(of).is_some());
    let is_elsewhere = settings.names_milter(settings.main(OTHER_MILTERS), socket);
    let has_public = listeners.iter().any(Listener::is_public);
    let mut is_reached = is_named;
    let mut findings = Vec::new();
    for listener in listeners {
        let found = if listener.is_public() || !has_public {
            let (reached, found) = check.run(listener, is_named);
            is_reached &= reached;
            found
        } else {
            check.of_users(listener)
        };
        let name = &listener.name;
        findings.extend(found.into_iter().map(|text| format!("{name}: {text}")));
    }
    if is_elsewhere {
        findings.push(format!(
            "{OTHER_MILTERS} names {socket}: mail of local programs has no client, and stargreyd lets all of it pass; remove it there"
        ));
    }
    MilterReport {
        is_reached,
        findings,
    }
}

/// A milter in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Milter {
    /// Its socket.
    socket: String,
    /// Its settings: name and value.
    attributes: Vec<(String, String)>,
}

impl Milter {
    /// Reads a list.
    fn read_all(list: &str) -> Vec<Self> {
        let all = tokens(list);
        all.iter().filter_map(|text| Self::read(text)).collect()
    }

    fn read(text: &str) -> Option<Self> {
        let mut words = tokens(unbraced(text)).into_iter();
        let socket = words.next()?;
        // Postfix has two names for a path.
        let socket = match socket.strip_prefix("local:") {
            Some(path) => format!("unix:{path}"),
            None => socket,
        };
        let attributes = words.filter_map(|word| {
            let (name, value) = unbraced(&word).split_once('=')?;
            let (name, value) = (name.trim(), value.trim());
            (!name.is_empty()).then(|| (name.to_owned(), value.to_owned()))
        });
        Some(Self {
            socket,
            attributes: attributes.collect(),
        })
    }

    fn attribute(&self, name: &str) -> Option<&str> {
        let mut all = self.attributes.iter();
        let found = all.find(|(other, _)| other == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// What is between braces, or the text without them.
fn unbraced(text: &str) -> &str {
    let inside = text
        .strip_prefix('{')
        .and_then(|rest| rest.strip_suffix('}'));
    inside.unwrap_or(text).trim()
}

/// A time of Postfix in seconds: a number with an optional unit.
fn seconds(text: &str) -> Option<u64> {
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let number: u64 = text.strip_suffix(unit)?.parse().ok()?;
    let length = match unit {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 24 * 3600,
        "w" => 7 * 24 * 3600,
        _ => return None,
    };
    number.checked_mul(length)
}

impl Settings {
    /// Whether this list names the milter.
    fn names_milter(&self, list: &str, socket: &str) -> bool {
        let mut all = Milter::read_all(list).into_iter();
        all.any(|milter| self.is_same_place(&milter.socket, socket))
    }
}

/// What is asked about.
struct MilterCheck<'a> {
    settings: &'a Settings,
    socket: &'a str,
    sleep: u64,
}

impl MilterCheck<'_> {
    fn of<'a>(&'a self, listener: &'a Listener, parameter: &str) -> &'a str {
        self.settings.of(listener, parameter)
    }

    /// The milter in the list of an smtpd.
    fn own(&self, listener: &Listener) -> Option<Milter> {
        let mut all = Milter::read_all(self.of(listener, MILTERS)).into_iter();
        all.find(|milter| self.settings.is_same_place(&milter.socket, self.socket))
    }

    /// Whether an smtpd asks no milter at all.
    fn asks_none(&self, listener: &Listener) -> bool {
        let overrides = self.of(listener, "receive_override_options");
        let mut words = overrides.split([',', ' ', '\t']);
        words.any(|word| word == "no_milters")
    }

    /// Whether an smtpd for mail from outside asks the milter, and what is to be said about that.
    fn run(&self, listener: &Listener, is_named: bool) -> (bool, Vec<String>) {
        let socket = self.socket;
        let origin = listener.origin(MILTERS);
        let Some(milter) = self.own(listener) else {
            let mut said = self.similar(listener);
            if is_named {
                said.push(format!(
                    "{MILTERS}{origin} does not name {socket}: add {{ {socket}, {RECOMMENDED} }}"
                ));
            }
            return (false, said);
        };
        if self.asks_none(listener) {
            let parameter = "receive_override_options";
            let origin = listener.origin(parameter);
            let said = format!("{parameter}{origin} has no_milters, so that no milter is called");
            return (false, vec![said]);
        }
        if let Some(fault) = self.settings.beyond_the_chroot(listener, &milter.socket) {
            return (false, vec![fault]);
        }
        let mut said = vec![format!("{MILTERS}{origin} calls {socket}")];
        said.extend(self.while_down(listener, &milter));
        said.extend(self.impatience(listener, &milter));
        let maps = self.of(listener, "smtpd_milter_maps");
        if !maps.is_empty() {
            said.push(format!(
                "smtpd_milter_maps can name other milters for a client, or none; its tables are not checked ({maps})"
            ));
        }
        (true, said)
    }

    /// A finding if an smtpd that is not for mail from outside asks the milter.
    fn of_users(&self, listener: &Listener) -> Vec<String> {
        if self.own(listener).is_none() || self.asks_none(listener) {
            return Vec::new();
        }
        vec![format!(
            "{MILTERS}{} calls {}, too; if this service is for users, or for mail that comes back from a filter, put `-o {MILTERS}=` below it in master.cf, with the milters that it needs",
            listener.origin(MILTERS),
            self.socket
        )]
    }

    /// Findings on milters that may be meant for this one.
    fn similar(&self, listener: &Listener) -> Vec<String> {
        let all = Milter::read_all(self.of(listener, MILTERS));
        let similar = all
            .into_iter()
            .map(|milter| milter.socket)
            .filter(|socket| socket.contains("stargrey"));
        let said = similar.map(|other| {
            if other.ends_with("/policy") {
                format!(
                    "{MILTERS} names {other}, which is the socket of the policy service; that of the milter is {}",
                    self.socket
                )
            } else {
                format!(
                    "{MILTERS} names {other}; if stargreyd listens there: stargreyctl check-postfix --milter={other}"
                )
            }
        });
        said.collect()
    }

    /// The value of a setting of the milter, and where it comes from: `default_action`, or the parameter of main.cf.
    fn setting<'a>(
        &'a self,
        listener: &'a Listener,
        milter: &'a Milter,
        name: &str,
    ) -> (&'a str, String) {
        if let Some(value) = milter.attribute(name) {
            return (value, name.to_owned());
        }
        let parameter = format!("milter_{name}");
        let origin = listener.origin(&parameter);
        let value = self.of(listener, &parameter);
        (value, parameter + origin)
    }

    /// A finding if Postfix does not accept mail while the daemon does not run.
    fn while_down(&self, listener: &Listener, milter: &Milter) -> Option<String> {
        let (action, source) = self.setting(listener, milter, "default_action");
        let effect = match action {
            "accept" => return None,
            "tempfail" => "defers all mail",
            "reject" => "rejects all mail",
            "quarantine" => "holds all mail",
            "shutdown" => "closes each session",
            _ => "does not accept mail",
        };
        Some(format!(
            "while stargreyd does not run, Postfix {effect} ({source} = {action}); better: {{ {}, {RECOMMENDED} }}",
            self.socket
        ))
    }

    /// Findings if Postfix may not wait long enough for a reply.
    fn impatience(&self, listener: &Listener, milter: &Milter) -> Vec<String> {
        let sleep = format!("stargreyd sleeps {} s in the tarpit", self.sleep);
        let (command, why) = if self.sleep == 0 {
            (COMMAND, "lookups may take so long")
        } else {
            (self.sleep.saturating_add(MARGIN), sleep.as_str())
        };
        let content = format!(
            "a message may wait {SPAMD_SECONDS} s for spamd, and {SEARCH} s for the search of its body"
        );
        let all = [
            (
                "connect_timeout",
                CONNECT,
                30,
                "systemd may start stargreyd",
            ),
            ("command_timeout", command, 300, why),
            ("content_timeout", CONTENT, 300, &content),
        ];
        let said = all.into_iter().filter_map(|(name, least, usual, why)| {
            let (value, source) = self.setting(listener, milter, name);
            // What cannot be read is for Postfix to complain about.
            (seconds(value)? < least).then(|| {
                let wanted = least.max(usual);
                format!(
                    "Postfix waits {value} only ({source}), but {why}: write {name}={wanted}s into the braces of {}",
                    self.socket
                )
            })
        });
        said.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A socket and its settings.
    type Named = (&'static str, &'static [(&'static str, &'static str)]);

    #[test]
    fn lists_of_milters_are_read_as_postfix_reads_them() {
        let cases: [(&str, &[Named]); 4] = [
            ("", &[]),
            (
                "inet:127.0.0.1:11332,\tlocal:a/b",
                &[("inet:127.0.0.1:11332", &[]), ("unix:a/b", &[])],
            ),
            (
                "{ unix:a/b, default_action=accept, command_timeout = 300s }",
                &[("unix:a/b", &[("default_action", "accept")])],
            ),
            (
                "{unix:a/b,{ default_action = accept },command_timeout=300s}",
                &[(
                    "unix:a/b",
                    &[("default_action", "accept"), ("command_timeout", "300s")],
                )],
            ),
        ];
        for (list, want) in cases {
            let got = Milter::read_all(list);
            let want: Vec<Milter> = want
                .iter()
                .map(|(socket, attributes)| Milter {
                    socket: (*socket).to_owned(),
                    attributes: attributes
                        .iter()
                        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                        .collect(),
                })
                .collect();
            assert_eq!(got, want, "{list}");
        }
    }

    #[test]
    fn times_have_units() {
        for (text, want) in [
            ("0", Some(0)),
            ("30", Some(30)),
            ("30s", Some(30)),
            ("5m", Some(300)),
            ("2h", Some(7200)),
            ("1d", Some(86_400)),
            ("1w", Some(604_800)),
            ("", None),
            ("s", None),
            ("5x", None),
            ("5 s", None),
            ("99999999999999999999s", None),
            ("18446744073709551615w", None),
        ] {
            assert_eq!(seconds(text), want, "{text}");
        }
    }
}
