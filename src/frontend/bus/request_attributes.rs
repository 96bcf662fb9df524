//! The attributes of a policy request, as arguments of `Explain`.

use std::collections::HashMap;

use super::arguments;
use super::error::invalid;
use crate::api::Error;
use crate::protocol::policy::{MAX_ATTRIBUTES, MAX_LINE, MAX_REQUEST, Request};

/// The attributes by name, their values as the bytes that Postfix would send.
pub(super) struct RequestAttributes(HashMap<String, Vec<u8>>);

impl RequestAttributes {
    /// The attributes of a call.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`] for attributes that Postfix could not send, or the daemon would not accept from it.
    pub(super) fn new(attributes: &HashMap<String, String>) -> Result<Self, Error> {
        let mut values = HashMap::with_capacity(attributes.len());
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
            values.insert(name.clone(), value);
        }
        if bytes > MAX_REQUEST || values.len() > MAX_ATTRIBUTES {
            return Err(invalid(&format!(
                "A request has at most {MAX_ATTRIBUTES} attributes and {MAX_REQUEST} bytes."
            )));
        }
        Ok(Self(values))
    }

    /// Whether the caller wants live lookups for what is not cached.
    pub(super) fn looks_up(&self) -> bool {
        self.0.get("lookups").is_some_and(|value| value == b"yes")
    }

    /// The request that a front end would decode.
    pub(super) fn request(&self) -> Request<'_> {
        let value = |name: &str| self.0.get(name).map(Vec::as_slice);
        Request {
            protocol_state: value("protocol_state"),
            client_address: value("client_address"),
            client_name: value("client_name"),
            helo_name: value("helo_name"),
            sender: value("sender"),
            recipient: value("recipient"),
            instance: value("instance"),
            queue_id: value("queue_id"),
            etrn_domain: value("etrn_domain"),
            stress: value("stress"),
            sasl_username: value("sasl_username"),
            policy_test_time: value("policy_test_time"),
        }
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
