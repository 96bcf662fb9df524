//! Options of the score of a message.

use super::diagnostic::Diagnostics;
use super::endpoint::Endpoint;
use super::options::Options;
use super::value;

/// Default of `--spamd-max-size`, in bytes.
const MAX_SIZE: usize = 500 << 10;

/// Where the score of a message comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpamSettings {
    /// The source that the options name; else the file of access lists may name spamd.
    pub source: Option<SpamSource>,
    /// The size in bytes of the largest message that spamd is asked about.
    pub max_size: usize,
}

/// A source of scores.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SpamSource {
    /// spamd, which listens there.
    Spamd(Endpoint),
    /// The last header field of this name.
    Header(Box<str>),
}

/// Reads the options. Without a milter, they have no effect.
pub(super) fn read(options: &Options, has_milter: bool, found: &mut Diagnostics) -> SpamSettings {
    let spamd = options.spamd.as_ref().and_then(|text| {
        let address = Endpoint::milter(text).map(Some);
        found.take("--spamd", address, None)
    });
    let header = options.score_header.as_ref().and_then(|text| {
        let name = header_name(text).map(Some);
        found.take("--score-header", name, None)
    });
    if spamd.is_some() && header.is_some() {
        found.error(
            "--score-header",
            "cannot be used with --spamd: a message has one score",
        );
    }
    let max_size = options.spamd_max_size.as_ref().map_or(MAX_SIZE, |text| {
        found.take("--spamd-max-size", value::size(text, 1), MAX_SIZE)
    });
    if options.spamd_max_size.is_some() && spamd.is_none() && options.greylist_conf.is_none() {
        found.warn(
            "--spamd-max-size",
            "has no effect without --spamd; ignoring",
        );
    }
    for (option, is_given) in [
        ("--spamd", spamd.is_some()),
        ("--score-header", header.is_some()),
    ] {
        if is_given && !has_milter {
            found.warn(
                option,
                "has no effect without a milter: the policy service sees no message; ignoring",
            );
        }
    }
    SpamSettings {
        source: spamd
            .map(SpamSource::Spamd)
            .or(header.map(SpamSource::Header)),
        max_size,
    }
}

/// The name of a header field (RFC 5322, 2.2).
fn header_name(text: &str) -> Result<Box<str>, String> {
    let is_name = |byte: u8| matches!(byte, b'!'..=b'~') && byte != b':';
    if text.is_empty() || !text.bytes().all(is_name) {
        return Err(format!("{text:?} is not the name of a header field"));
    }
    Ok(text.into())
}
