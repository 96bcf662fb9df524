//! `list-watch`: which lists are fetched, and which of them are installed.
//!
//! ```text
//! file   = { line }
//! line   = NAME KIND URL [ "install" ] [ "sha256=" 64 hexadecimal digits ] | "#" … | nothing
//! NAME   = 1 to 64 of a-z 0-9 _ -, a letter or digit first; each once
//! KIND   = client-whitelist | recipient-whitelist | sender-whitelist | s25r-exceptions | client-access
//! URL    = http:// or https://, printable ASCII without quotes and backslash
//! ```

use std::collections::BTreeSet;

use crate::ctl::args::List;
use crate::ctl::render::Plain;
use crate::types::ListName;

/// What kind of list it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A list that `allow` can add to, too.
    Open(List),
    /// A client access table.
    ClientAccess,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Open(List::Client),
        Self::Open(List::Recipient),
        Self::Open(List::Sender),
        Self::Open(List::S25rExceptions),
        Self::ClientAccess,
    ];

    /// Its name.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Open(list) => list.word(),
            Self::ClientAccess => ListName::ClientAccess.word(),
        }
    }

    /// The option of stargreyd that names its file.
    #[must_use]
    pub const fn option(self) -> &'static str {
        match self {
            Self::Open(List::Client) => "--whitelist-clients",
            Self::Open(List::Recipient) => "--whitelist-recipients",
            Self::Open(List::Sender) => "--whitelist-senders",
            Self::Open(List::S25rExceptions) => "--s25r-exceptions",
            Self::ClientAccess => "--client-access",
        }
    }
}

/// A line of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watched {
    /// Its name, and that of the installed file.
    pub name: String,
    /// What kind of list it is.
    pub kind: Kind,
    /// Where it is fetched from.
    pub url: String,
    /// Whether a new version is installed without being asked for.
    pub is_installed: bool,
    /// The only content that is installed, as a lower-case SHA-256.
    pub sha256: Option<String>,
}

impl Watched {
    /// Whether nobody on the way can have changed it.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        self.url.starts_with("https://")
    }
}

/// What is wrong with a line.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum WatchError {
    /// Fewer than three words.
    #[error("expected NAME KIND URL")]
    Short,
    /// The name.
    #[error("{:?} is not a name of 1 to 64 of a-z, 0-9, _ and -", .0)]
    Name(String),
    /// The name again.
    #[error("{0} is the name of two lists")]
    Twice(String),
    /// The kind.
    #[error("{:?} is not one of client-whitelist, recipient-whitelist, sender-whitelist, s25r-exceptions, client-access", .0)]
    Kind(String),
    /// The address.
    #[error("{:?} is not an address that begins with https:// or http://", .0)]
    Url(String),
    /// Another word after the address.
    #[error("{:?} is neither install nor sha256=DIGEST", .0)]
    Word(String),
    /// A word twice.
    #[error("{} is given twice", Plain(.0))]
    WordTwice(String),
    /// The digest.
    #[error("{:?} is not a SHA-256 of 64 hexadecimal digits", .0)]
    Digest(String),
}

/// The lists of a file.
///
/// # Errors
///
/// What is wrong, with the number of each line, from 1.
pub fn parse(text: &str) -> Result<Vec<Watched>, Vec<(usize, WatchError)>> {
    let (mut lists, mut errors) = (Vec::new(), Vec::new());
    let mut names = BTreeSet::new();
    for (number, line) in (1..).zip(text.lines()) {
        let words: Vec<&str> = line.split_whitespace().collect();
        if words.first().is_none_or(|word| word.starts_with('#')) {
            continue;
        }
        match watched(&words) {
            Ok(list) if names.insert(list.name.clone()) => lists.push(list),
            Ok(list) => errors.push((number, WatchError::Twice(list.name))),
            Err(error) => errors.push((number, error)),
        }
    }
    if errors.is_empty() {
        Ok(lists)
    } else {
        Err(errors)
    }
}

fn watched(words: &[&str]) -> Result<Watched, WatchError> {
    let [name, kind, url, rest @ ..] = words else {
        return Err(WatchError::Short);
    };
    if !is_name(name) {
        return Err(WatchError::Name((*name).to_owned()));
    }
    let kind = Kind::ALL.into_iter().find(|known| known.word() == *kind);
    let kind = kind.ok_or_else(|| WatchError::Kind(words.get(1).map_or("", |k| k).to_owned()))?;
    if !is_url(url) {
        return Err(WatchError::Url((*url).to_owned()));
    }
    let mut list = Watched {
        name: (*name).to_owned(),
        kind,
        url: (*url).to_owned(),
        is_installed: false,
        sha256: None,
    };
    for word in rest {
        let is_twice = if let Some(digest) = word.strip_prefix("sha256=") {
            let is_digest = digest.len() == 64 && digest.bytes().all(|b| b.is_ascii_hexdigit());
            if !is_digest {
                return Err(WatchError::Digest(digest.to_owned()));
            }
            list.sha256.replace(digest.to_ascii_lowercase()).is_some()
        } else if *word == "install" {
            std::mem::replace(&mut list.is_installed, true)
        } else {
            return Err(WatchError::Word((*word).to_owned()));
        };
        if is_twice {
            return Err(WatchError::WordTwice((*word).to_owned()));
        }
    }
    Ok(list)
}

/// Whether a name can be that of a file, and of none of ours beside it.
fn is_name(name: &str) -> bool {
    let is_part = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-".contains(&b);
    let is_first = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    name.len() <= 64 && name.bytes().all(is_part) && name.as_bytes().first().is_some_and(is_first)
}

fn is_url(url: &str) -> bool {
    let rest = url.strip_prefix("https://");
    let rest = rest.or_else(|| url.strip_prefix("http://"));
    let is_plain = |c: char| c.is_ascii_graphic() && !matches!(c, '"' | '\'' | '\\');
    rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/') && url.chars().all(is_plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_names_lists() {
        let digest = "0123456789abcdef".repeat(4);
        let text = format!(
            "# mine\n\n clients client-whitelist https://a.example/x\n\
             x-1_ client-access http://a.example install sha256={}\n",
            digest.to_uppercase()
        );
        let list = |name: &str, kind, url: &str, is_installed, sha256| Watched {
            name: name.to_owned(),
            kind,
            url: url.to_owned(),
            is_installed,
            sha256,
        };
        let want = [
            list(
                "clients",
                Kind::Open(List::Client),
                "https://a.example/x",
                false,
                None,
            ),
            list(
                "x-1_",
                Kind::ClientAccess,
                "http://a.example",
                true,
                Some(digest),
            ),
        ];
        assert_eq!(parse(&text).unwrap(), want);
    }

    #[test]
    fn every_error_has_its_line() {
        let text = "a client-whitelist\nA client-whitelist http://a\n../a client-whitelist http://a\na clients http://a\n\
                    a client-whitelist file:///etc/passwd\na client-whitelist http:///x\na client-whitelist http://a instal\n\
                    a client-whitelist http://a sha256=12\na client-whitelist http://a install install\n\
                    a client-whitelist http://a\na client-whitelist http://b\n";
        let errors = parse(text).unwrap_err();
        let got: Vec<_> = errors
            .iter()
            .map(|(line, error)| (*line, error.to_string()))
            .collect();
        let want = [
            (1, "expected NAME KIND URL"),
            (2, "\"A\" is not a name of 1 to 64 of a-z, 0-9, _ and -"),
            (3, "\"../a\" is not a name of 1 to 64 of a-z, 0-9, _ and -"),
            (
                4,
                "\"clients\" is not one of client-whitelist, recipient-whitelist, sender-whitelist, s25r-exceptions, client-access",
            ),
            (
                5,
                "\"file:///etc/passwd\" is not an address that begins with https:// or http://",
            ),
            (
                6,
                "\"http:///x\" is not an address that begins with https:// or http://",
            ),
            (7, "\"instal\" is neither install nor sha256=DIGEST"),
            (8, "\"12\" is not a SHA-256 of 64 hexadecimal digits"),
            (9, "install is given twice"),
            (11, "a is the name of two lists"),
        ];
        assert_eq!(got, want.map(|(line, text)| (line, text.to_owned())));
    }
}
