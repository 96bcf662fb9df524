//! What a message is decided by, and what is needed of it for that.

use std::sync::Arc;

use super::spam_filter::SpamFilter;
use crate::policy::Ruleset;

/// What a message is decided by, from its beginning to its end, whatever is reloaded meanwhile.
#[derive(Debug, Clone)]
pub struct MessageRules {
    /// The rules.
    pub rules: Arc<Ruleset>,
    /// What scores it.
    pub(super) filter: Option<SpamFilter>,
}

/// What is needed of a message at its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(clippy::struct_excessive_bools, reason = "independent of each other")]
pub struct MessageNeeds {
    /// Whether anything is asked about it.
    pub decision: bool,
    /// Its header.
    pub header: bool,
    /// Its body.
    pub body: bool,
    /// Its size.
    pub size: bool,
    /// Whether a score is written into its header, so that fields that pretend to be one are removed.
    pub writes_score: bool,
}

impl MessageRules {
    /// What is needed of the message at its end.
    #[must_use]
    pub fn needs(&self) -> MessageNeeds {
        MessageNeeds::new(&self.rules, self.filter.as_ref())
    }

    /// Whether a score is written into its header.
    pub(super) fn writes_score(&self) -> bool {
        self.filter.as_ref().is_some_and(SpamFilter::writes_headers)
    }
}

impl MessageNeeds {
    /// What these rules and this filter need.
    fn new(rules: &Ruleset, filter: Option<&SpamFilter>) -> Self {
        let (chain, checks) = (&rules.lists.chain, &rules.lists.checks);
        let needs = chain.needs();
        let writes_score = filter.is_some_and(SpamFilter::writes_headers);
        let has_score = needs.score || writes_score;
        Self {
            decision: chain.has_message_rules() || !checks.is_empty() || writes_score,
            // The header says how the body is encoded.
            header: needs.header || needs.body || has_score || !checks.is_empty(),
            body: needs.body || has_score || !checks.body.is_empty(),
            size: needs.size,
            writes_score,
        }
    }
}
