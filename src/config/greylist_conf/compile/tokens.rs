//! Warnings of texts with tokens that stand for nothing where they are.

use super::super::ast::{ClauseKind, Entry, EntryStage, Position};
use super::Compiler;
use crate::policy::chain::{self, AssignedValue, Format, FormatToken, Piece};

impl Compiler<'_> {
    /// Warns of texts with tokens that stand for nothing there.
    pub(super) fn warn_of_empty_tokens(&mut self, entry: &Entry) {
        let is_scored = entry.stage == EntryStage::Message;
        let is_empty = |piece: &Piece| match piece {
            Piece::Token(FormatToken::SpamScore) => !is_scored,
            Piece::Token(token) => chain::is_empty_in_replies(token),
            Piece::Text(_) => false,
        };
        let has_empty = |format: &Format| format.pieces().iter().any(is_empty);
        let values = &entry.values;
        if let Some(message) = values
            .message
            .as_ref()
            .filter(|text| has_empty(&text.value))
        {
            let score = if is_scored { "" } else { "%Hs, " };
            let text = format!("%D, %g, {score}%P, %p, %Q, %Xh and %Xm are empty in a reply");
            self.warn(message.at, text);
        }
        let is_score = |piece: &Piece| *piece == Piece::Token(FormatToken::SpamScore);
        let headers = values.headers.iter();
        let mut unscored = headers.filter(|header| {
            self.purpose.has_milter
                && !is_scored
                && header.value.value.pieces().iter().any(is_score)
        });
        if let Some(header) = unscored.next() {
            let text = "%Hs is empty in a racl entry: a message is scored at its end; write dacl";
            self.warn(header.at, text);
        }
        self.warn_of_early_tokens(entry);
    }

    /// Warns of texts that are written before the reply is known, and speak of it.
    fn warn_of_early_tokens(&mut self, entry: &Entry) {
        let is_early =
            |piece: &Piece| matches!(piece, Piece::Token(token) if chain::is_of_reply(token));
        let clauses = entry
            .clauses
            .iter()
            .filter_map(|clause| match &clause.kind {
                ClauseKind::Log(format) => Some((clause.at, format)),
                ClauseKind::Set(set) => match &set.value {
                    AssignedValue::Text(format) => Some((clause.at, format)),
                    AssignedValue::Number(_) => None,
                },
                ClauseKind::Test(_) | ClauseKind::Not(_) | ClauseKind::Tarpit(_) => None,
            });
        let values = &entry.values;
        let headers = values.headers.iter();
        let headers = headers.map(|header| (header.at, &header.value.value));
        let report = values.report.iter();
        let report = report.map(|report| (report.at, &report.value));
        let texts = clauses.chain(headers).chain(report);
        let early = texts.filter(|(_, format)| format.pieces().iter().any(is_early));
        let early: Vec<Position> = early.map(|(at, _)| at).collect();
        for at in early {
            let text = "%D, %E, %g, %Q, %R, %S, %t and %X are empty or 0 here: this is written before the reply is known";
            self.warn(at, text);
        }
    }

    /// Warns of limits whose key is empty for all, so that they count as one.
    pub(super) fn warn_of_shared_keys(&mut self) {
        if self.purpose.has_milter {
            return;
        }
        for limit in &self.conf.rate_limits {
            let pieces = limit.key.iter().flat_map(Format::pieces);
            let unknown = pieces.filter_map(|piece| match piece {
                Piece::Token(FormatToken::Macro(name)) => Some(name),
                Piece::Token(_) | Piece::Text(_) => None,
            });
            let mut unknown = unknown.filter(|name| !chain::is_known_macro(name));
            if let Some(name) = unknown.next() {
                let text = format!(
                    "only a milter knows the macro {name}: without one it is empty in the key, and all that differ in it alone \
                     count together"
                );
                self.warn(limit.at, text);
            }
        }
    }
}
