//! The daemon: from the command line to the last answer.
//!
//! [`main`] is the order of start-up. Options are refused before anything is touched, the database's lock is taken
//! before the sockets are bound, and privileges are given up before a list, the database or a client is read: what
//! this user cannot read shows at the start and not at the first reload.

#![forbid(unsafe_code)]

pub mod exit;
mod failure;
mod identity;
mod logging;
mod notify;
mod reload;
mod run;

use std::ffi::OsString;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};
use std::sync::Arc;

use jiff::tz::TimeZone;

use crate::config::{
    Complaint, ListFiles, Options, Refusal, Settings, Surroundings, SyncMode, TimeSource,
};
use crate::frontend;
use crate::policy::Ruleset;
use crate::service::Gate;
use crate::service::clock::{Clock, FileClock, SystemClock};
use crate::store::lmdb::{Durability, LmdbOpener};
use crate::store::{Lock, Locked};
use failure::Failure;
use identity::Identity;

/// The program.
#[must_use]
pub fn main() -> ExitCode {
    let (options, mut complaints) = match Options::parse_line(std::env::args_os()) {
        Ok(options) => (options, Vec::new()),
        Err(Refusal::Shown(text)) => return show(&text),
        Err(Refusal::Wrong(complaints, Some(rest))) => (*rest, complaints),
        Err(Refusal::Wrong(complaints, None)) => return refuse(&Failure::Wrong(complaints)),
    };
    if options.man {
        return show_manual();
    }
    let settings = match Settings::new(&options, &surroundings()) {
        Ok(settings) => Some(settings),
        Err(more) => {
            complaints.extend(more);
            None
        }
    };
    if options.check {
        return check(&options, settings.as_ref(), complaints);
    }
    let Some(settings) = settings.filter(|_| complaints.is_empty()) else {
        return refuse(&Failure::Wrong(complaints));
    };
    logging::start(&settings.syslog_name, settings.verbosity, settings.facility);
    let code = match start(&settings) {
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
    for remark in &settings.remarks {
        log::warn!("{remark}");
    }
    let identity = Identity::wanted(settings)?;
    let inherited = frontend::inherited()?;
    if inherited.is_empty() && settings.endpoints.is_empty() {
        return Err(Failure::NoSocket);
    }
    let lock = match Lock::take(&settings.store.directory, identity.map(Identity::ids)) {
        Ok(lock) => Some(lock),
        // The store says what is wrong as long as it is.
        Err(error) if error.may_pass() => None,
        Err(error) => return Err(error.into()),
    };
    let bound = frontend::bind(
        &settings.endpoints,
        &inherited,
        settings.socket_mode,
        settings.backlog,
    )?;
    let descriptors = run::raise_descriptor_limit();
    if let Some(identity) = identity {
        identity.assume()?;
    }
    let loaded = settings.lists.load();
    if !loaded.bad_tables.is_empty() {
        return Err(Failure::Wrong(loaded.bad_tables));
    }
    reload::report(&loaded);
    for complaint in &loaded.complaints {
        log::warn!("{complaint}; ignoring");
    }
    let list_errors = loaded.complaints.len();
    let rules = Ruleset::new(settings.params, loaded.lists, settings.texts.clone());
    let clock: Arc<dyn Clock> = match &settings.time {
        TimeSource::System => Arc::new(SystemClock),
        TimeSource::File(path) => Arc::new(FileClock::new(path.clone())),
    };
    // A clone lives here, so that the lock is the last thing to go.
    let opener = Locked::new(opener(settings), lock);
    let started = Gate::start(rules, Box::new(opener.clone()), clock)?;
    started.gate.set_list_errors(list_errors);
    let sockets = inherited.into_iter().chain(bound).collect();
    let served = run::run(sockets, started, settings, descriptors);
    drop(opener);
    served
}

/// Reads everything that the options name, and complains about all that is wrong.
fn check(
    options: &Options,
    settings: Option<&Settings>,
    mut complaints: Vec<Complaint>,
) -> ExitCode {
    let mut remarks = Vec::new();
    if let Some(settings) = settings {
        remarks.extend_from_slice(&settings.remarks);
        if let Err(Failure::Wrong(more)) = Identity::wanted(settings) {
            complaints.extend(more);
        }
    }
    let loaded = ListFiles::new(options).load();
    remarks.extend(loaded.remarks);
    complaints.extend(loaded.complaints);
    complaints.extend(loaded.bad_tables);
    for line in remarks.iter().chain(&complaints) {
        logging::say(&line.to_string());
    }
    ExitCode::from(if complaints.is_empty() {
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

/// What settings take from outside the command line.
fn surroundings() -> Surroundings {
    let hostname = nix::unistd::gethostname().unwrap_or_else(|_| OsString::from("localhost"));
    Surroundings {
        hostname: hostname.to_string_lossy().into_owned(),
        postgrey_text: std::env::var("POSTGREY_TEXT").ok(),
        state_directory: std::env::var_os("STATE_DIRECTORY"),
        zone: Some(TimeZone::system()),
        is_root: identity::is_root(),
    }
}

/// Before there is a logger, or because somebody is looking: every complaint on standard error.
fn refuse(failure: &Failure) -> ExitCode {
    for line in failure.to_string().lines() {
        logging::say(&format!("stargreyd: {line}"));
    }
    ExitCode::from(failure.exit_code())
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
    logging::say(&format!("stargreyd: man: {error}; see stargreyd --help"));
    ExitCode::from(exit::OSERR)
}
