//! The control program.
//!
//! It is a client like any other: all it knows about the daemon is the D-Bus contract of [`api`](crate::api),
//! and whatever it does can be done with busctl.
//!
//! ```text
//! command line → args::Arguments → session::Session → verbs: ask the daemon, make text of rows
//!             → output, and a code of exit
//! ```
//!
//! [`options`] turns Postgrey's option files into ours.
//! [`import`] turns the databases of Postgrey, taRgrey and milter-greylist into records; [`render`] makes
//! tables and charts of text; [`postfix`] reads what postconf prints. None of them asks the daemon for anything.
//!
//! # Error handling
//!
//! What goes wrong is a [`failure::Failure`]: a sentence for standard error, and an exit code. Standard output
//! that nobody reads any more is not a failure: `stargreyctl list | head` ends in silence.
//!
//! A verb that has files of its own until it is done is not killed by `SIGINT` and `SIGTERM` but given up, so that
//! they go away with the values that stand for them. All others die of a signal as any program does.

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
pub mod options;
pub mod output;
pub mod postfix;
pub mod progress;
pub mod render;
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
            // There is nobody to tell when this cannot be printed.
            drop(error.print());
            return ExitCode::from(exit::OK);
        }
    };
    let answered = answer(&arguments).and_then(|answer| {
        output::say(&answer.text)?;
        Ok(answer.code)
    });
    ExitCode::from(answered.unwrap_or_else(|failure| {
        if !matches!(failure, Failure::Pipe) {
            output::remark(&format!("stargreyctl: {failure}\n"));
        }
        failure.code()
    }))
}

/// Does what the command line says.
fn answer(arguments: &Arguments) -> Result<Answer, Failure> {
    let verb = arguments.verb.as_ref().unwrap_or(&Verb::Status);
    if let Verb::Completion { shell } = verb {
        return Ok(Answer::yes(completion::script(*shell)));
    }
    if let Verb::Import(Import::PostgreyOptions { source }) = verb {
        return Ok(Answer::yes(input::options(source.as_deref())?));
    }
    if let Verb::CheckPostfix(options) = verb {
        return verbs::check_postfix(options, arguments.json);
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
    let _agent = needs_authorization(verb).then(agent::Agent::start);
    let work = async {
        let bus = connection::Builder::system();
        let session = Session::begin(bus, Timeouts::USUAL, view).await?;
        verbs::run(&session, verb).await
    };
    if leaves_files(verb) {
        runtime.block_on(unless_interrupted(work))
    } else {
        runtime.block_on(work)
    }
}

/// Whether polkit may ask somebody for a password.
const fn needs_authorization(verb: &Verb) -> bool {
    !matches!(
        verb,
        Verb::Status | Verb::Statistics(_) | Verb::Removable { .. } | Verb::Completion { .. }
    )
}

/// Whether a verb, killed, would leave files behind.
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
        | Verb::ResetStatistics
        | Verb::List { .. }
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
        | Verb::Completion { .. } => false,
    }
}

/// Does some work, and gives it up when a signal comes.
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
