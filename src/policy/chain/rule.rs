//! Rules: for whom, what, and where it is written.

use super::effects::Effect;
use super::format::Format;
use super::test::Clause;
use crate::policy::{Entry, Params, Scheme, Tarpit};
use crate::types::Span;

/// A rule.
#[derive(Debug)]
pub struct Rule {
    /// It matches when all of these hold: always, if there are none.
    pub clauses: Vec<Clause>,
    /// What it does besides its action, in order.
    pub effects: Vec<Effect>,
    /// What it does.
    pub action: Action,
    /// Where it is written, and how often it has decided.
    pub entry: Entry,
    /// Its identifier, if it has one.
    pub id: Option<Box<str>>,
}

/// What a rule does with those it matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// They pass.
    Pass,
    /// They are greylisted.
    Greylist(Treatment),
    /// They are refused.
    Refuse(Refusal),
    /// Nothing but its effects: the search goes on.
    Continue,
}

/// What a rule does, without the details.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuleAction {
    /// They pass.
    Pass,
    /// They are greylisted.
    Greylist,
    /// They are refused.
    Refuse,
}

impl Action {
    /// What it does; `None` if it decides nothing.
    #[must_use]
    pub const fn kind(&self) -> Option<RuleAction> {
        match self {
            Self::Pass => Some(RuleAction::Pass),
            Self::Greylist(_) => Some(RuleAction::Greylist),
            Self::Refuse(_) => Some(RuleAction::Refuse),
            Self::Continue => None,
        }
    }
}

/// What becomes of those that no rule matches.
#[derive(Debug)]
pub struct Fallback {
    /// What is done with them.
    pub action: Action,
    /// What else is done when no rule matches, in order.
    pub effects: Vec<Effect>,
    /// The default, if it is written.
    pub entry: Option<Entry>,
    /// Its identifier, if it has one.
    pub id: Option<Box<str>>,
}

/// How long those wait whom a rule greylists, for the reply and in all, and how long their records are kept; `None` is what
/// applies to everybody.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Terms {
    /// How long a new triplet waits.
    pub delay: Option<Span>,
    /// How long a triplet that has passed is kept.
    pub max_age: Option<Span>,
    /// The tarpit.
    pub tarpit: Option<Tarpit>,
}

impl Terms {
    /// The numbers with these in place of those that apply to everybody.
    #[must_use]
    pub fn over(self, params: &Params) -> Params {
        Params {
            delay: self.delay.unwrap_or(params.delay),
            max_age: self.max_age.unwrap_or(params.max_age),
            tarpit: self.tarpit.or(params.tarpit),
            ..*params
        }
    }
}

/// The least and greatest times that rules set, and their tarpits. What no rule sets is `None`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bounds {
    /// The least times.
    pub least: Terms,
    /// The greatest times.
    pub greatest: Terms,
    /// Whether a rule has a tarpit of its own.
    pub has_tarpit: bool,
    /// Whether a tarpit of a rule depends on who hangs up in it.
    pub is_targrey: bool,
}

impl Bounds {
    /// Those of the actions that greylist.
    pub(super) fn of<'a>(actions: impl Iterator<Item = &'a Action>) -> Self {
        let terms = actions.filter_map(|action| match action {
            Action::Greylist(treatment) => Some(treatment.terms),
            Action::Pass | Action::Refuse(_) | Action::Continue => None,
        });
        terms.fold(Self::default(), |bounds, terms| Self {
            least: Terms {
                delay: bounds.least.delay.into_iter().chain(terms.delay).min(),
                max_age: bounds.least.max_age.into_iter().chain(terms.max_age).min(),
                tarpit: None,
            },
            greatest: Terms {
                delay: bounds.greatest.delay.max(terms.delay),
                max_age: bounds.greatest.max_age.max(terms.max_age),
                tarpit: None,
            },
            has_tarpit: bounds.has_tarpit || terms.tarpit.is_some(),
            is_targrey: bounds.is_targrey
                || (terms.tarpit).is_some_and(|tarpit| tarpit.scheme == Scheme::Targrey),
        })
    }
}

/// How those are treated who wait; `None` is what applies to everybody.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Treatment {
    /// How long they wait.
    pub terms: Terms,
    /// The reply code, 400 to 499.
    pub code: Option<u16>,
    /// The enhanced status code.
    pub enhanced_code: Option<Box<str>>,
    /// The text of the reply.
    pub text: Option<Format>,
}

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The reply code, 500 to 599.
    pub code: u16,
    /// The enhanced status code.
    pub enhanced_code: Box<str>,
    /// The text.
    pub text: Format,
}
