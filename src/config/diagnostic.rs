//! Diagnostics: errors and warnings about options and files, with their location.

use std::borrow::Cow;
use std::fmt;
use std::path::{Path, PathBuf};

/// The errors and warnings of options or files.
#[derive(Debug, Default)]
pub struct Diagnostics {
    /// Errors: the option or entry is refused.
    pub errors: Vec<Diagnostic>,
    /// Warnings: accepted, but probably not intended.
    pub warnings: Vec<Diagnostic>,
}

/// An error or a warning, with its location.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    location: Location,
    message: String,
}

impl Diagnostics {
    /// Returns the value; on failure records an error about the option and returns a placeholder that is never used.
    pub(super) fn take<T>(
        &mut self,
        option: &'static str,
        value: Result<T, String>,
        placeholder: T,
    ) -> T {
        value.unwrap_or_else(|message| {
            self.error(option, message);
            placeholder
        })
    }

    /// Refuses an option.
    pub(super) fn error(&mut self, option: &'static str, message: impl fmt::Display) {
        self.errors.push(Diagnostic::option(option, message));
    }

    /// Warns of an option that is accepted.
    pub(super) fn warn(&mut self, option: &'static str, message: impl fmt::Display) {
        self.warnings.push(Diagnostic::option(option, message));
    }
}

/// The subject of a diagnostic.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Location {
    /// The command line as a whole.
    CommandLine,
    /// An option, by its name.
    Option(Cow<'static, str>),
    /// A file as a whole.
    File(PathBuf),
    /// A line of a file, from 1.
    Line(PathBuf, u32),
    /// A byte of a line of a file, both from 1.
    Column(PathBuf, u32, u32),
}

impl Diagnostic {
    /// About the command line as a whole.
    pub fn command_line(message: impl fmt::Display) -> Self {
        Self::new(Location::CommandLine, message)
    }

    /// About an option, for example `--delay`.
    pub fn option(name: impl Into<Cow<'static, str>>, message: impl fmt::Display) -> Self {
        Self::new(Location::Option(name.into()), message)
    }

    /// About a file.
    pub fn file(path: &Path, message: impl fmt::Display) -> Self {
        Self::new(Location::File(path.to_owned()), message)
    }

    /// About a line of a file, from 1.
    pub fn line(path: &Path, line: u32, message: impl fmt::Display) -> Self {
        Self::new(Location::Line(path.to_owned(), line), message)
    }

    /// About a byte of a line of a file, both from 1.
    pub fn column(path: &Path, line: u32, column: u32, message: impl fmt::Display) -> Self {
        Self::new(Location::Column(path.to_owned(), line, column), message)
    }

    fn new(location: Location, message: impl fmt::Display) -> Self {
        Self {
            location,
            message: message.to_string(),
        }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.location {
            Location::CommandLine => {}
            Location::Option(name) => write!(f, "{name}: ")?,
            Location::File(path) => write!(f, "{}: ", path.display())?,
            Location::Line(path, line) => write!(f, "{}:{line}: ", path.display())?,
            Location::Column(path, line, column) => {
                write!(f, "{}:{line}:{column}: ", path.display())?;
            }
        }
        f.write_str(&self.message)
    }
}
