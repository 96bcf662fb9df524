//! Replies and header fields as the milter protocol has them. The protocol itself is `indymilter`'s.

mod field;
mod reply;

pub use field::{Field, folded};
pub use reply::{Answer, Refusal, answer};
