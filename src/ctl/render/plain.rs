//! Escapes control characters for a terminal, and nothing else.
//!
//! Values from D-Bus are strings: addresses are escaped by the daemon, patterns and comments are as written by the
//! administrator. Escaping a backslash again would change both. For raw bytes see [`Printable`].

use std::fmt::{self, Display, Write};

use crate::types::Printable;

/// Displays text with its control characters, and those that turn its direction, as `\xNN`.
#[derive(Debug, Clone, Copy)]
pub struct Plain<'a>(pub &'a str);

impl Display for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            if c == '\\' {
                f.write_char(c)?;
            } else {
                let mut bytes = [0; 4];
                Printable(c.encode_utf8(&mut bytes).as_bytes()).fmt(f)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_terminal_obeys_is_escaped() {
        let cases = [
            ("/^a\\.b\\x41$/", "/^a\\.b\\x41$/"),
            ("müller@example.org", "müller@example.org"),
            ("a\u{1b}[31m\n", "a\\x1b[31m\\x0a"),
            ("a\u{202e}b", "a\\xe2\\x80\\xaeb"),
        ];
        for (text, want) in cases {
            assert_eq!(Plain(text).to_string(), want);
        }
    }
}
