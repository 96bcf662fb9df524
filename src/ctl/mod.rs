//! The control program: what it reads from other greylisters and how it shows what it was told.
//!
//! [`import`] turns the databases of Postgrey, taRgrey and milter-greylist into records; [`render`] makes
//! tables and charts of text. Neither asks the daemon for anything.

#![forbid(unsafe_code)]

pub mod import;
pub mod render;
