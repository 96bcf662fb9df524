//! The report as a mail, and the program that sends it.
//!
//! ```text
//! multipart/alternative
//!   text/plain; charset=utf-8      the text with bars, as on a terminal of 80 columns
//!   text/html; charset=utf-8       the tables, for readers of mail show no SVG
//! ```
//!
//! Both are quoted-printable, so that no line is too long and no byte is not ASCII on the way. Sender, date and message
//! identifier are those that the mail system gives to a mail of a local program.

use std::io::{self, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use super::{Report, html, text};
use crate::ctl::failure::Failure;
use crate::ctl::render::TerminalStyle;

/// The longest line of an encoded body, without its end.
const MOST_COLUMNS: usize = 76;

/// Between the parts. An encoded body never has it, for it has no `=_`.
const BOUNDARY: &str = "=_stargrey_report_=";

/// How long the program may take.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Between two looks at the program.
const PAUSE: Duration = Duration::from_millis(20);

/// Whether an address may be in a header and in a command line.
#[must_use]
pub fn is_address(text: &str) -> bool {
    let is_plain =
        |c: char| c.is_ascii_graphic() && !matches!(c, '<' | '>' | ',' | ';' | '"' | '(' | ')');
    !text.is_empty() && text.len() <= 320 && !text.starts_with('-') && text.chars().all(is_plain)
}

/// The message, with line feeds as a local mail program takes them.
#[must_use]
pub fn message(report: &Report, to: &str, host: &str) -> String {
    let terminal = TerminalStyle::of_mail();
    let plain = text::text(report, &terminal);
    let lead = html::paragraphs(report, "<p>");
    let page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>stargrey</title></head><body>\n\
         {lead}{}</body></html>\n",
        html::tables(report)
    );
    let subject = report.effect.subject(&report.period.label);
    let mut out = head(to, &subject, host);
    out.extend([
        "Content-Type: multipart/alternative; boundary=\"",
        BOUNDARY,
        "\"\n\n",
    ]);
    for (kind, body) in [("plain", plain), ("html", page)] {
        out.extend(["--", BOUNDARY, "\n", &part(kind, &body), "\n"]);
    }
    out.extend(["--", BOUNDARY, "--\n"]);
    out
}

/// A message of nothing but text.
#[must_use]
pub fn letter(to: &str, subject: &str, host: &str, text: &str) -> String {
    head(to, subject, host) + &part("plain", text)
}

/// The fields of every message.
fn head(to: &str, subject: &str, host: &str) -> String {
    let host: String = host.chars().filter(char::is_ascii_graphic).collect();
    format!(
        "To: {to}\nSubject: stargrey on {host}: {subject}\nAuto-Submitted: auto-generated\nMIME-Version: 1.0\n"
    )
}

/// A body, and the fields about it.
fn part(kind: &str, body: &str) -> String {
    format!(
        "Content-Type: text/{kind}; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\n{}",
        quoted_printable(body)
    )
}

/// Text as quoted-printable (RFC 2045, 6.7).
fn quoted_printable(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        let mut columns = 0_usize;
        let bytes = line.as_bytes();
        for (index, byte) in bytes.iter().enumerate() {
            let is_last = index.saturating_add(1) == bytes.len();
            // A dot alone would end the mail of a careless program, and `From ` begins one in a mailbox.
            let is_odd = index == 0 && matches!(byte, b'.' | b'F');
            let is_plain = match byte {
                b'=' => false,
                b' ' => !is_last,
                byte => byte.is_ascii_graphic() && !is_odd,
            };
            let written = if is_plain { 1 } else { 3 };
            if columns.saturating_add(written) >= MOST_COLUMNS {
                out.push_str("=\n");
                columns = 0;
            }
            if is_plain {
                out.push(char::from(*byte));
            } else {
                out.extend(['=', digit(byte >> 4), digit(byte & 15)]);
            }
            columns = columns.saturating_add(written);
        }
        out.push('\n');
    }
    out
}

/// A hexadecimal digit.
fn digit(value: u8) -> char {
    char::from_digit(value.into(), 16)
        .unwrap_or_default()
        .to_ascii_uppercase()
}

/// Sends a message by a program that reads it as `sendmail -i ADDRESS` does; it is ended after `patience`.
///
/// # Errors
///
/// [`Failure::Sendmail`].
pub fn send(program: &Path, to: &str, message: String, patience: Duration) -> Result<(), Failure> {
    let failed = |why: String| Failure::Sendmail {
        program: program.to_owned(),
        why,
    };
    let spawned = Command::new(program)
        .args(["-i", "--", to])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn();
    let mut child = spawned.map_err(|error| failed(error.to_string()))?;
    let input = child.stdin.take();
    // A program that does not read holds up nobody but this thread, and that no longer than it lives.
    let writing = thread::Builder::new().spawn(move || {
        let Some(mut input) = input else {
            return Ok(());
        };
        input.write_all(message.as_bytes())
    });
    let writing = writing.map_err(Failure::System)?;
    let mut left = patience;
    let status = loop {
        match child
            .try_wait()
            .map_err(|error| failed(error.to_string()))?
        {
            Some(status) => break status,
            None if left.is_zero() => {
                let killed = child.kill().and_then(|()| child.wait());
                let seconds = patience.as_secs();
                killed.map_err(|error| failed(error.to_string()))?;
                return Err(failed(format!("it did not end within {seconds} s")));
            }
            None => {
                thread::park_timeout(PAUSE);
                left = left.saturating_sub(PAUSE);
            }
        }
    };
    if !status.success() {
        return Err(failed(status.to_string()));
    }
    match writing.join() {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(failed(error.to_string())),
        Err(_) => Err(failed(io::ErrorKind::BrokenPipe.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn no_line_is_too_long_and_no_byte_is_not_ascii() {
        let cases = [
            ("a=b\n", "a=3Db\n".to_owned()),
            ("ends with a blank \n", "ends with a blank=20\n".to_owned()),
            (".\nFrom x\n", "=2E\n=46rom x\n".to_owned()),
            ("█ ü\n", "=E2=96=88 =C3=BC\n".to_owned()),
            ("a\r\n", "a\n".to_owned()),
        ];
        for (text, want) in cases {
            assert_eq!(quoted_printable(text), want);
        }
        let long = quoted_printable(&"ü=".repeat(100));
        assert!(long.is_ascii() && !long.contains(BOUNDARY));
        assert!(
            long.lines().all(|line| line.len() <= MOST_COLUMNS),
            "{long}"
        );
        assert_eq!(long.replace("=\n", "").trim_end(), "=C3=BC=3D".repeat(100));
    }

    #[test]
    fn an_address_is_one_word_and_no_option() {
        for address in ["root", "ann@example.org", "a+b@example.org"] {
            assert!(is_address(address), "{address}");
        }
        for text in ["", "-t", "a b", "a\nBcc: b", "a,b", "a\u{fc}", "<a@b>"] {
            assert!(!is_address(text), "{text:?}");
        }
    }

    #[test]
    fn a_program_that_fails_or_hangs_is_a_failure() {
        let directory = tempfile::tempdir().unwrap();
        let program = directory.path().join("sendmail");
        let got = directory.path().join("got");
        let cases = [
            (
                format!("cat >{0}; echo \"$@\" >>{0}", got.display()),
                Ok(()),
            ),
            ("exit 75".to_owned(), Err("exit status: 75")),
            (
                "exec tail -f /dev/null".to_owned(),
                Err("it did not end within 0 s"),
            ),
        ];
        for (script, want) in cases {
            fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
            fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
            let patience = if want.is_err() {
                Duration::from_millis(100)
            } else {
                PATIENCE
            };
            // More than a pipe holds.
            let message = "x\n".repeat(100_000);
            let sent = send(&program, "ann@example.org", message.clone(), patience);
            match (sent, want) {
                (Ok(()), Ok(())) => {
                    let want = message + "-i -- ann@example.org\n";
                    assert_eq!(fs::read_to_string(&got).unwrap(), want);
                }
                (Err(error), Err(why)) => assert!(error.to_string().contains(why), "{error}"),
                (sent, want) => panic!("{script}: {sent:?} {want:?}"),
            }
        }
        let absent = send(Path::new("/nonexistent"), "a@b", String::new(), PATIENCE);
        assert!(absent.is_err());
    }
}
