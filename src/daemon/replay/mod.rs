//! `--replay`: what these options would have done to the mail of a log.
//!
//! The same pipeline decides as in the daemon, with a database in memory and the clock of the log. [`line`] reads a line,
//! [`mails`] puts lines together, [`trial`] has the mails decided, [`report`] shows the effect.
//!
//! # Limits
//!
//! All mails of the log are kept in memory, a few hundred bytes each. A log does not show who would hang up in a tarpit,
//! so everybody is greylisted instead; and DNS is queried only on request, because it is as it is today.

mod line;
mod mails;
mod report;
mod trial;

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufReader, Read, Write};

use jiff::tz::TimeZone;

use super::credentials::Credentials;
use super::failure::Failure;
use super::{environment, lookups, rules};
use crate::config::environment_file::words;
use crate::config::{Diagnostic, Options, ParseOutcome, ReplaySettings, Settings, Verbosity};
use crate::lookup::Lookups;
use crate::service::clock::{Clock, SystemClock};
use line::Times;
use mails::Log;
use report::Column;
use trial::Trial;

/// Bytes that are read from the log at once.
const BUFFER: usize = 1 << 16;

/// Replays a log. `arguments` is the command line, to which other options are added.
pub(super) fn run(
    settings: Settings,
    replay: &ReplaySettings,
    arguments: &[OsString],
) -> Result<(), Failure> {
    let all = sets(settings, replay, arguments)?;
    let first = all.first().map(|(_, settings)| settings);
    let credentials = first.map(Credentials::of_settings).transpose()?.flatten();
    let name = match &replay.source {
        Some(path) => path.display().to_string(),
        None => "standard input".to_owned(),
    };
    let unreadable = |error: &dyn std::fmt::Display| {
        let error = Diagnostic::option("--replay", format!("{name} {error}"));
        Failure::Wrong(vec![error])
    };
    let input: Box<dyn Read> = match &replay.source {
        Some(path) => {
            let file = File::open(path);
            Box::new(file.map_err(|error| unreadable(&format!("cannot be opened: {error}")))?)
        }
        None => Box::new(io::stdin().lock()),
    };
    if let Some(credentials) = credentials {
        credentials.assume()?;
    }
    let zone = TimeZone::system();
    let times = Times::new(zone.clone(), SystemClock.now());
    let input = BufReader::with_capacity(BUFFER, input);
    let log = Log::read(input, times, &replay.own).map_err(|error| unreadable(&error))?;
    let mut columns = Vec::with_capacity(all.len());
    for (options, settings) in all {
        for warning in &settings.warnings {
            log::warn!("{warning}");
        }
        columns.push(column(options, &settings, replay, &log)?);
    }
    let text = report::text(&name, &log, &columns, replay.retry, &zone);
    // A closed pipe is the reader's wish.
    drop(io::stdout().write_all(text.as_bytes()));
    Ok(())
}

/// The sets of options: those of the command line, and these with each of the others.
fn sets(
    settings: Settings,
    replay: &ReplaySettings,
    arguments: &[OsString],
) -> Result<Vec<(String, Settings)>, Failure> {
    let mut sets = vec![("the options of the command line".to_owned(), settings)];
    for text in &replay.others {
        let wrong = |errors: Vec<Diagnostic>| {
            let about =
                |error| Diagnostic::option("--replay-options", format!("{text:?}: {error}"));
            Failure::Wrong(errors.into_iter().map(about).collect())
        };
        let others = words(text).into_iter().map(OsString::from);
        let line = arguments.iter().cloned().chain(others);
        let options = match Options::parse_line(line) {
            Ok(options) => options,
            Err(ParseOutcome::Errors(errors, _)) => return Err(wrong(errors)),
            Err(ParseOutcome::HelpOrVersion(_)) => {
                let error = Diagnostic::command_line("asks for help, not for a decision");
                return Err(wrong(vec![error]));
            }
        };
        let settings = Settings::new(&options, &environment(None)).map_err(wrong)?;
        sets.push((text.clone(), settings));
    }
    Ok(sets)
}

/// The effect of one set.
fn column(
    options: String,
    settings: &Settings,
    replay: &ReplaySettings,
    log: &Log,
) -> Result<Column, Failure> {
    let loaded = settings.lists.load();
    if !loaded.table_errors.is_empty() {
        return Err(Failure::Wrong(loaded.table_errors));
    }
    for error in &loaded.errors {
        log::warn!("{error}; ignoring");
    }
    let mut unjudged = Vec::new();
    let mut rules = rules(settings, loaded);
    if rules.has_tarpit() {
        rules.change(|parts| {
            parts.params.tarpit = None;
            parts.params.tarpit_limit = 0;
        });
        let text = "tarpit: a log does not show who would hang up; greylisted instead";
        unjudged.push(text.to_owned());
    }
    if !rules.lists.chain.is_empty() {
        let text = "--greylist-conf: a log has the HELO name of refused mail only";
        unjudged.push(text.to_owned());
    }
    let is_used = [
        ("--dnsbl-sites", !settings.lookup.dns_lists.is_empty()),
        ("--spf", settings.lookup.spf),
    ];
    let is_asked = replay.looks_up && is_used.iter().any(|(_, is_used)| *is_used);
    let lookups = if replay.looks_up {
        lookups::new(&settings.lookup)
    } else {
        for (option, _) in is_used.into_iter().filter(|(_, is_used)| *is_used) {
            unjudged.push(format!(
                "{option}: DNS is not queried; --replay-dns does so, as it is today"
            ));
        }
        Lookups::none()
    };
    let is_verbose = settings.log.verbosity == Verbosity::Verbose;
    let trial = Trial::new(rules, lookups, is_verbose)?;
    Ok(Column {
        options,
        effect: trial.run(&log.mails, replay.retry),
        unjudged,
        is_asked,
    })
}
