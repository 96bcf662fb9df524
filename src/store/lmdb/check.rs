//! Reads the whole database, to see whether that can be survived.
//!
//! LMDB trusts the pages of its file: one that was overwritten with something else can lead it outside of the map, and
//! that ends the process. So this runs in a process of its own; see [`unclean`](crate::store::Unclean).

use std::ffi::OsString;
use std::fs::File;
use std::path::Path;

use super::{Durability, LmdbOpener, file_error};
use crate::store::{OpenError, Reader, RequestError, Scope, StoreError, Writer};
use crate::types::{Span, Timestamp};

/// Rows of a page: all are looked at, and none is wanted.
const ROWS: usize = 4096;

impl LmdbOpener {
    /// Reads every page that leads to records, decodes every record, has LMDB load its list of free pages, and
    /// commits a little. Nothing is kept of it. Where no database is, none is made.
    ///
    /// # Errors
    ///
    /// [`OpenError`] says what is wrong; or the process dies.
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
        let nowhere = Path::new("/dev/null");
        let mut nowhere_to = File::options()
            .write(true)
            .open(nowhere)
            .map_err(file_error(nowhere))?;
        // Pages that nothing leads to, or no place to write to: the records were read nevertheless.
        damage(reader.copy_to(&mut nowhere_to))?;
        writer.load_free_pages()?;
        for _ in 0..3 {
            writer.probe()?;
        }
        Ok(())
    }

    /// The options as arguments of a command; [`from_arguments`](Self::from_arguments) reads them.
    #[must_use]
    pub fn to_arguments(&self) -> Vec<OsString> {
        vec![
            self.directory.clone().into(),
            self.max_size.to_string().into(),
            u8::from(self.privacy).to_string().into(),
            self.retry_window.seconds().to_string().into(),
        ]
    }

    /// The options that arguments say; `None` if they say none.
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

/// What was read, if that was not refused: a refusal says nothing about the records.
fn damage<T>(read: Result<T, RequestError>) -> Result<Option<T>, StoreError> {
    match read {
        Ok(read) => Ok(Some(read)),
        Err(RequestError::Refused(_)) => Ok(None),
        Err(RequestError::Store(error)) => Err(error),
    }
}
