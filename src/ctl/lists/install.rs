//! Installs a fetched list: checked by stargreyd, renamed into place.
//!
//! | condition                                | by itself | by hand |
//! | ---------------------------------------- | --------- | ------- |
//! | came by https, or matches its `sha256=`  | yes       |         |
//! | matches its `sha256=`, if it has one     | yes       | yes     |
//! | 1 KiB at least                           | yes       |         |
//! | half of the installed entries at least   | yes       |         |
//! | stargreyd finds no error                 | yes       | yes     |
//! | stargreyd has no warning                 | yes       |         |

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::watch::{Kind, Watched};
use super::{entries, open_new, read_foreign};
use crate::ctl::failure::Failure;
use crate::ctl::render::Plain;

/// The least that is installed by itself, in bytes: less is an error page or half a list.
const LEAST_BYTES: usize = 1024;

/// Who wants a list installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// list-watch.
    Itself,
    /// An administrator.
    Hand,
}

/// Why a list is not installed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Anybody on the way can have changed it.
    #[error("it came by plain http and has no sha256= in list-watch")]
    NotEncrypted,
    /// Not the pinned content.
    #[error("its SHA-256 is {0}, not the one in list-watch")]
    Digest(String),
    /// Too short.
    #[error("it has {0} bytes, fewer than {LEAST_BYTES}")]
    Small(usize),
    /// Much shorter than before.
    #[error("it has shrunk from {0} entries to {1}")]
    Shrunk(usize, usize),
    /// What stargreyd finds in it.
    #[error("{}", .0.join("; "))]
    Complaints(Vec<String>),
}

/// Installs a version of a list in `state`; yields the warnings about it.
///
/// # Errors
///
/// [`Failure::Create`], [`Failure::Program`]. A version that is not installed is no failure.
pub fn install(
    list: &Watched,
    bytes: &[u8],
    state: &Path,
    by: By,
) -> Result<Result<Vec<String>, Refusal>, Failure> {
    let path = state.join(&list.name);
    let installed = read_foreign(&path)?;
    let refusal = match by {
        By::Hand => None,
        By::Itself => refusal(list, bytes, installed.as_deref()),
    };
    if let Some(refusal) = refusal {
        return Ok(Err(refusal));
    }
    let new = open_new(&path, bytes)?;
    if let Some(want) = &list.sha256 {
        let got = digest(new.beside())?;
        if got != *want {
            return Ok(Err(Refusal::Digest(got)));
        }
    }
    let complaints = complaints(list.kind, new.beside())?;
    let is_refused = match by {
        By::Itself => !complaints.is_empty(),
        By::Hand => complaints.iter().any(|line| line.starts_with(ERROR)),
    };
    if is_refused {
        return Ok(Err(Refusal::Complaints(complaints)));
    }
    new.finish()?;
    Ok(Ok(complaints))
}

/// Why a version is not installed by itself, whatever is in it.
fn refusal(list: &Watched, bytes: &[u8], installed: Option<&[u8]>) -> Option<Refusal> {
    if !list.is_encrypted() && list.sha256.is_none() {
        return Some(Refusal::NotEncrypted);
    }
    if bytes.len() < LEAST_BYTES {
        return Some(Refusal::Small(bytes.len()));
    }
    let (before, after) = (
        entries(installed.unwrap_or_default()).len(),
        entries(bytes).len(),
    );
    let has_shrunk = after.saturating_mul(2) < before;
    has_shrunk.then_some(Refusal::Shrunk(before, after))
}

/// Most complaints about a list: a page in place of a list has one for each of its lines.
const MOST_LINES: usize = 20;

/// Most characters of a complaint.
const MOST_LENGTH: usize = 200;

/// A complaint, made printable and not too long.
fn short(line: &str) -> String {
    let shown: String = line.chars().take(MOST_LENGTH).collect();
    Plain(&shown).to_string()
}

/// How a line of stargreyd about an error begins.
const ERROR: &str = "error: ";

/// What stargreyd finds in a list, a line each.
fn complaints(kind: Kind, path: &Path) -> Result<Vec<String>, Failure> {
    let program = stargreyd();
    let failed = |why: String| Failure::Program {
        program: program.clone(),
        why,
    };
    let others = Kind::ALL.into_iter().filter(|other| match other {
        // There is no table by default.
        Kind::ClientAccess => false,
        Kind::Open(_) => *other != kind,
    });
    let output = Command::new(&program)
        .args(["--check", "--s25r", "--user=root", "--group=root"])
        .args(others.map(|other| format!("{}=/dev/null", other.option())))
        .arg(format!("{}={}", kind.option(), path.display()))
        .env_remove("NOTIFY_SOCKET")
        .output()
        .map_err(|error| failed(error.to_string()))?;
    let said = String::from_utf8_lossy(&output.stderr);
    let place = format!("{}:", path.display());
    let lines = said.lines().map(|line| line.replace(&place, "line "));
    let lines: Vec<String> = lines.map(|line| short(&line)).take(MOST_LINES).collect();
    if output.status.success() || lines.iter().any(|line| line.starts_with(ERROR)) {
        Ok(lines)
    } else {
        Err(failed(output.status.to_string()))
    }
}

/// The daemon's program: where this one is installed, or else where packages have it.
fn stargreyd() -> PathBuf {
    let own = std::env::current_exe().unwrap_or_default();
    let directory = own.parent().unwrap_or(Path::new("/usr/bin"));
    let places = [
        directory.with_file_name("sbin").join("stargreyd"),
        directory.join("stargreyd"),
    ];
    let found = places.into_iter().find(|place| place.is_file());
    found.unwrap_or_else(|| PathBuf::from("/usr/sbin/stargreyd"))
}

/// The SHA-256 of a file, by the program of that name.
fn digest(path: &Path) -> Result<String, Failure> {
    let program = PathBuf::from("sha256sum");
    let failed = |why: String| Failure::Program {
        program: program.clone(),
        why,
    };
    let output = Command::new(&program).arg("--").arg(path).output();
    let output = output.map_err(|error: io::Error| failed(error.to_string()))?;
    let said = String::from_utf8_lossy(&output.stdout);
    // A backslash is before the digest of a file whose name has one.
    let digest = said.trim_start_matches('\\').get(..64).map(str::to_owned);
    digest.ok_or_else(|| failed(output.status.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ctl::args::List;

    #[test]
    fn a_version_is_installed_by_itself_if_nothing_is_odd_about_it() {
        let entries =
            |number: usize| format!("mail.example.com # {}\n", "x".repeat(20)).repeat(number);
        let list = |url: &str, digest: Option<&str>| Watched {
            name: "x".to_owned(),
            kind: Kind::Open(List::Client),
            url: url.to_owned(),
            is_installed: true,
            sha256: digest.map(str::to_owned),
        };
        let safe = || list("https://a", None);
        let cases = [
            ("as before", safe(), 100, 100, None),
            ("no longer than half", safe(), 100, 50, None),
            ("shorter", safe(), 101, 50, Some(Refusal::Shrunk(101, 50))),
            ("the first", safe(), 0, 100, None),
            ("a page", safe(), 0, 2, Some(Refusal::Small(80))),
            (
                "http",
                list("http://a", None),
                0,
                100,
                Some(Refusal::NotEncrypted),
            ),
            ("http, pinned", list("http://a", Some("0")), 0, 100, None),
        ];
        for (name, list, before, after, want) in cases {
            let (before, after) = (entries(before), entries(after));
            let got = refusal(&list, after.as_bytes(), Some(before.as_bytes()));
            assert_eq!(got, want, "{name}");
        }
    }
}
