//! The input of an import: a directory, a file or standard input.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek};
use std::path::{Path, PathBuf};

use super::args::Import;
use super::failure::{ArgumentError, Failure};
use super::import::{
    Directory, Item, JsonItem, JsonLines, MilterGreylist, MilterGreylistRules, Postgrey,
    PostgreyRules, ReadError, Skip,
};
use super::options::translate;
use crate::api::Dict;
use crate::types::{Printable, Span};

/// The database directories of Postgrey on Debian and Fedora.
const DATABASE_DIRECTORIES: [&str; 2] = ["/var/lib/postgrey", "/var/spool/postfix/postgrey"];

/// The option files of Postgrey on Debian and Fedora.
const OPTION_FILES: [&str; 2] = ["/etc/default/postgrey", "/etc/sysconfig/postgrey"];

/// Maximum size of an option file, in bytes: far more than a command line may have.
const MAX_OPTION_BYTES: u64 = 1 << 20;

/// Records counted between two yields to other tasks.
const YIELD_INTERVAL: u64 = 1000;

/// The argument that means standard input.
const STDIN: &str = "-";

/// The input of an import.
#[derive(Debug)]
pub struct Input {
    path: PathBuf,
    format: Format,
    source: Source,
}

/// The format.
#[derive(Debug, Clone, Copy)]
enum Format {
    Postgrey(PostgreyRules),
    MilterGreylist(MilterGreylistRules),
    Json,
}

/// The source.
#[derive(Debug)]
enum Source {
    Directory(Box<Directory>),
    File(File),
    /// A pipe, or standard input: it can be read once.
    Stream(Option<File>),
}

/// A record, or what the input has instead.
#[derive(Debug)]
pub enum Record {
    /// A record, as a D-Bus row.
    Row(Dict),
    /// A skipped record.
    Skipped(Skip),
    /// Not a record: the end of an export without a record count.
    Uncounted,
}

/// The records in order.
pub type Records<'a> = Box<dyn Iterator<Item = Result<Record, Failure>> + 'a>;

impl Input {
    /// Opens the input that the command line names.
    ///
    /// # Errors
    ///
    /// [`Failure`] if it cannot be opened.
    pub fn open(options: &Import) -> Result<Self, Failure> {
        let (path, format) = match options {
            Import::Postgrey {
                source,
                delay,
                retry_count,
                ..
            } => {
                let rules = PostgreyRules {
                    delay: Span::from_seconds(*delay),
                    retry_count: *retry_count,
                };
                let path = source.clone().map_or_else(usual, Ok)?;
                (path, Format::Postgrey(rules))
            }
            Import::MilterGreylist {
                source,
                delay,
                autowhite,
                ..
            } => {
                let rules = MilterGreylistRules {
                    delay: Span::from_seconds(*delay),
                    autowhite: Span::from_seconds(*autowhite),
                };
                (source.clone(), Format::MilterGreylist(rules))
            }
            Import::Json { source, .. } => (source.clone(), Format::Json),
            // `options` has no records.
            Import::PostgreyOptions { .. } => return Err(ArgumentError::NoPostgreyOptions.into()),
        };
        let source = open(&path, format)?;
        Ok(Self {
            path,
            format,
            source,
        })
    }

    /// Its name for messages.
    #[must_use]
    pub fn name(&self) -> String {
        if self.path == Path::new(STDIN) {
            "standard input".to_owned()
        } else {
            Printable(self.path.as_os_str().as_encoded_bytes()).to_string()
        }
    }

    /// The number of records; `None` for a source that cannot be read twice. Cancellation-safe.
    ///
    /// # Errors
    ///
    /// The first error of the input.
    pub async fn count(&mut self) -> Result<Option<u64>, Failure> {
        if matches!(self.source, Source::Stream(_)) {
            return Ok(None);
        }
        let mut count = 0_u64;
        for record in self.records()? {
            match record? {
                Record::Row(_) | Record::Skipped(_) => count = count.saturating_add(1),
                Record::Uncounted => continue,
            }
            if count.is_multiple_of(YIELD_INTERVAL) {
                tokio::task::yield_now().await;
            }
        }
        Ok(Some(count))
    }

    /// The records, from the first one on.
    ///
    /// # Errors
    ///
    /// [`Failure::Open`] when a file cannot be read from its beginning.
    pub fn records(&mut self) -> Result<Records<'_>, Failure> {
        let path = PathBuf::from(self.name());
        let reader: Box<dyn BufRead + '_> = match &mut self.source {
            Source::Directory(directory) => {
                directory.rewind();
                return Ok(Box::new(
                    directory.by_ref().map(move |item| take(item, &path)),
                ));
            }
            Source::File(file) => {
                file.rewind().map_err(unopened(&path))?;
                Box::new(BufReader::new(file))
            }
            Source::Stream(Some(file)) => Box::new(BufReader::new(file)),
            Source::Stream(None) => Box::new(io::stdin().lock()),
        };
        Ok(match self.format {
            Format::Postgrey(rules) => {
                Box::new(Postgrey::new(reader, rules).map(move |item| take(item, &path)))
            }
            Format::MilterGreylist(rules) => {
                Box::new(MilterGreylist::new(reader, rules).map(move |item| take(item, &path)))
            }
            Format::Json => Box::new(JsonLines::new(reader).map(move |item| match item {
                Ok(JsonItem::Row(row)) => Ok(Record::Row(row)),
                Ok(JsonItem::Skipped(why)) => Ok(Record::Skipped(why)),
                Ok(JsonItem::Uncounted) => Ok(Record::Uncounted),
                Err(source) => Err(Failure::Line {
                    path: path.clone(),
                    source,
                }),
            })),
        })
    }
}

/// Converts an item of a reader.
fn take(item: Result<Item, ReadError>, path: &Path) -> Result<Record, Failure> {
    match item {
        Ok(Item::Row(row)) => Ok(Record::Row(row.row())),
        Ok(Item::Skipped { why, .. }) => Ok(Record::Skipped(why)),
        Err(source) => Err(Failure::Read {
            path: path.to_owned(),
            source,
        }),
    }
}

/// stargrey's option file with the options of Postgrey's: the given file, or the first existing default one.
///
/// # Errors
///
/// [`Failure::Open`], [`Failure::Options`].
pub fn options(source: Option<&Path>) -> Result<String, Failure> {
    let usual = || {
        OPTION_FILES
            .map(Path::new)
            .into_iter()
            .find(|path| path.exists())
    };
    let path = source
        .or_else(usual)
        .ok_or(ArgumentError::NoPostgreyOptions)?;
    let mut bytes = Vec::new();
    let (name, read) = if path == Path::new(STDIN) {
        let stdin = io::stdin().lock();
        ("standard input".to_owned(), read_all(stdin, &mut bytes))
    } else {
        let file = File::open(path).map_err(unopened(path))?;
        let name = Printable(path.as_os_str().as_encoded_bytes()).to_string();
        (name, read_all(file, &mut bytes))
    };
    read.map_err(unopened(path))?;
    translate(&name, &bytes).map_err(|problems| Failure::Options { name, problems })
}

/// Reads at most [`MAX_OPTION_BYTES`].
fn read_all(reader: impl Read, bytes: &mut Vec<u8>) -> io::Result<()> {
    reader
        .take(MAX_OPTION_BYTES.saturating_add(1))
        .read_to_end(bytes)?;
    if bytes.len() as u64 > MAX_OPTION_BYTES {
        let what = format!("larger than {MAX_OPTION_BYTES} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, what));
    }
    Ok(())
}

/// Opens the file or directory of this name.
fn open(path: &Path, format: Format) -> Result<Source, Failure> {
    if path == Path::new(STDIN) {
        return Ok(Source::Stream(None));
    }
    let metadata = std::fs::metadata(path).map_err(unopened(path))?;
    if let (true, Format::Postgrey(rules)) = (metadata.is_dir(), format) {
        return Ok(Source::Directory(Box::new(Directory::open(path, rules)?)));
    }
    let file = File::open(path).map_err(unopened(path))?;
    Ok(if metadata.is_file() {
        Source::File(file)
    } else {
        Source::Stream(Some(file))
    })
}

/// The default database directory of Postgrey that exists.
fn usual() -> Result<PathBuf, Failure> {
    one_of(&DATABASE_DIRECTORIES.map(Path::new))
}

/// The first of these directories with a database. If none has one, an unreadable directory is reported.
fn one_of(places: &[&Path]) -> Result<PathBuf, Failure> {
    let mut closed = None;
    for place in places {
        match place.join("postgrey.db").try_exists() {
            Ok(true) => return Ok((*place).to_owned()),
            Ok(false) => {}
            Err(error) => closed = closed.or(Some(unopened(place)(error))),
        }
    }
    Err(closed.unwrap_or(ArgumentError::NoPostgrey.into()))
}

/// The failure to open a path.
fn unopened(path: &Path) -> impl Fn(io::Error) -> Failure {
    let path = path.to_owned();
    move |source| Failure::Open {
        path: path.clone(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ctl::exit;
    use crate::ctl::import::{header, trailer};

    fn of_file(text: &str) -> (tempfile::NamedTempFile, Input) {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let input = Input::open(&Import::Json {
            source: file.path().to_owned(),
            dry_run: false,
        });
        (file, input.unwrap())
    }

    #[test]
    fn a_place_that_cannot_be_looked_into_is_said() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name| directory.path().join(name);
        let (none, closed, there) = (at("none"), at("closed"), at("there"));
        // Root can read everything, except a file as a directory.
        std::fs::write(&closed, "").unwrap();
        std::fs::create_dir(&there).unwrap();
        std::fs::write(there.join("postgrey.db"), "").unwrap();
        assert_eq!(one_of(&[&none, &closed, &there]).unwrap(), there);
        let failure = one_of(&[&none, &closed]).unwrap_err();
        let want = format!("{}: Not a directory", closed.display());
        assert!(failure.to_string().starts_with(&want), "{failure}");
        assert_eq!(failure.code(), exit::IOERR);
        let failure = one_of(&[&none]).unwrap_err();
        assert!(
            failure
                .to_string()
                .contains("not in one of its usual places")
        );
        assert_eq!(failure.code(), exit::USAGE);
    }

    #[tokio::test]
    async fn a_file_is_counted_and_read_again() {
        let text = format!(
            "{}\n{{\"first\":1}}\n{{\"first\":2}}\n{}\n",
            header(),
            trailer(2)
        );
        let (_file, mut input) = of_file(&text);
        assert_eq!(input.count().await.unwrap(), Some(2));
        assert_eq!(input.records().unwrap().count(), 2);
    }

    #[tokio::test]
    async fn what_is_wrong_at_the_end_is_known_at_the_beginning() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let text = "VERSION=3\nformat=print\ntype=btree\nHEADER=END\n 192.0.2.7\n 1,2\n";
        std::fs::write(file.path(), text).unwrap();
        let mut input = Input::open(&Import::Postgrey {
            source: Some(file.path().to_owned()),
            delay: 300,
            retry_count: 1,
            dry_run: false,
        })
        .unwrap();
        let failure = input.count().await.unwrap_err();
        let name = file.path().display();
        assert_eq!(
            failure.to_string(),
            format!("{name}: the dump ends early, after line 6: DATA=END is missing")
        );
        assert_eq!(failure.code(), exit::DATAERR);
    }

    #[test]
    fn what_is_not_there_is_said_with_its_name() {
        let failure = Input::open(&Import::MilterGreylist {
            source: "/nowhere/greylist.db".into(),
            delay: 1,
            autowhite: 1,
            dry_run: true,
        });
        let failure = failure.unwrap_err();
        assert!(
            failure
                .to_string()
                .starts_with("/nowhere/greylist.db: No such file")
        );
        assert_eq!(failure.code(), exit::IOERR);
    }
}
