//! Options of a replay.

use std::path::PathBuf;

use super::diagnostic::Diagnostics;
use super::options::Options;
use super::value;
use crate::types::{Prefix, Span};

/// The word for standard input.
const STDIN: &str = "-";

/// The settings of a replay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplaySettings {
    /// The log; `None`: standard input.
    pub source: Option<PathBuf>,
    /// Other options to compare with, as they were given.
    pub others: Vec<String>,
    /// After which time a mail is assumed to be retried; 1 second to a week.
    pub retry: Span,
    /// Networks of this site.
    pub own: Vec<Prefix>,
    /// Whether DNS is queried.
    pub looks_up: bool,
}

/// Reads the options; `None` if nothing is replayed.
pub(super) fn read(options: &Options, found: &mut Diagnostics) -> Option<ReplaySettings> {
    let retry = value::span(&options.replay_retry);
    let retry = found.take("--replay-retry", retry, Span::ZERO);
    let mut own = Vec::new();
    for text in &options.replay_own {
        match Prefix::parse(text) {
            Ok(network) => own.push(network),
            Err(error) => found.error("--replay-own", format!("{text:?}: {error}")),
        }
    }
    let Some(source) = &options.replay else {
        let useless = [
            ("--replay-options", !options.replay_options.is_empty()),
            ("--replay-own", !options.replay_own.is_empty()),
            ("--replay-dns", options.replay_dns),
        ];
        for (option, _) in useless.into_iter().filter(|(_, is_given)| *is_given) {
            found.warn(option, "has no effect without --replay; ignoring");
        }
        return None;
    };
    Some(ReplaySettings {
        source: (source != STDIN).then(|| source.into()),
        others: options.replay_options.clone(),
        retry,
        own,
        looks_up: options.replay_dns,
    })
}
