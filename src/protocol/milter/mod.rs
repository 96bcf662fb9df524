//! Replies, header fields and the opening of a connection as the milter protocol has them. The rest of the protocol is
//! `indymilter`'s.

mod address;
mod field;
mod opening;
mod reply;

pub use address::internal;
pub use field::{Field, folded};
pub use opening::Opening;
pub use reply::{Answer, Refusal, answer};

/// The beginning of a text that has at most so many bytes.
fn cut(text: &str, most: usize) -> &str {
    let mut ends = (0..=most.min(text.len())).rev();
    let end = ends.find(|end| text.is_char_boundary(*end));
    end.and_then(|end| text.get(..end)).unwrap_or_default()
}
