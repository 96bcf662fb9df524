//! The options of Postgrey 1.37 and of the taRgrey patch, with their counterparts.

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

/// How an option is converted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mapping {
    /// The same option; the last one wins.
    Same,
    /// The same option, repeatable.
    Each,
    /// The same option, except for 0, which Postgrey ignores.
    SameButZero,
    /// Omitted, with the reason.
    LeftOut(&'static str),
}

/// An option of Postgrey.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownOption {
    /// Its name without the hyphens.
    pub name: &'static str,
    /// Its other names.
    pub aliases: &'static [&'static str],
    /// What follows it.
    pub argument: Argument,
    /// How it is converted.
    pub mapping: Mapping,
}

const fn known(name: &'static str, argument: Argument, mapping: Mapping) -> KnownOption {
    KnownOption {
        name,
        aliases: &[],
        argument,
        mapping,
    }
}

const fn called(mut known: KnownOption, aliases: &'static [&'static str]) -> KnownOption {
    known.aliases = aliases;
    known
}

/// A socket of systemd's.
const SOCKET: Mapping = Mapping::LeftOut(
    "stargrey.socket listens on /var/spool/postfix/stargrey/policy; name unix:stargrey/policy in main.cf",
);
/// What systemd does.
const SYSTEMD: Mapping = Mapping::LeftOut("systemd does this");
/// What ends Postgrey.
const NOTHING: Mapping = Mapping::LeftOut("Postgrey does not run with it");

/// All of them.
pub const OPTIONS: &[KnownOption] = &[
    called(known("unix", Argument::Needed, SOCKET), &["u"]),
    called(known("inet", Argument::Needed, Mapping::Same), &["i"]),
    known("socketmode", Argument::Needed, SOCKET),
    known("listen-queue-size", Argument::Needed, Mapping::SameButZero),
    known("exim", Argument::None, Mapping::Same),
    known("delay", Argument::Needed, Mapping::SameButZero),
    known("max-age", Argument::Needed, Mapping::SameButZero),
    known("retry-window", Argument::Needed, Mapping::Same),
    known("greylist-action", Argument::Needed, Mapping::Same),
    known("greylist-text", Argument::Needed, Mapping::Same),
    known("x-greylist-header", Argument::Needed, Mapping::Same),
    known("hostname", Argument::Needed, Mapping::Same),
    known("lookup-by-subnet", Argument::None, Mapping::Same),
    known("lookup-by-host", Argument::None, Mapping::Same),
    known("ipv4cidr", Argument::Needed, Mapping::SameButZero),
    known("ipv6cidr", Argument::Needed, Mapping::SameButZero),
    known("auto-whitelist-clients", Argument::Optional, Mapping::Same),
    known(
        "auto-whitelist-delay",
        Argument::Needed,
        Mapping::SameButZero,
    ),
    known("retry-count", Argument::Needed, Mapping::SameButZero),
    known("tarpit", Argument::Optional, Mapping::SameButZero),
    known("targrey", Argument::None, Mapping::Same),
    known("privacy", Argument::None, Mapping::Same),
    known("whitelist-clients", Argument::Needed, Mapping::Each),
    known("whitelist-recipients", Argument::Needed, Mapping::Each),
    called(known("verbose", Argument::None, Mapping::Same), &["v"]),
    called(known("quiet", Argument::None, Mapping::Same), &["q"]),
    called(
        known("syslog-facility", Argument::Needed, Mapping::Same),
        &["syslogfacility", "facility"],
    ),
    known(
        "dbdir",
        Argument::Needed,
        Mapping::LeftOut(
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

impl KnownOption {
    fn names(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.name).chain(self.aliases.iter().copied())
    }
}

/// The option of this name, or the only one with a name that begins so.
pub(super) fn find(name: &str) -> Result<&'static KnownOption, String> {
    let is_named = |known: &&KnownOption| known.names().any(|other| other == name);
    if let Some(known) = OPTIONS.iter().find(is_named) {
        return Ok(known);
    }
    let begins = |known: &&KnownOption| known.names().any(|other| other.starts_with(name));
    let found: Vec<&'static KnownOption> = OPTIONS.iter().filter(begins).collect();
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
