//! A body as it came.
//!
//! It stays in the parts in which it came: hundreds of bodies grow at the same time, and one that is moved to a larger
//! place leaves a hole that the next is too large for. A body is put together when it is read, and large ones are read few
//! at a time.

use std::borrow::Cow;

/// Bytes up to which parts are put together: mail servers send no longer ones.
const PART: usize = 64 << 10;

/// A body, in parts none of which is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Body {
    parts: Vec<Vec<u8>>,
    length: usize,
}

impl Body {
    /// Adds bytes at its end. They are not copied if they have a length at which mail servers send them.
    pub fn push(&mut self, bytes: Vec<u8>) {
        self.length = self.length.saturating_add(bytes.len());
        match self.parts.last_mut() {
            _ if bytes.is_empty() => {}
            Some(last) if last.len().saturating_add(bytes.len()) <= PART => {
                last.extend_from_slice(&bytes);
            }
            Some(_) | None => self.parts.push(bytes),
        }
    }

    /// How many bytes it has.
    #[must_use]
    pub const fn length(&self) -> usize {
        self.length
    }

    /// Its parts, in order.
    pub fn parts(&self) -> impl Iterator<Item = &[u8]> {
        self.parts.iter().map(Vec::as_slice)
    }

    /// All of it; a copy if it has several parts.
    #[must_use]
    pub fn bytes(&self) -> Cow<'_, [u8]> {
        match self.parts.as_slice() {
            [] => Cow::default(),
            [part] => part.into(),
            parts => parts.concat().into(),
        }
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        let mut body = Self::default();
        body.push(bytes);
        body
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_whole_and_in_few_parts_whatever_parts_it_comes_in() {
        let long = b"abcdefg\r\n".repeat(20_000);
        for length in [1, 7, 1000, PART - 1, PART, PART + 1, long.len()] {
            let mut body = Body::default();
            assert_eq!((body.length(), &*body.bytes()), (0, &b""[..]));
            for part in long.chunks(length) {
                body.push(part.to_vec());
                body.push(Vec::new());
            }
            assert_eq!(body.length(), long.len());
            assert!(body.bytes() == long, "{length}");
            assert!(body.parts().flatten().eq(&long), "{length}");
            let count = body.parts().count();
            assert!(count <= 2 * (long.len() / PART + 1), "{length}: {count}");
            assert!(body.parts().all(|part| !part.is_empty()));
        }
    }

    #[test]
    fn a_body_of_one_part_is_read_without_a_copy() {
        let bytes = b"hello\r\n".to_vec();
        let place = bytes.as_ptr();
        let body = Body::from(bytes);
        assert_eq!(body.bytes().as_ptr(), place);
    }
}
