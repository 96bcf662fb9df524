//! Whose numbers hold: an option beats the file's statement, and the statement beats the default.

use std::path::Path;

use super::super::diagnostic::{Diagnostic, Diagnostics};
use super::super::endpoint::Endpoint;
use super::super::options::Options;
use super::super::params;
use super::super::spam;
use super::ast::{
    Action, ClauseKind, Entry, Globals, GreylistConf, Located, Position, SpamdSocket,
};
use super::compile::Purpose;
use super::limits::MAX_ERRORS;
use crate::policy::{Params, Scheme, Tarpit};
use crate::types::Span;

/// Which options were given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(clippy::struct_excessive_bools, reason = "one for each option")]
pub(super) struct Given {
    pub(super) text: bool,
    delay: bool,
    retry_window: bool,
    max_age: bool,
    auto_whitelist: bool,
    ipv4_bits: bool,
    ipv6_bits: bool,
    tarpit: bool,
    s25r: bool,
}

/// What the statements are combined with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OfOptions {
    /// The numbers that the options set, or their defaults.
    params: Params,
    /// Which of them were given.
    pub(super) given: Given,
    /// What a sleep leads to, if the file asks for one and no option does; an error if the reply cannot follow it.
    scheme: Result<Scheme, String>,
    /// Whether it is Exim that asks, which does not know SLEEP.
    is_exim: bool,
    /// Whether a milter evaluates the file, too.
    has_milter: bool,
    /// Whether an option names a source of scores.
    has_score: bool,
    /// What the mail servers are called whose `Authentication-Results` count.
    authserv_ids: Vec<Box<str>>,
}

impl OfOptions {
    /// Errors about the options themselves are reported elsewhere.
    pub(super) fn new(options: &Options, has_milter_socket: bool) -> Self {
        Self {
            params: params::read(options, &mut Diagnostics::default()),
            given: Given::new(options),
            scheme: params::scheme(options),
            is_exim: options.exim,
            has_milter: has_milter_socket || !options.milter.is_empty(),
            has_score: options.spamd.is_some() || options.score_header.is_some(),
            authserv_ids: spam::authserv_ids(options, &mut Diagnostics::default()),
        }
    }
}

impl OfOptions {
    /// What the file is compiled for.
    pub(super) fn purpose(&self) -> Purpose<'_> {
        Purpose {
            has_text: self.given.text,
            has_milter: self.has_milter,
            has_score: self.has_score,
            authserv_ids: &self.authserv_ids,
            scheme: self
                .scheme
                .as_ref()
                .map(|scheme| *scheme)
                .map_err(|error| &**error),
            is_exim: self.is_exim,
        }
    }
}

impl Given {
    pub(super) fn new(options: &Options) -> Self {
        let is = |name: &str| options.is_given(name);
        Self {
            text: options.greylist_text.is_some(),
            delay: is("delay"),
            retry_window: is("retry_window"),
            max_age: is("max_age"),
            auto_whitelist: is("auto_whitelist_clients"),
            ipv4_bits: is("ipv4cidr") || options.lookup_by_host,
            ipv6_bits: is("ipv6cidr") || options.lookup_by_host,
            tarpit: options.tarpit.is_some() || options.targrey,
            s25r: options.s25r.is_some(),
        }
    }
}

/// The numbers in force: what an option sets, else what the file says, else the default.
pub(super) fn read(
    path: &Path,
    conf: &GreylistConf,
    options: &OfOptions,
    found: &mut Diagnostics,
) -> Params {
    let (globals, given) = (&conf.globals, options.given);
    let mut params = options.params;
    params.spf.excuses_rules = globals.no_spf.is_none();
    params.exempt_authenticated &= globals.no_auth.is_none();
    params.exempt_certified = params.exempt_authenticated;
    set(&mut params.delay, globals.delay, given.delay);
    set(
        &mut params.retry_window,
        globals.timeout,
        given.retry_window,
    );
    set(&mut params.max_age, globals.auto_white, given.max_age);
    if globals.lazy_auto_white.is_some() && !given.auto_whitelist {
        params.auto_whitelist = Some(1);
    }
    let networks = [
        (&mut params.ipv4_bits, globals.ipv4_bits, given.ipv4_bits),
        (&mut params.ipv6_bits, globals.ipv6_bits, given.ipv6_bits),
    ];
    for (bits, stated, is_given) in networks {
        if stated.is_some_and(|stated| stated.value == 0) {
            let message = "a network of 0 bits is every client there is; use 1 or more";
            found.errors.extend(at(path, stated, message));
        }
        set(bits, stated, is_given);
    }
    params.tarpit = params.tarpit.or_else(|| {
        let stated = globals.tarpit.filter(|_| !given.tarpit)?;
        let scheme = options.scheme.as_ref();
        let error = scheme.err().and_then(|error| at(path, Some(stated), error));
        found.errors.extend(error);
        (stated.value > Span::ZERO).then_some(Tarpit {
            length: stated.value,
            scheme: *scheme.ok()?,
        })
    });
    complain(path, conf, (&params, given), found);
    warn_of_limit(path, conf, options, found);
    warn_of_ineffective(path, globals, options.has_milter, found);
    params
}

/// Takes what the file states, unless the option was given.
fn set<T: Copy>(value: &mut T, stated: Option<Located<T>>, is_given: bool) {
    if let Some(stated) = stated.filter(|_| !is_given) {
        *value = stated.value;
    }
}

/// A finding about what the file states.
fn at<T>(path: &Path, stated: Option<Located<T>>, message: &str) -> Option<Diagnostic> {
    let Position { line, column } = stated?.at;
    Some(Diagnostic::column(path, line, column, message))
}

/// Errors and warnings about what does not fit together.
fn complain(
    path: &Path,
    conf: &GreylistConf,
    (params, given): (&Params, Given),
    found: &mut Diagnostics,
) {
    let too_long = "the delay is not shorter than the time for which a triplet waits (timeout, --retry-window): \
                    nobody would ever pass";
    let globals = conf.globals.delay.filter(|_| !given.delay);
    let entries = conf.recipient.iter().chain(&conf.message);
    let entries = entries.filter_map(|entry| entry.values.delay);
    // What is wrong with the file alone was said when it was read.
    let is_said = |delay: &Located<Span>| {
        let timeout = conf.globals.timeout;
        timeout.is_some_and(|timeout| delay.value >= timeout.value)
    };
    let wrong = globals
        .into_iter()
        .chain(entries)
        .filter(|delay| delay.value >= params.retry_window && !is_said(delay));
    for delay in wrong.take(MAX_ERRORS) {
        found.errors.extend(at(path, Some(delay), too_long));
    }
    // What the file says about the delay was complained about above.
    let is_of_file = conf.globals.delay.is_some() && !given.delay;
    if let Some(timeout) = conf
        .globals
        .timeout
        .filter(|_| !given.retry_window && !is_of_file && obeys_common_delay(conf))
        && params.delay >= timeout.value
    {
        found.errors.extend(at(path, Some(timeout), too_long));
    }
    let default = conf.recipient.last().filter(|entry| entry.is_default());
    let waits = match default {
        Some(default) => default.action == Action::Greylist,
        None => !conf.recipient.is_empty() && conf.globals.test_mode.is_none(),
    };
    if waits && given.s25r {
        let message = "everybody waits by this default, whatever --s25r says";
        let unwritten = "without a default everybody waits, whatever --s25r says";
        let warning = match default.map(|default| default.at) {
            Some(Position { line, column }) => Diagnostic::column(path, line, column, message),
            None => Diagnostic::file(path, unwritten),
        };
        found.warnings.push(warning);
    }
}

/// Whether somebody waits for as long as all do for whom no entry says otherwise.
fn obeys_common_delay(conf: &GreylistConf) -> bool {
    let mut entries = conf.recipient.iter().chain(&conf.message);
    let has_default = conf.recipient.last().is_some_and(Entry::is_default);
    (!has_default && conf.globals.test_mode.is_none())
        || entries.any(|entry| entry.action == Action::Greylist && entry.values.delay.is_none())
}

/// Warns of sleeps that never begin. Of a tarpit that an option asks for, the option's own warning speaks.
fn warn_of_limit(path: &Path, conf: &GreylistConf, options: &OfOptions, found: &mut Diagnostics) {
    if options.params.tarpit_limit > 0 {
        return;
    }
    let stated = conf.globals.tarpit.filter(|_| !options.given.tarpit);
    let stated = stated.map(|stated| (stated.at, stated.value));
    let clauses = conf.recipient.iter().flat_map(|entry| &entry.clauses);
    let of_entries = clauses.filter_map(|clause| match clause.kind {
        ClauseKind::Tarpit(length) => Some((clause.at, length)),
        ClauseKind::Test(_) | ClauseKind::Not(_) | ClauseKind::Set(_) | ClauseKind::Log(_) => None,
    });
    let all = stated.into_iter().chain(of_entries);
    let asked = all.filter(|(_, length)| *length > Span::ZERO);
    found
        .warnings
        .extend(asked.map(|(Position { line, column }, _)| {
            let text = "tarpit: nobody ever sleeps, because --tarpit-limit is 0";
            Diagnostic::column(path, line, column, text)
        }));
}

/// Where spamd listens, if the file says so.
pub(super) fn spamd(path: &Path, globals: &Globals, found: &mut Diagnostics) -> Option<Endpoint> {
    let Located { at, value } = globals.spamd_socket.as_ref()?;
    let address = match value {
        SpamdSocket::Inet(address) => Endpoint::inet(address),
        SpamdSocket::Unix(socket) => Endpoint::unix(socket),
    };
    let address = address.map_err(|error| {
        let Position { line, column } = *at;
        found
            .errors
            .push(Diagnostic::column(path, line, column, error));
    });
    address.ok()
}

/// Warns of statements that nothing obeys.
fn warn_of_ineffective(path: &Path, globals: &Globals, has_milter: bool, found: &mut Diagnostics) {
    if has_milter {
        return;
    }
    let none = "has no effect without a milter";
    let no_header = "is obeyed in part without a milter: mail that was not delayed gets no header";
    let spamd = globals.spamd_socket.as_ref().map(|stated| stated.at);
    let report = globals.report.filter(|report| report.value.covers(false));
    let statements = [
        ("report", report.map(|stated| stated.at), no_header),
        ("delayedreject", globals.delayed_reject, none),
        ("spamdsock", spamd, none),
    ];
    for (word, position, why) in statements {
        if let Some(Position { line, column }) = position {
            let warning = Diagnostic::column(path, line, column, format!("{word} {why}"));
            found.warnings.push(warning);
        }
    }
}

/// The defaults in force that milter-greylist has otherwise.
pub(super) fn defaults(globals: &Globals, given: Given, params: &Params) -> String {
    let bits = |bits: u8| format!("/{bits}");
    let threshold = params.auto_whitelist.unwrap_or_default();
    let all = [
        (
            globals.delay.is_none() && !given.delay,
            ("greylist", params.delay.to_string(), "30m"),
        ),
        (
            globals.timeout.is_none() && !given.retry_window,
            ("timeout", params.retry_window.to_string(), "5d"),
        ),
        (
            globals.auto_white.is_none() && !given.max_age,
            ("autowhite", params.max_age.to_string(), "1d"),
        ),
        (
            globals.ipv4_bits.is_none() && !given.ipv4_bits,
            ("subnetmatch", bits(params.ipv4_bits), "/32"),
        ),
        (
            globals.ipv6_bits.is_none() && !given.ipv6_bits,
            ("subnetmatch6", bits(params.ipv6_bits), "/128"),
        ),
        (
            globals.lazy_auto_white.is_none() && !given.auto_whitelist,
            ("auto-whitelist-clients", threshold.to_string(), "none"),
        ),
        (
            globals.report.is_none(),
            ("report", "delays".to_owned(), "all"),
        ),
    ];
    let differ = all.into_iter().filter(|(is_ours, _)| *is_ours);
    let words = differ
        .map(|(_, (word, ours, theirs))| format!("{word} {ours} (milter-greylist: {theirs})"));
    words.collect::<Vec<_>>().join(", ")
}
