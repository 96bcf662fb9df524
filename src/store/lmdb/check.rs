//! Reads the whole database, to check that no page of it crashes the reader.
//!
//! LMDB does not validate the pages of its file: one that was overwritten can make it read outside of the map, which
//! kills the process. So the check runs in a child process; see `store::unclean`.

use std::ffi::OsString;
use std::fs::File;
use std::path::Path;

use super::{Durability, LmdbOpener, file_error};
use crate::store::{OpenError, Reader, RequestError, Scope, StoreError, Writer};
use crate::types::{Span, Timestamp};

/// Maximum rows of a page; none is wanted, all are read.
const ROWS: usize = 4096;

impl LmdbOpener {
    /// Reads every page in use, decodes every record, makes LMDB load its list of free pages, and commits a few empty
    /// values. A missing database is not created.
    ///
    /// # Errors
    ///
    /// [`OpenError`] for detected damage; other damage kills the process.
    pub fn check(&self) -> Result<(), OpenError> {
        let data = self.data();
        if std::fs::metadata(&data).map_err(file_error(&data))?.len() == 0 {
            return Err(file_error(&data)(std::io::ErrorKind::UnexpectedEof.into()));
        }
        let (reader, mut writer) = self.open_halves()?;
        reader.record_counts()?;
        reader.latest()?;
        reader.entries()?;
        reader.history(Timestamp::default(), Timestamp::from_seconds(u64::MAX))?;
        let mut after = Vec::new();
        while let Some(next) =
            damage(reader.page(&Scope::ALL, &after, ROWS, &|_| false))?.and_then(|page| page.next)
        {
            after = next;
        }
        let null = Path::new("/dev/null");
        let mut null_file = File::options()
            .write(true)
            .open(null)
            .map_err(file_error(null))?;
        // Refused if there are unreachable pages or the file cannot be written: the records were read all the same.
        damage(reader.copy_to(&mut null_file))?;
        writer.load_free_pages()?;
        for _ in 0..3 {
            writer.probe()?;
        }
        Ok(())
    }

    /// The options as command-line arguments, for [`from_arguments`](Self::from_arguments).
    #[must_use]
    pub fn to_arguments(&self) -> Vec<OsString> {
        vec![
            self.directory.clone().into(),
            self.max_size.to_string().into(),
            u8::from(self.privacy).to_string().into(),
            self.retry_window.seconds().to_string().into(),
        ]
    }

    /// Parses the options from command-line arguments; `None` if they are invalid.
    #[must_use]
    pub fn from_arguments(mut arguments: impl Iterator<Item = OsString>) -> Option<Self> {
        let directory = arguments.next()?.into();
        let mut number = || arguments.next()?.to_str()?.parse::<u64>().ok();
        Some(Self {
            directory,
            max_size: usize::try_from(number()?).ok()?,
            durability: Durability::Data,
            privacy: number()? != 0,
            retry_window: Span::from_seconds(number()?),
        })
    }
}

/// The result of a read; `None` if it was refused, which is not a sign of damage.
fn damage<T>(read: Result<T, RequestError>) -> Result<Option<T>, StoreError> {
    match read {
        Ok(read) => Ok(Some(read)),
        Err(RequestError::Refused(_)) => Ok(None),
        Err(RequestError::Store(error)) => Err(error),
    }
}
