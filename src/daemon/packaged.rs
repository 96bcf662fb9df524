//! The options of the unit, for `--check` without any: what systemd would put on the daemon's command line.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::Path;

use crate::config::Complaint;
use crate::config::environment::{Assignment, assignments, words};

/// The option files of the unit, in its order: Debian's and RPM's.
const FILES: [&str; 2] = ["/etc/default/stargrey", "/etc/sysconfig/stargrey"];

/// The state directory of the unit.
pub(super) const STATE_DIRECTORY: &str = "/var/lib/stargrey";

/// What the option files say.
#[derive(Debug, Default)]
pub(super) struct Packaged {
    /// Where `OPTIONS` is: `FILE:LINE: `, or nothing.
    pub(super) place: String,
    /// The words of `OPTIONS`.
    pub(super) options: Vec<OsString>,
    /// `POSTGREY_TEXT`.
    pub(super) postgrey_text: Option<String>,
    /// What systemd would refuse or ignore.
    pub(super) complaints: Vec<Complaint>,
}

impl Packaged {
    /// What is to be checked: nothing of this if there are options on the command line, or if the unit has
    /// called with those that it has.
    pub(super) fn asked_for(arguments: &[OsString]) -> Option<Self> {
        let is_alone = matches!(arguments, [_, option] if option == "--check");
        let is_in_unit = std::env::var_os("STATE_DIRECTORY").is_some();
        (is_alone && !is_in_unit).then(|| Self::read(&FILES.map(Path::new)))
    }

    /// Reads the files; of an assignment made twice the last counts.
    fn read(files: &[&Path]) -> Self {
        let mut packaged = Self::default();
        for path in files {
            match std::fs::read(path) {
                Ok(bytes) => match String::from_utf8(bytes) {
                    Ok(text) => packaged.take(path, &text),
                    Err(error) => packaged.complaints.push(Complaint::file(
                        path,
                        format!("{error}; systemd does not start the daemon"),
                    )),
                },
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => packaged.complaints.push(Complaint::file(path, error)),
            }
        }
        packaged
    }

    fn take(&mut self, path: &Path, text: &str) {
        for Assignment { line, name, value } in assignments(text) {
            let is_name = name.chars().all(|c| c == '_' || c.is_ascii_alphanumeric())
                && !name.starts_with(|c: char| c.is_ascii_digit());
            let is_printable = |value: &str| {
                let is_odd = |c: char| c.is_control() && !matches!(c, '\t' | '\n');
                !value.contains(is_odd)
            };
            match value {
                Some(value) if is_name && is_printable(&value) => match name.as_str() {
                    "OPTIONS" => {
                        self.place = format!("{}:{line}: ", path.display());
                        self.options = words(&value).into_iter().map(OsString::from).collect();
                    }
                    "POSTGREY_TEXT" => self.postgrey_text = Some(value),
                    _ => {}
                },
                Some(_) | None => self.complaints.push(Complaint::line(
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
