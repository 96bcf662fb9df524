//! A session of the mail server with a client, and the messages in it.

use std::ffi::{CStr, CString};
use std::net::SocketAddr;
use std::sync::Arc;

use indymilter::{
    ContextActions, EomActions, Macros, SetErrorReply, SmtpReply, SocketInfo, Status,
};

use super::Connection;
use super::transaction::{Transaction, without_brackets};
use crate::frontend::policy::until_shutdown;
use crate::policy::{Attempt, Reason, Stage};
use crate::protocol::milter::{Answer, Field, Refusal, answer};
use crate::service::journal;
use crate::types::{ReplyText, Span};

/// A session.
#[derive(Debug)]
pub(super) struct Session {
    connection: Arc<Connection>,
    /// The client; `None` for a process of the mail server's own machine.
    client: Option<Client>,
    helo: Option<Vec<u8>>,
    transaction: Option<Transaction>,
}

/// What was decided about a recipient.
#[derive(Debug)]
struct Judged {
    status: Status,
    /// The header field that the message gets.
    field: Option<ReplyText>,
    /// Whether the message comes from a user of one's own.
    is_own: bool,
}

impl Judged {
    /// Mail of a process of the mail server's own machine, about which nothing is decided.
    const fn own() -> Self {
        Self {
            status: Status::Continue,
            field: None,
            is_own: true,
        }
    }
}

/// The client.
#[derive(Debug)]
struct Client {
    socket: SocketAddr,
    /// Its address, as text.
    address: String,
    /// Its port, as text.
    port: String,
    /// Its verified name, or `unknown`.
    name: Vec<u8>,
}

impl Client {
    /// The client of a session. A name in brackets is its address: it has no verified name.
    fn new(name: &[u8], socket: SocketAddr) -> Self {
        let name = if name.starts_with(b"[") || name.is_empty() {
            b"unknown"
        } else {
            name
        };
        Self {
            socket,
            address: socket.ip().to_canonical().to_string(),
            port: socket.port().to_string(),
            name: name.to_owned(),
        }
    }
}

impl Session {
    pub(super) const fn new(connection: Arc<Connection>) -> Self {
        Self {
            connection,
            client: None,
            helo: None,
            transaction: None,
        }
    }

    /// Whether a rule asks about the body.
    #[expect(
        clippy::unused_self,
        reason = "rules are asked when there are some about the body"
    )]
    pub(super) const fn wants_body(&self) -> bool {
        false
    }

    pub(super) fn connect(&mut self, name: &CStr, socket: &SocketInfo) {
        self.client = match socket {
            SocketInfo::Inet(socket) => Some(Client::new(name.to_bytes(), *socket)),
            SocketInfo::Unix(_) | SocketInfo::Unknown => None,
        };
        self.helo = None;
        self.abort();
    }

    pub(super) fn helo(&mut self, name: &CStr) {
        self.helo = Some(name.to_bytes().to_owned());
    }

    /// A message begins.
    pub(super) fn mail(&mut self, arguments: &[CString]) {
        let sender = arguments.first().map(|sender| sender.to_bytes());
        let sender = without_brackets(sender.unwrap_or_default());
        let client = self.client.as_ref().map(|client| client.socket);
        // The one before, first: it must not be found any more.
        self.transaction = None;
        let gate = &self.connection.gate;
        let message = gate.milter_message(client);
        let rules = gate.rules();
        let ours = [rules.texts.header_name(), "X-Greylist"];
        self.transaction = Some(Transaction::new(message, sender.to_owned(), &ours));
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
        let recipient = without_brackets(recipient.unwrap_or_default()).to_owned();
        let judged = self
            .judge(Stage::Recipient, &recipient, macros, reply)
            .await;
        let (Judged { status, .. }, Some(transaction)) = (&judged, &mut self.transaction) else {
            return judged.status;
        };
        let status = *status;
        if status == Status::Continue {
            transaction.accept(recipient, judged.field, judged.is_own);
        }
        status
    }

    /// Decides at DATA: whoever comes so far has waited for the reply.
    pub(super) async fn data(&mut self, macros: &Macros, reply: &mut SmtpReply) -> Status {
        // Otherwise DATA is no moment of a decision.
        if !self.connection.gate.rules().params.is_targrey() {
            return Status::Continue;
        }
        let recipient = self.transaction.as_ref().map(Transaction::only_recipient);
        let recipient = recipient.unwrap_or_default().to_owned();
        let judged = self.judge(Stage::Data, &recipient, macros, reply).await;
        match (judged.status, &mut self.transaction) {
            (Status::Continue, Some(transaction)) => transaction.give(judged.field),
            (Status::Continue, None) => {}
            _ => self.abort(),
        }
        judged.status
    }

    /// Decides, and waits if that is the decision.
    async fn judge(
        &self,
        stage: Stage,
        recipient: &[u8],
        macros: &Macros,
        reply: &mut SmtpReply,
    ) -> Judged {
        let (Some(client), Some(transaction)) = (&self.client, &self.transaction) else {
            return Judged::own();
        };
        let value = |name: &CStr| macros.get(name).map(CStr::to_bytes);
        let attempt = Attempt {
            stage,
            client_address: Some(client.address.as_bytes()),
            client_name: Some(&client.name),
            helo_name: Some(self.helo.as_deref().unwrap_or_default()),
            sender: Some(&transaction.sender),
            recipient: Some(recipient),
            instance: None,
            queue_id: value(c"i"),
            is_stressed: false,
            user: value(c"{auth_authen}").filter(|user| !user.is_empty()),
            certificate: value(c"{cert_subject}"),
            macros: None,
            accepted: Some(transaction.recipients.len()),
            client_port: Some(client.port.as_bytes()),
            milter_message: Some(transaction.message.number()),
        };
        let decision = self.connection.gate.judge(&attempt, None).await;
        journal::record(&attempt, &decision, self.connection.log_decisions);
        let action = decision.rules.texts.greylist_action();
        let (status, field) = match answer(&decision.reply, action) {
            Answer::Accept => (Status::Continue, None),
            Answer::AcceptWithField(field) => (Status::Continue, Some(field)),
            Answer::Refuse(refusal) => (refuse(&refusal, reply), None),
            Answer::Sleep(length, then) => {
                self.sleep(length).await;
                let status = then.map_or(Status::Continue, |refusal| refuse(&refusal, reply));
                (status, None)
            }
        };
        Judged {
            status,
            field,
            is_own: matches!(
                decision.outcome.reason,
                Reason::Authenticated | Reason::OwnNetwork
            ),
        }
    }

    /// Sleeps, but not beyond the end of the daemon.
    async fn sleep(&self, length: Span) {
        let mut shutdown = self.connection.shutdown.clone();
        let length = std::time::Duration::from_secs(length.seconds());
        tokio::select! {
            () = tokio::time::sleep(length) => {}
            () = until_shutdown(&mut shutdown) => {}
        }
    }

    pub(super) fn header(&mut self, name: &CStr, _value: &CStr) {
        if let Some(transaction) = &mut self.transaction {
            transaction.count(name.to_bytes());
        }
    }

    /// Takes a part of the body.
    #[expect(clippy::unused_self, reason = "no rule asks about the body")]
    pub(super) const fn body(&mut self, _bytes: &[u8]) -> Status {
        Status::Skip
    }

    /// Removes forged header fields and adds ours.
    pub(super) async fn end_of_message(
        &mut self,
        _macros: &Macros,
        _reply: &mut SmtpReply,
        actions: &EomActions,
    ) -> Status {
        let Some(mut transaction) = self.transaction.take() else {
            return Status::Continue;
        };
        transaction.give(transaction.message.take_field());
        if let Err(error) = edit(&transaction, actions).await {
            log::warn!("the header of a message stays as it is: {error}");
        }
        drop(transaction);
        self.connection.set_busy(false);
        Status::Continue
    }

    /// The message ends, if there is one.
    pub(super) fn abort(&mut self) {
        self.transaction = None;
        self.connection.set_busy(false);
    }
}

/// Edits the header.
async fn edit(
    transaction: &Transaction,
    actions: &EomActions,
) -> Result<(), indymilter::ActionError> {
    for (name, number) in transaction.forged() {
        actions.change_header(name, number, None::<CString>).await?;
    }
    let field = transaction.field.as_ref();
    if let Some(Field { name, value }) = field.and_then(|field| Field::parse(field.as_str())) {
        actions.add_header(name, value).await?;
    }
    Ok(())
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
