//! Content transfer encodings, read as leniently as mail clients do: what is broken must not hide a text.

/// What a byte of base64 that has no value is: padding, white space, or none of base64's.
const PADDING: u8 = 64;
const BLANK: u8 = 65;
const FOREIGN: u8 = 66;

/// The values of the characters of base64.
#[expect(
    clippy::indexing_slicing,
    reason = "a byte is less than the length, and the compiler evaluates it"
)]
const VALUES: [u8; 256] = {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut values = [FOREIGN; 256];
    let (mut digits, mut value) = (DIGITS.as_slice(), 0);
    while let [digit, others @ ..] = digits {
        values[*digit as usize] = value;
        (digits, value) = (others, value + 1);
    }
    let mut blanks: &[u8] = b" \t\r\n";
    while let [blank, others @ ..] = blanks {
        values[*blank as usize] = BLANK;
        blanks = others;
    }
    values[b'=' as usize] = PADDING;
    values
};

/// The value of a character.
fn value(byte: u8) -> u8 {
    VALUES.get(usize::from(byte)).copied().unwrap_or(FOREIGN)
}

/// The bytes of a base64 text, and whether it has only characters of base64 and white space. Others are skipped; after a
/// padding another text may begin.
pub(super) fn base64(text: &[u8]) -> (Vec<u8>, bool) {
    let mut bytes = Vec::with_capacity(text.len().div_ceil(4).saturating_mul(3));
    let mut is_clean = true;
    let (mut bits, mut held) = (0_u32, 0_u32);
    let mut rest = text;
    loop {
        // Nearly always whole groups follow.
        if held == 0 {
            while let Some((group, behind)) = rest.split_first_chunk()
                && let Some(group) = whole_group(*group)
            {
                bytes.extend_from_slice(&group);
                rest = behind;
            }
        }
        let Some((byte, behind)) = rest.split_first() else {
            return (bytes, is_clean);
        };
        rest = behind;
        let value = match value(*byte) {
            PADDING => {
                (bits, held) = (0, 0);
                continue;
            }
            BLANK => continue,
            FOREIGN => {
                is_clean = false;
                continue;
            }
            value => value,
        };
        bits = ((bits << 6) | u32::from(value)) & 0xffff;
        held = held.wrapping_add(6);
        if held >= 8 {
            held = held.wrapping_sub(8);
            bytes.push(u8::try_from((bits >> held) & 0xff).unwrap_or_default());
        }
    }
}

/// The bytes of four characters of base64, if all of them have a value.
fn whole_group(group: [u8; 4]) -> Option<[u8; 3]> {
    let values = group.map(value);
    let [a, b, c, d] = values.map(u32::from);
    if (a | b | c | d) >= u32::from(PADDING) {
        return None;
    }
    let [_, bytes @ ..] = ((a << 18) | (b << 12) | (c << 6) | d).to_be_bytes();
    Some(bytes)
}

/// The bytes of a quoted-printable text. A `=` that begins nothing is itself.
pub(super) fn quoted_printable(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = memchr::memchr(b'=', rest) {
        let (before, from) = rest.split_at(at);
        bytes.extend_from_slice(before);
        let behind = from.get(1..).unwrap_or_default();
        rest = if let Some((byte, behind)) = hexadecimal(behind) {
            bytes.push(byte);
            behind
        } else if let Some(behind) = soft_break(behind) {
            behind
        } else {
            bytes.push(b'=');
            behind
        };
    }
    bytes.extend_from_slice(rest);
    bytes
}

/// The bytes of the text of an encoded word with the encoding Q (RFC 2047).
pub(super) fn q_word(text: &[u8]) -> Vec<u8> {
    let blanks = text
        .iter()
        .map(|byte| if *byte == b'_' { b' ' } else { *byte });
    quoted_printable(&blanks.collect::<Vec<u8>>())
}

/// The bytes of a text with `%41` for `A` (RFC 2231).
pub(super) fn percent(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, behind)) = rest.split_first() {
        rest = match hexadecimal(behind) {
            Some((byte, behind)) if *first == b'%' => {
                bytes.push(byte);
                behind
            }
            Some(_) | None => {
                bytes.push(*first);
                behind
            }
        };
    }
    bytes
}

/// The byte that two digits stand for, and what follows them.
fn hexadecimal(text: &[u8]) -> Option<(u8, &[u8])> {
    let [high, low, behind @ ..] = text else {
        return None;
    };
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let value = digit(*high)?.wrapping_mul(16).wrapping_add(digit(*low)?);
    Some((u8::try_from(value).ok()?, behind))
}

/// What follows the end of the line, if only white space is before that.
fn soft_break(text: &[u8]) -> Option<&[u8]> {
    let end = text
        .iter()
        .position(|byte| !matches!(byte, b' ' | b'\t' | b'\r'));
    match end {
        Some(end) => text.get(end..)?.strip_prefix(b"\n"),
        None => Some(&[]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_read_however_broken_it_is() {
        for (text, want, is_clean) in [
            ("QUJD", "ABC", true),
            ("QUI=", "AB", true),
            ("QUI", "AB", true),
            ("QQ==\r\nQg==", "AB", true),
            ("Q U\r\nJ\tD", "ABC", true),
            ("Q!U*JD", "ABC", false),
            ("=", "", true),
            ("Q", "", true),
            ("", "", true),
            ("QUJDREVG", "ABCDEF", true),
            ("QUJDREVGRw==QUJD", "ABCDEFGABC", true),
            ("QUJ!DREVG", "ABCDEF", false),
            ("QUJDRE\nVGQUI=", "ABCDEFAB", true),
        ] {
            let (bytes, clean) = base64(text.as_bytes());
            assert_eq!(
                (String::from_utf8_lossy(&bytes).as_ref(), clean),
                (want, is_clean),
                "{text}"
            );
        }
    }

    #[test]
    fn quoted_printable_is_read_however_broken_it_is() {
        for (text, want) in [
            ("a=3Db", "a=b"),
            ("a=3db", "a=b"),
            ("a=\r\nb", "ab"),
            ("a= \t\nb", "ab"),
            ("a=", "a"),
            ("a=4", "a=4"),
            ("a=zz=41", "a=zzA"),
            ("==41", "=A"),
            ("a_b", "a_b"),
        ] {
            let bytes = quoted_printable(text.as_bytes());
            assert_eq!(String::from_utf8_lossy(&bytes), want, "{text}");
        }
        assert_eq!(q_word(b"a_b=5F"), b"a b_");
        assert_eq!(percent(b"%41%4%zz%"), b"A%4%zz%");
    }
}
