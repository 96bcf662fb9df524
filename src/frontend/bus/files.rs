//! Files that callers have opened: for a backup, to restore from, to explain a message.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::fd::OwnedFd;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use zbus::Fd;

use super::error::invalid;
use crate::api::Error;
use crate::policy::message::{MAX_KEPT, Message, bare_newlines};

/// The largest message that is explained, in bytes.
const MAX_MESSAGE: u64 = 100 << 20;

/// How much of a message is read at once, in bytes.
const PIECE: usize = 64 << 10;

/// The file that a caller has opened for a backup: empty and writable.
pub(super) fn backup(file: Fd<'_>) -> Result<File, Error> {
    let file = regular_file(file, OFlag::O_RDONLY);
    let file = file.filter(|file| file.metadata().is_ok_and(|about| about.len() == 0));
    file.ok_or_else(|| {
        invalid(
            "This file cannot be used for a backup: open a new, empty, regular one for writing.",
        )
    })
}

/// The file that a caller has opened to restore from.
pub(super) fn restore(file: Fd<'_>) -> Result<File, Error> {
    let file = regular_file(file, OFlag::O_WRONLY);
    file.ok_or_else(|| invalid("This file cannot be a backup: open a regular one for reading."))
}

/// The file, rewound; `None` unless it is a regular file whose access mode is not `unusable`.
fn regular_file(file: Fd<'_>, unusable: OFlag) -> Option<File> {
    let mut file = File::from(OwnedFd::try_from(file).ok()?);
    let flags = fcntl(&file, FcntlArg::F_GETFL).ok()?;
    let mode = OFlag::from_bits_truncate(flags) & OFlag::O_ACCMODE;
    let is_usable = file.metadata().ok()?.is_file() && mode != unusable;
    // The caller may have moved the offset: what is before it would be missing in the copy.
    (is_usable && file.rewind().is_ok()).then_some(file)
}

/// The message that a caller has opened: at most [`MAX_MESSAGE`] bytes.
pub(super) fn message(file: Fd<'_>) -> Result<File, Error> {
    let file = regular_file(file, OFlag::O_WRONLY);
    let file = file
        .ok_or_else(|| invalid("This file cannot be a message: open a regular one for reading."))?;
    let length = file.metadata().map_or(u64::MAX, |about| about.len());
    if length > MAX_MESSAGE {
        return Err(invalid(&format!(
            "The message has {length} bytes; at most {MAX_MESSAGE} can be explained."
        )));
    }
    Ok(file)
}

/// Reads a message on a thread that may block. What a milter would not keep is not kept.
pub(super) async fn read_message(file: File) -> Result<Message, Error> {
    let read = tokio::task::spawn_blocking(move || kept(file.take(MAX_MESSAGE)));
    let read = read.await.map_err(io::Error::other);
    let read = read.flatten();
    read.map_err(|error| invalid(&format!("The message cannot be read: {error}.")))
}

/// The message, as far as a milter would have kept it.
fn kept(mut file: impl Read) -> io::Result<Message> {
    let mut begin = Vec::new();
    let most = u64::try_from(MAX_KEPT).unwrap_or(u64::MAX);
    file.by_ref().take(most).read_to_end(&mut begin)?;
    let mut more = 0_u64;
    let mut last = begin.last().copied();
    let mut piece = vec![0; PIECE];
    loop {
        let length = match file.read(&mut piece) {
            Ok(0) => return Ok(Message::received(&begin, more)),
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let part = piece.get(..length).unwrap_or_default();
        let is_split = last == Some(b'\r') && part.first() == Some(&b'\n');
        let bytes = u64::try_from(length).unwrap_or(u64::MAX);
        more = more
            .saturating_add(bytes)
            .saturating_add(bare_newlines(part))
            .saturating_sub(u64::from(is_split));
        last = part.last().copied();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_known_as_far_as_a_milter_would_keep_it() {
        let header = "Subject: x\n y\n\n";
        let lines = |count: usize| format!("{header}{}", "123456\n".repeat(count));
        // (message, whether its header and its body are known, its size with CR LF)
        let cases = [
            ("small", lines(1), true, true, 8 + 18),
            ("largest", lines(131_072), true, true, 8 * 131_072 + 18),
            (
                "one line more",
                lines(131_073),
                true,
                false,
                8 * 131_073 + 18,
            ),
            ("much more", lines(1 << 20), true, false, (8 << 20) + 18),
            (
                "many fields",
                format!("{}\nx", "A: b\n".repeat(1001)),
                false,
                false,
                1001 * 6 + 3,
            ),
            (
                "as many fields as there may be",
                format!("{}\nx", "A: b\n".repeat(1000)),
                true,
                true,
                1000 * 6 + 3,
            ),
            (
                "a long field",
                format!("A: {}\n\nx", "b".repeat(256 << 10)),
                false,
                false,
                (256 << 10) + 8,
            ),
        ];
        for (name, text, has_header, has_body, size) in cases {
            for text in [text.clone(), text.replace('\n', "\r\n")] {
                let message = kept(text.as_bytes()).unwrap();
                assert_eq!(!message.is_header_unknown(), has_header, "{name}");
                assert_eq!(message.body().is_some(), has_body, "{name}");
                assert_eq!(message.size(), Some(size), "{name}");
            }
        }
    }
}
