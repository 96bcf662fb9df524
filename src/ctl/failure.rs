//! Failures of verbs: a message and an exit code.

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
    /// The reader of standard output has closed it.
    #[error("the output was closed")]
    Pipe,
    /// No system bus.
    #[error("cannot connect to the system bus, the only way to reach stargreyd: {0}")]
    NoBus(zbus::Error),
    /// The daemon's name on D-Bus has no owner.
    #[error(
        "stargreyd is not on the bus: `systemctl status stargrey.service` shows its state, `systemctl start stargrey.service` starts it"
    )]
    NoDaemon,
    /// The bus or the daemon closed the connection.
    #[error("no reply from stargreyd: {0}")]
    Lost(String),
    /// The daemon does not reply in time.
    #[error("no reply from stargreyd; see `systemctl status stargrey.service`")]
    Silent,
    /// The daemon fails at each start.
    #[error("{UNIT} does not start: {0}; `journalctl -u {UNIT}` shows the reason")]
    Failing(Unit),
    /// systemd cannot start the daemon.
    #[error("systemd does not start {UNIT}: {0}")]
    NotStarted(String),
    /// Ended by a signal.
    #[error("interrupted")]
    Interrupted(Interrupt),
    /// The daemon, the bus or polkit denies access.
    #[error("{}", not_allowed(said, action))]
    NotAllowed {
        /// Their message.
        said: String,
        /// The polkit action.
        action: &'static str,
    },
    /// The database is unavailable.
    #[error("{0}")]
    NoStore(String),
    /// The daemon rejects an argument.
    #[error("{0}")]
    Refused(String),
    /// The daemon rejects a record.
    #[error("{0}")]
    Record(String),
    /// The database stores only hashes.
    #[error("{0}")]
    Hashed(String),
    /// The daemon cannot write the copy.
    #[error("{0}")]
    Copy(String),
    /// The entry does not exist.
    #[error("{0}")]
    NoSuchEntry(String),
    /// The lists have errors.
    #[error("reload failed, keeping the old lists; fix these errors:\n{0}")]
    Lists(String),
    /// The tables for messages have errors.
    #[error("{0}")]
    Tables(String),
    /// Unexpected reply.
    #[error("unexpected reply from stargreyd (different version?): {0}")]
    Answer(String),
    /// Invalid argument.
    #[error("{0}")]
    Argument(#[from] ArgumentError),
    /// A database directory cannot be read.
    #[error("{0}")]
    Directory(#[from] DirectoryError),
    /// The input of an import is invalid.
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
    /// An option file cannot be parsed.
    #[error("{}", placed(name, problems))]
    Options {
        /// Its name.
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
    /// The file exists.
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
    /// list-watch has errors, a line each.
    #[error("{0}")]
    Watch(String),
    /// The list was not fetched yet.
    #[error(
        "{0} was not fetched from its address yet: `systemctl start stargrey-list-watch.service` does it, and so does `stargreyctl lists fetch`"
    )]
    NotFetched(String),
    /// A list is not installed.
    #[error("{name} is not installed: {why}")]
    NotInstalled {
        /// Its name.
        name: String,
        /// Why.
        why: String,
    },
    /// A program that is needed cannot be run, or ends with an error.
    #[error("{program}: {why}", program = program.display())]
    Program {
        /// Which.
        program: PathBuf,
        /// Why.
        why: String,
    },
    /// The program that sends mail cannot be run, or ends with an error.
    #[error("the mail is not sent: {program}: {why}", program = program.display())]
    Sendmail {
        /// Which.
        program: PathBuf,
        /// Why.
        why: String,
    },
    /// postconf failed.
    #[error("postconf fails: {0}")]
    Postconf(String),
    /// Standard output cannot be written to.
    #[error("the output cannot be written: {0}")]
    Output(io::Error),
    /// A system call that every program needs failed.
    #[error("{0}")]
    System(io::Error),
    /// The input has no valid record.
    #[error("no valid records in {name}: {why}")]
    NoRecords {
        /// The name of the input.
        name: String,
        /// The skipped records by reason.
        why: String,
    },
    /// An import failed before its end.
    #[error("{source}\n{taken}")]
    Import {
        /// Why.
        source: Box<Failure>,
        /// The counts up to then.
        taken: String,
    },
}

/// The signals that end a verb after it has removed its temporary files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interrupt {
    /// `SIGINT`.
    Keyboard,
    /// `SIGTERM`.
    Terminate,
}

/// Why an argument is invalid.
#[derive(Debug, thiserror::Error)]
pub enum ArgumentError {
    /// Not a time.
    #[error("{0}")]
    When(#[from] WhenError),
    /// Neither an address nor a name with an address.
    #[error(
        "{} has no address in the DNS: give its address, or NAME[ADDRESS] as in the log",
        Plain(.0)
    )]
    NoAddress(String),
    /// An empty client.
    #[error("the client is missing: give its address, its name, or NAME[ADDRESS] as in the log")]
    NoClient,
    /// A network instead of a client.
    #[error("{} is a network without such a triplet: give the address of one client in it", Plain(.0))]
    Network(String),
    /// Brackets without an address.
    #[error("{} has no address in the brackets: give NAME[ADDRESS] as in the log", Plain(.0))]
    NoAddressWithin(String),
    /// A name without an address, with `--no-dns`.
    #[error("the decision needs the address: give --address, or omit --no-lookup")]
    NoLookup,
    /// An address given twice.
    #[error("the client is an address already; use --address with a name only")]
    TwoAddresses,
    /// No table to search.
    #[error(
        "the options of stargrey.service have no tables for messages; give --header-checks or --body-checks"
    )]
    NoTables,
    /// `--json` with a verb that has formats of its own.
    #[error("metrics are not written as JSON; see --format")]
    NoJson,
    /// Not an address that mail can be sent to.
    #[error("{} is not an address that mail can be sent to", Plain(.0))]
    NoMailAddress(String),
    /// A list that list-watch has not.
    #[error("{} is not in list-watch", Plain(.0))]
    NoWatchedList(String),
    /// A missing option file.
    #[error("Postgrey's option file is not in one of its usual places; give the file")]
    NoPostgreyOptions,
    /// A missing directory.
    #[error("Postgrey's database is not in one of its usual places; give the directory")]
    NoPostgrey,
}

impl Failure {
    /// The exit code.
    #[must_use]
    pub fn code(&self) -> u8 {
        match self {
            Self::Pipe => exit::OK,
            Self::NoSuchEntry(_) | Self::NotFetched(_) => exit::NO,
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
            Self::Open { .. }
            | Self::Output(_)
            | Self::System(_)
            | Self::Sendmail { .. }
            | Self::Program { .. }
            | Self::Postconf(_) => exit::IOERR,
            Self::NotAllowed { .. } => exit::NOPERM,
            Self::Lists(_) => exit::CONFIG,
            Self::Read { source, .. }
            | Self::Line {
                source: LineError::Read(source),
                ..
            } => code_of_reading(source),
            Self::Refused(_)
            | Self::Tables(_)
            | Self::Record(_)
            | Self::Hashed(_)
            | Self::Line { .. }
            | Self::Options { .. }
            | Self::Watch(_)
            | Self::NotInstalled { .. }
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

    /// The failure for an error of a method of the daemon.
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

    /// The failure for an error of a method call.
    #[must_use]
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "most of them are about programs that build messages by hand"
    )]
    pub fn bus(method: &str, error: zbus::Error) -> Self {
        match error {
            zbus::Error::FDO(error) => Self::standard(method, *error),
            zbus::Error::InputOutput(error) => Self::Lost(error.to_string()),
            // From the bus if systemd cannot activate the unit: it is masked or invalid.
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

    /// The failure for a standard D-Bus error.
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
            // A row with a string or a key beyond the limits of D-Bus.
            fdo::Error::InvalidArgs(said) if method == "Import" => Self::Record(said),
            fdo::Error::LimitsExceeded(said) | fdo::Error::InvalidArgs(said) => Self::Refused(said),
            other => Self::Answer(other.to_string()),
        }
    }

    /// Access denied, with the polkit action that would allow it.
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

/// The exit code for an error of the input.
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

/// The problems, each on a line with the name of the file.
fn placed(name: &str, problems: &[Problem]) -> String {
    let lines: Vec<_> = problems
        .iter()
        .map(|problem| format!("{name}:{problem}"))
        .collect();
    lines.join("\n")
}

/// Replaces the method in the daemon's message by the verb that calls it.
fn in_our_words(said: &str) -> String {
    said.replace("ListEntries shows", "`stargreyctl list` shows")
}

/// The advice, followed by the original message, with the polkit action unless it is named in the message.
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
