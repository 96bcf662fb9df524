//! The list of checks that the options make, in the order in which they are asked.
//!
//! | check | those of whom it holds | listed |
//! | --- | --- | --- |
//! | the client, recipient and sender lists | pass | always |
//! | the client access tables | what the entry says | if there are tables |
//! | authenticated, own machine, own networks, not opted in | are exempt from waiting | each with its option |
//! | the rules of `greylist.conf` | what the rule says | if there are any |
//! | exempt | pass | always |
//! | S25R | are suspicious | with `--s25r` |
//! | SPF | are excused | where SPF excuses from one of the above |
//! | the DNS allow threshold | pass | with `--dnsbl-allowlist-threshold` |
//! | the DNS reject threshold | are refused | with `--dnsbl-reject-threshold` |
//! | the DNS threshold | are suspicious | with `--dnsbl-sites` |
//! | something is missing | depend on lookups | if one of the above can lack anything |
//! | suspicious | are greylisted | if one of the above can make suspicious |
//! | excused from a rule | pass | with such rules that SPF excuses from |
//! | always | the default | always |
//!
//! What can pass or refuse comes before anybody waits, so being suspicious is only remembered, and so is an exemption: it
//! does not exempt from what a table or a rule refuses. Before either refuses, the DNS allow threshold is asked.
//!
//! A check has no source beside it. Its source is what it finds: the entry, the rule of S25R, or the sum of the DNS
//! lists; the options have none. A list of rules from a file is one check: its rules have sources, effects and lookups of
//! their own, and [`Chain::find`](crate::policy::chain::Chain::find) searches them.

use super::RulesetParts;
use crate::policy::params::Unmatched;
use crate::types::Reason;

/// What is asked about an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::policy) enum Condition {
    /// The client is in its list.
    ClientListed,
    /// The recipient is.
    RecipientListed,
    /// The sender is.
    SenderListed,
    /// A client access table has a result.
    ClientAccess,
    /// The client has authenticated itself.
    Authenticated,
    /// The client is the machine of the mail server, which a milter is told about.
    OwnMachine,
    /// The client is in a network of one's own.
    OwnNetwork,
    /// The recipient is not among those that are greylisted. At DATA it is not looked at: of several Postfix names none.
    NotOptedIn,
    /// A rule of `greylist.conf` matches, of one whom no table has made suspicious. At DATA, of several recipients the
    /// mail server names none: there is nothing to ask rules about.
    FileRule,
    /// An exemption from waiting applies.
    Exempt,
    /// The name matches S25R and is no exception, of one whom nothing else has made suspicious.
    S25r,
    /// SPF passes, where it excuses from what has made the client suspicious.
    SpfPass,
    /// The DNS lists let the client pass.
    DnsAllowed,
    /// The DNS lists refuse the client. Whoever has come as far as DATA is not refused.
    DnsRejected,
    /// The DNS lists make the client suspicious, whom nothing else has.
    DnsListed,
    /// Something was missing for one of the checks before.
    Lacking,
    /// The client is suspicious, and not excused.
    Suspicious,
    /// The client is excused from a rule of `greylist.conf`.
    ExcusedFromRule,
    /// Nothing.
    Always,
}

/// What becomes of those of whom a check holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::policy) enum Consequence {
    /// They pass.
    Pass(Reason),
    /// They are exempt from waiting.
    Exempt(Reason),
    /// They pass for the reason that they are exempt, unless it is not known yet whether a rule refuses them.
    PassExempt,
    /// What the entry or the rule says.
    AsWritten,
    /// They are suspicious.
    Suspect,
    /// They are no longer suspicious.
    Excuse,
    /// They are refused, in the words of the DNS lists.
    Refuse,
    /// What is missing is looked up.
    LookUp,
    /// The records decide.
    Greylist,
    /// The default of `greylist.conf`.
    FileDefault,
    /// The default of the options.
    Default(Unmatched),
}

/// A check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::policy) struct Check {
    /// What it asks.
    pub(in crate::policy) condition: Condition,
    /// What becomes of those of whom that holds.
    pub(in crate::policy) consequence: Consequence,
}

/// The checks of some rules. It ends with one that always holds.
#[derive(Debug)]
pub(super) struct Checklist(Box<[Check]>);

impl Checklist {
    /// The checks that these options and lists make.
    pub(super) fn of(parts: &RulesetParts) -> Self {
        let mut checks = exemptions(parts);
        checks.extend(suspicions(parts));
        let default = match parts.lists.chain.fallback() {
            Some(_) => Consequence::FileDefault,
            None => Consequence::Default(parts.unmatched()),
        };
        checks.push(Check {
            condition: Condition::Always,
            consequence: default,
        });
        Self(checks.into())
    }

    /// The checks, in their order.
    pub(super) const fn checks(&self) -> &[Check] {
        &self.0
    }
}

/// The checks that are configured among these.
fn configured<const N: usize>(checks: [(bool, Condition, Consequence); N]) -> Vec<Check> {
    let configured = checks
        .into_iter()
        .filter(|(is_configured, ..)| *is_configured);
    let checks = configured.map(|(_, condition, consequence)| Check {
        condition,
        consequence,
    });
    checks.collect()
}

/// The lists, tables, exemptions and rules.
fn exemptions(parts: &RulesetParts) -> Vec<Check> {
    let exempt = Consequence::Exempt;
    let (params, lists) = (&parts.params, &parts.lists);
    configured([
        (
            true,
            Condition::ClientListed,
            Consequence::Pass(Reason::ClientWhitelist),
        ),
        (
            true,
            Condition::RecipientListed,
            Consequence::Pass(Reason::RecipientWhitelist),
        ),
        (
            true,
            Condition::SenderListed,
            Consequence::Pass(Reason::SenderWhitelist),
        ),
        (
            !lists.access.is_empty(),
            Condition::ClientAccess,
            Consequence::AsWritten,
        ),
        (
            params.exempt_authenticated,
            Condition::Authenticated,
            exempt(Reason::Authenticated),
        ),
        (true, Condition::OwnMachine, exempt(Reason::OwnNetwork)),
        (
            !parts.own_networks.is_empty(),
            Condition::OwnNetwork,
            exempt(Reason::OwnNetwork),
        ),
        (
            params.recipients_opt_in,
            Condition::NotOptedIn,
            exempt(Reason::RecipientNotListed),
        ),
        (
            !lists.chain.is_empty(),
            Condition::FileRule,
            Consequence::AsWritten,
        ),
        (true, Condition::Exempt, Consequence::PassExempt),
    ])
}

/// The suspicion checks, and what becomes of the suspicious.
fn suspicions(parts: &RulesetParts) -> Vec<Check> {
    let (params, dns_lists) = (&parts.params, &parts.dns_lists);
    let has_tables = !parts.lists.access.is_empty();
    let has_rules = !parts.lists.chain.is_empty();
    let has_s25r = params.s25r.is_some();
    let has_dns_lists = !dns_lists.is_empty();
    let excuses_rules = has_rules && params.spf.excuses_rules;
    let excuses = excuses_rules || (has_s25r && params.spf.excuses);
    let thresholds = dns_lists.thresholds();
    configured([
        (has_s25r, Condition::S25r, Consequence::Suspect),
        (excuses, Condition::SpfPass, Consequence::Excuse),
        (
            has_dns_lists && thresholds.allow.is_some(),
            Condition::DnsAllowed,
            Consequence::Pass(Reason::DnsAllowlist),
        ),
        (
            has_dns_lists && thresholds.reject.is_some(),
            Condition::DnsRejected,
            Consequence::Refuse,
        ),
        (has_dns_lists, Condition::DnsListed, Consequence::Suspect),
        (
            has_rules || excuses || has_dns_lists,
            Condition::Lacking,
            Consequence::LookUp,
        ),
        (
            has_tables || has_rules || has_s25r || has_dns_lists,
            Condition::Suspicious,
            Consequence::Greylist,
        ),
        (
            excuses_rules,
            Condition::ExcusedFromRule,
            Consequence::Pass(Reason::SpfPass),
        ),
    ])
}
