//! The action of a decision, as a word.

/// An action: the word in the log, in the journal and on the bus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// It passed: the other restrictions decide.
    Pass,
    /// It was greylisted.
    Greylist,
    /// Its reply was delayed.
    Tarpit,
    /// A client access table rejected it.
    Reject,
    /// A client access table deferred it, or the database was unavailable.
    Defer,
}

impl Action {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Pass,
        Self::Greylist,
        Self::Tarpit,
        Self::Reject,
        Self::Defer,
    ];

    /// The word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Greylist => "greylist",
            Self::Tarpit => "tarpit",
            Self::Reject => "reject",
            Self::Defer => "defer",
        }
    }

    /// The action of this word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.word() == word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_action_is_found_by_its_word_alone() {
        for action in Action::ALL {
            assert_eq!(Action::from_word(action.word()), Some(action));
        }
        assert_eq!(Action::from_word("Pass"), None);
    }
}
