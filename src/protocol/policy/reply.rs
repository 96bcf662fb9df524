//! Answers as bytes.

/// Appends one answer. `action` must be one line of UTF-8; a control character in it becomes `?`,
/// so that no text can end the answer early.
pub fn write_answer(out: &mut Vec<u8>, action: &str) {
    out.extend_from_slice(b"action=");
    if action.bytes().any(|byte| byte.is_ascii_control()) {
        out.extend(
            action
                .bytes()
                .map(|byte| if byte.is_ascii_control() { b'?' } else { byte }),
        );
    } else {
        out.extend_from_slice(action.as_bytes());
    }
    out.extend_from_slice(b"\n\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_ends_with_an_empty_line_and_has_no_other() {
        let mut out = Vec::new();
        write_answer(&mut out, "DUNNO");
        write_answer(&mut out, "450 a\n\naction=OK");
        assert_eq!(out, b"action=DUNNO\n\naction=450 a??action=OK\n\n");
    }
}
