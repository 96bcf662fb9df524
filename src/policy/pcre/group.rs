//! Groups: the part after `(`.

use super::{PcreError, PcreFlags};

/// An open group.
#[derive(Debug)]
pub(super) struct Group {
    /// The flags that apply again after it.
    pub(super) outside: PcreFlags,
    /// How many groups there were before it.
    pub(super) groups: u32,
}

/// The construct that a `(` opens.
#[derive(Debug)]
pub(super) enum Opened {
    /// A group that captures.
    Capturing,
    /// A group that does not capture, with its flags.
    Plain(String),
    /// Flags that apply from here on, without a group.
    Flags(String),
    /// `(?#`: nothing.
    Comment,
}

/// Constructs that the `regex` crate does not have, by the text after `(?`.
const REFUSED: &[(&str, PcreError)] = &[
    ("=", PcreError::LookAround("(?=")),
    ("!", PcreError::LookAround("(?!")),
    ("<=", PcreError::LookAround("(?<=")),
    ("<!", PcreError::LookAround("(?<!")),
    (">", PcreError::Atomic),
    ("(", PcreError::Condition),
    ("|", PcreError::BranchReset),
    ("P=", PcreError::BackReference),
    ("P>", PcreError::Recursion),
    ("&", PcreError::Recursion),
    ("R", PcreError::Recursion),
    ("C", PcreError::Verb),
];

/// Parses the construct after a `(`, and changes the flags.
pub(super) fn open(rest: &mut &str, flags: &mut PcreFlags) -> Result<Opened, PcreError> {
    if rest.starts_with('*') {
        return Err(PcreError::Verb);
    }
    let Some(behind) = rest.strip_prefix('?') else {
        return Ok(Opened::Capturing);
    };
    if let Some((_, error)) = REFUSED.iter().find(|(begin, _)| behind.starts_with(begin)) {
        return Err(error.clone());
    }
    let is_call = behind.trim_start_matches(['+', '-']);
    if is_call.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(PcreError::Recursion);
    }
    if let Some(behind) = behind.strip_prefix('#') {
        *rest = behind;
        return Ok(Opened::Comment);
    }
    for (begin, end) in [("P<", '>'), ("<", '>'), ("'", '\'')] {
        if let Some(behind) = behind.strip_prefix(begin) {
            *rest = after_name(behind, end).ok_or(PcreError::Group)?;
            return Ok(Opened::Capturing);
        }
    }
    let end = behind.find([':', ')']).ok_or(PcreError::Open)?;
    let (letters, behind) = behind.split_at(end);
    let written = change(letters, flags)?;
    let is_group = behind.starts_with(':');
    *rest = behind.get(1..).unwrap_or_default();
    Ok(match (is_group, written.as_str()) {
        (true, _) => Opened::Plain(format!("(?{written}:")),
        (false, "") => Opened::Flags(String::new()),
        (false, _) => Opened::Flags(format!("(?{written})")),
    })
}

/// The text after the name of a group.
fn after_name(text: &str, end: char) -> Option<&str> {
    let (name, behind) = text.split_once(end)?;
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let begins = name.starts_with(|c: char| !c.is_ascii_digit());
    (begins && name.len() <= 32 && name.chars().all(is_word)).then_some(behind)
}

/// Changes the flags as in `im-sx`. Returns the flags that the `regex` crate needs.
fn change(letters: &str, flags: &mut PcreFlags) -> Result<String, PcreError> {
    let (mut on, mut off) = (String::new(), String::new());
    let mut is_on = true;
    for letter in letters.chars() {
        match letter {
            '-' if is_on => {
                is_on = false;
                continue;
            }
            'i' => flags.ignore_case = is_on,
            'm' => flags.lines = is_on,
            's' => flags.dot_all = is_on,
            'U' => flags.ungreedy = is_on,
            'x' => {
                flags.extended = is_on;
                continue;
            }
            _ => return Err(PcreError::Group),
        }
        let written = if is_on { &mut on } else { &mut off };
        if !written.contains(letter) {
            written.push(letter);
        }
    }
    on.retain(|letter| !off.contains(letter));
    Ok(if off.is_empty() {
        on
    } else {
        format!("{on}-{off}")
    })
}
