//! The daemon: from the command line to the last reply.
//!
//! [`main`] is the order of start-up. Errors in options are reported before anything is changed. The database's lock is
//! taken before the sockets are bound. Privileges are dropped before lists, database or clients are read, so that a
//! file that this user cannot read is reported at the start and not at the first reload.

#![forbid(unsafe_code)]

mod chores;
mod credentials;
pub mod exit;
mod failure;
mod logging;
mod lookups;
mod notify;
mod reload;
mod replay;
mod run;
mod scores;
mod sharing;

use std::ffi::OsString;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};
use std::sync::Arc;

use jiff::tz::TimeZone;

use crate::config::{
    DEFAULT_FACILITY, Diagnostic, Diagnostics, Endpoint, Environment, ListFiles, Loaded,
    LogSettings, Options, ParseOutcome, STATE_DIRECTORY, SYSLOG_NAME, Settings, SocketSettings,
    SyncMode, TimeSource, UnitOptions, Verbosity,
};
use crate::control::Control;
use crate::frontend::{self, Protocol};
use crate::policy::Ruleset;
use crate::service::Gate;
use crate::service::clock::{Clock, FileClock, SystemClock, since_boot};
use crate::store::lmdb::{Durability, LmdbOpener};
use crate::store::{self, Lock, Locked};
use credentials::Credentials;
use failure::Failure;

/// The program.
#[must_use]
pub fn main() -> ExitCode {
    // The daemon starts itself this way to test whether a database can be read; not an option for users.
    if let Some(code) = store::check_database(std::env::args_os().skip(1)) {
        return code;
    }
    let mut arguments: Vec<OsString> = std::env::args_os().collect();
    let unit = UnitOptions::for_check(&arguments);
    if let Some(unit) = &unit {
        arguments.extend_from_slice(&unit.options);
    }
    let (options, mut errors) = match Options::parse_line(arguments.iter().cloned()) {
        Ok(options) => (options, Vec::new()),
        Err(ParseOutcome::HelpOrVersion(text)) => return show(&text),
        Err(ParseOutcome::Errors(errors, Some(rest))) => (*rest, errors),
        Err(ParseOutcome::Errors(errors, None)) => {
            let name = Options::syslog_name_of(&arguments);
            let prefix = unit.as_ref().map(|unit| unit.prefix.as_str());
            return refuse(name.as_deref(), prefix.unwrap_or_default(), &errors);
        }
    };
    if options.man {
        return show_manual();
    }
    let settings = match Settings::new(&options, &environment(unit.as_ref())) {
        Ok(settings) => Some(settings),
        Err(more) => {
            errors.extend(more);
            None
        }
    };
    if options.check {
        return check(&options, settings.as_ref(), errors, unit);
    }
    let Some(settings) = settings.filter(|_| errors.is_empty()) else {
        return refuse(Some(&options.syslog_name), "", &errors);
    };
    logging::start(
        &settings.log.name,
        settings.log.verbosity,
        settings.log.facility,
    );
    let replay = settings.replay.clone();
    let done = match replay {
        Some(replay) => replay::run(settings, &replay, &arguments),
        None => start(&settings),
    };
    let code = match done {
        Ok(()) => exit::OK,
        Err(failure) => {
            for line in failure.to_string().lines() {
                log::error!("{line}");
            }
            failure.exit_code()
        }
    };
    log::logger().flush();
    ExitCode::from(code)
}

/// The order of start-up.
fn start(settings: &Settings) -> Result<(), Failure> {
    for warning in &settings.warnings {
        log::warn!("{warning}");
    }
    let credentials = Credentials::of_settings(settings)?;
    let inherited = frontend::inherited()?;
    let SocketSettings {
        endpoints, milters, ..
    } = &settings.sockets;
    let of = |protocol| move |endpoint: &Endpoint| (protocol, endpoint.clone());
    let endpoints = endpoints.iter().map(of(Protocol::Policy));
    let endpoints: Vec<_> = endpoints
        .chain(milters.iter().map(of(Protocol::Milter)))
        .collect();
    if inherited.is_empty() && endpoints.is_empty() {
        return Err(Failure::NoSocket);
    }
    let lock = match Lock::take(&settings.store.directory, credentials.map(Credentials::ids)) {
        Ok(lock) => Some(lock),
        // The store reports the failure as long as it lasts.
        Err(error) if error.may_pass() => None,
        Err(error) => return Err(error.into()),
    };
    let bound = frontend::bind(
        &endpoints,
        &inherited,
        settings.sockets.mode,
        settings.sockets.backlog,
    )?;
    let descriptors = run::raise_descriptor_limit();
    if let Some(credentials) = credentials {
        credentials.assume()?;
    }
    let loaded = settings.lists.load();
    if !loaded.table_errors.is_empty() {
        return Err(Failure::Wrong(loaded.table_errors));
    }
    reload::report(&loaded);
    for error in &loaded.errors {
        log::warn!("{error}; ignoring");
    }
    let list_errors = loaded.errors.len();
    let filter = scores::filter(&settings.spam, loaded.conf.as_ref());
    let rules = rules(settings, loaded);
    let params = rules.params;
    let clock: Arc<dyn Clock> = match &settings.process.time {
        TimeSource::System => Arc::new(SystemClock),
        TimeSource::File(path) => Arc::new(FileClock::new(path.clone())),
    };
    // The clone here releases the lock last.
    let opener = Locked::new(opener(settings), lock, since_boot());
    let started = Gate::start(rules, Box::new(opener.clone()), clock)?;
    started.gate.set_list_errors(list_errors);
    started.gate.set_lookups(lookups::new(&settings.lookup));
    let control = Control::new(started.internals.clone());
    sharing::start(&control, settings, &params)?;
    drop(control);
    started.gate.set_spam_filter(filter);
    let sockets = inherited.into_iter().chain(bound).collect();
    let served = run::run(sockets, started, settings, descriptors);
    drop(opener);
    served
}

/// The rules of the options and of the files that they name.
fn rules(settings: &Settings, loaded: Loaded) -> Ruleset {
    let params = loaded.conf.map_or(settings.params, |conf| conf.params);
    let mut rules = Ruleset::new(params, loaded.lists, settings.texts.clone());
    rules.change(|parts| {
        parts.dns_lists = Arc::new(settings.lookup.dns_lists.clone());
        parts.own_networks = Arc::clone(&settings.own_networks);
    });
    rules
}

/// `--check`: reads everything that the options name, and reports every error.
fn check(
    options: &Options,
    settings: Option<&Settings>,
    mut errors: Vec<Diagnostic>,
    unit: Option<UnitOptions>,
) -> ExitCode {
    let mut warnings = Vec::new();
    if let Some(settings) = settings {
        warnings.extend_from_slice(&settings.warnings);
        if let Some(shared) = &settings.shared {
            errors.extend(shared.read_secret().err());
            errors.extend(shared.read_ca().err());
        }
        // The unit sets user and group.
        if unit.is_none()
            && let Err(Failure::Wrong(more)) = Credentials::of_settings(settings)
        {
            errors.extend(more);
        }
    }
    let without_files = unit.as_ref().and_then(UnitOptions::without_files);
    let unit = unit.unwrap_or_default();
    let about_options = |error: &Diagnostic| format!("{}{error}", unit.prefix);
    let mut warnings: Vec<String> = warnings.iter().map(about_options).collect();
    warnings.extend(without_files);
    let mut errors: Vec<String> = errors.iter().map(about_options).collect();
    // What is wrong with the options is among the errors already.
    let loaded = ListFiles::new(options, has_milter_socket(), &mut Diagnostics::default()).load();
    warnings.extend(loaded.warnings.iter().map(ToString::to_string));
    for more in [unit.errors, loaded.errors, loaded.table_errors] {
        errors.extend(more.iter().map(ToString::to_string));
    }
    if logging::goes_to_journal() {
        report(Some(&options.syslog_name), &warnings, &errors);
    } else {
        for line in &warnings {
            logging::write_stderr(&format!("warning: {line}"));
        }
        for line in &errors {
            logging::write_stderr(&format!("error: {line}"));
        }
    }
    ExitCode::from(if errors.is_empty() {
        exit::OK
    } else {
        exit::CONFIG
    })
}

fn opener(settings: &Settings) -> LmdbOpener {
    LmdbOpener {
        directory: settings.store.directory.clone(),
        max_size: settings.store.max_size,
        durability: match settings.store.sync {
            SyncMode::Data => Durability::Data,
            SyncMode::Full => Durability::Full,
        },
        privacy: settings.store.privacy,
        retry_window: settings.params.retry_window,
    }
}

/// The environment of the settings: what does not come from the command line.
fn environment(unit: Option<&UnitOptions>) -> Environment {
    let hostname = nix::unistd::gethostname().unwrap_or_else(|_| OsString::from("localhost"));
    let (postgrey_text, state_directory) = match unit {
        Some(unit) => (unit.postgrey_text.clone(), Some(STATE_DIRECTORY.into())),
        None => (
            std::env::var("POSTGREY_TEXT").ok(),
            std::env::var_os("STATE_DIRECTORY"),
        ),
    };
    Environment {
        hostname: hostname.to_string_lossy().into_owned(),
        postgrey_text,
        state_directory,
        zone: Some(TimeZone::system()),
        has_milter_socket: has_milter_socket(),
        is_root: unit.is_none() && credentials::is_root(),
    }
}

/// Whether the service manager hands over a socket for milter connections.
fn has_milter_socket() -> bool {
    let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
    names.split(':').any(|name| name == frontend::MILTER_SOCKET)
}

/// Logs the messages of a program that ends at once.
///
/// journald asks the kernel which unit the sender of a record belongs to, and finds nobody if the program has ended
/// by then: `journalctl -u` would miss the record. Of the stream that systemd has opened as standard error it knows the
/// unit, and the unit has the identifier. Only under another identifier the records go to the journal directly.
fn report(name: Option<&str>, warnings: &[String], errors: &[String]) {
    let name = LogSettings::name_or_default(name);
    if logging::goes_to_journal() && name == SYSLOG_NAME {
        for line in warnings {
            logging::write_stderr(&format!("<4>{line}"));
        }
        for line in errors {
            logging::write_stderr(&format!("<3>{line}"));
        }
        return;
    }
    logging::start(&name, Verbosity::Normal, DEFAULT_FACILITY);
    for line in warnings {
        log::warn!("{line}");
    }
    for line in errors {
        log::error!("{line}");
    }
    log::logger().flush();
}

/// Logs every error about the options where the daemon logs.
fn refuse(name: Option<&str>, prefix: &str, errors: &[Diagnostic]) -> ExitCode {
    let about_options = |error: &Diagnostic| format!("{prefix}{error}");
    let errors: Vec<String> = errors.iter().map(about_options).collect();
    report(name, &[], &errors);
    ExitCode::from(exit::CONFIG)
}

/// `--help` and `--version`.
fn show(text: &str) -> ExitCode {
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::from(exit::OK),
        Err(_) => ExitCode::from(exit::OSERR),
    }
}

/// `--man`: becomes man(1).
fn show_manual() -> ExitCode {
    let error = Command::new("man").args(["8", "stargreyd"]).exec();
    logging::write_stderr(&format!("stargreyd: man: {error}; see stargreyd --help"));
    ExitCode::from(exit::OSERR)
}
