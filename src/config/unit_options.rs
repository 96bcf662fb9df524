//! The options of the unit: those that systemd would put on the command line. `--check` without other options uses them,
//! and so does stargreyctl.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::diagnostic::Diagnostic;
use super::environment_file::{Assignment, assignments, words};
use crate::types::{decoded, is_undecodable};

/// The option files of the unit, in its order: Debian's and RPM's.
const FILES: [&str; 2] = ["/etc/default/stargrey", "/etc/sysconfig/stargrey"];

/// The state directory of the unit.
pub const STATE_DIRECTORY: &str = "/var/lib/stargrey";

/// The effect of a file that systemd cannot load: it ignores it, because of the `-` before its name in the unit.
const IGNORED: &str = "systemd ignores this file, and the daemon runs without its options";

/// The content of the option files.
#[derive(Debug, Default)]
pub struct UnitOptions {
    /// Prefix of messages, where `OPTIONS` is: `FILE:LINE: `, or nothing.
    pub prefix: String,
    /// The words of `OPTIONS`.
    pub options: Vec<OsString>,
    /// `POSTGREY_TEXT`.
    pub postgrey_text: Option<String>,
    /// The option files that exist.
    pub files: Vec<PathBuf>,
    /// Errors for what systemd would refuse or ignore.
    pub errors: Vec<Diagnostic>,
}

impl UnitOptions {
    /// The options to check; `None` if the command line has options, or if this is called by the unit, with its own.
    #[must_use]
    pub fn for_check(arguments: &[OsString]) -> Option<Self> {
        let is_alone = matches!(arguments, [_, option] if option == "--check");
        let is_in_unit = std::env::var_os("STATE_DIRECTORY").is_some();
        (is_alone && !is_in_unit).then(Self::read)
    }

    /// Reads the option files of the unit.
    #[must_use]
    pub fn read() -> Self {
        Self::of_files(&FILES.map(Path::new))
    }

    /// Reads the files; of an assignment made twice the last counts.
    fn of_files(files: &[&Path]) -> Self {
        let mut unit = Self::default();
        for path in files {
            let read = std::fs::read(path);
            if !matches!(&read, Err(error) if error.kind() == ErrorKind::NotFound) {
                unit.files.push(path.to_path_buf());
            }
            match read {
                Ok(bytes) => match loaded(path, &bytes) {
                    Ok(found) => unit.take(path, found),
                    Err(errors) => unit.errors.extend(errors),
                },
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => {
                    let error = Diagnostic::file(path, format!("{error}: {IGNORED}"));
                    unit.errors.push(error);
                }
            }
        }
        unit
    }

    /// What is checked if there is no file.
    #[must_use]
    pub fn without_files(&self) -> Option<String> {
        let [debian, rpm] = FILES;
        self.files
            .is_empty()
            .then(|| format!("neither {debian} nor {rpm} exists: checking the default options"))
    }

    fn take(&mut self, path: &Path, found: Vec<Assignment>) {
        for assignment in found {
            let Assignment {
                line,
                name,
                value,
                is_below_comment,
            } = assignment;
            if is_below_comment {
                let message = "systemd before version 254 takes this line for a part of the comment above it, which ends in \\: \
                               remove that \\";
                self.errors.push(Diagnostic::line(path, line, message));
            }
            let is_name = name.chars().all(|c| c == '_' || c.is_ascii_alphanumeric())
                && !name.starts_with(|c: char| c.is_ascii_digit());
            let is_printable = |value: &str| {
                let is_odd = |c: char| c.is_control() && !matches!(c, '\t' | '\n');
                !value.contains(is_odd)
            };
            match value {
                Some(value) if is_name && is_printable(&value) => match name.as_str() {
                    "OPTIONS" => {
                        self.prefix = format!("{}:{line}: ", path.display());
                        self.options = words(&value).into_iter().map(OsString::from).collect();
                    }
                    "POSTGREY_TEXT" => self.postgrey_text = Some(value),
                    _ => {}
                },
                Some(_) | None => self.errors.push(Diagnostic::line(
                    path,
                    line,
                    format!(
                        "{name:?} is not an assignment NAME=VALUE for systemd, which ignores it"
                    ),
                )),
            }
        }
    }
}

/// The assignments of a file, or why systemd does not load it. systemd refuses bytes that are not UTF-8 in names and
/// values, but not in comments.
fn loaded(path: &Path, bytes: &[u8]) -> Result<Vec<Assignment>, Vec<Diagnostic>> {
    if bytes.contains(&0) {
        let message = format!("there is a NUL byte in it: {IGNORED}");
        return Err(vec![Diagnostic::file(path, message)]);
    }
    let found = assignments(&decoded(bytes));
    let is_undecodable = |assignment: &&Assignment| {
        let value = assignment.value.as_deref();
        value.is_some_and(|value| {
            assignment.name.contains(is_undecodable) || value.contains(is_undecodable)
        })
    };
    let errors: Vec<_> = found
        .iter()
        .filter(is_undecodable)
        .map(|assignment| {
            let message = format!("this is not UTF-8: {IGNORED}");
            Diagnostic::line(path, assignment.line, message)
        })
        .collect();
    if errors.is_empty() {
        Ok(found)
    } else {
        Err(errors)
    }
}
