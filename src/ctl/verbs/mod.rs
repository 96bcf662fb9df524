//! The verbs, in a module each, or a few related ones together.
//!
//! Each calls the daemon and then formats the rows; the second half is a pure function, which the tests of these
//! modules cover.

mod backup;
mod check_postfix;
mod entries;
mod explain;
mod export;
mod import;
mod lists;
mod metrics;
mod milter_state;
mod moved;
mod network;
mod pause;
mod pending;
mod records;
mod report;
mod restore;
mod rules;
mod shared_key;
mod shared_state;
mod spamd_state;
mod statistics;
mod status;
mod test_message;
mod triplets;

pub use check_postfix::run as check_postfix;
pub use lists::run as lists;
pub use metrics::run as metrics;
pub use shared_key::run as shared_key;
pub use test_message::run as test_message;

use serde_json::json;

use super::args::Verb;
use super::exit;
use super::failure::Failure;
use super::json;
use super::session::Session;
use super::view::View;
use crate::api::RESULT;

/// The output of a verb, and the exit code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The text.
    pub text: String,
    /// The exit code.
    pub code: u8,
}

impl Answer {
    /// Success.
    #[must_use]
    pub fn yes(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            code: exit::OK,
        }
    }

    /// Nothing was found, or a check has failed.
    #[must_use]
    pub fn no(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            code: exit::NO,
        }
    }

    /// A sentence that says what was done; in JSON that it was.
    #[must_use]
    pub fn done(view: &View, sentence: &str) -> Self {
        if view.json {
            Self::yes(json::shown(&json!({ RESULT: "done" })))
        } else {
            Self::yes(format!("{sentence}\n"))
        }
    }
}

/// Runs the verb.
///
/// # Errors
///
/// [`Failure`] has a sentence.
pub async fn run(session: &Session, verb: &Verb) -> Result<Answer, Failure> {
    match verb {
        Verb::Status => status::run(session).await,
        Verb::Statistics(options) => statistics::run(session, options).await,
        Verb::ResetStatistics => statistics::reset(session).await,
        Verb::Report(options) => report::run(session, options).await,
        Verb::List { list } => entries::list(session, *list).await,
        Verb::Rules { never } => rules::run(session, *never).await,
        Verb::Allow(options) => entries::allow(session, options).await,
        Verb::Remove { list, pattern } => entries::remove(session, *list, pattern).await,
        Verb::Removable { list } => entries::removable(session, *list).await,
        Verb::Pending(options) => pending::run(session, options).await,
        Verb::Explain(options) => explain::run(session, options).await,
        Verb::Pass {
            client,
            sender,
            recipient,
        } => records::pass(session, client, sender, recipient).await,
        Verb::Forget(options) => records::forget(session, options).await,
        Verb::Pause { lifetime } => pause::pause(session, *lifetime).await,
        Verb::Resume => pause::resume(session).await,
        Verb::Reload => reload(session).await,
        Verb::Backup { file, force } => backup::run(session, file, *force).await,
        Verb::Restore { file } => restore::run(session, file).await,
        Verb::Import(options) => import::run(session, options).await,
        Verb::Export { file, force } => export::run(session, file.as_deref(), *force).await,
        // Handled before the session: they need no D-Bus, or no daemon.
        Verb::CheckPostfix(_)
        | Verb::TestMessage(_)
        | Verb::Metrics(_)
        | Verb::Lists(_)
        | Verb::SharedKey
        | Verb::Completion { .. } => Ok(Answer::yes("")),
    }
}

/// Reloads the lists.
async fn reload(session: &Session) -> Result<Answer, Failure> {
    let manager = session.manager().await?;
    session.ask("Reload", manager.reload()).await?;
    Ok(Answer::done(&session.view, "Lists and tables reloaded."))
}

/// An address without brackets: `<>` is the null sender.
fn bare(address: &str) -> &str {
    let inside = address
        .strip_prefix('<')
        .and_then(|rest| rest.strip_suffix('>'));
    inside.unwrap_or(address)
}

/// An address for output: the null sender as `<>`, since an empty string is invisible.
fn shown(address: &str) -> &str {
    if address.is_empty() { "<>" } else { address }
}
