//! Postfix's policy delegation protocol (`SMTPD_POLICY_README`).
//!
//! # On the wire
//!
//! ```text
//! request   = *( attribute ) empty-line
//! attribute = name "=" value LF          ; CR LF is accepted too
//! name      = 1*( any byte but "=", NUL, LF )
//! value     = *( any byte but NUL, LF )
//! answer    = "action=" text LF LF
//! ```
//!
//! Attributes come in any order, unknown ones are ignored, of one given twice the last counts.
//! `request=smtpd_access_policy` must be among them. A client may send the next request before it
//! has read the answer to the last one.
//!
//! In case of trouble the server "must not send a reply": the user of [`Decoder`] logs the [`DecodeError`] and closes
//! the connection.

mod decode;
mod reply;
mod request;

pub use decode::{DecodeError, Decoder, MAX_ATTRIBUTES, MAX_LINE, MAX_REQUEST};
pub use reply::{Style, action, write_reply};
pub use request::{Attribute, Request, decoded};
