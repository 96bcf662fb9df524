//! The data file, looked at before LMDB maps it.
//!
//! LMDB believes what its two meta pages say. If the file ends before the last page they name,
//! reading that page is a SIGBUS and the end of the daemon; so the file's length is compared first. A
//! file may be a little shorter and still whole, when its last pages are free: such a file is brought to
//! its length, and every record is read once before it is trusted. A note beside it says so as long as
//! that has not come to an end, so that a kill in between makes no torn file look whole.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::{StoreError, file_error, size};

/// LMDB's mark at the beginning of a meta page, behind the page's header.
const MAGIC: u32 = 0xBEEF_C0DE;

/// Where things are in a meta page on a machine with 64-bit pointers.
const MAGIC_AT: usize = 16;
const PAGE_SIZE_AT: usize = 40;
const LAST_PAGE_AT: usize = 136;
const TRANSACTION_AT: usize = 144;
const META_LENGTH: usize = 152;

/// A file that is shorter than its meta page says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Short {
    found: u64,
    needed: u64,
}

impl Short {
    /// Brings the file to the length that its meta page needs, with a note of the length it had.
    pub(super) fn lengthen(self, file: &Path) -> Result<(), StoreError> {
        let note = note(file);
        fs::write(&note, self.found.to_string())
            .and_then(|()| File::open(&note)?.sync_all())
            .map_err(file_error(&note))?;
        set_length(file, self.needed)
    }

    /// Brings the file back to the length it had.
    pub(super) fn shorten(self, file: &Path) -> Result<(), StoreError> {
        set_length(file, self.found)?;
        trust(file)
    }

    /// The complaint, once it is known that something is missing.
    pub(super) fn torn(self, file: &Path) -> StoreError {
        StoreError::Torn {
            file: file.to_owned(),
            found: self.found,
            needed: self.needed,
        }
    }
}

/// Looks at the file. `None`: it is missing, or as long as it should be.
pub(super) fn examine(path: &Path) -> Result<Option<Short>, StoreError> {
    let Some(length) = size(path)? else {
        return Ok(None);
    };
    let noted = match fs::read_to_string(note(path)) {
        Ok(text) => text.parse().ok(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(file_error(&note(path))(error)),
    };
    let found = noted.unwrap_or(length).min(length);
    if found == 0 || cfg!(not(target_pointer_width = "64")) {
        return Ok(None);
    }
    let foreign = || StoreError::Foreign(path.to_owned());
    let mut file = File::open(path).map_err(file_error(path))?;
    let first = read_meta(&mut file).map_err(file_error(path))?;
    let first = first.ok_or_else(foreign)?;
    skip(&mut file, first.page_size).map_err(file_error(path))?;
    let second = read_meta(&mut file).map_err(file_error(path))?;
    let newest = match second {
        Some(second) if second.transaction > first.transaction => second,
        Some(_) | None => first,
    };
    let needed = newest
        .last_page
        .saturating_add(1)
        .saturating_mul(first.page_size)
        .max(first.page_size.saturating_mul(2));
    if found >= needed {
        return Ok(None);
    }
    let short = Short { found, needed };
    if second.is_none() {
        return Err(short.torn(path));
    }
    Ok(Some(short))
}

/// The note about a file that is not trusted yet.
fn note(file: &Path) -> PathBuf {
    file.with_extension("short")
}

/// Takes the note away.
pub(super) fn trust(file: &Path) -> Result<(), StoreError> {
    let note = note(file);
    fs::remove_file(&note).map_err(file_error(&note))
}

fn set_length(path: &Path, length: u64) -> Result<(), StoreError> {
    File::options()
        .write(true)
        .open(path)
        .and_then(|file| file.set_len(length))
        .map_err(file_error(path))
}

/// What a meta page says.
#[derive(Debug, Clone, Copy)]
struct Meta {
    page_size: u64,
    last_page: u64,
    transaction: u64,
}

/// Reads the meta page that begins here; `None` if none does.
fn read_meta(file: &mut File) -> io::Result<Option<Meta>> {
    let mut bytes = [0; META_LENGTH];
    match file.read_exact(&mut bytes) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let short = |at| field(&bytes, at).map(u32::from_ne_bytes);
    let long = |at| field(&bytes, at).map(u64::from_ne_bytes);
    let meta = || {
        let page_size = short(PAGE_SIZE_AT)?;
        (short(MAGIC_AT)? == MAGIC && page_size.is_power_of_two() && page_size >= 512)
            .then_some(())?;
        Some(Meta {
            page_size: u64::from(page_size),
            last_page: long(LAST_PAGE_AT)?,
            transaction: long(TRANSACTION_AT)?,
        })
    };
    Ok(meta())
}

fn field<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

/// Goes to the beginning of the second page, having read the first meta.
fn skip(file: &mut File, page_size: u64) -> io::Result<()> {
    let rest = page_size.saturating_sub(META_LENGTH as u64);
    io::copy(&mut file.take(rest), &mut io::sink()).map(drop)
}
