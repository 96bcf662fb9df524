//! The list of checks that the options make, in the order in which they are asked.
//!
//! | check | what follows if it holds | listed |
//! | --- | --- | --- |
//! | the client, recipient and sender lists | the attempt passes | always |
//! | the client access tables | what the entry says | if there are tables |
//! | authenticated, own machine, own networks, not opted in | the client is exempt from waiting | each with its option, own machine always |
//! | the rules of `greylist.conf` | what the rule says | if there are any |
//! | exempt | the attempt passes | always |
//! | S25R | the client is suspicious | with `--s25r` |
//! | SPF | the client is excused | where SPF excuses from one of the above |
//! | the DNS allow threshold | the attempt passes | with `--dnsbl-allowlist-threshold` |
//! | the DNS reject threshold | the client is refused | with `--dnsbl-reject-threshold` |
//! | the DNS threshold | the client is suspicious | with `--dnsbl-sites` |
//! | something is missing | it is looked up | if one of the above can lack anything |
//! | suspicious | the records decide | if one of the above can make suspicious |
//! | excused from a rule | the attempt passes | with rules from which SPF may excuse |
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
    /// The client is the mail server's own machine. Only a milter sees it.
    OwnMachine,
    /// The client is in one of `own_networks`.
    OwnNetwork,
    /// The recipient is not among those that are greylisted. At DATA it is not looked at: of several Postfix names none.
    NotOptedIn,
    /// A rule of `greylist.conf` matches. Asked only while the client is not suspicious, and not at DATA: of several
    /// recipients the mail server names none there.
    FileRule,
    /// An exemption from waiting applies.
    Exempt,
    /// The name matches S25R and is no exception. Asked only while the client is not suspicious.
    S25r,
    /// SPF passes, where it excuses from what has made the client suspicious.
    SpfPass,
    /// The DNS lists let the client pass.
    DnsAllowed,
    /// The DNS lists refuse the client. At DATA they do not.
    DnsRejected,
    /// The DNS lists make the client suspicious. Asked only while it is not.
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

/// What follows when a check holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::policy) enum Consequence {
    /// The attempt passes.
    Pass(Reason),
    /// The client is exempt from waiting.
    Exempt(Reason),
    /// The attempt passes because the client is exempt, unless a rule may still refuse it.
    PassExempt,
    /// What the entry or the rule says.
    AsWritten,
    /// The client is suspicious.
    Suspect,
    /// The client is no longer suspicious.
    Excuse,
    /// The client is refused, in the words of the DNS lists.
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
    /// What follows if that holds.
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
            params.exempt_authenticated || params.exempt_certified,
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
