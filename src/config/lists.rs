//! The list files: text to lists, with every complaint.
//!
//! # The file
//!
//! One entry a line; `#` begins a comment that goes to the end of the line; blanks around an entry and
//! empty lines mean nothing (Postgrey 1.37). What an entry may be is said in
//! [`pattern`](crate::policy::pattern).

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::fcntl::OFlag;

use crate::policy::pattern::{AddressPattern, ClientPattern, PatternError};
use crate::policy::{AddressList, ClientList, Entry, Lists, TooLarge};

use super::complaint::Complaint;
use super::options::Options;
use super::tables;

/// Largest list file in bytes: room for two million networks, and none for `/dev/zero`.
pub const MAX_LIST_BYTES: u64 = 64 << 20;

/// Where the lists are unless options say otherwise.
const DIRECTORY: &str = "/etc/stargrey";

/// The files of a list, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Files {
    /// The packaged file of this name, and the one with `.local` behind it. The administrator may have
    /// removed either.
    Default(&'static str),
    /// What options name.
    Given(Vec<PathBuf>),
}

/// The files of each list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListFiles {
    /// Of the client list.
    pub clients: Files,
    /// Of the recipient list.
    pub recipients: Files,
    /// Of the sender list.
    pub senders: Files,
    /// Of the exceptions from S25R; none when S25R is no test.
    pub s25r_exceptions: Files,
    /// The client access tables, in their order.
    pub tables: Vec<PathBuf>,
    /// Results in them that mean: greylist.
    pub greylist_results: Vec<String>,
}

/// Lists as they were read, and what was wrong with them.
#[derive(Debug)]
pub struct Loaded {
    /// The lists, without the entries complained about.
    pub lists: Lists,
    /// Every complaint about a list.
    pub complaints: Vec<Complaint>,
    /// Every complaint about a client access table. A table with a line missing means something else, so one
    /// with a complaint is of no use.
    pub bad_tables: Vec<Complaint>,
    /// What is worth a word and not wrong: packaged files that are not there.
    pub remarks: Vec<Complaint>,
}

/// Collects what is said while files are read.
#[derive(Debug, Default)]
struct Reading {
    complaints: Vec<Complaint>,
    remarks: Vec<Complaint>,
}

impl Files {
    fn paths(&self) -> Vec<PathBuf> {
        match self {
            Self::Default(name) => {
                let directory = Path::new(DIRECTORY);
                vec![
                    directory.join(name),
                    directory.join(format!("{name}.local")),
                ]
            }
            Self::Given(paths) => paths.clone(),
        }
    }
}

impl ListFiles {
    /// The files that options name, or the packaged ones.
    #[must_use]
    pub fn new(options: &Options) -> Self {
        let files = |given: &[String], name| {
            if given.is_empty() {
                Files::Default(name)
            } else {
                Files::Given(given.iter().map(PathBuf::from).collect())
            }
        };
        Self {
            clients: files(&options.whitelist_clients, "whitelist_clients"),
            recipients: files(&options.whitelist_recipients, "whitelist_recipients"),
            senders: files(&options.whitelist_senders, "whitelist_senders"),
            s25r_exceptions: if options.s25r {
                files(&options.s25r_exceptions, "s25r_exceptions")
            } else {
                Files::Given(Vec::new())
            },
            tables: options.client_access.iter().map(PathBuf::from).collect(),
            greylist_results: options.greylist_result.clone(),
        }
    }

    /// Reads all files. What cannot be read or understood is left out and complained about; a missing
    /// file whose name ends in `.local` is as good as an empty one.
    #[must_use]
    pub fn load(&self) -> Loaded {
        let mut reading = Reading::default();
        let clients = read_all(&self.clients, ClientPattern::parse, &mut reading);
        let recipients = read_all(&self.recipients, AddressPattern::parse, &mut reading);
        let senders = read_all(&self.senders, AddressPattern::parse, &mut reading);
        let (access, bad_tables) = tables::load(&self.tables, &self.greylist_results);
        let exceptions = read_all(&self.s25r_exceptions, ClientPattern::parse, &mut reading);
        let lists = Lists {
            clients: built(ClientList::new(clients), &self.clients, &mut reading),
            recipients: built(AddressList::new(recipients), &self.recipients, &mut reading),
            senders: built(AddressList::new(senders), &self.senders, &mut reading),
            s25r_exceptions: built(
                ClientList::new(exceptions),
                &self.s25r_exceptions,
                &mut reading,
            ),
            access,
        };
        Loaded {
            lists,
            complaints: reading.complaints,
            bad_tables,
            remarks: reading.remarks,
        }
    }
}

/// The client list that the content of a file makes, and every complaint about it.
#[must_use]
pub fn read_client_list(path: &Path, bytes: &[u8]) -> (ClientList, Vec<Complaint>) {
    let (entries, complaints) = read_one(path, bytes, ClientPattern::parse);
    finished(path, ClientList::new(entries), complaints)
}

/// The recipient or sender list that the content of a file makes, and every complaint about it.
#[must_use]
pub fn read_address_list(path: &Path, bytes: &[u8]) -> (AddressList, Vec<Complaint>) {
    let (entries, complaints) = read_one(path, bytes, AddressPattern::parse);
    finished(path, AddressList::new(entries), complaints)
}

/// The entries in the content of a file, and every complaint about it.
fn read_one<P>(
    path: &Path,
    bytes: &[u8],
    parse: impl Fn(&str) -> Result<P, PatternError>,
) -> (Vec<(P, Entry)>, Vec<Complaint>) {
    let (mut entries, mut complaints) = (Vec::new(), Vec::new());
    read_entries(path, bytes, parse, &mut entries, &mut complaints);
    (entries, complaints)
}

/// A list with its complaints; an empty one, and a complaint more, when it is too large.
fn finished<T: Default>(
    path: &Path,
    list: Result<T, TooLarge>,
    mut complaints: Vec<Complaint>,
) -> (T, Vec<Complaint>) {
    let list = list.unwrap_or_else(|error| {
        complaints.push(Complaint::file(path, error));
        T::default()
    });
    (list, complaints)
}

/// The list, or an empty one and a complaint.
fn built<T: Default>(list: Result<T, TooLarge>, files: &Files, reading: &mut Reading) -> T {
    list.unwrap_or_else(|error| {
        let paths = files.paths();
        let first = paths.first().map_or(Path::new("list"), PathBuf::as_path);
        reading.complaints.push(Complaint::file(first, error));
        T::default()
    })
}

/// Reads the entries of several files.
fn read_all<P>(
    files: &Files,
    parse: impl Fn(&str) -> Result<P, PatternError>,
    reading: &mut Reading,
) -> Vec<(P, Entry)> {
    let mut entries = Vec::new();
    for path in files.paths() {
        match read_file(&path) {
            Ok(bytes) => {
                read_entries(&path, &bytes, &parse, &mut entries, &mut reading.complaints);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound && is_local(&path) => {}
            Err(error)
                if error.kind() == io::ErrorKind::NotFound
                    && matches!(files, Files::Default(_)) =>
            {
                let remark = Complaint::file(&path, "there is no such file; the list is empty");
                reading.remarks.push(remark);
            }
            Err(error) => reading
                .complaints
                .push(Complaint::file(&path, explain(&path, &error))),
        }
    }
    entries
}

/// Reads the entries of one file.
fn read_entries<P>(
    path: &Path,
    bytes: &[u8],
    parse: impl Fn(&str) -> Result<P, PatternError>,
    entries: &mut Vec<(P, Entry)>,
    complaints: &mut Vec<Complaint>,
) {
    let file: Arc<Path> = path.into();
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    for (line, bytes) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
        let content = bytes.split(|byte| *byte == b'#').next().unwrap_or_default();
        let Ok(text) = std::str::from_utf8(content) else {
            complaints.push(Complaint::line(path, line, "this is not UTF-8"));
            continue;
        };
        let text = text.trim();
        if text.is_empty() {
            continue;
        }
        match parse(text) {
            Ok(pattern) => entries.push((pattern, Entry::in_file(&file, line, text))),
            Err(error) => {
                complaints.push(Complaint::line(path, line, format!("{text:?}: {error}")));
            }
        }
    }
}

/// The content of a file that is no larger than a list may be.
pub(super) fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    // A pipe that nobody writes to must not hold anything up.
    let file = File::options()
        .read(true)
        .custom_flags(OFlag::O_NONBLOCK.bits())
        .open(path)?;
    if file.metadata()?.file_type().is_fifo() {
        return Err(io::Error::other("a pipe is no list"));
    }
    let mut bytes = Vec::new();
    file.take(MAX_LIST_BYTES.saturating_add(1))
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_LIST_BYTES {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("larger than {MAX_LIST_BYTES} bytes"),
        ));
    }
    Ok(bytes)
}

fn is_local(path: &Path) -> bool {
    path.extension()
        .is_some_and(|extension| extension == "local")
}

/// The error, with advice where the unit's sandbox is the likely cause.
pub(super) fn explain(path: &Path, error: &io::Error) -> String {
    let hidden = ["/home", "/root", "/run/user"]
        .iter()
        .any(|hidden| path.starts_with(hidden));
    if hidden && std::env::var_os("INVOCATION_ID").is_some() {
        format!(
            "{error}; the unit hides home directories: keep lists in /etc/stargrey, \
             or add a drop-in with [Service] ProtectHome=read-only"
        )
    } else {
        error.to_string()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn every_complaint_has_file_and_line_and_the_rest_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("clients");
        fs::write(
            &path,
            b"\xef\xbb\xbf# comment\n\nexample.org # why\n two words\n/(/\r\n\xff\n192.0.2.0/24\r\n10.0.0.0/99",
        )
        .unwrap();
        let missing = directory.path().join("missing");
        let local = directory.path().join("missing.local");
        let loaded = ListFiles {
            clients: Files::Given(vec![path.clone(), missing.clone(), local]),
            recipients: Files::Given(Vec::new()),
            senders: Files::Given(Vec::new()),
            s25r_exceptions: Files::Given(Vec::new()),
            tables: Vec::new(),
            greylist_results: Vec::new(),
        }
        .load();
        assert_eq!(loaded.lists.clients.entries().len(), 2);
        let complaints: Vec<String> = loaded.complaints.iter().map(ToString::to_string).collect();
        let begins = [
            format!("{}:4: \"two words\": ", path.display()),
            format!("{}:5: \"/(/\": ", path.display()),
            format!("{}:6: ", path.display()),
            format!("{}:8: \"10.0.0.0/99\": ", path.display()),
            format!("{}: ", missing.display()),
        ];
        assert_eq!(complaints.len(), begins.len(), "{complaints:?}");
        for (complaint, begin) in complaints.iter().zip(&begins) {
            assert!(complaint.starts_with(begin), "{complaint}");
        }
    }

    #[test]
    fn a_packaged_file_that_was_removed_is_worth_a_remark_and_no_complaint() {
        let loaded = ListFiles {
            clients: Files::Default("no_such_list"),
            recipients: Files::Given(Vec::new()),
            senders: Files::Given(Vec::new()),
            s25r_exceptions: Files::Given(Vec::new()),
            tables: Vec::new(),
            greylist_results: Vec::new(),
        }
        .load();
        assert_eq!(loaded.complaints, []);
        assert_eq!(loaded.remarks.len(), 1);
    }

    fn complaints(path: &Path) -> usize {
        let files = ListFiles {
            clients: Files::Given(vec![path.to_owned()]),
            recipients: Files::Given(Vec::new()),
            senders: Files::Given(Vec::new()),
            s25r_exceptions: Files::Given(Vec::new()),
            tables: Vec::new(),
            greylist_results: Vec::new(),
        };
        files.load().complaints.len()
    }

    #[test]
    fn a_list_has_a_limit_and_an_end() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("long");
        let mut content = vec![b'#'; usize::try_from(MAX_LIST_BYTES).unwrap()];
        fs::write(&path, &content).unwrap();
        assert_eq!(complaints(&path), 0);
        content.push(b'#');
        fs::write(&path, &content).unwrap();
        assert_eq!(complaints(&path), 1);
        assert_eq!(complaints(Path::new("/dev/zero")), 1);
        assert_eq!(complaints(Path::new("/dev/null")), 0);
        let pipe = directory.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(complaints(&pipe), 1);
    }
}
