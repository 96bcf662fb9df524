//! Shell patterns, read anew at each byte of the text: what [`matches`](super::matches) must agree with.

use crate::policy::ere::set::ByteSet;

/// Whether a pattern matches the whole of a text.
pub(super) fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut pattern, mut text) = (pattern, text);
    // What is behind the last asterisk, and what it has to match unless the asterisk takes another byte.
    let mut last = None;
    loop {
        if let [b'*', behind @ ..] = pattern {
            pattern = behind;
            last = Some((behind, text));
        } else if pattern.is_empty() && text.is_empty() {
            return true;
        } else if let Some(left) = step(pattern, text) {
            (pattern, text) = left;
        } else {
            let Some((behind, [_, later @ ..])) = last else {
                return false;
            };
            (pattern, text) = (behind, later);
            last = Some((behind, later));
        }
    }
}

/// What is left of both when the first part of the pattern, no asterisk, matches the first byte of the text.
fn step<'p, 't>(pattern: &'p [u8], text: &'t [u8]) -> Option<(&'p [u8], &'t [u8])> {
    let (byte, rest) = text.split_first()?;
    let (is_match, left) = match pattern {
        [] | [b'\\'] => return None,
        [b'?', left @ ..] => (true, left),
        // Without its end, a bracket is an ordinary byte.
        [b'[', inside @ ..] => match bracket(inside) {
            Some((set, left)) => (set.contains(*byte), left),
            None => (*byte == b'[', inside),
        },
        [b'\\', wanted, left @ ..] | [wanted, left @ ..] => (wanted == byte, left),
    };
    is_match.then_some((left, rest))
}

/// The bytes of a bracket expression after its `[`, and what is behind its end; `None` if it has no end.
fn bracket(inside: &[u8]) -> Option<(ByteSet, &[u8])> {
    let (is_negated, mut rest) = match inside {
        [b'!' | b'^', rest @ ..] => (true, rest),
        _ => (false, inside),
    };
    let mut set = ByteSet::empty();
    let mut is_first = true;
    loop {
        // A `]` that comes first is ordinary.
        if let [b']', left @ ..] = rest
            && !is_first
        {
            let set = if is_negated { set.inverted() } else { set };
            return Some((set, left));
        }
        is_first = false;
        if let Some((class, behind)) = named(rest) {
            set.insert_all(&class);
            rest = behind;
            continue;
        }
        let (low, behind) = byte(rest)?;
        rest = match behind {
            [b'-', end @ ..] if !end.starts_with(b"]") => {
                let (high, behind) = byte(end)?;
                set.insert_all(&ByteSet::of(|byte| (low..=high).contains(byte)));
                behind
            }
            _ => {
                set.insert(low);
                behind
            }
        };
    }
}

/// A class, `[:name:]`, and what is behind it.
fn named(text: &[u8]) -> Option<(ByteSet, &[u8])> {
    let name = text.strip_prefix(b"[:")?;
    let end = name.windows(2).position(|end| end == b":]")?;
    let (name, behind) = name.split_at(end);
    Some((ByteSet::class(name)?, behind.get(2..)?))
}

/// A byte of a bracket expression, and what is behind it.
const fn byte(text: &[u8]) -> Option<(u8, &[u8])> {
    match text {
        [b'\\', byte, behind @ ..] | [byte, behind @ ..] => Some((*byte, behind)),
        [] => None,
    }
}
