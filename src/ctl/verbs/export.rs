//! `export`: all records, and the entries that were added, as JSON lines.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::json;

use super::{Answer, moved};
use crate::api::{Dict, MOST_ROWS};
use crate::ctl::failure::Failure;
use crate::ctl::import::{header, trailer};
use crate::ctl::json;
use crate::ctl::output::{NewFile, say};
use crate::ctl::session::Session;
use crate::types::{Printable, counted};

/// Writes the records to a file or to standard output, page by page.
pub(super) async fn run(
    session: &Session,
    path: Option<&Path>,
    force: bool,
) -> Result<Answer, Failure> {
    let manager = session.manager().await?;
    let mut file = path.map(|path| NewFile::create(path, force)).transpose()?;
    let mut text = format!("{}\n", header());
    let mut after = Vec::new();
    let mut count = 0_u64;
    loop {
        let page = manager.export(&after, MOST_ROWS);
        let (rows, next) = session.ask("Export", page).await?;
        lines(&mut text, &rows);
        count = count.saturating_add(u64::try_from(rows.len()).unwrap_or(u64::MAX));
        match &mut file {
            Some(file) => file.write(&text)?,
            None => say(&text)?,
        }
        text.clear();
        if next.is_empty() {
            break;
        }
        after = next;
    }
    let entries = moved::added(session).await?;
    count = count.saturating_add(u64::try_from(entries.len()).unwrap_or(u64::MAX));
    lines(&mut text, &entries);
    end(&mut text, count);
    match &mut file {
        Some(file) => file.write(&text)?,
        None => say(&text)?,
    }
    let (Some(file), Some(path)) = (file, path) else {
        return Ok(Answer::yes(""));
    };
    file.finish()?;
    if session.view.json {
        return Ok(Answer::yes(json::shown(&json!({ "records": count }))));
    }
    let count = counted(count, "record is", "records are");
    let name = Printable(path.as_os_str().as_encoded_bytes());
    Ok(Answer::yes(format!("{count} written to {name}.\n")))
}

/// Appends a line for each row to `text`.
fn lines(text: &mut String, rows: &[Dict]) {
    for row in rows {
        // Writing to a String cannot fail.
        let written = writeln!(text, "{}", json::object(row));
        debug_assert!(written.is_ok());
    }
}

/// Appends the last line of an export to `text`.
fn end(text: &mut String, count: u64) {
    let written = writeln!(text, "{}", trailer(count));
    debug_assert!(written.is_ok());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{FIRST, KIND, KIND_TRIPLET, Row, SENDER};
    use crate::ctl::import::{JsonItem, JsonLines};

    #[test]
    fn what_is_written_is_read() {
        let row = Row::new()
            .with(KIND, KIND_TRIPLET)
            .with(SENDER, "\\xff\"@example.org")
            .with(FIRST, 1_795_318_397_u64)
            .build();
        let mut text = format!("{}\n", header());
        lines(&mut text, &[row]);
        end(&mut text, 1);
        let want = format!(
            r#"{{"counted":true,"schema":1,"stargrey":"export","version":"{}"}}
{{"first":1795318397,"kind":"triplet","sender":"\\xff\"@example.org"}}
{{"records":1,"stargrey":"end"}}
"#,
            env!("CARGO_PKG_VERSION")
        );
        assert_eq!(text, want);
        let rows: Vec<_> = JsonLines::new(text.as_bytes())
            .map(|item| match item.unwrap() {
                JsonItem::Row(row) => row,
                other @ (JsonItem::Skipped(_) | JsonItem::Uncounted) => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(json::array(&rows)[0][SENDER], "\\xff\"@example.org");
    }
}
