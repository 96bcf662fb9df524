//! Diagnostics: what is wrong with options and files, and where.

use std::borrow::Cow;
use std::fmt;
use std::path::{Path, PathBuf};

/// What is found while options or files are read.
#[derive(Debug, Default)]
pub struct Diagnostics {
    /// What is refused.
    pub errors: Vec<Diagnostic>,
    /// What is accepted, and likely not meant.
    pub warnings: Vec<Diagnostic>,
}

/// An error or a warning: what is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    place: Place,
    message: String,
}

impl Diagnostics {
    /// The value, or an error about the option and a stand-in that is never used.
    pub(super) fn take<T>(
        &mut self,
        option: &'static str,
        value: Result<T, String>,
        stand_in: T,
    ) -> T {
        value.unwrap_or_else(|message| {
            self.error(option, message);
            stand_in
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

/// Where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    /// The command line as a whole.
    CommandLine,
    /// An option, by its name.
    Option(Cow<'static, str>),
    /// A file as a whole.
    File(PathBuf),
    /// A line of a file, from 1.
    Line(PathBuf, u32),
}

impl Diagnostic {
    /// About the command line as a whole.
    pub fn command_line(message: impl fmt::Display) -> Self {
        Self::new(Place::CommandLine, message)
    }

    /// About an option, `--delay` say.
    pub fn option(name: impl Into<Cow<'static, str>>, message: impl fmt::Display) -> Self {
        Self::new(Place::Option(name.into()), message)
    }

    /// About a file.
    pub fn file(path: &Path, message: impl fmt::Display) -> Self {
        Self::new(Place::File(path.to_owned()), message)
    }

    /// About a line of a file, from 1.
    pub fn line(path: &Path, line: u32, message: impl fmt::Display) -> Self {
        Self::new(Place::Line(path.to_owned(), line), message)
    }

    fn new(place: Place, message: impl fmt::Display) -> Self {
        Self {
            place,
            message: message.to_string(),
        }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::CommandLine => {}
            Place::Option(name) => write!(f, "{name}: ")?,
            Place::File(path) => write!(f, "{}: ", path.display())?,
            Place::Line(path, line) => write!(f, "{}:{line}: ", path.display())?,
        }
        f.write_str(&self.message)
    }
}
