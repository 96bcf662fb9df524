//! What is wrong with options and lists, and where.

use std::fmt;
use std::path::{Path, PathBuf};

/// What is said about files while they are read.
#[derive(Debug, Default)]
pub struct Findings {
    /// What is wrong.
    pub complaints: Vec<Complaint>,
    /// What is worth a word and not wrong.
    pub remarks: Vec<Complaint>,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complaint {
    place: Place,
    message: String,
}

/// Where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    /// The command line as a whole.
    CommandLine,
    /// An option, by its name.
    Option(&'static str),
    /// A file as a whole.
    File(PathBuf),
    /// A line of a file, from 1.
    Line(PathBuf, u32),
}

impl Complaint {
    /// About the command line as a whole.
    pub fn command_line(message: impl fmt::Display) -> Self {
        Self::new(Place::CommandLine, message)
    }

    /// About an option, `--delay` say.
    pub fn option(name: &'static str, message: impl fmt::Display) -> Self {
        Self::new(Place::Option(name), message)
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

impl fmt::Display for Complaint {
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
