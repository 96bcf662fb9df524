//! The entries of the lists, in pages.
//!
//! # The cursor
//!
//! ```text
//! cursor = list kind line file        ; an entry of a file: kind 0, line in four bytes
//!        | list kind 0 pattern        ; a runtime entry: kind 1
//! ```
//!
//! It is a position in the order of the listing, not an entry: entries may be added and removed between two pages.

use std::os::unix::ffi::OsStrExt;

use super::error::invalid;
use crate::api::{
    ADDED, COMMENT, Dict, EXPIRES, Error, HITS, LAST_HIT, LIST, OLD_COMMENT, PATTERN, Row, SOURCE,
    SOURCE_BUS,
};
use crate::control::{EntryView, PutEntry};
use crate::policy::{ListName, Source};
use crate::types::Timestamp;

/// Bytes of patterns and comments in one page, not counting those of the last entry.
const MAX_PAGE_BYTES: usize = 1 << 20;

/// The position of an entry in the listing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct EntryCursor {
    list: u8,
    is_added: bool,
    /// The file, or the pattern of a runtime entry.
    text: Vec<u8>,
    line: u32,
}

impl EntryCursor {
    fn of(entry: &EntryView) -> Self {
        let place = ListName::ALL.iter().position(|list| *list == entry.list);
        let list = place.and_then(|place| u8::try_from(place).ok());
        let (is_added, text, line) = match &entry.source {
            Source::Line(file, line) => (false, file.as_os_str().as_bytes(), *line),
            Source::Bus => (true, entry.pattern.as_bytes(), 0),
        };
        Self {
            list: list.unwrap_or(u8::MAX),
            is_added,
            text: text.to_vec(),
            line,
        }
    }

    fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![self.list, u8::from(self.is_added)];
        bytes.extend_from_slice(&self.line.to_be_bytes());
        bytes.extend_from_slice(&self.text);
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let ([list, kind], rest) = bytes.split_first_chunk()?;
        let (line, text) = rest.split_first_chunk()?;
        Some(Self {
            list: *list,
            is_added: match kind {
                0 => false,
                1 => true,
                _ => return None,
            },
            text: text.to_vec(),
            line: u32::from_be_bytes(*line),
        })
    }
}

/// An entry that was added or changed.
pub(super) fn from_put(put: &PutEntry) -> Dict {
    let before = put.before.as_ref();
    Row::new()
        .with(PATTERN, &*put.entry.text)
        .with(COMMENT, &*put.entry.comment)
        .with(EXPIRES, put.entry.expires.map_or(0, Timestamp::seconds))
        .with_some(OLD_COMMENT, before.map(|before| &*before.comment))
        .build()
}

/// The entries after the cursor `after`, in the order of lists, files and lines, runtime entries last; and the cursor
/// for the next page, empty if this is the last one.
pub(super) fn page(
    entries: Vec<EntryView>,
    list: Option<ListName>,
    after: &[u8],
    limit: u32,
) -> Result<(Vec<Dict>, Vec<u8>), Error> {
    let after = match after {
        [] => None,
        bytes => Some(
            EntryCursor::decode(bytes)
                .ok_or_else(|| invalid("Invalid cursor: begin again with an empty one."))?,
        ),
    };
    let mut ordered: Vec<(EntryCursor, EntryView)> = entries
        .into_iter()
        .filter(|entry| list.is_none_or(|list| list == entry.list))
        .map(|entry| (EntryCursor::of(&entry), entry))
        .collect();
    ordered.sort_by(|(a, _), (b, _)| a.cmp(b));
    let begin = after.map_or(0, |after| {
        ordered.partition_point(|(place, _)| *place <= after)
    });
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut rows = Vec::new();
    let mut bytes = 0_usize;
    let mut rest = ordered.iter().skip(begin).peekable();
    while let Some((place, entry)) = rest.next() {
        let size = entry.pattern.len().saturating_add(entry.comment.len());
        bytes = bytes.saturating_add(size);
        rows.push(row(entry));
        if rest.peek().is_some() && (rows.len() >= limit || bytes >= MAX_PAGE_BYTES) {
            return Ok((rows, place.encode()));
        }
    }
    Ok((rows, Vec::new()))
}

fn row(entry: &EntryView) -> Dict {
    let seconds = |time: Option<Timestamp>| time.map_or(0, Timestamp::seconds);
    Row::new()
        .with(LIST, entry.list.word())
        .with(PATTERN, entry.pattern.as_str())
        .with(
            SOURCE,
            match &entry.source {
                line @ Source::Line(..) => line.to_string(),
                Source::Bus => SOURCE_BUS.to_owned(),
            },
        )
        .with(COMMENT, entry.comment.as_str())
        .with_some(ADDED, entry.added.map(Timestamp::seconds))
        .with(EXPIRES, seconds(entry.expires))
        .with(HITS, entry.hits)
        .with(LAST_HIT, seconds(entry.last_hit))
        .build()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::api::FromRow;

    fn entry(list: ListName, place: Option<(&str, u32)>, pattern: &str) -> EntryView {
        EntryView {
            list,
            pattern: pattern.to_owned(),
            source: match place {
                Some((file, line)) => Source::Line(Path::new(file).into(), line),
                None => Source::Bus,
            },
            comment: String::new(),
            added: None,
            expires: None,
            hits: 0,
            last_hit: None,
        }
    }

    fn patterns(rows: &[Dict]) -> Vec<&str> {
        rows.iter().filter_map(|row| row.text(PATTERN)).collect()
    }

    #[test]
    fn pages_go_through_lists_files_and_lines() {
        use ListName::{Client, Sender};
        let all = vec![
            entry(Sender, None, "z@added"),
            entry(Client, None, "added"),
            entry(Client, Some(("/b", 2)), "b2"),
            entry(Client, Some(("/a", 10)), "a10"),
            entry(Client, Some(("/a", 9)), "a9"),
        ];
        let want = ["a9", "a10", "b2", "added", "z@added"];
        for limit in 1..=6_u32 {
            let (mut seen, mut after) = (Vec::new(), Vec::new());
            loop {
                let (rows, next) = page(all.clone(), None, &after, limit).unwrap();
                assert!(rows.len() <= limit as usize && !rows.is_empty());
                seen.extend(patterns(&rows).into_iter().map(str::to_owned));
                if next.is_empty() {
                    break;
                }
                after = next;
            }
            assert_eq!(seen, want, "{limit}");
        }
        let (rows, next) = page(all, Some(Sender), &[], 1).unwrap();
        assert_eq!(patterns(&rows), ["z@added"]);
        assert!(next.is_empty());
    }

    #[test]
    fn the_next_page_begins_behind_an_entry_that_is_gone() {
        let file = |line, pattern| entry(ListName::Client, Some(("/a", line)), pattern);
        let before = vec![file(1, "one"), file(2, "two"), file(3, "three")];
        let (rows, next) = page(before, None, &[], 2).unwrap();
        assert_eq!(patterns(&rows), ["one", "two"]);
        let (rows, _) = page(vec![file(1, "one"), file(3, "three")], None, &next, 2).unwrap();
        assert_eq!(patterns(&rows), ["three"]);
        for foreign in [&b"x"[..], b"\0\x02\0\0\0\0", b"\0\0\0\0\0"] {
            assert!(page(Vec::new(), None, foreign, 1).is_err());
        }
    }

    #[test]
    fn a_page_ends_when_its_texts_are_long() {
        let long = "x".repeat(MAX_PAGE_BYTES / 2);
        let all: Vec<EntryView> = (1..=5)
            .map(|line| entry(ListName::Client, Some(("/a", line)), &long))
            .collect();
        let (rows, next) = page(all.clone(), None, &[], 1000).unwrap();
        assert_eq!(rows.len(), 2);
        let (rows, _) = page(all, None, &next, 1000).unwrap();
        assert_eq!(rows.len(), 2);
    }

    #[test]
    fn a_row_says_where_the_entry_comes_from() {
        let from = |place| {
            let (rows, _) = page(vec![entry(ListName::Client, place, "x")], None, &[], 1).unwrap();
            rows[0].text(SOURCE).unwrap().to_owned()
        };
        assert_eq!(from(Some(("/etc/x", 7))), "/etc/x:7");
        assert_eq!(from(None), "bus");
    }
}
