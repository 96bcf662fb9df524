//! The store on disk: one LMDB environment, through heed.
//!
//! # On disk
//!
//! | database | key | value |
//! | --- | --- | --- |
//! | `meta` | `format`, `mode`, `slots`, `latest`, `pause`, `sent-until`, `acts`, `options`, `probe` | the number of the format; whether keys are hashes; the times of the slots; the last time stored; when a pause ends; what the other hosts have, and the options of the last start, see [`Note`](super::Note); empty, written to test whether the database is writable |
//! | `passed` | triplet | a passed triplet |
//! | `clients` | client | a client |
//! | `sleeps` | client | a tarpitted client |
//! | `waiting0` … `waiting5` | triplet | a waiting triplet, in one of six slots by the time it was first seen |
//! | `names` | slot and hash | the key of the waiting triplet that another name refers to: see `names.rs` |
//! | `entries` | list and text | a runtime entry |
//! | `history` | hour | the counters of the hour |
//!
//! Most triplets are spam that is never retried, and deleting single records in random order is what LMDB is slowest
//! at. So waiting triplets are stored in slots, and a slot is emptied as a whole, in slices, when the retry window of
//! its triplets is over. A triplet that passes is moved to `passed`, which is small and is swept record by record. A
//! triplet has one record, in one of these databases.
//!
//! # Durability
//!
//! With [`Durability::Data`] a commit syncs its data pages; its meta page, without which the commit is lost in a power
//! failure, is synced by the next commit or the next [`Writer::sync`]. With [`Durability::Full`] a commit syncs both.

mod check;
mod file;
mod names;
mod pages;
mod reader;
mod readers;
mod records;
mod slots;
mod writer;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use heed::types::{Bytes, DecodeIgnore};
use heed::{
    CommitOrAbort, CommitToken, Database, DatabaseOpener, Env, EnvFlags, EnvOpenOptions, OnCommit,
    RoTxn, RwTxn, WithTls,
};

use super::privacy::{self, PrivacyError, PrivacyKey};
use super::schema::{self, FORMAT, FORMAT_OF_NEW};
use super::{Halves, OpenError, Opener, StoreError, Writer};
use crate::policy::Triplet;
use crate::types::Span;
use reader::LmdbReader;
use readers::ReaderTable;
use slots::{Occupied, SLOTS, Slots};
use writer::LmdbWriter;

/// One database of the environment; `'static` once it is committed.
type Db<'t> = Database<'t, Bytes, Bytes>;

/// Maximum number of threads that read: those of the runtime, and a few more. Each thread keeps its slot in LMDB's
/// reader table, because taking one needs a lock shared by all; so no thread has two read transactions at once.
const READERS: u32 = 1024;

/// Databases besides the slots.
const OTHERS: u32 = 7;

/// What a commit syncs to disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// The data pages: it survives a process crash; a power failure may undo the last commits.
    Data,
    /// The data pages and the meta page: it survives a power failure.
    Full,
}

/// Path and options of the database.
#[derive(Debug, Clone)]
pub struct LmdbOpener {
    /// The directory of the environment, which exists.
    pub directory: PathBuf,
    /// Maximum size of the data file, in bytes.
    pub max_size: usize,
    /// What a commit syncs to disk.
    pub durability: Durability,
    /// Whether hashes are stored instead of addresses.
    pub privacy: bool,
    /// How long a triplet may wait. A third of it is the time during which a slot receives new triplets.
    pub retry_window: Span,
}

/// The databases.
#[derive(Debug, Clone, Copy)]
struct Tables<'t> {
    meta: Db<'t>,
    passed: Db<'t>,
    clients: Db<'t>,
    sleeps: Db<'t>,
    entries: Db<'t>,
    history: Db<'t>,
    names: Db<'t>,
    waiting: [Db<'t>; SLOTS],
}

impl OnCommit for Tables<'_> {
    type Committed = Tables<'static>;

    fn on_commit(self, token: &CommitToken) -> Self::Committed {
        Tables {
            meta: self.meta.on_commit(token),
            passed: self.passed.on_commit(token),
            clients: self.clients.on_commit(token),
            sleeps: self.sleeps.on_commit(token),
            entries: self.entries.on_commit(token),
            history: self.history.on_commit(token),
            names: self.names.on_commit(token),
            waiting: self.waiting.on_commit(token),
        }
    }
}

/// The table that has a triplet's record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TripletTable {
    Passed,
    Waiting(usize),
}

impl<'t> Tables<'t> {
    /// A triplet's record, and the table that has it.
    fn find(
        &self,
        txn: &RoTxn<'_>,
        occupied: &Occupied,
        key: &[u8],
    ) -> Result<Option<(Triplet, TripletTable)>, StoreError> {
        if let Some(bytes) = self.passed.get(txn, key)? {
            return Ok(Some((schema::decode_triplet(bytes)?, TripletTable::Passed)));
        }
        for (at, slot) in self.waiting.iter().enumerate() {
            if occupied.has(at)
                && let Some(bytes) = slot.get(txn, key)?
            {
                return Ok(Some((
                    schema::decode_triplet(bytes)?,
                    TripletTable::Waiting(at),
                )));
            }
        }
        Ok(None)
    }

    /// Total size of the tables' pages, in bytes.
    fn size(&self, txn: &RoTxn<'_>) -> Result<u64, StoreError> {
        let others: [_; OTHERS as usize] = [
            &self.meta,
            &self.passed,
            &self.clients,
            &self.sleeps,
            &self.entries,
            &self.history,
            &self.names,
        ];
        let mut size = 0_u64;
        for table in others.into_iter().chain(&self.waiting) {
            let stat = table.stat(txn)?;
            let pages = [stat.branch_pages, stat.leaf_pages, stat.overflow_pages];
            let pages = pages.into_iter().fold(0_usize, usize::saturating_add);
            size = size.saturating_add((pages as u64).saturating_mul(u64::from(stat.page_size)));
        }
        Ok(size)
    }

    /// The table itself.
    fn at(&self, place: TripletTable) -> Result<Db<'t>, StoreError> {
        match place {
            TripletTable::Passed => Ok(self.passed),
            TripletTable::Waiting(at) => self.waiting.get(at).copied().ok_or(StoreError::Record),
        }
    }
}

impl Opener for LmdbOpener {
    fn open(&self) -> Result<Halves, OpenError> {
        let (reader, writer) = self.open_halves()?;
        Ok((Arc::new(reader), Box::new(writer)))
    }

    fn is_hashed(&self) -> bool {
        self.privacy
    }
}

impl LmdbOpener {
    fn open_halves(&self) -> Result<(LmdbReader, LmdbWriter), OpenError> {
        let data = self.data();
        let file = file::open(&data)?;
        file::examine(&data)?;
        let table = ReaderTable::make(&self.directory).map_err(file_error(&data))?;
        let env = self.open_environment(&data)?;
        let mut key = None;
        let mut slots = Slots::default();
        let txn = env.write_txn()?;
        let tables = env
            .create_databases_and_commit(txn, |opener, txn| {
                let tables = create_tables(opener, txn, &data)?;
                check_format(&tables, txn)?;
                key = self.check_mode(&tables, txn)?;
                if let Some(bytes) = tables.meta.get(txn, b"slots")? {
                    slots = Slots::decode(bytes)?;
                }
                Ok::<_, OpenError>(CommitOrAbort::<_, ()>::Commit(tables))
            })?
            .unwrap_commit();
        let shared = Shared {
            occupied: occupied(&env, &tables)?,
            named: Occupied::default(),
            env,
            _table: Arc::new(table),
            tables,
            key,
        };
        shared.find_named()?;
        let reader = LmdbReader::new(shared.clone());
        let writer = LmdbWriter::new(shared, file, slots, self);
        writer.check_file()?;
        Ok((reader, writer))
    }

    /// The data file.
    pub(super) fn data(&self) -> PathBuf {
        self.directory.join("data.mdb")
    }

    /// Examines the data file without opening it as a database.
    ///
    /// # Errors
    ///
    /// [`OpenError::Truncated`] when it is shorter than its meta pages require, [`OpenError::Foreign`] when it is not
    /// a file of LMDB.
    pub(super) fn examine(&self) -> Result<(), OpenError> {
        file::examine(&self.data())
    }

    fn open_environment(&self, data: &Path) -> Result<Env<WithTls>, OpenError> {
        let mut options = EnvOpenOptions::new();
        let databases = u32::try_from(SLOTS)
            .unwrap_or(u32::MAX)
            .saturating_add(OTHERS);
        options
            .map_size(self.max_size)
            .max_readers(READERS)
            .max_dbs(databases);
        let flags = match self.durability {
            Durability::Data => EnvFlags::NO_META_SYNC,
            Durability::Full => EnvFlags::empty(),
        };
        #[expect(
            unsafe_code,
            reason = "heed's caller must guarantee the safe use of the file"
        )]
        // SAFETY: no other process changes the file while it is mapped, because the daemon holds the
        // lock of the directory; and the file's length was examined. NO_META_SYNC keeps integrity.
        let opened = unsafe {
            options.flags(flags);
            options.open(&self.directory)
        };
        opened.map_err(|error| {
            use heed::{Error, MdbError};
            match error {
                Error::Mdb(MdbError::Invalid | MdbError::VersionMismatch) => {
                    OpenError::Foreign(data.to_owned())
                }
                Error::Io(source) => file_error(data)(source),
                Error::Mdb(_)
                | Error::Encoding(_)
                | Error::Decoding(_)
                | Error::EnvAlreadyOpened => OpenError::from(error),
            }
        })
    }

    /// Checks that the mode of the database is that of the options, sets the mode of an empty database, and returns
    /// the key of the hashes. Entries and history are not hashed in either mode.
    fn check_mode(
        &self,
        tables: &Tables<'_>,
        txn: &mut RwTxn<'_>,
    ) -> Result<Option<PrivacyKey>, OpenError> {
        let path = self.directory.join(privacy::FILE);
        let mut filled = false;
        let others = [
            &tables.passed,
            &tables.clients,
            &tables.sleeps,
            &tables.names,
        ];
        for table in others.into_iter().chain(&tables.waiting) {
            filled |= !table.is_empty(txn)?;
        }
        let hashed = match tables.meta.get(txn, b"mode")? {
            Some([0]) => Some(None),
            Some([1, print @ ..]) => Some(Some(print.to_vec())),
            Some(_) => return Err(StoreError::Record.into()),
            None => None,
        };
        if let Some(found) = &hashed
            && filled
            && found.is_some() != self.privacy
        {
            let hashed = found.is_some();
            return Err(PrivacyError::Mode { hashed }.into());
        }
        let key = self
            .privacy
            .then(|| PrivacyKey::load(&path, !filled))
            .transpose()?;
        let print = key.as_ref().map(|key| key.hash(b"stargrey").to_vec());
        if filled && hashed.is_some_and(|found| found != print) {
            return Err(PrivacyError::WrongKey(path).into());
        }
        let mode = match print {
            None => vec![0],
            Some(print) => [vec![1], print].concat(),
        };
        if tables.meta.get(txn, b"mode")? != Some(mode.as_slice()) {
            tables.meta.put(txn, b"mode", &mode)?;
        }
        Ok(key)
    }
}

/// The state shared by both halves.
#[derive(Debug, Clone)]
struct Shared {
    env: Env<WithTls>,
    /// Dropped after the environment is closed.
    _table: Arc<Option<ReaderTable>>,
    tables: Tables<'static>,
    key: Option<PrivacyKey>,
    /// The slots that hold records.
    occupied: Occupied,
    /// The slots with records that other names refer to.
    named: Occupied,
}

/// Finds the slots that hold records.
fn occupied(env: &Env<WithTls>, tables: &Tables<'_>) -> Result<Occupied, StoreError> {
    let occupied = Occupied::default();
    let txn = env.read_txn()?;
    for (at, slot) in tables.waiting.iter().enumerate() {
        if !slot.is_empty(&txn)? {
            occupied.add(at);
        }
    }
    Ok(occupied)
}

/// Opens the databases and creates missing ones. Refuses an environment of another program.
fn create_tables<'t>(
    opener: &DatabaseOpener<'t, WithTls>,
    txn: &mut RwTxn<'t>,
    data: &Path,
) -> Result<Tables<'t>, OpenError> {
    if let Some(root) = opener.open_database::<Bytes, DecodeIgnore>(txn, None)?
        && !root.is_empty(txn)?
        && root.get(txn, b"meta")?.is_none()
    {
        return Err(OpenError::Foreign(data.to_owned()));
    }
    let mut create = |name: &str| opener.create_database(txn, Some(name));
    Ok(Tables {
        meta: create("meta")?,
        passed: create("passed")?,
        clients: create("clients")?,
        sleeps: create("sleeps")?,
        entries: create("entries")?,
        history: create("history")?,
        names: create("names")?,
        waiting: [
            create("waiting0")?,
            create("waiting1")?,
            create("waiting2")?,
            create("waiting3")?,
            create("waiting4")?,
            create("waiting5")?,
        ],
    })
}

/// Refuses a later format than the last known one, and stores the format of a new database. An older database gets that
/// format too: it has no records that later formats added, and the others are unchanged.
fn check_format(tables: &Tables<'_>, txn: &mut RwTxn<'_>) -> Result<(), OpenError> {
    let found = tables.meta.get(txn, b"format")?.map(<[u8; 4]>::try_from);
    match found {
        Some(Ok(bytes)) if u32::from_be_bytes(bytes) > FORMAT => {
            return Err(OpenError::Newer {
                found: u32::from_be_bytes(bytes),
                known: FORMAT,
            });
        }
        Some(Ok(bytes)) if u32::from_be_bytes(bytes) >= FORMAT_OF_NEW => {}
        None | Some(Ok(_)) => tables
            .meta
            .put(txn, b"format", &FORMAT_OF_NEW.to_be_bytes())?,
        Some(Err(_)) => return Err(StoreError::Record.into()),
    }
    Ok(())
}

/// An I/O error with its file.
fn file_error(path: &Path) -> impl FnOnce(io::Error) -> OpenError + use<'_> {
    move |source| OpenError::File {
        path: path.to_owned(),
        source,
    }
}

/// The size of a file in bytes; `None` if it does not exist.
fn size(path: &Path) -> Result<Option<u64>, OpenError> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(Some(metadata.len())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(file_error(path)(error)),
    }
}

#[cfg(test)]
mod control_tests;
#[cfg(test)]
pub(super) mod tests;
