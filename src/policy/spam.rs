//! What a spam filter says of a message.

/// A score and what comes with it. Numbers are thousandths of a point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpamScore {
    /// Whether the filter takes the message for spam, if it says so.
    pub is_spam: Option<bool>,
    /// The score.
    pub score: i64,
    /// The score from which on a message is spam, if the filter says so.
    pub threshold: Option<i64>,
    /// The names of the tests that have matched, in the order of the filter.
    pub tests: Vec<Box<str>>,
}

/// Thousandths with one decimal, cut towards zero, as SpamAssassin writes scores.
pub(super) fn tenths(thousandths: i64) -> String {
    let tenths = thousandths / 100;
    let sign = if tenths < 0 { "-" } else { "" };
    let tenths = tenths.unsigned_abs();
    format!("{sign}{}.{}", tenths / 10, tenths % 10)
}

/// The thousandths that a decimal number has, which may have a sign; `None` if the text is none. What is beyond the third
/// decimal is cut.
#[must_use]
pub fn thousandths(text: &str) -> Option<i64> {
    let (is_negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, text.get(1..)?),
        b'+' => (false, text.get(1..)?),
        _ => (false, text),
    };
    let (whole, decimals) = digits.split_once('.').unwrap_or((digits, ""));
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(whole) || !is_number(decimals) || (whole.is_empty() && decimals.is_empty()) {
        return None;
    }
    let whole: i64 = if whole.is_empty() {
        0
    } else {
        whole.parse().ok()?
    };
    let mut part: i64 = 0;
    for place in 0..3 {
        let digit = decimals
            .as_bytes()
            .get(place)
            .map_or(0, |digit| digit.saturating_sub(b'0'));
        part = part.checked_mul(10)?.checked_add(i64::from(digit))?;
    }
    let number = whole.checked_mul(1000)?.checked_add(part)?;
    if is_negative {
        number.checked_neg()
    } else {
        Some(number)
    }
}
