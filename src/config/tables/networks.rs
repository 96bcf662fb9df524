//! Tables of networks, in the form of `cidr_table(5)`.
//!
//! ```text
//! network/length result
//! address result
//! !network/length result
//! if network/length
//! if !network/length
//! endif
//! ```

use super::{LineError, Source, keyword, logical_lines, negation, only_space};
use crate::policy::access::{AccessResult, Dollars, Network, NetworkLine, is_space};

/// Parses the content of a file.
pub(super) fn read(source: &mut Source<'_>, bytes: &[u8]) -> Vec<NetworkLine> {
    let mut lines = Vec::new();
    let mut open = Vec::new();
    for (number, bytes) in logical_lines(bytes) {
        let read = super::text(&bytes).and_then(|text| line(source, number, text, &mut open));
        match read {
            Ok(line) => lines.push(line),
            Err(error) => source.report(number, &error),
        }
    }
    for number in open {
        source.report(number, &LineError::If);
    }
    lines
}

/// Parses a line; `open` has the line numbers of the open `if`s.
fn line(
    source: &Source<'_>,
    number: u32,
    text: &str,
    open: &mut Vec<u32>,
) -> Result<NetworkLine, LineError> {
    if let Some(rest) = keyword(text, "if") {
        let (negated, pattern) = negation(rest);
        let network = network(pattern, negated)?;
        open.push(number);
        return Ok(NetworkLine::If(network));
    }
    if let Some(rest) = keyword(text, "endif") {
        only_space(rest).ok_or(LineError::BehindEndIf)?;
        open.pop().ok_or(LineError::EndIf)?;
        return Ok(NetworkLine::EndIf);
    }
    let (negated, rest) = negation(text);
    let (pattern, result) = rest.split_at(rest.find(is_space).unwrap_or(rest.len()));
    let network = network(pattern, negated)?;
    let result = result.trim_matches(is_space);
    let (result, template) = AccessResult::parse(result, source.names, Dollars::Themselves)?;
    let entry = source.entry(number, text);
    Ok(NetworkLine::Rule(network, result, template, entry))
}

fn network(pattern: &str, negated: bool) -> Result<Network, LineError> {
    if pattern.is_empty() {
        return Err(LineError::NoNetwork);
    }
    Ok(Network::parse(pattern, negated)?)
}
