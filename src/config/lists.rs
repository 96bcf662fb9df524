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
use crate::policy::{AddressList, ClientList, Dead, Entry, Lists, TooLarge};

use super::complaint::{Complaint, Findings};
use super::options::Options;
use super::tables;

/// Largest list file in bytes: room for two million networks, and none for `/dev/zero`.
pub const MAX_LIST_BYTES: u64 = 64 << 20;

/// Most entries of a file that are named because they never match: a whole list in a foreign form does not fill the
/// log.
const MOST_TOLD: usize = 100;

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
    /// Of the recipients to greylist; none unless greylisting is opt-in.
    pub greylist_recipients: Files,
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
    /// What is worth a word and not wrong: packaged files that are not there, entries that never match.
    pub remarks: Vec<Complaint>,
}

/// What the entries of a list are.
struct Kind<P> {
    parse: fn(&str) -> Result<P, PatternError>,
    dead: fn(&P) -> Option<Dead>,
}

/// Clients.
const CLIENTS: Kind<ClientPattern> = Kind {
    parse: ClientPattern::parse,
    dead: ClientPattern::dead,
};

/// Mail addresses.
const ADDRESSES: Kind<AddressPattern> = Kind {
    parse: AddressPattern::parse,
    dead: AddressPattern::dead,
};

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
            greylist_recipients: Files::Given(
                options
                    .greylist_recipients
                    .iter()
                    .map(PathBuf::from)
                    .collect(),
            ),
            tables: options.client_access.iter().map(PathBuf::from).collect(),
            greylist_results: options.greylist_result.clone(),
        }
    }

    /// Reads all files. What cannot be read or understood is left out and complained about; a missing
    /// file whose name ends in `.local` is as good as an empty one.
    #[must_use]
    pub fn load(&self) -> Loaded {
        let mut findings = Findings::default();
        let clients = read_all(&self.clients, &CLIENTS, &mut findings);
        let recipients = read_all(&self.recipients, &ADDRESSES, &mut findings);
        let senders = read_all(&self.senders, &ADDRESSES, &mut findings);
        let (access, of_tables) = tables::load(&self.tables, &self.greylist_results);
        findings.remarks.extend(of_tables.remarks);
        let exceptions = read_all(&self.s25r_exceptions, &CLIENTS, &mut findings);
        let opted_in = read_all(&self.greylist_recipients, &ADDRESSES, &mut findings);
        let lists = Lists {
            clients: built(ClientList::new(clients), &self.clients, &mut findings),
            recipients: built(
                AddressList::new(recipients),
                &self.recipients,
                &mut findings,
            ),
            senders: built(AddressList::new(senders), &self.senders, &mut findings),
            s25r_exceptions: built(
                ClientList::new(exceptions),
                &self.s25r_exceptions,
                &mut findings,
            ),
            greylist_recipients: built(
                AddressList::new(opted_in),
                &self.greylist_recipients,
                &mut findings,
            ),
            access,
        };
        Loaded {
            lists,
            complaints: findings.complaints,
            bad_tables: of_tables.complaints,
            remarks: findings.remarks,
        }
    }
}

/// The client list that the content of a file makes, and every complaint about it.
#[must_use]
pub fn read_client_list(path: &Path, bytes: &[u8]) -> (ClientList, Vec<Complaint>) {
    let (entries, complaints) = read_one(path, bytes, &CLIENTS);
    finished(path, ClientList::new(entries), complaints)
}

/// The recipient or sender list that the content of a file makes, and every complaint about it.
#[must_use]
pub fn read_address_list(path: &Path, bytes: &[u8]) -> (AddressList, Vec<Complaint>) {
    let (entries, complaints) = read_one(path, bytes, &ADDRESSES);
    finished(path, AddressList::new(entries), complaints)
}

/// The entries in the content of a file, and every complaint about it.
fn read_one<P>(path: &Path, bytes: &[u8], kind: &Kind<P>) -> (Vec<(P, Entry)>, Vec<Complaint>) {
    let (mut entries, mut findings) = (Vec::new(), Findings::default());
    read_entries(path, bytes, kind, &mut entries, &mut findings);
    (entries, findings.complaints)
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
fn built<T: Default>(list: Result<T, TooLarge>, files: &Files, findings: &mut Findings) -> T {
    list.unwrap_or_else(|error| {
        let paths = files.paths();
        let first = paths.first().map_or(Path::new("list"), PathBuf::as_path);
        findings.complaints.push(Complaint::file(first, error));
        T::default()
    })
}

/// Reads the entries of several files.
fn read_all<P>(files: &Files, kind: &Kind<P>, findings: &mut Findings) -> Vec<(P, Entry)> {
    let mut entries = Vec::new();
    for path in files.paths() {
        match read_file(&path) {
            Ok(bytes) => {
                read_entries(&path, &bytes, kind, &mut entries, findings);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound && is_local(&path) => {}
            Err(error)
                if error.kind() == io::ErrorKind::NotFound
                    && matches!(files, Files::Default(_)) =>
            {
                let remark = Complaint::file(&path, "there is no such file; the list is empty");
                findings.remarks.push(remark);
            }
            Err(error) => findings
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
    kind: &Kind<P>,
    entries: &mut Vec<(P, Entry)>,
    findings: &mut Findings,
) {
    let complaints = &mut findings.complaints;
    let mut dead = 0_usize;
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
        match (kind.parse)(text) {
            Ok(pattern) => {
                if let Some(why) = (kind.dead)(&pattern) {
                    dead = dead.saturating_add(1);
                    let remark = format!("{text:?} never matches: {why}");
                    let told = (dead <= MOST_TOLD).then(|| Complaint::line(path, line, remark));
                    findings.remarks.extend(told);
                }
                entries.push((pattern, Entry::in_file(&file, line, text)));
            }
            Err(error) => {
                complaints.push(Complaint::line(path, line, format!("{text:?}: {error}")));
            }
        }
    }
    if dead > MOST_TOLD {
        let remark = format!("{dead} entries never match; the first {MOST_TOLD} have been named");
        findings.remarks.push(Complaint::file(path, remark));
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
            ..client_list(&path)
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

    /// A client list of one file.
    fn client_list(path: &Path) -> ListFiles {
        ListFiles {
            clients: Files::Given(vec![path.to_owned()]),
            recipients: Files::Given(Vec::new()),
            senders: Files::Given(Vec::new()),
            s25r_exceptions: Files::Given(Vec::new()),
            greylist_recipients: Files::Given(Vec::new()),
            tables: Vec::new(),
            greylist_results: Vec::new(),
        }
    }

    #[test]
    fn an_entry_that_never_matches_is_kept_and_told_of_with_file_and_line() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("clients");
        fs::write(
            &path,
            "example.org\n\n *.southwest.com # all\nuser@example.com\n",
        )
        .unwrap();
        let loaded = client_list(&path).load();
        assert_eq!(loaded.complaints, []);
        assert_eq!(loaded.lists.clients.entries().len(), 3);
        let remarks: Vec<String> = loaded.remarks.iter().map(ToString::to_string).collect();
        let at = path.display();
        assert_eq!(
            remarks,
            [
                format!(
                    "{at}:3: \"*.southwest.com\" never matches: no client has a name like this; write southwest.com"
                ),
                format!(
                    "{at}:4: \"user@example.com\" never matches: {}",
                    Dead::MailAddress
                ),
            ]
        );

        fs::write(&path, "*.example\n".repeat(MOST_TOLD + 1)).unwrap();
        let remarks = client_list(&path).load().remarks;
        assert_eq!(remarks.len(), MOST_TOLD + 1);
        let last = remarks.last().unwrap().to_string();
        assert_eq!(
            last,
            format!("{at}: 101 entries never match; the first 100 have been named")
        );
    }

    #[test]
    fn no_packaged_entry_is_dead() {
        let directory = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src/lists"));
        let given = |name: &str| Files::Given(vec![directory.join(name)]);
        let files = ListFiles {
            clients: given("whitelist_clients"),
            recipients: given("whitelist_recipients"),
            senders: given("whitelist_senders"),
            s25r_exceptions: given("s25r_exceptions"),
            greylist_recipients: Files::Given(Vec::new()),
            tables: Vec::new(),
            greylist_results: Vec::new(),
        };
        let loaded = files.load();
        assert_eq!((loaded.complaints, loaded.remarks), (vec![], vec![]));
        assert!(loaded.lists.clients.entries().len() > 10);
    }

    #[test]
    fn a_packaged_file_that_was_removed_is_worth_a_remark_and_no_complaint() {
        let loaded = ListFiles {
            clients: Files::Default("no_such_list"),
            recipients: Files::Given(Vec::new()),
            senders: Files::Given(Vec::new()),
            s25r_exceptions: Files::Given(Vec::new()),
            greylist_recipients: Files::Given(Vec::new()),
            tables: Vec::new(),
            greylist_results: Vec::new(),
        }
        .load();
        assert_eq!(loaded.complaints, []);
        assert_eq!(loaded.remarks.len(), 1);
    }

    fn complaints(path: &Path) -> usize {
        client_list(path).load().complaints.len()
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
