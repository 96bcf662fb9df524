//! Examines the data file before LMDB maps it.
//!
//! LMDB trusts its two meta pages. If the file ends before the last page that they name, reading that page is a SIGBUS,
//! which kills the daemon; so the length of the file is compared first. LMDB itself may omit pages at the end that a
//! transaction has allocated and freed again; the writer extends the file after each commit that lets it grow
//! ([`lengthen`]), so that a file that is too short is truncated.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use super::{file_error, size};
use crate::store::{LockError, OpenError};

/// LMDB's magic number at the beginning of a meta page, after the page header.
const MAGIC: u32 = 0xBEEF_C0DE;

/// Bytes of a page number, a pointer or a size in the file: LMDB writes them in native format.
const WORD: usize = size_of::<usize>();

/// Offsets in a meta page. The page's header is a page number and 8 bytes; then come the magic number, the
/// version (4 bytes each), the address and the size of the map, and two tables' descriptions, each of 8 bytes and five
/// words. The first of these 8 bytes of the first table are the page size.
const MAGIC_AT: usize = WORD + 8;
const PAGE_SIZE_AT: usize = MAGIC_AT + 8 + 2 * WORD;
const LAST_PAGE_AT: usize = PAGE_SIZE_AT + 2 * (8 + 5 * WORD);
const TRANSACTION_AT: usize = LAST_PAGE_AT + WORD;
const META_LENGTH: usize = TRANSACTION_AT + WORD;

/// Opens the file, creating an empty one if it is missing, and locks it: this stops a second daemon even if the
/// directory or the lock file was replaced.
///
/// # Errors
///
/// [`LockError::Held`] when another process has it, [`OpenError::File`] when it cannot be opened.
pub(super) fn open(path: &Path) -> Result<Flock<File>, OpenError> {
    let file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(file_error(path))?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(file) => Ok(file),
        Err((_, Errno::EWOULDBLOCK)) => Err(LockError::Held(path.to_owned()).into()),
        Err((_, errno)) => Err(file_error(path)(errno.into())),
    }
}

/// Examines the file, if it exists.
///
/// # Errors
///
/// [`OpenError::Truncated`] when it is shorter than it says, [`OpenError::Foreign`] when it is not LMDB's.
pub(super) fn examine(path: &Path) -> Result<(), OpenError> {
    let Some(found) = size(path)? else {
        return Ok(());
    };
    if found == 0 {
        return Ok(());
    }
    let mut file = File::open(path).map_err(file_error(path))?;
    let first = read_meta(&mut file)
        .map_err(file_error(path))?
        .ok_or_else(|| OpenError::Foreign(path.to_owned()))?;
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
        return Ok(());
    }
    Err(OpenError::Truncated {
        file: path.to_owned(),
        found,
        needed,
    })
}

/// Extends the file to the length that its pages need.
pub(super) fn lengthen(file: &File, needed: u64) -> io::Result<()> {
    if file.metadata()?.len() < needed {
        file.set_len(needed)?;
    }
    Ok(())
}

/// The content of a meta page.
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
    let word = |at| field(&bytes, at).map(|word| usize::from_ne_bytes(word) as u64);
    let meta = || {
        let page_size = short(PAGE_SIZE_AT)?;
        (short(MAGIC_AT)? == MAGIC && page_size.is_power_of_two() && page_size >= 512)
            .then_some(())?;
        Some(Meta {
            page_size: u64::from(page_size),
            last_page: word(LAST_PAGE_AT)?,
            transaction: word(TRANSACTION_AT)?,
        })
    };
    Ok(meta())
}

fn field<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

/// Seeks to the beginning of the second page, after the first meta page was read.
fn skip(file: &mut File, page_size: u64) -> io::Result<()> {
    let rest = page_size.saturating_sub(META_LENGTH as u64);
    io::copy(&mut file.take(rest), &mut io::sink()).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_lacks_pages_gets_them_and_none_is_taken_away() {
        let file = tempfile::tempfile().unwrap();
        for (needed, want) in [(8192, 8192), (4096, 8192), (12_288, 12_288)] {
            lengthen(&file, needed).unwrap();
            assert_eq!(file.metadata().unwrap().len(), want);
        }
    }
}
