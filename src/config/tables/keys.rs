//! Tables of names and addresses: the source of a `hash:` table, which is a `texthash:` table itself.
//!
//! ```text
//! key result
//! ```
//!
//! White space between double quotes, or behind a backslash, belongs to the key; so do the quotes.

use std::collections::HashMap;

use super::{LineError, Source, logical_lines};
use crate::policy::access::{AccessResult, Dollars, KeyLine, Network, is_space};
use crate::policy::is_host_name;

/// Parses the content of a file.
pub(super) fn read(source: &mut Source<'_>, bytes: &[u8]) -> Vec<KeyLine> {
    let mut lines = Vec::new();
    let mut known = HashMap::new();
    for (number, bytes) in logical_lines(bytes) {
        match super::text(&bytes).and_then(|text| line(source, number, text)) {
            Ok(line) => {
                let first = *known.entry(line.key.to_ascii_lowercase()).or_insert(number);
                warn_of(source, number, &line.key, first);
                lines.push(line);
            }
            Err(error) => source.report(number, &error),
        }
    }
    lines
}

fn line(source: &Source<'_>, number: u32, text: &str) -> Result<KeyLine, LineError> {
    let (key, result) = text.split_at(end_of_key(text)?);
    let result = result.trim_matches(is_space);
    let (result, template) = AccessResult::parse(result, source.names, Dollars::Themselves)?;
    Ok(KeyLine {
        key: key.to_owned(),
        result,
        text: template,
        entry: source.entry(number, text),
    })
}

/// Where the key ends.
fn end_of_key(text: &str) -> Result<usize, LineError> {
    let mut is_quoted = false;
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => {
                chars.next();
            }
            '"' => is_quoted = !is_quoted,
            c if is_space(c) && !is_quoted => return Ok(at),
            _ => {}
        }
    }
    if is_quoted {
        Err(LineError::Quote)
    } else {
        Ok(text.len())
    }
}

/// Warns of what is probably not intended. `first` is the first line with this key.
fn warn_of(source: &mut Source<'_>, number: u32, key: &str, first: u32) {
    if first != number {
        let warning = format!("{key:?} is in line {first} already; that line applies");
        source.warn(number, warning);
    }
    if key.ends_with(':') {
        let warning = format!("{key:?} never matches: the colon belongs to the key");
        source.warn(number, warning);
    } else if key.contains('/') && Network::parse(key, false).is_ok() {
        let warning = format!("{key:?} never matches: networks go into a table of the kind cidr:");
        source.warn(number, warning);
    } else if !can_match(key) {
        let warning = format!(
            "{key:?} never matches: a key is a host name, a domain, an address, or the beginning of an address"
        );
        source.warn(number, warning);
    }
}

/// Whether a client can be looked up by this key: by its name, a domain of it with or without the dot before it, its
/// address, or the beginning of its address.
fn can_match(key: &str) -> bool {
    let is_of_ipv6 = |key: &str| {
        key.bytes()
            .all(|byte| byte.is_ascii_hexdigit() || byte == b':')
    };
    let name = key.strip_prefix('.').unwrap_or(key);
    is_host_name(name.as_bytes()) || (key.contains(':') && is_of_ipv6(key))
}
