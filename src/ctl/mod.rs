//! The control program.
//!
//! It is an ordinary client: it uses only the D-Bus contract of [`api`](crate::api), so that everything it does can be
//! done with busctl.
//!
//! ```text
//! command line → args::Arguments → session::Session → verbs: call the daemon, format the rows
//!             → output, and an exit code
//! ```
//!
//! [`options`] converts Postgrey's option files. [`import`] reads the databases of Postgrey, taRgrey and
//! milter-greylist; [`report`] says what greylisting did; [`render`] formats tables and charts; [`postfix`] parses the
//! output of postconf; [`metrics`] writes what a monitoring system collects;
//! [`lists`] fetches and installs lists. None of them calls the daemon.
//!
//! # Error handling
//!
//! Every error is a [`failure::Failure`]: a message for standard error, and an exit code. A closed standard output is
//! not a failure: `stargreyctl list | head` ends silently.
//!
//! A verb with temporary files handles `SIGINT` and `SIGTERM`: it is cancelled, and the files are removed when their
//! values are dropped. All other verbs are killed by a signal, as any program is.

#![forbid(unsafe_code)]

pub mod agent;
pub mod args;
pub mod client;
pub mod clock;
pub mod completion;
pub mod exit;
pub mod failure;
pub mod import;
pub mod input;
pub mod json;
pub mod lists;
pub mod metrics;
pub mod options;
pub mod output;
pub mod postfix;
pub mod progress;
pub mod render;
mod repeat;
pub mod report;
pub mod resolver;
pub mod session;
pub mod suggesting;
pub mod unit;
pub mod verbs;
pub mod view;
pub mod when;

use std::process::ExitCode;

use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};
use zbus::connection;

use args::{Arguments, Import, Verb};
use failure::{Failure, Interrupt};
use render::TerminalStyle;
use session::{Session, Timeouts};
use verbs::Answer;
use view::View;

/// Runs the program.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            if error.use_stderr() {
                let text = error.render().to_string();
                let text = text.strip_prefix("error: ").unwrap_or(&text);
                output::remark(&format!("stargreyctl: {text}"));
                return ExitCode::from(exit::USAGE);
            }
            // If this cannot be printed, no other message can.
            drop(error.print());
            return ExitCode::from(exit::OK);
        }
    };
    let watch = match &arguments.verb {
        Some(Verb::Statistics(options)) => options.watch,
        Some(_) | None => None,
    };
    let answered = match watch {
        Some(seconds) => repeat::show(seconds, || answer(&arguments)),
        None => answer(&arguments).and_then(|answer| {
            output::say(&answer.text)?;
            Ok(answer.code)
        }),
    };
    ExitCode::from(answered.unwrap_or_else(|failure| {
        if !matches!(failure, Failure::Pipe) {
            output::remark(&format!("stargreyctl: {failure}\n"));
        }
        failure.code()
    }))
}

/// Runs the verb of the command line.
fn answer(arguments: &Arguments) -> Result<Answer, Failure> {
    let verb = arguments.verb.as_ref().unwrap_or(&Verb::Status);
    if let Verb::Completion { shell } = verb {
        return Ok(Answer::yes(completion::script(*shell)));
    }
    if let Verb::Import(Import::PostgreyOptions { source }) = verb {
        return Ok(Answer::yes(input::options(source.as_deref())?));
    }
    if let Verb::SharedKey = verb {
        return verbs::shared_key();
    }
    if let Verb::CheckPostfix(options) = verb {
        return verbs::check_postfix(options, arguments.json);
    }
    if let Verb::TestMessage(options) = verb {
        return verbs::test_message(options, arguments.json);
    }
    let view = View {
        terminal: TerminalStyle::of_standard_output(!arguments.no_legend),
        json: arguments.json,
        now: clock::now(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::System)?;
    let bus = connection::Builder::system();
    if let Verb::Metrics(options) = verb {
        return runtime.block_on(verbs::metrics(bus, options, view));
    }
    if let Verb::Lists(options) = verb {
        return runtime.block_on(verbs::lists(bus, options, view));
    }
    let _agent = needs_authorization(verb).then(agent::Agent::start);
    let work = async {
        let session = Session::begin(bus, Timeouts::USUAL, view).await?;
        verbs::run(&session, verb).await
    };
    if leaves_files(verb) {
        runtime.block_on(unless_interrupted(work))
    } else {
        runtime.block_on(work)
    }
}

/// Whether polkit may ask for a password.
const fn needs_authorization(verb: &Verb) -> bool {
    !matches!(
        verb,
        Verb::Status
            | Verb::Statistics(_)
            | Verb::Metrics(_)
            | Verb::SharedKey
            | Verb::Removable { .. }
            | Verb::Completion { .. }
    )
}

/// Whether a verb would leave temporary files when killed.
fn leaves_files(verb: &Verb) -> bool {
    match verb {
        Verb::Backup { .. } => true,
        Verb::Export { file, .. } => file.is_some(),
        Verb::Import(Import::Postgrey { source, .. }) => {
            source.as_ref().is_none_or(|source| source.is_dir())
        }
        Verb::Import(
            Import::MilterGreylist { .. } | Import::Json { .. } | Import::PostgreyOptions { .. },
        )
        | Verb::Status
        | Verb::Statistics(_)
        | Verb::Metrics(_)
        | Verb::Lists(_)
        | Verb::ResetStatistics
        | Verb::Report(_)
        | Verb::List { .. }
        | Verb::Rules { .. }
        | Verb::Allow(_)
        | Verb::Remove { .. }
        | Verb::Removable { .. }
        | Verb::Pending(_)
        | Verb::Explain(_)
        | Verb::Pass { .. }
        | Verb::Forget(_)
        | Verb::Pause { .. }
        | Verb::Resume
        | Verb::Reload
        | Verb::Restore { .. }
        | Verb::CheckPostfix(_)
        | Verb::TestMessage(_)
        | Verb::SharedKey
        | Verb::Completion { .. } => false,
    }
}

/// Runs a future, and cancels it on a signal.
async fn unless_interrupted<T>(
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let mut keyboard = signal(SignalKind::interrupt()).map_err(Failure::System)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(Failure::System)?;
    tokio::select! {
        biased;
        _ = keyboard.recv() => Err(Failure::Interrupted(Interrupt::Keyboard)),
        _ = terminate.recv() => Err(Failure::Interrupted(Interrupt::Terminate)),
        done = work => done,
    }
}
