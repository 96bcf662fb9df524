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
//! [`import`] turns the databases of Postgrey, taRgrey and milter-greylist into records; [`render`] makes
//! tables and charts of text. Neither asks the daemon for anything.
//!
//! # Error handling
//!
//! What goes wrong is a [`failure::Failure`]: a sentence for standard error, and an exit code. Standard output
//! that nobody reads any more is no failure: `stargreyctl list | head` ends in silence.

#![forbid(unsafe_code)]

pub mod args;
pub mod clock;
pub mod exit;
pub mod failure;
pub mod import;
pub mod input;
pub mod json;
pub mod output;
pub mod progress;
pub mod reasons;
pub mod render;
pub mod resolver;
pub mod session;
pub mod verbs;
pub mod view;
pub mod when;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use args::{Arguments, Verb};
use failure::Failure;
use render::Manner;
use session::Session;
use verbs::Answer;
use view::View;

/// Runs the program.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // There is nobody to tell when this cannot be printed.
            drop(error.print());
            let code = if error.use_stderr() {
                exit::USAGE
            } else {
                exit::OK
            };
            return ExitCode::from(code);
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
        return Ok(Answer::yes(completion((*shell).into())));
    }
    let view = View {
        manner: Manner::of_standard_output(!arguments.no_legend),
        json: arguments.json,
        now: clock::now(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::System)?;
    runtime.block_on(async {
        let session = Session::begin(view).await?;
        verbs::run(&session, verb).await
    })
}

/// The script for a shell.
fn completion(shell: clap_complete::Shell) -> String {
    let mut script = Vec::new();
    let mut command = Arguments::command();
    clap_complete::generate(shell, &mut command, "stargreyctl", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}
