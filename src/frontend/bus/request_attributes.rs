//! The attributes of a policy request, as arguments of `Explain`.

use std::collections::HashMap;

use super::arguments;
use super::error::invalid;
use crate::api::Error;
use crate::protocol::policy::{Attribute, MAX_ATTRIBUTES, MAX_LINE, MAX_REQUEST, Request};

/// The attribute of `Explain` that asks for live lookups.
const LOOKUPS_ATTRIBUTE: &str = "lookups";

/// The attributes, their values as the bytes that Postfix would send.
pub(super) struct RequestAttributes {
    values: HashMap<Attribute, Vec<u8>>,
    /// Whether the caller wants live lookups for what is not cached.
    looks_up: bool,
}

impl RequestAttributes {
    /// The attributes of a call.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`] for attributes that Postfix could not send, or the daemon would not accept from it.
    pub(super) fn new(attributes: &HashMap<String, String>) -> Result<Self, Error> {
        let mut parsed = Self {
            values: HashMap::new(),
            looks_up: false,
        };
        let mut bytes = 0_usize;
        for (name, value) in attributes {
            if name.is_empty() || name.contains(['=', '\n', '\0']) {
                return Err(invalid(&format!(
                    "{name:?} is not the name of an attribute."
                )));
            }
            let value = arguments::address(name, value)?;
            let line = name.len().saturating_add(value.len());
            if line >= MAX_LINE {
                return Err(invalid(&format!("{name} has more than {MAX_LINE} bytes.")));
            }
            bytes = bytes.saturating_add(line);
            if name == LOOKUPS_ATTRIBUTE {
                parsed.looks_up = value == b"yes";
            } else if let Some(attribute) = Attribute::by_name(name.as_bytes()) {
                parsed.values.insert(attribute, value);
            }
        }
        if bytes > MAX_REQUEST || attributes.len() > MAX_ATTRIBUTES {
            return Err(invalid(&format!(
                "A request has at most {MAX_ATTRIBUTES} attributes and {MAX_REQUEST} bytes."
            )));
        }
        Ok(parsed)
    }

    /// Whether the caller wants live lookups for what is not cached.
    pub(super) const fn looks_up(&self) -> bool {
        self.looks_up
    }

    /// The request that a front end would decode.
    pub(super) fn request(&self) -> Request<'_> {
        Request::new(|attribute| self.values.get(&attribute).map(Vec::as_slice))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(pairs: &[(&str, &str)]) -> Result<RequestAttributes, Error> {
        let owned = pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        RequestAttributes::new(&owned.collect())
    }

    #[test]
    fn the_values_of_a_request_are_those_of_the_call() {
        let attributes =
            parsed(&[("sender", "a@b"), ("sasl_username", ""), ("more", "x")]).unwrap();
        let want = Request {
            sender: Some(b"a@b"),
            sasl_username: Some(b""),
            ..Request::default()
        };
        assert_eq!(attributes.request(), want);
    }

    #[test]
    fn what_no_mail_server_could_send_is_refused() {
        let line = "x".repeat(MAX_LINE);
        let long = line.get(..16_000).unwrap_or_default();
        let many: Vec<String> = (0..=MAX_ATTRIBUTES).map(|n| n.to_string()).collect();
        let many: Vec<(&str, &str)> = many.iter().map(|name| (name.as_str(), "")).collect();
        let all = [
            ("a", long),
            ("b", long),
            ("c", long),
            ("d", long),
            ("e", long),
        ];
        let cases: [(&str, &[(&str, &str)]); 7] = [
            ("no name", &[("", "x")]),
            ("an equals sign in a name", &[("a=b", "x")]),
            (
                "a line end in a name",
                &[(
                    "a
b", "x",
                )],
            ),
            (
                "a line end in a value",
                &[(
                    "sender", "a
b",
                )],
            ),
            ("a long value", &[("sender", line.as_str())]),
            ("too many", &many),
            ("too long together", &all),
        ];
        for (name, pairs) in cases {
            assert!(parsed(pairs).is_err(), "{name}");
        }
        let most = parsed(many.get(1..).unwrap_or_default());
        assert!(most.is_ok());
    }
}
