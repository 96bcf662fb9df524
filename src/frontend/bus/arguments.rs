//! Parses method arguments: limits, filters, addresses. An error names the argument.

use super::error::invalid;
use crate::api::{
    CLIENT, CLIENT_NAME, COMMENT, DOMAIN, Dict, EVERYTHING, Error, FromRow, LIFETIME, LIST,
    MOST_ROWS, RECIPIENT, RETRYING, SENDER, STATE, STATE_PASSED, STATE_WAITING,
};
use crate::control::{Filter, Lifetime, State};
use crate::policy::{Domain, Identity, ListName};
use crate::protocol::policy::MAX_LINE;
use crate::types::{ClientIp, Prefix, Span, unprintable};

/// The limit of rows of a page.
pub(super) fn limit(limit: u32) -> Result<u32, Error> {
    match limit {
        0 => Err(invalid(
            "The limit must be at least 1; a value above 1000 means 1000.",
        )),
        limit => Ok(limit.min(MOST_ROWS)),
    }
}

/// The list of this name.
pub(super) fn list(word: &str) -> Result<ListName, Error> {
    ListName::from_word(word).ok_or_else(|| {
        let known = ListName::ALL.map(ListName::word).join(", ");
        Error::UnknownList(format!("There is no list {word:?}; lists are {known}."))
    })
}

/// A sender or a recipient as bytes.
pub(super) fn address(key: &str, text: &str) -> Result<Vec<u8>, Error> {
    let bytes = unprintable(text).ok_or_else(|| {
        invalid(&format!(
            "{key}: a backslash begins \\xNN, two hexadecimal digits; itself it is \\x5c."
        ))
    })?;
    if bytes.len() > MAX_LINE {
        return Err(invalid(&format!(
            "{key}: longer than any address, {MAX_LINE} bytes."
        )));
    }
    if bytes.iter().any(|byte| matches!(byte, 0 | b'\n')) {
        return Err(invalid(&format!(
            "{key}: no address has a NUL or a line break in it."
        )));
    }
    Ok(bytes)
}

/// A client address, or the domain of clients.
pub(super) fn client(text: &str) -> Result<Identity, Error> {
    let address = ClientIp::parse(text.as_bytes());
    let address = address.map(|address| Identity::Network(address.network(32, 128)));
    let domain = || Domain::of(text.as_bytes()).filter(|domain| domain.as_str() == text);
    address.or_else(|| Some(domain()?.into())).ok_or_else(|| {
        invalid(&format!(
            "{CLIENT}: {text:?} is neither an IP address nor an organizational domain; write 192.0.2.1, \
             2001:db8::1 or example.org."
        ))
    })
}

/// An organizational domain; the error says what is wrong with it.
pub(super) fn domain(text: &str) -> Result<Domain, String> {
    match Domain::of(text.as_bytes()) {
        Some(domain) if domain.as_str() == text => Ok(domain),
        Some(domain) => Err(format!(
            "{DOMAIN} {text:?} is not an organizational domain, but {domain} is"
        )),
        None => Err(format!("{DOMAIN} {text:?} is not an organizational domain")),
    }
}

/// A client address or network.
fn network(text: &str) -> Result<Prefix, Error> {
    Prefix::parse(text).map_err(|error| {
        invalid(&format!(
            "{CLIENT}: {text:?}: {error}; write 192.0.2.1 or 192.0.2.0/24."
        ))
    })
}

/// The list in a filter of entries.
pub(super) fn entries_filter(filter: &Dict) -> Result<Option<ListName>, Error> {
    let mut wanted = None;
    for key in filter.keys() {
        match key.as_str() {
            LIST => wanted = Some(list(text(filter, LIST)?)?),
            other => return Err(unknown(other, &[LIST])),
        }
    }
    Ok(wanted)
}

/// The new comment and lifetime of an entry.
pub(super) fn entry_changes(changes: &Dict) -> Result<(Option<&str>, Lifetime), Error> {
    let (mut comment, mut lifetime) = (None, Lifetime::Unchanged);
    for key in changes.keys() {
        match key.as_str() {
            COMMENT => comment = Some(text(changes, COMMENT)?),
            LIFETIME => {
                let seconds = changes.number(LIFETIME);
                let seconds = seconds.ok_or_else(|| {
                    invalid(&format!("{LIFETIME} must be a number of seconds (t)."))
                })?;
                lifetime = match seconds {
                    0 => Lifetime::Endless,
                    seconds => Lifetime::Ends(Span::from_seconds(seconds)),
                };
            }
            other => {
                return Err(invalid(&format!(
                    "{other:?} cannot be changed; {COMMENT} and {LIFETIME} can."
                )));
            }
        }
    }
    Ok((comment, lifetime))
}

/// The filter of records.
pub(super) fn records_filter(filter: &Dict) -> Result<Filter, Error> {
    let mut wanted = Filter::default();
    for key in filter.keys() {
        match key.as_str() {
            CLIENT => wanted.client = Some(network(text(filter, CLIENT)?)?.into()),
            DOMAIN => {
                let domain = domain(text(filter, DOMAIN)?);
                let domain = domain.map_err(|why| invalid(&format!("{why}.")))?;
                wanted.client = Some(domain.into());
            }
            CLIENT_NAME => {
                wanted.name = Some(address(CLIENT_NAME, text(filter, CLIENT_NAME)?)?);
            }
            SENDER => wanted.sender = Some(address(SENDER, text(filter, SENDER)?)?),
            RECIPIENT => wanted.recipient = Some(address(RECIPIENT, text(filter, RECIPIENT)?)?),
            STATE => wanted.state = Some(state(text(filter, STATE)?)?),
            RETRYING => wanted.retrying = truth(filter, RETRYING)?,
            other => {
                let known = [
                    CLIENT,
                    CLIENT_NAME,
                    DOMAIN,
                    SENDER,
                    RECIPIENT,
                    STATE,
                    RETRYING,
                ];
                return Err(unknown(other, &known));
            }
        }
    }
    if filter.contains_key(CLIENT) && filter.contains_key(DOMAIN) {
        return Err(invalid(&format!(
            "{CLIENT} and {DOMAIN} cannot be combined: a record has one of them."
        )));
    }
    if wanted.name.is_some() && !filter.contains_key(CLIENT) {
        return Err(invalid(&format!(
            "{CLIENT_NAME} needs {CLIENT}, the address of this client."
        )));
    }
    Ok(wanted)
}

/// The records to delete: a filter, and whether everything is to be deleted.
pub(super) fn forget_filter(filter: &Dict) -> Result<(Filter, bool), Error> {
    if !filter.contains_key(EVERYTHING) {
        return Ok((records_filter(filter)?, false));
    }
    if filter.len() > 1 {
        return Err(invalid(
            "Everything cannot be combined with other filters: remove one of them.",
        ));
    }
    Ok((Filter::default(), truth(filter, EVERYTHING)?))
}

/// The state of a triplet of this name.
pub(super) fn state(word: &str) -> Result<State, Error> {
    match word {
        STATE_WAITING => Ok(State::Waiting),
        STATE_PASSED => Ok(State::Passed),
        _ => Err(invalid(&format!(
            "{STATE}: {word:?} is not a state; states are {STATE_WAITING} and {STATE_PASSED}."
        ))),
    }
}

fn text<'d>(filter: &'d Dict, key: &str) -> Result<&'d str, Error> {
    filter
        .text(key)
        .ok_or_else(|| invalid(&format!("{key} must be a string (s).")))
}

fn truth(filter: &Dict, key: &str) -> Result<bool, Error> {
    filter
        .truth(key)
        .ok_or_else(|| invalid(&format!("{key} must be a boolean (b).")))
}

fn unknown(key: &str, known: &[&str]) -> Error {
    let known = known.join(", ");
    invalid(&format!(
        "{key:?} is not a filter here; filters are {known}."
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Row;

    fn shown<T>(result: Result<T, Error>) -> String {
        result
            .err()
            .map(|error| error.to_string())
            .unwrap_or_default()
    }

    #[test]
    fn filters_are_read_and_what_is_not_understood_is_named() {
        let filter = Row::new()
            .with(CLIENT, "192.0.2.7")
            .with(CLIENT_NAME, "mx.example.org")
            .with(SENDER, "a\\xff@b")
            .with(STATE, "waiting")
            .with(RETRYING, true)
            .build();
        let want = Filter {
            client: Prefix::parse("192.0.2.7/32").ok().map(Identity::Network),
            name: Some(b"mx.example.org".to_vec()),
            sender: Some(b"a\xff@b".to_vec()),
            recipient: None,
            state: Some(State::Waiting),
            retrying: true,
            begun_by: None,
        };
        assert_eq!(records_filter(&filter).unwrap(), want);
        assert_eq!(forget_filter(&filter).unwrap(), (want, false));
        let cases = [
            (Row::new().with("sneder", "a@b"), "\"sneder\""),
            (
                Row::new().with(CLIENT, "mx.example.org"),
                "not an IP address",
            ),
            (Row::new().with(CLIENT, "192.0.2.0/33"), "0 to 32"),
            (
                Row::new().with(DOMAIN, "mx.example.org"),
                "but example.org is.",
            ),
            (
                Row::new().with(DOMAIN, "co.jp"),
                "domain \"co.jp\" is not an organizational domain.",
            ),
            (
                Row::new().with(DOMAIN, "example.org").with(CLIENT, "::1"),
                "client and domain cannot be combined",
            ),
            (
                Row::new().with(CLIENT_NAME, "mx.example.org"),
                "client_name needs client",
            ),
            (Row::new().with(SENDER, 5_u32), "must be a string"),
            (Row::new().with(SENDER, "a\\b"), "\\x5c"),
            (Row::new().with(SENDER, "a\\x00b"), "NUL"),
            (Row::new().with(STATE, "gone"), "waiting and passed"),
            (Row::new().with(RETRYING, "yes"), "must be a boolean"),
            (
                Row::new().with(EVERYTHING, true).with(CLIENT, "::1"),
                "cannot be combined",
            ),
        ];
        for (row, want) in cases {
            let error = shown(forget_filter(&row.build()));
            assert!(error.contains(want), "{error}, {want}");
            assert!(error.contains("Error.InvalidArgument"), "{error}");
        }
        let row = Row::new().with(EVERYTHING, true).build();
        assert_eq!(forget_filter(&row).unwrap(), (Filter::default(), true));
        assert!(shown(records_filter(&row)).contains("\"everything\""));
    }

    #[test]
    fn changes_of_an_entry_are_read_and_what_is_not_understood_is_named() {
        let ends = Lifetime::Ends(Span::from_seconds(60));
        let cases = [
            (Row::new(), (None, Lifetime::Unchanged)),
            (
                Row::new().with(COMMENT, ""),
                (Some(""), Lifetime::Unchanged),
            ),
            (Row::new().with(LIFETIME, 0_u64), (None, Lifetime::Endless)),
            (
                Row::new().with(LIFETIME, 60_u64).with(COMMENT, "Ann"),
                (Some("Ann"), ends),
            ),
        ];
        for (row, want) in cases {
            assert_eq!(entry_changes(&row.build()).unwrap(), want);
        }
        let refused = [
            (Row::new().with(COMMENT, 5_u64), "must be a string"),
            (Row::new().with(LIFETIME, "1h"), "number of seconds"),
            (
                Row::new().with("coment", ""),
                "\"coment\" cannot be changed",
            ),
        ];
        for (row, want) in refused {
            let error = shown(entry_changes(&row.build()));
            assert!(error.contains(want), "{error}");
        }
    }

    #[test]
    fn an_unknown_list_is_told_which_there_are() {
        let row = Row::new().with(LIST, "client-whitelist").build();
        assert_eq!(entries_filter(&row).unwrap(), Some(ListName::Client));
        let error = shown(list("client"));
        assert!(error.contains("Error.UnknownList"), "{error}");
        assert!(error.contains("s25r-exceptions"), "{error}");
        let row = Row::new().with("lits", "client-whitelist").build();
        assert!(shown(entries_filter(&row)).contains("\"lits\""));
    }

    #[test]
    fn limits_hold_at_their_ends() {
        assert!(limit(0).is_err());
        let cases = [(1, 1), (1000, 1000), (1001, 1000), (u32::MAX, 1000)];
        for (asked, want) in cases {
            assert_eq!(limit(asked).unwrap(), want);
        }
        assert!(address(SENDER, &"a".repeat(MAX_LINE)).is_ok());
        assert!(address(SENDER, &"a".repeat(MAX_LINE + 1)).is_err());
    }
}
