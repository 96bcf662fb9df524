//! `pause` and `resume`: switch greylisting off and on.

use super::Answer;
use crate::ctl::failure::{ArgumentError, Failure};
use crate::ctl::session::Session;
use crate::ctl::view::View;
use crate::ctl::when::Lifetime;
use crate::types::Span;

/// Pauses greylisting.
pub(super) async fn pause(
    session: &Session,
    lifetime: Option<Lifetime>,
) -> Result<Answer, Failure> {
    let view = &session.view;
    let length = lifetime.map(|lifetime| lifetime.resolve(&view.now));
    let length = length.transpose().map_err(ArgumentError::When)?;
    let length = length.flatten().map_or(0, Span::seconds);
    let manager = session.manager().await?;
    let is_stored = session.ask("Pause", manager.pause(length)).await?;
    Ok(Answer::done(view, &paused(length, is_stored, view)))
}

/// Resumes greylisting.
pub(super) async fn resume(session: &Session) -> Result<Answer, Failure> {
    let manager = session.manager().await?;
    let is_stored = session.ask("Resume", manager.resume()).await?;
    Ok(Answer::done(&session.view, &resumed(is_stored)))
}

/// The message about a pause of `seconds`; 0 means unlimited.
fn paused(length: u64, is_stored: bool, view: &View) -> String {
    let until = match length {
        0 => "`stargreyctl resume`".to_owned(),
        length => view.local(view.time().after(Span::from_seconds(length)).seconds()),
    };
    let warning = if is_stored {
        ""
    } else {
        "\nThe pause is not in the database yet: if the daemon restarts before it is stored, the pause ends."
    };
    format!("Greylisting is paused until {until}; all mail passes.{warning}")
}

/// The message about the end of a pause.
fn resumed(is_stored: bool) -> String {
    let warning = if is_stored {
        ""
    } else {
        "\nThis is not in the database yet: if the daemon restarts before it is stored, greylisting is paused again."
    };
    format!("Greylisting is resumed.{warning}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_announced_with_its_end_and_what_a_restart_would_do() {
        let view = View::of_80_columns();
        let cases = [
            (
                0,
                true,
                "Greylisting is paused until `stargreyctl resume`; all mail passes.",
            ),
            (
                3600,
                true,
                "Greylisting is paused until Sun 2026-11-22 05:33:17 CET; all mail passes.",
            ),
        ];
        for (length, is_stored, want) in cases {
            assert_eq!(paused(length, is_stored, &view), want);
        }
        assert!(paused(0, false, &view).contains("the pause ends"));
        assert_eq!(resumed(true), "Greylisting is resumed.");
        assert!(resumed(false).contains("paused again"));
    }
}
