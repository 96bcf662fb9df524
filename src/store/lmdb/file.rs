//! The data file, looked at before LMDB maps it.
//!
//! LMDB believes what its two meta pages say. If the file ends before the last page they name,
//! reading that page is a SIGBUS and the end of the daemon; so the file's length is compared first. LMDB
//! itself may leave out pages at the end that a transaction has taken and freed again; the writer brings the
//! file to its length after each commit that lets it grow ([`lengthen`]), so that a file that is too short
//! has lost something.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::{StoreError, file_error, size};

/// LMDB's mark at the beginning of a meta page, behind the page's header.
const MAGIC: u32 = 0xBEEF_C0DE;

/// Where things are in a meta page on a machine with 64-bit pointers.
const MAGIC_AT: usize = 16;
const PAGE_SIZE_AT: usize = 40;
const LAST_PAGE_AT: usize = 136;
const TRANSACTION_AT: usize = 144;
const META_LENGTH: usize = 152;

/// Looks at the file, if there is one.
///
/// # Errors
///
/// [`StoreError::Torn`] when it is shorter than it says, [`StoreError::Foreign`] when it is not LMDB's.
pub(super) fn examine(path: &Path) -> Result<(), StoreError> {
    let Some(found) = size(path)? else {
        return Ok(());
    };
    if found == 0 || cfg!(not(target_pointer_width = "64")) {
        return Ok(());
    }
    let mut file = File::open(path).map_err(file_error(path))?;
    let first = read_meta(&mut file)
        .map_err(file_error(path))?
        .ok_or_else(|| StoreError::Foreign(path.to_owned()))?;
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
    Err(StoreError::Torn {
        file: path.to_owned(),
        found,
        needed,
    })
}

/// Brings the file to the length that its pages need.
pub(super) fn lengthen(file: &File, needed: u64) -> io::Result<()> {
    if file.metadata()?.len() < needed {
        file.set_len(needed)?;
    }
    Ok(())
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
