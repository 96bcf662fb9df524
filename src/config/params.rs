//! Options of the policy core.

use std::sync::Arc;

use super::diagnostic::Diagnostics;
use super::options::Options;
use super::value;
use crate::policy::s25r::Rules;
use crate::policy::{CountBy, OnStoreFailure, Params, Scheme, SpfUse, Tarpit, Unmatched};
use crate::types::{Prefix, Span};

/// Default sleep of taRgrey, in seconds (taRgrey 0.31).
const TARGREY_SLEEP: u64 = 125;

/// Minimum client timeout for the reply to RCPT, in seconds (RFC 5321, 4.5.3.2.3).
pub(super) const RCPT_TIMEOUT: u64 = 300;

/// Length of a sleep in seconds from which on it may end later than Postfix waits for a milter: 30 s by default.
pub(super) const MILTER_TIMEOUT: u64 = 25;

/// Actions that Postfix accepts after a sleep in one reply.
const AFTER_SLEEP: [&str; 3] = ["DEFER_IF_PERMIT", "DEFER", "REJECT"];

/// The action of a tarpit that only delays.
const DELAY_ONLY: &str = "DUNNO";

pub(super) fn read(options: &Options, found: &mut Diagnostics) -> Params {
    let most = u64::from(u32::MAX);
    let delay = value::number(&options.delay, 0, most).map(Span::from_seconds);
    let max_age = value::number(&options.max_age, 0, 36_500).map(Span::from_days);
    let window = value::retry_window(&options.retry_window);
    let (v4_bits, v6_bits) = if options.lookup_by_host {
        (32, 128)
    } else {
        let v4 = value::number(&options.ipv4cidr, 0, 32);
        let v6 = value::number(&options.ipv6cidr, 0, 128);
        (
            or_default(found.take("--ipv4cidr", v4, 0), 24),
            or_default(found.take("--ipv6cidr", v6, 0), 64),
        )
    };
    let threshold = value::number(&options.auto_whitelist_clients, 0, u32::MAX);
    let count_by = value::word(
        &options.auto_whitelist_by,
        &[
            ("address", CountBy::Address),
            ("subnet", CountBy::Subnet),
            ("domain", CountBy::Domain),
        ],
    );
    let on_store_failure = value::word(
        &options.on_store_failure,
        &[
            ("dunno", OnStoreFailure::Pass),
            ("defer", OnStoreFailure::Defer),
        ],
    );
    let between = value::number(&options.auto_whitelist_delay, 0, most).map(Span::from_seconds);
    let retry_count = value::number(&options.retry_count, 0, 1000);
    Params {
        delay: found.take("--delay", delay, Span::ZERO),
        retry_window: found.take("--retry-window", window, Span::ZERO),
        max_age: found.take("--max-age", max_age, Span::ZERO),
        ipv4_bits: v4_bits,
        ipv6_bits: v6_bits,
        by_domain: options.lookup_by_domain,
        auto_whitelist: Some(found.take("--auto-whitelist-clients", threshold, 0))
            .filter(|threshold| *threshold > 0),
        count_by: found.take("--auto-whitelist-by", count_by, CountBy::Address),
        auto_whitelist_delay: found.take("--auto-whitelist-delay", between, Span::ZERO),
        // Zero means the default, as in taRgrey.
        retry_count: found.take("--retry-count", retry_count, 1).max(1),
        exempt_authenticated: !options.no_authenticated,
        exempt_certified: false,
        recipients_opt_in: !options.greylist_recipients.is_empty(),
        s25r: s25r(options, found),
        spf: SpfUse {
            excuses: options.spf_excuses,
            excuses_rules: false,
            names: options.lookup_by_domain && (options.spf || options.spf_excuses),
        },
        unmatched: unmatched(options, found),
        tarpit: tarpit(options, found),
        tarpit_limit: found.take(
            "--tarpit-limit",
            value::number(&options.tarpit_limit, 0, 100_000),
            0,
        ),
        on_store_failure: found.take("--on-store-failure", on_store_failure, OnStoreFailure::Pass),
    }
}

/// The networks of one's own.
pub(super) fn own_networks(options: &Options, found: &mut Diagnostics) -> Arc<[Prefix]> {
    let words = options.own_networks.iter();
    let words = words.flat_map(|list| list.split([',', ' ']));
    let mut networks = Vec::new();
    for word in words.filter(|word| !word.is_empty()) {
        match Prefix::parse(word) {
            Ok(network) => networks.push(network),
            Err(error) => found.error("--own-networks", format!("{word}: {error}")),
        }
    }
    networks.into()
}

/// What to do with a client that no suspicion check matches.
fn unmatched(options: &Options, found: &mut Diagnostics) -> Option<Unmatched> {
    let words = [("pass", Unmatched::Pass), ("greylist", Unmatched::Greylist)];
    let asked = options.unmatched.as_ref()?;
    if options.greylist_conf.is_some() {
        found.error(
            "--unmatched",
            "cannot be used with --greylist-conf, whose default says what becomes of those that no entry matches",
        );
    }
    let unmatched = value::word(asked, &words);
    Some(found.take("--unmatched", unmatched, Unmatched::Pass))
}

/// The set of S25R rules.
fn s25r(options: &Options, found: &mut Diagnostics) -> Option<Rules> {
    let words = [("classic", Rules::Classic), ("extended", Rules::Extended)];
    let rules = value::word(options.s25r.as_ref()?, &words);
    Some(found.take("--s25r", rules, Rules::Classic))
}

/// The tarpit that the options ask for.
fn tarpit(options: &Options, found: &mut Diagnostics) -> Option<Tarpit> {
    let length = match &options.tarpit {
        // Zero means off, as in taRgrey.
        Some(text) if text == "0" && !options.targrey => return None,
        Some(text) => found.take("--tarpit", value::number(text, 1, 86_400), 1),
        None if options.targrey => TARGREY_SLEEP,
        None => return None,
    };
    let scheme = found.take("--greylist-action", scheme(options), Scheme::Deferring);
    Some(Tarpit {
        length: Span::from_seconds(length),
        scheme,
    })
}

impl Options {
    /// The length of a sleep in the tarpit in seconds; 0 without a tarpit.
    #[must_use]
    pub fn tarpit_seconds(&self) -> u64 {
        let tarpit = tarpit(self, &mut Diagnostics::default());
        tarpit.map_or(0, |tarpit| tarpit.length.seconds())
    }
}

/// What a sleep leads to; an error if the reply cannot follow a sleep.
pub(super) fn scheme(options: &Options) -> Result<Scheme, String> {
    let action = &options.greylist_action;
    let is = |known: &str| action.eq_ignore_ascii_case(known);
    if options.targrey {
        Ok(Scheme::Targrey)
    } else if is(DELAY_ONLY) {
        Ok(Scheme::Delaying)
    } else if AFTER_SLEEP.into_iter().any(is) {
        Ok(Scheme::Deferring)
    } else {
        Err(format!(
            "{action:?} cannot follow a sleep: with a tarpit it is one of {} without a text, or {DELAY_ONLY} to delay \
             only",
            AFTER_SLEEP.join(", ")
        ))
    }
}

/// Warns of a tarpit that lasts longer than a milter has to reply by default.
pub(super) fn warn_of_milter(params: &Params, has_milter: bool, found: &mut Diagnostics) {
    let length = params.tarpit.map_or(0, |tarpit| tarpit.length.seconds());
    if has_milter && length >= MILTER_TIMEOUT {
        found.warn(
            "--tarpit",
            "is 25 seconds or more, and mail servers wait 30 seconds for a milter (Sendmail: 10), unless they are told to \
             wait longer: command_timeout=300s in smtpd_milters, T=R:5m in Sendmail",
        );
    }
}

/// Warns of options that are valid but without effect, or risky.
pub(super) fn warn_of_ineffective(options: &Options, params: &Params, found: &mut Diagnostics) {
    if params.delay > params.retry_window {
        found.warn(
            "--delay",
            "is longer than --retry-window: no unknown triplet will ever pass",
        );
    }
    if let Some(tarpit) = params.tarpit {
        if tarpit.length.seconds() >= RCPT_TIMEOUT {
            found.warn(
                "--tarpit",
                "is 300 seconds or more: mail servers may stop waiting for the reply, and many will",
            );
        }
        if params.tarpit_limit == 0 {
            found.warn("--tarpit-limit", "is 0: no client will ever be tarpitted");
        }
        if options.exim {
            found.warn(
                "--tarpit",
                "needs Postfix: Exim does not support the action SLEEP",
            );
        }
    }
    if !options.uses_s25r() && !options.s25r_exceptions.is_empty() {
        found.warn(
            "--s25r-exceptions",
            "has no effect without --s25r, --lookup-by-domain or --auto-whitelist-by=domain; ignoring",
        );
    }
    if options.client_access.is_empty() && !options.greylist_result.is_empty() {
        found.warn(
            "--greylist-result",
            "has no effect without --client-access; ignoring",
        );
    }
    let has_checks = options.s25r.is_some()
        || !options.client_access.is_empty()
        || !options.dnsbl_sites.is_empty();
    if !has_checks && params.unmatched == Some(Unmatched::Pass) {
        found.warn(
            "--unmatched",
            "is pass without a suspicion check (--s25r, --client-access, --dnsbl-sites): no client is greylisted",
        );
    }
}

/// Zero means the default, as in Postgrey: a network of no bits is every client there is.
const fn or_default(bits: u8, default: u8) -> u8 {
    if bits == 0 { default } else { bits }
}
