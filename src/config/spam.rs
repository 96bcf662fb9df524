//! Options of what others say about a message: its score and its signatures.

use super::diagnostic::Diagnostics;
use super::endpoint::Endpoint;
use super::options::Options;
use super::value;
use crate::policy::message::MAX_BODY;

/// The option that names mail servers.
const TRUST_OPTION: &str = "--trust-authserv-id";

/// How long a message waits for its score, in seconds. Postfix waits for a milter for 300 s at the end of a message,
/// Sendmail for the ten minutes of the recipe.
pub const SPAMD_SECONDS: u64 = 60;

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
        let size = value::size(text, 1).and_then(|size| {
            if size > MAX_BODY {
                return Err(format!(
                    "at most {}M: no more of a message is kept",
                    MAX_BODY >> 20
                ));
            }
            Ok(size)
        });
        found.take("--spamd-max-size", size, MAX_SIZE)
    });
    if options.spamd_max_size.is_some() && spamd.is_none() && options.greylist_conf.is_none() {
        found.warn(
            "--spamd-max-size",
            "has no effect without --spamd; ignoring",
        );
    }
    let ids = authserv_ids(options, found);
    if !ids.is_empty() && options.greylist_conf.is_none() {
        found.warn(
            TRUST_OPTION,
            "has no effect without --greylist-conf, whose dkim clauses need it; ignoring",
        );
    }
    for (option, is_given) in [
        ("--spamd", spamd.is_some()),
        ("--score-header", header.is_some()),
        (TRUST_OPTION, !ids.is_empty()),
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

/// The servers of `--trust-authserv-id`. Errors of the option are found.
pub(super) fn authserv_ids(options: &Options, found: &mut Diagnostics) -> Vec<Box<str>> {
    let ids = options.trust_authserv_id.iter();
    let ids = ids.filter_map(|text| found.take(TRUST_OPTION, authserv_id(text).map(Some), None));
    ids.collect()
}

/// The name that a mail server has in `Authentication-Results` (RFC 8601, 2.5), without quotation marks.
fn authserv_id(text: &str) -> Result<Box<str>, String> {
    let is_id = |byte: u8| matches!(byte, b'!'..=b'~') && !b"();=\",".contains(&byte);
    if text.is_empty() || !text.bytes().all(is_id) {
        return Err(format!(
            "{text:?} is not the name of a mail server in Authentication-Results, a host name usually"
        ));
    }
    Ok(text.into())
}

/// The name of a header field (RFC 5322, 2.2).
fn header_name(text: &str) -> Result<Box<str>, String> {
    let is_name = |byte: u8| matches!(byte, b'!'..=b'~') && byte != b':';
    if text.is_empty() || !text.bytes().all(is_name) {
        return Err(format!("{text:?} is not the name of a header field"));
    }
    Ok(text.into())
}
