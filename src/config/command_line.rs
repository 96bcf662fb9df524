//! Errors of a command line, as the program words them.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{ArgMatches, Command};

use super::diagnostic::Diagnostic;

/// Errors about values with a `$`. systemd puts `$OPTIONS` on the command line without a shell, so a variable in a
/// value is not expanded, which is never intended.
pub(super) fn dollars(command: &Command, matches: &ArgMatches) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for option in command.get_arguments() {
        let values = matches.try_get_raw(option.get_id().as_str());
        let values = values.ok().flatten().into_iter().flatten();
        for value in values.map(|value| value.to_string_lossy()) {
            if value.contains('$') {
                let name = option.get_long().unwrap_or_default();
                found.push(Diagnostic::option(
                    format!("--{name}"),
                    format!(
                        "{value:?} contains a $: variables are not expanded here; write the value itself"
                    ),
                ));
            }
        }
    }
    found
}

/// clap's paragraph as one sentence.
pub(super) fn diagnostic(error: &clap::Error) -> Diagnostic {
    let text = error.render().to_string();
    let first = text.lines().next().unwrap_or_default();
    let mut message = first.trim_start_matches("error: ").to_owned();
    if let Some(ContextValue::String(near)) = error.get(ContextKind::SuggestedArg) {
        message.push_str("; did you mean '");
        message.push_str(near);
        message.push_str("'?");
    }
    Diagnostic::command_line(message)
}

/// Removes the argument that an error is about from the line, so that the next error is found too.
pub(super) fn drop_culprit(args: &mut Vec<OsString>, error: &clap::Error) -> bool {
    let unknown = error.kind() == ErrorKind::UnknownArgument;
    let Some(ContextValue::String(name)) = error.get(ContextKind::InvalidArg) else {
        return false;
    };
    let culprit = args.iter().skip(1).position(|arg| {
        let arg = arg.to_string_lossy();
        arg == name.as_str() || arg.split('=').next() == Some(name.as_str())
    });
    match culprit {
        Some(at) if unknown => {
            args.remove(at.saturating_add(1));
            true
        }
        Some(_) | None => false,
    }
}
