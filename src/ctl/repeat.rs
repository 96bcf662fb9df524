//! `--watch`: the answer of a verb, again and again, until the program is ended.

use std::io::{self, IsTerminal};
use std::num::NonZeroU16;
use std::thread;
use std::time::Duration;

use super::failure::Failure;
use super::output;
use super::verbs::Answer;

/// To the upper left corner, and clear from there.
const CLEAR: &str = "\x1b[H\x1b[J";

/// Shows what `answer` yields, `seconds` apart: on a terminal in place of the answer before, otherwise after it and an empty
/// line. A later failure is shown in the place of its answer, because a daemon that is away may come back.
///
/// # Errors
///
/// The failure of the first one, [`Failure::Pipe`] and [`Failure::Output`]. There is no other end.
pub(super) fn show(
    seconds: NonZeroU16,
    mut answer: impl FnMut() -> Result<Answer, Failure>,
) -> Result<u8, Failure> {
    let (first, later) = if io::stdout().is_terminal() {
        (CLEAR, CLEAR)
    } else {
        ("", "\n")
    };
    output::say(&[first, &answer()?.text].concat())?;
    loop {
        thread::sleep(Duration::from_secs(u64::from(seconds.get())));
        let text = match answer() {
            Ok(answer) => answer.text,
            Err(failure) => format!("stargreyctl: {failure}\n"),
        };
        output::say(&[later, &text].concat())?;
    }
}
