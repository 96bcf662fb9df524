//! `list`, `allow` and `remove`: the entries of the lists.

use std::borrow::Cow;

use super::{Answer, bare};
use crate::api::{
    COMMENT, Dict, EXPIRES, FromRow, HITS, LAST_HIT, LIFETIME, LIST, MOST_ROWS, OLD_COMMENT,
    PATTERN, Row, SOURCE, SOURCE_BUS,
};
use crate::ctl::args::{Allow, List, ShownList};
use crate::ctl::failure::{ArgumentError, Failure};
use crate::ctl::json;
use crate::ctl::render::{Cell, Column, Plain, Style, Table};
use crate::ctl::session::Session;
use crate::ctl::view::View;
use crate::types::{ListName, Span};

/// The default directory of list files, which the table omits to save width.
const DEFAULT_DIRECTORY: &str = "/etc/stargrey/";

/// The list name of client access tables, which these verbs do not edit.
const ACCESS: &str = ListName::ClientAccess.word();

/// The pattern that matches only the null sender.
const NULL: &str = "/^$/";

/// Lists the entries.
pub(super) async fn list(session: &Session, list: Option<ShownList>) -> Result<Answer, Failure> {
    let rows = entries(session, list, PasswordPrompt::Allowed).await?;
    Ok(Answer::yes(text(&rows, list, &session.view)))
}

/// Whether polkit may ask for a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PasswordPrompt {
    Allowed,
    Never,
}

/// The entries, from all pages.
pub(super) async fn entries(
    session: &Session,
    list: Option<ShownList>,
    prompt: PasswordPrompt,
) -> Result<Vec<Dict>, Failure> {
    let manager = session.manager().await?;
    let filter = Row::new()
        .with_some(LIST, list.map(ShownList::word))
        .build();
    let mut rows = Vec::new();
    let mut after = Vec::new();
    loop {
        let page = async {
            match prompt {
                PasswordPrompt::Allowed => manager.list_entries(&filter, &after, MOST_ROWS).await,
                PasswordPrompt::Never => manager.peek_entries(&filter, &after, MOST_ROWS).await,
            }
        };
        let (page, next) = session.ask("ListEntries", page).await?;
        rows.extend(page);
        if next.is_empty() {
            return Ok(rows);
        }
        after = next;
    }
}

/// Prints the entries of a list that can be removed, for completions: nothing if the daemon does not run or requires a
/// password.
pub(super) async fn removable(session: &Session, list: List) -> Result<Answer, Failure> {
    if !session.has_daemon().await {
        return Ok(Answer::yes(""));
    }
    let rows = entries(session, Some(ShownList::Open(list)), PasswordPrompt::Never).await?;
    let mut text = String::new();
    for row in rows.iter().filter(|row| is_added(row)) {
        let pattern = row.text(PATTERN).unwrap_or_default();
        text.extend([&*Plain(pattern).to_string(), "\n"]);
    }
    Ok(Answer::yes(text))
}

/// Whether an entry was added with `allow`.
pub(super) fn is_added(row: &Dict) -> bool {
    row.text(SOURCE) == Some(SOURCE_BUS)
}

/// Adds an entry.
pub(super) async fn allow(session: &Session, options: &Allow) -> Result<Answer, Failure> {
    let view = &session.view;
    let lifetime = options.lifetime.map(|lifetime| lifetime.resolve(&view.now));
    let lifetime = lifetime.transpose().map_err(ArgumentError::When)?;
    let list = options.list.word();
    let pattern = written(options.list, &options.pattern);
    let lifetime = lifetime.map(|lifetime| lifetime.map_or(0, Span::seconds));
    let changes = Row::new()
        .with_some(COMMENT, options.comment.as_deref())
        .with_some(LIFETIME, lifetime)
        .build();
    let manager = session.manager().await?;
    let call = manager.put_entry(list, &pattern, &changes);
    let entry = session.ask("PutEntry", call).await?;
    let comment = entry.text(COMMENT).unwrap_or_default();
    let end = entry.number(EXPIRES).unwrap_or_default();
    let until = match end {
        0 => String::new(),
        end => format!(" until {}", view.local(end)),
    };
    let sentence = match entry.text(OLD_COMMENT) {
        None => format!("{} is on the {list}{until}.", named(&pattern)),
        Some(old) => format!(
            "{} stays on the {list}{}.\n{}",
            named(&pattern),
            if end == 0 { " forever" } else { &until },
            changed_comment(old, comment),
        ),
    };
    Ok(Answer::done(view, sentence.trim_end()))
}

/// The message about the comment of an entry.
fn changed_comment(old: &str, new: &str) -> String {
    match (old, new) {
        ("", "") => String::new(),
        (old, new) if old == new => format!("Its comment is unchanged: {}", Plain(old)),
        (old, "") => format!("Its comment was removed; it was: {}", Plain(old)),
        ("", new) => format!("Its comment is: {}", Plain(new)),
        (old, new) => format!("Its comment is: {}; it was: {}", Plain(new), Plain(old)),
    }
}

/// Whether an entry has this pattern: the daemon folds the case of all patterns but expressions.
pub(super) fn is_same(row: &Dict, pattern: &str) -> bool {
    let (text, pattern) = (row.text(PATTERN).unwrap_or_default(), pattern.trim());
    text == pattern || !pattern.starts_with('/') && text.eq_ignore_ascii_case(pattern)
}

/// Removes an entry.
pub(super) async fn remove(
    session: &Session,
    list: List,
    pattern: &str,
) -> Result<Answer, Failure> {
    let manager = session.manager().await?;
    let remove = async |pattern: &str| {
        let call = manager.remove_entry(list.word(), pattern);
        session.ask("RemoveEntry", call).await
    };
    let mut gone = written(list, pattern);
    match remove(&gone).await {
        // Another D-Bus client may have added it with brackets.
        Err(Failure::NoSuchEntry(_)) if *gone != *pattern => {
            gone = pattern.into();
            remove(&gone).await?;
        }
        done => done?,
    }
    let sentence = format!("{} was removed from the {}.", named(&gone), list.word());
    Ok(Answer::done(&session.view, &sentence))
}

/// A pattern as it is stored: in lists of mail addresses without the brackets around an address.
fn written(list: List, pattern: &str) -> Cow<'_, str> {
    match (list, pattern) {
        (List::Client | List::S25rExceptions, pattern) => pattern.into(),
        (List::Sender | List::Recipient, "<>") => NULL.into(),
        (List::Sender | List::Recipient, pattern) => bare(pattern).into(),
    }
}

/// A pattern in a sentence.
fn named(pattern: &str) -> Cow<'_, str> {
    match pattern {
        NULL => format!("{NULL}, the pattern for <>,").into(),
        pattern => Plain(pattern).to_string().into(),
    }
}

/// The entries, of one list or all.
fn text(rows: &[Dict], list: Option<ShownList>, view: &View) -> String {
    if view.json {
        return json::shown(&json::array(rows));
    }
    let any = |key: &str| {
        let has = |row: &Dict| {
            row.number(key).is_some_and(|n| n > 0) || row.text(key).is_some_and(|t| !t.is_empty())
        };
        rows.iter().any(has)
    };
    let optional = [
        (list.is_none(), Column::left("LIST"), LIST),
        (true, Column::left("PATTERN").shrinking(), PATTERN),
        (true, Column::left("SOURCE").minor(), SOURCE),
        (true, Column::right("HITS"), HITS),
        (any(LAST_HIT), Column::right("HIT AGO"), LAST_HIT),
        (any(EXPIRES), Column::right("EXPIRES IN"), EXPIRES),
        (any(COMMENT), Column::left("COMMENT").minor(), COMMENT),
    ];
    let wanted: Vec<_> = optional
        .into_iter()
        .filter(|(is_wanted, ..)| *is_wanted)
        .collect();
    let columns: Vec<_> = wanted.iter().map(|(_, column, _)| *column).collect();
    let mut table = Table::new(&columns, ("entry", "entries"));
    for row in rows {
        table.push(wanted.iter().map(|(_, _, key)| cell(row, key, view)));
    }
    table.render(&view.terminal)
}

/// A cell of the table.
fn cell(row: &Dict, key: &str, view: &View) -> Cell {
    let text = row.text(key).unwrap_or_default();
    match key {
        // The short names, which `list` accepts, save width.
        LIST if text != ACCESS => Cell::new(text.split('-').next().unwrap_or(text)),
        HITS => {
            let hits = row.number(key).unwrap_or_default();
            let style = if hits == 0 { Style::Dim } else { Style::Plain };
            Cell::from(hits).styled(style)
        }
        SOURCE => Cell::new(text.strip_prefix(DEFAULT_DIRECTORY).unwrap_or(text)),
        LAST_HIT | EXPIRES => Cell::from(view.apart_if_ever(row.number(key))),
        _ => Cell::new(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_795_318_397;

    fn rows() -> Vec<Dict> {
        let row = |list: &str, pattern: &str, source: &str, hits: u64| {
            Row::new()
                .with(LIST, list)
                .with(PATTERN, pattern)
                .with(SOURCE, source)
                .with(HITS, hits)
                .with(LAST_HIT, if hits == 0 { 0 } else { NOW - 303 })
        };
        let file = "/etc/stargrey/whitelist_clients:12";
        vec![
            row("client-whitelist", "google.com", file, 4711).build(),
            row("client-whitelist", "192.0.2.0/24", "bus", 3)
                .with(COMMENT, "branch office, ask Ann")
                .with(crate::api::ADDED, NOW - 86_400)
                .with(EXPIRES, NOW + 29 * 86_400)
                .build(),
            row(
                "recipient-whitelist",
                "postmaster@",
                "/etc/stargrey/whitelist_recipients:7",
                0,
            )
            .build(),
            row("s25r-exceptions", "/^a\u{7}b\\.c$/", "bus", 0).build(),
        ]
    }

    #[test]
    fn all_lists() {
        let want = "
LIST       PATTERN        SOURCE         HITS  HIT AGO  EXPIRES IN  COMMENT
client     google.com     whitel…nts:12  4711  5min 3s
client     192.0.2.0/24   bus               3  5min 3s     29 days  branch…k Ann
recipient  postmaster@    whitel…ents:7     0
s25r       /^a\\x07b\\.c$/  bus               0

4 entries listed.
";
        let got = text(&rows(), None, &View::of_80_columns());
        assert_eq!(format!("\n{got}"), want);
    }

    #[test]
    fn patterns_are_whole_where_sources_and_comments_can_be_shorter() {
        let pattern = "/^[a-z]+[0-9]{4}\\.out\\.example\\.org$/";
        let row = Row::new()
            .with(LIST, "client-whitelist")
            .with(PATTERN, pattern)
            .with(SOURCE, "/usr/share/stargrey/whitelist_clients:123")
            .with(HITS, 1_u64)
            .with(COMMENT, "they asked for it in a ticket of last week")
            .build();
        let got = text(&[row], None, &View::of_80_columns());
        assert!(got.contains(pattern), "{got}");
        assert!(got.lines().all(|line| line.chars().count() <= 80), "{got}");
    }

    #[test]
    fn a_line_of_an_access_table_is_in_no_list() {
        let row = Row::new()
            .with(LIST, "client-access")
            .with(PATTERN, "192.0.2")
            .with(SOURCE, "/etc/postfix/clients:3")
            .with(HITS, 1_u64)
            .build();
        let want = "
LIST           PATTERN  SOURCE                  HITS
client-access  192.0.2  /etc/postfix/clients:3     1

1 entry listed.
";
        let got = text(&[row], None, &View::of_80_columns());
        assert_eq!(format!("\n{got}"), want);
    }

    #[test]
    fn addresses_lose_their_brackets_where_addresses_are_listed() {
        let cases = [
            (List::Sender, "<ann@example.org>", "ann@example.org"),
            (List::Recipient, "<bob@>", "bob@"),
            (List::Sender, "<>", "/^$/"),
            (List::Sender, "/^<a>$/", "/^<a>$/"),
            (List::Client, "<>", "<>"),
            (List::S25rExceptions, "<a.b>", "<a.b>"),
        ];
        for (list, typed, want) in cases {
            assert_eq!(written(list, typed), want, "{typed}");
        }
        assert_eq!(named("/^$/"), "/^$/, the pattern for <>,");
        assert_eq!(named("/a\\.b\u{1b}/"), "/a\\.b\\x1b/");
    }

    #[test]
    fn one_list() {
        let want = "
PATTERN      SOURCE                  HITS
postmaster@  whitelist_recipients:7     0

1 entry listed.
";
        let got = text(
            &rows()[2..3],
            Some(ShownList::Open(List::Recipient)),
            &View::of_80_columns(),
        );
        assert_eq!(format!("\n{got}"), want);
    }

    #[test]
    fn json_has_the_rows_as_they_are() {
        let got = text(&rows()[2..3], None, &View::of_json());
        let want = r#"[
  {
    "hits": 0,
    "last_hit": 0,
    "list": "recipient-whitelist",
    "pattern": "postmaster@",
    "source": "/etc/stargrey/whitelist_recipients:7"
  }
]
"#;
        assert_eq!(got, want);
    }
}
