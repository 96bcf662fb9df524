//! Explanations as rows.

use super::rows::{with_client, with_sleep, with_triplet};
use crate::api::{
    ACTION, Dict, FATE, FATE_DELIVERED, FATE_DISCARDED, FATE_HELD, FATE_REFUSED, FIELDS, LENGTH,
    MISSING, PASSES_AT, REASON, RECIPIENT_ACTION, RECIPIENT_REASON, RECIPIENT_REPLY, REPLY, RESULT,
    RESULT_CONTINUES, RESULT_COUNTED, RESULT_EXCEPTION, RESULT_HUNG_UP, RESULT_MATCH,
    RESULT_NO_MATCH, RESULT_PASSED, RESULT_PASSES, RESULT_REJECTS, RESULT_SLEEPING,
    RESULT_SUSPICIOUS, RESULT_UNKNOWN, RESULT_WAITING, RETRIES_MISSING, Row as Writing, SCORE,
    STEP, STEP_AUTHENTICATED, STEP_AUTO_WHITELIST, STEP_CLIENT_ACCESS, STEP_CLIENT_WHITELIST,
    STEP_DNS_LIST, STEP_DNS_LISTS, STEP_GREYLIST_CONF, STEP_GREYLIST_RECIPIENTS, STEP_OWN_NETWORK,
    STEP_PAUSE, STEP_RECIPIENT, STEP_RECIPIENT_WHITELIST, STEP_S25R, STEP_SCORE,
    STEP_SENDER_WHITELIST, STEP_SPF, STEP_TARPIT, STEP_TRIPLET, STEP_UNMATCHED, TEXT, TIME, UNTIL,
};
use crate::control::{Explained, Explanation, MessageExplanation, StepResult};
use crate::policy::{ListName, Remaining, Step, Verdict};
use crate::protocol::milter::Answer;
use crate::protocol::{self, policy::Style};
use crate::service::MessageFate;
use crate::types::{Reply, ReplyText, Timestamp};

/// The outcome of an explained request.
pub(super) fn from_explanation(explanation: &Explanation, enhanced_codes: bool) -> Dict {
    let style = Style {
        greylist_action: &explanation.greylist_action,
        enhanced_codes,
    };
    let verdict = explanation.outcome.verdict;
    let seconds = match verdict.remaining() {
        Some(Remaining::Time(span)) => Some(span.seconds()),
        Some(Remaining::Retries(_)) | None => None,
    };
    let length = match verdict {
        Verdict::Tarpit { length, .. } => Some(length.seconds()),
        Verdict::Pass
        | Verdict::PassWithHeader { .. }
        | Verdict::Defer { .. }
        | Verdict::Reply(_)
        | Verdict::Unavailable => None,
    };
    Writing::new()
        .with(ACTION, verdict.action().word())
        .with(REASON, explanation.outcome.reason.word())
        .with(REPLY, protocol::policy::action(&explanation.reply, style))
        .with(TIME, explanation.now.seconds())
        .with_some(MISSING, seconds)
        .with_some(RETRIES_MISSING, explanation.retries)
        .with_some(LENGTH, length)
        .with_some(PASSES_AT, explanation.passes_at.map(Timestamp::seconds))
        .with_some(UNTIL, explanation.until.map(Timestamp::seconds))
        .with_some(TEXT, explanation.because.as_deref())
        .build()
}

/// The outcome for an explained message.
pub(super) fn from_message_explanation(explained: &MessageExplanation) -> Dict {
    let MessageExplanation {
        explanation,
        at_recipient: (at_recipient, recipient_reply),
        fate,
        score,
        fields,
    } = explained;
    let is_refused = explanation.outcome.verdict.is_refusal();
    let fate = match fate {
        _ if is_refused => FATE_REFUSED,
        MessageFate::Delivered => FATE_DELIVERED,
        MessageFate::Discarded => FATE_DISCARDED,
        MessageFate::Held(_) => FATE_HELD,
    };
    let reply = |reply| reply_of_milter(reply, &explanation.greylist_action);
    let mut row = from_explanation(explanation, true);
    let fields = if is_refused { &[] } else { fields.as_slice() };
    let more = Writing::new()
        .with(RECIPIENT_ACTION, at_recipient.verdict.action().word())
        .with(RECIPIENT_REASON, at_recipient.reason.word())
        .with(RECIPIENT_REPLY, reply(recipient_reply))
        .with(REPLY, reply(&explanation.reply))
        .with(FATE, fate)
        .with_some(SCORE, score.as_deref())
        .with(FIELDS, fields.to_vec())
        .build();
    row.extend(more);
    row
}

/// What a milter would reply; nothing if it accepts.
fn reply_of_milter(reply: &Reply, greylist_action: &ReplyText) -> String {
    match protocol::milter::answer(reply, greylist_action) {
        Answer::Refuse(refusal) | Answer::Sleep(_, Some(refusal)) => {
            // On the wire a % is doubled.
            let text = refusal.lines.join(" ").replace("%%", "%");
            format!("{} {} {text}", refusal.code, refusal.enhanced)
        }
        Answer::Accept | Answer::AcceptWithField(_) | Answer::Sleep(_, None) => String::new(),
    }
}

/// A step of the decision, with the record that it found.
pub(super) fn from_step(step: &Explained) -> Dict {
    let row = Writing::new()
        .with(STEP, step_word(step.step))
        .with(RESULT, finding_word(step.finding))
        .with(TEXT, step.text.as_str());
    match step.step {
        Step::Triplet(Some(record)) => with_triplet(row, record),
        Step::Client(Some(record), _) => with_client(row, record),
        Step::Sleep(Some(record)) => with_sleep(row, record),
        Step::Triplet(None)
        | Step::Client(None, _)
        | Step::Sleep(None)
        | Step::Paused(_)
        | Step::Authenticated
        | Step::OwnNetwork
        | Step::List(..)
        | Step::Access(_)
        | Step::Rule(..)
        | Step::S25r(..)
        | Step::Spf(_)
        | Step::DnsList(..)
        | Step::DnsLists(_)
        | Step::Unmatched(_)
        | Step::Recipient(_)
        | Step::Clause(..)
        | Step::SpamScore(..) => row,
    }
    .build()
}

/// The word of a step.
const fn step_word(step: Step) -> &'static str {
    match step {
        Step::Paused(_) => STEP_PAUSE,
        Step::Authenticated => STEP_AUTHENTICATED,
        Step::OwnNetwork => STEP_OWN_NETWORK,
        Step::List(ListName::Client, _) => STEP_CLIENT_WHITELIST,
        Step::List(ListName::Recipient, _) => STEP_RECIPIENT_WHITELIST,
        Step::List(ListName::Sender, _) => STEP_SENDER_WHITELIST,
        Step::List(ListName::S25rException, _) | Step::S25r(..) => STEP_S25R,
        Step::List(ListName::GreylistRecipient, _) => STEP_GREYLIST_RECIPIENTS,
        Step::List(ListName::ClientAccess, _) | Step::Access(_) => STEP_CLIENT_ACCESS,
        Step::List(ListName::GreylistConf, _) | Step::Rule(..) | Step::Clause(..) => {
            STEP_GREYLIST_CONF
        }
        Step::Recipient(_) => STEP_RECIPIENT,
        Step::SpamScore(..) => STEP_SCORE,
        Step::List(list @ (ListName::HeaderChecks | ListName::BodyChecks), _) => list.word(),
        Step::Spf(_) => STEP_SPF,
        Step::DnsList(..) => STEP_DNS_LIST,
        Step::DnsLists(_) => STEP_DNS_LISTS,
        Step::Unmatched(_) => STEP_UNMATCHED,
        Step::Client(..) => STEP_AUTO_WHITELIST,
        Step::Sleep(_) => STEP_TARPIT,
        Step::Triplet(_) => STEP_TRIPLET,
    }
}

/// The word of a step's result.
const fn finding_word(finding: StepResult) -> &'static str {
    match finding {
        StepResult::NoMatch => RESULT_NO_MATCH,
        StepResult::Match => RESULT_MATCH,
        StepResult::Passes => RESULT_PASSES,
        StepResult::Suspicious => RESULT_SUSPICIOUS,
        StepResult::Rejects => RESULT_REJECTS,
        StepResult::Exception => RESULT_EXCEPTION,
        StepResult::Continues => RESULT_CONTINUES,
        StepResult::Unknown => RESULT_UNKNOWN,
        StepResult::Counted => RESULT_COUNTED,
        StepResult::Sleeping => RESULT_SLEEPING,
        StepResult::HungUp => RESULT_HUNG_UP,
        StepResult::Waiting => RESULT_WAITING,
        StepResult::Passed => RESULT_PASSED,
    }
}
