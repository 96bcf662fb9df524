//! Parsers of option values, one for each type.

use std::str::FromStr;

use crate::types::Span;

/// A whole number from `least` to `most`.
pub(super) fn number<T>(text: &str, least: T, most: T) -> Result<T, String>
where
    T: FromStr + PartialOrd + std::fmt::Display + Copy,
{
    text.parse()
        .ok()
        .filter(|number| (least..=most).contains(number))
        .ok_or_else(|| format!("{text:?} is not an integer from {least} to {most}"))
}

/// Days, or hours with a trailing `h`.
pub(super) fn retry_window(text: &str) -> Result<Span, String> {
    let most_days = 36_500;
    match text.strip_suffix(['h', 'H']) {
        Some(hours) => number(hours, 0, most_days * 24).map(Span::from_hours),
        None => number(text, 0, most_days).map(Span::from_days),
    }
    .map_err(|_| format!("{text:?} is not a number of days, or of hours with a trailing h"))
}

/// Seconds, or minutes or hours with a suffix.
pub(super) fn span(text: &str) -> Result<Span, String> {
    let units = [("s", 1_u64), ("min", 60), ("m", 60), ("h", 3600), ("", 1)];
    let seconds = units.into_iter().find_map(|(suffix, unit)| {
        let digits = text.strip_suffix(suffix)?;
        number(digits, 1, 604_800 / unit).ok()?.checked_mul(unit)
    });
    seconds
        .map(Span::from_seconds)
        .ok_or_else(|| format!("{text:?} is not a time from 1s to 168h, such as 90s, 15m or 2h"))
}

/// Permission bits in octal.
pub(super) fn mode(text: &str) -> Result<u32, String> {
    u32::from_str_radix(text, 8)
        .ok()
        .filter(|mode| *mode <= 0o777)
        .ok_or_else(|| format!("{text:?} is not an octal mode from 0 to 777"))
}

/// Bytes, with an optional suffix K, M, G or T (powers of 1024).
pub(super) fn size(text: &str, least: u64) -> Result<usize, String> {
    let shift = |suffix: &str| match suffix {
        "K" | "k" => Some(10),
        "M" | "m" => Some(20),
        "G" | "g" => Some(30),
        "T" | "t" => Some(40),
        "" => Some(0),
        _ => None,
    };
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let suffix = text.get(digits.len()..).unwrap_or_default();
    let bytes = shift(suffix).and_then(|shift| digits.parse::<u64>().ok()?.checked_mul(1 << shift));
    let bytes = bytes.ok_or_else(|| format!("{text:?} is not a size such as 16G or 500M"))?;
    if bytes < least {
        return Err(format!(
            "{text:?} is too small; the minimum is {least} bytes"
        ));
    }
    // LMDB requires whole pages; 64 KiB is the largest page size of any machine.
    let whole = bytes.next_multiple_of(65_536);
    usize::try_from(whole)
        .ok()
        .filter(|bytes| *bytes <= isize::MAX.unsigned_abs())
        .ok_or_else(|| format!("{text:?} is more than this machine can address"))
}

/// One of the words that an option takes.
pub(super) fn word<T: Copy>(text: &str, words: &[(&str, T)]) -> Result<T, String> {
    words
        .iter()
        .find(|(word, _)| *word == text)
        .map(|(_, value)| *value)
        .ok_or_else(|| {
            let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            format!("{text:?} is not one of {}", known.join(", "))
        })
}

/// Longest identifier of log records, in bytes (RFC 5424, 6.2.5).
const MAX_SYSLOG_NAME: usize = 48;

/// An identifier of log records: what stands before `[PID]:` in a line of syslog, where readers take it apart.
pub(super) fn syslog_name(text: &str) -> Result<String, String> {
    let is_plain = |c: char| c.is_ascii_graphic() && !matches!(c, '[' | ']' | ':');
    if (1..=MAX_SYSLOG_NAME).contains(&text.len()) && text.chars().all(is_plain) {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "{text:?} is not 1 to {MAX_SYSLOG_NAME} printable ASCII characters without blanks, colons and brackets"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_windows_are_days_or_hours() {
        for (text, want) in [("2", 172_800), ("6h", 21_600), ("6H", 21_600), ("0", 0)] {
            assert_eq!(retry_window(text).unwrap().seconds(), want, "{text}");
        }
        for text in ["", "h", "2d", "-1", "1.5", "2 h"] {
            assert!(retry_window(text).is_err(), "{text}");
        }
    }

    #[test]
    fn times_are_seconds_or_have_a_unit() {
        for (text, want) in [
            ("90", Some(90)),
            ("90s", Some(90)),
            ("15m", Some(900)),
            ("15min", Some(900)),
            ("2h", Some(7200)),
            ("168h", Some(604_800)),
            ("169h", None),
            ("0", None),
            ("m", None),
            ("1d", None),
            ("-1", None),
        ] {
            let got = span(text).ok().map(Span::seconds);
            assert_eq!(got, want, "{text}");
        }
    }

    #[test]
    fn sizes_have_suffixes() {
        for (text, want) in [("1G", 1 << 30), ("512m", 512 << 20), ("2097152", 2 << 20)] {
            assert_eq!(size(text, 1 << 20).unwrap(), want, "{text}");
        }
        for text in ["", "G", "1P", "1GB", "-1", "1", "99999999999T"] {
            assert!(size(text, 1 << 20).is_err(), "{text}");
        }
    }

    #[test]
    fn modes_are_octal() {
        assert_eq!(mode("0666"), Ok(0o666));
        assert_eq!(mode("660"), Ok(0o660));
        assert!(mode("0888").is_err());
        assert!(mode("1777").is_err());
    }
}
