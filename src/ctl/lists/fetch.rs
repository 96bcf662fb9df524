//! Fetches a list with curl(1): one request, no redirect is followed.
//!
//! ```text
//! CACHE/NAME.list     the last version that came whole
//! CACHE/NAME.etag     its ETag, as curl saves it
//! CACHE/NAME.result   {"url":…,"time":…,"problem":null or why the last attempt failed}
//! ```

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use super::watch::Watched;
use super::{MOST_BYTES, beside, read_foreign, remove, replace};
use crate::ctl::failure::Failure;
use crate::ctl::render::Plain;
use crate::types::Timestamp;

/// Seconds that a request may take.
const MOST_SECONDS: u32 = 60;

/// What the last attempt has yielded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// From there.
    pub url: String,
    /// When.
    pub time: Timestamp,
    /// The reason why no new version was fetched, unless the list is unchanged.
    pub problem: Option<String>,
}

impl Fetched {
    /// What a fetch has left.
    ///
    /// # Errors
    ///
    /// [`Failure::Open`].
    pub fn read(cache: &Path, name: &str) -> Result<Option<Self>, Failure> {
        let bytes = read_foreign(&beside(cache, name, "result"))?;
        let value = bytes.and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
        Ok(value.and_then(|value| {
            Some(Self {
                url: value.get("url")?.as_str()?.to_owned(),
                time: Timestamp::from_seconds(value.get("time")?.as_u64()?),
                problem: value.get("problem")?.as_str().map(str::to_owned),
            })
        }))
    }

    /// The version that came last.
    ///
    /// # Errors
    ///
    /// [`Failure::Open`].
    pub fn list(cache: &Path, name: &str) -> Result<Option<Vec<u8>>, Failure> {
        read_foreign(&beside(cache, name, "list"))
    }

    fn write(&self, cache: &Path, name: &str) -> Result<(), Failure> {
        let value = json!({
            "url": self.url,
            "time": self.time.seconds(),
            "problem": self.problem,
        });
        replace(&beside(cache, name, "result"), value.to_string().as_bytes())
    }
}

/// Fetches a list, unless the server says that it is the version of the last time.
///
/// # Errors
///
/// [`Failure::Create`] if the result cannot be written. What else goes wrong is in the result.
pub fn fetch(list: &Watched, cache: &Path, now: Timestamp) -> Result<Fetched, Failure> {
    let fetched = Fetched {
        url: list.url.clone(),
        time: now,
        problem: update(list, cache).unwrap_or_else(|failure| Some(failure.to_string())),
    };
    fetched.write(cache, &list.name)?;
    Ok(fetched)
}

/// Brings the files of a list up to date; yields what was wrong with the request.
fn update(list: &Watched, cache: &Path) -> Result<Option<String>, Failure> {
    let [content, etag, saved] = ["list", "etag", "etag-new"].map(|e| beside(cache, &list.name, e));
    let before = Fetched::read(cache, &list.name)?;
    let is_known = before.is_some_and(|before| before.url == list.url) && content.exists();
    // What came from another address, perhaps without encryption, is not this list.
    if !is_known {
        remove(&etag)?;
        remove(&content)?;
    }
    remove(&saved)?;
    let known = (is_known && etag.exists()).then_some(etag.as_path());
    let problem = match request(&list.url, known, &saved) {
        Ok(Reply::List(bytes)) => {
            replace(&content, &bytes)?;
            match fs::rename(&saved, &etag) {
                Ok(()) => {}
                // A server without ETags.
                Err(_) => remove(&etag)?,
            }
            None
        }
        Ok(Reply::Unchanged) => None,
        Err(problem) => Some(Plain(&problem.to_string()).to_string()),
    };
    remove(&saved)?;
    Ok(problem)
}

/// What a server has sent.
enum Reply {
    List(Vec<u8>),
    Unchanged,
}

/// Why a list was not fetched.
#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error("curl: {0}")]
    Curl(#[from] io::Error),
    #[error("{0}")]
    Transfer(String),
    #[error("it is larger than 8 MiB")]
    Large,
    #[error("it is empty")]
    Empty,
    #[error(
        "the server redirects to {0}, which is not followed: correct the address in list-watch"
    )]
    Elsewhere(String),
    #[error("HTTP status {0}")]
    Status(String),
}

/// One request. The `ETag` of the known version is compared, that of a new one is saved.
fn request(url: &str, known: Option<&Path>, saved: &Path) -> Result<Reply, FetchError> {
    // Not a pipe: it is read at the end.
    let mut said = tempfile::tempfile()?;
    let mut child = start(url, known, saved, said.try_clone()?)?;
    let mut body = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        stdout
            .take(MOST_BYTES.saturating_add(1))
            .read_to_end(&mut body)?;
    }
    // curl has written all, or writes into a closed pipe now.
    let status = child.wait()?;
    let length = u64::try_from(body.len()).unwrap_or(u64::MAX);
    if length > MOST_BYTES {
        return Err(FetchError::Large);
    }
    let mut text = String::new();
    said.rewind()?;
    said.read_to_string(&mut text)?;
    let (errors, last) = text.trim_end().rsplit_once('\n').unwrap_or_default();
    if !status.success() {
        let error = errors.trim().trim_start_matches("curl: ");
        return Err(FetchError::Transfer(if error.is_empty() {
            format!("curl: {status}")
        } else {
            error.to_owned()
        }));
    }
    let (code, target) = last.split_once(' ').unwrap_or((last, ""));
    match (code, target.trim()) {
        ("200", _) if body.is_empty() => Err(FetchError::Empty),
        ("200", _) => Ok(Reply::List(body)),
        ("304", _) if known.is_some() => Ok(Reply::Unchanged),
        (code, "") => Err(FetchError::Status(code.to_owned())),
        (_, target) => Err(FetchError::Elsewhere(target.to_owned())),
    }
}

/// Starts curl, which writes the list to its standard output, and status and target of a redirect as the last line of
/// the other.
fn start(url: &str, known: Option<&Path>, saved: &Path, said: File) -> io::Result<Child> {
    let mut curl = Command::new("curl");
    // The first one keeps curl from reading a file of settings.
    curl.args(["--disable", "--silent", "--show-error", "--globoff"])
        .args(["--proto", "=http,https"])
        .args(["--max-time", &MOST_SECONDS.to_string()])
        .args(["--max-filesize", &MOST_BYTES.to_string()])
        .args([
            "--user-agent",
            concat!("stargrey/", env!("CARGO_PKG_VERSION")),
        ])
        .args(["--write-out", "%{stderr}\n%{http_code} %{redirect_url}\n"])
        .arg("--etag-save")
        .arg(saved);
    if let Some(known) = known {
        curl.arg("--etag-compare").arg(known);
    }
    curl.args(["--url", url])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(said)
        .spawn()
}
