//! `test-message`: which lines of the tables for messages match a message. Reads the tables itself; the daemon need not
//! run.

use std::ffi::OsString;
use std::io::{self, Read};
use std::path::Path;

use serde_json::{Value, json};

use super::Answer;
use crate::config::tables::{self, TableFile};
use crate::config::{Diagnostic, Diagnostics, ListFiles, Options, ParseOutcome, UnitOptions};
use crate::ctl::args::TestMessage;
use crate::ctl::exit;
use crate::ctl::failure::{ArgumentError, Failure};
use crate::ctl::json;
use crate::policy::checks::{CheckMatch, Findings, MessageChecks, Place, Settlement};
use crate::policy::message::Message;
use crate::types::Printable;

/// The argument that means standard input.
const STDIN: &str = "-";

/// Searches the tables for the message.
///
/// # Errors
///
/// [`Failure::Tables`] with every error of a table, and if there is none; [`Failure::Open`] for the message.
pub fn run(options: &TestMessage, is_json: bool) -> Result<Answer, Failure> {
    let (header, body) = if options.header_checks.is_empty() && options.body_checks.is_empty() {
        of_unit()?
    } else {
        (
            files(Place::Header, &options.header_checks)?,
            files(Place::Body, &options.body_checks)?,
        )
    };
    if header.is_empty() && body.is_empty() {
        return Err(ArgumentError::NoTables.into());
    }
    let (checks, findings) = tables::load_checks(&header, &body);
    refuse(&findings.errors)?;
    let bytes = read(&options.file).map_err(|source| Failure::Open {
        path: options.file.clone(),
        source,
    })?;
    Ok(answer(&checks, &Message::parse(&bytes), is_json))
}

/// The tables of the command line.
fn files(place: Place, texts: &[String]) -> Result<Vec<TableFile>, Failure> {
    let files = texts.iter().map(|text| TableFile::parse_expressions(text));
    let files: Result<_, _> = files.collect();
    files.map_err(|error| {
        let option = tables::check_option(place);
        Failure::Tables(Diagnostic::option(option, error).to_string())
    })
}

/// The tables of the options of the unit.
fn of_unit() -> Result<(Vec<TableFile>, Vec<TableFile>), Failure> {
    let unit = UnitOptions::read();
    refuse(&unit.errors)?;
    let words = [OsString::from("stargreyd")]
        .into_iter()
        .chain(unit.options);
    let options = match Options::parse_line(words) {
        Ok(options) => options,
        Err(ParseOutcome::HelpOrVersion(_)) => return Ok((Vec::new(), Vec::new())),
        Err(ParseOutcome::Errors(errors, _)) => {
            refuse(&errors)?;
            return Ok((Vec::new(), Vec::new()));
        }
    };
    let mut found = Diagnostics::default();
    let files = ListFiles::new(&options, true, &mut found);
    refuse(&found.errors)?;
    Ok((files.header_checks, files.body_checks))
}

/// A failure with these errors, if there are any.
fn refuse(errors: &[Diagnostic]) -> Result<(), Failure> {
    if errors.is_empty() {
        return Ok(());
    }
    let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
    Err(Failure::Tables(lines.join("\n")))
}

fn read(file: &Path) -> io::Result<Vec<u8>> {
    if file.as_os_str() != STDIN {
        return std::fs::read(file);
    }
    let mut bytes = Vec::new();
    io::stdin().lock().read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The lines that match, and what becomes of the message.
fn answer(checks: &MessageChecks, message: &Message, is_json: bool) -> Answer {
    let findings = checks.examine(message);
    let result = result(&findings);
    let matches: Vec<CheckMatch<'_>> = checks.matches(message).collect();
    let code = if matches.is_empty() {
        exit::NO
    } else {
        exit::OK
    };
    let text = if is_json {
        let matches: Value = matches.iter().map(|found| object(checks, found)).collect();
        json::shown(&json!({ "matches": matches, "result": result }))
    } else {
        let mut text: String = matches.iter().map(|found| lines(checks, found)).collect();
        if matches.is_empty() {
            text.push_str("No line of the tables matches the message.\n");
        }
        text + "Result: " + &result + "\n"
    };
    Answer { text, code }
}

/// The entry of a match: its place, and its text.
fn entry(checks: &MessageChecks, found: &CheckMatch<'_>) -> (String, String) {
    let tables = match found.place {
        Place::Header => &checks.header,
        Place::Body => &checks.body,
    };
    let entry = tables.entries().get(found.entry.number);
    entry.map_or_else(Default::default, |entry| {
        let text = Printable(entry.text.as_bytes()).to_string();
        (entry.source.to_string(), text)
    })
}

/// The word for a place.
const fn word(place: Place) -> &'static str {
    match place {
        Place::Header => "header",
        Place::Body => "body",
    }
}

fn lines(checks: &MessageChecks, found: &CheckMatch<'_>) -> String {
    let (source, text) = entry(checks, found);
    let (place, number) = (word(found.place), found.number.saturating_add(1));
    let seen = Printable(found.seen);
    format!("{source}: {text}\n    {place} {number}: {seen}\n")
}

fn object(checks: &MessageChecks, found: &CheckMatch<'_>) -> Value {
    let (source, text) = entry(checks, found);
    json!({
        "place": word(found.place),
        "number": found.number.saturating_add(1),
        "seen": Printable(found.seen).to_string(),
        "source": source,
        "entry": text,
    })
}

/// What becomes of the message by the tables alone.
fn result(findings: &Findings) -> String {
    match &findings.settled {
        Some((Settlement::Reply(code, text), _)) => {
            format!("{} {} {text}", code.number, code.enhanced)
        }
        Some((Settlement::Discard(_), _)) => "DISCARD".to_owned(),
        Some((Settlement::Hold(_), _)) => "HOLD".to_owned(),
        None if findings.greylists.is_some() => "GREYLIST".to_owned(),
        None => "no objection".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checks(header: &str, body: &str) -> MessageChecks {
        let mut checks = MessageChecks::default();
        let mut findings = Diagnostics::default();
        let file = TableFile::regexp("/t");
        let mut add = |tables, place, text: &str| {
            tables::add_check(tables, place, &file, text.as_bytes(), &mut findings);
        };
        add(&mut checks.header, Place::Header, header);
        add(&mut checks.body, Place::Body, body);
        assert!(findings.errors.is_empty(), "{:?}", findings.errors);
        checks
    }

    #[test]
    fn each_match_is_shown_decoded_with_the_line_of_the_table() {
        let checks = checks(
            "/^Subject:.*広告/ GREYLIST\n/^X-/ IGNORE\n",
            "# spam\n/買/ HOLD\n/今/ 554 no\n",
        );
        let cases: [(&[u8], u8, &str); 5] = [
            (
                b"A: b\nSubject: =?iso-2022-jp?B?GyRCOS05cBsoQg==?=\n\nx\n",
                exit::OK,
                "/t:1: /^Subject:.*広告/ GREYLIST\n    header 2: Subject: 広告\nResult: GREYLIST\n",
            ),
            (
                b"Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\n=E8=B2=B7\\\n",
                exit::OK,
                "/t:2: /買/ HOLD\n    body 1: 買\\x5c\nResult: HOLD\n",
            ),
            (
                "A: b\n\n買\n今\n今\n".as_bytes(),
                exit::OK,
                "/t:2: /買/ HOLD\n    body 1: 買\n/t:3: /今/ 554 no\n    body 2: 今\n\
                 /t:3: /今/ 554 no\n    body 3: 今\nResult: 554 5.7.1 no\n",
            ),
            (
                b"X-A: b\n\n",
                exit::OK,
                "/t:2: /^X-/ IGNORE\n    header 1: X-A: b\nResult: no objection\n",
            ),
            (
                b"",
                exit::NO,
                "No line of the tables matches the message.\nResult: no objection\n",
            ),
        ];
        for (message, code, want) in cases {
            let found = answer(&checks, &Message::parse(message), false);
            assert_eq!((found.text.as_str(), found.code), (want, code));
        }
    }

    #[test]
    fn json_has_the_same() {
        let checks = checks("/^X-/ IGNORE\n", "");
        let found = answer(&checks, &Message::parse(b"X-A: b\n\n"), true);
        let value: Value = serde_json::from_str(&found.text).unwrap();
        let want = json!({
            "matches": [{
                "place": "header", "number": 1, "seen": "X-A: b",
                "source": "/t:1", "entry": "/^X-/ IGNORE",
            }],
            "result": "no objection",
        });
        assert_eq!(value, want);
    }
}
