//! `greylist.conf`, the configuration file of milter-greylist: text to a syntax tree, with every error.
//!
//! [`parse`] reads a file; [`GreylistConf`] is what it says, in neutral terms and with the line and column of
//! each part. Nothing here decides anything.
//!
//! # The file
//!
//! ```text
//! file       = *( [ statement ] newline )
//! statement  = entry / legacy / list / definition / setting
//! entry      = ( "racl" / "dacl" / "acl" ) [ quoted ] action ( "default" / 1*clause ) *value
//! action     = "greylist" / "whitelist" / "blacklist" / "continue"
//! clause     = [ "not" / "no" / "!" ] test / effect
//! legacy     = ( "addr" / "domain" / "from" / "rawfrom" / "rcpt" ) argument
//! list       = "list" quoted type "{" 1*item "}"
//! quoted     = DQUOTE text DQUOTE              ; \" is a quotation mark
//! expression = "/" text "/"                    ; \/ is a slash
//! time       = digits [ "s" / "m" / "h" / "d" / "w" ]
//! number     = digits [ "k" / "M" ]
//! property   = "$" name
//! ```
//!
//! A statement is one line. A backslash outside quotes continues it on the next line, and a comment may follow the
//! backslash; `#` begins a comment. Words are in any case, and may have a colon behind them.
//!
//! # What becomes of a statement
//!
//! It is honoured; or accepted with a warning that says why it has no effect; or refused. What stargrey
//! cannot do (countries, fingerprints, look-ups by URL or in LDAP, updates of DNS) may be defined, with a warning, but an
//! entry that uses it is refused: without that clause it would apply to everybody.
//!
//! # Limits
//!
//! A word, quoted text or expression has at most [`MAX_TOKEN`] bytes, a file at most [`MAX_ENTRIES`] entries, and
//! [`MAX_ERRORS`] errors are reported. There is nothing to nest. Comments may have any bytes; everything else is UTF-8 without control
//! characters.

mod accepted;
mod ast;
mod compile;
mod error;
mod file;
mod limits;
mod parse;
mod scan;
mod statements;

pub use ast::{
    Action, Assignment, Clause, ClauseKind, Comparison, DnsList, DomainName, Entry, EntryStage,
    Globals, GreylistConf, HeaderField, List, Located, MacroTest, MacroValue, Pattern, Position,
    PropertyTest, RateLimit, Regex, ReplyCode, SpamdSocket, Statistic, Test, TextPattern, Values,
};
pub use compile::{Purpose, compile};
pub use file::{ConfFile, LoadedConf};
pub use limits::{MAX_ENTRIES, MAX_ERRORS, MAX_TOKEN};
pub use parse::parse;

#[cfg(test)]
mod tests;
