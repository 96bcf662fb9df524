//! The options of Postgrey 1.37 and of the taRgrey patch, and what each is here.

/// What follows a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Argument {
    /// Nothing.
    None,
    /// A value, or nothing.
    Optional,
    /// A value.
    Needed,
}

/// What becomes of an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Means {
    /// It is the same here; the last one counts.
    Same,
    /// The same, and each of several counts.
    Each,
    /// The same, but for 0, which is not a value there.
    SameButZero,
    /// It has no place here, and this is why.
    LeftOut(&'static str),
}

/// An option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// Its name without the hyphens.
    pub name: &'static str,
    /// Its other names.
    pub aliases: &'static [&'static str],
    /// What follows it.
    pub argument: Argument,
    /// What becomes of it.
    pub means: Means,
}

const fn known(name: &'static str, argument: Argument, means: Means) -> Known {
    Known {
        name,
        aliases: &[],
        argument,
        means,
    }
}

const fn called(mut known: Known, aliases: &'static [&'static str]) -> Known {
    known.aliases = aliases;
    known
}

/// A socket of systemd's.
const SOCKET: Means = Means::LeftOut(
    "stargrey.socket listens on /var/spool/postfix/stargrey/policy; name unix:stargrey/policy in main.cf",
);
/// What systemd does.
const SYSTEMD: Means = Means::LeftOut("systemd does this");
/// What ends Postgrey.
const NOTHING: Means = Means::LeftOut("Postgrey does not run with it");

/// All of them.
pub const OPTIONS: &[Known] = &[
    called(known("unix", Argument::Needed, SOCKET), &["u"]),
    called(known("inet", Argument::Needed, Means::Same), &["i"]),
    known("socketmode", Argument::Needed, SOCKET),
    known("listen-queue-size", Argument::Needed, Means::SameButZero),
    known("exim", Argument::None, Means::Same),
    known("delay", Argument::Needed, Means::SameButZero),
    known("max-age", Argument::Needed, Means::SameButZero),
    known("retry-window", Argument::Needed, Means::Same),
    known("greylist-action", Argument::Needed, Means::Same),
    known("greylist-text", Argument::Needed, Means::Same),
    known("x-greylist-header", Argument::Needed, Means::Same),
    known("hostname", Argument::Needed, Means::Same),
    known("lookup-by-subnet", Argument::None, Means::Same),
    known("lookup-by-host", Argument::None, Means::Same),
    known("ipv4cidr", Argument::Needed, Means::SameButZero),
    known("ipv6cidr", Argument::Needed, Means::SameButZero),
    known("auto-whitelist-clients", Argument::Optional, Means::Same),
    known("auto-whitelist-delay", Argument::Needed, Means::SameButZero),
    known("retry-count", Argument::Needed, Means::SameButZero),
    known("tarpit", Argument::Optional, Means::SameButZero),
    known("targrey", Argument::None, Means::Same),
    known("privacy", Argument::None, Means::Same),
    known("whitelist-clients", Argument::Needed, Means::Each),
    known("whitelist-recipients", Argument::Needed, Means::Each),
    called(known("verbose", Argument::None, Means::Same), &["v"]),
    called(known("quiet", Argument::None, Means::Same), &["q"]),
    called(
        known("syslog-facility", Argument::Needed, Means::Same),
        &["syslogfacility", "facility"],
    ),
    known(
        "dbdir",
        Argument::Needed,
        Means::LeftOut(
            "the database is /var/lib/stargrey; `stargreyctl import postgrey` imports the records of this one",
        ),
    ),
    called(known("daemonize", Argument::None, SYSTEMD), &["d"]),
    known("pidfile", Argument::Needed, SYSTEMD),
    known("user", Argument::Needed, SYSTEMD),
    known("group", Argument::Needed, SYSTEMD),
    called(
        known("no-action", Argument::None, NOTHING),
        &["noaction", "n"],
    ),
    called(known("help", Argument::None, NOTHING), &["h"]),
    known("man", Argument::None, NOTHING),
    known("version", Argument::None, NOTHING),
];

impl Known {
    fn names(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.name).chain(self.aliases.iter().copied())
    }
}

/// The option of this name, or the only one with a name that begins so.
pub(super) fn find(name: &str) -> Result<&'static Known, String> {
    let is_named = |known: &&Known| known.names().any(|other| other == name);
    if let Some(known) = OPTIONS.iter().find(is_named) {
        return Ok(known);
    }
    let begins = |known: &&Known| known.names().any(|other| other.starts_with(name));
    let found: Vec<&'static Known> = OPTIONS.iter().filter(begins).collect();
    match *found.as_slice() {
        [known] => Ok(known),
        [] => Err("not an option of Postgrey".to_owned()),
        [..] => {
            let names: Vec<_> = found
                .iter()
                .map(|known| format!("--{}", known.name))
                .collect();
            Err(format!("may be {}", names.join(" or ")))
        }
    }
}
