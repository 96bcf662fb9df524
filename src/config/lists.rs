//! List files: parses them and reports every error.
//!
//! # The file
//!
//! One entry a line; `#` begins a comment that goes to the end of the line; blanks around an entry and
//! empty lines are ignored (Postgrey 1.37). [`pattern`](crate::policy::pattern) defines the entries.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::policy::checks::Place;
use crate::policy::pattern::{AddressPattern, ClientPattern, PatternError};
use crate::policy::{AddressList, ClientList, Dead, Entry, Lists, TooLarge};
use crate::types::Prefix;

use super::diagnostic::{Diagnostic, Diagnostics};
use super::greylist_conf::{ConfFile, LoadedConf};
use super::options::Options;
use super::tables::{TableFile, TableFileError};
use super::{file, tables};

/// Maximum number of warnings about entries of one file that never match: a list in another format must not fill the
/// log.
const MAX_DEAD_WARNINGS: usize = 100;

/// The options of the lists.
const CLIENTS_OPTION: &str = "--whitelist-clients";
const RECIPIENTS_OPTION: &str = "--whitelist-recipients";
const SENDERS_OPTION: &str = "--whitelist-senders";
const EXCEPTIONS_OPTION: &str = "--s25r-exceptions";
const OPTED_IN_OPTION: &str = "--greylist-recipients";

/// The default directory of the lists.
const DIRECTORY: &str = "/etc/stargrey";

/// The files of a list, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Files {
    /// The packaged file of this name, and the same name with `.local` appended. The administrator may have
    /// removed either.
    Default(&'static str),
    /// The files given by options.
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
    /// Of the S25R exceptions; none where no option asks S25R.
    pub s25r_exceptions: Files,
    /// Of the recipients to greylist; none unless greylisting is opt-in.
    pub greylist_recipients: Files,
    /// The client access tables, in their order.
    pub tables: Vec<TableFile>,
    /// Additional table results that mean: greylist.
    pub greylist_results: Vec<String>,
    /// The tables for header fields, in their order.
    pub header_checks: Vec<TableFile>,
    /// The tables for lines of bodies, in their order.
    pub body_checks: Vec<TableFile>,
    /// The file of access lists, if there is one.
    pub greylist_conf: Option<ConfFile>,
}

/// The loaded lists, with all errors and warnings.
#[derive(Debug)]
pub struct Loaded {
    /// The lists, without the entries that have errors.
    pub lists: Lists,
    /// Every error about a list.
    pub errors: Vec<Diagnostic>,
    /// Every error about a client access table or the file of access lists. Without one of its lines such a file has
    /// another meaning, so one with an error is not used.
    pub table_errors: Vec<Diagnostic>,
    /// What the file of access lists says besides the lists, if there is such a file without errors.
    pub conf: Option<LoadedConf>,
    /// Warnings: missing packaged files, entries that never match.
    pub warnings: Vec<Diagnostic>,
}

/// The type of the entries of a list, and its functions.
struct EntryType<P> {
    parse: fn(&str) -> Result<P, PatternError>,
    is_dead: fn(&P) -> bool,
    /// Why it never matches; slower than `is_dead`.
    dead: fn(&P) -> Option<Dead>,
    /// The network that a text was read as, although it names a host in it.
    network_of_host: fn(&P, &str) -> Option<Prefix>,
}

/// Clients.
const CLIENTS: EntryType<ClientPattern> = EntryType {
    parse: ClientPattern::parse,
    is_dead: ClientPattern::is_dead,
    dead: ClientPattern::dead,
    network_of_host: ClientPattern::network_of_host,
};

/// Mail addresses.
const ADDRESSES: EntryType<AddressPattern> = EntryType {
    parse: AddressPattern::parse,
    is_dead: AddressPattern::is_dead,
    dead: AddressPattern::dead,
    network_of_host: |_, _| None,
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
    /// The files given by options, else the packaged ones. Tables of unknown kinds are left out and reported. A socket
    /// that the service manager hands over for milter connections counts as `--milter`.
    #[must_use]
    pub fn new(options: &Options, has_milter_socket: bool, found: &mut Diagnostics) -> Self {
        let mut files = |option, paths: &[String], name| {
            if paths.is_empty() {
                Files::Default(name)
            } else {
                Files::Given(given(option, paths, found))
            }
        };
        Self {
            clients: files(
                CLIENTS_OPTION,
                &options.whitelist_clients,
                "whitelist_clients",
            ),
            recipients: files(
                RECIPIENTS_OPTION,
                &options.whitelist_recipients,
                "whitelist_recipients",
            ),
            senders: files(
                SENDERS_OPTION,
                &options.whitelist_senders,
                "whitelist_senders",
            ),
            // They also say whose names are no lines of end users.
            s25r_exceptions: if options.uses_s25r() {
                files(
                    EXCEPTIONS_OPTION,
                    &options.s25r_exceptions,
                    "s25r_exceptions",
                )
            } else {
                Files::Given(Vec::new())
            },
            greylist_recipients: Files::Given(given(
                OPTED_IN_OPTION,
                &options.greylist_recipients,
                found,
            )),
            tables: tables(
                tables::OPTION,
                &options.client_access,
                TableFile::parse,
                found,
            ),
            header_checks: check_tables(Place::Header, &options.header_checks, found),
            body_checks: check_tables(Place::Body, &options.body_checks, found),
            greylist_results: options.greylist_result.clone(),
            greylist_conf: ConfFile::new(options, has_milter_socket, found),
        }
    }

    /// Reads all files. A file that cannot be read and an entry that cannot be parsed are skipped and reported; a
    /// missing file whose name ends in `.local` counts as empty.
    #[must_use]
    pub fn load(&self) -> Loaded {
        let mut findings = Diagnostics::default();
        let clients = read_all(&self.clients, CLIENTS_OPTION, &CLIENTS, &mut findings);
        let recipients = read_all(
            &self.recipients,
            RECIPIENTS_OPTION,
            &ADDRESSES,
            &mut findings,
        );
        let senders = read_all(&self.senders, SENDERS_OPTION, &ADDRESSES, &mut findings);
        let (access, of_tables) = tables::load(&self.tables, &self.greylist_results);
        findings.warnings.extend(of_tables.warnings);
        let mut table_errors = of_tables.errors;
        let (checks, of_checks) = tables::load_checks(&self.header_checks, &self.body_checks);
        findings.warnings.extend(of_checks.warnings);
        table_errors.extend(of_checks.errors);
        let mut of_conf = Diagnostics::default();
        let conf = self.greylist_conf.as_ref();
        let (chain, conf) = conf.and_then(|conf| conf.load(&mut of_conf)).unzip();
        table_errors.extend(of_conf.errors);
        findings.warnings.extend(of_conf.warnings);
        let exceptions = read_all(
            &self.s25r_exceptions,
            EXCEPTIONS_OPTION,
            &CLIENTS,
            &mut findings,
        );
        let opted_in = read_all(
            &self.greylist_recipients,
            OPTED_IN_OPTION,
            &ADDRESSES,
            &mut findings,
        );
        let lists = Lists {
            clients: list_or_empty(ClientList::new(clients), &self.clients, &mut findings),
            recipients: list_or_empty(
                AddressList::new(recipients),
                &self.recipients,
                &mut findings,
            ),
            senders: list_or_empty(AddressList::new(senders), &self.senders, &mut findings),
            s25r_exceptions: list_or_empty(
                ClientList::new(exceptions),
                &self.s25r_exceptions,
                &mut findings,
            ),
            greylist_recipients: list_or_empty(
                AddressList::new(opted_in),
                &self.greylist_recipients,
                &mut findings,
            ),
            access,
            chain: chain.unwrap_or_default(),
            checks,
        };
        Loaded {
            lists,
            errors: findings.errors,
            table_errors,
            conf,
            warnings: findings.warnings,
        }
    }
}

/// The tables that an option names.
fn tables(
    option: &'static str,
    texts: &[String],
    parse: fn(&str) -> Result<TableFile, TableFileError>,
    found: &mut Diagnostics,
) -> Vec<TableFile> {
    let mut tables = Vec::new();
    for text in texts {
        match parse(text) {
            Ok(table) => {
                tables.extend(found.absolute(option, table.path.clone()).map(|_| table));
            }
            Err(error) => found.error(option, error),
        }
    }
    tables
}

/// The tables for messages that an option names.
fn check_tables(place: Place, texts: &[String], found: &mut Diagnostics) -> Vec<TableFile> {
    let option = tables::check_option(place);
    tables(option, texts, TableFile::parse_expressions, found)
}

/// The files that an option names.
fn given(option: &'static str, paths: &[String], found: &mut Diagnostics) -> Vec<PathBuf> {
    let paths = paths.iter().map(PathBuf::from);
    paths
        .filter_map(|path| found.absolute(option, path))
        .collect()
}

/// Parses the content of a file as a client list; returns every error too.
#[must_use]
pub fn read_client_list(path: &Path, bytes: &[u8]) -> (ClientList, Vec<Diagnostic>) {
    let (entries, errors) = read_one(path, bytes, &CLIENTS);
    finished(path, ClientList::new(entries), errors)
}

/// Parses the content of a file as a recipient or sender list; returns every error too.
#[must_use]
pub fn read_address_list(path: &Path, bytes: &[u8]) -> (AddressList, Vec<Diagnostic>) {
    let (entries, errors) = read_one(path, bytes, &ADDRESSES);
    finished(path, AddressList::new(entries), errors)
}

/// Parses the entries in the content of a file; returns every error too.
fn read_one<P>(
    path: &Path,
    bytes: &[u8],
    kind: &EntryType<P>,
) -> (Vec<(P, Entry)>, Vec<Diagnostic>) {
    let (mut entries, mut findings) = (Vec::new(), Diagnostics::default());
    read_entries(path, bytes, kind, &mut entries, &mut findings);
    (entries, findings.errors)
}

/// The list with its errors; if it is too large, an empty list and one more error.
fn finished<T: Default>(
    path: &Path,
    list: Result<T, TooLarge>,
    mut errors: Vec<Diagnostic>,
) -> (T, Vec<Diagnostic>) {
    let list = list.unwrap_or_else(|error| {
        errors.push(Diagnostic::file(path, error));
        T::default()
    });
    (list, errors)
}

/// The list; if it is too large, an empty list, and an error is recorded.
fn list_or_empty<T: Default>(
    list: Result<T, TooLarge>,
    files: &Files,
    findings: &mut Diagnostics,
) -> T {
    list.unwrap_or_else(|error| {
        let paths = files.paths();
        let first = paths.first().map_or(Path::new("list"), PathBuf::as_path);
        findings.errors.push(Diagnostic::file(first, error));
        T::default()
    })
}

/// Reads the entries of several files.
fn read_all<P>(
    files: &Files,
    option: &'static str,
    kind: &EntryType<P>,
    findings: &mut Diagnostics,
) -> Vec<(P, Entry)> {
    let mut entries = Vec::new();
    for path in files.paths() {
        match file::read(&path) {
            Ok(bytes) => {
                read_entries(&path, &bytes, kind, &mut entries, findings);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound && is_local(&path) => {}
            Err(error)
                if error.kind() == io::ErrorKind::NotFound
                    && matches!(files, Files::Default(_)) =>
            {
                let warning = Diagnostic::file(&path, "the file does not exist; the list is empty");
                findings.warnings.push(warning);
            }
            Err(error) => findings
                .errors
                .push(file::unreadable(option, &path, &error)),
        }
    }
    entries
}

/// Reads the entries of one file.
fn read_entries<P>(
    path: &Path,
    bytes: &[u8],
    kind: &EntryType<P>,
    entries: &mut Vec<(P, Entry)>,
    findings: &mut Diagnostics,
) {
    let errors = &mut findings.errors;
    let mut dead = 0_usize;
    let file: Arc<Path> = path.into();
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    for (line, bytes) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
        let content = bytes.split(|byte| *byte == b'#').next().unwrap_or_default();
        let Ok(text) = std::str::from_utf8(content) else {
            errors.push(Diagnostic::line(path, line, "this is not UTF-8"));
            continue;
        };
        let text = text.trim();
        if text.is_empty() {
            continue;
        }
        match (kind.parse)(text) {
            Ok(pattern) => {
                if (kind.is_dead)(&pattern) {
                    dead = dead.saturating_add(1);
                    let why = (dead <= MAX_DEAD_WARNINGS)
                        .then(|| (kind.dead)(&pattern))
                        .flatten();
                    findings.warnings.extend(why.map(|why| {
                        Diagnostic::line(path, line, format!("{text:?} never matches: {why}"))
                    }));
                }
                if let Some(network) = (kind.network_of_host)(&pattern, text) {
                    let warning = format!("{text:?} is a host in a network, and read as {network}");
                    findings
                        .warnings
                        .push(Diagnostic::line(path, line, warning));
                }
                entries.push((pattern, Entry::in_file(&file, line, text)));
            }
            Err(error) => {
                errors.push(Diagnostic::line(path, line, format!("{text:?}: {error}")));
            }
        }
    }
    if dead > MAX_DEAD_WARNINGS {
        let warning =
            format!("{dead} entries never match; the first {MAX_DEAD_WARNINGS} are shown above");
        findings.warnings.push(Diagnostic::file(path, warning));
    }
}

fn is_local(path: &Path) -> bool {
    path.extension()
        .is_some_and(|extension| extension == "local")
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn every_error_has_file_and_line_and_the_rest_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("clients");
        fs::write(
            &path,
            b"\xef\xbb\xbf# comment\n\nexample.org # why\n two words\n/(/\r\n\xff\n192.0.2.7/24\r\n10.0.0.0/99",
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
        let errors: Vec<String> = loaded.errors.iter().map(ToString::to_string).collect();
        let begins = [
            format!("{}:4: \"two words\": ", path.display()),
            format!("{}:5: \"/(/\": ", path.display()),
            format!("{}:6: ", path.display()),
            format!("{}:8: \"10.0.0.0/99\": ", path.display()),
            format!("--whitelist-clients: {}: ", missing.display()),
        ];
        assert_eq!(errors.len(), begins.len(), "{errors:?}");
        for (error, begin) in errors.iter().zip(&begins) {
            assert!(error.starts_with(begin), "{error}");
        }
        let warnings: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
        let warning = "is a host in a network, and read as 192.0.2.0/24";
        let warning = format!("{}:7: \"192.0.2.7/24\" {warning}", path.display());
        assert_eq!(warnings, [warning]);
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
            header_checks: Vec::new(),
            body_checks: Vec::new(),
            greylist_results: Vec::new(),
            greylist_conf: None,
        }
    }

    #[test]
    fn an_entry_that_never_matches_is_kept_and_reported_with_file_and_line() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("clients");
        fs::write(
            &path,
            "example.org\n\n *.southwest.com # all\nuser@example.com\n",
        )
        .unwrap();
        let loaded = client_list(&path).load();
        assert_eq!(loaded.errors, []);
        assert_eq!(loaded.lists.clients.entries().len(), 3);
        let warnings: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
        let at = path.display();
        assert_eq!(
            warnings,
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

        fs::write(&path, "*.example\n".repeat(MAX_DEAD_WARNINGS + 1)).unwrap();
        let warnings = client_list(&path).load().warnings;
        assert_eq!(warnings.len(), MAX_DEAD_WARNINGS + 1);
        let last = warnings.last().unwrap().to_string();
        assert_eq!(
            last,
            format!("{at}: 101 entries never match; the first 100 are shown above")
        );
    }

    #[test]
    fn entries_that_are_only_counted_are_not_asked_why_they_never_match() {
        static ASKED: AtomicUsize = AtomicUsize::new(0);
        let kind = EntryType {
            dead: |pattern: &ClientPattern| {
                ASKED.fetch_add(1, Ordering::Relaxed);
                pattern.dead()
            },
            ..CLIENTS
        };
        let content = "*.example\nlive.example\n".repeat(10 * MAX_DEAD_WARNINGS);
        let (mut entries, mut findings) = (Vec::new(), Diagnostics::default());
        let path = Path::new("clients");
        read_entries(path, content.as_bytes(), &kind, &mut entries, &mut findings);
        assert_eq!(entries.len(), 20 * MAX_DEAD_WARNINGS);
        assert_eq!(ASKED.load(Ordering::Relaxed), MAX_DEAD_WARNINGS);
        let last = findings.warnings.last().unwrap().to_string();
        assert!(last.contains(": 1000 entries never match; "), "{last}");
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
            header_checks: Vec::new(),
            body_checks: Vec::new(),
            greylist_results: Vec::new(),
            greylist_conf: None,
        };
        let loaded = files.load();
        assert_eq!((loaded.errors, loaded.warnings), (vec![], vec![]));
        assert!(loaded.lists.clients.entries().len() > 10);
    }

    #[test]
    fn a_missing_packaged_file_is_a_warning_and_not_an_error() {
        let loaded = ListFiles {
            clients: Files::Default("no_such_list"),
            recipients: Files::Given(Vec::new()),
            senders: Files::Given(Vec::new()),
            s25r_exceptions: Files::Given(Vec::new()),
            greylist_recipients: Files::Given(Vec::new()),
            tables: Vec::new(),
            header_checks: Vec::new(),
            body_checks: Vec::new(),
            greylist_results: Vec::new(),
            greylist_conf: None,
        }
        .load();
        assert_eq!(loaded.errors, []);
        assert_eq!(loaded.warnings.len(), 1);
    }

    fn errors(path: &Path) -> usize {
        client_list(path).load().errors.len()
    }

    #[test]
    fn a_list_has_a_limit_and_an_end() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("long");
        let mut content = vec![b'#'; usize::try_from(crate::config::MAX_LIST_BYTES).unwrap()];
        fs::write(&path, &content).unwrap();
        assert_eq!(errors(&path), 0);
        content.push(b'#');
        fs::write(&path, &content).unwrap();
        assert_eq!(errors(&path), 1);
        assert_eq!(errors(Path::new("/dev/zero")), 1);
        assert_eq!(errors(Path::new("/dev/null")), 0);
        let pipe = directory.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(errors(&pipe), 1);
    }
}
