//! Why a verb fails: a sentence and an exit code.

use std::io;
use std::path::PathBuf;

use zbus::fdo;

use super::exit;
use super::import::{DirectoryError, LineError, ReadError};
use super::options::Problem;
use super::render::Plain;
use super::unit::{UNIT, Unit};
use super::when::WhenError;
use crate::api;

/// Why a verb fails.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Whoever reads the output has read enough.
    #[error("the output was closed")]
    Pipe,
    /// There is no bus.
    #[error("cannot connect to the system bus, the only way to reach stargreyd: {0}")]
    NoBus(zbus::Error),
    /// Nobody has the name on the bus.
    #[error(
        "stargreyd is not on the bus: `systemctl status stargrey.service` shows its state, `systemctl start stargrey.service` starts it"
    )]
    NoDaemon,
    /// The bus or the daemon went away.
    #[error("no reply from stargreyd: {0}")]
    Lost(String),
    /// The daemon lets us wait.
    #[error("no reply from stargreyd; see `systemctl status stargrey.service`")]
    Silent,
    /// systemd starts the daemon in vain.
    #[error("{UNIT} does not start: {0}; `journalctl -u {UNIT}` shows the reason")]
    Failing(Unit),
    /// systemd does not start the daemon at all.
    #[error("systemd does not start {UNIT}: {0}")]
    NotStarted(String),
    /// A signal has come.
    #[error("interrupted")]
    Interrupted(Interrupt),
    /// The daemon, the bus or polkit refuses.
    #[error("{}", not_allowed(said, action))]
    NotAllowed {
        /// In whose words.
        said: String,
        /// What polkit is asked about.
        action: &'static str,
    },
    /// The database cannot be used.
    #[error("{0}")]
    NoStore(String),
    /// The daemon refuses what it was given.
    #[error("{0}")]
    Refused(String),
    /// The daemon refuses a record.
    #[error("{0}")]
    Record(String),
    /// The database has only hashes.
    #[error("{0}")]
    Hashed(String),
    /// The daemon cannot write the copy.
    #[error("{0}")]
    Copy(String),
    /// There is no such entry.
    #[error("{0}")]
    NoSuchEntry(String),
    /// The lists have errors.
    #[error("reload failed, keeping the old lists; fix these errors:\n{0}")]
    Lists(String),
    /// The answer makes no sense.
    #[error("unexpected reply from stargreyd (different version?): {0}")]
    Answer(String),
    /// An argument makes no sense.
    #[error("{0}")]
    Argument(#[from] ArgumentError),
    /// A database directory cannot be read.
    #[error("{0}")]
    Directory(#[from] DirectoryError),
    /// What is imported is not what it should be.
    #[error("{path}: {source}", path = path.display())]
    Read {
        /// What.
        path: PathBuf,
        /// Why.
        source: ReadError,
    },
    /// A line of an export.
    #[error("{path}: {source}", path = path.display())]
    Line {
        /// Of this file.
        path: PathBuf,
        /// What is wrong.
        source: LineError,
    },
    /// An option file cannot be understood.
    #[error("{}", placed(name, problems))]
    Options {
        /// What it is called.
        name: String,
        /// What is wrong in it.
        problems: Vec<Problem>,
    },
    /// A file cannot be read.
    #[error("{path}: {source}", path = path.display())]
    Open {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is such a file.
    #[error("{} exists; --force replaces it", .0.display())]
    Exists(PathBuf),
    /// A file cannot be created.
    #[error("{path} cannot be written: {source}", path = path.display())]
    Create {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Postfix cannot be asked for its configuration.
    #[error("postconf fails: {0}")]
    Postconf(String),
    /// Standard output cannot be written to.
    #[error("the output cannot be written: {0}")]
    Output(io::Error),
    /// The system refuses something that every program needs.
    #[error("{0}")]
    System(io::Error),
    /// There is something to read, and none of it can be taken.
    #[error("no valid records in {name}: {why}")]
    NoRecords {
        /// In what.
        name: String,
        /// How many of what were left out.
        why: String,
    },
    /// An import came to an end before it was through.
    #[error("{source}\n{taken}")]
    Import {
        /// Why.
        source: Box<Failure>,
        /// What had been done by then.
        taken: String,
    },
}

/// The signals that a verb is ended by after it has put away what it was writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interrupt {
    /// `SIGINT`.
    Keyboard,
    /// `SIGTERM`.
    Terminate,
}

/// What is wrong with an argument.
#[derive(Debug, thiserror::Error)]
pub enum ArgumentError {
    /// A time.
    #[error("{0}")]
    When(#[from] WhenError),
    /// Neither an address nor a name that has one.
    #[error(
        "{} has no address in the DNS: give its address, or NAME[ADDRESS] as in the log",
        Plain(.0)
    )]
    NoAddress(String),
    /// Nothing at all where a client should be.
    #[error("the client is missing: give its address, its name, or NAME[ADDRESS] as in the log")]
    NoClient,
    /// A network where one client should be.
    #[error("{} is a network without such a triplet: give the address of one client in it", Plain(.0))]
    Network(String),
    /// Brackets without an address.
    #[error("{} has no address in the brackets: give NAME[ADDRESS] as in the log", Plain(.0))]
    NoAddressWithin(String),
    /// A name of which nothing more may be found out.
    #[error("the decision needs the address: give --address, or omit --no-lookup")]
    NoLookup,
    /// An address given twice.
    #[error("the client is an address already; use --address with a name only")]
    TwoAddresses,
    /// An option file that is not there.
    #[error("Postgrey's option file is not in one of its usual places; give the file")]
    NoPostgreyOptions,
    /// A directory that is not there.
    #[error("Postgrey's database is not in one of its usual places; give the directory")]
    NoPostgrey,
}

impl Failure {
    /// What the program ends with.
    #[must_use]
    pub fn code(&self) -> u8 {
        match self {
            Self::Pipe => exit::OK,
            Self::NoSuchEntry(_) => exit::NO,
            Self::Argument(_) => exit::USAGE,
            Self::NoBus(_)
            | Self::NoDaemon
            | Self::Lost(_)
            | Self::Silent
            | Self::Failing(_)
            | Self::NotStarted(_)
            | Self::NoStore(_) => exit::UNAVAILABLE,
            Self::Interrupted(Interrupt::Keyboard) => exit::INTERRUPTED,
            Self::Interrupted(Interrupt::Terminate) => exit::TERMINATED,
            Self::Answer(_) => exit::SOFTWARE,
            Self::Exists(_) | Self::Create { .. } | Self::Copy(_) => exit::CANTCREAT,
            Self::Open { .. } | Self::Output(_) | Self::System(_) | Self::Postconf(_) => {
                exit::IOERR
            }
            Self::NotAllowed { .. } => exit::NOPERM,
            Self::Lists(_) => exit::CONFIG,
            Self::Read { source, .. }
            | Self::Line {
                source: LineError::Read(source),
                ..
            } => code_of_reading(source),
            Self::Refused(_)
            | Self::Record(_)
            | Self::Hashed(_)
            | Self::Line { .. }
            | Self::Options { .. }
            | Self::NoRecords { .. } => exit::DATAERR,
            Self::Directory(error) => match error {
                DirectoryError::Held(_)
                | DirectoryError::NoDatabase(_)
                | DirectoryError::Configured(_) => exit::DATAERR,
                DirectoryError::File { .. }
                | DirectoryError::Copy { .. }
                | DirectoryError::NoPrograms
                | DirectoryError::Program { .. } => exit::IOERR,
            },
            Self::Import { source, .. } => source.code(),
        }
    }

    /// What a method of the daemon has refused.
    #[must_use]
    pub fn refused(method: &str, error: api::Error) -> Self {
        match error {
            api::Error::ZBus(error) => Self::bus(method, error),
            api::Error::NotAuthorized(said) => Self::not_allowed(method, said),
            api::Error::StoreUnavailable(said) => Self::NoStore(said),
            api::Error::NoSuchEntry(said) => Self::NoSuchEntry(in_our_words(&said)),
            api::Error::Hashed(said) => Self::Hashed(said),
            api::Error::CopyFailed(said) => Self::Copy(said),
            api::Error::ReloadRefused(said) => Self::Lists(said),
            api::Error::InvalidPattern(said)
            | api::Error::InvalidArgument(said)
            | api::Error::UnknownList(said)
            | api::Error::EntryInFile(said)
            | api::Error::EmptyFilter(said)
            | api::Error::InvalidBackup(said) => Self::Refused(said),
            api::Error::InvalidRow(said) => Self::Record(said),
        }
    }

    /// What the bus says about a call of a method.
    #[must_use]
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "most of them are about programs that build messages by hand"
    )]
    pub fn bus(method: &str, error: zbus::Error) -> Self {
        match error {
            zbus::Error::FDO(error) => Self::standard(method, *error),
            zbus::Error::InputOutput(error) => Self::Lost(error.to_string()),
            // What the bus passes on when systemd cannot activate the unit: it is masked, or has an error in it.
            zbus::Error::MethodError(name, said, _)
                if name.starts_with("org.freedesktop.systemd1.") =>
            {
                Self::NotStarted(said.unwrap_or_else(|| name.to_string()))
            }
            zbus::Error::MethodError(name, said, _) => {
                Self::Answer(format!("{name}: {}", said.unwrap_or_default()))
            }
            other => Self::Answer(other.to_string()),
        }
    }

    /// One of the errors that every bus has.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "there are fifty of them, and most have nothing to do with us"
    )]
    fn standard(method: &str, error: fdo::Error) -> Self {
        match error {
            fdo::Error::ServiceUnknown(_)
            | fdo::Error::NameHasNoOwner(_)
            | fdo::Error::SpawnExecFailed(_)
            | fdo::Error::SpawnFailed(_)
            | fdo::Error::SpawnChildExited(_)
            | fdo::Error::SpawnServiceNotFound(_) => Self::NoDaemon,
            fdo::Error::AccessDenied(said)
            | fdo::Error::AuthFailed(said)
            | fdo::Error::InteractiveAuthorizationRequired(said) => Self::not_allowed(method, said),
            fdo::Error::NoReply(said)
            | fdo::Error::Timeout(said)
            | fdo::Error::TimedOut(said)
            | fdo::Error::Disconnected(said) => Self::Lost(said),
            // A row with a text or a key beyond the limits of the bus.
            fdo::Error::InvalidArgs(said) if method == "Import" => Self::Record(said),
            fdo::Error::LimitsExceeded(said) | fdo::Error::InvalidArgs(said) => Self::Refused(said),
            other => Self::Answer(other.to_string()),
        }
    }

    /// Not allowed, with the name of what polkit would have to allow.
    fn not_allowed(method: &str, said: String) -> Self {
        let action = api::ACTIONS
            .iter()
            .find(|(_, methods)| methods.contains(&method));
        Self::NotAllowed {
            said,
            action: action.map_or("", |(action, _)| action),
        }
    }
}

/// What it ends with when a stream cannot be read.
const fn code_of_reading(error: &ReadError) -> u8 {
    match error {
        ReadError::Stream(_) | ReadError::Program { .. } => exit::IOERR,
        ReadError::NotADump(_)
        | ReadError::Header(_)
        | ReadError::Encoding(_)
        | ReadError::EndsEarly(_)
        | ReadError::Hashed => exit::DATAERR,
    }
}

/// Problems with the name of their file, one a line.
fn placed(name: &str, problems: &[Problem]) -> String {
    let lines: Vec<_> = problems
        .iter()
        .map(|problem| format!("{name}:{problem}"))
        .collect();
    lines.join("\n")
}

/// What the daemon says of a method, said of the verb that calls it.
fn in_our_words(said: &str) -> String {
    said.replace("ListEntries shows", "`stargreyctl list` shows")
}

/// What to do, and behind it what was said, with the action of polkit unless it names that already.
fn not_allowed(said: &str, action: &str) -> String {
    let said = said.trim_end_matches('.');
    let shown = if action.is_empty() || said.contains(action) {
        String::new()
    } else {
        format!("; the action of polkit is {action}")
    };
    format!("Access denied; try sudo\n({said}{shown})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_the_daemon_have_codes() {
        let said = String::new;
        let cases = [
            (api::Error::InvalidPattern(said()), exit::DATAERR),
            (api::Error::InvalidArgument(said()), exit::DATAERR),
            (api::Error::UnknownList(said()), exit::DATAERR),
            (api::Error::EntryInFile(said()), exit::DATAERR),
            (api::Error::EmptyFilter(said()), exit::DATAERR),
            (api::Error::Hashed(said()), exit::DATAERR),
            (api::Error::InvalidRow(said()), exit::DATAERR),
            (api::Error::CopyFailed(said()), exit::CANTCREAT),
            (api::Error::InvalidBackup(said()), exit::DATAERR),
            (api::Error::NoSuchEntry(said()), exit::NO),
            (api::Error::NotAuthorized(said()), exit::NOPERM),
            (api::Error::StoreUnavailable(said()), exit::UNAVAILABLE),
            (api::Error::ReloadRefused(said()), exit::CONFIG),
        ];
        for (error, want) in cases {
            let name = format!("{error:?}");
            assert_eq!(Failure::refused("Forget", error).code(), want, "{name}");
        }
    }

    #[test]
    fn errors_of_the_bus_have_codes_and_sentences() {
        let said = || "so".to_owned();
        let cases = [
            (
                fdo::Error::ServiceUnknown(said()),
                exit::UNAVAILABLE,
                "systemctl start",
            ),
            (
                fdo::Error::NoReply(said()),
                exit::UNAVAILABLE,
                "no reply from stargreyd: so",
            ),
            (
                fdo::Error::AccessDenied(said()),
                exit::NOPERM,
                "the action of polkit is",
            ),
            (
                fdo::Error::UnknownMethod(said()),
                exit::SOFTWARE,
                "unexpected reply",
            ),
        ];
        for (error, want, text) in cases {
            let failure = Failure::refused("Forget", api::Error::ZBus(error.into()));
            assert_eq!(failure.code(), want, "{failure}");
            assert!(failure.to_string().contains(text), "{failure}");
        }
    }

    #[test]
    fn a_method_that_is_named_is_named_as_the_verb() {
        let said =
            "There is no such entry in this list; ListEntries shows them as they were written.";
        let failure = Failure::refused("RemoveEntry", api::Error::NoSuchEntry(said.to_owned()));
        let want = "There is no such entry in this list; `stargreyctl list` shows them as they were written.";
        assert_eq!(failure.to_string(), want);
    }

    #[test]
    fn how_to_become_allowed_is_said_once() {
        let refused = |said: &str| {
            let error = api::Error::NotAuthorized(said.to_owned());
            Failure::refused("Backup", error).to_string()
        };
        let want = "Access denied; try sudo\n(not for you; the action of polkit is org.stargrey.Greylist1.backup)";
        assert_eq!(refused("not for you."), want);
        let said = "org.stargrey.Greylist1.backup is not for you";
        assert_eq!(refused(said), format!("Access denied; try sudo\n({said})"));
    }

    #[test]
    fn all_codes_are_listed() {
        let mut codes: Vec<u8> = exit::ALL.iter().map(|(code, _)| *code).collect();
        codes.dedup();
        assert_eq!(codes.len(), exit::ALL.len());
        assert!(codes.is_sorted());
    }
}
