//! Client arguments: an address, a name, or both as in the log of Postfix, `NAME[ADDRESS]`.

use std::net::IpAddr;

use super::failure::ArgumentError;
use crate::api::{CLIENT, CLIENT_NAME, DOMAIN, Row};

/// A client given as an argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientArgument<'a> {
    /// The name, if given.
    pub name: Option<&'a str>,
    /// The address, if given. At least one of the two is.
    pub address: Option<IpAddr>,
}

impl<'a> ClientArgument<'a> {
    /// Parses the argument for one client.
    ///
    /// # Errors
    ///
    /// [`ArgumentError`] for a network, an empty argument, and brackets without an address.
    pub fn read(client: &'a str) -> Result<Self, ArgumentError> {
        if client.is_empty() {
            return Err(ArgumentError::NoClient);
        }
        if client.contains('/') {
            return Err(ArgumentError::Network(client.to_owned()));
        }
        if let Ok(address) = client.parse() {
            return Ok(Self {
                name: None,
                address: Some(address),
            });
        }
        let Some((name, address)) = parts(client) else {
            return Ok(Self {
                name: Some(client),
                address: None,
            });
        };
        match address.parse() {
            Ok(address) => Ok(Self {
                name: Some(name).filter(|name| !name.is_empty()),
                address: Some(address),
            }),
            Err(_) => Err(ArgumentError::NoAddressWithin(client.to_owned())),
        }
    }
}

/// The filter of a client: the address of `NAME[ADDRESS]`, an address or a network, or else a domain.
#[must_use]
pub fn filtered(client: Option<&str>) -> Row {
    let Some(client) = client else {
        return Row::new();
    };
    match parts(client) {
        Some((_, address)) if address.parse::<IpAddr>().is_ok() => Row::new().with(CLIENT, address),
        Some(_) | None if is_domain(client) => Row::new().with(DOMAIN, client),
        Some(_) | None => Row::new().with(CLIENT, client),
    }
}

/// The filter of the records that `NAME[ADDRESS]` is known for by its name, not by its network. `None` for any other
/// client, and for one without a verified name.
#[must_use]
pub fn filtered_by_name(client: Option<&str>) -> Option<Row> {
    let (name, address) = parts(client?)?;
    let is_verified = !name.is_empty() && name != "unknown";
    let has_both = is_verified && address.parse::<IpAddr>().is_ok();
    has_both.then(|| Row::new().with(CLIENT, address).with(CLIENT_NAME, name))
}

/// Whether this may be a domain. What is not is taken for an address or a network.
fn is_domain(client: &str) -> bool {
    !client.is_empty() && !client.contains(['/', ':', '[']) && client.parse::<IpAddr>().is_err()
}

/// `NAME` and `ADDRESS` of `NAME[ADDRESS]`.
fn parts(client: &str) -> Option<(&str, &str)> {
    client.strip_suffix(']')?.split_once('[')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::FromRow;

    #[test]
    fn one_client_is_read() {
        let cases = [
            ("192.0.2.7", None, Some("192.0.2.7")),
            ("2001:DB8::7", None, Some("2001:db8::7")),
            ("mx.example.org", Some("mx.example.org"), None),
            ("a.b[192.0.2.7]", Some("a.b"), Some("192.0.2.7")),
            ("unknown[2001:db8::7]", Some("unknown"), Some("2001:db8::7")),
            ("[192.0.2.7]", None, Some("192.0.2.7")),
        ];
        for (typed, name, address) in cases {
            let got = ClientArgument::read(typed).unwrap();
            let got = (got.name, got.address.map(|address| address.to_string()));
            assert_eq!(got, (name, address.map(str::to_owned)), "{typed}");
        }
    }

    #[test]
    fn what_is_no_client_is_told_what_to_write() {
        let cases = [
            ("", "the client is missing: give its address, its name, or"),
            (
                "192.0.2.0/24",
                "192.0.2.0/24 is a network without such a triplet: give",
            ),
            ("2001:db8::/64", "2001:db8::/64 is a network"),
            (
                "a.b[192.0.2]",
                "a.b[192.0.2] has no address in the brackets: give NAME",
            ),
        ];
        for (typed, want) in cases {
            let error = ClientArgument::read(typed).unwrap_err().to_string();
            assert!(error.starts_with(want), "{typed}: {error}");
        }
    }

    #[test]
    fn a_filter_has_an_address_a_network_or_a_domain() {
        let cases = [
            ("a.b[192.0.2.7]", CLIENT, "192.0.2.7"),
            ("unknown[2001:db8::7]", CLIENT, "2001:db8::7"),
            ("192.0.2.0/24", CLIENT, "192.0.2.0/24"),
            ("192.0.2.7", CLIENT, "192.0.2.7"),
            ("2001:db8::7", CLIENT, "2001:db8::7"),
            ("example.org", DOMAIN, "example.org"),
            ("a.b[c]", CLIENT, "a.b[c]"),
            ("", CLIENT, ""),
        ];
        for (typed, key, want) in cases {
            let filter = filtered(Some(typed)).build();
            assert_eq!((filter.text(key), filter.len()), (Some(want), 1), "{typed}");
        }
        assert!(filtered(None).build().is_empty());
    }

    #[test]
    fn name_and_address_are_a_filter_of_their_own_if_the_name_is_verified() {
        let cases = [
            (
                Some("mx.example.org[192.0.2.7]"),
                Some(("192.0.2.7", "mx.example.org")),
            ),
            (Some("unknown[192.0.2.7]"), None),
            (Some("[192.0.2.7]"), None),
            (Some("mx.example.org[192.0.2]"), None),
            (Some("192.0.2.7"), None),
            (Some("example.org"), None),
            (None, None),
        ];
        for (typed, want) in cases {
            let filter = filtered_by_name(typed).map(Row::build);
            let text = |key| filter.as_ref().and_then(|filter| filter.text(key));
            let got = text(CLIENT).zip(text(CLIENT_NAME));
            assert_eq!(got, want, "{typed:?}");
        }
    }
}
