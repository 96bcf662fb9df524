//! What access lists state about all messages.

use crate::types::ClientIp;

/// The statements.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Statements {
    /// Which messages get a header field about greylisting; `None`: those that were delayed, and those for which a rule has
    /// a text.
    pub report: Option<Report>,
    /// The address of the mail server, for texts.
    pub local_address: Option<ClientIp>,
    /// Whether messages from the null sender are deferred at DATA in place of RCPT.
    pub defers_bounces_at_end: bool,
}

/// Which messages get a header field that says whether greylisting has delayed them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Report {
    /// None.
    None,
    /// Those that were delayed.
    Delays,
    /// Those that were not delayed.
    NoDelays,
    /// All.
    All,
}

impl Report {
    /// Whether a message gets the field that was delayed, or was not.
    #[must_use]
    pub const fn covers(self, is_delayed: bool) -> bool {
        match self {
            Self::None => false,
            Self::Delays => is_delayed,
            Self::NoDelays => !is_delayed,
            Self::All => true,
        }
    }
}
