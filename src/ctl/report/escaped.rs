//! Escapes text for HTML.

use std::fmt::{self, Display, Write};

use crate::ctl::render::Plain;

/// Text for HTML: neither as content nor as an attribute in double quotes is it anything but itself. Control characters,
/// and those that turn the direction of text, are shown as on a terminal.
#[derive(Debug, Clone, Copy)]
pub(super) struct Escaped<'a>(pub &'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in Plain(self.0).to_string().chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                other => f.write_char(other)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_anything_but_text() {
        let cases = [
            (
                "a <b> & \"c\" 'd'",
                "a &lt;b&gt; &amp; &quot;c&quot; &#39;d&#39;",
            ),
            ("müller", "müller"),
            ("a\u{0}\u{1b}\u{202e}b", "a\\x00\\x1b\\xe2\\x80\\xaeb"),
        ];
        for (text, want) in cases {
            assert_eq!(Escaped(text).to_string(), want);
        }
    }
}
