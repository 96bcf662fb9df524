//! Addresses of the envelope, as the policy server gets them.
//!
//! A milter gets an address as the client has written it; Postfix's `sender` and `recipient` attributes have its internal
//! form: without angle brackets, without a source route, and without quotes and backslashes in the local part.
//!
//! | of a milter | internal form |
//! | --- | --- |
//! | `<a@b>` | `a@b` |
//! | `<>` | empty |
//! | `<@x,@y:a@b>` | `a@b` |
//! | `<"a b"@c>` | `a b@c` |
//! | `<a\\ b@c>` | `a b@c` |

/// The internal form of an address.
#[must_use]
pub fn internal(address: &[u8]) -> Vec<u8> {
    let inner = address.strip_prefix(b"<");
    let inner = inner.and_then(|inner| inner.strip_suffix(b">"));
    unquoted(without_route(inner.unwrap_or(address)))
}

/// An address without its source route (RFC 5321, appendix C).
fn without_route(address: &[u8]) -> &[u8] {
    if !address.starts_with(b"@") {
        return address;
    }
    let colon = memchr::memchr(b':', address);
    let behind = colon.and_then(|colon| address.get(colon.saturating_add(1)..));
    behind.unwrap_or(address)
}

/// An address without the quotes of its local part. What is not quoted to its end stays as it is.
fn unquoted(address: &[u8]) -> Vec<u8> {
    if memchr::memchr2(b'"', b'\\', address).is_none() {
        return address.to_vec();
    }
    let mut plain = Vec::with_capacity(address.len());
    let mut is_quoted = false;
    let mut rest = address;
    while let Some((byte, behind)) = rest.split_first() {
        rest = behind;
        match byte {
            b'"' => is_quoted = !is_quoted,
            b'\\' => {
                let Some((escaped, behind)) = behind.split_first() else {
                    return address.to_vec();
                };
                plain.push(*escaped);
                rest = behind;
            }
            b'@' if !is_quoted => {
                plain.push(*byte);
                plain.extend_from_slice(behind);
                return plain;
            }
            _ => plain.push(*byte),
        }
    }
    if is_quoted { address.to_vec() } else { plain }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_the_form_of_the_policy_servers_attributes() {
        for (address, want) in [
            ("<a@b>", "a@b"),
            ("<>", ""),
            ("", ""),
            ("a@b", "a@b"),
            ("<a@b", "<a@b"),
            ("<@x:a@b>", "a@b"),
            ("<@x,@y.z:a@b>", "a@b"),
            ("<@x:\"a:b\"@c>", "a:b@c"),
            ("<@x>", "@x"),
            ("<\"a b\"@c>", "a b@c"),
            ("<\"a>b\"@c>", "a>b@c"),
            ("<\"a\\\"b\"@c>", "a\"b@c"),
            ("<\"a@b\"@c>", "a@b@c"),
            ("<a\\ b@c>", "a b@c"),
            ("<\"\"@c>", "@c"),
            ("<\"a>", "\"a"),
            ("<a\\>", "a\\"),
            ("<\"a b\">", "a b"),
            ("<a@\"b\">", "a@\"b\""),
        ] {
            let got = internal(address.as_bytes());
            assert_eq!(String::from_utf8_lossy(&got), want, "{address}");
        }
    }
}
