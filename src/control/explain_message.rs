//! Explain for a message: what is decided at its end, after its recipient was accepted.

use std::sync::Arc;

use super::Control;
use super::explain::{Explanation, Steps, explanation};
use crate::policy::chain::Effects;
use crate::policy::message::Message;
use crate::policy::spam::tenths;
use crate::policy::{Attempt, Outcome, Stage, Step, Trace};
use crate::service::pipeline::{Basis, Mode};
use crate::service::report::{self, ReportField};
use crate::service::{MessageFate, MessageRequest};
use crate::types::{AddedHeader, Reply, ReplyText};

/// A decision about a message, and its steps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageExplanation {
    /// The decision. Its reply is that to the end of the message.
    pub explanation: Explanation,
    /// The decision about its recipient, and the reply to that.
    pub at_recipient: (Outcome, Reply),
    /// What becomes of the message if it is not refused.
    pub fate: MessageFate,
    /// The score that a spam filter gives it, in points with one decimal.
    pub score: Option<String>,
    /// The fields that its header gets if it is not refused, each `Name: value`: the one about greylisting, and those that
    /// rules for recipients and messages add.
    pub fields: Vec<String>,
}

/// What rules do besides deciding on a recipient.
#[derive(Debug, Default)]
struct Besides(Effects);

impl Trace for Besides {
    fn restart(&mut self) {
        self.0 = Effects::default();
    }

    fn note(&mut self, _: Step) {}

    fn note_effects(&mut self, effects: Effects) {
        self.0 = effects;
    }
}

impl Control {
    /// What would be decided at the end of this message, if its recipient is accepted. Nothing is changed or counted.
    /// Lookups are answered from the cache; with `looks_up`, missing ones are sent, and spamd is asked.
    pub async fn explain_message(
        &self,
        attempt: &Attempt<'_>,
        message: &Arc<Message>,
        looks_up: bool,
    ) -> MessageExplanation {
        let mode = Mode::Look { looks_up };
        let at_recipient = Attempt {
            stage: Stage::Recipient,
            ..*attempt
        };
        let rules = self.0.message_rules();
        let basis = Basis {
            now: None,
            rules: Some(Arc::clone(&rules.rules)),
        };
        let mut besides = Besides::default();
        let accepted = self.0.judge(&at_recipient, basis, mode, &mut besides);
        let accepted = accepted.await;
        let is_accepted = !accepted.outcome.verdict.is_refusal();
        let is_open = is_accepted && accepted.is_open;
        let mut steps = Steps::default();
        steps.note(Step::Recipient(is_accepted.then_some(is_open)));
        steps.keep();
        let recipients: Vec<&[u8]> = attempt.recipient.into_iter().collect();
        let of_message = Attempt {
            stage: Stage::Other,
            recipient: None,
            accepted: Some(recipients.len()),
            ..*attempt
        };
        let request = MessageRequest {
            rules: &rules,
            attempt: &of_message,
            recipients: &recipients,
            open: if is_open { &recipients } else { &[] },
            message,
            is_own: accepted.rules.is_own(&at_recipient),
        };
        let judged = self.0.judge_message(&request, mode, &mut steps).await;
        let Besides(effects) = besides;
        let own = effects.report.as_ref();
        let at_recipient = report::field(&accepted, own, given(&accepted.reply));
        let own = judged.report.as_ref();
        let at_end = report::field(&judged.decision, own, given(&judged.decision.reply));
        let field = ReportField::or(at_recipient.filter(|_| is_accepted), at_end);
        let field = field.as_ref().and_then(ReportField::line);
        let mut headers: Vec<&AddedHeader> = Vec::new();
        let of_recipient = effects.headers.iter().filter(|_| is_accepted);
        for header in of_recipient.chain(&judged.headers) {
            if !headers.contains(&header) {
                headers.push(header);
            }
        }
        let headers = headers.into_iter();
        let headers = headers.map(|header| format!("{}: {}", header.name, header.value));
        let field = field.map(|line| line.as_str().to_owned());
        MessageExplanation {
            fields: field.into_iter().chain(headers).collect(),
            at_recipient: (accepted.outcome, accepted.reply),
            fate: judged.fate,
            score: judged.score.map(|score| tenths(score.score)),
            explanation: explanation(judged.decision, &steps),
        }
    }
}

/// The header field that a reply brings.
fn given(reply: &Reply) -> Option<ReplyText> {
    match reply {
        Reply::AddHeader(field) => Some(field.clone()),
        Reply::Continue
        | Reply::Greylist { .. }
        | Reply::Code(..)
        | Reply::Unavailable(_)
        | Reply::Sleep { .. }
        | Reply::Access(_) => None,
    }
}
