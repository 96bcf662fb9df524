//! Explain for a message: what is decided at its end, after its recipient was accepted.

use std::sync::Arc;

use super::Control;
use super::explain::{Explanation, Steps, explanation};
use crate::policy::message::Message;
use crate::policy::spam::tenths;
use crate::policy::{Attempt, Stage, Step, Trace};
use crate::service::pipeline::{Basis, Mode};
use crate::service::{MessageFate, MessageRequest};
use crate::types::Reply;

/// A decision about a message, and its steps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageExplanation {
    /// The decision. Its reply is that to the end of the message.
    pub explanation: Explanation,
    /// What becomes of the message if it is not refused.
    pub fate: MessageFate,
    /// The score that a spam filter gives it, in points with one decimal.
    pub score: Option<String>,
    /// The fields that its header gets if it is not refused, each `Name: value`.
    pub fields: Vec<String>,
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
        let accepted = self.0.judge(&at_recipient, basis, mode, &mut ()).await;
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
        let header_name = judged.decision.rules.texts.header_name();
        let report = judged.report.as_ref();
        let report = report.map(|text| format!("{header_name}: {text}"));
        let given = match &judged.decision.reply {
            Reply::AddHeader(field) => Some(field.as_str().to_owned()),
            Reply::Continue
            | Reply::Greylist { .. }
            | Reply::Code(..)
            | Reply::Unavailable(_)
            | Reply::Sleep { .. }
            | Reply::Access(_) => None,
        };
        let headers = judged.headers.iter();
        let headers = headers.map(|header| format!("{}: {}", header.name, header.value));
        MessageExplanation {
            fields: report.or(given).into_iter().chain(headers).collect(),
            fate: judged.fate,
            score: judged.score.map(|score| tenths(score.score)),
            explanation: explanation(judged.decision, &steps),
        }
    }
}
