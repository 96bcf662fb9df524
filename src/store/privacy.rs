//! The key of `--privacy`: 32 random bytes in `privacy.key` beside the database.
//!
//! The keys of the database are keyed hashes with it. Without the file they cannot be looked up, so it is not part of
//! backups, and it is never replaced for a database that has records.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::policy::hash_of;

/// The file of the key, beside the database.
pub(super) const FILE: &str = "privacy.key";

/// Length of the key, and of the file, in bytes.
const KEY_LENGTH: usize = 32;

/// Length of a stored hash, in bytes.
pub(super) const HASH_LENGTH: usize = 16;

/// Why `--privacy`, or its key, does not match the database.
#[derive(Debug, thiserror::Error)]
pub enum PrivacyError {
    /// A database with records of the other mode.
    #[error(
        "the database was filled {}; keep that, or start with an empty --dbdir",
        if *.hashed { "with --privacy" } else { "without --privacy" }
    )]
    Mode {
        /// Whether its keys are hashes.
        hashed: bool,
    },
    /// The key of `--privacy` is not the one that the database was filled with.
    #[error("{0} is not the key of this database; restore the right one")]
    WrongKey(PathBuf),
}

/// Why the key of `--privacy` cannot be read or made.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// It is missing, or no key.
    #[error(transparent)]
    Privacy(#[from] PrivacyError),
    /// Its file cannot be read or made.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// The key that makes hashes of addresses.
#[derive(Clone)]
pub struct PrivacyKey([u8; KEY_LENGTH]);

impl PrivacyKey {
    /// Reads the key, or creates one if it is missing and `may_create` is set.
    pub(super) fn load(path: &Path, may_create: bool) -> Result<Self, KeyError> {
        match fs::read(path) {
            Ok(bytes) => bytes
                .try_into()
                .map(Self)
                .map_err(|_| PrivacyError::WrongKey(path.to_owned()).into()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if may_create {
                    Self::create(path).map_err(|source| KeyError::File {
                        path: path.to_owned(),
                        source,
                    })
                } else {
                    Err(PrivacyError::WrongKey(path.to_owned()).into())
                }
            }
            Err(source) => Err(KeyError::File {
                path: path.to_owned(),
                source,
            }),
        }
    }

    /// Reads the key of the database in this directory.
    ///
    /// # Errors
    ///
    /// [`KeyError`] if there is none, or it cannot be read.
    pub fn of_database(directory: &Path) -> Result<Self, KeyError> {
        Self::load(&directory.join(FILE), false)
    }

    /// What the database has in place of the key of a record: its hash, or the hash as which it is known.
    #[must_use]
    pub fn stored(&self, key: &[u8]) -> Vec<u8> {
        match hash_of(key) {
            Some(hash) => hash.to_vec(),
            None => self.hash(key).to_vec(),
        }
    }

    /// By what the hosts of a site see that they have one key: it says nothing about the key.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let print = self.hash(b"fingerprint for the other hosts");
        let digits = print.iter().take(4).map(|byte| format!("{byte:02x}"));
        digits.collect()
    }

    /// The hash that stands for `bytes`.
    pub(super) fn hash(&self, bytes: &[u8]) -> [u8; HASH_LENGTH] {
        let mut hash = [0; HASH_LENGTH];
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(bytes).finalize_xof().fill(&mut hash);
        hash
    }

    fn create(path: &Path) -> io::Result<Self> {
        let mut key = [0; KEY_LENGTH];
        getrandom::fill(&mut key).map_err(io::Error::from)?;
        // Written to a temporary file and renamed: an incomplete key would count as a wrong one.
        let draft = path.with_extension("new");
        let mut file = File::options()
            .create(true)
            .truncate(true)
            .write(true)
            .mode(0o600)
            .open(&draft)?;
        file.write_all(&key)?;
        file.sync_all()?;
        fs::rename(&draft, path)?;
        if let Some(directory) = path.parent() {
            File::open(directory)?.sync_all()?;
        }
        Ok(Self(key))
    }
}

impl std::fmt::Debug for PrivacyKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PrivacyKey")
    }
}
