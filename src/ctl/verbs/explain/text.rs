//! Explains a decision in plain words.

use serde_json::{Value, json};

use super::ExplainedAttempt;
use crate::api::{
    ACTION, COUNTED, Dict, FATE, FATE_DISCARDED, FATE_HELD, FIELDS, FIRST, FromRow, LAST, LENGTH,
    MAILS, MISSING, ORDERED, PASSED, PASSES_AT, REASON, RECIPIENT_ACTION, RECIPIENT_REASON,
    RECIPIENT_REPLY, REPLY, RESULT, RESULT_HUNG_UP, RESULT_PASSED, RESULT_SLEEPING, RESULT_UNKNOWN,
    RESULT_WAITING, RETRIES, RETRIES_MISSING, SCORE, SOURCE, STEP, STEP_TARPIT, STEP_TRIPLET, TEXT,
    TIME, UNTIL,
};
use crate::ctl::json;
use crate::ctl::render::{Cell, KeyValues, Style, ago, span};
use crate::ctl::resolver::UNKNOWN;
use crate::ctl::verbs::pending::Waiting;
use crate::ctl::verbs::shown as shown_address;
use crate::ctl::view::View;
use crate::types::{Action, Reason, Span, Timestamp, counted};

/// All of it.
pub(super) fn shown(
    question: &ExplainedAttempt,
    (result, steps): (&Dict, &[Dict]),
    waiting: &Waiting,
    view: &View,
) -> String {
    if view.json {
        return json::shown(&object(question, result, steps, waiting));
    }
    let mut out = key_values(question, (result, steps), view).render(&view.terminal);
    if !steps.is_empty() {
        if view.terminal.legend {
            out.push_str("\nStep by step:\n");
        } else {
            out.push('\n');
        }
        let mut values = KeyValues::new();
        for step in steps {
            let word = step.text(STEP).unwrap_or_default();
            let text = step.text(TEXT).or(step.text(RESULT)).unwrap_or_default();
            values = values.with(word, text);
        }
        out.push_str(&values.render(&view.terminal));
    }
    if !waiting.is_empty() {
        if view.terminal.legend {
            out.push_str("\nWaiting triplets of this client:\n");
        } else {
            out.push('\n');
        }
        let address = question.address;
        let more =
            format!("There are more: `stargreyctl pending --client={address}` lists them.\n");
        out.push_str(&waiting.text(view, &more));
    }
    out
}

/// As JSON: the attempt, the decision, the steps.
fn object(question: &ExplainedAttempt, result: &Dict, steps: &[Dict], waiting: &Waiting) -> Value {
    let mut object = json::object(result);
    let mut assumed = Vec::new();
    for (word, given) in [
        ("sender", &question.sender),
        ("recipient", &question.recipient),
    ] {
        if given.is_none() {
            assumed.push(word);
        }
    }
    let asked = json!({
        "client_address": question.address.to_string(),
        "client_name": question.name,
        "helo": question.helo,
        "authenticated": question.is_authenticated,
        "sender": question.sender(),
        "recipient": question.recipient(),
        "assumed": assumed,
        "steps": json::array(steps),
        "waiting": waiting.array(),
    });
    if let (Value::Object(object), Value::Object(asked)) = (&mut object, asked) {
        object.extend(asked);
    }
    object
}

/// The client; the state of its records, as far as they were read; then the result of the next attempt, and why.
fn key_values(
    question: &ExplainedAttempt,
    (result, steps): (&Dict, &[Dict]),
    view: &View,
) -> KeyValues {
    let action = result.text(ACTION).unwrap_or_default();
    let reason = result.text(REASON).unwrap_or_default();
    let (next, replied) = if question.has_message {
        ("The message", "Reply")
    } else {
        ("Next attempt", "To Postfix")
    };
    let (said, style) = match result.text(FATE) {
        Some(FATE_DISCARDED) => ("is accepted and discarded", Style::Bad),
        Some(FATE_HELD) => ("is accepted and held", Style::Warn),
        Some(_) if reason == Reason::MessageReply.word() && action == Action::Defer.word() => {
            ("deferred by a rule, as every attempt is", Style::Bad)
        }
        Some(_) | None => answer(action, reason),
    };
    let fields = result.texts(FIELDS).unwrap_or_default();
    KeyValues::new()
        .with("Client", client(question))
        .with_some("HELO", question.helo.as_deref())
        .with(
            "Sender",
            address(question.sender(), question.sender.is_none()),
        )
        .with(
            "Recipient",
            address(question.recipient(), question.recipient.is_none()),
        )
        .with_some("State", state(result, steps, view))
        .with_some("At RCPT", at_recipient(result))
        .with(next, Cell::new(said).styled(style))
        .with("Because", format!("{} ({reason})", because(reason, result)))
        .with_some("Decided by", result.text(SOURCE).or(result.text(TEXT)))
        .with_some("Passes", passes(action, result, view))
        .with_some("Score", result.text(SCORE))
        .with_some("Header", (!fields.is_empty()).then(|| fields.join("\n")))
        .with_some(replied, result.text(REPLY).filter(|text| !text.is_empty()))
        .with_some("Note", note(question))
}

/// What the recipient of a message gets: action, reason, reply.
fn at_recipient(result: &Dict) -> Option<Cell> {
    let action = result.text(RECIPIENT_ACTION)?;
    let reason = result.text(RECIPIENT_REASON).unwrap_or_default();
    let (said, style) = match answer(action, reason) {
        ("passes", style) => ("accepted", style),
        (said, style) => (said, style),
    };
    let mut text = format!("{said}; {} ({reason})", meaning(reason));
    let reply = result.text(RECIPIENT_REPLY).filter(|text| !text.is_empty());
    if let Some(reply) = reply {
        text.push_str(": ");
        text.push_str(reply);
    }
    Some(Cell::new(text).styled(style))
}

/// The client, and whether its name is verified.
fn client(question: &ExplainedAttempt) -> String {
    let ExplainedAttempt { address, name, .. } = question;
    let name = if name == UNKNOWN {
        format!("{address}, which has no verified name")
    } else {
        format!("{name}[{address}]")
    };
    let name = match question.addresses {
        0 | 1 => name,
        several => format!("{name}, the first of {several} addresses"),
    };
    if question.is_authenticated {
        format!("{name}, authenticated")
    } else {
        name
    }
}

/// An address, and whether anybody has named it.
fn address(address: &str, is_assumed: bool) -> String {
    if is_assumed {
        format!("{address} (assumed)")
    } else {
        shown_address(address).to_owned()
    }
}

/// The assumptions.
fn note(question: &ExplainedAttempt) -> Option<String> {
    let what = match (&question.sender, &question.recipient) {
        (None, None) => "sender and recipient were",
        (None, Some(_)) => "the sender was",
        (Some(_), None) => "the recipient was",
        (Some(_), Some(_)) => return None,
    };
    Some(format!(
        "{what} not given, so an address is assumed that is not on any list and has never been seen"
    ))
}

/// The time of the daemon's clock.
fn now(result: &Dict, view: &View) -> Timestamp {
    let now = result.number(TIME).map(Timestamp::from_seconds);
    now.unwrap_or_else(|| view.time())
}

/// What the records say, not what would become of them: the triplet, then the client's sleep. Nothing where neither
/// was looked at.
fn state(result: &Dict, steps: &[Dict], view: &View) -> Option<String> {
    let now = now(result, view);
    let of = |word| steps.iter().find(|step| step.text(STEP) == Some(word));
    let known = |step: Option<&Dict>, sentence: fn(&Dict, Timestamp, &View) -> Option<String>| {
        step.and_then(|step| sentence(step, now, view))
    };
    let states = [
        known(of(STEP_TRIPLET), triplet_state),
        known(of(STEP_TARPIT), tarpit_state),
    ];
    let states: Vec<String> = states.into_iter().flatten().collect();
    (!states.is_empty()).then(|| states.join("; "))
}

/// A time, and how long ago it was.
fn moment(step: &Dict, key: &str, now: Timestamp, view: &View) -> String {
    let Some(seconds) = step.number(key) else {
        return "at an unknown time".to_owned();
    };
    let then = Timestamp::from_seconds(seconds);
    format!("{} ({})", view.local(seconds), ago(now, then))
}

/// The state of the triplet.
fn triplet_state(step: &Dict, now: Timestamp, view: &View) -> Option<String> {
    let number = |key| step.number(key).unwrap_or_default();
    match step.text(RESULT)? {
        RESULT_WAITING => {
            let retries = match (number(RETRIES), number(COUNTED)) {
                (0, 0) => "not retried since".to_owned(),
                (early, 0) => format!("{} since, too early", retried(early)),
                (0, counted) => format!("{} after the delay", retried(counted)),
                (early, counted) => {
                    let all = retried(early.saturating_add(counted));
                    format!("{all} since, {early} of them too early")
                }
            };
            let first = moment(step, FIRST, now, view);
            Some(format!("waiting; first seen {first}, {retries}"))
        }
        RESULT_PASSED => {
            let mails = counted(number(MAILS), "mail", "mails");
            let passed = moment(step, PASSED, now, view);
            let last = moment(step, LAST, now, view);
            Some(format!("passed {passed}; {mails} so far, last seen {last}"))
        }
        RESULT_UNKNOWN => Some("unknown: not seen before, or too long ago".to_owned()),
        _ => None,
    }
}

/// The number of retries of a triplet.
fn retried(times: u64) -> String {
    format!("retried {}", counted(times, "time", "times"))
}

/// The state of the client's sleep.
fn tarpit_state(step: &Dict, now: Timestamp, view: &View) -> Option<String> {
    let ordered = || {
        let length = span(Span::from_seconds(step.number(LENGTH).unwrap_or_default()));
        format!(
            "tarpitted {} for {length}",
            moment(step, ORDERED, now, view)
        )
    };
    match step.text(RESULT)? {
        RESULT_SLEEPING => Some(format!("client {}, still sleeping", ordered())),
        RESULT_HUNG_UP => Some(format!("client {}, and not survived", ordered())),
        _ => None,
    }
}

/// Why, as exactly as the result says it.
fn because<'a>(reason: &'a str, result: &Dict) -> &'a str {
    let is_missing = |key| result.number(key).is_some();
    match Reason::from_word(reason) {
        Some(Reason::EarlyRetry) if is_missing(MISSING) && !is_missing(RETRIES_MISSING) => {
            "the delay is not over"
        }
        Some(Reason::EarlyRetry) if is_missing(RETRIES_MISSING) && !is_missing(MISSING) => {
            "more retries are required"
        }
        Some(_) | None => meaning(reason),
    }
}

/// The explanation of a reason; the bare word if it is unknown.
fn meaning(word: &str) -> &str {
    Reason::from_word(word).map_or(word, |reason| reason.text().meaning)
}

/// The action as a sentence, or the bare word if it is unknown. The reason distinguishes a deferral by a client access
/// table from one without a database.
fn answer<'a>(action: &'a str, reason: &str) -> (&'a str, Style) {
    match (Action::from_word(action), Reason::from_word(reason)) {
        (Some(Action::Pass), _) => ("passes", Style::Good),
        (Some(Action::Greylist), _) => ("deferred", Style::Warn),
        (Some(Action::Tarpit), _) => ("tarpitted: Postfix delays its reply", Style::Warn),
        (Some(Action::Reject), _) => ("rejected", Style::Bad),
        (Some(Action::Defer), Some(Reason::AccessReply)) => {
            ("deferred by a table, as every attempt is", Style::Bad)
        }
        (Some(Action::Defer), _) => ("deferred: the database is unavailable", Style::Bad),
        (None, _) => (action, Style::Plain),
    }
}

/// When the mail will pass; `None` if it passes already or if waiting does not help.
fn passes(action: &str, result: &Dict, view: &View) -> Option<String> {
    let is_tarpit = match Action::from_word(action)? {
        Action::Greylist => false,
        Action::Tarpit => true,
        Action::Pass | Action::Reject | Action::Defer => return None,
    };
    let now = now(result, view);
    let at = result.number(PASSES_AT).map(Timestamp::from_seconds);
    let retries = result.number(RETRIES_MISSING).unwrap_or_default();
    let is_missing = retries > 0 || result.number(MISSING).is_some();
    if let (true, false, Some(at)) = (is_tarpit, is_missing, at) {
        let left = span(at.since(now));
        return Some(format!("when it has waited {left} for the reply"));
    }
    let more = (retries > 0).then(|| counted(retries, "more retry", "more retries"));
    let mut text = match (at.map(|at| (at, at.since(now))), more) {
        (None, None) => return None,
        (None, Some(more)) => format!("after {more}"),
        (Some((_, Span::ZERO)), None) => "with the next retry".to_owned(),
        (Some((_, Span::ZERO)), Some(more)) => format!("with the next retry, and after {more}"),
        (Some((at, left)), more) => {
            let at = view.local(at.seconds());
            let more = more.map_or(String::new(), |more| format!(", and after {more}"));
            format!("with a retry after {at}, in {}{more}", span(left))
        }
    };
    if let Some(until) = result.number(UNTIL).filter(|until| *until > 0) {
        text = format!("{text}; but no later than {}", view.local(until));
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{Row, STEP_SENDER_WHITELIST};
    use crate::ctl::verbs::pending::tests::waiting;

    const NOW: u64 = 1_795_318_397;

    fn question(sender: Option<&str>, recipient: Option<&str>) -> ExplainedAttempt {
        ExplainedAttempt {
            address: "192.0.2.7".parse().unwrap(),
            name: "mx.example.org".to_owned(),
            addresses: 1,
            sender: sender.map(str::to_owned),
            recipient: recipient.map(str::to_owned),
            helo: None,
            is_authenticated: false,
            has_message: false,
        }
    }

    #[test]
    fn a_client_on_a_list() {
        let mut question = question(None, None);
        question.name = UNKNOWN.to_owned();
        question.addresses = 2;
        let result = Row::new()
            .with(ACTION, "pass")
            .with(REASON, "client-whitelist")
            .with(SOURCE, "/etc/stargrey/whitelist_clients.local:3")
            .with(REPLY, "DUNNO")
            .build();
        let got = shown(
            &question,
            (&result, &[]),
            &waiting(),
            &View::of_80_columns(),
        );
        let want = "
      Client: 192.0.2.7, which has no verified name, the first of 2 addresses
      Sender: stranger@sender.invalid (assumed)
   Recipient: somebody@recipient.invalid (assumed)
Next attempt: passes
     Because: the client is on the client whitelist (client-whitelist)
  Decided by: /etc/stargrey/whitelist_clients.local:3
  To Postfix: DUNNO
        Note: sender and recipient were not given, so an address is assumed that
              is not on any list and has never been seen

Waiting triplets of this client:
CLIENT                      SENDER                                          RECIPIENT          TRIES     WAITS  SEEN AGO
mail…org[2001:db8:1:2::19]  bounce-0123456789-0123456789@lists.example.org  carol@example.net      5        2h   1min 3s
198.51.100.0/24             <>                                              bob@example.net        2  1 day 1h     1 day
192.0.2.7                   ann@example.org                                 bob@example.net        1      4min      4min

3 triplets listed.
";
        assert_eq!(format!("\n{got}"), want);
    }

    #[test]
    fn when_it_passes() {
        let view = View::of_80_columns();
        let later = || Row::new().with(PASSES_AT, NOW + 125);
        let cases = [
            ("greylist", Row::new(), None),
            (
                "greylist",
                Row::new().with(RETRIES_MISSING, 2_u64),
                Some("after 2 more retries"),
            ),
            (
                "greylist",
                Row::new().with(PASSES_AT, NOW).with(RETRIES_MISSING, 1_u64),
                Some("with the next retry, and after 1 more retry"),
            ),
            (
                "greylist",
                later().with(MISSING, 125_u64),
                Some("with a retry after Sun 2026-11-22 04:35:22 CET, in 2min 5s"),
            ),
            (
                "greylist",
                Row::new().with(PASSES_AT, NOW - 5),
                Some("with the next retry"),
            ),
            (
                "tarpit",
                later(),
                Some("when it has waited 2min 5s for the reply"),
            ),
            (
                "tarpit",
                later().with(MISSING, 125_u64),
                Some("with a retry after Sun 2026-11-22 04:35:22 CET, in 2min 5s"),
            ),
            ("pass", Row::new().with(PASSES_AT, NOW), None),
            ("reject", Row::new(), None),
            ("defer", Row::new(), None),
        ];
        for (action, row, want) in cases {
            let got = passes(action, &row.build(), &view);
            assert_eq!(got.as_deref(), want, "{action}");
        }
    }

    #[test]
    fn what_a_table_answers_is_a_sentence() {
        let question = question(Some("ann@example.org"), Some("bob@example.net"));
        let cases = [
            ("reject", "access-reply", "rejected"),
            (
                "defer",
                "access-reply",
                "deferred by a table, as every attempt is",
            ),
            (
                "defer",
                "store-failure",
                "deferred: the database is unavailable",
            ),
        ];
        for (action, reason, want) in cases {
            let result = Row::new().with(ACTION, action).with(REASON, reason);
            let view = View::of_80_columns();
            let got = shown(
                &question,
                (&result.build(), &[]),
                &Waiting::default(),
                &view,
            );
            assert!(got.contains(&format!("Next attempt: {want}\n")), "{got}");
            assert!(!got.contains("Passes:"), "{got}");
        }
    }

    #[test]
    fn what_is_escaped_already_is_not_escaped_again() {
        let question = question(Some("a\\xff@example.org"), Some("bob@example.net"));
        let result = Row::new()
            .with(ACTION, "pass")
            .with(TEXT, "bus: /a\\.b\u{1b}/");
        let step = Row::new().with(STEP, STEP_SENDER_WHITELIST);
        let step = step.with(TEXT, "list:7: /a\\xff@/");
        let steps = [step.build()];
        let got = shown(
            &question,
            (&result.build(), &steps),
            &Waiting::default(),
            &View::of_80_columns(),
        );
        for want in [
            "Sender: a\\xff@example.org\n",
            "Decided by: bus: /a\\.b\\x1b/\n",
            "sender-whitelist: list:7: /a\\xff@/\n",
        ] {
            assert!(got.contains(want), "{got}");
        }
    }
}
