//! The answer of spamd to `SYMBOLS`.
//!
//! ```text
//! answer = "SPAMD/" version " 0 EX_OK" CRLF *( header CRLF ) CRLF *( test [ "," ] )
//! header = "Content-length: " digits                  ; of the tests
//!        / "Spam: " verdict " ; " score " / " score   ; verdict: True, Yes, False or No
//!        / any other, which is not looked at
//! ```

use crate::policy::spam::{SpamScore, thousandths};

/// The longest header of an answer, in bytes.
pub const MOST_HEADER: usize = 1024;

/// The longest list of tests, in bytes.
pub const MOST_TESTS: usize = 16 << 10;

/// Most tests that are kept.
const MOST_NAMES: usize = 256;

/// Why an answer is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// The status is not `0 EX_OK`.
    #[error("it refuses to check messages")]
    Status,
    /// It is not the protocol of spamd.
    #[error("its answer is not that of spamd")]
    Protocol,
    /// Something is longer than spamd would write it.
    #[error("its answer is too long")]
    Long,
    /// It ends too early.
    #[error("its answer is incomplete")]
    Incomplete,
}

/// Reads as much of an answer as has come; `None` if there must be more of it.
///
/// # Errors
///
/// As soon as it cannot become an answer.
pub fn parse(bytes: &[u8]) -> Result<Option<SpamScore>, AnswerError> {
    let begin = bytes.get(..MOST_HEADER).unwrap_or(bytes);
    let Some(end) = memchr::memmem::find(begin, b"\r\n\r\n") else {
        let status: &[u8] = b"SPAMD/";
        let is_begun = begin.iter().zip(status).all(|(byte, want)| byte == want);
        return match (is_begun, begin.len() < MOST_HEADER) {
            (false, _) => Err(AnswerError::Protocol),
            (true, false) => Err(AnswerError::Long),
            (true, true) => Ok(None),
        };
    };
    let (header, rest) = bytes.split_at(end);
    let header = std::str::from_utf8(header).map_err(|_| AnswerError::Protocol)?;
    let mut lines = header.split("\r\n");
    check_status(lines.next().unwrap_or_default())?;
    let (mut length, mut result) = (None, None);
    for line in lines {
        let (name, value) = line.split_once(':').ok_or(AnswerError::Protocol)?;
        let value = value.trim();
        if name.eq_ignore_ascii_case("Content-length") {
            length = Some(value.parse::<usize>().map_err(|_| AnswerError::Protocol)?);
        } else if name.eq_ignore_ascii_case("Spam") {
            result = Some(verdict(value).ok_or(AnswerError::Protocol)?);
        }
    }
    let (length, result) = length.zip(result).ok_or(AnswerError::Protocol)?;
    if length > MOST_TESTS {
        return Err(AnswerError::Long);
    }
    let tests = rest.get(4..).unwrap_or_default();
    let Some(tests) = tests.get(..length) else {
        return Ok(None);
    };
    Ok(Some(SpamScore {
        tests: names(tests),
        ..result
    }))
}

/// The first line: version, number and word of the status.
fn check_status(line: &str) -> Result<(), AnswerError> {
    let status = line.strip_prefix("SPAMD/").ok_or(AnswerError::Protocol)?;
    let mut words = status.split_ascii_whitespace();
    let number = words.nth(1).and_then(|number| number.parse::<u32>().ok());
    match number {
        Some(0) => Ok(()),
        Some(_) => Err(AnswerError::Status),
        None => Err(AnswerError::Protocol),
    }
}

/// `True ; 15.3 / 5.0`.
fn verdict(text: &str) -> Option<SpamScore> {
    let (verdict, numbers) = text.split_once(';')?;
    let (score, threshold) = numbers.split_once('/')?;
    let is_spam = match verdict.trim() {
        "True" | "Yes" => true,
        "False" | "No" => false,
        _ => return None,
    };
    Some(SpamScore {
        is_spam: Some(is_spam),
        score: thousandths(score.trim())?,
        threshold: Some(thousandths(threshold.trim())?),
        tests: Vec::new(),
    })
}

/// The names of tests; what is not a name is left out.
fn names(tests: &[u8]) -> Vec<Box<str>> {
    let is_name = |name: &&[u8]| {
        let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
        !name.is_empty() && name.len() <= 100 && name.iter().all(is_part)
    };
    let names = tests.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    let names = names.filter(is_name).take(MOST_NAMES);
    names
        .map(|name| String::from_utf8_lossy(name).into())
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn answer(verdict: &str, tests: &str) -> String {
        let length = tests.len();
        format!("SPAMD/1.1 0 EX_OK\r\nContent-length: {length}\r\nSpam: {verdict}\r\n\r\n{tests}")
    }

    #[test]
    fn an_answer_has_a_verdict_two_numbers_and_tests() {
        for (verdict, tests, want) in [
            (
                "True ; 1002.3 / 5.0",
                "GTUBE,RULE_B",
                (true, 1_002_300, 5_000, 2),
            ),
            ("False ; -1.2 / 5.0", "", (false, -1_200, 5_000, 0)),
            ("No ; 0 / 5", " A , ,b\r\n,c d,\u{e9}", (false, 0, 5_000, 2)),
            ("Yes;7.25/-3.5", "X", (true, 7_250, -3_500, 1)),
        ] {
            let score = parse(answer(verdict, tests).as_bytes()).unwrap().unwrap();
            let got = (
                score.is_spam.unwrap(),
                score.score,
                score.threshold.unwrap(),
                score.tests.len(),
            );
            assert_eq!(got, want, "{verdict}");
        }
        let more: &[u8] =
            b"SPAMD/1.5 0 EX_OK\r\nspam: False ; 1.0 / 5.0\r\nX: y\r\ncontent-Length: 1\r\n\r\nAB";
        let score = parse(more).unwrap().unwrap();
        assert_eq!(score.tests, [Box::from("A")]);
    }

    #[test]
    fn an_answer_that_has_not_come_as_a_whole_is_waited_for() {
        let whole = answer("True ; 1002.3 / 5.0", "GTUBE,RULE_B");
        for length in 0..whole.len() {
            let part = whole.as_bytes().get(..length).unwrap();
            assert_eq!(parse(part), Ok(None), "{length}");
        }
    }

    #[test]
    fn what_is_no_answer_is_known_early() {
        use AnswerError::{Long, Protocol, Status};
        let long = format!("SPAMD/1.1 0 EX_OK\r\nX: {}", "x".repeat(2000));
        for (bytes, want) in [
            ("220 mail.example.com ESMTP\r\n", Protocol),
            ("S\0", Protocol),
            ("SPAMD/1.0 76 Bad header line: (x)\r\n\r\n", Status),
            ("SPAMD/1.0\r\n\r\n", Protocol),
            ("SPAMD/1.1 0 EX_OK\r\n\r\n", Protocol),
            ("SPAMD/1.1 0 EX_OK\r\nSpam: True ; 1 / 5\r\n\r\n", Protocol),
            ("SPAMD/1.1 0 EX_OK\r\nContent-length: 5\r\n\r\n", Protocol),
            (
                "SPAMD/1.1 0 EX_OK\r\nContent-length: -5\r\nSpam: True ; 1 / 5\r\n\r\n",
                Protocol,
            ),
            (
                "SPAMD/1.1 0 EX_OK\r\nContent-length: 5\r\nSpam: Maybe ; 1 / 5\r\n\r\n",
                Protocol,
            ),
            (
                "SPAMD/1.1 0 EX_OK\r\nContent-length: 5\r\nSpam: True ; nan / 5\r\n\r\n",
                Protocol,
            ),
            (
                "SPAMD/1.1 0 EX_OK\r\nContent-length: 5\r\nSpam: True ; 1e9 / 5\r\n\r\n",
                Protocol,
            ),
            (
                "SPAMD/1.1 0 EX_OK\r\nContent-length: 99999999\r\nSpam: True ; 1 / 5\r\n\r\n",
                Long,
            ),
            (&long, Long),
        ] {
            assert_eq!(parse(bytes.as_bytes()), Err(want), "{bytes}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(
            head in prop::sample::select(vec!["", "SPAMD/1.1 0 EX_OK\r\n", "SPAMD/1.1 0 EX_OK\r\nContent-length: 3\r\nSpam: True ; 1 / 5\r\n\r\n"]),
            rest in prop::collection::vec(any::<u8>(), 0..2000),
        ) {
            let bytes = [head.as_bytes(), &rest].concat();
            if let Ok(Some(score)) = parse(&bytes) {
                prop_assert!(score.tests.len() <= MOST_NAMES);
            }
        }
    }
}
