//! What kind of table a file is, and what an option says about it.

use std::path::PathBuf;

/// Kinds of Postfix's tables that are made from a text by postmap(1).
const COMPILED: [&str; 6] = ["hash", "btree", "lmdb", "cdb", "dbm", "sdbm"];

/// What a file of a table is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableKind {
    /// POSIX expressions: `regexp_table(5)`.
    Regexp,
    /// Perl-compatible expressions: `pcre_table(5)`.
    Pcre,
    /// Networks: `cidr_table(5)`.
    Cidr,
    /// Names and addresses: `access(5)`.
    Texthash,
}

/// A table: its file and its kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableFile {
    /// Its kind.
    pub kind: TableKind,
    /// Its file.
    pub path: PathBuf,
}

/// Why an option names no table.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TableFileError {
    /// A file that postmap has made.
    #[error(
        "\"{0}:{1}\" is a table that postmap compiles, which stargreyd does not read; \
         texthash:{1} reads its source"
    )]
    Compiled(String, String),
    /// Another kind.
    #[error(
        "tables of the kind {0}: are not supported; the kinds are regexp:, pcre:, cidr: and texthash:"
    )]
    Unknown(String),
    /// `pcre:{ ... }`.
    #[error("rules in the option are not supported; write them into a file")]
    Inline,
    /// A kind without expressions, where only they make sense.
    #[error("a table for messages is regexp: or pcre:, not {0}:")]
    NoExpressions(String),
    /// Nothing behind the kind.
    #[error("{0:?} has no file name")]
    NoFile(String),
}

impl TableFile {
    /// A file of POSIX expressions.
    #[must_use]
    pub fn regexp(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        let kind = TableKind::Regexp;
        Self { kind, path }
    }

    /// Reads `KIND:FILE`, or `FILE` for POSIX expressions.
    ///
    /// # Errors
    ///
    /// [`TableFileError`] for an unknown kind, and for a missing file name.
    pub fn parse(text: &str) -> Result<Self, TableFileError> {
        let (kind, path) = match text.split_once(':') {
            Some((kind, path)) if is_kind(kind) => (kind, path),
            Some(_) | None => ("regexp", text),
        };
        let kind = match kind {
            "regexp" => TableKind::Regexp,
            "pcre" => TableKind::Pcre,
            "cidr" => TableKind::Cidr,
            "texthash" => TableKind::Texthash,
            kind if COMPILED.contains(&kind) => {
                return Err(TableFileError::Compiled(kind.to_owned(), path.to_owned()));
            }
            kind => return Err(TableFileError::Unknown(kind.to_owned())),
        };
        if path.trim_start().starts_with('{') {
            return Err(TableFileError::Inline);
        }
        if path.is_empty() {
            return Err(TableFileError::NoFile(text.to_owned()));
        }
        Ok(Self {
            kind,
            path: path.into(),
        })
    }

    /// Reads `KIND:FILE`, or `FILE` for POSIX expressions; kinds without expressions are refused.
    ///
    /// # Errors
    ///
    /// As of [`Self::parse`].
    pub fn parse_expressions(text: &str) -> Result<Self, TableFileError> {
        let file = Self::parse(text)?;
        match file.kind {
            TableKind::Regexp | TableKind::Pcre => Ok(file),
            TableKind::Cidr => Err(TableFileError::NoExpressions("cidr".to_owned())),
            TableKind::Texthash => Err(TableFileError::NoExpressions("texthash".to_owned())),
        }
    }
}

/// Whether this is the name of a kind, and not the beginning of a path.
fn is_kind(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_a_kind_and_a_file_or_a_file_of_expressions() {
        let table = |kind, path: &str| Ok((kind, PathBuf::from(path)));
        let cases = [
            ("/etc/t", table(TableKind::Regexp, "/etc/t")),
            ("t", table(TableKind::Regexp, "t")),
            ("./a:b", table(TableKind::Regexp, "./a:b")),
            ("/etc/a:b", table(TableKind::Regexp, "/etc/a:b")),
            ("regexp:/etc/t", table(TableKind::Regexp, "/etc/t")),
            ("pcre:/etc/t", table(TableKind::Pcre, "/etc/t")),
            ("cidr:/etc/a:b", table(TableKind::Cidr, "/etc/a:b")),
            ("texthash:t", table(TableKind::Texthash, "t")),
            (
                "hash:/etc/t",
                Err(
                    "\"hash:/etc/t\" is a table that postmap compiles, which stargreyd does not read; texthash:/etc/t reads its source",
                ),
            ),
            (
                "lmdb:t",
                Err(
                    "\"lmdb:t\" is a table that postmap compiles, which stargreyd does not read; texthash:t reads its source",
                ),
            ),
            (
                "mysql:/etc/t",
                Err(
                    "tables of the kind mysql: are not supported; the kinds are regexp:, pcre:, cidr: and texthash:",
                ),
            ),
            (
                "PCRE:t",
                Err(
                    "tables of the kind PCRE: are not supported; the kinds are regexp:, pcre:, cidr: and texthash:",
                ),
            ),
            (
                "pcre:{{/a/ OK}}",
                Err("rules in the option are not supported; write them into a file"),
            ),
            ("cidr:", Err("\"cidr:\" has no file name")),
            ("", Err("\"\" has no file name")),
        ];
        for (text, want) in cases {
            let got = TableFile::parse(text);
            let got = got.map(|table| (table.kind, table.path));
            let got = got.map_err(|error| error.to_string());
            assert_eq!(got, want.map_err(str::to_owned), "{text}");
        }
    }
}
