//! What the options mean: built once, valid from then on.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use jiff::tz::TimeZone;

use super::diagnostic::{Diagnostic, Diagnostics};
use super::endpoint::Endpoint;
use super::lists::ListFiles;
use super::lookup::{self, LookupSettings};
use super::options::Options;
use super::{params, value};
use crate::policy::{Params, Texts};

/// Where the database is unless options say otherwise.
const DATABASE_DIRECTORY: &str = "/var/lib/stargrey";

/// The identifier of log records unless options say otherwise.
pub const SYSLOG_NAME: &str = "stargrey";

/// The syslog facility, mail, of errors about options.
pub const DEFAULT_FACILITY: u8 = 2;

/// The text of a deferral unless options say otherwise.
const GREYLIST_TEXT: &str = "Greylisted, please try again in %s seconds";

/// Least `--max-size`: less than this holds nothing useful.
const LEAST_SIZE: u64 = 1 << 20;

/// Syslog's facilities with their numbers (RFC 5424, 6.2.1).
const FACILITIES: &[(&str, u8)] = &[
    ("kern", 0),
    ("user", 1),
    ("mail", 2),
    ("daemon", 3),
    ("auth", 4),
    ("security", 4),
    ("syslog", 5),
    ("lpr", 6),
    ("news", 7),
    ("uucp", 8),
    ("cron", 9),
    ("authpriv", 10),
    ("ftp", 11),
    ("local0", 16),
    ("local1", 17),
    ("local2", 18),
    ("local3", 19),
    ("local4", 20),
    ("local5", 21),
    ("local6", 22),
    ("local7", 23),
];

/// How much is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verbosity {
    /// No line for each decision.
    Quiet,
    /// One line for each decision.
    Normal,
    /// More.
    Verbose,
}

/// What an answer waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncMode {
    /// The data: a kill loses nothing, a power cut may undo the last commits.
    Data,
    /// Everything: a power cut loses nothing either.
    Full,
}

/// How the database is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreSettings {
    /// Its directory.
    pub directory: PathBuf,
    /// Its greatest size in bytes.
    pub max_size: usize,
    /// What an answer waits for.
    pub sync: SyncMode,
    /// Whether only hashes are kept.
    pub privacy: bool,
}

/// Where the time comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TimeSource {
    /// The system's clock.
    System,
    /// A file with the seconds since the epoch in it.
    File(PathBuf),
}

/// All settings.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where to listen besides the inherited sockets.
    pub endpoints: Vec<Endpoint>,
    /// Permission bits of unix sockets.
    pub socket_mode: u32,
    /// Connections that may wait to be accepted.
    pub backlog: i32,
    /// Whether a connection ends with its first answer.
    pub one_answer: bool,
    /// The database.
    pub store: StoreSettings,
    /// The numbers of the core.
    pub params: Params,
    /// The wording of answers.
    pub texts: Texts,
    /// The list files.
    pub lists: ListFiles,
    /// What is looked up outside.
    pub lookup: LookupSettings,
    /// How much is logged.
    pub verbosity: Verbosity,
    /// The syslog facility's number.
    pub facility: u8,
    /// The identifier of log records.
    pub syslog_name: String,
    /// User to become when started as root.
    pub user: String,
    /// Group to become when started as root.
    pub group: String,
    /// Where the time comes from.
    pub time: TimeSource,
    /// Whether requests may bring their own time.
    pub requests_bring_time: bool,
    /// What was asked for and is not done, or not a good idea: to be logged once.
    pub warnings: Vec<Diagnostic>,
}

/// What settings take from outside the command line.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    /// The machine's name.
    pub hostname: String,
    /// `POSTGREY_TEXT` of Debian's option file.
    pub postgrey_text: Option<String>,
    /// `STATE_DIRECTORY` of the unit.
    pub state_directory: Option<OsString>,
    /// The time zone of dates.
    pub zone: Option<TimeZone>,
    /// Whether the process may become another user.
    pub is_root: bool,
}

impl Settings {
    /// The identifier under which errors about options are logged: the one asked for, if it can be one.
    #[must_use]
    pub fn syslog_name(asked: Option<&str>) -> String {
        asked
            .and_then(|name| value::syslog_name(name).ok())
            .unwrap_or_else(|| SYSLOG_NAME.to_owned())
    }

    /// Makes settings of options.
    ///
    /// # Errors
    ///
    /// Every error there is, not only the first.
    pub fn new(options: &Options, environment: &Environment) -> Result<Self, Vec<Diagnostic>> {
        let mut found = Diagnostics::default();
        warn_of_what_is_ignored(options, environment, &mut found);
        let params = params::read(options, &mut found);
        let lookup = lookup::read(options, &mut found);
        if found.errors.is_empty() {
            lookup::warn_of_what_cannot_work(options, &lookup, &params, &mut found);
        }
        let texts = texts(options, environment, &mut found);
        let settings = Self {
            endpoints: endpoints(options, &mut found),
            socket_mode: found.take("--socketmode", value::mode(&options.socketmode), 0),
            backlog: found.take(
                "--listen-queue-size",
                value::number(&options.listen_queue_size, 1, 65_535),
                1,
            ),
            one_answer: options.exim,
            store: store(options, environment, &mut found),
            params,
            texts: match texts {
                Some(texts) => texts,
                None => return Err(found.errors),
            },
            lists: ListFiles::new(options),
            lookup,
            verbosity: match (options.quiet, options.verbose) {
                (true, _) => Verbosity::Quiet,
                (false, true) => Verbosity::Verbose,
                (false, false) => Verbosity::Normal,
            },
            facility: found.take(
                "--syslog-facility",
                value::word(&options.syslog_facility, FACILITIES),
                0,
            ),
            syslog_name: found.take(
                "--syslog-name",
                value::syslog_name(&options.syslog_name),
                String::new(),
            ),
            user: options.user.clone(),
            group: options.group.clone(),
            time: match &options.test_clock {
                None => TimeSource::System,
                Some(path) => TimeSource::File(path.into()),
            },
            requests_bring_time: options.policy_test_time,
            warnings: found.warnings,
        };
        if found.errors.is_empty() {
            Ok(settings)
        } else {
            Err(found.errors)
        }
    }
}

/// Says what is accepted and not done.
fn warn_of_what_is_ignored(options: &Options, environment: &Environment, found: &mut Diagnostics) {
    if options.no_action {
        found.error(
            "--no-action",
            "is not supported; for a dry run put warn_if_reject before check_policy_service in main.cf",
        );
    }
    if options.daemonize {
        found.warn(
            "--daemonize",
            "has no effect: systemd runs the daemon in the background; ignoring",
        );
    }
    if options.pidfile.is_some() {
        found.warn(
            "--pidfile",
            "has no effect: systemd knows the process; ignoring",
        );
    }
    if options.lookup_by_subnet {
        found.warn("--lookup-by-subnet", "is the default; ignoring");
    }
    if !environment.is_root {
        for (option, value) in [("--user", &options.user), ("--group", &options.group)] {
            if value != "stargrey" {
                found.warn(option, "ignored: only root can change the user or group");
            }
        }
    }
}

fn endpoints(options: &Options, found: &mut Diagnostics) -> Vec<Endpoint> {
    let unix = options.unix.iter();
    let unix = unix.map(|path| ("--unix", Endpoint::unix(path)));
    let inet = options.inet.iter();
    let inet = inet.map(|address| ("--inet", Endpoint::inet(address)));
    let mut endpoints = Vec::new();
    for (option, endpoint) in unix.chain(inet) {
        match endpoint {
            Ok(endpoint) => endpoints.push(endpoint),
            Err(message) => found.error(option, message),
        }
    }
    endpoints
}

fn texts(options: &Options, environment: &Environment, found: &mut Diagnostics) -> Option<Texts> {
    let not_empty = |text: &&String| !text.is_empty();
    let postgrey_text = environment.postgrey_text.as_ref().filter(not_empty);
    let text = options.greylist_text.as_ref().or(postgrey_text);
    let texts = Texts::new(
        &options.greylist_action,
        text.map_or(GREYLIST_TEXT, String::as_str),
        &options.x_greylist_header,
        options.hostname.as_ref().unwrap_or(&environment.hostname),
        environment.zone.clone().unwrap_or(TimeZone::UTC),
    );
    texts
        .map_err(|(option, error)| found.error(option, error))
        .ok()
}

fn store(options: &Options, environment: &Environment, found: &mut Diagnostics) -> StoreSettings {
    let sync = value::word(
        &options.sync,
        &[("data", SyncMode::Data), ("full", SyncMode::Full)],
    );
    StoreSettings {
        directory: directory(options, environment, found),
        max_size: found.take("--max-size", value::size(&options.max_size, LEAST_SIZE), 0),
        sync: found.take("--sync", sync, SyncMode::Full),
        privacy: options.privacy,
    }
}

/// The unit's state directory is the only one that its sandbox lets the daemon write to.
fn directory(options: &Options, environment: &Environment, found: &mut Diagnostics) -> PathBuf {
    let state = environment.state_directory.as_ref().and_then(|list| {
        let list = list.to_string_lossy();
        list.split(':')
            .next()
            .filter(|first| !first.is_empty())
            .map(PathBuf::from)
    });
    match (&options.dbdir, state) {
        (Some(asked), Some(state)) if !Path::new(asked).starts_with(&state) => {
            found.warn(
                "--dbdir",
                format!(
                    "{asked:?} is outside the unit's state directory, using {} instead",
                    state.display()
                ),
            );
            state
        }
        (Some(asked), _) => asked.into(),
        (None, Some(state)) => state,
        (None, None) => DATABASE_DIRECTORY.into(),
    }
}

#[cfg(test)]
mod tests;
