//! What the options mean: built once, valid from then on.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use jiff::tz::TimeZone;

use super::complaint::Complaint;
use super::lists::ListFiles;
use super::options::Options;
use super::{params, value};
use crate::policy::{Params, Texts};

/// Where the database is unless options say otherwise.
const DATABASE_DIRECTORY: &str = "/var/lib/stargrey";

/// The identifier of log records unless options say otherwise.
pub const SYSLOG_NAME: &str = "stargrey";

/// The syslog facility, mail, of complaints about options.
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

/// Where to listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// A unix socket.
    Unix(PathBuf),
    /// A host name or address, and a port.
    Inet(String, u16),
    /// A port on the loopback addresses of both families.
    Localhost(u16),
    /// A port on all addresses of both families.
    Everywhere(u16),
}

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
    pub remarks: Vec<Complaint>,
}

/// What settings take from outside the command line.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
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

/// Collects complaints while values are read.
#[derive(Debug, Default)]
pub(super) struct Reading {
    pub(super) complaints: Vec<Complaint>,
    remarks: Vec<Complaint>,
}

impl Reading {
    /// The value, or a complaint and a stand-in that is never used.
    pub(super) fn take<T>(
        &mut self,
        option: &'static str,
        value: Result<T, String>,
        stand_in: T,
    ) -> T {
        value.unwrap_or_else(|message| {
            self.complaints.push(Complaint::option(option, message));
            stand_in
        })
    }

    pub(super) fn remark(&mut self, option: &'static str, message: &str) {
        self.remarks.push(Complaint::option(option, message));
    }
}

impl Settings {
    /// The identifier under which complaints about options are logged: the one asked for, if it can be one.
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
    /// Every complaint there is, not only the first.
    pub fn new(options: &Options, around: &Surroundings) -> Result<Self, Vec<Complaint>> {
        let mut reading = Reading::default();
        refuse_dollars(options, &mut reading);
        remark_on_what_is_ignored(options, around, &mut reading);
        let params = params::read(options, &mut reading);
        let texts = texts(options, around, &mut reading);
        let settings = Self {
            endpoints: endpoints(options, &mut reading),
            socket_mode: reading.take("--socketmode", value::mode(&options.socketmode), 0),
            backlog: reading.take(
                "--listen-queue-size",
                value::number(&options.listen_queue_size, 1, 65_535),
                1,
            ),
            one_answer: options.exim,
            store: store(options, around, &mut reading),
            params,
            texts: match texts {
                Some(texts) => texts,
                None => return Err(reading.complaints),
            },
            lists: ListFiles::new(options),
            verbosity: match (options.quiet, options.verbose) {
                (true, _) => Verbosity::Quiet,
                (false, true) => Verbosity::Verbose,
                (false, false) => Verbosity::Normal,
            },
            facility: reading.take(
                "--syslog-facility",
                value::word(&options.syslog_facility, FACILITIES),
                0,
            ),
            syslog_name: reading.take(
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
            remarks: reading.remarks,
        };
        if reading.complaints.is_empty() {
            Ok(settings)
        } else {
            Err(reading.complaints)
        }
    }
}

/// systemd puts `$OPTIONS` on the command line without a shell, so a variable in it stays as it is.
fn refuse_dollars(options: &Options, reading: &mut Reading) {
    let mut look = |option, value: &str| {
        if value.contains('$') {
            reading.complaints.push(Complaint::option(
                option,
                format!("{value:?} has a $ in it, and no shell replaces variables here; write out what it stands for"),
            ));
        }
    };
    let texts = [
        ("--greylist-text", options.greylist_text.as_deref()),
        ("--greylist-action", Some(options.greylist_action.as_str())),
        (
            "--x-greylist-header",
            Some(options.x_greylist_header.as_str()),
        ),
        ("--hostname", options.hostname.as_deref()),
        ("--dbdir", options.dbdir.as_deref()),
        ("--syslog-name", Some(options.syslog_name.as_str())),
    ];
    for (option, value) in texts {
        look(option, value.unwrap_or_default());
    }
    for (option, values) in [
        ("--unix", &options.unix),
        ("--inet", &options.inet),
        ("--whitelist-clients", &options.whitelist_clients),
        ("--whitelist-recipients", &options.whitelist_recipients),
        ("--whitelist-senders", &options.whitelist_senders),
        ("--s25r-exceptions", &options.s25r_exceptions),
        ("--client-access", &options.client_access),
        ("--greylist-recipients", &options.greylist_recipients),
    ] {
        for value in values {
            look(option, value);
        }
    }
}

/// Says what is accepted and not done.
fn remark_on_what_is_ignored(options: &Options, around: &Surroundings, reading: &mut Reading) {
    if options.no_action {
        reading.complaints.push(Complaint::option(
            "--no-action",
            "there is no such mode; for a dry run put warn_if_reject before check_policy_service in main.cf",
        ));
    }
    if options.daemonize {
        reading.remark(
            "--daemonize",
            "does nothing here: the service manager keeps the daemon; ignoring",
        );
    }
    if options.pidfile.is_some() {
        reading.remark(
            "--pidfile",
            "does nothing here: the service manager knows the process; ignoring",
        );
    }
    if options.lookup_by_subnet {
        reading.remark("--lookup-by-subnet", "is the default; ignoring");
    }
    if !around.is_root {
        for (option, value) in [("--user", &options.user), ("--group", &options.group)] {
            if value != "stargrey" {
                reading.remark(
                    option,
                    "only root can become somebody else, and this is not root; ignoring",
                );
            }
        }
    }
}

fn endpoints(options: &Options, reading: &mut Reading) -> Vec<Endpoint> {
    let mut endpoints = Vec::new();
    for path in &options.unix {
        if path.is_empty() {
            let message = "the path is empty";
            reading
                .complaints
                .push(Complaint::option("--unix", message));
        }
        endpoints.push(Endpoint::Unix(path.into()));
    }
    for address in &options.inet {
        match value::inet(address) {
            Ok(endpoint) => endpoints.push(endpoint),
            Err(message) => reading
                .complaints
                .push(Complaint::option("--inet", message)),
        }
    }
    endpoints
}

fn texts(options: &Options, around: &Surroundings, reading: &mut Reading) -> Option<Texts> {
    let not_empty = |text: &&String| !text.is_empty();
    let postgrey_text = around.postgrey_text.as_ref().filter(not_empty);
    let text = options.greylist_text.as_ref().or(postgrey_text);
    let texts = Texts::new(
        &options.greylist_action,
        text.map_or(GREYLIST_TEXT, String::as_str),
        &options.x_greylist_header,
        options.hostname.as_ref().unwrap_or(&around.hostname),
        around.zone.clone().unwrap_or(TimeZone::UTC),
    );
    texts
        .map_err(|(option, error)| reading.complaints.push(Complaint::option(option, error)))
        .ok()
}

fn store(options: &Options, around: &Surroundings, reading: &mut Reading) -> StoreSettings {
    let sync = value::word(
        &options.sync,
        &[("data", SyncMode::Data), ("full", SyncMode::Full)],
    );
    StoreSettings {
        directory: directory(options, around, reading),
        max_size: reading.take("--max-size", value::size(&options.max_size, LEAST_SIZE), 0),
        sync: reading.take("--sync", sync, SyncMode::Full),
        privacy: options.privacy,
    }
}

/// The unit's state directory is the only one that its sandbox lets the daemon write to.
fn directory(options: &Options, around: &Surroundings, reading: &mut Reading) -> PathBuf {
    let state = around.state_directory.as_ref().and_then(|list| {
        let list = list.to_string_lossy();
        list.split(':')
            .next()
            .filter(|first| !first.is_empty())
            .map(PathBuf::from)
    });
    match (&options.dbdir, state) {
        (Some(asked), Some(state)) if !Path::new(asked).starts_with(&state) => {
            reading.remark(
                "--dbdir",
                &format!(
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
