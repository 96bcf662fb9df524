//! A session of the mail server with a client, and the messages in it.

use std::ffi::{CStr, CString};
use std::sync::Arc;
use std::time::Duration;

use indymilter::{
    ActionError, ContextActions, EomActions, Macros, ProtoOpts, SetErrorReply, SmtpReply,
    SocketInfo, Status,
};
use tokio::time::Instant;

use super::Connection;
use super::client::Client;
use super::content::Content;
use super::edits;
use super::macros::SentMacros;
use super::transaction::{Judged, Transaction};
use crate::frontend::policy::until_shutdown;
use crate::policy::{Attempt, Stage, Verdict};
use crate::protocol::milter::{Answer, Field, Refusal, answer, folded, internal};
use crate::service::report::{self, ReportField};
use crate::service::{
    Awaited, GivenFields, MessageDecision, MessageFate, MessageRequest, MilterSession, journal,
};
use crate::types::Span;

/// A session.
#[derive(Debug)]
pub(super) struct Session {
    connection: Arc<Connection>,
    /// What rate limits count sessions by.
    number: MilterSession,
    /// The client; `None` for a process of the mail server's own machine.
    client: Option<Client>,
    helo: Option<Vec<u8>>,
    /// What was negotiated: commands that the mail server does not send, or that are not replied to.
    options: ProtoOpts,
    /// Whether the mail server sends the macros that are asked for.
    sends_macros: bool,
    transaction: Option<Transaction>,
}

impl Session {
    pub(super) fn new(connection: Arc<Connection>) -> Self {
        Self {
            number: connection.gate.milter_session(),
            connection,
            client: None,
            helo: None,
            options: ProtoOpts::empty(),
            sends_macros: false,
            transaction: None,
        }
    }

    /// Whether a rule asks about the body.
    pub(super) fn wants_body(&self) -> bool {
        let needs = self.connection.gate.message_rules().needs();
        needs.body || needs.size
    }

    /// Whether the reply to DATA may come late.
    pub(super) fn waits_at_data(&self) -> bool {
        let rules = self.connection.gate.message_rules().rules;
        rules.is_targrey()
    }

    /// What was negotiated, and whether the macros that are asked for are sent.
    pub(super) const fn negotiated(&mut self, options: ProtoOpts, sends_macros: bool) {
        self.options = options;
        self.sends_macros = sends_macros;
    }

    /// What lets the mail server go on after a command, which it does by itself if it was told that there is `no_reply`.
    pub(super) const fn carry_on(&self, no_reply: ProtoOpts) -> Status {
        if self.options.contains(no_reply) {
            Status::Noreply
        } else {
            Status::Continue
        }
    }

    pub(super) fn connect(&mut self, name: &CStr, socket: &SocketInfo) {
        self.client = match socket {
            SocketInfo::Inet(socket) => Some(Client::new(name.to_bytes(), *socket)),
            SocketInfo::Unix(_) | SocketInfo::Unknown => None,
        };
        self.helo = None;
        self.number = self.connection.gate.milter_session();
        self.abort();
    }

    pub(super) fn helo(&mut self, name: &CStr) {
        self.helo = Some(name.to_bytes().to_owned());
    }

    /// A message begins.
    pub(super) fn mail(&mut self, arguments: &[CString]) {
        let sender = arguments.first().map(|sender| sender.to_bytes());
        let sender = internal(sender.unwrap_or_default());
        let client = self.client.as_ref().map(|client| client.socket);
        // The one before, first: it must not be found any more.
        self.transaction = None;
        let gate = &self.connection.gate;
        let message = gate.milter_message(client);
        let gets_body = !self.options.contains(ProtoOpts::NO_BODY);
        let content = Content::new(gate.memory_share(), message.rules().needs(), gets_body);
        self.transaction = Some(Transaction::new(message, sender, content));
        self.connection.set_busy(true);
    }

    /// Decides on a recipient.
    pub(super) async fn recipient(
        &mut self,
        arguments: &[CString],
        macros: &Macros,
        reply: &mut SmtpReply,
    ) -> Status {
        let recipient = arguments.first().map(|recipient| recipient.to_bytes());
        let recipient = internal(recipient.unwrap_or_default());
        let mut judged = self.judge(Stage::Recipient, &recipient, macros).await;
        match (judged.refusal.take(), &mut self.transaction) {
            (Some(refusal), Some(transaction)) if judged.is_put_off => {
                transaction.put_off(recipient, refusal);
                Status::Continue
            }
            (Some(refusal), _) => refuse(&refusal, reply),
            (None, Some(transaction)) => {
                transaction.accept(recipient, judged);
                Status::Continue
            }
            (None, None) => Status::Continue,
        }
    }

    /// Decides at DATA: whoever comes so far has waited for the reply.
    ///
    /// A refusal is given at the end of the message: Postfix keeps a transaction that is refused at DATA, and indymilter does
    /// not take a second DATA in it, so Postfix would wait in vain and then accept.
    pub(super) async fn data(&mut self, macros: &Macros) {
        let Some(transaction) = &self.transaction else {
            return;
        };
        // Otherwise nothing is decided at DATA. A recipient that is put off alone has not waited for a reply.
        let is_put_off = transaction.put_off.is_some();
        if !transaction.rules().is_targrey() || (is_put_off && transaction.recipients.is_empty()) {
            return;
        }
        let recipient = transaction.only_recipient().to_owned();
        let judged = self.judge(Stage::Data, &recipient, macros).await;
        if let Some(transaction) = &mut self.transaction {
            let put_off = transaction.put_off.take();
            transaction.put_off = put_off.or(judged.refusal);
            transaction.give(judged.field);
        }
    }

    /// Decides, and waits if that is the decision.
    async fn judge(&self, stage: Stage, recipient: &[u8], macros: &Macros) -> Judged {
        let (Some(client), Some(transaction)) = (&self.client, &self.transaction) else {
            return Judged::own();
        };
        let sent = SentMacros::new(macros);
        let attempt = Attempt {
            stage,
            recipient: Some(recipient),
            macros: Some(&sent),
            ..self.attempt(client, transaction, macros)
        };
        let gate = &self.connection.gate;
        let begun = Instant::now();
        let decision = gate.judge_in(&transaction.message, &attempt).await;
        journal::record(&attempt, &decision, self.connection.log_decisions);
        let (rules, verdict) = (&decision.rules, decision.outcome.verdict);
        let (refusal, given) = match answer(&decision.reply, rules.texts.greylist_action()) {
            Answer::Accept => (None, None),
            Answer::AcceptWithField(field) => (None, Some(field)),
            Answer::Refuse(refusal) => (Some(refusal), None),
            Answer::Sleep(length, then) => {
                self.sleep(length).await;
                (then, None)
            }
        };
        let patience = &self.connection.patience;
        patience.replies_after(Awaited::Command, begun.elapsed());
        let about = rules.lists.chain.about_messages();
        let is_bounce = transaction.sender.is_empty();
        let waits = matches!(verdict, Verdict::Defer { .. } | Verdict::Tarpit { .. });
        Judged {
            refusal,
            is_put_off: is_bounce && waits && about.defers_bounces_at_end,
            field: report::field(&decision, decision.report.as_ref(), given),
            is_own: rules.is_own(&attempt),
            is_open: decision.is_open,
            headers: decision.headers,
        }
    }

    /// The attempt without stage and recipient.
    fn attempt<'a>(
        &'a self,
        client: &'a Client,
        transaction: &'a Transaction,
        macros: &'a Macros,
    ) -> Attempt<'a> {
        let value = |name: &CStr| macros.get(name).map(CStr::to_bytes);
        Attempt {
            client_address: Some(client.address.as_bytes()),
            client_name: Some(&client.name),
            helo_name: Some(self.helo.as_deref().unwrap_or_default()),
            sender: Some(&transaction.sender),
            queue_id: value(c"i"),
            user: value(c"{auth_authen}").filter(|user| !user.is_empty()),
            certificate: Some(self.certificate(macros)),
            accepted: Some(transaction.accepted()),
            stage: Stage::Other,
            client_port: Some(client.port.as_bytes()),
            milter_message: Some(transaction.message.number()),
            is_stressed: self.connection.gate.is_tarpit_half_full(),
            milter_session: Some(self.number.number()),
            ..Attempt::default()
        }
    }

    /// The subject of the client's certificate, empty if there is none or it is not verified. Sendmail sends that of any
    /// certificate and says by `{verify}` what it is worth; Postfix sends that of a verified one only, and no `{verify}`.
    fn certificate<'a>(&self, macros: &'a Macros) -> &'a [u8] {
        let is_verified = macros
            .get(c"{verify}")
            .map_or(self.sends_macros, |verify| verify == c"OK");
        let subject = macros.get(c"{cert_subject}").filter(|_| is_verified);
        subject.map(CStr::to_bytes).unwrap_or_default()
    }

    /// Sleeps, but not beyond the end of the daemon.
    async fn sleep(&self, length: Span) {
        let mut shutdown = self.connection.shutdown.clone();
        let length = Duration::from_secs(length.seconds());
        tokio::select! {
            () = tokio::time::sleep(length) => {}
            () = until_shutdown(&mut shutdown) => {}
        }
    }

    pub(super) fn header(&mut self, name: &CStr, value: &CStr) {
        if let Some(transaction) = &mut self.transaction {
            transaction.count(name.to_bytes());
            transaction.content.field(name.to_bytes(), value.to_bytes());
        }
    }

    /// Takes a part of the body.
    pub(super) fn body(&mut self, bytes: Vec<u8>) -> Status {
        let transaction = self.transaction.as_mut();
        let is_wanted = transaction.is_some_and(|transaction| {
            transaction.put_off.is_none() && transaction.content.body(bytes)
        });
        if is_wanted || !self.options.contains(ProtoOpts::SKIP) {
            Status::Continue
        } else {
            Status::Skip
        }
    }

    /// Decides on the message. If it passes, removes forged header fields and adds ours.
    pub(super) async fn end_of_message(
        &mut self,
        macros: &Macros,
        reply: &mut SmtpReply,
        actions: &EomActions,
    ) -> Status {
        let Some(mut transaction) = self.transaction.take() else {
            return Status::Continue;
        };
        let begun = Instant::now();
        let refusal = match transaction.put_off.take() {
            Some(refusal) => Some(refusal),
            None => self.judge_message(&mut transaction, macros).await,
        };
        let patience = &self.connection.patience;
        patience.replies_after(Awaited::Message, begun.elapsed());
        let status = if let Some(refusal) = refusal {
            refuse(&refusal, reply)
        } else {
            let GivenFields {
                field,
                was_delayed,
                headers,
            } = transaction.message.take_fields();
            transaction.give(field.map(ReportField::Line));
            transaction.give(was_delayed.then_some(ReportField::Unsaid));
            transaction.add_headers(headers);
            if transaction.fate != MessageFate::Discarded
                && let Err(error) = edit(&transaction, actions).await
            {
                log::warn!("the header of a message stays as it is: {error}");
            }
            match transaction.fate {
                MessageFate::Discarded => Status::Discard,
                MessageFate::Delivered | MessageFate::Held(_) => Status::Continue,
            }
        };
        drop(transaction);
        self.connection.set_busy(false);
        status
    }

    /// Decides on the message, if there are rules for messages: the refusal, or the header fields that it gets.
    async fn judge_message(
        &self,
        transaction: &mut Transaction,
        macros: &Macros,
    ) -> Option<Refusal> {
        let client = self.client.as_ref()?;
        if !transaction.message.rules().needs().decision {
            return None;
        }
        let message = Arc::new(transaction.content.message());
        let sent = SentMacros::new(macros);
        let attempt = Attempt {
            macros: Some(&sent),
            ..self.attempt(client, transaction, macros)
        };
        let recipients = &transaction.recipients;
        let all: Vec<&[u8]> = recipients.iter().map(|(address, _)| &**address).collect();
        let open = recipients.iter().filter(|(_, is_open)| *is_open);
        let open: Vec<&[u8]> = open.map(|(address, _)| &**address).collect();
        let request = MessageRequest {
            rules: transaction.message.rules(),
            attempt: &attempt,
            recipients: &all,
            open: &open,
            message: &message,
            is_own: transaction.is_own,
        };
        let judged = self.connection.gate.judge_message(&request).await;
        journal::record_message(&attempt, &all, &judged, self.connection.log_decisions);
        let MessageDecision {
            decision,
            fate,
            edits,
            headers,
            report: text,
            ..
        } = judged;
        transaction.content.complain(decision.now);
        let action = decision.rules.texts.greylist_action();
        let given = match answer(&decision.reply, action) {
            Answer::Refuse(refusal) | Answer::Sleep(_, Some(refusal)) => return Some(refusal),
            Answer::AcceptWithField(field) => Some(field),
            Answer::Accept | Answer::Sleep(_, None) => None,
        };
        transaction.give(report::field(&decision, text.as_ref(), given));
        transaction.add_headers(headers);
        transaction.fate = fate;
        if !edits.is_empty() {
            // Those of the same name have other numbers once a table has changed the header.
            let forged = transaction.forged_in(&message);
            transaction.set_edits(edits::of(&message, edits, &forged));
        }
        None
    }

    /// The message ends, if there is one.
    pub(super) fn abort(&mut self) {
        self.transaction = None;
        self.connection.set_busy(false);
    }
}

/// Edits the header.
async fn edit(transaction: &Transaction, actions: &EomActions) -> Result<(), ActionError> {
    if let MessageFate::Held(reason) = &transaction.fate {
        let reason = match reason.as_str() {
            "" => "held by a table",
            reason => reason,
        };
        possible(actions.quarantine(reason).await)?;
    }
    for edit in &transaction.edits {
        possible(edit.apply(actions).await)?;
    }
    for (name, number) in transaction.forged() {
        possible(actions.change_header(name, number, None::<CString>).await)?;
    }
    let line = transaction.field.as_ref().and_then(ReportField::line);
    if let Some(Field { name, value }) = line.and_then(|line| Field::parse(line.as_str())) {
        possible(actions.add_header(name, value).await)?;
    }
    for header in &transaction.headers {
        let value = folded(&header.name, header.value.as_str());
        match header.index.and_then(|index| i32::try_from(index).ok()) {
            Some(index) => possible(actions.insert_header(index, &*header.name, value).await)?,
            None => possible(actions.add_header(&*header.name, value).await)?,
        }
    }
    Ok(())
}

/// Goes on after an action that the mail server does not offer.
fn possible(done: Result<(), ActionError>) -> Result<(), ActionError> {
    match done {
        Err(error @ (ActionError::NotAvailable | ActionError::InvalidParam)) => {
            log::warn!("a message is not changed as a rule wants: {error}");
            Ok(())
        }
        other => other,
    }
}

/// The status for a refusal, and its text.
fn refuse(refusal: &Refusal, reply: &mut SmtpReply) -> Status {
    let lines = refusal.lines.iter().map(String::as_str);
    if let Err(error) = reply.set_error_reply(&refusal.code, Some(&refusal.enhanced), lines) {
        log::warn!(
            "{} {}: {error}; replying without a text",
            refusal.code,
            refusal.enhanced
        );
    }
    if refusal.is_temporary() {
        Status::Tempfail
    } else {
        Status::Reject
    }
}
